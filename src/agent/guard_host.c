#include "agent/guard_host.h"

#include <stdio.h>
#include <string.h>

#define HTTP_PORT 80
#define PORT_MAX 65535
#define ORIGIN_SCHEME "http://"
#define MAPPED_PREFIX "::ffff:" /* RFC 4291, 2.5.5.2 */

/* The character classes of ctype.h depend on the host program's locale. */
static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static char to_lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

static bool is_name_byte(char byte)
{
    return is_digit(byte) || (to_lower(byte) >= 'a' && to_lower(byte) <= 'z') || byte == '-' ||
           byte == '_' || byte == '.';
}

static bool is_address_byte(char byte)
{
    return is_digit(byte) || (to_lower(byte) >= 'a' && to_lower(byte) <= 'f') || byte == ':' ||
           byte == '.';
}

/* Length of the name at the start of the text, 0 where there is none. */
static size_t name_length(const char *text)
{
    size_t length = 0;
    if (*text != '[') {
        while (is_name_byte(text[length]))
            length++;
        return length;
    }
    length = 1;
    while (is_address_byte(text[length]))
        length++;
    return length > 1 && text[length] == ']' ? length + 1 : 0;
}

/* What stands behind the name: nothing, or a port. */
static bool parse_port(const char *text, unsigned *port)
{
    *port = 0;
    if (*text == '\0')
        return true;
    if (*text++ != ':' || *text < '1' || *text > '9')
        return false;
    for (; is_digit(*text) && *port <= PORT_MAX; text++)
        *port = *port * 10 + (unsigned)(*text - '0');
    return *text == '\0' && *port <= PORT_MAX;
}

bool rtm_guard_host_parse(const char *text, struct rtm_guard_host *host)
{
    size_t length = name_length(text);
    if (length == 0 || length >= sizeof host->name)
        return false;
    for (size_t i = 0; i < length; i++)
        host->name[i] = to_lower(text[i]);
    host->name[length] = '\0';
    return parse_port(text + length, &host->port);
}

bool rtm_guard_host_parse_origin(const char *text, struct rtm_guard_host *host)
{
    size_t length = strlen(ORIGIN_SCHEME);
    return strncmp(text, ORIGIN_SCHEME, length) == 0 && rtm_guard_host_parse(text + length, host);
}

bool rtm_guard_host_from_address(const char *address, struct rtm_guard_host *host)
{
    char text[RTM_GUARD_HOST_NAME_MAX];
    size_t prefix = strlen(MAPPED_PREFIX);
    if (strncmp(address, MAPPED_PREFIX, prefix) == 0 && strchr(address, '.'))
        address += prefix;
    const char *form = strchr(address, ':') ? "[%s]" : "%s";
    int length = snprintf(text, sizeof text, form, address);
    return length > 0 && (size_t)length < sizeof text && rtm_guard_host_parse(text, host);
}

bool rtm_guard_host_is(const struct rtm_guard_host *host, const char *name, unsigned port)
{
    return (host->port ? host->port : HTTP_PORT) == port && strcmp(host->name, name) == 0;
}
