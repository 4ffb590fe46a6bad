#define _GNU_SOURCE
#include "os/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/directory.h"

#ifdef RTM_TEST_SEAMS
struct rtm_procfs_seams rtm_procfs_seams = {.read = read};
#define READ rtm_procfs_seams.read
#define COUNTS_ALLOWED (!rtm_procfs_seams.no_entry_counts)
#define ASKED() ((void)rtm_procfs_seams.asked++)
#else
#define READ read
#define COUNTS_ALLOWED true
#define ASKED() ((void)0)
#endif

static bool find_proc(char *path, size_t size)
{
    return (size_t)snprintf(path, size, "/proc") < size;
}

static struct rtm_directory proc = {.find = find_proc, .fd = -1};

void rtm_procfs_open(void)
{
    rtm_directory_share(&proc);
}

void rtm_procfs_close(void)
{
    rtm_directory_release(&proc);
}

int rtm_procfs_directory(void)
{
    return rtm_directory_borrow(&proc);
}

static int open_below(int directory, const char *path, int flags)
{
    ASKED();
    return openat(directory, path, flags | O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

static ssize_t read_some(int fd, char *bytes, size_t size)
{
    ssize_t got;
    do {
        ASKED();
        got = READ(fd, bytes, size);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* Bytes up to the end of the file; `size` if there may be more; -1 on failure. */
static ssize_t read_to_end(int fd, char *bytes, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t got = read_some(fd, bytes + length, size - length);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    return (ssize_t)length;
}

static bool is_whole(const char *text, ssize_t length, size_t size)
{
    return length > 0 && (size_t)length < size && text[length - 1] == '\n' &&
           !memchr(text, '\0', (size_t)length);
}

bool rtm_procfs_read(int directory, const char *path, char *text, size_t size)
{
    int fd = open_below(directory, path, 0);
    if (fd < 0)
        return false;
    ssize_t length = read_to_end(fd, text, size);
    int reason = length < 0 ? errno : EILSEQ;
    close(fd);
    if (!is_whole(text, length, size)) {
        errno = reason;
        return false;
    }
    text[length - 1] = '\0';
    return true;
}

bool rtm_procfs_lines_open(struct rtm_procfs_lines *lines, int directory, const char *path)
{
    lines->begin = lines->end = 0;
    lines->fd = open_below(directory, path, 0);
    return lines->fd >= 0;
}

void rtm_procfs_lines_close(struct rtm_procfs_lines *lines)
{
    close(lines->fd);
}

/* Takes the line at `begin` if it is there as a whole. */
static char *take_line(struct rtm_procfs_lines *lines)
{
    char *line = lines->bytes + lines->begin;
    char *end = memchr(line, '\n', lines->end - lines->begin);
    if (!end)
        return NULL;
    *end = '\0';
    lines->begin = (size_t)(end + 1 - lines->bytes);
    return line;
}

/* Reads on behind the begun line, or over it if it fills the buffer. Returns false at the end. */
static bool read_on(struct rtm_procfs_lines *lines, bool *skipping)
{
    size_t kept = lines->end - lines->begin;
    if (kept == sizeof lines->bytes || *skipping) {
        *skipping = true;
        kept = 0;
    }
    memmove(lines->bytes, lines->bytes + lines->begin, kept);
    ssize_t got = read_some(lines->fd, lines->bytes + kept, sizeof lines->bytes - kept);
    lines->begin = 0;
    lines->end = kept + (got > 0 ? (size_t)got : 0);
    return got > 0;
}

char *rtm_procfs_lines_next(struct rtm_procfs_lines *lines)
{
    bool skipping = false;
    for (;;) {
        char *line = take_line(lines);
        if (!line && !read_on(lines, &skipping))
            return NULL;
        if (!line)
            continue;
        bool whole = strlen(line) + 1 == (size_t)(lines->bytes + lines->begin - line);
        if (whole && !skipping)
            return line;
        skipping = false;
    }
}

bool rtm_procfs_entries_open(struct rtm_procfs_entries *entries, int directory, const char *path)
{
    entries->begin = entries->end = 0;
    entries->failed = false;
    entries->fd = open_below(directory, path, O_DIRECTORY);
    return entries->fd >= 0;
}

void rtm_procfs_entries_close(struct rtm_procfs_entries *entries)
{
    close(entries->fd);
}

static const struct dirent64 *next_entry(struct rtm_procfs_entries *entries)
{
    if (entries->begin == entries->end) {
        ASKED();
        ssize_t got = getdents64(entries->fd, entries->bytes, sizeof entries->bytes);
        entries->failed = got < 0;
        if (got <= 0)
            return NULL;
        entries->begin = 0;
        entries->end = (size_t)got;
    }
    const struct dirent64 *entry = (const void *)(entries->bytes + entries->begin);
    entries->begin += entry->d_reclen;
    return entry;
}

bool rtm_procfs_entries_next(struct rtm_procfs_entries *entries, uint64_t *number)
{
    const struct dirent64 *entry;
    while ((entry = next_entry(entries))) {
        const char *name = entry->d_name;
        if (rtm_procfs_take_number(&name, number) && *name == '\0')
            return true;
    }
    return false;
}

uint64_t rtm_procfs_entry_count(const char *path)
{
    struct statfs system;
    struct stat status;
    int directory = rtm_procfs_directory();
    ASKED();
    /* Elsewhere the size of a directory is not its number of entries. */
    if (directory < 0 || fstatfs(directory, &system) != 0 || system.f_type != PROC_SUPER_MAGIC)
        return 0;
    if (!COUNTS_ALLOWED || fstatat(directory, path, &status, 0) != 0 || status.st_size < 0)
        return 0;
    return (uint64_t)status.st_size;
}

bool rtm_procfs_take_number(const char **text, uint64_t *number)
{
    const char *digit = *text + strspn(*text, " \t");
    uint64_t sum = 0;
    if (*digit < '0' || *digit > '9')
        return false;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        uint64_t unit = (uint64_t)(*digit - '0');
        if (sum > ((uint64_t)INT64_MAX - unit) / 10)
            return false;
        sum = sum * 10 + unit;
    }
    *text = digit;
    *number = sum;
    return true;
}

char *rtm_procfs_take_word(char **text)
{
    char *word = *text;
    if (*word == '\0')
        return NULL;
    size_t length = strcspn(word, " ");
    *text = word + length;
    if (word[length] != '\0') {
        word[length] = '\0';
        (*text)++;
    }
    return word;
}
