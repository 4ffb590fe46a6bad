#include "ground/buffer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ground/memory.h"

void rtm_buffer_init(struct rtm_buffer *buffer, size_t cap)
{
    *buffer = (struct rtm_buffer){.cap = cap};
}

void rtm_buffer_fini(struct rtm_buffer *buffer)
{
    rtm_memory_free(buffer->bytes);
    *buffer = (struct rtm_buffer){.cap = buffer->cap};
}

void rtm_buffer_reset(struct rtm_buffer *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
}

static bool grow(struct rtm_buffer *buffer, size_t needed)
{
    size_t capacity = buffer->capacity ? buffer->capacity : 256;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > buffer->cap)
        capacity = buffer->cap;
    char *bytes = capacity >= needed ? rtm_memory_realloc(buffer->bytes, capacity) : NULL;
    if (!bytes) {
        buffer->failed = true;
        return false;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

bool rtm_buffer_reserve(struct rtm_buffer *buffer, size_t extra)
{
    if (buffer->failed || extra > buffer->cap - buffer->length) {
        buffer->failed = true;
        return false;
    }
    size_t needed = buffer->length + extra;
    return needed <= buffer->capacity || grow(buffer, needed);
}

void rtm_buffer_append(struct rtm_buffer *buffer, const void *bytes, size_t length)
{
    if (!length || !rtm_buffer_reserve(buffer, length))
        return;
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
}

void rtm_buffer_append_text(struct rtm_buffer *buffer, const char *text)
{
    rtm_buffer_append(buffer, text, strlen(text));
}

void rtm_buffer_append_char(struct rtm_buffer *buffer, char byte)
{
    rtm_buffer_append(buffer, &byte, 1);
}

void rtm_buffer_append_uint(struct rtm_buffer *buffer, uint64_t value)
{
    char digits[20];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    rtm_buffer_append(buffer, digits + first, sizeof digits - first);
}

void rtm_buffer_append_fixed(struct rtm_buffer *buffer, uint64_t value, unsigned decimals)
{
    char digits[20] = {0};
    size_t first = sizeof digits, end = sizeof digits;
    for (unsigned i = 0; i < decimals; i++, value /= 10)
        digits[--first] = (char)('0' + value % 10);
    while (end > first && digits[end - 1] == '0')
        end--;
    rtm_buffer_append_uint(buffer, value);
    if (end > first) {
        rtm_buffer_append_char(buffer, '.');
        rtm_buffer_append(buffer, digits + first, end - first);
    }
}

/* Most fractions here are whole nanoseconds or the like. Where n / 10^k is the value again, n with
   a point in it is a text that reads back exactly, and needs no search. */
static bool append_short(struct rtm_buffer *buffer, double value)
{
    static const struct {
        double unit, limit;
        unsigned decimals;
    } tries[] = {{1e9, 9e6, 9}, {1e6, 9e9, 6}, {1e3, 9e12, 3}};
    double size = fabs(value);
    for (size_t i = 0; i < RTM_COUNT_OF(tries); i++) {
        if (!(size < tries[i].limit))
            continue;
        double whole = floor(size * tries[i].unit + 0.5);
        if (whole / tries[i].unit != size)
            continue;
        if (value < 0)
            rtm_buffer_append_char(buffer, '-');
        rtm_buffer_append_fixed(buffer, (uint64_t)whole, tries[i].decimals);
        return true;
    }
    return false;
}

static void append_shortest(struct rtm_buffer *buffer, double value)
{
    char text[32];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (char *p = text; *p; p++) {
        if (*p == ',') /* a decimal comma of the host's locale */
            *p = '.';
    }
    rtm_buffer_append_text(buffer, text);
}

void rtm_buffer_append_double(struct rtm_buffer *buffer, double value)
{
    if (isnan(value)) {
        rtm_buffer_append_text(buffer, "NaN");
    } else if (isinf(value)) {
        rtm_buffer_append_text(buffer, value > 0 ? "+Inf" : "-Inf");
    } else if (value >= 0 && value < 9007199254740992.0 && value == floor(value)) {
        rtm_buffer_append_uint(buffer, (uint64_t)value);
    } else if (!append_short(buffer, value)) {
        append_shortest(buffer, value);
    }
}
