-- What the examples share as programs: where to find the modules, options with --help, a clean end.
--
-- An installed rtmetrics is found by Lua itself; otherwise the one of this checkout is used.

local here = arg[0]:match("^(.*/)") or "./"
local lua_name = rawget(_G, "jit") and "luajit" or _VERSION:match("%d%.%d")

package.path = table.concat({
  package.path,
  here .. "../lua/?.lua",
  here .. "../lua/?/init.lua",
  -- Debian has copas for 5.1 only, but it runs on every Lua.
  "/usr/share/lua/5.1/?.lua",
}, ";")
package.cpath = package.cpath .. ";" .. here .. "../build/" .. lua_name .. "/lib/?.so"

local options = require "rtmetrics.options"

local M = {}

local function base_name()
  return arg[0]:match("([^/]+)%.lua$") or arg[0]
end

--- Ends the program with a message; status 2 is for wrong options.
function M.fail(message, status)
  io.stderr:write(base_name(), ": ", message, "\n")
  os.exit(status or 1)
end

--- The words that start this interpreter, without its script: the lowest index of `arg`.
function M.interpreter()
  local first = 0
  while arg[first - 1] do
    first = first - 1
  end
  return arg[first]
end

--- The folder of the examples, with a slash at its end.
function M.folder()
  return here
end

local function placeholder(option)
  return option.type == "boolean" and "" or option.type == "number" and " N"
    or option.one_of and " " .. table.concat(option.one_of, "|") or " TEXT"
end

local function default_text(option)
  if option.default == nil or option.type == "boolean" then
    return ""
  end
  return (" (default %s)"):format(tostring(option.default))
end

local function help(about)
  local lines = { ("usage: %s %s [options]"):format(M.interpreter(), arg[0]), "", about.text, "" }
  for _, option in ipairs(about.options) do
    local left = "--" .. option.name .. placeholder(option)
    lines[#lines + 1] = ("  %-26s %s%s"):format(left, option.help, default_text(option))
  end
  lines[#lines + 1] = ("  %-26s %s"):format("--help", "this text")
  return table.concat(lines, "\n") .. "\n"
end

local function schema_of(about)
  local schema = {}
  for _, option in ipairs(about.options) do
    schema[option.name] = option
  end
  return schema
end

-- "--name value", "--name=value", and "--name" alone for a boolean. It stops at an unknown name,
-- for the check to refuse.
local function read_words(schema)
  local values, i = {}, 1
  while arg[i] do
    local name, value = arg[i]:match("^%-%-([^=]+)=?(.*)$")
    if not name then
      M.fail(("unexpected argument %q; see --help"):format(arg[i]), 2)
    end
    local option = schema[name]
    local has_value = arg[i]:find("=", 1, true) ~= nil
    if not option then
      return { [name] = true }
    elseif option.type == "boolean" and not has_value then
      value = true
    elseif not has_value then
      i = i + 1
      value = arg[i] or M.fail(("option --%s needs a value"):format(name), 2)
    end
    if option.type == "number" then
      value = tonumber(value) or M.fail(("option --%s must be a number"):format(name), 2)
    end
    values[name], i = value, i + 1
  end
  return values
end

local function wants_help()
  for _, word in ipairs(arg) do
    if word == "--help" or word == "-h" then
      return true
    end
  end
  return false
end

--- The options of this program from its command line. `about` has `text` (who needs the example
-- and what will be seen) and `options`: a list of rules of rtmetrics.options, each with a `name`
-- and a `help` besides. Prints and ends the program on --help (0) and on a wrong option (2).
function M.parse(about)
  if wants_help() then
    io.stdout:write(help(about))
    os.exit(0)
  end
  local schema = schema_of(about)
  local ok, result = pcall(options.check, "options", schema, read_words(schema), 0)
  if not ok then
    M.fail(tostring(result):gsub("^options: ", "") .. "; see --help", 2)
  end
  return result
end

--- The module rtmetrics. It must be loaded before copas, which keeps the coroutine functions that
-- it finds.
function M.load_rtmetrics()
  local ok, rt = pcall(require, "rtmetrics")
  if not ok then
    M.fail(("cannot load rtmetrics; in a checkout, build it first: make LUA=%s\n%s"):format(
      lua_name, tostring(rt)))
  end
  return rt
end

--- The options of an example that has a server on some loop, and an agent to look into it.
M.AGENT_SERVER_OPTIONS = {
  {
    name = "listen", type = "string", default = "127.0.0.1:6060",
    help = "where the agent listens",
  },
  {
    name = "port", type = "number", default = 8080, min = 0, max = 65535, whole = true,
    help = "the server's own port; 0 takes a free one",
  },
  {
    name = "stuck-after", type = "number", default = 10, min = 0,
    help = "get stuck after so many seconds; 0: never",
  },
  { name = "stuck-for", type = "number", default = 10, above = 0, help = "and for so many" },
  { name = "seconds", type = "number", above = 0, help = "end by itself after so long" },
}

--- The command that fetches a page of a running agent: curl's, for a handle of agent.start.
function M.curl(handle, page, words)
  local path = handle.address:match("^unix:(.*)$")
  local where = path and ("--unix-socket %s http://localhost"):format(path)
    or "http://" .. handle.address
  return "curl " .. (words and words .. " " or "") .. where .. page
end

--- Keeps the program to itself for so many seconds, as a mistake in some callback would: no other
-- coroutine gets control, no socket is looked at. False if Ctrl-C ended it; it must not go further
-- then, as loops catch the errors of their callbacks.
function M.get_stuck(seconds)
  local clock = require("rtmetrics").clock
  print(("stuck on purpose for %g s: the loop handles nothing, the agent answers"):format(seconds))
  local ok = pcall(function()
    local ends = clock() + seconds
    while clock() < ends do
    end
  end)
  print(ok and "free again" or "interrupted")
  return ok
end

--- Runs a program's main part; Ctrl-C ends it without a traceback. `finish` runs in any case.
function M.run(main, finish)
  local ok, message = xpcall(main, function(message)
    if tostring(message):find("interrupted!", 1, true) then
      return { interrupted = true }
    end
    return debug.traceback(message, 2)
  end)
  if finish then
    finish()
  end
  if not ok and not (type(message) == "table" and message.interrupted) then
    M.fail(message)
  end
end

--- A host loop by its name: "plain", "copas" or "cqueues".
function M.host(name)
  local ok, host = pcall(function()
    return require("rtmetrics.hosts." .. name).new()
  end)
  if not ok then
    M.fail(("the loop %s cannot be used here: %s"):format(name, tostring(host)))
  end
  return host
end

return M
