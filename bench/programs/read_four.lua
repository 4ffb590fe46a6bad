-- What a program pays that looks at four figures of its VM all the time.
local timing = require "timing"

return {
  title = "read of 4 VM metrics",
  measures = {
    { title = "time", unit = "ns", goal = "300" },
    { title = "garbage", unit = "bytes", goal = "0" },
  },
  measure = function(rt)
    local samples = rt.read {
      "/gc/heap/allocs:bytes", "/gc/heap/frees:bytes", "/gc/cycles/total:gc-cycles",
        "/sched/coroutines:coroutines",
    }
    local function read() rt.read(samples) end
    return timing.nanoseconds(read), timing.garbage(read)
  end,
}
