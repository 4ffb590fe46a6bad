-- The heap's account against the VM's own, to the byte, and against known numbers of objects.

local run = require "support.run"

local function expect_clean(result)
  assert.are.equal("", result.err)
  assert.is_nil(result.signal)
  assert.are.equal(0, result.code)
end

-- figures() returns nothing new: the sample list is filled in place. grown(f) is what f left
-- behind, by our account and by the VM's.
-- Without LuaJIT's compiler, whose traces are memory that no line of the program asks for.
local prelude = [[
if jit then jit.off() end
local rt = require "rtmetrics"
local samples = rt.read {
  "/gc/heap/allocs:bytes", "/gc/heap/frees:bytes", "/gc/heap/allocs:blocks",
    "/gc/heap/frees:blocks",
  "/memory/classes/heap/objects:bytes",
}
local function live()
  rt.read(samples)
  return samples[1].value - samples[2].value
end
local function blocks()
  rt.read(samples)
  return samples[3].value - samples[4].value
end
local keep = {}
local unpack = table.unpack or unpack
live() blocks()
local function grown(f)
  local ours, vm = live(), collectgarbage("count") * 1024
  keep[1] = f()
  ours, vm = live() - ours, collectgarbage("count") * 1024 - vm
  return ours, vm
end
local function expect(what, f)
  for round = 1, 3 do
    local ours, vm = grown(f)
    if ours ~= vm then error(("%s, round %d: counted %.0f bytes, the VM %.0f"):format(what, round,
      ours, vm)) end
    if round == 2 then
      ours, vm = grown(function() collectgarbage() end)
      if ours ~= vm then error(("%s, collected: counted %.0f bytes, the VM %.0f"):format(what,
        ours, vm)) end
    end
  end
end
]]

