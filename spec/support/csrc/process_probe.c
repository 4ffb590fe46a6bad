/* The process observer from Lua: on recorded files, with a kernel that answers badly, and in forked
   children that lost /proc, a system call or their descriptors. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "observers/process.h"
#include "os/directory.h"
#include "os/malloc_stats.h"
#include "vm/compat.h"

#define PROCESS_TYPE "process_probe.process"
#define WORKERS_TYPE "process_probe.workers"

/* --- The observer ------------------------------------------------------------------------------
 */

#define COUNT(name, field)                                                                         \
    {                                                                                              \
        name, offsetof(struct rtm_process, field), false                                           \
    }
#define SECONDS(name, field)                                                                       \
    {                                                                                              \
        name, offsetof(struct rtm_process, field), true                                            \
    }

static const struct figure {
    const char *name;
    size_t offset;
    bool is_seconds;
} figures[] = {
    COUNT("resident_bytes", memory.resident_bytes),
    COUNT("resident_peak_bytes", memory.resident_peak_bytes),
    COUNT("virtual_bytes", memory.virtual_bytes),
    COUNT("virtual_peak_bytes", memory.virtual_peak_bytes),
    COUNT("virtual_limit_bytes", memory.virtual_limit_bytes),
    COUNT("swapped_bytes", memory.swapped_bytes),
    COUNT("threads", memory.threads),
    SECONDS("cpu_user_s", usage.cpu_user_s),
    SECONDS("cpu_system_s", usage.cpu_system_s),
    COUNT("minor_faults", usage.minor_faults),
    COUNT("major_faults", usage.major_faults),
    COUNT("voluntary_switches", usage.voluntary_switches),
    COUNT("involuntary_switches", usage.involuntary_switches),
    COUNT("descriptors", descriptors.open),
    COUNT("descriptor_limit", descriptors.limit),
    COUNT("cgroup_limit_bytes", cgroup.limit_bytes),
    COUNT("cgroup_used_bytes", cgroup.used_bytes),
    SECONDS("start_s", start_s),
};

static const struct rtm_procfs_value *value_of(const struct rtm_process *process,
                                               const struct figure *figure)
{
    return (const void *)((const char *)process + figure->offset);
}

static double number_of(const struct rtm_procfs_value *value, const struct figure *figure)
{
    return figure->is_seconds ? value->float64 : (double)value->uint64;
}

static void push_figures(lua_State *L, const struct rtm_process *process)
{
    lua_newtable(L);
    for (size_t i = 0; i < RTM_COUNT_OF(figures); i++) {
        const struct rtm_procfs_value *value = value_of(process, &figures[i]);
        if (value->known) {
            lua_pushnumber(L, (lua_Number)number_of(value, &figures[i]));
            lua_setfield(L, -2, figures[i].name);
        }
    }
}

static struct rtm_process *check_process(lua_State *L)
{
    return luaL_checkudata(L, 1, PROCESS_TYPE);
}

static int process_new(lua_State *L)
{
    struct rtm_process *process = lua_newuserdata(L, sizeof *process);
    rtm_process_init(process);
    luaL_getmetatable(L, PROCESS_TYPE);
    lua_setmetatable(L, -2);
    return 1;
}

/* process:refresh(now_ns [, sources]) -> the figures that are known */
static int process_refresh(lua_State *L)
{
    struct rtm_process *process = check_process(L);
    rtm_process_refresh(process, (uint64_t)luaL_checknumber(L, 2),
                        (unsigned)luaL_optnumber(L, 3, RTM_PROCESS_ALL));
    push_figures(L, process);
    return 1;
}

static int process_close(lua_State *L)
{
    rtm_process_fini(check_process(L));
    lua_pushnil(L);
    lua_setmetatable(L, 1);
    return 0;
}

/* --- Seams -------------------------------------------------------------------------------------
 */

static char root[512];

/* root([path]): absolute paths are looked up below `path`; only while no observer is open. */
static int set_root(lua_State *L)
{
    snprintf(root, sizeof root, "%s", luaL_optstring(L, 1, ""));
    rtm_directory_root = root;
    return 0;
}

static ssize_t read_one_byte(int fd, void *bytes, size_t size)
{
    return read(fd, bytes, size ? 1 : 0);
}

static ssize_t read_interrupted(int fd, void *bytes, size_t size)
{
    static bool interrupt;
    interrupt = !interrupt;
    if (!interrupt)
        return read(fd, bytes, size < 7 ? size : 7);
    errno = EINTR;
    return -1;
}

static ssize_t read_failing(int fd, void *bytes, size_t size)
{
    (void)fd, (void)bytes, (void)size; /* nothing is read */
    errno = EIO;
    return -1;
}

