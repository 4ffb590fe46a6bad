local probe = require("process_probe")
local run = require("support.run")

local second = 1e9

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function status(name)
  return tonumber(read_file("/proc/self/status"):match("\n" .. name .. ":%s+(%d+)"))
end

local function open_files(count)
  local files = {}
  for i = 1, count do
    files[i] = assert(io.open("/dev/null"))
  end
  return function()
    for _, file in ipairs(files) do
      file:close()
    end
  end
end

local function spin(seconds)
  local stop = os.clock() + seconds
  repeat
  until os.clock() >= stop
end

local function near(expected, found, distance)
  assert(found, "not known")
  local text = ("expected %g, within %g, found %g"):format(expected, distance, found)
  assert(math.abs(expected - found) <= distance, text)
end

local function is_root()
  return run.command("id -u").out == "0\n"
end

-- The figures in "name=value" lines.
local function parse(text)
  local figures = {}
  for name, value in (text or ""):gmatch("([%w_]+)=([^\n]+)\n") do
    figures[name] = tonumber(value)
  end
  return figures
end

describe("the figures of the process", function()
  local process, now

  before_each(function()
    process, now = probe.new(), second
  end)

  after_each(function()
    process:close()
    probe.old_kernel(false)
  end)

  local function figures()
    now = now + second
    return process:refresh(now)
  end

  it("agree with what /proc says", function()
    local found = figures()
    near(status("VmRSS") * 1024, found.resident_bytes, 4 * 2 ^ 20)
    near(status("VmHWM") * 1024, found.resident_peak_bytes, 4 * 2 ^ 20)
    near(status("VmSize") * 1024, found.virtual_bytes, 4 * 2 ^ 20)
    near(status("VmPeak") * 1024, found.virtual_peak_bytes, 4 * 2 ^ 20)
    assert.are.equal(status("Threads"), found.threads)
    local limit = read_file("/proc/self/limits"):match("Max open files%s+(%d+)")
    assert.are.equal(tonumber(limit), found.descriptor_limit)
    assert.is_true(found.voluntary_switches >= status("voluntary_ctxt_switches"))
  end)

  it("agree with ps about the start", function()
    local pid = read_file("/proc/self/stat"):match("^%d+")
    local before = os.time()
    local age = tonumber(run.command("ps -o etimes= -p " .. pid).out)
    local between, after = figures().start_s, os.time()
    assert.is_true(between >= before - age - 2 and between <= after - age + 2, between)
  end)

  it("agree with the CPU clock", function()
    local outside = os.clock()
    local before, inside = figures(), os.clock()
    spin(0.2)
    inside = os.clock() - inside
    local after = figures()
    outside = os.clock() - outside
    local grown = after.cpu_user_s + after.cpu_system_s - before.cpu_user_s - before.cpu_system_s
    assert.is_true(grown >= inside - 0.02 and grown <= outside + 0.02, grown)
  end)

  it("grow with the memory that is touched", function()
    local before = figures()
    probe.ballast(32 * 2 ^ 20)
    local during = figures()
    probe.ballast(0)
    local after = figures()
    near(32 * 2 ^ 20, during.resident_bytes - before.resident_bytes, 2 ^ 20)
    near(before.resident_bytes, after.resident_bytes, 2 ^ 20)
    assert.is_true(during.minor_faults > before.minor_faults)
    -- the kernel adds up the counts of its CPUs only now and then
    assert.is_true(after.resident_peak_bytes > during.resident_bytes - 4 * 2 ^ 20)
  end)

  it("count each descriptor, and none of our reading", function()
    for _, old in ipairs({ false, true }) do
      probe.old_kernel(old)
      local before = figures().descriptors
      local close = open_files(300)
      assert.are.equal(before + 300, figures().descriptors)
      close()
      assert.are.equal(before, figures().descriptors)
    end
  end)

  it("count descriptors as a listing of the directory does", function()
    local result = run.script([[
      local probe = require("process_probe")
      local process = probe.new()
      local new = process:refresh(1e9).descriptors
      probe.old_kernel(true)
      local old = process:refresh(3e9).descriptors
      -- a pipe to the listing would be one descriptor more, or two
      os.execute("ls /proc/$PPID/fd | wc -l >listed")
      print(new, old, io.open("listed"):read("*n"))
    ]])
    local new, old, listed = result.out:match("(%d+)%S*%s+(%d+)%S*%s+(%d+)")
    assert.are.equal(listed, new, result.err)
    assert.are.equal(listed, old)
  end)

  it("count threads", function()
    local before = figures().threads
    local workers = probe.workers(5, "worker")
    assert.are.equal(before + 5, figures().threads)
    workers:close()
    assert.are.equal(before, figures().threads)
  end)

  it("keep the start, whatever the clocks do", function()
    local start = figures().start_s
    for _ = 1, 20 do
      assert.are.equal(start, figures().start_s)
    end
  end)
end)

