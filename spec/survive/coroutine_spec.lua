-- Coroutines that end badly, that C made, that are used again: the figures must stay true.

local run = require "support.run"

local has_sched = not run.is("luajit")

local function expect_clean(result)
  assert.are.equal("", result.err)
  assert.is_nil(result.signal)
  assert.are.equal(0, result.code)
end

local function run_in_c_host(script)
  local path = run.tmpdir() .. "/script.lua"
  local file = assert(io.open(path, "w"))
  file:write(script)
  file:close()
  return run.command(("exec $RTM_WRAP %s %s"):format(run.program("c_coroutines"), path))
end

-- Counts by a second way: weak tables hold what the program made.
local counting = [[
local rt = require "rtmetrics"
local made = setmetatable({}, { __mode = "k" })
local baseline
local function figures()
  collectgarbage() collectgarbage()
  local states = { running = 0, normal = 0, suspended = 0, ["never started"] = 0, dead = 0,
    live = 0 }
  local current = coroutine.running()
  for co, started in pairs(made) do
    local status = coroutine.status(co)
    if status == "suspended" and not started.started then status = "never started" end
    states[status] = states[status] + 1
    if status ~= "dead" then states.live = states.live + 1 end
  end
  return states
end
local function new(f)
  local record = { started = false }
  local co = coroutine.create(function(...)
    record.started = true
    return f(...)
  end)
  made[co] = record
  return co
end
local base = rt.coroutines()
local function check(where)
  local truth = figures()
  local ours = rt.coroutines()
  local wrong = {}
  for _, name in ipairs { "suspended", "normal" } do
    local counted = ours[name] - base[name]
    if counted ~= truth[name] then
      wrong[#wrong + 1] = ("%s: counted %s, there are %d"):format(name, tostring(counted),
        truth[name])
    end
  end
  local fresh = ours.never_started - base.never_started
  if fresh ~= truth["never started"] then
    wrong[#wrong + 1] = ("never started: counted %s, there are %d"):format(tostring(fresh),
      truth["never started"])
  end
  if #wrong > 0 then error(where .. ": " .. table.concat(wrong, "; "), 2) end
end
]]

describe("coroutines that end badly #valgrind", function()
  local function it_counts(title, code)
    it(title, function()
      if not has_sched then return pending("LuaJIT does not tell its coroutines by default") end
      expect_clean(run.script(counting .. code))
    end)
  end

  it_counts("are counted when they fail", [[
    for i = 1, 300 do
      local co = new(function() local x = coroutine.yield() error(x) end)
      coroutine.resume(co)
      if i % 2 == 0 then coroutine.resume(co, {}) end
      if i % 50 == 0 then check("round " .. i) end
    end
    check("end")
  ]])

  it_counts("are counted when they are collected suspended", [[
    local kept = {}
    for i = 1, 2000 do
      local co = new(function() coroutine.yield() end)
      if i % 3 > 0 then coroutine.resume(co) end
      kept[i % 10] = co
    end
    check("end")
    kept = {}
    check("nothing kept")
  ]])

  it_counts("are counted when an error passes through wraps", [[
    for i = 1, 200 do
      pcall(coroutine.wrap(function()
        coroutine.wrap(function() error("deep " .. i) end)()
      end))
    end
    check("end")
  ]])

  it_counts("are counted when they are closed", [[
    if not coroutine.close then return end
    for i = 1, 300 do
      local co = new(function() coroutine.yield() end)
      if i % 2 == 0 then coroutine.resume(co) end
      coroutine.close(co)
    end
    check("end")
  ]])

  it_counts("are counted when the C stack overflows", [[
    local depth = 0
    local function nest()
      depth = depth + 1
      local ok, err = coroutine.resume(coroutine.create(nest))
      if not ok then error(err, 0) end
    end
    for _ = 1, 3 do pcall(nest) end
    check("end")
    local co = new(function() check("inside") coroutine.yield() end)
    assert(coroutine.resume(co) == true)
    check("suspended")
  ]])

  it_counts("are counted a hundred thousand at a time", [[
    local kept = {}
    for i = 1, 100000 do
      kept[i] = coroutine.create(function() coroutine.yield() end)
      if i % 2 == 0 then coroutine.resume(kept[i]) end
    end
    local ours = rt.coroutines()
    assert(ours.suspended - base.suspended == 50000, ours.suspended)
    assert(ours.never_started - base.never_started == 50000, ours.never_started)
    assert(ours.created - base.created == 100000, ours.created)
    kept = nil
    collectgarbage() collectgarbage()
    assert(rt.coroutines().live == base.live, rt.coroutines().live)
  ]])

  it_counts("nest 180 deep, each in its state", [[
    local deepest
    local function nest(n)
      if n == 0 then
        deepest = rt.coroutines()
        return coroutine.yield("bottom")
      end
      return coroutine.wrap(nest)(n - 1)
    end
    coroutine.wrap(nest)(179)
    -- Whether the main coroutine is one of them or not: 179 became normal, one runs.
    local on_the_way = deepest.normal + deepest.running - base.normal - base.running
    assert(on_the_way == 180, on_the_way)
    assert(deepest.running == 1, deepest.running)
    assert(rt.coroutines().normal == base.normal)
  ]])

  it_counts("keep the count of switches", [[
    local before = rt.coroutines().missed_switches
    local samples = rt.read { "/sched/switches:switches" }
    local co = coroutine.wrap(function() while true do coroutine.yield() end end)
    rt.read(samples)
    local switches = samples[1].value
    for _ = 1, 1000 do co() end
    rt.read(samples)
    local counted = samples[1].value - switches
    assert(counted == 2000 or counted == 1000, counted)
    assert(rt.coroutines().missed_switches == before)
  ]])
end)

