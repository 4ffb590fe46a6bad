/* Cycles on VMs whose collector cannot be watched: an object that nobody holds is finalized once in
   each cycle, tells so, and is replaced by another. */
#ifndef RTM_VM_SENTINEL_H
#define RTM_VM_SENTINEL_H

#include <stdbool.h>

struct lua_State;
struct rtm_vm_owner;

/* Puts a sentinel into L's heap; each tells the owner's on_sentinel and makes its successor, until
   the owner's VM stops them. May raise for want of memory. Runs: VM thread. */
void rtm_sentinel_start(struct lua_State *L, struct rtm_vm_owner *owner);
void rtm_sentinel_stop(struct lua_State *L);

#endif
