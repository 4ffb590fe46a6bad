local run = require "support.run"

describe("support.run", function()
  it("gives back exit status, output and errors of a script", function()
    local result = run.script(
      [[io.write(arg[1], "|", io.read("*a")) io.stderr:write("oh") os.exit(3)]],
      { args = { "it's" }, stdin = "two\nlines" }
    )
    assert.are.equal(3, result.code)
    assert.are.equal("it's|two\nlines", result.out)
    assert.are.equal("oh", result.err)
    assert.is_nil(result.signal)
  end)

  it("runs the Lua under test", function()
    local result = run.script([[print(rawget(_G, "jit") and "luajit" or _VERSION:match("%d.%d"))]])
    assert.are.equal(run.lua_name() .. "\n", result.out)
    assert.is_true(run.is(run.lua_name()))
    assert.is_false(run.is("5.2", "none"))
  end)

  it("tells the signal that ended a program", function()
    local result = run.command("kill -KILL $$")
    assert.are.equal(9, result.signal)
  end)

  it("ends what runs too long, and says so", function()
    local result = run.command("sleep 30", { timeout = 0.1 })
    assert.is_true(result.timed_out)
  end)

  it("sets and unsets the environment", function()
    local env = { A = "1", HOME = false }
    local result = run.command([[echo "${A-unset} ${HOME-unset}"]], { env = env })
    assert.are.equal("1 unset\n", result.out)
  end)

  it("names a script as it was asked to, for messages with a place", function()
    local result = run.script([[error("here")]], { name = "app.lua" })
    assert.truthy(result.err:find("app.lua:1: here", 1, true), result.err)
  end)

  it("leaves no file behind", function()
    local place = run.script([[print(os.getenv("PWD"))]]).out:match("[^\n]+")
    assert.are_not.equal(0, run.command("test -e " .. run.quote(place)).code)
  end)

  it("starts a program beside the spec, which ends when it is told to", function()
    local child = run.start([[for line in io.lines() do io.write("[", line, "]") end os.exit(4)]])
    child:tell("one")
    child:tell("two")
    local result = child:stop()
    assert.are.equal("[one][two]", result.out)
    assert.are.equal(4, result.code)
    assert.are_not.equal(0, run.command("test -e " .. run.quote(child.dir)).code)
  end)

  it("refuses an option that it does not know", function()
    assert.has_error(function()
      run.script("", { tiemout = 1 })
    end, "support.run: unknown option 'tiemout'")
  end)
end)
