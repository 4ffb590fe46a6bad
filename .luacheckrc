std = "max"
max_line_length = 100
codes = true
-- A local that only holds a value alive is a tool of our specs (241: mutated, never read).
files["spec"] = { std = "+busted", ignore = { "241" } }
-- Modules that replace or restore functions of the standard library do so by intent.
files["lua/rtmetrics/init.lua"] = { globals = { "coroutine" } }
exclude_files = { "build" }
