rockspec_format = "3.0"
package = "rtmetrics-agent"
version = "scm-1"
-- `luarocks make` builds the checkout that it is called in, and fetches nothing.
source = {
  url = "git+file://.",
}
description = {
  summary = "An HTTP server in any Lua program that answers while Lua is stuck",
  detailed = [[
The native part of rtmetrics.agent: a thread that serves the pages of rtmetrics (metrics for
Prometheus, variables as JSON) while the program runs, in an endless loop or asleep in C as well.
Needs libmicrohttpd with its headers (Debian: libmicrohttpd-dev).]],
  license = "MIT",
}
supported_platforms = { "linux" }
external_dependencies = {
  MICROHTTPD = { header = "microhttpd.h" },
}
dependencies = {
  "lua >= 5.1, < 5.5",
  "rtmetrics",
}
-- The headers tell the Makefile which Lua this is; LuaJIT is built against when they are LuaJIT's.
build = {
  type = "make",
  build_target = "agent",
  build_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    WERROR = "0",
  },
  install_target = "install-agent",
  install_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    WERROR = "0",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
  },
}
