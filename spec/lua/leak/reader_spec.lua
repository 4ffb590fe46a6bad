local leak = require "rtmetrics.leak"
local run = require "support.run"

-- A stand-in for the module rtmetrics: `values` are its metrics, what is missing is bad.
local function fake(values)
  local rt = { collections = 0, reads = 0, lists = 0 }
  function rt.read(samples)
    if type(samples[1]) == "string" then
      local list = {}
      for i, name in ipairs(samples) do
        list[i] = { name = name, kind = "bad" }
      end
      return list
    end
    rt.reads = rt.reads + 1
    for _, sample in ipairs(samples) do
      sample.value = values[sample.name]
      sample.kind = sample.value and "uint64" or "bad"
    end
  end
  function rt.gc()
    rt.collections = rt.collections + 1
  end
  function rt.coroutines()
    rt.lists = rt.lists + 1
    return { { status = "suspended", created_at = "a.lua:1", age = 2 } }
  end
  return rt
end

local VALUES = {
  ["/gc/heap/allocs:bytes"] = 1000, ["/gc/heap/frees:bytes"] = 400, ["/gc/heap/live:bytes"] = 500,
  ["/gc/cycles/total:gc-cycles"] = 70, ["/gc/cycles/minor:gc-cycles"] = 60,
  ["/sched/coroutines:coroutines"] = 12,
}

describe("a reader of this process", function()
  it("fills the same table each time", function()
    local read = leak.reader(fake(VALUES))
    local reading = read()
    assert.are.equal(1000, reading.allocs_bytes)
    assert.are.equal(400, reading.frees_bytes)
    assert.are.equal(500, reading.live_bytes)
    assert.are.equal(12, reading.coroutines)
    assert.is_false(reading.collected)
    assert.is_nil(reading.sites)
    assert.are.equal(reading, read())
  end)

  it("counts full cycles, not minor ones", function()
    assert.are.equal(10, leak.reader(fake(VALUES))().gc_cycles)
    assert.are.equal(7, leak.reader(fake({ ["/gc/cycles/total:gc-cycles"] = 7 }))().gc_cycles)
  end)

  it("collects and lists creation sites when asked", function()
    local rt = fake(VALUES)
    local read = leak.reader(rt)
    read()
    assert.are.equal(0, rt.collections + rt.lists)
    local reading = read(true)
    assert.are.equal(1, rt.collections)
    assert.is_true(reading.collected)
    assert.are.equal("a.lua:1", reading.sites[1].site)
    assert.is_nil(read().sites)
  end)

  it("has nil for what is not known", function()
    local rt = fake({})
    local reading = leak.reader(rt)(true)
    assert.is_nil(reading.allocs_bytes)
    assert.is_nil(reading.gc_cycles)
    assert.is_nil(reading.sites)
    assert.are.equal(0, rt.lists)
  end)
end)

describe("a reader of a real process", function()
  local function script(code)
    local result = run.script(code)
    assert.are.equal(0, result.code, result.err)
    return result.out
  end

  it("makes no garbage", function()
    assert.are.equal("0\n", script([[
      local read = require("rtmetrics.leak").reader()
      local function read_often()
        for _ = 1, 1000 do
          read()
        end
      end
      collectgarbage("stop")
      -- Once for what is made once: a larger stack, compiled code.
      read_often()
      local before = collectgarbage("count")
      read_often()
      print(("%.0f"):format((collectgarbage("count") - before) * 1024))
    ]]))
  end)

  it("sees a collection as a full cycle, and the heap as Lua counts it", function()
    assert.are.equal("true true\n", script([[
      local read = require("rtmetrics.leak").reader()
      local before = read().gc_cycles
      local reading = read(true)
      local difference = math.abs(reading.heap_bytes - collectgarbage("count") * 1024)
      io.write(tostring(reading.gc_cycles > before), " ", tostring(difference < 16384), "\n")
    ]]))
  end)

  it("names the sites of its coroutines, where they are counted", function()
    local out = script([[
      local read = require("rtmetrics.leak").reader()
      local kept = {}
      for i = 1, 7 do
        kept[i] = coroutine.create(function() end)
      end
      local reading = read(true)
      local first = reading.sites and reading.sites[1]
      print(first and first.site .. " " .. first.coroutines or "not counted")
    ]])
    assert.are.equal(run.is("luajit") and "not counted\n" or "script.lua:4 7\n", out)
  end)
end)
