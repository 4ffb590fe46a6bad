-- An agent in each worker of nginx (row 47 of the test plan).

local nginx = require("support.nginx")
local run = require("support.run")

local START = [[init_worker_by_lua_block {
    local agent = require "rtmetrics.agent"
    assert(agent.start { listen = "unix:%s/%%p.sock" })
  }]]

local missing = nginx.missing()

local function it_serves(title, more, test)
  it(title, function()
    if missing then return pending(missing) end
    local sockets = run.tmpdir()
    local replacements = { [nginx.INIT] = START:format(sockets) }
    for old, new in pairs(more) do replacements[old] = new end
    local server
    finally(function()
      if server then server:stop() end
    end)
    server = nginx.start(replacements)
    test(server, sockets, replacements)
  end)
end

local function socket_of(sockets, pid)
  return ("%s/%d.sock"):format(sockets, pid)
end

local function ask(sockets, pid, path)
  return run.command(("curl -sS -m 20 --unix-socket %s http://localhost%s"):format(
    socket_of(sockets, pid), path)).out
end

local function names_in(sockets)
  return run.command("ls " .. sockets).out
end

-- Those of these workers, and of nobody else.
local function assert_sockets(sockets, workers)
  local names = {}
  for i, pid in ipairs(workers) do names[i] = pid .. ".sock\n" end
  local function expected(with)
    table.sort(with)
    return table.concat(with)
  end
  local condition = ("[ $(ls %s | wc -l) -eq %d ]"):format(sockets, #workers)
  nginx.wait_for(condition)
  local found = {}
  for name in names_in(sockets):gmatch("[^\n]+\n") do found[#found + 1] = name end
  assert.are.equal(expected(names), expected(found))
end

local function assert_quiet(server, expected)
  assert.are.equal("", server:alarms(expected))
  assert.is_nil(server:log():match("[^\n]*%[error%][^\n]*"))
end

describe("an agent in each worker of nginx", function()
  it_serves("answers for its worker, and the master has none", {}, function(server, sockets)
    local workers = server:settle(2)
    assert_sockets(sockets, workers)
    for _, pid in ipairs(workers) do
      assert.matches("\nlua_heap_bytes ", ask(sockets, pid, "/metrics"))
      assert.are.equal(2, nginx.threads(pid))
    end
    assert.are.equal(1, nginx.threads(server.pid))
    assert_quiet(server)
  end)

  it_serves("is not started by nginx -t", {}, function(server, sockets, replacements)
    server:stop()
    assert_sockets(sockets, {})
    local tested = nginx.test(replacements)
    assert.are.equal(0, tested.code, tested.err)
    assert.are.equal("", names_in(sockets))
  end)

  it_serves("comes and goes with reloads under load, and no request fails", {},
    function(server, sockets)
      local load = server:load("/metrics", server:reloads(10, 0.15))
      assert.are.equal(("reloaded\n"):rep(10), load.meanwhile)
      assert.are.equal(0, load.failed)
      local workers = server:settle(2)
      assert_sockets(sockets, workers)
      for _, pid in ipairs(workers) do
        assert.are.equal("ok\n", ask(sockets, pid, "/healthz"))
      end
      assert_quiet(server)
    end)

  it_serves("is there again when its worker was killed", {
    ["worker_processes 2"] = "worker_processes 1",
  }, function(server, sockets)
    local first = server:settle(1)[1]
    run.command("kill -KILL " .. first)
    assert.is_true(nginx.wait_for(("! kill -0 %d 2>/dev/null"):format(first)))
    local second = server:settle(1)[1]
    assert.is_true(nginx.wait_for("[ -S " .. socket_of(sockets, second) .. " ]"))
    assert.are.equal("ok\n", ask(sockets, second, "/healthz"))
    assert_quiet(server, "exited on signal 9")
  end)

  it_serves("serves all VMs of a worker that has one for each request", {
    ["worker_processes 2"] = "worker_processes 1",
    ['require "rtmetrics.prometheus"'] = 'require "rtmetrics.prometheus" '
      .. 'assert(not require("rtmetrics.agent").start())',
    ["access_log off;"] = "access_log off;\n  lua_code_cache off;",
  }, function(server, sockets)
    local worker = server:settle(1)[1]
    server:answer("/metrics", 200)
    assert.are.equal(2, nginx.threads(worker))
    assert.matches("\nlua_heap_bytes", ask(sockets, worker, "/metrics"))
    assert_sockets(sockets, { worker })
  end)
end)
