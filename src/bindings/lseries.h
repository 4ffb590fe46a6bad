/* The users' counters, gauges and histograms, as natives for lua/rtmetrics/prometheus.lua, which
   documents what programs see. A metric is a table whose first element is the id that
   series_register gave; updates are called on it as methods.
     series_register(type, name, help, labels, buckets) -> id | nil, message, mistake
     series_add(metric, amount, values)      series_assign(metric, value, values)
     series_observe(metric, value, values)   series_remove(metric, values)
     series_reset(metric)
     series_limit(metrics, series_per_metric, series) -> the three as they were; nil leaves one
   Runs: VM thread. */
#ifndef RTM_BINDINGS_LSERIES_H
#define RTM_BINDINGS_LSERIES_H

struct lua_State;
struct rtm_series_set;

/* Adds the natives to the table on top of the stack. The set is borrowed and its storage outlives
   the VM; once rtm_series_fini has closed it, the natives do nothing. */
void rtm_lseries_register(struct lua_State *L, struct rtm_series_set *set);

#endif
