#define _GNU_SOURCE
#include "os/self.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const struct rtm_procfs_value unknown;

static struct rtm_procfs_value known_count(uint64_t count)
{
    return (struct rtm_procfs_value){.known = true, .uint64 = count};
}

static struct rtm_procfs_value known_seconds(double seconds)
{
    return (struct rtm_procfs_value){.known = true, .float64 = seconds};
}

static struct rtm_procfs_value soft_limit(int resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return unknown;
    return known_count(limit.rlim_cur);
}

/* The lines of /proc/self/status that we want: their name, the text behind the number, and what the
   number is multiplied with. */
static const struct status_line {
    const char *name;
    const char *unit;
    uint64_t factor;
    size_t offset;
} status_lines[] = {
    {"VmPeak:", " kB", 1024, offsetof(struct rtm_self_memory, virtual_peak_bytes)},
    {"VmSize:", " kB", 1024, offsetof(struct rtm_self_memory, virtual_bytes)},
    {"VmHWM:", " kB", 1024, offsetof(struct rtm_self_memory, resident_peak_bytes)},
    {"VmRSS:", " kB", 1024, offsetof(struct rtm_self_memory, resident_bytes)},
    {"VmSwap:", " kB", 1024, offsetof(struct rtm_self_memory, swapped_bytes)},
    {"Threads:", "", 1, offsetof(struct rtm_self_memory, threads)},
};

/* Returns whether it was a line that we want. */
static bool take_status_line(struct rtm_self_memory *memory, const char *line)
{
    for (size_t i = 0; i < RTM_COUNT_OF(status_lines); i++) {
        const struct status_line *wanted = &status_lines[i];
        size_t length = strlen(wanted->name);
        if (strncmp(line, wanted->name, length) != 0)
            continue;
        uint64_t number;
        line += length;
        if (rtm_procfs_take_number(&line, &number) && strcmp(line, wanted->unit) == 0 &&
            number <= (uint64_t)INT64_MAX / wanted->factor)
            *(struct rtm_procfs_value *)((char *)memory + wanted->offset) =
                known_count(number * wanted->factor);
        return true;
    }
    return false;
}

void rtm_self_read_memory(struct rtm_self_memory *memory)
{
    struct rtm_procfs_lines lines;
    const char *line;
    *memory = (struct rtm_self_memory){.virtual_limit_bytes = soft_limit(RLIMIT_AS)};
    if (!rtm_procfs_lines_open(&lines, rtm_procfs_directory(), "self/status"))
        return;
    size_t missing = RTM_COUNT_OF(status_lines);
    while (missing > 0 && (line = rtm_procfs_lines_next(&lines)))
        missing -= take_status_line(memory, line);
    rtm_procfs_lines_close(&lines);
}

/* The fields of a stat file, numbered as in proc(5); signed ones and the first three read as 0. */
enum {
    FIELD_STATE = 3,
    FIELD_MINOR_FAULTS = 10,
    FIELD_MAJOR_FAULTS = 12,
    FIELD_CPU_USER = 14,
    FIELD_CPU_SYSTEM = 15,
    FIELD_START = 22,
    FIELDS = 25,
};

struct stat_file {
    const char *name; /* into `text` */
    char state;
    uint64_t fields[FIELDS];
    char text[RTM_PROCFS_TEXT_SIZE];
};

static bool take_field(const char **text, uint64_t *field)
{
    if (*(*text)++ != ' ')
        return false;
    bool negative = **text == '-';
    *text += negative;
    if (**text == ' ' || !rtm_procfs_take_number(text, field))
        return false;
    if (negative)
        *field = 0;
    return **text == ' ' || **text == '\0';
}

/* A thread may call itself "a) R (b": its name ends at the last parenthesis of the file. */
static bool read_stat(const char *path, struct stat_file *stat)
{
    memset(stat->fields, 0, sizeof stat->fields);
    if (!rtm_procfs_read(rtm_procfs_directory(), path, stat->text, sizeof stat->text))
        return false;
    char *first = strchr(stat->text, '(');
    char *last = strrchr(stat->text, ')');
    if (!first || !last || last < first || last[1] != ' ' || last[2] == '\0')
        return false;
    *last = '\0';
    stat->name = first + 1;
    stat->state = last[2];
    const char *rest = last + 3;
    for (int field = FIELD_STATE + 1; field < FIELDS; field++) {
        if (!take_field(&rest, &stat->fields[field]))
            return false;
    }
    return true;
}

