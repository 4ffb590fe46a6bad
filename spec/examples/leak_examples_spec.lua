local run = require "support.run"

-- Runs an example until it says one of these things, or for so long that it must be broken; then
-- presses Ctrl-C. Returns what it printed, with its exit status in the last line.
local function until_said(name, words, ...)
  local said = {}
  for i, text in ipairs({ ... }) do
    said[i] = "grep -qF -- " .. run.quote(text) .. " out"
  end
  local result = run.command(([[
    $RTM_LUA %s/examples/%s.lua %s --seconds 100 >out 2>&1 &
    pid=$!
    until { %s; } || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
    kill -INT $pid 2>/dev/null
    wait $pid
    echo "status $?" >>out
    cat out
  ]]):format(run.quote(run.root()), name, words, table.concat(said, " && ")), { timeout = 240 })
  assert.are.equal(0, result.code, result.err)
  return result.out
end

for _, loop in ipairs({ "plain", "copas", "cqueues" }) do
  describe("the memory leak detector on the loop " .. loop, function()
    it("warns of its leak with figures, and ends at Ctrl-C", function()
      local out = until_said("memory_leak_detector",
        "--interval 0.5 --leak-mib-s 8 --loop " .. loop, "memory leak?", "the Lua heap is")
      assert.matches("WARNING: memory leak%? the Lua heap grew %d+%.%d MiB in [%d.]+ s "
        .. "%(%d+%.%d%d MiB/s%): %d+%.%d → %d+%.%d MiB after collection", out)
      assert.matches("the Lua heap is %d+%.%d MiB\n", out)
      assert.matches("\nstatus 0\n$", out)
    end)
  end)

  describe("the coroutine leak monitor on the loop " .. loop, function()
    it("names the line that creates what never ends, and ends at Ctrl-C", function()
      local out = until_said("coroutine_leak_monitor",
        "--interval 0.5 --leak-per-s 400 --loop " .. loop, "coroutine leak?")
      assert.matches("WARNING: coroutine leak%? [%d,]+ live coroutines after a full collection",
        out)
      assert.matches("\n  [^\n]*coroutine_leak_monitor.lua:%d+: [%d,]+ suspended, oldest ", out)
      assert.matches("\nstatus 0\n$", out)
    end)
  end)
end

describe("the leak examples without a leak", function()
  it("do not warn of garbage", function()
    local result = run.command(([[
      $RTM_LUA %s/examples/memory_leak_detector.lua --interval 0.5 --leak-mib-s 0 --seconds 4 &
      $RTM_LUA %s/examples/coroutine_leak_monitor.lua --interval 0.5 --leak-per-s 0 --seconds 4
      wait
    ]]):format(run.quote(run.root()), run.quote(run.root())))
    assert.are.equal(0, result.code, result.err)
    assert.not_matches("WARNING", result.out)
    assert.matches("the Lua heap is", result.out)
    assert.matches("live coroutines, uncollected ones included", result.out)
  end)
end)

describe("the demo", function()
  it("serves its metrics under load, shows both leaks and ends at Ctrl-C", function()
    local out = until_said("demo", "--rate 200", "memory leak?", "coroutine leak?")
    assert.matches("its metrics: curl http://127.0.0.1:%d+/metrics\n", out)
    assert.matches("\n +%d+ s +%d+ orders %(%d+/s%)  heap %d+%.%d MiB  ", out)
    assert.matches("%*%*%* %u+: memory leak%? the Lua heap grew", out)
    assert.matches("examples/demo.lua:%d+: [%d,]+ suspended", out)
    assert.matches("\nthe end, after %d+ orders\nstatus 0\n$", out)
  end)

  it("shows its metrics at the address that it prints", function()
    local result = run.script([[
      local socket = require "socket"
      local pipe = assert(io.popen("echo $$; exec $RTM_LUA " .. os.getenv("RTM_ROOT")
        .. "/examples/demo.lua --seconds 100 2>&1"))
      local pid, port = pipe:read("*l"), nil
      repeat
        port = pipe:read("*l"):match("http://127.0.0.1:(%d+)/metrics")
      until port
      local skt = assert(socket.connect("127.0.0.1", tonumber(port)))
      skt:settimeout(50)
      skt:send("GET /metrics HTTP/1.1\r\nHost: localhost:" .. port
        .. "\r\nConnection: close\r\n\r\n")
      io.write((assert(skt:receive("*a"))))
      os.execute("kill " .. pid)
      pipe:close()
    ]])
    assert.are.equal(0, result.code, result.err .. result.out)
    assert.matches("^HTTP/1.1 200 OK\r\n", result.out)
    assert.matches("\ndemo_orders_total %d+\n", result.out)
  end)

  it("leaves no process behind, even when it is killed", function()
    local result = run.command(([[
      $RTM_LUA %s/examples/demo.lua --seconds 100 >out 2>&1 &
      pid=$!
      until grep -q '([1-9][0-9]*/s)' out || ! kill -0 $pid; do sleep 0.1; done
      child=$(pgrep -P $pid)
      kill -KILL $pid
      # A process that nobody has waited for yet is gone all the same.
      while grep -q '^State:.[^ZX]' /proc/$child/status 2>/dev/null; do sleep 0.1; done
      echo "had ${child:-none}, gone"
    ]]):format(run.quote(run.root())))
    assert.are.equal(0, result.code, result.err)
    assert.matches("had %d+, gone\n", result.out)
  end)
end)
