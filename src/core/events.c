#include "core/events.h"

#include "core/context.h"
#include "core/safe_point.h"
#include "vm/alloc.h"
#include "vm/callback.h"
#include "vm/hook.h"
#include "vm/resume_c.h"

static void arm_hook(struct rtm_context *cx)
{
    if (rtm_hook_arm(rtm_context_running(cx)))
        return;
    rtm_atomic_add(&cx->hooks_refused, 1);
    rtm_gc_note_unhooked(&cx->gc);
}

static bool has_callback_due(const struct rtm_context *cx)
{
    return cx->gc.cycle_is_due && cx->callbacks && !cx->runs_callbacks;
}

static void run_callbacks(struct rtm_context *cx, struct lua_State *L)
{
    if (!has_callback_due(cx) || !rtm_gc_take_cycle(&cx->gc))
        return;
    cx->runs_callbacks = true;
    rtm_atomic_add(&cx->callback_errors, rtm_callback_run(L));
    cx->runs_callbacks = false;
}

/* --- allocation --- */

/* A number that is another one after each run of the collector; 0 while one may be under way, or
 * where they are not seen. */
static uint64_t gc_runs(const struct rtm_context *cx)
{
    bool is_known = cx->gc.has_probe && cx->gc.bracket == RTM_GC_CLOSED;
    return is_known ? rtm_atomic_get(&cx->gc.pauses) + 1 : 0;
}

static inline void note_new(struct rtm_context *cx, size_t tag, size_t bytes, void *block)
{
    rtm_heap_count_new(&cx->heap, tag, bytes);
    if (RTM_UNLIKELY(tag == cx->thread_tag) && cx->sched.enabled &&
        bytes == cx->sched.thread_bytes && cx->sched.sees_births)
        rtm_sched_birth(&cx->sched, block, gc_runs(cx));
}

/* Before the block is gone: its address may be given out again at once. */
static inline void note_free(struct rtm_context *cx, const void *block, size_t bytes)
{
    rtm_heap_count_free(&cx->heap, bytes);
    if (RTM_UNLIKELY(bytes == cx->sched.thread_bytes) && cx->sched.enabled)
        rtm_sched_free(&cx->sched, block);
}

/* The whole call where the collector is concerned: about one in a thousand. */
static __attribute__((noinline)) void *alloc_watched(void *ud, void *ptr, size_t osize,
                                                     size_t nsize, struct rtm_alloc *alloc)
{
    struct rtm_context *cx = alloc->owner;
    struct rtm_gc_request request = {(uintptr_t)ptr, osize, nsize};
    rtm_gc_before(&cx->gc, &request);
    if (ptr && !nsize)
        note_free(cx, ptr, osize);
    void *block = rtm_alloc_forward(alloc, ud, ptr, osize, nsize);
    if (block && ptr)
        rtm_heap_count_resize(&cx->heap, osize, nsize);
    else if (block)
        note_new(cx, osize, nsize, block);
    else if (nsize)
        rtm_atomic_add(&cx->heap.failures, 1);
    bool wants_hook = rtm_gc_after(&cx->gc, &request, nsize && !block);
    if (wants_hook || has_callback_due(cx))
        arm_hook(cx);
    return block;
}

static __attribute__((noinline)) void note_failure(struct rtm_context *cx,
                                                   const struct rtm_gc_request *request)
{
    rtm_atomic_add(&cx->heap.failures, 1);
    if (cx->gc.has_probe)
        rtm_gc_after(&cx->gc, request, true);
}

/* Each kind of call in a function of its own, and each twice, so that the frequent ones take few
   steps: where the allocator is Lua's own they call malloc and free themselves. */
enum route { STOCK, FOREIGN };

static inline void *forward(enum route route, void *ud, void *ptr, size_t osize, size_t nsize,
                            struct rtm_alloc *alloc)
{
    return route == STOCK ? rtm_alloc_stock(ptr, nsize) : alloc->next(ud, ptr, osize, nsize);
}

static inline void *observe_new(enum route route, void *ud, size_t tag, size_t bytes,
                                struct rtm_alloc *alloc)
{
    struct rtm_context *cx = alloc->owner;
    if (RTM_UNLIKELY(rtm_gc_concerns_growth(&cx->gc, (int64_t)bytes)))
        return alloc_watched(ud, NULL, tag, bytes, alloc);
    void *block = forward(route, ud, NULL, tag, bytes, alloc);
    if (RTM_LIKELY(block != NULL))
        note_new(cx, tag, bytes, block);
    else
        note_failure(cx, &(struct rtm_gc_request){0, tag, bytes});
    return block;
}

static inline void *observe_resize(enum route route, void *ud, void *ptr, size_t osize,
                                   size_t nsize, struct rtm_alloc *alloc)
{
    struct rtm_context *cx = alloc->owner;
    if (RTM_UNLIKELY(rtm_gc_concerns_growth(&cx->gc, (int64_t)nsize - (int64_t)osize)))
        return alloc_watched(ud, ptr, osize, nsize, alloc);
    struct rtm_gc_request request = {(uintptr_t)ptr, osize, nsize};
    void *block = forward(route, ud, ptr, osize, nsize, alloc);
    if (RTM_LIKELY(block != NULL))
        rtm_heap_count_resize(&cx->heap, osize, nsize);
    else
        note_failure(cx, &request);
    return block;
}

static inline void *observe_free(enum route route, void *ud, void *ptr, size_t osize,
                                 struct rtm_alloc *alloc)
{
    struct rtm_context *cx = alloc->owner;
    if (RTM_LIKELY(ptr != NULL)) {
        if (RTM_UNLIKELY(rtm_gc_concerns_free(&cx->gc)))
            return alloc_watched(ud, ptr, osize, 0, alloc);
        note_free(cx, ptr, osize);
    }
    return forward(route, ud, ptr, osize, 0, alloc);
}

