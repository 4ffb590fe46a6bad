-- A program that does nothing but switch between two coroutines.
return {
  title = "ping-pong",
  compare = {
    { title = "all on", code = "require 'rtmetrics'", goal = "1.20" },
    { title = "after stop", code = "require('rtmetrics').stop()", goal = "1.02" },
  },
  run = function()
    local yield, resume = coroutine.yield, coroutine.resume
    local pong = coroutine.create(function(value) while true do value = yield(value) end end)
    for i = 1, 4000000 do resume(pong, i) end
  end,
}
