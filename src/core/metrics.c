#include "core/metrics.h"

#include <string.h>

#include "core/agent_stats.h"
#include "core/context.h"
#include "core/contexts.h"
#include "core/runtime.h"
#include "encoders/prometheus.h"
#include "ground/memory.h"
#include "os/clock.h"
#include "vm/gccontrol.h"
#include "vm/resume_c.h"
#include "vm/vm.h"

struct row;
typedef bool (*reader)(struct rtm_metrics_reading *reading, const struct row *row,
                       struct rtm_metric_value *value);

/* Whose figure it is: told once for each VM, or once. */
enum scope { OF_VM, OF_PROCESS };

struct row {
    struct rtm_metric_description description;
    reader read; /* false: cannot be known */
    size_t at;   /* offset of a field in the context (of the process: in struct rtm_process, or of
                    the agent's figures), for the readers that want one */
    enum scope scope;
    int argument;
};

#define FIELD(name) offsetof(struct rtm_context, name)
#define PROCESS(name) offsetof(struct rtm_process, name)
#define AGENT(name) offsetof(struct rtm_agent_stats, name)

static const void *field(const struct rtm_metrics_reading *reading, const struct row *row)
{
    return (const char *)reading->cx + row->at;
}

static bool observes(const struct rtm_metrics_reading *reading, unsigned bits)
{
    return rtm_context_observes(reading->cx, bits);
}

static bool set_uint64(struct rtm_metric_value *value, uint64_t number)
{
    *value = (struct rtm_metric_value){.kind = RTM_METRIC_UINT64, .uint64 = number};
    return true;
}

static bool set_float64(struct rtm_metric_value *value, double number)
{
    *value = (struct rtm_metric_value){.kind = RTM_METRIC_FLOAT64, .float64 = number};
    return true;
}

/* Readers: what must be observed, and what becomes of the field. */

static bool read_own(struct rtm_metrics_reading *reading, const struct row *row,
                     struct rtm_metric_value *value)
{
    return set_uint64(value, rtm_atomic_get(field(reading, row)));
}

/* `argument` is what must be observed. */
static bool read_observed(struct rtm_metrics_reading *reading, const struct row *row,
                          struct rtm_metric_value *value)
{
    return observes(reading, (unsigned)row->argument) && read_own(reading, row, value);
}

/* `at` is the histogram. */
static bool read_sizes(struct rtm_metrics_reading *reading, const struct row *row,
                       struct rtm_metric_value *value, uint64_t sum_bytes)
{
    const struct rtm_histogram_size *sizes = field(reading, row);
    value->kind = RTM_METRIC_HISTOGRAM;
    value->histogram = (struct rtm_metric_histogram){.bounds = rtm_histogram_size_bounds(),
                                                     .counts = sizes->counts,
                                                     .count = RTM_HISTOGRAM_SIZE_COUNTS,
                                                     .sum = (double)sum_bytes};
    return observes(reading, RTM_OBSERVES_HEAP);
}

static bool read_allocs_by_size(struct rtm_metrics_reading *reading, const struct row *row,
                                struct rtm_metric_value *value)
{
    return read_sizes(reading, row, value, rtm_atomic_get(&reading->cx->heap.new_bytes));
}

static bool read_frees_by_size(struct rtm_metrics_reading *reading, const struct row *row,
                               struct rtm_metric_value *value)
{
    return read_sizes(reading, row, value, rtm_atomic_get(&reading->cx->heap.freed_bytes));
}

static bool read_heap_allocs_bytes(struct rtm_metrics_reading *reading, const struct row *row,
                                   struct rtm_metric_value *value)
{
    (void)row;
    return observes(reading, RTM_OBSERVES_HEAP) &&
           set_uint64(value, rtm_heap_count_allocs_bytes(&reading->cx->heap));
}

static bool read_heap_frees_bytes(struct rtm_metrics_reading *reading, const struct row *row,
                                  struct rtm_metric_value *value)
{
    (void)row;
    return observes(reading, RTM_OBSERVES_HEAP) &&
           set_uint64(value, rtm_heap_count_frees_bytes(&reading->cx->heap));
}

static bool read_heap_frees(struct rtm_metrics_reading *reading, const struct row *row,
                            struct rtm_metric_value *value)
{
    (void)row;
    return observes(reading, RTM_OBSERVES_HEAP) &&
           set_uint64(value, rtm_heap_count_frees(&reading->cx->heap));
}

static bool read_heap_blocks(struct rtm_metrics_reading *reading, const struct row *row,
                             struct rtm_metric_value *value)
{
    (void)row;
    return observes(reading, RTM_OBSERVES_HEAP) &&
           set_uint64(value, rtm_heap_count_blocks(&reading->cx->heap));
}

static bool read_heap_objects(struct rtm_metrics_reading *reading, const struct row *row,
                              struct rtm_metric_value *value)
{
    (void)row;
    return observes(reading, RTM_OBSERVES_HEAP) && rtm_vm_traits()->tells_kinds &&
           set_uint64(value, rtm_heap_count_objects(&reading->cx->heap));
}

static bool read_heap_kind(struct rtm_metrics_reading *reading, const struct row *row,
                           struct rtm_metric_value *value)
{
    enum rtm_vm_kind kind = (enum rtm_vm_kind)row->argument;
    return observes(reading, RTM_OBSERVES_HEAP) && rtm_vm_traits()->kind_tags[kind] &&
           set_uint64(value, rtm_heap_count_objects_of(&reading->cx->heap, kind));
}

static bool read_net_blocks(struct rtm_metrics_reading *reading, const struct row *row,
                            struct rtm_metric_value *value)
{
    (void)row;
    const struct rtm_heap_count *heap = &reading->cx->heap;
    return observes(reading, RTM_OBSERVES_HEAP) &&
           set_float64(value,
                       (double)rtm_heap_count_blocks(heap) - (double)rtm_heap_count_frees(heap));
}

