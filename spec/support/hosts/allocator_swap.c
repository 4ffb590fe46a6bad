/* allocator_swap: a host that reads its allocator's `ud` back, and puts allocators of its own on
   top of, and in the place of, what it finds. */
#include <stdbool.h>

#include "hosts/host.h"

struct own {
    long calls;
    lua_Alloc below;
    void *below_ud;
    bool inside;
};

static void *bottom_alloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
    struct own *own = ud;
    (void)osize;
    own->calls++;
    if (nsize == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, nsize);
}

static void *top_alloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
    struct own *own = ud;
    if (own->inside)
        host_fail("the allocator on top was called from below");
    own->calls++;
    own->inside = true;
    void *block = own->below(own->below_ud, ptr, osize, nsize);
    own->inside = false;
    return block;
}

static void expect_ud(lua_State *L, const void *expected, const char *when)
{
    void *ud = NULL;
    lua_getallocf(L, &ud);
    if (ud != expected)
        host_fail("%s: the allocator's ud is not the host's", when);
}

static const char work[] = "local t = {} for i = 1, 2000 do t[i] = { i, 'n' .. i } end\n"
                           "collectgarbage()\n"
                           "assert(rt.read({ '/gc/heap/allocs:bytes' })[1].kind ~= nil)";

static const char count[] = "return rt.read({ '/gc/heap/allocs:blocks' })[1].value or -1";

static lua_State *open_with(struct own *own)
{
    lua_State *L = lua_newstate(bottom_alloc, own);
    if (!L)
        host_fail("no state with an allocator of the host");
    luaL_openlibs(L);
    return L;
}

static void put_on_top(lua_State *L, struct own *top)
{
    top->below = lua_getallocf(L, &top->below_ud);
    lua_setallocf(L, top_alloc, top);
}

/* Ours below, the host's on top: counted, stopped and started again, closed. */
static void test_on_top(void)
{
    struct own bottom = {0}, top = {0};
    lua_State *L = open_with(&bottom);
    host_run(L, "rt = require 'rtmetrics'");
    expect_ud(L, &bottom, "after require");
    host_run(L, work);
    put_on_top(L, &top);
    double before = host_number(L, count);
    host_run(L, work);
    if (host_number(L, count) - before < 2000)
        host_fail("allocations below another allocator were not counted");
    host_run(L, "stopped, why = rt.stop()");
    host_run(L, work);
    expect_ud(L, &top, "after stop below another allocator");
    host_run(L, "rt.start{}");
    host_run(L, work);
    host_run(L, "rt.stop()");
    host_run(L, work);
    lua_close(L);
    if (top.calls < 4000 || bottom.calls < top.calls)
        host_fail("the host's allocators were left out: %ld on top, %ld below", top.calls,
                  bottom.calls);
}

/* The host puts its first allocator back, past ours. */
static void test_replaced(void)
{
    struct own bottom = {0};
    lua_State *L = open_with(&bottom);
    host_run(L, "rt = require 'rtmetrics'");
    host_run(L, work);
    lua_setallocf(L, bottom_alloc, &bottom);
    host_run(L, work);
    host_run(L, "rt.stop()");
    host_run(L, work);
    expect_ud(L, &bottom, "after stop of a replaced allocator");
    void *ud = NULL;
    if (lua_getallocf(L, &ud) != bottom_alloc)
        host_fail("stop changed an allocator that was not ours");
    lua_close(L);
}

/* Nobody interferes: stop gives the very function back. */
static void test_given_back(void)
{
    struct own bottom = {0};
    lua_State *L = open_with(&bottom);
    host_run(L, "rt = require 'rtmetrics'");
    host_run(L, work);
    host_run(L, "rt.stop()");
    void *ud = NULL;
    if (lua_getallocf(L, &ud) != bottom_alloc || ud != &bottom)
        host_fail("stop did not give the host's allocator back");
    lua_close(L);
}

/* The host's own on top goes away in the right order, before stop. */
static void test_taken_off(void)
{
    struct own bottom = {0}, top = {0};
    lua_State *L = open_with(&bottom);
    host_run(L, "rt = require 'rtmetrics'");
    put_on_top(L, &top);
    host_run(L, work);
    lua_setallocf(L, top.below, top.below_ud);
    host_run(L, "rt.stop()");
    void *ud = NULL;
    if (lua_getallocf(L, &ud) != bottom_alloc || ud != &bottom)
        host_fail("stop did not give the host's allocator back after another one was gone");
    lua_close(L);
}

int main(void)
{
    test_given_back();
    test_on_top();
    test_replaced();
    test_taken_off();
    return 0;
}
