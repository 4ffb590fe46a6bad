local run = require "support.run"

local lua = run.lua_name()
local abi = lua == "luajit" and "5.1" or lua
local module = run.build() .. "/lib/rtmetrics/core.so"
local agent_module = run.build() .. "/lib/rtmetrics/agent/native.so"

-- No word of this run's own environment may help: what was built or installed must suffice.
local bare = { LUA_PATH = false, LUA_CPATH = false }

local function with_bare(values)
  local env = {}
  for key, value in pairs(bare) do
    env[key] = value
  end
  for key, value in pairs(values or {}) do
    env[key] = value
  end
  return { env = env, timeout = 600 }
end

local function make(words, env)
  return run.command("make -s -C " .. run.quote(run.root()) .. " " .. words, with_bare(env))
end

local function assert_ran(result)
  assert.are.equal(0, result.code, result.out .. result.err)
  return result
end

local function assert_works_from(share, lib)
  local result = assert_ran(run.script(
    [[print(require("rtmetrics")._VERSION)]],
    with_bare({
      LUA_PATH = share .. "/?.lua;" .. share .. "/?/init.lua",
      LUA_CPATH = lib .. "/?.so",
    })
  ))
  assert.truthy(result.out:find("%S"), "no version")
  -- Two Luas share the version 5.1 in their paths: it must be the module of this one.
  assert_ran(run.command("cmp " .. lib .. "/rtmetrics/core.so " .. module))
end

-- `code` with what lies in these directories alone; nothing is asked of its end.
local function run_from(share, lib, code)
  return run.script(code, with_bare({
    LUA_PATH = share .. "/?.lua;" .. share .. "/?/init.lua",
    LUA_CPATH = lib .. "/?.so",
  }))
end

local START_AGENT = [[
local agent = require("rtmetrics.agent")
assert(agent.start { listen = "127.0.0.1:0" })
print(agent.status().running)]]

-- A sanitised or traced run is about the code, and `make` would not take its build directory.
local function it_builds(title, body)
  it(title, function()
    if run.under() then
      pending("says nothing more under " .. run.under())
      return
    end
    body()
  end)
end

