--- The agent's pages inside the program's own HTTP server, for those who want no second port.
--
--    local http = require "rtmetrics.http"
--    local handler = http.new {
--      prefix = "/internal", token = assert(os.getenv("METRICS_TOKEN")),
--    }
--
--    -- copas, or any server that has parsed a request:
--    local status, headers, body = handler:answer(request)
--    -- a socket, with a request's head as it came:
--    local reply = handler:respond(head)
--    -- lua-http:
--    server.listen { onstream = handler:lua_http(onstream), ... }
--    -- nginx:
--    location /internal/ { content_by_lua_block { require("app").handler:nginx() } }
--
-- The pages are those of `rtmetrics.agent` (see docs/urls.md): `/metrics` for Prometheus,
-- `/debug/vars` as JSON, `/healthz`, and an index at `/`. They show all VMs of the process. What
-- differs: they are answered by the program's own loop, so not while it is stuck.
--
-- **Who may look.** Every page has a class. `metrics` shows figures, `profile` names of functions;
-- `sensitive` may show secrets (heap contents, values on stacks) and `control` changes something.
-- The last two are served only where `allow` names them. With a `token`, a request must carry it as
-- `Authorization: Bearer TOKEN`, or as the password of Basic authentication. Which hosts and
-- origins may ask is the business of the program's server: in a public one, set a token.
-- @module rtmetrics.http

require("rtmetrics") -- attaches the observers, whose figures the pages show

local core = require("rtmetrics.core")
local options = require("rtmetrics.options")

local TOKEN_MIN = 16

