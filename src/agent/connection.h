/* One client's connection, from its acceptance to its end:

     WAITING    a whole request -> ANSWERING    too slow, or evicted -> CLOSING
     ANSWERING  answer taken    -> IDLE         too slow, or evicted -> CLOSING
     IDLE       a whole request -> ANSWERING    too long, or evicted -> CLOSING

   Deadlines are absolute: bytes that come one by one move none of them. CLOSING: its socket is shut
   down, and the HTTP library notices. Runs: agent thread. */
#ifndef RTM_AGENT_CONNECTION_H
#define RTM_AGENT_CONNECTION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/api.h"

enum { RTM_CONNECTION_TARGET_MAX = 2048 }; /* bytes of a request's URL, with a NUL */

enum rtm_connection_state {
    RTM_CONNECTION_WAITING,
    RTM_CONNECTION_ANSWERING,
    RTM_CONNECTION_IDLE,
    RTM_CONNECTION_CLOSING
};

struct rtm_connection {
    struct rtm_connection *next, *previous;
    void *owner; /* of whom the library's callbacks are told */
    int fd;      /* the library closes it */
    enum rtm_connection_state state;
    uint64_t since_ns, deadline_ns;          /* of the state */
    char local_host[INET6_ADDRSTRLEN];       /* "127.0.0.1", "::1"; "" for a unix socket */
    bool is_loopback;                        /* a unix socket is too */
    char target[RTM_CONNECTION_TARGET_MAX];  /* the URL as it came */
    char decoded[RTM_CONNECTION_TARGET_MAX]; /* its path, decoded */
    size_t target_length;                    /* of the whole, though it may not fit */
    struct rtm_route_response response;
    size_t body_bytes;     /* of the response */
    uint64_t taken_before; /* bytes that the client had taken when it began */
    bool sends_body;       /* the request was not HEAD */
    bool has_body;         /* the library still reads the response */
    bool is_gone;          /* the library has closed it: to be deleted with the response */
};

/* In order of arrival. */
struct rtm_connection_list {
    struct rtm_connection *first, *last;
    unsigned count, closing;
    size_t body_bytes; /* of all responses that the library still reads; some for CLOSING ones */
    size_t closing_bytes;
    uint64_t wait_ns; /* how long a whole request may take */
    uint64_t next_ns; /* no deadline is earlier; UINT64_MAX: there is none */
};

void rtm_connection_list_init(struct rtm_connection_list *list, uint64_t wait_ns);

/* A connection in WAITING; NULL without memory. `fd` is borrowed; `local` is its own end's address.
 */
struct rtm_connection *rtm_connection_new(struct rtm_connection_list *list, int fd,
                                          const struct sockaddr_storage *local, uint64_t now_ns);

/* Takes it off the list and frees it. */
void rtm_connection_delete(struct rtm_connection_list *list, struct rtm_connection *connection);

/* A whole request has come; its response, whose body has so many bytes, is the library's to send;
   the library has let go of it; the client has taken it. */
void rtm_connection_begin_answer(struct rtm_connection_list *list,
                                 struct rtm_connection *connection, uint64_t now_ns);
void rtm_connection_keep_body(struct rtm_connection_list *list, struct rtm_connection *connection,
                              size_t body_bytes);
void rtm_connection_forget_body(struct rtm_connection_list *list,
                                struct rtm_connection *connection);
void rtm_connection_end_answer(struct rtm_connection_list *list, struct rtm_connection *connection,
                               uint64_t now_ns);

/* Shuts down those whose deadline has passed; how many. */
unsigned rtm_connection_expire(struct rtm_connection_list *list, uint64_t now_ns);

/* Who makes room for a newcomer: the one that waits longest for its first request to be whole; else
   the one that is idle longest; else the one that takes its answer slowest. Each has a moment's
   grace in its state, as a client that is in no way slow needs one, too. From when on there is such
   a one: UINT64_MAX for never. Shuts it down; false if there is none. */
uint64_t rtm_connection_evictable_ns(const struct rtm_connection_list *list);
bool rtm_connection_evict(struct rtm_connection_list *list, uint64_t now_ns);

/* Shuts down the one that takes its answer slowest, one that has only begun if there is no other;
   false if nobody takes one. */
bool rtm_connection_evict_answer(struct rtm_connection_list *list, uint64_t now_ns);

#endif