describe("a built module", function()
  for entry, path in pairs({
    luaopen_rtmetrics_core = module,
    luaopen_rtmetrics_agent_native = agent_module,
  }) do
    it("exports the function that require looks for, " .. entry .. ", and nothing else", function()
      local result = assert_ran(run.command("nm -D --defined-only " .. path .. "| cut -c20-"))
      assert.are.equal(entry .. "\n", result.out)
    end)

    it("stays in memory when Lua unloads it, and binds its symbols at once: " .. entry, function()
      local result = assert_ran(run.command("readelf -d " .. path))
      assert.truthy(result.out:find("FLAGS_1[^\n]*NODELETE"), result.out)
      assert.truthy(result.out:find("FLAGS_1[^\n]*NOW"), result.out)
    end)
  end

  local function libraries_of(file)
    local names = {}
    local result = assert_ran(run.command("readelf -d " .. file))
    for name in result.out:gmatch("NEEDED[^\n]*%[([^%]]+)%]") do
      names[#names + 1] = name
    end
    return names
  end

  local function is_c_library(name)
    return name:find("^libc%.so") or name:find("^libm%.so") or name:find("^ld%-")
  end

  it_builds("needs nothing but the C library and zlib", function()
    for _, name in ipairs(libraries_of(module)) do
      assert.truthy(is_c_library(name) or name:find("^libz%.so"), name)
    end
  end)

  it_builds("needs libmicrohttpd only where it is the agent's", function()
    local found = table.concat(libraries_of(agent_module), " ")
    assert.matches("libmicrohttpd%.so", found)
    assert.is_nil(table.concat(libraries_of(module), " "):find("microhttpd", 1, true))
  end)

  it_builds("of the agent is left out where libmicrohttpd is missing, which is said", function()
    local line = "-n build LUA=" .. lua .. " BUILD=" .. run.tmpdir() .. "/build"
    local with, without = make(line), make(line .. " AGENT=0")
    assert.matches("agent/native%.so", assert_ran(with).out)
    assert.is_nil(with.out:find("left out", 1, true))
    assert.is_nil(assert_ran(without).out:find("src/agent", 1, true))
    assert.matches("the agent is left out: libmicrohttpd is missing", without.out, nil, true)
  end)

  it_builds("does without zlib, and its pages go as they are", function()
    if not run.is("5.4") then
      pending("the same for all Luas")
      return
    end
    local dir = run.tmpdir()
    assert_ran(make("build AGENT=0 ZLIB=0 LUA=5.4 BUILD=" .. dir))
    for _, name in ipairs(libraries_of(dir .. "/lib/rtmetrics/core.so")) do
      assert.truthy(is_c_library(name), name)
    end
    local result = assert_ran(run.script([[
      require "rtmetrics"
      local core = require "rtmetrics.core"
      local _, headers, body = core.answer("GET", "/metrics", nil, nil, "gzip")
      io.write(tostring(headers["Content-Encoding"]), " ", body)
    ]], { env = { LUA_CPATH = dir .. "/lib/?.so;;" } }))
    assert.matches("^nil # HELP ", result.out)
  end)
end)

describe("make install", function()
  it_builds("puts everything where this Lua looks, and uninstall takes it away", function()
    local dir = run.tmpdir()
    local words = " LUA=" .. lua .. " PREFIX=/opt/x DESTDIR=" .. dir
    local left = "find " .. dir .. " -type f -o -name rtmetrics"
    assert_ran(make("install" .. words))
    local share, lib = dir .. "/opt/x/share/lua/" .. abi, dir .. "/opt/x/lib/lua/" .. abi
    assert_works_from(share, lib)
    assert.are.equal("true\n", assert_ran(run_from(share, lib, START_AGENT)).out)
    assert_ran(make("uninstall" .. words))
    assert.are.equal("", assert_ran(run.command(left)).out)
  end)
end)

describe("make env", function()
  it_builds("lets a shell use the build in place, from any directory", function()
    local line = [[eval "$(make -s -C %s env LUA=%s)" && cd / &&
      $RTM_LUA -l rtmetrics -e 'print("here")' && echo "$PATH"]]
    local result = assert_ran(run.command(line:format(run.quote(run.root()), lua), with_bare()))
    assert.truthy(result.out:find("^here\n"), result.out)
    assert.truthy(result.out:find(run.root() .. "/lua/bin:", 1, true), result.out)
  end)

  it_builds("finds what Debian packs for 5.1 only", function()
    local result = assert_ran(make("env LUA=" .. lua))
    local added = result.out:find(";;/usr/share/lua/5.1/?.lua", 1, true) ~= nil
    assert.are.equal(run.is("5.4", "5.3"), added)
  end)
end)

describe("the rocks", function()
  it_builds("build for this Lua and can be required from their tree", function()
    if run.command("command -v luarocks").code ~= 0 then
      pending("luarocks is not installed")
      return
    end
    local tree = run.tmpdir()
    local share, lib = tree .. "/share/lua/" .. abi, tree .. "/lib/lua/" .. abi
    local headers = run.is("luajit")
        and "LUA_INCDIR=$(pkg-config --cflags-only-I luajit | sed 's/^-I//; s/ *$//')"
      or ""
    local function install(rock)
      local line = [[cd %s && luarocks --lua-version=%s --tree=%s make --deps-mode none \
        rockspec/%s-scm-1.rockspec %s]]
      line = line:format(run.quote(run.root()), abi, tree, rock, headers)
      assert_ran(run.command(line, with_bare()))
    end
    install("rtmetrics")
    assert_works_from(share, lib)
    local without = run_from(share, lib, START_AGENT)
    assert.are_not.equal(0, without.code)
    assert.matches("luarocks install rtmetrics-agent", without.err, nil, true)
    install("rtmetrics-agent")
    assert.are.equal("true\n", assert_ran(run_from(share, lib, START_AGENT)).out)
  end)
end)

describe("the build refuses", function()
  for _, version in ipairs({ "5.2", "5.5", "6" }) do
    it("LUA=" .. version .. " before it compiles anything", function()
      local result = make("LUA=" .. version)
      assert.are_not.equal(0, result.code)
      assert.truthy(result.err:find("does not support LUA=" .. version, 1, true), result.err)
      assert.truthy(result.err:find("5.4 5.3 5.1 luajit", 1, true), result.err)
    end)
  end

  for version, line in pairs({
    ["5.2"] = "#define LUA_VERSION_NUM\t\t502",
    ["5.5"] = "#define LUA_VERSION_MINOR_N\t\t5",
  }) do
    it("the headers of Lua " .. version, function()
      local dir = run.tmpdir()
      assert_ran(run.command("echo '" .. line .. "' >" .. dir .. "/lua.h"))
      local result = make("LUA_INCDIR=" .. dir)
      assert.are_not.equal(0, result.code)
      assert.truthy(result.err:find("does not support LUA=" .. version, 1, true), result.err)
    end)
  end

  it("to start without headers, and names the package that has them", function()
    local result = make("LUA=" .. lua, { PKG_CONFIG_LIBDIR = "/nonexistent" })
    assert.are_not.equal(0, result.code)
    local package = lua == "luajit" and "libluajit2-5.1-dev" or "liblua" .. lua
    assert.truthy(result.err:find("apt-get install " .. package, 1, true), result.err)
  end)
end)
