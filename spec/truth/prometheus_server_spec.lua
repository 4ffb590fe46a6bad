-- A real Prometheus server scrapes a program and answers queries about it.
local run = require("support.run")

-- Serves GET /metrics as any server would, and the same in 0.0.4 under /text. It writes its port
-- into the first file and the content types that went out into the second.
local server = [[
local socket = require("socket")
local prometheus = require("rtmetrics.prometheus")

local requests = prometheus.counter("shop_requests_total", "Requests.", { "method", "status" })
requests:inc(41, { "GET", 200 })
requests:inc(1, { "GET", 200 })
requests:inc(2.5, { "PUT", 500 })
prometheus.gauge("shop_temperature_celsius", "Temperature."):set(-12.75)
local time = prometheus.histogram("shop_time_seconds", "Time to answer.", { "m" }, { 0.1, 1, 10 })
for _, value in ipairs({ 0.05, 0.1, 0.5, 5, 50 }) do
  time:observe(value, { "GET" })
end
local hostile = prometheus.counter("hostile", 'Help with \\ and " and \n.', { "text" })
local long = ("x"):rep(1e6)
for i, text in ipairs({ 'q"q', "b\\b", "n\nn", "z\0z", "\255", long, "<script>", "} 1\n" }) do
  hostile:inc(i, { text })
end

local listener = assert(socket.bind("127.0.0.1", 0))
local _, port = listener:getsockname()
local function write(path, mode, text)
  local file = assert(io.open(path, mode))
  file:write(text, "\n")
  file:close()
end
write(arg[2], "w", "")
write(arg[1], "w", port)

local function answer(client)
  client:settimeout(60)
  local path, accept = (client:receive("*l") or ""):match("^GET (%S+)"), nil
  local line = client:receive("*l")
  while line and line ~= "" do
    accept = line:match("^[Aa]ccept: (.*)$") or accept
    line = client:receive("*l")
  end
  local body, content_type = prometheus.render(path ~= "/text" and accept or nil)
  write(arg[2], "a", content_type)
  client:send(("HTTP/1.0 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"):format(
    content_type, #body, body))
  client:close()
end

while true do
  local client = listener:accept()
  if client then
    answer(client)
  end
end
]]

-- Starts both programs, waits until both jobs are up, asks, and ends both by their ids.
local driver = [[
queries=$PWD/queries
started=
stop() { for pid in $started; do kill "$pid" 2>/dev/null; done; wait; }
trap stop EXIT
wait_for() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 1000 ] || { echo "no $*" >&2; cat prometheus.log >&2; exit 1; }
        sleep 0.1
    done
}

$RTM_LUA server.lua port types & started="$started $!"
wait_for test -s port
target=127.0.0.1:$(cat port)
# A scrape that takes longer than this would fail, and take all values away again.
cat >prometheus.yml <<END
global: { scrape_interval: 5s, scrape_timeout: 5s }
scrape_configs:
- { job_name: openmetrics, static_configs: [ { targets: [ "$target" ] } ] }
- { job_name: text, metrics_path: /text, static_configs: [ { targets: [ "$target" ] } ] }
END
at=127.0.0.1:$PORT
prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address="$at" \
    --log.level=warn >prometheus.log 2>&1 & started="$started $!"
ask() { curl -sfG --max-time 20 --data-urlencode "query=$1" "http://$at/api/v1/query"; }
is_up() { ask 'sum(up)' | grep '"2"\]'; }
wait_for is_up
while read -r query; do
    printf '%s\t' "$query"
    ask "$query" || echo failed
    echo
done <"$queries"
printf 'targets\t'; curl -sf "http://$at/api/v1/targets"; echo
printf 'metadata\t'; curl -sf "http://$at/api/v1/metadata"; echo
printf 'series\t'
curl -sfG --data-urlencode 'match[]=hostile_total{job="openmetrics"}' "http://$at/api/v1/series"
echo
printf 'types\t'; sort -u types | tr '\n' ' '; echo
]]

local function missing()
  for _, program in ipairs({ "prometheus", "curl" }) do
    if run.command("command -v " .. program).code ~= 0 then
      return program .. " is missing (Debian: " .. program .. ")"
    end
  end
  if run.script('require("socket")').code ~= 0 then
    return "luasocket is missing (Debian: lua-socket)"
  end
end

