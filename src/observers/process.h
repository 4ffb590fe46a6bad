/* The process as the system sees it. One per VM, with the answers of the last second: each source
   is asked at most once a second, however often its figures are read, and never for another process
   (a forked child starts anew). All sources together take about 45 us on a kernel since 6.2; an
   older one adds 0.4 us for each open descriptor. Runs: VM thread. */
#ifndef RTM_OBSERVERS_PROCESS_H
#define RTM_OBSERVERS_PROCESS_H

#include "os/cgroup.h"
#include "os/self.h"

enum rtm_process_source {
    RTM_PROCESS_MEMORY = 1 << 0,
    RTM_PROCESS_USAGE = 1 << 1,
    RTM_PROCESS_DESCRIPTORS = 1 << 2,
    RTM_PROCESS_CGROUP = 1 << 3,
    RTM_PROCESS_START = 1 << 4,
    RTM_PROCESS_ALL = (1 << 5) - 1,
};

#define RTM_PROCESS_SOURCES 5

/* Read the figures directly, each where its source was refreshed; a figure that is not known has
   `known` false. What each means stands in os/self.h and os/cgroup.h. */
struct rtm_process {
    struct rtm_self_memory memory;           /* RTM_PROCESS_MEMORY */
    struct rtm_self_usage usage;             /* RTM_PROCESS_USAGE */
    struct rtm_self_descriptors descriptors; /* RTM_PROCESS_DESCRIPTORS */
    struct rtm_cgroup_memory cgroup;         /* RTM_PROCESS_CGROUP */
    struct rtm_procfs_value start_s;         /* RTM_PROCESS_START: Unix time */

    int pid;        /* of the process that the figures are of */
    unsigned asked; /* sources with an answer, known or not */
    uint64_t asked_at_ns[RTM_PROCESS_SOURCES];
};

/* Keeps /proc and the mount of the control groups open (two descriptors for the whole process,
   whatever the number of VMs), so that a later chroot does not blind us. Cannot fail: without them
   their figures are not known. */
void rtm_process_init(struct rtm_process *process);
void rtm_process_fini(struct rtm_process *process);

/* Asks those of `sources` (RTM_PROCESS_* or'ed) whose answer is older than a second at `now_ns`, a
   monotonic time. The start is asked once. */
void rtm_process_refresh(struct rtm_process *process, uint64_t now_ns, unsigned sources);

#endif
