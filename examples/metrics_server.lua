-- The metrics page of a production server: /metrics on copas. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Serves this process's metrics at /metrics over HTTP.

For whoever has a copas server and wants Prometheus to scrape it: take the handler from here.
It answers GET and HEAD, in the Prometheus text format or as OpenMetrics, whichever the scraper
accepts, keeps connections alive, and refuses what a public port gets: other methods, huge
headers, idle connections. The server counts and times its own requests, and these show up on
the page too.

Try: curl http://127.0.0.1:9464/metrics]],
  options = {
    { name = "host", type = "string", default = "127.0.0.1", help = "the address to listen on" },
    {
      name = "port", type = "number", default = 9464, min = 0, max = 65535, whole = true,
      help = "the port; 0 takes a free one",
    },
    {
      name = "connections", type = "number", default = 64, min = 1, whole = true,
      help = "how many at once; others get status 503",
    },
    {
      name = "idle-seconds", type = "number", default = 15, above = 0,
      help = "how long a connection may be silent",
    },
    { name = "seconds", type = "number", above = 0, help = "end by itself after so long" },
  },
})

-- First rtmetrics, then copas: copas keeps the coroutine functions that it finds.
command.load_rtmetrics()
local http_server = require "http_server"
local prometheus = require "rtmetrics.prometheus"

local requests = prometheus.counter("http_requests_total", "HTTP requests answered.",
  { "path", "method", "code" })
local latency = prometheus.histogram("http_request_duration_seconds",
  "Time from a request's last byte to the last byte of its answer.", { "path" })

local routes = {
  ["/"] = function()
    return 200, { ["Content-Type"] = "text/html; charset=utf-8" },
      "<!doctype html><title>rtmetrics</title><a href=\"/metrics\">metrics</a>\n"
  end,
  ["/metrics"] = function(request)
    local body, content_type = prometheus.render(request.headers.accept)
    if not body then
      return http_server.plain_text(503)
    end
    return 200, { ["Content-Type"] = content_type }, body
  end,
}

-- Labels come from a list of ours, never from the client: each new value is a new time series.
local METHODS = { GET = true, HEAD = true, POST = true, PUT = true, DELETE = true, OPTIONS = true }

local function count(request, status, seconds)
  local path = routes[request.path] and request.path or "other"
  local method = METHODS[request.method] and request.method or "other"
  requests:inc(1, { path, method, tostring(status) })
  latency:observe(seconds, { path })
end

command.run(function()
  local host = command.host("copas")
  local server, message = http_server.new({
    host = options.host, port = options.port, loop = host,
    respond = http_server.router(routes), on_response = count,
    max_connections = options.connections, idle_seconds = options["idle-seconds"],
  })
  if not server then
    command.fail(message)
  end
  io.stdout:setvbuf("line")
  print(("metrics at http://%s:%d/metrics (Ctrl-C ends)"):format(options.host, server:port()))
  host:run(options.seconds)
end)
