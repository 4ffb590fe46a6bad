#include "observers/gc.h"

#include "os/clock.h"
#include "vm/gccontrol.h"
#include "vm/vm.h"

/* The only writer of the bracket's state. */
static void enter(struct rtm_gc *gc, enum rtm_gc_bracket bracket)
{
    RTM_ASSERT(bracket == RTM_GC_CLOSED || bracket == RTM_GC_FORCED ||
               bracket == RTM_GC_EMERGENCY || gc->bracket == RTM_GC_CLOSED ||
               gc->bracket == bracket);
    gc->bracket = bracket;
    gc->quiet_total = bracket == RTM_GC_CLOSED ? gc->seen_total : INT64_MIN;
    gc->calm_byte = gc->probe.busy;
    gc->calm_value = bracket == RTM_GC_CLOSED ? 0 : UINT8_MAX; /* a value that it never has */
}

/* The collector is at work within the open bracket: until it stops, or enters another phase, its
   frees tell nothing new. */
static void note_work(struct rtm_gc *gc)
{
    gc->has_run = true;
    gc->saw_major |= *gc->probe.kind == 0; /* a major collection leaves the generations first */
    gc->calm_byte = *gc->probe.busy == 1 ? gc->probe.busy : gc->probe.state;
    gc->calm_value = *gc->calm_byte;
}

static void open_bracket(struct rtm_gc *gc, enum rtm_gc_bracket bracket)
{
    enter(gc, bracket);
    gc->has_run = false;
    gc->saw_major = false;
    gc->is_bounded = false;
    gc->opened_ticks = rtm_clock_ticks();
}

static void forget_bracket(struct rtm_gc *gc)
{
    gc->seen_total = gc->probe.account->total;
    gc->has_run = false;
    gc->saw_major = false;
    enter(gc, RTM_GC_CLOSED);
}

/* Where the collector cannot be watched, it is one that is never due and never works. */
static const struct rtm_gcprobe no_probe = {
    .account = &(const struct rtm_gcprobe_account){0, INT64_MIN / 2},
    .estimate = &(const uint64_t){0},
    .state = &(const uint8_t){0},
    .busy = &(const uint8_t){0},
    .kind = &(const uint8_t){0},
    .stopped = &(const uint8_t){0},
    .pause = &(const uint8_t){0},
    .major = &(const uint8_t){0}};

static void take_probe_away(struct rtm_gc *gc)
{
    gc->has_probe = false;
    gc->probe = no_probe;
    forget_bracket(gc);
}

bool rtm_gc_read_percent(struct rtm_gc *gc, struct lua_State *L, int64_t *percent)
{
    const struct rtm_gcprobe *probe = gc->has_probe ? &gc->probe : NULL;
    bool is_known = rtm_gccontrol_read(L, probe, gc->was_stopped, percent);
    if (is_known)
        rtm_atomic_set(&gc->percent, (uint64_t)*percent);
    return is_known;
}

/* Inside a finalizer it is not known, and stays what it was. */
static void note_percent(struct rtm_gc *gc)
{
    int64_t percent;
    rtm_gc_read_percent(gc, gc->thread, &percent);
}

void rtm_gc_init(struct rtm_gc *gc)
{
    rtm_atomic_set(&gc->percent, RTM_GC_PERCENT_UNKNOWN);
    take_probe_away(gc);
}

void rtm_gc_start(struct rtm_gc *gc, struct lua_State *thread, struct lua_State *main_thread)
{
    gc->thread = thread;
    gc->has_probe = rtm_gcprobe_attach(&gc->probe, main_thread);
    if (!gc->has_probe)
        take_probe_away(gc);
    gc->counts_sentinels = !gc->has_probe;
    gc->in_cycle = false;
    gc->cycle_is_due = false;
    if (gc->has_probe) {
        gc->estimate = *gc->probe.estimate;
        rtm_atomic_set(&gc->goal_bytes, (uint64_t)gc->probe.account->total);
    }
    forget_bracket(gc);
    note_percent(gc);
    gc->enabled = true;
}

