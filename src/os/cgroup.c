#define _GNU_SOURCE
#include "os/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/directory.h"

/* Groups deeper than this are not nested in practice; each level costs a file to read. */
#define MAX_LEVELS 16

/* Version 1 says "no limit" by a number: the highest multiple of the page size below 2^63. */
#define NO_LIMIT_BYTES (UINT64_C(1) << 60)

struct version {
    const char *file_system;
    const char *controller; /* NULL: the one hierarchy of version 2 */
    const char *limit_file;
    const char *usage_file;
};

static const struct version version_1 = {"cgroup", "memory", "memory.limit_in_bytes",
                                         "memory.usage_in_bytes"};
static const struct version version_2 = {"cgroup2", NULL, "memory.max", "memory.current"};

/* Where the process is: a path as seen from the root of its cgroup namespace. */
struct membership {
    const struct version *version; /* NULL: nowhere */
    char path[RTM_DIRECTORY_PATH_SIZE];
};

/* Written by the first user while there is no other, then constant. */
static struct {
    const struct version *version;
    char root[RTM_DIRECTORY_PATH_SIZE]; /* the group that the mount shows as its top */
} mounted;

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *comma = list; comma; comma = strchr(list, ',')) {
        list = *comma == ',' ? comma + 1 : comma;
        if (strncmp(list, word, length) == 0 && (list[length] == ',' || list[length] == '\0'))
            return true;
    }
    return false;
}

static bool copy(char *to, size_t size, const char *from)
{
    return (size_t)snprintf(to, size, "%s", from) < size;
}

/* A line of /proc/self/cgroup: "4:memory:/path" in version 1, "0::/path" in version 2. Version 1
   wins where both are there: then version 2 has no memory controller. */
static void take_membership(struct membership *own, char *line)
{
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path || path[1] != '/' || own->version == &version_1)
        return;
    *path++ = '\0';
    controllers++;
    const struct version *version = *controllers == '\0' ? &version_2 : &version_1;
    if (version->controller && !has_word(controllers, version->controller))
        return;
    if (copy(own->path, sizeof own->path, path))
        own->version = version;
}

static void find_membership(struct membership *own)
{
    struct rtm_procfs_lines lines;
    char *line;
    own->version = NULL;
    if (!rtm_procfs_lines_open(&lines, rtm_procfs_directory(), "self/cgroup"))
        return;
    while ((line = rtm_procfs_lines_next(&lines)))
        take_membership(own, line);
    rtm_procfs_lines_close(&lines);
}

/* The part of `path` below `root`, without a leading slash; NULL if it does not lie there. */
static const char *path_below(const char *root, const char *path)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    const char *below = path + length + strspn(path + length, "/");
    bool climbs = strncmp(below, "..", 2) == 0 || strstr(below, "/..");
    return climbs ? NULL : below;
}

static bool is_octal(char byte)
{
    return byte >= '0' && byte <= '7';
}

/* mountinfo writes a blank in a path as \040. */
static void unescape(char *text)
{
    char *to = text;
    for (; *text; to++) {
        if (text[0] == '\\' && is_octal(text[1]) && is_octal(text[2]) && is_octal(text[3])) {
            *to = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *to = *text++;
        }
    }
    *to = '\0';
}

struct mount {
    char *root;
    char *point;
    char *file_system;
    char *options;
};

/* "31 23 0:28 /root /point options [tags ...] - type source options", see proc(5). */
static bool parse_mount(char *line, struct mount *mount)
{
    char *words[5];
    char *behind = strstr(line, " - ");
    if (!behind)
        return false;
    *behind = '\0';
    behind += 3;
    for (size_t i = 0; i < RTM_COUNT_OF(words); i++) {
        if (!(words[i] = rtm_procfs_take_word(&line)))
            return false;
    }
    mount->root = words[3];
    mount->point = words[4];
    mount->file_system = rtm_procfs_take_word(&behind);
    bool has_source = rtm_procfs_take_word(&behind);
    mount->options = rtm_procfs_take_word(&behind);
    unescape(mount->root);
    unescape(mount->point);
    return mount->file_system && has_source && mount->options;
}

