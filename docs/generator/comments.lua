--- Reads the LDoc comments of a module: what it is, and its public functions.
--
-- A comment begins with three dashes at the line's start and goes on as long as lines begin with
-- two. It belongs to the function below it, or to the one that its `@function` names.

local M = {}

local function split_lines(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

-- The text before the first tag, and the tags in their order: {name, group, text}. `[1]` after a
-- tag's name numbers alternatives, `[opt=5]` says that there is a default.
local function parse_block(lines)
  local block = { text = {}, tags = {} }
  local into = block.text
  for _, line in ipairs(lines) do
    local name, modifier, rest = line:match("^@(%a+)(%b[])%s*(.*)$")
    if not name then
      name, rest = line:match("^@(%a+)%s*(.*)$")
    end
    if name then
      into = { rest }
      block.tags[#block.tags + 1] = {
        name = name, modifier = modifier and modifier:sub(2, -2), lines = into,
      }
    else
      into[#into + 1] = line
    end
  end
  return block
end

-- What the line below a comment defines: {name = "start", args = "chosen"} of a module's function,
-- with `owner = "Watchdog"` of a method, without `args` of a value.
local function defined_by(line)
  local owner, name, args = line:match("^function ([%w_]+)[.:]([%w_]+)%((.-)%)")
  if owner then
    return { owner = owner ~= "M" and owner or nil, name = name, args = (args:gsub("^_, ", "")) }
  end
  local assigned
  name, assigned = line:match("^M%.([%w_]+) = (.)")
  return name and { name = name, args = assigned ~= '"' and "" or nil }
end

local function find_tag(block, name)
  for _, tag in ipairs(block.tags) do
    if tag.name == name then
      return tag.lines[1]
    end
  end
end

-- The first word, as LDoc writes types: no blanks but inside of braces.
local function take_type(text)
  local kind, rest = text:match("^(%b{}%S*)%s*(.*)$")
  if not kind then
    kind, rest = text:match("^(%S+)%s*(.*)$")
  end
  return kind or "", rest or ""
end

local function joined(lines)
  local words = {}
  for _, line in ipairs(lines) do
    words[#words + 1] = line:match("^%s*(.-)%s*$")
  end
  return (table.concat(words, " "):gsub("%s+$", ""))
end

local readers = {}

function readers.tparam(into, tag)
  local kind, rest = take_type(joined(tag.lines))
  local name, text = rest:match("^(%S+)%s*(.*)$")
  into.params[#into.params + 1] = {
    name = name, kind = kind, text = text,
    optional = tag.modifier ~= nil, default = (tag.modifier or ""):match("^opt=(.*)$"),
  }
end

function readers.param(into, tag)
  local name, text = joined(tag.lines):match("^(%S+)%s*(.*)$")
  into.params[#into.params + 1] = { name = name, text = text }
end

function readers.treturn(into, tag)
  local kind, text = take_type(joined(tag.lines))
  into.returns[#into.returns + 1] = { kind = kind, text = text, group = tag.modifier }
end

readers["return"] = function(into, tag)
  into.returns[#into.returns + 1] = { text = joined(tag.lines), group = tag.modifier }
end

function readers.raise(into, tag)
  into.raises = joined(tag.lines)
end

function readers.usage(into, tag)
  into.usage = tag.lines
end

readers["function"] = function() end

local function function_of(block, defined, path)
  local found = {
    name = defined.name, owner = defined.owner, args = defined.args,
    text = block.text, params = {}, returns = {},
  }
  for _, tag in ipairs(block.tags) do
    local read = readers[tag.name]
      or error(("%s: %s: the tag @%s is not understood"):format(path, defined.name, tag.name))
    read(found, tag)
  end
  return found
end

-- Calls `each(lines of the comment, line below it)`.
local function each_comment(text, each)
  local lines, i = split_lines(text), 1
  while i <= #lines do
    local first = lines[i]:match("^%-%-%-%s?(.*)$")
    i = i + 1
    if first then
      local comment = { first }
      while (lines[i] or ""):match("^%-%-") do
        comment[#comment + 1] = lines[i]:match("^%-%-%s?(.*)$")
        i = i + 1
      end
      each(comment, lines[i] or "")
    end
  end
end

--- What the comments of one file say.
-- @tparam string path for messages
-- @tparam string text the file's text
-- @treturn table `name` and `text` (lines) of the module, `functions`: a list of tables with
-- `name`, `owner` (of a method), `args` (text; nil: it is no function), `text` (lines), `params`
-- (`name`, `kind`, `text`, `optional`, `default`), `returns` (`kind`, `text`, `group`), `raises`,
-- `usage` (lines)
-- @raise a tag that is not understood, or a file without a module's comment
function M.read(path, text)
  local module = { functions = {} }
  each_comment(text, function(comment, below)
    local block = parse_block(comment)
    local name, documented = find_tag(block, "module"), find_tag(block, "function")
    local owner, method = (documented or ""):match("^(%w+):(%w+)$")
    local defined = documented and { owner = owner, name = method or documented, args = "" }
      or defined_by(below)
    if name then
      module.name, module.text = name, block.text
    elseif defined then
      module.functions[#module.functions + 1] = function_of(block, defined, path)
    end
  end)
  if not module.name then
    error(path .. ": no comment with @module")
  end
  return module
end

return M
