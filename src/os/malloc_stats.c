#define _GNU_SOURCE
#include "os/malloc_stats.h"

#include <stdlib.h>

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <malloc.h>

/* An allocator that takes malloc's place leaves mallinfo2 and malloc_trim to glibc, which would
   then speak of arenas that nobody uses. */
static bool is_glibc_malloc(struct rtm_error *err)
{
    Dl_info owner, library;
    if (dladdr((void *)&malloc, &owner) && dladdr((void *)&gnu_get_libc_version, &library) &&
        owner.dli_fbase == library.dli_fbase)
        return true;
    return rtm_error_set(err, "malloc is not the one of glibc in this process");
}

bool rtm_malloc_stats_read(struct rtm_malloc_stats *stats, struct rtm_error *err)
{
    if (!is_glibc_malloc(err))
        return false;
    struct mallinfo2 told = mallinfo2();
    *stats = (struct rtm_malloc_stats){
        .arena_bytes = told.arena,
        .used_bytes = told.uordblks,
        .free_bytes = told.fordblks,
        .free_chunks = told.ordblks,
        .fast_free_bytes = told.fsmblks,
        .fast_free_chunks = told.smblks,
        .releasable_bytes = told.keepcost,
        .mapped_bytes = told.hblkhd,
        .mapped_blocks = told.hblks,
    };
    return true;
}

bool rtm_malloc_stats_trim(bool *released, struct rtm_error *err)
{
    if (!is_glibc_malloc(err))
        return false;
    *released = malloc_trim(0) == 1;
    return true;
}

#else

bool rtm_malloc_stats_read(struct rtm_malloc_stats *stats, struct rtm_error *err)
{
    (void)stats; /* left as it was: nothing is known */
    return rtm_error_set(err, "malloc statistics need glibc 2.33 or newer");
}

bool rtm_malloc_stats_trim(bool *released, struct rtm_error *err)
{
    (void)released; /* left as it was: nothing was done */
    return rtm_error_set(err, "giving free memory back needs glibc 2.33 or newer");
}

#endif