local function write_file(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

-- The answers by question.
local function ask(queries)
  local dir = run.tmpdir()
  write_file(dir .. "/server.lua", server)
  write_file(dir .. "/queries", table.concat(queries, "\n") .. "\n")
  local env = { PORT = run.free_port() }
  local result = run.command(driver, { cwd = dir, env = env, timeout = 240 })
  assert.are.equal(0, result.code, result.err)
  local answers = {}
  for line in result.out:gmatch("[^\n]+") do
    local question, answer = line:match("^(.-)\t(.*)$")
    answers[question] = answer
  end
  os.execute("rm -rf " .. run.quote(dir))
  return answers
end

local expected = {
  ['shop_requests_total{method="GET",status="200"}'] = 42,
  ['shop_requests_total{method="PUT",status="500"}'] = 2.5,
  ["shop_temperature_celsius"] = -12.75,
  ['shop_time_seconds_count{m="GET"}'] = 5,
  ['shop_time_seconds_sum{m="GET"}'] = 55.65,
  ['shop_time_seconds_bucket{m="GET",le="0.1"}'] = 2,
  ['shop_time_seconds_bucket{m="GET",le=~"1|1.0"}'] = 3,
  ['shop_time_seconds_bucket{m="GET",le=~"10|10.0"}'] = 4,
  ['shop_time_seconds_bucket{m="GET",le="+Inf"}'] = 5,
  ['hostile_total{text="q\\"q"}'] = 1,
  ['hostile_total{text="b\\\\b"}'] = 2,
  ['hostile_total{text="n\\nn"}'] = 3,
  ['hostile_total{text="z\\x00z"}'] = 4,
  ['hostile_total{text="\\uFFFD"}'] = 5,
  ['hostile_total{text=~"x{256}"}'] = 6,
  ['hostile_total{text="<script>"}'] = 7,
  ['hostile_total{text="} 1\\n"}'] = 8,
}

local jobs = { "openmetrics", "text" }

describe("a Prometheus server that scrapes a Lua program", function()
  local reason = missing()
  local answers = {}

  lazy_setup(function()
    if reason then
      return
    end
    local queries = { "count({__name__=~'lua_.+'})" }
    for query in pairs(expected) do
      for _, job in ipairs(jobs) do
        queries[#queries + 1] = ("sum by (job) (%s) and on (job) up{job='%s'}"):format(query, job)
      end
    end
    answers = ask(queries)
  end)

  local function check(name, body)
    it(name, function()
      if reason then
        pending(reason)
      else
        body()
      end
    end)
  end

  check("has the right value for each query, from both formats", function()
    for query, value in pairs(expected) do
      for _, job in ipairs(jobs) do
        local question = ("sum by (job) (%s) and on (job) up{job='%s'}"):format(query, job)
        local answer = answers[question] or ""
        local text = answer:match('"value":%[[%d.]+,"([^"]+)"%]')
        assert.are.equal(value, tonumber(text), question .. ": " .. answer)
      end
    end
  end)

  check("finds both targets up, without an error", function()
    local _, up = answers.targets:gsub('"health":"up"', "")
    local _, clean = answers.targets:gsub('"lastError":""', "")
    assert.are.equal(2, up, answers.targets)
    assert.are.equal(2, clean, answers.targets)
  end)

  check("was given OpenMetrics where it asked for it", function()
    for _, content_type in ipairs({
      "application/openmetrics-text; version=1.0.0; charset=utf-8",
      "text/plain; version=0.0.4; charset=utf-8",
    }) do
      assert.matches(content_type, answers.types, 1, true)
    end
  end)

  check("knows types, help and units", function()
    for _, text in ipairs({
      '"shop_requests":[{"type":"counter","help":"Requests.","unit":""}]',
      '"shop_requests_total":[{"type":"counter","help":"Requests.","unit":""}]',
      '{"type":"histogram","help":"Time to answer.","unit":"seconds"}',
      '{"type":"gauge","help":"Temperature.","unit":"celsius"}',
    }) do
      assert.matches(text, answers.metadata, 1, true)
    end
  end)

  check("has each hostile label as one series, and the runtime's metrics", function()
    local _, count = answers.series:gsub('"__name__"', "")
    assert.are.equal(8, count)
    local runtime = answers["count({__name__=~'lua_.+'})"]
    assert.is_true(tonumber(runtime:match('"([%d.]+)"%]')) > 4, runtime)
  end)
end)
