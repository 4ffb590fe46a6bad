/* Descriptors of ours that a forked child must not keep: a copy of a listening socket would hold
   the port, one of a connection would hold the client. The child closes them before fork returns to
   the host, those that are still ours. A descriptor is made and entered, or taken out and closed,
   between begin and end: a fork by another thread waits for the end, so that none is missed and no
   other's is closed. */
#ifndef RTM_OS_FORK_FDS_H
#define RTM_OS_FORK_FDS_H

#include <stdbool.h>

#include "ground/check.h"
#include "ground/error.h"

enum { RTM_FORK_FDS_MAX = 1100 };

/* Installs the fork handlers; later calls do nothing. Runs: any thread. */
bool rtm_fork_fds_init(struct rtm_error *err) RTM_MUST_USE;

/* Within the two: nothing that waits. A fork that has waited for a second goes on without. Runs:
   any ordinary thread. */
void rtm_fork_fds_begin(void);
void rtm_fork_fds_end(void);

/* Enters a descriptor; false where the table is full. Takes one out; all. Between begin and end. */
bool rtm_fork_fds_add(int fd) RTM_MUST_USE;

/* Is the number of an entered descriptor still that of the same file? A host may close all
   descriptors of the process and open its own. Between begin and end. */
bool rtm_fork_fds_holds(int fd);
void rtm_fork_fds_remove(int fd);
void rtm_fork_fds_clear(void);

#endif
