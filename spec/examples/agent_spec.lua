-- The examples of the agent as a user runs them: each loop's own server answers, its figures are on
-- the agent's page, and they still are while the loop is stuck.
local run = require "support.run"

local EXAMPLES = {
  agent_plain = { series = "plain_orders_total [1-9]%d*\n" },
  agent_copas = {
    module = "copas", words = "--port 0", series = "copas_requests_total 1\n",
    says = "GET / HTTP/1.0\\r\\n\\r\\n", answer = "^HTTP/1.1 200 OK",
  },
  agent_cqueues = {
    module = "cqueues", words = "--port 0", says = "count\\n", answer = "^0$",
    series = "lua_coroutine_switches_total [1-9]%d*\n",
  },
  agent_luv = {
    module = "luv", words = "--port 0", says = "count\\n", answer = "^0$",
    series = "lua_heap_bytes [1-9]%d*\n",
  },
}

-- What a client of a program's own server gets back: a line, or the reason why not.
local CLIENT = [[
local skt = assert(require("socket").connect("127.0.0.1", arg[1]))
skt:settimeout(tonumber(arg[2]))
skt:send((arg[3]:gsub("\\(.)", { r = "\r", n = "\n" })))
local line, reason = skt:receive("*l")
print(line or reason)
]]

-- Starts an example; then there are `said TEXT` (waits for it), `page` (prints the agent's page)
-- and `ask SECONDS TEXT` (a client of the program's own server).
local DRIVER = [[
$RTM_LUA %s/examples/%s.lua %s >out 2>&1 &
pid=$!
end_it() { kill -KILL $pid 2>/dev/null; cat out >&2; }
trap end_it EXIT
said() {
    until grep -q -- "$1" out; do
        kill -0 $pid 2>/dev/null || exit 1
        sleep 0.05
    done
}
page() {
    words=$(sed -n 's/^look into it: curl \([^(]*\).*/\1/p' out)
    curl -sf --max-time 30 $words
}
ask() {
    $RTM_LUA client.lua "$(sed -n 's/.*127.0.0.1[: ]\([0-9]*\).*/\1/p' out | head -n 1)" "$1" "$2"
}
said 'look into it'
]]

local function missing(module)
  if module and run.script(("require(%q)"):format(module)).code ~= 0 then
    return module .. " is missing for this Lua (Debian: lua-" .. module .. ")"
  end
  if run.script('require("rtmetrics.agent")').code ~= 0 then
    return "the agent is not built"
  end
end

local function drive(name, words, shell)
  local dir = run.tmpdir()
  local file = assert(io.open(dir .. "/client.lua", "w"))
  file:write(CLIENT)
  file:close()
  local result = run.command(DRIVER:format(run.quote(run.root()), name, words) .. shell,
    { cwd = dir, timeout = 120 })
  assert.are.equal(0, result.code, result.err)
  return result
end

for name, example in pairs(EXAMPLES) do
  describe("the example " .. name, function()
    local reason = missing(example.module)
    local words = "--listen 127.0.0.1:0 " .. (example.words or "")

    local function check(title, body)
      it(title, function()
        if reason then
          pending(reason)
        else
          body()
        end
      end)
    end

    check("does its work, shows it on the agent's page and ends at Ctrl-C", function()
      -- The page shows what was answered a moment ago as soon as the loop has counted it.
      local result = drive(name, words .. " --stuck-after 0", ([[
        touch answer
        [ -z %s ] || ask 50 %s >answer
        said '[1-9][0-9]* requests answered\|leads'
        page >page || exit 1
        kill -INT $pid
        wait $pid
        echo "status $?"
        cat page answer
      ]]):format(run.quote(example.says or ""), run.quote(example.says or "")))
      assert.matches("^status 0\n", result.out)
      if not (run.is("luajit") and name == "agent_cqueues") then
        assert.matches("\n" .. example.series, result.out)
      end
      assert.matches(example.answer or "", result.out:match("([^\n]*)\n$"))
    end)

    check("is seen from outside while it is stuck", function()
      local result = drive(name, words .. " --stuck-after 0.1 --stuck-for 100", ([[
        said 'stuck on purpose'
        page >first && page >second || exit 1
        [ -z %s ] || ask 1 %s
        for page in first second; do
            sed -n 's/^lua_heap_allocs_bytes_total[^ ]* /allocated /p' $page
        done
        ! grep '^free again' out
      ]]):format(run.quote(example.says or ""), run.quote(example.says or "")))
      if example.says then
        assert.matches("^timeout\n", result.out)
      end
      local first, second = result.out:match("allocated (%S+)\nallocated (%S+)\n$")
      assert.is_truthy(first, result.out)
      assert.are.equal(first, second)
    end)
  end)
end

describe("an example with its agent on a unix socket", function()
  it("answers there, and takes the socket away at its end", function()
    if missing() then
      pending(missing())
      return
    end
    local result = drive("agent_plain", "--listen unix:$PWD/agent.sock --stuck-after 0", [[
      page | grep -c '^lua_heap_bytes'
      stat -c %a agent.sock
      kill -INT $pid
      wait $pid
      echo "status $?"
      ! ls agent.sock 2>/dev/null
    ]])
    assert.are.equal("1\n600\nstatus 0\n", result.out)
  end)
end)
