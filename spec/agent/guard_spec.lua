local support = require("support.guard")

local GET = support.GET
local HEAD = support.HEAD
local POST = support.POST
local TOKEN = support.TOKEN
local NOTHING = support.NOTHING
local METRICS = support.METRICS
local PROFILE = support.PROFILE
local SENSITIVE = support.SENSITIVE
local CONTROL = support.CONTROL
local page = support.page
local guard_with = support.guard_with
local judge = support.judge
local shown = support.shown
local check_cases = support.check_cases
local check_hosts = support.check_hosts

describe("the guard's list of hosts #valgrind", function()
  it("has the loopback names and the connection's own address, with our port", function()
    check_hosts(guard_with(), {
      { 0, "127.0.0.1:6060" },
      { 0, "localhost:6060" },
      { 0, "LOCALHOST:6060" },
      { 0, "LocalHost:6060" },
      { 0, "[::1]:6060" },
      { 403, "10.0.0.5:6060" },
    })
    check_hosts(guard_with({ token = TOKEN }), {
      { 0, "10.0.0.5:6060" },
      { 0, "localhost:6060" },
      { 403, "10.0.0.6:6060" },
    }, { local_host = "10.0.0.5", authorization = "Bearer " .. TOKEN })
    check_hosts(guard_with(), {
      { 0, "[fe80::1]:6060" },
      { 0, "[FE80::1]:6060" },
      { 403, "[fe80:0::1]:6060" },
      { 400, "fe80::1:6060" },
    }, { local_host = "fe80::1" })
  end)

  it("does not have what only looks or resolves like loopback", function()
    check_hosts(guard_with(), {
      { 403, "localhost6:6060" },
      { 403, "localhost.localdomain:6060" },
      { 403, "localhost.:6060" },
      { 403, "127.0.0.1.:6060" },
      { 403, "127.1:6060" },
      { 403, "127.0.1:6060" },
      { 403, "127.0.0.2:6060" },
      { 403, "127.000.000.001:6060" },
      { 403, "0:6060" },
      { 403, "0.0.0.0:6060" },
      { 403, "0x7f.1:6060" },
      { 403, "0x7f000001:6060" },
      { 403, "017700000001:6060" },
      { 403, "2130706433:6060" },
      { 403, "[::]:6060" },
      { 403, "[0::1]:6060" },
      { 403, "[0:0:0:0:0:0:0:1]:6060" },
      { 403, "[::ffff:127.0.0.1]:6060" },
      { 403, "[::ffff:7f00:1]:6060" },
      { 403, "127.0.0.1.nip.io:6060" },
      { 403, "localhost.evil.example:6060" },
      { 403, "evil.example:6060" },
      { 403, "evil-localhost:6060" },
      { 403, "ip6-localhost:6060" },
    })
  end)

  it("asks for the exact port, which only HTTP's own lets be left out", function()
    local ports = {
      { 403, "127.0.0.1" },
      { 403, "127.0.0.1:80" },
      { 403, "127.0.0.1:6061" },
      { 403, "127.0.0.1:606" },
      { 400, "127.0.0.1:" },
      { 400, "127.0.0.1:06060" },
      { 400, "127.0.0.1:+6060" },
      { 400, "127.0.0.1:-6060" },
      { 400, "127.0.0.1: 6060" },
      { 400, "127.0.0.1:6060 " },
      { 400, "127.0.0.1:60600000000000000000" },
      { 400, "127.0.0.1:71596" }, -- 6060 + 65536
      { 400, "127.0.0.1:4294973356" }, -- 6060 + 2^32
      { 400, "127.0.0.1:0x17ac" },
      { 400, "127.0.0.1:6060:6060" },
      { 400, "127.0.0.1:0" },
      { 400, "[::1]6060" },
      { 403, "[::1]" },
    }
    check_hosts(guard_with(), ports)
    check_hosts(guard_with({ port = 80 }), {
      { 0, "127.0.0.1" },
      { 0, "localhost" },
      { 0, "[::1]" },
      { 0, "localhost:80" },
      { 400, "localhost:080" },
      { 400, "localhost:" },
      { 403, "localhost:6060" },
    })
  end)

  it("takes no Host that is not just a name and a port", function()
    local cases = {
      "",
      " ",
      ":6060",
      "user@127.0.0.1:6060",
      "127.0.0.1:6060@evil.example",
      "user:secret@localhost:6060",
      " 127.0.0.1:6060",
      "\t127.0.0.1:6060",
      "127.0.0.1:6060\t",
      "127.0.0.1:6060/",
      "127.0.0.1:6060,127.0.0.1:6060",
      "127.0.0.1:6060, evil.example",
      "127.0.0.1:6060#x",
      "127.0.0.1:6060?x",
      "http://127.0.0.1:6060",
      "localhost%00:6060",
      "%6cocalhost:6060",
      "localhost\\:6060",
      "loc\1lhost:6060",
      "loc\200lhost:6060",
      "[]:6060",
      "[::1:6060",
      "::1:6060",
      "[::1%25lo]:6060",
      "[::1%lo]:6060",
      "[[::1]]:6060",
      "[v1.x]:6060",
      "[localhost]:6060",
      ("a"):rep(256) .. ":6060",
      ("a"):rep(100000),
    }
    for _, host in ipairs(cases) do
      check_hosts(guard_with(), { { 400, host } })
    end
    check_hosts(guard_with(), { { 403, ("a"):rep(255) .. ":6060" } })
  end)

  it("has the program's own names, with the listener's port or one of their own", function()
    local guard = guard_with({ hosts = { "App.Local", "localhost:9090", "[fd00::7]" } })
    check_hosts(guard, {
      { 0, "app.local:6060" },
      { 0, "APP.LOCAL:6060" },
      { 403, "app.local" },
      { 403, "app.local:9090" },
      { 403, "app.local.:6060" },
      { 0, "localhost:9090" },
      { 0, "localhost:6060" },
      { 403, "127.0.0.1:9090" },
      { 0, "[FD00::7]:6060" },
    })
    check_hosts(guard_with({ hosts = { "Zz:65535" } }), {
      { 0, "zZ:65535" },
      { 403, "zz:65534" },
      { 400, "zz:65536" },
    })
    check_hosts(guard_with({ hosts = { "ops.example:80" } }), {
      { 0, "ops.example" },
      { 0, "ops.example:80" },
      { 403, "ops.example:6060" },
    })
  end)

  it("reads an IPv4 address out of one that is mapped into IPv6", function()
    local here = { local_host = "::ffff:10.0.0.5" }
    check_hosts(guard_with(), {
      { 0, "10.0.0.5:6060" },
      { 403, "[::ffff:10.0.0.5]:6060" },
      { 403, "[::ffff:127.0.0.1]:6060" },
    }, here)
  end)

  it("wants one Host, whatever the version", function()
    check_cases(guard_with(), {
      { 400, { host = NOTHING } },
      { 400, { host = NOTHING, version = "HTTP/1.0" } },
      { 400, { host_count = 2 } },
      { 400, { host_count = 2, version = "HTTP/1.0" } },
      { 0, { version = "HTTP/1.0" } },
    })
  end)

  it("does not matter on a unix socket, but for there being one", function()
    local guard = guard_with({ unix = true, port = 0 })
    for _, host in ipairs({ "localhost", "whatever.example:1", "", "a b", "unix:" }) do
      check_cases(guard, { { 0, { host = host, local_host = NOTHING } } })
    end
    check_cases(guard, { { 400, { host = NOTHING } }, { 400, { host_count = 2 } } })
  end)

  it("closes the connection after a Host that is not to be trusted", function()
    local guard = guard_with()
    assert.is_true(judge(guard, { host_count = 2 }).must_close)
    assert.is_true(judge(guard, { host = "a b" }).must_close)
    assert.is_false(judge(guard, { host = "evil.example" }).must_close)
  end)
end)

