local probe = require("routes_probe")

local function accepts(header)
  assert.is_true(probe.accepts_gzip(header), header)
end

local function refuses(header)
  assert.is_false(probe.accepts_gzip(header), header)
end

describe("gzip is chosen", function()
  it("where it is named", function()
    for _, header in ipairs({
      "gzip", "GZip", "x-gzip", "gzip, deflate, br", "deflate,gzip", " , gzip ,", "gzip;q=1",
      "gzip;q=0.001", "gzip; q=0.5", "gzip ; q=1.000", "br;q=1.0, gzip;q=0.2",
    }) do
      accepts(header)
    end
  end)

  it("where a wildcard stands for it", function()
    accepts("*")
    accepts("*;q=0.1")
    accepts("br, *;q=0.5")
  end)

  it("where identity is liked as much, or less", function()
    accepts("gzip, identity")
    accepts("gzip;q=0.5, identity;q=0.5")
    accepts("gzip;q=0.8, identity;q=0.2")
    accepts("identity;q=0, *;q=1")
  end)

  it("by what it says itself, whatever a wildcard says", function()
    accepts("*;q=0, gzip")
    refuses("gzip;q=0, *")
  end)

  it("by the first of two words that contradict each other", function()
    accepts("gzip, gzip;q=0")
    refuses("gzip;q=0, gzip")
  end)
end)

describe("gzip is not chosen", function()
  it("where nobody asks for it", function()
    refuses(nil)
    for _, header in ipairs({ "", ",", "identity", "br, deflate", "gzi", "gzipp", "*/*", "x" }) do
      refuses(header)
    end
  end)

  it("where it is ruled out", function()
    for _, header in ipairs({ "gzip;q=0", "gzip;q=0.000", "*;q=0", "identity, *;q=0" }) do
      refuses(header)
    end
  end)

  it("where identity is liked better", function()
    refuses("gzip;q=0.5, identity")
    refuses("identity;q=1, gzip;q=0.999")
    refuses("identity, *;q=0.5")
  end)

  it("by a word that makes no sense", function()
    for _, header in ipairs({ "gzip;q=2", "gzip;q=-1", "gzip;q=x", "gzip;q=", "gzip;q=0.1234" }) do
      refuses(header)
    end
  end)
end)

describe("any header", function()
  it("gets an answer", function()
    local seed = os.time()
    local words = {
      "gzip", "*", "identity", ";", "q", "=", "0", ".", "5", ",", " ", '"', "\\", "\0",
    }
    math.randomseed(seed)
    for _ = 1, 5000 do
      local parts = {}
      for i = 1, math.random(0, 12) do
        parts[i] = words[math.random(#words)]
      end
      local header = table.concat(parts)
      assert.are.equal("boolean", type(probe.accepts_gzip(header)), "seed " .. seed)
    end
  end)
end)
