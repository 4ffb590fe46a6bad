--- Leak detectors: memory and coroutines that are never given back.
--
-- A detector is a value. It starts nothing and prints nothing: give it a reading and the time, and
-- it returns what it found. `rtmetrics.watchdog` drives detectors on an event loop; by hand it is
--
--     local rt   = require "rtmetrics"
--     local leak = require "rtmetrics.leak"
--
--     local detector, read = leak.memory{ threshold_mib = 8, interval = 30 }, leak.reader()
--     -- every second or so:
--     local findings = detector:step(read(), rt.clock())
--     if detector:needs_gc() then findings = detector:step(read(true), rt.clock()) end
--     for _, finding in ipairs(findings) do print(leak.format(finding)) end
--
-- **A reading** is a table: `heap_bytes` (the Lua heap), `live_bytes` (the same at the end of the
-- last cycle), `allocs_bytes` and `frees_bytes` (whose difference is the heap too, but for what it
-- held before they were counted; the memory detector needs these two or `heap_bytes`), `gc_cycles`
-- (full cycles so far), `limit_bytes` (of the cgroup) and `used_bytes` (resident), `coroutines`
-- (live ones), `collected` (true right after a full collection) and `sites` (only then: coroutines
-- by creation site). What is not known is nil.
--
-- **A finding** is a table: `name` ("memory_leak", "memory_recovered", "memory_uncollected",
-- "memory_unknown", "coroutine_leak", "coroutine_recovered", "coroutine_unknown"), `detector`
-- ("memory", "coroutines"), `severity` ("info", "warning", "critical"), `message` (one line for
-- people), `details` (more lines, perhaps none), `figures` (the numbers of the message, in bytes,
-- seconds and counts) and `at` (the time given to `step`).
-- @module rtmetrics.leak

local coroutines = require "rtmetrics.leak.coroutines"
local growth = require "rtmetrics.leak.growth"
local reader = require "rtmetrics.leak.reader"

local M = {}

--- A memory detector: warns when what the Lua heap holds after collections keeps growing.
--
-- Time is cut into rounds of `interval` seconds, a round lasting until a full collection has
-- finished in it. The lowest heap (allocs − frees) after a collection is the round's floor. The
-- detector warns when the floor rose by the threshold or more in each of `rounds` rounds in a row,
-- again when the growth has doubled or `repeat_every` seconds have passed and it still goes on, and
-- reports a recovery after as many rounds with less than half the threshold. A heap that triples
-- while no collection finishes at all is reported as "memory_uncollected".
--
-- Options (all optional): `interval` seconds (30); `threshold_mib` growth per interval in MiB (8),
-- or `threshold_mib_s` the same as MiB/s; if both are given both must be reached; `rounds` (2);
-- `collect` true asks for a full collection (see `needs_gc`) when the heap has grown by the
-- threshold and none finished for an interval (false); `repeat_every` seconds (300); `limit_mib`
-- the memory limit if it is not the cgroup's; `critical_within` seconds: the finding is "critical"
-- if the limit will be reached sooner (600).
-- @tparam[opt] table given the options
-- @treturn table a detector: `detector:step(reading, now)` returns a list of findings,
-- `detector:needs_gc()` says
-- whether the next reading should follow a full collection; `now` is in seconds and never goes back
-- @raise on an unknown or wrong option
-- @usage local detector = leak.memory{ interval = 30, threshold_mib = 8 }
function M.memory(given)
  -- In parentheses, here and below: a tail call would move the place that an error names.
  return (growth.new(given))
end

--- A coroutine detector: warns when there are too many live coroutines, or more and more of them.
--
-- When the count reaches `threshold`, or its lowest value per interval rose by `growth` or more in
-- each of `rounds` intervals in a row, the detector asks for a full collection (see `needs_gc`) and
-- warns only if the coroutines are still there; the warning counts them by creation site. It warns
-- again, after another collection, when the excess has doubled or `repeat_every` seconds have
-- passed, and reports a recovery when the count fell below four fifths of the threshold or stopped
-- rising.
--
-- Options (all optional): `interval` seconds (60); `threshold` live coroutines (10000); `growth`
-- coroutines per interval (500); `rounds` (2); `repeat_every` seconds (300); `top` creation sites
-- in a warning (5).
-- @tparam[opt] table given the options
-- @treturn table a detector, as of @{memory}
-- @raise on an unknown or wrong option
-- @usage local detector = leak.coroutines{ threshold = 1000 }
function M.coroutines(given)
  return (coroutines.new(given))
end

--- A function that takes readings of this process: `read()`, or `read(true)` after a full
-- collection and with `sites`. It fills the same table each time; a plain reading makes no
-- garbage.
-- @tparam[opt] table rt the module `rtmetrics`, or a stand-in with its `read`, `gc` and
-- `coroutines`
-- @treturn function
function M.reader(rt)
  return reader.new(rt)
end

--- A finding as text: the message, and its details indented below it.
-- @tparam table finding
-- @treturn string lines without a newline at the end
function M.format(finding)
  local lines = { finding.message }
  for _, line in ipairs(finding.details) do
    lines[#lines + 1] = "  " .. line
  end
  return table.concat(lines, "\n")
end

return M
