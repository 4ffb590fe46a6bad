/* User series without a VM around them: sets of their own, what a reader sees, failing memory, and
   readers on other threads. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bindings/lseries.h"
#include "data/series.h"
#include "ground/memory.h"
#include "vm/compat.h"

enum { READERS_MAX = 4 };

struct reader {
    pthread_t thread;
    struct rtm_series_set *set;
    uint64_t rounds, seen, torn;
};

static struct reader readers[READERS_MAX];
static int reader_count;
static atomic_bool stopping;

static struct rtm_series_set *check_set(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
    return lua_touserdata(L, 1);
}

static int collect_set(lua_State *L)
{
    rtm_series_fini(lua_touserdata(L, 1));
    return 0;
}

/* new(metrics, series_per_metric, series) -> the natives, with `set`, a light userdata. */
static int new_natives(lua_State *L)
{
    struct rtm_series_limits limits = RTM_SERIES_LIMITS_DEFAULT;
    limits.metrics = (uint32_t)luaL_optnumber(L, 1, limits.metrics);
    limits.series_per_metric = (uint32_t)luaL_optnumber(L, 2, limits.series_per_metric);
    limits.series = (uint32_t)luaL_optnumber(L, 3, limits.series);
    lua_newtable(L);
    struct rtm_series_set *set = lua_newuserdata(L, sizeof *set);
    rtm_series_init(set, limits);
    lua_newtable(L);
    lua_pushcfunction(L, collect_set);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "anchor");
    lua_pushlightuserdata(L, set);
    lua_setfield(L, -2, "set");
    rtm_lseries_register(L, set);
    return 1;
}

static int close_set(lua_State *L)
{
    rtm_series_fini(check_set(L));
    return 0;
}

static int get_stats(lua_State *L)
{
    struct rtm_series_set *set = check_set(L);
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"series", rtm_atomic_get(&set->series)},
        {"bytes", rtm_atomic_get(&set->bytes)},
        {"overflowed", rtm_atomic_get(&set->overflowed)},
        {"dropped", rtm_atomic_get(&set->dropped)},
        {"memory", rtm_memory_bytes()},
        {"failures", rtm_memory_failures()},
    };
    lua_newtable(L);
    for (size_t i = 0; i < RTM_COUNT_OF(fields); i++) {
        lua_pushnumber(L, (lua_Number)fields[i].value);
        lua_setfield(L, -2, fields[i].name);
    }
    return 1;
}

static int fail_after(lua_State *L)
{
    rtm_memory_fail_after((uint64_t)luaL_checknumber(L, 1), (uint64_t)luaL_checknumber(L, 2));
    return 0;
}

/* --- what a reader sees --- */

static void push_reading(void *user, const struct rtm_series_reading *reading)
{
    lua_State *L = user;
    lua_newtable(L);
    lua_pushnumber(L, reading->value);
    lua_setfield(L, -2, "value");
    for (uint32_t i = 0; i < reading->metric->label_count; i++) {
        lua_pushlstring(L, reading->labels[i].bytes, reading->labels[i].length);
        lua_setfield(L, -2, reading->metric->labels[i]);
    }
    if (reading->metric->type == RTM_SERIES_HISTOGRAM) {
        lua_newtable(L);
        for (uint32_t i = 0; i <= reading->metric->bound_count; i++) {
            lua_pushnumber(L, (lua_Number)reading->counts[i]);
            lua_rawseti(L, -2, (int)i + 1);
        }
        lua_setfield(L, -2, "counts");
    }
    lua_rawseti(L, -2, (int)rtm_compat_rawlen(L, -2) + 1);
}

/* read(set) -> {family = {series...}}; each series has its labels as fields, `value` and
   `counts`. A reader holds the lock, so no finaliser may run in it. */
static int read_set(lua_State *L)
{
    struct rtm_series_set *set = check_set(L);
    struct rtm_series_family family;
    lua_gc(L, LUA_GCSTOP, 0);
    lua_newtable(L);
    for (uint32_t i = 0; rtm_series_describe(set, i, &family); i++) {
        lua_newtable(L);
        rtm_series_read(set, i, push_reading, L);
        lua_setfield(L, -2, family.name);
    }
    lua_gc(L, LUA_GCRESTART, 0);
    return 1;
}

