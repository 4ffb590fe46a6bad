local options = require "rtmetrics.options"

local SCHEMA = {
  interval = { type = "number", default = 30, above = 0 },
  threshold = { type = "number", min = 1, max = 10, whole = true },
  loop = { type = "string", default = "plain", one_of = { "plain", "copas" } },
  on_finding = { type = "function" },
  collect = { type = "boolean", default = true },
}

local function public(given)
  local checked = options.check("thing.new", SCHEMA, given)
  return checked
end

local function message_of(given)
  local ok, message = pcall(public, given)
  assert.is_false(ok, "expected an error")
  return message
end

describe("an option table", function()
  it("gets the defaults of what is absent", function()
    assert.are.same({ interval = 30, loop = "plain", collect = true }, public())
  end)

  it("keeps what was given, false included, and is not the caller's table", function()
    local given = { interval = 5, collect = false, threshold = 3 }
    local checked = public(given)
    assert.are.same({ interval = 5, loop = "plain", collect = false, threshold = 3 }, checked)
    assert.are_not.equal(given, checked)
  end)

  it("is checked where the caller can see it", function()
    local ok, message = pcall(function()
      local o = public({ colect = true })
      return o
    end)
    assert.is_false(ok)
    assert.matches("options_spec.lua:%d+:", message)
  end)
end)

describe("an option table refuses", function()
  it("an unknown option, naming the nearest known one", function()
    local message = message_of({ treshold = 4 })
    assert.matches('thing.new: unknown option "treshold", the nearest known is "threshold"',
      message, 1, true)
  end)

  it("any option of a function that has none", function()
    local ok, message = pcall(options.check, "thing.new", {}, { a = 1 })
    assert.is_false(ok)
    assert.matches("there are no options", message, 1, true)
  end)

  it("a key that is not a string", function()
    assert.matches('unknown option "1"', message_of({ true }), 1, true)
  end)

  it("a value of another type", function()
    assert.matches('option "interval" must be a number, got string',
      message_of({ interval = "5" }), 1, true)
    assert.matches('option "on_finding" must be a function, got table',
      message_of({ on_finding = {} }), 1, true)
  end)

  it("a number out of bounds", function()
    assert.matches('"interval" must be above 0, got 0', message_of({ interval = 0 }), 1, true)
    assert.matches('"threshold" must be at least 1, got 0', message_of({ threshold = 0 }), 1, true)
    assert.matches('"threshold" must be at most 10, got 11',
      message_of({ threshold = 11 }), 1, true)
    assert.matches("must be a whole number, got 1.5", message_of({ threshold = 1.5 }), 1, true)
    assert.matches("not NaN", message_of({ interval = 0 / 0 }), 1, true)
  end)

  it("a value that is none of the choices", function()
    assert.matches('"loop" must be one of plain, copas, got luv',
      message_of({ loop = "luv" }), 1, true)
  end)

  it("something that is no table", function()
    assert.matches("options must be a table, got number", message_of(5), 1, true)
  end)

  it("the absence of what is required", function()
    local ok, message = pcall(options.check, "thing.new", { port = { required = true } }, {})
    assert.is_false(ok)
    assert.matches('option "port" is required', message, 1, true)
  end)
end)

describe("the nearest name", function()
  it("is the one with the fewest edits", function()
    assert.are.equal("interval", options.nearest("intervall", { "interval", "internal" }))
    assert.are.equal("repeat_every", options.nearest("repeat-every", { "read", "repeat_every" }))
  end)

  it("is nil among none", function()
    assert.is_nil(options.nearest("a", {}))
  end)
end)

describe("a positional argument", function()
  local function takes_text(value)
    options.check_argument("thing.find", 1, "string", value)
    return value
  end

  it("passes if it has the type", function()
    assert.are.equal("x", takes_text("x"))
  end)

  it("is refused otherwise, at the caller", function()
    local ok, message = pcall(function()
      takes_text(5)
      return true
    end)
    assert.is_false(ok)
    assert.matches("options_spec.lua:%d+: thing.find: argument 1 must be a string, got number",
      message)
  end)
end)