/* Frees carry no kind, on any VM. */
static bool read_unknowable(struct rtm_metrics_reading *reading, const struct row *row,
                            struct rtm_metric_value *value)
{
    (void)reading;
    (void)row;
    (void)value;
    return false;
}

/* In a visit the VM may allocate between the two sums: frees, read first, are never of blocks that
   were not there yet. */
static bool heap_bytes(const struct rtm_metrics_reading *reading, uint64_t *bytes)
{
    const struct rtm_heap_count *heap = &reading->cx->heap;
    if (!observes(reading, RTM_OBSERVES_HEAP))
        return false;
    uint64_t frees_bytes = rtm_heap_count_frees_bytes(heap);
    atomic_thread_fence(memory_order_acquire);
    *bytes =
        (uint64_t)reading->cx->heap_base_bytes + rtm_heap_count_allocs_bytes(heap) - frees_bytes;
    return true;
}

static bool read_heap_bytes(struct rtm_metrics_reading *reading, const struct row *row,
                            struct rtm_metric_value *value)
{
    (void)row;
    uint64_t bytes;
    return heap_bytes(reading, &bytes) && set_uint64(value, bytes);
}

static bool read_own_memory(struct rtm_metrics_reading *reading, const struct row *row,
                            struct rtm_metric_value *value)
{
    (void)reading;
    (void)row;
    return set_uint64(value, rtm_memory_bytes());
}

static bool read_total_memory(struct rtm_metrics_reading *reading, const struct row *row,
                              struct rtm_metric_value *value)
{
    (void)row;
    uint64_t bytes;
    return heap_bytes(reading, &bytes) && set_uint64(value, bytes + rtm_memory_bytes());
}

static bool read_memory_failures(struct rtm_metrics_reading *reading, const struct row *row,
                                 struct rtm_metric_value *value)
{
    (void)reading;
    (void)row;
    return set_uint64(value, rtm_memory_failures());
}

static void set_times(struct rtm_metric_value *value, const struct rtm_histogram_time *times)
{
    value->kind = RTM_METRIC_HISTOGRAM;
    value->histogram =
        (struct rtm_metric_histogram){.bounds = rtm_histogram_time_bounds(),
                                      .counts = times->counts,
                                      .count = RTM_HISTOGRAM_TIME_COUNTS,
                                      .sum = (double)rtm_atomic_get(&times->sum_ns) / 1e9};
}

static bool read_gc_times(struct rtm_metrics_reading *reading, const struct row *row,
                          struct rtm_metric_value *value)
{
    set_times(value, field(reading, row));
    return observes(reading, RTM_OBSERVES_GC);
}

static bool read_probe_times(struct rtm_metrics_reading *reading, const struct row *row,
                             struct rtm_metric_value *value)
{
    return observes(reading, RTM_OBSERVES_PROBE) && read_gc_times(reading, row, value);
}

static bool read_probe_seconds(struct rtm_metrics_reading *reading, const struct row *row,
                               struct rtm_metric_value *value)
{
    return observes(reading, RTM_OBSERVES_PROBE) &&
           set_float64(value, (double)rtm_atomic_get(field(reading, row)) / 1e9);
}

/* 0 before the first cycle is not a time. */
static bool read_last_end(struct rtm_metrics_reading *reading, const struct row *row,
                          struct rtm_metric_value *value)
{
    uint64_t end_ticks = rtm_atomic_get(field(reading, row));
    return observes(reading, RTM_OBSERVES_GC) && end_ticks &&
           set_float64(value, rtm_runtime_wall_of(end_ticks));
}

static bool read_last_seconds(struct rtm_metrics_reading *reading, const struct row *row,
                              struct rtm_metric_value *value)
{
    return rtm_atomic_get(&reading->cx->gc.last_end_ticks) &&
           read_probe_seconds(reading, row, value);
}

static bool read_live_bytes(struct rtm_metrics_reading *reading, const struct row *row,
                            struct rtm_metric_value *value)
{
    return rtm_atomic_get(&reading->cx->gc.last_end_ticks) && read_observed(reading, row, value);
}

static bool read_cycles(struct rtm_metrics_reading *reading, const struct row *row,
                        struct rtm_metric_value *value)
{
    (void)row;
    const struct rtm_gc *gc = &reading->cx->gc;
    return observes(reading, RTM_OBSERVES_CYCLES) &&
           set_uint64(value,
                      rtm_atomic_get(&gc->cycles_automatic) + rtm_atomic_get(&gc->cycles_forced));
}

/* Lua tells it on its own thread alone. */
static bool read_percent(struct rtm_metrics_reading *reading, const struct row *row,
                         struct rtm_metric_value *value)
{
    (void)row;
    struct rtm_context *cx = reading->cx;
    uint64_t last = rtm_atomic_get(&cx->gc.percent);
    int64_t percent;
    if (reading->is_visit)
        return observes(reading, RTM_OBSERVES_GC) && last != RTM_GC_PERCENT_UNKNOWN &&
               set_uint64(value, last);
    return cx->thread && rtm_gc_read_percent(&cx->gc, cx->thread, &percent) &&
           set_uint64(value, (uint64_t)percent);
}

static bool read_census(struct rtm_metrics_reading *reading, const struct row *row,
                        struct rtm_metric_value *value)
{
    if (!observes(reading, RTM_OBSERVES_SCHED))
        return false;
    struct rtm_sched_census census = rtm_sched_census(&reading->cx->sched);
    return set_uint64(value, *(const uint64_t *)((const char *)&census + row->argument));
}

static bool read_slices(struct rtm_metrics_reading *reading, const struct row *row,
                        struct rtm_metric_value *value)
{
    set_times(value, field(reading, row));
    return observes(reading, RTM_OBSERVES_SCHED);
}

