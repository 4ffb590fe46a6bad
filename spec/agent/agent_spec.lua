-- The agent as a program sees it: start, stop and status, and who answers while Lua is busy.
-- LD_PRELOAD= stands before programs that Lua starts, as a sanitizer's library is for Lua alone.

local agent = require("support.agent")
local run = require("support.run")

-- Runs code that uses the agent, on the program's own; what it printed.
local function script(code, opts)
  local result = run.script('local agent = require("rtmetrics.agent")\n' .. code, opts)
  assert.are.equal("", result.err)
  assert.are.equal(0, result.code)
  return result.out
end

local function with_server(options, body)
  local server = assert(agent.start(options))
  local ok, message = xpcall(function()
    body(server)
  end, debug.traceback)
  local result = server:stop()
  assert(ok, message)
  assert.are.equal("", result.err)
  assert.are.equal(0, result.code)
end

-- Gives the program a line that keeps it busy until `condition` has been looked at.
local function while_busy(line, look)
  with_server("{}", function(server)
    local stop = server.child.dir .. "/stop"
    server.child:tell(("local stop = %q %s return 'done'"):format(stop, line))
    for _ = 1, 5 do
      local answer = server:get("/metrics")
      assert.are.equal(200, answer.status)
      assert.truthy(answer.body:find("\nlua_heap_bytes "))
      if look then look(server) end
    end
    run.command("touch " .. stop)
    run.command("rm -f " .. server.child.dir .. "/answer")
  end)
end

describe("the agent answers #valgrind", function()
  it("from the line that starts it on, until it is stopped", function()
    with_server("{}", function(server)
      assert.are.equal("ok\n", server:get("/healthz").body)
      assert.are.equal("true", server:ask("return handle:stop()"))
      assert.has_error(function() server:connect() end)
      assert.are.equal("false", server:ask("return handle:stop()"))
    end)
  end)

  it("while Lua is in an endless loop", function()
    while_busy([[local open = io.open while true do local f = open(stop) if f then break end end]])
  end)

  it("while Lua sleeps in C", function()
    while_busy([[os.execute("while ! [ -e " .. stop .. " ]; do sleep 0.05; done")]])
  end)

  it("HEAD with the head of GET alone", function()
    with_server("{}", function(server)
      local get, head = server:get("/healthz"), server:get("/healthz", { method = "HEAD" })
      assert.are.equal(200, head.status)
      assert.are.equal("", head.body)
      assert.are.equal(get.headers["content-length"], head.headers["content-length"])
      assert.are.equal(get.headers["content-type"], head.headers["content-type"])
    end)
  end)

  it("many requests on one connection, sent at once or one by one", function()
    with_server("{}", function(server)
      local client = server:connect()
      local request = "GET /healthz HTTP/1.1\r\nHost: " .. server.authority .. "\r\n\r\n"
      assert(client:send(request:rep(20)))
      for _ = 1, 20 do
        assert.matches("200 OK", client:receive("*l"))
        repeat local line = assert(client:receive("*l")) until line == "ok"
      end
      for _ = 1, 20 do
        assert(client:send(request))
        repeat local line = assert(client:receive("*l")) until line == "ok"
      end
      client:close()
      assert.are.equal("1", server:ask("return agent.status().accepted"))
      assert.are.equal("40", server:ask("return agent.status().requests"))
    end)
  end)
end)

