/* The memory that the control group of this process may use, and uses: version 2, or 1 where the
   memory controller still lives there. The mount is found once, by the first user, and kept open;
   in which group the process is, is asked at each reading, since it may be moved.
   Runs: any thread but in a signal handler. */
#ifndef RTM_OS_CGROUP_H
#define RTM_OS_CGROUP_H

#include "os/procfs.h"

struct rtm_cgroup_memory {
    /* The lowest limit of the group and of those that it lies in, as far as they can be seen from
       here; not known: there is none. A limit from further out is shared with other groups. */
    struct rtm_procfs_value limit_bytes;
    struct rtm_procfs_value used_bytes; /* by the group itself, page cache included */
};

/* One more and one less user. Between rtm_procfs_open and rtm_procfs_close. */
void rtm_cgroup_open(void);
void rtm_cgroup_close(void);

/* Between the two above. */
void rtm_cgroup_read_memory(struct rtm_cgroup_memory *memory);

#endif
