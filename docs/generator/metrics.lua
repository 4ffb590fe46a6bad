--- The reference of the metrics, docs/metrics.md, from the table that the program itself reads.

local core = require "rtmetrics.core"

local intro = [[
# The metrics

Made by `make docs` from the table in `src/core/metrics.c`; do not edit.

`rt.read`, `rt.all` and `rt.print` use the names of the first column; their form and meaning are
those of Go's package runtime/metrics. A *cumulative* metric never falls while it is observed. The
second column is the name in Prometheus' text formats; "–" means that it is a sum of others and not
shown twice, or always unknown. A value that cannot be known here is of kind `bad` for `rt.read` and
left out of the text formats.

"Known on" says which Luas tell the value. A figure of the process can still be unknown on one
system and known on another: a limit that is not set, a kernel without control groups.
]]

local sections = {
  {
    prefix = "/gc/heap/", title = "The heap",
    text = "Counted at each call of the VM's allocator. A block is what the VM asks for; an object "
      .. "is one block or more.",
  },
  {
    prefix = "/gc/", title = "The collector",
    text = "Where the collector cannot be watched, its cycles are counted by an object that is "
      .. "finalized once in each.",
  },
  {
    prefix = "/sched/", title = "Coroutines",
    text = "The main thread is not counted. On LuaJIT coroutines are watched only after "
      .. "`rt.start { sched = \"full\" }` (\"LuaJIT full\").",
  },
  {
    prefix = "/cpu/", title = "CPU time",
    text = "The collector's seconds are those of a monotonic clock around its pauses.",
  },
  { prefix = "/memory/", title = "Memory", text = "What the VM and rtmetrics hold." },
  {
    prefix = "/process/", title = "The process",
    text = "From /proc and the control group; each source is asked at most once a second.",
  },
  {
    prefix = "/rtmetrics/", title = "rtmetrics itself",
    text = "What it uses, and what was missed, dropped or could not be done.",
  },
}

-- Names and prefixes, the longest that fits a metric counts; whatever is not here is known on all.
local known_on = {
  ["/cpu/classes/gc/"] = "5.4",
  ["/gc/cycles/emergency:"] = "5.4",
  ["/gc/cycles/major:"] = "5.4",
  ["/gc/cycles/minor:"] = "5.4",
  ["/gc/heap/allocs/"] = "5.4, 5.3",
  ["/gc/heap/allocs/upvalue:"] = "5.4",
  ["/gc/heap/allocs:objects"] = "5.4, 5.3",
  ["/gc/heap/frees:objects"] = "none",
  ["/gc/heap/goal:"] = "5.4",
  ["/gc/heap/live:"] = "5.4",
  ["/gc/heap/objects:"] = "none",
  ["/gc/last-cycle/duration:"] = "5.4",
  ["/gc/last-cycle/pauses:"] = "5.4",
  ["/gc/pauses:"] = "5.4",
  ["/rtmetrics/agent/"] = "all, with an agent",
  ["/rtmetrics/gc/"] = "5.4",
  ["/rtmetrics/sched/"] = "5.4, 5.3, 5.1; LuaJIT full",
  ["/sched/"] = "5.4, 5.3, 5.1; LuaJIT full",
  ["/sched/pauses/"] = "5.4",
  ["/sched/threads/"] = "all",
}

local function known_for(name)
  local best, found = "", "all"
  for prefix, luas in pairs(known_on) do
    if name:sub(1, #prefix) == prefix and #prefix > #best then
      best, found = prefix, luas
    end
  end
  return found
end

local function prometheus_name(metric)
  if not metric.family then
    return "–"
  end
  local is_counter = metric.cumulative and metric.kind ~= "float64-histogram"
  local name = metric.family .. (is_counter and "_total" or "")
  return "`" .. name .. (metric.labels and "{" .. metric.labels .. "}" or "") .. "`"
end

local kinds = {
  uint64 = "whole number",
  float64 = "number",
  ["float64-histogram"] = "histogram",
}

local function row(metric)
  return ("| `%s` | %s | %s%s | %s | %s |"):format(
    metric.name, prometheus_name(metric), kinds[metric.kind],
    metric.cumulative and ", cumulative" or "", known_for(metric.name), metric.description)
end

local function by_name(a, b)
  return a.name < b.name
end

local function section_of(name)
  for _, section in ipairs(sections) do
    if name:sub(1, #section.prefix) == section.prefix then
      return section
    end
  end
  error("docs/generator/metrics.lua: no section for " .. name)
end

local function add_section(out, section, metrics)
  out[#out + 1] = "## " .. section.title
  out[#out + 1] = ""
  out[#out + 1] = section.text
  out[#out + 1] = ""
  out[#out + 1] = "| metric | in Prometheus | kind | known on | meaning |"
  out[#out + 1] = "|---|---|---|---|---|"
  for _, metric in ipairs(metrics) do
    if section_of(metric.name) == section then
      out[#out + 1] = row(metric)
    end
  end
  out[#out + 1] = ""
end

local function add_aliases(out, aliases)
  local names = {}
  for alias in pairs(aliases) do
    names[#names + 1] = alias
  end
  table.sort(names)
  out[#out + 1] = "## Other spellings"
  out[#out + 1] = ""
  out[#out + 1] = "Names of Go's own that are read as well:"
  out[#out + 1] = ""
  out[#out + 1] = "| name | read as |"
  out[#out + 1] = "|---|---|"
  for _, alias in ipairs(names) do
    out[#out + 1] = ("| `%s` | `%s` |"):format(alias, aliases[alias])
  end
end

local M = {}

--- The page.
-- @treturn string
function M.page()
  local metrics, aliases = core.describe()
  table.sort(metrics, by_name)
  local out = { intro }
  for _, section in ipairs(sections) do
    add_section(out, section, metrics)
  end
  add_aliases(out, aliases)
  return table.concat(out, "\n") .. "\n"
end

return M
