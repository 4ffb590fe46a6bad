/* All that rtmetrics keeps of one Lua VM: every observer, by value, in one block of the VM's own
   memory that lives as long as the VM. Wiring only: what happens on an event stands in events.c,
   birth and death in lifecycle.c. */
#ifndef RTM_CORE_CONTEXT_H
#define RTM_CORE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "data/series.h"
#include "ground/buffer.h"
#include "observers/gc.h"
#include "observers/heap_count.h"
#include "observers/process.h"
#include "observers/sched.h"
#include "vm/events.h"

struct rtm_alloc;

struct rtm_context {
    struct rtm_vm_owner owner; /* first: vm/ knows the context by it */
    struct lua_State
        *thread; /* a thread that lives as long as the VM: the main one where it is known */
    struct rtm_alloc *alloc; /* our place in front of the VM's allocator, or NULL */
    bool watches_collect;    /* collectgarbage is ours */
    bool watches_coroutines; /* coroutine.* is ours */
    bool watches_c_resumes;  /* lua_resume's slots are patched */
    bool reads_process;      /* figures of the process are wanted */
    bool runs_callbacks;     /* inside one: they do not nest */
    unsigned callbacks;
    size_t thread_tag;       /* the allocator's tag of a new thread; SIZE_MAX where there is none */
    int64_t heap_base_bytes; /* the heap when counting began, less what was counted before */

    struct rtm_heap_count heap;
    struct rtm_gc gc;
    struct rtm_sched sched;
    struct rtm_process process;
    struct rtm_series_set series;
    struct rtm_buffer text; /* the last rendering; kept for the next */

    bool is_rendering;         /* `text` is being handed to Lua */
    uint64_t clock_checked_ns; /* when the tick clock was compared last, by the coarse one */
    rtm_counter callback_errors;
    rtm_counter hooks_refused; /* a foreign hook was in the place: a pause ended with the next
                                  allocation instead */
    struct rtm_context *next;  /* of the process's contexts, under their lock */
};

/* The thread that runs now, as far as we know. */
static inline struct lua_State *rtm_context_running(const struct rtm_context *cx)
{
    return cx->sched.enabled ? cx->sched.current->thread : cx->thread;
}

static inline struct rtm_context *rtm_context_of(struct rtm_vm_owner *owner)
{
    return (struct rtm_context *)owner;
}

#endif
