--- A strict reader of Prometheus text 0.0.4 and OpenMetrics 1.0, written from the formats'
-- descriptions: raises on whatever they do not allow.
--
--    local families, list = prometheus_text.parse(body, "text")
--    families.shop_requests_total.type            --> "counter"
--    prometheus_text.value(families, 'shop_requests_total', { method = "GET" })

local suffixes = {
  counter = { "_total" },
  gauge = { "" },
  histogram = { "_bucket", "_sum", "_count" },
}

local escapes = {
  text_help = { ["\\"] = "\\", n = "\n" },
  openmetrics_help = { ["\\"] = "\\", n = "\n", ['"'] = '"' },
  label = { ["\\"] = "\\", n = "\n", ['"'] = '"' },
}

local function check(condition, line, why)
  if not condition then
    error(("%s: %q"):format(why, line), 0)
  end
  return condition
end

local function unescape(text, allowed, line)
  return (text:gsub("\\(.?)", function(c)
    return check(allowed[c], line, "unknown escape")
  end))
end

local function is_tail(text, first, last)
  for i = first, last do
    local byte = text:byte(i)
    if not byte or byte < 0x80 or byte > 0xbf then
      return false
    end
  end
  return true
end

-- The code point at `i` and the next position; nil where the bytes are not UTF-8.
local function decode(text, i)
  local byte = text:byte(i)
  local count = byte < 0x80 and 0 or byte >= 0xc0 and byte < 0xe0 and 1
    or byte >= 0xe0 and byte < 0xf0 and 2 or byte >= 0xf0 and byte < 0xf8 and 3
  if not count or not is_tail(text, i + 1, i + count) then
    return nil
  end
  local code = count == 0 and byte or byte % 2 ^ (6 - count)
  for k = i + 1, i + count do
    code = code * 64 + text:byte(k) % 64
  end
  local least = ({ [0] = 0, 0x80, 0x800, 0x10000 })[count]
  if code < least or code > 0x10ffff or (code >= 0xd800 and code < 0xe000) then
    return nil
  end
  return code, i + count + 1
end

local function is_utf8(text)
  local i = 1
  while i <= #text do
    local code, following = decode(text, i)
    if not code then
      return false
    end
    i = following
  end
  return true
end

local function number(text, line)
  local special = { NaN = 0 / 0, ["+Inf"] = math.huge, ["-Inf"] = -math.huge }
  local plain = text:match("^[-+]?%d+%.?%d*[eE]?[-+]?%d*$") and tonumber(text)
  return check(special[text] or plain, line, "bad number")
end

-- The end of a quoted text that starts before `from`.
local function find_quote(line, from)
  local i = from
  while true do
    local c = check(line:sub(i, i), line, "open quote")
    check(c ~= "", line, "open quote")
    if c == '"' then
      return i
    end
    i = i + (c == "\\" and 2 or 1)
  end
end

local function parse_labels(line, at)
  local labels = {}
  while line:sub(at, at) ~= "}" do
    local name, first = line:match('^([%a_][%w_]*)="()', at)
    check(name, line, "bad label name")
    check(labels[name] == nil, line, "label twice")
    local last = find_quote(line, first)
    labels[name] = unescape(line:sub(first, last - 1), escapes.label, line)
    at = last + 1
    if line:sub(at, at) == "," then
      at = at + 1
      check(line:sub(at, at) ~= "}", line, "comma before the brace")
    else
      check(line:sub(at, at) == "}", line, "no comma")
    end
  end
  return labels, at + 1
end

local function parse_sample(line)
  local name, at = line:match("^([%a_:][%w_:]*)()")
  check(name, line, "bad sample name")
  local labels = {}
  if line:sub(at, at) == "{" then
    labels, at = parse_labels(line, at + 1)
  end
  local text = line:match("^ ([^ ]+)$", at)
  check(text, line, "no value")
  return { name = name, labels = labels, value = number(text, line), text = text }
end

