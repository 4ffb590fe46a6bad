-- Code that runs in a signal handler lives in *_signal.c; what such an object calls must stand in
-- signal_safe, or be part of another such object:  lua5.4 signals.lua build/5.4 ...
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local source = require "source"

local report = source.report("signals")

local function read_safe()
  local safe = {}
  for line in source.read((arg[0]:gsub("[^/]*$", "signal_safe"))):gmatch("[^\n]+") do
    local name = line:match("^([%w_]+)")
    safe[name or ""] = true
  end
  return safe
end

local function symbols(option, objects)
  local found = {}
  for _, object in ipairs(objects) do
    for _, line in ipairs(source.lines_of("nm " .. option .. " " .. object)) do
      found[line:match("(%S+)$")] = object
    end
  end
  return found
end

local safe = read_safe()
local checked = 0
for _, build in ipairs(arg) do
  local objects = source.lines_of("find " .. build .. "/obj -name '*_signal.o' | LC_ALL=C sort")
  local ours = symbols("-g --defined-only", objects)
  for symbol, object in pairs(symbols("-u", objects)) do
    if not safe[symbol] and not ours[symbol] then
      report.add(object, "calls %s, which is not in .ci/lint/signal_safe", symbol)
    end
  end
  checked = checked + #objects
end
if checked == 0 then
  print("signals: there is no *_signal.c yet")
end
report.finish("%d objects", checked)
