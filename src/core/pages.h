/* Pages for people, in HTML: the index and the list of profiles. Links are relative, so that pages
   work under any prefix; there is no script, and all text is escaped. Each function appends a part;
   the parts of a page are written in the order in which they stand here. Runs: any thread. */
#ifndef RTM_CORE_PAGES_H
#define RTM_CORE_PAGES_H

#include "core/contexts.h"
#include "core/profiles.h"
#include "core/route.h"
#include "ground/buffer.h"

/* "/": the begin, a link for each page, the VMs (in a visit), the end. */
void rtm_pages_begin_index(struct rtm_buffer *out);
void rtm_pages_write_link(struct rtm_buffer *out, const struct rtm_route *route,
                          const char *class_name);
void rtm_pages_write_vms(struct rtm_buffer *out, const struct rtm_visit *visit);
void rtm_pages_end_index(struct rtm_buffer *out);

/* "/debug/pprof/", as Go's, of `count` profiles. */
void rtm_pages_write_profiles(struct rtm_buffer *out, const struct rtm_profile_row *const *profiles,
                              size_t count);

/* "/style.css". */
void rtm_pages_write_style(struct rtm_buffer *out);

#endif
