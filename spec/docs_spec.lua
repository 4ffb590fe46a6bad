local core = require "rtmetrics.core"
local run = require "support.run"

local root = run.root()

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local pages = {}
for _, name in ipairs({ "README.md", "CHANGELOG.md", "docs/agent.md", "docs/architecture.md" }) do
  pages[name] = read_file(root .. "/" .. name)
end

local reference = read_file(root .. "/docs/metrics.md")

local METRIC = "`(/[%w/%-]+:[%w%-]+)`"

-- Every match of a pattern on the pages, once each: {text, page}.
local function found_on_pages(pattern)
  local found, seen = {}, {}
  for page, text in pairs(pages) do
    for match in text:gmatch(pattern) do
      if not seen[match] then
        seen[match] = true
        found[#found + 1] = { text = match, page = page }
      end
    end
  end
  assert.is_true(#found > 0, "nothing on the pages looks like " .. pattern)
  return found
end

local function run_lua(code, opts)
  local result = run.script(code, opts)
  assert.are.equal(0, result.code, result.out .. result.err)
  return result.out
end

-- The kind that each metric reads after a little work: a cycle, a coroutine.
local function read_kinds()
  local out = run_lua([[
    local rt = require "rtmetrics"
    local co = coroutine.wrap(function() coroutine.yield() end)
    co()
    rt.gc()
    for _, metric in ipairs(rt.all()) do
      print(metric.name, select(2, rt.value(metric.name)))
    end
  ]])
  local kinds = {}
  for name, kind in out:gmatch("(%S+)%s+(%S+)\n") do
    kinds[name] = kind
  end
  return kinds
end

-- The cells of the rows whose first cell or second cell is a metric: {cell, cell, ...}.
local function rows_with_metrics(text)
  local rows = {}
  for line in text:gmatch("[^\n]+") do
    if line:match("^|.*" .. METRIC) then
      local cells = {}
      for cell in line:gmatch("|%s*([^|]*[^|%s])%s*") do
        cells[#cells + 1] = cell
      end
      rows[#rows + 1] = cells
    end
  end
  return rows
end

-- The code of a page's block that has a text in it.
local function block_with(page, text)
  for code in pages[page]:gmatch("```lua\n(.-)```") do
    if code:find(text, 1, true) then
      return code
    end
  end
  error("no block on " .. page .. " has " .. text)
end

describe("the generated pages", function()
  for _, page in ipairs({ "api.md", "metrics.md", "urls.md" }) do
    it("are what `make docs` makes: " .. page, function()
      local made = run.command(([[
        mkdir made && $RTM_LUA %s made && cat made/%s
      ]]):format(run.quote(root .. "/docs/generate.lua"), page))
      assert.are.equal(0, made.code, made.err)
      assert.is_true(made.out == read_file(root .. "/docs/" .. page),
        "docs/" .. page .. " is stale: run `make docs` and commit it")
    end)
  end

  it("say on which Luas each metric is known", function()
    local columns = { luajit = "LuaJIT" }
    local column = columns[run.lua_name()] or run.lua_name()
    -- A limit that is not set, a kernel without swap or control groups; no agent has run.
    local depends_on_system = { "^/process/cgroup/", "%-limit:", "/swapped:", "^/rtmetrics/agent/" }
    local kinds = read_kinds()
    for _, cells in ipairs(rows_with_metrics(reference)) do
      local name, known_on = cells[1]:match(METRIC), cells[4]
      local is_open = not known_on
      for _, pattern in ipairs(depends_on_system) do
        is_open = is_open or name:find(pattern) ~= nil
      end
      if not is_open then
        local is_listed = known_on:find(column, 1, true) and not known_on:find(column .. " full")
        local is_said = known_on == "all" or is_listed and true or false
        assert.are.equal(is_said, kinds[name] ~= "bad", name .. ": known on " .. known_on)
      end
    end
  end)
end)

describe("README, CHANGELOG, agent and architecture", function()
  it("name only metrics that exist", function()
    local kinds = read_kinds()
    for _, found in ipairs(found_on_pages(METRIC)) do
      assert.is_truthy(kinds[found.text], found.page .. ": no metric " .. found.text)
    end
  end)

  it("name only make targets that exist", function()
    local makefile = "\n" .. read_file(root .. "/Makefile")
    for _, pattern in ipairs({ "`make (%l[%l-]*)", "\nmake (%l[%l-]*)", "make %-s (%l[%l-]*)" }) do
      for _, found in ipairs(found_on_pages(pattern)) do
        assert.is_truthy(makefile:find("\n" .. found.text:gsub("%-", "%%-") .. ":"),
          found.page .. ": no target " .. found.text)
      end
    end
  end)

  it("link only to files that exist", function()
    for _, found in ipairs(found_on_pages("%]%(([^):#]+)%)")) do
      local folder = found.page:match("^(.*/)") or ""
      local file = io.open(root .. "/" .. folder .. found.text)
      assert.is_truthy(file, found.page .. ": no file " .. found.text)
      file:close()
    end
  end)

  it("name only functions of the module that exist", function()
    local names = {}
    for i, found in ipairs(found_on_pages("rt%.([%l_]+)")) do
      names[i] = found.text
    end
    local out = run_lua([[
      local rt = require "rtmetrics"
      for _, name in ipairs(arg) do
        if rt[name] == nil then print(name) end
      end
    ]], { args = names })
    assert.are.equal("", out)
  end)

  it("name only C functions and files that exist", function()
    local text = run.command("cat " .. run.quote(root) .. "/src/*/*.[ch]").out
    for _, found in ipairs(found_on_pages("(rtm_[%l_]+%l)")) do
      assert.is_truthy(text:find(found.text, 1, true), found.page .. ": no " .. found.text)
    end
    for _, found in ipairs(found_on_pages("src/(%l+/[%l%d_]+%.[ch])")) do
      local file = io.open(root .. "/src/" .. found.text)
      assert.is_truthy(file, found.page .. ": no file src/" .. found.text)
      file:close()
    end
  end)

  it("know the version", function()
    local version = run_lua([[io.write(require("rtmetrics")._VERSION)]])
    assert.is_truthy(pages["CHANGELOG.md"]:find("## [" .. version .. "]", 1, true), version)
  end)
end)

describe("README's tables", function()
  it("give each metric the name that it has in Prometheus", function()
    local count = 0
    for _, cells in ipairs(rows_with_metrics(pages["README.md"])) do
      if cells[1]:match(METRIC) then
        count = count + 1
        assert.is_truthy(reference:find("| " .. cells[1] .. " | " .. cells[3] .. " |", 1, true),
          cells[1] .. " is not " .. cells[3])
      end
    end
    assert.is_true(count > 0)
  end)

  it("say what this Lua gives", function()
    local columns = { ["5.4"] = 3, ["5.3"] = 4, ["5.1"] = 5, luajit = 6 }
    local kinds, count = read_kinds(), 0
    for _, cells in ipairs(rows_with_metrics(pages["README.md"])) do
      local name = not cells[1]:match(METRIC) and cells[2]:match(METRIC)
      if name then
        count = count + 1
        local is_known = kinds[name] ~= "bad"
        assert.are.equal(is_known and "yes" or "no", cells[columns[run.lua_name()]], name)
      end
    end
    assert.is_true(count > 0)
  end)
end)

describe("the agent's documentation", function()
  local function it_needs_the_agent(name, body)
    it(name, function()
      if run.script([[require("rtmetrics.agent")]]).code ~= 0 then
        pending("the agent is not built")
      else
        body()
      end
    end)
  end

  it_needs_the_agent("has every option in its tables, and no other", function()
    local out = run_lua([[
      print(select(2, pcall(require("rtmetrics.agent").start, { no_such_option = 1 })))
    ]])
    local known, count = ", " .. out:match("known: ([^)]*)") .. ",", 0
    for _, page in ipairs({ "README.md", "docs/agent.md" }) do
      local options_table = pages[page]:match("\n(| `listen` |.-)\n\n")
      for row in options_table:gmatch("[^\n]+") do
        for option in row:match("^| ([^|]*) |"):gmatch("`([%l_]+)`") do
          count = count + 1
          assert.is_truthy(known:find(", " .. option .. ",", 1, true), page .. ": " .. option)
        end
      end
    end
    assert.are.equal(2 * select(2, known:gsub(", ", "")), count)
  end)

  it("has the class of each page that it names", function()
    local classes = {}
    for _, route in ipairs((core.routes())) do
      classes[route.path] = route.class
    end
    local pages_table = pages["docs/agent.md"]:match("\n(| `/` |.-)\n\n")
    for path, class in pages_table:gmatch("| `(/[^`]*)` | (%l+) |") do
      assert.are.equal(classes[path], class, path)
    end
  end)

  it_needs_the_agent("begins with a program that answers in its endless loop", function()
    local port = run.free_port()
    local code, count = block_with("README.md", "rtmetrics.agent"):gsub("start%(%)",
      ('start { listen = "127.0.0.1:%d" }'):format(port))
    assert.are.equal(1, count)
    local page = run.command(([[
      printf %%s "$CODE" >program.lua
      $RTM_LUA program.lua & pid=$!
      curl -sf --retry 50 --retry-delay 1 --retry-connrefused http://127.0.0.1:%d/metrics
      kill $pid
    ]]):format(port), { env = { CODE = code } })
    assert.matches("\nlua_heap_bytes %d", page.out)
  end)
end)

describe("README's programs", function()
  local function needs_copas()
    local is_there = run.script([[require "copas" require "socket"]]).code == 0
    if not is_there then
      pending("copas or luasocket is not installed for this Lua")
    end
    return is_there
  end

  it("serve /metrics", function()
    if not needs_copas() then
      return
    end
    local out = run_lua([[
      local socket = require "socket"
      local port = os.getenv("PORT")
      local file = assert(io.open("server.lua", "w"))
      file:write((os.getenv("CODE"):gsub("9464", port)))
      file:close()
      local pipe = io.popen("echo $$; exec $RTM_LUA server.lua 2>&1")
      local pid = pipe:read("*l")
      local client
      for _ = 1, 2000 do
        client = socket.connect("127.0.0.1", tonumber(port))
        if client then break end
        socket.sleep(0.02)
      end
      if client then
        client:settimeout(60)
        client:send("GET /metrics HTTP/1.0\r\n\r\n")
        io.write(client:receive("*a") or "")
      end
      os.execute("kill " .. pid)
    ]], {
      env = { CODE = block_with("README.md", "copas.addserver"), PORT = run.free_port() },
      timeout = 150,
    })
    assert.matches("^HTTP/1.0 200 OK\r\nContent%-Type: text/plain; version=0%.0%.4", out)
    assert.matches("\nlua_heap_bytes %d", out)
    assert.matches("\nprocess_resident_memory_bytes %d", out)
  end)

  it("print the metrics", function()
    local out = run_lua(block_with("README.md", "rt.print()"))
    assert.matches("/gc/heap/allocs:bytes +%d", out)
  end)

  it("register and read metrics", function()
    run_lua([[local prometheus = require "rtmetrics.prometheus"]] .. "\n"
      .. block_with("README.md", "requests:inc"))
    run_lua([[local rt = require "rtmetrics"]] .. "\n"
      .. block_with("README.md", "rt.read(samples)"))
  end)

  it("put the detectors on copas", function()
    if needs_copas() then
      run_lua([[require "rtmetrics"]] .. "\n" .. block_with("README.md", "watchdog.copas(dog)"))
    end
  end)
end)