-- A second way to know: the texts that pass are few, so they can be written down.
local function allowed_set(names, port)
  local set = {}
  for _, name in ipairs(names) do
    set[name .. ":" .. port] = true
    set[name] = port == 80 or nil
  end
  return set
end

local function is_well_formed(text)
  local name, port = text, nil
  if text:find(":[^%]:]*$") then
    name, port = text:match("^(.*):([^:]*)$")
  end
  local named = name:match("^[%w._-]+$") or name:match("^%[[%x.:]+%]$")
  local number = port and port:match("^[1-9]%d*$") and #port <= 5 and tonumber(port) or 1
  local ported = port == nil or (port:match("^[1-9]%d*$") and #port <= 5 and number < 65536)
  return named and #name < 256 and ported and true or false
end

local SEEDS = {
  "127.0.0.1:6060",
  "localhost:6060",
  "[::1]:6060",
  "localhost",
  "app.local:6060",
  "10.1.2.3:6060",
  "[::ffff:127.0.0.1]:6060",
}
local ALPHABET = "0123456789abcdefxlohtLOCALHST.:[]-_%@/ ,+\t\1\127\200"

local function random_byte()
  local at = math.random(#ALPHABET)
  return ALPHABET:sub(at, at)
end

local mutations = {
  function(text, at)
    return text:sub(1, at - 1) .. text:sub(at + 1)
  end,
  function(text, at)
    return text:sub(1, at - 1) .. random_byte() .. text:sub(at + 1)
  end,
  function(text, at)
    return text:sub(1, at) .. random_byte() .. text:sub(at + 1)
  end,
  function(text, at)
    return text:sub(1, at) .. text:sub(at)
  end,
  function(text)
    return math.random(2) == 1 and text:upper() or text:lower()
  end,
  function(text, at)
    local other = SEEDS[math.random(#SEEDS)]
    return text:sub(1, at) .. other:sub(math.random(#other))
  end,
}

local function random_host()
  local text = SEEDS[math.random(#SEEDS)]
  for _ = 1, math.random(0, 3) do
    text = mutations[math.random(#mutations)](text, math.random(math.max(#text, 1)))
  end
  return text
end

describe("any Host at all", function()
  for _, port in ipairs({ 6060, 80 }) do
    it("passes if and only if it is spelled as on the list, port " .. port, function()
      local seed = os.time()
      math.randomseed(seed)
      local guard = guard_with({ port = port, hosts = { "app.local" } })
      local allowed =
        allowed_set({ "127.0.0.1", "localhost", "[::1]", "app.local", "10.1.2.3" }, port)
      local passed = 0
      for _ = 1, 30000 do
        local host = random_host()
        local expected = allowed[host:lower()] and 0 or is_well_formed(host) and 403 or 400
        local status = judge(guard, { host = host, local_host = "10.1.2.3" }).status
        if status ~= expected then
          error(("seed %d: %q: expected %d, got %d"):format(seed, host, expected, status))
        end
        passed = passed + (status == 0 and 1 or 0)
      end
      assert.is_true(passed > 1000, "hardly a host was good: " .. passed)
    end)
  end
end)

describe("an Origin", function()
  it("passes if it is an http:// page of an allowed host", function()
    check_cases(guard_with({ hosts = { "localhost:9090" } }), {
      { 0, { origin = "http://127.0.0.1:6060" } },
      { 0, { origin = "http://localhost:6060" } },
      { 0, { origin = "http://localhost:9090" } },
      { 0, { origin = "http://[::1]:6060" } },
      { 403, { origin = "" } },
      { 403, { origin = "null" } },
      { 403, { origin = "https://127.0.0.1:6060" } },
      { 403, { origin = "http://127.0.0.1" } },
      { 403, { origin = "http://127.0.0.1:6061" } },
      { 403, { origin = "http://127.0.0.1:6060/" } },
      { 403, { origin = "http://localhost:3000" } },
      { 403, { origin = "http://evil.example:6060" } },
      { 403, { origin = "http://127.0.0.1:6060.evil.example" } },
      { 403, { origin = "http://127.0.0.1:6060 http://evil.example" } },
      { 403, { origin = "127.0.0.1:6060" } },
      { 403, { origin = "file://" } },
      { 403, { origin = "chrome-extension://abcdefgh" } },
    })
    check_cases(guard_with({ port = 80 }), {
      { 0, { host = "localhost", origin = "http://localhost" } },
      { 403, { host = "localhost", origin = "http://localhost6" } },
    })
  end)

  it("on a unix socket is what Host says, or a configured name", function()
    local guard = guard_with({ unix = true, port = 0, hosts = { "ops.example:80" } })
    check_cases(guard, {
      { 0, { host = "a.example:1", origin = "http://a.example:1" } },
      { 0, { host = "localhost", origin = "http://ops.example" } },
      { 403, { host = "a.example:1", origin = "http://b.example:1" } },
      { 403, { host = "a.example:1", origin = "http://a.example:2" } },
      { 403, { host = "a.example", origin = "null" } },
    })
  end)

  it("is not needed, and neither is Sec-Fetch-Site, but cross-site is refused", function()
    check_cases(guard_with(), {
      { 0, { fetch_site = "none" } },
      { 0, { fetch_site = "same-origin" } },
      { 0, { fetch_site = "same-site" } },
      { 403, { fetch_site = "cross-site" } },
      { 403, { fetch_site = "Cross-Site" } },
      { 403, { fetch_site = "cross-site " } },
      { 403, { fetch_site = "cross-site", origin = "http://127.0.0.1:6060" } },
      { 0, { fetch_site = "" } },
    })
  end)
end)

describe("the head of a request", function()
  it("names a method, a path and HTTP/1.0 or HTTP/1.1", function()
    check_cases(guard_with(), {
      { 0, { version = "HTTP/1.1" } },
      { 0, { version = "HTTP/1.0" } },
      { 505, { version = "HTTP/2.0" } },
      { 505, { version = "HTTP/1.2" } },
      { 505, { version = "HTTP/0.9" } },
      { 505, { version = "HTTP/3.0" } },
      { 400, { version = "HTTP/1.10" } },
      { 400, { version = "HTTP/a.1" } },
      { 400, { version = "HTTP/1.a" } },
      { 400, { version = "HTTP/:.1" } },
      { 400, { version = "HTTP/1" } },
      { 400, { version = "HTTP/11" } },
      { 400, { version = "http/1.1" } },
      { 400, { version = "HTTP/1.1 " } },
      { 400, { version = "HTTP/1,1" } },
      { 400, { version = "ICY/1.1" } },
      { 400, { version = "" } },
      { 400, { version = NOTHING } },
      { 400, { method = "" } },
      { 400, { method = NOTHING } },
      { 400, { method = "G ET" } },
      { 400, { method = "GET\1" } },
      { 400, { method = "G\200T" } },
      { 400, { method = "(GET)" } },
      { 400, { path = "http://127.0.0.1:6060/metrics" } },
      { 400, { path = "*" } },
      { 400, { path = "metrics" } },
      { 400, { path = "" } },
      { 400, { path = NOTHING } },
      { 400, { is_framed_badly = true } },
      { 400, { has_nul = true } },
    })
  end)

  it("announces no body", function()
    local post = { method = "POST", route = page("metrics", POST) }
    local function posted(changes)
      changes.method, changes.route = post.method, post.route
      return changes
    end
    check_cases(guard_with(), {
      { 0, { content_length = "0" } },
      { 0, { content_length = "00" } },
      { 0, posted({ content_length = "0" }) },
      { 0, posted({}) },
      { 400, { content_length = "1" } },
      { 400, { content_length = "18446744073709551616" } },
      { 413, posted({ content_length = "1" }) },
      { 413, posted({ content_length = "99999999999999999999999" }) },
      { 400, { content_length = "" } },
      { 400, { content_length = "+0" } },
      { 400, { content_length = "-1" } },
      { 400, { content_length = "0x0" } },
      { 400, { content_length = "0, 0" } },
      { 400, { content_length = " 0" } },
      { 400, { content_length = "0;" } },
      { 400, posted({ content_length = "1e1" }) },
      { 400, { content_length = "0", content_length_count = 2 } },
      { 400, { transfer_encoding = "chunked" } },
      { 400, { transfer_encoding = "identity" } },
      { 400, { transfer_encoding = "" } },
      { 400, { transfer_encoding_count = 2 } },
      { 400, posted({ transfer_encoding = "chunked" }) },
      { 400, posted({ transfer_encoding = "chunked", content_length = "0" }) },
    })
  end)

  it("that leaves in doubt where the request ends costs the connection", function()
    for _, changes in ipairs({
      { is_framed_badly = true },
      { has_nul = true },
      { version = "HTTP/2.0" },
      { version = "" },
      { content_length = "5" },
      { content_length = "0", content_length_count = 2 },
      { transfer_encoding = "chunked" },
    }) do
      assert.is_true(judge(guard_with(), changes).must_close, shown(changes))
    end
    local harmless = { {}, { route = NOTHING }, { method = "PUT" }, { origin = "null" } }
    for _, changes in ipairs(harmless) do
      assert.is_false(judge(guard_with(), changes).must_close, shown(changes))
    end
  end)
end)

describe("a page", function()
  it("that is not there is 404, and another method than the page's 405 with Allow", function()
    check_cases(guard_with({ token = TOKEN }), {
      { 404, { route = NOTHING, authorization = "Bearer " .. TOKEN } },
      { 404, { route = NOTHING, method = "BREW", authorization = "Bearer " .. TOKEN } },
    })
    local cases = {
      { "GET", GET + HEAD, nil },
      { "HEAD", GET + HEAD, nil },
      { "POST", POST, nil },
      { "POST", GET + HEAD, "GET, HEAD" },
      { "PUT", GET + HEAD, "GET, HEAD" },
      { "get", GET + HEAD, "GET, HEAD" },
      { "GETT", GET + HEAD, "GET, HEAD" },
      { "GE", GET + HEAD, "GET, HEAD" },
      { "OPTIONS", GET + HEAD + POST, "GET, HEAD, POST" },
      { "TRACE", GET, "GET" },
      { "CONNECT", GET + POST, "GET, POST" },
      { "GET", POST, "POST" },
      { "HEAD", POST, "POST" },
      { "HEAD", GET, "GET" },
    }
    for _, case in ipairs(cases) do
      local verdict = judge(guard_with(), { method = case[1], route = page("metrics", case[2]) })
      assert.are.equal(case[3] and 405 or 0, verdict.status, case[1])
      assert.are.equal(case[3] and "Allow", verdict.header_name)
      assert.are.equal(case[3], verdict.header_value)
    end
  end)

  it("without a token is for this machine, and what changes something for unix sockets", function()
    check_cases(guard_with(), {
      { 0, { route = METRICS } },
      { 0, { route = PROFILE } },
      { 0, { route = SENSITIVE } },
      { 403, { route = CONTROL, method = "POST" } },
      { 404, { route = NOTHING } },
      { 403, { is_loopback = false } },
    })
    check_cases(guard_with({ unix = true }), {
      { 0, { route = SENSITIVE } },
      { 0, { route = CONTROL, method = "POST" } },
      { 405, { route = CONTROL } },
    })
  end)

  it("with a token set needs it, save in the open classes", function()
    local good = "Bearer " .. TOKEN
    for _, route in ipairs({ METRICS, PROFILE, SENSITIVE, CONTROL, NOTHING }) do
      local method = route == CONTROL and "POST" or "GET"
      local passed = route == NOTHING and 404 or 0
      for _, options in ipairs({ { token = TOKEN }, { token = TOKEN, unix = true } }) do
        check_cases(guard_with(options), {
          { 401, { route = route, method = method } },
          { passed, { route = route, method = method, authorization = good } },
          {
            passed,
            { route = route, method = method, authorization = good, is_loopback = false },
          },
        })
      end
    end
    check_cases(guard_with({ token = TOKEN, open = 1 + 4 }), {
      { 0, { route = METRICS } },
      { 0, { route = METRICS, authorization = "Bearer wrong" } },
      { 0, { route = SENSITIVE } },
      { 401, { route = PROFILE } },
      { 401, { route = CONTROL, method = "POST" } },
      { 401, { route = NOTHING } },
    })
    check_cases(guard_with({ token = TOKEN, open = 15 }), {
      { 0, { route = CONTROL, method = "POST" } },
      { 404, { route = NOTHING } },
    })
  end)
end)

describe("the checks", function()
  -- From the last to the first: each change spoils one more thing.
  it("come in the order that the header states", function()
    local changes = { route = METRICS, method = "PUT", authorization = "Bearer " .. TOKEN }
    local guard = guard_with({ token = TOKEN })
    local steps = {
      { 405 },
      { 404, "route", NOTHING },
      { 401, "authorization", NOTHING },
      { 400, "authorization_count", 2, "Authorization" },
      { 403, "fetch_site", "cross-site", "sites" },
      { 403, "origin", "null", "sites" },
      { 403, "host", "evil.example", "Host" },
      { 400, "host_count", 2, "Host" },
      { 400, "content_length", "1", "body" },
      { 505, "version", "HTTP/2.0" },
      { 400, "is_framed_badly", true, "head" },
    }
    for _, step in ipairs(steps) do
      if step[2] then
        changes[step[2]] = step[3]
      end
      local verdict = judge(guard, changes)
      assert.are.equal(step[1], verdict.status, shown(changes))
      assert.is_truthy(verdict.text:find(step[4] or "", 1, true), verdict.text)
    end
  end)
end)

