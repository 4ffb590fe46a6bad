-- Patched slots, judged from outside: what the calls give, and what the kernel says of an object's
-- pages (bytes and protection) before, during and after.

local run = require "support.run"

local prelude = [[
local elf = require "elf_probe"
local directory = os.getenv("RTM_BUILD") .. "/elf/"

local function load(name, binding, scope)
  return assert(elf.load(directory .. name .. ".so", binding or "now", scope or "local"))
end

-- The object's pages as the kernel has them: their layout and protection, and their contents.
local function pages(name)
  local layout, contents, ranges = {}, {}, {}
  for line in io.lines("/proc/self/maps") do
    if line:find("/" .. name .. ".so", 1, true) then
      local low, high, rights = line:match("^(%x+)%-(%x+) (%S+)")
      layout[#layout + 1] = low .. "-" .. high .. " " .. rights
      ranges[#ranges + 1] = { tonumber(low, 16), tonumber(high, 16), rights }
    end
  end
  local memory = assert(io.open("/proc/self/mem", "rb"))
  for i, range in ipairs(ranges) do
    if range[3]:find("r", 1, true) then
      assert(memory:seek("set", range[1]))
      contents[#contents + 1] = assert(memory:read(range[2] - range[1]))
      range.text = contents[#contents]
    end
  end
  memory:close()
  assert(#ranges > 0, name .. " is not loaded")
  return { layout = table.concat(layout, "\n"), contents = table.concat(contents), ranges = ranges }
end

local function same(before, after)
  assert(after.layout == before.layout, before.layout .. "\nis now\n" .. after.layout)
  assert(after.contents == before.contents, "the contents differ")
end

-- Where the pages differ, in words of 8 bytes: number of words, address of the first.
local function differing_words(before, after)
  assert(after.layout == before.layout, before.layout .. "\nis now\n" .. after.layout)
  local words, first = 0, nil
  for i, range in ipairs(before.ranges) do
    local old, new = range.text, after.ranges[i].text
    if old ~= new then
      for offset = 1, #old, 8 do
        if old:sub(offset, offset + 7) ~= new:sub(offset, offset + 7) then
          words = words + 1
          first = first or range[1] + offset - 1
        end
      end
    end
  end
  return words, first
end

local target

local function start()
  assert(elf.start("elf_fixture", target))
end

local function expect_calls(expected)
  local _, _, calls = elf.counts()
  assert(calls == expected, calls .. " calls came through, not " .. expected)
end
]]

local provide = [[
local provider = load("elf_provider", "now", "global")
target = elf.symbol(provider, "elf_fixture")
]]

local function check_without_provider(code, opts)
  local result = run.script(prelude .. code, opts)
  assert.are.equal(0, result.code, result.err .. result.out)
  return (result.out:gsub("%s+$", ""))
end

local function check(code, opts)
  return check_without_provider(provide .. code, opts)
end

local function substitute(code, name)
  return (code:gsub("OBJECT", name))
end

describe("a patched symbol #valgrind", function()
  for _, name in ipairs({ "elf_lazy", "elf_full_relro", "elf_noplt" }) do
    it("is called through the replacement and put back exactly, in " .. name, function()
      check(substitute([[
        local object = load("OBJECT", "lazy")
        local before = pages("OBJECT")
        start()
        assert(elf.counts() == 1)
        assert(differing_words(before, pages("OBJECT")) == 1)
        assert(elf.call(object, 1) == 2)
        expect_calls(1)
        elf.stop()
        same(before, pages("OBJECT"))
        assert(elf.call(object, 2) == 3)
        expect_calls(1)
      ]], name))
    end)
  end

  it("is patched where it is bound already", function()
    check([[
      local object = load("elf_lazy", "lazy")
      assert(elf.call(object, 1) == 2)
      local before = pages("elf_lazy")
      start()
      assert(differing_words(before, pages("elf_lazy")) == 1)
      elf.call(object, 1)
      expect_calls(1)
      elf.stop()
      same(before, pages("elf_lazy"))
    ]])
  end)

  it("is patched in every slot of an object that has several", function()
    check([[
      local object = load("elf_both", "now")
      local before = pages("elf_both")
      start()
      assert(differing_words(before, pages("elf_both")) == elf.counts())
      elf.call(object, 1)
      expect_calls(1)
      elf.stop()
      same(before, pages("elf_both"))
    ]])
  end)

  it("is patched in several objects, and in those loaded later", function()
    check([[
      local early = load("elf_full_relro")
      start()
      local late = load("elf_noplt")
      elf.call(late, 1)
      expect_calls(0)
      local before = pages("elf_noplt")
      assert(elf.rescan())
      assert(elf.counts() == 2)
      elf.call(late, 1)
      elf.call(early, 1)
      expect_calls(2)
      assert(elf.rescan())
      elf.stop()
      same(before, pages("elf_noplt"))
    ]])
  end)

  it("is patched once for several users, until the last one stops", function()
    check([[
      local object = load("elf_lazy")
      start()
      start()
      elf.stop()
      elf.call(object, 1)
      expect_calls(1)
      elf.stop()
      elf.call(object, 1)
      expect_calls(1)
      start()
      elf.call(object, 1)
      expect_calls(2)
      elf.stop()
    ]])
  end)

  it("stays patched in a forked child, which may stop it for itself", function()
    check([[
      local object = load("elf_full_relro")
      start()
      assert(elf.in_child(function()
        elf.call(object, 1)
        expect_calls(1)
        elf.stop()
        elf.call(object, 1)
        expect_calls(1)
      end) == 0)
      elf.call(object, 1)
      expect_calls(1)
      elf.stop()
    ]])
  end)

  it("can be limited to one object", function()
    check([[
      local one, other = load("elf_full_relro"), load("elf_noplt")
      assert(elf.start("elf_fixture", target, elf.symbol(one, "elf_call")))
      elf.call(one, 1)
      elf.call(other, 1)
      expect_calls(1)
      elf.stop()
    ]])
  end)
end)

describe("where /proc is missing", function()
  it("a patch is made and put back all the same", function()
    local out = check([[
      local objects = { load("elf_lazy", "lazy"), load("elf_full_relro"), load("elf_noplt") }
      if not elf.chroot("/sys") then
        print("chroot is not allowed")
        os.exit(0)
      end
      assert(not io.open("/proc/self/maps"))
      start()
      assert(elf.counts() == 3)
      for _, object in ipairs(objects) do
        assert(elf.call(object, 1) == 2)
      end
      expect_calls(3)
      elf.stop()
      for _, object in ipairs(objects) do
        assert(elf.call(object, 1) == 2)
      end
      expect_calls(3)
    ]])
    if out ~= "" then
      pending(out)
    end
  end)
end)

describe("an object with a provider of its own", function()
  it("is left alone: the name is the same, the value is not", function()
    check_without_provider([[
      local own = load("elf_own_provider", "now")
      local before = pages("elf_own_provider")
      assert(elf.call(own, 1) == 1001)
      ]] .. provide .. [[
      local object = load("elf_full_relro")
      start()
      assert(elf.counts() == 1)
      same(before, pages("elf_own_provider"))
      assert(elf.call(own, 1) == 1001)
      expect_calls(0)
      assert(elf.call(object, 1) == 2)
      expect_calls(1)
      elf.stop()
      same(before, pages("elf_own_provider"))
    ]])
  end)

  it("is left alone once it is bound to it lazily", function()
    check_without_provider([[
      local own = load("elf_own_lazy", "lazy")
      assert(elf.call(own, 1) == 2001)
      local before = pages("elf_own_lazy")
      ]] .. provide .. [[
      start()
      assert(elf.counts() == 0)
      same(before, pages("elf_own_lazy"))
      elf.stop()
    ]])
  end)

  it("is patched when its provider is the target, though no other object sees it", function()
    check_without_provider([[
      local own = load("elf_own_lazy", "lazy")
      local before = pages("elf_own_lazy")
      target = elf.symbol(own, "elf_fixture")
      start()
      assert(elf.counts() == 1)
      assert(elf.call(own, 1) == 2001)
      expect_calls(1)
      elf.stop()
      same(before, pages("elf_own_lazy"))
      assert(elf.call(own, 1) == 2001)
      expect_calls(1)
    ]])
  end)

  it("is judged by what the loader would bind, and that is the global one first", function()
    check_without_provider([[
      local own = load("elf_own_lazy", "lazy")
      ]] .. provide .. [[
      start()
      assert(elf.counts() == 1)
      assert(elf.call(own, 1) == 2)
      expect_calls(1)
      elf.stop()
      assert(elf.call(own, 1) == 2, "the loader would have bound it otherwise")
    ]])
  end)
end)

describe("a second hooker above ours", function()
  it("keeps its value, and ours goes on as a pass-through", function()
    check([[
      local object = load("elf_lazy", "lazy")
      local before = pages("elf_lazy")
      start()
      local _, slot = differing_words(before, pages("elf_lazy"))
      elf.hook_above(slot)
      local hooked = pages("elf_lazy")
      assert(elf.counts() == 0)
      elf.stop()
      same(hooked, pages("elf_lazy"))
      assert(elf.call(object, 1) == 2)
      local _, _, calls, above = elf.counts()
      assert(calls == 1 and above == 1)
      start()
      same(hooked, pages("elf_lazy"))
      elf.stop()
    ]])
  end)

  it("that left before our stop is forgotten", function()
    check([[
      local object = load("elf_lazy", "lazy")
      local before = pages("elf_lazy")
      start()
      local _, slot = differing_words(before, pages("elf_lazy"))
      elf.hook_above(slot)
      elf.unhook_above(slot)
      elf.stop()
      same(before, pages("elf_lazy"))
      assert(elf.call(object, 1) == 2)
      expect_calls(0)
    ]])
  end)
end)

describe("an unloaded object #valgrind", function()
  it("stays mapped while it is patched, and goes at the stop", function()
    check([[
      local object = load("elf_full_relro")
      start()
      assert(elf.unload(object))
      assert(pages("elf_full_relro"))
      elf.stop()
      assert(not pcall(pages, "elf_full_relro"))
    ]])
  end)

  it("is not held when nothing in it was patched", function()
    check([[
      start()
      local object = load("elf_libc_malloc")
      assert(elf.rescan())
      assert(elf.unload(object))
      assert(not pcall(pages, "elf_libc_malloc"))
      assert(elf.rescan())
      elf.stop()
    ]])
  end)

  it("may be loaded and patched again", function()
    check([[
      for round = 1, 20 do
        local object = load("elf_full_relro")
        start()
        assert(elf.call(object, 1) == 2)
        expect_calls(round)
        assert(elf.unload(object))
        elf.stop()
      end
    ]])
  end)
end)

describe("whether an object calls the same function as we do", function()
  local allocator = run.is("luajit") and "LuaJIT's own allocator" or "Lua's stock allocator"

  it("is known for " .. allocator, function()
    check([[
      for _, symbol in ipairs({ "realloc", "free" }) do
        local got = elf.same_binding(elf.lua_allocator(), symbol, elf.own(symbol))
        assert(jit or got, symbol)
      end
    ]])
  end)

  it("is not believed of a private allocator", function()
    check([[
      local object = load("elf_private_malloc")
      local allocate = elf.symbol(object, "elf_allocate")
      elf.allocate(object)
      assert(not elf.same_binding(allocate, "realloc", elf.own("realloc")))
      assert(not elf.same_binding(allocate, "free", elf.own("free")))
    ]])
  end)

  it("is not believed before the object has made the call", function()
    check([[
      local object = load("elf_libc_malloc", "lazy")
      local allocate = elf.symbol(object, "elf_allocate")
      assert(not elf.same_binding(allocate, "realloc", elf.own("realloc")))
      elf.allocate(object)
      assert(elf.same_binding(allocate, "realloc", elf.own("realloc")))
      assert(elf.same_binding(allocate, "free", elf.own("free")))
      assert(not elf.same_binding(allocate, "realloc", elf.own("free")))
      assert(not elf.same_binding(allocate, "calloc", elf.own("free")))
    ]])
  end)

  it("is not believed of an address in no object", function()
    check([[
      assert(not elf.same_binding(nil, "realloc", elf.own("realloc")))
    ]])
  end)

  it("is not believed while another hooker holds the slot", function()
    check([[
      local object = load("elf_libc_malloc")
      local allocate = elf.symbol(object, "elf_allocate")
      assert(elf.start("realloc", elf.own("realloc"), allocate))
      assert(not elf.same_binding(allocate, "realloc", elf.own("realloc")))
      elf.stop()
      assert(elf.same_binding(allocate, "realloc", elf.own("realloc")))
    ]])
  end)

  for _, library in ipairs({ "libjemalloc.so.2", "libtcmalloc_minimal.so.4" }) do
    it("holds under " .. library, function()
      local path = "/usr/lib/x86_64-linux-gnu/" .. library
      local file = io.open(path)
      if not file then
        pending(library .. " is not installed")
        return
      end
      file:close()
      if run.under() then
        pending("another allocator and " .. run.under() .. " do not go together")
        return
      end
      check([[
        for _, symbol in ipairs({ "realloc", "free" }) do
          assert(jit or elf.same_binding(elf.lua_allocator(), symbol, elf.own(symbol)), symbol)
        end
        local object = load("elf_full_relro")
        start()
        elf.call(object, 1)
        expect_calls(1)
        elf.stop()
      ]], { env = { LD_PRELOAD = path } })
    end)
  end
end)

describe("refuses", function()
  it("a symbol that is defined nowhere, and says so", function()
    check([[
      local done, message = elf.start("elf_nowhere", elf.symbol(nil, "elf_nowhere"))
      assert(not done and message == "cannot patch elf_nowhere: it is defined nowhere", message)
    ]])
  end)
end)

describe("when memory has run out #valgrind", function()
  it("a start patches nothing and says why", function()
    check([[
      local object = load("elf_full_relro")
      local before = pages("elf_full_relro")
      for successes = 0, 1 do
        elf.fail_after(successes)
        local done, message = elf.start("elf_fixture", target)
        elf.fail_after(nil)
        assert(not done and message:find("not enough memory"), message)
        same(before, pages("elf_full_relro"))
      end
      start()
      elf.call(object, 1)
      expect_calls(1)
      elf.stop()
      same(before, pages("elf_full_relro"))
    ]])
  end)

  it("a rescan keeps what is patched", function()
    check([[
      local object = load("elf_full_relro")
      start()
      local all = {}
      elf.fail_after(0)
      for copy = 1, 10 do
        local path = ("%s/copy%d.so"):format(".", copy)
        os.execute(("cp %self_noplt.so %s"):format(directory, path))
        all[copy] = assert(elf.load(path, "now", "local"))
      end
      local done, message = elf.rescan()
      assert(not done and message:find("not enough memory"), message)
      elf.call(object, 1)
      expect_calls(1)
      elf.fail_after(nil)
      assert(elf.rescan())
      assert(elf.counts() == 11)
      elf.stop()
      elf.call(all[10], 1)
      expect_calls(1)
    ]])
  end)
end)

describe("the cost", function()
  it("of a scan is far below a millisecond, and of an idle rescan below 10 us", function()
    if run.under() then
      pending("times mean nothing under " .. run.under())
      return
    end
    check([[
      assert(elf.start("lua_resume", elf.symbol(nil, "lua_resume")))
      local idle_s = elf.seconds(elf.rescan, 100)
      elf.stop()
      local full_s = elf.seconds(function()
        elf.start("lua_resume", elf.symbol(nil, "lua_resume"))
        elf.stop()
      end, 20)
      print(("scan %.0f us, idle rescan %.2f us"):format(full_s * 1e6, idle_s * 1e6))
      assert(full_s < 1e-3, full_s)
      assert(idle_s < 10e-6, idle_s)
    ]])
  end)
end)
