-- The memory leak detector on a plain loop, copas or cqueues. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Watches this process's Lua heap for a memory leak, and makes one to be found.

For whoever has a process that grows and wants to be told early, with figures. The detector compares
what the heap (allocations minus frees) holds after collections, so garbage that was not collected
yet is no leak to it. You will see the heap's size once per interval, and after two or three
intervals a warning with the MiB grown and the MiB/s; with --leak-mib-s 0 no warning.]],
  options = {
    {
      name = "loop", type = "string", default = "plain", one_of = { "plain", "copas", "cqueues" },
      help = "the event loop to run on",
    },
    { name = "interval", type = "number", default = 3, above = 0, help = "seconds between floors" },
    {
      name = "threshold-mib", type = "number", default = 1, above = 0,
      help = "growth per interval to warn of, MiB",
    },
    {
      name = "leak-mib-s", type = "number", default = 1, min = 0,
      help = "how fast the simulated leak is",
    },
    { name = "seconds", type = "number", above = 0, help = "end by itself after so long" },
  },
})

-- First rtmetrics, then an event loop: copas keeps the coroutine functions that it finds.
local rt = command.load_rtmetrics()
local leak = require "rtmetrics.leak"
local watchdog = require "rtmetrics.watchdog"

local STEPS_PER_SECOND = 10
local BLOCK_BYTES = 4096

-- A cache that nobody ever empties; what is put in makes garbage of about the same size.
local cache = {}

local function leak_some()
  local blocks = options["leak-mib-s"] * 1024 * 1024 / STEPS_PER_SECOND / BLOCK_BYTES
  for _ = 1, blocks do
    cache[#cache + 1] = ("x"):rep(BLOCK_BYTES) .. #cache
  end
end

local started = rt.clock()

local function show(text)
  print(("[%5.1f s] %s"):format(rt.clock() - started, text))
end

local detector = leak.memory({
  interval = options.interval,
  threshold_mib = options["threshold-mib"],
  -- The collector of a small process runs rarely; ask for a collection rather than wait for one.
  collect = true,
})

local w = watchdog.new({
  detectors = { detector },
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
  host:every(1 / STEPS_PER_SECOND, leak_some)
  host:every(options.interval, function()
    show(("the Lua heap is %.1f MiB"):format((read().heap_bytes or 0) / 1024 / 1024))
  end)
  show("watching on the loop " .. options.loop .. " (Ctrl-C ends)")
  host:run(options.seconds)
end)
