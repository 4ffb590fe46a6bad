-- A real Prometheus server scrapes the agents of two programs, in both formats, under load and then
-- for as long as one spins and the other sleeps in C.
local json = require "dkjson"
local run = require "support.run"

-- Works until Prometheus has begun and for arg[2] seconds more. Then writes every figure of its VM
-- and of its own series, in a way that allocates nothing, so that the figures stay what they were,
-- and never comes back.
local program = [[
local agent, prometheus = require("rtmetrics.agent"), require("rtmetrics.prometheus")
local core, rt = require("rtmetrics.core"), require("rtmetrics")
local sleep = require("socket").sleep
local way, seconds, listen = arg[1], tonumber(arg[2]), arg[3]

local orders = prometheus.counter("shop_orders_total", "Orders.", { "kind" })
local times = prometheus.histogram("shop_time_seconds", "Time.", nil, { 0.1, 1 })
local address = assert(agent.start({ listen = listen })).address

local taken, sum = 0, 0
local function take_order()
  local lines = {}
  for i = 1, 20 do lines[i] = { name = "line " .. i, amount = i * 0.5 } end
  local worker = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(lines[i]) end end)
  worker() worker()
  taken, sum = taken + 1, sum + 0.25
  orders:inc(1, { "web" })
  times:observe(0.25)
end

-- Figures of other threads and of the process go on.
local moving = { "^/process/", "^/cpu/classes/total:", "^/sched/threads", "^/memory/classes/total:",
  "^/memory/classes/rtmetrics:", "^/rtmetrics/memory/", "^/rtmetrics/agent/" }
local function is_frozen(name)
  for _, pattern in ipairs(moving) do
    if name:find(pattern) then return false end
  end
  return true
end

local names, keys, parts, is_histogram = {}, {}, {}, {}
for _, metric in ipairs((core.describe())) do
  if metric.family and is_frozen(metric.name) then
    local i = #names + 1
    names[i], is_histogram[i] = metric.name, metric.kind == "float64-histogram"
    -- Percent are a ratio in Prometheus.
    parts[i] = metric.unit == "percent" and 100 or 1
    local ending = is_histogram[i] and "_count" or metric.cumulative and "_total" or ""
    keys[i] = metric.family .. ending .. "{" .. (metric.labels or "") .. "} "
  end
end

local function write_figures(file, samples)
  file:seek("set")
  for i, sample in ipairs(samples) do
    local value = sample.value
    if is_histogram[i] and value then
      local counts, total = value.counts, 0
      for j = 1, #counts do total = total + counts[j] end
      value = total
    end
    if value then file:write(keys[i], value / parts[i], "\n") end
  end
  file:write('shop_orders_total{kind="web"} ', taken, "\n")
  file:write("shop_time_seconds_count{} ", taken, "\n")
  file:write("shop_time_seconds_sum{} ", sum, "\n")
end

local file = assert(io.open(way .. ".address", "w"))
file:write(address, "\n")
file:close()
local finish
while not finish or rt.clock() < finish do
  local begun = not finish and io.open("begun")
  if begun then
    begun:close()
    finish = rt.clock() + seconds
  end
  for _ = 1, 100 do take_order() end
  sleep(0.01)
end
collectgarbage()
collectgarbage("stop")
-- The compiler of LuaJIT allocates for the loops to come.
if jit then jit.off() end
file = assert(io.open(way .. ".figures", "w"))
local samples = rt.read(names)
-- What these calls need once (frames, buffers) they need the first time.
for _ = 1, 2 do
  rt.read(samples)
  write_figures(file, samples)
end
file:close()
if way == "spins" then
  while true do end
end
sleep(1000)
]]

