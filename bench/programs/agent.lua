-- The agent: how fast it answers while Lua spins and what that takes from Lua, whether it sleeps
-- when nobody asks, how long it takes to start, and its memory. Children are asked by wrk and curl.

local LISTEN = [[
local agent = require "rtmetrics.agent"
local rt = require "rtmetrics"
local began = rt.clock()
local handle = assert(agent.start { listen = "127.0.0.1:0" })
]]

local function read_file(path)
  local file = io.open(path)
  local text = file and file:read("*a")
  if file then file:close() end
  return text
end

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function pause(seconds) os.execute("sleep " .. seconds) end

-- Starts a program that calls `say(...)` once it is ready; its standard input ends with `close()`.
local function start(code)
  local path = os.tmpname()
  local prelude = ([[
local function say(...)
  local file = assert(io.open(%q, "w"))
  file:write(table.concat({ ... }, " "), "\n")
  file:close()
end
]]):format(path .. ".said")
  local file = assert(io.open(path, "w"))
  file:write(prelude, code)
  file:close()
  local pipe = assert(io.popen(("exec %s %s"):format(arg[-1], path), "w"))
  local words
  for _ = 1, 200 do
    words = (read_file(path .. ".said") or ""):match("^(.*)\n")
    if words then break end
    pause(0.05)
  end
  os.remove(path)
  os.remove(path .. ".said")
  assert(words, "the child did not start")
  local said = {}
  for word in words:gmatch("%S+") do said[#said + 1] = word end
  return said, function() pipe:close() end
end

local PID = [[ local pid = io.open("/proc/self/stat"):read("*l"):match("^%d+") ]]

-- CPU seconds of a process's first thread, where its Lua runs.
local function lua_seconds(pid)
  local after_name = read_file(("/proc/%s/task/%s/stat"):format(pid, pid)):match("%) (.*)$")
  local fields = {}
  for field in after_name:gmatch("%S+") do fields[#fields + 1] = field end
  return (tonumber(fields[12]) + tonumber(fields[13])) / 100
end

local function share_during(rt, pid, work)
  local cpu, wall = lua_seconds(pid), rt.clock()
  local result = work()
  return (lua_seconds(pid) - cpu) / (rt.clock() - wall), result
end

-- Requests a second; what share of a core Lua had meanwhile, and without them.
local function spinning(rt)
  local said, close = start(LISTEN .. PID .. [[ say(pid, handle.address) while true do end ]])
  local pid, address = said[1], said[2]
  local alone = share_during(rt, pid, function() pause(3) end)
  local share, report = share_during(rt, pid, function()
    return output_of(("wrk -t1 -c8 -d3s http://%s/metrics 2>/dev/null"):format(address))
  end)
  os.execute("kill " .. pid)
  close()
  assert(not report:find("Non-2xx", 1, true) and not report:find("Socket errors", 1, true), report)
  local pages = assert(tonumber(report:match("Requests/sec:%s*([%d.]+)")), "wrk is missing")
  return pages, share, alone
end

local function agent_switches(pid)
  local total = 0
  for task in output_of(("ls /proc/%s/task"):format(pid)):gmatch("%d+") do
    local status = read_file(("/proc/%s/task/%s/status"):format(pid, task))
    if status:find("^Name:%s*rtmetrics%-agent\n") then
      for count in status:gmatch("voluntary_ctxt_switches:%s*(%d+)") do
        total = total + tonumber(count)
      end
    end
  end
  return total
end

-- Times that the agent's thread ran in 10 s without a request, after there was one.
local function idle()
  local said, close = start(LISTEN .. PID .. [[ say(pid, handle.address) io.read() ]])
  output_of(("curl -s http://%s/metrics"):format(said[2]))
  pause(1)
  local before = agent_switches(said[1])
  pause(10)
  local after = agent_switches(said[1])
  close()
  assert(before > 0, "no thread of the agent")
  return after - before
end

local function start_milliseconds()
  local said, close = start(LISTEN .. [[ say((rt.clock() - began) * 1000) ]])
  close()
  return tonumber(said[1])
end

local function anonymous_kib(pid)
  return tonumber(read_file("/proc/" .. pid .. "/status"):match("RssAnon:%s*(%d+)"))
end

-- KiB of anonymous memory more after the start, and after 1,000 scrapes.
local function memory()
  local said, close = start([[
    local function anonymous()
      for line in io.lines("/proc/self/status") do
        local kib = line:match("^RssAnon:%s*(%d+)")
        if kib then return tonumber(kib) end
      end
    end
    local agent = require "rtmetrics.agent"
    collectgarbage()
    local before = anonymous()
    local handle = assert(agent.start { listen = "127.0.0.1:0" })
  ]] .. PID .. [[ say(pid, handle.address, before, anonymous()) io.read() ]])
  local pid, before = said[1], tonumber(said[3])
  output_of(("curl -s 'http://%s/metrics?[1-1000]' >/dev/null"):format(said[2]))
  local after = anonymous_kib(pid)
  close()
  return tonumber(said[4]) - before, after - before
end

return {
  title = "agent",
  measures = {
    { title = "pages a second while Lua spins", unit = "/s", goal = ">= 5000" },
    { title = "Lua's share of a core meanwhile", unit = "", goal = ">= 0.9" },
    { title = "its share when nobody asks", unit = "" },
    { title = "wake-ups in 10 s without a request", unit = "", goal = "0" },
    { title = "start", unit = "ms", goal = "5" },
    { title = "anonymous memory after the start", unit = "KiB", goal = "2048" },
    { title = "and after 1,000 pages", unit = "KiB", goal = "2048" },
  },
  measure = function(rt)
    local pages, share, alone = spinning(rt)
    local wakeups = idle()
    local milliseconds = start_milliseconds()
    local at_start, later = memory()
    return pages, share, alone, wakeups, milliseconds, at_start, later
  end,
}
