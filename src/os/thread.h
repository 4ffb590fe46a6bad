/* A thread of our own: signals stay the host's, its name tells whose it is, and who ends it waits
   for a while only. */
#ifndef RTM_OS_THREAD_H
#define RTM_OS_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/error.h"

enum { RTM_THREAD_NAME_MAX = 16 }; /* with its NUL: what Linux keeps */

/* In the starter's storage, which stays where it is until the thread is joined, or for ever. */
struct rtm_thread {
    pthread_t id;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool has_begun, has_ended; /* under the mutex */
    char name[RTM_THREAD_NAME_MAX];
    void (*run)(void *subject);
    void *subject;
};

/* Runs `run(subject)` on a new thread that blocks all signals and has 2 MiB of stack. It has begun
   when this returns (unless that takes more than a second), so that a fork which follows does not
   catch it while the C library sets it up. */
bool rtm_thread_start(struct rtm_thread *thread, const char *name, void (*run)(void *subject),
                      void *subject, struct rtm_error *err) RTM_MUST_USE;

/* Has the calling thread give way to those of the host, which keep their share of a CPU that it
   wants as well; where the system refuses it stays as it is. Not to be undone. Runs: a thread of
   ours. */
void rtm_thread_give_way(void);

/* Has `run` returned? Runs: any. */
bool rtm_thread_has_ended(struct rtm_thread *thread);

/* Waits until the thread has ended, for `patience_ns` at most; false: it goes on, on its own, and
   still uses the storage. Called once, by another thread. */
bool rtm_thread_join(struct rtm_thread *thread, uint64_t patience_ns) RTM_MUST_USE;

#endif
