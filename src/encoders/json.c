#include "encoders/json.h"

#include <math.h>

/* Before a value or a name: what stands between it and the one before. */
static void separate(struct rtm_json *json)
{
    if (json->needs_comma)
        rtm_buffer_append_char(json->out, ',');
    json->needs_comma = true;
}

static void write_escape(struct rtm_buffer *out, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    if (c == '"' || c == '\\') {
        rtm_buffer_append_char(out, '\\');
        rtm_buffer_append_char(out, (char)c);
        return;
    }
    rtm_buffer_append_text(out, "\\u00");
    rtm_buffer_append_char(out, digits[c >> 4]);
    rtm_buffer_append_char(out, digits[c & 15]);
}

static void write_quoted(struct rtm_buffer *out, const char *bytes, size_t length)
{
    size_t start = 0;
    rtm_buffer_append_char(out, '"');
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= ' ' && c != '"' && c != '\\' && c != 127)
            continue;
        rtm_buffer_append(out, bytes + start, i - start);
        write_escape(out, c);
        start = i + 1;
    }
    rtm_buffer_append(out, bytes + start, length - start);
    rtm_buffer_append_char(out, '"');
}

void rtm_json_begin(struct rtm_json *json, struct rtm_buffer *out)
{
    *json = (struct rtm_json){.out = out};
}

void rtm_json_open(struct rtm_json *json, char bracket)
{
    separate(json);
    rtm_buffer_append_char(json->out, bracket);
    json->needs_comma = false;
}

void rtm_json_close(struct rtm_json *json, char bracket)
{
    rtm_buffer_append_char(json->out, bracket);
    json->needs_comma = true;
}

void rtm_json_write_name(struct rtm_json *json, const char *name)
{
    separate(json);
    write_quoted(json->out, name, strlen(name));
    rtm_buffer_append_char(json->out, ':');
    json->needs_comma = false;
}

void rtm_json_write_text(struct rtm_json *json, const char *bytes, size_t length)
{
    separate(json);
    write_quoted(json->out, bytes, length);
}

void rtm_json_write_uint(struct rtm_json *json, uint64_t value)
{
    separate(json);
    rtm_buffer_append_uint(json->out, value);
}

void rtm_json_write_double(struct rtm_json *json, double value)
{
    if (isnan(value)) {
        rtm_json_write_null(json);
    } else if (isinf(value)) {
        rtm_json_write_text(json, value > 0 ? "+Inf" : "-Inf", 4);
    } else {
        separate(json);
        rtm_buffer_append_double(json->out, value);
    }
}

void rtm_json_write_null(struct rtm_json *json)
{
    separate(json);
    rtm_buffer_append_text(json->out, "null");
}
