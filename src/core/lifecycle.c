#include "core/lifecycle.h"

#include <pthread.h>
#include <string.h>

#include "core/agent_stats.h"
#include "core/contexts.h"
#include "core/events.h"
#include "os/clock.h"
#include "os/fork.h"
#include "vm/alloc.h"
#include "vm/attach.h"
#include "vm/callback.h"
#include "vm/collect_lua.h"
#include "vm/hook.h"
#include "vm/load_lua.h"
#include "vm/resume_c.h"
#include "vm/resume_lua.h"
#include "vm/sentinel.h"
#include "vm/vm.h"

/* Changes with the layout of the context and the meaning of its events: two copies of this library
 * in one VM must agree. */
static const char layout_version[] = "2";

enum { MAX_TEXT_BYTES = 64 << 20 };

static bool has_contexts;
static pthread_once_t process_once = PTHREAD_ONCE_INIT;

static void init_process(void)
{
    rtm_clock_init();
    rtm_histogram_init();
    has_contexts = rtm_contexts_init(NULL) &&
                   rtm_fork_register(RTM_FORK_CORE, rtm_agent_stats_reset_in_child, NULL);
}

static void detach_allocator(struct rtm_context *cx, struct lua_State *L)
{
    if (!cx->alloc)
        return;
    rtm_alloc_detach(L, cx->alloc);
    cx->alloc = NULL;
}

/* What can be undone without Lua memory, so that it also serves when the VM closes. */
static void stop_observers(struct rtm_context *cx, struct lua_State *L)
{
    rtm_contexts_withdraw(cx);
    rtm_hook_disarm(rtm_context_running(cx));
    if (cx->watches_c_resumes)
        rtm_resume_c_stop();
    cx->watches_c_resumes = false;
    detach_allocator(cx, L);
    rtm_gc_stop(&cx->gc);
    rtm_sched_stop(&cx->sched);
}

static void on_close(struct rtm_vm_owner *owner, struct lua_State *L)
{
    struct rtm_context *cx = rtm_context_of(owner);
    rtm_contexts_remove(cx);
    stop_observers(cx, L);
    rtm_series_fini(&cx->series);
    rtm_process_fini(&cx->process);
    rtm_buffer_fini(&cx->text);
    cx->thread = NULL;
}

bool rtm_lifecycle_is_closed(const struct rtm_context *cx)
{
    return !cx->thread;
}

static struct rtm_context *find_context(struct lua_State *L, struct rtm_error *err)
{
    const char *version;
    struct rtm_vm_owner *owner = rtm_attach_find(L, &version);
    if (owner && strcmp(version, layout_version) != 0) {
        rtm_error_set(err, "another version of rtmetrics observes this VM already");
        return NULL;
    }
    return owner ? rtm_context_of(owner) : NULL;
}

struct rtm_context *rtm_lifecycle_open(struct lua_State *L, struct rtm_error *err)
{
    pthread_once(&process_once, init_process);
    err->text[0] = '\0';
    struct rtm_context *cx = find_context(L, err);
    if (cx || err->text[0])
        return cx;
    if (!has_contexts) {
        rtm_error_set(err, "cannot observe: no fork handler could be installed");
        return NULL;
    }
    struct lua_State *main_thread = rtm_vm_main_thread(L);
    if (!main_thread)
        rtm_attach_pin(L);
    cx = rtm_context_of(rtm_attach_new(L, sizeof *cx, layout_version, on_close));
    cx->owner.events = &rtm_events;
    cx->thread = main_thread ? main_thread : L;
    uint8_t tag = rtm_vm_traits()->kind_tags[RTM_VM_KIND_THREAD];
    cx->thread_tag = tag ? tag : SIZE_MAX;
    rtm_gc_init(&cx->gc);
    rtm_process_init(&cx->process);
    rtm_series_init(&cx->series, RTM_SERIES_LIMITS_DEFAULT);
    rtm_buffer_init(&cx->text, MAX_TEXT_BYTES);
    rtm_contexts_add(cx);
    return cx;
}

