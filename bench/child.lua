-- One run for run.lua: child.lua PROGRAM run|measure [SETUP CODE]; prints the CPU seconds of the
-- program, or what it measured.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local program = require("programs." .. arg[1])
if arg[2] == "run" then
  assert((loadstring or load)(arg[3]))() -- luacheck: ignore loadstring (5.1)
  local started = os.clock()
  program.run()
  print(os.clock() - started)
else
  print(program.measure(require "rtmetrics"))
end
