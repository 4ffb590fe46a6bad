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

/* What may be read of a VM from any thread; a figure whose bit is not set is not known. */
enum rtm_context_observes {
    RTM_OBSERVES_ALLOCATOR = 1 << 0, /* calls of the allocator are counted */
    RTM_OBSERVES_HEAP = 1 << 1,      /* and wanted */
    RTM_OBSERVES_GC = 1 << 2,
    RTM_OBSERVES_CYCLES = 1 << 3, /* each cycle is seen */
    RTM_OBSERVES_PROBE = 1 << 4,  /* pauses and kinds of cycles too */
    RTM_OBSERVES_SCHED = 1 << 5,
    RTM_OBSERVES_C_RESUMES = 1 << 6, /* lua_resume's slots are patched */
    RTM_OBSERVES_PROCESS = 1 << 7,
};

enum { RTM_CONTEXT_LABEL_MAX = 24 };

/* What core/seen.h remembers; used in visits only, once the context is published. */
struct rtm_seen_memory {
    uint64_t bytes;              /* allocated and freed, together, at the last look */
    uint64_t looked_ns;          /* when that was */
    uint64_t after_ns, until_ns; /* they changed last after the one and not after the other */
};

struct rtm_context {
    struct rtm_vm_owner owner; /* first: vm/ knows the context by it */
    struct lua_State
        *thread; /* a thread that lives as long as the VM: the main one where it is known */
    struct rtm_alloc *alloc; /* our place in front of the VM's allocator, or NULL */
    bool watches_collect;    /* collectgarbage is ours */
    bool watches_coroutines; /* coroutine.* is ours */
    bool watches_c_resumes;  /* lua_resume's slots are patched */
    bool runs_callbacks;     /* inside one: they do not nest */
    unsigned callbacks;
    size_t thread_tag;       /* the allocator's tag of a new thread; SIZE_MAX where there is none */
    int64_t heap_base_bytes; /* the heap when counting began, less what was counted before; constant
                                while the heap is observed */

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

    /* core/contexts.h */
    unsigned number;                   /* in the process, from 1; constant */
    char label[RTM_CONTEXT_LABEL_MAX]; /* vm="1"; constant */
    struct rtm_context *older;         /* writers: holders of the list's and the visits' lock */
    struct rtm_context *next;          /* in a visit: the VM with the next number */
    _Atomic unsigned observed;         /* RTM_OBSERVES_* or'ed; writer: VM thread; readers: any */
    struct rtm_seen_memory seen;
};

/* What is observed and published, and whether that has all of `bits`. Runs: VM thread; any, in a
   visit. */
static inline unsigned rtm_context_observed(const struct rtm_context *cx)
{
    return atomic_load_explicit(&cx->observed, memory_order_acquire);
}

static inline bool rtm_context_observes(const struct rtm_context *cx, unsigned bits)
{
    return (rtm_context_observed(cx) & bits) == bits;
}

/* Some of it is observed no longer; what was read of it stays valid. Runs: VM thread. */
static inline void rtm_context_lose(struct rtm_context *cx, unsigned bits)
{
    atomic_fetch_and_explicit(&cx->observed, ~bits, memory_order_relaxed);
}

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
