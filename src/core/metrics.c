#include "core/metrics.h"

#include "core/context.h"
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

struct row {
    struct rtm_metric_description description;
    reader read; /* false: cannot be known */
    size_t at;   /* offset of a field in the context, for the readers that want one */
    int argument;
};

#define FIELD(name) offsetof(struct rtm_context, name)

static const void *field(const struct rtm_metrics_reading *reading, const struct row *row)
{
    return (const char *)reading->cx + row->at;
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

/* Readers: which observer must run, and what becomes of the field. */

static bool read_own(struct rtm_metrics_reading *reading, const struct row *row,
                     struct rtm_metric_value *value)
{
    return set_uint64(value, rtm_atomic_get(field(reading, row)));
}

static bool read_heap(struct rtm_metrics_reading *reading, const struct row *row,
                      struct rtm_metric_value *value)
{
    return reading->cx->heap.enabled && read_own(reading, row, value);
}

/* `at` is the histogram; the sum follows from the bytes in whole blocks. */
static bool read_sizes(struct rtm_metrics_reading *reading, const struct row *row,
                       struct rtm_metric_value *value, uint64_t sum_bytes)
{
    const struct rtm_histogram_size *sizes = field(reading, row);
    value->kind = RTM_METRIC_HISTOGRAM;
    value->histogram = (struct rtm_metric_histogram){.bounds = rtm_histogram_size_bounds(),
                                                     .counts = sizes->counts,
                                                     .count = RTM_HISTOGRAM_SIZE_COUNTS,
                                                     .sum = (double)sum_bytes};
    return reading->cx->heap.enabled;
}

static bool read_allocs_by_size(struct rtm_metrics_reading *reading, const struct row *row,
                                struct rtm_metric_value *value)
{
    const struct rtm_heap_count *heap = &reading->cx->heap;
    return read_sizes(reading, row, value,
                      rtm_atomic_get(&heap->allocs_bytes) - rtm_atomic_get(&heap->grown_bytes));
}

static bool read_frees_by_size(struct rtm_metrics_reading *reading, const struct row *row,
                               struct rtm_metric_value *value)
{
    const struct rtm_heap_count *heap = &reading->cx->heap;
    return read_sizes(reading, row, value,
                      rtm_atomic_get(&heap->frees_bytes) - rtm_atomic_get(&heap->shrunk_bytes));
}

static bool read_heap_frees(struct rtm_metrics_reading *reading, const struct row *row,
                            struct rtm_metric_value *value)
{
    (void)row;
    return reading->cx->heap.enabled && set_uint64(value, rtm_heap_count_frees(&reading->cx->heap));
}

static bool read_heap_blocks(struct rtm_metrics_reading *reading, const struct row *row,
                             struct rtm_metric_value *value)
{
    (void)row;
    return reading->cx->heap.enabled &&
           set_uint64(value, rtm_heap_count_blocks(&reading->cx->heap));
}

static bool read_heap_objects(struct rtm_metrics_reading *reading, const struct row *row,
                              struct rtm_metric_value *value)
{
    (void)row;
    return reading->cx->heap.enabled && rtm_vm_traits()->tells_kinds &&
           set_uint64(value, rtm_heap_count_objects(&reading->cx->heap));
}

static bool read_heap_kind(struct rtm_metrics_reading *reading, const struct row *row,
                           struct rtm_metric_value *value)
{
    enum rtm_vm_kind kind = (enum rtm_vm_kind)row->argument;
    return reading->cx->heap.enabled && rtm_vm_traits()->kind_tags[kind] &&
           set_uint64(value, rtm_heap_count_objects_of(&reading->cx->heap, kind));
}

static bool read_net_blocks(struct rtm_metrics_reading *reading, const struct row *row,
                            struct rtm_metric_value *value)
{
    (void)row;
    const struct rtm_heap_count *heap = &reading->cx->heap;
    return heap->enabled && set_float64(value, (double)rtm_heap_count_blocks(heap) -
                                                   (double)rtm_heap_count_frees(heap));
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

static bool heap_bytes(const struct rtm_context *cx, uint64_t *bytes)
{
    if (!cx->heap.enabled)
        return false;
    *bytes = (uint64_t)cx->heap_base_bytes + rtm_atomic_get(&cx->heap.allocs_bytes) -
             rtm_atomic_get(&cx->heap.frees_bytes);
    return true;
}

static bool read_heap_bytes(struct rtm_metrics_reading *reading, const struct row *row,
                            struct rtm_metric_value *value)
{
    (void)row;
    uint64_t bytes;
    return heap_bytes(reading->cx, &bytes) && set_uint64(value, bytes);
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
    return heap_bytes(reading->cx, &bytes) && set_uint64(value, bytes + rtm_memory_bytes());
}

static bool read_memory_failures(struct rtm_metrics_reading *reading, const struct row *row,
                                 struct rtm_metric_value *value)
{
    (void)reading;
    (void)row;
    return set_uint64(value, rtm_memory_failures());
}

/* Of the collector: counted on every VM. */
static bool sees_cycles(const struct rtm_gc *gc)
{
    return gc->enabled && !gc->has_lost_sentinel;
}

static bool read_gc(struct rtm_metrics_reading *reading, const struct row *row,
                    struct rtm_metric_value *value)
{
    return sees_cycles(&reading->cx->gc) && read_own(reading, row, value);
}

/* Of the collector: only where it can be watched. */
static bool read_probe(struct rtm_metrics_reading *reading, const struct row *row,
                       struct rtm_metric_value *value)
{
    return reading->cx->gc.has_probe && read_own(reading, row, value);
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
    return reading->cx->gc.enabled;
}

static bool read_probe_times(struct rtm_metrics_reading *reading, const struct row *row,
                             struct rtm_metric_value *value)
{
    return reading->cx->gc.has_probe && read_gc_times(reading, row, value);
}

static bool read_probe_seconds(struct rtm_metrics_reading *reading, const struct row *row,
                               struct rtm_metric_value *value)
{
    return reading->cx->gc.has_probe &&
           set_float64(value, (double)rtm_atomic_get(field(reading, row)) / 1e9);
}

/* 0 before the first cycle is not a time. */
static bool read_last_end(struct rtm_metrics_reading *reading, const struct row *row,
                          struct rtm_metric_value *value)
{
    uint64_t end_ticks = rtm_atomic_get(field(reading, row));
    return reading->cx->gc.enabled && end_ticks &&
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
    return rtm_atomic_get(&reading->cx->gc.last_end_ticks) && read_probe(reading, row, value);
}

static bool read_cycles(struct rtm_metrics_reading *reading, const struct row *row,
                        struct rtm_metric_value *value)
{
    (void)row;
    const struct rtm_gc *gc = &reading->cx->gc;
    return sees_cycles(gc) && set_uint64(value, rtm_atomic_get(&gc->cycles_automatic) +
                                                    rtm_atomic_get(&gc->cycles_forced));
}

static bool read_percent(struct rtm_metrics_reading *reading, const struct row *row,
                         struct rtm_metric_value *value)
{
    (void)row;
    struct rtm_context *cx = reading->cx;
    int64_t percent;
    return !!cx->thread &&
           rtm_gccontrol_read(cx->thread, cx->gc.has_probe ? &cx->gc.probe : NULL,
                              cx->gc.was_stopped, &percent) &&
           set_uint64(value, (uint64_t)percent);
}

static bool read_sched(struct rtm_metrics_reading *reading, const struct row *row,
                       struct rtm_metric_value *value)
{
    return reading->cx->sched.enabled && read_own(reading, row, value);
}

static bool read_census(struct rtm_metrics_reading *reading, const struct row *row,
                        struct rtm_metric_value *value)
{
    if (!reading->cx->sched.enabled)
        return false;
    struct rtm_sched_census census = rtm_sched_census(&reading->cx->sched);
    return set_uint64(value, *(const uint64_t *)((const char *)&census + row->argument));
}

static bool read_slices(struct rtm_metrics_reading *reading, const struct row *row,
                        struct rtm_metric_value *value)
{
    set_times(value, field(reading, row));
    return reading->cx->sched.enabled;
}

static bool read_resume_slots(struct rtm_metrics_reading *reading, const struct row *row,
                              struct rtm_metric_value *value)
{
    size_t patched, missed;
    if (!reading->cx->watches_c_resumes)
        return false;
    rtm_resume_c_count(&patched, &missed);
    return set_uint64(value, row->argument ? missed : patched);
}

static bool ask_process(struct rtm_metrics_reading *reading, unsigned source)
{
    if (!reading->now_ns)
        reading->now_ns = rtm_clock_monotonic_ns();
    if (reading->cx->reads_process)
        rtm_process_refresh(&reading->cx->process, reading->now_ns, source);
    return reading->cx->reads_process;
}

/* `argument` is the source that the figure comes from. */
static bool refresh(struct rtm_metrics_reading *reading, const struct row *row,
                    const struct rtm_procfs_value **figure)
{
    *figure = field(reading, row);
    return ask_process(reading, (unsigned)row->argument) && (*figure)->known;
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
    const struct rtm_process *process = &reading->cx->process;
    if (!ask_process(reading, RTM_PROCESS_USAGE))
        return false;
    *seconds = process->usage.cpu_user_s.float64 + process->usage.cpu_system_s.float64;
    return process->usage.cpu_user_s.known && process->usage.cpu_system_s.known;
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
     read_probe_seconds, FIELD(gc.bounded.sum_ns), 0},
    {{"/cpu/classes/gc/total:cpu-seconds",
      "Time in collector pauses with exact openings, by a monotonic clock, finalizers included.",
      RTM_METRIC_FLOAT64, true, "lua_gc_seconds", NULL, 0, NULL},
     read_probe_seconds, FIELD(gc.exact.sum_ns), 0},
    {{"/cpu/classes/total:cpu-seconds",
      "CPU time that the process used, user and system, all threads.",
      RTM_METRIC_FLOAT64, true, "process_cpu_seconds", NULL, 0, NULL},
     read_cpu_total, 0, 0},
    {{"/gc/cycles/automatic:gc-cycles",
      "Collector cycles that the VM started, emergency ones included; each minor collection of the generational mode is "
      "a cycle.",
      RTM_METRIC_UINT64, true, "lua_gc_cycles", "cause=\"automatic\"", 0,
      "Collector cycles, by what started them."},
     read_gc, FIELD(gc.cycles_automatic), 0},
    {{"/gc/cycles/forced:gc-cycles",
      "Collector cycles that the program asked for with collectgarbage.",
      RTM_METRIC_UINT64, true, "lua_gc_cycles", "cause=\"forced\"", 0, NULL},
     read_gc, FIELD(gc.cycles_forced), 0},
    {{"/gc/cycles/total:gc-cycles", "All collector cycles.", RTM_METRIC_UINT64, true, NULL, NULL, 0, NULL},
     read_cycles, 0, 0},
    {{"/gc/cycles/emergency:gc-cycles",
      "Cycles after an allocation that failed: memory is short.",
      RTM_METRIC_UINT64, true, "lua_gc_emergency_cycles", NULL, 0, NULL},
     read_probe, FIELD(gc.cycles_emergency), 0},
    {{"/gc/cycles/minor:gc-cycles", "Minor collections of the generational mode.",
      RTM_METRIC_UINT64, true, "lua_gc_generational_cycles", "generation=\"minor\"", 0,
      "Collections of the generational mode."},
     read_probe, FIELD(gc.cycles_minor), 0},
    {{"/gc/cycles/major:gc-cycles", "Major collections of the generational mode.",
      RTM_METRIC_UINT64, true, "lua_gc_generational_cycles", "generation=\"major\"", 0, NULL},
     read_probe, FIELD(gc.cycles_major), 0},
    {{"/gc/forced:seconds", "How long calls of collectgarbage that made the collector work took.",
      RTM_METRIC_HISTOGRAM, true, "lua_gc_forced_seconds", NULL, 0, NULL},
     read_gc_times, FIELD(gc.forced), 0},
    {{"/gc/gogc:percent",
      "How far the heap may grow over what the last cycle left before the next one starts, as Go's GOGC; the largest "
      "64-bit integer while the collector is stopped.",
      RTM_METRIC_UINT64, false, "lua_gc_gogc_ratio", NULL, 0.01, NULL},
     read_percent, 0, 0},
    {{"/gc/heap/allocs-by-size:bytes", HEAP "new blocks by the size asked for.",
      RTM_METRIC_HISTOGRAM, true, "lua_heap_allocs_size_bytes", NULL, 0, NULL},
     read_allocs_by_size, FIELD(heap.allocs_by_size), 0},
    {{"/gc/heap/allocs/string:objects", HEAP "new strings.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"string\"", 0,
      "The Lua heap: new objects, by kind."},
     read_heap_kind, 0, RTM_VM_KIND_STRING},
    {{"/gc/heap/allocs/table:objects", HEAP "new tables.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"table\"", 0, NULL},
     read_heap_kind, 0, RTM_VM_KIND_TABLE},
    {{"/gc/heap/allocs/function:objects", HEAP "new closures, of Lua and C functions.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"function\"", 0, NULL},
     read_heap_kind, 0, RTM_VM_KIND_FUNCTION},
    {{"/gc/heap/allocs/userdata:objects", HEAP "new full userdata.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"userdata\"", 0, NULL},
     read_heap_kind, 0, RTM_VM_KIND_USERDATA},
    {{"/gc/heap/allocs/thread:objects", HEAP "new threads (coroutines).",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"thread\"", 0, NULL},
     read_heap_kind, 0, RTM_VM_KIND_THREAD},
    {{"/gc/heap/allocs/upvalue:objects", HEAP "new captured variables.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"upvalue\"", 0, NULL},
     read_heap_kind, 0, RTM_VM_KIND_UPVALUE},
    {{"/gc/heap/allocs/proto:objects", HEAP "new function prototypes (compiled code).",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_objects", "kind=\"proto\"", 0, NULL},
     read_heap_kind, 0, RTM_VM_KIND_PROTO},
    {{"/gc/heap/allocs:blocks",
      HEAP "blocks allocated: objects, and the arrays that belong to them. A growing block is no new one.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_blocks", NULL, 0, NULL},
     read_heap_blocks, 0, 0},
    {{"/gc/heap/allocs:bytes", HEAP "bytes allocated, growth of blocks included.",
      RTM_METRIC_UINT64, true, "lua_heap_allocs_bytes", NULL, 0, NULL},
     read_heap, FIELD(heap.allocs_bytes), 0},
    {{"/gc/heap/allocs:objects", HEAP "objects of all kinds allocated.", RTM_METRIC_UINT64, true, NULL, NULL, 0, NULL},
     read_heap_objects, 0, 0},
    {{"/gc/heap/blocks:blocks",
      HEAP "blocks allocated less blocks freed, both since rtmetrics came; negative when older ones are freed.",
      RTM_METRIC_FLOAT64, false, "lua_heap_net_blocks", NULL, 0, NULL},
     read_net_blocks, 0, 0},
    {{"/gc/heap/failures:allocations", HEAP "requests that the allocator refused.",
      RTM_METRIC_UINT64, true, "lua_heap_failed_allocations", NULL, 0, NULL},
     read_heap, FIELD(heap.failures), 0},
    {{"/gc/heap/frees-by-size:bytes", HEAP "freed blocks by their size.",
      RTM_METRIC_HISTOGRAM, true, "lua_heap_frees_size_bytes", NULL, 0, NULL},
     read_frees_by_size, FIELD(heap.frees_by_size), 0},
    {{"/gc/heap/frees:blocks", HEAP "blocks freed.", RTM_METRIC_UINT64, true, "lua_heap_frees_blocks", NULL, 0, NULL},
     read_heap_frees, 0, 0},
    {{"/gc/heap/frees:bytes", HEAP "bytes freed, shrinkage of blocks included.",
      RTM_METRIC_UINT64, true, "lua_heap_frees_bytes", NULL, 0, NULL},
     read_heap, FIELD(heap.frees_bytes), 0},
    {{"/gc/heap/frees:objects", HEAP "objects freed. Always bad: frees carry no kind, on any VM.",
      RTM_METRIC_UINT64, true, NULL, NULL, 0, NULL},
     read_unknowable, 0, 0},
    {{"/gc/heap/goal:bytes",
      HEAP "the size at which the next cycle starts, as the last one set it.",
      RTM_METRIC_UINT64, false, "lua_heap_goal_bytes", NULL, 0, NULL},
     read_probe, FIELD(gc.goal_bytes), 0},
    {{"/gc/heap/live:bytes", HEAP "its size when the last cycle ended.",
      RTM_METRIC_UINT64, false, "lua_heap_live_bytes", NULL, 0, NULL},
     read_live_bytes, FIELD(gc.live_bytes), 0},
    {{"/gc/heap/objects:objects", HEAP "live objects. Always bad: frees carry no kind, on any VM.",
      RTM_METRIC_UINT64, false, NULL, NULL, 0, NULL},
     read_unknowable, 0, 0},
    {{"/gc/last-cycle/duration:seconds", "From the first pause of the last cycle to its end.",
      RTM_METRIC_FLOAT64, false, "lua_gc_last_cycle_duration_seconds", NULL, 0, NULL},
     read_last_seconds, FIELD(gc.last_duration_ns), 0},
    {{"/gc/last-cycle/end:unix-seconds", "When the last cycle ended.",
      RTM_METRIC_FLOAT64, false, "lua_gc_last_cycle_end_timestamp_seconds", NULL, 0, NULL},
     read_last_end, FIELD(gc.last_end_ticks), 0},
    {{"/gc/last-cycle/pauses:seconds", "The pauses of the last cycle, together.",
      RTM_METRIC_FLOAT64, false, "lua_gc_last_cycle_pauses_seconds", NULL, 0, NULL},
     read_last_seconds, FIELD(gc.last_pauses_ns), 0},
    {{"/gc/pauses:pauses", "Times that the collector stopped the program, timed or not.",
      RTM_METRIC_UINT64, true, "lua_gc_pauses", NULL, 0, NULL},
     read_probe, FIELD(gc.pauses), 0},
    {{"/memory/classes/heap/objects:bytes",
      "Bytes that the Lua heap holds now, live or not yet collected; collectgarbage(\"count\") in bytes.",
      RTM_METRIC_UINT64, false, "lua_heap_bytes", NULL, 0, NULL},
     read_heap_bytes, 0, 0},
    {{"/memory/classes/rtmetrics:bytes", "Memory that rtmetrics itself holds outside of the Lua heap, for all VMs.",
      RTM_METRIC_UINT64, false, "rtmetrics_memory_bytes", NULL, 0, NULL},
     read_own_memory, 0, 0},
    {{"/memory/classes/total:bytes", "The Lua heap and the memory of rtmetrics.",
      RTM_METRIC_UINT64, false, "lua_memory_bytes", NULL, 0, NULL},
     read_total_memory, 0, 0},
    {{"/process/cgroup/memory/limit:bytes", "Memory that the control group of the process may use; bad: no limit.",
      RTM_METRIC_UINT64, false, "process_cgroup_memory_limit_bytes", NULL, 0, NULL},
     read_process, FIELD(process.cgroup.limit_bytes), RTM_PROCESS_CGROUP},
    {{"/process/cgroup/memory/usage:bytes", "Memory that the control group of the process uses, page cache included.",
      RTM_METRIC_UINT64, false, "process_cgroup_memory_usage_bytes", NULL, 0, NULL},
     read_process, FIELD(process.cgroup.used_bytes), RTM_PROCESS_CGROUP},
    {{"/process/cpu/system:cpu-seconds", "CPU time spent in the kernel, all threads.",
      RTM_METRIC_FLOAT64, true, "process_cpu_mode_seconds", "mode=\"system\"", 0,
      "CPU time that the process used, by mode."},
     read_process_seconds, FIELD(process.usage.cpu_system_s), RTM_PROCESS_USAGE},
    {{"/process/cpu/user:cpu-seconds", "CPU time spent in user code, all threads.",
      RTM_METRIC_FLOAT64, true, "process_cpu_mode_seconds", "mode=\"user\"", 0, NULL},
     read_process_seconds, FIELD(process.usage.cpu_user_s), RTM_PROCESS_USAGE},
    {{"/process/faults/major:faults", "Page faults that had to read from disk.",
      RTM_METRIC_UINT64, true, "process_page_faults", "type=\"major\"", 0,
      "Page faults; major ones had to read from disk."},
     read_process, FIELD(process.usage.major_faults), RTM_PROCESS_USAGE},
    {{"/process/faults/minor:faults", "Page faults without reading from disk.",
      RTM_METRIC_UINT64, true, "process_page_faults", "type=\"minor\"", 0, NULL},
     read_process, FIELD(process.usage.minor_faults), RTM_PROCESS_USAGE},
    {{"/process/files/limit:files", "Descriptors that the process may have open.",
      RTM_METRIC_UINT64, false, "process_max_fds", NULL, 0, NULL},
     read_process, FIELD(process.descriptors.limit), RTM_PROCESS_DESCRIPTORS},
    {{"/process/files/open:files", "Descriptors that are open, ours included.",
      RTM_METRIC_UINT64, false, "process_open_fds", NULL, 0, NULL},
     read_process, FIELD(process.descriptors.open), RTM_PROCESS_DESCRIPTORS},
    {{"/process/memory/resident-peak:bytes", "The most memory that was resident at once.",
      RTM_METRIC_UINT64, false, "process_resident_memory_max_bytes", NULL, 0, NULL},
     read_process, FIELD(process.memory.resident_peak_bytes), RTM_PROCESS_MEMORY},
    {{"/process/memory/resident:bytes", "Memory that is resident (RSS).",
      RTM_METRIC_UINT64, false, "process_resident_memory_bytes", NULL, 0, NULL},
     read_process, FIELD(process.memory.resident_bytes), RTM_PROCESS_MEMORY},
    {{"/process/memory/swapped:bytes", "Memory that is swapped out.",
      RTM_METRIC_UINT64, false, "process_swapped_memory_bytes", NULL, 0, NULL},
     read_process, FIELD(process.memory.swapped_bytes), RTM_PROCESS_MEMORY},
    {{"/process/memory/virtual-limit:bytes", "Address space that the process may use; bad: no limit.",
      RTM_METRIC_UINT64, false, "process_virtual_memory_max_bytes", NULL, 0, NULL},
     read_process, FIELD(process.memory.virtual_limit_bytes), RTM_PROCESS_MEMORY},
    {{"/process/memory/virtual:bytes", "Address space in use (VMS).",
      RTM_METRIC_UINT64, false, "process_virtual_memory_bytes", NULL, 0, NULL},
     read_process, FIELD(process.memory.virtual_bytes), RTM_PROCESS_MEMORY},
    {{"/process/start:unix-seconds", "When the process started.",
      RTM_METRIC_FLOAT64, false, "process_start_time_seconds", NULL, 0, NULL},
     read_process_seconds, FIELD(process.start_s), RTM_PROCESS_START},
    {{"/process/switches/involuntary:switches", "Context switches by the kernel's decision.",
      RTM_METRIC_UINT64, true, "process_context_switches", "type=\"involuntary\"", 0,
      "Context switches of the process."},
     read_process, FIELD(process.usage.involuntary_switches), RTM_PROCESS_USAGE},
    {{"/process/switches/voluntary:switches", "Context switches because the process waited.",
      RTM_METRIC_UINT64, true, "process_context_switches", "type=\"voluntary\"", 0, NULL},
     read_process, FIELD(process.usage.voluntary_switches), RTM_PROCESS_USAGE},
    {{"/rtmetrics/gc/refused-hooks:events",
      "Times that our hook could not be armed, since somebody else's was in place: the pause is an upper bound.",
      RTM_METRIC_UINT64, true, "rtmetrics_gc_refused_hooks", NULL, 0, NULL},
     read_probe, FIELD(hooks_refused), 0},
    {{"/rtmetrics/gc/untimed:pauses",
      "Of the pauses, those that were noticed when they were over: a collectgarbage from before the require, or C code.",
      RTM_METRIC_UINT64, true, "rtmetrics_gc_untimed_pauses", NULL, 0, NULL},
     read_probe, FIELD(gc.untimed), 0},
    {{"/rtmetrics/memory/failures:allocations", "Requests for memory of rtmetrics itself that failed, for all VMs.",
      RTM_METRIC_UINT64, true, "rtmetrics_failed_allocations", NULL, 0, NULL},
     read_memory_failures, 0, 0},
    {{"/rtmetrics/on-gc/errors:errors", "Callbacks of rt.on_gc that raised.",
      RTM_METRIC_UINT64, true, "rtmetrics_on_gc_errors", NULL, 0, NULL},
     read_own, FIELD(callback_errors), 0},
    {{"/rtmetrics/sched/dropped:coroutines", "Coroutines that were not recorded for want of memory.",
      RTM_METRIC_UINT64, true, "rtmetrics_sched_dropped_coroutines", NULL, 0, NULL},
     read_sched, FIELD(sched.dropped), 0},
    {{"/rtmetrics/sched/found:coroutines", "Coroutines older than rtmetrics that were met later.",
      RTM_METRIC_UINT64, true, "rtmetrics_sched_found_coroutines", NULL, 0, NULL},
     read_sched, FIELD(sched.found), 0},
    {{"/rtmetrics/sched/missed:switches",
      "Switches between coroutines that went past rtmetrics (functions cached before the require, C code in a static "
      "program) and were noticed afterwards.",
      RTM_METRIC_UINT64, true, "rtmetrics_sched_missed_switches", NULL, 0, NULL},
     read_sched, FIELD(sched.missed), 0},
    {{"/rtmetrics/sched/patched:slots", "Places in loaded libraries where calls of lua_resume are seen, for all VMs.",
      RTM_METRIC_UINT64, false, "rtmetrics_sched_patched_slots", NULL, 0, NULL},
     read_resume_slots, 0, 0},
    {{"/rtmetrics/sched/unpatched:slots", "Such places that could not be patched, for all VMs.",
      RTM_METRIC_UINT64, false, "rtmetrics_sched_unpatched_slots", NULL, 0, NULL},
     read_resume_slots, 0, 1},
    {{"/rtmetrics/series/bytes:bytes", "Memory of the program's own series.",
      RTM_METRIC_UINT64, false, "rtmetrics_series_bytes", NULL, 0, NULL},
     read_own, FIELD(series.bytes), 0},
    {{"/rtmetrics/series/dropped:updates", "Updates of the program's own series that were lost.",
      RTM_METRIC_UINT64, true, "rtmetrics_series_dropped_updates", NULL, 0, NULL},
     read_own, FIELD(series.dropped), 0},
    {{"/rtmetrics/series/overflowed:updates", "Updates that went to a metric's overflow series, beyond its cap.",
      RTM_METRIC_UINT64, true, "rtmetrics_series_overflowed_updates", NULL, 0, NULL},
     read_own, FIELD(series.overflowed), 0},
    {{"/rtmetrics/series:series", "The program's own series.", RTM_METRIC_UINT64, false, "rtmetrics_series", NULL, 0, NULL},
     read_own, FIELD(series.series), 0},
    {{"/sched/coroutines-created:coroutines", "Coroutines created since rtmetrics came, by Lua or C code.",
      RTM_METRIC_UINT64, true, "lua_coroutines_created", NULL, 0, NULL},
     read_sched, FIELD(sched.created), 0},
    {{"/sched/coroutines-dead:coroutines", "Coroutines that ended, failed, were closed, or were collected.",
      RTM_METRIC_UINT64, true, "lua_coroutines_dead", NULL, 0, NULL},
     read_sched, FIELD(sched.dead), 0},
    {{"/sched/coroutines/never-started:coroutines", "Coroutines that were never resumed.",
      RTM_METRIC_UINT64, false, "lua_coroutines", "state=\"never started\"", 0,
      "Live coroutines, by state; the main thread is not counted."},
     read_census, 0, offsetof(struct rtm_sched_census, never_started)},
    {{"/sched/coroutines/normal:coroutines", "Coroutines that wait for one that they resumed.",
      RTM_METRIC_UINT64, false, "lua_coroutines", "state=\"normal\"", 0, NULL},
     read_census, 0, offsetof(struct rtm_sched_census, normal)},
    {{"/sched/coroutines/running:coroutines", "1 while a coroutine runs, 0 while the main thread does.",
      RTM_METRIC_UINT64, false, "lua_coroutines", "state=\"running\"", 0, NULL},
     read_census, 0, offsetof(struct rtm_sched_census, running)},
    {{"/sched/coroutines/suspended:coroutines", "Coroutines that have yielded.",
      RTM_METRIC_UINT64, false, "lua_coroutines", "state=\"suspended\"", 0, NULL},
     read_census, 0, offsetof(struct rtm_sched_census, suspended)},
    {{"/sched/coroutines:coroutines", "Live coroutines, the main thread not counted.",
      RTM_METRIC_UINT64, false, NULL, NULL, 0, NULL},
     read_census, 0, offsetof(struct rtm_sched_census, live)},
    {{"/sched/pauses/bounded/gc:seconds",
      "Collector pauses that a block above 16 KiB opened, or whose opening is not exact: upper bounds.",
      RTM_METRIC_HISTOGRAM, true, "lua_gc_bounded_pause_seconds", NULL, 0, NULL},
     read_probe_times, FIELD(gc.bounded), 0},
    {{"/sched/pauses/total/gc:seconds", "Collector pauses, exact: automatic, forced and emergency ones.",
      RTM_METRIC_HISTOGRAM, true, "lua_gc_pause_seconds", NULL, 0, NULL},
     read_probe_times, FIELD(gc.exact), 0},
    {{"/sched/slices:seconds", "How long coroutines ran from a resume to the yield, without those that they resumed.",
      RTM_METRIC_HISTOGRAM, true, "lua_coroutine_slice_seconds", NULL, 0, NULL},
     read_slices, FIELD(sched.slices), 0},
    {{"/sched/switches:switches", "Times that a coroutine got control.",
      RTM_METRIC_UINT64, true, "lua_coroutine_switches", NULL, 0, NULL},
     read_sched, FIELD(sched.switches), 0},
    {{"/sched/threads/total:threads", "Threads of the operating system in the process.",
      RTM_METRIC_UINT64, false, "process_threads", NULL, 0, NULL},
     read_process, FIELD(process.memory.threads), RTM_PROCESS_MEMORY},
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

void rtm_metrics_read(struct rtm_metrics_reading *reading, rtm_metric_id id,
                      struct rtm_metric_value *value)
{
    const struct row *row = &table[id];
    if (!row->read(reading, row, value))
        value->kind = RTM_METRIC_BAD;
}

void rtm_metrics_render(struct rtm_context *cx, enum rtm_accept_format format,
                        struct rtm_buffer *out)
{
    struct rtm_metrics_reading reading = {.cx = cx};
    struct rtm_prometheus text;
    struct rtm_prometheus_source series = {.set = &cx->series};
    rtm_prometheus_begin(&text, out, format);
    for (rtm_metric_id id = 0; id < RTM_COUNT_OF(table); id++) {
        struct rtm_metric_value value;
        if (!table[id].description.family)
            continue;
        rtm_metrics_read(&reading, id, &value);
        rtm_prometheus_write_metric(&text, &table[id].description, &value, NULL);
    }
    rtm_prometheus_write_series(&text, &series, 1);
    rtm_prometheus_end(&text);
}
