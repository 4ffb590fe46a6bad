/* Files of /proc, and of other directories whose files are made by the kernel: short texts that end
   with a newline. Whatever is missing, cut short, too long or not what was expected reads as "not
   known"; nothing is ever guessed from a part.

   Of /proc one descriptor is kept (O_PATH, shared by all VMs), and each file is opened below it,
   read and closed: "self/stat" is looked up at each call, so that a forked child finds itself there
   and never its parent, even after a chroot. Descriptors of the files themselves would save 4 us a
   read (status: 10.6 us, with pread on a kept descriptor 6.8 us; stat 7.1 and 3.0 us; Linux 6.18),
   once a second, but would show the parent in a child and would cost two more descriptors.

   Runs: any thread but in a signal handler. */
#ifndef RTM_OS_PROCFS_H
#define RTM_OS_PROCFS_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ground/check.h"

#define RTM_PROCFS_TEXT_SIZE 4096

/* A figure that the kernel may or may not give. Counts and bytes are in `uint64`, seconds (fields
   that end in _s) in `float64`. */
struct rtm_procfs_value {
    bool known;
    union {
        uint64_t uint64;
        double float64;
    };
};

/* One more and one less user of /proc; between the two it stays open. */
void rtm_procfs_open(void);
void rtm_procfs_close(void);

/* The descriptor of /proc, -1 if there is none (every read below it then fails). */
int rtm_procfs_directory(void);

/* Reads a whole file below `directory` into `text`, without its last newline. Returns false, with
   errno set, if it cannot be opened or read, and with errno = EILSEQ if it is empty, does not end
   with a newline, holds a NUL or does not fit. */
bool rtm_procfs_read(int directory, const char *path, char *text, size_t size) RTM_MUST_USE;

/* A file line by line, whatever its length. Lines that are longer than the buffer, hold a NUL or
   lack their newline are left out. */
struct rtm_procfs_lines {
    int fd;
    size_t begin;
    size_t end;
    char bytes[RTM_PROCFS_TEXT_SIZE];
};

bool rtm_procfs_lines_open(struct rtm_procfs_lines *lines, int directory,
                           const char *path) RTM_MUST_USE;
/* The next line, valid until the next call and writable by the caller; NULL at the end. */
char *rtm_procfs_lines_next(struct rtm_procfs_lines *lines);
void rtm_procfs_lines_close(struct rtm_procfs_lines *lines);

/* The entries of a directory whose names are numbers (fd, task). */
struct rtm_procfs_entries {
    int fd;
    size_t begin;
    size_t end;
    bool failed; /* an entry may be missing: the kernel refused to go on */
    alignas(8) char bytes[RTM_PROCFS_TEXT_SIZE];
};

/* Returns false, with errno set, if the directory cannot be opened. */
bool rtm_procfs_entries_open(struct rtm_procfs_entries *entries, int directory,
                             const char *path) RTM_MUST_USE;
bool rtm_procfs_entries_next(struct rtm_procfs_entries *entries, uint64_t *number);
void rtm_procfs_entries_close(struct rtm_procfs_entries *entries);

/* How many entries the kernel says that a directory of /proc has, without opening it (fd, since
   Linux 6.2); 0 if it does not say. */
uint64_t rtm_procfs_entry_count(const char *path);

/* Takes a decimal number below 2^63, after blanks, from `*text`, and moves `*text` behind it. */
bool rtm_procfs_take_number(const char **text, uint64_t *number) RTM_MUST_USE;

/* Ends the word at `*text` with a NUL, moves `*text` behind the blank that stood there, and returns
   the word; NULL at the end of the text. */
char *rtm_procfs_take_word(char **text);

#ifdef RTM_TEST_SEAMS
/* Test builds only; set while no other thread reads. */
struct rtm_procfs_seams {
    ssize_t (*read)(int fd, void *bytes, size_t size);
    bool no_entry_counts;   /* as a kernel before 6.2 */
    _Atomic uint64_t asked; /* how often the kernel was asked something */
};
extern struct rtm_procfs_seams rtm_procfs_seams;
#endif

#endif
