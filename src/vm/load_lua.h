/* Loading of C libraries by Lua (require's searchers, package.loadlib), noticed, so that what was
 * loaded can be looked at. */
#ifndef RTM_VM_LOAD_LUA_H
#define RTM_VM_LOAD_LUA_H

struct lua_State;
struct rtm_vm_owner;

/* Wraps the two searchers that open C libraries, and package.loadlib; gives them back where they
   still are ours. May raise for want of memory. Runs: VM thread. */
void rtm_load_lua_attach(struct lua_State *L, struct rtm_vm_owner *owner);
void rtm_load_lua_detach(struct lua_State *L);

#endif
