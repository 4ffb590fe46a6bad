/* All that happens when the VM allocates, switches, collects or reaches our hook: one function an
   event, in the order in which the observers are told. */
#ifndef RTM_CORE_EVENTS_H
#define RTM_CORE_EVENTS_H

#include "vm/events.h"

struct rtm_alloc_observers;

extern const struct rtm_vm_events rtm_events;

/* The observing allocators, for one that is Lua's own and for another. Run: allocator. */
extern const struct rtm_alloc_observers rtm_events_stock_alloc, rtm_events_foreign_alloc;

#endif
