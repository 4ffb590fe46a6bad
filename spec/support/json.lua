--- A strict reader of JSON, written from RFC 8259: raises on whatever that does not allow.
--
--    local value = json.parse(text)
--
-- null is `json.null`; objects and arrays are tables. A name that comes twice in an object raises.

local M = { null = setmetatable({}, { __tostring = function() return "null" end }) }

local ESCAPES = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/",
  b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}

local WORDS = { ["true"] = true, ["false"] = false, null = M.null }

local parse_value

local function fail(text, at, why)
  error(("JSON, byte %d: %s: %q"):format(at, why, text:sub(at, at + 30)), 0)
end

local function skip(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

local function expect(text, at, wanted)
  if text:sub(at, at) ~= wanted then
    fail(text, at, wanted .. " expected")
  end
  return at + 1
end

local function utf8_of(code)
  if code < 0x80 then
    return string.char(code)
  elseif code < 0x800 then
    return string.char(0xc0 + math.floor(code / 64), 0x80 + code % 64)
  end
  return string.char(0xe0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64,
    0x80 + code % 64)
end

local function parse_escape(text, at)
  local plain = ESCAPES[text:sub(at, at)]
  if plain then
    return plain, at + 1
  end
  local digits = text:match("^u(%x%x%x%x)", at) or fail(text, at, "unknown escape")
  return utf8_of(tonumber(digits, 16)), at + 5
end

local function parse_text(text, at)
  local parts = {}
  at = expect(text, at, '"')
  while text:sub(at, at) ~= '"' do
    local plain = text:match('^[^%c"\\]+', at)
    if plain then
      parts[#parts + 1], at = plain, at + #plain
    else
      at = expect(text, at, "\\")
      parts[#parts + 1], at = parse_escape(text, at)
    end
  end
  return table.concat(parts), at + 1
end

-- Whole numbers keep their digits where Lua has integers.
local function parse_number(text, at)
  local number = text:match("^%-?%d+%.?%d*[eE]?[+-]?%d*", at) or fail(text, at, "a value expected")
  local whole = number:match("^%-?(%d+)")
  local rest = number:match("^%-?%d+(.*)$")
  local is_whole = whole == "0" or whole:sub(1, 1) ~= "0"
  local is_rest = rest == "" or rest:find("^%.%d+$") or rest:find("^%.?%d*[eE][+-]?%d+$")
  if not is_whole or not is_rest or rest:find("^%.[eE]") then
    fail(text, at, "no number")
  end
  return tonumber(number), at + #number
end

-- The members between two brackets; `member` takes one and returns where it ends.
local function parse_members(text, at, closing, member)
  at = skip(text, at + 1)
  if text:sub(at, at) == closing then
    return at + 1
  end
  while true do
    at = skip(text, member(skip(text, at)))
    if text:sub(at, at) == closing then
      return at + 1
    end
    at = expect(text, at, ",")
  end
end

local function parse_object(text, at)
  local object = {}
  return object, parse_members(text, at, "}", function(from)
    local name, value
    name, from = parse_text(text, from)
    if object[name] ~= nil then
      fail(text, from, "the name " .. name .. " comes twice")
    end
    from = expect(text, skip(text, from), ":")
    value, from = parse_value(text, skip(text, from))
    object[name] = value
    return from
  end)
end

local function parse_array(text, at)
  local array = {}
  return array, parse_members(text, at, "]", function(from)
    array[#array + 1], from = parse_value(text, from)
    return from
  end)
end

function parse_value(text, at)
  local first = text:sub(at, at)
  local word = text:match("^%l+", at)
  if first == "{" then
    return parse_object(text, at)
  elseif first == "[" then
    return parse_array(text, at)
  elseif first == '"' then
    return parse_text(text, at)
  elseif WORDS[word] ~= nil then
    return WORDS[word], at + #word
  end
  return parse_number(text, at)
end

--- Reads a text.
-- @tparam string text
-- @return the value
-- @raise what is no JSON
function M.parse(text)
  local value, at = parse_value(text, skip(text, 1))
  if skip(text, at) <= #text then
    fail(text, at, "more than one value")
  end
  return value
end

return M