static bool read_resume_slots(struct rtm_metrics_reading *reading, const struct row *row,
                              struct rtm_metric_value *value)
{
    size_t patched, missed;
    unsigned observed = reading->cx ? rtm_context_observed(reading->cx) : reading->observed;
    if (!(observed & RTM_OBSERVES_C_RESUMES))
        return false;
    rtm_resume_c_count(&patched, &missed);
    return set_uint64(value, row->argument ? missed : patched);
}

/* Before the process had an agent its figures are not even 0. */
static bool read_agent(struct rtm_metrics_reading *reading, const struct row *row,
                       struct rtm_metric_value *value)
{
    (void)reading;
    const struct rtm_agent_stats *agent = &rtm_agent_stats;
    if (!rtm_atomic_get(&agent->running) && !rtm_atomic_get(&agent->accepted))
        return false;
    return set_uint64(value, rtm_atomic_get((const rtm_counter *)((const char *)agent + row->at)));
}

static bool ask_process(struct rtm_metrics_reading *reading, unsigned source)
{
    if (!reading->process)
        return false;
    if (!reading->now_ns)
        reading->now_ns = rtm_clock_monotonic_ns();
    rtm_process_refresh(reading->process, reading->now_ns, source);
    return true;
}

/* `argument` is the source that the figure comes from. */
static bool refresh(struct rtm_metrics_reading *reading, const struct row *row,
                    const struct rtm_procfs_value **figure)
{
    if (!ask_process(reading, (unsigned)row->argument))
        return false;
    *figure = (const struct rtm_procfs_value *)((const char *)reading->process + row->at);
    return (*figure)->known;
}

static bool read_process(struct rtm_metrics_reading *reading, const struct row *row,
                         struct rtm_metric_value *value)
{
    const struct rtm_procfs_value *figure;
    return refresh(reading, row, &figure) && set_uint64(value, figure->uint64);
}

static bool read_process_seconds(struct rtm_metrics_reading *reading, const struct row *row,
                                 struct rtm_metric_value *value)
{
    const struct rtm_procfs_value *figure;
    return refresh(reading, row, &figure) && set_float64(value, figure->float64);
}

static bool process_cpu(struct rtm_metrics_reading *reading, double *seconds)
{
    if (!ask_process(reading, RTM_PROCESS_USAGE))
        return false;
    const struct rtm_self_usage *usage = &reading->process->usage;
    *seconds = usage->cpu_user_s.float64 + usage->cpu_system_s.float64;
    return usage->cpu_user_s.known && usage->cpu_system_s.known;
}

static bool read_cpu_total(struct rtm_metrics_reading *reading, const struct row *row,
                           struct rtm_metric_value *value)
{
    (void)row;
    double seconds;
    return process_cpu(reading, &seconds) && set_float64(value, seconds);
}

#define HEAP "The Lua heap: "

