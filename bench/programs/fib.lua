-- A program that does nothing but call.
local function fib(n)
  if n < 2 then return n end
  return fib(n - 1) + fib(n - 2)
end

return {
  title = "fib",
  compare = {
    { title = "all on", code = "require 'rtmetrics'", goal = "1.01" },
    { title = "after stop", code = "require('rtmetrics').stop()", goal = "1.02" },
  },
  run = function() assert(fib(32) == 2178309) end,
}
