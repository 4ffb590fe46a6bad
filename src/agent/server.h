/* The agent of the process: at most one thread that answers HTTP, whatever the number of VMs.

     STOPPED  start            -> RUNNING   listening, thread started
     RUNNING  stop, last user gone, exit -> STOPPED   thread joined, or left behind after its
   deadline RUNNING  fork (the child) -> STOPPED   descriptors closed, nothing of the parent's
   touched; with on_fork = restart it starts anew at a VM's next safe point

   Runs: any ordinary thread that is not the agent's. */
#ifndef RTM_AGENT_SERVER_H
#define RTM_AGENT_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/guard.h"
#include "agent/listen.h"
#include "core/api.h"
#include "ground/error.h"

enum rtm_server_on_fork { RTM_SERVER_STOP, RTM_SERVER_RESTART };

struct rtm_server_options {
    const char *listen;
    mode_t socket_mode;
    unsigned max_connections;
    double deadline_s; /* from the first moment of a connection to a whole request; thrice that for
                          the answer's way */
    enum rtm_server_on_fork on_fork;
    struct rtm_guard_options guard;
};

struct rtm_server_status {
    bool running;
    char address[RTM_LISTEN_TEXT_MAX];
    pid_t pid;
    double started_s;    /* Unix time */
    uint64_t generation; /* another number for each start: a handle knows its own by it */
};

/* Readies the process: fork and exit handlers; later calls do nothing. Before all others. */
bool rtm_server_init(struct rtm_error *err) RTM_MUST_USE;

/* Starts the agent. Texts in the options are copied; there are RTM_GUARD_HOSTS_MAX hosts at most.
   `status` is told what runs then. False, with the reason, where it runs already (the message names
   its address) or the world refuses; nothing is left behind then. */
bool rtm_server_start(const struct rtm_api *api, const struct rtm_server_options *options,
                      struct rtm_server_status *status, struct rtm_error *err) RTM_MUST_USE;

/* Stops the agent of that generation (0: whichever runs); false if it did not run (any more), or is
   the parent process's. Waits for its thread for 2 s at most. */
bool rtm_server_stop(uint64_t generation);

void rtm_server_status(struct rtm_server_status *status);

/* A VM that has loaded the agent's module counts as a user; when the last one closes, the agent
   stops. Children of a fork inherit the count. */
void rtm_server_add_user(void);
void rtm_server_remove_user(void);

#endif
