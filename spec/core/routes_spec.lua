local json = require "support.json"
local prometheus_text = require "support.prometheus_text"
local run = require "support.run"

-- Answers as HTTP would carry them, one after the other on standard output.
local PRELUDE = [[
local rt = require "rtmetrics"
local core = require "rtmetrics.core"

local function show(status, headers, body)
  local lines = { tostring(status) }
  for name, value in pairs(headers) do
    lines[#lines + 1] = name .. ": " .. value
  end
  io.write(table.concat(lines, "\n"), "\n\n", #body, "\n", body)
end
]]

local function parse_answers(out)
  local answers, at = {}, 1
  while at <= #out do
    local head, length, first = out:match("^(.-)\n\n(%d+)\n()", at)
    local answer = { status = tonumber(head:match("^%d+")), headers = {} }
    for name, value in head:gmatch("\n([^:\n]+): ([^\n]*)") do
      answer.headers[name] = value
    end
    answer.body = out:sub(first, first + tonumber(length) - 1)
    answers[#answers + 1], at = answer, first + tonumber(length)
  end
  return answers
end

local function run_lua(code)
  local result = run.script(PRELUDE .. code)
  assert.are.equal(0, result.code, result.err)
  return result.out
end

-- The answers that a program shows.
local function answers_of(code)
  return parse_answers(run_lua(code))
end

-- The answer to one request: the arguments of core.answer.
local function ask(...)
  local words = {}
  for i = 1, 5 do
    local word = select(i, ...)
    words[i] = word and ("%q"):format(word) or "nil"
  end
  return answers_of(("show(core.answer(%s))"):format(table.concat(words, ", ")))[1]
end

local function gunzip(bytes)
  local result = run.command("gzip -dc", { stdin = bytes })
  assert.are.equal(0, result.code, result.err)
  return result.out
end

local function has_zlib()
  local core = run.build() .. "/lib/rtmetrics/core.so"
  return run.command("nm -D " .. run.quote(core) .. " | grep -q ' deflate$'").code == 0
end

local PAGES = {
  ["/"] = "text/html; charset=utf-8",
  ["/metrics"] = "text/plain; version=0.0.4; charset=utf-8",
  ["/debug/vars"] = "application/json; charset=utf-8",
  ["/debug/pprof/"] = "text/html; charset=utf-8",
  ["/healthz"] = "text/plain; charset=utf-8",
  ["/style.css"] = "text/css; charset=utf-8",
}

local function assert_guarded(headers)
  assert.are.equal("nosniff", headers["X-Content-Type-Options"])
  assert.are.equal("no-store", headers["Cache-Control"])
  assert.are.equal("no-referrer", headers["Referrer-Policy"])
  local policy = headers["Content-Security-Policy"]
  assert.matches("default-src 'none'", policy, 1, true)
  assert.matches("frame-ancestors 'none'", policy, 1, true)
  assert.not_matches("unsafe", policy, 1, true)
end

describe("the table of pages", function()
  it("has a sentence, a class and methods for each", function()
    local out = run_lua([[
      local classes = {}
      for _, name in ipairs(select(2, core.routes())) do classes[name] = true end
      for _, route in ipairs((core.routes())) do
        assert(route.path:find("^/") and route.help:find("%.$") and classes[route.class])
        print(route.path, table.concat(route.methods, " "))
      end
    ]])
    local count = 0
    for path, methods in out:gmatch("(%S+)\t([^\n]*)\n") do
      count = count + 1
      assert.is_truthy(PAGES[path] or path == "/debug/pprof", path)
      assert.are.equal("GET HEAD", methods)
    end
    assert.are.equal(7, count)
  end)

  it("leads to pages that are there, of their type, and guarded", function()
    for path, content_type in pairs(PAGES) do
      local answer = ask("GET", path)
      assert.are.equal(200, answer.status, path)
      assert.are.equal(content_type, answer.headers["Content-Type"], path)
      assert.is_true(#answer.body > 0, path)
      assert_guarded(answer.headers)
    end
  end)

  it("answers HEAD as GET: the server leaves the body out", function()
    local answer = ask("HEAD", "/healthz")
    assert.are.equal(200, answer.status)
    assert.are.equal("ok\n", answer.body)
  end)

  it("leads from /debug/pprof to where links on that page work", function()
    local answer = ask("GET", "/debug/pprof")
    assert.are.equal(301, answer.status)
    assert.are.equal("pprof/", answer.headers["Location"])
    assert_guarded(answer.headers)
  end)

  it("takes no notice of a query", function()
    assert.are.equal(200, ask("GET", "/healthz", "x=1&y").status)
  end)
end)

describe("the table of pages refuses", function()
  it("what is no page", function()
    for _, path in ipairs({ "/nothing", "", "metrics", "/metrics/", "//metrics", "/Metrics" }) do
      local answer = ask("GET", path)
      assert.are.equal(404, answer.status, path)
      assert.are.equal("text/plain; charset=utf-8", answer.headers["Content-Type"])
      assert_guarded(answer.headers)
    end
    local cut = answers_of([[show(core.answer("GET", "/metrics\0/x"))]])[1]
    assert.are.equal(404, cut.status)
  end)

  it("other methods, naming those that there are", function()
    for _, method in ipairs({ "POST", "PUT", "DELETE", "OPTIONS", "get", "" }) do
      local answer = ask(method, "/metrics")
      assert.are.equal(405, answer.status, method)
      assert.are.equal("GET, HEAD", answer.headers["Allow"])
      assert_guarded(answer.headers)
    end
    assert.are.equal(404, ask("POST", "/nothing").status)
  end)

  it("arguments of another type", function()
    run_lua([[
      assert(not pcall(core.answer))
      assert(not pcall(core.answer, "GET"))
      assert(not pcall(core.answer, "GET", {}))
      assert(not pcall(core.answer, "GET", "/metrics", {}))
      assert(not pcall(core.refuse, "x", "y"))
    ]])
  end)
end)

describe("/metrics #valgrind", function()
  it("is what prometheus.render gives", function()
    local answers = answers_of([[
      local prometheus = require "rtmetrics.prometheus"
      prometheus.counter("shop_requests_total", "Requests.", { "path" }):inc(3, { "/<script>\n\"" })
      rt.gc()
      for _, accept in ipairs { "text/plain", "application/openmetrics-text" } do
        show(core.answer("GET", "/metrics", nil, accept))
        local body, content_type = prometheus.render(accept)
        show(200, { ["Content-Type"] = content_type }, body)
      end
    ]])
    for i, format in ipairs({ "text", "openmetrics" }) do
      local page, rendered = answers[2 * i - 1], answers[2 * i]
      assert.are.equal(rendered.headers["Content-Type"], page.headers["Content-Type"])
      assert.are.equal("Accept, Accept-Encoding", page.headers["Vary"])
      local ours = prometheus_text.parse(page.body, format)
      local theirs = prometheus_text.parse(rendered.body, format)
      for name, family in pairs(theirs) do
        assert.are.equal(family.type, ours[name] and ours[name].type, name)
      end
      for name in pairs(ours) do
        assert.is_truthy(theirs[name], name)
      end
      local labels = { path = "/<script>\n\"" }
      local name = format == "text" and "shop_requests_total" or "shop_requests"
      assert.are.equal(3, prometheus_text.value(ours, "shop_requests_total", labels), name)
    end
  end)

  -- A counter that changed its name would be counted twice by sums of rates.
  it("tells VMs apart from the second one on, and then for good", function()
    local out = run_lua([[
      local probe = require "routes_probe"
      io.write((select(3, core.answer("GET", "/metrics"))), "--\n")
      local other = probe.new_vm('require("rtmetrics")')
      io.write((select(3, core.answer("GET", "/metrics"))))
      probe.close_vm(other)
      io.write("--\n", (select(3, core.answer("GET", "/metrics"))))
    ]])
    local one, two, left = out:match("^(.-)%-%-\n(.-)%-%-\n(.*)$")
    assert.matches("\nlua_heap_bytes %d", one)
    assert.not_matches("vm=", one)
    prometheus_text.parse(two, "text")
    assert.matches('\nlua_heap_bytes{vm="1"} %d', two)
    assert.matches('\nlua_heap_bytes{vm="2"} %d', two)
    assert.matches("\nprocess_resident_memory_bytes %d", two)
    assert.matches('\nlua_heap_bytes{vm="1"} %d', left)
    assert.not_matches('vm="2"', left)
  end)
end)

-- Metrics and memstats, read by Lua before and after the page was made. The collector stands still.
local READ_AROUND = [[
  local function digits(value)
    local is_integer = math.type and math.type(value) == "integer"
    return (is_integer and "%d" or "%.17g"):format(value)
  end
  local function list(values)
    local parts = {}
    for i, value in ipairs(values) do parts[i] = digits(value) end
    return table.concat(parts, " ")
  end
  local function print_all(title)
    for _, metric in ipairs(rt.all()) do
      local value, kind = rt.value(metric.name)
      if kind == "float64-histogram" then
        print(title, metric.name, "counts", list(value.counts))
        print(title, metric.name, "buckets", list(value.buckets))
      else
        print(title, metric.name, "value", kind == "bad" and "null" or digits(value))
      end
    end
    for name, value in pairs(rt.memstats()) do
      if name ~= "by_size" then
        print(title, "memstats." .. name, "value", digits(value))
      end
    end
  end
  for i = 1, 50 do
    coroutine.wrap(function() local t = { ("x"):rep(i) } coroutine.yield(t) end)()
  end
  rt.gc()
  collectgarbage("stop")
  print_all("before")
  local page = select(3, core.answer("GET", "/debug/vars"))
  print_all("after")
  io.write("page\n", page)
]]

local function numbers_of(text)
  local numbers = {}
  for word in text:gmatch("%S+") do
    local special = { inf = math.huge, ["-inf"] = -math.huge }
    numbers[#numbers + 1] = special[word] or tonumber(word)
  end
  return numbers
end

local function read_around()
  local out = run_lua(READ_AROUND)
  local lines, page = out:match("^(.-)page\n(.*)$")
  local readings = { before = {}, after = {} }
  for when, name, part, text in lines:gmatch("(%l+)\t([^\t]+)\t(%l+)\t([^\n]*)\n") do
    readings[when][name] = readings[when][name] or {}
    readings[when][name][part] = text == "null" and "null" or numbers_of(text)
  end
  return readings, page
end

local INFINITIES = { ["+Inf"] = math.huge, ["-Inf"] = -math.huge }

local function assert_between(low, value, high, name)
  if low > high then
    low, high = high, low
  end
  if low % 1 ~= 0 then -- a moment is reckoned anew from two clocks each time
    low, high = low * (1 - 1e-9), high * (1 + 1e-9)
  end
  assert.is_true(low <= value and value <= high,
    ("%s: %.17g is not between %.17g and %.17g"):format(name, value, low, high))
end

local function assert_histogram(name, value, before, after)
  assert.are.equal(#before.counts, #value.counts, name)
  assert.are.equal(#before.counts + 1, #value.buckets, name)
  for i, count in ipairs(value.counts) do
    assert_between(before.counts[i], count, after.counts[i], name)
  end
  for i, bound in ipairs(value.buckets) do
    assert.are.equal(before.buckets[i], INFINITIES[bound] or bound, name)
  end
end

local function assert_metric(name, value, before, after)
  if before.counts then
    assert_histogram(name, value, before, after)
  elseif before.value == "null" or after.value == "null" then
    assert.are.equal(json.null, value, name)
  else
    assert_between(before.value[1], value, after.value[1], name)
  end
end

-- Figures that need not lie between two readings: of the system, or rising and falling meanwhile.
local RESTLESS = {
  "^/process/", "^/cpu/classes/total:", "^/sched/threads", "^/memory/",
  "^memstats%.gc_cpu_fraction", "^memstats%.alloc_bytes", "^memstats%.sys_bytes",
}

local function is_restless(name)
  for _, pattern in ipairs(RESTLESS) do
    if name:find(pattern) then
      return true
    end
  end
end

describe("/debug/vars #valgrind", function()
  it("has each metric, with the value that rt.read gives", function()
    local readings, page = read_around()
    local vars, count = json.parse(page), 0
    for name, before in pairs(readings.before) do
      local field = name:match("^memstats%.(.*)$")
      local value = vars[name]
      if field then
        value = vars.memstats[field]
      end
      assert.is_not_nil(value, name)
      count = count + 1
      if not is_restless(name) then
        assert_metric(name, value, before, readings.after[name])
      end
    end
    assert.is_true(count > 80, count)
    for name in pairs(vars) do
      assert.is_truthy(readings.before[name] or name == "memstats", name)
    end
  end)

  it("has the classes of block sizes", function()
    local memstats = json.parse(ask("GET", "/debug/vars").body).memstats
    local allocated, freed = 0, 0
    for i, class in ipairs(memstats.by_size) do
      allocated, freed = allocated + class.mallocs, freed + class.frees
      assert.are.equal(i == #memstats.by_size, class.size == "+Inf")
    end
    assert.are.equal(16, memstats.by_size[1].size)
    assert.are.equal(memstats.mallocs, allocated)
    -- Frees of blocks that are older than rtmetrics are counted in both.
    assert.are.equal(memstats.frees, freed)
  end)

  it("says null where nothing is known", function()
    local vars = json.parse(answers_of([[
      rt.stop()
      show(core.answer("GET", "/debug/vars"))
    ]])[1].body)
    assert.are.equal(json.null, vars["/gc/heap/allocs:bytes"] or json.null)
    assert.are.equal(json.null, vars["/process/start:unix-seconds"])
    assert.is_true(vars["/memory/classes/rtmetrics:bytes"] >= 0)
  end)

  it("has an object for each VM where there are several", function()
    local vars = json.parse(answers_of([[
      local probe = require "routes_probe"
      local other = probe.new_vm('require("rtmetrics") keep = ("x"):rep(1e6)')
      show(core.answer("GET", "/debug/vars"))
    ]])[1].body)
    assert.is_true(vars["/process/memory/resident:bytes"] > 0)
    assert.is_nil(vars.memstats)
    assert.is_nil(vars["/gc/heap/allocs:bytes"])
    local function heap(number)
      assert.is_nil(vars.vms[number]["/process/memory/resident:bytes"])
      assert.are.equal(vars.vms[number].memstats.alloc_bytes,
        vars.vms[number]["/memory/classes/heap/objects:bytes"])
      return vars.vms[number].memstats.alloc_bytes
    end
    assert.is_true(heap("2") > 1e6)
    assert.is_true(heap("1") < 1e6)
    assert.is_nil(vars.vms["3"])
  end)

  it("is JSON to others as well", function()
    local page = ask("GET", "/debug/vars").body
    local readers = { "python3 -c 'import json, sys; json.load(sys.stdin)'", "jq -e ." }
    local tried = 0
    for _, reader in ipairs(readers) do
      if run.command("command -v " .. reader:match("^%S+")).code == 0 then
        tried = tried + 1
        local result = run.command(reader .. " >out", { stdin = page })
        assert.are.equal(0, result.code, result.err)
      end
    end
    if tried == 0 then pending("neither python3 nor jq is installed") end
  end)
end)

describe("the index", function()
  it("links to each page, wherever it is mounted", function()
    local page, found = ask("GET", "/").body, {}
    for link in page:gmatch('<a href="([^"]*)"') do
      found["/" .. link] = true
    end
    for _, path in ipairs({ "/metrics", "/debug/vars", "/debug/pprof/", "/healthz" }) do
      assert.is_true(found[path], path)
    end
    assert.matches('<link rel="stylesheet" href="style.css">', page, 1, true)
    for attribute in page:gmatch('[hs][re][ec]f?="([^"]*)"') do
      assert.not_matches("^/", attribute)
      assert.not_matches("^%a+:", attribute)
    end
  end)

  it("has no script and no style of its own", function()
    for _, text in ipairs({ ask("GET", "/").body, ask("GET", "/debug/pprof/").body }) do
      assert.not_matches("<script", text:lower(), 1, true)
      assert.not_matches("<style", text:lower(), 1, true)
      assert.not_matches("%son%l+=", text:lower())
      assert.not_matches("style=", text:lower(), 1, true)
    end
  end)

  local function vms_of(code)
    local rows = {}
    for row in answers_of(code)[1].body:gmatch("<tr>(<td>%d.-)</tr>") do
      local cells = {}
      for cell in row:gmatch("<td>(.-)</td>") do
        cells[#cells + 1] = cell
      end
      rows[#rows + 1] = cells
    end
    return rows
  end

  it("tells of each VM what it was last seen to do", function()
    local rows = vms_of([[
      rt.start { sched = "full" }
      keep = ("x"):rep(5 * 2 ^ 20)
      threads = {}
      local function wait() coroutine.yield() end
      for i = 1, 3 do threads[i] = coroutine.create(wait) end
      coroutine.resume(threads[1])
      rt.gc()
      local probe = require "routes_probe"
      local other = probe.new_vm('require("rtmetrics")')
      core.answer("GET", "/")
      show(core.answer("GET", "/"))
    ]])
    assert.are.equal(2, #rows)
    assert.are.equal("1", rows[1][1])
    assert.matches("^%d+%.%d MiB$", rows[1][2])
    assert.are.equal("3", rows[1][3])
    assert.matches("^%d+ ms ago$", rows[1][4])
    assert.matches("^within the last %d+ ms$", rows[1][5])
    assert.matches("^%d+ ms ago$", rows[1][6])
    assert.are.equal("2", rows[2][1])
    assert.matches("KiB$", rows[2][2])
  end)

  it("says what is not known", function()
    local rows = vms_of([[
      rt.start { heap = false, gc = false, sched = false }
      show(core.answer("GET", "/"))
    ]])
    assert.are.equal("not known", rows[1][2])
    assert.are.equal("not known", rows[1][3])
    assert.are.equal("not known", rows[1][4])
  end)
end)

describe("/debug/pprof/", function()
  it("says that there are no profiles", function()
    assert.matches("no profiles", ask("GET", "/debug/pprof/").body, 1, true)
  end)
end)

describe("a page as gzip", function()
  it("is what it is without", function()
    if not has_zlib() then return pending("built without zlib") end
    local answer = ask("GET", "/metrics", nil, "application/openmetrics-text", "gzip, deflate")
    assert.are.equal("gzip", answer.headers["Content-Encoding"])
    assert.are.equal("Accept, Accept-Encoding", answer.headers["Vary"])
    local text = gunzip(answer.body)
    prometheus_text.parse(text, "openmetrics")
    assert.is_true(#answer.body < #text / 3, #answer.body .. " of " .. #text)
    local vars = ask("GET", "/debug/vars", nil, nil, "br;q=1, *;q=0.1")
    assert.are.equal("gzip", vars.headers["Content-Encoding"])
    json.parse(gunzip(vars.body))
  end)

  it("is given to nobody else", function()
    for _, accepted in ipairs({ "", "identity", "gzip;q=0", "br", "gzip;q=0.5, identity" }) do
      local answer = ask("GET", "/metrics", nil, nil, accepted)
      assert.is_nil(answer.headers["Content-Encoding"], accepted)
      assert.matches("^# HELP", answer.body)
    end
    assert.is_nil(ask("GET", "/metrics").headers["Content-Encoding"])
  end)

  it("is not worth it for a few bytes", function()
    local answer = ask("GET", "/healthz", nil, nil, "gzip")
    assert.is_nil(answer.headers["Content-Encoding"])
    assert.are.equal("ok\n", answer.body)
  end)

  it("is not to be had without zlib", function()
    if has_zlib() then return pending("built with zlib; make ZLIB=0 builds without") end
    local answer = ask("GET", "/metrics", nil, nil, "gzip")
    assert.is_nil(answer.headers["Content-Encoding"])
    assert.matches("^# HELP", answer.body)
  end)
end)

describe("a page beyond its cap", function()
  it("is refused with 500, and comes back when it is shorter", function()
    if run.under() then return pending("takes 200 MB") end
    local answers = answers_of([[
      local prometheus = require "rtmetrics.prometheus"
      prometheus.limit { series_per_metric = 10000 }
      local names, values = {}, {}
      for i = 1, 32 do names[i], values[i] = "l" .. i, ("x"):rep(250) end
      local counter = prometheus.counter("big_total", "64 MiB and more.", names)
      for i = 1, 9000 do
        values[1] = i
        counter:inc(1, values)
      end
      show(core.answer("GET", "/metrics"))
      show(core.answer("GET", "/healthz"))
      counter:reset()
      show(core.answer("GET", "/metrics"))
    ]])
    assert.are.equal(500, answers[1].status)
    assert.matches("too long", answers[1].body, 1, true)
    assert.are.equal(200, answers[2].status)
    assert.are.equal(200, answers[3].status)
  end)
end)

describe("pages without memory", function()
  -- A copy of the core whose n-th request for memory fails, for all n; and where all fail.
  local CODE = [[
    local probe = require "routes_probe"
    package.loaded["rtmetrics.core"] = probe.core()
    local rt = require "rtmetrics"
    local core = require "rtmetrics.core"
    require("rtmetrics.prometheus").counter("shop_total", "Some.", { "l" }):inc(1, { "v" })
    local PATHS = { "/", "/metrics", "/debug/vars", "/debug/pprof/", "/style.css", "/healthz" }

    local function ask(path, successes, failures)
      local before, failed = probe.memory()
      probe.fail_after(successes, failures)
      local status, headers, body = core.answer("GET", path, nil, nil, "gzip")
      probe.fail_after(0, 0)
      local after, failed_then = probe.memory()
      assert(after == before, path .. ": " .. after - before .. " bytes left")
      return status, headers, body, failed_then > failed
    end

    for _, path in ipairs(PATHS) do
      ask(path, 0, 0) -- what is made once and kept
      local n, refused, hit = 0, 0, true
      while hit do
        local status, headers, body
        status, headers, body, hit = ask(path, n, 1)
        if hit and status == 500 then
          refused = refused + 1
          assert(body:find("no memory"), body)
          assert(not headers["Content-Encoding"])
        else
          assert(status == 200 and #body > 0, path .. ": " .. status)
        end
        n = n + 1
      end
      assert(refused > 0, path)
      local status, headers, body = ask(path, 0, 1e9)
      assert(status == 500 and body == "" and headers["Content-Type"], path)
    end
    assert(ask("/nothing", 0, 1e9) == 404)
  ]]

  it("are refused with 500, leave nothing behind, and come back", function()
    local result = run.script(CODE)
    assert.are.equal(0, result.code, result.err)
  end)

  it("leave nothing behind when Lua has none to take them", function()
    local result = run.script([[
      local probe = require "routes_probe"
      local core = probe.core()
      local function ask() return core.answer("GET", "/debug/vars") end
      assert(#select(3, ask()) > 1200)
      collectgarbage() -- some Luas have every text once, and would find that one
      collectgarbage()
      local before = probe.memory()
      local ok, message = probe.starve(1000, ask)
      assert(not ok and tostring(message):find("not enough memory"), message)
      assert(probe.memory() == before)
      assert(#select(3, ask()) > 1200)
    ]])
    assert.are.equal(0, result.code, result.err)
  end)
end)
