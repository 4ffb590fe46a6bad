#include "agent/http.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/complaint.h"
#include "agent/request.h"
#include "os/clock.h"
#include "os/fork_fds.h"

enum {
    MEMORY_BYTES = 32 << 10, /* of a connection: what a request's head and an answer's may take */
    BODY_BYTES = 8 << 20,    /* that clients are taking, together; one body always may */
    SPARE_CONNECTIONS = 8,   /* closed ones count with the library until it has tidied up */
};

/* --- Descriptors, and forks by other threads */

void rtm_http_hold_forks(struct rtm_http *http)
{
    if (http->holds_forks)
        return;
    rtm_fork_fds_begin();
    http->holds_forks = true;
}

void rtm_http_release_forks(struct rtm_http *http)
{
    if (!http->holds_forks)
        return;
    http->holds_forks = false;
    rtm_fork_fds_end();
}

/* --- Answers */

static void forget_body(void *subject)
{
    struct rtm_connection *connection = subject;
    struct rtm_http *http = connection->owner;
    rtm_connection_forget_body(&http->connections, connection);
    http->api->release(&connection->response);
    if (connection->is_gone)
        rtm_connection_delete(&http->connections, connection);
}

static void count_answer(struct rtm_http *http, const struct rtm_route_response *response)
{
    struct rtm_agent_stats *stats = http->api->agent_stats;
    rtm_atomic_add(&stats->requests, 1);
    if (response->status >= 500)
        rtm_atomic_add(&stats->failed, 1);
    else if (response->status >= 400)
        rtm_atomic_add(&stats->refused, 1);
}

static bool add_header(struct MHD_Response *answer, const char *name, const char *value)
{
    return MHD_add_response_header(answer, name, value) == MHD_YES;
}

/* All of them or no answer: without one the client may take the body for something else. */
static bool add_headers(struct MHD_Response *answer, const struct rtm_route_response *response,
                        bool must_close)
{
    for (unsigned i = 0; i < response->header_count; i++) {
        if (!add_header(answer, response->headers[i].name, response->headers[i].value))
            return false;
    }
    return !must_close || add_header(answer, MHD_HTTP_HEADER_CONNECTION, "close");
}

/* MHD_NO has the library close the connection. */
static enum MHD_Result send_response(struct rtm_http *http, struct rtm_connection *connection,
                                     struct MHD_Connection *library, bool must_close)
{
    struct rtm_route_response *response = &connection->response;
    struct MHD_Response *answer = MHD_create_response_from_buffer_with_free_callback_cls(
        response->body.length, response->body.bytes, forget_body, connection);
    if (!answer) {
        http->api->release(response);
        return MHD_NO;
    }
    rtm_connection_keep_body(&http->connections, connection, response->body.length);
    enum MHD_Result result = MHD_NO;
    if (add_headers(answer, response, must_close)) {
        count_answer(http, response);
        result = MHD_queue_response(library, (unsigned)response->status, answer);
    }
    MHD_destroy_response(answer); /* our share of it */
    return result;
}

static void judge(struct rtm_http *http, struct rtm_connection *connection,
                  const struct rtm_request *request, struct rtm_guard_verdict *verdict)
{
    const struct rtm_route *route = http->api->find_route(request->guard.path);
    *verdict = (struct rtm_guard_verdict){0};
    if (rtm_request_is_target_too_long(connection))
        *verdict = (struct rtm_guard_verdict){
            .status = 414, .text = "The URL is too long.", .must_close = true};
    else
        rtm_guard_judge(http->guard, &request->guard, route, verdict);
}

/* Who asks for big pages and does not take them loses to who asks now. */
static void make_room(struct rtm_http *http, size_t body_bytes)
{
    struct rtm_connection_list *list = &http->connections;
    while (list->body_bytes > list->closing_bytes &&
           list->body_bytes - list->closing_bytes + body_bytes > BODY_BYTES) {
        if (!rtm_connection_evict_answer(list, rtm_clock_monotonic_ns()))
            return;
        rtm_atomic_add(&http->api->agent_stats->evicted, 1);
    }
}

static enum MHD_Result answer(struct rtm_http *http, struct rtm_connection *connection,
                              struct MHD_Connection *library, const struct rtm_request *request)
{
    struct rtm_guard_verdict verdict;
    struct rtm_route_response *response = &connection->response;
    judge(http, connection, request, &verdict);
    if (verdict.status) {
        http->api->refuse(response, verdict.status, verdict.text);
        if (verdict.header_name)
            http->api->add_header(response, verdict.header_name, verdict.header_value);
    } else {
        http->api->answer(&request->route, response);
    }
    connection->sends_body = request->route.method != RTM_ROUTE_HEAD;
    make_room(http, response->body.length);
    return send_response(http, connection, library, verdict.must_close);
}

/* --- What the library calls */

static struct rtm_connection *connection_of(struct MHD_Connection *library)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The result becomes the request's context: NULL until the head has been looked at. */
static void *on_target(void *subject, const char *target, struct MHD_Connection *library)
{
    (void)subject; /* the connection knows its owner */
    rtm_request_keep_target(connection_of(library), target ? target : "");
    return NULL;
}

/* Called first when the head is there. An answer given then makes the library close the connection
   after it, which is right where a body follows that nobody will read; others are answered when it
   calls again, at once, with the request whole. It calls again and again until there is an answer:
   who was evicted has to give his memory back before more is taken. */
