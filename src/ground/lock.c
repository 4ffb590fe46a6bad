#include "ground/lock.h"

#include <sched.h>

enum { YIELDS_MAX = 1000 };

#ifdef RTM_DEBUG
enum { HELD_MAX = 8 };
static _Thread_local enum rtm_lock_rank held[HELD_MAX];
static _Thread_local unsigned held_count;

static void note_acquire(enum rtm_lock_rank rank)
{
    RTM_ASSERT(held_count < HELD_MAX);
    RTM_ASSERT(held_count == 0 || held[held_count - 1] < rank);
    held[held_count++] = rank;
}

/* Ranks rise strictly, so one that is held stands there once. */
static void note_release(enum rtm_lock_rank rank)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < held_count; i++) {
        if (held[i] != rank)
            held[kept++] = held[i];
    }
    held_count = kept;
}
#else
static void note_acquire(enum rtm_lock_rank rank)
{
    (void)rank; /* only debug builds keep the order */
}

static void note_release(enum rtm_lock_rank rank)
{
    (void)rank;
}
#endif

void rtm_lock_init(struct rtm_lock *lock, enum rtm_lock_rank rank)
{
    pthread_mutex_init(&lock->mutex, NULL);
    atomic_init(&lock->waiters, 0);
    lock->rank = rank;
}

void rtm_lock_acquire(struct rtm_lock *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) != 0) {
        atomic_fetch_add_explicit(&lock->waiters, 1, memory_order_relaxed);
        pthread_mutex_lock(&lock->mutex);
        atomic_fetch_sub_explicit(&lock->waiters, 1, memory_order_relaxed);
    }
    note_acquire(lock->rank);
}

bool rtm_lock_try(struct rtm_lock *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) != 0)
        return false;
    note_acquire(lock->rank);
    return true;
}

void rtm_lock_release(struct rtm_lock *lock)
{
    note_release(lock->rank);
    pthread_mutex_unlock(&lock->mutex);
}

void rtm_lock_yield(struct rtm_lock *lock)
{
    rtm_lock_release(lock);
    for (int i = 0; i < YIELDS_MAX; i++) {
        if (!atomic_load_explicit(&lock->waiters, memory_order_relaxed))
            break;
        sched_yield();
    }
    rtm_lock_acquire(lock);
}

void rtm_lock_reset(struct rtm_lock *lock)
{
    note_release(lock->rank);
    rtm_lock_init(lock, lock->rank);
}
