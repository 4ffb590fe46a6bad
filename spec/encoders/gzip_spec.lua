local probe = require("routes_probe")
local run = require("support.run")

-- Long enough to be worth it; nil where the build has no zlib.
local function has_zlib()
  return probe.gzip(("a"):rep(1000)) ~= nil
end

local function it_packs(title, test)
  it(title, function()
    if not has_zlib() then return pending("built without zlib") end
    test()
  end)
end

local function assert_round_trip(text)
  local packed = probe.gzip(text)
  assert.is_truthy(packed)
  assert.is_true(#packed < #text)
  local result = run.command("gzip -dc", { stdin = packed })
  assert.are.equal(0, result.code, result.err)
  assert.is_true(result.out == text, "another text came out")
end

describe("gzip #valgrind", function()
  it_packs("gives back what went in", function()
    assert_round_trip(("lua_heap_bytes 12345\n"):rep(10))
    assert_round_trip(("\0\255\n"):rep(100000))
    local lines = {}
    for i = 1, 20000 do
      lines[i] = ('shop_requests_total{path="/%d"} %d\n'):format(i * 7919 % 10007, i)
    end
    assert_round_trip(table.concat(lines))
  end)

  it_packs("packs nothing that would grow", function()
    math.randomseed(7)
    local bytes = {}
    for i = 1, 5000 do
      bytes[i] = string.char(math.random(0, 255))
    end
    assert.is_nil(probe.gzip(table.concat(bytes)))
    assert.is_nil(probe.gzip(""))
    assert.is_nil(probe.gzip("x"))
  end)
end)
