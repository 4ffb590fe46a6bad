-- A small HTTP/1.1 server on copas with the limits that one needs in public: on the size of a
-- request's head, on the number of connections, and on how long a connection may keep one waiting.

local copas = require "copas"
local socket = require "socket"

local MAX_HEAD_BYTES = 8192
local CHUNK_BYTES = 4096
local LINGER_SECONDS = 1

local REASONS = {
  [200] = "OK", [400] = "Bad Request", [404] = "Not Found", [405] = "Method Not Allowed",
  [431] = "Request Header Fields Too Large", [500] = "Internal Server Error",
  [503] = "Service Unavailable", [505] = "HTTP Version Not Supported",
}

-- Older versions of copas know only the second name.
local receive_some = copas.receivepartial or copas.receivePartial

local Server = {}
Server.__index = Server

-- Everything up to the empty line, or nil and the status to answer with (nil: just close).
local function read_head(connection)
  while true do
    local from, to = connection.buffer:find("\r?\n\r?\n")
    if (from or #connection.buffer) > MAX_HEAD_BYTES then
      return nil, 431
    elseif from then
      local head = connection.buffer:sub(1, from - 1)
      connection.buffer = connection.buffer:sub(to + 1)
      return head
    end
    local data, _, part = receive_some(connection.skt, CHUNK_BYTES)
    data = data or part
    if not data or data == "" then
      return nil
    end
    connection.buffer = connection.buffer .. data
  end
end

local function parse_headers(lines)
  local headers = {}
  for line in lines:gmatch("[^\r\n]+") do
    local name, value = line:match("^([%w!#$%%&'*+%-.^_`|~]+):%s*(.-)%s*$")
    if not name then
      return nil
    end
    name = name:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  return headers
end

-- A request {method, target, path, headers, is_last}, or nil and a status.
local function parse_head(head)
  local line, rest = head:match("^([^\r\n]*)\r?\n?(.*)$")
  local method, target, major, minor = line:match("^(%u+) (%S+) HTTP/(%d)%.(%d)$")
  if not method then
    return nil, 400
  elseif major ~= "1" then
    return nil, 505
  end
  local headers = parse_headers(rest)
  if not headers or (minor ~= "0" and not headers.host) then
    return nil, 400
  end
  local connection = (headers.connection or ""):lower()
  local has_body = headers["transfer-encoding"] or (headers["content-length"] or "0") ~= "0"
  return {
    method = method, target = target, path = target:match("^[^?#]*"), headers = headers,
    has_body = has_body,
    -- A body is not read, so what follows it on the connection cannot be found.
    is_last = has_body or connection:find("close", 1, true)
      or (minor == "0" and not connection:find("keep-alive", 1, true)),
  }
end

local function send(connection, request, status, headers, body)
  local lines = {
    ("HTTP/1.1 %d %s"):format(status, REASONS[status] or "Status"),
    os.date("!Date: %a, %d %b %Y %H:%M:%S GMT"),
    "Content-Length: " .. #body,
    "Connection: " .. (request.is_last and "close" or "keep-alive"),
  }
  for name, value in pairs(headers) do
    lines[#lines + 1] = name .. ": " .. value
  end
  local text = table.concat(lines, "\r\n") .. "\r\n\r\n"
  return copas.send(connection.skt, request.method == "HEAD" and text or text .. body)
end

local function plain_text(status)
  return status, { ["Content-Type"] = "text/plain; charset=utf-8" }, REASONS[status] .. "\n"
end

-- An error in the application is its own; the client learns only that there was one.
local function answer(self, request)
  local ok, status, headers, body = pcall(self.respond, request)
  if ok then
    return status, headers, body
  end
  io.stderr:write(("%s %s: %s\n"):format(request.method, request.path, tostring(status)))
  return plain_text(500)
end

local function touch(self, connection)
  connection.deadline = self.host:clock() + self.idle_seconds
end

local function serve_one(self, connection)
  local head, refusal = read_head(connection)
  local request
  if head then
    request, refusal = parse_head(head)
  end
  if request and connection.is_too_many then
    refusal = 503
  end
  connection.has_unread = refusal or (request and request.has_body)
  if refusal then
    send(connection, { is_last = true }, plain_text(refusal))
  end
  if refusal or not request then
    return false
  end
  touch(self, connection)
  local began = self.host:clock()
  local status, headers, body = answer(self, request)
  if not send(connection, request, status, headers, body) then
    return false
  end
  self.on_response(request, status, self.host:clock() - began)
  touch(self, connection)
  return not request.is_last
end

-- To close a socket that holds unread bytes is to reset the connection, and the client might never
-- see the answer. So what it still sends is read first, for a while.
local function drain(self, connection)
  connection.skt:shutdown("send")
  connection.deadline = self.host:clock() + LINGER_SECONDS
  repeat
    local data, _, part = receive_some(connection.skt, CHUNK_BYTES)
    data = data or part
  until not data or data == ""
end

-- The connections over the limit are told so, but there is a limit to that too.
local function serve(self, skt)
  if self.open >= 2 * self.max_connections then
    skt:close()
    return
  end
  local connection = { skt = skt, buffer = "", is_too_many = self.open >= self.max_connections }
  touch(self, connection)
  self.connections[connection], self.open = true, self.open + 1
  local goes_on
  repeat
    goes_on = serve_one(self, connection)
  until not goes_on
  if connection.has_unread then
    drain(self, connection)
  end
  self.connections[connection], self.open = nil, self.open - 1
  skt:close()
end

-- Shut down, not closed: its coroutine waits for the socket, sees the end and leaves by itself.
local function drop_idle(self)
  local now = self.host:clock()
  for connection in pairs(self.connections) do
    if now > connection.deadline then
      connection.skt:shutdown("both")
    end
  end
end

--- The port that the server listens on.
function Server:port()
  local _, port = self.listener:getsockname()
  return tonumber(port)
end

local M = {}

--- Listens and serves in the copas loop: `host`, `port` (0: a free one), `loop` (of
-- rtmetrics.hosts.copas), `respond(request)` returning status, headers, body (it must not yield on
-- Lua 5.1), `on_response(request, status, seconds)`, `max_connections` (64), `idle_seconds` (15).
-- Returns nil and a message if the port cannot be had.
function M.new(given)
  local listener, message = socket.bind(given.host, given.port)
  if not listener then
    return nil, ("cannot listen on %s:%d: %s"):format(given.host, given.port, message)
  end
  local self = setmetatable({
    listener = listener, host = given.loop, respond = given.respond,
    on_response = given.on_response or function() end,
    max_connections = given.max_connections or 64, idle_seconds = given.idle_seconds or 15,
    connections = {}, open = 0,
  }, Server)
  copas.addserver(listener, function(skt)
    serve(self, skt)
  end)
  given.loop:every(1, function()
    drop_idle(self)
  end)
  return self
end

--- The usual answer of that status, as text.
M.plain_text = plain_text

--- A `respond` for a table of path → function(request) that returns status, headers, body: 404 for
-- other paths, 405 for other methods than GET and HEAD.
function M.router(routes)
  return function(request)
    local route = routes[request.path]
    if not route then
      return plain_text(404)
    elseif request.method ~= "GET" and request.method ~= "HEAD" then
      local status, headers, body = plain_text(405)
      headers.Allow = "GET, HEAD"
      return status, headers, body
    end
    return route(request)
  end
end

return M
