local watchdog = require "rtmetrics.watchdog"

-- A detector that finds one thing at each time in `at`, and asks for a collection at each in
-- `asks`.
local function detector(at, asks)
  local d = { seen = {} }
  function d:step(reading, now)
    self.seen[#self.seen + 1] = (reading.collected and "collected " or "plain ") .. now
    self.asking = asks and asks[now] and not reading.collected
    return at[now] and { { name = "found at " .. now, collected = reading.collected } } or {}
  end
  function d:needs_gc()
    return self.asking
  end
  return d
end

local function reader()
  local r = { plain = 0, collected = 0 }
  function r.read(collect)
    r[collect and "collected" or "plain"] = r[collect and "collected" or "plain"] + 1
    return { collected = collect }
  end
  return r
end

local function new(detectors, more)
  local r, found = reader(), {}
  local given = {
    detectors = detectors, interval = 10, read = r.read, clock = function() return 1000 end,
    on_finding = function(finding)
      found[#found + 1] = finding.name
    end,
  }
  for key, value in pairs(more or {}) do
    given[key] = value
  end
  return watchdog.new(given), found, r
end

-- A host whose timers the spec fires.
local function fake_host()
  local host = { timers = {} }
  function host:every(seconds, fn)
    local timer = { seconds = seconds, fn = fn }
    self.timers[#self.timers + 1] = timer
    return function()
      timer.cancelled = true
    end
  end
  return host
end

describe("a watchdog", function()
  it("steps its detectors at the interval, all with one reading", function()
    local a, b = detector({}), detector({})
    local w, _, r = new({ a, b })
    for t = 0, 25 do
      w:poll(t)
    end
    assert.are.same({ "plain 0", "plain 10", "plain 20" }, a.seen)
    assert.are.same(a.seen, b.seen)
    assert.are.equal(3, r.plain)
    assert.are.equal(0, r.collected)
  end)

  it("hands on what they find, and says how much that was", function()
    local w, found = new({ detector({ [10] = true }), detector({ [10] = true, [20] = true }) })
    assert.are.equal(0, w:poll(0))
    assert.are.equal(2, w:poll(10))
    assert.are.equal(0, w:poll(15))
    assert.are.equal(1, w:poll(20))
    assert.are.same({ "found at 10", "found at 10", "found at 20" }, found)
  end)

  it("collects once for all that ask, and only these look again", function()
    local a, b, c = detector({}, { [10] = true }), detector({}), detector({}, { [10] = true })
    local w, _, r = new({ a, b, c })
    w:poll(0)
    w:poll(10)
    assert.are.equal(1, r.collected)
    assert.are.same({ "plain 0", "plain 10", "collected 10" }, a.seen)
    assert.are.same({ "plain 0", "plain 10" }, b.seen)
    assert.are.same(a.seen, c.seen)
  end)

  it("asks its clock when it is not told the time", function()
    local a = detector({})
    local w = new({ a })
    w:poll()
    assert.are.same({ "plain 1000" }, a.seen)
  end)

  it("takes detectors without needs_gc", function()
    local w = new({ { step = function() return {} end } })
    assert.are.equal(0, w:check(0))
  end)

  it("raises what a finding's receiver raises, when it is polled", function()
    local w = new({ detector({ [0] = true }) }, { on_finding = function() error("mine") end })
    assert.error_matches(function() w:poll(0) end, "mine")
  end)
end)

describe("a watchdog on a host loop", function()
  it("checks at its interval until it is stopped", function()
    local host, a = fake_host(), detector({})
    local w = new({ a })
    local stop = watchdog.attach(w, host)
    assert.are.equal(10, host.timers[1].seconds)
    host.timers[1].fn()
    assert.are.same({ "plain 1000" }, a.seen)
    stop()
    assert.is_true(host.timers[1].cancelled)
  end)

  it("hands errors to on_error and goes on", function()
    local host, errors = fake_host(), {}
    local w = new({ detector({ [1000] = true }) }, {
      on_finding = function() error("mine", 0) end,
      on_error = function(message) errors[#errors + 1] = message end,
    })
    watchdog.attach(w, host)
    host.timers[1].fn()
    host.timers[1].fn()
    assert.are.same({ "mine", "mine" }, errors)
  end)
end)

describe("a watchdog refuses", function()
  it("something that is no detector", function()
    assert.error_matches(function() new({ detector({}), {} }) end,
      "detectors[2] has no method step(reading, now)", 1, true)
  end)

  it("to work without a receiver, and unknown options", function()
    assert.error_matches(function() watchdog.new({ detectors = {} }) end,
      'option "on_finding" is required', 1, true)
    assert.error_matches(function() new({}, { intervall = 3 }) end,
      'nearest known is "interval"', 1, true)
  end)
end)
