#include "vm/gcprobe.h"

#include <pthread.h>
#include <string.h>

#include "ground/memory.h"
#include "vm/compat.h"
#include "vm/vm.h"

/* Found offsets, relative to the main lua_State. */
struct layout {
    ptrdiff_t total, debt, estimate, state, busy, kind, stopped, pause, major;
    uint8_t idle_state;
    bool found;
};

#if LUA_VERSION_NUM == 504

enum {
    MAX_BLOCK = 4096, /* the block of main thread and global state is about 1,500 bytes */
    OBJECTS = 24,     /* garbage made for each observed collection */
};

enum phase { PHASE_NONE, PHASE_ACCOUNT, PHASE_INCREMENTAL, PHASE_GENERATIONAL };

/* One scratch state under observation. A candidate is an offset that has not been contradicted so
 * far. */
struct search {
    lua_State *L;
    unsigned char *block;
    size_t bytes;
    enum phase phase;
    bool collecting;     /* inside a collection that we asked for */
    bool has_last;       /* `last_*` are valid */
    uintptr_t low, high; /* bounds of all blocks given out */
    int64_t last_delta;
    unsigned char last[MAX_BLOCK];
    bool is_debt[MAX_BLOCK], is_busy[MAX_BLOCK], is_state[MAX_BLOCK], is_kind[MAX_BLOCK],
        is_estimate[MAX_BLOCK], is_stopped[MAX_BLOCK], is_pause[MAX_BLOCK], is_major[MAX_BLOCK];
    unsigned accounted, incremental_frees, generational_frees;
};

static int64_t word_at(const unsigned char *block, size_t offset)
{
    int64_t word;
    memcpy(&word, block + offset, sizeof word);
    return word;
}

/* Between two calls of the allocator the debt moves by what the first one asked for. */
static void test_debt(struct search *s)
{
    for (size_t at = 0; at + sizeof(int64_t) <= s->bytes; at += sizeof(int64_t))
        s->is_debt[at] &= word_at(s->block, at) == word_at(s->last, at) + s->last_delta;
    s->accounted++;
}

/* A byte of an address may look like a flag: of the collector's lists, which are empty at some
 * times and not at others. */
static bool is_in_address(const struct search *s, size_t at)
{
    uintptr_t word = (uintptr_t)word_at(s->block, at - at % sizeof(int64_t));
    return word >= s->low && word < s->high;
}

/* The first place from `at` on that is still a candidate; few are after the first tests. */
static size_t next_candidate(const struct search *s, const bool *candidates, size_t at)
{
    const bool *next = memchr(candidates + at, 1, s->bytes - at);
    return next ? (size_t)(next - candidates) : s->bytes;
}

static void test_byte_is(struct search *s, bool *candidates, uint8_t value)
{
    for (size_t at = next_candidate(s, candidates, 0); at < s->bytes;
         at = next_candidate(s, candidates, at + 1))
        candidates[at] = s->block[at] == value && (value == 0 || !is_in_address(s, at));
}

static void test_byte_is_set(struct search *s, bool *candidates)
{
    for (size_t at = next_candidate(s, candidates, 0); at < s->bytes;
         at = next_candidate(s, candidates, at + 1))
        candidates[at] = s->block[at] != 0 && !is_in_address(s, at);
}

static void observe_call(struct search *s, bool is_free)
{
    if (s->phase == PHASE_ACCOUNT && s->has_last)
        test_debt(s);
    if (!s->collecting)
        test_byte_is(s, s->is_busy, 0);
    if (s->phase == PHASE_INCREMENTAL && s->collecting && is_free) {
        test_byte_is(s, s->is_busy, 1);
        s->incremental_frees++;
    }
    if (s->phase == PHASE_GENERATIONAL && s->collecting && is_free) {
        test_byte_is_set(s, s->is_state);
        test_byte_is(s, s->is_busy, 0);
        s->generational_frees++;
    }
    if (s->phase == PHASE_GENERATIONAL && !s->collecting)
        test_byte_is(s, s->is_state, 0);
}

static void *scratch_alloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
    struct search *s = ud;
    if (s->phase != PHASE_NONE)
        observe_call(s, ptr && nsize == 0);
    void *block = NULL;
    if (nsize == 0)
        rtm_memory_free(ptr);
    else
        block = ptr ? rtm_memory_realloc(ptr, nsize)
                    : rtm_memory_alloc(nsize); /* zeroed: padding is looked at, too */
    if (block && (uintptr_t)block < s->low)
        s->low = (uintptr_t)block;
    if (block && (uintptr_t)block + nsize > s->high)
        s->high = (uintptr_t)block + nsize;
    if (!s->block) { /* the first block holds main thread and global state */
        s->block = block;
        s->bytes = nsize;
    } else if (s->phase == PHASE_ACCOUNT) {
        s->last_delta = (int64_t)nsize - (int64_t)(ptr ? osize : 0);
        memcpy(s->last, s->block, s->bytes);
        s->has_last = true;
    }
    return block;
}

