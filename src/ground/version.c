#include "ground/version.h"

#include <sched.h>
#include <time.h>

enum { YIELDS = 100, SLEEPS = 100 };

bool rtm_version_wait(unsigned tries)
{
    static const struct timespec millisecond = {.tv_nsec = 1000000};
    if (tries <= YIELDS)
        sched_yield();
    else
        nanosleep(&millisecond, NULL);
    return tries <= YIELDS + SLEEPS;
}
