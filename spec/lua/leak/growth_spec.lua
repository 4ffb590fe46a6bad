local leak = require "rtmetrics.leak"

local MIB = 1024 * 1024

-- A heap with a collector: `held` MiB are alive, garbage comes at `churn` MiB/s and goes every
-- `cycle` seconds. One reading a second.
local function heap_model(held, churn, cycle)
  local cycles, live, collected_at = 0, held(0) * MIB, 0
  return function(t, collect)
    if collect or (cycle and t - collected_at >= cycle) then
      cycles, live, collected_at = cycles + 1, held(t) * MIB, t
    end
    local heap = (held(t) + churn * (t - collected_at)) * MIB
    return {
      heap_bytes = heap, live_bytes = live, gc_cycles = cycles, collected = collect or false,
    }
  end
end

local function drive(detector, read, from, to)
  local all, asked = {}, 0
  local function keep(findings)
    for _, finding in ipairs(findings) do
      all[#all + 1] = finding
    end
  end
  for t = from, to do
    keep(detector:step(read(t), t))
    if detector:needs_gc() then
      asked = asked + 1
      keep(detector:step(read(t, true), t))
    end
  end
  return all, asked
end

local function names(findings)
  local list = {}
  for i, finding in ipairs(findings) do
    list[i] = finding.name
  end
  return table.concat(list, " ")
end

local function leaking(rate, start)
  return function(t) return 20 + math.max(0, t - (start or 0)) * rate end
end

local function steady() return 20 end

describe("the memory detector", function()
  it("is silent about a steady heap with a lot of garbage", function()
    local found = drive(leak.memory(), heap_model(steady, 30, 7), 0, 600)
    assert.are.equal("", names(found))
  end)

  it("is silent about growth below its threshold", function()
    local found = drive(leak.memory({ threshold_mib = 8 }),
      heap_model(leaking(7 / 30), 10, 5), 0, 900)
    assert.are.equal("", names(found))
  end)

  it("is silent about one step up, as of a cache that fills", function()
    local function step_up(t) return t < 100 and 20 or 200 end
    local found = drive(leak.memory(), heap_model(step_up, 10, 5), 0, 600)
    assert.are.equal("", names(found))
  end)

  it("is silent about a load that comes and goes", function()
    local function waves(t) return 20 + 40 * math.abs(math.sin(t / 9)) end
    local found = drive(leak.memory(), heap_model(waves, 10, 3), 0, 900)
    assert.are.equal("", names(found))
  end)

  it("warns of a leak with its size, rate and sizes after collection", function()
    local found = drive(leak.memory({ threshold_mib = 8 }), heap_model(leaking(0.5), 10, 5), 0, 100)
    assert.are.equal("memory_leak", names(found))
    local finding = found[1]
    assert.are.equal("warning", finding.severity)
    assert.are.equal("memory", finding.detector)
    assert.matches("^memory leak%? the Lua heap grew %d+%.%d MiB in %d+ s %(0%.50 MiB/s%): "
      .. "%d+%.%d → %d+%.%d MiB after collection$", finding.message)
    local f = finding.figures
    assert.is_true(math.abs(f.bytes_per_second - 0.5 * MIB) < 0.02 * MIB)
    assert.are.equal(f.grown_bytes, f.to_bytes - f.from_bytes)
    assert.is_true(finding.at <= 95, "warned at " .. finding.at)
  end)

  it("warns again when the growth doubled, not before", function()
    local found = drive(leak.memory({ repeat_every = 1e9 }),
      heap_model(leaking(0.5), 10, 5), 0, 1000)
    assert.matches("^memory_leak memory_leak", names(found))
    for i = 2, #found do
      local now, before = found[i].figures.grown_bytes, found[i - 1].figures.grown_bytes
      assert.is_true(now >= 2 * before, ("%d after %d"):format(now, before))
    end
    assert.is_true(#found <= 5, "a thousand seconds gave " .. #found .. " warnings")
  end)

  it("warns again after repeat_every", function()
    local found = drive(leak.memory({ repeat_every = 100 }),
      heap_model(leaking(0.5), 10, 5), 0, 1000)
    assert.is_true(#found >= 7 and #found <= 13, #found .. " warnings")
  end)

  it("tells when the growth has stopped", function()
    local function held(t) return 20 + math.min(t, 150) * 0.5 end
    local found = drive(leak.memory({ repeat_every = 1e9 }), heap_model(held, 10, 5), 0, 400)
    assert.are.equal("memory_recovered", found[#found].name)
    assert.are.equal("info", found[#found].severity)
    assert.matches("95.0 MiB after collection", found[#found].message, 1, true)
  end)

  it("tells when the limit will be reached, and is critical if that is soon", function()
    local model = heap_model(leaking(0.5), 10, 5)
    local function read(t)
      local reading = model(t)
      reading.limit_bytes, reading.used_bytes = 200 * MIB, 100 * MIB
      return reading
    end
    local found = drive(leak.memory(), read, 0, 100)
    assert.are.equal("critical", found[1].severity)
    assert.matches("at this rate the limit of 200.0 MiB is reached in 3.3 min",
      found[1].message, 1, true)
    assert.is_true(math.abs(found[1].figures.seconds_to_limit - 200) < 10)
  end)

  it("measures a limit of one's own against the heap", function()
    local found = drive(leak.memory({ limit_mib = 4000 }), heap_model(leaking(0.5), 10, 5), 0, 100)
    assert.are.equal("warning", found[1].severity)
    assert.matches("the limit of 4000.0 MiB is reached in 2.2 h", found[1].message, 1, true)
  end)

  it("takes its threshold in MiB/s too", function()
    local slow, fast = heap_model(leaking(0.1), 5, 5), heap_model(leaking(0.3), 5, 5)
    assert.are.equal("", names(drive(leak.memory({ threshold_mib_s = 0.2 }), slow, 0, 300)))
    assert.matches("memory_leak",
      names(drive(leak.memory({ threshold_mib_s = 0.2 }), fast, 0, 300)))
  end)

  it("wants both thresholds reached if both are given", function()
    local detector = leak.memory({ threshold_mib_s = 0.2, threshold_mib = 12 })
    assert.are.equal("", names(drive(detector, heap_model(leaking(0.3), 5, 5), 0, 300)))
  end)

  it("copes with collections rarer than its interval", function()
    local found = drive(leak.memory({ interval = 10, threshold_mib = 4 }),
      heap_model(leaking(0.5), 0.1, 45), 0, 300)
    assert.matches("memory_leak", names(found))
    assert.is_true(math.abs(found[1].figures.bytes_per_second - 0.5 * MIB) < 0.05 * MIB)
  end)

  it("works without a count of cycles, on the lowest heap sizes", function()
    local function without_cycles(model)
      return function(t)
        local reading = model(t)
        reading.gc_cycles, reading.live_bytes = nil, nil
        return reading
      end
    end
    local quiet = drive(leak.memory(), without_cycles(heap_model(steady, 30, 7)), 0, 600)
    assert.are.equal("", names(quiet))
    local found = drive(leak.memory(), without_cycles(heap_model(leaking(0.5), 10, 5)), 0, 100)
    assert.are.equal("memory_leak", names(found))
  end)

  it("works on allocations and frees counted since some time or other", function()
    local function since_later(model)
      return function(t, collect)
        local reading = model(t, collect)
        reading.allocs_bytes, reading.frees_bytes = reading.heap_bytes + 7e9, 7e9 + 15 * MIB
        reading.heap_bytes = nil
        return reading
      end
    end
    local quiet = drive(leak.memory(), since_later(heap_model(steady, 10, 1)), 0, 600)
    assert.are.equal("", names(quiet))
    local found = drive(leak.memory(), since_later(heap_model(leaking(0.5), 10, 1)), 0, 100)
    assert.are.equal("memory_leak", names(found))
  end)

  it("starts over from what it knows when nothing has ever been collected", function()
    local found = drive(leak.memory(), heap_model(steady, 0, nil), 0, 300)
    assert.are.equal("", names(found))
  end)
end)

describe("the memory detector without collections", function()
  it("tells, once, that the collector seems stopped", function()
    local found, asked = drive(leak.memory(), heap_model(steady, 1, nil), 0, 600)
    assert.are.equal("memory_uncollected", names(found))
    assert.matches("grew 40.0 MiB in 40 s (20.0 → 60.0 MiB) and no collection finished",
      found[1].message, 1, true)
    assert.are.equal(0, asked)
  end)

  it("asks for one, if it may, and finds that it was garbage", function()
    local found, asked = drive(leak.memory({ collect = true }), heap_model(steady, 1, nil), 0, 300)
    assert.are.equal("", names(found))
    assert.is_true(asked >= 8 and asked <= 11, asked .. " collections in 300 s")
  end)

  it("asks for one, if it may, and finds the leak", function()
    local found,
      asked = drive(leak.memory({ collect = true }), heap_model(leaking(0.5), 1, nil), 0, 100)
    assert.are.equal("memory_leak", names(found))
    assert.is_true(asked <= 3, asked .. " collections in 100 s")
    assert.is_true(math.abs(found[1].figures.bytes_per_second - 0.5 * MIB) < 0.02 * MIB)
  end)

  it("asks for none while the collector does its work", function()
    local _, asked = drive(leak.memory({ collect = true }), heap_model(leaking(0.5), 10, 5), 0, 300)
    assert.are.equal(0, asked)
  end)
end)

describe("the memory detector refuses", function()
  it("unknown options, at the caller", function()
    local ok, message = pcall(function()
      return (leak.memory({ treshold_mib = 3 }))
    end)
    assert.is_false(ok)
    assert.matches("growth_spec.lua:%d+: rtmetrics.leak.memory: unknown option", message)
    assert.matches('"threshold_mib"', message, 1, true)
  end)

  it("to be silent where the heap is not counted", function()
    local detector = leak.memory()
    assert.are.equal("memory_unknown", names(detector:step({}, 0)))
    assert.are.equal("", names(detector:step({}, 1)))
  end)
end)
