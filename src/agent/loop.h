/* What the agent's thread does all its life: waits for its listener, for the HTTP library's sockets
   and for the word to stop, accepts, makes room, and ends what takes too long. With no connection
   it sleeps without a timer. */
#ifndef RTM_AGENT_LOOP_H
#define RTM_AGENT_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/http.h"
#include "agent/listen.h"

struct rtm_loop {
    struct rtm_listener *listener;
    struct rtm_http http;
    unsigned max_connections;
    int wake_fd;
    uint64_t rest_until_ns;   /* accepting failed: the listener is left alone so long */
    bool is_broken;           /* somebody closed a descriptor of ours */
    _Atomic bool is_stopping; /* writer: any thread */
};

struct rtm_loop_options {
    unsigned max_connections;
    double deadline_s; /* for a whole request */
};

/* `listener` and `guard` are borrowed. Runs: any thread. */
bool rtm_loop_open(struct rtm_loop *loop, const struct rtm_api *api, struct rtm_listener *listener,
                   struct rtm_guard *guard, const struct rtm_loop_options *options,
                   struct rtm_error *err) RTM_MUST_USE;

/* Serves until stopped. Runs: agent thread. */
void rtm_loop_run(struct rtm_loop *loop);

/* Has `run` return soon. Runs: any. */
void rtm_loop_stop(struct rtm_loop *loop);

/* Has somebody closed its descriptors? Then their numbers may be others', and nothing is closed.
   Once `run` has returned. Runs: any. */
bool rtm_loop_is_broken(const struct rtm_loop *loop);

/* Closes what `open` opened, once `run` has returned or where it never ran. Runs: any thread. */
void rtm_loop_close(struct rtm_loop *loop);

#endif
