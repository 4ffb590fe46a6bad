-- Hosts with allocators of their own: one that fails, one that nobody else may free for, one that
-- is put on top of ours or back in our place.

local run = require "support.run"

local function write(dir, name, text)
  local path = dir .. "/" .. name
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

-- What a host does with rtmetrics, each step protected as a careful host would.
local script = [[
local rt = require "rtmetrics"
local samples = rt.read { "/gc/heap/allocs:bytes", "/gc/cycles/total:gc-cycles",
  "/sched/pauses/total/gc:seconds" }
local co = coroutine.wrap(function(a) for i = 1, 3 do a = coroutine.yield({ a, i }) end end)
co(1) co(2)
rt.memstats() rt.gcstats() rt.coroutines()
local cancel = rt.on_gc(function() end)
collectgarbage()
rt.read(samples)
cancel()
rt.stop()
rt.start {}
rt.coroutines { list = true }
require("rtmetrics.prometheus").render()
rt.stop()
]]

-- Afterwards: the module works, and its count follows the host's to the byte. The first reading
-- makes the list's parts, the second allocates nothing. LuaJIT's traces would come in between.
local check = [[
if jit then jit.off() end
-- 5.1 and LuaJIT never forget a require that failed; what they leave is no table.
for name, module in pairs(package.loaded) do
  if type(module) ~= "table" then package.loaded[name] = nil end
end
local rt = require "rtmetrics"
rt.stop()
rt.start {}
local samples = rt.read { "/gc/heap/allocs:bytes", "/gc/heap/frees:bytes" }
local function live()
  rt.read(samples)
  return samples[1].value - samples[2].value
end
live()
local ours, host = live(), (host_memory())
local kept = {}
for i = 1, 200 do kept[i] = { i, "value " .. i, function() return i end } end
collectgarbage()
local grown, host_grown = live() - ours, host_memory() - host
assert(grown == host_grown, ("counted %d bytes, the host's allocator %d"):format(grown, host_grown))
local f = coroutine.wrap(function() coroutine.yield(1) return 2 end)
assert(f() == 1 and f() == 2)
assert(#rt.all() > 10)
]]

local function run_failing(mode, step)
  local dir = run.tmpdir()
  return run.command(("exec $RTM_WRAP %s %s %s %s 1 %d"):format(run.program("failing_allocator"),
    write(dir, "script.lua", script), write(dir, "check.lua", check), mode, step), {
      timeout = 600 })
end

-- What the module says of a start that memory was refused for is no complaint.
local function complaints(text)
  return (text:gsub("rtmetrics: [^\n]*not enough memory\n", ""))
end

local function expect_survival(result)
  assert.are.equal("", complaints(result.err))
  assert.are.equal(0, result.code)
  local vms, failed = result.out:match("vms (%d+) failed (%d+)")
  assert.is_true(tonumber(failed) > 10, result.out)
  assert.is_true(tonumber(vms) > tonumber(failed))
end

describe("an allocator that fails the n-th call", function()
  it("leaves a usable VM and an exact count, failing once", function()
    expect_survival(run_failing("once", 7))
  end)

  it("leaves a usable VM and an exact count, failing from there on", function()
    expect_survival(run_failing("forever", 11))
  end)

  it("does so for every n, failing once #oom", function()
    expect_survival(run_failing("once", 1))
  end)

  it("does so for every n, failing from there on #oom", function()
    expect_survival(run_failing("forever", 1))
  end)
end)

-- Every refusal counts, and on 5.4 each one here makes the VM collect in an emergency and ask
-- again: it is a table's or a string's request, never that of a buffer of the auxiliary library,
-- which gives up.
local counting_script = [[
local rt = require "rtmetrics"
local samples = rt.read { "/gc/heap/failures:allocations", "/gc/cycles/emergency:gc-cycles" }
rt.read(samples)
local failures, emergencies = samples[1].value, samples[2].value
if not failures then return end -- no memory to start with, and it said so
local _, _, host_failures = host_memory()
local kept = {}
local ok, message = pcall(function() for i = 1, 300 do kept[i] = { i, "value " .. i } end end)
assert(ok or message == "not enough memory", message)
local _, _, host_failures_after = host_memory()
rt.read(samples)
local refused = host_failures_after - host_failures
local counted = samples[1].value - failures
assert(counted == refused, ("counted %d refusals of %d"):format(counted, refused))
if emergencies and samples[2].kind ~= "bad" then
  local collected = samples[2].value - emergencies
  assert(collected == refused, ("%d emergency collections after %d refusals"):format(collected,
    refused))
end
]]

describe("a request that the allocator refuses", function()
  it("is passed on and counted, and so is the emergency collection", function()
    local dir = run.tmpdir()
    local result = run.command(("exec $RTM_WRAP %s %s %s once 1 3"):format(
      run.program("failing_allocator"), write(dir, "counting.lua", counting_script),
      write(dir, "check.lua", check)), { timeout = 600 })
    assert.are.equal("", complaints(result.err))
    assert.are.equal(0, result.code)
  end)
end)

-- The module's own requests are refused, Lua's are granted: what cannot start says so and can start
-- later; what runs drops, counts and goes on.
local own_script = [[
local rt = require "rtmetrics"
rt.stop()
local started, why = rt.start {}
if not started then assert(tostring(why):find("memory"), why) end
local kept = {}
for i = 1, 300 do
  kept[i] = coroutine.create(function() coroutine.yield() end)
  coroutine.resume(kept[i])
end
rt.coroutines()
rt.coroutines { list = true }
require("rtmetrics.prometheus").render()
collectgarbage()
kept = nil
collectgarbage()
rt.stop()
]]

local own_check = [[
local rt = require "rtmetrics"
rt.stop()
assert(rt.start {})
local samples = rt.read { "/gc/heap/allocs:bytes" }
local before = samples[1].value
local kept = {}
for i = 1, 100 do
  kept[i] = coroutine.create(function() coroutine.yield() end)
  coroutine.resume(kept[i])
end
rt.read(samples)
assert(samples[1].value > before)
assert(require("rtmetrics.prometheus").render():find("lua_"))
local census = rt.coroutines()
assert(not census or census.suspended >= 100, census and census.suspended)
]]

describe("memory that rtmetrics itself is refused", function()
  local function refuse(mode, step)
    if run.under() == "address,undefined" then return pending("a sanitizer has its own malloc") end
    local dir = run.tmpdir()
    local result = run.command(("exec %s %s %s %s %d"):format(run.program("failing_malloc"),
      write(dir, "own.lua", own_script), write(dir, "own_check.lua", own_check), mode, step))
    assert.are.equal("", complaints(result.err))
    assert.are.equal(0, result.code)
    assert.is_true(tonumber(result.out:match("vms (%d+)")) > 3, result.out)
  end

  it("leaves the program and a later start alone, refused once", function() refuse("once", 1) end)

  it("leaves the program and a later start alone, refused for ever", function()
    refuse("forever", 1)
  end)
end)

describe("a malloc that belongs to the host alone", function()
  it("never sees a block of libc, nor libc one of its own", function()
    local dir = run.tmpdir()
    local result = run.command(("exec $RTM_WRAP %s %s"):format(run.program("private_malloc"),
      write(dir, "private.lua", [[
      local rt = require "rtmetrics"
      local samples = rt.read { "/gc/heap/allocs:bytes", "/gc/heap/frees:bytes" }
      rt.read(samples)
      local live = samples[1].value - samples[2].value
      local before = collectgarbage("count") * 1024
      rt.read(samples)
      live = samples[1].value - samples[2].value
      before = collectgarbage("count") * 1024
      local kept = {}
      for i = 1, 1000 do kept[i] = { i, ("n"):rep(i) } end
      collectgarbage()
      rt.read(samples)
      local grown = samples[1].value - samples[2].value - live
      assert(math.abs(grown - (collectgarbage("count") * 1024 - before)) <= 0, grown)
      rt.stop()
      for i = 1, 1000 do kept[i] = { i } end
      rt.start {}
      for i = 1, 1000 do kept[i] = nil end
      collectgarbage()
    ]])))
    assert.are.equal("", result.err)
    assert.are.equal(0, result.code)
  end)
end)

describe("a host that swaps allocators", function()
  it("reads its own ud back, and gets its function back when nobody is in between", function()
    local result = run.command("exec $RTM_WRAP " .. run.program("allocator_swap"))
    assert.are.equal("", result.err)
    assert.are.equal(0, result.code)
  end)
end)

describe("another malloc in the whole process", function()
  local work = [[
    local rt = require "rtmetrics"
    local kept, sum = {}, 0
    for i = 1, 20000 do
      kept[i % 500] = { i, ("n"):rep(i % 300), coroutine.wrap(function() coroutine.yield(i) end) }
      sum = sum + kept[i % 500][3]()
    end
    collectgarbage()
    rt.stop()
    rt.start {}
    require("rtmetrics.prometheus").render()
    rt.freeosmemory()
    print(sum)
  ]]

  local function find_library(name)
    local path = run.command("ldconfig -p | sed -n 's/.*=> //p' | grep -F " .. name).out
    return path:match("[^\n]+")
  end

  for _, name in ipairs({ "libjemalloc.so", "libtcmalloc_minimal.so" }) do
    it("is used by all alike: " .. name, function()
      local library = find_library(name)
      if not library then return pending(name .. " is not installed") end
      if run.under() then return pending("not under " .. run.under()) end
      local result = run.script(work, {
        env = { LD_PRELOAD = library, MALLOC_CONF = "prof_active:false,abort_conf:false" },
      })
      assert.are.equal("", result.err)
      assert.are.equal(0, result.code)
      assert.are.equal(20000 * 20001 / 2, tonumber(result.out))
    end)
  end
end)
