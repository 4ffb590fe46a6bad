/* fork_close CHILDREN: forks in the middle of a VM's life; each child works, reads metrics and
   closes the VM; the parent works on between and reads afterwards. */
#include <sys/types.h>
#include <sys/wait.h>

#include "hosts/host.h"

static const char work[] =
    "local t = {} for i = 1, 500 do t[i] = { i, 'n' .. i } end\n"
    "local f = coroutine.wrap(function() for i = 1, 9 do coroutine.yield(i) end end)\n"
    "for i = 1, 5 do f() end\n"
    "collectgarbage()";

static const char check[] =
    "local all = {}\n"
    "for i, d in ipairs(rt.all()) do all[i] = { name = d.name } end\n"
    "for _, sample in ipairs(rt.read(all)) do assert(sample.kind, sample.name) end";

static void run_child(lua_State *L, int number)
{
    host_run(L, work);
    host_run(L, check);
    if (number % 3 == 1)
        host_run(L, "rt.stop() rt.start{}");
    if (number % 3 != 2)
        lua_close(L);
    exit(0);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        host_fail("usage: fork_close CHILDREN");
    int children = (int)strtol(argv[1], NULL, 10);
    lua_State *L = host_open();
    host_run(L, "rt = require 'rtmetrics'");
    for (int i = 0; i < children; i++) {
        host_run(L, work);
        pid_t child = fork();
        if (child < 0)
            host_fail("cannot fork");
        if (child == 0)
            run_child(L, i);
        int status = 0;
        if (waitpid(child, &status, 0) != child || status != 0)
            host_fail("child %d ended with status %d", i, status);
        host_run(L, check);
    }
    lua_close(L);
    return 0;
}
