/* THE table of profiles, as /debug/pprof/ lists them. */
#ifndef RTM_CORE_PROFILES_H
#define RTM_CORE_PROFILES_H

#include <stddef.h>
#include <stdint.h>

#include "core/route.h"
#include "ground/check.h"

/* A profile that there is, a constant. */
struct rtm_profile_row {
    const char *name; /* "heap": its page is /debug/pprof/heap */
    const char *help; /* sentences that end with a full stop */
    enum rtm_route_class class;
    uint64_t (*count)(void); /* of the records in it now; any ordinary thread. NULL: it is taken
                                anew for whoever asks */
};

/* All profiles, sorted by name. Runs: any. */
const struct rtm_profile_row *const *rtm_profiles_list(size_t *count);

#endif
