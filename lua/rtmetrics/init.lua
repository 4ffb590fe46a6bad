--- What the Lua runtime knows about itself: heap, collector, coroutines, process.
--
--    local rt = require "rtmetrics"
--
--    local samples = rt.read { "/gc/heap/allocs:bytes", "/sched/coroutines:coroutines" }
--    print(samples[1].value, samples[2].value)
--    rt.read(samples) -- again: fills the same tables and makes no garbage
--
-- The `require` attaches all observers to this VM. Require it first (`lua -l rtmetrics`, or
-- LUA_INIT), before modules that keep `coroutine.resume` or `collectgarbage` in locals: calls
-- through copies that are older than rtmetrics go past it. They are noticed and counted under
-- `/rtmetrics/`, but they cannot be followed.
--
-- The environment can turn observers off: `RTMETRICS=gc=0,sched=0`, or `RTMETRICS=off`.
--
-- Metric names, kinds and the meaning of reading are those of Go's package runtime/metrics; a
-- coroutine is the goroutine here, and Go's `goroutine` spellings are read as well. A value that
-- cannot be known on this VM or system is of kind `"bad"`.
-- @module rtmetrics

local core = require("rtmetrics.core")
local options = require("rtmetrics.options")

local M = {}

--- The version of rtmetrics.
M._VERSION = "0.1.0"

local observers = { "heap", "gc", "sched", "process" }

local start_schema = {
  heap = { type = "boolean" },
  gc = { type = "boolean" },
  sched = { one_of = { true, false, "full" } },
  process = { type = "boolean" },
}

local function start(chosen)
  local sched = chosen.sched
  return core.start(chosen.heap ~= false, chosen.gc ~= false, sched ~= false, sched == "full",
    chosen.process ~= false)
end

--- Starts observing this VM, anew if it is observed already: figures go on from where they are.
-- @tparam[opt] table chosen which observers to run, all unless told otherwise: `heap` (boolean:
--  allocations), `gc` (boolean: the collector), `sched` (boolean: coroutines; `"full"` also on
--  LuaJIT, where `coroutine.*` is part of the interpreter and not replaced otherwise: a resume and
--  its yield then take about 3 times as long), `process` (boolean: figures of the process)
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string why not
-- @raise an unknown option
-- @usage rt.start { sched = false }
function M.start(chosen)
  return start(options.check("rtmetrics.start", start_schema, chosen))
end

--- Stops observing and gives the VM back as it was: allocator, library functions, patched symbols.
-- Cumulative figures keep their value and read as `bad` until the next start.
-- @usage rt.stop()
function M.stop()
  core.stop()
end

local descriptions

local function by_name(a, b)
  return a.name < b.name
end

local function described()
  if not descriptions then
    descriptions = core.describe()
    table.sort(descriptions, by_name)
  end
  return descriptions
end

--- All metrics, sorted by name.
-- @treturn {table,...} each with `name`, `description`, `kind` ("uint64", "float64" or
--  "float64-histogram"), `unit` and `cumulative`
-- @usage for _, metric in ipairs(rt.all()) do print(metric.name, metric.unit) end
function M.all()
  return M.filter("")
end

