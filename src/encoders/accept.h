/* Content negotiation for metrics: which of our two text formats an HTTP client wants (RFC 9110,
   12.4 and 12.5.1). Runs: any thread. */
#ifndef RTM_ENCODERS_ACCEPT_H
#define RTM_ENCODERS_ACCEPT_H

#include <stddef.h>

enum rtm_accept_format {
    RTM_ACCEPT_TEXT,        /* Prometheus text format 0.0.4 */
    RTM_ACCEPT_OPENMETRICS, /* OpenMetrics 1.0 */
};

/* The format for the value of an Accept header (NULL: there was none). The higher q wins; at the
   same q the format that is named beats one that a wildcard matches, then the one that comes first,
   then 0.0.4. Versions that we do
   not speak match nothing, a range that makes no sense is passed over, and where nothing matches
   the answer is 0.0.4: a scrape is never refused. */
enum rtm_accept_format rtm_accept_choose(const char *accept, size_t length);

#endif
