--- What rtmetrics costs: every program of bench/programs, bare and instrumented in turn.
--
--    bench/run.lua [--pairs=N] [PROGRAM ...]
--
-- A program file returns a table. With `compare` it is a whole program, run as a child without
-- and with each setup, one after the other; what is compared is its CPU time, printed is the
-- median of the ratios, their spread and the goal. With `measure` it is a question about
-- rtmetrics itself, asked in a child, answered by numbers. Goals are printed, never enforced.

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local default_order = {
  "binary_trees", "fib", "pingpong", "create", "read_four", "read_all", "read_process", "render",
    "require",
  "resident", "agent",
}

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function interpreter()
  local i = -1
  while arg[i - 1] do i = i - 1 end
  return arg[i]
end

-- The numbers that a child prints in its last line.
local function run_child(name, part, setup)
  local command = ("%s %s %s %s %s"):format(quote(interpreter()), quote(here .. "/child.lua"),
    quote(name), part,
    quote(setup or ""))
  local pipe = assert(io.popen(command))
  local last
  for line in pipe:lines() do last = line end
  pipe:close()
  local numbers = {}
  for number in (last or ""):gmatch("%S+") do numbers[#numbers + 1] = tonumber(number) end
  return numbers
end

local function median(values)
  local sorted = {}
  for i, value in ipairs(values) do sorted[i] = value end
  table.sort(sorted)
  local middle = (#sorted + 1) / 2
  return (sorted[math.floor(middle)] + sorted[math.ceil(middle)]) / 2, sorted[1], sorted[#sorted]
end

local function report(text, value, low, high, unit, goal)
  local digits = unit == "" and "%.3f" or value >= 1000 and "%.0f" or "%.4g"
  local spread = (digits .. " .. " .. digits):format(low, high)
  print(("%-48s %10s %-6s %-20s %s"):format(text, digits:format(value), unit, spread,
    goal and "goal " .. (goal:find("^>=") and goal or "<= " .. goal) or ""))
end

local function compare(name, program, pairs_wanted)
  for _, setup in ipairs(program.compare) do
    local ratios = {}
    for i = 1, pairs_wanted do
      local bare = run_child(name, "run", "")[1]
      local instrumented = run_child(name, "run", setup.code)[1]
      if not bare or not instrumented then
        print(("%-48s could not be run"):format(program.title .. ", " .. setup.title))
        return
      end
      ratios[i] = instrumented / bare
    end
    local middle, low, high = median(ratios)
    report(program.title .. ", " .. setup.title, middle, low, high, "", setup.goal)
  end
end

local function measure(name, program, times)
  local columns = {}
  for i = 1, times do
    local numbers = run_child(name, "measure")
    for c = 1, #program.measures do
      columns[c] = columns[c] or {}
      columns[c][i] = numbers[c]
    end
  end
  for c, what in ipairs(program.measures) do
    if columns[c][1] then
      local middle, low, high = median(columns[c])
      report(program.title .. ", " .. what.title, middle, low, high, what.unit, what.goal)
    else
      print(("%-48s could not be measured"):format(program.title .. ", " .. what.title))
    end
  end
end

local function read_arguments()
  local names, count = {}, 7
  for _, word in ipairs(arg) do
    local value = word:match("^%-%-pairs=(%d+)$")
    if value then
      count = tonumber(value)
    elseif word:find("^%-") then
      io.stderr:write("usage: run.lua [--pairs=N] [PROGRAM ...]\n")
      os.exit(2)
    else
      names[#names + 1] = word
    end
  end
  return #names > 0 and names or default_order, count
end

local names, count = read_arguments()
print(("%s, %d pairs; ratio of CPU times, lowest .. highest"):format(_VERSION, count))
for _, name in ipairs(names) do
  local program = require("programs." .. name)
  if program.compare then
    compare(name, program, count)
  else
    measure(name, program, count)
  end
end
