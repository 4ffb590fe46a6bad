#include "agent/request.h"

#include <ctype.h>
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

/* From this version on the library refuses by itself, at its strictest level, what is framed badly.
 */
#define LIBRARY_IS_STRICT (MHD_VERSION >= 0x00097701)

enum { LINE_END_BYTES = 2 };

struct reading {
    struct rtm_request *request;
    const char *next; /* where the next line must begin, if all so far ended as they should */
};

void rtm_request_keep_target(struct rtm_connection *connection, const char *target)
{
    size_t length = strlen(target);
    connection->target_length = length;
    if (length >= RTM_CONNECTION_TARGET_MAX)
        length = 0;
    memcpy(connection->target, target, length);
    connection->target[length] = '\0';
}

bool rtm_request_is_target_too_long(const struct rtm_connection *connection)
{
    return connection->target_length >= RTM_CONNECTION_TARGET_MAX;
}

static bool is_token(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (!isalnum((unsigned char)*at) && !strchr("!#$%&'*+-.^_`|~", *at))
            return false;
    }
    return *text != '\0';
}

static bool has_control(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
            return true;
    }
    return false;
}

/* The first one counts, where several came; those that must be alone are counted. */
static void note_header(struct rtm_request *request, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
        unsigned *count;
    } known[] = {
        {"Host", &request->guard.host, &request->guard.host_count},
        {"Authorization", &request->guard.authorization, &request->guard.authorization_count},
        {"Content-Length", &request->guard.content_length, &request->guard.content_length_count},
        {"Transfer-Encoding", &request->guard.transfer_encoding,
         &request->guard.transfer_encoding_count},
        {"Origin", &request->guard.origin, NULL},
        {"Sec-Fetch-Site", &request->guard.fetch_site, NULL},
        {"Accept", &request->route.accept, NULL},
        {"Accept-Encoding", &request->route.accept_encoding, NULL},
    };
    for (size_t i = 0; i < RTM_COUNT_OF(known); i++) {
        if (strcasecmp(name, known[i].name) != 0)
            continue;
        if (!*known[i].text)
            *known[i].text = value;
        if (known[i].count)
            ++*known[i].count;
        return;
    }
}

static enum MHD_Result read_header(void *subject, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct reading *reading = subject;
    (void)kind; /* only headers were asked for */
    if (!value)
        value = "";
    bool is_in_place = LIBRARY_IS_STRICT || name == reading->next;
    /* both texts stand in the request's buffer, where only the line's end has become NULs */
    reading->next = value + strlen(value) + LINE_END_BYTES;
    if (!is_in_place || !is_token(name) || has_control(value))
        reading->request->guard.is_framed_badly = true;
    note_header(reading->request, name, value);
    return MHD_YES;
}

/* A line that ended with a bare LF, was folded, had a NUL or a second blank in it, or no name: the
   parts do not follow each other as they should, up to the empty line. */
static bool is_whole(struct MHD_Connection *library, const char *method, const char *next)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return LIBRARY_IS_STRICT || (info && method + info->header_size == next + LINE_END_BYTES);
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)tolower((unsigned char)digit);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Visible ASCII without a fragment, and two digits after each percent sign. */
static bool is_well_formed(const char *target)
{
    for (const char *at = target; *at; at++) {
        if (*at <= ' ' || *at >= 0x7f || *at == '#')
            return false;
        if (*at == '%' && (hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0))
            return false;
    }
    return true;
}

/* Splits the target into a decoded path and a raw query. */
static void read_target(struct rtm_request *request, struct rtm_connection *connection)
{
    char *out = connection->decoded;
    const char *at = connection->target;
    bool is_decodable = is_well_formed(at);
    request->guard.is_framed_badly |= !is_decodable;
    for (; *at && *at != '?'; at++) {
        char byte = *at;
        if (byte == '%' && is_decodable) {
            byte = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
            at += 2;
            request->guard.has_nul |= byte == '\0';
        }
        *out++ = byte;
    }
    *out = '\0';
    request->guard.path = request->route.path = connection->decoded;
    request->route.query = *at == '?' ? at + 1 : NULL;
}

static enum rtm_route_method method_of(const char *method)
{
    if (strcmp(method, "GET") == 0)
        return RTM_ROUTE_GET;
    if (strcmp(method, "HEAD") == 0)
        return RTM_ROUTE_HEAD;
    return strcmp(method, "POST") == 0 ? RTM_ROUTE_POST : (enum rtm_route_method)0;
}

static bool is_zero(const char *digits)
{
    return digits[strspn(digits, "0")] == '\0';
}

void rtm_request_read(struct rtm_request *request, struct MHD_Connection *library,
                      struct rtm_connection *connection, const char *method, const char *version)
{
    struct reading reading = {.request = request};
    *request = (struct rtm_request){0};
    struct rtm_guard_request *guard = &request->guard;
    guard->method = method;
    guard->version = version;
    guard->local_host = connection->local_host[0] ? connection->local_host : NULL;
    guard->is_loopback = connection->is_loopback;
    request->route.method = method_of(method);
    const char *place = method + strlen(method) + 1 + connection->target_length + 1;
    guard->is_framed_badly = !LIBRARY_IS_STRICT && version != place;
    reading.next = version + strlen(version) + LINE_END_BYTES;
    read_target(request, connection);
    MHD_get_connection_values(library, MHD_HEADER_KIND, read_header, &reading);
    guard->is_framed_badly |= !is_whole(library, method, reading.next);
    request->has_body =
        guard->transfer_encoding || (guard->content_length && !is_zero(guard->content_length));
}
