-- Calls that we do not make, and why: lua5.4 banned.lua FILE.c ...
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local source = require "source"

local own_memory = "our memory comes from ground/memory.h"
local unbounded = "it knows no end of the buffer"
local longjmp = "only vm/ and the files l*.c of a binding may raise"

local banned = {
  malloc = own_memory,
  calloc = own_memory,
  realloc = own_memory,
  free = own_memory,
  strdup = own_memory,
  sprintf = unbounded,
  vsprintf = unbounded,
  strcpy = unbounded,
  strcat = unbounded,
  gets = unbounded,
  strtok = "it has a hidden state",
  localtime = "its result is shared by all threads",
  gmtime = "its result is shared by all threads",
  system = "it starts a shell and changes signals",
  signal = "sigaction says what happens, signal does not",
  luaL_error = longjmp,
  luaL_argerror = longjmp,
  lua_error = longjmp,
}

local function is_allowed(path, name)
  if banned[name] == own_memory then
    -- In vm/ it is Lua's memory that passes through.
    return path == "src/ground/memory.c" or path == "src/vm/alloc.c"
      or path == "src/vm/stock_alloc.c"
  elseif banned[name] == longjmp then
    return path:find("^src/vm/") or path:find("^src/bindings/l") or path:find("^src/agent/l")
  end
end

local report = source.report("banned")
for _, path in ipairs(arg) do
  source.each_line(source.code_of(source.read(path)), function(number, line)
    for before, name in line:gmatch("(.?)%f[%w_]([%a_][%w_]*)%s*%(") do
      -- A member of that name is somebody's function pointer.
      if banned[name] and before ~= "." and before ~= ">" and not is_allowed(path, name) then
        report.add(path .. ":" .. number, "%s: %s", name, banned[name])
      end
    end
  end)
end
report.finish("%d files", #arg)
