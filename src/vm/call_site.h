/* Where Lua code asks for something: source and line of the Lua function that called the C function
   which runs now. Allocates nothing.

   Finding it out takes Lua about 60 ns. A frame's saved program counter names the place as well, at
   the cost of a read, for as long as its function is not collected. It stands in the frame
   (lua_Debug's i_ci), at an offset that is found by experiment in a scratch state; where that fails
   there is no such key. */
#ifndef RTM_VM_CALL_SITE_H
#define RTM_VM_CALL_SITE_H

#include <stdbool.h>

struct lua_State;

struct rtm_call_site {
    char source[64]; /* as Lua prints it */
    int line;
};

/* Looks for the offset, once in a process; about 30 us. Runs: any. */
void rtm_call_site_init(void);

/* What tells the calling place from others until the collector runs next, or NULL if that is not
   known. Runs: VM thread, allocator (for a new block, not for one that grows). */
const void *rtm_call_site_key(struct lua_State *thread);

/* The calling place itself; false where there is no Lua code within a few frames. Runs: as above.
 */
bool rtm_call_site_find(struct lua_State *thread, struct rtm_call_site *site);

#endif
