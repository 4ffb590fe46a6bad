--- A program with an agent, as a child of the spec, and raw clients of it.
--
--    local server = agent.start([[{ deadline = 1 }]])
--    print(server:get("/metrics").status, server:fds())
--    server:stop()
--
-- The program lives no longer than the spec, whatever becomes of that.

local socket = require("socket")
local run = require("support.run")

local WAIT = 30

local PROGRAM = [[
local rt = require("rtmetrics")
local agent = require("rtmetrics.agent")
PROLOGUE
local load = rawget(_G, "loadstring") or load
local function answer(text)
  local file = assert(io.open("answer.new", "wb"))
  file:write(text)
  file:close()
  assert(os.rename("answer.new", "answer"))
end
local stat = assert(io.open("/proc/self/stat"))
local pid = stat:read("*n")
stat:close()
local handle, message = agent.start(OPTIONS)
answer(("%d\n%s"):format(pid, handle and handle.address or "refused " .. message))
for line in io.lines() do
  local chunk = assert(load("local rt, agent, handle = ... " .. line))
  answer(tostring(chunk(rt, agent, handle)))
end
]]

local function read_file(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  return text
end

local Server = {}
Server.__index = Server

-- What the program has to say next.
local function await_answer(server)
  local path = server.child.dir .. "/answer"
  local last = socket.gettime() + WAIT
  repeat
    local text = read_file(path)
    if text then
      os.remove(path)
      return text
    end
    socket.sleep(0.005)
  until socket.gettime() > last
  error("the program with the agent says nothing: "
    .. tostring(read_file(server.child.dir .. "/.run.err")), 3)
end

--- Runs Lua code in the program, with `rt`, `agent` and `handle` as locals; its result as text.
function Server:ask(code)
  self.child:tell((code:gsub("\n", " ")))
  return await_answer(self)
end

--- A connected client of the agent.
-- @tparam[opt=5] number timeout of each call, in seconds
function Server:connect(timeout)
  local client
  if self.path then
    local unix = require("socket.unix")
    client = (type(unix) == "table" and unix.stream or unix)()
    client:settimeout(timeout or 5)
    assert(client:connect(self.path))
  else
    client = assert(socket.tcp())
    client:settimeout(timeout or 5)
    assert(client:connect(self.host, self.port))
    client:setoption("tcp-nodelay", true)
  end
  return client
end

-- Until the other end closes; the time-out is for the whole.
local function read_all(client, timeout)
  local parts, last = {}, socket.gettime() + timeout
  while true do
    client:settimeout(math.max(last - socket.gettime(), 0))
    local bytes, err, rest = client:receive(65536)
    parts[#parts + 1] = bytes or rest
    if err then
      return table.concat(parts), err
    end
  end
end

--- Sends bytes as they are, and reads until the other end closes.
-- @treturn string what came
-- @treturn string "closed", or "timeout"
function Server:exchange(bytes, timeout)
  local client = self:connect()
  client:send(bytes)
  local text, err = read_all(client, timeout or 5)
  client:close()
  return text, err
end

--- An answer taken apart; nil where it is none.
local function parse(text)
  local head, body = text:match("^(.-\r\n)\r\n(.*)$")
  local status = head and head:match("^HTTP/1%.1 (%d%d%d) [^\r\n]*\r\n")
  if not status then
    return nil
  end
  local headers = {}
  for name, value in head:gmatch("\n([^:\r\n]+): ([^\r\n]*)") do
    headers[name:lower()] = value
  end
  return { status = tonumber(status), headers = headers, body = body, head = head }
end

--- A whole request and its answer, on a connection of its own: status, headers, body, seconds.
-- @tparam string path
-- @tparam[opt] table options `method`, `host`, `headers` (a text of whole lines), `timeout`
function Server:get(path, options)
  options = options or {}
  local before = socket.gettime()
  local request = ("%s %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n"):format(
    options.method or "GET",
    path,
    options.host or self.authority,
    options.headers or ""
  )
  local text, err = self:exchange(request, options.timeout)
  local response = parse(text)
  if not response then
    error(("no answer (%s): %q"):format(err, text:sub(1, 200)), 2)
  end
  response.seconds = socket.gettime() - before
  return response
end

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do
    lines[#lines + 1] = line
  end
  pipe:close()
  return lines
end

--- How many descriptors the program has open.
function Server:fds()
  return #lines_of("ls /proc/" .. self.pid .. "/fd")
end

--- Its anonymous memory in bytes.
function Server:memory()
  local status = assert(read_file("/proc/" .. self.pid .. "/status"))
  return 1024 * assert(tonumber(status:match("RssAnon:%s*(%d+) kB")))
end

-- A file of the agent's thread below /proc.
local function read_of_thread(server, name)
  for _, path in ipairs(lines_of("ls -d /proc/" .. server.pid .. "/task/*")) do
    if read_file(path .. "/comm") == "rtmetrics-agent\n" then
      return read_file(path .. "/" .. name)
    end
  end
  error("the agent has no thread", 3)
end

--- How often the agent's thread has gone to sleep and was woken since it began.
function Server:switches()
  local status = read_of_thread(self, "status")
  return assert(tonumber(status:match("\nvoluntary_ctxt_switches:%s*(%d+)")))
end

local function waited_in(text)
  return (tonumber(text and text:match("^%d+ (%d+)")) or 0) / 1e9
end

--- How long the agent's thread and this program have wanted a CPU and got none, in seconds.
function Server:waited()
  return waited_in(read_of_thread(self, "schedstat")) + waited_in(read_file("/proc/self/schedstat"))
end

--- A row of agent.status(), a number.
function Server:status(name)
  return assert(tonumber(self:ask(("return agent.status().%s"):format(name))))
end

--- Ends the program and returns its result, as run.script does.
function Server:stop()
  return self.child:stop()
end

local M = {}

--- Waits until a condition holds.
-- @tparam number seconds at most
-- @tparam function condition
-- @treturn boolean whether it did
function M.wait_until(seconds, condition)
  local last = socket.gettime() + seconds
  while not condition() do
    if socket.gettime() > last then
      return false
    end
    socket.sleep(0.05)
  end
  return true
end

M.parse = parse
M.read_all = read_all

--- Starts a program with an agent.
-- @tparam[opt] string options of agent.start as Lua code; on a free port of 127.0.0.1 where they do
-- not say otherwise
-- @tparam[opt] table run_options as for `run.start`, and `prologue`: code that runs before
-- @treturn[1] table the server: `address`, `pid`, and `host`, `port`, `authority` or the unix
--  socket's `path`
-- @treturn[2] nil
-- @treturn[2] string why the agent did not start
function M.start(options, run_options)
  local given = { timeout = 120 }
  for name, value in pairs(run_options or {}) do
    given[name] = value
  end
  local prologue = given.prologue or ""
  given.prologue = nil
  local code = PROGRAM:gsub("PROLOGUE", function()
    return prologue
  end):gsub("OPTIONS", function()
    return ("(function(o) o.listen = o.listen or '127.0.0.1:0' return o end)(%s)"):format(
      options or "{}")
  end)
  local server = setmetatable({ child = run.start(code, given) }, Server)
  local pid, address = await_answer(server):match("^(%d+)\n(.*)$")
  local refusal = address:match("^refused (.*)$")
  if refusal then
    server:stop()
    return nil, refusal
  end
  server.pid, server.address = tonumber(pid), address
  server.path = address:match("^unix:(.*)$")
  if not server.path then
    server.host, server.port = address:match("^%[?([^%]]*)%]?:(%d+)$")
  end
  server.authority = server.path and "localhost" or address
  return server
end

return M
