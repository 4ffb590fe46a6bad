--- Clients that want to be waited for: a program of its own, so that the spec's honest client is
-- not held up by them. The kinds are a table, so that a spec says how many there are of each.
--
--    lua slow_clients.lua HOST PORT SECONDS kind=number ...
--
-- For so many seconds each comes back when it has been closed; then each is waited for until the
-- server has closed it. Prints "kind opened closed longest" for each kind: connections made,
-- connections that the server ended, and how long one of them was open at most, in seconds.

local socket = require("socket")

local PATIENCE = 30 -- seconds, for the server to close the last ones
local COME_BACK = 0.5
local DRIP = 0.05

local host, port, seconds = arg[1], tonumber(arg[2]), tonumber(arg[3])
local first_line = "GET /metrics HTTP/1.1\r\nHost: " .. host .. ":" .. port .. "\r\n"
local request = first_line .. "\r\n"

local function is_closed(client)
  local _, err = client.socket:receive(1)
  return err == "closed"
end

-- The next byte of a head that has no end.
local function drip(client)
  local text = client.lines == 0 and first_line or "X-Slow: " .. ("x"):rep(90) .. "\r\n"
  client.lines = client.lines + (client.sent == #text and 1 or 0)
  client.sent = client.sent % #text + 1
  client.socket:send(text, client.sent, client.sent)
end

local function ask(client)
  if client.sent < #request then
    client.sent = client.socket:send(request, client.sent + 1) or client.sent
  end
  return client.sent == #request
end

-- Each is called again and again while its connection is open, and tells whether the server has
-- closed it.
local kinds = {
  half_open = is_closed,
  drip = function(client)
    drip(client)
    return is_closed(client)
  end,
  -- Nothing but sending tells who does not read that there is nobody any more.
  never_read = function(client)
    return ask(client) and select(2, client.socket:send("G")) == "closed"
  end,
  slow_read = function(client)
    ask(client)
    local _, err = client.socket:receive(256)
    return err == "closed"
  end,
  reset = function(client)
    ask(client)
    local bytes, err, rest = client.socket:receive(4096)
    if #(bytes or rest or "") > 0 then
      client.socket:setoption("linger", { on = true, timeout = 0 })
      client.has_reset = true
    end
    return err == "closed" or client.has_reset
  end,
}

local report = {}

-- A small window, so that the kernel does not take the answer in for us.
local function open(client, now)
  client.socket = assert(socket.tcp4())
  client.socket:setoption("recv-buffer-size", 4096)
  client.socket:settimeout(0)
  client.socket:connect(host, port)
  client.sent, client.lines, client.has_reset = 0, 0, false
  client.since, client.opened = now, nil
end

local function close(client, now)
  local row = report[client.kind]
  client.socket:close()
  client.socket = nil
  client.since = now
  if not client.has_reset then
    row.closed = row.closed + 1
    row.longest = math.max(row.longest, now - client.opened)
  end
end

local function step(client, now, is_over_time)
  if not client.socket then
    if not is_over_time and now - client.since >= COME_BACK then
      open(client, now)
    end
    return
  end
  if not client.opened then
    if not client.socket:getpeername() then
      return
    end
    client.opened = now
    report[client.kind].opened = report[client.kind].opened + 1
  end
  if kinds[client.kind](client) then
    close(client, now)
  end
end

local clients = {}
for i = 4, #arg do
  local kind, number = arg[i]:match("^([%w_]+)=(%d+)$")
  report[kind] = { opened = 0, closed = 0, longest = 0 }
  for _ = 1, number do
    clients[#clients + 1] = { kind = kind, since = -math.huge }
    assert(kinds[kind])
  end
end

local begin = socket.gettime()
local left
repeat
  local now = socket.gettime()
  left = 0
  for _, client in ipairs(clients) do
    step(client, now, now - begin > seconds)
    left = left + (client.socket and 1 or 0)
  end
  socket.sleep(DRIP)
until now - begin > seconds and (left == 0 or now - begin > seconds + PATIENCE)

print("left", left)
for kind, row in pairs(report) do
  print(kind, row.opened, row.closed, row.longest)
end
