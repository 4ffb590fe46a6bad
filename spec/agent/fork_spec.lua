-- Forked children and the agent of their parent (rows 25 and 26 of the test plan).
-- LD_PRELOAD= stands before programs that Lua starts, as a sanitizer's library is for Lua alone.

local run = require("support.run")

local function script(code)
  local result = run.script([[
    local fork = require("fork_probe")
    local agent = require("rtmetrics.agent")
    local function asks(handle, path)
      local where = handle.url or "--unix-socket " .. handle.address:sub(6) .. " http://localhost"
      local status = os.execute("LD_PRELOAD= curl -sS -m 20 -o out " .. where
        .. (path or "/healthz"))
      return status == true or status == 0
    end
    -- What the agent is in this process, when it is one.
    local function wait_for_agent()
      local last = os.time() + 20
      repeat
        local status = agent.status()
        if status.running then return status end
      until os.time() > last
      return status
    end
  ]] .. code)
  assert.are.equal("", result.err)
  assert.are.equal(0, result.code)
  return result.out
end

local function run_host(line)
  local result = run.command("exec $RTM_WRAP " .. run.program(line), {
    timeout = 200,
    -- Of gcc 12: it misjudges thread-local storage of libraries that were loaded late.
    env = { TSAN_OPTIONS = (os.getenv("TSAN_OPTIONS") or "") .. ":intercept_tls_get_addr=0" },
  })
  assert.are.equal("", result.err)
  assert.is_nil(result.signal)
  assert.are.equal(0, result.code)
  return result.out
end

describe("a forked child #valgrind", function()
  it("has no agent, and cannot stop its parent's", function()
    assert.are.equal("nil false false false\ttrue\n", script([[
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      print(fork.in_child(function()
        local status = agent.status()
        return table.concat({ tostring(status.address), tostring(status.running),
          tostring(handle:stop()), tostring(agent.status().running) }, " ")
      end), asks(handle) and handle:stop())
    ]]))
  end)

  it("counts from zero what its own agent does", function()
    assert.are.equal("2\t0 0 0\n", script([[
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      assert(asks(handle) and asks(handle, "/metrics"))
      print(agent.status().requests, fork.in_child(function()
        local status = agent.status()
        return ("%d %d %d"):format(status.requests, status.accepted, status.sent_bytes)
      end))
    ]]))
  end)

  it("may start one of its own, with the parent's port free for it later", function()
    assert.are.equal("true\ttrue\ntrue\n", script([[
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      print(fork.in_child(function()
        local refused = agent.start { listen = handle.address }
        local own = assert(agent.start { listen = "127.0.0.1:0" })
        return tostring(refused == nil and own.address ~= handle.address and asks(own)
          and own:stop())
      end), asks(handle))
      handle:stop()
      print(fork.in_child(function()
        return tostring(assert(agent.start { listen = handle.address }):stop())
      end))
    ]]))
  end)

  it("leaves the parent's unix socket where it is", function()
    assert.are.equal("own\ttrue\n", script([[
      local handle = assert(agent.start { listen = "unix:" .. os.getenv("PWD") .. "/app.sock" })
      print(fork.in_child(function()
        for _ = 1, 3 do collectgarbage() end
        assert(agent.start { listen = "127.0.0.1:0" }):stop()
        return "own"
      end), asks(handle))
    ]]))
  end)

  it("that outlives the agent does not keep its port or its clients", function()
    assert.are.equal("true\ttrue\n", script([[
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      -- the child has a copy of nothing: its grandchild sleeps on while the parent stops and starts
      fork.in_child(function() os.execute("sleep 5 >/dev/null 2>&1 &") return "" end)
      local address = handle.address
      print(handle:stop(), assert(agent.start { listen = address }):stop())
    ]]))
  end)
end)

describe("on_fork = \"restart\" #valgrind", function()
  it("gives each child an agent on a port of its own, at its next instruction", function()
    assert.are.equal("true true true\ttrue\n", script([[
      local handle = assert(agent.start { listen = "127.0.0.1:0", on_fork = "restart" })
      print(fork.in_child(function()
        local status = wait_for_agent()
        local own = { url = status.url }
        return tostring(status.running) .. " " .. tostring(status.address ~= handle.address) .. " "
          .. tostring(asks(own, "/metrics"))
      end), asks(handle))
    ]]))
  end)

  it("puts its number into the path of a unix socket", function()
    assert.are.equal("true true\ttrue\n", script([[
      local here = os.getenv("PWD")
      local handle = assert(agent.start { listen = "unix:" .. here .. "/%p.sock",
        on_fork = "restart" })
      print(fork.in_child(function()
        local status = wait_for_agent()
        return tostring(status.address == "unix:" .. here .. "/" .. status.pid .. ".sock") .. " "
          .. tostring(asks({ address = status.address }))
      end), asks(handle))
    ]]))
  end)

  it("holds for the children of children, and keeps the other options", function()
    assert.are.equal("true\n", script([[
      assert(agent.start { listen = "127.0.0.1:0", on_fork = "restart", token = ("x"):rep(32) })
      print(fork.in_child(function()
        local child = wait_for_agent().address
        return fork.in_child(function()
          local status = wait_for_agent()
          os.execute("LD_PRELOAD= curl -sS -m 20 -w '%{http_code}' -o out2 " .. status.url
            .. "/metrics >code")
          return tostring(status.address ~= child and io.open("code"):read("*a") == "401")
        end)
      end))
    ]]))
  end)

  it("is of no use after a stop", function()
    assert.are.equal("false\n", script([[
      assert(agent.start { listen = "127.0.0.1:0", on_fork = "restart" }):stop()
      print(fork.in_child(function()
        for i = 1, 1e5 do local _ = i end
        return tostring(agent.status().running)
      end))
    ]]))
  end)
end)

describe("forks under load", function()
  it("from two threads, with children that end in every way, harm nobody #valgrind", function()
    run_host("agent_fork " .. (run.under() and 24 or 500))
  end)

  it("meet the locks of other threads, and no child waits for them", function()
    local under = run.under() or ""
    if under:find("thread") then
      return pending("the thread sanitizer has children of threaded processes do nothing")
    elseif under:find("address") then
      return pending("the address sanitizer's malloc may be locked for ever in such a child")
    end
    run_host("agent_threads 200 " .. (run.under() and 20 or 150))
  end)
end)

describe("VMs on threads of their own #threads", function()
  it("start, stop and ask the agent at random", function()
    run_host("agent_threads " .. (run.under() == "valgrind" and 20 or 100) .. " 0")
  end)
end)

describe("VMs on threads of their own, 4000 of them #nightly", function()
  it("start, stop and ask the agent at random", function()
    for _ = 1, 20 do run_host("agent_threads 200 0") end
  end)
end)
