#include "observers/process.h"

#include <string.h>

#define FRESH_NS UINT64_C(1000000000)

static void ask_memory(struct rtm_process *process)
{
    rtm_self_read_memory(&process->memory);
}

static void ask_usage(struct rtm_process *process)
{
    rtm_self_read_usage(&process->usage);
}

static void ask_descriptors(struct rtm_process *process)
{
    rtm_self_read_descriptors(&process->descriptors);
}

static void ask_cgroup(struct rtm_process *process)
{
    rtm_cgroup_read_memory(&process->cgroup);
}

/* Asked again it would follow the steps of the wall clock. */
static void ask_start(struct rtm_process *process)
{
    if (!process->start_s.known)
        rtm_self_read_start(&process->start_s);
}

/* In the order of the bits. */
static void (*const ask[])(struct rtm_process *) = {ask_memory, ask_usage, ask_descriptors,
                                                    ask_cgroup, ask_start};

RTM_STATIC_ASSERT(RTM_COUNT_OF(ask) == RTM_PROCESS_SOURCES, "one function for each source");
RTM_STATIC_ASSERT(RTM_PROCESS_ALL == (1 << RTM_PROCESS_SOURCES) - 1, "one bit for each source");

void rtm_process_init(struct rtm_process *process)
{
    memset(process, 0, sizeof *process);
    process->pid = rtm_self_pid();
    rtm_procfs_open();
    rtm_cgroup_open();
}

void rtm_process_fini(struct rtm_process *process)
{
    memset(process, 0, sizeof *process);
    rtm_cgroup_close();
    rtm_procfs_close();
}

static void forget_parent(struct rtm_process *process)
{
    int pid = rtm_self_pid();
    if (process->pid == pid)
        return;
    memset(process, 0, sizeof *process);
    process->pid = pid;
}

static bool is_fresh(const struct rtm_process *process, unsigned source, uint64_t now_ns)
{
    /* Unsigned: a time before the answer's is not fresh either. */
    return (process->asked & (1u << source)) && now_ns - process->asked_at_ns[source] < FRESH_NS;
}

void rtm_process_refresh(struct rtm_process *process, uint64_t now_ns, unsigned sources)
{
    forget_parent(process);
    for (unsigned source = 0; source < RTM_PROCESS_SOURCES; source++) {
        if (!(sources & (1u << source)) || is_fresh(process, source, now_ns))
            continue;
        ask[source](process);
        process->asked |= 1u << source;
        process->asked_at_ns[source] = now_ns;
    }
}
