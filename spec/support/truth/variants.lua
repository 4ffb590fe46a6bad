--- Ways to run a program while its user plays with the collector: each takes the program and its
-- size.

local M = {}

function M.plain(program, size) return program(size) end

function M.collects(program, size)
  for _ = 1, 8 do
    program(math.ceil(size / 8))
    collectgarbage("collect")
  end
end

function M.steps(program, size)
  for i = 1, 20 do
    program(math.ceil(size / 20))
    collectgarbage("step", i % 3 * 50)
  end
end

function M.stop_and_restart(program, size)
  local part = math.ceil(size / 8)
  for _ = 1, 4 do
    program(part)
    collectgarbage("stop")
    program(math.ceil(part / 2))
    collectgarbage("restart")
    program(part)
  end
end

function M.stopped_steps(program, size)
  collectgarbage("stop")
  for i = 1, 20 do
    program(math.ceil(size / 20))
    collectgarbage("step", i % 2 * 100)
  end
  collectgarbage("restart")
end

function M.mode_changes(program, size)
  for i = 1, 8 do
    collectgarbage(i % 2 == 0 and "incremental" or "generational")
    program(math.ceil(size / 8))
  end
end

function M.in_a_coroutine(program, size)
  coroutine.wrap(function() program(size) end)()
end

return M