describe("a refresh of the process's figures", function()
  local process

  before_each(function()
    process = probe.new()
  end)

  after_each(function()
    process:close()
  end)

  local function questions(now, sources)
    local before = probe.asked()
    process:refresh(now, sources)
    return probe.asked() - before
  end

  it("asks nothing again within a second", function()
    assert.is_true(questions(10 * second) > 0)
    assert.are.equal(0, questions(10 * second))
    assert.are.equal(0, questions(11 * second - 1000))
    assert.is_true(questions(11 * second) > 0)
  end)

  it("asks those sources alone that are wanted", function()
    assert.are.equal(0, questions(10 * second, 0))
    assert.is_nil(process:refresh(10 * second, 1).descriptors)
    assert.is_not_nil(process:refresh(10 * second, 4).descriptors)
    assert.are.equal(0, questions(10 * second, 1 + 4))
  end)

  it("does not take a time before the last for a later one", function()
    process:refresh(10 * second)
    assert.is_true(questions(9 * second) > 0)
  end)

  it("remembers for a second that there was no answer", function()
    process:close()
    probe.root(run.tmpdir())
    process = probe.new()
    probe.root()
    assert.is_nil(process:refresh(10 * second).resident_bytes)
    assert.are.equal(0, questions(10 * second))
  end)
end)

describe("the descriptors that are kept", function()
  local listing = run.tmpdir() .. "/listing"

  local function count()
    os.execute("ls /proc/$PPID/fd | wc -l >" .. listing)
    return tonumber(read_file(listing))
  end

  it("are at most two for all observers, and are given back", function()
    local before = count()
    local observers = {}
    for i = 1, 20 do
      observers[i] = probe.new()
      observers[i]:refresh(second)
    end
    assert.is_true(count() - before <= 2, "kept " .. count() - before)
    for i = 1, 20 do
      observers[i]:close()
    end
    assert.are.equal(before, count())
  end)

  it("are shared by threads that come and go", function()
    local before = count()
    assert.are.equal(0, probe.crowd(4, 5000))
    assert.are.equal(before, count())
  end)

  it("do not reach a program that the process becomes", function()
    local process = probe.new()
    os.execute("ls -l /proc/self/fd >" .. listing)
    process:close()
    assert.not_matches("%-> /proc\n", read_file(listing))
    assert.not_matches("%-> /sys", read_file(listing))
  end)

  it("leave the numbers of the standard streams alone", function()
    local code = [[
      local probe = require("process_probe")
      local process = probe.new()
      process:refresh(1e9)
      print(io.open("/proc/self/fd/0") == nil)
    ]]
    local result = run.command("exec $RTM_LUA -e " .. run.quote(code) .. " <&-")
    assert.are.equal("true\n", result.out, result.err)
  end)
end)

