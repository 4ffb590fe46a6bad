--- The copas loop as a host; see rtmetrics.hosts.plain for what a host is.
--
-- copas keeps the functions of `coroutine` that it finds when it is loaded, so `require
-- "rtmetrics"` must come before `require "copas"` (or start the program with `lua -l rtmetrics`).
--
-- copas 1 has no timers. There this module wraps `copas.step`, the one thing every loop of it goes
-- through: a sleeping coroutine waits in a queue of ours, and a step waits for sockets no longer
-- than until the first is due.
-- @module rtmetrics.hosts.copas

local options = require "rtmetrics.options"

local SCHEMA = {
  clock = { type = "function" },
}

-- So that a `stop` from outside the loop is seen soon.
local LONGEST_STEP = 0.5

-- Sleepers of copas 1: a list of {due, thread}, in no order, as there are a handful.
local function add_timers(copas, clock)
  local sleepers, step = {}, copas.step
  -- What copas does with a coroutine that yields (item, queue): queue:insert(item),
  -- queue:push(item, thread).
  local queue = {
    insert = function() end,
    push = function(_, due, thread)
      sleepers[#sleepers + 1] = { due = due, thread = thread }
    end,
  }

  local function first_due()
    local first
    for _, sleeper in ipairs(sleepers) do
      first = math.min(first or sleeper.due, sleeper.due)
    end
    return first
  end

  local function wake(now)
    local waiting = sleepers
    sleepers = {}
    for _, sleeper in ipairs(waiting) do
      if sleeper.due > now then
        sleepers[#sleepers + 1] = sleeper
      end
    end
    for _, sleeper in ipairs(waiting) do
      if sleeper.due <= now then
        copas.addthread(sleeper.thread)
      end
    end
  end

  copas.step = function(timeout)
    local first = first_due()
    if first then
      local wait = math.max(0, first - clock())
      timeout = timeout and timeout >= 0 and math.min(timeout, wait) or wait
    end
    local worked = step(timeout)
    wake(clock())
    return worked
  end

  copas.sleep = function(seconds)
    coroutine.yield(clock() + (seconds or 0), queue)
  end
end

local Copas = {}
Copas.__index = Copas

function Copas:clock()
  return self.now()
end

--- Lets other coroutines of the loop run meanwhile; only in a coroutine of the loop.
function Copas:sleep(seconds)
  self.copas.sleep(seconds)
end

function Copas:every(seconds, fn)
  local cancelled = false
  self.copas.addthread(function()
    self.copas.sleep(seconds)
    while not cancelled do
      fn()
      self.copas.sleep(seconds)
    end
  end)
  return function()
    cancelled = true
  end
end

function Copas:run(seconds)
  local ends = seconds and self.now() + seconds or math.huge
  self.stopped = false
  while not self.stopped do
    local left = ends - self.now()
    if left <= 0 then
      return
    end
    self.copas.step(math.min(left, LONGEST_STEP))
  end
end

function Copas:stop()
  self.stopped = true
end

local M = {}

--- The copas loop of this program.
-- @tparam[opt] table given options: `clock` (default `rtmetrics.clock`)
-- @treturn table a host
function M.new(given)
  local o = options.check("rtmetrics.hosts.copas.new", SCHEMA, given)
  local clock = o.clock or require("rtmetrics").clock
  local copas = require "copas"
  if not copas.sleep then
    add_timers(copas, clock)
  end
  return setmetatable({ copas = copas, now = clock }, Copas)
end

return M
