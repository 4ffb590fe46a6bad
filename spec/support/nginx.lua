--- An nginx of one's own: the configuration of examples/nginx on a free port of 127.0.0.1, in a
-- fresh directory, with what it does in a log that can be read.
--
--    local server = nginx.start({ [nginx.INIT] = 'init_by_lua_block { require "rtmetrics" }' })
--    server:get("/metrics").body
--    server:stop()
--
-- Whatever becomes of the spec, the server is killed after some minutes.

local run = require "support.run"

-- Seconds, for a machine that is busy with other things: what is waited for takes a tenth of it.
local LONGEST_LIFE = 600
local LONGEST_COMMAND = 200
local LONGEST_WAIT = 60
local LONGEST_REPLY = 20

local MODULE = "/usr/lib/nginx/modules/ngx_http_lua_module.so"
local SEARCH = 'PATH="$PATH:/usr/sbin"; '

local M = {}

--- The line of the example that loads rtmetrics, for replacements.
M.INIT = 'init_worker_by_lua_block {\n    require "rtmetrics"\n  }'

local function shell(line, cwd)
  return run.command(SEARCH .. line, { cwd = cwd, timeout = LONGEST_COMMAND })
end

local function checked(line, cwd)
  local result = shell(line, cwd)
  assert(result.code == 0, line .. ": " .. result.err)
  return result.out
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function write_file(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local function replace(text, old, new)
  local first, last = text:find(old, 1, true)
  assert(first, "support.nginx: the example has no '" .. old .. "'")
  return text:sub(1, first - 1) .. new .. text:sub(last + 1)
end

--- Waits until a line of shell succeeds.
-- @tparam string condition
-- @treturn boolean whether one did before all patience was lost
function M.wait_for(condition)
  return shell(("for i in $(seq %d); do { %s; } && exit 0; sleep 0.05; done; exit 1")
    :format(LONGEST_WAIT / 0.05, condition)).code == 0
end

--- Why nginx cannot be run here.
-- @treturn string|nil
function M.missing()
  if run.lua_name() ~= "luajit" then
    return "the Lua in nginx is LuaJIT"
  elseif run.under() then
    return "nginx is not run under " .. run.under()
  end
  for _, program in ipairs({ "nginx", "wrk", "curl" }) do
    if shell("command -v " .. program).code ~= 0 then
      return program .. " is missing"
    end
  end
  if shell("test -e " .. MODULE).code ~= 0 then
    return "libnginx-mod-http-lua is missing"
  end
end

-- Workers of root would become `nobody`, who may not be able to read the checkout.
local function global_directives(user)
  return checked("id -u") == "0\n" and ("user %s;"):format(user or "root root") or ""
end

-- Makes the directory that nginx is started in.
local function prepare(replacements, port)
  local dir = run.tmpdir()
  local text = read_file(run.root() .. "/examples/nginx/nginx.conf")
  for old, new in pairs(replacements or {}) do
    text = replace(text, old, new)
  end
  text = replace(text, "listen 127.0.0.1:8080", "listen 127.0.0.1:" .. port)
  write_file(dir .. "/nginx.conf", text)
  return dir
end

local Server = {}
Server.__index = Server

function Server:log()
  return read_file(self.dir .. "/log")
end

--- Lines of the log that tell of an alert or worse.
-- @tparam[opt] string expected pattern of those to leave out
-- @treturn string empty if all is well
function Server:alarms(expected)
  local found = {}
  for line in self:log():gmatch("[^\n]+") do
    local is_alarm = line:find("%[alert%]") or line:find("%[crit%]") or line:find("%[emerg%]")
    if is_alarm and not (expected and line:find(expected)) then
      found[#found + 1] = line
    end
  end
  return table.concat(found, "\n")
end

function Server:url(path)
  return ("http://127.0.0.1:%s%s"):format(self.port, path)
end

--- @tparam string path
-- @tparam[opt] string header
-- @treturn table status (number), type (content type), body
function Server:get(path, header)
  local reply = checked(("curl -sS -i -m %d %s %s"):format(LONGEST_REPLY,
    header and "-H " .. run.quote(header) or "", run.quote(self:url(path))))
  local head, body = reply:match("^(.-\r\n\r\n)(.*)$")
  return {
    status = tonumber(head:match("^HTTP/1.1 (%d+)")),
    type = head:match("\r\nContent%-Type: ([^\r]*)"),
    body = body,
  }
end

--- Puts a load on a path; each request has a connection of its own: nginx closes idle ones when it
-- reloads, whatever Lua does.
-- @tparam string path
-- @tparam number|string extent seconds, or shell: the load lasts until that has ended
-- @treturn table requests, failed (bad statuses and socket errors), meanwhile (what the shell
-- printed)
function Server:load(path, extent)
  local seconds = tonumber(extent)
  local result = shell(([[
wrk -t1 -c8 -d%ds --timeout %ds -H 'Connection: close' %s >wrk.out & wrk=$!
%s
wait $wrk; echo "status $?" >>wrk.out; cat wrk.out >&2]]):format(seconds or LONGEST_COMMAND,
    LONGEST_REPLY, self:url(path), seconds and ":" or extent .. "\nkill -INT $wrk"), self.dir)
  local text, failed = result.err, 0
  assert(text:find("status 0\n", 1, true), text)
  for count in (text:match("Socket errors:[^\n]*") or ""):gmatch("%d+") do
    failed = failed + tonumber(count)
  end
  failed = failed + tonumber(text:match("Non%-2xx or 3xx responses: (%d+)") or 0)
  return {
    requests = tonumber(text:match("(%d+) requests in")),
    failed = failed,
    meanwhile = result.out,
  }
end

--- Puts a load on a path, second after second, until so many requests were answered, and raises if
-- one failed.
-- @treturn number requests
function Server:answer(path, count)
  local requests = 0
  repeat
    local load = self:load(path, 1)
    assert(load.failed == 0, load.failed .. " requests failed")
    requests = requests + load.requests
  until requests >= count
  return requests
end

--- Shell that reloads the server again and again, and prints a line each time.
function Server:reloads(count, pause)
  return ([[
for n in $(seq %d); do
  seen=$(grep -c ' reconfiguring$' log)
  kill -HUP %d
  until [ "$(grep -c ' reconfiguring$' log)" -gt "$seen" ]; do sleep 0.01; done
  sleep %s
  echo reloaded
done]]):format(count, self.pid, pause)
end

function Server:reload(count, pause)
  return checked(self:reloads(count, pause), self.dir)
end

--- The workers, those that shut down too.
function Server:workers()
  local pids = {}
  for pid in shell("pgrep -P " .. self.pid).out:gmatch("%d+") do
    pids[#pids + 1] = tonumber(pid)
  end
  return pids
end

--- Waits until there are as many workers; returns them.
function Server:settle(count)
  M.wait_for(("[ $(pgrep -c -P %d) -eq %d ]"):format(self.pid, count))
  return self:workers()
end

function Server:stop()
  shell("kill -TERM " .. self.pid)
  self.ended = M.wait_for(("[ ! -e %s/nginx.pid ]"):format(self.dir))
  if not self.ended then
    shell(("kill -KILL -- -%d"):format(self.group))
  end
  shell("rm -rf " .. self.dir)
  return self.ended
end

--- How many threads a process has.
function M.threads(pid)
  return tonumber((checked(("ls /proc/%d/task | wc -l"):format(pid))))
end

--- Resident memory of a process, bytes.
function M.resident(pid)
  return tonumber(read_file(("/proc/%d/status"):format(pid)):match("VmRSS:%s*(%d+) kB")) * 1024
end

--- When a process started: seconds since 1970, to about a tenth.
function M.started(pid)
  local clock = require("socket").gettime
  local began, uptime, now
  repeat -- until nothing came between the two clocks
    began = clock()
    uptime = read_file("/proc/uptime"):match("^%S+")
    now = clock()
  until now - began < 0.05
  local fields = {}
  for field in read_file(("/proc/%d/stat"):format(pid)):match("%)(.*)"):gmatch("%S+") do
    fields[#fields + 1] = field
  end
  return now - uptime + fields[20] / 100 -- of a hundred ticks a second
end

--- `nginx -t` of the example.
-- @tparam[opt] table replacements as for `start`
-- @treturn table as of support.run
function M.test(replacements)
  local dir = prepare(replacements, run.free_port())
  local result = shell(("nginx -t -p %s -c nginx.conf -g %s")
    :format(dir, run.quote(global_directives())), dir)
  shell("rm -rf " .. dir)
  return result
end

--- Starts nginx. If somebody else takes the port in the last moment, another one is tried.
-- @tparam[opt] table replacements texts of the example to others
-- @tparam[opt] string user the workers' user, where root runs this
-- @treturn table the server: pid (of the master), group (of all processes), port, dir
function M.start(replacements, user)
  for _ = 1, 3 do
    local port = run.free_port()
    local dir = prepare(replacements, port)
    local group = checked(([[
chmod 755 .
timeout -k 2 %d nginx -p "$PWD" -c nginx.conf -g %s >log 2>&1 </dev/null &
echo $!]]):format(LONGEST_LIFE, run.quote(global_directives(user))), dir)
    local server = setmetatable({ port = port, dir = dir, group = tonumber(group) }, Server)
    M.wait_for(("grep -q 'start worker process [0-9]' %s/log || ! kill -0 %d 2>/dev/null")
      :format(dir, server.group))
    local log = server:log()
    if log:find("start worker process %d") then
      server.pid = tonumber(read_file(dir .. "/nginx.pid"))
      return server
    end
    shell(("kill -KILL -- -%d 2>/dev/null"):format(server.group))
    assert(log:find("Address already in use", 1, true), log)
  end
  error("support.nginx: no port stays free")
end

return M
