--- What a stream of bytes on an HTTP/1.1 connection asks for, read as strictly as RFC 9110 and
-- 9112 allow, and by other means than the agent does: a second way to know which requests may be
-- answered with a page.

local PAGES = {
  ["/"] = true,
  ["/healthz"] = true,
  ["/metrics"] = true,
  ["/style.css"] = true,
  ["/debug/vars"] = true,
  ["/debug/pprof/"] = true,
}
-- What is longer than this may be refused for its length.
local SHORT_TARGET, SHORT_HEAD = 2000, 8000

local TOKEN = "^[%w!#$%%&'*+%-.^_`|~]+$"

local function decode(path)
  if path:gsub("%%%x%x", ""):find("%", 1, true) then
    return nil
  end
  return (path:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

-- A path that there is, a path that there is not, or nil: no path at all.
local function read_target(target)
  if not target:find("^/[!-~]*$") or target:find("#", 1, true) or not decode(target) then
    return nil
  end
  local path = decode(target:match("^[^?]*"))
  return not path:find("%z") and path or nil
end

-- The values of each header by its name in lower case; nil where a line is none.
local function read_headers(lines)
  local headers = {}
  for i = 2, #lines do
    local name, value = lines[i]:match("^([^:]*):[ \t]*(.-)[ \t]*$")
    if not name or not name:find(TOKEN) or value:find("[%z\1-\8\10-\31\127]") then
      return nil
    end
    name = name:lower()
    headers[name] = headers[name] or {}
    table.insert(headers[name], value)
  end
  return headers
end

local function count(headers, name)
  return headers[name] and #headers[name] or 0
end

local function is_framed_well(headers)
  local length = headers["content-length"]
  return count(headers, "host") == 1
    and count(headers, "transfer-encoding") == 0
    and (not length or #length == 1 and length[1]:find("^0+$") ~= nil)
end

local function is_own_site(headers, authority)
  local site, origin = headers["sec-fetch-site"], headers.origin
  local port = authority:match(":%d+$")
  local function is_ours(host)
    host = host:lower()
    return host == authority or host == "localhost" .. port or host == "[::1]" .. port
  end
  return is_ours(headers.host[1])
    and count(headers, "authorization") <= 1
    and (not site or not site[1]:lower():find("^cross%-site"))
    and (not origin or origin[1]:find("^http://") ~= nil and is_ours(origin[1]:sub(8)))
end

local function split_lines(head)
  local lines = {}
  for line in head:gmatch("(.-)\r\n") do
    lines[#lines + 1] = line
  end
  return lines
end

-- Must it be answered with 200 ("page"), with something else ("refusal", and "end": that ends the
-- connection), or may it be either?
local function judge(head, authority)
  local lines = split_lines(head)
  local method, target, version = (lines[1] or ""):match("^(%S+) (%S+) HTTP/1%.([01])$")
  local headers = read_headers(lines)
  local path = target and read_target(target)
  local is_request = method and method:find(TOKEN) and headers and path
  if not is_request or not is_framed_well(headers) then
    return "end"
  end
  local is_asking = method == "GET" or method == "HEAD"
  if not PAGES[path] or not is_asking or not is_own_site(headers, authority) then
    return "refusal", headers, version
  end
  -- Who expects 100 should not have sent more; blanks at a line's end mean nothing, but need not be
  -- borne.
  local may_fail = #target > SHORT_TARGET or #head > SHORT_HEAD or headers.expect
    or head:find("[ \t]\r\n")
  return may_fail and "either" or "page", headers, version
end

local function ends_connection(headers, version)
  local words = table.concat(headers.connection or {}, ","):lower()
  return words:find("close", 1, true) or version == "0" and not words:find("keep-alive", 1, true)
end

-- Where a request begins. Empty lines before it may be skipped, however they end, and libmicrohttpd
-- 0.9.75 takes a line that begins with NUL for one. nil: there is none.
local function skip_empty_lines(bytes, at)
  local first = bytes:find("[^\r\n]", at)
  while first and bytes:sub(first, first) == "\0" do
    local line_end = bytes:find("\n", first, true)
    first = line_end and bytes:find("[^\r\n]", line_end)
  end
  return first
end

-- libmicrohttpd 0.9.75 turns the ends of lines, and the colon of each, into NULs before anybody can
-- look at them. So what it takes for the end of a line or of the head, and has as many bytes as the
-- right one, passes for it.
local function as_read(bytes)
  return (
    bytes
      :gsub("%z\r\n\n", "\r\n\r\n")
      :gsub("([^\r])\n[:%z]\r\n", "%1\r\n\r\n")
      :gsub("%z\n", "\r\n")
      :gsub("\n:\n", "\n\r\n")
  )
end

local M = {}

--- What a server must make of the bytes.
-- @tparam string bytes all that the client sends
-- @tparam string authority the server's, "127.0.0.1:6060"
-- @treturn table a list: for each request in turn "page" (answered with 200), "refusal" (with
-- another status), "either", or "end" (another status, or none, and nothing after it)
function M.expectations(bytes, authority)
  local list, at = {}, 1
  local sent = bytes
  bytes = as_read(sent)
  while at <= #bytes do
    local first = skip_empty_lines(bytes, at)
    if not first then
      break
    end
    local _, last = bytes:find("\r\n\r\n", first, true)
    local head = bytes:sub(first, last and last - 2 or first)
    local verdict, headers, version = judge(head, authority)
    local is_odd = first > at or sent:sub(first, last or first) ~= bytes:sub(first, last or first)
    if not last then
      verdict = "end"
    elseif verdict == "page" and is_odd then
      verdict = "either"
    end
    list[#list + 1] = verdict
    if verdict == "end" or ends_connection(headers, version) then
      break
    end
    at = last + 1
  end
  return list
end

return M
