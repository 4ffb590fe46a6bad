rockspec_format = "3.0"
package = "rtmetrics"
version = "scm-1"
-- `luarocks make` builds the checkout that it is called in, and fetches nothing.
source = {
  url = "git+file://.",
}
description = {
  summary = "What the Go runtime tells about a Go process, for Lua",
  detailed = [[
Metrics of the heap, the garbage collector, coroutines and the process, read from inside a running
program: exact counts, pause and slice histograms, Prometheus exposition, leak detectors and
watchdogs. For Lua 5.4, 5.3, 5.1 and LuaJIT on Linux.]],
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.1, < 5.5",
}
-- The headers tell the Makefile which Lua this is; LuaJIT is built against when they are LuaJIT's.
build = {
  type = "make",
  build_target = "core",
  build_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    WERROR = "0",
  },
  install_target = "install-core",
  install_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    WERROR = "0",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
  },
}
