--- The reference of the Lua modules, docs/api.md, from their LDoc comments.

local comments = require "generator.comments"

-- In the order of the page: the module's file and what programs usually call it.
local public = {
  { file = "init", called = "rt" },
  { file = "prometheus", called = "prometheus" },
  { file = "agent", called = "agent" },
  { file = "http", called = "http" },
  { file = "leak", called = "leak" },
  { file = "watchdog", called = "watchdog" },
  { file = "hosts/plain", called = "plain" },
  { file = "hosts/copas", called = "copas_host" },
  { file = "hosts/cqueues", called = "cqueues_host" },
}

-- Used through the others: rt.memstats and rt.gcstats; every option table.
local inner = { memstats = true, options = true }

local intro = [[
# The Lua modules

Made by `make docs` from the comments in `lua/rtmetrics/`; do not edit. What each metric means
stands in [metrics.md](metrics.md).

A caller's mistake (a wrong type, an unknown option) raises an error; for an unknown option it names
the nearest known one. What the world refuses (memory, a file) returns `nil` and a message. Times
are in seconds, memory in bytes.
]]

local function with_code_names(text)
  return (text:gsub("@{([^}]+)}", "`%1`"))
end

local function is_code(line)
  return line:match("^   +%S") ~= nil
end

-- The end of the block of code that begins at line `first`; blank lines within belong to it.
local function code_end(lines, first)
  local last = first
  for i = first, #lines do
    if is_code(lines[i]) then
      last = i
    elseif lines[i] ~= "" then
      break
    end
  end
  return last
end

local function add_code(out, lines, first, last)
  local margin = lines[first]:match("^ +")
  out[#out + 1] = "```lua"
  for i = first, last do
    out[#out + 1] = lines[i]:gsub("^" .. margin, "")
  end
  out[#out + 1] = "```"
end

-- Indented lines become a block of Lua.
local function add_text(out, lines)
  local i = 1
  while i <= #lines do
    if is_code(lines[i]) then
      local last = code_end(lines, i)
      add_code(out, lines, i, last)
      i = last
    else
      out[#out + 1] = with_code_names(lines[i])
    end
    i = i + 1
  end
end

local function trimmed(lines)
  local last = #lines
  while last > 0 and lines[last] == "" do
    last = last - 1
  end
  local kept = {}
  for i = 1, last do
    kept[i] = lines[i]
  end
  return kept
end

local function add_paragraphs(out, lines)
  add_text(out, trimmed(lines))
  out[#out + 1] = ""
end

local function type_name(kind)
  kind = kind:gsub("^%?(.*)$", "%1|nil")
  kind = kind:gsub("{(.-),%.%.%.}", function(of)
    return "list of " .. of:gsub("|", " or ")
  end)
  return (kind:gsub("|", " or "))
end

local function arguments(fn)
  local words = {}
  for i, param in ipairs(fn.params) do
    local comma = i > 1 and ", " or ""
    words[i] = param.optional and "[" .. comma .. param.name .. "]" or comma .. param.name
  end
  return #words > 0 and table.concat(words) or fn.args
end

local function signature(called, fn)
  local name = fn.owner and fn.owner:lower() .. ":" .. fn.name or called .. "." .. fn.name
  return fn.args and name .. "(" .. arguments(fn) .. ")" or name
end

local function param_note(param)
  local notes = {}
  notes[#notes + 1] = param.kind and type_name(param.kind)
  notes[#notes + 1] = param.default and "default " .. param.default
    or (param.optional and "optional" or nil)
  return #notes > 0 and " (" .. table.concat(notes, ", ") .. ")" or ""
end

local function add_params(out, params)
  for _, param in ipairs(params) do
    local text = param.text ~= "" and ": " .. with_code_names(param.text) or ""
    out[#out + 1] = "- `" .. param.name .. "`" .. param_note(param) .. text
  end
  if #params > 0 then
    out[#out + 1] = ""
  end
end

local function return_text(value)
  local parts = {}
  parts[#parts + 1] = value.kind and "*" .. type_name(value.kind) .. "*"
  parts[#parts + 1] = value.text ~= "" and with_code_names(value.text) or nil
  return table.concat(parts, " ")
end

-- Values of one group come together; another group is an alternative.
local function returns_text(returns)
  local groups, last = {}, {}
  for _, value in ipairs(returns) do
    if #groups == 0 or value.group ~= last.group then
      groups[#groups + 1] = return_text(value)
    else
      groups[#groups] = groups[#groups] .. ", then " .. return_text(value)
    end
    last = value
  end
  return table.concat(groups, "; or ")
end

local function add_function(out, called, fn)
  out[#out + 1] = "### `" .. signature(called, fn) .. "`"
  out[#out + 1] = ""
  add_paragraphs(out, fn.text)
  add_params(out, fn.params)
  if #fn.returns > 0 then
    out[#out + 1] = "Returns: " .. returns_text(fn.returns) .. "."
    out[#out + 1] = ""
  end
  if fn.raises then
    out[#out + 1] = "Raises: " .. with_code_names(fn.raises) .. "."
    out[#out + 1] = ""
  end
  if fn.usage then
    out[#out + 1] = "```lua"
    for _, line in ipairs(trimmed(fn.usage)) do
      out[#out + 1] = line
    end
    out[#out + 1] = "```"
    out[#out + 1] = ""
  end
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

-- A new module must be put on the page, or be said to be inner.
local function check_all_known(folder)
  local known = {}
  for _, module in ipairs(public) do
    known[module.file] = true
  end
  local pipe = assert(io.popen("cd '" .. folder .. "' && ls *.lua hosts/*.lua"))
  for line in pipe:lines() do
    local file = line:gsub("%.lua$", "")
    if not known[file] and not inner[file] then
      error(("docs/generator/api.lua: %s is neither public nor inner"):format(file))
    end
  end
  pipe:close()
end

local M = {}

--- The page.
-- @tparam string root the checkout
-- @treturn string
function M.page(root)
  local folder = root .. "/lua/rtmetrics"
  check_all_known(folder)
  local out = { intro }
  for _, entry in ipairs(public) do
    local path = folder .. "/" .. entry.file .. ".lua"
    local module = comments.read(path, read_file(path))
    out[#out + 1] = "## " .. module.name
    out[#out + 1] = ""
    add_paragraphs(out, module.text)
    for _, fn in ipairs(module.functions) do
      add_function(out, entry.called, fn)
    end
  end
  return (table.concat(out, "\n"):gsub("\n+$", "\n"))
end

return M
