--- A cqueues loop as a host; see rtmetrics.hosts.plain for what a host is.
-- @module rtmetrics.hosts.cqueues

local cqueues = require "cqueues"
local condition = require "cqueues.condition"
local options = require "rtmetrics.options"

local SCHEMA = {
  clock = { type = "function" },
}

-- So that a `stop` from outside the loop is seen soon.
local LONGEST_STEP = 0.5

local Cqueues = {}
Cqueues.__index = Cqueues

function Cqueues:clock()
  return self.now()
end

--- Lets other coroutines of the loop run meanwhile; outside the loop it sleeps the process.
function Cqueues.sleep(_, seconds)
  cqueues.sleep(seconds)
end

function Cqueues:every(seconds, fn)
  local cancelled, wakeup = false, condition.new()
  self.cq:wrap(function()
    wakeup:wait(seconds)
    while not cancelled do
      fn()
      wakeup:wait(seconds)
    end
  end)
  return function()
    cancelled = true
    wakeup:signal()
  end
end

function Cqueues:run(seconds)
  local ends = seconds and self.now() + seconds or math.huge
  self.stopped = false
  while not self.stopped do
    local left = ends - self.now()
    if left <= 0 then
      return
    end
    local ok, message = self.cq:step(math.min(left, LONGEST_STEP))
    if not ok then
      error(message, 0)
    end
  end
end

function Cqueues:stop()
  self.stopped = true
end

local M = {}

--- A cqueues loop.
-- @param[opt] cq the controller that the program loops on; a new one if absent
-- @tparam[opt] table given options: `clock` (default the one of cqueues)
-- @treturn table a host; its field `cq` is the controller
function M.new(cq, given)
  local o = options.check("rtmetrics.hosts.cqueues.new", SCHEMA, given)
  return setmetatable({ cq = cq or cqueues.new(), now = o.clock or cqueues.monotime }, Cqueues)
end

return M