static void make_garbage(lua_State *L, int objects)
{
    for (int i = 0; i < objects; i++) {
        lua_createtable(L, i % 5, i % 3);
        lua_pop(L, 1);
    }
}

static void collect(struct search *s, int what)
{
    s->collecting = true;
    lua_gc(s->L, what, 0);
    s->collecting = false;
}

static void observe_accounting(struct search *s)
{
    s->phase = PHASE_ACCOUNT;
    make_garbage(s->L, OBJECTS);
    lua_newuserdatauv(s->L, 100, 0);
    lua_pop(s->L, 1);
    s->phase = PHASE_NONE;
    s->has_last = false;
}

/* After a full incremental cycle the estimate is the heap's size, whatever that is. */
static void test_estimate(struct search *s)
{
    int64_t heap = (int64_t)rtm_vm_heap_bytes(s->L);
    for (size_t at = 0; at + sizeof(int64_t) <= s->bytes; at += sizeof(int64_t))
        s->is_estimate[at] &= word_at(s->block, at) == heap;
}

static void observe_incremental(struct search *s, int round)
{
    lua_gc(s->L, LUA_GCINC, 0, 0, 0);
    test_byte_is(s, s->is_kind, 0);
    s->phase = PHASE_INCREMENTAL;
    make_garbage(s->L, OBJECTS);
    lua_createtable(s->L, 40 * (round + 1), 0); /* survives: the heap has another size each time */
    collect(s, LUA_GCCOLLECT);
    s->phase = PHASE_NONE;
    test_estimate(s);
}

/* Between the steps of a cycle the collector rests, whatever it keeps in hand (a sweep's position,
 * say). */
static void observe_steps(struct search *s)
{
    enum { SMALLEST = 4, STEPS = 60 };
    lua_gc(s->L, LUA_GCINC, 0, SMALLEST, SMALLEST);
    make_garbage(s->L, OBJECTS);
    for (int i = 0; i < STEPS; i++) {
        collect(s, LUA_GCSTEP);
        test_byte_is(s, s->is_busy, 0);
    }
}

static void observe_generational(struct search *s)
{
    lua_gc(s->L, LUA_GCGEN, 0, 0);
    test_byte_is(s, s->is_kind, 1);
    s->phase = PHASE_GENERATIONAL;
    make_garbage(s->L, OBJECTS);
    collect(s, LUA_GCSTEP);
    s->phase = PHASE_NONE;
}

/* Parameters are kept as quarters of a percentage (lgc.h, setgcparam). */
static void observe_parameters(struct search *s, int round)
{
    int pause = 160 + 40 * round, major = 60 + 40 * round;
    int former_pause = lua_gc(s->L, LUA_GCSETPAUSE, pause);
    test_byte_is(s, s->is_pause, (uint8_t)(pause / 4));
    lua_gc(s->L, LUA_GCSETPAUSE, former_pause);
    lua_gc(s->L, LUA_GCGEN, 0, major);
    test_byte_is(s, s->is_major, (uint8_t)(major / 4));
    test_byte_is_set(s, s->is_stopped);
    lua_gc(s->L, LUA_GCRESTART);
    test_byte_is(s, s->is_stopped, 0);
    lua_gc(s->L, LUA_GCSTOP); /* while the debt, which the restart cleared, is still 0 */
    test_byte_is_set(s, s->is_stopped);
}

/* The one place that is left among the multiples of `step`, or -1 where there is none or more than
 * one. */
static ptrdiff_t find_only(const bool *candidates, size_t bytes, size_t step)
{
    ptrdiff_t found = -1;
    for (size_t at = 0; at + step <= bytes; at += step) {
        if (!candidates[at])
            continue;
        if (found >= 0)
            return -1;
        found = (ptrdiff_t)at;
    }
    return found;
}

/* Within a finalizer the collector must say that it cannot start: that is how a pause that runs one
   is told from a pause that has ended. Lua 5.4.0 to 5.4.3 do not say it. */
static bool was_busy_in_finalizer;

static int finalizer(lua_State *L)
{
    was_busy_in_finalizer = rtm_vm_collector(L) == RTM_VM_COLLECTOR_BUSY;
    return 0;
}

static bool tells_finalizers(lua_State *L)
{
    was_busy_in_finalizer = false;
    lua_newuserdatauv(L, 8, 0);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, finalizer);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    lua_gc(L, LUA_GCCOLLECT);
    return was_busy_in_finalizer;
}

