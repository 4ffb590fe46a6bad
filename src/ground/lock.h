/* A mutex with a rank. A thread takes locks in rising rank only, so that no two can wait for each
   other; debug builds abort where the order is broken. All locks of rtmetrics and their ranks stand
   here. Runs: any thread; never a signal handler, the allocator or a collector's callback. */
#ifndef RTM_GROUND_LOCK_H
#define RTM_GROUND_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "ground/check.h"

enum rtm_lock_rank {
    RTM_LOCK_RANK_AGENT = 2,     /* start and stop of the process's agent */
    RTM_LOCK_RANK_FORK_FDS = 3,  /* what a forked child closes */
    RTM_LOCK_RANK_VISIT = 5,     /* a reader of all VMs, while it reads */
    RTM_LOCK_RANK_CONTEXTS = 10, /* the list of the process's VMs */
    RTM_LOCK_RANK_SERIES = 20,   /* one VM's user series */
};

struct rtm_lock {
    pthread_mutex_t mutex;
    enum rtm_lock_rank rank;
    atomic_uint waiters;
};

/* Readies the caller's storage; cannot fail, needs no fini. */
void rtm_lock_init(struct rtm_lock *lock, enum rtm_lock_rank rank);

void rtm_lock_acquire(struct rtm_lock *lock);
void rtm_lock_release(struct rtm_lock *lock);

/* Acquires a free lock; false at once if it is not. */
bool rtm_lock_try(struct rtm_lock *lock) RTM_MUST_USE;

/* Releases a held lock, lets in a thread that waits for it, and acquires it again: for long
   readers, since an unfair mutex would go straight back to them. Gives up waiting after about a
   millisecond. */
void rtm_lock_yield(struct rtm_lock *lock);

/* Makes the lock free again. Runs: a forked child, where its holder may be a thread that is gone.
 */
void rtm_lock_reset(struct rtm_lock *lock);

#endif
