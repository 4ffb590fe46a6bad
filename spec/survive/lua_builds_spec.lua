-- Other builds of the same Lua: rtmetrics must find its way in each or say `bad`, never be wrong.
-- The truth about collections is not known here, but what the figures must satisfy is.

local run = require "support.run"
local truth = require "support.truth"

local smoke = [[
local rt = require "rtmetrics"
local samples = rt.read {
  "/gc/heap/allocs:bytes", "/gc/heap/frees:bytes", "/gc/cycles/forced:gc-cycles",
    "/gc/pauses:pauses",
  "/cpu/classes/gc/total:cpu-seconds",
}
local function values()
  rt.read(samples)
  return samples[1].value - samples[2].value, samples[3].value, samples[4].value, samples[5].value
end
values()
local bytes, heap = values(), collectgarbage("count") * 1024
local _, forced, pauses, seconds = values()
local started = rt.clock()
local kept = {}
for _, mode in ipairs { "generational", "incremental" } do
  collectgarbage(mode)
  for i = 1, 3000 do
    kept[i % 500] = { i, "n" .. i, coroutine.wrap(function(a)
      coroutine.yield(a) end), ("x"):rep(i) }
    kept[i % 500][3](i)
    setmetatable(kept[i % 500], { __gc = function(o) o.again = {} end })
  end
  for _ = 1, 5 do collectgarbage() end
end
assert(not pcall(coroutine.wrap(function() error("caught") end)))
local bytes_after, forced_after, pauses_after, seconds_after = values()
local heap_after = collectgarbage("count") * 1024
assert(bytes_after - bytes == heap_after - heap, "live bytes")
-- Ten calls for a full collection; changing the mode may be another one.
if pauses then
  local added = forced_after - forced
  assert(added == 10 or added == 11 or added > 10 and arg[1] == "collects by itself", added)
end
if pauses then assert(pauses_after - pauses >= 10, pauses_after - pauses) end
-- By a clock that goes on while other programs have the CPU, as that of the pauses does.
if seconds then
  local passed, collecting = rt.clock() - started, seconds_after - seconds
  assert(collecting >= 0 and collecting <= passed, ("%g of %g s"):format(collecting, passed))
end
rt.coroutines { list = true }
rt.stop()
print("ok", pauses and "exact" or "bad")
]]

local builds = {
  { title = "without optimisation", name = "O0", options = "-O0" },
  { title = "with -O3", name = "O3", options = "-O3", nightly = true },
  { title = "with link-time optimisation", name = "lto", options = "-O2 -flto", nightly = true },
  { title = "with the VM's assertions", name = "assert",
    options = "-O1 -DLUAI_ASSERT -DLUA_USE_APICHECK -include assert.h -Dlua_assert=assert",
      nightly = true },
  { title = "with a collection at every allocation", name = "hardmem", options = "-DHARDMEMTESTS=1",
    nightly = true, collects = true },
  { title = "with an emergency collection at every allocation", name = "emergency",
    options = "-DEMERGENCYGCTESTS", nightly = true, collects = true },
  { title = "with a stack that moves at every check", name = "hardstack",
    options = "-DHARDSTACKTESTS=1",
    nightly = true },
}

describe("Lua built", function()
  for _, build in ipairs(builds) do
    it(build.title .. (build.nightly and " #nightly" or ""), function()
      if not run.is("5.4") then return pending("the sources of 5.4 are built") end
      local interpreter, why = truth.interpreter(build.name, build.options)
      if not interpreter then return pending("no interpreter of our own: " .. why) end
      local result = run.script(smoke, {
        interpreter = interpreter,
        timeout = 600,
        args = { build.collects and "collects by itself" },
      })
      assert.are.equal("", result.err)
      assert.are.equal(0, result.code)
      assert.matches("^ok\t", result.out)
    end)
  end
end)