local function key_of(sample)
  local parts = { sample.name }
  local names = {}
  for name in pairs(sample.labels) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    parts[#parts + 1] = name .. "=" .. #sample.labels[name] .. ":" .. sample.labels[name]
  end
  return table.concat(parts, ";")
end

local function owns(family, sample_name, format)
  local base = family.name
  if format == "text" and family.type == "counter" then
    return sample_name == base
  end
  for _, suffix in ipairs(check(suffixes[family.type], base, "unknown type")) do
    if sample_name == base .. suffix then
      return true
    end
  end
  return false
end

local function canonical_le(text)
  if text == "+Inf" then
    return true
  end
  return text:match("^%-?%d+%.%d+$") or text:match("^%-?%d%.?%d*e[-+]%d%d+$")
end

-- Buckets of one label set come in a row, rise, and end with +Inf, which equals the count.
local function check_histogram(family, format)
  local last_le, last_count
  for _, sample in ipairs(family.samples) do
    local line = key_of(sample)
    if sample.name == family.name .. "_bucket" then
      local text = check(sample.labels.le, line, "no le")
      check(format == "text" or canonical_le(text), line, "le is not canonical")
      local le = number(text, line)
      if last_le and last_le < math.huge then
        check(le > last_le and sample.value >= last_count, line, "buckets do not rise")
      end
      last_le, last_count = le, sample.value
    else
      check(last_le == math.huge, line, "no +Inf")
      if sample.name == family.name .. "_count" then
        check(sample.value == last_count, line, "count differs from +Inf")
        last_le = nil
      end
    end
  end
end

local function check_counter(family)
  for _, sample in ipairs(family.samples) do
    check(sample.value >= 0, key_of(sample), "a counter below 0 or NaN")
  end
end

local checks = { histogram = check_histogram, counter = check_counter }

local function finish(state, family)
  if not family then
    return
  end
  check(family.type, family.name, "no TYPE")
  check(#family.samples > 0, family.name, "a header without samples")
  if checks[family.type] then
    checks[family.type](family, state.format)
  end
end

local function start_family(state, name, line)
  if state.family and state.family.name == name then
    check(#state.family.samples == 0, line, "header after samples")
    return state.family
  end
  finish(state, state.family)
  check(not state.families[name], line, "family twice")
  state.family = { name = name, samples = {} }
  state.families[name] = state.family
  state.list[#state.list + 1] = state.family
  return state.family
end

local fields = { HELP = "help", TYPE = "type", UNIT = "unit" }

local function parse_header(state, line)
  local keyword, name, text = line:match("^# (%u+) ([%a_:][%w_:]*) (.*)$")
  local field = check(fields[keyword], line, "unknown comment")
  check(keyword ~= "UNIT" or state.format == "openmetrics", line, "UNIT in 0.0.4")
  local family = start_family(state, name, line)
  check(not family[field], line, "given twice")
  if field == "help" then
    text = unescape(text, escapes[state.format .. "_help"], line)
  elseif field == "unit" then
    check(name:sub(-#text - 1) == "_" .. text, line, "unit is not the name's suffix")
  end
  family[field] = text
end

local function parse_line(state, line)
  check(not state.ended, line, "text after # EOF")
  if line == "# EOF" then
    check(state.format == "openmetrics", line, "# EOF in 0.0.4")
    state.ended = true
  elseif line:sub(1, 1) == "#" then
    parse_header(state, line)
  else
    local sample = parse_sample(line)
    check(state.family and owns(state.family, sample.name, state.format), line, "strange sample")
    local key = key_of(sample)
    check(not state.seen[key], line, "sample twice")
    state.seen[key] = true
    table.insert(state.family.samples, sample)
  end
end

local M = {}

--- Reads a document.
-- @tparam string body
-- @tparam string format "text" or "openmetrics"
-- @treturn table families by name: name, type, help, unit, samples ({name, labels, value, text})
-- @treturn table the same in order
function M.parse(body, format)
  check(is_utf8(body), body:sub(1, 80), "not UTF-8")
  check(body == "" or body:sub(-1) == "\n", body:sub(-80), "no line feed at the end")
  local state = { format = format, families = {}, list = {}, seen = {} }
  for line in body:gmatch("([^\n]*)\n") do
    parse_line(state, line)
  end
  finish(state, state.family)
  check(format ~= "openmetrics" or state.ended, body:sub(-80), "no # EOF")
  return state.families, state.list
end

--- The sample of this name with exactly these labels.
-- @treturn ?number
function M.value(families, name, labels)
  local sought = key_of({ name = name, labels = labels or {} })
  for _, family in pairs(families) do
    for _, sample in ipairs(family.samples) do
      if key_of(sample) == sought then
        return sample.value
      end
    end
  end
end

M.is_utf8 = is_utf8

return M
