local encoder = require("prometheus_probe")
local prometheus_text = require("support.prometheus_text")
local run = require("support.run")
local series = require("series_probe")

local formats = { "text", "openmetrics" }

-- A set with some of everything, named as a program would.
local function shop()
  local set = series.new()
  local requests = { set.series_register("counter", "shop_requests_total", "Requests.", { "m" }) }
  local carts = { set.series_register("gauge", "shop_carts", "Carts.") }
  local time =
    { set.series_register("histogram", "shop_time_seconds", "Time.", { "m" }, { 0.1, 1, 10 }) }
  set.series_add(requests, 3, { "GET" })
  set.series_add(requests, 2.5, { "PUT" })
  set.series_assign(carts, -7)
  set.series_observe(time, 0.1, { "GET" })
  set.series_observe(time, 0.7, { "GET" })
  set.series_observe(time, 70, { "GET" })
  return set
end

local function render(format, metrics, ...)
  local sources = {}
  for i, set in ipairs({ ... }) do
    sources[i] = { set = set.set, labels = select("#", ...) > 1 and ('vm="%d"'):format(i) or nil }
  end
  return encoder.render(format, metrics, sources)
end

local function parse(format, metrics, ...)
  return prometheus_text.parse(render(format, metrics, ...), format)
end

local function names_of(list)
  local names = {}
  for i, family in ipairs(list) do
    names[i] = family.name
  end
  return names
end

describe("the runtime's metrics as Prometheus text #valgrind", function()
  it("have one header for each family, and _total where 0.0.4 wants it", function()
    local metrics = {
      { family = "lua_gc_cycles", labels = 'kind="auto"', cumulative = true, value = 12 },
      { family = "lua_gc_cycles", labels = 'kind="forced"', cumulative = true, value = 3 },
      { family = "lua_heap_bytes", help = 'a "b" \\ \n c', value = 2 ^ 40 },
    }
    assert.are.equal(
      table.concat({
        "# HELP lua_gc_cycles_total A thing.",
        "# TYPE lua_gc_cycles_total counter",
        'lua_gc_cycles_total{kind="auto"} 12',
        'lua_gc_cycles_total{kind="forced"} 3',
        '# HELP lua_heap_bytes a "b" \\\\ \\n c',
        "# TYPE lua_heap_bytes gauge",
        "lua_heap_bytes 1099511627776\n",
      }, "\n"),
      render("text", metrics)
    )
    assert.are.equal(
      table.concat({
        "# HELP lua_gc_cycles A thing.",
        "# TYPE lua_gc_cycles counter",
        'lua_gc_cycles_total{kind="auto"} 12',
        'lua_gc_cycles_total{kind="forced"} 3',
        '# HELP lua_heap_bytes a \\"b\\" \\\\ \\n c',
        "# TYPE lua_heap_bytes gauge",
        "# UNIT lua_heap_bytes bytes",
        "lua_heap_bytes 1099511627776",
        "# EOF\n",
      }, "\n"),
      render("openmetrics", metrics)
    )
  end)

  it("leave out what is bad, and its header where nothing is left", function()
    local metrics = {
      { family = "lua_a", bad = true },
      { family = "lua_b", bad = true, labels = 'k="1"' },
      { family = "lua_b", value = 1, labels = 'k="2"' },
      { family = "lua_c", kind = "float64", cumulative = true, value = 0 / 0 },
      { family = "lua_d", kind = "float64", cumulative = true, value = -1 },
      { family = "lua_e", kind = "float64", value = 0 / 0 },
      { family = "lua_f", kind = "histogram", bad = true },
    }
    for _, format in ipairs(formats) do
      local _, list = parse(format, metrics)
      assert.are.same({ "lua_b", "lua_e" }, names_of(list))
    end
    assert.are.equal("", render("text", { metrics[1] }))
    assert.are.equal("# EOF\n", render("openmetrics", { metrics[1] }))
  end)

  it("put the VM's label before their own", function()
    local body = render("text", { { family = "lua_a", labels = 'k="1"', extra = 'vm="2"' } })
    assert.matches('lua_a{vm="2",k="1"} 0', body, 1, true)
  end)

  it("are scaled to base units without losing digits", function()
    local function value_of(metric)
      metric.family = "lua_x_seconds"
      local _, list = parse("text", { metric })
      return list[1].samples[1].text
    end
    assert.are.equal("1.23456789", value_of({ value = 1234567890, scale = 1e-9 }))
    assert.are.equal("9007199.254740991", value_of({ value = 2 ^ 53 - 1, scale = 1e-9 }))
    assert.are.equal("0.000000001", value_of({ value = 1, scale = 1e-9 }))
    assert.are.equal("0.25", value_of({ value = 25, scale = 0.01 }))
    assert.are.equal("0", value_of({ value = 0, scale = 1e-9 }))
  end)

  it("read back as the very same numbers", function()
    local seed = os.time()
    math.randomseed(seed)
    for _ = 1, 2000 do
      local value = (math.random() - 0.5) * 10 ^ math.random(-30, 30)
      if math.random(2) == 1 then
        value = math.floor(value * 1e9) / 1e9
      end
      local body = render("text", { { family = "lua_x", kind = "float64", value = value } })
      assert.are.equal(value, tonumber(body:match("\nlua_x ([^\n]+)\n$")), "seed " .. seed)
    end
    for value, text in pairs({ [math.huge] = "+Inf", [-math.huge] = "-Inf", [-0.5] = "-0.5" }) do
      local body = render("text", { { family = "lua_x", kind = "float64", value = value } })
      assert.matches("lua_x " .. text .. "\n", body, 1, true)
    end
  end)
end)

