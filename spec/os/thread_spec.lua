-- Threads of ours, and the descriptors of ours that a forked child closes.

local run = require "support.run"

local function child(code)
  local result = run.script("local thread = require 'thread_probe'\n" .. code)
  assert.are.equal(0, result.code, result.err)
  return (result.out:gsub("%s+$", ""))
end

describe("a thread of ours", function()
  it("has a name, and blocks all signals that can be, which the starter does not", function()
    local name, blocked, starters = child([[print(select(2, thread.run("some-name", 0, 20000)))]])
      :match("^(%S+)\t(%d+)[.0]*\t(%d)")
    assert.are.equal("some-name", name)
    assert.are.equal(29, tonumber(blocked)) -- not SIGKILL and SIGSTOP
    assert.are.equal("0", starters)
  end)

  it("is waited for until its end", function()
    assert.are.equal("true", child([[print((thread.run("slow", 100, 20000)))]]))
  end)

  it("is left behind when patience ends", function()
    assert.are.equal("false\ttrue", child([[
      local began = os.time()
      print(thread.run("slow", 5000, 50), os.time() - began < 4)
      os.exit(0)
    ]]):gsub("\t.*\t", "\t"))
  end)
end)

describe("a descriptor of ours", function()
  it("is closed in a forked child, and in nobody else", function()
    assert.are.equal("false\ttrue\ttrue", child([[print(thread.descriptors())]]))
  end)

  it("has forks wait while it is made, but not for long", function()
    assert.are.equal("true\ttrue", child([[print(thread.fork_within(80))]]))
    assert.are.equal("true\ttrue", child([[print(thread.fork_within(400))]]))
  end)
end)
