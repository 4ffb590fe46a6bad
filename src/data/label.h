/* The text of labels. A label set is kept as one key: for each value two bytes of length, then the
   bytes, in the order of the metric's label names, so that comparing keys is comparing sets. What
   goes in is cleaned first: always valid UTF-8 of at most RTM_LABEL_VALUE_MAX bytes, so that two
   keys that differ stay different in every output format. Runs: any thread. */
#ifndef RTM_DATA_LABEL_H
#define RTM_DATA_LABEL_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/check.h"

#define RTM_LABEL_COUNT_MAX 32
#define RTM_LABEL_VALUE_MAX 256

/* Borrowed bytes; NUL is a byte like others. */
struct rtm_label_text {
    const char *bytes;
    size_t length;
};

struct rtm_label_key {
    size_t length;
    char bytes[RTM_LABEL_COUNT_MAX * (2 + RTM_LABEL_VALUE_MAX)];
};

/* Copies `text` into `out`, each byte that is not UTF-8 as U+FFFD, and ends where the next
   character would pass `capacity`: longer text is cut. Returns the bytes written. */
size_t rtm_label_clean(char *out, size_t capacity, struct rtm_label_text text);

/* Is it [a-zA-Z_][a-zA-Z0-9_]*, with ':' allowed too where `colons` is? */
bool rtm_label_is_name(struct rtm_label_text text, bool colons);

/* Starts an empty key; then adds one value, cleaned. At most RTM_LABEL_COUNT_MAX values. */
void rtm_label_key_begin(struct rtm_label_key *key);
void rtm_label_key_add(struct rtm_label_key *key, struct rtm_label_text value);

/* Points values[0..count) at the values in the bytes of a key that holds `count` of them. */
void rtm_label_key_split(const char *bytes, struct rtm_label_text *values, size_t count);

#endif
