/* two_states: two VMs of one process that observe themselves: each has its own figures, and closing
   one leaves the other alone. */
#include "hosts/host.h"

static const char count[] = "return rt.read({ '/gc/heap/allocs:blocks' })[1].value";
static const char work[] = "local t = {} for i = 1, 3000 do t[i] = { i } end";

static lua_State *open_observed(void)
{
    lua_State *L = host_open();
    host_run(L, "rt = require 'rtmetrics' assert(rt == require 'rtmetrics')");
    return L;
}

static void test_apart(void)
{
    lua_State *first = open_observed(), *second = open_observed();
    double before = host_number(first, count);
    host_run(second, work);
    if (host_number(first, count) - before > 1000)
        host_fail("one VM counts the other's allocations");
    before = host_number(second, count);
    host_run(second, work);
    if (host_number(second, count) - before < 3000)
        host_fail("the second VM's allocations are not counted");
    host_run(first, "rt.stop()");
    host_run(second, work);
    lua_close(first);
    before = host_number(second, count);
    host_run(second, work);
    if (host_number(second, count) - before < 3000)
        host_fail("closing the first VM stopped the second's count");
    lua_close(second);
}

/* Open ones nest: a hundred VMs at once, closed in another order. */
static void test_many(void)
{
    enum { VMS = 100 };
    lua_State *vms[VMS];
    for (int i = 0; i < VMS; i++)
        vms[i] = open_observed();
    for (int i = 0; i < VMS; i++) {
        lua_State *L = vms[(i * 37) % VMS];
        host_run(L, work);
        lua_close(L);
    }
}

int main(void)
{
    test_apart();
    test_many();
    return 0;
}
