local json = require "support.json"
local nginx = require "support.nginx"
local prometheus_text = require "support.prometheus_text"
local run = require "support.run"

local missing = nginx.missing()

local function with_server(test)
  return function()
    if missing then return pending(missing) end
    local server = nginx.start()
    finally(function()
      server:stop()
    end)
    test(server)
    assert.are.equal("", server:alarms())
    assert.is_nil(server:log():match("[^\n]*%[error%][^\n]*"))
  end
end

local function curl(server, words, path)
  local line = "curl -sS -m 20 " .. words .. " " .. run.quote(server:url(path))
  local result = run.command(line)
  assert.are.equal(0, result.code, result.err)
  return result.out
end

describe("rtmetrics.http in nginx", function()
  it("serves the pages below its location", with_server(function(server)
    local metrics = server:get("/internal/metrics")
    assert.are.equal(200, metrics.status)
    assert.are.equal("text/plain; version=0.0.4; charset=utf-8", metrics.type)
    local families = prometheus_text.parse(metrics.body, "text")
    assert.is_true(prometheus_text.value(families, "lua_heap_bytes") > 50000)
    local vars = json.parse(server:get("/internal/debug/vars").body)
    assert.is_true(vars.memstats.alloc_bytes > 50000)
    local index = server:get("/internal/")
    assert.are.equal("text/html; charset=utf-8", index.type)
    assert.matches('<a href="metrics">', index.body, 1, true)
  end))

  it("leads to the index, and to 404 where there is no page", with_server(function(server)
    local format = "-o /dev/null -w '%{http_code} %{redirect_url}'"
    assert.matches("^301 http://[%d.:]+/internal/$", curl(server, format, "/internal"))
    assert.are.equal("404 ", curl(server, format, "/internal/nothing"))
    assert.are.equal("404 ", curl(server, format, "/internals"))
    assert.are.equal(200, server:get("/").status)
  end))

  it("answers HEAD, other methods and bodies", with_server(function(server)
    local head = curl(server, "-I", "/internal/healthz")
    assert.matches("^HTTP/1.1 200", head)
    assert.matches("\r\nContent%-Length: 3\r\n", head)
    local format = "-o /dev/null -w '%{http_code}'"
    assert.are.equal("405", curl(server, format .. " -d hello", "/internal/metrics"))
    assert.matches("\r\nAllow: GET, HEAD\r\n", curl(server, "-i -X DELETE", "/internal/metrics"))
  end))

  it("guards what it shows, and compresses it", with_server(function(server)
    local reply = curl(server, "-i", "/internal/")
    assert.matches("\r\nX%-Content%-Type%-Options: nosniff\r\n", reply)
    assert.matches("\r\nContent%-Security%-Policy: default%-src 'none'", reply)
    local text = curl(server, "--compressed", "/internal/metrics")
    prometheus_text.parse(text, "text")
  end))

  it("fails no request under load", with_server(function(server)
    local load = server:load("/internal/metrics", 2)
    assert.are.equal(0, load.failed)
    assert.is_true(load.requests > 100, load.requests .. " requests")
  end))
end)
