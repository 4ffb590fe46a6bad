local probe = require("process_probe")
local run = require("support.run")

local function resident_bytes()
  local file = assert(io.open("/proc/self/statm"))
  local pages = file:read("*a"):match("^%d+ (%d+)")
  file:close()
  return tonumber(pages) * 4096
end

local missing = not probe.malloc_stats() and select(2, probe.malloc_stats())

describe("the figures of malloc", function()
  after_each(function()
    probe.blocks(0)
  end)

  it("grow and shrink with the blocks that are in use", function()
    if missing then
      pending(missing)
      return
    end
    local before = probe.malloc_stats()
    probe.blocks(10000, 1000)
    local during = probe.malloc_stats()
    probe.blocks(0)
    local after = probe.malloc_stats()
    local grown = during.used_bytes - before.used_bytes
    assert.is_true(grown >= 1e7 and grown < 1.1e7, "grown by " .. grown)
    assert.is_true(math.abs(after.used_bytes - before.used_bytes) < 1e5)
    assert.are.equal(after.arena_bytes, after.used_bytes + after.free_bytes)
  end)

  it("tell large blocks apart", function()
    if missing then
      pending(missing)
      return
    end
    local before = probe.malloc_stats()
    probe.blocks(3, 64 * 1024 * 1024)
    local during = probe.malloc_stats()
    assert.are.equal(3, during.mapped_blocks - before.mapped_blocks)
    local grown = during.mapped_bytes - before.mapped_bytes
    assert.is_true(grown >= 3 * 2 ^ 26 and grown < 3 * 2 ^ 26 + 2 ^ 16, "grown by " .. grown)
  end)

  it("say in words when malloc is another's", function()
    local jemalloc = run.command("ls /usr/lib/*/libjemalloc.so.2").out:match("%S+")
    if not jemalloc or run.under() then
      pending("needs libjemalloc and a plain build")
      return
    end
    local result = run.script(
      [[
        local probe = require("process_probe")
        print(probe.malloc_stats())
        print(probe.malloc_trim())
      ]],
      { env = { LD_PRELOAD = jemalloc } }
    )
    local line = "nil\tmalloc is not the one of glibc in this process\n"
    assert.are.equal(line .. line, result.out, result.err)
  end)
end)

describe("giving memory back", function()
  it("lowers what the process holds, and says so", function()
    if missing then
      pending(missing)
      return
    end
    probe.blocks(20000, 4000)
    local lowest = probe.malloc_stats()
    probe.blocks(0)
    probe.blocks(1, 100)
    local before = resident_bytes()
    local released = probe.malloc_trim()
    probe.blocks(0)
    assert.is_true(lowest.used_bytes > 8e7)
    assert.is_boolean(released)
    assert.is_true(resident_bytes() <= before)
  end)
end)
