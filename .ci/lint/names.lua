-- What each object shares must carry its file's name; a module exports its luaopen_* alone, and
-- needs no symbol of another one of ours:
--   lua5.4 names.lua build/5.4 ...
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local source = require "source"

local report = source.report("names")

-- One header, vm.h, is implemented once for each Lua.
local implements_vm = { puc54 = true, puc53 = true, puc51 = true, luajit = true }

local function is_well_named(folder, file, symbol)
  if implements_vm[file] and folder == "vm" then
    file = "vm"
  end
  local stem = "rtm_" .. file
  return symbol == stem
    or symbol:sub(1, #stem + 1) == stem .. "_"
    or (folder == "bindings" or folder == "agent") and symbol:find("^luaopen_rtmetrics_")
end

local function check_objects(build)
  local objects = source.lines_of(
    "cd " .. build .. "/obj && find . -name '*.o' | sed 's|^./||' | LC_ALL=C sort")
  for _, object in ipairs(objects) do
    local folder, file = object:match("^([^/]+)/([^/]+)%.o$")
    for _, line in ipairs(source.lines_of("nm -g --defined-only " .. build .. "/obj/" .. object)) do
      local symbol = line:match("%s%u%s(%S+)$")
      if symbol and not is_well_named(folder, file, symbol) then
        report.add("src/" .. folder .. "/" .. file .. ".c", "%s should be rtm_%s_...", symbol, file)
      end
    end
  end
  return #objects
end

local function check_exports(module, entry)
  local exports = 0
  for _, line in ipairs(source.lines_of("nm -D --defined-only " .. module)) do
    local symbol = line:match("%s%u%s(%S+)$")
    exports = exports + 1
    if symbol ~= entry then
      report.add(module, "exports %s", tostring(symbol))
    end
  end
  if exports == 0 then
    report.add(module, "exports no %s", entry)
  end
end

local function check_needs(module)
  for _, line in ipairs(source.lines_of("nm -D --undefined-only " .. module)) do
    local symbol = line:match("(%S+)$")
    if symbol:find("^rtm_") then
      report.add(module, "needs %s, which no module exports", symbol)
    end
  end
end

local function check_modules(build)
  local modules = source.lines_of(
    "cd " .. build .. "/lib && find . -name '*.so' | sed 's|^./||' | LC_ALL=C sort")
  for _, path in ipairs(modules) do
    local module = build .. "/lib/" .. path
    check_exports(module, "luaopen_" .. path:gsub("%.so$", ""):gsub("/", "_"))
    check_needs(module)
  end
  return #modules
end

local objects, modules = 0, 0
for _, build in ipairs(arg) do
  objects = objects + check_objects(build)
  modules = modules + check_modules(build)
end
report.finish("%d objects, %d modules", objects, modules)
