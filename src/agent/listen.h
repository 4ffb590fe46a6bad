/* Where the agent listens: "127.0.0.1:6060", "[::1]:0", "localhost:6060", ":6060" (all of this
   machine's addresses), "unix:/run/app.sock". */
#ifndef RTM_AGENT_LISTEN_H
#define RTM_AGENT_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "ground/error.h"

enum { RTM_LISTEN_TEXT_MAX = 192 };

struct rtm_listener {
    int fd;                            /* non-blocking, close-on-exec; -1: closed */
    bool is_unix, is_loopback;         /* a unix socket is loopback too */
    unsigned port;                     /* the one really bound; 0 for unix */
    char address[RTM_LISTEN_TEXT_MAX]; /* really bound: "127.0.0.1:40123", "unix:/run/app.sock" */
    char path[RTM_LISTEN_TEXT_MAX];    /* of the unix socket, %p replaced; "" */
    dev_t device;                      /* of the socket file that we made */
    ino_t inode;
    pid_t owner;
};

/* Can `text` be listened on? No word to the system yet. */
bool rtm_listen_check(const char *text, struct rtm_error *err) RTM_MUST_USE;

/* Would it be reached from this machine only? `text` has passed the check. */
bool rtm_listen_is_loopback(const char *text);

/* Binds and listens. A unix socket gets `mode` (never more, for a moment); `%p` in its path is the
   process's number; a stale socket of ours is replaced, a live one, another user's or another kind
   of file never. Messages name the address and the reason. Runs: any thread. */
bool rtm_listen_open(struct rtm_listener *listener, const char *text, mode_t mode,
                     struct rtm_error *err) RTM_MUST_USE;

/* Closes; unlinks the unix socket if it is still the one that we made, and only in the process that
   made it. Safe to call twice. Runs: any thread. */
void rtm_listen_close(struct rtm_listener *listener);

/* Takes no more clients and unlinks as `close` does, with the descriptor left open: for who polls
   it still. Its number must stand in os/fork_fds. Runs: any thread. */
void rtm_listen_shut(struct rtm_listener *listener);

#endif