static bool is_mount_of(const struct mount *mount, const struct membership *own)
{
    const struct version *version = own->version;
    return strcmp(mount->file_system, version->file_system) == 0 &&
           (!version->controller || has_word(mount->options, version->controller)) &&
           path_below(mount->root, own->path);
}

static bool find_mount(char *path, size_t size)
{
    struct membership own;
    struct rtm_procfs_lines lines;
    struct mount mount;
    bool found = false;
    char *line;
    find_membership(&own);
    if (!own.version || !rtm_procfs_lines_open(&lines, rtm_procfs_directory(), "self/mountinfo"))
        return false;
    while (!found && (line = rtm_procfs_lines_next(&lines)))
        found = parse_mount(line, &mount) && is_mount_of(&mount, &own);
    rtm_procfs_lines_close(&lines);
    mounted.version = own.version;
    return found && copy(mounted.root, sizeof mounted.root, mount.root) &&
           copy(path, size, mount.point);
}

static struct rtm_directory top = {.find = find_mount, .fd = -1};

void rtm_cgroup_open(void)
{
    rtm_directory_share(&top);
}

void rtm_cgroup_close(void)
{
    rtm_directory_release(&top);
}

/* A number, or "max" (no limit); errno tells ENOENT from what we do not understand. */
static bool read_bytes(int directory, const char *group, const char *file, uint64_t *bytes)
{
    char path[RTM_DIRECTORY_PATH_SIZE + 32];
    char text[64];
    const char *rest = text;
    snprintf(path, sizeof path, "%s%s%s", group, *group ? "/" : "", file);
    if (!rtm_procfs_read(directory, path, text, sizeof text))
        return false;
    if (strcmp(text, "max") == 0)
        *bytes = UINT64_MAX;
    else if (!rtm_procfs_take_number(&rest, bytes) || *rest != '\0') {
        errno = EILSEQ;
        return false;
    }
    return true;
}

/* Changes "a/b/c" to "a/b" and "a" to ""; false if there is nothing above. */
static bool go_up(char *group)
{
    if (*group == '\0')
        return false;
    char *slash = strrchr(group, '/');
    *(slash ? slash : group) = '\0';
    return true;
}

static struct rtm_procfs_value below_no_limit(uint64_t bytes)
{
    return (struct rtm_procfs_value){.known = bytes < NO_LIMIT_BYTES, .uint64 = bytes};
}

/* Changes `group`. A level without the file has no limit (the top of all has none); one that we
   cannot read might have any. */
static struct rtm_procfs_value lowest_limit(int directory, char *group)
{
    uint64_t lowest = UINT64_MAX;
    int level = 0;
    do {
        uint64_t limit = UINT64_MAX;
        if (!read_bytes(directory, group, mounted.version->limit_file, &limit) && errno != ENOENT)
            return (struct rtm_procfs_value){0};
        if (limit < lowest)
            lowest = limit;
    } while (++level < MAX_LEVELS && go_up(group));
    return below_no_limit(lowest);
}

static bool keep_part_below(const char *root, char *path)
{
    const char *below = path_below(root, path);
    if (below)
        memmove(path, below, strlen(below) + 1);
    return below;
}

void rtm_cgroup_read_memory(struct rtm_cgroup_memory *memory)
{
    struct membership own;
    uint64_t used;
    *memory = (struct rtm_cgroup_memory){0};
    int directory = rtm_directory_borrow(&top);
    if (directory < 0)
        return;
    find_membership(&own);
    if (!own.version || own.version != mounted.version || !keep_part_below(mounted.root, own.path))
        return;
    if (read_bytes(directory, own.path, mounted.version->usage_file, &used))
        memory->used_bytes = below_no_limit(used);
    if (*own.path == '\0' || faccessat(directory, own.path, F_OK, 0) == 0)
        memory->limit_bytes = lowest_limit(directory, own.path);
}
