/* The page /debug/vars: all metrics and memstats as one JSON object, as Go's package expvar has it.
   Metrics are members by their names; a histogram is {"counts": [...], "buckets": [...]} with one
   bound more than counts; what cannot be known is null. With several VMs the figures of the process
   stand there once, and those of each VM are objects in "vms", by the VM's number. */
#ifndef RTM_CORE_VARS_H
#define RTM_CORE_VARS_H

#include "core/contexts.h"
#include "ground/buffer.h"

/* Appends the page. Runs: any thread, in a visit. */
void rtm_vars_write(const struct rtm_visit *visit, struct rtm_buffer *out);

#endif
