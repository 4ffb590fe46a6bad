-- Durations in ticks against CLOCK_MONOTONIC, with a counter that is right, jumps, drifts, or may
-- not be read.

local run = require "support.run"

local prelude = [[
local clock = require "clock_probe"
local function agrees(what)
  local ns, least, most = clock.elapsed()
  if ns < least - 50000 - least / 200 or ns > most + 50000 + most / 200 then
    error(("%s: %.0f ns by ticks, between %.0f and %.0f ns"):format(what, ns, least, most), 2)
  end
end
]]

local function check(code, opts)
  local result = run.script(prelude .. code, opts)
  assert.are.equal(0, result.code, result.err .. result.out)
  return (result.out:gsub("%s+$", ""))
end

local has_counter = run.script(prelude .. [[
clock.init()
print((clock.source()))
]]).out:match("monotonic") == nil

local function it_with_counter(title, body)
  it(title, function()
    if not has_counter then
      pending("the CPU's counter is not the kernel's clocksource here")
      return
    end
    body()
  end)
end

describe("a duration in ticks", function()
  it("equals that of CLOCK_MONOTONIC", function()
    check([[
      clock.init()
      clock.mark()
      clock.sleep_ms(50)
      agrees("50 ms")
      clock.check()
      clock.sleep_ms(50)
      agrees("100 ms, across a comparison")
    ]])
  end)

  it("never goes back, in a million readings in a row", function()
    check([[
      clock.init()
      local least, most = clock.steps()
      assert(least >= 0, least)
      assert(most < 5e9, most)
    ]])
  end)

  it("is right without the counter too", function()
    check([[
      clock.restart("hpet")
      assert(clock.source() == "monotonic")
      clock.mark()
      clock.sleep_ms(20)
      agrees("20 ms")
      clock.check()
      assert(clock.source() == "monotonic")
    ]])
  end)

  it("is 0 when its ends are the wrong way round", function()
    check([[
      clock.init()
      clock.mark()
      clock.sleep_ms(1)
      assert(clock.backwards() == 0)
    ]])
  end)

  it("is 0 when no process can have lived it, and saturates", function()
    check([[
      clock.set_rate(1)
      assert(clock.to_ns(2^30 - 1, 0) == (2^30 - 1) * 2^32)
      assert(clock.to_ns(2^30, 0) == 0)
      assert(clock.to_ns(2^31, 0) == 0)
      assert(clock.to_ns(2^32 - 1, 2^32 - 1) == 0)
      assert(clock.to_ns(0, 0) == 0)
      clock.set_rate(41.5)
      assert(clock.to_ns(0, 2000) == 83000)
      assert(clock.to_ns(2^30 - 1, 0) == 2^64)
    ]])
  end)
end)

describe("the counter", function()
  it_with_counter("is used where the kernel itself uses it", function()
    check([[
      clock.init()
      local source, reason = clock.source()
      assert(source == "tsc" or source == "cntvct", source)
      assert(reason:find("clocksource"), reason)
    ]])
  end)

  it("is left alone where the kernel uses another clocksource", function()
    check([[
      clock.restart("kvm-clock")
      local source, reason = clock.source()
      assert(source == "monotonic" and reason:find("not the CPU's counter"), reason)
    ]])
  end)

  it("is left alone where prctl forbids it, and so is the vdso", function()
    check([[
      assert(clock.forbid_counter())
      clock.init()
      local source, reason = clock.source()
      assert(source == "monotonic", reason)
      clock.mark()
      clock.sleep_ms(20)
      agrees("20 ms")
      local monotonic, wall, cpu = clock.clocks()
      assert(monotonic > 0 and wall > 1e9 and cpu > 0)
      clock.check()
    ]])
  end)

  it_with_counter("is kept while it is right, in a child too", function()
    check([[
      clock.init()
      for _ = 1, 5 do
        clock.sleep_ms(12)
        clock.check()
      end
      assert(clock.source() ~= "monotonic", select(2, clock.source()))
      assert(clock.in_child(function()
        for _ = 1, 3 do
          clock.sleep_ms(12)
          clock.check()
        end
        assert(clock.source() ~= "monotonic")
      end))
    ]])
  end)

  local disturbances = {
    { "steps back by 20 ms", "clock.disturb(-20e6 * 2, 0)" },
    { "steps back to zero", "clock.disturb(-2^60, 0)" },
    { "steps forward by an hour", "clock.disturb(3600 * 3e9, 0)" },
    { "steps forward by years", "clock.disturb(2^60, 0)" },
    { "runs 5 % too fast", "clock.disturb(0, 50000)" },
    { "runs 5 % too slow", "clock.disturb(0, -50000)" },
    { "stands still", "clock.disturb(0, -1000000)" },
  }
  for _, disturbance in ipairs(disturbances) do
    it_with_counter("is given up for good when it " .. disturbance[1], function()
      local code = [[
        clock.init()
        clock.sleep_ms(12)
        clock.check()
        assert(clock.source() ~= "monotonic", select(2, clock.source()))
        clock.mark()
        DISTURB
        clock.sleep_ms(20)
        clock.check()
        local source, reason = clock.source()
        assert(source == "monotonic" and reason:find("stepped or drifted"), reason)
        assert(clock.elapsed() == 0, "a duration with one end in each source is not 0")
        assert(clock.backwards() == 0, "nor the other way round")
        clock.mark()
        clock.sleep_ms(20)
        agrees("20 ms after it")
        clock.disturb(0, 0)
        clock.check()
        agrees("still")
        assert(clock.source() == "monotonic")
      ]]
      check((code:gsub("DISTURB", disturbance[2])))
    end)
  end

  it_with_counter("gives no negative duration when it steps back", function()
    check([[
      clock.init()
      clock.mark()
      clock.disturb(-1e12, 0)
      assert(clock.elapsed() == 0)
    ]])
  end)

  it_with_counter("is given up when the kernel gives it up", function()
    check([[
      clock.init()
      clock.pretend_clocksource("acpi_pm")
      clock.sleep_ms(12)
      clock.check()
      local source, reason = clock.source()
      assert(source == "monotonic" and reason:find("kernel gave up"), reason)
    ]])
  end)

  it_with_counter("keeps its unit when it is given up", function()
    local ratio = tonumber(check([[
      clock.init()
      local before = clock.to_ns(0, 1e9)
      clock.disturb(-2^60, 0)
      clock.sleep_ms(12)
      clock.check()
      assert(clock.source() == "monotonic")
      print(clock.to_ns(0, 1e9) / before)
    ]]))
    assert.are.equal(1, ratio)
  end)
end)

