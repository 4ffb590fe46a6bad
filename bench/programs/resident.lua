-- Memory: of the module at rest, and of each living coroutine that it knows.
local function private_bytes(code)
  local prints = [[
    collectgarbage() collectgarbage()
    local private = 0
    for line in io.lines("/proc/self/smaps_rollup") do
      private = private + (tonumber(line:match("^Private_%a+:%s*(%d+) kB")) or 0)
    end
    print(private * 1024)]]
  local pipe = assert(io.popen(("%s -e '%s'"):format(arg[-1], (code .. prints):gsub("'", "\""))))
  local bytes = tonumber(pipe:read("*a"))
  pipe:close()
  return bytes
end

return {
  title = "resident memory",
  measures = {
    { title = "the module", unit = "KiB", goal = "1024" },
    { title = "per live coroutine", unit = "bytes", goal = "128" },
  },
  measure = function()
    local load_it = "require 'rtmetrics' "
    local make = "kept = {} for i = 1, 100000 do kept[i] = coroutine.create(print) end "
    local module = private_bytes(load_it) - private_bytes("")
    local coroutines = private_bytes(load_it .. make) - private_bytes(make) - module
    return module / 1024, coroutines / 100000
  end,
}