describe("a forked child", function()
  local process, parent

  before_each(function()
    probe.ballast(64 * 2 ^ 20)
    process = probe.new()
    parent = process:refresh(second)
  end)

  after_each(function()
    process:close()
    probe.ballast(0)
  end)

  local function child(deeds)
    return parse(process:child(second, deeds))
  end

  -- At least what it spent on purpose, at most what its own CPU clock says.
  local function assert_own_cpu(own, spent_s)
    local found = own.cpu_user_s + own.cpu_system_s
    assert.is_true(found >= spent_s - 0.02 and found <= own.cpu_clock_s + 0.02, found)
  end

  it("has figures of its own, even within the second", function()
    local workers = probe.workers(3, "worker")
    parent = process:refresh(2 * second)
    local own = parse(process:child(2 * second, { no_ballast = true, opens = 40, spins_s = 0.1 }))
    workers:close()
    assert.are.equal(1, own.threads)
    assert.are.equal(parent.threads - 3, own.threads)
    -- the pipe to us comes on top
    assert.are.equal(parent.descriptors + 40 + 2, own.descriptors)
    near(64 * 2 ^ 20, parent.resident_bytes - own.resident_bytes, 16 * 2 ^ 20)
    assert_own_cpu(own, 0.1)
    assert.is_true(own.start_s > parent.start_s)
  end)

  it("leaves the parent's figures as they are", function()
    child({})
    local again = process:refresh(10 * second)
    assert.are.equal(parent.start_s, again.start_s)
    assert.is_not_nil(again.resident_bytes)
  end)

  it("keeps its figures when it is chrooted to where there is no /proc", function()
    if not is_root() then
      pending("chroot needs root")
      return
    end
    local own = child({ chroot = run.tmpdir(), no_ballast = true, opens = 40 })
    for name in pairs(parent) do
      assert(own[name], name .. " is not known after chroot")
    end
    assert.are.equal(parent.descriptors + 40 + 2, own.descriptors)
    assert.is_true(own.start_s > parent.start_s)
  end)

  it("knows nothing from /proc that it never saw", function()
    if not is_root() then
      pending("chroot needs root")
      return
    end
    local own = child({ chroot = run.tmpdir(), late = true })
    assert.is_nil(own.resident_bytes)
    assert.is_nil(own.start_s)
    assert.is_nil(own.descriptors)
    assert.is_nil(own.cgroup_used_bytes)
    assert.is_not_nil(own.cpu_user_s)
    assert.are.equal(parent.descriptor_limit, own.descriptor_limit)
  end)

  it("keeps its figures when /proc is unmounted, and has none where it never was", function()
    local kept = process:child(second, { no_proc = true })
    local late = process:child(second, { no_proc = true, late = true })
    if not kept then
      pending("a mount namespace needs root")
      return
    end
    assert.is_not_nil(parse(kept).resident_bytes)
    assert.is_nil(parse(late).resident_bytes)
    assert.is_not_nil(parse(late).cpu_user_s)
  end)

  it("keeps all but the switches when getrusage is forbidden", function()
    local told = process:child(second, { no_getrusage = true, spins_s = 0.1 })
    if not told then
      pending("this kernel has no seccomp filters")
      return
    end
    local own = parse(told)
    assert.is_nil(own.voluntary_switches)
    assert.is_nil(own.involuntary_switches)
    assert_own_cpu(own, 0.1)
    assert.is_not_nil(own.minor_faults)
    assert.is_not_nil(own.resident_bytes)
  end)

  it("opens /proc again after a daemon has closed it, and closes no file of others", function()
    local own = child({ closes_others = true })
    -- 0, 1, 2, the pipe, eight files in our place, and our two again
    assert.is_true(own.descriptors >= 4 + 8 + 1 and own.descriptors <= 4 + 8 + 2)
    assert.is_not_nil(own.resident_bytes)
    -- here closing comes before the first look
    local late = child({ closes_others = true, late = true })
    assert.is_true(late.descriptors >= own.descriptors)
  end)

  it("still knows its descriptors when they have run out", function()
    for _, old in ipairs({ false, true }) do
      probe.old_kernel(old)
      local own = child({ fills = 64 })
      probe.old_kernel(false)
      assert.are.equal(64, own.descriptor_limit)
      assert.are.equal(64, own.descriptors)
      assert.is_not_nil(own.cpu_user_s)
      assert.is_nil(own.resident_bytes)
    end
  end)
end)

describe("the list of threads", function()
  it("has the id, name, state and CPU time of each", function()
    local function workers_of(threads)
      local found, sleeping = {}, 0
      for _, thread in ipairs(threads) do
        if thread.name == "a) R (b" then
          found[#found + 1] = thread
          sleeping = sleeping + (thread.state == "S" and 1 or 0)
        end
      end
      return found, sleeping
    end
    local workers = probe.workers(2, "a) R (b", 0.1)
    local threads, living, found, sleeping
    local patience = os.time() + 60
    repeat -- the workers are about to fall asleep
      threads, living = probe.threads(256)
      found, sleeping = workers_of(threads)
    until sleeping == 2 or os.time() > patience
    workers:close()
    assert.are.equal(2, sleeping)
    for _, thread in ipairs(found) do
      near(0.1, thread.cpu_user_s + thread.cpu_system_s, 0.04)
    end
    assert.are.equal(#threads, living)
    assert.are.equal(tonumber(read_file("/proc/self/stat"):match("^%d+")), threads[1].id)
    assert.are.equal("R", threads[1].state)
  end)

  it("is cut where it was asked to be, and tells how many live", function()
    local workers = probe.workers(20, "worker")
    local threads, living = probe.threads(5)
    workers:close()
    assert.are.equal(5, #threads)
    assert.is_true(living >= 21)
  end)

  it("says what the letters mean", function()
    assert.are.equal("running", probe.state("R"))
    assert.are.equal("sleeping", probe.state("S"))
    assert.are.equal("waiting for the disk", probe.state("D"))
    assert.are.equal("unknown", probe.state("?"))
  end)
end)