-- Starts the programs, a proxy that reaches one by its unix socket and asks the other for text, and
-- Prometheus; waits until each target was scraped twice since all was quiet; asks.
local driver = [[
started=
stop() { for pid in $started; do kill "$pid" 2>/dev/null; done; wait; }
trap stop EXIT
wait_for() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "no $*" >&2; cat *.log >&2; exit 1; }
        sleep 0.1
    done
}
free_port() {
    $RTM_LUA -e 'local s = require("socket").bind("127.0.0.1", 0)
                 print((select(2, s:getsockname())))'
}
$RTM_LUA program.lua spins "$1" 127.0.0.1:0 2>spins.log & started="$started $!"
$RTM_LUA program.lua sleeps "$1" "unix:$PWD/sleeps.sock" 2>sleeps.log & started="$started $!"
wait_for test -s spins.address
wait_for test -s sleeps.address
direct=$(cat spins.address)
proxy=127.0.0.1:$(free_port)
cat >nginx.conf <<END
daemon off; pid nginx.pid; error_log stderr error;
user $(id -un) $(id -gn);
events { }
http {
  access_log off;
  client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;
  scgi_temp_path s;
  server {
    listen $proxy;
    location = /spins/text {
      proxy_set_header Accept text/plain; proxy_pass http://$direct/metrics;
    }
    location = /sleeps/openmetrics { proxy_pass http://unix:$PWD/sleeps.sock:/metrics; }
    location = /sleeps/text {
      proxy_set_header Accept text/plain; proxy_pass http://unix:$PWD/sleeps.sock:/metrics;
    }
  }
}
END
nginx -p "$PWD" -c nginx.conf 2>nginx.log & started="$started $!"
wait_for curl -sf --max-time 5 -o page "http://$proxy/sleeps/text"
job() {
    echo "- { job_name: $1, metrics_path: $2, static_configs: [ { targets: [ '$3' ] } ] }"
}
{
    echo 'global: { scrape_interval: 1s, scrape_timeout: 1s }'
    echo scrape_configs:
    job spins-openmetrics /metrics "$direct"
    job spins-text /spins/text "$proxy"
    job sleeps-openmetrics /sleeps/openmetrics "$proxy"
    job sleeps-text /sleeps/text "$proxy"
} >prometheus.yml
at=127.0.0.1:$(free_port)
prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address="$at" \
    --log.level=warn >prometheus.log 2>&1 & started="$started $!"
ask() { curl -sfG --max-time 20 --data-urlencode "query=$1" "http://$at/api/v1/query"; }
are_up() { ask 'sum(up)' | grep '"4"\]'; }
wait_for are_up
touch begun
is_quiet() {
    [ "$(cat spins.figures sleeps.figures | grep -c '^shop_time_seconds_sum')" = 2 ]
}
wait_for is_quiet
quiet=$(date +%s)
# The figures of a source outside of the VM are up to a second old.
has_been_scraped() { ask "count(timestamp(up) > $quiet + $2)" | grep '"4"\]'; }
wait_for has_been_scraped since "$2"
for name in spins sleeps; do
    for format in openmetrics text; do
        printf 'figures %s-%s\t' $name $format
        ask "{job=\"$name-$format\"}" || exit 1
        echo
    done
    sed "s/^/$name\t/" $name.figures
done
while read -r query; do
    printf '%s\t' "$query"
    ask "$query" || exit 1
    echo
done <queries
printf 'targets\t'; curl -sf "http://$at/api/v1/targets"; echo
for name in spins sleeps; do
    page=$(sed -e 's|^unix:\(.*\)|--unix-socket \1 localhost|' $name.address)
    printf 'type %s\t' $name
    curl -s -o /dev/null -w '%{content_type}' -H 'Accept: text/plain' $page/metrics; echo
done
]]

local JOBS = { "spins-openmetrics", "spins-text", "sleeps-openmetrics", "sleeps-text" }

-- Each must give 1 for each job.
local TRUE_OF_EACH = {
  "min_over_time(up[10m])",
  "1 - clamp_max(resets(lua_heap_allocs_bytes_total[10m]), 1)",
  "clamp_max(changes(lua_heap_allocs_bytes_total[10m]), 1)",
}

