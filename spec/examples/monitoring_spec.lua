-- The Grafana dashboard, the Prometheus configuration and its alert rules, against the table of
-- metrics and Prometheus' own tool.
local core = require "rtmetrics.core"
local json = require "dkjson"
local run = require "support.run"

local PROMETHEUS = run.root() .. "/examples/prometheus/"

local function read_file(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- The names of the series that a page can have, on any Lua.
local function known_series()
  local known = { up = true }
  for _, metric in ipairs((core.describe())) do
    if metric.family and metric.kind == "float64-histogram" then
      for _, part in ipairs({ "_bucket", "_sum", "_count" }) do
        known[metric.family .. part] = true
      end
    elseif metric.family then
      known[metric.family .. (metric.cumulative and "_total" or "")] = true
    end
  end
  return known
end

local WORDS = { ["and"] = true, ["or"] = true, ["unless"] = true, offset = true, by = true }

-- Calls `check(name)` for each name of a series in an expression: what is left of it without texts,
-- selectors, ranges, lists of labels and functions.
local function each_series(expression, check)
  local rest = expression:gsub('"[^"]*"', "")
    :gsub("%b{}", ""):gsub("%b[]", " "):gsub("offset %d+%a", "")
  for _, word in ipairs({ "by", "on", "without", "ignoring" }) do
    rest = rest:gsub("%f[%a]" .. word .. " *%b()", " ")
  end
  for name, after in rest:gmatch("%f[%a_]([%a_:][%w_:]*) *(%(?)") do
    if after == "" and not WORDS[name] then
      check(name)
    end
  end
end

local function dashboard()
  local board, _, message = json.decode(read_file(run.root() .. "/examples/grafana/rtmetrics.json"))
  return assert(board, message)
end

-- Calls `each(expression, panel)` for every query of the dashboard.
local function each_expression(board, each)
  for _, panel in ipairs(board.panels) do
    for _, target in ipairs(panel.targets or {}) do
      each(target.expr, panel)
    end
  end
end

-- As Grafana does before it asks.
local function with_variables(expression)
  return (expression:gsub("%$__rate_interval", "1m"):gsub("%$(%a+)", "any"))
end

local function rules_of(board)
  local lines = { "groups:", "- name: dashboard", "  rules:" }
  each_expression(board, function(expression)
    lines[#lines + 1] = ("  - record: dashboard:query%d"):format(#lines)
    lines[#lines + 1] = "    expr: " .. json.encode(with_variables(expression))
  end)
  return table.concat(lines, "\n") .. "\n"
end

local function check_with_promtool(name, words, cwd)
  it(name, function()
    if run.command("command -v promtool").code ~= 0 then
      pending("promtool is missing (Debian: prometheus)")
      return
    end
    local result = run.command("promtool " .. words, { cwd = cwd or PROMETHEUS })
    assert.are.equal(0, result.code, result.out .. result.err)
  end)
end

describe("the Grafana dashboard", function()
  local board = dashboard()

  it("asks only for series that a page of ours can have", function()
    local known, asked = known_series(), 0
    each_expression(board, function(expression, panel)
      each_series(expression, function(name)
        asked = asked + 1
        assert.is_true(known[name] ~= nil, panel.title .. ": no series " .. name)
      end)
    end)
    assert.is_true(asked > 50, "only " .. asked .. " series found in the queries")
  end)

  local dir = run.tmpdir()
  write_file(dir .. "/queries.yml", rules_of(board))
  check_with_promtool("has queries that Prometheus can parse", "check rules queries.yml", dir)

  it("lets one choose the data source, the job, the instance and the VM", function()
    local variables = {}
    for i, variable in ipairs(board.templating.list) do
      variables[i] = variable.name
      if variable.type == "query" then
        -- A process with one VM has no label vm, which only ".*" matches.
        assert.are.equal(".*", variable.allValue)
      end
    end
    assert.are.same({ "datasource", "job", "instance", "vm" }, variables)
    each_expression(board, function(expression, panel)
      assert.are.equal("${datasource}", panel.datasource.uid)
      for selector in expression:gmatch("%b{}") do
        assert.matches('job=~"$job",instance=~"$instance"', selector, 1, true)
      end
    end)
  end)

  it("has panels with ids of their own that do not overlap", function()
    local ids, cells = {}, {}
    for _, panel in ipairs(board.panels) do
      assert.is_nil(ids[panel.id], panel.title)
      ids[panel.id] = true
      local at = panel.gridPos
      for x = at.x, at.x + at.w - 1 do
        for y = at.y, at.y + at.h - 1 do
          assert.is_true(x < 24, panel.title)
          assert.is_nil(cells[y * 24 + x], panel.title)
          cells[y * 24 + x] = true
        end
      end
    end
  end)

  it("says of each panel what it shows", function()
    for _, panel in ipairs(board.panels) do
      assert.is_true(panel.type == "row" or #panel.description > 10, panel.title)
    end
  end)
end)

describe("the Prometheus configuration", function()
  check_with_promtool("is accepted", "check config prometheus.yml")
end)

describe("the alert rules", function()
  local text = read_file(PROMETHEUS .. "rtmetrics.rules.yml")

  check_with_promtool("are accepted", "check rules --lint=all --lint-fatal rtmetrics.rules.yml")
  check_with_promtool("fire when they should and are silent when not",
    "test rules rtmetrics.rules.test.yml")

  it("ask only for series that a page of ours can have", function()
    local known, asked = known_series(), 0
    for name in text:gsub("#[^\n]*", ""):gmatch("%f[%w_]%a+_[%w_]+%f[^%w_]") do
      if name:find("^lua_") or name:find("^process_") or name:find("^rtmetrics_") then
        asked = asked + 1
        assert.is_true(known[name] ~= nil, "no series " .. name)
      end
    end
    assert.is_true(asked > 20, "only " .. asked .. " series found in the rules")
  end)

  it("are each tried by the tests", function()
    local tests = read_file(PROMETHEUS .. "rtmetrics.rules.test.yml")
    for alert in text:gmatch("alert: (%w+)") do
      assert.matches("alertname: " .. alert .. "\n +exp_alerts", tests)
    end
  end)
end)