void rtm_gc_stop(struct rtm_gc *gc)
{
    gc->enabled = false;
    gc->counts_sentinels = false;
    take_probe_away(gc);
}

/* What one finished run of the collector means. */
struct run {
    bool ends_cycle;
    bool is_generational;
    bool is_minor;
};

/* The collector falls back to incremental cycles in generational mode when collections go badly,
   and then rests in the idle state; resting anywhere else, it is incremental by the program's wish.
 */
static void note_mode(struct rtm_gc *gc)
{
    if (*gc->probe.kind == 1)
        gc->probe.is_generational = true;
    else if (*gc->probe.state != gc->probe.idle_state)
        gc->probe.is_generational = false;
}

static struct run judge_run(struct rtm_gc *gc)
{
    note_mode(gc);
    struct run run = {.is_generational = gc->probe.is_generational};
    run.is_minor = run.is_generational && *gc->probe.estimate == gc->estimate && !gc->saw_major;
    run.ends_cycle = run.is_generational || *gc->probe.state == gc->probe.idle_state;
    gc->estimate = *gc->probe.estimate;
    return run;
}

static void record_cycle(struct rtm_gc *gc, const struct run *run, uint64_t now_ticks)
{
    if (run->is_generational)
        rtm_atomic_add(run->is_minor ? &gc->cycles_minor : &gc->cycles_major, 1);
    bool is_emergency = gc->bracket == RTM_GC_EMERGENCY;
    bool is_automatic = is_emergency || gc->bracket == RTM_GC_AUTOMATIC;
    rtm_atomic_add(is_automatic ? &gc->cycles_automatic : &gc->cycles_forced, 1);
    rtm_atomic_add(&gc->cycles_emergency, is_emergency);
    rtm_atomic_set(&gc->live_bytes, (uint64_t)(gc->probe.account->total + gc->probe.account->debt));
    rtm_atomic_set(&gc->goal_bytes, (uint64_t)gc->probe.account->total);
    rtm_atomic_set(&gc->last_end_ticks, now_ticks);
    rtm_atomic_set(&gc->last_duration_ns, rtm_clock_to_ns(now_ticks - gc->cycle_opened_ticks));
    rtm_atomic_set(&gc->last_pauses_ns, gc->cycle_pauses_ns);
    note_percent(gc);
    gc->in_cycle = false;
    gc->cycle_is_due = true;
}

static void record_recent(struct rtm_gc *gc, uint64_t duration_ns, uint64_t now_ticks)
{
    uint64_t count = rtm_atomic_get(&gc->recent_count);
    struct rtm_gc_pause *pause = &gc->recent[count % RTM_GC_RECENT_PAUSES];
    rtm_atomic_set(&pause->duration_ns, duration_ns);
    rtm_atomic_set(&pause->end_ticks, now_ticks);
    rtm_atomic_set(&gc->recent_count, count + 1);
}

static void record_pause(struct rtm_gc *gc, uint64_t now_ticks)
{
    uint64_t duration_ns = rtm_clock_to_ns(now_ticks - gc->opened_ticks);
    rtm_atomic_add(&gc->pauses, 1);
    if (gc->bracket == RTM_GC_UNSEEN) {
        rtm_atomic_add(&gc->untimed, 1);
        return;
    }
    rtm_histogram_time_record(gc->is_bounded ? &gc->bounded : &gc->exact, duration_ns);
    record_recent(gc, duration_ns, now_ticks);
    gc->cycle_pauses_ns += duration_ns;
}

/* Arming a hook walks all frames of the thread, so after hooks in vain ever more openings pass
   without one: the time of a pause that comes then is an upper bound. */
static bool may_arm(struct rtm_gc *gc)
{
    if (gc->openings_unarmed == 0)
        return true;
    gc->openings_unarmed--;
    gc->is_bounded = true;
    return false;
}

static void note_hook_in_vain(struct rtm_gc *gc)
{
    enum { MAX_SHIFT = 16 };
    gc->openings_unarmed = 1u << gc->hooks_in_vain;
    if (gc->hooks_in_vain < MAX_SHIFT)
        gc->hooks_in_vain++;
}

