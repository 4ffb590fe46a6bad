-- The coroutine leak monitor on a plain loop, copas or cqueues. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Watches this process's coroutines, and leaks some to be found.

For whoever has a server whose handlers, timers or jobs may hang for ever. When the count passes the
threshold, or rises interval by interval, the monitor forces a full collection and counts again, so
coroutines that are merely not collected yet cause no alert; then it warns with the counts by
creation site. You will see the count once per interval and the warning within a few of them: the
jobs that never end are named, those that do are not. With --leak-per-s 0 there is no warning.]],
  options = {
    {
      name = "loop", type = "string", default = "plain", one_of = { "plain", "copas", "cqueues" },
      help = "the event loop to run on",
    },
    { name = "interval", type = "number", default = 3, above = 0, help = "seconds between counts" },
    {
      name = "threshold", type = "number", default = 500, min = 1,
      help = "live coroutines to warn of",
    },
    {
      name = "growth", type = "number", default = 50, min = 1,
      help = "growth per interval to warn of",
    },
    {
      name = "leak-per-s", type = "number", default = 50, min = 0,
      help = "how many coroutines are leaked a second",
    },
    { name = "seconds", type = "number", above = 0, help = "end by itself after so long" },
  },
})

-- First rtmetrics, then an event loop: copas keeps the coroutine functions that it finds.
local rt = command.load_rtmetrics()
-- On LuaJIT coroutines are counted only on request, as resuming them gets slower there.
assert(rt.start({ sched = "full" }))
local leak = require "rtmetrics.leak"
local watchdog = require "rtmetrics.watchdog"

local STEPS_PER_SECOND = 10

-- Jobs that wait for an answer that never comes.
local waiting, owed = {}, 0

local function start_hanging_job()
  local job = coroutine.create(function()
    coroutine.yield("waits for an answer")
  end)
  coroutine.resume(job)
  waiting[#waiting + 1] = job
end

-- A job as it should be; it is garbage when it is done.
local function run_good_job()
  local job = coroutine.wrap(function()
    coroutine.yield("half done")
    return "done"
  end)
  job()
  job()
end

local function work()
  owed = owed + options["leak-per-s"] / STEPS_PER_SECOND
  while owed >= 1 do
    start_hanging_job()
    owed = owed - 1
  end
  for _ = 1, 20 do
    run_good_job()
  end
end

local started = rt.clock()

local function show(text)
  print(("[%5.1f s] %s"):format(rt.clock() - started, text))
end

local monitor = leak.coroutines({
  interval = options.interval,
  threshold = options.threshold,
  growth = options.growth,
})

local w = watchdog.new({
  detectors = { monitor },
  interval = math.min(1, options.interval / 4),
  on_finding = function(finding)
    show(finding.severity:upper() .. ": " .. leak.format(finding))
  end,
})

command.run(function()
  io.stdout:setvbuf("line")
  local host = command.host(options.loop)
  local read = leak.reader()
  watchdog.attach(w, host)
  host:every(1 / STEPS_PER_SECOND, work)
  host:every(options.interval, function()
    show(("%s live coroutines, uncollected ones included"):format(read().coroutines or "unknown"))
  end)
  show("watching on the loop " .. options.loop .. " (Ctrl-C ends)")
  host:run(options.seconds)
end)
