-- The agent beside a server on luv. See --help.

package.path = (arg[0]:match("^(.*/)") or "./") .. "support/?.lua;" .. package.path
local command = require "command"

local options = command.parse({
  text = [[
Keeps texts by name in a server on luv (libuv), and shows its figures by the agent.

For whoever has a program on luv and wants to look into it without a handler of its own. You will
see the addresses of both. After a while a callback gets stuck on purpose: the server is silent
then, the agent's page is not.

The one line that your own program needs:

  require("rtmetrics.agent").start()]],
  options = command.AGENT_SERVER_OPTIONS,
})

command.load_rtmetrics()
local agent = require "rtmetrics.agent"
local store = require "store"

local ADDRESS = "127.0.0.1"
local BACKLOG = 128
local REPORT_SECONDS = 2

local found, uv = pcall(require, "luv")
if not found then
  command.fail("luv is missing (Debian: lua-luv)")
end

local texts = store.new()

local function close(handle)
  if not handle:is_closing() then
    handle:close()
  end
end

-- Answers the whole lines of `buffer` and returns what is left.
local function answer_lines(client, buffer)
  return (buffer:gsub("([^\n]*)\n", function(line)
    client:write(texts:answer(line) .. "\n")
    return ""
  end))
end

local function serve(client)
  local buffer = ""
  client:read_start(function(failure, data)
    if failure or not data then
      return close(client)
    end
    buffer = answer_lines(client, buffer .. data)
    if #buffer > store.MAX_LINE then
      close(client)
    end
  end)
end

local function start_server()
  local server = uv.new_tcp()
  local ok, message = server:bind(ADDRESS, options.port)
  if ok then
    ok, message = server:listen(BACKLOG, function(failure)
      if not failure then
        local client = uv.new_tcp()
        server:accept(client)
        serve(client)
      end
    end)
  end
  if not ok then
    command.fail(("cannot listen on %s:%d: %s"):format(ADDRESS, options.port, message))
  end
  return server:getsockname().port
end

-- Calls `fn` once after so many seconds, and then every `again` seconds (0: only once).
local function after(seconds, again, fn)
  uv.new_timer():start(math.ceil(seconds * 1000), again * 1000, fn)
end

-- The loop sees Ctrl-C by itself; Lua's own way, an error at the next instruction, would end the
-- process in the middle of a callback.
local function stop_at_interrupt()
  uv.new_signal():start("sigint", function()
    uv.stop()
  end)
end

command.run(function()
  io.stdout:setvbuf("line")
  local port = start_server()
  local handle, message = agent.start({ listen = options.listen })
  if not handle then
    command.fail(message)
  end
  print(("the server: nc %s %d, then a line as 'set me here' or 'get me'  (Ctrl-C ends)"):format(
    ADDRESS, port))
  print("look into it: " .. command.curl(handle, "/metrics"))
  stop_at_interrupt()
  if options["stuck-after"] > 0 then
    after(options["stuck-after"], 0, function()
      command.get_stuck(options["stuck-for"])
    end)
  end
  if options.seconds then
    after(options.seconds, 0, uv.stop)
  end
  after(REPORT_SECONDS, REPORT_SECONDS, function()
    print(texts.requests .. " requests answered")
  end)
  uv.run()
end)