static void *new_stock(void *ud, void *ptr, size_t osize, size_t nsize, struct rtm_alloc *alloc)
{
    (void)ptr; /* there is none: that is what makes it a new block; likewise below */
    return observe_new(STOCK, ud, osize, nsize, alloc);
}

static void *new_foreign(void *ud, void *ptr, size_t osize, size_t nsize, struct rtm_alloc *alloc)
{
    (void)ptr;
    return observe_new(FOREIGN, ud, osize, nsize, alloc);
}

static void *resize_stock(void *ud, void *ptr, size_t osize, size_t nsize, struct rtm_alloc *alloc)
{
    return observe_resize(STOCK, ud, ptr, osize, nsize, alloc);
}

static void *resize_foreign(void *ud, void *ptr, size_t osize, size_t nsize,
                            struct rtm_alloc *alloc)
{
    return observe_resize(FOREIGN, ud, ptr, osize, nsize, alloc);
}

static void *free_stock(void *ud, void *ptr, size_t osize, size_t nsize, struct rtm_alloc *alloc)
{
    (void)nsize;
    return observe_free(STOCK, ud, ptr, osize, alloc);
}

static void *free_foreign(void *ud, void *ptr, size_t osize, size_t nsize, struct rtm_alloc *alloc)
{
    (void)nsize;
    return observe_free(FOREIGN, ud, ptr, osize, alloc);
}

const struct rtm_alloc_observers rtm_events_stock_alloc = {new_stock, resize_stock, free_stock};
const struct rtm_alloc_observers rtm_events_foreign_alloc = {new_foreign, resize_foreign,
                                                             free_foreign};

/* --- hook, switches --- */

static void on_hook(struct rtm_vm_owner *owner, struct lua_State *thread)
{
    struct rtm_context *cx = rtm_context_of(owner);
    if (cx->sched.enabled)
        rtm_sched_sync(&cx->sched, thread);
    rtm_gc_on_hook(&cx->gc);
    run_callbacks(cx, thread);
    rtm_safe_point_function run = rtm_safe_point_take();
    if (run)
        run(thread);
}

static bool on_resume(struct rtm_vm_owner *owner, struct lua_State *from, struct lua_State *thread,
                      int nargs)
{
    struct rtm_context *cx = rtm_context_of(owner);
    if (!cx->sched.enabled)
        return false;
    struct rtm_coroutine *co = rtm_sched_prepare(&cx->sched, from, thread, nargs);
    if (co)
        rtm_sched_enter(&cx->sched, co);
    return co != NULL;
}

static void on_suspend(struct rtm_vm_owner *owner, struct lua_State *thread,
                       enum rtm_coroutine_state state)
{
    struct rtm_context *cx = rtm_context_of(owner);
    if (cx->sched.enabled)
        rtm_sched_suspend(&cx->sched, thread, state);
}

static void on_create(struct rtm_vm_owner *owner, struct lua_State *by, struct lua_State *thread)
{
    struct rtm_context *cx = rtm_context_of(owner);
    if (!cx->sched.enabled || cx->sched.sees_births)
        return;
    rtm_sched_sync(&cx->sched, by);
    rtm_sched_add(&cx->sched, thread, gc_runs(cx));
}

static void on_refuse(struct rtm_vm_owner *owner, struct lua_State *thread,
                      enum rtm_coroutine_state state)
{
    struct rtm_context *cx = rtm_context_of(owner);
    if (cx->sched.enabled)
        rtm_sched_refuse(&cx->sched, thread, state);
}

static bool on_close_begin(struct rtm_vm_owner *owner, struct lua_State *by,
                           struct lua_State *thread)
{
    struct rtm_context *cx = rtm_context_of(owner);
    return cx->sched.enabled && rtm_sched_begin_close(&cx->sched, by, thread);
}

static void on_close_end(struct rtm_vm_owner *owner, struct lua_State *thread)
{
    struct rtm_context *cx = rtm_context_of(owner);
    if (cx->sched.enabled)
        rtm_sched_end_close(&cx->sched, thread);
}

/* --- collections, libraries --- */

static bool on_collect_begin(struct rtm_vm_owner *owner, enum rtm_collect_what what, int step_kb)
{
    return rtm_gc_begin_forced(&rtm_context_of(owner)->gc, what, step_kb);
}

static void on_collect_end(struct rtm_vm_owner *owner, enum rtm_collect_what what,
                           struct lua_State *L)
{
    struct rtm_context *cx = rtm_context_of(owner);
    rtm_gc_end_forced(&cx->gc, what);
    run_callbacks(cx, L);
}

static void on_sentinel(struct rtm_vm_owner *owner, bool goes_on, struct lua_State *L)
{
    struct rtm_context *cx = rtm_context_of(owner);
    rtm_gc_on_sentinel(&cx->gc);
    if (!goes_on) /* the cycles to come are not counted, so those that were tell nothing */
        rtm_context_lose(cx, RTM_OBSERVES_CYCLES);
    run_callbacks(cx, L);
}

static void on_load(struct rtm_vm_owner *owner)
{
    if (rtm_context_of(owner)->watches_c_resumes)
        rtm_resume_c_rescan();
}

const struct rtm_vm_events rtm_events = {
    .on_hook = on_hook,
    .on_resume = on_resume,
    .on_suspend = on_suspend,
    .on_refuse = on_refuse,
    .on_create = on_create,
    .on_close_begin = on_close_begin,
    .on_close_end = on_close_end,
    .on_collect_begin = on_collect_begin,
    .on_collect_end = on_collect_end,
    .on_sentinel = on_sentinel,
    .on_load = on_load,
};
