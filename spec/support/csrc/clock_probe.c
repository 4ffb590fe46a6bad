/* The clock from Lua: its choice of a source, and what it makes of a counter that misbehaves. */
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "vm/compat.h"

static int probe_init(lua_State *L)
{
    (void)L;
    rtm_clock_init();
    return 0;
}

static int probe_check(lua_State *L)
{
    (void)L;
    rtm_clock_check();
    return 0;
}

/* restart([clocksource]): chooses anew, as if the kernel used that clocksource */
static int probe_restart(lua_State *L)
{
    rtm_clock_seam_restart(luaL_optstring(L, 1, NULL));
    return 0;
}

/* disturb(ticks, ppm): the counter jumps, and runs too fast from now on */
static int probe_disturb(lua_State *L)
{
    rtm_clock_seam_disturb((int64_t)luaL_checknumber(L, 1), (int64_t)luaL_checknumber(L, 2));
    return 0;
}

/* pretend_clocksource(name): what the kernel would say from now on */
static int probe_pretend_clocksource(lua_State *L)
{
    rtm_clock_seam_clocksource(luaL_checkstring(L, 1));
    return 0;
}

/* source() -> name, reason */
static int probe_source(lua_State *L)
{
    lua_pushstring(L, rtm_clock_source());
    lua_pushstring(L, rtm_clock_reason());
    return 2;
}

/* A moment by ticks, between two by CLOCK_MONOTONIC, so that it does not matter when this thread is
   made to wait. */
struct moment {
    uint64_t before_ns;
    uint64_t ticks;
    uint64_t after_ns;
};

static struct moment mark;

static struct moment now(void)
{
    struct moment moment;
    moment.before_ns = rtm_clock_monotonic_ns();
    moment.ticks = rtm_clock_ticks();
    moment.after_ns = rtm_clock_monotonic_ns();
    return moment;
}

static int probe_mark(lua_State *L)
{
    (void)L;
    mark = now();
    return 0;
}

/* elapsed() -> nanoseconds since the mark: by ticks, and at least and at most by CLOCK_MONOTONIC */
static int probe_elapsed(lua_State *L)
{
    struct moment moment = now();
    lua_pushnumber(L, (lua_Number)rtm_clock_to_ns(moment.ticks - mark.ticks));
    lua_pushnumber(L, (lua_Number)(moment.before_ns - mark.after_ns));
    lua_pushnumber(L, (lua_Number)(moment.after_ns - mark.before_ns));
    return 3;
}

/* backwards() -> nanoseconds of a difference taken the wrong way round */
static int probe_backwards(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)rtm_clock_to_ns(mark.ticks - rtm_clock_ticks()));
    return 1;
}

/* to_ns(high, low): both halves of the ticks */
static int probe_to_ns(lua_State *L)
{
    uint64_t high = (uint64_t)luaL_checknumber(L, 1);
    uint64_t low = (uint64_t)luaL_checknumber(L, 2);
    lua_pushnumber(L, (lua_Number)rtm_clock_to_ns(high << 32 | low));
    return 1;
}

/* set_rate(nanoseconds per tick) */
static int probe_set_rate(lua_State *L)
{
    atomic_store(&rtm_clock_state.ns_per_tick, (uint64_t)(luaL_checknumber(L, 1) * 4294967296.0));
    return 0;
}

/* clocks() -> monotonic, wall, thread CPU; in seconds */
static int probe_clocks(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)rtm_clock_monotonic_ns() / 1e9);
    lua_pushnumber(L, (lua_Number)rtm_clock_wall_ns() / 1e9);
    lua_pushnumber(L, (lua_Number)rtm_clock_thread_cpu_ns() / 1e9);
    return 3;
}

static int probe_sleep_ms(lua_State *L)
{
    lua_Integer ms = luaL_checkinteger(L, 1);
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
    return 0;
}

/* forbid_counter(): from now on this thread dies of reading the counter */
static int probe_forbid_counter(lua_State *L)
{
    lua_pushboolean(L, prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
    return 1;
}

/* steps() -> of a million readings in a row: the least step in ticks, the largest in ns */
static int probe_steps(lua_State *L)
{
    int64_t least = INT64_MAX;
    uint64_t most = 0, before = rtm_clock_ticks();
    for (int i = 0; i < 1000000; i++) {
        uint64_t after = rtm_clock_ticks();
        uint64_t ns = rtm_clock_to_ns(after - before);
        least = (int64_t)(after - before) < least ? (int64_t)(after - before) : least;
        most = ns > most ? ns : most;
        before = after;
    }
    lua_pushnumber(L, (lua_Number)least);
    lua_pushnumber(L, (lua_Number)most);
    return 2;
}

/* in_child(function): true when the function returned in a forked child */
static int probe_in_child(lua_State *L)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        lua_pushvalue(L, 1);
        _exit(lua_pcall(L, 0, 0, 0) == 0 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    lua_pushboolean(L, status == 0);
    return 1;
}

static const luaL_Reg functions[] = {
    {"init", probe_init},
    {"check", probe_check},
    {"restart", probe_restart},
    {"disturb", probe_disturb},
    {"pretend_clocksource", probe_pretend_clocksource},
    {"source", probe_source},
    {"mark", probe_mark},
    {"elapsed", probe_elapsed},
    {"backwards", probe_backwards},
    {"to_ns", probe_to_ns},
    {"set_rate", probe_set_rate},
    {"clocks", probe_clocks},
    {"sleep_ms", probe_sleep_ms},
    {"forbid_counter", probe_forbid_counter},
    {"steps", probe_steps},
    {"in_child", probe_in_child},
    {NULL, NULL},
};

int luaopen_clock_probe(lua_State *L)
{
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
