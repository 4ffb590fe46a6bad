-- The end of a VM, at any moment and from anywhere; and ten thousand ends.

local run = require "support.run"

-- What malloc's own arenas come and go by: a leak of one small block a cycle is more.
local NOISE_BYTES = 384 * 1024

local busy = [[
local rt = require "rtmetrics"
local cancel = rt.on_gc(function() end)
local samples = rt.read { "/gc/heap/allocs:bytes", "/sched/pauses/total/gc:seconds" }
local meta = { __gc = function(object) object.kept = { coroutine.running() } end }
local threads = {}
for round = 1, 1000 do
  local co = coroutine.create(function(a)
    for i = 1, 5 do
      local kept = setmetatable({ a, i }, meta)
      coroutine.yield(kept)
    end
    error("enough")
  end)
  threads[round % 7] = co
  for i = 1, round % 8 do coroutine.resume(co, i) end
  if round % 5 == 0 then collectgarbage("step") end
  if round % 11 == 0 then collectgarbage() end
  if round % 13 == 0 then rt.read(samples) end
  if round % 17 == 0 then rt.stop() rt.start {} end
  if round % 19 == 0 then rt.coroutines { list = true } end
end
]]

local function write(text)
  local path = run.tmpdir() .. "/script.lua"
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

local function expect_clean(result)
  assert.are.equal("", result.err)
  assert.is_nil(result.signal)
  assert.are.equal(0, result.code)
end

-- One program for many moments: it leaves at the n-th of its steps, n given as its argument.
local function leave_from(body)
  return [[
local rt = require "rtmetrics"
rt.on_gc(function() end)
local leave_at, steps = tonumber(arg[1]), 0
local function leave() os.exit(0, true) end
local function step()
  steps = steps + 1
  local kept = { steps, "step " .. steps, coroutine.create(step) }
  if steps % 9 == 0 then collectgarbage("step") end
  return steps >= leave_at
end
]] .. body
end

local places = {
  ["the main coroutine"] = leave_from([[
while not step() do end
leave()
]]),
  ["a coroutine"] = leave_from([[
local function nested(depth)
  if depth > 0 then return coroutine.wrap(nested)(depth - 1) end
  while not step() do coroutine.wrap(function() coroutine.yield() end)() end
  leave()
end
coroutine.wrap(nested)(leave_at % 12)
]]),
  ["a finalizer"] = leave_from([[
while not step() do end
if newproxy then
  local proxy = newproxy(true)
  getmetatable(proxy).__gc = leave
else
  setmetatable({}, { __gc = leave })
end
collectgarbage()
collectgarbage()
]]),
  ["the end of the program"] = leave_from([[
keep = coroutine.create(function() while not step() do coroutine.yield() end end)
while coroutine.status(keep) ~= "dead" do coroutine.resume(keep) end
]]),
}

if run.is("5.4") then
  places["a __close"] = leave_from([[
local co = coroutine.create(function()
  local closing <close> = setmetatable({}, { __close = leave })
  while not step() do end
  coroutine.yield()
end)
coroutine.resume(co)
coroutine.close(co)
]])
end

describe("a VM closed at a random moment", function()
  local function close_many(vms)
    local result =
      run.command(("exec $RTM_WRAP %s %d %d %s"):format(run.program("close_anywhere"), vms,
      os.time(), write(busy)), { timeout = 600 })
    expect_clean(result)
    assert.matches("vms " .. vms, result.out, 1, true)
  end

  it("goes quietly #valgrind", function() close_many(run.under() and 60 or 400) end)

  it("goes quietly two thousand times", function()
    if run.under() then return pending("too slow under " .. run.under() .. "; 60 stand for it") end
    close_many(2000)
  end)

  for name, code in pairs(places) do
    it("goes quietly when the program leaves from " .. name, function()
      for moment = 1, 60, 7 do
        expect_clean(run.script(code, { args = { moment } }))
      end
    end)
  end
end)

describe("opening and closing VMs for ever", function()
  local function cycle(cycles)
    local result = run.command(("exec $RTM_WRAP %s %d %s"):format(run.program("open_close"),
      cycles, write([[
      local rt = require "rtmetrics"
      local t = {}
      for i = 1, 50 do t[i] = coroutine.wrap(function() coroutine.yield({}) end) t[i]() end
      rt.read { "/gc/heap/allocs:bytes" }
      collectgarbage()
    ]])), { timeout = 600 })
    expect_clean(result)
    local warm, last = result.out:match("resident (%d+) (%d+)")
    local open, left = result.out:match("descriptors (%d+) (%d+)")
    assert.are.equal(open, left)
    return last - warm
  end

  it("keeps memory and descriptors flat", function()
    if run.under() then return pending("a sanitizer or valgrind keeps freed memory") end
    local grown = cycle(1500)
    assert.is_true(grown < NOISE_BYTES, grown .. " bytes more")
  end)

  it("keeps memory flat over ten thousand VMs", function()
    if run.under() then return pending("a sanitizer or valgrind keeps freed memory") end
    local grown = cycle(10000)
    assert.is_true(grown < NOISE_BYTES, grown .. " bytes more")
  end)
end)

describe("starting and stopping for ever", function()
  local function growth(cycles)
    local result = run.script([[
      local rt = require "rtmetrics"
      local function resident()
        local file = io.open("/proc/self/statm")
        local pages = file:read("*a"):match("%d+ (%d+)")
        file:close()
        return tonumber(pages) * 4096
      end
      local function cycle(n)
        for i = 1, n do
          rt.stop()
          rt.start {}
        end
        collectgarbage()
        collectgarbage()
      end
      local cycles = tonumber(arg[1])
      cycle(cycles / 10)
      local warm = resident()
      cycle(cycles)
      print(resident() - warm)
    ]], { args = { cycles }, timeout = 600 })
    expect_clean(result)
    return tonumber(result.out)
  end

  it("keeps memory flat", function()
    if run.under() then return pending("a sanitizer or valgrind keeps freed memory") end
    local grown = growth(3000)
    assert.is_true(grown < NOISE_BYTES, grown .. " bytes more")
  end)

  it("keeps memory flat over a hundred thousand cycles #nightly", function()
    if run.under() then return pending("a sanitizer or valgrind keeps freed memory") end
    local grown = growth(100000)
    assert.is_true(grown < NOISE_BYTES, grown .. " bytes more")
  end)
end)
