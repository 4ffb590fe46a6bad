-- The agent in a script that has no event loop. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Adds up orders by customer, and answers HTTP about itself meanwhile.

For whoever has a script that computes for hours (a batch job, a worker on a queue) and wants to
look into it while it does. It has no event loop and no server: the agent's thread answers. You will
see the sums grow, and the address of the agent; /metrics there moves with the work. After a while
the script gets stuck in a loop on purpose, and the page still answers.

The one line that your own script needs:

  require("rtmetrics.agent").start()]],
  options = {
    {
      name = "listen", type = "string", default = "127.0.0.1:6060",
      help = "where the agent listens; unix:/tmp/plain.sock is a socket in a file",
    },
    {
      name = "stuck-after", type = "number", default = 10, min = 0,
      help = "get stuck after so many seconds; 0: never",
    },
    { name = "stuck-for", type = "number", default = 10, above = 0, help = "and for so many" },
    { name = "seconds", type = "number", above = 0, help = "end by itself after so long" },
  },
})

local rt = command.load_rtmetrics()
local agent = require "rtmetrics.agent"
local prometheus = require "rtmetrics.prometheus"

-- Series of the program's own stand on the agent's page too.
local orders = prometheus.counter("plain_orders_total", "Orders that were added up.")

local CUSTOMERS = 1000
local BATCH = 10000

-- A coroutine that makes lines as they might come from a file.
local function order_lines()
  return coroutine.wrap(function()
    while true do
      coroutine.yield(("customer-%d;%d.%02d"):format(
        math.random(CUSTOMERS), math.random(500), math.random(0, 99)))
    end
  end)
end

local function add_batch(sums, next_line)
  for _ = 1, BATCH do
    local customer, amount = next_line():match("^([^;]+);([%d.]+)$")
    sums[customer] = (sums[customer] or 0) + tonumber(amount)
  end
  orders:inc(BATCH)
end

local function report(sums, count)
  local best = next(sums)
  for customer, sum in pairs(sums) do
    best = sum > sums[best] and customer or best
  end
  print(("%d orders; %s leads with %.2f"):format(count, best, sums[best]))
end

command.run(function()
  io.stdout:setvbuf("line")
  local handle, message = agent.start({ listen = options.listen })
  if not handle then
    command.fail(message)
  end
  print("look into it: " .. command.curl(handle, "/metrics") .. "  (Ctrl-C ends)")
  local sums, next_line, count = {}, order_lines(), 0
  local began, reported = rt.clock(), rt.clock()
  local stuck_after = options["stuck-after"] > 0 and options["stuck-after"] or math.huge
  while rt.clock() - began < (options.seconds or math.huge) do
    add_batch(sums, next_line)
    count = count + BATCH
    if rt.clock() - reported >= 1 then
      report(sums, count)
      reported = rt.clock()
    end
    if rt.clock() - began > stuck_after then
      stuck_after = math.huge
      if not command.get_stuck(options["stuck-for"]) then
        return
      end
    end
  end
end)
