#include "data/label.h"

#include <string.h>

static bool is_tail(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* What the second byte of a character may be (the Unicode standard, table 3-7): no overlong forms,
   no surrogates, nothing above U+10FFFF. */
static bool is_second(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return is_tail(second);
    }
}

/* Bytes of the character at `p`, or 0 where there is none. */
static size_t character_length(const unsigned char *p, size_t left)
{
    size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (length < 2)
        return length;
    if (p[0] > 0xf4 || length > left || !is_second(p[0], p[1]))
        return 0;
    for (size_t i = 2; i < length; i++) {
        if (!is_tail(p[i]))
            return 0;
    }
    return length;
}

/* Copies eight bytes at a time while they are ASCII; most label values are. */
static size_t copy_ascii(char *out, const char *in, size_t length)
{
    size_t done = 0;
    for (; length - done >= 8; done += 8) {
        unsigned long long word;
        memcpy(&word, in + done, 8);
        if (word & 0x8080808080808080ULL)
            break;
        memcpy(out + done, &word, 8);
    }
    return done;
}

size_t rtm_label_clean(char *out, size_t capacity, struct rtm_label_text text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t written = copy_ascii(out, text.bytes, text.length < capacity ? text.length : capacity);
    size_t read = written;
    while (read < text.length) {
        const char *from = text.bytes + read;
        size_t length = character_length((const unsigned char *)from, text.length - read);
        read += length ? length : 1;
        if (!length) {
            from = replacement;
            length = 3;
        }
        if (length > capacity - written)
            break;
        for (size_t i = 0; i < length; i++)
            out[written++] = from[i];
    }
    return written;
}

static bool is_letter(char c, bool colons)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':');
}

bool rtm_label_is_name(struct rtm_label_text text, bool colons)
{
    for (size_t i = 0; i < text.length; i++) {
        bool digit = text.bytes[i] >= '0' && text.bytes[i] <= '9';
        if (!is_letter(text.bytes[i], colons) && !(digit && i))
            return false;
    }
    return text.length > 0;
}

void rtm_label_key_begin(struct rtm_label_key *key)
{
    key->length = 0;
}

void rtm_label_key_add(struct rtm_label_key *key, struct rtm_label_text value)
{
    RTM_ASSERT(key->length + 2 + RTM_LABEL_VALUE_MAX <= sizeof key->bytes);
    char *head = key->bytes + key->length;
    size_t length = rtm_label_clean(head + 2, RTM_LABEL_VALUE_MAX, value);
    head[0] = (char)(length & 0xff);
    head[1] = (char)(length >> 8);
    key->length += 2 + length;
}

void rtm_label_key_split(const char *bytes, struct rtm_label_text *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = (unsigned char)bytes[0] | (size_t)(unsigned char)bytes[1] << 8;
        values[i] = (struct rtm_label_text){bytes + 2, length};
        bytes += 2 + length;
    }
}
