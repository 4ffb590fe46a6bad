-- Runs one program in the clocked interpreter with rtmetrics on, and writes what both say it cost:
--   lua-5.4-clocked measure.lua PROGRAM SIZE MODE VARIANT
local rt = require "rtmetrics"
local figures = require "support.truth.figures"
local programs = require "support.truth.programs"
local variants = require "support.truth.variants"

local program = assert(programs[arg[1]], "no such program")
local size = tonumber(arg[2])
local variant = assert(variants[arg[4]], "no such variant")
collectgarbage(arg[3])

local samples = rt.read(figures.samples())

-- How long this process wanted a CPU and got none, so far.
local function waited_s()
  local file = io.open("/proc/self/schedstat")
  local waited_ns = file and file:read("*a"):match("^%d+ (%d+)")
  if file then file:close() end
  return (waited_ns or 0) / 1e9
end

-- Two readings that nothing is allocated between, from the second time on.
local function take(ours, theirs)
  rt.read(samples)
  figures.refill(theirs, truth()) -- luacheck: ignore truth (a function of the clocked interpreter)
  figures.copy(samples, ours)
end

local before, truth_before, after, truth_after = {}, {}, {}, {}
take(before, truth_before)
take(after, truth_after)
variant(program, math.ceil(size / 10))
local waited_before_s = waited_s()
take(before, truth_before)
variant(program, size)
take(after, truth_after)
io.write(("machine waited_s %.9f\n"):format(waited_s() - waited_before_s))
figures.write(io.stdout, before, after, truth_before, truth_after)
