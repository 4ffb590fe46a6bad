local probe = require("process_probe")
local run = require("support.run")

local cgroup_source = 8

local function figures_below(root)
  probe.root(root)
  local process = probe.new()
  local found = process:refresh(1e9, cgroup_source)
  process:close()
  probe.root()
  return found
end

local function recorded(name)
  return figures_below(run.root() .. "/spec/support/fixtures/proc/cgroup_" .. name)
end

-- A container of version 2 with one file changed.
local function container_with(path, text)
  local root = run.tmpdir()
  local origin = run.root() .. "/spec/support/fixtures/proc/cgroup_v2_container/."
  os.execute("cp -r " .. origin .. " " .. root)
  local file = assert(io.open(root .. "/" .. path, "wb"))
  file:write(text)
  file:close()
  return figures_below(root)
end

describe("the memory of the control group, version 2", function()
  it("has the lowest limit of the group and of those around it", function()
    assert.are.same(
      { cgroup_limit_bytes = 536870912, cgroup_used_bytes = 104857600 },
      recorded("v2_nested")
    )
  end)

  it("is found in a container, behind a mount whose line fills the buffer twice", function()
    assert.are.same(
      { cgroup_limit_bytes = 268435456, cgroup_used_bytes = 52428800 },
      recorded("v2_container")
    )
  end)

  it("has no known limit where there is none", function()
    assert.are.same({ cgroup_used_bytes = 8192 }, recorded("v2_no_limit"))
  end)

  it("has the limit of the group above where only that one has the controller", function()
    assert.are.same({ cgroup_limit_bytes = 1073741824 }, recorded("v2_controller_above"))
  end)
end)

describe("the memory of the control group, version 1", function()
  it("is found in a container that sees the paths of its host", function()
    assert.are.same(
      { cgroup_limit_bytes = 67108864, cgroup_used_bytes = 33554432 },
      recorded("v1_container")
    )
  end)

  it("has no known limit where the kernel tells its highest number", function()
    assert.are.same({ cgroup_used_bytes = 39190528 }, recorded("v1_no_limit"))
  end)
end)

describe("the memory of a control group that cannot be understood", function()
  it("is not known outside of what the mount shows", function()
    for _, path in ipairs({ "/..", "/../other", "/a/../..", "a", "", "/not/there" }) do
      assert.are.same({}, container_with("proc/self/cgroup", "0::" .. path .. "\n"), path)
    end
  end)

  it("is not known from lines of another shape", function()
    for _, line in ipairs({ "", ":", "::", "0:", "0", "1:name=systemd:/", "4:memoryx:/" }) do
      assert.are.same({}, container_with("proc/self/cgroup", line .. "\n"), line)
    end
    for _, line in ipairs({ "", " - ", "1 2 3 / /sys/fs/cgroup rw - cgroup2", " - cgroup2 a" }) do
      assert.are.same({}, container_with("proc/self/mountinfo", line .. "\n"), line)
    end
  end)

  it("is not known where the file holds no number", function()
    for _, text in ipairs({ "", "\n", "12", "-1\n", "12 13\n", "1e6\n", ("9"):rep(30) .. "\n" }) do
      local found = container_with("sys/fs/cgroup/memory.max", text)
      assert.are.same({ cgroup_used_bytes = 52428800 }, found, text)
      found = container_with("sys/fs/cgroup/memory.current", text)
      assert.are.same({ cgroup_limit_bytes = 268435456 }, found, text)
    end
  end)
end)

describe("the control group of this process", function()
  local function shell(line)
    local result = run.command(line)
    return result.code == 0 and tonumber((result.out:gsub("%s", ""))) or nil
  end

  it("uses what its file says", function()
    local usage = shell([[
      path=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
      cat "/sys/fs/cgroup/memory$path/memory.usage_in_bytes" 2>/dev/null ||
        cat "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/memory.current"
    ]])
    if not usage then
      pending("this machine has no memory controller where one would look for it")
      return
    end
    local process = probe.new()
    local found = process:refresh(1e9, cgroup_source)
    process:close()
    assert.is_true(math.abs(found.cgroup_used_bytes - usage) < 64 * 1024 * 1024)
  end)
end)
