local agent = require("support.agent")
local run = require("support.run")
local socket = require("socket")

local TOKEN = "correct-horse-battery"

-- What curl, a client of its own, is answered: the status, and the head in lower case.
local function curl(server, words, path)
  local url = "http://" .. (server.path and "localhost" or server.authority) .. (path or "/healthz")
  local unix = server.path and "--unix-socket " .. run.quote(server.path) .. " " or ""
  local result = run.command(
    ("curl -sS -m 10 -D - -o body %s%s %s"):format(unix, words, run.quote(url)))
  local last = result.out:match(".*(HTTP/1%.1 .*)$") or "" -- after those that ask for more
  return tonumber(last:match("^HTTP/1%.1 (%d+)")), last:lower()
end

local function check_cases(server, cases)
  for _, case in ipairs(cases) do
    assert.are.equal(case[1], (curl(server, case[2], case[3])), case[2])
  end
end

local function is_root()
  return run.command("test $(id -u) = 0").code == 0
end

describe("over a socket the agent", function()
  it("answers those that name one of its addresses, and no other", function()
    local server = assert(agent.start("{ hosts = { 'app.local', 'localhost:9090' } }"))
    local port = server.port
    check_cases(server, {
      { 200, "" },
      { 200, ("-H 'Host: localhost:%d'"):format(port) },
      { 200, ("-H 'Host: LOCALHOST:%d'"):format(port) },
      { 200, ("-H 'Host: [::1]:%d'"):format(port) },
      { 200, ("-H 'Host: app.local:%d'"):format(port) },
      { 200, "-H 'Host: localhost:9090'" },
      { 200, "-0" },
      { 403, "-H 'Host: localhost'" },
      { 403, ("-H 'Host: localhost6:%d'"):format(port) },
      { 403, ("-H 'Host: localhost.:%d'"):format(port) },
      { 403, ("-H 'Host: 127.1:%d'"):format(port) },
      { 403, ("-H 'Host: 0:%d'"):format(port) },
      { 403, ("-H 'Host: 0.0.0.0:%d'"):format(port) },
      { 403, ("-H 'Host: [::ffff:127.0.0.1]:%d'"):format(port) },
      { 403, ("-H 'Host: evil.example:%d'"):format(port) },
      { 400, ("-H 'Host: 127.0.0.1:0%d'"):format(port) },
      { 400, ("-H 'Host: me@127.0.0.1:%d'"):format(port) },
      { 400, "-H 'Host;'" },
      { 400, "-H 'Host:'" },
    })
    assert.are.equal(0, server:stop().code)
  end)

  it("answers no other site's pages, and lets none read", function()
    local server = assert(agent.start())
    local origin = "http://" .. server.authority
    check_cases(server, {
      { 200, ("-H 'Origin: %s'"):format(origin) },
      { 200, "-H 'Sec-Fetch-Site: same-origin'" },
      { 403, "-H 'Origin: http://evil.example'" },
      { 403, "-H 'Origin: null'" },
      { 403, "-H 'Sec-Fetch-Site: cross-site'" },
      { 403, ("-H 'Sec-Fetch-Site: cross-site' -H 'Origin: %s'"):format(origin) },
    })
    local _, head = curl(server, ("-H 'Origin: %s'"):format(origin))
    assert.is_nil(head:find("access%-control"), head)
    server:stop()
  end)

  it("takes GET and HEAD, and no body", function()
    local server = assert(agent.start())
    check_cases(server, {
      { 200, "-I" },
      { 405, "-X POST" },
      { 405, "-X DELETE" },
      { 405, "-X get" },
      { 400, "-X GET -d x" },
      { 413, "-d x" },
      { 400, "-H 'Transfer-Encoding: chunked' -d x" },
      { 404, "", "/nothing" },
      { 404, "", "/healthz/../metrics.txt" },
      { 414, "", "/" .. ("a"):rep(3000) },
      { 400, "--request-target http://evil.example/healthz" },
      { 400, "-x http://" .. server.authority, "/" },
    })
    local _, head = curl(server, "-X POST")
    assert.truthy(head:find("\nallow: get, head\r\n", 1, true), head)
    server:stop()
  end)

  it("guards whatever it answers against being shown elsewhere", function()
    local server = assert(agent.start(("{ token = %q, open = { 'metrics' } }"):format(TOKEN)))
    local known = "-u :" .. TOKEN
    for _, case in ipairs({
      { 200, "" },
      { 200, "", "/metrics" },
      { 401, "", "/nothing" },
      { 404, known, "/nothing" },
      { 405, "-X PUT" },
      { 403, "-H 'Host: evil.example'" },
      { 400, "-H 'Host;'" },
    }) do
      local status, head = curl(server, case[2], case[3])
      assert.are.equal(case[1], status)
      for _, header in ipairs({
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "content-security-policy: default-src 'none'",
      }) do
        assert.truthy(head:find("\n" .. header, 1, true), head)
      end
    end
    server:stop()
  end)

  it("asks for the token, which comes as Bearer or as Basic", function()
    local server = assert(agent.start(("{ token = %q }"):format(TOKEN)))
    check_cases(server, {
      { 401, "" },
      { 401, "", "/nothing" },
      { 401, "-H 'Authorization: Bearer wrong-wrong-wrong-wrong'" },
      { 401, "-u " .. TOKEN .. ":" },
      { 401, "-u :" .. TOKEN .. "x" },
      { 200, "-H 'Authorization: Bearer " .. TOKEN .. "'" },
      { 200, "-u anybody:" .. TOKEN },
      { 200, "--anyauth -u anybody:" .. TOKEN },
      { 400, ("-H 'Authorization: Bearer %s' -H 'authorization: Bearer %s'"):format(TOKEN, TOKEN) },
    })
    local _, head = curl(server, "")
    assert.truthy(head:find('\nwww-authenticate: basic realm="rtmetrics"\r\n', 1, true), head)
    server:stop()
  end)

  it("reads the token's file again when it changes, and lets nobody in without it", function()
    local path = run.tmpdir() .. "/token"
    local function write(token)
      assert.are.equal(0, run.command(
        ("umask 077; echo %s >%s"):format(token, run.quote(path))).code)
    end
    write(TOKEN)
    local server = assert(agent.start(("{ token_file = %q }"):format(path)))
    check_cases(server, { { 200, "-u :" .. TOKEN } })
    write("another-token-that-is-long")
    check_cases(server, { { 401, "-u :" .. TOKEN }, { 200, "-u :another-token-that-is-long" } })
    assert(os.remove(path))
    check_cases(server, { { 401, "-u :another-token-that-is-long" } })
    write(TOKEN)
    check_cases(server, { { 200, "-u :" .. TOKEN } })
    server:stop()
    os.execute("chmod 644 " .. run.quote(path))
    local refused, message = agent.start(("{ token_file = %q }"):format(path))
    assert.is_nil(refused)
    assert.truthy(message:find("is open to other users", 1, true), message)
  end)
end)

