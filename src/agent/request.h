/* From the HTTP library's view of a request to what the guard and the routes want to know. */
#ifndef RTM_AGENT_REQUEST_H
#define RTM_AGENT_REQUEST_H

#include <stdbool.h>

#include "agent/connection.h"
#include "agent/guard.h"
#include "core/api.h"

struct MHD_Connection;

/* Texts are borrowed from the library and from the connection, until the request's end. */
struct rtm_request {
    struct rtm_guard_request guard;
    struct rtm_route_request route;
    bool has_body;
};

/* Keeps the URL as it came; a longer one than fits is remembered by its length. Runs: agent thread,
   before the library takes it apart. */
void rtm_request_keep_target(struct rtm_connection *connection, const char *target);

bool rtm_request_is_target_too_long(const struct rtm_connection *connection);

/* Fills `request` from a request whose head is whole and whose target was kept. Runs: agent thread.
 */
void rtm_request_read(struct rtm_request *request, struct MHD_Connection *library,
                      struct rtm_connection *connection, const char *method, const char *version);

#endif
