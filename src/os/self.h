/* What the kernel knows of this process: memory, CPU, descriptors, threads. Each call asks the
   kernel anew, and what it does not tell is not known. Between rtm_procfs_open and
   rtm_procfs_close. Runs: any thread but in a signal handler. */
#ifndef RTM_OS_SELF_H
#define RTM_OS_SELF_H

#include "ground/error.h"
#include "os/procfs.h"

/* From /proc/self/status and the limits. */
struct rtm_self_memory {
    struct rtm_procfs_value resident_bytes;
    struct rtm_procfs_value resident_peak_bytes;
    struct rtm_procfs_value virtual_bytes;
    struct rtm_procfs_value virtual_peak_bytes;
    struct rtm_procfs_value virtual_limit_bytes; /* not known: there is no limit */
    struct rtm_procfs_value swapped_bytes;
    struct rtm_procfs_value threads;
};

/* Of all threads, those that ended included. From getrusage; where that is forbidden, CPU (in clock
   ticks, mostly 10 ms) and faults from /proc/self/stat, while the switches are not known: what
   /proc/self/status tells of them is true of the first thread alone. */
struct rtm_self_usage {
    struct rtm_procfs_value cpu_user_s;
    struct rtm_procfs_value cpu_system_s;
    struct rtm_procfs_value minor_faults;
    struct rtm_procfs_value major_faults;
    struct rtm_procfs_value voluntary_switches;
    struct rtm_procfs_value involuntary_switches;
};

/* `open` counts every descriptor that is open in the process now, ours that stay open included; the
   one through which we count, on a kernel older than 6.2, is not. There counting takes about 0.4 us
   a descriptor; since 6.2 it takes 2 us in all. */
struct rtm_self_descriptors {
    struct rtm_procfs_value open;
    struct rtm_procfs_value limit; /* RLIMIT_NOFILE, the soft one */
};

struct rtm_self_thread {
    int id;
    char name[16];
    char state; /* the kernel's letter; see rtm_self_thread_state */
    double cpu_user_s;
    double cpu_system_s;
};

void rtm_self_read_memory(struct rtm_self_memory *memory);
void rtm_self_read_usage(struct rtm_self_usage *usage);
void rtm_self_read_descriptors(struct rtm_self_descriptors *descriptors);

/* When the process started: Unix time in seconds, exact to a clock tick, by the wall clock as it is
   set now (so keep the first answer). */
void rtm_self_read_start(struct rtm_procfs_value *start_s);

/* Fills `threads` with `*listed` threads of the process, at most `capacity`, in the order of their
   birth, and sets `*living` to the number that there are; one that ends meanwhile may be counted
   without being listed.
   About 9 us a thread. Needs no rtm_procfs_open before it. Returns false with `err` set if the
   kernel does not tell. */
bool rtm_self_list_threads(struct rtm_self_thread *threads, size_t capacity, size_t *listed,
                           size_t *living, struct rtm_error *err) RTM_MUST_USE;

/* "running", "sleeping", "waiting for the disk" ...; "unknown" for a letter that we do not know. */
const char *rtm_self_thread_state(char letter);

/* Whose figures these are; differs in a forked child. */
int rtm_self_pid(void);

#endif
