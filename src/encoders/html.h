/* Text in HTML pages that may hold anything. Runs: any thread. */
#ifndef RTM_ENCODERS_HTML_H
#define RTM_ENCODERS_HTML_H

#include "ground/buffer.h"

/* Appends UTF-8 text, so that it shows as itself between tags and inside quoted attributes: no byte
   of it is markup. */
void rtm_html_write_text(struct rtm_buffer *out, const char *bytes, size_t length);

#endif
