local run = require "support.run"

local PRELUDE = [[
local http = require "rtmetrics.http"

local function get(handler, target, headers, method)
  return handler:answer { method = method or "GET", target = target, headers = headers }
end

local function check(wanted, got, what)
  if wanted ~= got then
    error(("%s: %s instead of %s"):format(what or "", tostring(got), tostring(wanted)), 2)
  end
end

local TOKEN = "0123456789abcdef"
]]

-- A program with its own checks; it says what was wrong.
local function passes(code, env)
  local result = run.script(PRELUDE .. code, { env = env })
  assert.are.equal(0, result.code, result.err)
  return result.out
end

describe("the handler #valgrind", function()
  it("answers its pages", function()
    passes([[
      local handler = http.new()
      for path, content_type in pairs {
        ["/"] = "text/html", ["/metrics"] = "text/plain", ["/debug/vars"] = "application/json",
        ["/debug/pprof/"] = "text/html", ["/healthz"] = "text/plain",
      } do
        local status, headers, body = get(handler, path)
        check(200, status, path)
        check(content_type, headers["Content-Type"]:match("^[^;]*"), path)
        assert(#body > 0)
        check("nosniff", headers["X-Content-Type-Options"])
      end
    ]])
  end)

  it("leaves all else to the program", function()
    passes([[
      for _, prefix in ipairs { "", "/internal", "/a/b.c" } do
        local handler = http.new { prefix = prefix }
        for _, target in ipairs {
          "/shop", "metrics", "/internalmetrics", "/metrics/", "//metrics", "/met%ZZrics",
          "/met%rics", "/metrics%00", "/%6", "*", "/internal/nothing", "/a/bxc/metrics",
        } do
          check(nil, (get(handler, prefix .. target)), prefix .. target)
        end
      end
      local handler = http.new { prefix = "/internal" }
      for _, target in ipairs { "/metrics", "/", "", "?x", "#" } do
        check(nil, (get(handler, target)), target)
      end
    ]])
  end)

  it("serves below its prefix, and leads to where links work", function()
    passes([[
      local handler = http.new { prefix = "/a/internal" }
      check(200, (get(handler, "/a/internal/metrics")))
      check(200, (get(handler, "/a/internal/")))
      local status, headers = get(handler, "/a/internal")
      check(301, status)
      check("internal/", headers.Location)
      status, headers = get(handler, "/a/internal/debug/pprof?x")
      check(301, status)
      check("pprof/", headers.Location)
    ]])
  end)

  it("reads targets as they come", function()
    passes([[
      local handler = http.new()
      for _, target in ipairs {
        "/healthz?", "/healthz?a=b&c", "/healthz#x", "/%68ealthz", "/health%7A", "/health%7a?%zz",
        "http://example.org:8080/healthz", "HTTPS://x/healthz?y",
      } do
        check(200, (get(handler, target)), target)
      end
    ]])
  end)

  it("chooses format and encoding by the request's headers, however they are spelled", function()
    passes([[
      local handler = http.new()
      local openmetrics = "application/openmetrics-text"
      for _, headers in ipairs {
        { accept = openmetrics }, { Accept = openmetrics }, { ACCEPT = { "x/y", openmetrics } },
      } do
        local _, fields = get(handler, "/metrics", headers)
        assert(fields["Content-Type"]:find(openmetrics, 1, true))
      end
      local _, fields = get(handler, "/metrics", { accept = true })
      assert(fields["Content-Type"]:find("^text/plain"))
      local packed = select(2, get(handler, "/metrics", { ["Accept-Encoding"] = "gzip" }))
      local core = require "rtmetrics.core"
      local direct = select(2, core.answer("GET", "/metrics", nil, nil, "gzip"))
      check(direct["Content-Encoding"], packed["Content-Encoding"])
    ]])
  end)

  it("takes HEAD, and refuses other methods with the names of those it takes", function()
    passes([[
      local handler = http.new()
      local status, _, body = get(handler, "/healthz", nil, "HEAD")
      check(200, status)
      check("ok\n", body)
      for _, method in ipairs { "POST", "PUT", "OPTIONS", "get", "", "X\0Y" } do
        local refused, headers = get(handler, "/healthz", nil, method)
        check(405, refused, method)
        check("GET, HEAD", headers.Allow)
      end
    ]])
  end)

  it("serves only the pages that it is given", function()
    passes([[
      local handler = http.new { pages = { "/metrics" } }
      check(200, (get(handler, "/metrics")))
      for _, path in ipairs { "/", "/healthz", "/debug/vars", "/style.css" } do
        check(nil, (get(handler, path)), path)
      end
      check(nil, (get(http.new { prefix = "/p", pages = { "/metrics" } }, "/p")))
    ]])
  end)

  it("refuses classes that are not allowed", function()
    passes([[
      local handler = http.new { allow = { "metrics" } }
      check(200, (get(handler, "/metrics")))
      check(403, (get(handler, "/debug/pprof/")))
      check(403, (get(http.new { allow = {} }, "/metrics")))
    ]])
  end)

  it("shows all that there is of the process's VMs", function()
    passes([[
      local probe = require "routes_probe"
      local other = probe.new_vm('require "rtmetrics"')
      local _, _, body = get(http.new(), "/metrics")
      assert(body:find('lua_heap_bytes{vm="2"}', 1, true))
    ]])
  end)
end)

describe("a handler with a token", function()
  it("wants it for everything", function()
    passes([[
      local handler = http.new { token = TOKEN }
      for _, path in ipairs { "/", "/metrics", "/healthz", "/debug/pprof/", "/style.css" } do
        local status, headers, body = get(handler, path)
        check(401, status, path)
        check('Basic realm="rtmetrics"', headers["WWW-Authenticate"])
        check("nosniff", headers["X-Content-Type-Options"])
        check("no-store", headers["Cache-Control"])
        assert(not body:find(TOKEN, 1, true))
      end
      check(nil, (get(handler, "/shop")))
    ]])
  end)

  it("takes it as Bearer, and as the password of Basic", function()
    passes([[
      local handler = http.new { token = TOKEN }
      for _, authorization in ipairs {
        "Bearer 0123456789abcdef", "bearer  0123456789abcdef",
        "Basic OjAxMjM0NTY3ODlhYmNkZWY=", -- ":0123456789abcdef"
        "basic OjAxMjM0NTY3ODlhYmNkZWY",
        "Basic bWU6MDEyMzQ1Njc4OWFiY2RlZg==", -- "me:0123456789abcdef"
      } do
        check(200, (get(handler, "/metrics", { Authorization = authorization })), authorization)
      end
    ]])
  end)

  it("takes nothing else", function()
    passes([[
      local handler = http.new { token = TOKEN }
      for _, authorization in ipairs {
        "", "Bearer", "Bearer ", TOKEN, "Bearer 0123456789abcdeF", "Bearer 0123456789abcde",
        "Bearer 0123456789abcdef0", "Bearer 0123456789abcdef x", "Digest 0123456789abcdef",
        "Basic MDEyMzQ1Njc4OWFiY2RlZg==", -- without a colon
        "Basic ????", "Basic =", "Basic OjAxMjM0NTY3ODlhYmNkZWU=",
        { "Bearer 0123456789abcdef", "Bearer x" },
      } do
        check(401, (get(handler, "/metrics", { authorization = authorization })),
          tostring(authorization))
      end
    ]])
  end)

  it("opens the classes that are named", function()
    passes([[
      local handler = http.new { token = TOKEN, open = { "metrics" } }
      check(200, (get(handler, "/metrics")))
      check(401, (get(handler, "/debug/pprof/")))
    ]])
  end)

  it("asks for it before it tells what is not served", function()
    passes([[
      local handler = http.new { token = TOKEN, allow = {} }
      check(401, (get(handler, "/metrics")))
      check(403, (get(handler, "/metrics", { authorization = "Bearer " .. TOKEN })))
    ]])
  end)
end)

describe("handler:respond", function()
  it("turns a request's head into a response", function()
    passes([[
      local handler = http.new()
      local reply = handler:respond("GET /healthz HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n")
      local head, body = reply:match("^(.-\r\n\r\n)(.*)$")
      check("ok\n", body)
      assert(head:find("^HTTP/1.1 200 OK\r\n"))
      assert(head:find("\r\nContent-Length: 3\r\n", 1, true))
      assert(head:find("\r\nConnection: close\r\n", 1, true))
      assert(head:find("\r\nDate: %a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT\r\n"))
      for line in head:gmatch("(.-)\r\n") do
        assert(not line:find("[%c]"), line)
      end
      assert(handler:respond("GET /healthz HTTP/1.0\n"):find("^HTTP/1.1 200 "))
      assert(handler:respond("GET /healthz HTTP/1.0"):find("^HTTP/1.1 200 "))
      assert(handler:respond("POST /healthz HTTP/1.1\r\n\r\n"):find("\r\nAllow: GET, HEAD\r\n"))
    ]])
  end)

  it("sends no body for HEAD, but its length", function()
    passes([[
      local reply = http.new():respond("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
      assert(reply:find("\r\nContent-Length: 3\r\n", 1, true))
      assert(reply:find("\r\n\r\n$"))
    ]])
  end)

  it("passes headers on", function()
    passes([[
      local handler = http.new { token = TOKEN }
      local head = "GET /metrics HTTP/1.1\r\nHost: x\r\n%s\r\n"
      local function status(more)
        return handler:respond(head:format(more)):match("^HTTP/1.1 (%d+)")
      end
      check("401", status(""))
      check("200", status("AUTHORIZATION:\tBearer 0123456789abcdef \r\n"))
    ]])
  end)

  it("leaves to the program what is not its, or no request", function()
    passes([[
      local handler = http.new()
      for _, head in ipairs {
        "", "\r\n", "GET /shop HTTP/1.1\r\nHost: x\r\n\r\n", "GET /healthz HTTP/2.0\r\n\r\n",
        "GET /healthz\r\n", "get /healthz HTTP/1.1\r\n", "GET  /healthz HTTP/1.1\r\n",
        "GET /healthz HTTP/1.1\r\nno header\r\n", "GET /healthz HTTP/1.1\r\n folded: x\r\n",
        "GET /healthz HTTP/1.1\r\nname : x\r\n",
      } do
        check(nil, handler:respond(head), head)
      end
    ]])
  end)
end)

describe("http.new refuses", function()
  it("what it cannot serve, at the caller's line", function()
    passes([[
      for _, case in ipairs {
        { { prefix = "internal" }, '"prefix" must be "" or like "/internal"' },
        { { prefix = "/internal/" }, '"prefix" must be' },
        { { prefix = "/" }, '"prefix" must be' },
        { { prefix = "/a//b" }, '"prefix" must be' },
        { { prefix = "/a b" }, '"prefix" must be' },
        { { prefix = 1 }, '"prefix" must be a string' },
        { { prefx = "" }, 'the nearest known is "prefix"' },
        { { allow = { "metric" } }, 'the nearest known is "metrics"' },
        { { allow = "metrics" }, '"allow" must be a table' },
        { { open = { 5 } }, 'option "open" has "5"' },
        { { pages = { "/metric" } }, 'the nearest known is "/metrics"' },
        { { token = "short" }, "at least 16 bytes" },
        { "x", "must be a table" },
      } do
        local ok, message = pcall(function()
          local handler = http.new(case[1])
          return handler
        end)
        assert(not ok and message:find(case[2], 1, true), tostring(message))
        assert(message:find("^script.lua:%d+: rtmetrics.http: "), message)
      end
    ]])
  end)

  it("and a handler what is no request", function()
    passes([[
      local handler = http.new()
      for _, request in ipairs {
        {}, { method = "GET" }, { target = "/" }, { method = "GET", target = 5 },
        { method = "GET", target = "/", headers = "x" },
      } do
        assert(not pcall(handler.answer, handler, request))
      end
      assert(not pcall(handler.answer, handler))
      assert(not pcall(handler.respond, handler))
      assert(not pcall(handler.lua_http, handler))
      local ok, message = pcall(handler.nginx, handler)
      assert(not ok and message:find("no nginx", 1, true), message)
    ]])
  end)
end)