/* --- readers on threads --- */

/* The specs observe nothing but 1, so a histogram's sum is its count. */
static void check_reading(void *user, const struct rtm_series_reading *reading)
{
    struct reader *reader = user;
    uint64_t total = 0;
    reader->seen++;
    if (reading->metric->type != RTM_SERIES_HISTOGRAM)
        return;
    for (uint32_t i = 0; i <= reading->metric->bound_count; i++)
        total += reading->counts[i];
    if ((double)total != reading->value)
        reader->torn++;
}

static void *read_on(void *argument)
{
    struct reader *reader = argument;
    struct rtm_series_family family;
    while (!atomic_load(&stopping)) {
        for (uint32_t i = 0; rtm_series_describe(reader->set, i, &family); i++)
            rtm_series_read(reader->set, i, check_reading, reader);
        reader->rounds++;
    }
    return NULL;
}

/* start_readers(set, n): n threads that read for ever. */
static int start_readers(lua_State *L)
{
    struct rtm_series_set *set = check_set(L);
    int wanted = (int)luaL_checknumber(L, 2);
    luaL_argcheck(L, wanted <= READERS_MAX && !reader_count, 2, "too many readers");
    atomic_store(&stopping, false);
    while (reader_count < wanted) {
        struct reader *reader = &readers[reader_count++];
        *reader = (struct reader){.set = set};
        if (pthread_create(&reader->thread, NULL, read_on, reader) != 0)
            return luaL_error(L, "no thread");
    }
    return 0;
}

/* stop_readers() -> rounds, series seen, torn histograms, all readers together. */
static int stop_readers(lua_State *L)
{
    uint64_t rounds = 0, seen = 0, torn = 0;
    atomic_store(&stopping, true);
    for (; reader_count; reader_count--) {
        struct reader *reader = &readers[reader_count - 1];
        pthread_join(reader->thread, NULL);
        rounds += reader->rounds;
        seen += reader->seen;
        torn += reader->torn;
    }
    lua_pushnumber(L, (lua_Number)rounds);
    lua_pushnumber(L, (lua_Number)seen);
    lua_pushnumber(L, (lua_Number)torn);
    return 3;
}

/* What a child may do with the set of its parent: all of it, though threads that it has not may
   have held the lock. */
static void use_in_child(struct rtm_series_set *set)
{
    struct reader reader = {.set = set};
    struct rtm_label_key key;
    struct rtm_series_family family;
    alarm(60);
    rtm_series_after_fork(set);
    rtm_label_key_begin(&key);
    rtm_label_key_add(&key, (struct rtm_label_text){"1", 1});
    rtm_series_add(set, 0, &key, 1);
    rtm_series_remove(set, 0, &key);
    for (uint32_t i = 0; rtm_series_describe(set, i, &family); i++)
        rtm_series_read(set, i, check_reading, &reader);
    _exit(reader.seen > 0 ? 0 : 1);
}

/* fork(set) -> the status that waitpid gives of a child that uses the set; 0 is well. */
static int fork_child(lua_State *L)
{
    struct rtm_series_set *set = check_set(L);
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        use_in_child(set);
    if (child > 0)
        waitpid(child, &status, 0);
    lua_pushnumber(L, status);
    return 1;
}

/* clean(text, capacity) -> the text as a label keeps it. */
static int clean_text(lua_State *L)
{
    char out[1024];
    struct rtm_label_text text;
    text.bytes = luaL_checklstring(L, 1, &text.length);
    size_t capacity = (size_t)luaL_optnumber(L, 2, RTM_LABEL_VALUE_MAX);
    luaL_argcheck(L, capacity <= sizeof out, 2, "too big");
    lua_pushlstring(L, out, rtm_label_clean(out, capacity, text));
    return 1;
}

__attribute__((visibility("default"))) int luaopen_series_probe(lua_State *L);

int luaopen_series_probe(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"new", new_natives},
        {"close", close_set},
        {"fork", fork_child},
        {"stats", get_stats},
        {"fail_after", fail_after},
        {"read", read_set},
        {"start_readers", start_readers},
        {"stop_readers", stop_readers},
        {"clean", clean_text},
        {NULL, NULL},
    };
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
