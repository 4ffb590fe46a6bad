--- The agent: a native thread that answers HTTP requests while the program runs, also while Lua is
-- stuck in an endless loop or sleeps in C.
--
--    require("rtmetrics.agent").start()
--
--    $ curl http://127.0.0.1:6060/metrics
--
-- There is one agent in a process, whatever the number of its VMs; it serves the pages of them all.
-- It lives until it is stopped, until the last VM that has loaded this module closes, or until the
-- process ends. A child of a fork does not have it, unless `on_fork` says so.
-- @module rtmetrics.agent

local options = require("rtmetrics.options")
require("rtmetrics")

local has_native, native = pcall(require, "rtmetrics.agent.native")
if not has_native then
  error("rtmetrics.agent: its native part is missing; install it with `luarocks install "
    .. "rtmetrics-agent`, or build rtmetrics where libmicrohttpd is installed (Debian: "
    .. "libmicrohttpd-dev)\n" .. tostring(native), 2)
end

local START = "rtmetrics.agent.start"
local MAX_HOSTS = 32

-- The classes of pages, in the order of their numbers in the native part.
local CLASSES = { "metrics", "profile", "sensitive", "control" }

local schema = {
  listen = { type = "string", default = "127.0.0.1:6060" },
  hosts = { type = "table", default = {} },
  token = { type = "string" },
  token_file = { type = "string" },
  open = { type = "table", default = {} },
  max_connections = { type = "number", whole = true, min = 1, max = 1024, default = 16 },
  deadline = { type = "number", above = 0, max = 3600, default = 10 },
  on_fork = { one_of = { "stop", "restart" }, default = "stop" },
  socket_mode = { type = "string", default = "0600" },
}

local function fail(message, ...)
  error((START .. ": " .. message):format(...), 4) -- where `start` was called
end

local function check_mode(text)
  local mode = text:match("^0?[0-7][0-7][0-7]$") and tonumber(text, 8)
  if not mode then
    fail("option %q must be an octal mode like \"0600\", got %q", "socket_mode", text)
  end
  return mode
end

local function check_hosts(hosts)
  if #hosts > MAX_HOSTS then
    fail("option %q has more than %d names", "hosts", MAX_HOSTS)
  end
  for i = 1, #hosts do
    if type(hosts[i]) ~= "string" then
      fail("option %q must be a list of strings, got a %s in it", "hosts", type(hosts[i]))
    end
  end
end

-- A number with the bit of each class.
local function check_classes(names)
  local numbers, bits = {}, 0
  for number, name in ipairs(CLASSES) do
    numbers[name] = 2 ^ (number - 1)
  end
  for i = 1, #names do
    local name = names[i]
    if not numbers[name] then
      fail("option %q has no class %q, the nearest known is %q (known: %s)", "open", tostring(name),
        options.nearest(tostring(name), CLASSES), table.concat(CLASSES, ", "))
    end
    bits = bits + numbers[name]
    numbers[name] = 0
  end
  return bits
end

local function check_fork(listen, on_fork)
  local is_unix = listen:find("^unix:")
  local is_free = is_unix and listen:find("%%p") or not is_unix and listen:find(":0+$")
  if on_fork == "restart" and not is_free then
    fail("option %q = \"restart\" needs port 0, or a unix path with %%p in it, as a child cannot "
      .. "have the address of its parent; got %q", "on_fork", listen)
  end
end

local Handle = {}
Handle.__index = Handle

--- Stops the agent that this handle was returned for: connections are closed, the port is free.
-- @treturn boolean whether it ran; false in a forked child, whose parent's agent goes on
-- @usage handle:stop()
function Handle:stop()
  return native.stop(self.generation)
end

local M = {}

--- Starts the agent.
--
-- Options:
--
-- * `listen`: "127.0.0.1:6060" (the default), "[::1]:6060", "localhost:6060", ":6060" for all
--   addresses of the machine, "unix:/run/app.sock"; port 0 takes a free one, and `%p` in the path
--   of a unix socket is the process's number. An address that other machines reach needs a token.
-- * `token`: who does not send it, as `Authorization: Bearer TOKEN` or as the password of Basic, is
--   refused; at least 16 characters. `token_file` names a file whose first line is the token, read
--   again when it changes.
-- * `open`: classes of pages that need no token ("metrics", "profile", "sensitive", "control")
-- * `hosts`: names beside localhost and the address itself that a `Host` header may say:
--   "app.local", or with another port "localhost:9090"
-- * `max_connections` (16): when as many are open, the one that waits longest for a request to be
--   whole makes room
-- * `deadline` (10): seconds that a client may take to send a request; three times that to take the
--   answer
-- * `on_fork` ("stop"): "restart" has each forked child start an agent of its own; that needs port
--   0, or a unix path with `%p`
-- * `socket_mode` ("0600"): of a unix socket's file
-- @tparam[opt] table given the options
-- @treturn[1] table a handle: `address` (the one really bound), `url` (nil for a unix socket) and
--  the method `stop()`; the agent lives on without it
-- @treturn[2] nil
-- @treturn[2] string why not: it runs already, the address is in use or not allowed, no thread or
--  descriptor is left
-- @raise an unknown or wrong option
-- @usage local handle = assert(agent.start { listen = "127.0.0.1:0" }) print(handle.url)
function M.start(given)
  local o = options.check(START, schema, given)
  local mode, classes = check_mode(o.socket_mode), check_classes(o.open)
  check_hosts(o.hosts)
  check_fork(o.listen, o.on_fork)
  return native.start(setmetatable({}, Handle), o.listen, mode, o.max_connections, o.deadline,
    o.on_fork == "restart", o.token, o.token_file, classes, o.hosts)
end

--- Does the agent run, and what has it done?
-- @treturn table `running`; while it runs `address`, `url` (nil for a unix socket), `pid` and
--  `started` (Unix seconds); counts since the process began: `accepted` connections, `requests`
--  answered, `refused` of them (4xx), `failed` (5xx), connections `evicted` (to make room, or for
--  being too slow), `sent_bytes` of answers; and `connections`, those that are open now
-- @usage if not agent.status().running then agent.start() end
function M.status()
  return native.status()
end

return M