local function missing()
  for _, name in ipairs({ "prometheus", "curl", "nginx" }) do
    if run.command("command -v " .. name).code ~= 0 then
      return name .. " is missing (Debian: " .. name .. ")"
    end
  end
  for _, module in ipairs({ "socket", "rtmetrics.agent" }) do
    if run.script(("require(%q)"):format(module)).code ~= 0 then
      return module .. " is missing"
    end
  end
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- The answers by question, and the lines of figures by program.
local function observe(load_seconds, quiet_seconds)
  local dir = run.tmpdir()
  write_file(dir .. "/program.lua", program)
  write_file(dir .. "/queries", table.concat(TRUE_OF_EACH, "\n") .. "\n")
  local words = ("set -- %g %g\n"):format(load_seconds, quiet_seconds)
  local result = run.command(words .. driver, { cwd = dir, timeout = 150 })
  os.execute("rm -rf " .. run.quote(dir))
  assert.are.equal(0, result.code, result.err)
  local answers, figures = {}, { spins = {}, sleeps = {} }
  for line in result.out:gmatch("[^\n]+") do
    local question, answer = line:match("^([^\t]*)\t(.*)$")
    if figures[question] then
      local key, value = answer:match("^(.-) (%S+)$")
      figures[question][key] = tonumber(value)
    else
      answers[question] = answer
    end
  end
  return answers, figures
end

local function key_of(labels)
  local rest = {}
  for name, value in pairs(labels) do
    if name ~= "job" and name ~= "instance" and name ~= "__name__" then
      rest[#rest + 1] = ("%s=%q"):format(name, value)
    end
  end
  return (labels.__name__ or "") .. "{" .. table.concat(rest, ",") .. "}"
end

-- What a query's answer says, by series or, with `by_job`, by job.
local function values_of(answer, by_job)
  local values = {}
  for _, series in ipairs(assert(json.decode(answer)).data.result) do
    values[by_job and series.metric.job or key_of(series.metric)] = tonumber(series.value[2])
  end
  return values
end

-- Lua prints a fraction with 14 digits.
local function is_equal(ours, theirs)
  return theirs and math.abs(ours - theirs) <= math.abs(ours) * 1e-13
end

local function check_figures(answers, figures)
  for _, job in ipairs(JOBS) do
    local theirs, compared = values_of(answers["figures " .. job]), 0
    for key, value in pairs(figures[job:match("^%a+")]) do
      assert.is_true(is_equal(value, theirs[key]),
        ("%s: %s is %.17g, Prometheus has %s"):format(job, key, value, tostring(theirs[key])))
      compared = compared + 1
    end
    assert.is_true(compared > 15, job .. ": only " .. compared .. " figures")
    assert.is_true(theirs['shop_orders_total{kind="web"}'] > 0)
  end
end

local function check_health(answers)
  for _, query in ipairs(TRUE_OF_EACH) do
    local values = values_of(answers[query], true)
    for _, job in ipairs(JOBS) do
      assert.are.equal(1, values[job], query .. " of " .. job)
    end
  end
  local _, clean = answers.targets:gsub('"lastError":""', "")
  assert.are.equal(#JOBS, clean, answers.targets)
end

describe("a Prometheus server that scrapes agents", function()
  local reason = missing()

  local function check(name, load_seconds, quiet_seconds)
    it(name, function()
      if reason then
        pending(reason)
        return
      end
      local answers, figures = observe(load_seconds, quiet_seconds)
      check_figures(answers, figures)
      check_health(answers)
      for _, way in ipairs({ "spins", "sleeps" }) do
        assert.are.equal("text/plain; version=0.0.4; charset=utf-8", answers["type " .. way])
      end
    end)
  end

  check("has our figures of programs that work, then spin or sleep in C, and sees them up", 3, 2)
  check("does so through half a minute of work #nightly", 30, 10)
end)
