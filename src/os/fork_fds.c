#include "os/fork_fds.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ground/lock.h"
#include "os/fork.h"

enum { PATIENCE_MS = 1000 };

struct entry {
    int fd;
    dev_t device;
    ino_t inode;
};

/* Under the lock; filled from the front. */
static struct entry entries[RTM_FORK_FDS_MAX];
static int count;
static struct rtm_lock lock;
static _Thread_local bool is_held; /* by this thread, which forks; others may fork as well */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct rtm_error init_error;
static bool is_ready;

static void hold(void)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (rtm_lock_try(&lock)) {
            is_held = true;
            return;
        }
        nanosleep(&pause, NULL);
    }
}

static void release(void)
{
    if (!is_held)
        return;
    is_held = false;
    rtm_lock_release(&lock);
}

/* fstat is safe in the child of a fork. */
static bool still_holds(const struct entry *entry)
{
    struct stat status;
    return fstat(entry->fd, &status) == 0 && status.st_dev == entry->device &&
           status.st_ino == entry->inode;
}

static void close_in_child(void)
{
    is_held = false;
    rtm_lock_reset(&lock);
    for (int i = 0; i < count; i++) {
        if (still_holds(&entries[i]))
            close(entries[i].fd);
    }
    count = 0;
}

static void init(void)
{
    rtm_lock_init(&lock, RTM_LOCK_RANK_FORK_FDS);
    is_ready = rtm_fork_register(RTM_FORK_OS, close_in_child, &init_error) &&
               rtm_fork_hold(hold, release, &init_error);
}

bool rtm_fork_fds_init(struct rtm_error *err)
{
    pthread_once(&once, init);
    return is_ready || rtm_error_set(err, "%s", init_error.text);
}

void rtm_fork_fds_begin(void)
{
    rtm_lock_acquire(&lock);
}

void rtm_fork_fds_end(void)
{
    rtm_lock_release(&lock);
}

bool rtm_fork_fds_add(int fd)
{
    struct stat status;
    if (count == RTM_FORK_FDS_MAX || fstat(fd, &status) != 0)
        return false;
    entries[count++] = (struct entry){fd, status.st_dev, status.st_ino};
    return true;
}

static int find(int fd)
{
    for (int i = 0; i < count; i++) {
        if (entries[i].fd == fd)
            return i;
    }
    return -1;
}

bool rtm_fork_fds_holds(int fd)
{
    int place = find(fd);
    return place >= 0 && still_holds(&entries[place]);
}

void rtm_fork_fds_remove(int fd)
{
    int place = find(fd);
    if (place >= 0)
        entries[place] = entries[--count];
}

void rtm_fork_fds_clear(void)
{
    count = 0;
}
