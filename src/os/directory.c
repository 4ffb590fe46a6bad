#define _GNU_SOURCE
#include "os/directory.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef RTM_TEST_SEAMS
const char *rtm_directory_root = "";
#define ROOT rtm_directory_root
#else
#define ROOT ""
#endif

/* A lock that names its process: whoever was inside in the parent at a fork is not in the child, so
   the child need not wait for it. A mutex would need a fork handler, which the children of a bare
   clone do not run. Nothing is locked after it but the directory that the first user's `find`
   reads. */
static void enter(struct rtm_directory *directory)
{
    int self = (int)getpid();
    int holder = 0;
    while (!atomic_compare_exchange_weak_explicit(&directory->inside, &holder, self,
                                                  memory_order_acquire, memory_order_relaxed)) {
        if (holder == self) {
            sched_yield();
            holder = 0;
        }
    }
}

static void leave(struct rtm_directory *directory)
{
    atomic_store_explicit(&directory->inside, 0, memory_order_release);
}

static bool still_holds(const struct rtm_directory *directory)
{
    struct stat status;
    return directory->fd >= 0 && fstat(directory->fd, &status) == 0 &&
           status.st_dev == directory->device && status.st_ino == directory->inode;
}

/* A host without its standard streams expects its next open to give 0, 1 or 2: leave them to it. */
static int above_standard_streams(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return higher;
}

static void open_path(struct rtm_directory *directory)
{
    char path[2 * RTM_DIRECTORY_PATH_SIZE];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", ROOT, directory->path);
    int fd = above_standard_streams(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
    directory->fd = fd;
    if (fd >= 0 && fstat(fd, &status) == 0) {
        directory->device = status.st_dev;
        directory->inode = status.st_ino;
    }
}

void rtm_directory_share(struct rtm_directory *directory)
{
    enter(directory);
    if (directory->users++ == 0 && directory->find(directory->path, sizeof directory->path))
        open_path(directory);
    leave(directory);
}

void rtm_directory_release(struct rtm_directory *directory)
{
    enter(directory);
    if (--directory->users == 0) {
        if (still_holds(directory))
            close(directory->fd);
        directory->fd = -1;
    }
    leave(directory);
}

int rtm_directory_borrow(struct rtm_directory *directory)
{
    enter(directory);
    if (directory->fd >= 0 && !still_holds(directory))
        open_path(directory);
    int fd = directory->fd;
    leave(directory);
    return fd;
}
