-- The loops of copas and cqueues, for real: each script ends itself and prints what happened, in an
-- order that no timing can change.
local run = require "support.run"

-- Debian's copas is pure Lua of the 5.1 folder.
local PRELUDE = [[
package.path = package.path .. ";/usr/share/lua/5.1/?.lua"
local socket = require "socket"
local clock = socket.gettime
]]

local HOSTS = {
  copas = [[require("rtmetrics.hosts.copas").new({ clock = clock })]],
  cqueues = [[require("rtmetrics.hosts.cqueues").new()]],
  plain = [[require("rtmetrics.hosts.plain").new({ clock = clock })]],
}

local function script(name, code)
  local result = run.script(PRELUDE .. "local host = " .. HOSTS[name] .. "\n" .. code)
  assert.are.equal(0, result.code, result.err)
  assert.are.equal("", result.err)
  return result.out
end

for name in pairs(HOSTS) do
  describe("the host " .. name, function()
    it("calls a timer again and again until it is cancelled", function()
      assert.are.equal("1 2 3 end\n", script(name, [[
        local n, cancel = 0
        cancel = host:every(0.01, function()
          n = n + 1
          io.write(n, " ")
          if n == 3 then
            cancel()
            host:every(0.05, function() host:stop() end)
          end
        end)
        host:run(60)
        print("end")
      ]]))
    end)

    it("runs for the time it is given", function()
      assert.are.equal("true\n", script(name, [[
        local before = host:clock()
        host:every(100, function() end)
        host:run(0.2)
        local took = host:clock() - before
        print(took >= 0.19 and took < 20 or took)
      ]]))
    end)

    it("has a clock that goes on and a sleep that lasts", function()
      assert.are.equal("true\n", script(name, [[
        host:every(0.01, function()
          local before = host:clock()
          host:sleep(0.05)
          local slept = host:clock() - before
          print(slept >= 0.049 and slept < 20 or slept)
          host:stop()
        end)
        host:run(60)
      ]]))
    end)

    it("drives a watchdog", function()
      assert.are.equal("found found end\n", script(name, [[
        local watchdog = require "rtmetrics.watchdog"
        local n = 0
        local w = watchdog.new({
          detectors = { { step = function() return { {} } end } },
          on_finding = function()
            n = n + 1
            io.write("found ")
            if n == 2 then host:stop() end
          end,
          interval = 0.01, read = function() return {} end, clock = clock,
        })
        watchdog.attach(w, host)
        host:run(60)
        print("end")
      ]]))
    end)
  end)
end

describe("the host copas", function()
  it("keeps serving sockets while its timers run, and its timers while sockets wait", function()
    assert.are.equal("served ticks\n", script("copas", [[
      local copas = require "copas"
      local server = assert(socket.bind("127.0.0.1", 0))
      local _, port = server:getsockname()
      local ticks = 0
      host:every(0.01, function() ticks = ticks + 1 end)
      copas.addserver(server, function(skt)
        local line = copas.receive(skt)
        copas.send(skt, line .. "\n")
        skt:close()
      end)
      copas.addthread(function()
        local client = socket.tcp()
        assert(copas.connect(client, "127.0.0.1", port))
        repeat host:sleep(0.01) until ticks >= 2
        copas.send(client, "served\n")
        io.write(copas.receive(client), " ")
        client:close()
        host:stop()
      end)
      host:run(60)
      print(ticks >= 2 and "ticks" or ticks)
    ]]))
  end)

  it("wakes its timers in copas' own loop too", function()
    assert.are.equal("tick\n", script("copas", [[
      local copas = require "copas"
      host:every(0.01, function() print("tick") os.exit(0) end)
      copas.loop()
    ]]))
  end)

  it("can be made twice", function()
    assert.are.equal("a b\n", script("copas", [[
      local other = require("rtmetrics.hosts.copas").new({ clock = clock })
      local cancel
      cancel = host:every(0.01, function() io.write("a ") cancel() host:stop() end)
      host:run(60)
      other:every(0.05, function() print("b") other:stop() end)
      other:run(60)
    ]]))
  end)
end)

describe("the host cqueues", function()
  it("works in a loop of one's own", function()
    assert.are.equal("tick tick end\n", script("cqueues", [[
      local cqueues = require "cqueues"
      local cq = cqueues.new()
      local watchdog = require "rtmetrics.watchdog"
      local n, stop = 0
      local w = watchdog.new({
        detectors = { { step = function() return { {} } end } },
        on_finding = function()
          n = n + 1
          io.write("tick ")
          if n == 2 then stop() end
        end,
        interval = 0.01, read = function() return {} end, clock = clock,
      })
      stop = watchdog.cqueues(w, cq)
      assert(cq:loop())
      print("end")
    ]]))
  end)

  it("raises what a coroutine of the loop raised", function()
    assert.are.equal("raised\n", script("cqueues", [[
      host.cq:wrap(function() error("mine") end)
      local ok, message = pcall(host.run, host, 60)
      print(not ok and message:find("mine") and "raised" or message)
    ]]))
  end)
end)
