--- A loop for programs that have none: timers, and sleep in between.
--
-- A host is a table with the methods `clock()` (seconds, never goes back), `sleep(seconds)`,
-- `every(seconds, fn)` (calls fn again and again, the first time after `seconds`; returns a
-- function that ends it), `run([seconds])` (loops until then, or until `stop`) and `stop()`. The
-- modules rtmetrics.hosts.* are the same thing for each loop.
-- @module rtmetrics.hosts.plain

local options = require "rtmetrics.options"

local SCHEMA = {
  clock = { type = "function" },
  sleep = { type = "function" },
}

-- So that a `stop` from a signal or a finalizer is seen soon.
local LONGEST_SLEEP = 0.5

local Plain = {}
Plain.__index = Plain

function Plain:clock()
  return self.now()
end

--- Sleeps the whole process: timers wait too.
function Plain:sleep(seconds)
  self.nap(seconds)
end

function Plain:every(seconds, fn)
  local timer = { due = self.now() + seconds, seconds = seconds, fn = fn }
  self.timers[#self.timers + 1] = timer
  return function()
    timer.cancelled = true
  end
end

local function forget_cancelled(timers)
  for i = #timers, 1, -1 do
    if timers[i].cancelled then
      table.remove(timers, i)
    end
  end
end

--- Calls what is due; returns the seconds until the next timer, nil if there is none.
function Plain:step()
  local timers = self.timers
  forget_cancelled(timers)
  for i = 1, #timers do
    local timer = timers[i]
    if not timer.cancelled and self.now() >= timer.due then
      timer.fn()
      timer.due = self.now() + timer.seconds
    end
  end
  local next_due
  for _, timer in ipairs(timers) do
    next_due = math.min(next_due or timer.due, timer.due)
  end
  return next_due and math.max(0, next_due - self.now())
end

function Plain:run(seconds)
  local ends = seconds and self.now() + seconds or math.huge
  self.stopped = false
  while true do
    local wait = self:step() or LONGEST_SLEEP
    local left = ends - self.now()
    if self.stopped or left <= 0 then
      return
    end
    self.nap(math.min(wait, left, LONGEST_SLEEP))
  end
end

function Plain:stop()
  self.stopped = true
end

local function find_sleep()
  local has_socket, socket = pcall(require, "socket")
  if has_socket then
    return socket.sleep
  end
  local has_cqueues, cqueues = pcall(require, "cqueues")
  if has_cqueues then
    return cqueues.sleep
  end
  error("rtmetrics.hosts.plain: neither luasocket nor cqueues is there to sleep with; "
    .. "give the option sleep", 3)
end

local M = {}

--- A new plain loop.
-- @tparam[opt] table given options: `clock` (default `rtmetrics.clock`), `sleep` (default that of
-- luasocket or cqueues)
-- @treturn table a host
function M.new(given)
  local o = options.check("rtmetrics.hosts.plain.new", SCHEMA, given)
  return setmetatable({
    now = o.clock or require("rtmetrics").clock,
    nap = o.sleep or find_sleep(),
    timers = {},
  }, Plain)
end

return M
