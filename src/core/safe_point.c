#include "core/safe_point.h"

#include <stdatomic.h>
#include <stddef.h>

#include "core/context.h"
#include "core/contexts.h"
#include "vm/hook.h"

static _Atomic(rtm_safe_point_function) requested;

/* VMs whose threads the fork did not copy never come to it. */
static void arm(struct rtm_context *cx)
{
    rtm_hook_arm(rtm_context_running(cx));
}

void rtm_safe_point_request(rtm_safe_point_function run)
{
    atomic_store(&requested, run);
    rtm_contexts_each_in_child(arm);
}

rtm_safe_point_function rtm_safe_point_take(void)
{
    if (!atomic_load_explicit(&requested, memory_order_relaxed))
        return NULL;
    return atomic_exchange(&requested, NULL);
}
