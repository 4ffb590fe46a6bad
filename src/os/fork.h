/* Who must be reset in a forked child, in order. The child handler runs between fork and the return
   to the host, in a process with one thread and locks in any state: a reset function re-initialises
   its locks or forgets what belongs to the parent, and neither allocates nor takes a lock. Children
   of vfork, _Fork and a bare clone are not told: they run no handlers. */
#ifndef RTM_OS_FORK_H
#define RTM_OS_FORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ground/check.h"
#include "ground/error.h"

/* Stages of the reset, run in this order; within a stage, in the order of registration. */
enum rtm_fork_stage {
    RTM_FORK_LOCKS, /* every lock, before anybody may want one */
    RTM_FORK_OS,    /* timers, threads, descriptors, clocks */
    RTM_FORK_VM,    /* what is known of the VMs */
    RTM_FORK_CORE,  /* observers and contexts */
    RTM_FORK_STAGES
};

#define RTM_FORK_RESETS_PER_STAGE 8

/* Has `reset` called in every child from now on, for the life of the process; registering the same
   function in the same stage again does nothing. Fails when the stage is full or the handler cannot
   be installed. Runs: any thread, not a signal handler. */
bool rtm_fork_register(enum rtm_fork_stage stage, void (*reset)(void),
                       struct rtm_error *err) RTM_MUST_USE;

/* Has `hold` called before every fork, and `release` after it in the parent: for work of another
   thread that a fork must not cut in two. `hold` waits for a moment at most. One pair in a process;
   the same one again does nothing. Runs: any thread, not a signal handler. */
bool rtm_fork_hold(void (*hold)(void), void (*release)(void), struct rtm_error *err) RTM_MUST_USE;

extern _Atomic uint32_t rtm_fork_generations __attribute__((visibility("hidden")));

/* How many forks lie between the process that loaded us and this one, counted from the first
   registration: who keeps the number beside what it owns notices that it is a child without a
   system call. Runs: any. */
static inline uint32_t rtm_fork_generation(void)
{
    return atomic_load_explicit(&rtm_fork_generations, memory_order_relaxed);
}

#endif
