--- Metrics for Prometheus: the runtime's own and those that a program registers, as text for any
-- HTTP server.
--
--    local prometheus = require "rtmetrics.prometheus"
--
--    local requests = prometheus.counter("shop_requests_total", "Requests", { "method", "status" })
--    local duration = prometheus.histogram("shop_request_duration_seconds", "Time to answer.")
--    local carts = prometheus.gauge("shop_carts", "Carts that are open.")
--
--    requests:inc(1, { "GET", 200 })
--    duration:observe(0.012)
--    carts:set(17)
--
--    -- in the handler of GET /metrics:
--    local body, content_type = prometheus.render(request.headers["accept"])
--
-- The calls are those of the nginx-lua-prometheus library; `prometheus:counter(...)` with a colon
-- works too.
--
-- **Names.** `lua_` begins the VM's metrics, `process_` the process's, `rtmetrics_` those of
-- rtmetrics itself; users' metrics cannot have these prefixes, nor the label names `vm`, `le` and
-- what begins with `__`. A counter is always shown with `_total` at its end, whether its name was
-- given with it or not.
--
-- **Labels.** Values are strings, numbers or booleans. They are kept as UTF-8, each byte that is no
-- part of a character as U+FFFD, and cut at 256 bytes; values that are the same after that are one
-- series.
--
-- **Limits.** A metric has at most 1,000 series and all metrics together 20,000; see @{limit}. No
-- series is ever evicted. What comes with further label values goes to one more series of the
-- metric, in which every label is `_overflow`, so that sums over the metric stay right. Only
-- `gauge:set` has no such sum: there the update is dropped. Both are counted, in
-- `/rtmetrics/series/...`.
--
-- **Errors.** A mistake of the caller raises: a bad name, a wrong number of label values, a value
-- that is no number, a counter that would fall. What the world refuses (memory, the number of
-- metrics) returns nil and a message at registration; an update never fails for it.
-- @module rtmetrics.prometheus

require("rtmetrics") -- attaches the observers, whose metrics are shown too

local core = require("rtmetrics.core")
local options = require("rtmetrics.options")

-- What nginx-lua-prometheus has: 5 ms to 10 s.
local default_buckets = {
  0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75,
  1, 1.5, 2, 3, 4, 5, 10,
}

local limit_schema = {
  metrics = { type = "number", min = 0, max = 2 ^ 31, whole = true },
  series_per_metric = { type = "number", min = 0, max = 2 ^ 31, whole = true },
  series = { type = "number", min = 0, max = 2 ^ 31, whole = true },
}

--- Adds to a counter, or to a gauge.
-- @function counter:inc
-- @tparam[opt=1] number amount not negative for a counter
-- @tparam[opt] {string|number|boolean,...} values one for each label, in their order
-- @usage requests:inc(1, { "GET", 200 })

--- Sets a gauge.
-- @function gauge:set
-- @tparam number value
-- @tparam[opt] {string|number|boolean,...} values one for each label, in their order
-- @usage carts:set(17)

--- Records one observation in a histogram.
-- @function histogram:observe
-- @tparam number value finite
-- @tparam[opt] {string|number|boolean,...} values one for each label, in their order
-- @usage duration:observe(0.012)

--- Forgets one series. A metric without labels is shown again, from 0, at its next update.
-- @function metric:del
-- @tparam[opt] {string|number|boolean,...} values one for each label, in their order
-- @usage carts:del()

--- Forgets all series of a metric.
-- @function metric:reset
-- @usage requests:reset()

local function class(methods)
  methods.del = core.series_remove
  methods.reset = core.series_reset
  return { __index = methods }
end

local classes = {
  counter = class({ inc = core.series_add }),
  gauge = class({ inc = core.series_add, set = core.series_assign }),
  histogram = class({ observe = core.series_observe }),
}

local metrics = {}

-- Called by the public function that the user called, so that level 3 is the user's line.
local function register(kind, ...)
  local id, message, mistake = core.series_register(kind, ...)
  if mistake then
    error(message, 3)
  end
  if not id then
    return nil, message
  end
  if not metrics[id] then
    metrics[id] = setmetatable({ id }, classes[kind])
  end
  return metrics[id]
end

local M = {}

local function without_self(first, ...)
  if first == M then
    return ...
  end
  return first, ...
end

--- Registers a counter: a number that only grows. The same name, kind and labels again return the
-- same metric.
-- @tparam string name as Prometheus wants it: `[a-zA-Z_:][a-zA-Z0-9_:]*`
-- @tparam[opt] string help what it counts, in a sentence
-- @tparam[opt] {string,...} labels names of the labels, at most 32
-- @treturn table|nil the metric, with the methods `inc`, `del` and `reset`
-- @treturn ?string why not
-- @raise a name or label that cannot be, or a name that another metric has
-- @usage local requests = prometheus.counter("shop_requests_total", "Requests.", { "method" })
function M.counter(...)
  local name, help, labels = without_self(...)
  local metric, message = register("counter", name, help, labels)
  return metric, message
end

--- Registers a gauge: a number that rises and falls.
-- @tparam string name
-- @tparam[opt] string help
-- @tparam[opt] {string,...} labels
-- @treturn table|nil the metric, with the methods `set`, `inc`, `del` and `reset`
-- @treturn ?string why not
-- @raise as @{counter}
-- @usage local carts = prometheus.gauge("shop_carts", "Carts that are open.")
function M.gauge(...)
  local name, help, labels = without_self(...)
  local metric, message = register("gauge", name, help, labels)
  return metric, message
end

--- Registers a histogram: how often values fell into each bucket, and their sum.
-- @tparam string name
-- @tparam[opt] string help
-- @tparam[opt] {string,...} labels
-- @tparam[opt] {number,...} buckets the upper bounds, inclusive, rising, at most 128; default 0.005
-- to 10. The bucket for all the rest is there by itself.
-- @treturn table|nil the metric, with the methods `observe`, `del` and `reset`
-- @treturn ?string why not
-- @raise as @{counter}, and for bounds that do not rise
-- @usage local size = prometheus.histogram("shop_order_bytes", "Orders.", nil, { 1e3, 1e4 })
function M.histogram(...)
  local name, help, labels, buckets = without_self(...)
  local metric, message = register("histogram", name, help, labels, buckets or default_buckets)
  return metric, message
end

--- Sets how many series there may be. What is there already stays.
-- @tparam table opts each of them optional: `metrics` (500), `series_per_metric` (1000), `series`
-- (20000, in all metrics)
-- @treturn table the limits as they were
-- @raise an unknown limit, or one that is not a whole number from 0 to 2^31
-- @usage prometheus.limit({ series_per_metric = 100 })
function M.limit(opts)
  opts = options.check("rtmetrics.prometheus.limit", limit_schema, opts)
  local count, per_metric, all =
    core.series_limit(opts.metrics, opts.series_per_metric, opts.series)
  return { metrics = count, series_per_metric = per_metric, series = all }
end

--- All metrics of the runtime, the process and the program, as text.
-- @tparam[opt] string accept the request's Accept header; without one, or where it asks for nothing
-- that is known, the text format 0.0.4; OpenMetrics 1.0 where it prefers that
-- @treturn string|nil the body
-- @treturn string its content type, or the reason for nil
-- @usage local body, content_type = prometheus.render(request.headers["accept"])
function M.render(accept)
  return core.render(accept)
end

return M
