--- The two sets of figures that are compared: what truth() of the clocked interpreter returns,
-- and the metrics of the same things.

local M = {}

--- The values of truth(), in its order (spec/support/truth/clock.c).
M.truth_names = {
  "seconds", "big_seconds", "pauses", "big_pauses", "emergencies", "mode_changes", "steps_forced",
  "incremental_automatic", "incremental_forced", "incremental_emergency",
  "minor_automatic", "minor_forced", "major_automatic", "major_forced", "major_emergency",
}

--- Our names of the same.
M.metrics = {
  pauses = "/gc/pauses:pauses",
  automatic = "/gc/cycles/automatic:gc-cycles",
  forced = "/gc/cycles/forced:gc-cycles",
  total = "/gc/cycles/total:gc-cycles",
  minor = "/gc/cycles/minor:gc-cycles",
  major = "/gc/cycles/major:gc-cycles",
  emergency = "/gc/cycles/emergency:gc-cycles",
  exact_pauses = "/sched/pauses/total/gc:seconds",
  bounded_pauses = "/sched/pauses/bounded/gc:seconds",
  seconds = "/cpu/classes/gc/total:cpu-seconds",
  bounded_seconds = "/cpu/classes/gc/bounded:cpu-seconds",
}

function M.samples()
  local samples = {}
  for _, name in pairs(M.metrics) do samples[#samples + 1] = { name = name } end
  return samples
end

local function count_of(histogram)
  local count = 0
  for i = 1, #histogram.counts do count = count + histogram.counts[i] end
  return count
end

--- Plain numbers by metric name; `false` where the metric is bad. Fills `into` where given, so that
-- nothing is allocated the second time.
function M.copy(samples, into)
  into = into or {}
  for i = 1, #samples do
    local value = samples[i].value
    if type(value) == "table" then value = count_of(value) end
    into[samples[i].name] = value or false
  end
  return into
end

function M.refill(list, ...)
  for i = 1, select("#", ...) do list[i] = (select(i, ...)) end
  return list
end

local function difference(later, earlier)
  return later and earlier and later - earlier
end

--- Writes "truth NAME VALUE" and "ours NAME VALUE" lines of what was added between two readings.
function M.write(file, before, after, truth_before, truth_after)
  for i, name in ipairs(M.truth_names) do
    file:write(("truth %s %.17g\n"):format(name, truth_after[i] - truth_before[i]))
  end
  for name, metric in pairs(M.metrics) do
    local value = difference(after[metric], before[metric])
    file:write(value and ("ours %s %.17g\n"):format(name, value) or ("ours %s bad\n"):format(name))
  end
end

return M
