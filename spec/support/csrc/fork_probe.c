/* What a forked child finds: the generation, and which reset functions ran, in which order. */
#include <sys/wait.h>
#include <unistd.h>

#include "os/fork.h"
#include "vm/compat.h"

static char ran[64];
static size_t ran_count;

static void note(char letter)
{
    if (ran_count < sizeof ran)
        ran[ran_count++] = letter;
}

static void reset_core(void)
{
    note('c');
}

static void reset_vm(void)
{
    note('v');
}

static void reset_vm_too(void)
{
    note('w');
}

static void hold(void)
{
    note('h');
}

static void release(void)
{
    note('r');
}

/* The generation is counted before anything is reset. */
static void reset_locks(void)
{
    note(rtm_fork_generation() > 0 ? 'l' : '?');
}

static const struct {
    enum rtm_fork_stage stage;
    void (*reset)(void);
} registrations[] = {
    {RTM_FORK_CORE, reset_core}, {RTM_FORK_VM, reset_vm},       {RTM_FORK_VM, reset_vm_too},
    {RTM_FORK_VM, reset_vm},     {RTM_FORK_LOCKS, reset_locks},
};

/* hold(): true, or nil and why not */
static int probe_hold(lua_State *L)
{
    struct rtm_error err;
    if (!rtm_fork_hold(hold, release, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* register(): true, or nil and why not */
static int probe_register(lua_State *L)
{
    struct rtm_error err;
    for (size_t i = 0; i < RTM_COUNT_OF(registrations); i++) {
        if (!rtm_fork_register(registrations[i].stage, registrations[i].reset, &err)) {
            lua_pushnil(L);
            lua_pushstring(L, err.text);
            return 2;
        }
    }
    lua_pushboolean(L, 1);
    return 1;
}

#define FILLER(n)                                                                                  \
    static void filler_##n(void)                                                                   \
    {                                                                                              \
        note(#n[0]);                                                                               \
    }
FILLER(1)
FILLER(2)
FILLER(3)
FILLER(4)
FILLER(5)
FILLER(6)
FILLER(7)
FILLER(8)
FILLER(9)

static void (*const fillers[])(void) = {filler_1, filler_2, filler_3, filler_4, filler_5,
                                        filler_6, filler_7, filler_8, filler_9};

/* fill() -> how many functions one stage took, and why not the next */
static int probe_fill(lua_State *L)
{
    struct rtm_error err = {""};
    lua_Integer taken = 0;
    for (size_t i = 0; i < RTM_COUNT_OF(fillers); i++)
        taken += rtm_fork_register(RTM_FORK_OS, fillers[i], &err);
    lua_pushinteger(L, taken);
    lua_pushstring(L, err.text);
    return 2;
}

/* ran() -> a letter for each reset function that ran in this process, in order */
static int probe_ran(lua_State *L)
{
    lua_pushlstring(L, ran, ran_count);
    return 1;
}

static int probe_generation(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)rtm_fork_generation());
    return 1;
}

static void answer(lua_State *L, int end)
{
    size_t length = 0;
    lua_pushvalue(L, 1);
    lua_pcall(L, 0, 1, 0);
    const char *text = lua_tolstring(L, -1, &length);
    _exit(text && write(end, text, length) == (ssize_t)length ? 0 : 1);
}

/* in_child(function) -> the text that the function returned in a forked child */
static int probe_in_child(lua_State *L)
{
    char text[256];
    int ends[2];
    if (pipe(ends) != 0)
        return luaL_error(L, "no pipe");
    pid_t pid = fork();
    if (pid == 0)
        answer(L, ends[1]);
    close(ends[1]);
    ssize_t length = read(ends[0], text, sizeof text);
    close(ends[0]);
    waitpid(pid, NULL, 0);
    lua_pushlstring(L, text, length > 0 ? (size_t)length : 0);
    return 1;
}

static const luaL_Reg functions[] = {
    {"register", probe_register},
    {"fill", probe_fill},
    {"ran", probe_ran},
    {"hold", probe_hold},
    {"generation", probe_generation},
    {"in_child", probe_in_child},
    {NULL, NULL},
};

int luaopen_fork_probe(lua_State *L)
{
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
