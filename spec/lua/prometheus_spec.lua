local prometheus_text = require("support.prometheus_text")
local run = require("support.run")

-- Runs a program that prints what prometheus.render returns, and reads it.
local function rendered(code, accept)
  local result = run.script(
    'local prometheus = require("rtmetrics.prometheus")\n'
      .. code
      .. "\nlocal body, content_type = prometheus.render("
      .. (accept and ("%q"):format(accept) or "")
      .. ")\nio.write(content_type, '\\n', body)"
  )
  assert.are.equal(0, result.code, result.err)
  local content_type, body = result.out:match("^([^\n]*)\n(.*)$")
  local format = content_type:match("openmetrics") or "text"
  return prometheus_text.parse(body, format), content_type
end

local function message_of(code)
  local result = run.script(
    'local prometheus = require("rtmetrics.prometheus")\n'
      .. "local done, message = pcall(function() "
      .. code
      .. " end)\nassert(not done, 'nothing was raised')\nio.write(message)"
  )
  assert.are.equal(0, result.code, result.err)
  return result.out
end

describe("rtmetrics.prometheus", function()
  it("shows the program's metrics beside the runtime's", function()
    local families = rendered([[
      local requests =
        prometheus.counter("shop_requests_total", "Requests.", { "method", "status" })
      local carts = prometheus.gauge("shop_carts", "Carts that are open.")
      local time =
        prometheus.histogram("shop_time_seconds", "Time to answer.", { "method" }, { 1, 2 })
      requests:inc(1, { "GET", 200 })
      requests:inc(nil, { "GET", 200 })
      requests:inc(0.5, { "GET", 404 })
      carts:set(3)
      carts:inc()
      carts:inc(-0.5)
      time:observe(1, { "GET" })
      time:observe(5, { "GET" })
    ]])
    local function value(...)
      return prometheus_text.value(families, ...)
    end
    assert.are.equal(2, value("shop_requests_total", { method = "GET", status = "200" }))
    assert.are.equal(0.5, value("shop_requests_total", { method = "GET", status = "404" }))
    assert.are.equal(3.5, value("shop_carts"))
    assert.are.equal(1, value("shop_time_seconds_bucket", { method = "GET", le = "1" }))
    assert.are.equal(2, value("shop_time_seconds_count", { method = "GET" }))
    assert.are.equal("Carts that are open.", families.shop_carts.help)
    local own = 0
    for name in pairs(families) do
      own = own + ((name:match("^lua_") or name:match("^process_")) and 1 or 0)
    end
    assert.is_true(own > 0, "no metric of the runtime")
  end)

  it("answers in the format that Accept asks for", function()
    local _, content_type = rendered("", "application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    assert.are.equal("application/openmetrics-text; version=1.0.0; charset=utf-8", content_type)
    _, content_type = rendered("")
    assert.are.equal("text/plain; version=0.0.4; charset=utf-8", content_type)
  end)

  it("takes the colon of nginx-lua-prometheus, and its default buckets", function()
    local families = rendered([[
      prometheus:counter("c", "help"):inc()
      prometheus:gauge("g", "help", { "l" }):set(2, { "x" })
      prometheus:histogram("h", "help"):observe(0.02)
    ]])
    assert.are.equal(1, prometheus_text.value(families, "c_total"))
    assert.are.equal(2, prometheus_text.value(families, "g", { l = "x" }))
    assert.are.equal(1, prometheus_text.value(families, "h_bucket", { le = "0.02" }))
    assert.are.equal(0, prometheus_text.value(families, "h_bucket", { le = "0.01" }))
    assert.are.equal(22, #families.h.samples)
  end)

  it("returns the same metric for the same registration", function()
    rendered([[
      local a = prometheus.counter("c_total", "help", { "l" })
      assert(a == prometheus.counter("c_total", "help", { "l" }))
      assert(a ~= prometheus.counter("d_total", "help", { "l" }))
    ]])
  end)

  it("forgets what it is told to", function()
    local families = rendered([[
      local c = prometheus.counter("c", "help", { "l" })
      local h = prometheus.histogram("h", "help", { "l" })
      for i = 1, 3 do
        c:inc(i, { i })
        h:observe(i, { i })
      end
      c:del({ 2 })
      h:reset()
    ]])
    assert.are.equal(2, #families.c_total.samples)
    assert.is_nil(families.h)
  end)

  it("keeps to its limits", function()
    local families = rendered([[
      local before = prometheus.limit({ series_per_metric = 2 })
      assert(before.series_per_metric == 1000 and before.metrics == 500 and before.series == 20000)
      assert(prometheus.limit().series_per_metric == 2)
      local c = prometheus.counter("c", "help", { "l" })
      for i = 1, 10 do
        c:inc(1, { i })
      end
      prometheus.limit({ metrics = 1 })
      local none, why = prometheus.gauge("g")
      assert(none == nil and why:find("the limit"), why)
    ]])
    assert.are.equal(8, prometheus_text.value(families, "c_total", { l = "_overflow" }))
  end)

  it("survives updates from finalisers while the VM closes", function()
    local result = run.script([[
      local prometheus = require("rtmetrics.prometheus")
      local c = prometheus.counter("c", "help", { "l" })
      local h = prometheus.histogram("h", "help")
      local function close()
        c:inc(1, { "late" })
        h:observe(1)
        c:reset()
        prometheus.gauge("new")
      end
      for _ = 1, 10 do
        local proxy = newproxy and newproxy(true) or setmetatable({}, { __gc = close })
        if newproxy then
          getmetatable(proxy).__gc = close
        end
        _G["keep" .. tostring(proxy)] = proxy
      end
      io.write("end")
    ]])
    assert.are.equal("", result.err)
    assert.are.equal("end", result.out)
    assert.are.equal(0, result.code)
  end)
end)

describe("rtmetrics.prometheus refuses", function()
  it("mistakes in a registration, at the caller's line", function()
    for code, message in pairs({
      ['prometheus.counter("a-b", "help")'] = 'metric name "a%-b": must match',
      ['prometheus.gauge("lua_x")'] = "metric name .* runtime's own",
      ['prometheus:histogram("h", "", { "le" })'] = 'label name "le": reserved',
      ['prometheus.counter("c"); prometheus.gauge("c_total")'] = "metric name .* taken by",
      ["prometheus.counter({})"] = "a metric's name must be a string",
      ['prometheus.histogram("h", "", nil, { 2, 1 })'] = "buckets of",
    }) do
      assert.matches("^script.lua:2: " .. message, message_of(code))
    end
  end)

  it("mistakes in an update, at the caller's line", function()
    for code, message in pairs({
      ['prometheus.counter("c"):inc(-1)'] = "c: a counter cannot fall",
      ['prometheus.counter("c", "", { "l" }):inc(1, {})'] = "c: label l",
      ['prometheus.counter("c").inc()'] = "call methods of a metric with a colon",
    }) do
      assert.matches("^script.lua:2: " .. message, message_of(code))
    end
  end)

  it("a limit that it does not know", function()
    assert.matches("nearest known is \"series\"", message_of("prometheus.limit({ serie = 1 })"))
    assert.matches("must be at least 0", message_of("prometheus.limit({ series = -1 })"))
  end)
end)
