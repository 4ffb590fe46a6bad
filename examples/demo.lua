-- A server with two leaks, under load, watched. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Shows rtmetrics at work: a copas HTTP server under load, with two bugs in it.

For whoever wants to see what rtmetrics does before reading about it. A second process sends orders;
each order leaves its session in a cache that nobody empties, and every tenth one a coroutine that
waits for ever. You will see the address of the agent to open in a browser or curl, the figures of
the process every second, and within a quarter of a minute the warnings of both leak detectors: how
fast the heap grows, and which line creates the coroutines that never end. In between the server
hangs for two seconds, and the agent answers nevertheless.]],
  options = {
    {
      name = "listen", type = "string", default = "127.0.0.1:0",
      help = "where the agent listens; port 0 takes a free one",
    },
    {
      name = "port", type = "number", default = 0, min = 0, max = 65535, whole = true,
      help = "the port for orders",
    },
    {
      name = "rate", type = "number", default = 100, min = 1, max = 1000, whole = true,
      help = "orders a second",
    },
    { name = "seconds", type = "number", above = 0, help = "end by itself after so long" },
  },
})

-- First rtmetrics, then copas: copas keeps the coroutine functions that it finds.
local rt = command.load_rtmetrics()
-- On LuaJIT coroutines are counted only on request, as resuming them gets slower there.
assert(rt.start({ sched = "full" }))
local agent = require "rtmetrics.agent"
local http_server = require "http_server"
local leak = require "rtmetrics.leak"
local prometheus = require "rtmetrics.prometheus"
local watchdog = require "rtmetrics.watchdog"

local ADDRESS = "127.0.0.1"
local SESSION_BYTES = 10 * 1024
local ORDERS_PER_LOST_COROUTINE = 10
local SECONDS_BEFORE_HANGING = 5

local orders = 0
local order_counter = prometheus.counter("demo_orders_total", "Orders taken.")
local order_latency = prometheus.histogram("demo_order_duration_seconds",
  "Time to answer an order.")

-- The first bug: sessions are kept by their order's number and never removed.
local sessions = {}

local function find_session(number)
  sessions[number] = sessions[number] or ("s"):rep(SESSION_BYTES) .. number
  return sessions[number]
end

-- The second bug: a notifier waits for a confirmation that nobody sends.
local notifiers = {}

local function start_notifier()
  local notifier = coroutine.create(function()
    coroutine.yield("waits for a confirmation")
  end)
  coroutine.resume(notifier)
  notifiers[#notifiers + 1] = notifier
end

local function take_order()
  orders = orders + 1
  order_counter:inc()
  find_session(orders)
  if orders % ORDERS_PER_LOST_COROUTINE == 0 then
    start_notifier()
  end
  return 200, { ["Content-Type"] = "text/plain" }, "order " .. orders .. " taken\n"
end

local figures = rt.read({
  "/memory/classes/heap/objects:bytes",
  "/sched/coroutines:coroutines",
  "/gc/cycles/total:gc-cycles",
})

local function figure(i, form, scale)
  local sample = figures[i]
  return sample.kind == "bad" and "?" or form:format(sample.value / (scale or 1))
end

local started, last_orders = rt.clock(), 0

local function show_figures()
  rt.read(figures)
  print(("%4.0f s  %6d orders (%d/s)  heap %s MiB  %s coroutines  %s GC cycles"):format(
    rt.clock() - started, orders, orders - last_orders, figure(1, "%.1f", 1024 * 1024),
    figure(2, "%.0f"), figure(3, "%.0f")))
  last_orders = orders
end

local function show_finding(finding)
  print(("\n*** %s: %s\n"):format(finding.severity:upper(), leak.format(finding)))
end

-- Intervals for impatient eyes; in production, minutes.
local dog = watchdog.new({
  detectors = {
    leak.memory({ interval = 3, threshold_mib = 1, collect = true, repeat_every = 60 }),
    leak.coroutines({ interval = 3, threshold = 1000, growth = 10, repeat_every = 60 }),
  },
  on_finding = show_finding,
})

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Lua sleeps in C until that program ends, as in a slow query: no coroutine of the loop runs.
local function hang(handle)
  print("\nthe server hangs for 2 s, on purpose; the agent answers:")
  local asking = command.curl(handle, "/metrics",
    [[-s -m 10 -o /dev/null -w '  /metrics: status %{http_code} after %{time_total} s\n']])
  -- what is preloaded for Lua is not for curl
  local pipe = assert(io.popen(
    ("unset LD_PRELOAD; for i in 1 2 3 4; do %s; sleep 0.5; done"):format(asking)))
  for line in pipe:lines() do
    print(line)
  end
  pipe:close()
  print("")
end

-- Before there is a port to listen on, so that the other process does not inherit the socket.
local function start_load()
  local line = ("exec %s %s"):format(
    quoted(command.interpreter()), quoted(command.folder() .. "support/load.lua"))
  return assert(io.popen(line, "w"))
end

local load_process

local function hang_once(host, handle)
  local cancel
  cancel = host:every(SECONDS_BEFORE_HANGING, function()
    cancel()
    hang(handle)
  end)
end

local function main()
  io.stdout:setvbuf("line")
  load_process = start_load()
  local host = command.host("copas")
  local server, message = http_server.new({
    host = ADDRESS, port = options.port, loop = host,
    respond = http_server.router({ ["/order"] = take_order }),
    on_response = function(_, _, seconds)
      order_latency:observe(seconds)
    end,
  })
  if not server then
    error(message, 0)
  end
  local handle
  handle, message = agent.start({ listen = options.listen })
  if not handle then
    error(message, 0)
  end
  load_process:write(("%s %d %d /order\n"):format(ADDRESS, server:port(), options.rate))
  load_process:flush()
  print(("a server with two leaks, under %d orders a second (Ctrl-C ends)"):format(options.rate))
  print(("its metrics: %s\n"):format(command.curl(handle, "/metrics")))
  watchdog.copas(dog)
  host:every(1, show_figures)
  hang_once(host, handle)
  host:run(options.seconds)
end

command.run(main, function()
  -- The end of its input ends the other process, and closing waits for that.
  if load_process then
    load_process:close()
  end
  print(("\nthe end, after %d orders"):format(orders))
end)