static const struct row table[] = {
    /* clang-format off */
    {{"/cpu/classes/gc/bounded:cpu-seconds",
      "Time in collector pauses that a block above 16 KiB opened, or whose opening is not exact: an upper bound, kept "
      "apart from the exact total.",
      RTM_METRIC_FLOAT64, true, "lua_gc_bounded_seconds", NULL, 0, NULL},
     read_probe_seconds, FIELD(gc.bounded.sum_ns), OF_VM, 0},
    {{"/cpu/classes/gc/total:cpu-seconds",
      "Time in collector pauses with exact openings, by a monotonic clock, finalizers included.",
      RTM_METRIC_FLOAT64, true, "lua_gc_seconds", NULL, 0, NULL},
     read_probe_seconds, FIELD(gc.exact.sum_ns), OF_VM, 0},
    {{"/cpu/classes/total:cpu-seconds",
      "CPU time that the process used, user and system, all threads.",
      RTM_METRIC_FLOAT64, true, "process_cpu_seconds", NULL, 0, NULL},
     read_cpu_total, 0, OF_PROCESS, 0},
    {{"/gc/cycles/automatic:gc-cycles",
      "Collector cycles that the VM started, emergency ones included; each minor collection of the generational mode is "
      "a cycle.",
      RTM_METRIC_UINT64, true, "lua_gc_cycles", "cause=\"automatic\"", 0,
      "Collector cycles, by what started them."},
     read_observed, FIELD(gc.cycles_automatic), OF_VM, RTM_OBSERVES_CYCLES},
    {{"/gc/cycles/forced:gc-cycles",
      "Collector cycles that the program asked for with collectgarbage.",
      RTM_METRIC_UINT64, true, "lua_gc_cycles", "cause=\"forced\"", 0, NULL},
     read_observed, FIELD(gc.cycles_forced), OF_VM, RTM_OBSERVES_CYCLES},
    {{"/gc/cycles/total:gc-cycles", "All collector cycles.", RTM_METRIC_UINT64, true, NULL, NULL, 0, NULL},
     read_cycles, 0, OF_VM, 0},
    {{"/gc/cycles/emergency:gc-cycles",
      "Cycles after an allocation that failed: memory is short.",
      RTM_METRIC_UINT64, true, "lua_gc_emergency_cycles", NULL, 0, NULL},
     read_observed, FIELD(gc.cycles_emergency), OF_VM, RTM_OBSERVES_PROBE},
    {{"/gc/cycles/minor:gc-cycles", "Minor collections of the generational mode.",
      RTM_METRIC_UINT64, true, "lua_gc_generational_cycles", "generation=\"minor\"", 0,
      "Collections of the generational mode."},
     read_observed, FIELD(gc.cycles_minor), OF_VM, RTM_OBSERVES_PROBE},
    {{"/gc/cycles/major:gc-cycles", "Major collections of the generational mode.",
      RTM_METRIC_UINT64, true, "lua_gc_generational_cycles", "generation=\"major\"", 0, NULL},
     read_observed, FIELD(gc.cycles_major), OF_VM, RTM_OBSERVES_PROBE},
    {{"/gc/forced:seconds", "How long calls of collectgarbage that made the collector work took.",
      RTM_METRIC_HISTOGRAM, true, "lua_gc_forced_seconds", NULL, 0, NULL},
     read_gc_times, FIELD(gc.forced), OF_VM, 0},
    {{"/gc/gogc:percent",
      "How far the heap may grow over what the last cycle left before the next one starts, as Go's GOGC; the largest "
      "64-bit integer while the collector is stopped.",
      RTM_METRIC_UINT64, false, "lua_gc_gogc_ratio", NULL, 0.01, NULL},
     read_percent, 0, OF_VM, 0},
    {{"/gc/heap/allocs-by-size:bytes", HEAP "new blocks by the size asked for.",
      RTM_METRIC_HISTOGRAM, true, "lua_heap_allocs_size_bytes", NULL, 0, NULL},
     read_allocs_by_size, FIELD(heap.allocs_by_size), OF_VM, 0},
    {{"/gc/heap/allocs/string:objects", HEAP "new strings.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"string\"", 0,
      "The Lua heap: new objects, by kind."},
     read_heap_kind, 0, OF_VM, RTM_VM_KIND_STRING},
    {{"/gc/heap/allocs/table:objects", HEAP "new tables.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"table\"", 0, NULL},
     read_heap_kind, 0, OF_VM, RTM_VM_KIND_TABLE},
    {{"/gc/heap/allocs/function:objects", HEAP "new closures, of Lua and C functions.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"function\"", 0, NULL},
     read_heap_kind, 0, OF_VM, RTM_VM_KIND_FUNCTION},
    {{"/gc/heap/allocs/userdata:objects", HEAP "new full userdata.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"userdata\"", 0, NULL},
     read_heap_kind, 0, OF_VM, RTM_VM_KIND_USERDATA},
    {{"/gc/heap/allocs/thread:objects", HEAP "new threads (coroutines).",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"thread\"", 0, NULL},
     read_heap_kind, 0, OF_VM, RTM_VM_KIND_THREAD},
    {{"/gc/heap/allocs/upvalue:objects", HEAP "new captured variables.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"upvalue\"", 0, NULL},
     read_heap_kind, 0, OF_VM, RTM_VM_KIND_UPVALUE},
    {{"/gc/heap/allocs/proto:objects", HEAP "new function prototypes (compiled code).",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"proto\"", 0, NULL},
     read_heap_kind, 0, OF_VM, RTM_VM_KIND_PROTO},
    {{"/gc/heap/allocs:blocks",
      HEAP "blocks allocated: objects, and the arrays that belong to them. A growing block is no new one.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_blocks", NULL, 0, NULL},
     read_heap_blocks, 0, OF_VM, 0},
    {{"/gc/heap/allocs:bytes", HEAP "bytes allocated, growth of blocks included.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_bytes", NULL, 0, NULL},
     read_heap_allocs_bytes, 0, OF_VM, 0},
    {{"/gc/heap/allocs:objects", HEAP "objects of all kinds allocated.", RTM_METRIC_UINT64, true, NULL, NULL, 0, NULL},
     read_heap_objects, 0, OF_VM, 0},
    {{"/gc/heap/blocks:blocks",
      HEAP "blocks allocated less blocks freed, both since rtmetrics came; negative when older ones are freed.",
      RTM_METRIC_FLOAT64, false, "lua_heap_net_blocks", NULL, 0, NULL},
     read_net_blocks, 0, OF_VM, 0},
    {{"/gc/heap/failures:allocations", HEAP "requests that the allocator refused.",
      RTM_METRIC_UINT64, true, "lua_heap_failed_allocations", NULL, 0, NULL},
     read_observed, FIELD(heap.failures), OF_VM, RTM_OBSERVES_HEAP},
    {{"/gc/heap/frees-by-size:bytes", HEAP "freed blocks by their size.",
      RTM_METRIC_HISTOGRAM, true, "lua_heap_frees_size_bytes", NULL, 0, NULL},
     read_frees_by_size, FIELD(heap.frees_by_size), OF_VM, 0},
    {{"/gc/heap/frees:blocks", HEAP "blocks freed.", RTM_METRIC_UINT64, true, "lua_heap_frees_blocks", NULL, 0, NULL},
     read_heap_frees, 0, OF_VM, 0},
    {{"/gc/heap/frees:bytes", HEAP "bytes freed, shrinkage of blocks included.",
      RTM_METRIC_UINT64, true, "lua_heap_frees_bytes", NULL, 0, NULL},
     read_heap_frees_bytes, 0, OF_VM, 0},
    {{"/gc/heap/frees:objects", HEAP "objects freed. Always bad: frees carry no kind, on any VM.",
      RTM_METRIC_UINT64, true, NULL, NULL, 0, NULL},
     read_unknowable, 0, OF_VM, 0},
    {{"/gc/heap/goal:bytes",
      HEAP "the size at which the next cycle starts, as the last one set it.",
      RTM_METRIC_UINT64, false, "lua_heap_goal_bytes", NULL, 0, NULL},
     read_observed, FIELD(gc.goal_bytes), OF_VM, RTM_OBSERVES_PROBE},
    {{"/gc/heap/live:bytes", HEAP "its size when the last cycle ended.",
      RTM_METRIC_UINT64, false, "lua_heap_live_bytes", NULL, 0, NULL},
     read_live_bytes, FIELD(gc.live_bytes), OF_VM, RTM_OBSERVES_PROBE},
    {{"/gc/heap/objects:objects", HEAP "live objects. Always bad: frees carry no kind, on any VM.",
      RTM_METRIC_UINT64, false, NULL, NULL, 0, NULL},
     read_unknowable, 0, OF_VM, 0},
    {{"/gc/last-cycle/duration:seconds", "From the first pause of the last cycle to its end.",
      RTM_METRIC_FLOAT64, false, "lua_gc_last_cycle_duration_seconds", NULL, 0, NULL},
     read_last_seconds, FIELD(gc.last_duration_ns), OF_VM, 0},
    {{"/gc/last-cycle/end:unix-seconds", "When the last cycle ended.",
      RTM_METRIC_FLOAT64, false, "lua_gc_last_cycle_end_timestamp_seconds", NULL, 0, NULL},
     read_last_end, FIELD(gc.last_end_ticks), OF_VM, 0},
    {{"/gc/last-cycle/pauses:seconds", "The pauses of the last cycle, together.",
      RTM_METRIC_FLOAT64, false, "lua_gc_last_cycle_pauses_seconds", NULL, 0, NULL},
     read_last_seconds, FIELD(gc.last_pauses_ns), OF_VM, 0},
    {{"/gc/pauses:pauses", "Times that the collector stopped the program, timed or not.",
      RTM_METRIC_UINT64, true, "lua_gc_pauses", NULL, 0, NULL},
     read_observed, FIELD(gc.pauses), OF_VM, RTM_OBSERVES_PROBE},
    {{"/memory/classes/heap/objects:bytes",
      "Bytes that the Lua heap holds now, live or not yet collected; collectgarbage(\"count\") in bytes.",
      RTM_METRIC_UINT64, false, "lua_heap_bytes", NULL, 0, NULL},
     read_heap_bytes, 0, OF_VM, 0},
    {{"/memory/classes/rtmetrics:bytes", "Memory that rtmetrics itself holds outside of the Lua heap, for all VMs.",
      RTM_METRIC_UINT64, false, "rtmetrics_memory_bytes", NULL, 0, NULL},
     read_own_memory, 0, OF_PROCESS, 0},
    {{"/memory/classes/total:bytes", "The Lua heap and the memory of rtmetrics.",
      RTM_METRIC_UINT64, false, "lua_memory_bytes", NULL, 0, NULL},
     read_total_memory, 0, OF_VM, 0},
    {{"/process/cgroup/memory/limit:bytes", "Memory that the control group of the process may use; bad: no limit.",
      RTM_METRIC_UINT64, false, "process_cgroup_memory_limit_bytes", NULL, 0, NULL},
     read_process, PROCESS(cgroup.limit_bytes), OF_PROCESS, RTM_PROCESS_CGROUP},
    {{"/process/cgroup/memory/usage:bytes", "Memory that the control group of the process uses, page cache included.",
      RTM_METRIC_UINT64, false, "process_cgroup_memory_usage_bytes", NULL, 0, NULL},
     read_process, PROCESS(cgroup.used_bytes), OF_PROCESS, RTM_PROCESS_CGROUP},
    {{"/process/cpu/system:cpu-seconds", "CPU time spent in the kernel, all threads.",
      RTM_METRIC_FLOAT64, true, "process_cpu_mode_seconds", "mode=\"system\"", 0,
      "CPU time that the process used, by mode."},
     read_process_seconds, PROCESS(usage.cpu_system_s), OF_PROCESS, RTM_PROCESS_USAGE},
    {{"/process/cpu/user:cpu-seconds", "CPU time spent in user code, all threads.",
      RTM_METRIC_FLOAT64, true, "process_cpu_mode_seconds", "mode=\"user\"", 0, NULL},
     read_process_seconds, PROCESS(usage.cpu_user_s), OF_PROCESS, RTM_PROCESS_USAGE},
    {{"/process/faults/major:faults", "Page faults that had to read from disk.",
      RTM_METRIC_UINT64, true, "process_page_faults", "type=\"major\"", 0,
      "Page faults; major ones had to read from disk."},
     read_process, PROCESS(usage.major_faults), OF_PROCESS, RTM_PROCESS_USAGE},
    {{"/process/faults/minor:faults", "Page faults without reading from disk.",
      RTM_METRIC_UINT64, true, "process_page_faults", "type=\"minor\"", 0, NULL},
     read_process, PROCESS(usage.minor_faults), OF_PROCESS, RTM_PROCESS_USAGE},
    {{"/process/files/limit:files", "Descriptors that the process may have open.",
      RTM_METRIC_UINT64, false, "process_max_fds", NULL, 0, NULL},
     read_process, PROCESS(descriptors.limit), OF_PROCESS, RTM_PROCESS_DESCRIPTORS},
    {{"/process/files/open:files", "Descriptors that are open, ours included.",
      RTM_METRIC_UINT64, false, "process_open_fds", NULL, 0, NULL},
     read_process, PROCESS(descriptors.open), OF_PROCESS, RTM_PROCESS_DESCRIPTORS},
    {{"/process/memory/resident-peak:bytes", "The most memory that was resident at once.",
      RTM_METRIC_UINT64, false, "process_resident_memory_max_bytes", NULL, 0, NULL},
     read_process, PROCESS(memory.resident_peak_bytes), OF_PROCESS, RTM_PROCESS_MEMORY},
    {{"/process/memory/resident:bytes", "Memory that is resident (RSS).",
      RTM_METRIC_UINT64, false, "process_resident_memory_bytes", NULL, 0, NULL},
     read_process, PROCESS(memory.resident_bytes), OF_PROCESS, RTM_PROCESS_MEMORY},
    {{"/process/memory/swapped:bytes", "Memory that is swapped out.",
      RTM_METRIC_UINT64, false, "process_swapped_memory_bytes", NULL, 0, NULL},
     read_process, PROCESS(memory.swapped_bytes), OF_PROCESS, RTM_PROCESS_MEMORY},
    {{"/process/memory/virtual-limit:bytes", "Address space that the process may use; bad: no limit.",
      RTM_METRIC_UINT64, false, "process_virtual_memory_max_bytes", NULL, 0, NULL},
     read_process, PROCESS(memory.virtual_limit_bytes), OF_PROCESS, RTM_PROCESS_MEMORY},
    {{"/process/memory/virtual:bytes", "Address space in use (VMS).",
      RTM_METRIC_UINT64, false, "process_virtual_memory_bytes", NULL, 0, NULL},
     read_process, PROCESS(memory.virtual_bytes), OF_PROCESS, RTM_PROCESS_MEMORY},
    {{"/process/start:unix-seconds", "When the process started.",
      RTM_METRIC_FLOAT64, false, "process_start_time_seconds", NULL, 0, NULL},
     read_process_seconds, PROCESS(start_s), OF_PROCESS, RTM_PROCESS_START},
    {{"/process/switches/involuntary:switches", "Context switches by the kernel's decision.",
      RTM_METRIC_UINT64, true, "process_context_switches", "type=\"involuntary\"", 0,
      "Context switches of the process."},
     read_process, PROCESS(usage.involuntary_switches), OF_PROCESS, RTM_PROCESS_USAGE},
    {{"/process/switches/voluntary:switches", "Context switches because the process waited.",
      RTM_METRIC_UINT64, true, "process_context_switches", "type=\"voluntary\"", 0, NULL},
     read_process, PROCESS(usage.voluntary_switches), OF_PROCESS, RTM_PROCESS_USAGE},
    {{"/rtmetrics/agent/accepted:connections", "Connections that the HTTP agent of the process accepted.",
      RTM_METRIC_UINT64, true, "rtmetrics_agent_accepted_connections", NULL, 0, NULL},
     read_agent, AGENT(accepted), OF_PROCESS, 0},
    {{"/rtmetrics/agent/connections:connections", "Connections that the HTTP agent has open.",
      RTM_METRIC_UINT64, false, "rtmetrics_agent_connections", NULL, 0, NULL},
     read_agent, AGENT(connections), OF_PROCESS, 0},
    {{"/rtmetrics/agent/evicted:connections", "Connections that the HTTP agent closed to make room, or since they were too slow.",
      RTM_METRIC_UINT64, true, "rtmetrics_agent_evicted_connections", NULL, 0, NULL},
     read_agent, AGENT(evicted), OF_PROCESS, 0},
    {{"/rtmetrics/agent/failed:requests", "Requests that the HTTP agent could not answer (status 5xx).",
      RTM_METRIC_UINT64, true, "rtmetrics_agent_failed", NULL, 0, NULL},
     read_agent, AGENT(failed), OF_PROCESS, 0},
    {{"/rtmetrics/agent/refused:requests", "Requests that the HTTP agent refused (status 4xx).",
      RTM_METRIC_UINT64, true, "rtmetrics_agent_refused", NULL, 0, NULL},
     read_agent, AGENT(refused), OF_PROCESS, 0},
    {{"/rtmetrics/agent/requests:requests", "Requests to the HTTP agent of the process, refused ones included; those "
      "that the HTTP library turned away by itself are not known.",
      RTM_METRIC_UINT64, true, "rtmetrics_agent_requests", NULL, 0, NULL},
     read_agent, AGENT(requests), OF_PROCESS, 0},
    {{"/rtmetrics/agent/sent:bytes", "Bytes of pages that the HTTP agent sent.",
      RTM_METRIC_UINT64, true, "rtmetrics_agent_sent_bytes", NULL, 0, NULL},
     read_agent, AGENT(sent_bytes), OF_PROCESS, 0},
    {{"/rtmetrics/gc/refused-hooks:events",
      "Times that our hook could not be armed, since somebody else's was in place: the pause is an upper bound.",
      RTM_METRIC_UINT64, true, "rtmetrics_gc_refused_hooks", NULL, 0, NULL},
     read_observed, FIELD(hooks_refused), OF_VM, RTM_OBSERVES_PROBE},
    {{"/rtmetrics/gc/untimed:pauses",
      "Of the pauses, those that were noticed when they were over: a collectgarbage from before the require, or C code.",
      RTM_METRIC_UINT64, true, "rtmetrics_gc_untimed_pauses", NULL, 0, NULL},
     read_observed, FIELD(gc.untimed), OF_VM, RTM_OBSERVES_PROBE},
    {{"/rtmetrics/memory/failures:allocations", "Requests for memory of rtmetrics itself that failed, for all VMs.",
      RTM_METRIC_UINT64, true, "rtmetrics_failed_allocations", NULL, 0, NULL},
     read_memory_failures, 0, OF_PROCESS, 0},
    {{"/rtmetrics/on-gc/errors:errors", "Callbacks of rt.on_gc that raised.",
      RTM_METRIC_UINT64, true, "rtmetrics_on_gc_errors", NULL, 0, NULL},
     read_own, FIELD(callback_errors), OF_VM, 0},
    {{"/rtmetrics/sched/dropped:coroutines", "Coroutines that were not recorded for want of memory.",
      RTM_METRIC_UINT64, true, "rtmetrics_sched_dropped_coroutines", NULL, 0, NULL},
     read_observed, FIELD(sched.dropped), OF_VM, RTM_OBSERVES_SCHED},
    {{"/rtmetrics/sched/found:coroutines", "Coroutines older than rtmetrics that were met later.",
      RTM_METRIC_UINT64, true, "rtmetrics_sched_found_coroutines", NULL, 0, NULL},
     read_observed, FIELD(sched.found), OF_VM, RTM_OBSERVES_SCHED},
    {{"/rtmetrics/sched/missed:switches",
      "Switches between coroutines that went past rtmetrics (functions cached before the require, C code in a static "
      "program) and were noticed afterwards.",
      RTM_METRIC_UINT64, true, "rtmetrics_sched_missed_switches", NULL, 0, NULL},
     read_observed, FIELD(sched.missed), OF_VM, RTM_OBSERVES_SCHED},
    {{"/rtmetrics/sched/patched:slots", "Places in loaded libraries where calls of lua_resume are seen, for all VMs.",
      RTM_METRIC_UINT64, false, "rtmetrics_sched_patched_slots", NULL, 0, NULL},
     read_resume_slots, 0, OF_PROCESS, 0},
    {{"/rtmetrics/sched/unpatched:slots", "Such places that could not be patched, for all VMs.",
      RTM_METRIC_UINT64, false, "rtmetrics_sched_unpatched_slots", NULL, 0, NULL},
     read_resume_slots, 0, OF_PROCESS, 1},
    {{"/rtmetrics/series/bytes:bytes", "Memory of the program's own series.",
      RTM_METRIC_UINT64, false, "rtmetrics_series_bytes", NULL, 0, NULL},
     read_own, FIELD(series.bytes), OF_VM, 0},
    {{"/rtmetrics/series/dropped:updates", "Updates of the program's own series that were lost.",
      RTM_METRIC_UINT64, true, "rtmetrics_series_dropped_updates", NULL, 0, NULL},
     read_own, FIELD(series.dropped), OF_VM, 0},
    {{"/rtmetrics/series/overflowed:updates", "Updates that went to a metric's overflow series, beyond its cap.",
      RTM_METRIC_UINT64, true, "rtmetrics_series_overflowed_updates", NULL, 0, NULL},
     read_own, FIELD(series.overflowed), OF_VM, 0},
    {{"/rtmetrics/series:series", "The program's own series.", RTM_METRIC_UINT64, false, "rtmetrics_series", NULL, 0, NULL},
     read_own, FIELD(series.series), OF_VM, 0},
    {{"/sched/coroutines-created:coroutines", "Coroutines created since rtmetrics came, by Lua or C code.",
      RTM_METRIC_UINT64, true, "lua_coroutines_created", NULL, 0, NULL},
     read_observed, FIELD(sched.created), OF_VM, RTM_OBSERVES_SCHED},
    {{"/sched/coroutines-dead:coroutines", "Coroutines that ended, failed, were closed, or were collected.",
      RTM_METRIC_UINT64, true, "lua_coroutines_dead", NULL, 0, NULL},
     read_observed, FIELD(sched.dead), OF_VM, RTM_OBSERVES_SCHED},
    {{"/sched/coroutines/never-started:coroutines", "Coroutines that were never resumed.",
      RTM_METRIC_UINT64, false, "lua_coroutines", "state=\"never started\"", 0,
      "Live coroutines, by state; the main thread is not counted."},
     read_census, 0, OF_VM, offsetof(struct rtm_sched_census, never_started)},
    {{"/sched/coroutines/normal:coroutines", "Coroutines that wait for one that they resumed.",
      RTM_METRIC_UINT64, false, "lua_coroutines", "state=\"normal\"", 0, NULL},
     read_census, 0, OF_VM, offsetof(struct rtm_sched_census, normal)},
    {{"/sched/coroutines/running:coroutines", "1 while a coroutine runs, 0 while the main thread does.",
      RTM_METRIC_UINT64, false, "lua_coroutines", "state=\"running\"", 0, NULL},
     read_census, 0, OF_VM, offsetof(struct rtm_sched_census, running)},
    {{"/sched/coroutines/suspended:coroutines", "Coroutines that have yielded.",
      RTM_METRIC_UINT64, false, "lua_coroutines", "state=\"suspended\"", 0, NULL},
     read_census, 0, OF_VM, offsetof(struct rtm_sched_census, suspended)},
    {{"/sched/coroutines:coroutines", "Live coroutines, the main thread not counted.",
      RTM_METRIC_UINT64, false, NULL, NULL, 0, NULL},
     read_census, 0, OF_VM, offsetof(struct rtm_sched_census, live)},
    {{"/sched/pauses/bounded/gc:seconds",
      "Collector pauses that a block above 16 KiB opened, or whose opening is not exact: upper bounds.",
      RTM_METRIC_HISTOGRAM, true, "lua_gc_bounded_pause_seconds", NULL, 0, NULL},
     read_probe_times, FIELD(gc.bounded), OF_VM, 0},
    {{"/sched/pauses/total/gc:seconds", "Collector pauses, exact: automatic, forced and emergency ones.",
      RTM_METRIC_HISTOGRAM, true, "lua_gc_pause_seconds", NULL, 0, NULL},
     read_probe_times, FIELD(gc.exact), OF_VM, 0},
    {{"/sched/slices:seconds", "How long coroutines ran from a resume to the yield, without those that they resumed.",
      RTM_METRIC_HISTOGRAM, true, "lua_coroutine_slice_seconds", NULL, 0, NULL},
     read_slices, FIELD(sched.slices), OF_VM, 0},
    {{"/sched/switches:switches", "Times that a coroutine got control.",
      RTM_METRIC_UINT64, true, "lua_coroutine_switches", NULL, 0, NULL},
     read_observed, FIELD(sched.switches), OF_VM, RTM_OBSERVES_SCHED},
    {{"/sched/threads/total:threads", "Threads of the operating system in the process.",
      RTM_METRIC_UINT64, false, "process_threads", NULL, 0, NULL},
     read_process, PROCESS(memory.threads), OF_PROCESS, RTM_PROCESS_MEMORY},
    /* clang-format on */
};