static enum MHD_Result on_request(void *subject, struct MHD_Connection *library, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_bytes, void **context)
{
    struct rtm_http *http = subject;
    struct rtm_connection *connection = connection_of(library);
    struct rtm_request request;
    (void)path; /* decoded by the library, which knows no NUL in it: we decode ourselves */
    (void)body;
    *body_bytes = 0;
    rtm_request_read(&request, library, connection, method, version);
    if (!*context) {
        *context = connection;
        rtm_connection_begin_answer(&http->connections, connection, rtm_clock_monotonic_ns());
        if (!request.has_body && !request.guard.is_framed_badly)
            return MHD_YES;
    } else if (connection->state == RTM_CONNECTION_CLOSING) {
        return MHD_NO;
    } else if (http->connections.closing_bytes > 0) {
        return MHD_YES;
    }
    return answer(http, connection, library, &request);
}

static void on_completed(void *subject, struct MHD_Connection *library, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct rtm_http *http = subject;
    struct rtm_connection *connection = connection_of(library);
    (void)context; /* the connection itself */
    if (how != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        return;
    if (connection->sends_body)
        rtm_atomic_add(&http->api->agent_stats->sent_bytes, connection->body_bytes);
    rtm_connection_end_answer(&http->connections, connection, rtm_clock_monotonic_ns());
}

static void on_closed(struct rtm_http *http, struct rtm_connection *connection)
{
    rtm_http_hold_forks(http); /* it is about to close the descriptor */
    rtm_fork_fds_remove(connection->fd);
    connection->is_gone = true;
    if (!connection->has_body)
        rtm_connection_delete(&http->connections, connection);
}

static void on_connection(void *subject, struct MHD_Connection *library, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct rtm_http *http = subject;
    (void)library;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = http->arriving;
        http->arriving = NULL;
    } else {
        on_closed(http, *context);
    }
}

/* --- The daemon */

static _Thread_local struct rtm_http *working; /* of the thread that is in the library for us */

/* The library's state is broken, as by a host that closed its descriptors while it was at work, and
   it would end the process. Our thread stays here for good instead; who stops the agent leaves it
   behind. For other threads, where the host uses the library itself, it is as it was. */
static void on_panic(void *subject, const char *file, unsigned line, const char *why)
{
    (void)subject;
    (void)file;
    (void)line;
    if (!working)
        abort();
    rtm_http_release_forks(working);
    rtm_complaint_write("it stops: %s", why ? why : "the HTTP library failed");
    for (;;)
        pause();
}

static bool start_daemon(struct rtm_http *http, unsigned max_connections)
{
    unsigned limit = max_connections + SPARE_CONNECTIONS;
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, http,
        MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)MEMORY_BYTES, MHD_OPTION_NONCE_NC_SIZE, 0, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, http, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    http->fd = info ? info->epoll_fd : -1;
    return http->fd >= 0 && rtm_fork_fds_add(http->fd);
}

bool rtm_http_open(struct rtm_http *http, const struct rtm_api *api, struct rtm_guard *guard,
                   unsigned max_connections, uint64_t wait_ns, struct rtm_error *err)
{
    *http = (struct rtm_http){.api = api, .guard = guard, .fd = -1};
    MHD_set_panic_func(on_panic, NULL);
    rtm_connection_list_init(&http->connections, wait_ns);
    rtm_fork_fds_begin();
    bool ok = start_daemon(http, max_connections);
    rtm_fork_fds_end();
    if (!ok) {
        rtm_http_close(http);
        rtm_error_set(err, "cannot start the HTTP library: it got no descriptor or no memory");
    }
    return ok;
}

void rtm_http_close(struct rtm_http *http)
{
    if (!http->daemon)
        return;
    rtm_http_hold_forks(http);
    rtm_fork_fds_remove(http->fd);
    MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
    rtm_http_release_forks(http);
}

static bool start_connection(struct rtm_http *http, int fd, uint64_t now_ns)
{
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &length) != 0 || !rtm_fork_fds_add(fd))
        return false;
    http->arriving = rtm_connection_new(&http->connections, fd, &local, now_ns);
    if (!http->arriving)
        rtm_fork_fds_remove(fd);
    else
        http->arriving->owner = http;
    return http->arriving != NULL;
}

void rtm_http_adopt(struct rtm_http *http, int fd, uint64_t now_ns)
{
    static const struct sockaddr unknown = {.sa_family = AF_UNSPEC};
    rtm_http_hold_forks(http);
    if (!start_connection(http, fd, now_ns)) {
        close(fd);
    } else if (MHD_add_connection(http->daemon, fd, &unknown, sizeof unknown) != MHD_YES &&
               http->arriving) {
        on_closed(http, http->arriving); /* the library has closed the socket without a word */
        http->arriving = NULL;
    }
    rtm_http_release_forks(http);
}

bool rtm_http_work(struct rtm_http *http)
{
    working = http;
    bool ok = MHD_run_wait(http->daemon, 0) == MHD_YES;
    working = NULL;
    rtm_http_release_forks(http);
    return ok;
}

bool rtm_http_is_pending(const struct rtm_http *http)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    return MHD_get_timeout(http->daemon, &timeout_ms) == MHD_YES && timeout_ms == 0;
}
