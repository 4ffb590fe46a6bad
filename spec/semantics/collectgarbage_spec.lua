-- collectgarbage, bare and under rtmetrics: what it returns, raises and costs is the same.

local run = require "support.run"

local programs = {
  ["answers every option, asked plainly"] = [[
    for _, option in ipairs { "stop", "restart", "collect", "step", "setpause", "setstepmul",
      "isrunning", "generational", "incremental", "setmajorinc" } do
      local ok, answer = pcall(collectgarbage, option)
      print(option, ok, type(answer), option ~= "step" and answer or "")
    end
    print(type(collectgarbage("count")), collectgarbage(), collectgarbage(nil))
  ]],
  ["answers with odd arguments"] = [[
    local arguments = { 0, 100, "100", "x", 1.5, {}, false }
    for _, option in ipairs { "stop", "restart", "collect", "setpause", "setstepmul", "isrunning",
      "generational", "incremental" } do
      for _, argument in ipairs(arguments) do
        print(option, type(argument), pcall(collectgarbage, option, argument))
        print(option, type(argument), pcall(collectgarbage, option, 10, argument))
        print(option, type(argument), pcall(collectgarbage, option, 10, 20, argument))
      end
      print(select("#", collectgarbage("restart")))
    end
  ]],
  ["refuses what is no option"] = [[
    for _, option in ipairs { "", "Collect", "nothing", 1, {}, print, true } do
      print(pcall(collectgarbage, option))
      print(pcall(function() collectgarbage(option) end))
    end
    local gc = collectgarbage
    print(pcall(function() gc("nonsense") end))
    print(select(2, xpcall(function() collectgarbage("nonsense") end, debug.traceback)))
  ]],
  ["collects what is garbage, and nothing else"] = [[
    local weak = setmetatable({}, { __mode = "v" })
    local kept = {}
    weak[1], weak[2] = kept, {}
    collectgarbage()
    print(weak[1] == kept, weak[2])
    collectgarbage("stop")
    weak[3] = {}
    for _ = 1, 10000 do local _ = {} end
    print(weak[3] ~= nil)
    collectgarbage("restart")
    collectgarbage("collect")
    print(weak[3])
  ]],
  ["may be called in a finalizer and in a coroutine"] = [[
    local object = newproxy and newproxy(true) or setmetatable({}, {})
    getmetatable(object).__gc = function()
      print("finalizer", pcall(collectgarbage, "step"))
      print("finalizer", type(collectgarbage("count")))
      print("finalizer", pcall(collectgarbage))
    end
    if not newproxy then setmetatable(object, getmetatable(object)) end
    object = nil
    collectgarbage()
    collectgarbage()
    print(coroutine.wrap(function() return collectgarbage() end)())
  ]],
  ["passes errors of finalizers on, or warns, as its VM does"] = [[
    if warn then warn("@on") end
    local object = newproxy and newproxy(true) or setmetatable({}, {})
    getmetatable(object).__gc = function() error("in a finalizer") end
    if not newproxy then setmetatable(object, getmetatable(object)) end
    object = nil
    print(pcall(collectgarbage))
    print(pcall(collectgarbage))
  ]],
  ["switches modes and tells the former one"] = [[
    if _VERSION ~= "Lua 5.4" then return end
    for _, mode in ipairs { "incremental", "generational", "generational", "incremental" } do
      print(mode, collectgarbage(mode))
      for i = 1, 2000 do local _ = { i } end
      print(collectgarbage("isrunning"))
    end
    print(collectgarbage("incremental", 150, 200, 10), collectgarbage("setpause", 200))
    print(collectgarbage("generational", 30, 120), collectgarbage("setstepmul", 100))
  ]],
  ["counts without counting itself"] = [[
    if jit then jit.off() end
    collectgarbage()
    collectgarbage("stop")
    local function growth()
      local first = collectgarbage("count")
      for _ = 1, 1000 do collectgarbage("count") end
      return collectgarbage("count") - first
    end
    growth()
    print(growth())
  ]],
  ["is described as the function that it stands for"] = [[
    local info = debug.getinfo(collectgarbage, "Su")
    print(info.what, info.short_src, info.linedefined, info.nparams, info.isvararg)
    print(pcall(string.dump, collectgarbage))
    debug.sethook(function() local frame = debug.getinfo(2, "n") print(frame.name) end, "c")
    collectgarbage("count")
    debug.sethook()
  ]],
}

local function normalised(text) return (text:gsub("0x%x+", "0x")) end

describe("collectgarbage under rtmetrics", function()
  for title, code in pairs(programs) do
    it(title, function()
      local bare, instrumented = run.both(code)
      assert.are.equal(normalised(bare.out), normalised(instrumented.out))
      assert.are.equal(normalised(bare.err), normalised(instrumented.err))
      assert.are.equal(bare.code, instrumented.code)
      assert.is_nil(instrumented.signal)
    end)
  end
end)
