-- What the checks in Lua share: reading C without its comments and texts, lists of files, commands.

local M = {}

function M.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

function M.lines_of(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do
    lines[#lines + 1] = line
  end
  assert(pipe:close(), "failed: " .. command)
  return lines
end

local function blank(text)
  return (text:gsub("[^\n]", " "))
end

-- The code alone, lines kept in number and length: comments and the insides of texts become blanks.
function M.code_of(text)
  local out, at = {}, 1
  while at <= #text do
    local from = text:find('["\'/]', at)
    if not from then
      break
    end
    out[#out + 1] = text:sub(at, from - 1)
    local two, to = text:sub(from, from + 1), from
    if two == "/*" then
      to = select(2, text:find("*/", from + 2, true))
    elseif two == "//" then
      to = (text:find("\n", from, true) or #text + 1) - 1
    elseif two:sub(1, 1) ~= "/" then
      local quote = two:sub(1, 1)
      repeat
        to = assert(text:find("[\\" .. quote .. "]", to + 1), "open text")
        local escaped = text:sub(to, to) == "\\"
        to = escaped and to + 1 or to
      until not escaped
    end
    to = to or #text
    local piece = text:sub(from, to)
    out[#out + 1] = #piece > 1 and blank(piece) or piece
    at = to + 1
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

-- Calls `each(number, line)` for every line.
function M.each_line(text, each)
  local number = 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    each(number, line)
  end
end

-- Violations are printed as they come; `finish` prints the sum and ends the program.
function M.report(name)
  local count = 0
  local self = {}
  function self.add(where, ...)
    count = count + 1
    print(name .. ": " .. where .. ": " .. string.format(...))
  end
  function self.finish(...)
    print(("%s: %s, %d violations"):format(name, string.format(...), count))
    os.exit(count == 0)
  end
  return self
end

return M
