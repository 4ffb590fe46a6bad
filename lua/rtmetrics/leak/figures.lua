--- How the detectors write figures for people: "12.4 MiB", "12 min", "1,034".

local M = {}

local MIB = 1024 * 1024

-- Seconds below the first bound are shown in the unit beside it.
local DURATIONS = {
  { below = 120, seconds = 1, unit = "s" },
  { below = 2 * 3600, seconds = 60, unit = "min" },
  { below = 2 * 86400, seconds = 3600, unit = "h" },
  { below = math.huge, seconds = 86400, unit = "days" },
}

--- A whole number with a comma between thousands.
function M.count(n)
  local digits = ("%.0f"):format(n)
  local sign, rest = digits:match("^(%-?)(%d+)$")
  if not rest then
    return digits
  end
  rest = rest:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return sign .. rest
end

--- Bytes as MiB without the unit.
function M.mib_number(bytes)
  return ("%.1f"):format(bytes / MIB)
end

--- Bytes as MiB.
function M.mib(bytes)
  return M.mib_number(bytes) .. " MiB"
end

--- Bytes a second as MiB/s; small rates keep two significant digits.
function M.mib_rate(bytes_s)
  local rate = bytes_s / MIB
  return (math.abs(rate) < 0.095 and "%.2g MiB/s" or "%.2f MiB/s"):format(rate)
end

--- Seconds in the unit that people would use; under ten of them with a decimal.
function M.duration(seconds)
  for _, step in ipairs(DURATIONS) do
    if seconds < step.below then
      local n = math.floor(seconds / step.seconds * 10 + 0.5) / 10
      return (n < 10 and n % 1 > 0 and "%.1f %s" or "%.0f %s"):format(n, step.unit)
    end
  end
  return "forever"
end

return M
