#include "encoders/html.h"

static const char *find_entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\0':
        return "\xEF\xBF\xBD"; /* as browsers show it; HTML has no way to write it */
    default:
        return NULL;
    }
}

void rtm_html_write_text(struct rtm_buffer *out, const char *bytes, size_t length)
{
    size_t start = 0;
    for (size_t i = 0; i < length; i++) {
        const char *entity = find_entity(bytes[i]);
        if (!entity)
            continue;
        rtm_buffer_append(out, bytes + start, i - start);
        rtm_buffer_append_text(out, entity);
        start = i + 1;
    }
    rtm_buffer_append(out, bytes + start, length - start);
}