/* reading([kind]): "one byte", "interrupted", "failing", or as it is. */
static int set_reading(lua_State *L)
{
    static const char *const kinds[] = {"normal", "one byte", "interrupted", "failing", NULL};
    static ssize_t (*const reads[])(int, void *, size_t) = {read, read_one_byte, read_interrupted,
                                                            read_failing};
    rtm_procfs_seams.read = reads[luaL_checkoption(L, 1, "normal", kinds)];
    return 0;
}

static int set_old_kernel(lua_State *L)
{
    rtm_procfs_seams.no_entry_counts = lua_toboolean(L, 1);
    return 0;
}

static int asked(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)rtm_procfs_seams.asked);
    return 1;
}

/* --- Threads -----------------------------------------------------------------------------------
 */

struct workers {
    int count;
    double cpu_s;
    bool stop;
    int ready;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t threads[64];
    pid_t ids[64];
};

static double cpu_seconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void spin(clockid_t clock, double seconds)
{
    double end = cpu_seconds(clock) + seconds;
    while (cpu_seconds(clock) < end)
        ;
}

static void *work(void *argument)
{
    struct workers *workers = argument;
    spin(CLOCK_THREAD_CPUTIME_ID, workers->cpu_s);
    pthread_mutex_lock(&workers->lock);
    workers->ids[workers->ready++] = (pid_t)syscall(SYS_gettid);
    pthread_cond_broadcast(&workers->changed);
    while (!workers->stop)
        pthread_cond_wait(&workers->changed, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* workers(count, name, cpu_s): threads that burn some CPU and then sleep until closed. */
static int workers_new(lua_State *L)
{
    int count = (int)luaL_checknumber(L, 1);
    const char *name = luaL_checkstring(L, 2);
    double cpu_s = luaL_optnumber(L, 3, 0);
    luaL_argcheck(L, count <= 64, 1, "at most 64");
    struct workers *workers = lua_newuserdata(L, sizeof *workers);
    memset(workers, 0, sizeof *workers);
    workers->count = count;
    workers->cpu_s = cpu_s;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->changed, NULL);
    for (int i = 0; i < count; i++) {
        pthread_create(&workers->threads[i], NULL, work, workers);
        pthread_setname_np(workers->threads[i], name);
    }
    pthread_mutex_lock(&workers->lock);
    while (workers->ready < count)
        pthread_cond_wait(&workers->changed, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
    luaL_getmetatable(L, WORKERS_TYPE);
    lua_setmetatable(L, -2);
    return 1;
}

/* The kernel counts a thread a little longer than pthread_join waits for it. */
static void join(pthread_t thread, pid_t id)
{
    pthread_join(thread, NULL);
    while (syscall(SYS_tgkill, getpid(), id, 0) == 0)
        usleep(1000);
}

static int workers_close(lua_State *L)
{
    struct workers *workers = luaL_checkudata(L, 1, WORKERS_TYPE);
    pthread_mutex_lock(&workers->lock);
    workers->stop = true;
    pthread_cond_broadcast(&workers->changed);
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < workers->count; i++)
        join(workers->threads[i], workers->ids[i]);
    workers->count = 0;
    return 0;
}

static void push_thread(lua_State *L, const struct rtm_self_thread *thread)
{
    lua_newtable(L);
    lua_pushnumber(L, thread->id);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, thread->name);
    lua_setfield(L, -2, "name");
    lua_pushlstring(L, &thread->state, 1);
    lua_setfield(L, -2, "state");
    lua_pushnumber(L, thread->cpu_user_s);
    lua_setfield(L, -2, "cpu_user_s");
    lua_pushnumber(L, thread->cpu_system_s);
    lua_setfield(L, -2, "cpu_system_s");
}

