/* Who may ask what: a request's Host, Origin, framing and token, judged before any page is looked
   at. Text in, verdict out: knows neither sockets nor the HTTP library. */
#ifndef RTM_AGENT_GUARD_H
#define RTM_AGENT_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/guard_host.h"
#include "agent/guard_token.h"
#include "core/route.h"
#include "ground/error.h"

enum { RTM_GUARD_HOSTS_MAX = 32 };

/* Texts are borrowed for the call only. */
struct rtm_guard_options {
    const char *const *hosts; /* names that are let in beside the default ones: "app.local", or with
                                 another port "localhost:9090" */
    size_t host_count;
    const char *token;      /* or NULL */
    const char *token_file; /* or NULL: the token is its first line; read again when it changes */
    unsigned open_classes;  /* 1 << enum rtm_route_class: answered without the token */
};

struct rtm_guard {
    struct rtm_guard_host hosts[RTM_GUARD_HOSTS_MAX]; /* port 0: the listener's */
    size_t host_count;
    struct rtm_guard_token token;
    unsigned open_classes;
    /* To be set by who listens, before the first request: */
    bool is_unix;  /* the listener is a unix socket: no browser reaches it, any Host will do */
    unsigned port; /* the listener's, which a Host must name (80 may be left out) */
};

/* What the guard needs of a request; the server fills it from the library's callbacks. Texts are
   borrowed; NULL where there is none. */
struct rtm_guard_request {
    const char *method, *version; /* as they came: "GET", "HTTP/1.1" */
    const char *path;             /* decoded */
    bool has_nul;                 /* the decoded path or a header held a NUL */
    const char *host, *origin, *fetch_site, *authorization;
    const char *content_length, *transfer_encoding;
    unsigned host_count, authorization_count, content_length_count, transfer_encoding_count;
    bool is_framed_badly;   /* the head is not what its parts, each ended by CR LF, add up to */
    const char *local_host; /* the address literal of this end of the connection: "127.0.0.1",
                               "::1"; NULL: unix */
    bool is_loopback;       /* of the connection, or a unix socket */
};

/* A verdict: status 0 lets the request through; else the status, a line of static text, and whether
   the connection must be closed after the answer (what follows the head is not to be trusted). */
struct rtm_guard_verdict {
    int status;
    const char *text;
    const char *header_name, *header_value; /* WWW-Authenticate or Allow, or NULL; static */
    bool must_close;
};

/* Checks and copies the options; reads the token file. False, with the reason, where the world or
   the caller refuses. `guard` is uninitialised before; after true it must go to rtm_guard_fini.
   Runs: any thread, before the server starts. */
bool rtm_guard_init(struct rtm_guard *guard, const struct rtm_guard_options *options,
                    struct rtm_error *err) RTM_MUST_USE;
void rtm_guard_fini(struct rtm_guard *guard);

/* Judges a request for `route` (NULL: there is no such page). In this order, the first that is
   wrong counts:

     head       400  framing, a NUL, a method that is no token, no version, a target that is no path
                505  a version other than 1.0 and 1.1
     body       400  Transfer-Encoding; Content-Length twice, not decimal, or not 0 (POST: 413);
                     no page takes a body, and "Content-Length: 0" is none
     Host       400  not exactly one, also in HTTP/1.0; by TCP: no authority
                403  by TCP: none of this end's address literal, localhost, 127.0.0.1, [::1] with
   the listener's port, and the configured names origin     403  an Origin that is not http:// and
   such a host (by a unix socket: and what Host says); Sec-Fetch-Site: cross-site token      400
   Authorization twice 401  the page's class needs the token, and it is missing or wrong 403  no
   token is set, and the page changes something, but not on a unix socket; or the connection is not
   loopback page       404 method     405

   A path that is not there needs the token like a page that changes something, so that nobody
   learns without it which pages there are. Runs: agent thread. */
void rtm_guard_judge(struct rtm_guard *guard, const struct rtm_guard_request *request,
                     const struct rtm_route *route, struct rtm_guard_verdict *verdict);

/* Is a token asked for? An address that is not loopback is served only then. */
bool rtm_guard_has_token(const struct rtm_guard *guard);

#endif
