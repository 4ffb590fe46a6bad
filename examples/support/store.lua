-- A small store of texts by name, behind a protocol of lines: what the line servers of the examples
-- serve.
--
--    set NAME TEXT → ok        get NAME → the text, or "none"        count → how many there are

local MAX_NAMES = 10000

--- The longest line that a client may send, in bytes.
local M = { MAX_LINE = 1024 }

local Store = {}
Store.__index = Store

function Store:set(name, text)
  if not self.texts[name] then
    if self.count >= MAX_NAMES then
      return "error: full"
    end
    self.count = self.count + 1
  end
  self.texts[name] = text
  return "ok"
end

--- The answer to a client's line, both without a newline.
function Store:answer(line)
  self.requests = self.requests + 1
  local verb, rest = line:match("^(%l+) ?(.-)\r?$")
  local name, text = (rest or ""):match("^(%S+) ?(.*)$")
  if verb == "set" and name then
    return self:set(name, text)
  elseif verb == "get" and name then
    return self.texts[name] or "none"
  elseif verb == "count" then
    return tostring(self.count)
  end
  return "error: say set NAME TEXT, get NAME or count"
end

--- An empty store; `requests` counts what it was asked.
function M.new()
  return setmetatable({ texts = {}, count = 0, requests = 0 }, Store)
end

return M
