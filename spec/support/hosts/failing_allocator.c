/* failing_allocator SCRIPT CHECK once|forever FIRST STEP: for n = FIRST, FIRST + STEP, ... a fresh
   VM with an allocator of its own whose n-th request (once: that one; forever: all from there)
   fails while SCRIPT runs. Lua must tell it as "not enough memory" or the script as `nil, message`;
   afterwards CHECK must run in the same VM, and lua_close must give all back. Ends when SCRIPT got
   through without meeting the failure. Prints the number of VMs, and of those that failed. */
#include <stdbool.h>

#include "hosts/host.h"

/* LuaJIT's parser, refused, frees blocks by a size that it did not ask for. */
#ifdef RTM_COMPAT_LUAJIT
#define EXACT_SIZES false
#else
#define EXACT_SIZES true
#endif

struct account {
    long live_bytes;
    long blocks;
    long requests; /* for more memory, since the script began */
    long fail_at;  /* 0: never */
    long failures;
    bool for_ever;
};

static bool is_refused(struct account *account)
{
    account->requests++;
    if (account->fail_at == 0 || account->requests < account->fail_at)
        return false;
    return account->for_ever || account->requests == account->fail_at;
}

static void *counted_alloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
    struct account *account = ud;
    size_t old = ptr ? osize : 0;
    if (nsize == 0) {
        account->live_bytes -= (long)old;
        account->blocks -= ptr != NULL;
        free(ptr);
        return NULL;
    }
    /* Lua relies on shrinking, which a real allocator does not refuse. */
    if (nsize > old && is_refused(account)) {
        account->failures++;
        return NULL;
    }
    void *block = realloc(ptr, nsize);
    if (!block)
        host_fail("the machine is out of memory");
    account->live_bytes += (long)nsize - (long)old;
    account->blocks += ptr == NULL;
    return block;
}

/* host_memory(): live bytes, live blocks, failures so far. */
static int push_account(lua_State *L)
{
    void *ud = NULL;
    lua_getallocf(L, &ud);
    const struct account *account = ud;
    lua_pushnumber(L, (lua_Number)account->live_bytes);
    lua_pushnumber(L, (lua_Number)account->blocks);
    lua_pushnumber(L, (lua_Number)account->failures);
    return 3;
}

static void run_script(lua_State *L, const char *path, struct account *account, long fail_at)
{
    if (luaL_loadfile(L, path) != 0)
        host_fail("%s", host_message(L));
    account->requests = 0;
    account->fail_at = fail_at;
    int status = lua_pcall(L, 0, 0, 0);
    account->fail_at = 0;
    if (status != 0 && !strstr(host_message(L), "not enough memory"))
        host_fail("request %ld: status %d: %s", fail_at, status, host_message(L));
    lua_settop(L, 0);
}

static void run_check(lua_State *L, const char *path, long fail_at)
{
    if (luaL_loadfile(L, path) != 0 || lua_pcall(L, 0, 0, 0) != 0)
        host_fail("after request %ld failed: %s", fail_at, host_message(L));
}

/* True if the script met the failure. */
static bool try_one(char **argv, long fail_at)
{
    struct account account = {.for_ever = strcmp(argv[3], "forever") == 0};
    lua_State *L = lua_newstate(counted_alloc, &account);
    if (!L)
        host_fail("no state with an allocator of the host");
    luaL_openlibs(L);
    lua_register(L, "host_memory", push_account);
    run_script(L, argv[1], &account, fail_at);
    bool met = account.failures > 0;
    run_check(L, argv[2], fail_at);
    lua_close(L);
    if (account.blocks != 0 || (account.live_bytes != 0 && EXACT_SIZES))
        host_fail("request %ld: %ld bytes in %ld blocks left after lua_close", fail_at,
                  account.live_bytes, account.blocks);
    return met;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        host_fail("usage: failing_allocator SCRIPT CHECK once|forever FIRST STEP");
    long step = strtol(argv[5], NULL, 10), vms = 0, failed = 0;
    bool met = true;
    for (long n = strtol(argv[4], NULL, 10); met; n += step) {
        met = try_one(argv, n);
        vms++;
        failed += met;
    }
    printf("vms %ld failed %ld\n", vms, failed);
    return 0;
}
