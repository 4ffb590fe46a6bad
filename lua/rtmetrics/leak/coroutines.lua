--- The coroutine detector: are there too many live coroutines, or ever more of them?
--
-- A coroutine that nobody can reach any more is counted until the collector finds it, so a high
-- count alone proves nothing. The detector therefore asks for a full collection and a recount, with
-- counts by creation site, before it says anything:
--
--     watching → suspect   the count reached `threshold`, or rose by `growth` in each of `rounds`
--                          rounds
--     suspect  → alerting  after the collection it still does: report a leak
--     suspect  → watching  it does not (with an alert out: report a recovery)
--     alerting → suspect   the excess doubled, or `repeat_every` passed: recount, to report again
--     alerting → watching  the count fell below, or stopped rising: report a recovery

local figures = require "rtmetrics.leak.figures"
local options = require "rtmetrics.options"
local rounds = require "rtmetrics.leak.rounds"
local sites = require "rtmetrics.leak.sites"

local SCHEMA = {
  interval = { type = "number", default = 60, above = 0 },
  threshold = { type = "number", default = 10000, min = 1 },
  growth = { type = "number", default = 500, min = 1 },
  rounds = { type = "number", default = 2, min = 1, whole = true },
  repeat_every = { type = "number", default = 300, above = 0 },
  top = { type = "number", default = 5, min = 1, whole = true },
}

-- An alert on the threshold ends well below it, or a count that hovers there would come and go.
local CLEAR = 0.8

local STEPS = {
  watching = { suspect = true },
  suspect = { alerting = true, watching = true },
  alerting = { suspect = true, watching = true },
}

local Coroutines = {}
Coroutines.__index = Coroutines

local function enter(self, state)
  assert(STEPS[self.state][state], "no such step")
  self.state = state
end

local function report(self, finding, now)
  finding.detector, finding.at = "coroutines", now
  finding.details = finding.details or {}
  self.findings[#self.findings + 1] = finding
end

local function leak_message(f)
  local text = ("coroutine leak? %s live coroutines after a full collection"):format(
    figures.count(f.coroutines))
  if f.threshold then
    text = text .. (", at or above the threshold of %s"):format(figures.count(f.threshold))
  end
  if f.grown > 0 and f.seconds > 0 then
    text = text .. (", %s more than %s ago (%.1f/s)"):format(
      figures.count(f.grown), figures.duration(f.seconds), f.grown / f.seconds)
  end
  return text
end

local function warn(self, reading, now, over_threshold)
  local live, r, list = reading.coroutines, self.rounds, reading.sites or {}
  local from = over_threshold and 0 or r.base
  local alert = self.alert or { over_threshold = over_threshold, from = from }
  alert.warned, alert.warned_at = live, now
  self.alert = alert
  local f = {
    coroutines = live, threshold = over_threshold and self.threshold or nil,
    from = r.base, grown = live - r.base, since = r.base_at, seconds = now - r.base_at,
    sites = list,
  }
  report(self, {
    name = "coroutine_leak", severity = "warning", figures = f,
    message = leak_message(f), details = sites.lines(list, self.top),
  }, now)
end

local function recover(self, live, now)
  local peak = self.alert.warned
  self.alert = nil
  report(self, {
    name = "coroutine_recovered", severity = "info",
    figures = { coroutines = live, warned = peak },
    message = ("coroutines recovered: %s are live; there were %s at the last warning"):format(
      figures.count(live), figures.count(peak)),
  }, now)
end

local function has_recovered(self, live)
  if self.alert.over_threshold then
    return live <= self.threshold * CLEAR
  end
  return self.rounds.quiet >= self.needed
end

local function is_due_again(self, live, now)
  local alert = self.alert
  return live - alert.from >= 2 * (alert.warned - alert.from)
    or now - alert.warned_at >= self.repeat_every
end

-- What a plain reading, garbage included, makes of the state.
local function count(self, live, now)
  local ended = self.rounds:add(live, now)
  if self.state == "alerting" then
    if has_recovered(self, live) then
      enter(self, "watching")
      recover(self, live, now)
    elseif is_due_again(self, live, now) then
      enter(self, "suspect")
    end
  elseif self.state == "watching" then
    local is_over = live >= self.threshold and now >= self.recheck_at
    if is_over or (ended and self.rounds.rising >= self.needed) then
      enter(self, "suspect")
    end
  end
end

-- What the count after a full collection makes of a suspicion.
local function recount(self, reading, now)
  local live = reading.coroutines
  local over_threshold = live >= self.threshold
  if over_threshold or (self.rounds.rising > 0 and live - self.rounds.base >= self.growth) then
    enter(self, "alerting")
    warn(self, reading, now, over_threshold)
    return
  end
  enter(self, "watching")
  if self.alert then
    recover(self, live, now)
  end
  self.recheck_at = now + self.rounds.interval
  self.rounds:restart(live, now)
end

local function tell_unknown(self, now)
  if not self.told_unknown then
    self.told_unknown = true
    report(self, {
      name = "coroutine_unknown", severity = "info", figures = {},
      message = "coroutines are not counted here: the coroutine detector has nothing to watch",
    }, now)
  end
end

--- Takes a reading; see rtmetrics.leak.
function Coroutines:step(reading, now)
  self.findings = {}
  if not reading.coroutines then
    tell_unknown(self, now)
  elseif self.state == "suspect" and reading.collected then
    recount(self, reading, now)
  else
    count(self, reading.coroutines, now)
  end
  return self.findings
end

--- True if the next reading should follow a full collection and have `sites`.
function Coroutines:needs_gc()
  return self.state == "suspect"
end

local M = {}

--- A new coroutine detector; its options are those of rtmetrics.leak.coroutines.
function M.new(given)
  local o = options.check("rtmetrics.leak.coroutines", SCHEMA, given, 4)
  return setmetatable({
    rounds = rounds.new(o.interval, o.growth),
    state = "watching",
    recheck_at = -math.huge,
    threshold = o.threshold,
    growth = o.growth,
    needed = o.rounds,
    repeat_every = o.repeat_every,
    top = o.top,
  }, Coroutines)
end

return M
