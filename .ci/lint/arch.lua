-- Who may know whom: the includes of src/ against the table in src/README.md; no circle between
-- units (x.c and x.h are one unit); the headers and the version of Lua only where a Lua is
-- somebody's subject.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local source = require "source"

local report = source.report("arch")

-- {folder = {may = {[folder or file] = true}, alone = files do not use each other}}
local function read_table()
  local rules = {}
  for line in source.read("src/README.md"):gmatch("[^\n]+") do
    local folder, knows, may = line:match("^|%s*([%w]+)%s*|([^|]*)|([^|]*)|")
    if folder and folder ~= "folder" then
      local alone = knows:find("none knows another", 1, true)
      rules[folder] = { may = { [folder] = true }, alone = alone }
      for word in may:gmatch("%S+") do
        rules[folder].may[word] = true
      end
    end
  end
  assert(next(rules), "no table in src/README.md")
  return rules
end

local function unit_of(path)
  return (path:gsub("%.[ch]$", ""))
end

-- Everybody but a VM's own code and a binding says `struct lua_State *` and never looks inside.
local function may_see_lua(path)
  return path:find("^vm/") or path:find("^bindings/l") or path:find("^agent/l")
end

-- A single header that a folder may include brings what it includes itself.
local function brings(may, target)
  local line = '#include "' .. target .. '"'
  for word in pairs(may) do
    if word:find("%.h$") and source.read("src/" .. word):find(line, 1, true) then
      return true
    end
  end
end

local function may_include(rules, path, target)
  local may = rules[path:match("^[^/]+")].may
  return may[target:match("^[^/]+")] or may[target] or brings(may, target)
    or target == "vm/compat.h" and may_see_lua(path)
end

local function check_quoted(rules, path, where, target)
  local from, to = path:match("^[^/]+"), target:match("^([^/]+)/")
  if not to or not rules[to] then
    report.add(where, "\"%s\" is not written from src/", target)
  elseif not may_include(rules, path, target) then
    report.add(where, "%s may not include %s", from, target)
  elseif from == to and rules[from].alone and unit_of(path) ~= unit_of(target) then
    report.add(where, "files of %s do not know each other, but this includes %s", from, target)
  elseif target == "vm/compat.h" and not may_see_lua(path) then
    report.add(where, "vm/compat.h is for vm/ and for files l*.c of a binding")
  end
end

local lua_headers = {
  ["lua.h"] = true,
  ["lauxlib.h"] = true,
  ["lualib.h"] = true,
  ["luajit.h"] = true,
}

local function check_system(path, where, target)
  if lua_headers[target] and path ~= "vm/compat.h" then
    report.add(where, "%s is reached through vm/compat.h only", target)
  end
end

local function check_includes(rules, path, text, uses)
  source.each_line(text, function(number, line)
    local where = "src/" .. path .. ":" .. number
    local quoted = line:match('^%s*#%s*include%s*"([^"]+)"')
    if quoted then
      check_quoted(rules, path, where, quoted)
      uses[unit_of(quoted)] = unit_of(quoted) ~= unit_of(path) and where or nil
    end
    local system = line:match("^%s*#%s*include%s*<([^>]+)>")
    if system then
      check_system(path, where, system)
    end
  end)
end

local function check_words(path, text)
  source.each_line(source.code_of(text), function(number, line)
    local where = "src/" .. path .. ":" .. number
    local word = line:match("LUA_VERSION_NUM") or line:match("LUAJIT_VERSION%w*")
    if word and not path:find("^vm/") then
      report.add(where, "%s: only vm/ knows which Lua this is", word)
    end
    if path:find("%.c$") and line:find("^%s*extern%s") then
      report.add(where, "an extern here hides a use from its header")
    end
  end)
end

local function sorted_keys(set)
  local keys = {}
  for key in pairs(set or {}) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

local function circle_from(path, target)
  local first = 1
  while path[first] ~= target do
    first = first + 1
  end
  return table.concat(path, " -> ", first) .. " -> " .. target
end

-- Walks the uses depth first; a unit met again while it is open closes a circle.
local function find_circles(uses)
  local state, path = {}, {}
  local function visit(unit)
    state[unit] = "open"
    path[#path + 1] = unit
    for _, target in ipairs(sorted_keys(uses[unit])) do
      if state[target] == "open" then
        report.add(uses[unit][target], "a circle: %s", circle_from(path, target))
      elseif not state[target] then
        visit(target)
      end
    end
    path[#path] = nil
    state[unit] = "done"
  end
  for _, unit in ipairs(sorted_keys(uses)) do
    if not state[unit] then
      visit(unit)
    end
  end
end

local rules = read_table()
local files = source.lines_of("cd src && find . -name '*.[ch]' | sed 's|^./||' | LC_ALL=C sort")
local uses = {}
for _, path in ipairs(files) do
  local unit, text = unit_of(path), source.read("src/" .. path)
  uses[unit] = uses[unit] or {}
  if rules[path:match("^[^/]+")] then
    check_includes(rules, path, text, uses[unit])
    check_words(path, text)
  else
    report.add("src/" .. path, "its folder is not in src/README.md")
  end
end
find_circles(uses)
report.finish("%d files", #files)
