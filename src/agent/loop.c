#define _GNU_SOURCE
#include "agent/loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/complaint.h"
#include "os/clock.h"
#include "os/fork_fds.h"

enum { WAKE = 0, HTTP = 1, LISTENER = 2, PLACES = 3 };

#define NS_PER_MS UINT64_C(1000000)
#define NEVER UINT64_MAX

static const uint64_t rest_ns = 250 * NS_PER_MS;

static unsigned taken_places(const struct rtm_loop *loop)
{
    return loop->http.connections.count;
}

/* From when on another client can be taken; 0: there is room. Where a place is being cleared
   already, the next one waits for that, also because of the memory that a closing connection has.
 */
static uint64_t room_ns(const struct rtm_loop *loop)
{
    const struct rtm_connection_list *list = &loop->http.connections;
    if (loop->rest_until_ns)
        return loop->rest_until_ns;
    if (list->closing > 0)
        return NEVER;
    return list->count < loop->max_connections ? 0 : rtm_connection_evictable_ns(list);
}

static void evict(struct rtm_loop *loop, unsigned count)
{
    struct rtm_agent_stats *stats = loop->http.api->agent_stats;
    rtm_atomic_add(&stats->evicted, count);
}

/* Errors of one client (it has gone again) are nothing; those of the system stay for a while, and
   the listener would be readable all the time. */
static void rest(struct rtm_loop *loop, uint64_t now_ns)
{
    rtm_complaint_write("cannot accept a connection: %s", strerror(errno));
    loop->rest_until_ns = now_ns + rest_ns;
}

static bool is_about_client(int code)
{
    return code == ECONNABORTED || code == EINTR || code == EPROTO || code == EPERM ||
           code == ENETDOWN || code == EHOSTDOWN || code == EHOSTUNREACH || code == ENETUNREACH ||
           code == ENONET || code == ENOPROTOOPT || code == EOPNOTSUPP;
}

/* A fork waits from the new descriptor's making to its entry in the table. */
static void accept_one(struct rtm_loop *loop, uint64_t now_ns)
{
    struct rtm_agent_stats *stats = loop->http.api->agent_stats;
    rtm_http_hold_forks(&loop->http);
    int fd = accept4(loop->listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        rtm_http_adopt(&loop->http, fd, now_ns);
        rtm_atomic_add(&stats->accepted, 1);
        return;
    }
    rtm_http_release_forks(&loop->http);
    if (errno != EAGAIN && !is_about_client(errno))
        rest(loop, now_ns);
}

/* One in a turn: its answer may have another one go, whose memory is to be free before the next. */
static void accept_client(struct rtm_loop *loop, uint64_t now_ns)
{
    struct rtm_connection_list *list = &loop->http.connections;
    if (list->count < loop->max_connections)
        accept_one(loop, now_ns);
    else if (list->closing == 0 && rtm_connection_evict(list, now_ns))
        evict(loop, 1);
}

