--- Options checked at the door.
--
-- Every public function of rtmetrics that takes an option table describes it once, as a schema, and
-- passes what it got through @{check}: an unknown key, a wrong type or a value out of range raises
-- where the caller can see it.
--
-- A schema maps each option's name to a rule, a table with these fields, all of them optional:
--
-- * `type`: what `type()` must say of the value ("number", "string", "boolean", "function",
--   "table")
-- * `default`: the value when the option is absent
-- * `required`: true if there is no sensible default
-- * `min`, `max`, `above`: bounds of a number; `above` excludes the bound itself
-- * `whole`: true if the number must be an integer
-- * `one_of`: list of the allowed values
-- @module rtmetrics.options

local M = {}

local function sorted_names(schema)
  local names = {}
  for name in pairs(schema) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- One row of the Levenshtein matrix from the row above it.
local function next_row(above, i, byte, b)
  local row = { [0] = i }
  for j = 1, #b do
    local swap = above[j - 1] + (byte == b:byte(j) and 0 or 1)
    row[j] = math.min(above[j] + 1, row[j - 1] + 1, swap)
  end
  return row
end

local function distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    row = next_row(row, i, a:byte(i), b)
  end
  return row[#b]
end

--- The name in a list that is nearest to a word by edit distance; the first one of several equally
-- near.
-- @tparam string word what was written
-- @tparam {string,...} names the known names
-- @treturn string|nil the nearest name; nil if the list is empty
function M.nearest(word, names)
  local best, best_distance
  for _, name in ipairs(names) do
    local d = distance(word, name)
    if not best_distance or d < best_distance then
      best, best_distance = name, d
    end
  end
  return best
end

local function unknown(schema, key)
  local names = sorted_names(schema)
  if #names == 0 then
    return ("unknown option %q; there are no options"):format(tostring(key))
  end
  local nearest = M.nearest(tostring(key), names)
  local known = table.concat(names, ", ")
  return ("unknown option %q, the nearest known is %q (known: %s)"):format(
    tostring(key), nearest, known)
end

local function number_fault(rule, value)
  if value ~= value then
    return "must be a number, not NaN"
  elseif rule.whole and value % 1 ~= 0 then
    return ("must be a whole number, got %s"):format(tostring(value))
  elseif rule.above and value <= rule.above then
    return ("must be above %s, got %s"):format(tostring(rule.above), tostring(value))
  elseif rule.min and value < rule.min then
    return ("must be at least %s, got %s"):format(tostring(rule.min), tostring(value))
  elseif rule.max and value > rule.max then
    return ("must be at most %s, got %s"):format(tostring(rule.max), tostring(value))
  end
end

local function choice_fault(choices, value)
  local shown = {}
  for i, choice in ipairs(choices) do
    if choice == value then
      return nil
    end
    shown[i] = tostring(choice)
  end
  return ("must be one of %s, got %s"):format(table.concat(shown, ", "), tostring(value))
end

local function fault(rule, value)
  if rule.type and type(value) ~= rule.type then
    return ("must be a %s, got %s"):format(rule.type, type(value))
  elseif rule.one_of then
    return choice_fault(rule.one_of, value)
  elseif type(value) == "number" then
    return number_fault(rule, value)
  end
end

--- Checks an option table against a schema.
-- @tparam string where who asks, for the message ("rtmetrics.leak.memory")
-- @tparam table schema see the top of this page
-- @tparam table|nil given the caller's options; nil means none
-- @tparam[opt=3] number level where `error` points: 3 is the caller of the function that calls
-- `check`
-- @treturn table a new table with every given value and the defaults of the others
-- @raise on an unknown option (naming the nearest known one), a wrong type, a value out of range, a
-- missing option
-- @usage local o = options.check("rtmetrics.leak.memory", { interval = { type = "number", default =
-- 30 } }, given)
function M.check(where, schema, given, level)
  level = level or 3
  if given ~= nil and type(given) ~= "table" then
    error(("%s: options must be a table, got %s"):format(where, type(given)), level)
  end
  local result = {}
  for key, value in pairs(given or {}) do
    local rule = schema[key]
    local problem = rule and fault(rule, value)
    if not rule then
      error(("%s: %s"):format(where, unknown(schema, key)), level)
    elseif problem then
      error(("%s: option %q %s"):format(where, key, problem), level)
    end
    result[key] = value
  end
  for _, name in ipairs(sorted_names(schema)) do
    if result[name] == nil then
      if schema[name].required then
        error(("%s: option %q is required"):format(where, name), level)
      end
      result[name] = schema[name].default
    end
  end
  return result
end

--- Checks one positional argument.
-- @tparam string where who asks, for the message ("rtmetrics.filter")
-- @tparam number index the argument's position
-- @tparam string wanted what `type()` must say of it
-- @param value the argument
-- @raise on another type, where the function that calls `check_argument` was called
-- @usage options.check_argument("rtmetrics.filter", 1, "string", prefix)
function M.check_argument(where, index, wanted, value)
  if type(value) ~= wanted then
    error(("%s: argument %d must be a %s, got %s"):format(where, index, wanted, type(value)), 3)
  end
end

return M
