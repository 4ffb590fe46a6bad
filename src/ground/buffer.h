/* A growing run of bytes with a cap given at birth. The first failure (cap reached, no memory)
   sticks: later appends do nothing, so that an encoder writes a whole message and asks once at the
   end. Runs: any thread, one at a time. */
#ifndef RTM_GROUND_BUFFER_H
#define RTM_GROUND_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ground/check.h"

struct rtm_buffer {
    char *bytes;
    size_t length;
    size_t capacity;
    size_t cap;
    bool failed;
};

/* An empty buffer that will not grow beyond `cap` bytes; allocates nothing yet. */
void rtm_buffer_init(struct rtm_buffer *buffer, size_t cap);
void rtm_buffer_fini(struct rtm_buffer *buffer);

/* Forgets contents and failure, keeps the memory. */
void rtm_buffer_reset(struct rtm_buffer *buffer);

/* Makes room for `extra` more bytes; false (and failed) if that cannot be. */
bool rtm_buffer_reserve(struct rtm_buffer *buffer, size_t extra);

void rtm_buffer_append(struct rtm_buffer *buffer, const void *bytes, size_t length);
void rtm_buffer_append_text(struct rtm_buffer *buffer, const char *text);
void rtm_buffer_append_char(struct rtm_buffer *buffer, char byte);
void rtm_buffer_append_uint(struct rtm_buffer *buffer, uint64_t value);

/* `value` units of 10^-decimals (at most 20), as a decimal fraction without zeros at its end. */
void rtm_buffer_append_fixed(struct rtm_buffer *buffer, uint64_t value, unsigned decimals);

/* A short decimal text that reads back as `value`; integers below 2^53 without a fraction, NaN,
   +Inf, -Inf. */
void rtm_buffer_append_double(struct rtm_buffer *buffer, double value);

#endif
