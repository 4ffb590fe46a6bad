#include "vm/stock_alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "os/elf.h"
#include "os/fork.h"
#include "vm/compat.h"

/* A size that nobody else asks for while it is asked. */
enum { PROBE_BYTES = 32749 };

/* The last verdict, for as many functions as a process has Luas. */
static struct {
    rtm_alloc_function function;
    bool is_stock;
} verdict;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct {
    pthread_t thread;
    _Atomic(void *) block;
    atomic_bool saw_realloc, saw_free;
} trial;

static void *watched_realloc(void *ptr, size_t size)
{
    if (!ptr && size == PROBE_BYTES && pthread_equal(trial.thread, pthread_self()))
        atomic_store(&trial.saw_realloc, true);
    return realloc(ptr, size);
}

static void watched_free(void *ptr)
{
    if (ptr && ptr == atomic_load(&trial.block))
        atomic_store(&trial.saw_free, true);
    free(ptr);
}

static struct rtm_elf_patch realloc_patch = {.symbol = "realloc"};
static struct rtm_elf_patch free_patch = {.symbol = "free"};

static void call(rtm_alloc_function function)
{
    trial.thread = pthread_self();
    atomic_store(&trial.saw_realloc, false);
    atomic_store(&trial.saw_free, false);
    void *block = function(NULL, NULL, 0, PROBE_BYTES);
    atomic_store(&trial.block, block);
    if (block)
        function(NULL, block, PROBE_BYTES, 0);
    atomic_store(&trial.block, NULL);
}

static bool start(struct rtm_elf_patch *patch, void *target, void *replacement,
                  rtm_alloc_function within)
{
    struct rtm_error ignored;
    patch->target = target;
    patch->replacement = replacement;
    patch->within = (void *)(uintptr_t)within;
    return rtm_elf_patch_start(patch, &ignored);
}

/* Has the function called with its object's slots for realloc and free pointing to us. */
static bool calls_our_malloc(rtm_alloc_function function)
{
    bool watches_realloc = start(&realloc_patch, (void *)(uintptr_t)realloc,
                                 (void *)(uintptr_t)watched_realloc, function);
    bool watches_free =
        start(&free_patch, (void *)(uintptr_t)free, (void *)(uintptr_t)watched_free, function);
    if (watches_realloc && watches_free)
        call(function);
    if (watches_free)
        rtm_elf_patch_stop(&free_patch);
    if (watches_realloc)
        rtm_elf_patch_stop(&realloc_patch);
    return watches_realloc && watches_free && atomic_load(&trial.saw_realloc) &&
           atomic_load(&trial.saw_free);
}

static bool is_bound(rtm_alloc_function function, const char *symbol, void *ours)
{
    return rtm_elf_same_binding((void *)(uintptr_t)function, symbol, ours);
}

static bool is_proven(rtm_alloc_function function)
{
    return is_bound(function, "realloc", (void *)(uintptr_t)realloc) &&
           is_bound(function, "free", (void *)(uintptr_t)free) && calls_our_malloc(function);
}

static void reset_after_fork(void)
{
    pthread_mutex_init(&mutex, NULL);
}

static bool is_proven_once(rtm_alloc_function function)
{
    if (!rtm_fork_register(RTM_FORK_LOCKS, reset_after_fork, NULL))
        return false;
    pthread_mutex_lock(&mutex);
    if (verdict.function != function) {
        verdict.function = function;
        verdict.is_stock = is_proven(function);
    }
    bool is_stock = verdict.is_stock;
    pthread_mutex_unlock(&mutex);
    return is_stock;
}

bool rtm_stock_alloc_is(rtm_alloc_function function, const void *ud)
{
    void *scratch_ud = NULL;
    lua_State *scratch = luaL_newstate();
    if (!scratch)
        return false;
    bool is_same = lua_getallocf(scratch, &scratch_ud) == function && !ud && !scratch_ud;
    lua_close(scratch);
    return is_same && is_proven_once(function);
}
