--- The memory detector: does what the heap holds after collections keep growing?
--
-- The heap is what it was at the start plus allocs − frees. What it holds right after a full
-- collection is a *trough*; between two troughs it also holds garbage, so only troughs are compared
-- (see rounds.lua). A reading gives a trough
--
-- * when `gc_cycles` moved since the last reading, or the reading was `collected`: its size is
--   `live_bytes`, the heap at the end of the last cycle, or the heap now if that is smaller or the
--   other not comparable;
-- * when there is no `gc_cycles` at all: every heap size then counts, and the lowest of a round is
--   its floor, which is right as long as the collector finishes a cycle in every round;
-- * when it is the first one: it may hold garbage, so it can hide a little growth but never invent
--   any.
--
-- A leak is reported after `rounds` rising rounds in a row: one step up (a cache that fills, a
-- module that loads) is not a leak. It has recovered after as many quiet rounds.

local figures = require "rtmetrics.leak.figures"
local options = require "rtmetrics.options"
local rounds = require "rtmetrics.leak.rounds"

local MIB = 1024 * 1024

-- A heap this many times its last trough, with no collection for an interval, is more than the
-- collector's own rhythm explains: by default it starts a cycle at twice the last one.
local UNCOLLECTED_FACTOR = 3

local SCHEMA = {
  interval = { type = "number", default = 30, above = 0 },
  threshold_mib = { type = "number", above = 0 },
  threshold_mib_s = { type = "number", above = 0 },
  rounds = { type = "number", default = 2, min = 1, whole = true },
  collect = { type = "boolean", default = false },
  repeat_every = { type = "number", default = 300, above = 0 },
  limit_mib = { type = "number", above = 0 },
  critical_within = { type = "number", default = 600, min = 0 },
}

local DEFAULT_THRESHOLD_MIB = 8

local Growth = {}
Growth.__index = Growth

local function threshold_bytes(o)
  local by_rate = o.threshold_mib_s and o.threshold_mib_s * o.interval
  if o.threshold_mib and by_rate then
    return math.max(o.threshold_mib, by_rate) * MIB
  end
  return (o.threshold_mib or by_rate or DEFAULT_THRESHOLD_MIB) * MIB
end

