/* An authority as Host headers, origins and options have it: "localhost", "127.0.0.1:6060",
   "[::1]:6060". Strict: names of letters, digits, "-", "_" and "."; addresses in brackets of hex
   digits, ":" and "."; ports 1 to 65535 in decimal without leading zeros. Nothing is resolved or
   normalised, so that only what is spelled as it stands on a list is on it. Runs: any. */
#ifndef RTM_AGENT_GUARD_HOST_H
#define RTM_AGENT_GUARD_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/check.h"

enum { RTM_GUARD_HOST_NAME_MAX = 256 }; /* with its NUL */

struct rtm_guard_host {
    char name[RTM_GUARD_HOST_NAME_MAX]; /* in lower case; with brackets, if it had them */
    unsigned port;                      /* 0: it named none */
};

/* False where `text` is no authority; `host` is undefined then. */
bool rtm_guard_host_parse(const char *text, struct rtm_guard_host *host) RTM_MUST_USE;

/* The host of an origin, "http://" and an authority. False for any other. */
bool rtm_guard_host_parse_origin(const char *text, struct rtm_guard_host *host) RTM_MUST_USE;

/* The name by which a client asks for an address literal: "127.0.0.1", "::1" as "[::1]", and
   "::ffff:127.0.0.1" as "127.0.0.1". False where it is none. */
bool rtm_guard_host_from_address(const char *address, struct rtm_guard_host *host) RTM_MUST_USE;

/* Does the host have that name, and that port? One without a port has HTTP's, 80. */
bool rtm_guard_host_is(const struct rtm_guard_host *host, const char *name, unsigned port);

#endif
