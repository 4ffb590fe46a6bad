-- Several VMs, threads and processes around one shared object.

local run = require "support.run"

local function expect_clean(result)
  assert.are.equal("", result.err)
  assert.is_nil(result.signal)
  assert.are.equal(0, result.code)
end

local function run_host(line) return run.command("exec $RTM_WRAP "
  .. run.program(line), { timeout = 600 }) end

describe("several VMs in one process #valgrind", function()
  it("have figures of their own and end on their own", function()
    expect_clean(run_host("two_states")) end)

  it("live on threads of their own #threads", function() expect_clean(run_host("threads own")) end)

  it("move between threads under a lock #threads", function()
    expect_clean(run_host("threads moving")) end)
end)

describe("a process that forks #valgrind", function()
  it("has children that work, read, stop and close their VM, and goes on itself", function()
    expect_clean(run_host("fork_close 30"))
  end)
end)

describe("requiring rtmetrics", function()
  it("twice gives one instance", function()
    expect_clean(run.script([[
      local first = require "rtmetrics"
      assert(first == require "rtmetrics")
      local samples = first.read { "/gc/heap/allocs:blocks" }
      local function blocks(rt)
        rt.read(samples)
        return samples[1].value
      end
      package.loaded["rtmetrics"] = nil
      package.loaded["rtmetrics.core"] = nil
      local second = require "rtmetrics"
      blocks(second)
      local kept = {}
      for i = 1, 1000 do kept[i] = false end
      local before = blocks(second)
      for i = 1, 1000 do kept[i] = {} end
      local counted = blocks(second) - before
      assert(counted >= 1000 and counted < 1100, counted)
      assert(coroutine.wrap(function() coroutine.yield(1) return 2 end)() == 1)
    ]]))
  end)

  it("after stop leaves the standard functions as they were", function()
    expect_clean(run.script([[
      local names = { "create", "resume", "wrap", "yield", "status", "running", "close",
        "isyieldable" }
      local before = { collectgarbage = collectgarbage }
      for _, name in ipairs(names) do before[name] = coroutine[name] end
      local rt = require "rtmetrics"
      rt.stop()
      for _, name in ipairs(names) do assert(coroutine[name] == before[name], name) end
      assert(collectgarbage == before.collectgarbage)
      rt.start {}
      local co = coroutine.create(function() coroutine.yield() end)
      coroutine.resume(co)
      rt.stop()
      assert(coroutine.resume(co) and coroutine.status(co) == "dead")
      for _, name in ipairs(names) do assert(coroutine[name] == before[name], name) end
    ]]))
  end)

  it("from a second path does not count twice, nor crash", function()
    expect_clean(run.script([[
      local rt = require "rtmetrics"
      local copy = os.getenv("RTM_COPY")
      local original = assert(package.searchpath and package.searchpath("rtmetrics.core",
        package.cpath)
        or package.cpath:match("([^;]*)%?%.so"):gsub("$", "rtmetrics/core.so"))
      assert(os.execute("mkdir -p copy/rtmetrics && cp " .. original .. " copy/rtmetrics/core.so"))
      package.cpath = "./copy/?.so;" .. package.cpath
      package.loaded["rtmetrics"] = nil
      package.loaded["rtmetrics.core"] = nil
      local ok, again = pcall(require, "rtmetrics")
      local t = {}
      for i = 1, 3000 do t[i] = { i, coroutine.wrap(function()
        coroutine.yield() end) } t[i][2]() end
      collectgarbage()
      if ok then again.stop() end
      rt.stop()
      for i = 1, 3000 do t[i] = nil end
      collectgarbage()
    ]]))
  end)

  it("inside a coroutine works as in the main one", function()
    expect_clean(run.script([[
      local rt = coroutine.wrap(function() return require "rtmetrics" end)()
      local f = coroutine.wrap(function() coroutine.yield(1) return 2 end)
      assert(f() == 1 and f() == 2)
      collectgarbage()
      assert(rt.memstats())
      rt.stop()
    ]]))
  end)
end)

describe("a hook of the program", function()
  it("makes upper bounds of the pauses under it", function()
    if not run.is("5.4") then return pending("only 5.4's pauses are seen") end
    local result = run.script([[
      local rt = require "rtmetrics"
      local function total(histogram)
        local sum = 0
        for _, count in ipairs(histogram.counts) do sum = sum + count end
        return sum
      end
      local function read()
        local samples = rt.read { "/sched/pauses/bounded/gc:seconds",
          "/sched/pauses/total/gc:seconds", "/gc/pauses:pauses" }
        return total(samples[1].value), total(samples[2].value), samples[3].value
      end
      debug.sethook(function() end, "c")
      local bounded, exact, all = read()
      for i = 1, 50000 do local _ = { i } end
      local bounded_then, exact_then, all_then = read()
      print(bounded_then - bounded == all_then - all, exact_then - exact, all_then - all > 10)
    ]])
    assert.are.equal("true\t0\ttrue\n", result.out, result.err)
  end)

  it("gets its events and may throw, yield nothing and come and go", function()
    local code = [[
      local counts = {}
      local function hook(event) counts[event] = (counts[event] or 0) + 1 end
      local function work(n)
        local t = {}
        for i = 1, n do
          t[i % 10] = { i, "n" .. i }
        end
        return #t
      end
      for _, mask in ipairs { "l", "c", "r", "crl" } do
        debug.sethook(hook, mask)
        work(2000)
        debug.sethook()
      end
      print(counts.line, counts.call, counts["return"])
      local ticks = 0
      debug.sethook(function() ticks = ticks + 1 end, "", 1000)
      work(20000)
      debug.sethook()
      print(ticks)
      print(pcall(function()
        debug.sethook(function() error("limit") end, "", 5000)
        while true do work(10) end
      end))
      debug.sethook()
      print(debug.gethook())
      for i = 1, 2000 do
        debug.sethook(hook, "", 1 + i % 50)
        work(20)
        debug.sethook()
      end
      print("alive")
    ]]
    if run.is("luajit") then code = "jit.off()\n" .. code end
    local bare, instrumented = run.both(code)
    assert.are.equal(bare.out, instrumented.out)
    assert.are.equal(bare.err, instrumented.err)
    assert.are.equal(bare.code, instrumented.code)
  end)
end)
