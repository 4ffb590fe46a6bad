/* A directory that the process keeps open, once for all its VMs: what lies below it stays readable
   after a chroot or a change of mounts. It is held by an O_PATH descriptor (it reads nothing by
   itself and closes on exec). A host that closes descriptors which it does not know, as daemons do,
   may get the number again for a file of its own: the directory is therefore known by device and
   inode, is opened anew when the number holds something else, and what is not ours is never closed.
   Runs: any thread but in a signal handler; a forked child may use it at once. */
#ifndef RTM_OS_DIRECTORY_H
#define RTM_OS_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define RTM_DIRECTORY_PATH_SIZE 1024

/* A static variable of the file that knows the directory: {.find = ..., .fd = -1}. */
struct rtm_directory {
    bool (*find)(char *path, size_t size); /* where it is; asked once, by the first user */
    _Atomic int inside;                    /* pid whose thread changes the rest now, 0: none */
    unsigned users;
    int fd; /* -1: there is none */
    dev_t device;
    ino_t inode;
    char path[RTM_DIRECTORY_PATH_SIZE];
};

/* One more user; the first opens it. That it cannot be opened is no error here. */
void rtm_directory_share(struct rtm_directory *directory);

/* One user less; the last closes it. */
void rtm_directory_release(struct rtm_directory *directory);

/* The descriptor, for openat and the like, valid while the caller is a user; -1 if there is none.
 */
int rtm_directory_borrow(struct rtm_directory *directory);

#ifdef RTM_TEST_SEAMS
/* Test builds only: stands before each path; at first "". Set while there is no user. */
extern const char *rtm_directory_root;
#endif

#endif
