#include "core/seen.h"

#include "core/context.h"
#include "os/clock.h"

/* Strictly rising: each call of the allocator that succeeds moves it, save one that changes no
   size. */
static uint64_t moved_bytes(const struct rtm_context *cx)
{
    return rtm_heap_count_allocs_bytes(&cx->heap) + rtm_heap_count_frees_bytes(&cx->heap);
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* The VM may have been published after the reader looked at the clock. */
static uint64_t passed(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

void rtm_seen_begin(struct rtm_context *cx, uint64_t now_ns)
{
    cx->seen = (struct rtm_seen_memory){moved_bytes(cx), now_ns, now_ns, now_ns};
}

static void look_at_allocations(struct rtm_context *cx, uint64_t now_ns, struct rtm_seen *seen)
{
    struct rtm_seen_memory *memory = &cx->seen;
    seen->knows_alloc = rtm_context_observes(cx, RTM_OBSERVES_ALLOCATOR);
    if (!seen->knows_alloc)
        return;
    uint64_t bytes = moved_bytes(cx);
    if (bytes != memory->bytes) {
        memory->bytes = bytes;
        memory->after_ns = memory->looked_ns;
        memory->until_ns = now_ns;
    }
    memory->looked_ns = now_ns;
    seen->alloc_least_s = seconds(passed(memory->until_ns, now_ns));
    seen->alloc_most_s = seconds(passed(memory->after_ns, now_ns));
}

/* False where the clock that told the moment was given up since. The other thread may have told it
   after we looked: that is now. */
static bool find_ago(uint64_t then_ticks, double *ago_s)
{
    int64_t ago_ticks = (int64_t)(rtm_clock_ticks() - then_ticks);
    if (ago_ticks >> 62 == 0)
        *ago_s = seconds(rtm_clock_to_ns((uint64_t)ago_ticks));
    else
        *ago_s = 0;
    return ago_ticks >> 62 == 0 || ago_ticks >> 62 == -1;
}

void rtm_seen_look(struct rtm_context *cx, uint64_t now_ns, struct rtm_seen *seen)
{
    *seen = (struct rtm_seen){0};
    look_at_allocations(cx, now_ns, seen);
    if (rtm_context_observes(cx, RTM_OBSERVES_SCHED) && rtm_atomic_get(&cx->sched.switches))
        seen->knows_switch =
            find_ago(rtm_atomic_get(&cx->sched.switched_ticks), &seen->switch_ago_s);
    uint64_t ended_ticks = rtm_atomic_get(&cx->gc.last_end_ticks);
    if (rtm_context_observes(cx, RTM_OBSERVES_CYCLES) && ended_ticks)
        seen->knows_cycle = find_ago(ended_ticks, &seen->cycle_ago_s);
}
