-- All VMs of a process, as a reader sees them that runs none of them.

local run = require "support.run"
local prometheus_text = require "support.prometheus_text"

local function expect_clean(result)
  assert.are.equal("", result.err)
  assert.is_nil(result.signal)
  assert.are.equal(0, result.code)
  return result.out
end

local function run_host(line)
  return expect_clean(run.command("exec $RTM_WRAP " .. run.program("contexts") .. " " .. line,
    { timeout = 120 }))
end

-- The code of a program whose rtmetrics is the probe's; it prints what is compared.
local function run_probe(code)
  return expect_clean(run.script([[
    local probe = require "contexts_probe"
    package.preload["rtmetrics.core"] = probe.core
    local rt = require "rtmetrics"
  ]] .. code))
end

local function families_of(text, format)
  return (prometheus_text.parse(text, format or "text"))
end

local function labels_of(family)
  local found = {}
  for _, sample in ipairs(family.samples) do
    found[sample.labels.vm or "none"] = true
  end
  return found
end

describe("a page of all VMs", function()
  it("of one VM has the same families as the VM's own page, and no label", function()
    local out = run_probe([[
      collectgarbage() -- some figures are of the last cycle
      local own = require("rtmetrics.prometheus").render()
      io.write(own, "# ----\n", probe.render_all())
    ]])
    local own, all = out:match("^(.*)# %-%-%-%-\n(.*)$")
    local of_own, of_all = families_of(own), families_of(all)
    for name, family in pairs(of_own) do
      assert.is_table(of_all[name], name)
      assert.are.equal(#family.samples, #of_all[name].samples, name)
    end
    for name, family in pairs(of_all) do
      assert.is_table(of_own[name], name)
      assert.are.same({ none = true }, labels_of(family), name)
    end
  end)

  local two_vms = [[
    local prometheus = require "rtmetrics.prometheus"
    prometheus.counter("app_jobs", "Jobs.", { "kind" }):inc(1, { "a" })
    collectgarbage()
    local code = "require 'rtmetrics' collectgarbage() " ..
      "local prometheus = require 'rtmetrics.prometheus' " ..
      "prometheus.counter('app_jobs', 'Jobs.', { 'kind' }):inc(2, { 'a' })"
    local first, second = probe.open(code), probe.open(code)
    probe.close(first)
  ]]

  it("of several labels what is a VM's with its number, and has the process's once", function()
    local all = families_of(run_probe(two_vms .. "io.write(probe.render_all())"))
    local both = { ["1"] = true, ["3"] = true }
    for _, name in ipairs({ "lua_heap_bytes", "lua_gc_cycles_total", "app_jobs_total",
      "rtmetrics_series" }) do
      assert.are.same(both, labels_of(all[name]), name)
    end
    for name, family in pairs(all) do
      local of_process = name:find("^process_") or name == "rtmetrics_memory_bytes"
        or name == "rtmetrics_failed_allocations_total" or name:find("patched_slots$")
      assert.are.same(of_process and { none = true } or both, labels_of(family), name)
    end
    assert.are.equal(1, prometheus_text.value(all, "app_jobs_total", { vm = "1", kind = "a" }))
    assert.are.equal(2, prometheus_text.value(all, "app_jobs_total", { vm = "3", kind = "a" }))
  end)

  it("of several is OpenMetrics where that is wanted", function()
    local all = families_of(run_probe(two_vms .. "io.write(probe.render_all(true))"), "openmetrics")
    assert.are.equal(2, prometheus_text.value(all, "app_jobs_total", { vm = "3", kind = "a" }))
  end)

  it("keeps the labels when one VM is left, and shows nothing that is stopped", function()
    local all = families_of(run_probe(two_vms .. [[
      probe.close(second)
      rt.stop()
      io.write(probe.render_all())
    ]]))
    assert.are.same({ ["1"] = true }, labels_of(all.app_jobs_total))
    assert.is_nil(all.lua_heap_bytes)
    assert.is_nil(all.process_threads)
    assert.is_table(all.rtmetrics_memory_bytes)
  end)

  it("has the agent's figures once there was one", function()
    local out = run_probe([[
      local before = probe.render_all()
      probe.serve(7)
      io.write(tostring(before:find("rtmetrics_agent")), "\n", probe.render_all())
    ]])
    assert.is_truthy(out:find("^nil\n"))
    assert.is_truthy(out:find("\nrtmetrics_agent_requests_total 7\n", 1, true))
  end)
end)

describe("a figure that a visitor reads", function()
  it("is the one that the VM reads itself", function()
    run_probe([[
      collectgarbage()
      coroutine.wrap(function() coroutine.yield() end)()
      local function check(name)
        local own = rt.read({ name })[1]
        local seen = probe.read(name, probe.is_of_process(name) and 0 or 1)
        assert((own.kind == "bad") == (seen == nil), name .. ": " .. own.kind)
        local exact = name:find("^/sched/coroutines") or name:find("^/gc/cycles")
          or name == "/gc/gogc:percent" or name == "/process/start:unix-seconds"
        if exact and seen then
          assert(math.abs(own.value - seen) <= math.abs(seen) * 1e-9, name .. ": "
            .. tostring(own.value) .. " " .. tostring(seen))
        end
      end
      for _, description in ipairs(rt.all()) do check(description.name) end
    ]])
  end)

  it("of the collector's percentage follows what the program sets", function()
    run_probe([[
      local function check(what)
        local own = rt.read({ "/gc/gogc:percent" })[1]
        local seen = probe.read("/gc/gogc:percent", 1)
        assert(own.value == nil and seen == nil or math.abs(own.value - seen) < 1e6,
          what .. ": " .. tostring(own.value) .. " " .. tostring(seen))
        return seen
      end
      -- The visitor reads first: the VM's own reading would tell it.
      local function change(what, wanted, ...)
        collectgarbage(what, ...)
        local seen = probe.read("/gc/gogc:percent", 1)
        assert(wanted == nil or seen == wanted, what .. ": " .. tostring(seen))
        check(what)
      end
      check("at the start")
      if _VERSION == "Lua 5.4" then collectgarbage("incremental") end
      change("setpause", 100, 200)
      change("setpause", 300, 400)
      change("stop")
      assert(probe.read("/gc/gogc:percent", 1) > 2 ^ 62)
      change("restart", 300)
      rt.setgcpercent(40)
      assert(probe.read("/gc/gogc:percent", 1) == 40)
      rt.stop()
      assert(probe.read("/gc/gogc:percent", 1) == nil)
    ]])
  end)

  it("of a histogram has a sum that its counts can have", function()
    run_probe([[
      local name = "/gc/forced:seconds"
      local function sum() return probe.read(name, 1) end
      local before = sum()
      local low, high = probe.tear(1, 100, 5)
      local torn = sum()
      assert(torn >= 5 * low and torn <= before + 5 * high, torn)
      probe.tear(1, 100, 1)
      assert(sum() >= torn)
    ]])
  end)
end)

describe("when a VM was last seen", function()
  it("to allocate is told within bounds", function()
    run_probe([[
      local start = probe.now()
      local kept = {}
      local function near(a, b) return math.abs(a - b) < 1e-3 end
      probe.look(1, start + 1)
      kept[1] = {}
      local seen = probe.look(1, start + 3)
      assert(seen.alloc_least == 0 and near(seen.alloc_most, 2), seen.alloc_most)
    ]])
  end)

  it("to allocate is told of one that rests, too", function()
    run_probe([[
      local vm = probe.open("require 'rtmetrics'")
      local start = probe.now()
      local function near(a, b) return math.abs(a - b) < 1e-3 end
      probe.look(2, start + 1)
      probe.run(vm, "kept = {}")
      probe.look(2, start + 3)
      local seen = probe.look(2, start + 10)
      assert(near(seen.alloc_least, 7) and near(seen.alloc_most, 9))
      seen = probe.look(2, start + 20)
      assert(near(seen.alloc_least, 17) and near(seen.alloc_most, 19))
      probe.run(vm, "kept = { 1 }")
      seen = probe.look(2, start + 21)
      assert(seen.alloc_least == 0 and near(seen.alloc_most, 1))
    ]])
  end)

  it("to switch and to collect is told since when, where it is known", function()
    run_probe([[
      local vm = probe.open("require 'rtmetrics'.start { sched = 'full' }")
      local seen = probe.look(2, probe.now())
      assert(not seen.switch_ago)
      probe.run(vm, "collectgarbage() coroutine.wrap(function() end)()")
      seen = probe.look(2, probe.now())
      assert(seen.switch_ago and seen.switch_ago < 5, seen.switch_ago)
      assert(seen.cycle_ago and seen.cycle_ago < 5, seen.cycle_ago)
      probe.run(vm, "require('rtmetrics').stop()")
      seen = probe.look(2, probe.now())
      assert(not seen.switch_ago and not seen.cycle_ago and not seen.alloc_most)
    ]])
  end)
end)

describe("readers on other threads #threads", function()
  it("read what is true while VMs work, come and go", function()
    local seconds = run.under() and 6 or 3
    local pages, closed = run_host("load " .. seconds):match("pages (%d+) closed (%d+)")
    assert.is_true(tonumber(pages) > 100 and tonumber(closed) > 5)
  end)

  it("do not block the child of a fork", function() run_host("fork") end)
end)

describe("a page of 100,000 series", function()
  it("is whole, and hardly stops the VM that writes them", function()
    local out = run_host("series 2")
    local figures = {}
    for name, value in out:gmatch("([%w_]+) ([%d.]+)") do figures[name] = tonumber(value) end
    assert.are.equal(50000, figures.counters)
    assert.are.equal(50000, figures.histograms)
    assert.is_true(figures.pages > 2)
    -- Whoever is taken off the CPU waits, also beside a thread that only spins: what is rare is the
    -- machine's.
    assert.is_true(figures.read_p99_us < 1e3 + 10 * figures.spun_p99_us, out)
    assert.is_true(figures.read_p999_us < 1e4 + 10 * figures.spun_p999_us, out)
    assert.is_true(figures.read_max_us < 1e6 + 10 * figures.spun_max_us, out)
  end)
end)

describe("the child of a fork", function()
  it("has a function called at the VM's next safe point, once", function()
    run_host("safe_point")
  end)
end)
