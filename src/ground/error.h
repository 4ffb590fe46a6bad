/* One failure, told in words: a fixed-size message that is never allocated. The message says what,
   which and why ("cannot open /proc/self/stat: No such file or directory"). Runs: any. */
#ifndef RTM_GROUND_ERROR_H
#define RTM_GROUND_ERROR_H

#include <stdbool.h>

#include "ground/check.h"

struct rtm_error {
    char text[256];
};

/* Formats the message into `err`, cutting what does not fit; does nothing where `err` is NULL.
   Returns false, so that a failing function can `return rtm_error_set(...)`. */
bool rtm_error_set(struct rtm_error *err, const char *format, ...) RTM_PRINTF(2, 3);

#endif