static const struct rtm_metric_alias aliases[] = {
    {"/sched/goroutines:goroutines", "/sched/coroutines:coroutines"},
    {"/sched/goroutines-created:goroutines", "/sched/coroutines-created:coroutines"},
    {"/sched/goroutines/running:goroutines", "/sched/coroutines/running:coroutines"},
    {"/sched/goroutines/waiting:goroutines", "/sched/coroutines/suspended:coroutines"},
    {"/gc/pauses:seconds", "/sched/pauses/total/gc:seconds"},
};

size_t rtm_metrics_count(void)
{
    return RTM_COUNT_OF(table);
}

const struct rtm_metric_description *rtm_metrics_describe(rtm_metric_id id)
{
    return &table[id].description;
}

const struct rtm_metric_alias *rtm_metrics_aliases(size_t *count)
{
    *count = RTM_COUNT_OF(aliases);
    return aliases;
}

bool rtm_metrics_is_of_process(rtm_metric_id id)
{
    return table[id].scope == OF_PROCESS;
}

bool rtm_metrics_find(const char *name, rtm_metric_id *id)
{
    for (rtm_metric_id i = 0; i < RTM_COUNT_OF(table); i++) {
        if (strcmp(table[i].description.name, name) == 0) {
            *id = i;
            return true;
        }
    }
    return false;
}

