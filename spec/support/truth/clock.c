/* A clock around Lua 5.4's collector: the figures that rtmetrics must find from outside. Linked
   into an interpreter built from Debian's Lua sources, whose luaC_step, luaC_fullgc,
   luaC_changemode, lua_gc and allocation routines were renamed truth_real_* by the compiler's
   command line. Only the first state of the process is watched; it has one thread. */
#include "lprefix.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "lua.h"

#include "lauxlib.h"
#include "lgc.h"
#include "lmem.h"
#include "lstate.h"
#include "lualib.h"

#include "points.h"

/* A block above this size is filled by the VM between its allocation and the collector. */
#define BIG_BLOCK 16384

enum cause { AUTOMATIC, FORCED, EMERGENCY, CAUSES };

static struct {
    uint64_t pauses, big_pauses;
    uint64_t ns, big_ns;
    uint64_t emergencies, mode_changes, steps_forced;
    uint64_t cycles[CAUSES]; /* incremental cycles that ended, and full collections */
    uint64_t minor[CAUSES];
    uint64_t major[CAUSES];
} figures;

static global_State *watched;
static enum cause cause;
static unsigned depth; /* of collections inside finalizers of collections */
static size_t opening_size;
static uint64_t started_ns;

void truth_real_luaC_step(lua_State *L);
void truth_real_luaC_fullgc(lua_State *L, int emergency);
void truth_real_luaC_changemode(lua_State *L, int mode);
int truth_real_lua_gc(lua_State *L, int what, ...);
void *truth_real_luaM_malloc_(lua_State *L, size_t size, int tag);
void *truth_real_luaM_realloc_(lua_State *L, void *block, size_t osize, size_t nsize);
void *truth_real_luaM_saferealloc_(lua_State *L, void *block, size_t osize, size_t nsize);
void *truth_real_luaM_growaux_(lua_State *L, void *block, int nelems, int *size, int size_elem,
                               int limit, const char *what);

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int is_watched(lua_State *L)
{
    if (watched == NULL)
        watched = G(L);
    return watched == G(L);
}

static void open_pause(void)
{
    if (depth++ == 0)
        started_ns = now_ns();
}

static void close_pause(void)
{
    if (--depth > 0)
        return;
    uint64_t ns = now_ns() - started_ns;
    figures.pauses++;
    figures.ns += ns;
    if (opening_size > BIG_BLOCK) {
        figures.big_pauses++;
        figures.big_ns += ns;
    }
    opening_size = 0;
}

void truth_enter(enum truth_point point)
{
    if (depth == 0)
        return;
    if (point == TRUTH_YOUNG)
        figures.minor[cause]++;
    else if (point == TRUTH_FULLGEN || point == TRUTH_STEPGENFULL)
        figures.major[cause]++;
}

void luaC_step(lua_State *L)
{
    if (!is_watched(L) || !gcrunning(G(L))) {
        truth_real_luaC_step(L);
        return;
    }
    int generational = isdecGCmodegen(G(L));
    figures.steps_forced += cause == FORCED;
    open_pause();
    truth_real_luaC_step(L);
    if (!generational && G(L)->gcstate == GCSpause)
        figures.cycles[cause]++;
    close_pause();
}

static void fullgc(lua_State *L, int emergency)
{
    figures.emergencies += emergency != 0;
    if (!isdecGCmodegen(G(L)))
        figures.cycles[cause]++;
    else if (G(L)->gckind == KGC_INC) /* between bad collections; else fullgen tells it */
        figures.major[cause]++;
    open_pause();
    truth_real_luaC_fullgc(L, emergency);
    close_pause();
}

void luaC_fullgc(lua_State *L, int emergency)
{
    if (!is_watched(L)) {
        truth_real_luaC_fullgc(L, emergency);
        return;
    }
    enum cause outer = cause;
    cause = emergency ? EMERGENCY : FORCED;
    fullgc(L, emergency);
    cause = outer;
}

void luaC_changemode(lua_State *L, int mode)
{
    if (!is_watched(L) || mode == G(L)->gckind || mode != KGC_GEN) {
        truth_real_luaC_changemode(L, mode);
        return;
    }
    figures.mode_changes++;
    open_pause();
    truth_real_luaC_changemode(L, mode);
    close_pause();
}

static int forward_gc(lua_State *L, int what, va_list arguments)
{
    int first, second, third;
    switch (what) {
    case LUA_GCSTEP:
    case LUA_GCSETPAUSE:
    case LUA_GCSETSTEPMUL:
        first = va_arg(arguments, int);
        return truth_real_lua_gc(L, what, first);
    case LUA_GCGEN:
        first = va_arg(arguments, int);
        second = va_arg(arguments, int);
        return truth_real_lua_gc(L, what, first, second);
    case LUA_GCINC:
        first = va_arg(arguments, int);
        second = va_arg(arguments, int);
        third = va_arg(arguments, int);
        return truth_real_lua_gc(L, what, first, second, third);
    default:
        return truth_real_lua_gc(L, what);
    }
}

int lua_gc(lua_State *L, int what, ...)
{
    va_list arguments;
    va_start(arguments, what);
    enum cause outer = cause;
    if (is_watched(L))
        cause = FORCED;
    int result = forward_gc(L, what, arguments);
    cause = outer;
    va_end(arguments);
    return result;
}

/* The last block that left a debt before the collector ran is the one that called it. */
static void note_block(lua_State *L, size_t size)
{
    if (G(L) == watched && G(L)->GCdebt > 0 && size > 0)
        opening_size = size;
}

void *luaM_malloc_(lua_State *L, size_t size, int tag)
{
    void *block = truth_real_luaM_malloc_(L, size, tag);
    note_block(L, size);
    return block;
}

void *luaM_realloc_(lua_State *L, void *block, size_t osize, size_t nsize)
{
    void *result = truth_real_luaM_realloc_(L, block, osize, nsize);
    note_block(L, nsize);
    return result;
}

void *luaM_saferealloc_(lua_State *L, void *block, size_t osize, size_t nsize)
{
    void *result = truth_real_luaM_saferealloc_(L, block, osize, nsize);
    note_block(L, nsize);
    return result;
}

void *luaM_growaux_(lua_State *L, void *block, int nelems, int *size, int size_elem, int limit,
                    const char *what)
{
    int before = *size;
    void *result = truth_real_luaM_growaux_(L, block, nelems, size, size_elem, limit, what);
    if (*size != before)
        note_block(L, (size_t)*size * (size_t)size_elem);
    return result;
}

/* truth(): the figures as plain values in the order of spec/support/truth.lua, so that asking for
   them allocates nothing. */
static int push_figures(lua_State *L)
{
    const uint64_t counts[] = {
        figures.pauses,           figures.big_pauses,        figures.emergencies,
        figures.mode_changes,     figures.steps_forced,      figures.cycles[AUTOMATIC],
        figures.cycles[FORCED],   figures.cycles[EMERGENCY], figures.minor[AUTOMATIC],
        figures.minor[FORCED],    figures.major[AUTOMATIC],  figures.major[FORCED],
        figures.major[EMERGENCY],
    };
    const int length = (int)(sizeof counts / sizeof counts[0]);
    luaL_checkstack(L, length + 2, NULL);
    lua_pushnumber(L, (lua_Number)figures.ns / 1e9);
    lua_pushnumber(L, (lua_Number)figures.big_ns / 1e9);
    for (int i = 0; i < length; i++)
        lua_pushinteger(L, (lua_Integer)counts[i]);
    return length + 2;
}

void truth_openlibs(lua_State *L)
{
    luaL_openlibs(L);
    lua_register(L, "truth", push_figures);
}
