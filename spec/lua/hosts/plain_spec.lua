local plain = require "rtmetrics.hosts.plain"

-- Time that passes only while the host sleeps.
local function fake_time()
  local time = { now = 100, naps = {} }
  function time.clock()
    return time.now
  end
  function time.sleep(seconds)
    time.naps[#time.naps + 1] = seconds
    time.now = time.now + seconds
  end
  return time
end

local function new()
  local time = fake_time()
  return plain.new({ clock = time.clock, sleep = time.sleep }), time
end

describe("the plain loop", function()
  it("calls each timer at its interval", function()
    local host = new()
    local calls = {}
    host:every(2, function() calls[#calls + 1] = ("two %g"):format(host:clock() - 100) end)
    host:every(3, function() calls[#calls + 1] = ("three %g"):format(host:clock() - 100) end)
    host:run(6.5)
    assert.are.same({ "two 2", "three 3", "two 4", "two 6", "three 6" }, calls)
  end)

  it("ends when it should, timers or not", function()
    local host, time = new()
    host:run(5)
    assert.are.equal(105, time.now)
  end)

  it("forgets a timer that was cancelled, by itself too", function()
    local host = new()
    local calls, cancel = 0, nil
    cancel = host:every(1, function()
      calls = calls + 1
      if calls == 2 then
        cancel()
      end
    end)
    host:run(10)
    assert.are.equal(2, calls)
    assert.is_nil(host:step())
  end)

  it("stops when a timer says so", function()
    local host, time = new()
    host:every(1, function() host:stop() end)
    host:run()
    assert.are.equal(101, time.now)
  end)

  it("never sleeps long at a time", function()
    local host, time = new()
    host:every(60, function() end)
    host:run(120)
    for _, nap in ipairs(time.naps) do
      assert.is_true(nap <= 0.5)
    end
  end)

  it("takes timers that are added by timers", function()
    local host = new()
    local calls = 0
    host:every(1, function()
      if calls == 0 then
        host:every(1, function() calls = calls + 1 end)
        calls = 1
      end
    end)
    host:run(3.5)
    assert.are.equal(3, calls)
  end)

  it("refuses unknown options", function()
    assert.error_matches(function() plain.new({ clok = os.time }) end,
      'nearest known is "clock"', 1, true)
  end)
end)
