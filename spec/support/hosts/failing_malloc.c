/* flags: -rdynamic */
/* failing_malloc SCRIPT CHECK once|forever STEP [MODULE]: as failing_allocator, but Lua has all the
   memory it wants, and rtmetrics itself is refused: the n-th request that comes from its shared
   object (or from that whose path has MODULE in it), for n = 1, 1 + STEP, ... SCRIPT must get
   through or fail with "not enough memory"; CHECK must run afterwards. The first VM, which maps the
   module, is spared. */
#define _GNU_SOURCE
#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#include "hosts/host.h"

/* glibc's own entries under the names that this program takes. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

static const char *module = "rtmetrics/core.so";
static uintptr_t module_start, module_end;
static long requests, fail_at, failures;
static bool for_ever;

static bool is_refused(const void *caller)
{
    uintptr_t address = (uintptr_t)caller;
    if (fail_at == 0 || address < module_start || address >= module_end)
        return false;
    requests++;
    bool refused = for_ever ? requests >= fail_at : requests == fail_at;
    failures += refused;
    return refused;
}

void *malloc(size_t size)
{
    return is_refused(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return is_refused(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return is_refused(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

/* Another function than Lua's own one, so that Lua's requests are not made by the module. */
static void *host_alloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
    (void)ud;
    (void)osize;
    if (nsize == 0) {
        free(ptr);
        return NULL;
    }
    return __libc_realloc(ptr, nsize);
}

static int find_module(struct dl_phdr_info *object, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    if (!strstr(object->dlpi_name, module))
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        uintptr_t start = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;
        if (!module_start)
            module_start = start;
        module_end = start + object->dlpi_phdr[i].p_memsz;
    }
    return 1;
}

static void run_file(lua_State *L, const char *path, bool may_fail)
{
    if (luaL_loadfile(L, path) != 0)
        host_fail("%s", host_message(L));
    if (lua_pcall(L, 0, 0, 0) != 0 && !(may_fail && strstr(host_message(L), "not enough memory")))
        host_fail("request %ld: %s", fail_at, host_message(L));
    lua_settop(L, 0);
}

/* True if the script met the failure. */
static bool try_one(char **argv, long n)
{
    lua_State *L = lua_newstate(host_alloc, NULL);
    if (!L)
        host_fail("no memory for a state");
    luaL_openlibs(L);
    requests = 0;
    failures = 0;
    fail_at = n;
    run_file(L, argv[1], true);
    fail_at = 0;
    bool met = failures > 0;
    run_file(L, argv[2], false);
    lua_close(L);
    return met;
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6)
        host_fail("usage: failing_malloc SCRIPT CHECK once|forever STEP [MODULE]");
    if (argc == 6)
        module = argv[5];
    for_ever = strcmp(argv[3], "forever") == 0;
    try_one(argv, 0);
    if (!dl_iterate_phdr(find_module, NULL))
        host_fail("the script does not load %s", module);
    long step = strtol(argv[4], NULL, 10), vms = 0;
    for (long n = 1; try_one(argv, n); n += step)
        vms++;
    printf("vms %ld\n", vms);
    return 0;
}
