#define _GNU_SOURCE
#include "agent/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/fork_fds.h"

enum { BACKLOG = 128, PORT_MAX = 65535 };

#define UNIX_PREFIX "unix:"
#define EXAMPLE "127.0.0.1:6060"

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

struct target {
    bool is_unix, is_everywhere;
    union address address;
    char path[RTM_LISTEN_TEXT_MAX]; /* %p not yet replaced */
};

/* --- What the text says */

static bool refuse(struct rtm_error *err, const char *text, const char *why)
{
    return rtm_error_set(err, "cannot listen on %s: %s", text, why);
}

static bool parse_unix(struct target *target, const char *text, struct rtm_error *err)
{
    const char *path = text + strlen(UNIX_PREFIX);
    target->is_unix = true;
    if (path[0] != '/')
        return refuse(err, text,
                      "the path of a unix socket must be absolute, as in "
                      "unix:/run/app.sock");
    if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return refuse(err, text, "the path of a unix socket has 107 bytes at most");
    snprintf(target->path, sizeof target->path, "%s", path);
    return true;
}

static bool parse_port(const char *digits, unsigned *port)
{
    size_t length = strlen(digits);
    *port = (unsigned)strtoul(digits, NULL, 10);
    return length > 0 && length <= 5 && strspn(digits, "0123456789") == length && *port <= PORT_MAX;
}

static bool set_ipv4(struct target *target, const char *host, unsigned port)
{
    target->address.ipv4.sin_family = AF_INET;
    target->address.ipv4.sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &target->address.ipv4.sin_addr) == 1;
}

static bool set_ipv6(struct target *target, const char *host, unsigned port)
{
    target->address.ipv6.sin6_family = AF_INET6;
    target->address.ipv6.sin6_port = htons((uint16_t)port);
    return inet_pton(AF_INET6, host, &target->address.ipv6.sin6_addr) == 1;
}

static bool set_host(struct target *target, char *host, unsigned port)
{
    size_t length = strlen(host);
    if (length == 0) {
        target->is_everywhere = true;
        return set_ipv6(target, "::", port);
    }
    if (host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        return set_ipv6(target, host + 1, port);
    }
    return set_ipv4(target, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, port);
}

static bool parse_tcp(struct target *target, const char *text, struct rtm_error *err)
{
    char host[RTM_LISTEN_TEXT_MAX];
    unsigned port;
    const char *colon = strrchr(text, ':');
    if (strspn(text, "0123456789") == strlen(text))
        return refuse(err, text, "an address is missing, as in " EXAMPLE);
    if (!colon || (text[0] == '[' && colon[-1] != ']'))
        return refuse(err, text, "a port is missing, as in " EXAMPLE);
    if (!parse_port(colon + 1, &port))
        return refuse(err, text, "the port must be a number from 0 to 65535");
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    if (strchr(host, ':') && host[0] != '[')
        return refuse(err, text, "an IPv6 address stands in brackets, as in [::1]:6060");
    if (!set_host(target, host, port))
        return refuse(err, text, "not an IP address, localhost or unix:/path");
    return true;
}

static bool parse(struct target *target, const char *text, struct rtm_error *err)
{
    memset(target, 0, sizeof *target);
    if (strlen(text) >= RTM_LISTEN_TEXT_MAX)
        return rtm_error_set(err, "cannot listen: the address is longer than %d bytes",
                             RTM_LISTEN_TEXT_MAX - 1);
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_unix(target, text, err);
    return parse_tcp(target, text, err);
}

bool rtm_listen_check(const char *text, struct rtm_error *err)
{
    struct target target;
    return parse(&target, text, err);
}

static bool is_loopback4(const struct in_addr *address)
{
    return ntohl(address->s_addr) >> 24 == 127;
}

