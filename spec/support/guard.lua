--- Requests for the guard's specs, and what becomes of them.

local guard_probe = require("guard_probe")

local GET, HEAD, POST = 1, 2, 4
local PORT = 6060
local COUNTED = { "host", "authorization", "content_length", "transfer_encoding" }
local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local M = { GET = GET, HEAD = HEAD, POST = POST }

--- A token that is long enough.
M.TOKEN = "correct-horse-battery"

--- In `changes`: takes a field away.
M.NOTHING = {}

--- The digits of base64.
M.DIGITS = DIGITS

--- A page of a class; by default one that is asked for with GET and HEAD.
function M.page(class, methods)
  return { class = class, methods = methods or GET + HEAD }
end

M.METRICS, M.PROFILE = M.page("metrics"), M.page("profile")
M.SENSITIVE, M.CONTROL = M.page("sensitive"), M.page("control", POST)

--- A guard that listens on port 6060, or as the options say (see guard_probe.c).
function M.guard_with(options)
  options = options or {}
  options.port = options.port or PORT
  return assert(guard_probe.new(options))
end

--- A request that passes a guard without options, save for what `changes` says.
function M.request_with(changes)
  local request = {
    method = "GET",
    version = "HTTP/1.1",
    path = "/metrics",
    host = "127.0.0.1:" .. PORT,
    local_host = "127.0.0.1",
    is_loopback = true,
    route = M.METRICS,
  }
  for name, value in pairs(changes or {}) do
    request[name] = value ~= M.NOTHING and value or nil
  end
  for _, name in ipairs(COUNTED) do
    request[name .. "_count"] = request[name .. "_count"] or (request[name] and 1 or 0)
  end
  return request
end

--- The verdict on that request.
function M.judge(guard, changes)
  return guard:judge(M.request_with(changes))
end

--- The changes in words.
function M.shown(changes)
  local words = {}
  for name, value in pairs(changes) do
    local text = value == M.NOTHING and "none" or type(value) == "table" and value.class or value
    words[#words + 1] = ("%s=%q"):format(name, tostring(text))
  end
  table.sort(words)
  return table.concat(words, " ")
end

--- Asserts for each case {status, changes} that the request gets the status; 0: it is let through.
function M.check_cases(guard, cases)
  for _, case in ipairs(cases) do
    local verdict = M.judge(guard, case[2])
    local told = M.shown(case[2]) .. ": " .. tostring(verdict.text)
    assert(
      verdict.status == case[1] and (case[1] == 0) == (verdict.text == nil),
      ("expected %d, got %d: %s"):format(case[1], verdict.status, told)
    )
  end
end

--- The same for cases {status, host}, each with the further changes.
function M.check_hosts(guard, cases, changes)
  for _, case in ipairs(cases) do
    local all = { host = case[2] }
    for name, value in pairs(changes or {}) do
      all[name] = value
    end
    M.check_cases(guard, { { case[1], all } })
  end
end

--- RFC 4648, 4.
function M.base64(text)
  local groups = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    local group = ""
    for place = 18, 0, -6 do
      local digit = math.floor(bits / 2 ^ place) % 64
      group = group .. DIGITS:sub(digit + 1, digit + 1)
    end
    local padding = c and "" or b and "=" or "=="
    groups[#groups + 1] = group:sub(1, 4 - #padding) .. padding
  end
  return table.concat(groups)
end

--- The Authorization header of "user:password".
function M.basic(text)
  return "Basic " .. M.base64(text)
end

return M
