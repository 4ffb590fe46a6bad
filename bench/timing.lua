--- Timing of one short operation.

local M = {}

--- Nanoseconds of CPU time that one call of `f` takes, over at least `seconds` (0.2).
function M.nanoseconds(f, seconds)
  local calls = 1
  while true do
    local started = os.clock()
    for _ = 1, calls do f() end
    local elapsed = os.clock() - started
    if elapsed >= (seconds or 0.2) then return elapsed / calls * 1e9 end
    calls = calls * 2
  end
end

--- Bytes of Lua memory that one call of `f` leaves behind as garbage.
function M.garbage(f)
  f()
  collectgarbage()
  collectgarbage("stop")
  local before = collectgarbage("count")
  for _ = 1, 100 do f() end
  local after = collectgarbage("count")
  collectgarbage("restart")
  return (after - before) * 1024 / 100
end

return M
