local leak = require "rtmetrics.leak"

-- One reading a second of `held` live coroutines, plus garbage that only a collection removes.
local function model(held, garbage_rate)
  local collected_at = 0
  return function(t, collect)
    if collect then
      collected_at = t
    end
    local live = held(t)
    return {
      coroutines = math.floor(live + (garbage_rate or 0) * (t - collected_at)),
      collected = collect or false,
      sites = collect and {
        { site = "server.lua:42",
          coroutines = live, oldest = 720, by_status = { suspended = live } },
      } or nil,
    }
  end
end

local function drive(detector, read, from, to)
  local all, collected_at = {}, {}
  local function keep(findings)
    for _, finding in ipairs(findings) do
      all[#all + 1] = finding
    end
  end
  for t = from, to do
    keep(detector:step(read(t), t))
    if detector:needs_gc() then
      collected_at[#collected_at + 1] = t
      keep(detector:step(read(t, true), t))
    end
  end
  return all, collected_at
end

local function names(findings)
  local list = {}
  for i, finding in ipairs(findings) do
    list[i] = finding.name
  end
  return table.concat(list, " ")
end

local function steady() return 100 end

describe("the coroutine detector", function()
  it("is silent about a steady count, and asks for no collection", function()
    local found, collections = drive(leak.coroutines(), model(steady), 0, 1000)
    assert.are.equal("", names(found))
    assert.are.same({}, collections)
  end)

  it("warns above its threshold, after a collection, with counts by creation site", function()
    local detector = leak.coroutines({ threshold = 1000 })
    local found,
      collections = drive(detector, model(function(t) return t < 50 and 10 or 1034 end), 0, 60)
    assert.are.equal("coroutine_leak", names(found))
    assert.are.same({ 50 }, collections)
    assert.are.equal("warning", found[1].severity)
    assert.matches("^coroutine leak%? 1,034 live coroutines after a full collection, "
      .. "at or above the threshold of 1,000, 1,024 more than 50 s ago", found[1].message)
    assert.are.same({ "server.lua:42: 1,034 suspended, oldest 12 min" }, found[1].details)
    assert.matches("\n  server.lua:42: 1,034 suspended", leak.format(found[1]), 1, true)
  end)

  it("is silent when the collection shows that it was garbage, and waits before it asks again",
    function()
    local detector = leak.coroutines({ threshold = 1000, interval = 60, growth = 1e9 })
    local found, collections = drive(detector, model(steady, 100), 0, 300)
    assert.are.equal("", names(found))
    assert.is_true(#collections >= 4 and #collections <= 6, #collections .. " collections")
  end)

  it("warns of a steady growth far below the threshold, with its rate", function()
    local detector = leak.coroutines({ interval = 30, growth = 50 })
    local found = drive(detector, model(function(t) return 10 + 2 * t end), 0, 95)
    assert.are.equal("coroutine_leak", names(found))
    assert.matches("more than %d+ s ago %(2%.0/s%)", found[1].message)
    assert.is_nil(found[1].figures.threshold)
  end)

  it("is silent about growth that a collection undoes", function()
    local detector = leak.coroutines({ interval = 30, growth = 50 })
    local found, collections = drive(detector, model(steady, 5), 0, 600)
    assert.are.equal("", names(found))
    assert.is_true(#collections <= 10, #collections .. " collections in 600 s")
  end)

  it("warns again when the count doubled, not before", function()
    local detector = leak.coroutines({ threshold = 1000, repeat_every = 1e9 })
    local found = drive(detector, model(function(t) return 10 * t end), 0, 1000)
    local counts = {}
    for i, finding in ipairs(found) do
      assert.are.equal("coroutine_leak", finding.name)
      counts[i] = finding.figures.coroutines
    end
    assert.are.same({ 1000, 2000, 4000, 8000 }, counts)
  end)

  it("warns again after repeat_every", function()
    local detector = leak.coroutines({ threshold = 50, repeat_every = 100 })
    local found = drive(detector, model(steady), 0, 450)
    assert.are.equal("coroutine_leak coroutine_leak coroutine_leak coroutine_leak coroutine_leak",
      names(found))
  end)

  it("tells when the count has fallen well below the threshold, and not at its edge", function()
    local detector = leak.coroutines({ threshold = 1000, repeat_every = 1e9, growth = 1e9 })
    local function hover(t) return t < 10 and 10 or t < 100 and 990 + 20 * (t % 2) or 700 end
    local found = drive(detector, model(hover), 0, 200)
    assert.are.equal("coroutine_leak coroutine_recovered", names(found))
    assert.matches("coroutines recovered: 700 are live; there were 1,0%d0 at the last warning",
      found[2].message)
  end)

  it("tells when the growth has stopped", function()
    local detector = leak.coroutines({ interval = 30, growth = 50, repeat_every = 1e9 })
    local found = drive(detector, model(function(t) return 10 + 2 * math.min(t, 100) end), 0, 400)
    assert.are.equal("coroutine_leak coroutine_recovered", names(found))
  end)
end)

describe("the coroutine detector refuses", function()
  it("unknown options", function()
    assert.error_matches(function()
      leak.coroutines({ treshold = 3 })
    end, 'rtmetrics.leak.coroutines: unknown option "treshold", the nearest known is "threshold"',
      1, true)
  end)

  it("to be silent where coroutines are not counted", function()
    local detector = leak.coroutines()
    assert.are.equal("coroutine_unknown", names(detector:step({}, 0)))
    assert.are.equal("", names(detector:step({}, 1)))
    assert.is_false(detector:needs_gc())
  end)
end)
