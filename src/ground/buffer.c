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
    } else {
        append_shortest(buffer, value);
    }
}