describe("by a unix socket the agent", function()
  local function start(options)
    return assert(agent.start(("{ listen = 'unix:%s/agent.sock', %s }"):format(
      run.tmpdir(), options or "")))
  end

  it("answers whatever the Host", function()
    local server = start()
    check_cases(server, {
      { 200, "" },
      { 200, "-H 'Host: whatever.example'" },
      { 400, "-H 'Host:'" },
      { 403, "-H 'Origin: http://evil.example'" },
      { 403, "-H 'Sec-Fetch-Site: cross-site'" },
    })
    assert.are.equal(0, server:stop().code)
  end)

  it("answers its user alone, unless the mode says otherwise", function()
    if not is_root() then
      pending("only root can become another user")
    end
    for mode, code in pairs({ ["0600"] = 7, ["0660"] = 7, ["0666"] = 0 }) do
      local server = start(("socket_mode = '%s'"):format(mode))
      local directory = server.path:match("^(.*)/")
      run.command(("chmod o+x %s %s/.."):format(directory, directory))
      local result = run.command(("setpriv --reuid=65534 --regid=65534 --clear-groups "
        .. "curl -sS -m 10 --unix-socket %s http://localhost/healthz"):format(server.path))
      assert.are.equal(code, result.code, mode .. ": " .. result.err)
      assert.are.equal(200, (curl(server, "")))
      server:stop()
    end
  end)
end)

describe("the agent's complaints", function()
  it("are few, however often it cannot accept", function()
    local server = assert(agent.start("{ max_connections = 100 }", {
      prologue = [[require("guard_probe").descriptors(24)]],
    }))
    local clients = {}
    for i = 1, 40 do
      clients[i] = server:connect()
    end
    socket.sleep(1.5)
    for _, client in ipairs(clients) do
      client:close()
    end
    assert.are.equal(200, server:get("/healthz").status)
    local result = server:stop()
    assert.truthy(result.err:find("cannot accept a connection: Too many open files", 1, true),
      result.err)
    assert.is_true(select(2, result.err:gsub("\n", "")) <= 2, result.err)
  end)
end)