/* -1: until something happens. */
static int timeout_ms(const struct rtm_loop *loop, uint64_t now_ns, uint64_t client_ns)
{
    uint64_t next_ns = loop->http.connections.next_ns;
    if (rtm_http_is_pending(&loop->http))
        return 0;
    if (client_ns > now_ns && client_ns < next_ns)
        next_ns = client_ns;
    if (next_ns == NEVER)
        return -1;
    uint64_t left_ms = next_ns > now_ns ? (next_ns - now_ns) / NS_PER_MS + 1 : 0;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* Who closes all descriptors of the process closes ours; their numbers may be somebody else's soon,
   so nothing is tried again. */
static void give_up(struct rtm_loop *loop)
{
    loop->is_broken = true;
    rtm_complaint_write("it stops, as the program has closed its descriptors");
    rtm_fork_fds_begin();
    rtm_fork_fds_clear();
    rtm_fork_fds_end();
}

/* Looked at before the library touches its sockets: it ends the process where one is not its own.
 */
static bool are_ours(const struct rtm_loop *loop)
{
    rtm_fork_fds_begin();
    bool holds_all = rtm_fork_fds_holds(loop->wake_fd) && rtm_fork_fds_holds(loop->http.fd) &&
                     rtm_fork_fds_holds(loop->listener->fd);
    rtm_fork_fds_end();
    return holds_all;
}

/* poll wants a limit of at least three descriptors, and a sandbox may set one of none: then nobody
   can be served, and the thread only looks now and then whether it is to end. */
static void bear_failure(void)
{
    static const struct timespec pause = {.tv_sec = 1};
    if (errno == EINTR)
        return;
    rtm_complaint_write("cannot wait for clients: %s", strerror(errno));
    nanosleep(&pause, NULL);
}

static void turn(struct rtm_loop *loop)
{
    uint64_t now_ns = rtm_clock_monotonic_ns(), client_ns = room_ns(loop);
    struct pollfd places[PLACES] = {
        [WAKE] = {.fd = loop->wake_fd, .events = POLLIN},
        [HTTP] = {.fd = loop->http.fd, .events = POLLIN},
        [LISTENER] = {.fd = client_ns <= now_ns ? loop->listener->fd : -1, .events = POLLIN},
    };
    if (poll(places, PLACES, timeout_ms(loop, now_ns, client_ns)) < 0) {
        bear_failure();
        return;
    }
    if (atomic_load(&loop->is_stopping))
        return;
    now_ns = rtm_clock_monotonic_ns();
    if (now_ns >= loop->rest_until_ns)
        loop->rest_until_ns = 0;
    /* first, so that nobody is late for whom we had no time */
    if (!are_ours(loop) || !rtm_http_work(&loop->http)) {
        give_up(loop);
        return;
    }
    evict(loop, rtm_connection_expire(&loop->http.connections, now_ns));
    if (places[LISTENER].revents & POLLIN)
        accept_client(loop, now_ns);
    rtm_atomic_set(&loop->http.api->agent_stats->connections, taken_places(loop));
}

void rtm_loop_run(struct rtm_loop *loop)
{
    while (!loop->is_broken && !atomic_load(&loop->is_stopping))
        turn(loop);
}

bool rtm_loop_is_broken(const struct rtm_loop *loop)
{
    return loop->is_broken;
}

void rtm_loop_stop(struct rtm_loop *loop)
{
    static const uint64_t one = 1;
    atomic_store(&loop->is_stopping, true);
    rtm_fork_fds_begin();
    bool is_ours = rtm_fork_fds_holds(loop->wake_fd);
    rtm_fork_fds_end();
    /* the only failure there can be is a counter that is full, and then the thread wakes as well */
    if (is_ours && write(loop->wake_fd, &one, sizeof one) < 0)
        return;
}

static bool open_wake_fd(struct rtm_loop *loop, struct rtm_error *err)
{
    rtm_fork_fds_begin();
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = errno;
    bool ok = loop->wake_fd >= 0 && rtm_fork_fds_add(loop->wake_fd);
    rtm_fork_fds_end();
    return ok || rtm_error_set(err, "cannot make an eventfd: %s", strerror(code));
}

bool rtm_loop_open(struct rtm_loop *loop, const struct rtm_api *api, struct rtm_listener *listener,
                   struct rtm_guard *guard, const struct rtm_loop_options *options,
                   struct rtm_error *err)
{
    *loop = (struct rtm_loop){
        .listener = listener, .max_connections = options->max_connections, .wake_fd = -1};
    if (open_wake_fd(loop, err) &&
        rtm_http_open(&loop->http, api, guard, options->max_connections,
                      (uint64_t)(options->deadline_s * (double)RTM_CLOCK_NS_PER_S), err))
        return true;
    rtm_loop_close(loop);
    return false;
}

/* What is broken stays open: which numbers are still ours cannot be known. */
void rtm_loop_close(struct rtm_loop *loop)
{
    if (loop->is_broken)
        return;
    rtm_http_close(&loop->http);
    if (loop->wake_fd < 0)
        return;
    rtm_fork_fds_begin();
    rtm_fork_fds_remove(loop->wake_fd);
    close(loop->wake_fd);
    loop->wake_fd = -1;
    rtm_fork_fds_end();
}
