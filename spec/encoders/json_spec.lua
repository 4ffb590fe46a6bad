local json = require("support.json")
local probe = require("routes_probe")

local function random_text(length)
  local bytes = {}
  for i = 1, length do
    bytes[i] = string.char(math.random(0, 127))
  end
  return table.concat(bytes)
end

describe("JSON #valgrind", function()
  it("puts commas between members and nowhere else", function()
    assert.are.equal("{}", probe.json({}))
    assert.are.equal('{"a":1}', probe.json({ { "a", 1 } }))
    assert.are.equal('{"a":1,"b":"x","c":null}',
      probe.json({ { "a", 1 }, { "b", "x" }, { "c", false } }))
  end)

  it("escapes what would end a text, and all control characters", function()
    local text = 'a"b\\c\n\r\t\0\1\31\127 </script>'
    local made = probe.json({ { text, text } })
    assert.not_matches("%c", made)
    assert.are.equal(text, json.parse(made)[(text:match("^[^%z]*"))])
  end)

  it("gives any text back", function()
    local seed = os.time()
    math.randomseed(seed)
    for _ = 1, 300 do
      local text = random_text(math.random(0, 60))
      local value = json.parse(probe.json({ { "t", text } })).t
      assert.are.equal(text, value, "seed " .. seed)
    end
  end)

  it("keeps UTF-8 as it is", function()
    assert.are.equal('{"t":"\195\164\226\130\172\240\159\152\128"}',
      probe.json({ { "t", "\195\164\226\130\172\240\159\152\128" } }))
  end)

  it("writes numbers that read back as they are", function()
    local numbers = { 0, 1, -1, 0.1, 1 / 3, 1e300, -2.5e-300, 2 ^ 53, 123456.75, 5e-324 }
    for _, number in ipairs(numbers) do
      local text = probe.json({ { "n", number } })
      assert.are.equal(number, json.parse(text).n, text)
    end
  end)

  it("writes all digits of whole numbers", function()
    assert.are.equal("0", probe.json_uint(0, 0))
    assert.are.equal("18446744073709551615", probe.json_uint(2 ^ 32 - 1, 2 ^ 32 - 1))
    assert.are.equal("9007199254740993", probe.json_uint(2 ^ 21, 1))
  end)

  it("has words for what is no number", function()
    assert.are.equal('{"a":"+Inf","b":"-Inf","c":null}',
      probe.json({ { "a", math.huge }, { "b", -math.huge }, { "c", 0 / 0 } }))
  end)
end)
