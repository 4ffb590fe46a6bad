/* The owner's place in a VM: a block of the VM's own memory that lives exactly as long as the VM,
   found again from any of its threads, with a word before the VM closes. */
#ifndef RTM_VM_ATTACH_H
#define RTM_VM_ATTACH_H

#include <stddef.h>

struct lua_State;
struct rtm_vm_owner;

/* The block that an earlier call made in L's VM, or NULL; also finds that of another copy of this
   library, whose layout `version` must be. Needs no memory. Runs: VM thread. */
struct rtm_vm_owner *rtm_attach_find(struct lua_State *L, const char **version);

/* Makes the block, zeroed, of `bytes`. `on_close` runs when the VM closes, before its memory is
   given back: it must not raise and not call Lua functions. `version` is static text. May raise for
   want of memory, before anything is done. Runs: VM thread. */
struct rtm_vm_owner *rtm_attach_new(struct lua_State *L, size_t bytes, const char *version,
                                    void (*on_close)(struct rtm_vm_owner *owner,
                                                     struct lua_State *L));

/* Keeps `L` alive as long as its VM. May raise. Runs: VM thread. */
void rtm_attach_pin(struct lua_State *L);

#endif
