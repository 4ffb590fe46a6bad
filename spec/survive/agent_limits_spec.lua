-- The agent where the system gives no more: descriptors, threads; and under starts and stops in the
-- middle of requests (rows 17, 30, 31 and 57 of the test plan).
-- LD_PRELOAD= stands before programs that Lua starts, as a sanitizer's library is for Lua alone.

local run = require("support.run")

local function result_of(result)
  assert.are.equal("", result.err)
  assert.are.equal(0, result.code)
  return result.out
end

describe("with few descriptors left the agent", function()
  it("starts or says why not, and gives back what it took", function()
    -- The same program for each limit; it writes to a descriptor that is open already.
    local result = run.command([[
cat >script.lua <<'END'
local agent = require("rtmetrics.agent")
local function count()
  local open = 0
  for fd = 0, 63 do
    -- opens nothing itself
    local ok, _, code = os.rename("/proc/self/fd/" .. fd, "/proc/self/fd/" .. fd)
    if ok or code ~= 2 then open = open + 1 end
  end
  return open
end
local before = count()
local handle, message = agent.start { listen = arg[1] }
if handle then
  assert(count() - before < 8, count() - before)
  assert(handle:stop())
  io.write("started\n")
else
  io.write(message:gsub("%d+", "N"), "\n")
end
assert(count() == before)
assert(not agent.status().running)
END
for address in 127.0.0.1:0 unix:$PWD/app.sock; do
  for limit in $(seq 3 12) $(seq 16 4 40); do
    (ulimit -n $limit; exec $RTM_LUA script.lua $address) >out 2>err
    status=$?
    if [ $status = 0 ]; then cat out
    elif grep -q 'Too many open files\|while loading shared\|module .* not found' err; then
      echo "no Lua"
    else echo "$limit: $status"; cat out err; fi
    [ -e app.sock ] && echo "app.sock is left"
  done
done | sort | uniq -c]], { timeout = 240 })
    local out = result_of(result)
    local started, known = 0, 0 -- of the outcomes
    for number, text in out:gmatch("%s*(%d+) ([^\n]*)\n") do
      started = started + (text == "started" and number or 0)
      known = known + ((text == "started" or text == "no Lua" or text:find(": Too many open files$")
        or text:find("^cannot start the HTTP library: it got no descriptor")) and number or 0)
    end
    assert.are.equal(2 * 17, known, out)
    assert.is_true(started >= 20, out)
  end)

  it("starts or says why not, with each number of them that it can be left", function()
    local result = run.command([[
cat >script.lua <<'END'
local agent = require("rtmetrics.agent")
for left = 0, 4 do
  local taken = {}
  repeat
    local file = io.open("/dev/null")
    taken[#taken + 1] = file
  until not file
  for _ = 1, left do table.remove(taken):close() end
  local handle, message = agent.start { listen = "127.0.0.1:0" }
  for _, file in ipairs(taken) do file:close() end
  print(left, handle and handle:stop() or message)
end
END
ulimit -n 40; exec $RTM_LUA script.lua]])
    assert.are.equal(([[
0|cannot listen on 127.0.0.1:0: Too many open files
1|cannot make an eventfd: Too many open files
2|cannot start the HTTP library: it got no descriptor or no memory
3|true
4|true
]]):gsub("|", "\t"), result_of(result))
  end)

  it("rests when it cannot accept, says so once, and goes on when it can", function()
    local result = run.command([[
cat >script.lua <<'END'
local agent = require("rtmetrics.agent")
local handle = assert(agent.start { listen = "127.0.0.1:0" })
local taken = {}
local function take() -- all that are left
  repeat
    taken[#taken + 1] = io.open("/dev/null")
    local more = io.open("/dev/null")
    taken[#taken + 1] = more
  until not more
end
local function wait_for(path)
  repeat local ok = os.rename(path, path) until ok
end
local file = assert(io.open("address.new", "w"))
file:write(handle.url)
take()
file:close()
take()
os.rename("address.new", "address")
wait_for("asked")
for _, taken_file in ipairs(taken) do taken_file:close() end
wait_for("answered")
os.exit(0, true)
END
(ulimit -n 30; exec timeout 100 $RTM_LUA script.lua) & program=$!
until [ -e address ]; do sleep 0.05; done
curl -sS -m 60 -o page $(cat address)/healthz & client=$!
sleep 1.5
lua=$(pgrep -P $program)
for task in /proc/$lua/task/*; do
  [ "$(cat $task/comm)" = rtmetrics-agent ] || continue
  echo "wakes $(sed -n 's/^voluntary_ctxt_switches:\s*//p' $task/status)"
done
touch asked
wait $client && touch answered
wait $program
cat page]], { timeout = 200 })
    assert.are.equal(0, result.code, result.err)
    assert.matches("ok\n$", result.out)
    local wakes = tonumber(result.out:match("wakes (%d+)"))
    assert.is_true(wakes < 20, "the agent woke " .. wakes .. " times")
    local _, lines = result.err:gsub("\n", "\n")
    assert.are.equal(1, lines, result.err)
    assert.matches("^rtmetrics.agent: cannot accept a connection: Too many open files", result.err)
  end)
end)

describe("memory that the agent is refused", function()
  local SCRIPT = [[
local agent = require("rtmetrics.agent")
local token = ("x"):rep(32)
local handle, message = agent.start { listen = "127.0.0.1:0", token = token, hosts = { "a" } }
if handle then
  os.execute("curl -s -m 20 -o page -H 'Authorization: Bearer " .. token .. "' " .. handle.url
    .. "/metrics")
  handle:stop()
else
  assert(message:find("memory"), message)
end
assert(not agent.status().running)]]

  local CHECK = [[
local handle = assert(require("rtmetrics.agent").start { listen = "127.0.0.1:0" })
local pipe = io.popen("curl -sS -m 20 " .. handle.url .. "/healthz")
assert(pipe:read("*a") == "ok\n")
pipe:close()
assert(handle:stop())]]

  for module, name in pairs({
    ["agent/native.so"] = "in its own code",
    ["libmicrohttpd.so"] = "in the HTTP library",
  }) do
    for _, mode in ipairs({ "once", "forever" }) do
      it(("%s, %s, costs an answer or a start, and nothing later"):format(name, mode), function()
        if run.under() then return pending("a sanitizer has its own malloc") end
        local result = run.command(([[
cat >script.lua <<'END'
%s
END
cat >check.lua <<'END'
%s
END
exec %s script.lua check.lua %s 1 %s]]):format(SCRIPT, CHECK, run.program("failing_malloc"), mode,
          module))
        assert.is_true(tonumber(result_of(result):match("vms (%d+)")) > 3, result.out)
      end)
    end
  end
end)

describe("the agent of a program that closes all descriptors", function()
  it("ends without a word to others' descriptors, and can be started again", function()
    local result = run.script([[
      local found, posix = pcall(require, "posix")
      if not found then os.exit(9) end
      local agent = require("rtmetrics.agent")
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      for fd = 3, 60 do posix.close(fd) end
      os.execute("LD_PRELOAD= curl -s -m 20 " .. handle.url .. "/healthz") -- wakes it
      repeat until not agent.status().running
      handle = assert(agent.start { listen = "127.0.0.1:0" })
      os.execute("LD_PRELOAD= curl -s -m 20 " .. handle.url .. "/healthz")
      assert(handle:stop())
    ]])
    if result.code == 9 then return pending("lua-posix is not there for this Lua") end
    assert.are.equal("rtmetrics.agent: it stops, as the program has closed its descriptors\n",
      result.err)
    assert.are.equal("ok\n", result.out)
    assert.are.equal(0, result.code)
  end)
end)

describe("where no thread can be had the agent", function()
  it("says so, and metrics go on", function()
    local nobody = run.as_nobody()
    if not nobody then return pending("only root can become a user without threads") end
    local result = run.command([[
cat >script.lua <<'END'
local agent = require("rtmetrics.agent")
print(agent.start { listen = "127.0.0.1:0" })
print(agent.status().running)
print(#require("rtmetrics.prometheus").render() > 100)
END
chmod 755 . && chmod 644 script.lua
exec ]] .. nobody .. [[ prlimit --nproc=0 $RTM_LUA script.lua]])
    assert.are.equal("nil\tcannot start a thread: Resource temporarily unavailable\nfalse\ntrue\n",
      result_of(result))
  end)
end)

describe("the agent, in the middle of requests,", function()
  local ASKERS = [[
for i in 1 2 3; do
  (while [ ! -e over ]; do
    address=$(cat address) && curl -sS -m 20 -o page$i http://$address/metrics
  done 2>/dev/null) &
done
]]

  it("stops and starts again, a thousand times, each within its deadline #valgrind", function()
    local times = run.under() and 50 or 1000
    local result = run.command(ASKERS .. ([[
cat >script.lua <<'END'
local agent, rt = require("rtmetrics.agent"), require("rtmetrics")
local address = "127.0.0.1:0"
local longest = 0
for i = 1, %d do
  local handle = assert(agent.start { listen = address })
  if i == 1 then
    address = handle.address
    local file = assert(io.open("address", "w"))
    file:write(address)
    file:close()
  end
  local until_then = rt.clock() + (i %% 10) / 1000
  repeat until rt.clock() > until_then
  local began = rt.clock()
  assert(handle:stop())
  longest = math.max(longest, rt.clock() - began)
end
io.stderr:write(("stop took %%.3f s at most, %%d requests"):format(longest,
  agent.status().requests))
END
$RTM_LUA script.lua
status=$?
touch over; wait
exit $status]]):format(times), { timeout = 240 })
    assert.are.equal(0, result.code, result.err)
    local longest, requests = result.err:match("^stop took (%S+) s at most, (%d+) requests$")
    assert.is_true(tonumber(longest) < (run.under() and 20 or 10), result.err)
    assert.is_true(tonumber(requests) > 0, result.err)
  end)

  it("ends with its VM, 30 times #valgrind", function()
    local result = run.command(ASKERS .. ([[
cat >script.lua <<'END'
local agent = require("rtmetrics.agent")
assert(agent.start { listen = "127.0.0.1:" .. arg[1] })
local file = assert(io.open("address", "w"))
file:write(agent.status().address)
file:close()
repeat until agent.status().requests > 3
%s
END
for i in $(seq %d); do
  timeout 100 $RTM_LUA script.lua 0 || { echo failed; break; }
done
touch over; wait]]):format(run.is("5.1") and "" or "os.exit(0, true)", run.under() and 3 or 30),
      { timeout = 240 })
    assert.are.equal("", result_of(result))
  end)
end)
