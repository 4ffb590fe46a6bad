local agent = require("support.agent")
local http_mutator = require("support.http_mutator")
local http_strict = require("support.http_strict")

local function seeds_for(authority)
  local host = "Host: " .. authority .. "\r\n"
  return {
    "GET /healthz HTTP/1.1\r\n" .. host .. "\r\n",
    "HEAD /healthz HTTP/1.1\r\n" .. host .. "\r\n",
    "GET /healthz?a=b HTTP/1.1\r\n" .. host .. "Accept: */*\r\nContent-Length: 0\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nUser-Agent: x\r\n" .. host .. "Accept-Encoding: gzip\r\n\r\n",
    "GET / HTTP/1.1\r\n" .. host .. "Origin: http://" .. authority .. "\r\n\r\n",
  }
end

-- The statuses of all answers in `text`. After a HEAD there is no body.
local function statuses_of(text)
  local list, at = {}, 1
  while true do
    local _, last, status = text:find("^HTTP/1%.1 (%d%d%d) .-\r\n\r\n", at)
    if not last then
      return list, text:sub(at)
    end
    local length = tonumber(text:sub(at, last):match("\nContent%-Length: (%d+)")) or 0
    local has_no_body = text:find("^HTTP/1%.1 %d%d%d ", last + 1) or last == #text
    at = last + 1 + (has_no_body and 0 or length)
    if status:sub(1, 1) ~= "1" then
      list[#list + 1] = tonumber(status)
    end
  end
end

-- What is wrong with these answers; nil if nothing is. After anything but a page the server may
-- close, and of the answers that libmicrohttpd 0.9.75 gives by itself it sends the head twice.
local function fault_of(statuses, expected, ending)
  if ending ~= "closed" then
    return "the connection was left open"
  end
  local only_pages = true
  for i = 1, math.max(#statuses, #expected) do
    only_pages = only_pages and expected[i] == "page"
    if statuses[i] == 200 and expected[i] ~= "page" and expected[i] ~= "either" then
      return ("request %d is wrong and was answered with 200"):format(i)
    elseif only_pages and statuses[i] ~= 200 then
      return ("request %d is right and was answered with %s"):format(i, tostring(statuses[i]))
    end
  end
end

-- The last request of each connection asks for its end, so that nobody waits for one more.
local function try(server, bytes)
  local last = "GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
  local all = bytes .. last:format(server.authority)
  local text, ending = server:exchange(all, 10)
  return fault_of(statuses_of(text), http_strict.expectations(all, server.authority), ending)
end

local function bombard(server, count, seed)
  math.randomseed(seed)
  local seeds = seeds_for(server.authority)
  for i = 1, count do
    local bytes = http_mutator.mutate(seeds[math.random(#seeds)])
    local fault = try(server, bytes)
    if fault then
      local shown = #bytes > 600 and bytes:sub(1, 300) .. " ... " .. bytes:sub(-300) or bytes
      error(("seed %d, request %d of %d bytes: %s: %q"):format(seed, i, #bytes, fault, shown))
    end
  end
end

local function check_stopped(server)
  local result = server:stop()
  assert.are.equal(0, result.code, result.err)
  local lines = select(2, result.err:gsub("\n", ""))
  assert.is_true(lines < 5, result.err)
end

describe("the agent", function()
  it("answers good requests, however many come at once on a connection", function()
    local server = assert(agent.start())
    local seeds = seeds_for(server.authority)
    for _, request in ipairs(seeds) do
      assert.is_nil(try(server, request), request)
    end
    assert.is_nil(try(server, table.concat(seeds):rep(20)))
    check_stopped(server)
  end)

  local function endure(count, seed)
    local server = assert(agent.start("{ deadline = 5 }", { timeout = 1200 }))
    bombard(server, 50, 1)
    local fds = server:fds()
    bombard(server, count, seed)
    assert.are.equal(200, server:get("/healthz").status)
    local are_gone = agent.wait_until(5, function()
      return server:fds() <= fds
    end)
    assert.is_true(are_gone, "descriptors are left")
    check_stopped(server)
  end

  it("never answers a request with a page that is not right to the last byte", function()
    endure(3000, 2)
  end)

  it("never does so, for long, with other requests each time #nightly", function()
    endure(20000, os.time())
  end)
end)
