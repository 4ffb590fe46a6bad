local probe = require("series_probe")
local run = require("support.run")

local function new(...)
  local set = probe.new(...)
  set.metric = function(...)
    local id, message = set.series_register(...)
    return id and { id }, message
  end
  set.read = function()
    return probe.read(set.set)
  end
  set.stats = function()
    return probe.stats(set.set)
  end
  return set
end

local function sum_of(list)
  local sum = 0
  for _, series in ipairs(list) do
    sum = sum + series.value
  end
  return sum
end

local function find(list, labels)
  for _, series in ipairs(list) do
    local same = true
    for name, value in pairs(labels) do
      same = same and series[name] == value
    end
    if same then
      return series
    end
  end
end

describe("a set of user series #valgrind", function()
  it("keeps one series for each set of label values", function()
    local set = new()
    local c = set.metric("counter", "x_total", nil, { "a", "b" })
    set.series_add(c, 1, { "1", "2" })
    set.series_add(c, 2, { "1", "3" })
    set.series_add(c, 4, { "1", "2" })
    set.series_add(c, 8, { "12", "" })
    local list = set.read().x
    assert.are.equal(3, #list)
    assert.are.equal(5, find(list, { a = "1", b = "2" }).value)
    assert.are.equal(2, find(list, { a = "1", b = "3" }).value)
    assert.are.equal(8, find(list, { a = "12", b = "" }).value)
  end)

  it("shows a metric without labels from its registration on", function()
    local set = new()
    local g = set.metric("gauge", "g")
    assert.are.same({ { value = 0 } }, set.read().g)
    set.series_assign(g, -2.5)
    set.series_add(g, 1, {})
    assert.are.same({ { value = -1.5 } }, set.read().g)
  end)

  it("counts an observation in the first bucket whose bound is not below it", function()
    local set = new()
    local h = set.metric("histogram", "h", nil, nil, { -1, 0, 2.5, math.huge })
    for _, value in ipairs({ -1, -0.5, 0, 0.1, 2.5, 2.6, 1e300 }) do
      set.series_observe(h, value)
    end
    assert.are.same({ 1, 2, 2, 2 }, set.read().h[1].counts)
  end)

  it("writes whole numbers the same on every Lua", function()
    local set = new()
    local c = set.metric("counter", "c", nil, { "v" })
    for _, value in ipairs({ 200, 200.0, "200", -3, true, 0 }) do
      set.series_add(c, 1, { value })
    end
    local list = set.read().c
    assert.are.equal(4, #list)
    assert.are.equal(3, find(list, { v = "200" }).value)
    assert.is_truthy(find(list, { v = "-3" }))
    assert.is_truthy(find(list, { v = "true" }))
  end)

  it("gives the same id for the same registration", function()
    local set = new()
    local a = set.series_register("counter", "x_total", "help", { "l" })
    assert.are.equal(a, set.series_register("counter", "x", "another help", { "l" }))
    local h = set.series_register("histogram", "h", nil, nil, { 1, 2 })
    assert.are.equal(h, set.series_register("histogram", "h", nil, nil, { 1, 2, math.huge }))
    assert.are_not.equal(a, h)
  end)

  it("forgets a series or all of a metric when told to", function()
    local set = new()
    local c = set.metric("counter", "c", nil, { "l" })
    local plain = set.metric("counter", "plain")
    for i = 1, 10 do
      set.series_add(c, i, { i })
      set.series_add(plain, 1)
    end
    set.series_remove(c, { 3 })
    set.series_remove(c, { "never there" })
    assert.are.equal(9, #set.read().c)
    set.series_reset(c)
    set.series_remove(plain)
    assert.are.same({ c = {}, plain = {} }, set.read())
    set.series_add(c, 1, { 3 })
    set.series_add(plain, 1)
    assert.are.same({ c = { { l = "3", value = 1 } }, plain = { { value = 1 } } }, set.read())
    assert.are.equal(2, set.stats().series)
  end)

  it("agrees with a model over random updates", function()
    local seed = os.time()
    math.randomseed(seed)
    local set, model = new(), {}
    local c = set.metric("counter", "c", nil, { "a", "b" })
    for _ = 1, 20000 do
      local a, b = tostring(math.random(12)), ("x"):rep(math.random(0, 12))
      local key, dice = a .. "/" .. b, math.random(100)
      if dice == 1 then
        set.series_reset(c)
        model = {}
      elseif dice < 30 then
        set.series_remove(c, { a, b })
        model[key] = nil
      else
        set.series_add(c, dice, { a, b })
        model[key] = (model[key] or 0) + dice
      end
    end
    local seen = {}
    for _, series in ipairs(set.read().c) do
      seen[series.a .. "/" .. series.b] = series.value
    end
    assert.are.same(model, seen, "seed " .. seed)
  end)
end)

describe("a label value #valgrind", function()
  it("is cut at 256 bytes, at the end of a character", function()
    assert.are.equal(("a"):rep(256), probe.clean(("a"):rep(1e6)))
    assert.are.equal(("a"):rep(255), probe.clean(("a"):rep(255) .. "\195\164"))
    assert.are.equal(("a"):rep(254) .. "\195\164", probe.clean(("a"):rep(254) .. "\195\164b"))
  end)

  it("has U+FFFD for each byte that is not UTF-8", function()
    local r = "\239\191\189"
    for bad, clean in pairs({
      ["a\255b"] = "a" .. r .. "b",
      ["\192\175"] = r .. r,
      ["\224\128\175"] = r .. r .. r,
      ["\237\160\128"] = r .. r .. r,
      ["\244\144\128\128"] = r .. r .. r .. r,
      ["\226\130"] = r .. r,
      ["12345678\128"] = "12345678" .. r,
    }) do
      assert.are.equal(clean, probe.clean(bad))
    end
    local every_length = "\195\164\226\130\172\240\159\152\128\239\191\191"
    for _, good in ipairs({ "", "\0", "plain", every_length }) do
      assert.are.equal(good, probe.clean(good))
    end
  end)

  it("that becomes the same text is the same series", function()
    local set = new()
    local c = set.metric("counter", "c", nil, { "l" })
    set.series_add(c, 1, { "\255" })
    set.series_add(c, 1, { "\254" })
    set.series_add(c, 1, { ("y"):rep(300) })
    set.series_add(c, 1, { ("y"):rep(301) })
    assert.are.equal(2, #set.read().c)
  end)
end)

describe("too many label values", function()
  it("end in one overflow series, so that the sum stays right", function()
    local count = run.under() == "valgrind" and 10000 or 100000
    local set = new(10, 1000, 20000)
    local c = set.metric("counter", "c", nil, { "path", "method" })
    local start = os.clock()
    for i = 1, count do
      set.series_add(c, 1, { "/" .. i, "GET" })
    end
    local spent = os.clock() - start
    local list, stats = set.read().c, set.stats()
    assert.are.equal(1001, #list)
    assert.are.equal(1001, stats.series)
    assert.are.equal(count, sum_of(list))
    local overflow = find(list, { path = "_overflow", method = "_overflow" })
    assert.are.equal(count - 1000, overflow.value)
    assert.are.equal(count - 1000, stats.overflowed)
    assert.are.equal(0, stats.dropped)
    assert.is_true(stats.bytes < 1e6, "bytes: " .. stats.bytes)
    assert.is_true(spent / count < 20e-6, "seconds for each update: " .. spent / count)
  end)

  it("never evict a series that is there", function()
    local set = new(10, 2, 100)
    local c = set.metric("counter", "c", nil, { "l" })
    for i = 1, 10 do
      set.series_add(c, 1, { i })
      set.series_add(c, 1, { 1 })
    end
    assert.are.equal(11, find(set.read().c, { l = "1" }).value)
  end)

  it("count over all metrics too", function()
    local set = new(100, 1000, 50)
    for m = 1, 10 do
      local c = set.metric("counter", "c" .. m, nil, { "l" })
      for i = 1, 10 do
        set.series_add(c, 1, { i })
      end
    end
    assert.are.equal(50, set.stats().overflowed)
    assert.are.equal(55, set.stats().series)
    local h = set.metric("histogram", "h", nil, { "l" }, { 1 })
    set.series_observe(h, 0.5, { "x" })
    assert.are.same({ { l = "_overflow", value = 0.5, counts = { 1, 0 } } }, set.read().h)
    set.series_observe(set.metric("histogram", "plain", nil, nil, { 1 }), 3)
    assert.are.equal(51, set.stats().overflowed)
  end)

  it("drop what a gauge is set to, and count it", function()
    local set = new(10, 1, 100)
    local g = set.metric("gauge", "g", nil, { "l" })
    set.series_assign(g, 1, { "a" })
    set.series_assign(g, 2, { "b" })
    set.series_add(g, 3, { "c" })
    assert.are.same({ { l = "a", value = 1 }, { l = "_overflow", value = 3 } }, set.read().g)
    assert.are.equal(1, set.stats().dropped)
    assert.are.equal(1, set.stats().overflowed)
  end)

  it("leave room again when series are removed", function()
    local set = new(10, 2, 2)
    local c = set.metric("counter", "c", nil, { "l" })
    for i = 1, 3 do
      set.series_add(c, 1, { i })
    end
    set.series_remove(c, { "1" })
    set.series_add(c, 1, { "4" })
    assert.is_truthy(find(set.read().c, { l = "4" }))
    set.series_reset(c)
    set.series_add(c, 1, { "5" })
    assert.are.same({ { l = "5", value = 1 } }, set.read().c)
  end)

  it("are one series with values that a program calls so itself", function()
    local set = new(10, 1, 100)
    local c = set.metric("counter", "c", nil, { "l" })
    set.series_add(c, 1, { "_overflow" })
    set.series_add(c, 1, { "a" })
    set.series_add(c, 1, { "b" })
    assert.are.same({ { l = "_overflow", value = 2 }, { l = "a", value = 1 } }, set.read().c)
  end)
end)

describe("a set whose memory fails #oom #valgrind", function()
  -- Registers and updates as far as the failing requests let it; returns what the counter got.
  local function use(set)
    local added = 0
    local c = set.metric("counter", "c", "help", { "l" })
    local h = set.metric("histogram", "h", nil, { "l" }, { 1, 2 })
    for i = 1, 40 do
      if c then
        set.series_add(c, 1, { i })
        added = added + 1
      end
      if h then
        set.series_observe(h, 1, { i })
      end
    end
    return added
  end

  local function fail(n, failures)
    local set = new()
    local failed_before = set.stats().failures
    probe.fail_after(n, failures)
    local added = use(set)
    probe.fail_after(0, 0)
    local failed = set.stats().failures > failed_before
    assert.are.equal(added, sum_of(set.read().c or {}))
    local before = set.read().c and sum_of(set.read().c) or 0
    assert.are.equal(40, use(set))
    assert.are.equal(before + 40, sum_of(set.read().c))
    probe.close(set.set)
    assert.are.equal(0, set.stats().bytes)
    return failed
  end

  for _, failures in ipairs({ 1, 1e9 }) do
    it("loses no count, and works on, for every n", function()
      collectgarbage()
      collectgarbage()
      local memory = probe.stats(new().set).memory
      local n = 0
      while fail(n, failures) do
        n = n + 1
      end
      assert.is_true(n > 90, "requests: " .. n)
      assert.are.equal(memory, probe.stats(new().set).memory)
    end)
  end

  it("says so at registration", function()
    local set = new()
    probe.fail_after(0, 1e9)
    local id, message, mistake = set.series_register("counter", "c", nil, { "l" })
    probe.fail_after(0, 0)
    assert.is_nil(id)
    assert.are.equal('cannot register "c": out of memory', message)
    assert.is_false(mistake)
    assert.are.same({}, set.read())
  end)
end)

describe("a closed set #valgrind", function()
  it("takes every call and does nothing", function()
    local set = new()
    local c = set.metric("counter", "c", nil, { "l" })
    local g = set.metric("gauge", "g")
    local h = set.metric("histogram", "h", nil, nil, { 1 })
    probe.close(set.set)
    set.series_add(c, 1, { "x" })
    set.series_assign(g, 1)
    set.series_observe(h, 1)
    set.series_remove(g)
    set.series_reset(c)
    assert.are.same({}, set.read())
    local id, message = set.series_register("gauge", "later")
    assert.is_nil(id)
    assert.are.equal('cannot register "later": the VM is closing', message)
    assert.are.equal(0, set.stats().series)
    assert.are.equal(0, set.stats().bytes)
    probe.close(set.set)
  end)
end)

describe("readers on other threads #threads", function()
  it("see every histogram whole while the VM writes, adds and removes", function()
    local set = new()
    local h = set.metric("histogram", "h", nil, { "l" }, { 0.5, 1, 2 })
    local c = set.metric("counter", "c", nil, { "l" })
    for i = 1, 200 do
      set.series_observe(h, 1, { i })
    end
    probe.start_readers(set.set, 3)
    local deadline, updates = os.time() + 2, 0
    while os.time() < deadline do
      for i = 1, 1000 do
        set.series_observe(h, 1, { i % 200 + 1 })
        set.series_add(c, 1, { i % 50 })
        if i % 10 == 0 then
          set.series_remove(c, { i % 50 })
        end
        updates = updates + 1
      end
      set.series_reset(c)
      set.metric("gauge", "g" .. updates % 100)
    end
    local rounds, seen, torn = probe.stop_readers()
    assert.is_true(rounds > 0 and seen > 200, "readers saw nothing")
    assert.are.equal(0, torn)
    assert.are.equal(200 + updates, sum_of(set.read().h))
  end)

  it("do not lock a forked child out", function()
    local set = new()
    local c = set.metric("counter", "c", nil, { "l" })
    for i = 1, 500 do
      set.series_add(c, 1, { i })
    end
    probe.start_readers(set.set, 2)
    local failed = 0
    for _ = 1, 50 do
      failed = failed + (probe.fork(set.set) == 0 and 0 or 1)
    end
    probe.stop_readers()
    assert.are.equal(0, failed)
    assert.are.equal(500, #set.read().c)
  end)

  it("end when the set is closed under them", function()
    for _ = 1, 20 do
      local set = new()
      local c = set.metric("counter", "c", nil, { "l" })
      for i = 1, 500 do
        set.series_add(c, 1, { i })
      end
      probe.start_readers(set.set, 2)
      probe.close(set.set)
      probe.stop_readers()
      assert.are.equal(0, set.stats().bytes)
    end
  end)
end)

describe("a set of user series refuses", function()
  local function mistake(pattern, ...)
    local id, message, mistaken = new().series_register(...)
    assert.is_nil(id)
    assert.is_true(mistaken)
    assert.matches(pattern, message)
  end

  it("names that Prometheus does not take, or that are ours", function()
    for _, name in ipairs({ "", "1x", "a-b", "a b", "a\0b", "\195\164", "_total" }) do
      mistake("must match", "counter", name)
    end
    for _, name in ipairs({ "lua_x", "process_x", "rtmetrics_x" }) do
      mistake("the runtime's own", "gauge", name)
    end
    mistake("longer than 200", "gauge", ("n"):rep(201))
    mistake("must be a string, got no", "gauge")
  end)

  it("labels that Prometheus does not take, or that are ours", function()
    for _, label in ipairs({ "", "1x", "a:b", "a-b" }) do
      mistake("label name .* must match", "counter", "x", nil, { label })
    end
    for _, label in ipairs({ "le", "vm", "__name__" }) do
      mistake("reserved", "counter", "x", nil, { "ok", label })
    end
    mistake("given twice", "counter", "x", nil, { "a", "b", "a" })
    mistake("must be a string, got table", "counter", "x", nil, { {} })
    mistake("list of names, got string", "counter", "x", nil, "label")
    local many = {}
    for i = 1, 33 do
      many[i] = "l" .. i
    end
    mistake("more than 32 labels", "counter", "x", nil, many)
  end)

  it("buckets that do not rise", function()
    local infinite = math.huge
    local falling = { { 1, 1 }, { 2, 1 }, { 0 / 0 }, { -infinite, 1 }, { infinite, 1 } }
    for _, buckets in ipairs(falling) do
      mistake("finite numbers that rise", "histogram", "x", nil, nil, buckets)
    end
    mistake("list of numbers", "histogram", "x", nil, nil, { "1" })
    mistake("list of numbers, got number", "histogram", "x", nil, nil, 5)
    local many = {}
    for i = 1, 129 do
      many[i] = i
    end
    mistake("more than 128 buckets", "histogram", "x", nil, nil, many)
  end)

  it("a name whose samples another metric has", function()
    local set = new()
    set.metric("counter", "c_total", nil, { "l" })
    set.metric("histogram", "h", nil, nil, { 1 })
    set.metric("gauge", "g")
    local function taken(...)
      local id, message, mistaken = set.series_register(...)
      assert.is_nil(id)
      assert.is_true(mistaken)
      assert.matches("taken by the", message)
    end
    taken("counter", "c")
    taken("counter", "c", nil, { "m" })
    taken("gauge", "c", nil, { "l" })
    taken("gauge", "c_total")
    taken("histogram", "h", nil, nil, { 2 })
    taken("gauge", "h_count")
    taken("gauge", "h_bucket")
    taken("counter", "g")
    assert.is_truthy(set.metric("gauge", "h_max"))
    assert.is_truthy(set.metric("gauge", "c_count"))
  end)

  it("more metrics than the limit", function()
    local set = new(2)
    set.metric("gauge", "a")
    set.metric("gauge", "b")
    local id, message, mistaken = set.series_register("gauge", "c")
    assert.is_nil(id)
    assert.is_false(mistaken)
    assert.are.equal('cannot register "c": there are 2 metrics already, the limit', message)
    assert.are.equal(1, set.series_register("gauge", "a"))
  end)

  it("updates that make no sense", function()
    local set = new()
    local c = set.metric("counter", "c", nil, { "l" })
    local g = set.metric("gauge", "g")
    local h = set.metric("histogram", "h", nil, nil, { 1 })
    local function raises(pattern, native, ...)
      local done, message = pcall(set[native], ...)
      assert.is_false(done)
      assert.matches(pattern, message)
    end
    raises("cannot fall", "series_add", c, -1, { "x" })
    raises("must be finite", "series_add", c, 0 / 0, { "x" })
    raises("must be finite", "series_add", c, math.huge, { "x" })
    raises("must be a number, got string", "series_add", c, "1", { "x" })
    raises("must be a number, got no", "series_assign", g)
    raises("must be finite", "series_observe", h, -math.huge)
    raises("a list of 1 label values is missing", "series_add", c, 1)
    raises("label l %(value 1%) must be", "series_add", c, 1, {})
    raises("label l %(value 1%) must be .* got table", "series_add", c, 1, { {} })
    raises("more label values", "series_add", c, 1, { "x", "y" })
    raises("more label values", "series_add", g, 1, { "x" })
    raises("table expected", "series_add", c, 1, "x")
    raises("no such method", "series_assign", c, 1, { "x" })
    raises("no such method", "series_observe", g, 1)
    raises("no such method", "series_add", h, 1)
    raises("not a metric", "series_add", { 99 }, 1)
    raises("not a metric", "series_add", {}, 1)
    raises("with a colon", "series_add", 1)
    assert.are.equal(0, #set.read().c)
  end)
end)