local function report(self, finding, now)
  finding.detector, finding.at = "memory", now
  finding.details = finding.details or {}
  self.findings[#self.findings + 1] = finding
end

local function trough_of(self, reading, heap)
  local cycles, seen = reading.gc_cycles, self.cycles
  self.cycles = cycles
  if not cycles or not seen then
    return heap
  elseif reading.collected or cycles ~= seen then
    -- allocs − frees alone has another zero than live_bytes.
    return math.min(reading.heap_bytes and reading.live_bytes or heap, heap)
  end
end

local function heap_of(reading)
  local allocs, frees = reading.allocs_bytes, reading.frees_bytes
  return reading.heap_bytes or (allocs and frees and allocs - frees)
end

local function seconds_to_limit(self, reading, rate)
  local limit = self.limit_bytes or reading.limit_bytes
  local used = not self.limit_bytes and reading.used_bytes or self.rounds.floor
  if not limit or rate <= 0 then
    return nil, limit
  end
  return math.max(0, (limit - used) / rate), limit
end

local function leak_message(f)
  local text = ("memory leak? the Lua heap grew %s in %s (%s): %s → %s after collection"):format(
    figures.mib(f.grown_bytes), figures.duration(f.seconds), figures.mib_rate(f.bytes_per_second),
    figures.mib_number(f.from_bytes), figures.mib(f.to_bytes))
  if f.seconds_to_limit then
    text = text .. ("; at this rate the limit of %s is reached in %s"):format(
      figures.mib(f.limit_bytes), figures.duration(f.seconds_to_limit))
  end
  return text
end

local function warn(self, reading, now)
  local r = self.rounds
  local rate = r:rate()
  local left, limit = seconds_to_limit(self, reading, rate)
  local f = {
    grown_bytes = r.floor - r.base, seconds = r.floor_at - r.base_at, bytes_per_second = rate,
    from_bytes = r.base, to_bytes = r.floor, since = r.base_at,
    limit_bytes = limit, seconds_to_limit = left,
  }
  self.alert = self.alert or { from = r.base, since = r.base_at }
  self.alert.warned, self.alert.warned_at = r.floor, now
  report(self, {
    name = "memory_leak", figures = f, message = leak_message(f),
    severity = left and left <= self.critical_within and "critical" or "warning",
  }, now)
end

local function recover(self, now)
  local r, alert = self.rounds, self.alert
  self.alert = nil
  local f = { from_bytes = alert.from, to_bytes = r.floor, since = alert.since }
  report(self, {
    name = "memory_recovered", severity = "info", figures = f,
    message = ("memory stopped growing: the Lua heap holds %s after collection, "
      .. "%s when the growth began"):format(figures.mib(f.to_bytes), figures.mib(f.from_bytes)),
  }, now)
end

local function is_due_again(self, now)
  local r, alert = self.rounds, self.alert
  return r.rising > 0 and (r.floor - alert.from >= 2 * (alert.warned - alert.from)
    or now - alert.warned_at >= self.repeat_every)
end

local function judge(self, reading, now)
  if not self.alert then
    if self.rounds.rising >= self.needed then
      warn(self, reading, now)
    end
  elseif self.rounds.quiet >= self.needed then
    recover(self, now)
  elseif is_due_again(self, now) then
    warn(self, reading, now)
  end
end

local function warn_uncollected(self, heap, now)
  local f = {
    from_bytes = self.trough, to_bytes = heap,
    grown_bytes = heap - self.trough, seconds = now - self.trough_at,
  }
  self.uncollected = true
  report(self, {
    name = "memory_uncollected", severity = "warning", figures = f,
    message = ("the Lua heap grew %s in %s (%s → %s) and no collection finished: "
      .. "is the collector stopped?"):format(
      figures.mib(f.grown_bytes), figures.duration(f.seconds),
      figures.mib_number(f.from_bytes), figures.mib(f.to_bytes)),
  }, now)
end

-- No full collection since the last reading, so what has grown may be garbage.
local function wait_for_collection(self, heap, now)
  local r = self.rounds
  if now - self.trough_at < r.interval or heap - self.trough < r.rise then
    return
  elseif self.collect then
    self.asks = true
  elseif not self.uncollected and heap >= UNCOLLECTED_FACTOR * self.trough then
    warn_uncollected(self, heap, now)
  end
end

local function tell_unknown(self, now)
  if not self.told_unknown then
    self.told_unknown = true
    report(self, {
      name = "memory_unknown", severity = "info", figures = {},
      message = "the Lua heap is not counted here: the memory detector has nothing to watch",
    }, now)
  end
end

--- Takes a reading; see rtmetrics.leak.
function Growth:step(reading, now)
  self.findings, self.asks = {}, false
  local heap = heap_of(reading)
  if not heap then
    tell_unknown(self, now)
    return self.findings
  end
  local trough = trough_of(self, reading, heap)
  if not trough then
    wait_for_collection(self, heap, now)
    return self.findings
  end
  self.trough, self.trough_at, self.uncollected = trough, now, false
  if self.rounds:add(trough, now) then
    judge(self, reading, now)
  end
  return self.findings
end

--- True if the next reading should follow a full collection.
function Growth:needs_gc()
  return self.asks
end

local M = {}

--- A new memory detector; its options are those of rtmetrics.leak.memory.
function M.new(given)
  local o = options.check("rtmetrics.leak.memory", SCHEMA, given, 4)
  return setmetatable({
    rounds = rounds.new(o.interval, threshold_bytes(o)),
    needed = o.rounds,
    collect = o.collect,
    repeat_every = o.repeat_every,
    limit_bytes = o.limit_mib and o.limit_mib * MIB,
    critical_within = o.critical_within,
    asks = false,
  }, Growth)
end

return M
