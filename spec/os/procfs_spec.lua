local probe = require("process_probe")
local run = require("support.run")

local fixtures = run.root() .. "/spec/support/fixtures/proc/"

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- What the observer finds below a recorded root.
local function figures(root)
  probe.root(root)
  local process = probe.new()
  local found = process:refresh(1e9)
  process:close()
  probe.root()
  return found
end

-- These say how the process that runs the spec is, whatever the files are.
local live = {
  cpu_user_s = true,
  cpu_system_s = true,
  minor_faults = true,
  major_faults = true,
  voluntary_switches = true,
  involuntary_switches = true,
  descriptor_limit = true,
  virtual_limit_bytes = true,
}

local function recorded_figures(root)
  local found = figures(root)
  for name in pairs(live) do
    found[name] = nil
  end
  return found
end

-- A root of its own with these files: {["self/stat"] = text}.
local function root_with(files)
  local root = run.tmpdir()
  os.execute("mkdir -p " .. root .. "/proc/self/task " .. root .. "/sys/fs/cgroup")
  for path, text in pairs(files) do
    write_file(root .. "/" .. path, text)
  end
  return root
end

local names = fixtures .. "names"
local memory_files = {
  ["proc/self/cgroup"] = "0::/\n",
  ["proc/self/mountinfo"] = "1527 1526 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
  ["sys/fs/cgroup/memory.max"] = "268435456\n",
  ["sys/fs/cgroup/memory.current"] = "52428800\n",
}

describe("the files of /proc", function()
  after_each(function()
    probe.root()
    probe.reading()
  end)

  it("give the memory and the threads of the process", function()
    local found = recorded_figures(names)
    assert.are.equal(6000 * 1024, found.resident_bytes)
    assert.are.equal(7000 * 1024, found.resident_peak_bytes)
    assert.are.equal(80000 * 1024, found.virtual_bytes)
    assert.are.equal(90000 * 1024, found.virtual_peak_bytes)
    assert.are.equal(12 * 1024, found.swapped_bytes)
    assert.are.equal(3, found.threads)
  end)

  it("give the descriptors, counted one by one where the kernel tells no sum", function()
    assert.are.equal(4, recorded_figures(names).descriptors)
  end)

  it("give the start of a process that calls itself 'a) R (b'", function()
    local boot = tonumber(read_file("/proc/stat"):match("\nbtime (%d+)"))
    assert.is_true(math.abs(recorded_figures(names).start_s - (boot + 1)) < 2)
  end)

  it("give CPU and faults where getrusage is forbidden", function()
    probe.root(names)
    local process = probe.new()
    local told = process:child(1e9, { no_getrusage = true })
    process:close()
    assert.matches("cpu_user_s=2%.5\n", told)
    assert.matches("cpu_system_s=0%.75\n", told)
    assert.matches("minor_faults=1234\n", told)
    assert.matches("major_faults=5\n", told)
    assert.not_matches("switches", told)
  end)

  it("give threads whatever their names", function()
    probe.root(names)
    local threads, living = probe.threads(10)
    table.sort(threads, function(a, b)
      return a.id < b.id
    end)
    assert.are.equal(3, living)
    assert.are.same({
      { id = 7241, name = "a) R (b", state = "S", cpu_user_s = 2, cpu_system_s = 0.5 },
      { id = 7242, name = "two\nlines) Z", state = "R", cpu_user_s = 0.4, cpu_system_s = 0.2 },
      { id = 7243, name = "()", state = "D", cpu_user_s = 0.1, cpu_system_s = 0.05 },
    }, threads)
  end)

  it("read the same a byte at a time and between interruptions", function()
    local expected = recorded_figures(names)
    for _, kind in ipairs({ "one byte", "interrupted" }) do
      probe.reading(kind)
      local found = recorded_figures(names)
      assert.is_true(math.abs(expected.start_s - found.start_s) < 0.5)
      found.start_s = expected.start_s
      assert.are.same(expected, found)
    end
  end)

  it("are found behind lines that are longer than any buffer", function()
    for _, length in ipairs({ 4000, 4085, 4086, 4087, 4094, 4095, 4096, 4097, 8192, 100000 }) do
      local groups = "Groups:\t" .. ("7"):rep(length) .. "\n"
      local root = root_with({ ["proc/self/status"] = groups .. "VmRSS:\t  5 kB\nThreads:\t2\n" })
      for _, kind in ipairs({ "normal", "interrupted" }) do
        probe.reading(kind)
        assert.are.same({ resident_bytes = 5120, threads = 2 }, recorded_figures(root))
      end
    end
  end)

  it("are not found inside of such a line", function()
    local groups = "Groups:\t" .. ("7"):rep(4096 - 8) .. "VmRSS:\t  9 kB\n"
    local root = root_with({ ["proc/self/status"] = groups .. "Threads:\t2\n" })
    assert.are.same({ threads = 2 }, recorded_figures(root))
  end)
end)

