/* What a return of lua_resume means, told upwards. */
#ifndef RTM_VM_ANNOUNCE_H
#define RTM_VM_ANNOUNCE_H

struct lua_State;
struct rtm_vm_owner;

/* Tells on_suspend or on_refuse, whichever lua_resume's `status` means. Runs: VM thread. */
void rtm_announce_return(struct rtm_vm_owner *owner, struct lua_State *thread, int status);

#endif
