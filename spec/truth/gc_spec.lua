-- The collector's figures against an interpreter with a clock in its collector (support/truth).

local run = require "support.run"
local truth = require "support.truth"

-- Two clocks are read a few instructions apart around each pause, ours outside: 5% of the time,
-- and where pauses are that short, half a microsecond for each of them.
local SHARE, PER_PAUSE_S, FLOOR_S = 0.05, 0.5e-6, 0.0002

local sizes = {
  binary_trees = 150,
  big_heap = 60,
  steady_heap = 100,
  tables_and_strings = 60,
  strings_50k = 40,
  strings_2m = 6,
  buffers = 60,
  growing_table = 40,
  closures = 60,
  finalizers = 60,
  coroutines = 40,
  weak_tables = 60,
  loads = 60,
  sorting = 40,
}

local variants = {
  plain = "left alone",
  collects = "with full collections between",
  steps = "with steps between",
  stop_and_restart = "with the collector stopped and restarted",
  stopped_steps = "with the collector stopped, and steps",
  mode_changes = "changing the mode",
  in_a_coroutine = "inside a coroutine",
}

local function sum(figures, ...)
  local total = 0
  for _, name in ipairs({ ... }) do total = total + figures[name] end
  return total
end

-- What the truth calls each of our cycle counts. Entering the generational mode is a full
-- collection.
local function expected_counts(t)
  return {
    pauses = t.pauses,
    automatic = sum(t, "incremental_automatic", "incremental_emergency", "minor_automatic",
      "major_automatic", "major_emergency"),
    forced = sum(t, "incremental_forced", "minor_forced", "major_forced", "mode_changes"),
    minor = sum(t, "minor_automatic", "minor_forced"),
    major = sum(t, "major_automatic", "major_forced", "major_emergency", "mode_changes"),
    emergency = t.emergencies,
  }
end

local function assert_counts(figures)
  local expected, counted = expected_counts(figures.truth), {}
  for name in pairs(expected) do counted[name] = figures.ours[name] end
  assert.are.same(expected, counted)
  assert.are.equal(expected.automatic + expected.forced, figures.ours.total)
  assert.are.equal(expected.pauses, figures.ours.exact_pauses + figures.ours.bounded_pauses)
end

-- Exact pauses are measured from outside: never shorter than the collector's own time but for the
-- clocks' resolution, never longer by more than the tolerance. Bounded ones are reported apart,
-- as upper bounds.
local function assert_seconds(figures, slack_s)
  local exact_s, truth_s = figures.ours.seconds, figures.truth.seconds
  local tolerance_s = truth_s * SHARE + figures.truth.pauses * PER_PAUSE_S + FLOOR_S
  local form = "exact %.6f s, bounded %.6f s; truth %.6f s, after big blocks %.6f; %d pauses"
  local text = form:format(exact_s, figures.ours.bounded_seconds, truth_s,
    figures.truth.big_seconds, figures.truth.pauses)
  assert.is_true(exact_s <= truth_s + tolerance_s + slack_s, text)
  if figures.ours.bounded_pauses == 0 then
    assert.is_true(exact_s >= truth_s - tolerance_s, text)
  else
    assert.is_true(exact_s + figures.ours.bounded_seconds >= truth_s - tolerance_s, text)
  end
end

local function why_not()
  if not run.is("5.4") then return "only 5.4 has a collector that can be watched" end
  if run.under() then return "figures of time mean nothing under " .. run.under() end
  local interpreter, why = truth.interpreter("clocked")
  if not interpreter then return "no clocked interpreter: " .. why end
end

-- A machine that was busy with something else within a pause's brackets tells a longer time, by
-- at most what the kernel made the program wait; the counts must be right at once.
local function measure_quietly(...)
  local figures
  for _ = 1, 3 do
    figures = truth.measure(...)
    assert_counts(figures)
    if pcall(assert_seconds, figures, 0) then return end
  end
  assert_seconds(figures, figures.machine.waited_s)
end

describe("the collector's pauses, cycles and seconds", function()
  for program, size in pairs(sizes) do
    for _, mode in ipairs { "incremental", "generational" } do
      for variant, words in pairs(variants) do
        it(("are those of a clock inside it: %s, %s, %s"):format(program:gsub("_", " "), mode,
          words), function()
          local reason = why_not()
          if reason then return pending(reason) end
          measure_quietly(program, size, mode, variant)
        end)
      end
    end
  end
end)

-- Refusals of an allocator, one by one, are counted in spec/survive/allocator_spec.lua.
describe("a VM that collects in an emergency at every allocation", function()
  it("has all its collections counted, or none", function()
    local reason = why_not()
    if reason then return pending(reason) end
    local interpreter, why = truth.interpreter("clocked-emergency", "-DEMERGENCYGCTESTS")
    if not interpreter then return pending(why) end
    for _, mode in ipairs { "incremental", "generational" } do
      local figures = truth.measure("closures", 1, mode, "plain", interpreter)
      assert.is_true(figures.truth.emergencies > 100)
      if figures.ours.emergency ~= "bad" then assert_counts(figures) end
    end
  end)
end)
