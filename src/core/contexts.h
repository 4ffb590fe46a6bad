/* The VMs of the process, and how a thread that runs none of them reads them.

   Between publish and withdraw, what a context has published may be read in visits; all of it is
   counters, or does not change before the withdrawal. Adding and publishing never wait; removing
   and withdrawing wait for the visit that is under way, if there is one. */
#ifndef RTM_CORE_CONTEXTS_H
#define RTM_CORE_CONTEXTS_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/error.h"

struct rtm_context;
struct rtm_process;

/* All VMs as one reader sees them. While it lasts none of them goes: one that closes waits for the
   end, and lua_close with it, so a visit takes no longer than a page takes to be written. VMs that
   come meanwhile are not in it. One visit at a time: another reader waits. */
struct rtm_visit {
    struct rtm_context *first; /* linked by `next`; ascending numbers */
    size_t count;
    bool has_labels;   /* there has been a second VM, so what is a VM's says whose: from then on for
                          good,   as a counter that changes its name is counted twice */
    unsigned observed; /* RTM_OBSERVES_* of any VM */
    struct rtm_process *process; /* the visits' own; NULL where no VM wants the process observed */
};

/* Readies the list and its fork handler. Runs: any thread, once. */
bool rtm_contexts_init(struct rtm_error *err) RTM_MUST_USE;

/* Adds a context and gives it its number, 1 for the process's first; removes it. Runs: VM thread.
 */
void rtm_contexts_add(struct rtm_context *cx);
void rtm_contexts_remove(struct rtm_context *cx);

/* Lets visitors read what is `observed` (RTM_OBSERVES_* or'ed); ends that. Runs: VM thread. */
void rtm_contexts_publish(struct rtm_context *cx, unsigned observed);
void rtm_contexts_withdraw(struct rtm_context *cx);

/* Between the two: no Lua, no wait for a VM, and nothing of this header. Runs: any ordinary thread,
   holding no lock. */
void rtm_contexts_begin_visit(struct rtm_visit *visit);
void rtm_contexts_end_visit(struct rtm_visit *visit);

/* Calls `each` for every context. Runs: fork handler, in the child. */
void rtm_contexts_each_in_child(void (*each)(struct rtm_context *cx));

#endif
