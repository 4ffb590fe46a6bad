-- The same small program, bare and under rtmetrics: all that it prints, its error output and its
-- exit status must be the same, on every Lua. What the right behaviour is says the bare
-- interpreter.

local run = require "support.run"

-- show(...) prints values with their types; addresses are wiped out afterwards.
local prelude = [[
local unpack = table.unpack or unpack
local limit = _VERSION == "Lua 5.1" and 7900 or 990000
local function show(...)
  local texts = {}
  for i = 1, select("#", ...) do
    local value = (select(i, ...))
    texts[i] = type(value) .. ":" .. tostring(value)
  end
  print(select("#", ...) .. " " .. table.concat(texts, " | "))
end
]]

local cases = {}

local function case(title, code, only)
  cases[#cases + 1] = { title = title, code = code, only = only }
end

-- Values through resume and yield

case("passes arguments and results both ways", [[
local co = coroutine.create(function(...)
  show(...)
  show(coroutine.yield(1, nil, "three", nil))
  show(coroutine.yield())
  return nil, "end", nil
end)
show(coroutine.resume(co, nil, "a", nil))
show(coroutine.resume(co, "b"))
show(coroutine.resume(co))
show(coroutine.resume(co))
]])

case("passes many values", [[
local values = {}
for i = 1, 240 do values[i] = i end
local co = coroutine.create(function(...)
  show(select("#", ...), (select(240, ...)))
  local n = select("#", coroutine.yield(...))
  return n, ...
end)
show(select("#", coroutine.resume(co, unpack(values))))
show(select("#", coroutine.resume(co, unpack(values, 1, 200))))
]])

case("refuses too many arguments to resume and to wrap", [[
local values = {}
for i = 1, limit do values[i] = true end
local function body() (function() coroutine.yield() end)(unpack(values, 1,
  math.floor(limit * 0.6))) end
local co, wrapped = coroutine.create(body), coroutine.wrap(body)
coroutine.resume(co)
wrapped()
show(pcall(function() return coroutine.resume(co, unpack(values, 1, math.floor(limit * 0.5))) end))
show(coroutine.status(co))
show(pcall(function() return wrapped(unpack(values, 1, math.floor(limit * 0.5))) end))
show(coroutine.resume(co))
show(pcall(wrapped))
]])

case("refuses too many results of resume and of wrap", [[
local values = {}
for i = 1, limit do values[i] = true end
local function body() coroutine.yield(unpack(values, 1, math.floor(limit * 0.6))) return "end" end
local co, wrapped = coroutine.create(body), coroutine.wrap(body)
local function crowded(...)
  show(pcall(coroutine.resume, co))
  show(coroutine.status(co))
  show(pcall(coroutine.resume, co))
  show(pcall(wrapped))
  show(select("#", ...))
end
crowded(unpack(values, 1, math.floor(limit * 0.5)))
local failing = coroutine.create(function() return unpack(values, 1, math.floor(limit * 0.6)) end)
local function crowd(...) return select("#", ...), pcall(coroutine.resume, failing) end
show(crowd(unpack(values, 1, math.floor(limit * 0.5))))
]])

case("fills a new coroutine's stack with its arguments", [[
local values = {}
for i = 1, limit do values[i] = true end
local co = coroutine.create(function(...) return select("#", ...) end)
show(pcall(function() return coroutine.resume(co, unpack(values)) end))
show(coroutine.status(co))
local wrapped = coroutine.wrap(function(...) return select("#", ...) end)
show(pcall(function() return wrapped(unpack(values)) end))
]])

case("runs vararg bodies and C functions as bodies", [[
show(coroutine.resume(coroutine.create(print), "printed", 1))
show(coroutine.resume(coroutine.create(math.max), 3, 9, 4))
show(coroutine.resume(coroutine.create(string.rep), "ab", 3))
show(coroutine.wrap(select)("#", nil, nil))
show(coroutine.wrap(coroutine.yield)(1, 2))
local echo = coroutine.wrap(coroutine.yield)
show(echo("out"))
show(echo("in"))
]])

-- status, running, isyieldable

case("tells every status", [[
local outer
outer = coroutine.create(function()
  local inner = coroutine.create(function()
    show(coroutine.status(outer))
    coroutine.yield()
  end)
  show(coroutine.status(inner))
  coroutine.resume(inner)
  show(coroutine.status(inner), coroutine.status(outer))
  coroutine.resume(inner)
  show(coroutine.status(inner))
end)
show(coroutine.status(outer))
coroutine.resume(outer)
show(coroutine.status(outer))
local failing = coroutine.create(error)
coroutine.resume(failing, "x")
show(coroutine.status(failing))
]])

case("tells the status of the main coroutine", [[
local main = coroutine.running()
show(type(main))
if main then
  show(coroutine.status(main))
  coroutine.wrap(function() show(coroutine.status(main)) end)()
  show(coroutine.resume(main))
  coroutine.wrap(function() show(coroutine.resume(main)) end)()
end
]])

case("tells who runs", [[
local function kind(thread, ismain) return type(thread), ismain end
show(kind(coroutine.running()))
local co
co = coroutine.create(function()
  show(coroutine.running() == co, select("#", coroutine.running()))
  coroutine.wrap(function() show(coroutine.running() ~= co, select(2, coroutine.running())) end)()
  show(coroutine.running() == co)
end)
coroutine.resume(co)
]])

case("tells who may yield", [[
if not coroutine.isyieldable then return end
show(coroutine.isyieldable())
coroutine.wrap(function()
  show(coroutine.isyieldable())
  table.sort({ 2, 1 }, function(a, b) show(coroutine.isyieldable()) return a < b end)
  show(pcall(coroutine.isyieldable))
end)()
local co = coroutine.create(function() coroutine.yield() end)
show(pcall(coroutine.isyieldable, co))
coroutine.resume(co)
show(pcall(coroutine.isyieldable, co))
]])

-- Bad arguments

for _, name in ipairs { "create", "wrap", "resume", "status", "close", "isyieldable" } do
  local code = [[
local f = coroutine.NAME
if not f then return end
show(pcall(f))
show(pcall(f, nil))
show(pcall(f, 42))
show(pcall(f, "text"))
show(pcall(f, {}))
show(pcall(f, setmetatable({}, { __name = "my.type" })))
show(pcall(function() return f() end))
show(pcall(function() f("text") end))
show(pcall(function() local rename = f; rename(12) end))
show(pcall(function() coroutine.NAME({}) end))
local object = { method = f }
show(pcall(function() object:method() end))
]]
  case("names bad arguments to " .. name, (code:gsub("NAME", name)))
end

case("names bad arguments to functions called by name through a coroutine", [[
show(coroutine.resume(coroutine.create(string.rep)))
show(coroutine.resume(coroutine.create(setmetatable), 1))
show(pcall(coroutine.wrap(string.rep)))
show(pcall(coroutine.wrap(ipairs)))
]])

-- Errors

case("gives back error objects untouched", [[
local object = setmetatable({}, { __tostring = function() return "an object" end })
for _, value in ipairs { "text", 42, true, object, 1.5 } do
  local co = coroutine.create(function() error(value) end)
  local ok, err = coroutine.resume(co)
  show(ok, err)
  show(rawequal(err, object))
  show(coroutine.resume(co))
end
show(coroutine.resume(coroutine.create(function() error() end)))
show(coroutine.resume(coroutine.create(function() error(nil) end)))
show(coroutine.resume(coroutine.create(function() error("no position", 0) end)))
show(coroutine.resume(coroutine.create(function() error("level two", 2) end)))
]])

case("puts a position before a string error of wrap, and leaves other objects alone", [[
local object = setmetatable({}, { __tostring = function() return "an object" end })
for _, value in ipairs { "text", 42, true, object } do
  local f = coroutine.wrap(function() error(value) end)
  local ok, err = pcall(f)
  show(ok, err, rawequal(err, value))
  show(pcall(f))
end
show(pcall(function() coroutine.wrap(function() error("through a Lua caller") end)() end))
show(pcall(function() coroutine.wrap(function() error("no position", 0) end)() end))
show(pcall(function() return (coroutine.wrap(function() error("not a tail call", 0) end)()) end))
show(pcall(function() coroutine.wrap(function() error() end)() end))
show(pcall(coroutine.wrap(function() coroutine.wrap(function() error("nested") end)() end)))
]])

case("resumes the dead, the running and the normal alike", [[
local dead = coroutine.create(function() end)
coroutine.resume(dead)
show(coroutine.resume(dead))
show(coroutine.resume(dead, 1, 2))
local running
running = coroutine.create(function()
  show(coroutine.resume(running))
  local inner = coroutine.create(function() show(coroutine.resume(running)) end)
  show(coroutine.resume(inner))
end)
show(coroutine.resume(running))
]])

case("wraps the dead, the running and the normal alike", [[
local f
f = coroutine.wrap(function() return 1 end)
show(f())
show(pcall(f))
show(pcall(function() f() end))
f = coroutine.wrap(function() show(pcall(f)) f() end)
show(pcall(f))
f = coroutine.wrap(function() coroutine.wrap(function() f() end)() end)
show(pcall(f))
]])

case("dies of an uncaught error in a coroutine of the main chunk", [[
coroutine.wrap(function() local x = nil; return x.field end)()
]])

case("dies of an uncaught error in a nested wrap", [[
local function inner() error("deep down") end
local f = coroutine.wrap(function() coroutine.wrap(inner)() end)
f()
]])

case("dies of an uncaught error object", [[
coroutine.wrap(function() error(setmetatable({}, { __tostring = function()
  return "object" end })) end)()
]])

case("dies of an uncaught table", [[
coroutine.wrap(function() error({}) end)()
]])

case("dies of a bad argument, named", [[
coroutine.resume("not a coroutine")
]])

case("dies of a dead wrap", [[
local f = coroutine.wrap(function() end)
f()
f()
]])

case("dies of a yield outside", [[
coroutine.yield(1)
]])

case("yields from outside a coroutine", [[
show(pcall(coroutine.yield, 1))
show(pcall(function() coroutine.yield() end))
]])

case("catches runtime errors of all sorts", [[
local bodies = {
  function() return 1 + {} end,
  function() return #5 end,
  function() return nil .. "x" end,
  function() return {} < {} end,
  function() undefined_function() end,
  function() local t = {} t.x.y = 1 end,
  function() ("x"):missing() end,
  function() return math.floor({}) end,
  function() string.rep() end,
  function() error(error) end,
  function() assert(false) end,
  function() assert(nil, "asserted") end,
  function() assert(false, { 1 }) end,
}
for _, body in ipairs(bodies) do
  show(coroutine.resume(coroutine.create(body)))
  show(pcall(coroutine.wrap(body)))
end
]])

case("passes errors through pcall and xpcall inside and outside", [[
local function handler(message) return "handled " .. tostring(message) end
local co = coroutine.create(function()
  show(pcall(error, "inside"))
  show(xpcall(function() error("handled inside") end, handler))
  error("outside")
end)
show(xpcall(coroutine.resume, handler, co))
show(xpcall(coroutine.wrap(function() error("wrapped") end), handler))
show(xpcall(function() coroutine.wrap(function() error("wrapped, in Lua") end)() end, handler))
]])

-- Yield across

case("yields across pcall", [[
local co = coroutine.create(function()
  show(pcall(function()
    show(coroutine.yield("in pcall"))
    error("after a yield")
  end))
  show(pcall(coroutine.yield, "straight"))
  return "end"
end)
for i = 1, 4 do show(coroutine.resume(co, "r" .. i)) end
]])

case("yields across xpcall", [[
local co = coroutine.create(function()
  show(xpcall(function()
    show(coroutine.yield("in xpcall"))
    error("after a yield")
  end, function(m) return "handled: " .. tostring(m) end))
  return "end"
end)
for i = 1, 3 do show(coroutine.resume(co, "r" .. i)) end
]])

case("yields across nested pcalls and an error between", [[
local co = coroutine.create(function()
  return pcall(pcall, pcall, function()
    for i = 1, 3 do
      local ok, err = pcall(function() coroutine.yield(i) if i == 2 then error("two", 0) end end)
      show(ok, err)
    end
    return "done"
  end)
end)
for _ = 1, 5 do show(coroutine.resume(co)) end
]])

case("yields across metamethods", [[
local meta
meta = {
  __add = function(a, b) return coroutine.yield("add") end,
  __concat = function() return coroutine.yield("concat") end,
  __index = function(_, k) return coroutine.yield("index " .. k) end,
  __newindex = function(_, k, v) coroutine.yield("newindex " .. k) end,
  __eq = function() return coroutine.yield("eq") end,
  __lt = function() return coroutine.yield("lt") end,
  __le = function() return coroutine.yield("le") end,
  __call = function(_, x) return coroutine.yield("call " .. x) end,
  __unm = function() return coroutine.yield("unm") end,
  __len = function() return coroutine.yield("len") end,
}
local a, b = setmetatable({}, meta), setmetatable({}, meta)
local bodies = {
  function() return a + b end, function() return a .. b end, function() return a.field end,
  function() a.field = 1 return "set" end, function() return a == b end, function()
    return a < b end,
  function() return a <= b end, function() return a("x") end, function() return -a end,
  function() return #a end,
}
for _, body in ipairs(bodies) do
  local co = coroutine.create(body)
  show(coroutine.resume(co))
  show(coroutine.resume(co, "answer"))
end
]])

case("yields across iterators", [[
local function values(n)
  return coroutine.wrap(function() for i = 1, n do coroutine.yield(i, i * i) end end)
end
for i, square in values(4) do show(i, square) end
local co = coroutine.wrap(function()
  for i in function(_, last) coroutine.yield("step") last = (last or 0) + 1 if last < 4 then
    return last end end do
    show(i)
  end
  return "end"
end)
for _ = 1, 5 do show(co()) end
]])

case("breaks out of a wrapped iterator, and runs one over its end", [[
local function count() for i = 1, 3 do coroutine.yield(i) end end
for i in coroutine.wrap(count) do if i == 2 then break end show(i) end
local f = coroutine.wrap(count)
for i in f do show(i) end
show(pcall(f))
for i in coroutine.wrap(function() coroutine.yield(1) error("in an iterator") end) do show(i) end
]])

case("yields across table.sort, gsub and other C functions", [[
local function try(f, ...)
  local co = coroutine.create(f)
  show(coroutine.resume(co, ...))
  show(coroutine.status(co))
end
try(function() table.sort({ 3, 1, 2 }, function(a, b) coroutine.yield("sort") return a < b end) end)
try(function() return (string.gsub("abc", "%a", function(c) coroutine.yield(c) end)) end)
try(function() return load(function() coroutine.yield("load") end) end)
try(function() return tostring(setmetatable({}, { __tostring = function()
  coroutine.yield("tostring") return "" end })) end)
try(function() for _ in pairs(setmetatable({}, { __pairs = function()
  coroutine.yield("pairs") return next, {} end })) do end end)
]])

case("yields across dofile", [[
local name = os.tmpname()
local file = io.open(name, "w")
file:write("coroutine.yield('in a file') return 'file end'")
file:close()
local co = coroutine.create(function() return dofile(name) end)
local ok, value = coroutine.resume(co)
show(ok, (tostring(value):gsub(name:gsub("%p", "%%%0"), "FILE")))
show(coroutine.resume(co))
os.remove(name)
]])

case("yields across require's loader", [[
package.preload["a module"] = function() coroutine.yield("loading") return { 1 } end
show(coroutine.resume(coroutine.create(function() return require "a module" end)))
]])

case("yields out of a tail call", [[
local function tail(n) if n == 0 then return coroutine.yield("bottom") end return tail(n - 1) end
local co = coroutine.create(tail)
show(coroutine.resume(co, 1000))
show(coroutine.resume(co, "back"))
]])

case("yields from a hook-free loop through closures and upvalues", [[
local shared = 0
local function worker(step)
  return coroutine.wrap(function()
    for _ = 1, 5 do shared = shared + step coroutine.yield(shared) end
  end)
end
local a, b = worker(1), worker(100)
for _ = 1, 5 do show(a(), b()) end
]])

-- Nesting and limits

-- LuaJIT does not count nested C calls: a bare program that nests without end crashes.
local counted_c_calls = { "5.1", "5.3", "5.4" }

case("nests 180 deep", [[
local function nest(n)
  if n == 0 then return "bottom" end
  local co = coroutine.create(nest)
  return select(2, coroutine.resume(co, n - 1))
end
show(nest(180))
local function wrapped(n)
  if n == 0 then return "bottom" end
  return coroutine.wrap(wrapped)(n - 1)
end
show(wrapped(180))
]])

case("yields through 100 nested wraps", [[
local function relay(n)
  if n == 0 then for i = 1, 3 do coroutine.yield(i) end return "end" end
  local f = coroutine.wrap(relay)
  local value = f(n - 1)
  while value ~= "end" do coroutine.yield(value) value = f() end
  return value
end
local f = coroutine.wrap(relay)
for _ = 1, 4 do show(f(100)) end
]])

case("overflows the C stack by resume", [[
local depth = 0
local function nest()
  depth = depth + 1
  local ok, err = coroutine.resume(coroutine.create(nest))
  if not ok then error(err, 0) end
end
local ok, err = pcall(nest)
show(ok, err, depth)
]], counted_c_calls)

case("overflows the C stack by wrap", [[
local depth = 0
local function nest()
  depth = depth + 1
  return coroutine.wrap(nest)()
end
local ok, err = pcall(nest)
show(ok, (tostring(err):gsub("script.lua:%d+: ", "@")), depth)
]], counted_c_calls)

case("overflows the C stack by pcall and resume mixed", [[
local depth = 0
local function nest()
  depth = depth + 1
  local ok, err = pcall(coroutine.resume, coroutine.create(nest))
  return ok, err
end
show(nest())
show(depth)
]], counted_c_calls)

case("overflows a coroutine's Lua stack", [[
local function deep(n) return 1 + deep(n + 1) end
local ok, err = coroutine.resume(coroutine.create(deep), 1)
show(ok, (tostring(err):gsub("\n.*", "")))
local alive = coroutine.wrap(function() return pcall(deep, 1) end)
local caught, message = alive()
show(caught, (tostring(message):gsub("\n.*", "")))
]])

case("overflows the stack in an error handler", [[
local function deep() return 1 + deep() end
local co = coroutine.create(function()
  return xpcall(deep, function(m) return deep() end)
end)
local ok, inner, message = coroutine.resume(co)
-- LuaJIT's message depends on how far its collector has shrunk the stack.
show(ok, inner, not rawget(_G, "jit") and type(message))
]])

case("makes and drops many coroutines", [[
local sum = 0
for i = 1, 20000 do
  local co = coroutine.create(function(a)
    sum = sum + a local b = coroutine.yield(a) sum = sum + b end)
  coroutine.resume(co, i)
  if i % 2 == 0 then coroutine.resume(co, 1) end
end
collectgarbage()
show(sum)
]])

-- Tracebacks and debug

case("traces back within a coroutine", [[
local function inner() print(debug.traceback("inside")) coroutine.yield() end
local co = coroutine.create(function() inner() end)
coroutine.resume(co)
print(debug.traceback(co))
print(debug.traceback(co, "with a message"))
print(debug.traceback(co, nil, 1))
print(debug.traceback(co, "level 1", 1))
print(debug.traceback("of main"))
print(debug.traceback({}) ~= nil)
]])

case("traces back across nested coroutines", [[
local function show_both(co) print(debug.traceback("nested")) print(debug.traceback(co,
  "outer")) end
local outer
outer = coroutine.create(function()
  local inner = coroutine.wrap(function() show_both(outer) coroutine.yield() end)
  inner()
  local again = coroutine.create(function() show_both(outer) end)
  coroutine.resume(again)
end)
coroutine.resume(outer)
print(debug.traceback(outer))
]])

case("traces back from a coroutine that failed", [[
local function fail() error("failed") end
local co = coroutine.create(function() local x = fail() return x end)
print(coroutine.resume(co))
print(debug.traceback(co))
print(debug.traceback(co, "message"))
]])

case("traces back in a handler around wrap and resume", [[
local function f() coroutine.wrap(function() error("traced") end)() end
print(select(2, xpcall(f, debug.traceback)))
print(select(2, xpcall(function() coroutine.resume(1) end, debug.traceback)))
print(select(2, xpcall(function() coroutine.wrap(print, 1)() coroutine.status() end,
  debug.traceback)))
local function level(n) if n == 0 then return debug.traceback("tail") end return level(n - 1) end
print(coroutine.wrap(function() return (level(3)) end)())
]])

case("names functions in getinfo as before", [[
local function names(level)
  for i = level, 12 do
    local info = debug.getinfo(i, "nSl")
    if not info then break end
    print(i, info.what, info.name, info.namewhat, info.short_src, info.currentline)
  end
end
names(1)
local co = coroutine.create(function() names(1) coroutine.yield() end)
coroutine.resume(co)
coroutine.wrap(function() names(1) end)()
pcall(coroutine.wrap(function() names(1) end))
for level = 0, 3 do
  local info = debug.getinfo(co, level, "nSl")
  print(level, info and info.what, info and info.name, info and info.short_src,
    info and info.currentline)
end
]])

case("describes the coroutine functions as C functions", [[
for _, name in ipairs { "create", "resume", "running", "status", "wrap", "yield", "isyieldable",
  "close" } do
  local f = coroutine[name]
  if f then
    local info = debug.getinfo(f, "Su")
    show(name, info.what, info.short_src, info.source, info.linedefined, info.nparams,
      info.isvararg)
  end
end
local wrapped = debug.getinfo(coroutine.wrap(function() end), "S")
show(wrapped.what, wrapped.short_src)
local names = {}
for name in pairs(coroutine) do names[#names + 1] = name end
table.sort(names)
show(unpack(names))
show(pcall(string.dump, coroutine.resume))
]])

case("reads and writes locals of a suspended coroutine", [[
local co = coroutine.create(function(argument)
  local own = argument * 2 coroutine.yield() return own end)
coroutine.resume(co, 21)
print(debug.getlocal(co, 1, 1))
print(debug.getlocal(co, 1, 2))
print(debug.setlocal(co, 1, 2, "changed"))
show(coroutine.resume(co))
]])

case("keeps hooks apart by coroutine", [[
local events = {}
local co = coroutine.create(function() local x = 1 coroutine.yield() x = x + 1 return x end)
debug.sethook(co, function(event, line) events[#events + 1] = event .. ":"
  .. tostring(line) end, "l")
coroutine.resume(co)
coroutine.resume(co)
print(table.concat(events, " "))
show(debug.gethook())
local f, mask, count = debug.gethook(co)
show(type(f), mask, count)
]])

case("calls the user's call and return hooks the same number of times", [[
local counts = { call = 0, ["return"] = 0, ["tail call"] = 0, ["tail return"] = 0 }
local co = coroutine.create(function()
  debug.sethook(function(event) counts[event] = counts[event] + 1 end, "cr")
  local f = coroutine.wrap(function() coroutine.yield(1) return 2 end)
  f() f()
  local inner = coroutine.create(function() coroutine.yield() end)
  coroutine.resume(inner)
  coroutine.status(inner)
  coroutine.running()
  coroutine.resume(inner)
  debug.sethook()
end)
show(coroutine.resume(co))
show(counts.call, counts["return"], counts["tail call"], counts["tail return"])
]])

case("throws from a user's hook", [[
local co = coroutine.create(function()
  debug.sethook(function() error("from a hook") end, "", 100)
  while true do end
end)
show(coroutine.resume(co))
show(pcall(function()
  debug.sethook(function() debug.sethook() error("from a line hook") end, "l")
  local x = 1
  return x
end))
show(coroutine.wrap(function() return "alive" end)())
]])

case("gives threads a metatable", [[
local co = coroutine.create(function() end)
debug.setmetatable(co, { __index = { status = coroutine.status, resume = coroutine.resume },
  __name = "thread!" })
show(co:status())
show(co:resume())
show(co:status())
show(pcall(function() return co + 1 end))
show(pcall(string.rep, co))
debug.setmetatable(co, nil)
]])

-- Environment and identity

case("compares, hashes and prints coroutines", [[
local a, b = coroutine.create(print), coroutine.create(print)
show(a == b, a == a, rawequal(a, a))
local t = { [a] = "a", [b] = "b" }
show(t[a], t[b], #tostring(a) > 8, type(a))
show(tostring(a):match("^thread: 0x%x+$") ~= nil)
]])

case("uses local copies taken before and after", [[
local create, resume, yield, wrap = coroutine.create, coroutine.resume, coroutine.yield,
  coroutine.wrap
local co = create(function() yield(1) return 2 end)
show(resume(co))
show(resume(co))
show(wrap(function() return yield end)() == yield)
show(coroutine.resume == resume, coroutine.yield == yield)
]])

case("lets a program replace coroutine functions", [[
local real = coroutine.resume
local calls = 0
coroutine.resume = function(...) calls = calls + 1 return real(...) end
local co = coroutine.create(function() coroutine.yield(1) end)
show(coroutine.resume(co))
show(coroutine.resume(co))
show(calls)
coroutine.resume = real
show(coroutine.resume(co))
]])

case("works through package.loaded and string-keyed access", [[
show(package.loaded.coroutine == coroutine)
show(_G.coroutine == coroutine)
local co = package.loaded.coroutine["create"](function() return "x" end)
show(coroutine["resume"](co))
]])

case("keeps function environments in 5.1", [[
local env = { coroutine = coroutine, result = "from env" }
local function body() return result end
setfenv(body, env)
show(coroutine.resume(coroutine.create(body)))
local co = coroutine.create(function() return getfenv(0) == getfenv(1) end)
show(coroutine.resume(co))
show(type(getfenv(coroutine.create)), getfenv(coroutine.create) == _G,
  getfenv(coroutine.wrap(body)) == _G)
]], { "5.1", "luajit" })

-- Closing

case("closes suspended, dead and failed coroutines", [[
local co = coroutine.create(function() coroutine.yield() end)
show(coroutine.close(co), coroutine.status(co))
co = coroutine.create(function() coroutine.yield() end)
coroutine.resume(co)
show(coroutine.close(co))
show(coroutine.status(co))
show(coroutine.close(co))
show(coroutine.resume(co))
co = coroutine.create(error)
coroutine.resume(co, "why")
show(coroutine.close(co))
show(coroutine.close(co))
co = coroutine.create(error)
coroutine.resume(co, { 1 })
show(coroutine.close(co))
]], { "5.4" })

case("refuses to close the running and the normal", [[
show(pcall(coroutine.close, coroutine.running()))
local outer
outer = coroutine.create(function()
  show(pcall(coroutine.close, outer))
  coroutine.wrap(function() show(pcall(coroutine.close, outer)) end)()
  show(pcall(function() coroutine.close(coroutine.running()) end))
end)
coroutine.resume(outer)
]], { "5.4" })

case("closes pending variables in order", [[
local function closable(name, fails)
  return setmetatable({}, { __close = function(_, err)
    show("close", name, err)
    if fails then error(name .. " failed") end
  end })
end
local co = coroutine.create(function()
  local a <close> = closable("a")
  local b <close> = closable("b")
  coroutine.yield("pending")
end)
show(coroutine.resume(co))
show(coroutine.close(co))
show(coroutine.status(co))
co = coroutine.create(function()
  local a <close> = closable("a")
  local b <close> = closable("b", true)
  local c <close> = closable("c", true)
  coroutine.yield("pending")
end)
show(coroutine.resume(co))
show(coroutine.close(co))
show(coroutine.close(co))
show(coroutine.status(co))
]], { "5.4" })

case("closes variables on an error in resume and in wrap", [[
local function closable(name, fails)
  return setmetatable({}, { __close = function(_, err)
    show("close", name, err)
    if fails then error(name .. " failed", 0) end
  end })
end
local co = coroutine.create(function() local a <close> = closable("a") error("body") end)
show(coroutine.resume(co))
show(coroutine.close(co))
local f = coroutine.wrap(function() local a <close> = closable("w") error("wrapped body") end)
show(pcall(f))
show(pcall(f))
f = coroutine.wrap(function() local a <close> = closable("x", true) error("replaced") end)
show(pcall(f))
f = coroutine.wrap(function() local a <close> = closable("y", true) error({}) end)
show(pcall(f))
f = coroutine.wrap(function() local a <close> = closable("z") coroutine.yield(1) error("late") end)
show(f())
show(pcall(f))
]], { "5.4" })

case("yields in __close", [[
local function closable(name)
  return setmetatable({}, { __close = function() coroutine.yield("closing " .. name) end })
end
local co = coroutine.create(function()
  do local a <close> = closable("a") local b <close> = closable("b") end
  local c <close> = closable("c")
  return "end"
end)
for _ = 1, 5 do show(coroutine.resume(co)) end
co = coroutine.create(function() local a <close> = closable("a") coroutine.yield() end)
coroutine.resume(co)
show(pcall(coroutine.close, co))
co = coroutine.create(function() local a <close> = closable("e") error("then yield") end)
for _ = 1, 3 do show(coroutine.resume(co)) end
]], { "5.4" })

case("closes a generic for's fourth value", [[
local closed = setmetatable({}, { __close = function(_, err) show("for closed", err) end })
local function iterate()
  return coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end), nil, nil, closed
end
for i in iterate() do show(i) if i == 2 then break end end
show(pcall(function() for i in iterate() do error("in the loop") end end))
local co = coroutine.wrap(function() for i in iterate() do coroutine.yield(i) end return "end" end)
show(co(), co(), co(), co())
]], { "5.4" })

case("closes coroutines from coroutines, a thousand times", [[
local log = 0
for i = 1, 1000 do
  local co = coroutine.create(function()
    local a <close> = setmetatable({}, { __close = function() log = log + 1 end })
    coroutine.yield()
  end)
  coroutine.wrap(function() coroutine.resume(co) coroutine.close(co) end)()
end
show(log)
]], { "5.4" })

case("closes deep chains without overflowing", [[
local function chain(n)
  local co = coroutine.create(function()
    local inner <close> = setmetatable({}, { __close = function()
      if n > 0 then chain(n - 1) end end })
    coroutine.yield()
  end)
  coroutine.resume(co)
  return coroutine.close(co)
end
show(pcall(chain, 30))
local ok, err = pcall(chain, 250)
show(ok, err)
]], { "5.4" })

case("warns from finalizers and closes with warnings on", [[
warn("@on")
setmetatable({}, { __gc = function() error("in a finalizer") end })
collectgarbage()
coroutine.wrap(function()
  setmetatable({}, { __gc = function() coroutine.yield() end })
  collectgarbage()
end)()
]], { "5.4" })

-- Collector

case("runs coroutines in finalizers", [[
local meta = { __gc = function(object)
  local co = coroutine.create(function(x) local y = coroutine.yield(x + 1) return x + y end)
  show("finalizer", coroutine.resume(co, 1))
  show("finalizer", coroutine.resume(co, 10))
  show("finalizer", coroutine.status(co), coroutine.wrap(function() return object.name end)())
end }
local object = setmetatable({ name = "object" }, meta)
object = nil
collectgarbage()
if newproxy then
  local proxy = newproxy(true)
  getmetatable(proxy).__gc = function() show(coroutine.wrap(function() return "proxy" end)()) end
  proxy = nil
  collectgarbage()
end
]])

case("runs coroutines in the finalizers of the closing state", [[
keep = setmetatable({}, { __gc = function()
  local f = coroutine.wrap(function() coroutine.yield("at the end") error("caught") end)
  print(f())
  print(pcall(f))
end })
suspended = coroutine.create(function() coroutine.yield() end)
coroutine.resume(suspended)
if newproxy then
  proxy = newproxy(true)
  getmetatable(proxy).__gc = function() print(coroutine.wrap(function()
    return "proxy at the end" end)()) end
end
]])

case("collects suspended coroutines and those who refer to themselves", [[
local weak = setmetatable({}, { __mode = "k" })
for i = 1, 100 do
  local co
  co = coroutine.create(function() local own = co coroutine.yield() return own end)
  coroutine.resume(co)
  weak[co] = true
end
collectgarbage() collectgarbage()
local alive = 0
for _ in pairs(weak) do alive = alive + 1 end
show(alive)
local kept = coroutine.create(function() coroutine.yield() end)
coroutine.resume(kept)
weak[kept] = "kept"
collectgarbage() collectgarbage()
show(weak[kept], coroutine.status(kept))
]])

-- A wrapped coroutine's function has one upvalue more; all else is the VM's own.
case("takes as much memory for a coroutine as before", [[
local function sizes()
  local before = collectgarbage("count")
  local co = coroutine.create(function() coroutine.yield() end)
  local made = collectgarbage("count")
  coroutine.resume(co)
  local resumed = collectgarbage("count")
  coroutine.resume(co)
  local ended = collectgarbage("count")
  return (made - before) * 1024, (resumed - made) * 1024, (ended - resumed) * 1024
end
collectgarbage() collectgarbage()
collectgarbage("stop")
sizes()
show(sizes())
]], { "5.1", "5.3", "5.4" })

case("does not keep a dead coroutine's values alive", [[
local weak = setmetatable({}, { __mode = "v" })
local co = coroutine.create(function(value) coroutine.yield() end)
local value = {}
weak[1] = value
coroutine.resume(co, value)
value = nil
collectgarbage()
show(weak[1] ~= nil)
coroutine.resume(co)
collectgarbage()
show(weak[1] ~= nil)
]])

-- Leaving

case("exits from a coroutine, closing the state", [[
local closing = setmetatable({}, { __gc = function() print("finalized") end })
local co = coroutine.wrap(function()
  print(closing ~= nil)
  os.exit(3, true)
end)
co()
]])

case("exits from a nested coroutine", [[
coroutine.wrap(function() coroutine.wrap(function()
  io.write("bye\n") io.stdout:flush() os.exit(5) end)() end)()
]])

case("exits from a finalizer", [[
setmetatable({}, { __gc = function() print("gc exit") os.exit(6, true) end })
collectgarbage()
]], { "5.3", "5.4" })

case("exits from a __close", [[
local co = coroutine.create(function()
  local a <close> = setmetatable({}, { __close = function()
    print("close exit") os.exit(7, true) end })
  coroutine.yield()
end)
coroutine.resume(co)
coroutine.close(co)
]], { "5.4" })

-- Programs

case("runs producers, filters and consumers", [[
local function producer() return coroutine.wrap(function()
  for i = 1, 5 do coroutine.yield("line " .. i) end end) end
local function filter(source)
  return coroutine.wrap(function() local n = 1 for line in source do
    coroutine.yield(("%5d %s"):format(n, line)) n = n + 1 end end)
end
for line in filter(filter(producer())) do print(line) end
]])

case("runs permutations by recursion", [[
local function permute(a, n)
  if n <= 1 then coroutine.yield(a) return end
  for i = 1, n do
    a[n], a[i] = a[i], a[n]
    permute(a, n - 1)
    a[n], a[i] = a[i], a[n]
  end
end
for p in coroutine.wrap(function() permute({ 1, 2, 3, 4 }, 4) end) do
  print(table.concat(p, " ")) end
]])

case("runs a scheduler with errors and kills", [[
local queue = {}
for i = 1, 6 do
  queue[i] = { name = "task " .. i, co = coroutine.create(function(name)
    for step = 1, i do
      if i == 4 and step == 3 then error("task 4 fails") end
      coroutine.yield(name .. " step " .. step)
    end
    return name .. " ends"
  end) }
end
while #queue > 0 do
  local task = table.remove(queue, 1)
  print(coroutine.resume(task.co, task.name))
  if coroutine.status(task.co) ~= "dead" then queue[#queue + 1] = task end
end
]])

case("runs a coroutine-based sieve", [[
local function numbers() return coroutine.wrap(function()
  for n = 2, 200 do coroutine.yield(n) end end) end
local function filter(p, source)
  return coroutine.wrap(function() for n in source do if n % p ~= 0 then
    coroutine.yield(n) end end end)
end
local source, primes = numbers(), {}
while true do
  local prime = source()
  if not prime then break end
  primes[#primes + 1] = prime
  source = filter(prime, source)
end
print(table.concat(primes, " "))
]])

case("loads chunks that yield at their top", [[
local chunk = assert((loadstring
  or load)("local a = ... local b = coroutine.yield(a) return a, b", "=chunk"))
local co = coroutine.create(chunk)
show(coroutine.resume(co, "first"))
show(coroutine.resume(co, "second"))
]])

case("keeps integer and float apart", [[
local f = coroutine.wrap(function(...) while true do coroutine.yield(...) end end)
show(f(1, 1.0, 2^53, -0.0, 1/0, "10"))
show(math.type and math.type(coroutine.wrap(function() return 3 end)()))
]])

local function normalised(text)
  return (text:gsub("0x%x+", "0x"))
end

local function runs_here(one)
  return one.only == nil or run.is((table.unpack or unpack)(one.only)) -- luacheck: ignore unpack
end

describe("a program with coroutines under rtmetrics", function()
  for _, one in ipairs(cases) do
    if runs_here(one) then
      it(one.title, function()
        local bare, instrumented = run.both(prelude .. one.code)
        assert.are.equal(normalised(bare.out), normalised(instrumented.out))
        assert.are.equal(normalised(bare.err), normalised(instrumented.err))
        assert.are.equal(bare.code, instrumented.code)
        assert.is_nil(instrumented.signal)
      end)
    end
  end
end)
