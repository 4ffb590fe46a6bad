local run = require "support.run"

-- Starts the server on a free port, in a driver of its own so that it is ended whatever happens.
local DRIVER = [[
local socket = require "socket"
local pipe = assert(io.popen("echo $$; exec $RTM_LUA " .. os.getenv("RTM_ROOT")
  .. "/examples/metrics_server.lua --port 0 --seconds 100 %WORDS 2>&1"))
local pid, first = pipe:read("*l"), pipe:read("*l") or ""
local port = first:match("metrics at http://127.0.0.1:(%d+)/metrics") or error(first)

local function open()
  local skt = assert(socket.connect("127.0.0.1", tonumber(port)))
  skt:settimeout(50)
  return skt
end

-- Sends and returns all that comes until the server closes.
local function talk(text)
  local skt = open()
  assert(skt:send(text))
  local reply = assert(skt:receive("*a"))
  skt:close()
  return reply
end

local function get(path, more)
  return talk("GET " .. path .. " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" .. (more or "")
    .. "\r\n")
end

local ok, message = xpcall(function()
  %CODE
end, debug.traceback)
os.execute("kill " .. pid)
pipe:close()
assert(ok, message)
]]

local function drive(code, words)
  local parts = { CODE = code, WORDS = words or "" }
  local result = run.script((DRIVER:gsub("%%(%u+)", parts)))
  assert.are.equal(0, result.code, result.err)
  return result.out
end

describe("the metrics server", function()
  it("answers GET /metrics in the text format", function()
    local reply = drive([[io.write(get("/metrics"))]])
    assert.matches("^HTTP/1.1 200 OK\r\n", reply)
    assert.matches("\r\nContent%-Type: text/plain; version=0%.0%.4", reply)
    local head, body = reply:match("^(.-\r\n\r\n)(.*)$")
    assert.are.equal(tostring(#body), head:match("\r\nContent%-Length: (%d+)\r\n"))
    assert.is_true(#body > 0)
  end)

  it("answers in OpenMetrics to those that want it", function()
    local reply = drive([[
      io.write(get("/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n"))
    ]])
    assert.matches("\r\nContent%-Type: application/openmetrics%-text", reply)
    assert.matches("# EOF\n$", reply)
  end)

  it("answers HEAD without a body", function()
    local reply = drive([[
      io.write(talk("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    ]])
    assert.matches("^HTTP/1.1 200 OK\r\n.*\r\nContent%-Length: [1-9]%d*\r\n.*\r\n\r\n$", reply)
  end)

  it("counts and times its own requests", function()
    local reply = drive([[
      get("/")
      get("/nowhere")
      get("/somewhere-else")
      io.write(get("/metrics"))
    ]])
    local function value_of(path, code)
      for labels, value in reply:gmatch("\nhttp_requests_total{([^}]*)} (%d+)") do
        if labels:find('path="' .. path .. '"', 1, true) and labels:find(code, 1, true) then
          return value
        end
      end
    end
    assert.are.equal("1", value_of("/", "200"))
    assert.are.equal("2", value_of("other", "404"))
    assert.matches('\nhttp_request_duration_seconds_count{[^}]*path="/"[^}]*} 1\n', reply)
  end)

  it("keeps a connection for several requests, also when they come at once", function()
    local reply = drive([[
      local line = "GET / HTTP/1.1\r\nHost: x\r\n"
      io.write(talk(line .. "\r\n" .. line .. "\r\n" .. line .. "Connection: close\r\n\r\n"))
    ]])
    local _, answers = reply:gsub("HTTP/1.1 200 OK\r\n", "")
    local _, kept = reply:gsub("Connection: keep%-alive\r\n", "")
    assert.are.equal(3, answers)
    assert.are.equal(2, kept)
  end)

  it("closes after a request of HTTP/1.0", function()
    assert.matches("\r\nConnection: close\r\n", drive([[io.write(talk("GET / HTTP/1.0\r\n\r\n"))]]))
  end)

  it("takes a request in pieces", function()
    assert.matches("^HTTP/1.1 200", drive([[
      local skt = open()
      skt:setoption("tcp-nodelay", true)
      for piece in ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):gmatch("[^/]*/?") do
        assert(skt:send(piece))
      end
      io.write((assert(skt:receive("*a"))))
    ]]))
  end)

  it("serves one while another says nothing", function()
    assert.matches("^HTTP/1.1 200", drive([[
      local silent = open()
      silent:send("GET / HT")
      io.write(get("/"))
    ]]))
  end)
end)

describe("the metrics server refuses", function()
  local function status(request)
    return drive(("io.write(talk(%q))"):format(request)):match("^HTTP/1.1 (%d+)")
  end

  it("other methods, naming those it takes", function()
    local reply = drive([[
      io.write(talk("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"))
    ]])
    assert.matches("^HTTP/1.1 405 ", reply)
    assert.matches("\r\nAllow: GET, HEAD\r\n", reply)
  end)

  it("other paths", function()
    assert.are.equal("404", status("GET /x HTTP/1.0\r\n\r\n"))
  end)

  it("what is no request", function()
    assert.are.equal("400", status("hello\r\n\r\n"))
    assert.are.equal("400", status("GET / HTTP/1.1\r\n\r\n"))
    assert.are.equal("400", status("GET / HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n"))
    assert.are.equal("505", status("GET / HTTP/2.0\r\n\r\n"))
  end)

  it("a head that does not end", function()
    assert.are.equal("431", status("GET / HTTP/1.1\r\nX: " .. ("x"):rep(10000)))
  end)

  it("a body, without losing the answer to those that send one", function()
    local reply = drive([[
      io.write(talk("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
        .. ("b"):rep(200000)))
    ]])
    assert.matches("^HTTP/1.1 200 OK\r\n.*\r\nConnection: close\r\n", reply)
  end)

  it("to wait for a connection that says nothing", function()
    assert.matches("^closed", drive([[
      local silent = open()
      silent:send("GET / HT")
      local _, reason = silent:receive("*l")
      io.write(reason)
    ]], "--idle-seconds 0.1"))
  end)

  it("more connections than it may have, and takes new ones when they have gone", function()
    local out = drive([[
      local kept = {}
      for i = 1, 4 do
        kept[i] = open()
        kept[i]:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        kept[i]:receive("*l")
      end
      io.write(get("/"):match("^[^\r]*"), "\n")
      for _, skt in ipairs(kept) do
        skt:close()
      end
      local line
      repeat
        line = get("/"):match("^[^\r]*")
      until not line:find("503")
      io.write(line, "\n")
    ]], "--connections 4")
    assert.are.equal("HTTP/1.1 503 Service Unavailable\nHTTP/1.1 200 OK\n", out)
  end)

  it("a port that is taken, with a clear message", function()
    local result = run.script([[
      local socket = require "socket"
      local taken = assert(socket.bind("127.0.0.1", 0))
      local _, port = taken:getsockname()
      local pipe = io.popen("$RTM_LUA " .. os.getenv("RTM_ROOT")
        .. "/examples/metrics_server.lua --port " .. port .. " --seconds 50 2>&1; echo $?")
      io.write(pipe:read("*a"))
    ]])
    assert.matches("metrics_server: cannot listen on 127.0.0.1:%d+: address already in use\n1\n$",
      result.out)
  end)
end)