static void close_bracket(struct rtm_gc *gc)
{
    uint64_t now = rtm_clock_ticks();
    struct run run = judge_run(gc);
    if (!gc->in_cycle) {
        gc->in_cycle = true;
        gc->cycle_opened_ticks = gc->opened_ticks;
        gc->cycle_pauses_ns = 0;
    }
    record_pause(gc, now);
    gc->hooks_in_vain = 0;
    gc->openings_unarmed = 0;
    if (run.ends_cycle)
        record_cycle(gc, &run, now);
    forget_bracket(gc);
}

static bool is_expected_debt(const struct rtm_gc *gc)
{
    int64_t debt = gc->probe.account->debt;
    return debt == gc->expected_debt[0] || debt == gc->expected_debt[1];
}

static bool is_failed_request(const struct rtm_gc *gc, const struct rtm_gc_request *request)
{
    return gc->failed.block == request->block && gc->failed.osize == request->osize &&
           gc->failed.nsize == request->nsize;
}

/* Nothing was open and total has moved: a collection that neither allocations nor our
   collectgarbage announced (a copy of the function from before us, or C code), or a restart of the
   collector, which only sets the debt to zero. */
static void account_for_surprise(struct rtm_gc *gc)
{
    if (gc->probe.account->debt != 0) {
        open_bracket(gc, RTM_GC_UNSEEN);
        close_bracket(gc);
    }
    forget_bracket(gc);
}

void rtm_gc_before(struct rtm_gc *gc, const struct rtm_gc_request *request)
{
    bool is_working = rtm_gcprobe_is_working(&gc->probe);
    if (gc->bracket == RTM_GC_FORCED) {
        if (is_working)
            note_work(gc);
        return;
    }
    if (gc->bracket == RTM_GC_CLOSED) {
        if (is_working)
            open_bracket(gc, RTM_GC_UNSEEN);
        else if (gc->probe.account->total != gc->seen_total)
            account_for_surprise(gc);
    }
    if (gc->bracket == RTM_GC_CLOSED)
        return;
    if (is_working) {
        note_work(gc);
        return;
    }
    bool is_retry = gc->bracket == RTM_GC_EMERGENCY && is_failed_request(gc, request);
    if (is_retry || gc->has_run || gc->probe.account->total != gc->seen_total ||
        !is_expected_debt(gc)) {
        if (rtm_vm_collector(gc->thread) != RTM_VM_COLLECTOR_BUSY)
            close_bracket(gc);
    } else if (gc->bracket == RTM_GC_EMERGENCY) {
        forget_bracket(gc);
    }
}

/* True if the collector will run at the VM's next check: not while it is stopped, nor inside a
   finalizer, where an open bracket belongs to the run that called it. */
static bool will_collect(const struct rtm_gc *gc)
{
    return rtm_vm_collector(gc->thread) == RTM_VM_COLLECTOR_READY;
}

static void open_emergency(struct rtm_gc *gc, const struct rtm_gc_request *request)
{
    if (gc->bracket == RTM_GC_FORCED || gc->has_run ||
        rtm_vm_collector(gc->thread) == RTM_VM_COLLECTOR_BUSY)
        return;
    open_bracket(gc, RTM_GC_EMERGENCY);
    gc->failed = *request;
}

static void expect_debt(struct rtm_gc *gc, int64_t grown)
{
    gc->expected_debt[0] = gc->probe.account->debt + grown;
    gc->expected_debt[1] = gc->probe.account->debt;
}

bool rtm_gc_after(struct rtm_gc *gc, const struct rtm_gc_request *request, bool has_failed)
{
    size_t former = request->block ? request->osize : 0;
    int64_t grown = (int64_t)request->nsize - (int64_t)former;
    bool wants_hook = false;
    if (has_failed) {
        open_emergency(gc, request);
    } else if (grown > 0 && gc->probe.account->debt + grown > 0 && !gc->has_run &&
               (gc->bracket == RTM_GC_CLOSED || gc->bracket == RTM_GC_AUTOMATIC) &&
               will_collect(gc)) {
        open_bracket(gc, RTM_GC_AUTOMATIC);
        gc->is_bounded = request->nsize > RTM_GC_BIG_BLOCK;
        wants_hook = may_arm(gc);
    }
    expect_debt(gc, has_failed ? 0 : grown);
    return wants_hook;
}

