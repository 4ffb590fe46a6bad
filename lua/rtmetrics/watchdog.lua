--- The watchdog: runs a set of detectors at an interval and hands on what they find.
--
--     local leak     = require "rtmetrics.leak"
--     local watchdog = require "rtmetrics.watchdog"
--
--     local w = watchdog.new{
--       detectors = { leak.memory(), leak.coroutines{ threshold = 1000 } },
--       on_finding = function(finding) io.stderr:write(leak.format(finding), "\n") end,
--     }
--     watchdog.copas(w) -- or watchdog.cqueues(w, cq), or w:poll() in a loop of your own
--
-- All detectors of a watchdog look at the same reading; where one asks for a full collection, one
-- is made and those that asked look again.
-- @module rtmetrics.watchdog

local options = require "rtmetrics.options"

local SCHEMA = {
  detectors = { type = "table", required = true },
  on_finding = { type = "function", required = true },
  on_error = { type = "function" },
  interval = { type = "number", default = 1, above = 0 },
  read = { type = "function" },
  clock = { type = "function" },
}

local Watchdog = {}
Watchdog.__index = Watchdog

local function step(self, detector, reading, now)
  local findings = detector:step(reading, now)
  for _, finding in ipairs(findings) do
    self.on_finding(finding)
  end
  return #findings
end

local function asks(detector)
  return detector.needs_gc ~= nil and detector:needs_gc()
end

--- Takes a reading and steps every detector, now.
-- @tparam[opt] number now seconds of a clock that never goes back; `rtmetrics.clock()` if absent
-- @treturn number how many findings were handed on
-- @raise what `on_finding` or a detector raises
function Watchdog:check(now)
  now = now or self.clock()
  self.due = now + self.interval
  local found, asking = 0, {}
  local reading = self.read(false)
  for _, detector in ipairs(self.detectors) do
    found = found + step(self, detector, reading, now)
    if asks(detector) then
      asking[#asking + 1] = detector
    end
  end
  if #asking > 0 then
    reading = self.read(true)
    for _, detector in ipairs(asking) do
      found = found + step(self, detector, reading, now)
    end
  end
  return found
end

--- The same as `check`, but only if the interval has passed since the last time. For loops of your
-- own.
-- @tparam[opt] number now as of `check`
-- @treturn number how many findings were handed on
function Watchdog:poll(now)
  now = now or self.clock()
  if self.due and now < self.due then
    return 0
  end
  return self:check(now)
end

local function complain(message)
  io.stderr:write("rtmetrics.watchdog: ", tostring(message), "\n")
end

local function check_detectors(detectors)
  for i, detector in ipairs(detectors) do
    if type(detector) ~= "table" or type(detector.step) ~= "function" then
      error(("rtmetrics.watchdog.new: detectors[%d] has no method step(reading, now)"):format(i), 3)
    end
  end
end

local M = {}

--- A new watchdog; it does nothing before it is polled or put on a loop.
--
-- Options: `detectors` a list of detectors, those of rtmetrics.leak or tables of your own with
-- `step(self, reading, now)` and perhaps `needs_gc(self)`; `on_finding(finding)` is called with
-- each finding; `on_error(message)` with what a check on a loop raised (default: a line on stderr);
-- `interval` seconds between checks (1); `read` and `clock` replace `leak.reader()` and
-- `rtmetrics.clock`.
-- @tparam table given the options
-- @treturn table a watchdog with the methods `poll(now)` and `check(now)`
-- @raise on an unknown or wrong option
-- @usage local w = watchdog.new{ detectors = { leak.memory() }, on_finding = function(f)
-- print(f.message) end }
function M.new(given)
  local o = options.check("rtmetrics.watchdog.new", SCHEMA, given)
  check_detectors(o.detectors)
  return setmetatable({
    detectors = o.detectors,
    on_finding = o.on_finding,
    on_error = o.on_error or complain,
    interval = o.interval,
    read = o.read or require("rtmetrics.leak.reader").new(),
    clock = o.clock or require("rtmetrics").clock,
  }, Watchdog)
end

--- Checks a watchdog at its interval on a host loop, one of `rtmetrics.hosts.*`.
-- An error in a check goes to `on_error`; the loop and the next checks go on.
-- @tparam table w the watchdog
-- @tparam table host what `new` of a hosts module returned
-- @treturn function call it to stop
function M.attach(w, host)
  return host:every(w.interval, function()
    local ok, message = pcall(w.check, w, w.clock())
    if not ok then
      w.on_error(message)
    end
  end)
end

--- Checks a watchdog in the copas loop.
-- @tparam table w the watchdog
-- @treturn function call it to stop
function M.copas(w)
  return M.attach(w, require("rtmetrics.hosts.copas").new())
end

--- Checks a watchdog in a cqueues loop.
-- @tparam table w the watchdog
-- @param cq the controller that the program loops on
-- @treturn function call it to stop
function M.cqueues(w, cq)
  return M.attach(w, require("rtmetrics.hosts.cqueues").new(cq))
end

return M
