--- Requests that a client should never send, made from good ones.

local M = {}

local function pick(list)
  return list[math.random(#list)]
end

local HEADERS = {
  "Host: evil.example",
  "Host: ",
  "Host",
  "HOST: localhost",
  "Content-Length: 0",
  "Content-Length: 5",
  "Content-Length: +0",
  "Content-Length: -0",
  "Content-Length: 0x0",
  "Content-Length: 0, 0",
  "Content-Length: ",
  "Content-Length : 0",
  "Content-Length:\v0",
  "Content-Length: 99999999999999999999999999",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: identity",
  "Transfer-Encoding : chunked",
  "Transfer-Encoding:\tchunked",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding: chunked, chunked",
  "Transfer-Encoding\r\n : chunked",
  "X: a\r\n b",
  "X: a\r\n\tb",
  " X: folded",
  "\tX: folded",
  "X",
  ":",
  ": x",
  "X:",
  "X : y",
  "X\0: y",
  "X: \0",
  "X: a\rb",
  "X: a\nHost: evil.example",
  "X: \127",
  "X: \200\255",
  "X: " .. ("y"):rep(3000),
  "(X): y",
  "Connection: close",
  "Connection: keep-alive",
  "Connection: close, keep-alive",
  "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
  "Expect: 100-continue",
  "Expect: 200-ok",
  "Authorization: Bearer x",
  "Authorization: Basic ====",
  "Origin: null",
  "Origin: http://evil.example",
  "Sec-Fetch-Site: cross-site",
  "Sec-Fetch-Site: same-origin",
  "Accept: ,;q=,;;,application/openmetrics-text;q=2;version=\"",
  "Accept-Encoding: gzip;q=0,*;q=1e400,identity;q=-1",
  "Cookie: a=b; c=%zz;;=;\"; $Version=",
  "Range: bytes=0-1",
  "If-None-Match: *",
  "Content-Type: multipart/form-data; boundary=",
}

local METHODS = {
  "get", "HEAD", "POST", "PUT", "TRACE", "CONNECT", "OPTIONS", "G", "GETT", "GE\0T", "GET\t",
  " GET",
  "GET GET", "\"GET\"", "G\200T", "PRI", "", ("M"):rep(5000),
}

local TARGETS = {
  "http://127.0.0.1/healthz", "http://evil.example/healthz", "//evil.example/healthz", "*", "",
  "healthz", "/healthz/", "/healthz/.", "/./healthz", "/x/../healthz", "/../../etc/passwd",
  "/healthz%", "/healthz%0", "/healthz%zz", "/healthz%00", "/healthz%00.html", "/%00",
  "/healthz%0d%0a",
  "/%68ealthz", "/%2568ealthz", "/healthz?%", "/healthz?a=%00", "/healthz?a b", "/healthz?\1",
  "/healthz?x=1&x=2", "/healthz#x", "/healthz?#", "/healthz;a", "/healthz\0", "/health\200z",
  "/healthz\t", "/HEALTHZ", "/" .. ("%25"):rep(300), "/" .. ("%"):rep(300), "/" .. ("a"):rep(1990),
  "/" .. ("a"):rep(2100), "/" .. ("a"):rep(40000), "/healthz?" .. ("a"):rep(3000), "127.0.0.1:80",
}

local VERSIONS = {
  "HTTP/0.9", "HTTP/1.0", "HTTP/1.2", "HTTP/1.10", "HTTP/2.0", "HTTP/2", "HTTP/3", "http/1.1",
  "HTTP/ 1.1", "HTTP/1.1 ", " HTTP/1.1", "HTTP/1.1x", "HTTP/1.\0", "HTTP/1", "HTP/1.1", "ICY", "",
  "HTTP/1.1 HTTP/1.1", "HTTP/11", "HTTP/-1.1", "HTTP/1,1",
}

local BYTES = "\0\r\n\t :%\127\255/?#,;=\"(aA0\1"

local PREFIXES = {
  "\r\n", "\n", "\r", "\r\n\r\n", " ", "\0", "GET /healthz\r\n", "GET /healthz\r\n\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\22\3\1\2\0\1\0\1\252\3\3",
  "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "0\r\n\r\n", "5\r\nabcde\r\n0\r\n\r\n",
}

local BODIES = {
  "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello", "ffffffffffffffff\r\n", "-1\r\n\r\n",
  "0;x\r\n\r\n",
  ("z"):rep(5000),
}

-- Position of a line's end: of its "\r\n".
local function random_line_end(text)
  local ends = {}
  for at in text:gmatch("()\r\n") do
    ends[#ends + 1] = at
  end
  return ends[1] and pick(ends)
end

local function with_line_end(text, replacement)
  local at = random_line_end(text)
  return at and text:sub(1, at - 1) .. replacement .. text:sub(at + 2) or text
end

local function add_header(text, header)
  return with_line_end(text, "\r\n" .. header .. "\r\n")
end

-- Method, target and version are the parts 1, 2 and 3 of the first line.
local function with_part(text, number, part)
  local first, rest = text:match("^(.-)(\r\n.*)$")
  local parts = {}
  for word in (first or ""):gmatch("%S+") do
    parts[#parts + 1] = word
  end
  if #parts ~= 3 then
    return text
  end
  parts[number] = part
  return table.concat(parts, " ") .. rest
end

local function random_byte()
  local at = math.random(#BYTES)
  return BYTES:sub(at, at)
end

local mutations = {
  function(text)
    return add_header(text, pick(HEADERS))
  end,
  function(text)
    return add_header(add_header(text, pick(HEADERS)), pick(HEADERS))
  end,
  function(text)
    return add_header(text, pick(HEADERS)) .. pick(BODIES)
  end,
  -- Two lengths that disagree, with a request hidden in what one of them leaves over.
  function(text)
    local hidden = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    local length = pick({ "0", tostring(#hidden), "4", "5" })
    local pair = "Content-Length: " .. length .. "\r\n" .. pick({
      "Transfer-Encoding: chunked", "Content-Length: 0", "Transfer-Encoding: chunked\r\n X: y",
      "Content-Length: " .. #hidden + 1,
    })
    return add_header(text, pair) .. pick({ "0\r\n\r\n", "" }) .. hidden
  end,
  function(text)
    return with_part(text, 1, pick(METHODS))
  end,
  function(text)
    return with_part(text, 2, pick(TARGETS))
  end,
  function(text)
    return with_part(text, 3, pick(VERSIONS))
  end,
  function(text)
    local ends = { "\n", "\r", "\r\r\n", "\n\r", " \r\n", "\0\r\n", "\0\n", "\r\n\r\n", "" }
    return with_line_end(text, pick(ends))
  end,
  function(text)
    return (text:gsub("\r\n", pick({ "\n", "\r", "\r\r\n" })))
  end,
  function(text)
    local at = math.random(#text)
    return text:sub(1, at - 1) .. random_byte() .. text:sub(at + 1)
  end,
  function(text)
    local at = math.random(#text)
    return text:sub(1, at) .. random_byte() .. text:sub(at + 1)
  end,
  function(text)
    local at = math.random(#text)
    return text:sub(1, at - 1) .. text:sub(at + math.random(3))
  end,
  function(text)
    return text:sub(1, math.random(#text))
  end,
  function(text)
    local at, length = math.random(#text), math.random(20)
    return text:sub(1, at) .. text:sub(at, at + length) .. text:sub(at + 1)
  end,
  function(text)
    return pick(PREFIXES) .. text
  end,
  function(text)
    return text .. text
  end,
  function(text)
    local cut = math.random(#text)
    return text:sub(1, cut) .. pick(PREFIXES) .. text:sub(cut + 1)
  end,
  function(text)
    return (text:gsub(pick({ " ", ": ", "/", "%." }), pick({ "  ", "\t", ":", "", "\v" }), 1))
  end,
}

-- Rare ones, as they are long.
local bombs = {
  function(text)
    return add_header(text, "X: " .. ("y"):rep(1000000))
  end,
  function(text)
    return add_header(text, ("X: y\r\n"):rep(5000) .. "Z: z")
  end,
  function(text)
    return with_part(text, 2, "/" .. ("%2e"):rep(100000))
  end,
  function(text)
    return with_part(text, 1, ("G"):rep(1000000))
  end,
  function()
    return ("\0"):rep(100000)
  end,
  function()
    return ("\r\n"):rep(30000)
  end,
}

--- A request with something wrong in it, most of the time.
-- @tparam string request a good one
-- @treturn string
function M.mutate(request)
  if math.random(400) == 1 then
    return pick(bombs)(request)
  end
  for _ = 1, math.random(3) do
    request = request ~= "" and pick(mutations)(request) or request
  end
  return request
end

return M
