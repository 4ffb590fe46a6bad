/* The collector's parameters in Go's terms: how far the heap may grow, in percent of what the last
   cycle left, before the next (GOGC). In incremental mode that is the pause less 100; in the
   generational one, the growth that starts a major collection. Runs: VM thread. */
#ifndef RTM_VM_GCCONTROL_H
#define RTM_VM_GCCONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/gcprobe.h"

struct lua_State;

#define RTM_GCCONTROL_OFF INT64_MAX

/* Reads the percentage, RTM_GCCONTROL_OFF while the collector is stopped. `probe` may be NULL;
   `was_stopped` decides where the VM does not tell (5.1). False where it is not known (inside a
   finalizer; generational mode without a probe). */
bool rtm_gccontrol_read(struct lua_State *L, const struct rtm_gcprobe *probe, bool was_stopped,
                        int64_t *percent);

/* Sets it, to 0 or more. What the VM can hold bounds it: Lua 5.4 keeps it as a multiple of 4 up to
 * 1020. */
void rtm_gccontrol_write(struct lua_State *L, const struct rtm_gcprobe *probe, int percent);

/* Keeps the collector from starting, and lets it again. */
void rtm_gccontrol_stop(struct lua_State *L);
void rtm_gccontrol_restart(struct lua_State *L);

#endif
