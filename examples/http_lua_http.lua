-- The agent's pages inside a lua-http server of one's own: rtmetrics.http. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Serves a small web application with lua-http, and the pages about this process beside it.

For whoever has a server on lua-http (HTTP/1.1 and HTTP/2 on cqueues) and wants no second port: the
handler of rtmetrics.http wraps the application's onstream, answers what is below /internal, and
leaves all else to it. You will see the index of pages at /internal/, the metrics for Prometheus,
and JSON for other tools. With a token, only who has it sees them.

Try: curl http://127.0.0.1:8080/internal/metrics]],
  options = {
    { name = "host", type = "string", default = "127.0.0.1", help = "the address to listen on" },
    {
      name = "port", type = "number", default = 8080, min = 0, max = 65535, whole = true,
      help = "the port; 0 takes a free one",
    },
    { name = "token", type = "string", help = "what a request for /internal must carry" },
    { name = "seconds", type = "number", above = 0, help = "end by itself after so long" },
  },
})

-- First rtmetrics, then cqueues: cqueues keeps the coroutine functions that it finds.
command.load_rtmetrics()
local http = require "rtmetrics.http"

local function load_lua_http()
  local ok, server = pcall(require, "http.server")
  if not ok then
    command.fail("lua-http is missing (Debian: apt-get install lua-http)\n" .. tostring(server))
  end
  return server, require "http.headers"
end

command.run(function()
  local http_server, http_headers = load_lua_http()
  local host = command.host("cqueues")

  local function greet(_, stream)
    local request = stream:get_headers()
    if not request then
      return
    end
    local is_there = request:get(":path") == "/"
    local headers = http_headers.new()
    headers:append(":status", is_there and "200" or "404")
    headers:append("content-type", "text/plain; charset=utf-8")
    local is_head = request:get(":method") == "HEAD"
    stream:write_headers(headers, is_head)
    if not is_head then
      stream:write_body_from_string(is_there and "hello\n" or "there is no such page\n")
    end
  end

  local handler = http.new({ prefix = "/internal", token = options.token })
  local server, message = http_server.listen({
    host = options.host, port = options.port, cq = host.cq, tls = false,
    onstream = handler:lua_http(greet),
    onerror = function(_, _, operation, err)
      io.stderr:write(operation, ": ", tostring(err), "\n")
    end,
  })
  local ok = server
  if ok then
    ok, message = server:listen()
  end
  if not ok then
    command.fail(("cannot listen on %s:%d: %s"):format(options.host, options.port, message))
  end
  local _, _, port = server:localname()
  io.stdout:setvbuf("line")
  print(("pages at http://%s:%d/internal/ (Ctrl-C ends)"):format(options.host, port))
  host:run(options.seconds)
end)
