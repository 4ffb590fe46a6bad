local figures = require "rtmetrics.leak.figures"

local MIB = 1024 * 1024

describe("figures for people", function()
  it("separate thousands", function()
    assert.are.equal("0", figures.count(0))
    assert.are.equal("999", figures.count(999))
    assert.are.equal("1,034", figures.count(1034))
    assert.are.equal("12,345,678", figures.count(12345678))
    assert.are.equal("-1,000", figures.count(-1000))
  end)

  it("show bytes in MiB", function()
    assert.are.equal("12.4 MiB", figures.mib(12.4 * MIB))
    assert.are.equal("0.0 MiB", figures.mib(0))
  end)

  it("keep two digits of a small rate", function()
    assert.are.equal("0.41 MiB/s", figures.mib_rate(0.41 * MIB))
    assert.are.equal("0.0021 MiB/s", figures.mib_rate(0.0021 * MIB))
    assert.are.equal("12.00 MiB/s", figures.mib_rate(12 * MIB))
  end)

  it("show a time in the unit that fits it", function()
    assert.are.equal("0.4 s", figures.duration(0.4))
    assert.are.equal("4 s", figures.duration(4))
    assert.are.equal("7 s", figures.duration(6.96))
    assert.are.equal("6.9 s", figures.duration(6.94))
    assert.are.equal("10 s", figures.duration(9.96))
    assert.are.equal("30 s", figures.duration(30))
    assert.are.equal("12 min", figures.duration(12 * 60))
    assert.are.equal("2.5 h", figures.duration(2.5 * 3600))
    assert.are.equal("3 days", figures.duration(3 * 86400))
    assert.are.equal("forever", figures.duration(math.huge))
  end)
end)
