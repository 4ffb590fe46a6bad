-- The metrics that the kernel is asked for.
local timing = require "timing"

return {
  title = "read of all process metrics",
  measures = {
    { title = "time", unit = "us", goal = "100" },
    { title = "garbage", unit = "bytes", goal = "0" },
  },
  measure = function(rt)
    local names = {}
    for _, description in ipairs(rt.all()) do
      if description.name:find("^/process/") then names[#names + 1] = description.name end
    end
    local samples = rt.read(names)
    local function read() rt.read(samples) end
    return timing.nanoseconds(read) / 1000, timing.garbage(read)
  end,
}
