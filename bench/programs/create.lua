-- A program that does nothing but make coroutines, run them once and drop them.
return {
  title = "create, first resume, collect",
  compare = {
    { title = "all on", code = "require 'rtmetrics'", goal = "1.25" },
    { title = "after stop", code = "require('rtmetrics').stop()", goal = "1.02" },
  },
  run = function()
    local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
    local function body() yield() end
    for _ = 1, 500000 do resume(create(body)) end
    collectgarbage()
  end,
}
