-- Who is reset in a forked child, and in which order.

local run = require "support.run"

local function child(code)
  local result = run.script("local fork = require 'fork_probe'\n" .. code)
  assert.are.equal(0, result.code, result.err)
  return (result.out:gsub("%s+$", ""))
end

describe("a forked child", function()
  it("runs the reset functions stage by stage, locks first, each once", function()
    assert.are.equal("lvwc", child([[
      assert(fork.register())
      print(fork.in_child(fork.ran))
    ]]))
  end)

  it("is one generation on, before anything is reset", function()
    assert.are.equal("1 2 0", child([[
      assert(fork.register())
      local function generation() return tostring(fork.generation()) end
      print(fork.in_child(generation),
        fork.in_child(function() return fork.in_child(generation) end),
        generation())
    ]]):gsub("%s+", " "))
  end)

  it("leaves the parent as it was", function()
    assert.are.equal("[]", child([[
      assert(fork.register())
      fork.in_child(fork.ran)
      print("[" .. fork.ran() .. "]")
    ]]))
  end)

  it("resets again what a child's child inherits", function()
    assert.are.equal("lvwclvwc", child([[
      assert(fork.register())
      print(fork.in_child(function() return fork.in_child(fork.ran) end))
    ]]))
  end)
end)

describe("who holds forks", function()
  it("runs before each of them, and after it in the parent", function()
    assert.are.equal("h hrhr", child([[
      assert(fork.hold())
      assert(fork.hold())
      local in_child = fork.in_child(fork.ran)
      fork.in_child(fork.ran)
      print(in_child .. " " .. fork.ran())
    ]]))
  end)

  it("runs before the child's reset functions", function()
    assert.are.equal("hlvwc", child([[
      assert(fork.hold())
      assert(fork.register())
      print(fork.in_child(fork.ran))
    ]]))
  end)
end)

describe("refuses", function()
  it("more reset functions than a stage has room for, and says so", function()
    assert.are.equal("8 cannot register a fork handler: stage 1 is full", child([[
      print((table.concat({ fork.fill() }, " ")))
    ]]))
  end)
end)
