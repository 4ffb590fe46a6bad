#include "encoders/accept.h"

#include <string.h>

struct text {
    const char *at;
    size_t length;
};

/* One of the header's comma-separated media ranges. */
struct range {
    struct text type; /* "text/plain", "text" followed by "/" and "*", ... */
    struct text version;
    int q; /* thousandths */
};

/* How exactly a range speaks of a format. */
enum exactness {
    MATCH_NONE,
    MATCH_ALL,
    MATCH_GROUP,
    MATCH_TYPE,
    MATCH_VERSION,
};

/* How well a format does so far. */
struct standing {
    enum exactness exactness;
    int q;
    int position;
};

struct offer {
    const char *type;
    const char *group;
    const char *version;
};

static const struct offer offers[] = {
    [RTM_ACCEPT_TEXT] = {"text/plain", "text/*", "0.0.4"},
    [RTM_ACCEPT_OPENMETRICS] = {"application/openmetrics-text", "application/*", "1.0.0"},
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_word(struct text text, const char *word)
{
    if (text.length != strlen(word))
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (lower(text.at[i]) != word[i])
            return false;
    }
    return true;
}

static struct text trim(struct text text)
{
    while (text.length && is_space(text.at[0])) {
        text.at++;
        text.length--;
    }
    while (text.length && is_space(text.at[text.length - 1]))
        text.length--;
    return text;
}

/* Takes what stands before the next `separator` outside quotes, and moves `rest` behind it. */
static struct text cut_part(struct text *rest, char separator)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < rest->length; i++) {
        char c = rest->at[i];
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted && i + 1 < rest->length)
            i++;
        else if (c == separator && !quoted)
            break;
    }
    struct text part = {rest->at, i};
    size_t used = i < rest->length ? i + 1 : i;
    rest->at += used;
    rest->length -= used;
    return trim(part);
}

static struct text unquote(struct text text)
{
    if (text.length >= 2 && text.at[0] == '"' && text.at[text.length - 1] == '"')
        return (struct text){text.at + 1, text.length - 2};
    return text;
}

/* A qvalue in thousandths: 0 or 1 with at most three decimals; -1 for anything else. */
static int parse_q(struct text text)
{
    if (!text.length || text.length > 5 || (text.at[0] != '0' && text.at[0] != '1') ||
        (text.length > 1 && text.at[1] != '.'))
        return -1;
    int q = (text.at[0] - '0') * 1000, weight = 100;
    for (size_t i = 2; i < text.length; i++, weight /= 10) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        q += (text.at[i] - '0') * weight;
    }
    return q <= 1000 ? q : -1;
}

static struct range parse_range(struct text text)
{
    struct range range = {.type = cut_part(&text, ';'), .q = 1000};
    while (text.length) {
        struct text value = cut_part(&text, ';');
        struct text name = cut_part(&value, '=');
        value = trim(value);
        if (is_word(name, "q"))
            range.q = parse_q(value);
        else if (is_word(name, "version"))
            range.version = unquote(value);
    }
    return range;
}

static enum exactness match(const struct range *range, const struct offer *offer)
{
    if (is_word(range->type, offer->type)) {
        if (!range->version.length)
            return MATCH_TYPE;
        return is_word(range->version, offer->version) ? MATCH_VERSION : MATCH_NONE;
    }
    if (is_word(range->type, offer->group))
        return MATCH_GROUP;
    return is_word(range->type, "*/*") ? MATCH_ALL : MATCH_NONE;
}

static void consider(struct standing *standing, const struct range *range,
                     const struct offer *offer, int position)
{
    enum exactness exactness = match(range, offer);
    if (exactness > standing->exactness)
        *standing = (struct standing){exactness, range->q, position};
}

static bool is_better(const struct standing *a, const struct standing *b)
{
    if (a->q != b->q)
        return a->q > b->q;
    bool a_named = a->exactness >= MATCH_TYPE, b_named = b->exactness >= MATCH_TYPE;
    if (a_named != b_named)
        return a_named;
    return a->position < b->position;
}

enum rtm_accept_format rtm_accept_choose(const char *accept, size_t length)
{
    struct standing standings[2] = {{MATCH_NONE, 0, 0}, {MATCH_NONE, 0, 0}};
    struct text rest = {accept, accept ? length : 0};
    for (int position = 0; rest.length; position++) {
        struct text part = cut_part(&rest, ',');
        struct range range = parse_range(part);
        if (range.q < 0)
            continue;
        for (int i = 0; i < 2; i++)
            consider(&standings[i], &range, &offers[i], position);
    }
    bool openmetrics = standings[RTM_ACCEPT_OPENMETRICS].q > 0 &&
                       is_better(&standings[RTM_ACCEPT_OPENMETRICS], &standings[RTM_ACCEPT_TEXT]);
    return openmetrics ? RTM_ACCEPT_OPENMETRICS : RTM_ACCEPT_TEXT;
}

/* The q of a coding that is named, or -1. */
struct codings {
    int gzip, any, identity;
};

static void note_q(int *q, int found)
{
    if (*q < 0) /* the first of several that contradict each other */
        *q = found;
}

static void note_coding(struct codings *codings, const struct range *coding)
{
    if (is_word(coding->type, "gzip") || is_word(coding->type, "x-gzip"))
        note_q(&codings->gzip, coding->q);
    else if (is_word(coding->type, "*"))
        note_q(&codings->any, coding->q);
    else if (is_word(coding->type, "identity"))
        note_q(&codings->identity, coding->q);
}

bool rtm_accept_gzip(const char *accept_encoding, size_t length)
{
    struct codings codings = {-1, -1, -1};
    struct text rest = {accept_encoding, accept_encoding ? length : 0};
    while (rest.length) {
        struct range coding = parse_range(cut_part(&rest, ','));
        if (coding.q >= 0)
            note_coding(&codings, &coding);
    }
    int q = codings.gzip >= 0 ? codings.gzip : codings.any;
    return q > 0 && q >= codings.identity;
}
