local run = require "support.run"

local function example(name, words)
  return run.command("exec $RTM_LUA examples/" .. name .. ".lua " .. words, { cwd = run.root() })
end

local PURPOSES = {
  metrics_server = "Serves this process's metrics at /metrics over HTTP.",
  memory_leak_detector = "Watches this process's Lua heap for a memory leak",
  coroutine_leak_monitor = "Watches this process's coroutines, and leaks some to be found.",
  agent_plain = "Adds up orders by customer, and answers HTTP about itself meanwhile.",
  agent_copas = "Serves a web page with copas, and its figures by the agent.",
  agent_cqueues = "Keeps texts by name in a server on cqueues",
  agent_luv = "Keeps texts by name in a server on luv (libuv)",
  http_copas = "Serves a small web application with copas, and the pages about this process",
  http_lua_http = "Serves a small web application with lua-http, and the pages about this process",
  demo = "Shows rtmetrics at work",
}

for name, purpose in pairs(PURPOSES) do
  describe("the example " .. name, function()
    it("says with --help what it is for and which options it has", function()
      local result = example(name, "--help")
      assert.are.equal(0, result.code, result.err)
      assert.are.equal("", result.err)
      assert.matches("^usage: .*" .. name .. ".lua", result.out)
      assert.matches(purpose, result.out, 1, true)
      assert.matches("For whoever", result.out, 1, true)
      assert.matches("\n  %-%-seconds N +end by itself", result.out)
    end)

    it("refuses an unknown option and names the nearest", function()
      local result = example(name, "--secunds 3")
      assert.are.equal(2, result.code)
      assert.are.equal("", result.out)
      assert.matches(name .. ': unknown option "secunds", the nearest known is "seconds"',
        result.err, 1, true)
    end)

    it("refuses a value that is none, too small, missing or too much", function()
      for words, message in pairs({
        ["--seconds soon"] = "option --seconds must be a number",
        ["--seconds=-1"] = 'option "seconds" must be above 0, got -1',
        ["--seconds"] = "option --seconds needs a value",
        ["5"] = 'unexpected argument "5"',
      }) do
        local result = example(name, words)
        assert.are.equal(2, result.code, words)
        assert.matches(message, result.err, 1, true)
        assert.not_matches("traceback", result.err)
      end
    end)
  end)
end