/* threads(capacity) -> list, living; or nil, message */
static int threads(lua_State *L)
{
    struct rtm_self_thread found[256];
    struct rtm_error err;
    size_t listed, living;
    size_t capacity = (size_t)luaL_checknumber(L, 1);
    luaL_argcheck(L, capacity <= RTM_COUNT_OF(found), 1, "at most 256");
    if (!rtm_self_list_threads(found, capacity, &listed, &living, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    lua_newtable(L);
    for (size_t i = 0; i < listed; i++) {
        push_thread(L, &found[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_pushnumber(L, (lua_Number)living);
    return 2;
}

static int state(lua_State *L)
{
    lua_pushstring(L, rtm_self_thread_state(*luaL_checkstring(L, 1)));
    return 1;
}

static int crowd_turns;

static void *come_and_go(void *unknowns)
{
    for (int i = 0; i < crowd_turns; i++) {
        struct rtm_process process;
        rtm_process_init(&process);
        /* The quickest look, so that the threads meet at the door. */
        rtm_process_refresh(&process, 0, RTM_PROCESS_DESCRIPTORS);
        if (!process.descriptors.open.known)
            ++*(int *)unknowns;
        rtm_process_fini(&process);
    }
    return NULL;
}

/* crowd(threads, turns) -> how often figures were not known to as many threads, each of which makes
   and closes an observer at each turn */
static int crowd(lua_State *L)
{
    pthread_t members[16];
    int unknowns[16] = {0};
    int count = (int)luaL_checknumber(L, 1);
    int sum = 0;
    crowd_turns = (int)luaL_checknumber(L, 2);
    luaL_argcheck(L, count <= 16, 1, "at most 16");
    for (int i = 0; i < count; i++)
        pthread_create(&members[i], NULL, come_and_go, &unknowns[i]);
    for (int i = 0; i < count; i++) {
        pthread_join(members[i], NULL);
        sum += unknowns[i];
    }
    lua_pushnumber(L, sum);
    return 1;
}

/* --- The allocator -----------------------------------------------------------------------------
 */

static void set_number(lua_State *L, const char *name, uint64_t number)
{
    lua_pushnumber(L, (lua_Number)number);
    lua_setfield(L, -2, name);
}

static int malloc_stats(lua_State *L)
{
    struct rtm_malloc_stats stats;
    struct rtm_error err;
    if (!rtm_malloc_stats_read(&stats, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    lua_newtable(L);
    set_number(L, "arena_bytes", stats.arena_bytes);
    set_number(L, "used_bytes", stats.used_bytes);
    set_number(L, "free_bytes", stats.free_bytes);
    set_number(L, "free_chunks", stats.free_chunks);
    set_number(L, "releasable_bytes", stats.releasable_bytes);
    set_number(L, "mapped_bytes", stats.mapped_bytes);
    set_number(L, "mapped_blocks", stats.mapped_blocks);
    return 1;
}

static int malloc_trimmed(lua_State *L)
{
    struct rtm_error err;
    bool released;
    if (!rtm_malloc_stats_trim(&released, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    lua_pushboolean(L, released);
    return 1;
}

static void *blocks[20000];

/* blocks(count, size): as many malloc blocks, each written to, instead of those before. */
static int set_blocks(lua_State *L)
{
    int count = (int)luaL_checknumber(L, 1);
    size_t size = (size_t)luaL_optnumber(L, 2, 0);
    luaL_argcheck(L, count <= (int)RTM_COUNT_OF(blocks), 1, "too many");
    for (size_t i = 0; i < RTM_COUNT_OF(blocks); i++) {
        free(blocks[i]);
        blocks[i] = i < (size_t)count ? malloc(size) : NULL;
        if (blocks[i])
            memset(blocks[i], 1, size);
    }
    return 0;
}

/* --- Forked children ----------------------------------------------------------------------------
 */

static void *ballast;
static size_t ballast_bytes;

/* ballast(bytes): that much more resident memory, instead of what was before. */
static int set_ballast(lua_State *L)
{
    if (ballast)
        munmap(ballast, ballast_bytes);
    ballast_bytes = (size_t)luaL_checknumber(L, 1);
    ballast = NULL;
    if (ballast_bytes) {
        ballast =
            mmap(NULL, ballast_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(ballast, 1, ballast_bytes);
    }
    return 0;
}

static bool enter_root(const char *path)
{
    return chroot(path) == 0 && chdir("/") == 0;
}

static bool lose_proc(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           umount2("/proc", MNT_DETACH) == 0;
}

static bool forbid_getrusage(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getrusage, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = RTM_COUNT_OF(rules), .filter = rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* As a daemon does; then the numbers are taken again, by files of its own. */
static bool close_others(int kept)
{
    for (int fd = 3; fd < 256; fd++) {
        if (fd != kept)
            close(fd);
    }
    for (int i = 0; i < 8; i++)
        (void)!open("/etc", O_RDONLY | O_DIRECTORY);
    return true;
}

static bool fill_descriptors(int limit)
{
    struct rlimit resource = {.rlim_cur = (rlim_t)limit, .rlim_max = (rlim_t)limit};
    if (close_range((unsigned)limit, ~0u, 0) != 0 || setrlimit(RLIMIT_NOFILE, &resource) != 0)
        return false;
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
    return errno == EMFILE;
}

/* What a child does before it looks at itself, in this order. */
struct deeds {
    const char *chroot;
    bool late;    /* its observer is made after the rest, not inherited */
    bool no_proc; /* a mount namespace without it */
    bool no_getrusage;
    bool no_ballast;
    bool closes_others;
    int opens;
    int fills;
    double spins_s;
};

static bool do_deeds(const struct deeds *deeds, int kept)
{
    if (deeds->no_ballast && madvise(ballast, ballast_bytes, MADV_DONTNEED) != 0)
        return false;
    if (deeds->closes_others && !close_others(kept))
        return false;
    for (int i = 0; i < deeds->opens; i++)
        (void)!open("/dev/null", O_RDONLY);
    spin(CLOCK_PROCESS_CPUTIME_ID, deeds->spins_s);
    if (deeds->no_proc && !lose_proc())
        return false;
    if (deeds->chroot && !enter_root(deeds->chroot))
        return false;
    if (deeds->fills && !fill_descriptors(deeds->fills))
        return false;
    return !deeds->no_getrusage || forbid_getrusage();
}

/* The figures, and what the CPU clock says after them. */
static void report(int fd, const struct rtm_process *process)
{
    char text[2048];
    size_t length = 0;
    for (size_t i = 0; i < RTM_COUNT_OF(figures); i++) {
        const struct rtm_procfs_value *value = value_of(process, &figures[i]);
        if (value->known)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s=%.17g\n",
                                       figures[i].name, number_of(value, &figures[i]));
    }
    length += (size_t)snprintf(text + length, sizeof text - length, "cpu_clock_s=%.17g\n",
                               cpu_seconds(CLOCK_PROCESS_CPUTIME_ID));
    (void)!write(fd, text, length);
}

static void be_child(struct rtm_process *process, uint64_t now_ns, const struct deeds *deeds,
                     int fd)
{
    if (!do_deeds(deeds, fd))
        _exit(1);
    if (deeds->late) {
        rtm_process_fini(process);
        rtm_process_init(process);
    }
    rtm_process_refresh(process, now_ns, RTM_PROCESS_ALL);
    report(fd, process);
    rtm_process_fini(process);
    _exit(0);
}

static bool flag(lua_State *L, const char *name)
{
    lua_getfield(L, 3, name);
    bool set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return set;
}

static double number(lua_State *L, const char *name)
{
    lua_getfield(L, 3, name);
    double value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

static void push_output(lua_State *L, int fd)
{
    luaL_Buffer buffer;
    char part[512];
    ssize_t got;
    luaL_buffinit(L, &buffer);
    while ((got = read(fd, part, sizeof part)) > 0)
        luaL_addlstring(&buffer, part, (size_t)got);
    luaL_pushresult(&buffer);
}

/* process:child(now_ns, deeds) -> "name=value" lines of what the observer finds in a forked child;
   nil if a deed cannot be done here */
static int process_child(lua_State *L)
{
    struct rtm_process *process = check_process(L);
    uint64_t now_ns = (uint64_t)luaL_checknumber(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    struct deeds deeds = {
        .late = flag(L, "late"),
        .no_proc = flag(L, "no_proc"),
        .no_getrusage = flag(L, "no_getrusage"),
        .no_ballast = flag(L, "no_ballast"),
        .closes_others = flag(L, "closes_others"),
        .opens = (int)number(L, "opens"),
        .fills = (int)number(L, "fills"),
        .spins_s = number(L, "spins_s"),
    };
    lua_getfield(L, 3, "chroot");
    deeds.chroot = lua_tostring(L, -1);
    int ends[2];
    int status = 1;
    if (pipe(ends) != 0)
        return luaL_error(L, "no pipe");
    pid_t pid = fork();
    if (pid == 0)
        be_child(process, now_ns, &deeds, ends[1]);
    close(ends[1]);
    push_output(L, ends[0]);
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (status != 0)
        lua_pushnil(L);
    return 1;
}

/* --- The module ---------------------------------------------------------------------------------
 */

static void new_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction collect)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    rtm_compat_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

int luaopen_process_probe(lua_State *L)
{
    static const luaL_Reg process_methods[] = {{"refresh", process_refresh},
                                               {"child", process_child},
                                               {"close", process_close},
                                               {NULL, NULL}};
    static const luaL_Reg workers_methods[] = {{"close", workers_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"new", process_new},
                                         {"root", set_root},
                                         {"reading", set_reading},
                                         {"old_kernel", set_old_kernel},
                                         {"asked", asked},
                                         {"workers", workers_new},
                                         {"crowd", crowd},
                                         {"threads", threads},
                                         {"state", state},
                                         {"malloc_stats", malloc_stats},
                                         {"malloc_trim", malloc_trimmed},
                                         {"blocks", set_blocks},
                                         {"ballast", set_ballast},
                                         {NULL, NULL}};
    new_type(L, PROCESS_TYPE, process_methods, process_close);
    new_type(L, WORKERS_TYPE, workers_methods, workers_close);
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
