local nginx = require "support.nginx"
local prometheus_text = require "support.prometheus_text"
local run = require "support.run"

local MIB = 1024 * 1024
local IN_MASTER = 'init_by_lua_block { require "rtmetrics" }'
local START_FULL = 'init_worker_by_lua_block {\n'
  .. '    assert(require("rtmetrics").start { sched = "full" })\n  }'

local missing = nginx.missing()

-- A test that gets a function which starts a server; all are stopped at the end.
local function it_serves(title, test)
  it(title, function()
    if missing then return pending(missing) end
    local servers = {}
    finally(function()
      for _, server in ipairs(servers) do
        server:stop()
      end
    end)
    test(function(...)
      servers[#servers + 1] = nginx.start(...)
      return servers[#servers]
    end)
  end)
end

local function metrics_of(server)
  local reply = server:get("/metrics")
  assert.are.equal(200, reply.status)
  return prometheus_text.parse(reply.body, "text")
end

local function assert_quiet(server, expected)
  assert.are.equal("", server:alarms(expected))
  assert.is_nil(server:log():match("[^\n]*%[error%][^\n]*"))
end

describe("nginx", function()
  it_serves("shows its Lua at /metrics in the text format", function(start)
    local server = start()
    local reply = server:get("/metrics")
    assert.are.equal("text/plain; version=0.0.4; charset=utf-8", reply.type)
    local families = prometheus_text.parse(reply.body, "text")
    assert.is_true(prometheus_text.value(families, "lua_heap_bytes") > 50000)
    assert.is_true(prometheus_text.value(families, "lua_heap_allocs_bytes_total") > 0)
    assert.are.equal(1, prometheus_text.value(families, "process_threads"))
    assert_quiet(server)
  end)

  it_serves("shows it in OpenMetrics to those that want that", function(start)
    local reply = start():get("/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert.matches("^application/openmetrics%-text", reply.type)
    prometheus_text.parse(reply.body, "openmetrics")
  end)

  it_serves("shows nothing that promtool finds fault with", function(start)
    if run.command("command -v promtool").code ~= 0 then return pending("promtool is missing") end
    local checked = run.command("promtool check metrics", { stdin = start():get("/metrics").body })
    assert.are.equal("", checked.out .. checked.err)
    assert.are.equal(0, checked.code)
  end)

  it_serves("shows each worker's figures, also when the master loaded rtmetrics", function(start)
    local server = start({
      ["worker_processes 2"] = "worker_processes 1",
      [nginx.INIT] = IN_MASTER,
    })
    -- A second worker is one that began later than the master for sure, by a whole second.
    local first = server:settle(1)[1]
    run.command(("sleep 1; kill -KILL %d"):format(first))
    assert.is_true(nginx.wait_for(("! kill -0 %d 2>/dev/null"):format(first)))
    local worker = server:settle(1)[1]
    local families = metrics_of(server)
    local started = prometheus_text.value(families, "process_start_time_seconds")
    local resident = prometheus_text.value(families, "process_resident_memory_bytes")
    assert.is_true(math.abs(started - nginx.started(worker)) < 0.5, "started: " .. started)
    assert.is_true(started - nginx.started(server.pid) > 0.5, "started: " .. started)
    assert.is_true(math.abs(nginx.resident(worker) - resident) < 2 * MIB, "resident: " .. resident)
    assert_quiet(server, "exited on signal 9")
  end)

  it_serves("answers when its workers gave up root", function(start)
    local core = run.build() .. "/lib/rtmetrics/core.so"
    if run.command("runuser -u nobody -- test -r " .. run.quote(core)).code ~= 0 then
      return pending("needs root, and a checkout that nobody can read")
    end
    local server = start(nil, "nobody nogroup")
    local families = metrics_of(server)
    assert.is_true(prometheus_text.value(families, "process_open_fds") > 3)
    assert_quiet(server)
  end)

  it_serves("fails no request through 20 reloads", function(start)
    local server = start()
    local load = server:load("/metrics", server:reloads(20, 0.15))
    assert.are.equal(("reloaded\n"):rep(20), load.meanwhile)
    assert.are.equal(0, load.failed)
    assert.is_true(load.requests > 100, load.requests .. " requests")
    assert.are.equal(2, #server:settle(2))
    metrics_of(server)
    assert_quiet(server)
  end)

  it_serves("does not grow under load", function(start)
    local server = start()
    server:answer("/metrics", 1000)
    local workers, before = server:workers(), {}
    for i, pid in ipairs(workers) do
      before[i] = nginx.resident(pid)
    end
    server:answer("/metrics", 2000)
    for i, pid in ipairs(workers) do
      local growth = nginx.resident(pid) - before[i]
      assert.is_true(growth < 2 * MIB, growth .. " bytes more")
    end
    assert_quiet(server)
  end)

  it_serves("starts a worker anew that was killed", function(start)
    local server = start()
    local killed = server:settle(2)[1]
    run.command("kill -KILL " .. killed)
    assert.is_true(nginx.wait_for(("! kill -0 %d 2>/dev/null"):format(killed)))
    assert.are.equal(2, #server:settle(2))
    for _ = 1, 4 do
      metrics_of(server)
    end
    assert_quiet(server, "exited on signal 9")
  end)
end)

describe("rtmetrics in nginx's master", function()
  -- Debian's module leaves init_by_lua out there; others have run it.
  it("leaves a test of the configuration alone", function()
    if missing then return pending(missing) end
    local result = nginx.test({ [nginx.INIT] = [[init_by_lua_block {
      require "rtmetrics"
      local pipe = io.popen("ls /proc/$PPID/task | wc -l")
      io.stderr:write("threads: ", pipe:read("*l"), "\n")
      pipe:close()
    }]] })
    assert.are.equal(0, result.code, result.err)
    assert.matches("test is successful", result.err, 1, true)
    assert.are.equal("1", result.err:match("threads: (%d+)") or "1")
  end)

  it_serves("starts no thread and does not grow by reloads", function(start)
    local server = start({ [nginx.INIT] = IN_MASTER })
    server:reload(2, 0.1)
    local before = nginx.resident(server.pid)
    server:reload(18, 0.05)
    for _, pid in ipairs(server:settle(2)) do
      assert.are.equal(1, nginx.threads(pid))
    end
    assert.are.equal(1, nginx.threads(server.pid))
    assert.is_true(nginx.resident(server.pid) - before < 2 * MIB)
    metrics_of(server)
    assert_quiet(server)
  end)
end)

describe("nginx with a VM for each request", function()
  it_serves("watches one VM after the other without end", function(start)
    local server = start({
      ["worker_processes 2"] = "worker_processes 1",
      [nginx.INIT] = nginx.INIT .. "\n  lua_code_cache off;",
    })
    local warm = server:answer("/metrics", 100)
    local worker = server:workers()[1]
    local before = nginx.resident(worker)
    -- 1024 VMs can be watched at once in a process: more than that come and go here.
    server:answer("/metrics", 1200 - warm)
    assert.are.equal(worker, server:workers()[1])
    local growth = nginx.resident(worker) - before
    assert.is_true(growth < 2 * MIB, growth .. " bytes more")
    local heap = prometheus_text.value(metrics_of(server), "lua_heap_allocs_bytes_total")
    assert.is_true(heap > 0, "the last VM is watched too")
    assert_quiet(server, "lua_code_cache is off")
  end)
end)

describe("full tracking of coroutines in nginx", function()
  -- Everything that ngx_lua does with coroutines: those of Lua, light threads, waits in both.
  local LOCATION = [[location = /coroutines {
      content_by_lua_block {
        local function tell(...)
          for i = 1, select("#", ...) do
            ngx.print(tostring((select(i, ...))), " ")
          end
          ngx.print("\n")
        end
        local co = coroutine.create(function(a, b)
          tell("resumed", a, b, coroutine.status(coroutine.running()))
          local c = coroutine.yield(a + b)
          ngx.sleep(0.001)
          tell("slept", c)
          tell(ngx.thread.wait(ngx.thread.spawn(function()
            ngx.sleep(0.001)
            return "spawned", 7
          end)))
          error({})
        end)
        tell(coroutine.status(co))
        tell(coroutine.resume(co, 1, 2))
        local ok, message = coroutine.resume(co, "three")
        tell(ok, type(message), coroutine.status(co))
        tell(coroutine.resume(co))
        local outer = coroutine.wrap(function()
          local inner = coroutine.wrap(function() coroutine.yield("deep") return "deeper" end)
          tell(inner())
          tell(inner())
          return "out"
        end)
        tell(outer())
        local left = coroutine.create(coroutine.yield)
        coroutine.resume(left)
      }
    }

    location = / {]]

  it_serves("changes nothing that a program sees", function(start)
    local bare = start({ ["location = / {"] = LOCATION, [nginx.INIT] = "" }):get("/coroutines").body
    assert.matches("\nfalse table dead \n.*\nout \n$", bare)
    local server = start({ ["location = / {"] = LOCATION, [nginx.INIT] = START_FULL })
    assert.are.equal(bare, server:get("/coroutines").body)
    assert.are.equal(0, server:load("/coroutines", 1).failed)
    assert.are.equal(bare, server:get("/coroutines").body)
    local families = metrics_of(server)
    assert.are.equal(1, prometheus_text.value(families, "lua_coroutines", { state = "running" }))
    assert.are.equal(0,
      prometheus_text.value(families, "rtmetrics_sched_missed_switches_total"))
    assert_quiet(server)
  end)
end)

describe("the nginx example", function()
  local script = run.root() .. "/examples/nginx/run.sh"

  it("tells what it is", function()
    local result = run.command(script .. " --help")
    assert.are.equal(0, result.code)
    assert.matches("usage: examples/nginx/run.sh", result.out, 1, true)
  end)

  it("refuses what it does not know", function()
    for _, words in ipairs({ "--prot 1", "--port x", "--port 0", "--port" }) do
      local result = run.command(script .. " " .. words)
      assert.are.equal(2, result.code, words)
      assert.matches("^run.sh: ", result.err)
    end
  end)

  it("runs until it is told to end, and leaves nothing", function()
    if missing then return pending(missing) end
    local port = run.free_port()
    local tmp = run.tmpdir()
    local result = run.command(([[
timeout -k 20 200 %s --port %s >out 2>err & pid=$!
until curl -s -m 20 http://127.0.0.1:%s/ >page || ! kill -0 $pid; do sleep 0.05; done
curl -s -m 20 http://127.0.0.1:%s/metrics
kill $pid; wait $pid; rm page out err; ls]]):format(script, port, port, port),
      { cwd = tmp, env = { TMPDIR = tmp }, timeout = 240 })
    assert.are.equal(0, result.code)
    assert.matches("# TYPE lua_heap_bytes gauge\n.*\nprocess_threads 1\n$", result.out)
  end)
end)
