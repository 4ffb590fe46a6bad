/* The HTTP library's daemon and what it calls back: connections in, pages out. The listener and the
   deadlines are agent/loop.c's. Runs: agent thread; open and close: any while that does not run. */
#ifndef RTM_AGENT_HTTP_H
#define RTM_AGENT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/connection.h"
#include "agent/guard.h"
#include "core/api.h"
#include "ground/error.h"

struct MHD_Daemon;

struct rtm_http {
    const struct rtm_api *api;
    struct rtm_guard *guard;
    struct MHD_Daemon *daemon;
    int fd; /* becomes readable when a connection wants `work` */
    struct rtm_connection_list connections;
    struct rtm_connection *arriving; /* while the library takes it over */
    bool holds_forks;                /* from the first descriptor closed until all are */
};

/* `guard` is borrowed; `wait_ns`: how long a client may take to send a request. */
bool rtm_http_open(struct rtm_http *http, const struct rtm_api *api, struct rtm_guard *guard,
                   unsigned max_connections, uint64_t wait_ns, struct rtm_error *err) RTM_MUST_USE;

/* Closes all connections, whatever they wait for. Never in a forked child: it would shut down what
   the parent serves. */
void rtm_http_close(struct rtm_http *http);

/* Has forks by other threads wait, until `release`, `adopt` or `work`: for who makes a descriptor.
 */
void rtm_http_hold_forks(struct rtm_http *http);
void rtm_http_release_forks(struct rtm_http *http);

/* Takes a client's socket, made while forks were held, whatever comes of it. */
void rtm_http_adopt(struct rtm_http *http, int fd, uint64_t now_ns);

/* Reads, answers and writes what can be without waiting. False: its descriptor is no longer what it
   was. */
bool rtm_http_work(struct rtm_http *http) RTM_MUST_USE;

/* Is there more to do that `fd` will not tell of? */
bool rtm_http_is_pending(const struct rtm_http *http);

#endif
