--- Programs as children of a spec: every test that must see a whole process (its start, its exit,
-- its output) goes through here, so that the interpreter under test, its sanitizer or valgrind and
-- its time limit are chosen in one place.
--
--    local run = require "support.run"
--    local result = run.script([[print(require("rtmetrics")._VERSION)]])
--    assert.are.equal(0, result.code, result.err)
--
-- `make test` sets the environment that is read here; busted run by hand finds the same by itself.

local function capture(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return (text:gsub("%s+$", ""))
end

local function running_lua()
  return rawget(_G, "jit") and "luajit" or _VERSION:match("%d%.%d")
end

local lua_name = os.getenv("RTM_LUA_NAME") or running_lua()
local interpreter = os.getenv("RTM_LUA") or (lua_name == "luajit" and "luajit" or "lua" .. lua_name)
local root = os.getenv("RTM_ROOT") or capture("pwd")
local build = os.getenv("RTM_BUILD") or root .. "/build/" .. lua_name
local sanitizer = os.getenv("RTM_SAN")
local preload = os.getenv("RTM_PRELOAD")
local valgrind = os.getenv("RTM_VALGRIND")

local default_environment = {
  RTMETRICS = false,
  LUA_INIT = false,
  LUA_INIT_5_3 = false,
  LUA_INIT_5_4 = false,
  LD_PRELOAD = false,
  RTM_LUA_NAME = lua_name,
  RTM_ROOT = root,
  RTM_BUILD = build,
  LUA_PATH = os.getenv("LUA_PATH")
    or (root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. root .. "/spec/?.lua;;"),
  LUA_CPATH = os.getenv("LUA_CPATH") or (build .. "/lib/?.so;" .. build .. "/test/?.so;;"),
}

local known_options = {
  args = true,
  env = true,
  preload = true,
  timeout = true,
  interpreter = true,
  stdin = true,
  name = true,
  cwd = true,
}

local function check_options(opts)
  for key in pairs(opts or {}) do
    if not known_options[key] then
      error("support.run: unknown option '" .. tostring(key) .. "'", 3)
    end
  end
  return opts or {}
end

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

local function write_file(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function tmpdir()
  local parent = os.getenv("RTM_TMP") or os.getenv("TMPDIR") or "/tmp"
  local path = capture("mktemp -d " .. quote(parent .. "/rtmetrics-XXXXXX"))
  assert(path ~= "", "support.run: cannot make a directory in " .. parent)
  return path
end

local function valgrind_words()
  return "valgrind -q --error-exitcode=99 --suppressions=" .. root .. "/.ci/valgrind.supp"
end

-- A stock interpreter can load a sanitised module only when the sanitizer's library comes first;
-- programs that were compiled with the sanitizer, and the shell, must not get it. So the variable
-- is set for this one word and not for the script.
local function interpreter_words(opts)
  local words = {}
  if preload then
    local theirs = opts.env and opts.env.LD_PRELOAD
    words[1] = "env LD_PRELOAD=" .. preload .. (theirs and ":" .. theirs or "")
  end
  if valgrind then
    words[#words + 1] = valgrind_words()
  end
  words[#words + 1] = opts.interpreter or interpreter
  return table.concat(words, " ")
end

local function slowness()
  if valgrind then
    return 20
  end
  return sanitizer and 4 or 1
end

local function environment_lines(opts)
  local values = {}
  for name, value in pairs(default_environment) do
    values[name] = value
  end
  for name, value in pairs(opts.env or {}) do
    values[name] = value
  end
  values.RTM_LUA = interpreter_words(opts)
  values.RTM_WRAP = valgrind and valgrind_words() or ""
  local lines = {}
  for name, value in pairs(values) do
    lines[#lines + 1] = value and "export " .. name .. "=" .. quote(value) or "unset " .. name
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

-- `timeout` kills itself by the signal that its child died of, so the shell reports 128 + signal.
local function result_of(status, prefix)
  local code = assert(tonumber(status), "support.run: no exit status, is the shell gone?")
  return {
    code = code,
    signal = code > 128 and code <= 192 and code - 128 or nil,
    timed_out = code == 124 or nil,
    out = read_file(prefix .. ".out"),
    err = read_file(prefix .. ".err"),
  }
end

-- The shell's script that runs `line` with `input` as its standard input ("" for the caller's).
local function write_shell(line, input, opts, dir)
  local prefix = dir .. "/.run"
  write_file(prefix .. ".line", line .. "\n")
  local command = ("timeout -k 5 %g sh P.line %s >P.out 2>P.err\necho $? >P.status"):format(
    (opts.timeout or 120) * slowness(),
    input
  )
  write_file(
    prefix .. ".sh",
    table.concat({
      environment_lines(opts),
      "cd " .. quote(opts.cwd or dir) .. " || exit 1",
      (command:gsub("P%.", prefix .. ".")),
      "",
    }, "\n")
  )
  -- The outer shell's own words ("Segmentation fault") belong to nobody.
  return "sh " .. prefix .. ".sh 2>/dev/null"
end

local function take_result(dir)
  local result = result_of(read_file(dir .. "/.run.status"), dir .. "/.run")
  os.execute("rm -rf " .. quote(dir))
  return result
end

local function execute(line, opts, dir)
  write_file(dir .. "/.run.in", opts.stdin or "")
  os.execute(write_shell(line, "<P.in", opts, dir))
  return take_result(dir)
end

-- Writes the script into `dir`; the line of shell that runs it there.
local function script_line(code, opts, dir)
  local name = opts.name or "script.lua"
  write_file(dir .. "/" .. name, code)
  -- `exec`, so that a signal is the interpreter's own end and not the shell's account of it.
  local words = { "exec $RTM_LUA" }
  if opts.preload then
    words[#words + 1] = "-l rtmetrics"
  end
  words[#words + 1] = quote(opts.cwd and dir .. "/" .. name or name)
  for _, argument in ipairs(opts.args or {}) do
    words[#words + 1] = quote(argument)
  end
  return table.concat(words, " ")
end

local M = {}

--- The name of the Lua under test.
-- @treturn string "5.4", "5.3", "5.1" or "luajit"
function M.lua_name()
  return lua_name
end

--- Is the Lua under test one of these?
-- @tparam string ... names as in `lua_name`
-- @treturn boolean
function M.is(...)
  for _, name in ipairs({ ... }) do
    if name == lua_name then
      return true
    end
  end
  return false
end

--- What slows this run down, for specs that measure time or memory.
-- @treturn string|nil "valgrind", a sanitizer list ("address,undefined"), or nil for a plain run
function M.under()
  return valgrind and "valgrind" or sanitizer
end

--- The checkout.
-- @treturn string absolute path
function M.root()
  return root
end

--- Where this Lua's build lies.
-- @treturn string absolute path
function M.build()
  return build
end

--- A host program made from spec/support/hosts.
-- @tparam string name its file name without `.c`
-- @treturn string absolute path
function M.program(name)
  return build .. "/hosts/" .. name
end

--- A fresh directory; `make test` removes it when the specs are done.
-- @treturn string absolute path
function M.tmpdir()
  return tmpdir()
end

--- The words that run a program as `nobody`.
-- @treturn string|nil nil where we are not root, and cannot become somebody else
function M.as_nobody()
  local words = "setpriv --reuid=65534 --regid=65534 --clear-groups"
  return capture("id -u; " .. words .. " true && echo can"):find("^0\ncan") and words or nil
end

--- A port of 127.0.0.1 that is free, and that the system gives to nobody by itself: it takes those
-- for connections and for port 0 from 32768 up.
-- @treturn number
function M.free_port()
  local socket = require "socket"
  local listener, port
  repeat
    port = 10000 + math.floor(socket.gettime() * 1e6) % 20000
    listener = socket.bind("127.0.0.1", port)
  until listener
  listener:close()
  return port
end

--- Quotes a text for the shell.
-- @tparam string text
-- @treturn string
function M.quote(text)
  return quote(text)
end

--- Runs a line of shell. In it, `$RTM_LUA` is the interpreter under test with all that this run
-- needs around it (a sanitizer's library, valgrind), and `$RTM_WRAP` the words to put before a
-- program of one's own.
-- @tparam string line
-- @tparam[opt] table opts env ({NAME=value, or false to unset}), timeout (seconds, 120; more under
-- valgrind and sanitizers), stdin (text), cwd (default: a fresh directory), interpreter (for
-- `$RTM_LUA`)
-- @treturn table code (exit status; 128 + n for signal n), signal (n or nil), timed_out (true or
-- nil), out, err
function M.command(line, opts)
  return execute(line, check_options(opts), tmpdir())
end

--- Runs Lua code as a program of its own: `lua script.lua` in a fresh directory.
-- @tparam string code
-- @tparam[opt] table opts as for `command`, and: args (list), preload
-- (true: `-l rtmetrics`), name (the script's file name, "script.lua"), interpreter (another Lua)
-- @treturn table as for `command`
function M.script(code, opts)
  opts = check_options(opts)
  local dir = tmpdir()
  return execute(script_line(code, opts, dir), opts, dir)
end

--- Starts Lua code as a program that runs beside the spec. Its standard input is a pipe, so that it
-- sees an end of file when `child:stop` is called or the spec is gone.
-- @tparam string code
-- @tparam[opt] table opts as for `script`, without stdin
-- @treturn table child: dir (its fresh directory), child:tell(line), child:stop() → result
function M.start(code, opts)
  opts = check_options(opts)
  assert(not opts.stdin, "support.run: what is started is told its input by child:tell")
  local dir = tmpdir()
  local pipe = assert(io.popen(write_shell(script_line(code, opts, dir), "", opts, dir), "w"))
  local child = { dir = dir }

  function child.tell(_, line)
    assert(pipe:write(line, "\n"))
    pipe:flush()
  end

  function child.stop()
    pipe:close()
    return take_result(dir)
  end

  return child
end

--- Runs the same code without and with rtmetrics, for specs that compare the outputs.
-- @tparam string code
-- @tparam[opt] table opts as for `script`
-- @treturn table result of the bare run
-- @treturn table result of the run under `-l rtmetrics`
function M.both(code, opts)
  local bare, instrumented = {}, {}
  for key, value in pairs(check_options(opts)) do
    bare[key], instrumented[key] = value, value
  end
  bare.preload, instrumented.preload = false, true
  return M.script(code, bare), M.script(code, instrumented)
end

return M