describe("a clock that jumps", function()
  local faketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"

  local function exists(path)
    local file = io.open(path)
    return file and file:close()
  end

  it("leaves durations alone when it is the wall clock", function()
    if not exists(faketime) then
      pending("libfaketime is not installed")
      return
    end
    if run.under() then
      pending("libfaketime and " .. run.under() .. " do not go together")
      return
    end
    local code = [[
      local function pretend(when)
        local file = assert(io.open("faketime.rc", "w"))
        file:write(when, "\n")
        file:close()
      end
      pretend("+0")
      clock.init()
      local _, wall = clock.clocks()
      clock.mark()
      pretend("-1000d")
      clock.sleep_ms(30)
      local _, later = clock.clocks()
      assert(later < wall - 900 * 86400, "the wall clock did not jump")
      agrees("30 ms")
      clock.check()
      pretend("+1000d")
      clock.sleep_ms(12)
      clock.check()
      agrees("42 ms")
    ]]
    check(code, {
      env = {
        LD_PRELOAD = faketime,
        FAKETIME_TIMESTAMP_FILE = "faketime.rc",
        FAKETIME_NO_CACHE = "1",
        FAKETIME_DONT_FAKE_MONOTONIC = "1",
      },
    })
  end)

  it("gives no odd duration in a time namespace with another origin", function()
    local probe = run.command("unshare -T --monotonic 1000000000 true")
    if probe.code ~= 0 then
      pending("no time namespace may be made here: " .. probe.err:gsub("%s+$", ""))
      return
    end
    local script = run.tmpdir() .. "/clock.lua"
    local file = assert(io.open(script, "w"))
    file:write(prelude, [[
      clock.init()
      assert(clock.clocks() > 1e9)
      clock.mark()
      clock.sleep_ms(30)
      agrees("30 ms")
      clock.check()
      agrees("and after a comparison")
      clock.disturb(-2^60, 0)
      clock.sleep_ms(12)
      clock.check()
      assert(clock.elapsed() == 0)
    ]])
    file:close()
    local result = run.command("unshare -T --monotonic 1000000000 $RTM_LUA " .. run.quote(script))
    assert.are.equal(0, result.code, result.err)
  end)
end)

describe("the other clocks", function()
  it("agree with the system's own figures", function()
    check([[
      local before = os.time()
      local monotonic, wall = clock.clocks()
      local after = os.time()
      local file = assert(io.open("/proc/uptime"))
      local uptime = file:read("*n")
      file:close()
      assert(wall >= before - 2 and wall <= after + 2, wall)
      assert(uptime + 1 >= monotonic, "monotonic " .. monotonic .. ", up " .. uptime)
      local outer_start = os.clock()
      local _, _, cpu_start = clock.clocks()
      local inner_start = os.clock()
      repeat until os.clock() - inner_start > 0.05
      local inner = os.clock() - inner_start
      local _, _, cpu_end = clock.clocks()
      local outer = os.clock() - outer_start
      assert(cpu_end - cpu_start >= inner - 0.001, "less CPU time than the process has used")
      assert(cpu_end - cpu_start <= outer + 0.001, "more CPU time than the process has used")
    ]])
  end)
end)