void rtm_metrics_begin(struct rtm_metrics_reading *reading, struct rtm_context *cx)
{
    reading->cx = cx;
    reading->process = rtm_context_observes(cx, RTM_OBSERVES_PROCESS) ? &cx->process : NULL;
    reading->is_visit = false;
    reading->now_ns = 0;
}

void rtm_metrics_begin_visit(struct rtm_metrics_reading *reading, const struct rtm_visit *visit)
{
    reading->cx = NULL;
    reading->process = visit->process;
    reading->observed = visit->observed;
    reading->is_visit = true;
    reading->now_ns = 0;
}

/* Values below a layout's first bound, and above its last, are none that it records. */
static double add_bound(double sum, double bound, uint64_t count)
{
    return bound > 0 ? sum + bound * (double)count : sum;
}

/* A histogram whose counts stand still, with a sum that they can have. The sum was read before the
   counts, and what the VM recorded in between is in one and not in the other: the nearest sum that
   is possible grows with both, so that it falls no more than they do. */
static void hold_still(struct rtm_metrics_reading *reading, struct rtm_metric_histogram *histogram)
{
    double least = 0, most = 0;
    RTM_ASSERT(histogram->count <= RTM_METRICS_COUNTS_MAX);
    for (size_t i = 0; i < histogram->count; i++) {
        uint64_t count = rtm_atomic_get(&histogram->counts[i]);
        rtm_atomic_set(&reading->counts[i], count);
        if (!count)
            continue;
        least = add_bound(least, histogram->bounds[i], count);
        most = add_bound(most, histogram->bounds[i + 1], count);
    }
    histogram->counts = reading->counts;
    if (histogram->sum < least)
        histogram->sum = least;
    else if (histogram->sum > most)
        histogram->sum = most;
}

