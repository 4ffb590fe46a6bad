#include "core/contexts.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/context.h"
#include "core/runtime.h"
#include "core/seen.h"
#include "ground/lock.h"
#include "os/fork.h"

enum { YIELDS_MAX = 1000 };

/* Held for the whole of a visit; and by who takes something away that visitors read. */
static struct rtm_lock visit_lock;
static atomic_uint leavers; /* that want it: they go before the next visit */
static struct rtm_process process;
static uint64_t clock_checked_ns;

/* Held for a moment. The list is in descending order, so that who comes writes no context that a
   visitor reads. */
static struct rtm_lock list_lock;
static _Atomic(struct rtm_context *) newest; /* atomic for the child of a fork, which may come in
                                                the middle */
static unsigned last_number;
static atomic_bool had_several;

void rtm_contexts_each_in_child(void (*each)(struct rtm_context *cx))
{
    for (struct rtm_context *cx = atomic_load(&newest); cx; cx = cx->older)
        each(cx);
}

static void reset_series(struct rtm_context *cx)
{
    rtm_series_after_fork(&cx->series);
}

/* The process's figures name the process that they are of. */
static void reset_after_fork(void)
{
    rtm_lock_reset(&visit_lock);
    rtm_lock_reset(&list_lock);
    atomic_store(&leavers, 0);
    const struct rtm_context *cx = atomic_load(&newest);
    atomic_store(&had_several, cx && cx->older);
    rtm_contexts_each_in_child(reset_series);
}

bool rtm_contexts_init(struct rtm_error *err)
{
    rtm_lock_init(&visit_lock, RTM_LOCK_RANK_VISIT);
    rtm_lock_init(&list_lock, RTM_LOCK_RANK_CONTEXTS);
    return rtm_fork_register(RTM_FORK_LOCKS, reset_after_fork, err);
}

/* The mutex alone would let readers that come one after the other pass a VM that waits. */
static void let_leavers_pass(void)
{
    for (int i = 0; i < YIELDS_MAX && atomic_load(&leavers); i++)
        sched_yield();
}

static void enter(void)
{
    let_leavers_pass();
    rtm_lock_acquire(&visit_lock);
}

static void enter_as_leaver(void)
{
    atomic_fetch_add(&leavers, 1);
    rtm_lock_acquire(&visit_lock);
    atomic_fetch_sub(&leavers, 1);
}

void rtm_contexts_add(struct rtm_context *cx)
{
    rtm_lock_acquire(&list_lock);
    cx->number = ++last_number;
    if (cx->number > 1)
        atomic_store(&had_several, true);
    snprintf(cx->label, sizeof cx->label, "vm=\"%u\"", cx->number);
    cx->older = atomic_load(&newest);
    atomic_store(&newest, cx);
    rtm_lock_release(&list_lock);
}

static void unlink_context(const struct rtm_context *cx)
{
    if (atomic_load(&newest) == cx) {
        atomic_store(&newest, cx->older);
        return;
    }
    for (struct rtm_context *at = atomic_load(&newest); at; at = at->older) {
        if (at->older == cx)
            at->older = cx->older;
    }
}

void rtm_contexts_remove(struct rtm_context *cx)
{
    enter_as_leaver();
    atomic_store(&cx->observed, 0);
    rtm_lock_acquire(&list_lock);
    unlink_context(cx);
    rtm_lock_release(&list_lock);
    rtm_lock_release(&visit_lock);
}

void rtm_contexts_publish(struct rtm_context *cx, unsigned observed)
{
    rtm_seen_begin(cx, rtm_runtime_monotonic_ns());
    atomic_store_explicit(&cx->observed, observed, memory_order_release);
}

void rtm_contexts_withdraw(struct rtm_context *cx)
{
    if (!atomic_load(&cx->observed))
        return;
    enter_as_leaver();
    atomic_store(&cx->observed, 0);
    rtm_lock_release(&visit_lock);
}

static struct rtm_context *find_newest(void)
{
    rtm_lock_acquire(&list_lock);
    struct rtm_context *cx = atomic_load(&newest);
    rtm_lock_release(&list_lock);
    return cx;
}

void rtm_contexts_begin_visit(struct rtm_visit *visit)
{
    enter();
    *visit = (struct rtm_visit){0};
    for (struct rtm_context *cx = find_newest(); cx; cx = cx->older) {
        cx->next = visit->first;
        visit->first = cx;
        visit->count++;
        visit->observed |= atomic_load(&cx->observed);
    }
    visit->has_labels = atomic_load(&had_several);
    visit->process = visit->observed & RTM_OBSERVES_PROCESS ? &process : NULL;
    rtm_runtime_check_clock(&clock_checked_ns);
}

void rtm_contexts_end_visit(struct rtm_visit *visit)
{
    *visit = (struct rtm_visit){0};
    rtm_lock_release(&visit_lock);
}
