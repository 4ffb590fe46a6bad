/* JSON (RFC 8259) into a buffer: the caller names members and values in their order, the writer
   puts commas. JSON knows no infinities and no NaN: an infinity is the text "+Inf" or "-Inf", as
   Prometheus writes it, and NaN is null. Runs: any thread. */
#ifndef RTM_ENCODERS_JSON_H
#define RTM_ENCODERS_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "ground/buffer.h"

struct rtm_json {
    struct rtm_buffer *out; /* borrowed */
    bool needs_comma;
};

void rtm_json_begin(struct rtm_json *json, struct rtm_buffer *out);

/* '{' and '}', '[' and ']'. */
void rtm_json_open(struct rtm_json *json, char bracket);
void rtm_json_close(struct rtm_json *json, char bracket);

/* A member's name; its value comes next. */
void rtm_json_write_name(struct rtm_json *json, const char *name);

/* Values. Whole numbers are written with all digits, others as the shortest text that reads back as
   they are. Texts are UTF-8; any byte below 32 may be in one. */
void rtm_json_write_text(struct rtm_json *json, const char *bytes, size_t length);
void rtm_json_write_uint(struct rtm_json *json, uint64_t value);
void rtm_json_write_double(struct rtm_json *json, double value);
void rtm_json_write_null(struct rtm_json *json);

#endif
