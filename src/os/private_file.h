/* A short text that nobody else may read: a file of the process's own user, without permissions for
   group and others. Runs: any thread but in a signal handler. */
#ifndef RTM_OS_PRIVATE_FILE_H
#define RTM_OS_PRIVATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ground/check.h"
#include "ground/error.h"

/* Which state of a file was read; any later write, change of permissions or replacement makes
   another one. */
struct rtm_private_file_stamp {
    dev_t device;
    ino_t inode;
    int64_t size_bytes, changed_ns;
};

/* Reads the first line, without its end, into `line`. False, with the reason, where the file cannot
   be read, is not regular, is not ours, lets others in, or has a NUL in its first line, or no room
   in `line`; `stamp` is of no state then. Symbolic links are followed: it counts what they lead to.
 */
bool rtm_private_file_read_line(const char *path, char *line, size_t size,
                                struct rtm_private_file_stamp *stamp,
                                struct rtm_error *err) RTM_MUST_USE;

/* Is the file as it was when it was read? Costs a system call, no descriptor. */
bool rtm_private_file_is_same(const char *path, const struct rtm_private_file_stamp *stamp);

#endif