static bool attach_allocator(struct rtm_context *cx, struct lua_State *L,
                             const struct rtm_lifecycle_choice *choice, struct rtm_error *err)
{
    if (!choice->heap && !choice->gc && !choice->sched)
        return true;
    cx->alloc = rtm_alloc_attach(L, &rtm_events_stock_alloc, &rtm_events_foreign_alloc, cx, err);
    if (!cx->alloc)
        return false;
    int64_t counted = (int64_t)rtm_heap_count_allocs_bytes(&cx->heap) -
                      (int64_t)rtm_heap_count_frees_bytes(&cx->heap);
    cx->heap_base_bytes = (int64_t)rtm_vm_heap_bytes(L) - counted;
    return true;
}

static void start_sched(struct rtm_context *cx, struct lua_State *L,
                        const struct rtm_lifecycle_choice *choice)
{
    if (!choice->sched || !(rtm_vm_traits()->owns_coroutines || choice->sched_full))
        return;
    struct rtm_error ignored;
    rtm_sched_start(&cx->sched, L, cx->thread);
    cx->watches_coroutines = true;
    rtm_resume_lua_attach(L, &cx->owner);
    /* where symbols cannot be patched, switches by C code are counted as missed */
    cx->watches_c_resumes = rtm_resume_c_start(&ignored);
    if (cx->watches_c_resumes)
        rtm_load_lua_attach(L, &cx->owner);
}

static void start_gc(struct rtm_context *cx, struct lua_State *L,
                     const struct rtm_lifecycle_choice *choice)
{
    if (!choice->gc)
        return;
    cx->watches_collect = true;
    rtm_collect_lua_attach(L, &cx->owner);
    rtm_gc_start(&cx->gc, cx->thread, rtm_vm_main_thread(cx->thread));
    if (cx->gc.counts_sentinels)
        rtm_sentinel_start(L, &cx->owner);
}

static unsigned find_observed(const struct rtm_context *cx,
                              const struct rtm_lifecycle_choice *choice)
{
    return (cx->alloc ? RTM_OBSERVES_ALLOCATOR : 0) |
           (cx->alloc && choice->heap ? RTM_OBSERVES_HEAP : 0) |
           (cx->gc.enabled ? RTM_OBSERVES_GC | RTM_OBSERVES_CYCLES : 0) |
           (cx->gc.has_probe ? RTM_OBSERVES_PROBE : 0) |
           (cx->sched.enabled ? RTM_OBSERVES_SCHED : 0) |
           (cx->watches_c_resumes ? RTM_OBSERVES_C_RESUMES : 0) |
           (choice->process ? RTM_OBSERVES_PROCESS : 0);
}

bool rtm_lifecycle_start(struct rtm_context *cx, struct lua_State *L,
                         const struct rtm_lifecycle_choice *choice, struct rtm_error *err)
{
    if (rtm_lifecycle_is_closed(cx))
        return rtm_error_set(err, "cannot observe: the Lua VM is closing");
    rtm_lifecycle_stop(cx, L);
    if (!attach_allocator(cx, L, choice, err))
        return false;
    start_sched(cx, L, choice);
    start_gc(cx, L, choice);
    rtm_contexts_publish(cx, find_observed(cx, choice));
    return true;
}

void rtm_lifecycle_stop(struct rtm_context *cx, struct lua_State *L)
{
    if (rtm_lifecycle_is_closed(cx))
        return;
    stop_observers(cx, L);
    rtm_sentinel_stop(L);
    if (cx->watches_collect)
        rtm_collect_lua_detach(L);
    if (cx->watches_coroutines) {
        rtm_resume_lua_detach(L);
        rtm_load_lua_detach(L);
    }
    cx->watches_collect = false;
    cx->watches_coroutines = false;
}
