/* C code that calls lua_resume itself (cqueues, a host's scheduler): seen by patching that symbol's
   slot in the objects that call it. Process-wide; VMs that nobody watches pass through. */
#ifndef RTM_VM_RESUME_C_H
#define RTM_VM_RESUME_C_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/error.h"

/* Adds a user of the patch, or takes one away; the last one gives all slots back. Runs: VM thread,
 * in an ordinary call. */
bool rtm_resume_c_start(struct rtm_error *err) RTM_MUST_USE;
void rtm_resume_c_stop(void);

/* Patches what was loaded since. Runs: VM thread, in an ordinary call. */
void rtm_resume_c_rescan(void);

/* How many slots are patched, and how many could not be. Runs: any. */
void rtm_resume_c_count(size_t *patched, size_t *missed);

#endif
