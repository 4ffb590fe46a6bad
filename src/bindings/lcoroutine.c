#include "bindings/lcoroutine.h"

#include <stdbool.h>

#include "bindings/largs.h"
#include "core/context.h"
#include "core/runtime.h"

static const char *const state_names[] = {
    [RTM_COROUTINE_NEVER_STARTED] = "never started",
    [RTM_COROUTINE_SUSPENDED] = "suspended",
    [RTM_COROUTINE_NORMAL] = "normal",
    [RTM_COROUTINE_RUNNING] = "running",
    [RTM_COROUTINE_DEAD] = "dead",
};

static int not_tracked(lua_State *L)
{
    struct rtm_error err;
    rtm_error_set(&err, "coroutines are not tracked on this VM, or tracking is off");
    return rtm_largs_failure(L, &err);
}

static int count(lua_State *L)
{
    struct rtm_context *cx = rtm_largs_context(L);
    if (!cx->sched.enabled)
        return not_tracked(L);
    rtm_sched_sync(&cx->sched, L);
    struct rtm_sched_census census = rtm_sched_census(&cx->sched);
    lua_createtable(L, 0, 8);
    rtm_largs_set_integer(L, "live", census.live);
    rtm_largs_set_integer(L, "created", census.created);
    rtm_largs_set_integer(L, "dead", census.dead);
    rtm_largs_set_integer(L, "running", census.running);
    rtm_largs_set_integer(L, "normal", census.normal);
    rtm_largs_set_integer(L, "suspended", census.suspended);
    rtm_largs_set_integer(L, "never_started", census.never_started);
    rtm_largs_set_integer(L, "missed_switches", rtm_atomic_get(&cx->sched.missed));
    return 1;
}

/* Making the list allocates, and with that coroutines may be collected and their records go: the
   records are copied first, into memory that Lua owns, in case an error ends the making. */
struct copies {
    size_t count, capacity;
    struct rtm_coroutine records[];
};

static void copy(const struct rtm_coroutine *co, void *to)
{
    struct copies *copies = to;
    if (copies->count < copies->capacity)
        copies->records[copies->count++] = *co;
}

static void set_seconds(lua_State *L, const char *name, uint64_t ticks)
{
    rtm_largs_set_number(L, name, (double)rtm_clock_to_ns(ticks) / 1e9);
}

/* The table of sites may move with the next coroutine that a finalizer creates: copied before
   anything is made. */
static void set_site(lua_State *L, const struct rtm_sched *sched, uint32_t id)
{
    const struct rtm_site *found = rtm_site_get(&sched->sites, id);
    if (!found)
        return;
    struct rtm_site site = *found;
    lua_pushfstring(L, "%s:%d", site.source, site.line);
    lua_setfield(L, -2, "created_at");
}

static void push_record(lua_State *L, const struct rtm_sched *sched, const struct rtm_coroutine *co,
                        uint64_t now)
{
    lua_createtable(L, 0, 8);
    rtm_largs_set_integer(L, "id", co->id);
    rtm_largs_set_string(L, "status", state_names[co->state]);
    rtm_largs_set_integer(L, "switches", co->switches);
    set_seconds(L, "run_time", co->run_ticks);
    if (co->born_ns)
        rtm_largs_set_number(L, "age", (double)(rtm_clock_coarse_ns() - co->born_ns) / 1e9);
    if (co->switched_ticks)
        set_seconds(L, "idle", now - co->switched_ticks);
    set_site(L, sched, co->site);
}

/* Only after a full collection, and while no other can run, is a thread that has a record sure to
   be alive: one that is unreachable but not swept yet must not come back. */
static void set_thread(lua_State *L, const struct rtm_coroutine *co)
{
    lua_State *thread = co->thread;
    if (thread == L) {
        lua_pushthread(L);
    } else {
        if (!lua_checkstack(thread, 1))
            return;
        lua_pushthread(thread);
        lua_xmove(thread, L, 1);
    }
    lua_setfield(L, -2, "thread");
}

static int push_list(lua_State *L)
{
    struct rtm_context *cx = lua_touserdata(L, 1);
    bool with_threads = lua_toboolean(L, 2);
    size_t capacity = cx->sched.by_thread.count;
    struct copies *copies =
        lua_newuserdata(L, sizeof *copies + capacity * sizeof(struct rtm_coroutine));
    copies->count = 0;
    copies->capacity = capacity;
    rtm_sched_visit(&cx->sched, copy, copies);
    lua_createtable(L, (int)copies->count, 0);
    uint64_t now = rtm_clock_ticks();
    for (size_t i = 0; i < copies->count; i++) {
        push_record(L, &cx->sched, &copies->records[i], now);
        if (with_threads)
            set_thread(L, &copies->records[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* One protected call, so that what it may raise (for want of memory; a finalizer's error
   before 5.4) comes after the release. */
static int hold_and_push_list(lua_State *L)
{
    struct rtm_error err;
    if (rtm_runtime_hold_dead(lua_touserdata(L, 1), L, lua_touserdata(L, 3)))
        return push_list(L);
    rtm_error_set(&err, "cannot list threads inside a finalizer");
    return rtm_largs_failure(L, &err);
}

static int list_with_threads(lua_State *L, struct rtm_context *cx)
{
    struct rtm_runtime_hold hold = {.was_stopped = true, .ran_callbacks = cx->runs_callbacks};
    lua_pushcfunction(L, hold_and_push_list);
    lua_pushlightuserdata(L, cx);
    lua_pushboolean(L, true);
    lua_pushlightuserdata(L, &hold);
    int status = lua_pcall(L, 3, 2, 0);
    rtm_runtime_release_dead(cx, L, &hold);
    return status == LUA_OK ? 2 : lua_error(L);
}

static int list(lua_State *L)
{
    struct rtm_context *cx = rtm_largs_context(L);
    bool with_threads = lua_toboolean(L, 1);
    if (!cx->sched.enabled)
        return not_tracked(L);
    rtm_sched_sync(&cx->sched, L);
    if (with_threads)
        return list_with_threads(L, cx);
    lua_pushcfunction(L, push_list);
    lua_pushlightuserdata(L, cx);
    lua_pushboolean(L, false);
    lua_call(L, 2, 1);
    return 1;
}

static int chain(lua_State *L)
{
    struct rtm_context *cx = rtm_largs_context(L);
    if (!cx->sched.enabled)
        return not_tracked(L);
    rtm_sched_sync(&cx->sched, L);
    lua_newtable(L);
    int place = 0;
    for (const struct rtm_coroutine *co = cx->sched.current; co && co->resumer; co = co->resumer) {
        rtm_compat_pushint(L, co->id);
        lua_rawseti(L, -2, ++place);
    }
    return 1;
}

static const luaL_Reg natives[] = {{"coroutines_count", count},
                                   {"coroutines_list", list},
                                   {"coroutines_chain", chain},
                                   {NULL, NULL}};

void rtm_lcoroutine_register(lua_State *L, struct rtm_context *cx)
{
    rtm_largs_register(L, natives, cx);
}
