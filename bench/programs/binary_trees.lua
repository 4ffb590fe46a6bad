-- A program that does nothing but allocate and collect.
local function make_tree(depth)
  if depth == 0 then return {} end
  return { make_tree(depth - 1), make_tree(depth - 1) }
end

local function count_tree(tree)
  if not tree[1] then return 1 end
  return 1 + count_tree(tree[1]) + count_tree(tree[2])
end

return {
  title = "binary trees",
  compare = {
    { title = "all on", code = "require 'rtmetrics'", goal = "1.02" },
    {
      title = "heap accounting alone",
      code = [[
        local rt = require "rtmetrics"
        rt.stop()
        rt.start { heap = true, gc = false, sched = false, process = false }
      ]],
      goal = "1.00",
    },
    { title = "after stop", code = "require('rtmetrics').stop()", goal = "1.02" },
  },
  run = function()
    local kept, sum = make_tree(14), 0
    for _ = 1, 300 do sum = sum + count_tree(make_tree(11)) end
    assert(sum + count_tree(kept) > 0)
  end,
}