describe("the agent's thread", function()
  local function thread_of(server)
    return run.command(([[
for task in /proc/%d/task/*; do
  [ "$(cat $task/comm)" = rtmetrics-agent ] && cat $task/status
done]]):format(server.pid)).out
  end

  it("has a name and leaves all signals to the program", function()
    with_server("{}", function(server)
      assert.matches("SigBlk:%s*f[ef]f[ef]f[ef]f[ef]f", thread_of(server):gsub("[37]", "f"))
    end)
  end)

  it("sleeps while nobody asks", function()
    with_server("{}", function(server)
      server:get("/metrics")
      run.command("sleep 0.3")
      local before = server:switches()
      run.command("sleep 2")
      assert.are.equal(before, server:switches())
    end)
  end)

  it("is the only one, and uses fewer than 8 descriptors", function()
    local out = script([[
      local function count(what)
        -- no pipe to it, which would be a descriptor too
        os.execute("ls /proc/$PPID/" .. what .. " | wc -l >number")
        local file = io.open("number")
        local number = file:read("*n")
        file:close()
        return number
      end
      local fds, tasks = count("fd"), count("task")
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      print(count("task") - tasks, count("fd") - fds < 8)
      handle:stop()
      print(count("task") - tasks, count("fd") - fds)
    ]])
    assert.are.equal("1\ttrue\n0\t0\n", out)
  end)
end)

describe("status", function()
  it("says where it runs, since when, and what it has done", function()
    with_server("{}", function(server)
      for path, times in pairs({ ["/healthz"] = 2, ["/nowhere"] = 1 }) do
        for _ = 1, times do server:get(path) end
      end
      assert.are.equal("true", server:ask("return agent.status().running"))
      assert.are.equal(server.address, server:ask("return agent.status().address"))
      assert.are.equal("http://" .. server.address, server:ask("return agent.status().url"))
      assert.are.equal(server.pid, server:status("pid"))
      assert.is_true(math.abs(server:status("started") - os.time()) < 60)
      assert.are.equal(3, server:status("requests"))
      assert.are.equal(1, server:status("refused"))
      assert.are.equal(0, server:status("failed"))
      assert.is_true(server:status("sent_bytes") > 6)
      server:ask("return handle:stop()")
      assert.are.equal("false nil", server:ask(
        "local s = agent.status() return tostring(s.running) .. ' ' .. tostring(s.address)"))
      assert.are.equal(3, server:status("requests"))
    end)
  end)

  it("is there before any start", function()
    assert.are.equal("false\t0\n", script([[
      print(agent.status().running, agent.status().requests)]]))
  end)
end)

describe("a second start", function()
  it("is refused and names the running one", function()
    assert.are.equal("true\ttrue\n", script([[
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      local again, message = agent.start { listen = "127.0.0.1:0" }
      print(again == nil, message == "the agent runs already at " .. handle.address)
    ]]))
  end)

  it("after a stop gets the same port at once, again and again", function()
    assert.are.equal("ok\n", script([[
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      for _ = 1, 50 do
        local address = handle.address
        assert(os.execute("LD_PRELOAD= curl -sS -m 20 -o /dev/null " .. handle.url .. "/healthz"))
        assert(handle:stop())
        handle = assert(agent.start { listen = address })
        assert(handle.address == address)
      end
      print("ok")
    ]]))
  end)

  it("has a handle of its own: the old one stops nothing", function()
    assert.are.equal("false\ttrue\ttrue\n", script([[
      local first = assert(agent.start { listen = "127.0.0.1:0" })
      first:stop()
      local second = assert(agent.start { listen = "127.0.0.1:0" })
      print(first:stop(), agent.status().running, second:stop())
    ]]))
  end)

  it("after the handle was collected finds it running", function()
    assert.are.equal("true\n", script([[
      assert(agent.start { listen = "127.0.0.1:0" })
      for _ = 1, 3 do collectgarbage() end
      print(agent.status().running)
    ]]))
  end)
end)

describe("start refuses", function()
  local function message_of(options, opts)
    return (script(([[print(select(2, agent.start(%s)))]]):format(options), opts):gsub("\n$", ""))
  end

  it("a port that somebody else listens on", function()
    local listener = assert(require("socket").bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    assert.are.equal(
      ("cannot listen on 127.0.0.1:%d: Address already in use"):format(port),
      message_of(("{ listen = '127.0.0.1:%d' }"):format(port)))
    listener:close()
  end)

  it("an address that is not this machine's", function()
    assert.are.equal("cannot listen on 192.0.2.1:0: Cannot assign requested address",
      message_of("{ listen = '192.0.2.1:0', token = ('x'):rep(32) }"))
  end)

  it("an address that others reach, without a token", function()
    for _, address in ipairs({ ":0", "0.0.0.0:0", "[::]:0" }) do
      assert.matches("other machines reach it, so it needs a token",
        message_of(("{ listen = %q }"):format(address)), nil, true)
    end
  end)

  it("what is no address, and says what is missing", function()
    for text, why in pairs({
      [""] = "an address is missing, as in 127.0.0.1:6060",
      ["6060"] = "an address is missing, as in 127.0.0.1:6060",
      ["127.0.0.1"] = "a port is missing, as in 127.0.0.1:6060",
      ["[::1]"] = "a port is missing, as in 127.0.0.1:6060",
      ["127.0.0.1:"] = "the port must be a number from 0 to 65535",
      ["127.0.0.1:65536"] = "the port must be a number from 0 to 65535",
      ["127.0.0.1:-1"] = "the port must be a number from 0 to 65535",
      ["127.0.0.1:0x50"] = "the port must be a number from 0 to 65535",
      ["::1:6060"] = "an IPv6 address stands in brackets, as in [::1]:6060",
      ["example.com:80"] = "not an IP address, localhost or unix:/path",
      ["127.1:80"] = "not an IP address, localhost or unix:/path",
      ["[127.0.0.1]:80"] = "not an IP address, localhost or unix:/path",
      ["unix:app.sock"] = "the path of a unix socket must be absolute, as in unix:/run/app.sock",
      ["unix:/" .. ("x"):rep(107)] = "the path of a unix socket has 107 bytes at most",
    }) do
      assert.are.equal(("cannot listen on %s: %s"):format(text, why),
        message_of(("{ listen = %q }"):format(text)))
    end
  end)

  it("a port for which it has no permission", function()
    local nobody = run.as_nobody()
    if not nobody then return pending("only root can become nobody") end
    local result = run.command([[
cat >script.lua <<'END'
print(select(2, require("rtmetrics.agent").start { listen = "127.0.0.1:80" }))
END
chmod 755 . && chmod 644 script.lua
[ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -gt 80 ] || { echo any; exit; }
exec ]] .. nobody .. [[ $RTM_LUA script.lua]])
    if result.out == "any\n" then return pending("everybody may listen on port 80 here") end
    assert.are.equal("cannot listen on 127.0.0.1:80: Permission denied\n", result.out, result.err)
  end)
end)

describe("options that are mistakes raise", function()
  local function fault_of(options)
    return (script(([[print(select(2, pcall(agent.start, %s)))]]):format(options)):gsub("\n$", ""))
  end

  it("unknown ones, with the nearest known", function()
    assert.matches('unknown option "lisen", the nearest known is "listen"',
      fault_of("{ lisen = 'x' }"), nil, true)
  end)

  it("values of another type or out of range", function()
    for options, why in pairs({
      ["{ listen = 6060 }"] = 'option "listen" must be a string, got number',
      ["{ max_connections = 0 }"] = 'option "max_connections" must be at least 1, got 0',
      ["{ max_connections = 1.5 }"] = 'option "max_connections" must be a whole number',
      ["{ deadline = 0 }"] = 'option "deadline" must be above 0, got 0',
      ["{ on_fork = 'go' }"] = 'option "on_fork" must be one of stop, restart, got go',
      ["{ socket_mode = '0800' }"] = 'option "socket_mode" must be an octal mode like "0600"',
      ["{ hosts = { 1 } }"] = 'option "hosts" must be a list of strings, got a number in it',
      ["{ hosts = { nil, 'x' } }"] = 'option "hosts" must be a list of strings, got a nil in it',
      ["{ open = { nil, 'metrics' } }"] = 'option "open" has no class "nil"',
      ["{ open = { 'metric' } }"] = 'has no class "metric", the nearest known is "metrics"',
      ["{ listen = '127.0.0.1:0\\0' }"] = "text with a NUL in it",
    }) do
      assert.matches(why, fault_of(options), nil, true)
    end
  end)

  it("an address that a child could not have beside its parent", function()
    for _, address in ipairs({
      "127.0.0.1:6060", "127.0.0.1:10", "unix:/tmp/app.sock", "unix:/tmp/app:0",
    }) do
      assert.matches('option "on_fork" = "restart" needs port 0',
        fault_of(("{ on_fork = 'restart', listen = %q }"):format(address)), nil, true)
    end
  end)
end)

describe("requiring the agent", function()
  it("without its native part says what to install", function()
    local result = run.script([[
      package.cpath = package.cpath:gsub("%?%.so", "?.none")
      package.preload["rtmetrics.core"] = package.loadlib(
        os.getenv("RTM_BUILD") .. "/lib/rtmetrics/core.so", "luaopen_rtmetrics_core")
      print(select(2, pcall(require, "rtmetrics.agent")))
    ]])
    assert.matches("luarocks install rtmetrics-agent", result.out, nil, true)
    assert.matches("libmicrohttpd-dev", result.out, nil, true)
  end)

  it("twice, and from a second path, gives one agent", function()
    assert.are.equal("true\ttrue\n", script([[
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      assert(os.execute("mkdir -p copy/rtmetrics/agent && cp " .. os.getenv("RTM_BUILD")
        .. "/lib/rtmetrics/agent/native.so copy/rtmetrics/agent/"))
      package.cpath = "./copy/?.so;" .. package.cpath
      package.loaded["rtmetrics.agent"] = nil
      package.loaded["rtmetrics.agent.native"] = nil
      local again = require("rtmetrics.agent")
      print(again.status().address == handle.address, handle:stop())
    ]]))
  end)
end)

describe("a program with an agent ends", function()
  local ENDINGS = {
    ["at its last line"] = { "", 0 },
    ["by os.exit"] = { "os.exit(3)", 3 },
    ["by os.exit, closing the VM"] = { "os.exit(4, true)", 4 },
    ["by an error"] = { "error({})", 1 },
    ["by os.exit in a coroutine"] = { "coroutine.wrap(function() os.exit(5, true) end)()", 5 },
    ["by os.exit in a finalizer"] = {
      "local p = rawget(_G, 'newproxy') and newproxy(true) or setmetatable({}, { __gc = true }) "
        .. "getmetatable(p).__gc = function() os.exit(6) end",
      6,
    },
  }

  for how, ending in pairs(ENDINGS) do
    it(how .. ", soon and with its socket unlinked #valgrind", function()
      local result = run.command(([[
cat >script.lua <<'END'
local agent = require("rtmetrics.agent")
assert(agent.start { listen = "unix:" .. os.getenv("PWD") .. "/app.sock" })
os.execute("[ -S app.sock ] && "
  .. "LD_PRELOAD= curl -sS -m 20 --unix-socket app.sock http://localhost/healthz")
%s
END
$RTM_LUA script.lua >out; echo $?; cat out; ls]]):format(ending[1]))
      assert.are.equal(("%d\nok\nout\nscript.lua\n"):format(ending[2]), result.out, result.err)
    end)
  end

  it("within a moment, though clients are in the middle of a request", function()
    with_server("{}", function(server)
      local clients = {}
      for i = 1, 16 do
        clients[i] = server:connect()
        clients[i]:send("GET / HTTP/1.1\r\nHo")
      end
      local began = require("socket").gettime()
      server:ask("return handle:stop()")
      assert.is_true(require("socket").gettime() - began < (run.under() and 20 or 1.5))
      for i = 1, 16 do
        assert.are.equal("closed", select(2, clients[i]:receive(1)))
        clients[i]:close()
      end
    end)
  end)

  it("and lets exec'ed programs have none of its descriptors", function()
    assert.are.equal("true\n", script([[
      local function count()
        local pipe = io.popen("ls /proc/self/fd | wc -l")
        local number = tonumber(pipe:read("*l"))
        pipe:close()
        return number
      end
      local before = count()
      assert(agent.start { listen = "127.0.0.1:0" })
      print(count() == before)
    ]]))
  end)
end)
