#define _GNU_SOURCE
#include "os/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/clock.h"

/* The kernel stamps with a clock that ticks as rarely as 100 times a second: of two writes within
   one tick, the second one would not be seen. */
#define TICK_NS INT64_C(20000000)

static int64_t ns_of(struct timespec time)
{
    return (int64_t)time.tv_sec * (int64_t)RTM_CLOCK_NS_PER_S + time.tv_nsec;
}

static struct rtm_private_file_stamp stamp_of(const struct stat *status)
{
    return (struct rtm_private_file_stamp){
        .device = status->st_dev,
        .inode = status->st_ino,
        .size_bytes = status->st_size,
        .changed_ns = ns_of(status->st_ctim),
    };
}

static bool is_private(const struct stat *status, const char *path, struct rtm_error *err)
{
    if (!S_ISREG(status->st_mode))
        return rtm_error_set(err, "%s is not a regular file", path);
    if (status->st_uid != geteuid())
        return rtm_error_set(err, "%s belongs to another user", path);
    if (status->st_mode & (S_IRWXG | S_IRWXO))
        return rtm_error_set(err, "%s is open to other users (mode %04o): it must be 0600 or 0400",
                             path, (unsigned)status->st_mode & 07777);
    return true;
}

static ssize_t read_all(int fd, char *bytes, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t count = read(fd, bytes + length, size - length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        length += (size_t)count;
    }
    return (ssize_t)length;
}

static bool read_line(int fd, const char *path, char *line, size_t size, struct rtm_error *err)
{
    ssize_t length = read_all(fd, line, size);
    if (length < 0)
        return rtm_error_set(err, "cannot read %s: %s", path, strerror(errno));
    char *end = memchr(line, '\n', (size_t)length);
    size_t count = end ? (size_t)(end - line) : (size_t)length;
    if (count == size)
        return rtm_error_set(err, "the first line of %s is too long", path);
    if (memchr(line, '\0', count))
        return rtm_error_set(err, "%s is not a text", path);
    if (count > 0 && line[count - 1] == '\r')
        count--;
    line[count] = '\0';
    return true;
}

static bool read_open(int fd, const char *path, char *line, size_t size,
                      struct rtm_private_file_stamp *stamp, struct rtm_error *err)
{
    struct stat status;
    int64_t now_ns = (int64_t)rtm_clock_wall_ns();
    if (fstat(fd, &status) != 0)
        return rtm_error_set(err, "cannot read %s: %s", path, strerror(errno));
    if (!is_private(&status, path, err) || !read_line(fd, path, line, size, err))
        return false;
    if (now_ns - ns_of(status.st_ctim) > TICK_NS)
        *stamp = stamp_of(&status);
    return true;
}

bool rtm_private_file_read_line(const char *path, char *line, size_t size,
                                struct rtm_private_file_stamp *stamp, struct rtm_error *err)
{
    *stamp = (struct rtm_private_file_stamp){.size_bytes = -1};
    /* Should it be a FIFO, opening must not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return rtm_error_set(err, "cannot open %s: %s", path, strerror(errno));
    bool done = read_open(fd, path, line, size, stamp, err);
    close(fd);
    return done;
}

bool rtm_private_file_is_same(const char *path, const struct rtm_private_file_stamp *stamp)
{
    struct stat status;
    if (stamp->size_bytes < 0 || stat(path, &status) != 0)
        return false;
    struct rtm_private_file_stamp now = stamp_of(&status);
    return now.device == stamp->device && now.inode == stamp->inode &&
           now.size_bytes == stamp->size_bytes && now.changed_ns == stamp->changed_ns;
}
