/* THE table of pages: URL to bytes. No socket and no waiting, so that the agent, and any server
   through the bindings, serve the same pages; all are answered without a VM, also while it is
   stuck. */
#ifndef RTM_CORE_ROUTES_H
#define RTM_CORE_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/route.h"
#include "ground/buffer.h"

/* Texts are borrowed until the answer is there; NULL where the request has none. */
struct rtm_route_request {
    enum rtm_route_method method; /* 0: one that no page has */
    const char *path;             /* decoded, without the query */
    const char *query;            /* raw, after the question mark */
    const char *accept, *accept_encoding;
};

struct rtm_route_header {
    const char *name, *value; /* static texts */
};

enum { RTM_ROUTE_HEADERS_MAX = 12 };

/* `headers` has all that the page needs (Content-Type and the security headers among them), save
   Content-Length and Date. For HEAD the body is the one of GET: the server leaves it out. */
struct rtm_route_response {
    int status;
    struct rtm_route_header headers[RTM_ROUTE_HEADERS_MAX];
    unsigned header_count;
    struct rtm_buffer body;
};

/* How many pages there are, and each of them, in the order of the index. Runs: any. */
size_t rtm_routes_count(void);
const struct rtm_route *rtm_routes_describe(size_t index);

/* The page at a path, or NULL. Runs: any. */
const struct rtm_route *rtm_routes_find(const char *path);

/* "metrics", "profile", "sensitive", "control". Static text. Runs: any. */
const char *rtm_routes_class_name(enum rtm_route_class class);

/* Answers a request, of whatever kind: 404 for a path that is not there, 405 with Allow for a
   method that is not its, 500 where there is no memory for the page. `response` is uninitialised
   storage before and must go to rtm_routes_release after. Runs: any ordinary thread, no lock held.
 */
void rtm_routes_answer(const struct rtm_route_request *request,
                       struct rtm_route_response *response);

/* An answer that is no page: `status` with a line of text (without newline). Runs: any. */
void rtm_routes_refuse(struct rtm_route_response *response, int status, const char *text);

/* Adds a header; both texts static. Runs: any. */
void rtm_routes_add_header(struct rtm_route_response *response, const char *name,
                           const char *value);

void rtm_routes_release(struct rtm_route_response *response);

#endif
