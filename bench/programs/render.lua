-- A scrape: everything as Prometheus text.
local timing = require "timing"

return {
  title = "Prometheus text",
  measures = { { title = "time", unit = "us", goal = "100" } },
  measure = function()
    local prometheus = require "rtmetrics.prometheus"
    return timing.nanoseconds(function() prometheus.render() end) / 1000
  end,
}