void rtm_metrics_read(struct rtm_metrics_reading *reading, rtm_metric_id id,
                      struct rtm_metric_value *value)
{
    const struct row *row = &table[id];
    bool has_source = reading->cx || row->scope == OF_PROCESS;
    if (!has_source || !row->read(reading, row, value))
        value->kind = RTM_METRIC_BAD;
    else if (reading->is_visit && value->kind == RTM_METRIC_HISTOGRAM)
        hold_still(reading, &value->histogram);
}

static void write_row(struct rtm_prometheus *text, struct rtm_metrics_reading *reading,
                      rtm_metric_id id, const char *labels)
{
    struct rtm_metric_value value;
    rtm_metrics_read(reading, id, &value);
    rtm_prometheus_write_metric(text, &table[id].description, &value, labels);
}

void rtm_metrics_render(struct rtm_context *cx, enum rtm_accept_format format,
                        struct rtm_buffer *out)
{
    struct rtm_metrics_reading reading;
    struct rtm_prometheus text;
    struct rtm_prometheus_source series = {.set = &cx->series};
    rtm_metrics_begin(&reading, cx);
    rtm_prometheus_begin(&text, out, format);
    for (rtm_metric_id id = 0; id < RTM_COUNT_OF(table); id++) {
        if (table[id].description.family)
            write_row(&text, &reading, id, NULL);
    }
    rtm_prometheus_write_series(&text, &series, 1);
    rtm_prometheus_end(&text);
}

