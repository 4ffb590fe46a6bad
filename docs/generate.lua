--- Writes the generated pages: `lua docs/generate.lua [DIRECTORY]`; without one, into docs/.
-- It needs rtmetrics on Lua's paths, as `make docs` sets them.

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local pages = {
  ["api.md"] = function() return require("generator.api").page(here .. "/..") end,
  ["metrics.md"] = function() return require("generator.metrics").page() end,
  ["urls.md"] = function() return require("generator.urls").page() end,
}

for name, make in pairs(pages) do
  local file = assert(io.open((arg[1] or here) .. "/" .. name, "wb"))
  assert(file:write(make()))
  file:close()
end
