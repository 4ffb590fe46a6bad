local json = require "support.json"
local prometheus_text = require "support.prometheus_text"
local run = require "support.run"

local TOKEN = "a-token-of-24-characters"

-- Starts the example on a free port, runs `line` of shell with its address in $AT, and ends it.
local SESSION = [[
{
  echo $BASHPID
  exec $RTM_LUA "$RTM_ROOT/examples/$NAME.lua" --port 0 --seconds 100 $WORDS 2>&1
} >log &
for i in $(seq 400); do grep -q 'pages at' log && break; sleep 0.05; done
AT=$(sed -n 's|^pages at \(http://[0-9.:]*\)/internal/ .*|\1|p' log)
[ -n "$AT" ] || { cat log >&2; exit 1; }
%s
status=$?
kill $(head -n 1 log)
wait
exit $status
]]

local function session(name, line, words)
  local result = run.command("bash -c " .. run.quote(SESSION:format(line)), {
    env = { NAME = name, WORDS = words or "" },
  })
  assert.are.equal(0, result.code, result.out .. result.err)
  return result.out
end

local function curl(words)
  return "curl -sS -m 20 " .. words
end

local function is_missing(name)
  local module = name == "http_copas" and "copas" or "http.server"
  return run.script(("require %q"):format(module)).code ~= 0 and module .. " is missing"
end

for _, name in ipairs({ "http_copas", "http_lua_http" }) do
  local missing = is_missing(name)

  local function it_serves(title, test)
    it(title, function()
      if missing then return pending(missing) end
      test()
    end)
  end

  describe("the example " .. name, function()
    it_serves("serves the application, and our pages below /internal", function()
      local out = session(name, table.concat({
        curl("$AT/"),
        curl("-o page -w '%{http_code} %{content_type}\n' $AT/internal/metrics"),
        curl("-o vars -w '%{http_code} %{content_type}\n' $AT/internal/debug/vars"),
        curl("-o /dev/null -w '%{http_code} %{redirect_url}\n' $AT/internal"),
        curl("-o /dev/null -w '%{http_code} %{size_download}\n' $AT/metrics"),
        curl("-o /dev/null -w '%{http_code}\n' -d hello $AT/internal/metrics"),
        "echo; cat page; echo --; cat vars",
      }, "\n")):gsub("127%.0%.0%.1:%d+", "AT")
      local lines, page, vars = out:match("^(.-)\n\n(.*)%-%-\n(.*)$")
      assert.matches("^hello\n200 text/plain; version=0%.0%.4; charset=utf%-8\n"
        .. "200 application/json; charset=utf%-8\n301 http://AT/internal/\n404 %d+\n405$", lines)
      prometheus_text.parse(page, "text")
      assert.is_true(json.parse(vars)["/process/memory/resident:bytes"] > 0)
    end)

    it_serves("answers HEAD with the length and no body, and compresses", function()
      local out = session(name, table.concat({
        curl("-I $AT/internal/healthz"),
        curl("-H 'Accept-Encoding: gzip' -o packed -D head $AT/internal/metrics"),
        "grep -qi '^content-encoding: gzip' head && gzip -dc packed || cat packed",
      }, "\n"))
      local head, text = out:gsub("\r", ""):match("^(.-\n)\n(.*)$")
      assert.matches("\n[Cc]ontent%-[Ll]ength: 3\n", head)
      assert.matches("^# HELP", text)
      prometheus_text.parse(text, "text")
    end)

    it_serves("asks for the token", function()
      local code = "-o /dev/null -w '%{http_code} ' "
      local out = session(name, table.concat({
        curl(code .. "$AT/"),
        curl(code .. "$AT/internal/metrics"),
        curl(code .. "-H 'Authorization: Bearer " .. TOKEN .. "' $AT/internal/metrics"),
        curl(code .. "-u me:" .. TOKEN .. " $AT/internal/"),
        curl(code .. "-u me:other $AT/internal/"),
      }, "\n"), "--token " .. TOKEN)
      assert.are.equal("200 401 200 200 401 ", out)
    end)

    it_serves("stands a load", function()
      if run.command("command -v wrk").code ~= 0 then return pending("wrk is missing") end
      if run.under() then return pending("says nothing more under " .. run.under()) end
      local out = session(name, "wrk -t 1 -c 8 -d 2s $AT/internal/metrics; "
        .. curl("-o /dev/null -w '%{http_code}\n' $AT/internal/healthz"))
      assert.not_matches("Non%-2xx", out)
      assert.not_matches("Socket errors", out)
      assert.is_true(tonumber(out:match("(%d+) requests in")) > 100, out)
      assert.matches("\n200\n$", out)
    end)
  end)
end

describe("the example http_lua_http", function()
  it("speaks HTTP/2 as well", function()
    local missing = is_missing("http_lua_http")
    if missing then return pending(missing) end
    local words = "--http2-prior-knowledge -o /dev/null -w '%{http_version} %{http_code}\n' "
    local out = session("http_lua_http",
      curl(words .. "$AT/internal/metrics") .. "\n" .. curl(words .. "$AT/"))
    assert.are.equal("2 200\n2 200\n", out)
  end)
end)