describe("coroutines that C makes #valgrind", function()
  it("run, yield and fail as without rtmetrics", function()
    local script = [[
      local co = host.new(function(a, b) local c = coroutine.yield(a + b) error("no " .. c) end)
      print(select("#", host.resume(co, 1, 2)), coroutine.status(co))
      print(host.resume(co, "more"))
      print(coroutine.status(co))
      print(host.resume(host.new(function() return coroutine.running() ~= nil end)))
    ]]
    local bare, instrumented = run_in_c_host(script), run_in_c_host("require 'rtmetrics'\n"
      .. script)
    expect_clean(instrumented)
    local function without_path(text) return (text:gsub("%S*script.lua:%d+", "LINE")) end
    assert.are.equal(without_path(bare.out), without_path(instrumented.out))
  end)

  it("are counted where the allocator tells threads", function()
    local result = run_in_c_host([[
      local rt = require "rtmetrics"
      local samples = rt.read { "/sched/coroutines-created:coroutines" }
      if samples[1].kind == "bad" then print("bad") return end
      local before = samples[1].value
      local kept = {}
      for i = 1, 100 do
        kept[i] = host.new(function() coroutine.yield() end)
        host.resume(kept[i])
      end
      rt.read(samples)
      print(samples[1].value - before)
    ]])
    expect_clean(result)
    assert.is_true(result.out == "100\n" or (result.out == "bad\n"
      and not run.is("5.4")), result.out)
  end)

  it("may be mixed with those of Lua, resumed by either", function()
    expect_clean(run_in_c_host([[
      local rt = require "rtmetrics"
      local function body(n) for i = 1, n do coroutine.yield(i) end return "end" end
      for i = 1, 300 do
        local a, b = host.new(body), coroutine.create(body)
        host.resume(b, 3)
        coroutine.resume(a, 3)
        host.resume(a)
        coroutine.resume(b)
        coroutine.wrap(function() host.resume(a) host.resume(b) end)()
        assert(coroutine.status(a) == "suspended" and coroutine.status(b) == "suspended")
        if i % 50 == 0 then collectgarbage() rt.coroutines { list = true } end
      end
      rt.coroutines { list = true, threads = true }
    ]]))
  end)

  it("are used again after a reset", function()
    expect_clean(run_in_c_host([[
      local rt = require "rtmetrics"
      local co = host.new(function() coroutine.yield("first") end)
      for i = 1, 50 do
        host.resume(co)
        if i % 2 == 0 then host.resume(co) end
        host.reset(co)
        if coroutine.status(co) == "dead" then
          host.set(co, function() coroutine.yield("again") end)
        else
          co = host.new(function() coroutine.yield("fresh") end)
        end
        rt.coroutines { list = true }
      end
      collectgarbage()
      local census = rt.coroutines()
      assert(not census or census.live < 10)
    ]]))
  end)
end)
