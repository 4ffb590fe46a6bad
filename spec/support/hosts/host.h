/* What the C host programs of the survival specs share. A host ends with status 1 and a line on
   stderr at the first thing that is not as it must be. */
#ifndef RTM_HOST_H
#define RTM_HOST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm/compat.h"

static inline void host_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

static inline void host_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static inline const char *host_message(lua_State *L)
{
    const char *message = lua_tostring(L, -1);
    return message ? message : luaL_typename(L, -1);
}

static inline lua_State *host_open(void)
{
    lua_State *L = luaL_newstate();
    if (!L)
        host_fail("no memory for a state");
    luaL_openlibs(L);
    return L;
}

/* Runs `code`, failing the host if it fails. */
static inline void host_run(lua_State *L, const char *code)
{
    if (luaL_loadstring(L, code) != 0 || lua_pcall(L, 0, 0, 0) != 0)
        host_fail("%s", host_message(L));
}

/* The number that the expression `code` returns. */
static inline double host_number(lua_State *L, const char *code)
{
    if (luaL_loadstring(L, code) != 0 || lua_pcall(L, 0, 1, 0) != 0)
        host_fail("%s", host_message(L));
    double number = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return number;
}

/* A file's whole text, kept for the life of the program. */
static inline const char *host_read(const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "rb");
    if (!file)
        host_fail("cannot open %s", path);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* Resident bytes now. */
static inline long host_resident(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2)
        host_fail("cannot read /proc/self/statm");
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

#endif
