-- The time that a program's start takes longer, from the shared object in the page cache.
return {
  title = "require",
  measures = { { title = "CPU time of require and one VM more", unit = "ms", goal = "5" } },
  measure = function()
    local interpreter = arg[-1]
    local function cost(code)
      local pipe = assert(io.popen(("%s -e %q"):format(interpreter, code)))
      local seconds = tonumber(pipe:read("*a"))
      pipe:close()
      return seconds * 1000
    end
    return cost("local t = os.clock() require 'rtmetrics' print(os.clock() - t)")
  end,
}
