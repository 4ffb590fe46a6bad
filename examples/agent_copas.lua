-- The agent beside a copas server. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Serves a web page with copas, and its figures by the agent.

For whoever has a copas server and wants its /metrics on a port of its own that needs no handler,
takes nothing of the loop's time and answers when the loop does not. You will see the addresses of
both, and the requests that the server has answered every few seconds. After a while the loop gets
stuck on purpose: the server is silent then, the agent's page is not.

The one line that your own server needs, before copas is loaded:

  require("rtmetrics.agent").start()]],
  options = command.AGENT_SERVER_OPTIONS,
})

-- First rtmetrics, then copas: copas keeps the coroutine functions that it finds.
command.load_rtmetrics()
local agent = require "rtmetrics.agent"
local http_server = require "http_server"
local prometheus = require "rtmetrics.prometheus"

local ADDRESS = "127.0.0.1"
local REPORT_SECONDS = 2

local requests = 0
local request_counter = prometheus.counter("copas_requests_total", "Requests answered.")

local routes = {
  ["/"] = function()
    return 200, { ["Content-Type"] = "text/html; charset=utf-8" },
      ("<!doctype html><title>copas</title>Hello, number %d.\n"):format(requests + 1)
  end,
}

local function start_server(host)
  local server, message = http_server.new({
    host = ADDRESS, port = options.port, loop = host, respond = http_server.router(routes),
    on_response = function()
      requests = requests + 1
      request_counter:inc()
    end,
  })
  return server or command.fail(message)
end

-- A callback of the loop that forgets to come back.
local function get_stuck_once(host)
  local cancel
  cancel = host:every(options["stuck-after"], function()
    cancel()
    if not command.get_stuck(options["stuck-for"]) then
      host:stop()
    end
  end)
end

command.run(function()
  io.stdout:setvbuf("line")
  local host = command.host("copas")
  local server = start_server(host)
  local handle, message = agent.start({ listen = options.listen })
  if not handle then
    command.fail(message)
  end
  print(("the server: curl http://%s:%d/  (Ctrl-C ends)"):format(ADDRESS, server:port()))
  print("look into it: " .. command.curl(handle, "/metrics"))
  if options["stuck-after"] > 0 then
    get_stuck_once(host)
  end
  host:every(REPORT_SECONDS, function()
    print(requests .. " requests answered")
  end)
  host:run(options.seconds)
end)
