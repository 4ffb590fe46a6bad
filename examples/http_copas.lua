-- The agent's pages inside a copas server of one's own: rtmetrics.http. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Serves a small web application with copas, and the pages about this process beside it.

For whoever has an HTTP server on copas, one port, and wants no second one: the handler of
rtmetrics.http answers what is below /internal, all other paths are the application's. You will see
the index of pages at /internal/, the metrics for Prometheus, and JSON for other tools. With a
token, only who has it sees them.

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

-- First rtmetrics, then copas: copas keeps the coroutine functions that it finds.
command.load_rtmetrics()
local http_server = require "http_server"
local http = require "rtmetrics.http"

local function greet()
  return 200, { ["Content-Type"] = "text/plain; charset=utf-8" }, "hello\n"
end

command.run(function()
  local handler = http.new({ prefix = "/internal", token = options.token })
  local application = http_server.router({ ["/"] = greet })

  local function respond(request)
    local status, headers, body = handler:answer(request)
    if status then
      return status, headers, body
    end
    return application(request)
  end

  local host = command.host("copas")
  local server, message = http_server.new({
    host = options.host, port = options.port, loop = host, respond = respond,
  })
  if not server then
    command.fail(message)
  end
  io.stdout:setvbuf("line")
  print(("pages at http://%s:%d/internal/ (Ctrl-C ends)"):format(options.host, server:port()))
  host:run(options.seconds)
end)