local programs = {
  ["strings"] = [[expect("strings", function()
    local t = {}
    for i = 1, 500 do t[i] = ("s"):rep(i) .. i end
    return t
  end)]],
  ["long strings"] = [[expect("long strings", function()
    return { ("x"):rep(100), ("y"):rep(50000), ("z"):rep(2000000), ("x"):rep(100):upper() }
  end)]],
  ["concatenation"] = [[expect("concatenation", function()
    local t, s = {}, ""
    for i = 1, 200 do t[i] = "part " .. i; s = s .. t[i] end
    return { s, table.concat(t, ", "), table.concat(t) }
  end)]],
  ["arrays and hashes"] = [[expect("tables", function()
    local t = {}
    for i = 1, 1000 do t[i] = { i, [i .. ""] = i } end
    for i = 1, 500 do t[i * 2] = nil end
    return t
  end)]],
  ["growing and shrinking tables"] = [[expect("growth", function()
    local t = {}
    for i = 1, 5000 do t[i] = i end
    for i = 1, 5000 do t["k" .. i] = i end
    for i = 1, 4990 do t[i] = nil; t["k" .. i] = nil end
    for i = 1, 10 do t["new" .. i] = i end
    return t
  end)]],
  ["closures and upvalues"] = [[expect("closures", function()
    local t = {}
    for i = 1, 500 do
      local a, b = i, {}
      t[i] = function() a = a + 1 return b end
      t[-i] = function() return a end
    end
    return t
  end)]],
  ["coroutines"] = [[expect("coroutines", function()
    local t = {}
    for i = 1, 200 do
      t[i] = coroutine.create(function(...) local deep = {
        ... } coroutine.yield(deep) return deep end)
      if i % 2 == 0 then coroutine.resume(t[i], i) end
      if i % 4 == 0 then coroutine.resume(t[i]) end
    end
    return t
  end)]],
  ["deep stacks"] = [[expect("stacks", function()
    local function deep(n) if n > 0 then return 1 + deep(n - 1) end return 0 end
    local co = coroutine.create(function() deep(3000) coroutine.yield() end)
    coroutine.resume(co)
    deep(5000)
    return co
  end)]],
  ["loaded code"] = [[expect("load", function()
    local t = {}
    for i = 1, 100 do
      t[i] = assert((loadstring or load)("local a = "
        .. i .. " return function(b) return a + b, 'k" .. i .. "' end"))
    end
    assert(not (loadstring or load)("syntax error here"))
    return t
  end)]],
  ["userdata"] = [[expect("userdata", function()
    local t = {}
    for i = 1, 50 do t[i] = io.open("/dev/null") end
    for i = 1, 50 do t[i]:close() end
    return t
  end)]],
  ["errors"] = [[expect("errors", function()
    for i = 1, 200 do
      pcall(error, "message " .. i)
      pcall(function() local x = nil; return x.y end)
      coroutine.resume(coroutine.create(function(e) error(e) end), { i })
    end
  end)]],
  ["formatted and matched text"] = [[expect("text", function()
    local t = {}
    for i = 1, 100 do
      t[i] = ("%5d %s %q"):format(i, "text", "quoted\n" .. i)
      t[#t + 1] = ("a,b,c,d"):rep(i):gsub("%a", "%0%0")
      for word in ("one two three " .. i):gmatch("%S+") do t[word] = i end
    end
    return t
  end)]],
  ["sorted and packed tables"] = [[expect("sort", function()
    local t = {}
    for i = 1, 1000 do t[i] = (i * 7919) % 1013 end
    table.sort(t)
    return { unpack(t, 1, 200) }
  end)]],
  ["weak tables and finalizers"] = [[expect("weak", function()
    local t = setmetatable({}, { __mode = "k" })
    for i = 1, 300 do t[{}] = setmetatable({}, { __gc = function(o) o.again = { i } end }) end
    return t
  end)]],
}

describe("the heap's account", function()
  for name, code in pairs(programs) do
    it("equals the VM's to the byte: " .. name, function()
      expect_clean(run.script(prelude .. code))
      expect_clean(run.script(prelude .. "collectgarbage('stop')\n" .. code))
    end)
  end

  it("gives the current size as the VM does", function()
    expect_clean(run.script(prelude .. [[
      for i = 1, 100 do
        keep[i] = { ("x"):rep(i) }
        rt.read(samples)
        local ours, vm = samples[5].value, collectgarbage("count") * 1024
        if ours ~= vm then error(("%.0f bytes, the VM says %.0f"):format(ours, vm)) end
      end
    ]]))
  end)

  it("counts nothing of its own reading", function()
    expect_clean(run.script(prelude .. [[
      local before, bytes = collectgarbage("count"), live()
      for _ = 1, 1000 do rt.read(samples) end
      assert(collectgarbage("count") == before)
      assert(live() == bytes)
    ]]))
  end)

  it("sees every block come and go", function()
    expect_clean(run.script(prelude .. [[
      collectgarbage() collectgarbage()
      collectgarbage("stop")
      for i = 1, 1000 do keep[i] = false end
      local before = blocks()
      for i = 1, 1000 do keep[i] = {} end
      local empty = blocks() - before
      for i = 1, 1000 do keep[i][1] = i end
      local filled = blocks() - before
      assert(empty == 1000, empty)
      assert(filled == 2000, filled)
      for i = 1, 1000 do keep[i] = nil end
      collectgarbage() collectgarbage()
      assert(blocks() - before <= 0, blocks() - before)
    ]]))
  end)

  it("takes a growing block for its growth and a shrinking one for its loss", function()
    expect_clean(run.script(prelude .. [[
      collectgarbage("stop")
      local t = {}
      for i = 1, 64 do t[i] = i end
      live()
      local blocks_before, allocs, frees = samples[3].value, samples[1].value, samples[2].value
      for i = 65, 4096 do t[i] = i end
      live()
      assert(samples[3].value == blocks_before, "a growing array is no new block")
      local grown = samples[1].value - allocs
      assert(grown == samples[1].value - samples[2].value - (allocs - frees),
        "nothing was given back")
    ]]))
  end)
end)

describe("the sizes of blocks", function()
  it("sum up to the blocks, each in its bucket", function()
    expect_clean(run.script([[
      local rt = require "rtmetrics"
      local samples = rt.read {
        "/gc/heap/allocs-by-size:bytes", "/gc/heap/allocs:blocks", "/gc/heap/frees-by-size:bytes",
          "/gc/heap/frees:blocks",
      }
      local function sum(counts) local n = 0 for i = 1, #counts do
        n = n + counts[i] end return n end
      local keep = {}
      rt.read(samples)
      local function check()
        rt.read(samples)
        for i = 1, 3, 2 do
          local counts, buckets = samples[i].value.counts, samples[i].value.buckets
          assert(#buckets == #counts + 1)
          for b = 2, #buckets do assert(buckets[b - 1] < buckets[b]) end
          assert(sum(counts) == samples[i + 1].value, sum(counts) .. " of " .. samples[i + 1].value)
        end
      end
      for round = 1, 20 do
        for i = 1, 200 do keep[i] = { ("x"):rep(i * round) } end
        check()
      end
      collectgarbage()
      check()
      -- A string of n bytes has a block of n bytes and a small header.
      local function bucket_of(size)
        local buckets = samples[1].value.buckets
        for b = 1, #buckets - 1 do
          if size >= buckets[b] and size < buckets[b + 1] then return b end
        end
      end
      collectgarbage("stop")
      for _, size in ipairs { 3000, 100000, 1000000 } do
        local text = ("y"):rep(size - 1)
        rt.read(samples)
        local b = bucket_of(size + 28)
        local before = samples[1].value.counts[b]
        keep[1] = text .. "z"
        rt.read(samples)
        assert(samples[1].value.counts[b] >= before + 1, size)
      end
    ]]))
  end)
end)

describe("objects by kind", function()
  local function it_counts(kind, code)
    it("are as many as were made: " .. kind, function()
      if not run.is("5.4") then return pending("only 5.4 tells its allocator what a block is for")
        end
      expect_clean(run.script(([[
        local rt = require "rtmetrics"
        local samples = rt.read { "/gc/heap/allocs/KIND:objects", "/gc/heap/allocs:objects" }
        local keep, devnull = {}, "/dev/null"
        for i = 1, 1000 do keep[i] = false end
        local function made(f)
          rt.read(samples)
          local kind, all = samples[1].value, samples[2].value
          f()
          rt.read(samples)
          return samples[1].value - kind, samples[2].value - all
        end
        local function expect(kind, all, f)
          f()
          local kind_made, all_made = made(f)
          assert(kind_made == kind, ("%d of the kind, made %d"):format(kind_made, kind))
          assert(all_made == all, ("%d in all, made %d"):format(all_made, all))
        end
        collectgarbage("stop")
      ]]):gsub("KIND", kind) .. code))
    end)
  end

  it_counts("table", [[expect(1000, 1000, function() for i = 1, 1000 do keep[i] = {} end end)]])
  it_counts("string", [[local long, ends = ("a"):rep(50), {}
    for i = 1, 1000 do ends[i] = tostring(i) end
    expect(1000, 1000, function() for i = 1, 1000 do keep[i] = long .. ends[i] end end)]])
  it_counts("function", [[expect(500, 1000, function() for i = 1, 500 do keep[i] = function()
    return i end end end)]])
  it_counts("upvalue", [[expect(500, 1000, function() for i = 1, 500 do keep[i] = function()
    return i end end end)]])
  it_counts("thread", [[local function f() end
    expect(300, 300, function() for i = 1, 300 do keep[i] = coroutine.create(f) end end)]])
  it_counts("userdata", [[expect(100, 100, function()
    for i = 1, 100 do keep[i] = io.open(devnull) end end)
    for i = 1, 100 do keep[i]:close() end]])
  it_counts("proto", [[local code = "return function() end"
    local chunk = string.dump(load(code, "=c"), true)
    local kind = made(function() for i = 1, 100 do keep[i] = load(chunk, "=c", "b") end end)
    assert(kind == 200, kind)]])
end)
