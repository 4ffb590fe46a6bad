#include "bindings/lseries.h"

#include <math.h>
#include <string.h>

#include "data/series.h"
#include "vm/compat.h"

/* What the natives can be called on. */
enum ability {
    CAN_ADD = 1 << RTM_SERIES_COUNTER | 1 << RTM_SERIES_GAUGE,
    CAN_ASSIGN = 1 << RTM_SERIES_GAUGE,
    CAN_OBSERVE = 1 << RTM_SERIES_HISTOGRAM,
    CAN_ALL = CAN_ADD | CAN_OBSERVE,
};

/* A call's metric; `description` is NULL where the set is closed. */
struct target {
    struct rtm_series_set *set;
    uint32_t id;
    const struct rtm_series_description *description;
};

static const char *const type_names[] = {"counter", "gauge", "histogram", NULL};

static struct rtm_series_set *get_set(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static struct target find_target(lua_State *L, enum ability ability)
{
    struct target target = {.set = get_set(L)};
    if (!lua_istable(L, 1))
        luaL_error(L, "call methods of a metric with a colon: metric:inc(...)");
    if (target.set->closed)
        return target;
    lua_rawgeti(L, 1, 1);
    lua_Integer id = lua_tointeger(L, -1);
    lua_pop(L, 1);
    /* Lua's ids begin at 1, so that a table that is no metric reads as none. */
    target.id = id > 0 && id <= RTM_SERIES_NONE ? (uint32_t)(id - 1) : RTM_SERIES_NONE;
    target.description = rtm_series_get(target.set, target.id);
    if (!target.description)
        luaL_argerror(L, 1, "not a metric of rtmetrics.prometheus");
    else if (!(ability & 1 << target.description->type))
        luaL_error(L, "%s is a %s, which has no such method", target.description->family,
                   type_names[target.description->type]);
    return target;
}

/* --- label values --- */

/* Numbers as every Lua writes whole ones: 200, not 200.0; and without making a string on Lua's
 * heap. */
static bool put_whole(lua_State *L, int index, char digits[24], struct rtm_label_text *text)
{
    lua_Number number = lua_tonumber(L, index);
    if (!(fabs(number) < 1e15) || number != floor(number))
        return false;
    uint64_t left = (uint64_t)fabs(number);
    size_t first = 24;
    do {
        digits[--first] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (number < 0)
        digits[--first] = '-';
    *text = (struct rtm_label_text){digits + first, 24 - first};
    return true;
}

/* Adds the value on top of the stack; it stays there, as its bytes are borrowed. */
static void add_value(lua_State *L, const struct target *target, int number,
                      struct rtm_label_key *key)
{
    struct rtm_label_text text = {NULL, 0};
    char digits[24];
    int type = lua_type(L, -1);
    if (type == LUA_TBOOLEAN) {
        text.bytes = lua_toboolean(L, -1) ? "true" : "false";
        text.length = strlen(text.bytes);
    } else if (type == LUA_TSTRING || (type == LUA_TNUMBER && !put_whole(L, -1, digits, &text))) {
        text.bytes = lua_tolstring(L, -1, &text.length);
    } else if (type != LUA_TNUMBER) {
        luaL_error(L, "%s: label %s (value %d) must be a string, number or boolean, got %s",
                   target->description->family, target->description->labels[number - 1], number,
                   luaL_typename(L, -1));
    }
    rtm_label_key_add(key, text);
}

static void check_none_left(lua_State *L, int arg, const struct target *target)
{
    lua_rawgeti(L, arg, (int)target->description->label_count + 1);
    if (!lua_isnil(L, -1))
        luaL_error(L, "%s: more label values than its %d labels", target->description->family,
                   (int)target->description->label_count);
    lua_pop(L, 1);
}

static void read_values(lua_State *L, int arg, const struct target *target,
                        struct rtm_label_key *key)
{
    int count = (int)target->description->label_count;
    rtm_label_key_begin(key);
    if (lua_isnoneornil(L, arg)) {
        if (count)
            luaL_error(L, "%s: a list of %d label values is missing", target->description->family,
                       count);
        return;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, arg, i);
        add_value(L, target, i, key);
        lua_pop(L, 1);
    }
    check_none_left(L, arg, target);
}

/* A number proper: a string that looks like one is a mistake in a measurement. */
static double read_number(lua_State *L, int arg, const struct target *target, bool any)
{
    if (lua_type(L, arg) != LUA_TNUMBER)
        luaL_error(L, "%s: the value must be a number, got %s", target->description->family,
                   luaL_typename(L, arg));
    double value = lua_tonumber(L, arg);
    if (!any && !isfinite(value))
        luaL_error(L, "%s: the value must be finite, got %f", target->description->family, value);
    return value;
}

/* --- updates --- */

static int series_add(lua_State *L)
{
    struct target target = find_target(L, CAN_ADD);
    if (!target.description)
        return 0;
    bool counter = target.description->type == RTM_SERIES_COUNTER;
    double amount = lua_isnoneornil(L, 2) ? 1 : read_number(L, 2, &target, !counter);
    if (counter && amount < 0)
        luaL_error(L, "%s: a counter cannot fall (by %f)", target.description->family, -amount);
    struct rtm_label_key key;
    read_values(L, 3, &target, &key);
    rtm_series_add(target.set, target.id, &key, amount);
    return 0;
}

static int series_assign(lua_State *L)
{
    struct target target = find_target(L, CAN_ASSIGN);
    if (!target.description)
        return 0;
    struct rtm_label_key key;
    double value = read_number(L, 2, &target, true);
    read_values(L, 3, &target, &key);
    rtm_series_assign(target.set, target.id, &key, value);
    return 0;
}

static int series_observe(lua_State *L)
{
    struct target target = find_target(L, CAN_OBSERVE);
    if (!target.description)
        return 0;
    struct rtm_label_key key;
    double value = read_number(L, 2, &target, false);
    read_values(L, 3, &target, &key);
    rtm_series_observe(target.set, target.id, &key, value);
    return 0;
}

static int series_remove(lua_State *L)
{
    struct target target = find_target(L, CAN_ALL);
    if (!target.description)
        return 0;
    struct rtm_label_key key;
    read_values(L, 2, &target, &key);
    rtm_series_remove(target.set, target.id, &key);
    return 0;
}

static int series_reset(lua_State *L)
{
    struct target target = find_target(L, CAN_ALL);
    if (target.description)
        rtm_series_reset(target.set, target.id);
    return 0;
}

/* --- registration --- */

static bool read_text(lua_State *L, int index, const char *what, struct rtm_label_text *text,
                      struct rtm_error *err)
{
    if (lua_type(L, index) != LUA_TSTRING)
        return rtm_error_set(err, "%s must be a string, got %s", what, luaL_typename(L, index));
    text->bytes = lua_tolstring(L, index, &text->length);
    return true;
}

/* The texts stay valid without their strings on the stack: the caller's table holds them. */
static bool read_labels(lua_State *L, int arg, struct rtm_series_spec *spec, struct rtm_error *err)
{
    if (lua_isnoneornil(L, arg))
        return true;
    if (!lua_istable(L, arg))
        return rtm_error_set(err, "labels must be a list of names, got %s", luaL_typename(L, arg));
    spec->label_count = rtm_compat_rawlen(L, arg);
    if (spec->label_count > RTM_LABEL_COUNT_MAX)
        return rtm_error_set(err, "more than %d labels", RTM_LABEL_COUNT_MAX);
    for (size_t i = 0; i < spec->label_count; i++) {
        lua_rawgeti(L, arg, (int)i + 1);
        bool read = read_text(L, -1, "a label name", &spec->labels[i], err);
        lua_pop(L, 1);
        if (!read)
            return false;
    }
    return true;
}

static bool read_bounds(lua_State *L, int arg, struct rtm_series_spec *spec, struct rtm_error *err)
{
    if (lua_isnoneornil(L, arg))
        return true;
    if (!lua_istable(L, arg))
        return rtm_error_set(err, "buckets must be a list of numbers, got %s",
                             luaL_typename(L, arg));
    size_t count = rtm_compat_rawlen(L, arg);
    if (count > RTM_SERIES_BOUNDS_MAX)
        return rtm_error_set(err, "more than %d buckets", RTM_SERIES_BOUNDS_MAX);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, arg, (int)i + 1);
        bool number = lua_type(L, -1) == LUA_TNUMBER;
        spec->bounds[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
        if (!number)
            return rtm_error_set(err, "buckets must be a list of numbers");
    }
    /* The last bucket is there anyway, named or not. */
    spec->bound_count = count && spec->bounds[count - 1] == INFINITY ? count - 1 : count;
    return true;
}

