#include "vm/gccontrol.h"

#include "vm/compat.h"
#include "vm/vm.h"

/* What Lua 5.4's byte for a quarter of a percentage can hold. */
enum { MAX_PARAMETER = 1020, QUARTER = 4 };

/* The VM tells the pause only when it is set. */
static bool read_pause(lua_State *L, int64_t *percent)
{
    int pause = lua_gc(L, LUA_GCSETPAUSE, 200);
    if (pause < 0)
        return false;
    lua_gc(L, LUA_GCSETPAUSE, pause);
    *percent = pause > 100 ? pause - 100 : 0;
    return true;
}

static bool is_stopped(lua_State *L, bool was_stopped)
{
    return rtm_vm_traits()->tells_stopped ? rtm_vm_collector(L) == RTM_VM_COLLECTOR_STOPPED
                                          : was_stopped;
}

bool rtm_gccontrol_read(struct lua_State *L, const struct rtm_gcprobe *probe, bool was_stopped,
                        int64_t *percent)
{
    if (rtm_vm_collector(L) == RTM_VM_COLLECTOR_BUSY)
        return false;
    if (is_stopped(L, was_stopped))
        *percent = RTM_GCCONTROL_OFF;
    else if (!probe)
        return !rtm_vm_traits()->has_generational && read_pause(L, percent);
    else if (probe->is_generational)
        *percent = *probe->major * QUARTER;
    else
        *percent = *probe->pause * QUARTER > 100 ? *probe->pause * QUARTER - 100 : 0;
    return true;
}

void rtm_gccontrol_write(struct lua_State *L, const struct rtm_gcprobe *probe, int percent)
{
#ifdef LUA_GCGEN
    if (probe && probe->is_generational) {
        int major = percent < QUARTER ? QUARTER : percent > MAX_PARAMETER ? MAX_PARAMETER : percent;
        lua_gc(L, LUA_GCGEN, 0, major);
        return;
    }
    int most = MAX_PARAMETER - 100;
#else
    (void)probe;
    int most = INT32_MAX - 100;
#endif
    lua_gc(L, LUA_GCSETPAUSE, 100 + (percent > most ? most : percent));
}

void rtm_gccontrol_stop(struct lua_State *L)
{
    lua_gc(L, LUA_GCSTOP, 0);
}

void rtm_gccontrol_restart(struct lua_State *L)
{
    lua_gc(L, LUA_GCRESTART, 0);
}
