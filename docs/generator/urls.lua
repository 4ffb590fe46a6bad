--- The reference of the pages, docs/urls.md, from the table that the program itself serves from.

local core = require "rtmetrics.core"

local intro = [[
# The pages

Made by `make docs` from the table in `src/core/routes.c`; do not edit.

These are the URLs of the agent (`rtmetrics.agent`) and, below their prefix, of a handler inside the
program's own server (`rtmetrics.http`). All are answered without asking a VM. The class says who
may see a page: see [agent.md](agent.md).
]]

local formats = {
  ["/"] = "HTML",
  ["/metrics"] = "Prometheus text 0.0.4; OpenMetrics 1.0 where `Accept` likes that better",
  ["/debug/vars"] = "JSON",
  ["/debug/pprof/"] = "HTML",
  ["/debug/pprof"] = "301",
  ["/healthz"] = "text",
  ["/style.css"] = "CSS",
}

local outro = [[

## What all have in common

- `HEAD` is answered wherever `GET` is. Another method gets 405 with `Allow`, another path 404, and
  a page for which there is no memory 500. Queries that a page does not know are ignored.
- Links and redirects are relative, so that pages work behind a prefix.
- Metrics, JSON and HTML above 1 KiB are compressed where `Accept-Encoding` names gzip and the build
  found zlib.
- Every answer has `X-Content-Type-Options: nosniff`, `Cache-Control: no-store`,
  `Referrer-Policy: no-referrer` and a `Content-Security-Policy` that lets no page run a script,
  load from elsewhere, or be framed.

## /metrics

The metrics of [metrics.md](metrics.md) and those that the program registered with
`rtmetrics.prometheus`. Once the process has had several VMs, the samples of each carry `vm="1"`,
`vm="2"` and so on, in the order in which rtmetrics met them; those of the process carry none.

## /debug/vars

One object, after Go's package expvar. Each metric of [metrics.md](metrics.md) is a member by its
name; `memstats` has the fields of `rt.memstats()`. Once the process has had several VMs, the outer
object has the figures of the process, and its member `vms` an object for each VM, by its number:

    {"/process/start:unix-seconds": 1795267716.3, ...,
     "vms": {"1": {"/gc/heap/allocs:bytes": 101150, ..., "memstats": {...}}, "2": {...}}}

- Whole numbers have all their digits, up to 2^64 - 1; read them with care where all numbers are
  doubles.
- What cannot be known is `null`.
- A histogram is `{"counts": [...], "buckets": [...]}` with one bound more than counts, as `rt.read`
  gives it. JSON has no infinities: they are the texts `"-Inf"` and `"+Inf"`, among the outermost
  bounds and as the `size` of the last class in `memstats.by_size`.

## /

The index tells of each VM how big its heap is, how many coroutines it has, and when it was last
seen to switch coroutines, to allocate or free, and to end a collector cycle. Allocations carry no
time: the index compares counters with those of an earlier look, so loading it again tells more.
]]

local function row(route)
  local format = assert(formats[route.path], "docs/generator/urls.lua: " .. route.path)
  return ("| `%s` | %s | %s | %s | %s |"):format(
    route.path, table.concat(route.methods, ", "), route.class, format, route.help)
end

local M = {}

--- The page.
-- @treturn string
function M.page()
  local out = {
    intro,
    "| URL | methods | class | format | what it shows |",
    "|---|---|---|---|---|",
  }
  for _, route in ipairs((core.routes())) do
    out[#out + 1] = row(route)
  end
  return table.concat(out, "\n") .. "\n" .. outro
end

return M