static bool read_layout(struct search *s, struct layout *found)
{
    ptrdiff_t base = (const unsigned char *)s->L - s->block;
    const struct {
        ptrdiff_t *place;
        const bool *candidates;
        size_t step;
    } searched[] = {
        {&found->debt, s->is_debt, sizeof(int64_t)},
        {&found->estimate, s->is_estimate, sizeof(int64_t)},
        {&found->busy, s->is_busy, 1},
        {&found->state, s->is_state, 1},
        {&found->kind, s->is_kind, 1},
        {&found->stopped, s->is_stopped, 1},
        {&found->pause, s->is_pause, 1},
        {&found->major, s->is_major, 1},
    };
    if (!s->accounted || !s->incremental_frees || !s->generational_frees)
        return false;
    for (size_t i = 0; i < RTM_COUNT_OF(searched); i++) {
        ptrdiff_t at = find_only(searched[i].candidates, s->bytes, searched[i].step);
        if (at < 0)
            return false;
        *searched[i].place = at - base;
    }
    found->total = found->debt - (ptrdiff_t)sizeof(int64_t);
    if (found->total + base < 0 || word_at(s->block, (size_t)(found->total + base)) +
                                           word_at(s->block, (size_t)(found->debt + base)) !=
                                       (int64_t)rtm_vm_heap_bytes(s->L))
        return false;
    lua_gc(s->L, LUA_GCINC, 0, 0, 0);
    lua_gc(s->L, LUA_GCCOLLECT);
    found->idle_state = s->block[found->state + base];
    return found->idle_state != 0;
}

static int run_search(lua_State *L)
{
    enum { ROUNDS = 2 };
    struct search *s = lua_touserdata(L, 1);
    struct layout *layout = lua_touserdata(L, 2);
    lua_gc(L, LUA_GCSTOP); /* no collection but those that we ask for */
    for (int round = 0; round < ROUNDS; round++) {
        observe_accounting(s);
        observe_incremental(s, round);
        observe_steps(s);
        observe_generational(s);
        observe_parameters(s, round);
    }
    layout->found = read_layout(s, layout) && tells_finalizers(L);
    return 0;
}

static void search_layout(struct layout *layout)
{
    struct search *s = rtm_memory_alloc(sizeof *s);
    if (!s)
        return;
    bool *candidates[] = {s->is_debt,     s->is_busy,    s->is_state, s->is_kind,
                          s->is_estimate, s->is_stopped, s->is_pause, s->is_major};
    for (size_t i = 0; i < RTM_COUNT_OF(candidates); i++)
        memset(candidates[i], true, MAX_BLOCK);
    s->low = UINTPTR_MAX;
    s->L = lua_newstate(scratch_alloc, s);
    if (s->L && s->bytes <= MAX_BLOCK) {
        lua_pushcfunction(s->L, run_search);
        lua_pushlightuserdata(s->L, s);
        lua_pushlightuserdata(s->L, layout);
        if (lua_pcall(s->L, 2, 0, 0) != LUA_OK)
            layout->found = false;
    }
    s->phase = PHASE_NONE;
    if (s->L)
        lua_close(s->L);
    rtm_memory_free(s);
}

#else

static void search_layout(struct layout *layout)
{
    layout->found =
        false; /* 5.1, 5.3 and LuaJIT keep no byte that is set exactly while the collector works */
}

#endif

static struct layout layout;
static pthread_once_t layout_once = PTHREAD_ONCE_INIT;

static void search_once(void)
{
    search_layout(&layout);
}

bool rtm_gcprobe_attach(struct rtm_gcprobe *probe, struct lua_State *main_thread)
{
    pthread_once(&layout_once, search_once);
    if (!layout.found || !main_thread)
        return false;
    const char *base = (const char *)main_thread;
    *probe =
        (struct rtm_gcprobe){.account = (const struct rtm_gcprobe_account *)(base + layout.total),
                             .estimate = (const uint64_t *)(base + layout.estimate),
                             .state = (const uint8_t *)(base + layout.state),
                             .busy = (const uint8_t *)(base + layout.busy),
                             .kind = (const uint8_t *)(base + layout.kind),
                             .stopped = (const uint8_t *)(base + layout.stopped),
                             .pause = (const uint8_t *)(base + layout.pause),
                             .major = (const uint8_t *)(base + layout.major),
                             .idle_state = layout.idle_state};
    probe->is_generational = *probe->kind == 1;
    return probe->account->total + probe->account->debt == (int64_t)rtm_vm_heap_bytes(main_thread);
}
