#include "vm/vm.h"

#include <pthread.h>

#include "ground/check.h"
#include "vm/compat.h"

uint64_t rtm_vm_heap_bytes(struct lua_State *L)
{
    return (uint64_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + (uint64_t)lua_gc(L, LUA_GCCOUNTB, 0);
}

enum rtm_coroutine_state rtm_vm_thread_state(struct lua_State *thread)
{
    lua_Debug frame;
    switch (lua_status(thread)) {
    case LUA_YIELD:
        return RTM_COROUTINE_SUSPENDED;
    case LUA_OK:
        if (lua_getstack(thread, 0, &frame))
            return RTM_COROUTINE_NORMAL;
        return lua_gettop(thread) ? RTM_COROUTINE_NEVER_STARTED : RTM_COROUTINE_DEAD;
    default:
        return RTM_COROUTINE_DEAD;
    }
}

bool rtm_vm_is_suspended(struct lua_State *thread)
{
    return lua_status(thread) == LUA_YIELD;
}

bool rtm_vm_is_startable(struct lua_State *thread, int nargs)
{
    lua_Debug frame;
    return lua_status(thread) == LUA_OK && !lua_getstack(thread, 0, &frame) &&
           lua_gettop(thread) > nargs;
}

/* A pass-through allocator that remembers the blocks it gave out lately. */
struct recorder {
    lua_Alloc next;
    void *next_ud;
    struct {
        char *start;
        size_t bytes;
    } blocks[16];
    unsigned count;
};

static void *record(void *ud, void *ptr, size_t osize, size_t nsize)
{
    struct recorder *recorder = ud;
    void *block = recorder->next(recorder->next_ud, ptr, osize, nsize);
    if (!ptr && block) {
        unsigned slot = recorder->count++ % RTM_COUNT_OF(recorder->blocks);
        recorder->blocks[slot].start = block;
        recorder->blocks[slot].bytes = nsize;
    }
    return block;
}

static bool find_block(const struct recorder *recorder, const void *thread,
                       struct rtm_vm_thread_block *found)
{
    for (unsigned i = 0; i < RTM_COUNT_OF(recorder->blocks); i++) {
        const char *start = recorder->blocks[i].start;
        size_t bytes = recorder->blocks[i].bytes;
        if (start && (const char *)thread >= start && (const char *)thread < start + bytes) {
            *found = (struct rtm_vm_thread_block){(size_t)((const char *)thread - start), bytes};
            return true;
        }
    }
    return false;
}

static bool measure_thread_block(struct rtm_vm_thread_block *found)
{
    lua_State *scratch = luaL_newstate();
    if (!scratch)
        return false;
    struct recorder recorder = {.next = NULL};
    recorder.next = lua_getallocf(scratch, &recorder.next_ud);
    lua_setallocf(scratch, record, &recorder);
    lua_State *thread = lua_newthread(scratch);
    bool done = find_block(&recorder, thread, found);
    lua_setallocf(scratch, recorder.next, recorder.next_ud);
    lua_close(scratch);
    return done;
}

static struct rtm_vm_thread_block thread_block;
static bool has_thread_block;
static pthread_once_t thread_block_once = PTHREAD_ONCE_INIT;

static void measure_once(void)
{
    has_thread_block = measure_thread_block(&thread_block);
}

bool rtm_vm_find_thread_block(struct rtm_vm_thread_block *block)
{
    pthread_once(&thread_block_once, measure_once);
    *block = thread_block;
    return has_thread_block;
}