void rtm_gc_note_unhooked(struct rtm_gc *gc)
{
    gc->is_bounded |= gc->bracket == RTM_GC_AUTOMATIC;
}

void rtm_gc_on_hook(struct rtm_gc *gc)
{
    if (!gc->has_probe || gc->bracket == RTM_GC_CLOSED || gc->bracket == RTM_GC_FORCED)
        return;
    if (gc->has_run || gc->probe.account->total != gc->seen_total || !is_expected_debt(gc)) {
        close_bracket(gc);
    } else if (gc->bracket == RTM_GC_AUTOMATIC) {
        /* a table grew: the collector runs at an instruction still to come, which is not known to
         * allocate */
        gc->opened_ticks = rtm_clock_ticks();
        gc->is_bounded = true;
        note_hook_in_vain(gc);
    } else {
        forget_bracket(gc);
    }
}

/* A step of some KiB works only if that takes the debt above zero; entering the generational mode
   is a full cycle, leaving it only repaints. */
static bool will_run(const struct rtm_gc *gc, enum rtm_collect_what what, int step_kb)
{
    switch (what) {
    case RTM_COLLECT_FULL:
        return true;
    case RTM_COLLECT_STEP:
        return !gc->has_probe || step_kb == 0 ||
               gc->probe.account->debt + (int64_t)step_kb * 1024 > 0;
    case RTM_COLLECT_GENERATIONAL:
        return gc->has_probe && *gc->probe.kind == 0;
    default:
        return false;
    }
}

bool rtm_gc_begin_forced(struct rtm_gc *gc, enum rtm_collect_what what, int step_kb)
{
    if (!gc->enabled || gc->bracket == RTM_GC_FORCED ||
        rtm_vm_collector(gc->thread) == RTM_VM_COLLECTOR_BUSY)
        return false;
    rtm_gc_on_hook(gc); /* a pause that is over ends here, not after this call */
    gc->forced_runs = will_run(gc, what, step_kb);
    if (what == RTM_COLLECT_STOP || what == RTM_COLLECT_RESTART)
        gc->was_stopped = what == RTM_COLLECT_STOP;
    open_bracket(gc, RTM_GC_FORCED);
    gc->saw_major = what == RTM_COLLECT_FULL || what == RTM_COLLECT_GENERATIONAL;
    return true;
}

static void note_mode_change(struct rtm_gc *gc, enum rtm_collect_what what)
{
    if (what == RTM_COLLECT_GENERATIONAL || what == RTM_COLLECT_INCREMENTAL)
        gc->probe.is_generational = what == RTM_COLLECT_GENERATIONAL;
}

/* Without a probe the call is timed all the same; its cycle is told by the sentinel. */
void rtm_gc_end_forced(struct rtm_gc *gc, enum rtm_collect_what what)
{
    uint64_t duration_ns = rtm_clock_to_ns(rtm_clock_ticks() - gc->opened_ticks);
    note_mode_change(gc, what);
    if (gc->forced_runs) {
        rtm_histogram_time_record(&gc->forced, duration_ns);
        if (gc->has_probe)
            close_bracket(gc);
    }
    forget_bracket(gc);
    note_percent(gc);
}

void rtm_gc_on_sentinel(struct rtm_gc *gc)
{
    if (!gc->enabled || !gc->counts_sentinels)
        return;
    rtm_atomic_add(gc->bracket == RTM_GC_FORCED ? &gc->cycles_forced : &gc->cycles_automatic, 1);
    rtm_atomic_set(&gc->last_end_ticks, rtm_clock_ticks());
    note_percent(gc);
    gc->cycle_is_due = true;
}

bool rtm_gc_take_cycle(struct rtm_gc *gc)
{
    bool is_due = gc->cycle_is_due;
    gc->cycle_is_due = false;
    return is_due;
}
