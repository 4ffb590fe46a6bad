/* Content negotiation (RFC 9110, 12.4 and 12.5): which of our two text formats for metrics an HTTP
   client wants, and whether it wants them compressed. Runs: any thread. */
#ifndef RTM_ENCODERS_ACCEPT_H
#define RTM_ENCODERS_ACCEPT_H

#include <stdbool.h>
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

/* Does the value of an Accept-Encoding header (NULL: there was none) ask for gzip? It does where
   gzip, by its name or else by "*", has a q above 0 that is not below the one that identity is
   given by name. What makes no sense is passed over. That identity may be refused is not looked at:
   an answer without gzip is better than none. */
bool rtm_accept_gzip(const char *accept_encoding, size_t length);

#endif
