#include "agent/guard_token.h"

#include <stdint.h>
#include <string.h>

#include "ground/memory.h"

/* A user's name of any sensible length, a colon, and the token. */
enum { CREDENTIALS_MAX = 1024 };

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static bool check_text(const char *text, const char *from, struct rtm_error *err)
{
    size_t length = strlen(text);
    if (length < RTM_GUARD_TOKEN_MIN)
        return rtm_error_set(err, "%s has %zu bytes; it needs %d", from, length,
                             RTM_GUARD_TOKEN_MIN);
    if (length >= RTM_GUARD_TOKEN_MAX)
        return rtm_error_set(err, "%s has %zu bytes; it may have %d", from, length,
                             RTM_GUARD_TOKEN_MAX - 1);
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~')
            return rtm_error_set(err, "%s may hold visible ASCII characters only, and no blank",
                                 from);
    }
    return true;
}

/* Also forgets the last token where there is none to be read now. */
static bool read_file(struct rtm_guard_token *token, struct rtm_error *err)
{
    char line[RTM_GUARD_TOKEN_MAX];
    memset(token->text, 0, sizeof token->text);
    if (!rtm_private_file_read_line(token->path, line, sizeof line, &token->stamp, err) ||
        !check_text(line, "the first line of the token's file", err))
        return false;
    memcpy(token->text, line, strlen(line) + 1);
    return true;
}

static char *copy_of(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = rtm_memory_alloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static bool init_from_file(struct rtm_guard_token *token, const char *path, struct rtm_error *err)
{
    token->path = copy_of(path);
    if (!token->path)
        return rtm_error_set(err, "cannot keep the token's path: no memory");
    if (read_file(token, err))
        return true;
    rtm_guard_token_fini(token);
    return false;
}

bool rtm_guard_token_init(struct rtm_guard_token *token, const char *text, const char *path,
                          struct rtm_error *err)
{
    *token = (struct rtm_guard_token){0};
    if (text && path)
        return rtm_error_set(err, "a token and a token's file are given: one of them is enough");
    if (path)
        return init_from_file(token, path, err);
    if (!text)
        return true;
    if (!check_text(text, "the token", err))
        return false;
    memcpy(token->text, text, strlen(text) + 1);
    return true;
}

void rtm_guard_token_fini(struct rtm_guard_token *token)
{
    rtm_memory_free(token->path);
    *token = (struct rtm_guard_token){0};
}

bool rtm_guard_token_is_wanted(const struct rtm_guard_token *token)
{
    return token->path || token->text[0];
}

/* Looks at every byte of both, so that the time tells nothing of how much was right, nor of the
   token's length. An empty token equals nothing. */
static bool is_equal(const struct rtm_guard_token *token, const char *bytes, size_t length)
{
    char padded[RTM_GUARD_TOKEN_MAX] = {0};
    volatile size_t difference = length == 0 ? 1 : length ^ strlen(token->text);
    memcpy(padded, bytes, length < sizeof padded ? length : sizeof padded - 1);
    for (size_t i = 0; i < sizeof padded; i++)
        difference |= (size_t)(unsigned char)(padded[i] ^ token->text[i]);
    return difference == 0;
}

static int base64_value(char byte)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *place = byte ? strchr(digits, byte) : NULL;
    return place ? (int)(place - digits) : -1;
}

/* RFC 4648 with padding, and nothing else. Returns the number of bytes, 0 where it is not that. */
static size_t decode_base64(const char *text, size_t length, char *bytes)
{
    size_t count = 0;
    uint32_t bits = 0;
    if (length % 4 != 0)
        return 0;
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < length - padding; i++) {
        int value = base64_value(text[i]);
        if (value < 0)
            return 0;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0)
            bytes[count++] = (char)(bits >> (6 - i % 4 * 2));
    }
    bool has_loose_bits = padding && bits & ((UINT32_C(1) << 2 * padding) - 1);
    return has_loose_bits ? 0 : count;
}

static bool admits_basic(const struct rtm_guard_token *token, const char *text, size_t length)
{
    char bytes[CREDENTIALS_MAX];
    if (length > sizeof bytes)
        return false;
    size_t count = decode_base64(text, length, bytes);
    char *colon = count ? memchr(bytes, ':', count) : NULL;
    return colon && is_equal(token, colon + 1, count - (size_t)(colon + 1 - bytes));
}

/* Takes the scheme, which stands in any case, and the blanks behind it. */
static bool take_scheme(const char **text, const char *scheme)
{
    const char *rest = *text;
    for (; *scheme; scheme++, rest++) {
        if ((*rest | 0x20) != *scheme)
            return false;
    }
    if (*rest != ' ')
        return false;
    *text = rest + strspn(rest, " ");
    return true;
}

static size_t length_without_blanks(const char *text)
{
    size_t length = strlen(text);
    while (length > 0 && is_blank(text[length - 1]))
        length--;
    return length;
}

bool rtm_guard_token_admits(struct rtm_guard_token *token, const char *authorization)
{
    if (token->path && !rtm_private_file_is_same(token->path, &token->stamp) &&
        !read_file(token, NULL))
        return false;
    if (!authorization)
        return false;
    if (take_scheme(&authorization, "bearer"))
        return is_equal(token, authorization, length_without_blanks(authorization));
    if (take_scheme(&authorization, "basic"))
        return admits_basic(token, authorization, length_without_blanks(authorization));
    return false;
}
