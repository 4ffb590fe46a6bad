/* Patched slots from Lua: loads objects, calls through them, patches a symbol with a function that
   counts and passes on, and writes into a slot as another hooker would. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ground/memory.h"
#include "os/clock.h"
#include "os/elf.h"
#include "vm/compat.h"

typedef int (*fixture)(int);

static struct rtm_elf_patch patch;
static unsigned replaced_calls;
static unsigned above_calls;
static fixture below; /* what the second hooker calls */

static int replacement(int x)
{
    replaced_calls++;
    return ((fixture)patch.target)(x);
}

static int above(int x)
{
    above_calls++;
    return below(x);
}

static int push_failure(lua_State *L, const char *text)
{
    lua_pushnil(L);
    lua_pushstring(L, text);
    return 2;
}

/* load(path, "now"|"lazy", "local"|"global") -> handle */
static int probe_load(lua_State *L)
{
    int mode = *luaL_checkstring(L, 2) == 'n' ? RTLD_NOW : RTLD_LAZY;
    mode |= *luaL_checkstring(L, 3) == 'g' ? RTLD_GLOBAL : RTLD_LOCAL;
    void *handle = dlopen(luaL_checkstring(L, 1), mode);
    if (!handle)
        return push_failure(L, dlerror());
    lua_pushlightuserdata(L, handle);
    return 1;
}

static int probe_unload(lua_State *L)
{
    lua_pushboolean(L, dlclose(lua_touserdata(L, 1)) == 0);
    return 1;
}

static int probe_symbol(lua_State *L)
{
    void *handle = lua_isnil(L, 1) ? RTLD_DEFAULT : lua_touserdata(L, 1);
    lua_pushlightuserdata(L, dlsym(handle, luaL_checkstring(L, 2)));
    return 1;
}

/* call(handle, x) -> what the object's elf_call gives */
static int probe_call(lua_State *L)
{
    fixture call = (fixture)dlsym(lua_touserdata(L, 1), "elf_call");
    lua_pushinteger(L, call((int)luaL_checkinteger(L, 2)));
    return 1;
}

/* allocate(handle): lets the object's elf_allocate make and free a block */
static int probe_allocate(lua_State *L)
{
    void *(*allocate)(void *, size_t) = dlsym(lua_touserdata(L, 1), "elf_allocate");
    allocate(allocate(NULL, 64), 0);
    return 0;
}

/* start(symbol, target[, within]) */
static int probe_start(lua_State *L)
{
    struct rtm_error err;
    if (patch.users == 0) {
        patch.symbol = luaL_checkstring(L, 1);
        patch.target = lua_touserdata(L, 2);
        patch.replacement = (void *)replacement;
        patch.within = lua_touserdata(L, 3);
    }
    if (!rtm_elf_patch_start(&patch, &err))
        return push_failure(L, err.text);
    lua_pushboolean(L, 1);
    return 1;
}

static int probe_rescan(lua_State *L)
{
    struct rtm_error err;
    if (!rtm_elf_patch_rescan(&patch, &err))
        return push_failure(L, err.text);
    lua_pushboolean(L, 1);
    return 1;
}

static int probe_stop(lua_State *L)
{
    (void)L;
    rtm_elf_patch_stop(&patch);
    return 0;
}

/* counts() -> slots, missed, calls of the replacement, calls of the second hooker */
static int probe_counts(lua_State *L)
{
    size_t patched, missed;
    rtm_elf_patch_count(&patch, &patched, &missed);
    lua_pushinteger(L, (lua_Integer)patched);
    lua_pushinteger(L, (lua_Integer)missed);
    lua_pushinteger(L, (lua_Integer)replaced_calls);
    lua_pushinteger(L, (lua_Integer)above_calls);
    return 4;
}

/* hook_above(address): as another hooker, who keeps what he finds and calls it */
static int probe_hook_above(lua_State *L)
{
    void **slot = (void **)(uintptr_t)luaL_checknumber(L, 1);
    below = (fixture)*slot;
    *slot = (void *)above;
    return 0;
}

static int probe_unhook_above(lua_State *L)
{
    void **slot = (void **)(uintptr_t)luaL_checknumber(L, 1);
    *slot = (void *)below;
    return 0;
}

/* same_binding(function, symbol, ours) */
static int probe_same_binding(lua_State *L)
{
    lua_pushboolean(L, rtm_elf_same_binding(lua_touserdata(L, 1), luaL_checkstring(L, 2),
                                            lua_touserdata(L, 3)));
    return 1;
}

/* own(symbol) -> where this object's own calls of realloc or free go */
static int probe_own(lua_State *L)
{
    lua_pushlightuserdata(L, *luaL_checkstring(L, 1) == 'r' ? (void *)realloc : (void *)free);
    return 1;
}

static int probe_lua_allocator(lua_State *L)
{
    void *ud;
    lua_pushlightuserdata(L, (void *)lua_getallocf(L, &ud));
    return 1;
}

/* fail_after(successes): our next request for memory after so many fails, and all after it; nil:
 * none */
static int probe_fail_after(lua_State *L)
{
    bool is_off = lua_isnoneornil(L, 1);
    rtm_memory_fail_after(is_off ? 0 : (uint64_t)luaL_checkinteger(L, 1), is_off ? 0 : 1 << 30);
    return 0;
}

/* chroot(directory): what is open or loaded stays, /proc goes */
static int probe_chroot(lua_State *L)
{
    lua_pushboolean(L, chroot(luaL_checkstring(L, 1)) == 0);
    return 1;
}

/* in_child(function): its exit status, 0 when the function returned in a forked child */
static int probe_in_child(lua_State *L)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        lua_pushvalue(L, 1);
        _exit(lua_pcall(L, 0, 0, 0) == 0 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    lua_pushinteger(L, status);
    return 1;
}

/* seconds(function, times): how long a run of the function takes, the quickest of `times` */
static int probe_seconds(lua_State *L)
{
    uint64_t best = UINT64_MAX;
    for (int i = (int)luaL_checkinteger(L, 2); i > 0; i--) {
        uint64_t before = rtm_clock_monotonic_ns();
        lua_pushvalue(L, 1);
        lua_call(L, 0, 0);
        uint64_t took = rtm_clock_monotonic_ns() - before;
        best = took < best ? took : best;
    }
    lua_pushnumber(L, (lua_Number)best / 1e9);
    return 1;
}

static const luaL_Reg functions[] = {
    {"load", probe_load},
    {"unload", probe_unload},
    {"symbol", probe_symbol},
    {"call", probe_call},
    {"allocate", probe_allocate},
    {"start", probe_start},
    {"rescan", probe_rescan},
    {"stop", probe_stop},
    {"counts", probe_counts},
    {"hook_above", probe_hook_above},
    {"unhook_above", probe_unhook_above},
    {"same_binding", probe_same_binding},
    {"own", probe_own},
    {"lua_allocator", probe_lua_allocator},
    {"fail_after", probe_fail_after},
    {"chroot", probe_chroot},
    {"in_child", probe_in_child},
    {"seconds", probe_seconds},
    {NULL, NULL},
};

int luaopen_elf_probe(lua_State *L)
{
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
