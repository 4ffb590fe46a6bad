-- What busted prints in our runs: each failure with its place and message, each skip with its
-- reason. The counts go to the file that RTM_COUNTS names, as "passed failed skipped".

local function place(item)
  local trace = item.element.trace or item.trace
  if not trace or not trace.short_src then
    return "?"
  end
  return trace.short_src .. ":" .. tostring(trace.currentline)
end

local function text_of(message)
  if message == nil then
    return "no message"
  end
  return (tostring(message):gsub("\n", "\n      "))
end

local function list(heading, items)
  for _, item in ipairs(items) do
    io.write(("  %s %s (%s)\n      %s\n"):format(
      heading, item.name, place(item), text_of(item.message)))
    if item.isError and item.trace and item.trace.traceback then
      io.write("      ", text_of(item.trace.traceback), "\n")
    end
  end
end

local function list_skips(items)
  for _, item in ipairs(items) do
    io.write(("  SKIPPED %s: %s\n"):format(item.name, text_of(item.message)))
  end
end

local counts_path = os.getenv("RTM_COUNTS")

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text, "\n")
  assert(file:close())
end

return function()
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()

  -- A crash or a hang leaves no word of its own: the note says where it happened.
  local function test_start(element)
    if counts_path then
      write_file(counts_path .. ".now", "in: " .. handler.getFullName(element))
    end
    return nil, true
  end

  local function suite_end()
    list_skips(handler.pendings)
    list("FAILED", handler.failures) -- last, as the end of a long log is what is shown
    list("ERROR", handler.errors)
    local failed = handler.failuresCount + handler.errorsCount
    if counts_path then
      write_file(
        counts_path,
        ("%d %d %d"):format(handler.successesCount, failed, handler.pendingsCount)
      )
      os.remove(counts_path .. ".now")
    else
      print(("%d passed, %d failed, %d skipped"):format(
        handler.successesCount, failed, handler.pendingsCount))
    end
    return nil, true
  end

  busted.subscribe({ "test", "start" }, test_start)
  busted.subscribe({ "suite", "end" }, suite_end)
  return handler
end
