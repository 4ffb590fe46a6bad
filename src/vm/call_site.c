#include "vm/call_site.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "ground/check.h"
#include "vm/compat.h"

bool rtm_call_site_find(struct lua_State *thread, struct rtm_call_site *site)
{
    enum { MAX_C_FRAMES = 4 };
    lua_Debug frame;
    /* level 0 is the C function itself */
    for (int level = 1; level <= MAX_C_FRAMES && lua_getstack(thread, level, &frame); level++) {
        if (!lua_getinfo(thread, "Sl", &frame) || frame.currentline <= 0)
            continue;
        RTM_STATIC_ASSERT(sizeof frame.short_src <= sizeof site->source, "a source name must fit");
        memcpy(site->source, frame.short_src, strlen(frame.short_src) + 1);
        site->line = frame.currentline;
        return true;
    }
    return false;
}

#if LUA_VERSION_NUM == 504

enum {
    FRAME_WORDS = 6, /* of a CallInfo that are looked at: func, top, two links, then what a Lua
                        function has */
    CALLS = 8,       /* of the C function, each two instructions after the other */
};

struct experiment {
    uintptr_t frames[CALLS][FRAME_WORDS];
    int calls;
};

static int look_at_caller(lua_State *L)
{
    struct experiment *experiment = lua_touserdata(L, lua_upvalueindex(1));
    lua_Debug frame;
    if (experiment->calls < CALLS && lua_getstack(L, 1, &frame))
        memcpy(experiment->frames[experiment->calls++], frame.i_ci,
               FRAME_WORDS * sizeof(uintptr_t));
    return 0;
}

/* The program counter advances by the same step from call to call; all else in the frame stays. */
static bool advances(const struct experiment *experiment, int word)
{
    enum { LONGEST_STEP = 32, INSTRUCTION = 4 };
    uintptr_t step = experiment->frames[1][word] - experiment->frames[0][word];
    if (step == 0 || step > LONGEST_STEP || step % INSTRUCTION != 0)
        return false;
    for (int i = 1; i < CALLS; i++) {
        if (experiment->frames[i][word] - experiment->frames[i - 1][word] != step)
            return false;
    }
    return true;
}

static int find_word(const struct experiment *experiment)
{
    int found = -1;
    for (int word = 0; word < FRAME_WORDS; word++) {
        if (!advances(experiment, word))
            continue;
        if (found >= 0)
            return -1;
        found = word;
    }
    return found;
}

static int run_calls(lua_State *L)
{
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, look_at_caller, 1);
    lua_setglobal(L, "f");
    if (luaL_loadstring(L, "f() f() f() f() f() f() f() f()") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static int search_counter(void)
{
    struct experiment experiment = {.calls = 0};
    lua_State *scratch = luaL_newstate();
    if (!scratch)
        return -1;
    lua_pushcfunction(scratch, run_calls);
    lua_pushlightuserdata(scratch, &experiment);
    bool has_run = lua_pcall(scratch, 1, 0, 0) == LUA_OK && experiment.calls == CALLS;
    lua_close(scratch);
    return has_run ? find_word(&experiment) : -1;
}

#else

static int search_counter(void)
{
    return -1; /* without the collector's runs in sight, a key cannot be known to be still good */
}

#endif

static int counter_word = -1;
static pthread_once_t counter_once = PTHREAD_ONCE_INIT;

static void search_once(void)
{
    counter_word = search_counter();
}

void rtm_call_site_init(void)
{
    pthread_once(&counter_once, search_once);
}

#if LUA_VERSION_NUM == 504

/* A frame of C code keeps something else in that word. */
static bool is_lua_function(lua_State *thread, lua_Debug *frame)
{
    lua_getinfo(thread, "f", frame);
    bool is_lua = !lua_iscfunction(thread, -1);
    lua_pop(thread, 1);
    return is_lua;
}

const void *rtm_call_site_key(struct lua_State *thread)
{
    lua_Debug frame;
    if (counter_word < 0 || !lua_getstack(thread, 1, &frame) || !is_lua_function(thread, &frame))
        return NULL;
    return ((void *const *)(const void *)frame.i_ci)[counter_word];
}

#else

const void *rtm_call_site_key(struct lua_State *thread)
{
    (void)thread;
    return NULL;
}

#endif
