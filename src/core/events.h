/* All that happens when the VM allocates, switches, collects or reaches our hook: one function an
   event, in the order in which the observers are told. */
#ifndef RTM_CORE_EVENTS_H
#define RTM_CORE_EVENTS_H

#include <stddef.h>

#include "vm/events.h"

struct rtm_alloc;

extern const struct rtm_vm_events rtm_events;

/* The observing allocator. Runs: allocator. */
void *rtm_events_on_alloc(void *ud, void *ptr, size_t osize, size_t nsize, struct rtm_alloc *alloc);

#endif
