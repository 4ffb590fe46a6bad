-- The agent beside a cqueues server. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Keeps texts by name in a server on cqueues, and shows its figures by the agent.

For whoever has a program on cqueues (lua-http among them) and wants to look into it without a
handler of its own. Each client of the server is a coroutine, so the agent's page tells how many
there are and how long they run. You will see the addresses of both. After a while the loop gets
stuck on purpose: the server is silent then, the agent's page is not.

The one line that your own program needs, before cqueues is loaded:

  require("rtmetrics.agent").start()]],
  options = command.AGENT_SERVER_OPTIONS,
})

command.load_rtmetrics()
local agent = require "rtmetrics.agent"
local store = require "store"

local ADDRESS = "127.0.0.1"
local REPORT_SECONDS = 2
local IDLE_SECONDS = 60

local texts = store.new()

-- What a client does wrong, or its end, is returned by the calls and not raised.
local function return_errors(_, _, code)
  return code
end

local function serve(client)
  client:onerror(return_errors)
  client:settimeout(IDLE_SECONDS)
  client:setmaxline(store.MAX_LINE)
  local line = client:read("*l")
  -- A longer line comes in pieces of that size.
  while line and #line < store.MAX_LINE do
    local ok = client:write(texts:answer(line), "\n") and client:flush()
    line = ok and client:read("*l")
  end
  client:close()
end

local function start_server(host)
  local socket = require "cqueues.socket"
  local server = socket.listen({ host = ADDRESS, port = options.port })
  local ok, message = pcall(server.listen, server)
  if not ok then
    command.fail(("cannot listen on %s:%d: %s"):format(ADDRESS, options.port, tostring(message)))
  end
  host.cq:wrap(function()
    while true do
      host.cq:wrap(serve, server:accept())
    end
  end)
  local _, _, port = server:localname()
  return port
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
  local host = command.host("cqueues")
  local port = start_server(host)
  local handle, message = agent.start({ listen = options.listen })
  if not handle then
    command.fail(message)
  end
  print(("the server: nc %s %d, then a line as 'set me here' or 'get me'  (Ctrl-C ends)"):format(
    ADDRESS, port))
  print("look into it: " .. command.curl(handle, "/metrics"))
  if options["stuck-after"] > 0 then
    get_stuck_once(host)
  end
  host:every(REPORT_SECONDS, function()
    print(texts.requests .. " requests answered")
  end)
  host:run(options.seconds)
end)