static bool is_loopback6(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

static bool is_loopback(const struct target *target)
{
    if (target->is_unix)
        return true;
    if (target->address.any.sa_family == AF_INET6)
        return is_loopback6(&target->address.ipv6.sin6_addr);
    return is_loopback4(&target->address.ipv4.sin_addr);
}

bool rtm_listen_is_loopback(const char *text)
{
    struct target target;
    struct rtm_error ignored;
    return parse(&target, text, &ignored) && is_loopback(&target);
}

/* --- TCP */

static void describe_tcp(struct rtm_listener *listener)
{
    union address bound = {.any.sa_family = AF_UNSPEC};
    socklen_t length = sizeof bound;
    char host[INET6_ADDRSTRLEN] = "?";
    if (getsockname(listener->fd, &bound.any, &length) != 0)
        return;
    bool is_ipv6 = bound.any.sa_family == AF_INET6;
    listener->port = ntohs(is_ipv6 ? bound.ipv6.sin6_port : bound.ipv4.sin_port);
    inet_ntop(bound.any.sa_family,
              is_ipv6 ? (const void *)&bound.ipv6.sin6_addr : &bound.ipv4.sin_addr, host,
              sizeof host);
    snprintf(listener->address, sizeof listener->address, is_ipv6 ? "[%s]:%u" : "%s:%u", host,
             listener->port);
}

static int bind_tcp(const struct rtm_listener *listener, const struct target *target)
{
    const int on = 1, v6_only = !target->is_everywhere;
    bool is_ipv6 = target->address.any.sa_family == AF_INET6;
    socklen_t length = is_ipv6 ? sizeof target->address.ipv6 : sizeof target->address.ipv4;
    /* what this needs is a port whose last connections are still winding down, and nothing else */
    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (is_ipv6)
        setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    if (bind(listener->fd, &target->address.any, length) != 0 || listen(listener->fd, BACKLOG) != 0)
        return errno;
    return 0;
}

static int open_socket(struct rtm_listener *listener, int family)
{
    listener->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return listener->fd < 0 ? errno : 0;
}

static void close_socket(struct rtm_listener *listener)
{
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
}

static int open_tcp(struct rtm_listener *listener, const struct target *target)
{
    int code = open_socket(listener, target->address.any.sa_family);
    if (code == 0)
        code = bind_tcp(listener, target);
    if (code == 0)
        describe_tcp(listener);
    return code;
}

/* Everywhere is one socket for both families, or one for IPv4 where the kernel has no IPv6. */
static int open_tcp_or_ipv4(struct rtm_listener *listener, struct target *target)
{
    int code = open_tcp(listener, target);
    if (!target->is_everywhere || (code != EAFNOSUPPORT && code != EADDRNOTAVAIL))
        return code;
    close_socket(listener);
    unsigned port = ntohs(target->address.ipv6.sin6_port);
    memset(&target->address, 0, sizeof target->address);
    set_ipv4(target, "0.0.0.0", port);
    return open_tcp(listener, target);
}

/* --- Unix sockets */

/* False: too long. */
static bool expand_path(char *out, size_t size, const char *path)
{
    size_t length = 0;
    for (const char *at = path; *at; at++) {
        bool is_pid = at[0] == '%' && at[1] == 'p';
        int wrote = is_pid ? snprintf(out + length, size - length, "%ld", (long)getpid())
                           : snprintf(out + length, size - length, "%c", *at);
        length += (size_t)wrote;
        if (length >= size)
            return false;
        at += is_pid;
    }
    return true;
}

static bool is_same_file(const char *path, dev_t device, ino_t inode)
{
    struct stat file;
    return lstat(path, &file) == 0 && file.st_dev == device && file.st_ino == inode;
}

/* Is somebody behind the socket? Asked with our own, which can still be bound when that was
   refused. Who is too busy to take another client is there as well. 0: nobody. */
static int ask_who_is_there(const struct rtm_listener *listener, const struct sockaddr_un *address)
{
    if (connect(listener->fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
        errno == EAGAIN)
        return EADDRINUSE;
    return errno == ECONNREFUSED || errno == ENOENT ? 0 : errno;
}

/* NULL: the place is free now. */
static const char *clear_place(const struct rtm_listener *listener,
                               const struct sockaddr_un *address)
{
    struct stat file;
    if (lstat(address->sun_path, &file) != 0)
        return NULL; /* bind says it if it is more than not being there */
    if (!S_ISSOCK(file.st_mode))
        return "a file that is no socket is there";
    if (file.st_uid != geteuid())
        return "a socket of another user is there";
    int code = ask_who_is_there(listener, address);
    if (code != 0)
        return strerror(code);
    if (is_same_file(address->sun_path, file.st_dev, file.st_ino))
        unlink(address->sun_path);
    return NULL;
}

/* Gives back the bits that the umask took. By a descriptor: the name may be another file's by now.
 */
static int widen_mode(const struct rtm_listener *listener, mode_t mode)
{
    struct stat file;
    char link[64];
    int fd = open(listener->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int code = 0;
    if (fstat(fd, &file) != 0 || file.st_dev != listener->device || file.st_ino != listener->inode)
        code = EADDRINUSE;
    else if (chmod(link, mode) != 0)
        code = errno;
    close(fd);
    return code;
}

/* The mode is the socket's before it has a name, so that there is no moment in which it is wider.
 */
static int bind_unix(struct rtm_listener *listener, const struct sockaddr_un *address, mode_t mode)
{
    struct stat file;
    if (fchmod(listener->fd, mode) != 0 ||
        bind(listener->fd, (const struct sockaddr *)address, sizeof *address) != 0)
        return errno;
    if (lstat(listener->path, &file) != 0 || !S_ISSOCK(file.st_mode))
        return EADDRINUSE; /* somebody has replaced it already */
    listener->owner = getpid();
    listener->device = file.st_dev;
    listener->inode = file.st_ino;
    int code = (file.st_mode & 07777) == mode ? 0 : widen_mode(listener, mode);
    if (code == 0 && listen(listener->fd, BACKLOG) != 0)
        code = errno;
    return code;
}

static bool open_unix(struct rtm_listener *listener, const struct target *target, const char *text,
                      mode_t mode, struct rtm_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!expand_path(address.sun_path, sizeof address.sun_path, target->path))
        return refuse(err, text, "the path of a unix socket has 107 bytes at most");
    snprintf(listener->address, sizeof listener->address, UNIX_PREFIX "%s", address.sun_path);
    snprintf(listener->path, sizeof listener->path, "%s", address.sun_path);
    int code = open_socket(listener, AF_UNIX);
    const char *why = code == 0 ? clear_place(listener, &address) : strerror(code);
    if (why)
        return refuse(err, listener->address, why);
    code = bind_unix(listener, &address, mode);
    return code == 0 || refuse(err, listener->address, strerror(code));
}

/* --- Opening and closing */

bool rtm_listen_open(struct rtm_listener *listener, const char *text, mode_t mode,
                     struct rtm_error *err)
{
    struct target target;
    *listener = (struct rtm_listener){.fd = -1};
    if (!parse(&target, text, err))
        return false;
    listener->is_unix = target.is_unix;
    listener->is_loopback = is_loopback(&target);
    bool ok;
    if (target.is_unix) {
        ok = open_unix(listener, &target, text, mode, err);
    } else {
        int code = open_tcp_or_ipv4(listener, &target);
        ok = code == 0 || refuse(err, text, strerror(code));
    }
    if (!ok)
        rtm_listen_close(listener);
    return ok;
}

static void unlink_path(const struct rtm_listener *listener)
{
    if (listener->path[0] && listener->owner == getpid() &&
        is_same_file(listener->path, listener->device, listener->inode))
        unlink(listener->path);
}

void rtm_listen_close(struct rtm_listener *listener)
{
    if (listener->fd < 0)
        return;
    unlink_path(listener);
    close_socket(listener);
}

void rtm_listen_shut(struct rtm_listener *listener)
{
    if (listener->fd < 0)
        return;
    unlink_path(listener);
    rtm_fork_fds_begin();
    if (rtm_fork_fds_holds(listener->fd))
        shutdown(listener->fd, SHUT_RDWR);
    rtm_fork_fds_end();
}