local REASONS = {
  [200] = "OK", [301] = "Moved Permanently", [400] = "Bad Request", [401] = "Unauthorized",
  [403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed",
  [500] = "Internal Server Error", [503] = "Service Unavailable",
}

local routes, class_names = {}, {}
do
  local list, classes = core.routes()
  for _, route in ipairs(list) do
    routes[route.path] = route
  end
  for _, name in ipairs(classes) do
    class_names[name] = true
  end
end

local schema = {
  prefix = { type = "string", default = "" },
  pages = { type = "table" },
  allow = { type = "table", default = { "metrics", "profile" } },
  open = { type = "table", default = {} },
  token = { type = "string" },
}

-- The list as a set; raises, at the line that called http.new, where a member is not known.
local function check_list(name, list, known)
  local set, names = {}, {}
  for key in pairs(known) do
    names[#names + 1] = key
  end
  table.sort(names)
  for i = 1, #list do
    if not known[list[i]] then
      local nearest = options.nearest(tostring(list[i]), names)
      error(("rtmetrics.http: option %q has %q, the nearest known is %q (known: %s)"):format(
        name, tostring(list[i]), nearest, table.concat(names, ", ")), 4)
    end
    set[list[i]] = true
  end
  return set
end

local function check_prefix(prefix)
  local is_path = prefix == "" or prefix:find("^/[%w%-._~/]*[%w%-._~]$")
  if not is_path or prefix:find("//", 1, true) then
    error(("rtmetrics.http: option \"prefix\" must be \"\" or like \"/internal\", got %q"):format(
      prefix), 4)
  end
end

local function check(given)
  local checked = options.check("rtmetrics.http", schema, given, 4)
  check_prefix(checked.prefix)
  checked.allow = check_list("allow", checked.allow, class_names)
  checked.open = check_list("open", checked.open, class_names)
  checked.pages = checked.pages and check_list("pages", checked.pages, routes) or routes
  if checked.token and (#checked.token < TOKEN_MIN or checked.token:find("[^!-~]")) then
    error(("rtmetrics.http: option \"token\" must have at least %d bytes, visible ASCII only")
      :format(TOKEN_MIN), 3)
  end
  return checked
end

-- The path of a request's target, decoded, and its query; nil where there is none.
local function split_target(target)
  target = target:gsub("^%a[%w+.-]*://[^/?#]*", ""):gsub("#.*$", "")
  local path, query = target:match("^([^?]*)%??(.*)$")
  local escapes = select(2, path:gsub("%%", ""))
  local decoded, valid = path:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end)
  if escapes == valid then
    return decoded, query
  end
end

-- A header's value by its name in lower case, from a table that may spell it otherwise, and may
-- hold lists where a header came more than once.
local function header_of(headers, name)
  local value = headers[name]
  if value == nil then
    for key, candidate in pairs(headers) do
      if type(key) == "string" and key:lower() == name then
        value = candidate
      end
    end
  end
  if type(value) == "table" then
    value = table.concat(value, ", ")
  end
  return type(value) == "string" and value or nil
end

local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function decode_base64(text)
  local bytes, bits, value = {}, 0, 0
  for c in text:gsub("=+$", ""):gmatch(".") do
    local digit = BASE64:find(c, 1, true)
    if not digit then
      return nil
    end
    value, bits = value * 64 + digit - 1, bits + 6
    if bits >= 8 then
      bits = bits - 8
      local byte = math.floor(value / 2 ^ bits)
      bytes[#bytes + 1] = string.char(byte)
      value = value - byte * 2 ^ bits
    end
  end
  return table.concat(bytes)
end

-- In a time that tells nothing about where they differ.
local function is_same(token, given)
  local difference = #token == #given and 0 or 1
  for i = 1, #token do
    difference = difference + math.abs(token:byte(i) - (given:byte(i) or 0))
  end
  return difference == 0
end

local function has_token(token, authorization)
  local scheme, credentials = (authorization or ""):match("^(%a+) +(%S+)$")
  scheme = (scheme or ""):lower()
  if scheme == "basic" then
    credentials = (decode_base64(credentials) or ""):match("^[^:]*:(.*)$")
  elseif scheme ~= "bearer" then
    credentials = nil
  end
  return credentials ~= nil and is_same(token, credentials)
end

local function redirect(location)
  local status, headers, body = core.refuse(301, location)
  headers["Location"] = location
  return status, headers, body
end

local Handler = {}
Handler.__index = Handler

-- The page at a decoded path: its route and path without the prefix; or where else it is.
local function find_page(self, path)
  local prefix = self.prefix
  if prefix ~= "" and path == prefix and self.pages["/"] then
    return routes["/"], "/", prefix:match("[^/]*$") .. "/"
  elseif path:sub(1, #prefix) == prefix then
    local rest = path:sub(#prefix + 1)
    return self.pages[rest] and routes[rest], rest
  end
end

local function answer_route(self, request, headers, route, query)
  if self.token and not self.open[route.class]
    and not has_token(self.token, header_of(headers, "authorization")) then
    local status, fields, body = core.refuse(401, "this page needs the token")
    fields["WWW-Authenticate"] = 'Basic realm="rtmetrics"'
    return status, fields, body
  elseif not self.allow[route.class] then
    return core.refuse(403, ("pages of the class %s are not served here"):format(route.class))
  end
  return core.answer(request.method, route.path, query, header_of(headers, "accept"),
    header_of(headers, "accept-encoding"))
end

local function check_request(request)
  options.check_argument("handler:answer", 1, "table", request)
  local headers = request.headers
  if type(request.method) ~= "string" or type(request.target) ~= "string"
    or (headers ~= nil and type(headers) ~= "table") then
    error("handler:answer: a request has the texts method and target, and the table headers", 3)
  end
  return headers or {}
end

--- Answers a request, where it is for one of the handler's pages.
-- @tparam table request `method` ("GET"), `target` (as it came: path and query, escaped), `headers`
--  (name → text, or list of texts; names in any spelling)
-- @treturn[1] number status
-- @treturn[1] table headers, name → value; all but Content-Length and Date
-- @treturn[1] string body; for HEAD that of GET: the server counts its bytes and does not send it
-- @treturn[2] nil it is for none: the program goes on with it
-- @raise what is no request
-- @usage local status, headers, body = handler:answer(request)
function Handler:answer(request)
  local headers = check_request(request)
  local path, query = split_target(request.target)
  local route, _, elsewhere
  if path then
    route, _, elsewhere = find_page(self, path)
  end
  if not route then
    return nil
  end
  if elsewhere then
    return redirect(elsewhere)
  end
  return answer_route(self, request, headers, route, query)
end

local function parse_headers(lines)
  local headers = {}
  for line in lines:gmatch("[^\r\n]+") do
    local name, value = line:match("^([%w!#$%%&'*+%-.^_`|~]+):[ \t]*(.-)[ \t]*$")
    if not name then
      return nil
    end
    name = name:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  return headers
end

-- {method, target, headers}, or nil for what is no HTTP/1 request.
local function parse_head(head)
  local line, lines = head:match("^([^\r\n]*)\r?\n?(.*)$")
  local method, target = line:match("^(%u+) (%S+) HTTP/1%.[01]$")
  local headers = method and parse_headers(lines)
  return headers and { method = method, target = target, headers = headers }
end

-- The connection is closed after it: a request's body, if there is one, stays unread.
local function format_response(method, status, headers, body)
  local lines = {
    ("HTTP/1.1 %d %s"):format(status, REASONS[status] or "Status"),
    os.date("!Date: %a, %d %b %Y %H:%M:%S GMT"),
    ("Content-Length: %d"):format(#body),
    "Connection: close",
  }
  for name, value in pairs(headers) do
    lines[#lines + 1] = name .. ": " .. value
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (method == "HEAD" and "" or body)
end

--- Answers a request's head with the text of a response, for programs that speak HTTP on a socket
-- themselves. The connection is to be closed after it.
-- @tparam string head the request's first lines as they came, up to the empty line
-- @treturn ?string the response, head and body; nil where the request is for none of the pages, or
--  is no HTTP/1 request
-- @usage skt:send(handler:respond(head) or not_found)
function Handler:respond(head)
  options.check_argument("handler:respond", 1, "string", head)
  local request = parse_head(head)
  if not request then
    return nil
  end
  local status, headers, body = self:answer(request)
  return status and format_response(request.method, status, headers, body)
end

-- lua-http's object as a plain table.
local function plain_headers(theirs)
  local headers = {}
  for name, value in theirs:each() do
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  return headers
end

local function send_to_stream(stream, is_head, status, fields, body)
  local headers = require("http.headers").new()
  headers:append(":status", ("%d"):format(status))
  headers:append("content-length", ("%d"):format(#body))
  for name, value in pairs(fields) do
    headers:append(name:lower(), value)
  end
  local sent = stream:write_headers(headers, is_head)
  if sent and not is_head then
    stream:write_body_from_string(body)
  end
end

--- An `onstream` for lua-http: answers our pages, and leaves all else to the program's own.
-- @tparam function onstream the program's own, called as lua-http does, for what is not ours
-- @treturn function
-- @usage local server = require("http.server").listen { onstream = handler:lua_http(onstream) }
function Handler:lua_http(onstream)
  options.check_argument("handler:lua_http", 1, "function", onstream)
  return function(server, stream)
    local headers, message, code = stream:get_headers()
    if not headers then
      return onstream(server, stream, message, code)
    end
    local method, target = headers:get(":method"), headers:get(":path")
    local status, fields, body
    if target then
      status, fields, body = self:answer({
        method = method, target = target, headers = plain_headers(headers),
      })
    end
    if status then
      return send_to_stream(stream, method == "HEAD", status, fields, body)
    end
    -- They can be got once only, and the program's own wants them too.
    stream.get_headers = function()
      stream.get_headers = nil
      return headers
    end
    return onstream(server, stream)
  end
end

--- Answers the request that nginx serves now: for `content_by_lua`. What is for none of the pages
-- is answered with 404.
-- @usage location /internal/ { content_by_lua_block { require("app").handler:nginx() } }
function Handler:nginx()
  local ngx = rawget(_G, "ngx")
  if not ngx then
    error("handler:nginx: there is no nginx around this Lua", 2)
  end
  local status, headers, body = self:answer({
    method = ngx.req.get_method(),
    target = ngx.var.request_uri,
    headers = ngx.req.get_headers(),
  })
  ngx.req.discard_body()
  if not status then
    return ngx.exit(404)
  end
  ngx.status = status
  ngx.header["Content-Length"] = #body
  for name, value in pairs(headers) do
    ngx.header[name] = value
  end
  ngx.print(body)
end

local M = {}

--- Makes a handler.
-- @tparam[opt] table given `prefix` (string: stands before all paths, such as "/internal"; default
--  none), `pages` (list of paths: serve only these; default all), `allow` (list of classes that
--  are served; default `{"metrics", "profile"}`), `token` (string of at least 16 bytes: needed for
--  all classes but those in `open`), `open` (list of classes; default none)
-- @treturn table the handler, with the methods `answer`, `respond`, `lua_http` and `nginx`
-- @raise an unknown option, page or class, a prefix or token that cannot be
-- @usage local handler = http.new { prefix = "/internal", pages = { "/metrics" } }
function M.new(given)
  return setmetatable(check(given), Handler)
end

return M
