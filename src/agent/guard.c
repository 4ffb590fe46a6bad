#include "agent/guard.h"

#include <string.h>

/* Each check returns whether the request may go on; where not, `verdict` says why. */

static bool refuse(struct rtm_guard_verdict *verdict, int status, const char *text)
{
    *verdict = (struct rtm_guard_verdict){.status = status, .text = text};
    return false;
}

/* Where a request ends is not known for sure: another one might hide in what follows. */
static bool refuse_and_close(struct rtm_guard_verdict *verdict, int status, const char *text)
{
    *verdict = (struct rtm_guard_verdict){.status = status, .text = text, .must_close = true};
    return false;
}

static bool refuse_with(struct rtm_guard_verdict *verdict, int status, const char *text,
                        const char *name, const char *value)
{
    *verdict = (struct rtm_guard_verdict){
        .status = status, .text = text, .header_name = name, .header_value = value};
    return false;
}

/* A token of HTTP (RFC 9110, 5.6.2). */
static bool is_method(const char *text)
{
    static const char bytes[] = "!#$%&'*+-.^_`|~0123456789"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    return text && *text && text[strspn(text, bytes)] == '\0';
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* "HTTP/1.1": two digits. */
static bool is_version(const char *text)
{
    return text && strlen(text) == 8 && strncmp(text, "HTTP/", 5) == 0 && is_digit(text[5]) &&
           text[6] == '.' && is_digit(text[7]);
}

static bool check_head(const struct rtm_guard_request *request, struct rtm_guard_verdict *verdict)
{
    if (request->is_framed_badly || request->has_nul)
        return refuse_and_close(verdict, 400, "The head of this request is malformed.");
    if (!is_method(request->method))
        return refuse_and_close(verdict, 400, "This is no method of HTTP.");
    if (!is_version(request->version))
        return refuse_and_close(verdict, 400, "This request names no version of HTTP.");
    if (strcmp(request->version, "HTTP/1.0") != 0 && strcmp(request->version, "HTTP/1.1") != 0)
        return refuse_and_close(verdict, 505, "HTTP/1.0 and HTTP/1.1 are understood here.");
    if (!request->path || request->path[0] != '/')
        return refuse_and_close(verdict, 400, "The target must be a path: this is no proxy.");
    return true;
}

static bool check_body(const struct rtm_guard_request *request, struct rtm_guard_verdict *verdict)
{
    const char *length = request->content_length;
    if (request->transfer_encoding_count > 0 || request->transfer_encoding)
        return refuse_and_close(verdict, 400, "No page takes a body, so there is none to encode.");
    if (request->content_length_count > 1)
        return refuse_and_close(verdict, 400, "There is more than one Content-Length.");
    if (!length)
        return true;
    if (*length == '\0' || length[strspn(length, "0123456789")] != '\0')
        return refuse_and_close(verdict, 400, "This Content-Length is no number.");
    if (length[strspn(length, "0")] == '\0')
        return true;
    bool may_have_body = strcmp(request->method, "POST") == 0;
    return refuse_and_close(verdict, may_have_body ? 413 : 400, "No page takes a body.");
}

/* The names by which this end of any connection may be asked for. */
static bool is_own_name(const char *name, const char *local_host)
{
    struct rtm_guard_host local;
    return strcmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0 ||
           strcmp(name, "[::1]") == 0 ||
           (local_host && rtm_guard_host_from_address(local_host, &local) &&
            strcmp(name, local.name) == 0);
}

static bool is_allowed(const struct rtm_guard *guard, const struct rtm_guard_host *host,
                       const char *local_host)
{
    for (size_t i = 0; i < guard->host_count; i++) {
        const struct rtm_guard_host *listed = &guard->hosts[i];
        if (rtm_guard_host_is(host, listed->name, listed->port ? listed->port : guard->port))
            return true;
    }
    return is_own_name(host->name, local_host) && rtm_guard_host_is(host, host->name, guard->port);
}

static bool check_host(const struct rtm_guard *guard, const struct rtm_guard_request *request,
                       struct rtm_guard_verdict *verdict)
{
    struct rtm_guard_host host;
    if (request->host_count != 1 || !request->host)
        return refuse_and_close(verdict, 400, "There must be one Host, and only one.");
    if (guard->is_unix)
        return true;
    if (!rtm_guard_host_parse(request->host, &host))
        return refuse_and_close(verdict, 400, "This Host is malformed.");
    return is_allowed(guard, &host, request->local_host) ||
           refuse(verdict, 403, "This Host is not on the list: see the option 'hosts'.");
}

/* By a unix socket a browser can come only through a proxy, with whatever Host that one has set. */
static bool is_own_origin(const struct rtm_guard *guard, const struct rtm_guard_request *request)
{
    struct rtm_guard_host origin, host;
    if (!rtm_guard_host_parse_origin(request->origin, &origin))
        return false;
    if (!guard->is_unix)
        return is_allowed(guard, &origin, request->local_host);
    return is_allowed(guard, &origin, NULL) ||
           (rtm_guard_host_parse(request->host, &host) && host.port == origin.port &&
            strcmp(host.name, origin.name) == 0);
}

static bool is_cross_site(const char *text)
{
    const char *word = "cross-site";
    for (; *word && (*text | 0x20) == *word; text++)
        word++;
    return *word == '\0';
}

static bool check_origin(const struct rtm_guard *guard, const struct rtm_guard_request *request,
                         struct rtm_guard_verdict *verdict)
{
    if (request->origin && !is_own_origin(guard, request))
        return refuse(verdict, 403, "Other sites may not ask here.");
    if (request->fetch_site && is_cross_site(request->fetch_site))
        return refuse(verdict, 403, "Other sites may not ask here.");
    return true;
}

static bool check_without_token(const struct rtm_guard *guard,
                                const struct rtm_guard_request *request,
                                const struct rtm_route *route, struct rtm_guard_verdict *verdict)
{
    if (!request->is_loopback)
        return refuse(verdict, 403, "Without a token, only this machine is answered.");
    if (route && route->class == RTM_ROUTE_CONTROL && !guard->is_unix)
        return refuse(verdict, 403, "This needs a token, or a unix socket.");
    return true;
}

static bool check_token(struct rtm_guard *guard, const struct rtm_guard_request *request,
                        const struct rtm_route *route, struct rtm_guard_verdict *verdict)
{
    if (request->authorization_count > 1)
        return refuse(verdict, 400, "There is more than one Authorization.");
    if (!rtm_guard_has_token(guard))
        return check_without_token(guard, request, route, verdict);
    enum rtm_route_class class = route ? route->class : RTM_ROUTE_CONTROL;
    return guard->open_classes & 1u << class ||
           rtm_guard_token_admits(&guard->token, request->authorization) ||
           refuse_with(verdict, 401, "This needs the token.", "WWW-Authenticate",
                       "Basic realm=\"rtmetrics\"");
}

static unsigned method_of(const char *name)
{
    if (strcmp(name, "GET") == 0)
        return RTM_ROUTE_GET;
    if (strcmp(name, "HEAD") == 0)
        return RTM_ROUTE_HEAD;
    return strcmp(name, "POST") == 0 ? RTM_ROUTE_POST : 0;
}

/* What the header Allow says, by the set of methods. */
static const char *text_of(unsigned methods)
{
    static const char *const texts[] = {"",     "GET",       "HEAD",       "GET, HEAD",
                                        "POST", "GET, POST", "HEAD, POST", "GET, HEAD, POST"};
    return texts[methods & (RTM_COUNT_OF(texts) - 1)];
}

static bool check_page(const struct rtm_guard_request *request, const struct rtm_route *route,
                       struct rtm_guard_verdict *verdict)
{
    if (!route)
        return refuse(verdict, 404, "There is no such page.");
    return method_of(request->method) & route->methods ||
           refuse_with(verdict, 405, "This page is not asked for in this way.", "Allow",
                       text_of(route->methods));
}

static bool keep_hosts(struct rtm_guard *guard, const struct rtm_guard_options *options,
                       struct rtm_error *err)
{
    if (options->host_count > RTM_GUARD_HOSTS_MAX)
        return rtm_error_set(err, "%zu hosts are too many: %d may be listed", options->host_count,
                             RTM_GUARD_HOSTS_MAX);
    for (; guard->host_count < options->host_count; guard->host_count++) {
        const char *text = options->hosts[guard->host_count];
        if (!rtm_guard_host_parse(text, &guard->hosts[guard->host_count]))
            return rtm_error_set(err,
                                 "'%.64s' is no host: it should be like app.local or "
                                 "localhost:9090",
                                 text);
    }
    return true;
}

bool rtm_guard_init(struct rtm_guard *guard, const struct rtm_guard_options *options,
                    struct rtm_error *err)
{
    *guard = (struct rtm_guard){.open_classes = options->open_classes};
    return keep_hosts(guard, options, err) &&
           rtm_guard_token_init(&guard->token, options->token, options->token_file, err);
}

void rtm_guard_fini(struct rtm_guard *guard)
{
    rtm_guard_token_fini(&guard->token);
}

void rtm_guard_judge(struct rtm_guard *guard, const struct rtm_guard_request *request,
                     const struct rtm_route *route, struct rtm_guard_verdict *verdict)
{
    if (check_head(request, verdict) && check_body(request, verdict) &&
        check_host(guard, request, verdict) && check_origin(guard, request, verdict) &&
        check_token(guard, request, route, verdict) && check_page(request, route, verdict))
        *verdict = (struct rtm_guard_verdict){0};
}

bool rtm_guard_has_token(const struct rtm_guard *guard)
{
    return rtm_guard_token_is_wanted(&guard->token);
}