/* What tells a VM's samples from another's: nothing, where it has always been the only one. */
static const char *labels_of(const struct rtm_visit *visit, const struct rtm_context *cx)
{
    return visit->has_labels ? cx->label : NULL;
}

static void write_row_of_all(struct rtm_prometheus *text, const struct rtm_visit *visit,
                             struct rtm_metrics_reading *reading, rtm_metric_id id)
{
    if (table[id].scope == OF_PROCESS) {
        reading->cx = NULL;
        write_row(text, reading, id, NULL);
        return;
    }
    for (struct rtm_context *cx = visit->first; cx; cx = cx->next) {
        reading->cx = cx;
        write_row(text, reading, id, labels_of(visit, cx));
    }
}

static void write_series_of_all(struct rtm_prometheus *text, const struct rtm_visit *visit)
{
    struct rtm_prometheus_source *sources = rtm_memory_alloc((visit->count + 1) * sizeof *sources);
    if (!sources) {
        text->out->failed = true;
        return;
    }
    size_t count = 0;
    for (struct rtm_context *cx = visit->first; cx; cx = cx->next)
        sources[count++] =
            (struct rtm_prometheus_source){.set = &cx->series, .labels = labels_of(visit, cx)};
    rtm_prometheus_write_series(text, sources, count);
    rtm_memory_free(sources);
}

void rtm_metrics_render_all(const struct rtm_visit *visit, enum rtm_accept_format format,
                            struct rtm_buffer *out)
{
    struct rtm_metrics_reading reading;
    struct rtm_prometheus text;
    rtm_metrics_begin_visit(&reading, visit);
    rtm_prometheus_begin(&text, out, format);
    for (rtm_metric_id id = 0; id < RTM_COUNT_OF(table); id++) {
        if (table[id].description.family)
            write_row_of_all(&text, visit, &reading, id);
    }
    write_series_of_all(&text, visit);
    rtm_prometheus_end(&text);
}
