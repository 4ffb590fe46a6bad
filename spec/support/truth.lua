--- An independent measure of what the collector did: an interpreter with a clock in its
-- collector, built from Debian's sources (truth/build-lua), and programs to run in it.

local run = require "support.run"

local M = {}

local interpreters = {}

--- The path of an interpreter built from Debian's Lua 5.4 sources with compiler `options`;
-- "clocked" has the clock. Returns nil and a message where it cannot be built here.
function M.interpreter(name, options)
  if interpreters[name] == nil then
    local result = run.command(("%s/spec/support/truth/build-lua %s %s"):format(
      run.root(), name, options or ""), { timeout = 300 })
    local path = result.code == 0 and result.out:match("([^\n]+)\n*$")
    interpreters[name] = path or { message = result.err }
  end
  local found = interpreters[name]
  if type(found) == "table" then return nil, found.message end
  return found
end

local function parse(text)
  local result = { truth = {}, ours = {}, machine = {} }
  for side, name, value in text:gmatch("(%a+) ([%w_]+) (%S+)\n") do
    result[side][name] = tonumber(value) or value
  end
  return result
end

--- Runs one of truth/programs.lua in `mode` ("incremental", "generational") in the way of
-- truth/variants.lua, with the clocked interpreter or another one that has the clock. Returns
-- {truth = {name = value}, ours = {name = value}, machine = {waited_s = value}}: names in
-- truth/figures.lua; how long the program had to wait for a CPU.
function M.measure(program, size, mode, variant, interpreter)
  interpreter = interpreter or assert(M.interpreter("clocked"))
  local result = run.command(("exec $RTM_LUA %s/spec/support/truth/measure.lua %s %d %s %s"):format(
    run.root(), program, size, mode, variant or "plain"), { interpreter = interpreter,
      timeout = 240 })
  if result.code ~= 0 or result.signal then
    error(("%s in %s mode: exit status %s, signal %s: %s"):format(program, mode,
      tostring(result.code),
      tostring(result.signal), result.err))
  end
  return parse(result.out)
end

return M