static double ticks_to_seconds(uint64_t ticks)
{
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double timeval_to_seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void usage_from_stat(struct rtm_self_usage *usage)
{
    struct stat_file stat;
    if (!read_stat("self/stat", &stat))
        return;
    usage->cpu_user_s = known_seconds(ticks_to_seconds(stat.fields[FIELD_CPU_USER]));
    usage->cpu_system_s = known_seconds(ticks_to_seconds(stat.fields[FIELD_CPU_SYSTEM]));
    usage->minor_faults = known_count(stat.fields[FIELD_MINOR_FAULTS]);
    usage->major_faults = known_count(stat.fields[FIELD_MAJOR_FAULTS]);
}

void rtm_self_read_usage(struct rtm_self_usage *usage)
{
    struct rusage told;
    *usage = (struct rtm_self_usage){0};
    if (getrusage(RUSAGE_SELF, &told) != 0) {
        usage_from_stat(usage);
        return;
    }
    usage->cpu_user_s = known_seconds(timeval_to_seconds(told.ru_utime));
    usage->cpu_system_s = known_seconds(timeval_to_seconds(told.ru_stime));
    usage->minor_faults = known_count((uint64_t)told.ru_minflt);
    usage->major_faults = known_count((uint64_t)told.ru_majflt);
    usage->voluntary_switches = known_count((uint64_t)told.ru_nvcsw);
    usage->involuntary_switches = known_count((uint64_t)told.ru_nivcsw);
}

static struct rtm_procfs_value count_descriptors(struct rtm_procfs_value limit)
{
    struct rtm_procfs_entries entries;
    uint64_t count = rtm_procfs_entry_count("self/fd");
    uint64_t fd;
    if (count > 0)
        return known_count(count);
    if (!rtm_procfs_entries_open(&entries, rtm_procfs_directory(), "self/fd")) {
        /* Every number below the limit is in use: that is the answer, when it matters most. */
        return errno == EMFILE ? limit : unknown;
    }
    while (rtm_procfs_entries_next(&entries, &fd))
        count += fd != (uint64_t)entries.fd;
    rtm_procfs_entries_close(&entries);
    return entries.failed ? unknown : known_count(count);
}

void rtm_self_read_descriptors(struct rtm_self_descriptors *descriptors)
{
    descriptors->limit = soft_limit(RLIMIT_NOFILE);
    descriptors->open = count_descriptors(descriptors->limit);
}

/* The kernel tells the start in ticks since it booted, on the clock that also runs while the
   machine sleeps. That clock, unlike "btime" of /proc/stat, has no rounding to seconds, is true in
   a time namespace, and is not rewritten by lxcfs. */
void rtm_self_read_start(struct rtm_procfs_value *start_s)
{
    struct stat_file stat;
    struct timespec wall, boot;
    *start_s = unknown;
    if (!read_stat("self/stat", &stat) || clock_gettime(CLOCK_REALTIME, &wall) != 0 ||
        clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
        return;
    double since_boot_s = (double)boot.tv_sec + (double)boot.tv_nsec / 1e9;
    double age_s = since_boot_s - ticks_to_seconds(stat.fields[FIELD_START]);
    if (age_s >= 0)
        *start_s = known_seconds((double)wall.tv_sec + (double)wall.tv_nsec / 1e9 - age_s);
}

static bool read_thread(uint64_t id, struct rtm_self_thread *thread)
{
    struct stat_file stat;
    char path[64];
    snprintf(path, sizeof path, "self/task/%llu/stat", (unsigned long long)id);
    if (id > INT32_MAX || !read_stat(path, &stat))
        return false;
    thread->id = (int)id;
    snprintf(thread->name, sizeof thread->name, "%s", stat.name);
    thread->state = stat.state;
    thread->cpu_user_s = ticks_to_seconds(stat.fields[FIELD_CPU_USER]);
    thread->cpu_system_s = ticks_to_seconds(stat.fields[FIELD_CPU_SYSTEM]);
    return true;
}

bool rtm_self_list_threads(struct rtm_self_thread *threads, size_t capacity, size_t *listed,
                           size_t *living, struct rtm_error *err)
{
    struct rtm_procfs_entries entries;
    uint64_t id;
    *listed = *living = 0;
    rtm_procfs_open();
    bool opened = rtm_procfs_entries_open(&entries, rtm_procfs_directory(), "self/task");
    if (!opened)
        rtm_error_set(err, "cannot read /proc/self/task: %s", strerror(errno));
    while (opened && rtm_procfs_entries_next(&entries, &id)) {
        (*living)++;
        if (*listed < capacity && read_thread(id, &threads[*listed]))
            (*listed)++;
    }
    if (opened)
        rtm_procfs_entries_close(&entries);
    rtm_procfs_close();
    return opened && (!entries.failed || rtm_error_set(err, "cannot read /proc/self/task"));
}

static const struct {
    char letter;
    const char *meaning;
} thread_states[] = {
    {'R', "running"}, {'S', "sleeping"},     {'D', "waiting for the disk"},
    {'T', "stopped"}, {'t', "being traced"}, {'Z', "zombie"},
    {'X', "dead"},    {'I', "idle"},         {'P', "parked"},
};

const char *rtm_self_thread_state(char letter)
{
    for (size_t i = 0; i < RTM_COUNT_OF(thread_states); i++) {
        if (thread_states[i].letter == letter)
            return thread_states[i].meaning;
    }
    return "unknown";
}

int rtm_self_pid(void)
{
    return (int)getpid();
}