describe("what /proc does not tell", function()
  after_each(function()
    probe.root()
    probe.reading()
  end)

  it("is not known without /proc", function()
    assert.are.same({}, recorded_figures(run.tmpdir()))
  end)

  it("is not known where its files are missing", function()
    assert.are.same({}, recorded_figures(root_with({})))
  end)

  it("is not known where its files are empty", function()
    local root = root_with({
      ["proc/self/stat"] = "",
      ["proc/self/status"] = "",
      ["proc/self/cgroup"] = "",
      ["proc/self/mountinfo"] = "",
    })
    assert.are.same({}, recorded_figures(root))
  end)

  it("is not known where reading fails", function()
    probe.reading("failing")
    local found = recorded_figures(names)
    assert.are.same({ descriptors = 4 }, found)
  end)

  it("is a message where threads are asked for", function()
    probe.root(run.tmpdir())
    local threads, message = probe.threads(10)
    assert.is_nil(threads)
    assert.matches("^cannot read /proc/self/task: ", message)
  end)

  it("is never guessed from the beginning of a file", function()
    local files = { ["proc/self/stat"] = read_file(names .. "/proc/self/stat") }
    files["proc/self/status"] = read_file(names .. "/proc/self/status")
    for path, text in pairs(memory_files) do
      files[path] = text
    end
    local root = root_with(files)
    local whole = recorded_figures(root)
    assert.is_not_nil(whole.cgroup_limit_bytes)
    for path, text in pairs(files) do
      for length = 0, #text - 1, #text > 500 and 7 or 1 do
        write_file(root .. "/" .. path, text:sub(1, length))
        for name, value in pairs(recorded_figures(root)) do
          if math.abs(value - whole[name]) > (name == "start_s" and 0.5 or 0) then
            error(("%s is %g from %d bytes of %s"):format(name, value, length, path))
          end
        end
      end
      write_file(root .. "/" .. path, text)
    end
  end)
end)

describe("a hostile /proc", function()
  after_each(function()
    probe.root()
  end)

  it("is not believed when its numbers are none", function()
    for _, number in ipairs({
      "-5 kB",
      "5 MB",
      "5",
      "5 kB kB",
      "0x10 kB",
      "kB",
      "1e3 kB",
      "9223372036854775807 kB",
      "18446744073709551616 kB",
      ("9"):rep(400) .. " kB",
      "5\0 kB",
    }) do
      local root = root_with({ ["proc/self/status"] = "VmRSS:\t" .. number .. "\n" })
      assert.are.same({}, recorded_figures(root), number)
    end
  end)

  it("is not believed when the process starts after now", function()
    local stat = read_file(names .. "/proc/self/stat"):gsub(" 100 3133440", " 99999999999 3133440")
    assert.is_nil(recorded_figures(root_with({ ["proc/self/stat"] = stat })).start_s)
  end)

  it("is not believed when the fields of stat are others", function()
    for _, text in ipairs({
      "\n",
      "1\n",
      "1 (\n",
      "1 ()\n",
      "1 () \n",
      ")(\n",
      "1 (a) S\n",
      "1 (a) S 1 2 3\n",
      "1 (a) S" .. (" x"):rep(40) .. "\n",
      "1 (a) S" .. (" -"):rep(40) .. "\n",
      "1 (a) S" .. ("  1"):rep(40) .. "\n",
      "1 (a) S" .. (" 99999999999999999999"):rep(40) .. "\n",
      "1 (" .. ("a"):rep(5000) .. ") S" .. (" 1"):rep(40) .. "\n",
    }) do
      local root = root_with({ ["proc/self/stat"] = text })
      assert.are.same({}, recorded_figures(root), text)
    end
  end)

  it("gives nothing out of range when bytes are changed at random", function()
    local seed = os.time()
    math.randomseed(seed)
    local root = root_with({})
    for _ = 1, 300 do
      for _, name in ipairs({ "stat", "status" }) do
        local text = read_file(names .. "/proc/self/" .. name)
        for _ = 1, math.random(8) do
          local at = math.random(#text)
          text = text:sub(1, at - 1) .. string.char(math.random(0, 255)) .. text:sub(at + 1)
        end
        write_file(root .. "/proc/self/" .. name, text)
      end
      for name, value in pairs(recorded_figures(root)) do
        assert(value >= 0 and value < 2 ^ 63, ("seed %d: %s = %g"):format(seed, name, value))
      end
    end
  end)
end)