--- The metrics whose name begins with a prefix, sorted by name.
-- @tparam string prefix such as "/gc/heap/"
-- @treturn {table,...} as all()
-- @usage rt.filter "/sched/"
function M.filter(prefix)
  options.check_argument("rtmetrics.filter", 1, "string", prefix)
  local found = {}
  for _, metric in ipairs(described()) do
    if metric.name:sub(1, #prefix) == prefix then
      found[#found + 1] = {
        name = metric.name,
        description = metric.description,
        kind = metric.kind,
        unit = metric.unit,
        cumulative = metric.cumulative,
      }
    end
  end
  return found
end

--- Reads metrics.
-- @function read
-- @tparam {table|string,...} samples samples with a `name`, whose `value` and `kind` are set in
--  place; or names, for which a new list of samples is made. The kind is "uint64", "float64",
--  "float64-histogram", or "bad" for an unknown name or a value that cannot be known (then `value`
--  is nil). The value of a histogram is `{counts = {...}, buckets = {...}}` with one bound more
--  than counts: `counts[i]` is the weight of `[buckets[i], buckets[i + 1])`. A reused list keeps
--  its tables; `buckets` is shared and must not be written to.
-- @treturn {table,...} the samples
-- @usage local samples = rt.read { "/gc/pauses:pauses" }
M.read = core.read

--- One metric's value, for an occasional look.
-- @tparam string name
-- @return its value, as read gives it; nil where it is bad
-- @treturn string its kind
-- @usage print(rt.value "/memory/classes/total:bytes")
function M.value(name)
  options.check_argument("rtmetrics.value", 1, "string", name)
  local sample = core.read({ name })[1]
  return sample.value, sample.kind
end

local units = { "B", "KiB", "MiB", "GiB", "TiB" }

local function format_bytes(bytes)
  local unit = 1
  while math.abs(bytes) >= 1024 and unit < #units do
    bytes, unit = bytes / 1024, unit + 1
  end
  return string.format(unit == 1 and "%.0f %s" or "%.1f %s", bytes, units[unit])
end

local function format_histogram(histogram, unit)
  local total, last = 0, nil
  for i, count in ipairs(histogram.counts) do
    total = total + count
    last = count > 0 and i or last
  end
  if total == 0 then
    return "none"
  end
  local bound = histogram.buckets[last + 1]
  local below = unit == "seconds" and string.format("%.3g s", bound) or format_bytes(bound)
  return string.format("%.0f, all below %s", total, below)
end

local function format_value(sample, unit)
  local value = sample.value
  if sample.kind == "bad" then
    return "unknown"
  elseif sample.kind == "float64-histogram" then
    return format_histogram(value, unit)
  elseif unit == "bytes" then
    return format_bytes(value)
  end
  return string.format(sample.kind == "uint64" and "%.0f" or "%.6g", value)
end

--- Prints all metrics for people, one a line.
-- @tparam[opt=io.stdout] file file with a `write` method
-- @usage rt.print(io.stderr)
function M.print(file)
  file = file or io.stdout
  local names = {}
  for i, metric in ipairs(described()) do
    names[i] = metric.name
  end
  for i, sample in ipairs(core.read(names)) do
    local unit = descriptions[i].unit
    file:write(string.format("%-50s %s\n", sample.name, format_value(sample, unit)))
  end
end

--- Figures of the heap and the collector in one table, after Go's runtime.MemStats. A figure that
-- cannot be known is nil.
-- @treturn table `alloc_bytes` (in the heap now), `total_alloc_bytes` and `freed_bytes`
--  (cumulative), `sys_bytes` (heap and rtmetrics), `mallocs` and `frees` (blocks), `next_gc_bytes`,
--  `live_bytes` (when the last cycle ended), `last_gc` (Unix seconds), `num_gc`, `num_forced_gc`,
--  `num_pauses`, `pause_total` (seconds, exact ones), `pause_bounded_total` (seconds, upper
--  bounds), `gc_cpu_fraction` (of the process's CPU time), `by_size` (list of `{size, mallocs,
--  frees}`, `size` the largest of its class)
-- @usage print(rt.memstats().alloc_bytes)
function M.memstats()
  return require("rtmetrics.memstats").read()
end

--- The collector's recent pauses, after Go's debug.ReadGCStats.
-- @tparam[opt=5] number quantiles how many quantiles of the recent pauses to give, at least 2
-- @treturn table `mode` ("incremental", "generational" or "unknown"), `last_gc`, `num_gc`,
--  `pause_total` (seconds), `pauses` (seconds, newest first, at most 256), `pause_ends` (Unix
--  seconds, to match), `quantiles` (seconds: the least, evenly between, the greatest)
-- @usage print(rt.gcstats().quantiles[3])
function M.gcstats(quantiles)
  return require("rtmetrics.memstats").gc(quantiles or 5)
end

local coroutines_schema = {
  list = { type = "boolean" },
  threads = { type = "boolean" },
  chain = { type = "boolean" },
}

--- Coroutines: how many in which state, or each of them.
-- @tparam[opt] table wanted `list` (boolean: one record for each coroutine), `threads` (boolean:
--  with the thread itself in each record; forces a full collection first), `chain` (boolean: the
--  ids of those that run and wait, innermost first)
-- @treturn[1] table counts `live`, `created`, `dead`, `running`, `normal`, `suspended`,
--  `never_started`, `missed_switches`; or a list of records with `id`, `status`, `created_at`
--  ("file.lua:12"), `age`, `idle` (since the last switch), `run_time` (seconds), `switches`,
--  `thread`, those of which that are known; or a list of ids
-- @treturn[2] nil
-- @treturn[2] string why not
-- @usage for _, co in ipairs(rt.coroutines { list = true }) do print(co.created_at, co.idle) end
function M.coroutines(wanted)
  wanted = options.check("rtmetrics.coroutines", coroutines_schema, wanted)
  if wanted.chain then
    return core.coroutines_chain()
  elseif wanted.list or wanted.threads then
    return core.coroutines_list(wanted.threads)
  end
  return core.coroutines_count()
end

--- Runs a full collection.
-- @usage rt.gc()
M.gc = core.gc

--- Sets how far the heap may grow over what the last cycle left before the next one starts, as Go's
-- debug.SetGCPercent: in incremental mode the collector's pause is set to `percent + 100`, in
-- generational mode the growth that starts a major collection to `percent`.
-- @tparam number percent whole; negative stops the collector. Lua 5.4 keeps multiples of 4 up to
--  920 (generational: 1020)
-- @treturn ?number the previous value, -1 if the collector was stopped, nil where it is not known
-- @usage local previous = rt.setgcpercent(50)
function M.setgcpercent(percent)
  options.check_argument("rtmetrics.setgcpercent", 1, "number", percent)
  if percent ~= math.floor(percent) or percent > 2 ^ 30 then
    error("rtmetrics.setgcpercent: argument 1 must be a whole number up to 2^30", 2)
  end
  return core.setgcpercent(math.max(percent, -1))
end

--- Runs a full collection, then has malloc give back to the system what it can.
-- @treturn[1] boolean whether there was something to give back
-- @treturn[2] nil
-- @treturn[2] string why not
-- @usage rt.freeosmemory()
M.freeosmemory = core.freeosmemory

--- Has a function called after each cycle of the collector, at the next point where the VM can.
-- Errors in it are counted in `/rtmetrics/on-gc/errors:errors`. Cycles that end while it runs are
-- told once more after it.
-- @tparam function callback called without arguments; must not yield
-- @treturn function cancels
-- @usage local cancel = rt.on_gc(function() print "collected" end)
function M.on_gc(callback)
  options.check_argument("rtmetrics.on_gc", 1, "function", callback)
  local reference = core.on_gc(callback)
  return function()
    if reference then
      core.off_gc(reference)
      reference = nil
    end
  end
end

--- Monotonic time in seconds. `rt.wall` is Unix time with a fraction.
-- @function clock
-- @treturn number
M.clock = core.clock
M.wall = core.wall

--- The operating system's threads in this process.
-- @function threads
-- @treturn[1] {table,...} each with `id`, `name`, `state`, `cpu_user`, `cpu_system` (seconds); at
--  most 256
-- @treturn[1] number how many there are
-- @treturn[2] nil
-- @treturn[2] string why not
M.threads = core.threads

--- What the C library's malloc holds. It visits every free chunk under malloc's lock: for an
-- occasional look, never for each scrape.
-- @function mallinfo
-- @treturn[1] table `arena_bytes`, `used_bytes`, `free_bytes`, `free_chunks`, `fast_free_bytes`,
--  `fast_free_chunks`, `releasable_bytes`, `mapped_bytes`, `mapped_blocks`
-- @treturn[2] nil
-- @treturn[2] string why not
M.mallinfo = core.mallinfo

--- How this VM is observed.
-- @function about
-- @treturn table `vm`, `clock`, `clock_reason`, `gc_mode`, `allocator` ("stock", "foreign" or "not
--  watched")
M.about = core.about

-- A mistake in the environment must not keep the host from starting: it is told once, and the rest
-- holds.
local function complain(text)
  io.stderr:write("rtmetrics: RTMETRICS: " .. text .. "\n")
end

local function choose_from_environment(text)
  local chosen = {}
  if text == "off" then
    return nil
  end
  for item in text:gmatch("[^,%s]+") do
    local name, value = item:match("^(%a+)=([01])$")
    if not name then
      complain("'" .. item .. "' is not understood; write off, or " .. observers[1] .. "=0")
    elseif not start_schema[name] then
      complain("there is no observer '" .. name .. "'; there are " .. table.concat(observers, ", "))
    else
      chosen[name] = value == "1"
    end
  end
  return chosen
end

local chosen = choose_from_environment(os.getenv("RTMETRICS") or "")
if chosen then
  local started, message = start(chosen)
  if not started then
    complain(message)
  end
end

return M
