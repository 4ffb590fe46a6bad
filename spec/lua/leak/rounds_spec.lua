local rounds = require "rtmetrics.leak.rounds"

-- Feeds one value a second, f(t) for t = from, from+1, ..., to; returns how many rounds ended.
local function feed(r, f, from, to)
  local ended = 0
  for t = from, to do
    ended = ended + (r:add(f(t), t) and 1 or 0)
  end
  return ended
end

describe("rounds", function()
  it("end with the first value after their interval", function()
    local r = rounds.new(10, 1)
    assert.is_false(r:add(0, 0))
    assert.is_false(r:add(0, 9.9))
    assert.is_true(r:add(0, 10))
    assert.is_false(r:add(0, 11))
    assert.is_true(r:add(0, 95))
  end)

  it("see the floor of a sawtooth, not its teeth", function()
    local r = rounds.new(10, 5)
    feed(r, function(t) return 100 + (t % 7) * 50 end, 0, 60)
    assert.are.equal(0, r.rising)
    assert.are.equal(100, r.floor)
    assert.is_true(r.quiet >= 5)
  end)

  it("see a leak under a sawtooth, with its rate", function()
    local r = rounds.new(14, 10)
    feed(r, function(t) return 100 + (t % 7) * 50 + t end, 0, 100)
    assert.is_true(r.rising >= 4)
    assert.is_true(math.abs(r:rate() - 1) < 0.2, "rate " .. r:rate())
  end)

  it("scale a rise to one interval when values are rare", function()
    local r = rounds.new(10, 10)
    feed(r, function(t) return t * 40 * 0.9 / 40 end, 0, 0)
    for t = 40, 200, 40 do
      r:add(0.9 * t, t)
    end
    assert.are.equal(0, r.rising, "9 per interval is below 10")
    for t = 240, 400, 40 do
      r:add(180 + 1.1 * (t - 200), t)
    end
    assert.is_true(r.rising >= 4)
  end)

  it("keep where a rise began until it ends", function()
    local r = rounds.new(10, 5)
    feed(r, function(t) return math.max(0, t - 50) end, 0, 100)
    assert.is_true(r.base_at <= 51 and r.base_at >= 30, "base_at " .. r.base_at)
    assert.is_true(r.base <= 1)
    local top = r.floor
    feed(r, function() return top end, 101, 140)
    assert.are.equal(0, r.rising)
    assert.are.equal(0, r:rate())
  end)

  it("are neither rising nor quiet in between", function()
    local r = rounds.new(10, 10)
    feed(r, function(t) return 0.75 * t end, 0, 60)
    assert.are.equal(0, r.rising)
    assert.are.equal(0, r.quiet)
  end)
end)
