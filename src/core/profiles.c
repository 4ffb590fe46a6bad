#include "core/profiles.h"

/* Ends with NULL, since C knows no empty array. */
static const struct rtm_profile_row *const table[] = {
    NULL,
};

const struct rtm_profile_row *const *rtm_profiles_list(size_t *count)
{
    *count = RTM_COUNT_OF(table) - 1;
    return table;
}
