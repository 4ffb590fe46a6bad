-- All metrics that need no system call, histograms included: all but the process's.
local timing = require "timing"

return {
  title = "read of all metrics without system calls",
  measures = {
    { title = "time", unit = "us", goal = "3" },
    { title = "garbage", unit = "bytes", goal = "0" },
  },
  measure = function(rt)
    local names = {}
    for _, description in ipairs(rt.all()) do
      local name = description.name
      local asks_system = name:find("^/process/") or name == "/cpu/classes/total:cpu-seconds"
        or name == "/sched/threads/total:threads"
      if not asks_system then names[#names + 1] = name end
    end
    local samples = rt.read(names)
    local function read() rt.read(samples) end
    return timing.nanoseconds(read) / 1000, timing.garbage(read)
  end,
}
