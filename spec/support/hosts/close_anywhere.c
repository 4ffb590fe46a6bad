/* close_anywhere VMS SEED SCRIPT: closes VMS states, each after a random number of VM instructions
   of SCRIPT: a count hook raises an error through whatever runs then, and lua_close follows. */
#include "hosts/host.h"

static void stop_here(lua_State *L, lua_Debug *event)
{
    (void)event;
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "the host has had enough");
}

int main(int argc, char **argv)
{
    if (argc != 4)
        host_fail("usage: close_anywhere VMS SEED SCRIPT");
    long vms = strtol(argv[1], NULL, 10), stopped = 0;
    srand48(strtol(argv[2], NULL, 10));
    const char *script = host_read(argv[3]);
    for (long i = 0; i < vms; i++) {
        lua_State *L = host_open();
        if (luaL_loadstring(L, script) != 0)
            host_fail("%s", host_message(L));
        lua_sethook(L, stop_here, LUA_MASKCOUNT, 1 + (int)(drand48() * drand48() * 20000));
        if (lua_pcall(L, 0, 0, 0) != 0) {
            if (!strstr(host_message(L), "has had enough"))
                host_fail("VM %ld: %s", i, host_message(L));
            stopped++;
        }
        lua_close(L);
    }
    printf("vms %ld stopped %ld\n", vms, stopped);
    return 0;
}
