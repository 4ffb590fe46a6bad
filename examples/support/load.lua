-- The demo's load: a process of its own that sends requests until its standard input ends, which
-- happens when the demo ends, however that comes about.
--
-- Its input is one line: address, port, requests a second, path.

local socket = require "socket"

local MAX_FAILURES = 20
local TIMEOUT_S = 5

-- Standard input as something that `socket.select` takes.
local input = {
  getfd = function() return 0 end,
  dirty = function() return false end,
}

local function connect(address, port)
  local skt = socket.tcp()
  skt:settimeout(TIMEOUT_S)
  if skt:connect(address, port) then
    return skt
  end
  skt:close()
end

-- One request and its answer on a kept connection; false if the connection is of no more use.
local function request(skt, path)
  if not skt:send("GET " .. path .. " HTTP/1.1\r\nHost: demo\r\n\r\n") then
    return false
  end
  local length = 0
  repeat
    local line = skt:receive("*l")
    if not line then
      return false
    end
    length = tonumber(line:match("^[Cc]ontent%-[Ll]ength: (%d+)")) or length
  until line == ""
  return length == 0 or skt:receive(length) ~= nil
end

-- Waits; true if the demo has ended meanwhile.
local function has_ended_within(seconds)
  return #socket.select({ input }, nil, seconds) > 0
end

local function main()
  local address, port, rate, path = (io.read("*l") or ""):match("^(%S+) (%d+) (%d+) (%S+)$")
  if not address then
    return
  end
  local skt, failures = nil, 0
  while failures < MAX_FAILURES and not has_ended_within(1 / tonumber(rate)) do
    skt = skt or connect(address, tonumber(port))
    if skt and request(skt, path) then
      failures = 0
    else
      failures = failures + 1
      if skt then
        skt:close()
      end
      skt = nil
    end
  end
end

-- Ctrl-C reaches this process too, and is the demo's to explain.
local ok, message = pcall(main)
if not ok and not tostring(message):find("interrupted!", 1, true) then
  io.stderr:write("load: ", tostring(message), "\n")
  os.exit(1)
end