static bool read_spec(lua_State *L, struct rtm_series_spec *spec, struct rtm_error *err)
{
    spec->type = (enum rtm_series_type)luaL_checkoption(L, 1, NULL, type_names);
    spec->help = (struct rtm_label_text){NULL, 0};
    spec->label_count = spec->bound_count = 0;
    return read_text(L, 2, "a metric's name", &spec->name, err) &&
           (lua_isnoneornil(L, 3) || read_text(L, 3, "a metric's help", &spec->help, err)) &&
           read_labels(L, 4, spec, err) && read_bounds(L, 5, spec, err);
}

/* The front raises a mistake itself, where the caller's line is at hand. */
static int series_register(lua_State *L)
{
    struct rtm_series_set *set = get_set(L);
    struct rtm_series_spec spec;
    struct rtm_error err;
    bool sound = read_spec(L, &spec, &err) && rtm_series_check(set, &spec, &err);
    uint32_t id = sound ? rtm_series_register(set, &spec, &err) : RTM_SERIES_NONE;
    if (id != RTM_SERIES_NONE) {
        rtm_compat_pushint(L, (lua_Integer)id + 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, err.text);
    lua_pushboolean(L, !sound);
    return 3;
}

static int series_limit(lua_State *L)
{
    struct rtm_series_limits *limits = &get_set(L)->limits;
    uint32_t *const fields[] = {&limits->metrics, &limits->series_per_metric, &limits->series};
    lua_settop(L, 3);
    for (int i = 0; i < 3; i++) {
        uint32_t before = *fields[i];
        if (!lua_isnil(L, i + 1))
            *fields[i] = (uint32_t)luaL_checknumber(L, i + 1);
        rtm_compat_pushint(L, before);
    }
    return 3;
}

void rtm_lseries_register(struct lua_State *L, struct rtm_series_set *set)
{
    static const luaL_Reg natives[] = {
        {"series_register", series_register}, {"series_add", series_add},
        {"series_assign", series_assign},     {"series_observe", series_observe},
        {"series_remove", series_remove},     {"series_reset", series_reset},
        {"series_limit", series_limit},       {NULL, NULL},
    };
    lua_pushlightuserdata(L, set);
    rtm_compat_setfuncs(L, natives, 1);
}