describe("the runtime's histograms as Prometheus text #valgrind", function()
  local function bounds_of(format, field)
    local _, list = parse(format, { { family = "lua_h", kind = "histogram", [field] = {} } })
    local bounds = {}
    for _, sample in ipairs(list[1].samples) do
      bounds[#bounds + 1] = sample.labels.le
    end
    return table.concat(bounds, " ")
  end

  it("have bounds at least ten times apart for times, twice for sizes", function()
    local times = "6.3e-08 6.39e-07 7.167e-06 8.1919e-05 0.000917503 0.010485759 0.117440511 "
      .. "1.342177279 +Inf"
    assert.are.equal(times, bounds_of("text", "times"))
    assert.are.equal(times, bounds_of("openmetrics", "times"))
    assert.matches("^16 32 64 128 .* 524288 1%.048576e%+06 .* %+Inf$", bounds_of("text", "sizes"))
    assert.matches(
      "^16%.0 32%.0 64%.0 .* 524288%.0 1%.048576e%+06 .* %+Inf$",
      bounds_of("openmetrics", "sizes")
    )
  end)

  -- `unit`: how many of the recorded whole numbers make one of the metric's unit.
  local function check(field, unit, greatest)
    local seed = os.time()
    math.randomseed(seed)
    local values, sum = {}, 0
    for i = 1, 500 do
      values[i] = math.floor(greatest ^ math.random()) + (i % 50 == 0 and 63 or 0)
      sum = sum + values[i]
    end
    for _, special in ipairs({ 16, 17, 32, 33, 63, 64, 639, 640, 917503, 917504 }) do
      values[#values + 1] = special
      sum = sum + special
    end
    local metric = { family = "lua_h", kind = "histogram", [field] = values }
    local _, list = parse("text", { metric })
    for _, sample in ipairs(list[1].samples) do
      local le = sample.labels.le and (tonumber(sample.labels.le) or math.huge)
      local expected = 0
      for _, value in ipairs(values) do
        expected = expected + (le and value / unit <= le and 1 or 0)
      end
      if le then
        assert.are.equal(expected, sample.value, ("le %g, seed %d"):format(le, seed))
      elseif sample.name == "lua_h_count" then
        assert.are.equal(#values, sample.value)
      else
        assert.is_true(math.abs(sample.value - sum / unit) <= 1e-12 * sum / unit)
      end
    end
  end

  it("count every value on the right side of each bound", function()
    check("times", 1e9, 1e11)
    check("sizes", 1, 1e11)
  end)

  it("keep every bound of a layout that is not known", function()
    local families = parse("text", {
      {
        family = "lua_h",
        kind = "histogram",
        bounds = { -math.huge, 0, 1, 100, math.huge },
        counts = { 1, 2, 3, 4 },
        sum = 5.5,
      },
    })
    local function value(...)
      return prometheus_text.value(families, ...)
    end
    assert.are.equal(3, value("lua_h_bucket", { le = "0.9999999999999999" }))
    assert.are.equal(6, value("lua_h_bucket", { le = "99.99999999999999" }))
    assert.are.equal(10, value("lua_h_count"))
    assert.are.equal(5.5, value("lua_h_sum"))
  end)
end)

describe("a program's metrics as Prometheus text #valgrind", function()
  it("have the values that were put in", function()
    for _, format in ipairs(formats) do
      local families, list = parse(format, {}, shop())
      local function value(...)
        return prometheus_text.value(families, ...)
      end
      assert.are.equal(3, #list)
      assert.are.equal(3, value("shop_requests_total", { m = "GET" }))
      assert.are.equal(2.5, value("shop_requests_total", { m = "PUT" }))
      assert.are.equal(-7, value("shop_carts"))
      assert.are.equal(1, value("shop_time_seconds_bucket", { m = "GET", le = "0.1" }))
      local one = format == "text" and "1" or "1.0"
      assert.are.equal(2, value("shop_time_seconds_bucket", { m = "GET", le = one }))
      assert.are.equal(3, value("shop_time_seconds_bucket", { m = "GET", le = "+Inf" }))
      assert.are.equal(70.8, value("shop_time_seconds_sum", { m = "GET" }))
    end
  end)

  it("follow the runtime's, each family in one piece, from several VMs too", function()
    local third = series.new()
    local clash = { third.series_register("gauge", "shop_requests_total") }
    third.series_assign(clash, 1)
    local own = { third.series_register("gauge", "third_only") }
    third.series_assign(own, 1)
    for _, format in ipairs(formats) do
      local families, list = parse(format, { { family = "lua_a" } }, shop(), shop(), third)
      assert.are.equal("lua_a", list[1].name)
      assert.are.equal(5, #list)
      for _, vm in ipairs({ "1", "2" }) do
        local labels = { m = "GET", vm = vm }
        assert.are.equal(3, prometheus_text.value(families, "shop_requests_total", labels))
      end
      assert.are.equal(1, prometheus_text.value(families, "third_only", { vm = "3" }))
      assert.is_nil(prometheus_text.value(families, "shop_requests_total", { vm = "3" }))
    end
  end)

  it("have no header without help, and none at all without series", function()
    local set = series.new()
    set.series_register("counter", "labelled", "Help.", { "l" })
    local g = { set.series_register("gauge", "plain") }
    assert.are.equal("# TYPE plain gauge\nplain 0\n", render("text", {}, set))
    set.series_reset(g)
    assert.are.equal("", render("text", {}, set))
  end)

  it("have canonical bounds in OpenMetrics", function()
    local set = series.new()
    local bounds = { -1e-10, 0, 1e-10, 1e-5, 0.0001, 0.1, 1, 1.7, 12.5, 1e5, 123456, 1e6, 1e10 }
    local h = { set.series_register("histogram", "h", nil, nil, bounds) }
    set.series_observe(h, 1)
    local function les(format)
      local found = {}
      for le in render(format, {}, set):gmatch('le="(.-)"') do
        found[#found + 1] = le
      end
      return table.concat(found, " ")
    end
    assert.are.equal(
      "-1e-10 0.0 1e-10 1e-05 0.0001 0.1 1.0 1.7 12.5 100000.0 123456.0 1e+06 1e+10 +Inf",
      les("openmetrics")
    )
    assert.are.equal(
      "-1e-10 0 1e-10 1e-05 0.0001 0.1 1 1.7 12.5 100000 123456 1e+06 1e+10 +Inf",
      les("text")
    )
  end)

  it("have no sum in OpenMetrics where it can fall", function()
    local set = series.new()
    set.series_observe({ set.series_register("histogram", "h", nil, nil, { 1 }) }, -2)
    local below = { set.series_register("histogram", "below", nil, nil, { -1, 1 }) }
    set.series_observe(below, 2)
    local families = parse("openmetrics", {}, set)
    assert.is_nil(prometheus_text.value(families, "h_sum"))
    assert.is_nil(prometheus_text.value(families, "below_sum"))
    families = parse("text", {}, set)
    assert.are.equal(-2, prometheus_text.value(families, "h_sum"))
  end)

  it("carry any bytes in labels and help", function()
    local set = series.new()
    local hostile = {
      'quotes " and \\ and \n',
      "\\n",
      "nul \0 byte",
      "<script>alert(1)</script>",
      "\240\159\152\128 }, 1\n# EOF\n",
      "",
      "a,b=\"c\"} 5",
      "\r\t\127",
    }
    local c = { set.series_register("counter", "c", "Help \\ \n \" \0 \255 x", { "l", "m" }) }
    for i, value in ipairs(hostile) do
      set.series_add(c, i, { value, hostile[#hostile - i + 1] })
    end
    set.series_add(c, 100, { "\255", ("x"):rep(1e6) })
    for _, format in ipairs(formats) do
      local families, list = parse(format, {}, set)
      for i, value in ipairs(hostile) do
        local labels = { l = value, m = hostile[#hostile - i + 1] }
        assert.are.equal(i, prometheus_text.value(families, "c_total", labels))
      end
      local long = { l = "\239\191\189", m = ("x"):rep(256) }
      assert.are.equal(100, prometheus_text.value(families, "c_total", long))
      assert.are.equal("Help \\ \n \"   \239\191\189 x", list[1].help)
    end
  end)

  it("survive random labels and values there and back", function()
    local seed = os.time()
    math.randomseed(seed)
    local alphabet = { '"', "\\", "\n", "n", "\0", "{", "}", ",", "=", " ", "a", "\195\164" }
    local function word()
      local out = {}
      for i = 1, math.random(0, 6) do
        out[i] = alphabet[math.random(#alphabet)]
      end
      return table.concat(out)
    end
    local set, model = series.new(), {}
    local g = { set.series_register("gauge", "g", word(), { "a", "b" }) }
    for i = 1, 500 do
      local a, b = word(), word()
      local value = math.random(3) == 1 and i or (math.random() - 0.5) * 10 ^ math.random(-12, 12)
      model[#a .. ":" .. a .. b] = { a = a, b = b, value = value }
      set.series_assign(g, value, { a, b })
    end
    for _, format in ipairs(formats) do
      local families = parse(format, {}, set)
      local count = 0
      for _, sample in ipairs(families.g.samples) do
        local key = #sample.labels.a .. ":" .. sample.labels.a .. sample.labels.b
        assert.are.equal(model[key].value, sample.value, "seed " .. seed)
        count = count + 1
      end
      for _ in pairs(model) do
        count = count - 1
      end
      assert.are.equal(0, count, "seed " .. seed)
    end
  end)
end)

describe("promtool", function()
  local has_promtool = run.command("command -v promtool").code == 0

  it("finds nothing to say about the text format", function()
    if not has_promtool then
      pending("promtool is missing (Debian: prometheus)")
      return
    end
    local set = shop()
    local c = { set.series_register("counter", "odd_things", "Odd things.", { "what" }) }
    for _, what in ipairs({ '"', "\\", "\n", "\0", "\255", ("x"):rep(1e6), "<script>" }) do
      set.series_add(c, 1, { what })
    end
    local body = render("text", {
      { family = "lua_gc_cycles", cumulative = true, value = 12 },
      { family = "lua_heap_bytes", value = 1 },
      { family = "lua_pause_seconds", kind = "histogram", times = { 5, 1e6 }, extra = 'vm="1"' },
      { family = "lua_pause_seconds", kind = "histogram", times = { 5, 1e6 }, extra = 'vm="2"' },
      { family = "lua_alloc_bytes", kind = "histogram", sizes = { 5, 1e6 } },
    }, set)
    local result = run.command("promtool check metrics", { stdin = body })
    assert.are.equal("", result.out .. result.err)
    assert.are.equal(0, result.code)
  end)
end)

describe("the Accept header", function()
  local function chooses(format, accept)
    assert.are.equal(format, (encoder.choose(accept)), accept)
  end

  it("gets 0.0.4 when it is absent or asks for anything", function()
    for _, accept in ipairs({ "", "*/*", "text/*", "text/plain", "TEXT/PLAIN" }) do
      chooses("text", accept)
    end
    chooses("text", "text/html, */*;q=0.1")
    chooses("text", nil)
    chooses("text", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
    chooses("text", "image/png")
  end)

  it("gets OpenMetrics as Prometheus servers ask for it", function()
    chooses(
      "openmetrics",
      "application/openmetrics-text;version=1.0.0,"
        .. "application/openmetrics-text;version=0.0.1;q=0.75,"
        .. "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    )
    chooses(
      "openmetrics",
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        .. "application/openmetrics-text;version=0.0.1;q=0.5,"
        .. "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
        .. "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    )
    chooses(
      "text",
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
        .. "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5"
    )
    chooses("openmetrics", "application/openmetrics-text")
    chooses("openmetrics", 'Application/OpenMetrics-Text ; Version = "1.0.0"')
  end)

  it("weighs q before order, and names before wildcards", function()
    chooses("text", "application/openmetrics-text;q=0.5, text/plain;q=0.6")
    chooses("openmetrics", "text/plain;q=0.5, application/openmetrics-text;q=0.501")
    chooses("openmetrics", "application/openmetrics-text, text/plain;version=0.0.4")
    chooses("text", "text/plain;version=0.0.4, application/openmetrics-text")
    chooses("openmetrics", "*/*, application/openmetrics-text")
    chooses("openmetrics", "application/*, */*;q=0.9")
    chooses("openmetrics", "text/plain;q=0, */*;q=0.1")
    chooses("text", "application/openmetrics-text;q=0, */*;q=0.1")
    chooses("text", "application/openmetrics-text;q=0")
  end)

  it("is read past what makes no sense", function()
    for _, accept in ipairs({
      "application/openmetrics-text;q=2",
      "application/openmetrics-text;q=x",
      "application/openmetrics-text;q=0.1234",
      "application/openmetrics-text;q=",
      "application/openmetrics-text;q=1.001",
      "application/openmetrics-text;version=2.0.0",
      "application/openmetrics-textual",
      '"application/openmetrics-text, text/plain',
      ",,;;==,\\",
      ("a/b,"):rep(10000),
      "application/openmetrics-text;q=-1",
    }) do
      chooses("text", accept)
    end
    chooses("openmetrics", ',  ,application/openmetrics-text;x="a,b;c\\"";version=1.0.0')
  end)

  it("comes back as the content type", function()
    local _, content_type = encoder.choose(nil)
    assert.are.equal("text/plain; version=0.0.4; charset=utf-8", content_type)
    _, content_type = encoder.choose("application/openmetrics-text")
    assert.are.equal("application/openmetrics-text; version=1.0.0; charset=utf-8", content_type)
  end)
end)

describe("a document that does not fit", function()
  it("fails as a whole", function()
    local set = shop()
    local whole = render("text", {}, set)
    local sources = { { set = set.set } }
    assert.are.equal(whole, encoder.render("text", {}, sources, #whole))
    for cap = 0, #whole - 1, 7 do
      assert.is_nil(encoder.render("text", {}, sources, cap))
    end
  end)

  it("fails at every refused request for memory #oom", function()
    local set = shop()
    local metrics = { { family = "lua_a", labels = 'k="1"' } }
    local whole = render("openmetrics", metrics, set)
    local failures = 0
    for n = 0, 30 do
      encoder.fail_after(n, 1)
      local body = render("openmetrics", metrics, set)
      encoder.fail_after(0, 0)
      assert.is_true(body == nil or body == whole)
      failures = failures + (body == nil and 1 or 0)
    end
    assert.is_true(failures >= 3 and failures < 31, "failures: " .. failures)
  end)
end)
