#include "os/fork.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

typedef void (*reset_function)(void);

_Atomic uint32_t rtm_fork_generations;

/* Filled from the front and never emptied; atomic, so that a fork may come in the middle of a
   registration by another thread. */
static _Atomic(reset_function) resets[RTM_FORK_STAGES][RTM_FORK_RESETS_PER_STAGE];

/* Set once, the release first. */
static _Atomic(reset_function) hold, release;

static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static int install_errno;

static void reset_child(void)
{
    atomic_fetch_add_explicit(&rtm_fork_generations, 1, memory_order_relaxed);
    for (int stage = 0; stage < RTM_FORK_STAGES; stage++) {
        for (int i = 0; i < RTM_FORK_RESETS_PER_STAGE; i++) {
            reset_function reset = atomic_load(&resets[stage][i]);
            if (reset)
                reset();
        }
    }
}

static void before_fork(void)
{
    reset_function run = atomic_load(&hold);
    if (run)
        run();
}

static void after_fork(void)
{
    reset_function run = atomic_load(&release);
    if (run)
        run();
}

static void install(void)
{
    install_errno = pthread_atfork(before_fork, after_fork, reset_child);
}

static bool ensure_installed(struct rtm_error *err)
{
    pthread_once(&install_once, install);
    if (install_errno)
        return rtm_error_set(err, "cannot install a fork handler: %s", strerror(install_errno));
    return true;
}

bool rtm_fork_register(enum rtm_fork_stage stage, void (*reset)(void), struct rtm_error *err)
{
    if (!ensure_installed(err))
        return false;
    for (int i = 0; i < RTM_FORK_RESETS_PER_STAGE; i++) {
        reset_function holder = NULL;
        if (atomic_compare_exchange_strong(&resets[stage][i], &holder, reset) || holder == reset)
            return true;
    }
    return rtm_error_set(err, "cannot register a fork handler: stage %d is full", (int)stage);
}

bool rtm_fork_hold(void (*new_hold)(void), void (*new_release)(void), struct rtm_error *err)
{
    if (!ensure_installed(err))
        return false;
    reset_function holder = NULL;
    if (!atomic_compare_exchange_strong(&release, &holder, new_release) && holder != new_release)
        return rtm_error_set(err, "cannot register a fork handler: somebody holds forks already");
    atomic_store(&hold, new_hold);
    return true;
}
