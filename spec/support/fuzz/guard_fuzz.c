#define _GNU_SOURCE
/* The request checks under libFuzzer: `make fuzz`. The input is a request, a field a line:
   "h127.0.0.1:6060"; the first line chooses the guard. What must hold besides "no report of a
   sanitizer": a refusal says why, and whoever gets through is somebody that a second, much simpler
   look lets through too. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/guard.h"

#define TOKEN "correct-horse-battery"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "broken: %s\n", #condition);                                           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const struct rtm_route pages[] = {
    {"/metrics", "Figures.", RTM_ROUTE_METRICS, RTM_ROUTE_GET | RTM_ROUTE_HEAD},
    {"/stop", "Stops.", RTM_ROUTE_CONTROL, RTM_ROUTE_POST},
};

static const struct rtm_route *find_page(const char *path)
{
    for (size_t i = 0; path && i < RTM_COUNT_OF(pages); i++) {
        if (strcmp(pages[i].path, path) == 0)
            return &pages[i];
    }
    return NULL;
}

/* Bits of the first byte: token, unix socket, port 80, open metrics, a host of one's own. */
static void init_guard(struct rtm_guard *guard, unsigned choice)
{
    static const char *const hosts[] = {"app.local", "localhost:9090"};
    struct rtm_error err;
    struct rtm_guard_options options = {
        .hosts = hosts,
        .host_count = choice & 16 ? 2 : 0,
        .token = choice & 1 ? TOKEN : NULL,
        .open_classes = choice & 8 ? 1 << RTM_ROUTE_METRICS : 0,
    };
    MUST(rtm_guard_init(guard, &options, &err));
    guard->is_unix = choice & 2;
    guard->port = choice & 4 ? 80 : 6060;
}

static void take_field(struct rtm_guard_request *request, const char *line)
{
    const char *value = *line ? line + 1 : line;
    switch (*line) {
    case 'm':
        request->method = value;
        break;
    case 'v':
        request->version = value;
        break;
    case 'p':
        request->path = value;
        break;
    case 'h':
        request->host = value;
        request->host_count++;
        break;
    case 'a':
        request->authorization = value;
        request->authorization_count++;
        break;
    case 'c':
        request->content_length = value;
        request->content_length_count++;
        break;
    case 't':
        request->transfer_encoding = value;
        request->transfer_encoding_count++;
        break;
    case 'o':
        request->origin = value;
        break;
    case 's':
        request->fetch_site = value;
        break;
    case 'l':
        request->local_host = value;
        break;
    case 'F':
        request->is_framed_badly = true;
        break;
    case 'N':
        request->has_nul = true;
        break;
    case 'R':
        request->is_loopback = false;
        break;
    default:
        break;
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static void check_passed(const struct rtm_guard *guard, const struct rtm_guard_request *request,
                         unsigned choice)
{
    const char *host = request->host;
    MUST(!request->is_framed_badly && !request->has_nul);
    MUST(request->host_count == 1 && request->transfer_encoding_count == 0);
    MUST(request->content_length_count == 0 || strtoul(request->content_length, NULL, 10) == 0);
    MUST(!request->fetch_site || strcmp(request->fetch_site, "cross-site") != 0);
    MUST(choice & 1 || request->is_loopback);
    MUST(strcmp(request->path, "/metrics") == 0 || strcmp(request->method, "POST") == 0);
    if (choice & 1 && !(choice & 8 && strcmp(request->path, "/metrics") == 0))
        MUST(request->authorization && strlen(request->authorization) > sizeof TOKEN);
    if (guard->is_unix)
        return;
    MUST(strpbrk(host, "@/\\%, \t") == NULL && !ends_with(host, "."));
    MUST(guard->port == 80 || ends_with(host, ":6060") ||
         (choice & 16 && ends_with(host, ":9090")));
    if (!request->local_host)
        MUST(strcasestr(host, "localhost") || strcasestr(host, "127.0.0.1") ||
             strstr(host, "[::1]") || strcasestr(host, "app.local"));
}

static void check_refused(const struct rtm_guard_verdict *verdict)
{
    int status = verdict->status;
    MUST(status == 400 || status == 401 || status == 403 || status == 404 || status == 405 ||
         status == 413 || status == 505);
    MUST(verdict->text && *verdict->text);
    MUST((status == 401 || status == 405) == (verdict->header_name && verdict->header_value));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct rtm_guard guard;
    struct rtm_guard_verdict verdict;
    struct rtm_guard_request request = {.is_loopback = true};
    char *text = calloc(1, size + 1), *rest = text, *line;
    MUST(text);
    memcpy(text, bytes, size);
    unsigned choice = size ? bytes[0] : 0;
    strsep(&rest, "\n");
    while ((line = strsep(&rest, "\n")))
        take_field(&request, line);
    init_guard(&guard, choice);
    rtm_guard_judge(&guard, &request, find_page(request.path), &verdict);
    if (verdict.status == 0)
        check_passed(&guard, &request, choice);
    else
        check_refused(&verdict);
    rtm_guard_fini(&guard);
    free(text);
    return 0;
}
