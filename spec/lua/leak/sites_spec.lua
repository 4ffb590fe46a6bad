local sites = require "rtmetrics.leak.sites"

local function records()
  local list = {}
  for i = 1, 1200 do
    list[i] = { status = "suspended", created_at = "server.lua:42", age = i }
  end
  for i = 1, 3 do
    list[#list + 1] = { status = "never started", created_at = "server.lua:42", age = i }
    list[#list + 1] = { status = "running", created_at = "main.lua:7", age = 10 * i }
    list[#list + 1] = { status = "dead", created_at = "done.lua:1", age = 5 }
  end
  list[#list + 1] = { status = "suspended" }
  return list
end

describe("creation sites", function()
  it("are counted, most coroutines first, dead ones left out", function()
    local list = sites.group(records())
    assert.are.same({
      {
        site = "server.lua:42", coroutines = 1203, oldest = 1200,
        by_status = { suspended = 1200, ["never started"] = 3 },
      },
      { site = "main.lua:7", coroutines = 3, oldest = 30, by_status = { running = 3 } },
      { site = "unknown site", coroutines = 1, oldest = 0, by_status = { suspended = 1 } },
    }, list)
  end)

  it("are shown a line each, the rest in one", function()
    assert.are.same({
      "server.lua:42: 1,200 suspended, 3 never started, oldest 20 min",
      "4 more at 2 other sites",
    }, sites.lines(sites.group(records()), 1))
  end)
end)
