#include "observers/sched.h"

#include <string.h>

#include "vm/call_site.h"
#include "vm/vm.h"

static struct rtm_coroutine *find(const struct rtm_sched *sched, const struct lua_State *thread)
{
    return thread == sched->main.thread ? (struct rtm_coroutine *)&sched->main
                                        : rtm_pointer_map_find(&sched->by_thread, thread);
}

static struct rtm_coroutine *add_record(struct rtm_sched *sched, struct lua_State *thread)
{
    struct rtm_coroutine *co = rtm_pool_take(&sched->records);
    if (co && !rtm_pointer_map_add(&sched->by_thread, thread, co)) {
        rtm_pool_give(&sched->records, co);
        co = NULL;
    }
    if (!co) {
        rtm_atomic_add(&sched->dropped, 1);
        return NULL;
    }
    co->thread = thread;
    co->id = ++sched->last_id;
    co->state = RTM_COROUTINE_NEVER_STARTED;
    rtm_atomic_add(&sched->created, 1);
    return co;
}

/* A coroutine from before the observer, or one whose birth found no memory. What it did before is
 * not known. */
static struct rtm_coroutine *add_found(struct rtm_sched *sched, struct lua_State *thread)
{
    struct rtm_coroutine *co = add_record(sched, thread);
    if (co)
        rtm_atomic_add(&sched->found, 1);
    return co;
}

/* Dead is a state that a record enters once in a life. */
static void count_death(struct rtm_sched *sched, struct rtm_coroutine *co)
{
    if (co->state == RTM_COROUTINE_DEAD)
        return;
    if (co->switches == 0)
        rtm_atomic_add(&sched->dead_unstarted, 1);
    rtm_atomic_add(&sched->dead, 1);
    co->state = RTM_COROUTINE_DEAD;
}

static void remove_record(struct rtm_sched *sched, struct rtm_coroutine *co)
{
    count_death(sched, co);
    rtm_pointer_map_remove(&sched->by_thread, co->thread);
    rtm_pool_give(&sched->records, co);
}

/* Runs, or waits for one that it resumed. */
static bool is_on_chain(const struct rtm_coroutine *co)
{
    return co->state == RTM_COROUTINE_RUNNING || co->state == RTM_COROUTINE_NORMAL ||
           co->is_closing;
}

/* Puts a coroutine that got control past us onto the chain. */
static void enter_unseen(struct rtm_sched *sched, struct lua_State *thread)
{
    struct rtm_coroutine *co = find(sched, thread);
    if (!co)
        co = add_found(sched, thread);
    if (co)
        rtm_sched_enter(sched, co);
}

/* A coroutine that is being closed was counted as dead before its __close metamethods ran. */
static void end_closing(struct rtm_sched *sched, struct rtm_coroutine *co)
{
    sched->current = co->resumer;
    co->resumer = NULL;
    co->is_closing = false;
    co->state = RTM_COROUTINE_DEAD;
}

/* Takes what gave control back past us off the chain, down to `co`. */
static void leave_unseen(struct rtm_sched *sched, const struct rtm_coroutine *co)
{
    while (sched->current != co && sched->current->resumer) {
        struct rtm_coroutine *top = sched->current;
        if (top->is_closing) {
            end_closing(sched, top);
            continue;
        }
        enum rtm_coroutine_state state = rtm_vm_thread_state(top->thread);
        rtm_sched_leave(sched, top, state == RTM_COROUTINE_DEAD ? state : RTM_COROUTINE_SUSPENDED);
    }
}

void rtm_sched_sync(struct rtm_sched *sched, struct lua_State *thread)
{
    if (sched->current->thread == thread)
        return;
    rtm_atomic_add(&sched->missed, 1);
    struct rtm_coroutine *co = find(sched, thread);
    if (co && is_on_chain(co))
        leave_unseen(sched, co);
    else
        enter_unseen(sched, thread);
}

void rtm_sched_start(struct rtm_sched *sched, struct lua_State *thread,
                     struct lua_State *main_thread)
{
    struct rtm_vm_thread_block block = {0};
    rtm_pointer_map_init(&sched->by_thread);
    rtm_pool_init(&sched->records, sizeof(struct rtm_coroutine));
    rtm_site_init(&sched->sites);
    memset(sched->recent_sites, 0, sizeof sched->recent_sites);
    rtm_call_site_init();
    bool has_block =
        rtm_vm_find_thread_block(&block); /* also where only ends are seen in the allocator */
    sched->sees_births = rtm_vm_traits()->tells_threads && has_block;
    sched->thread_offset = block.offset;
    sched->thread_bytes = block.bytes;
    sched->main = (struct rtm_coroutine){.thread = main_thread, .state = RTM_COROUTINE_RUNNING};
    sched->current = &sched->main;
    rtm_atomic_set(&sched->switched_ticks, rtm_clock_ticks());
    sched->enabled = true;
    if (thread != sched->main.thread)
        enter_unseen(sched, thread);
}

/* All that was alive is out of sight: counted as dead, so that live counts restart at zero. */
void rtm_sched_stop(struct rtm_sched *sched)
{
    if (!sched->enabled)
        return;
    sched->enabled = false;
    sched->current = &sched->main;
    rtm_atomic_set(&sched->dead, rtm_atomic_get(&sched->created));
    rtm_atomic_set(&sched->dead_unstarted,
                   rtm_atomic_get(&sched->created) - rtm_atomic_get(&sched->started));
    rtm_atomic_set(&sched->depth, 0);
    rtm_pointer_map_fini(&sched->by_thread);
    rtm_pool_fini(&sched->records);
    rtm_site_fini(&sched->sites);
}

/* Most births come from few places: what was found for a place's key last is good until the
 * collector runs. */
static uint32_t find_site(struct rtm_sched *sched, uint64_t gc_runs)
{
    struct lua_State *thread = sched->current->thread;
    struct rtm_call_site site;
    const void *key = gc_runs ? rtm_call_site_key(thread) : NULL;
    struct rtm_sched_recent_site *recent =
        &sched->recent_sites[((uintptr_t)key >> 2) % RTM_COUNT_OF(sched->recent_sites)];
    if (key && recent->key == key && recent->gc_runs == gc_runs)
        return recent->site;
    uint32_t found = rtm_call_site_find(thread, &site)
                         ? rtm_site_intern(&sched->sites, site.source, site.line)
                         : 0;
    if (key)
        *recent = (struct rtm_sched_recent_site){key, gc_runs, found};
    return found;
}

static void note_birth(struct rtm_sched *sched, struct rtm_coroutine *co, uint64_t gc_runs)
{
    co->born_ns = rtm_clock_coarse_ns();
    co->site = find_site(sched, gc_runs);
}

static void forget(struct rtm_sched *sched, struct rtm_coroutine *co)
{
    if (is_on_chain(co) && co->resumer)
        leave_unseen(sched, co->resumer); /* it runs no more, whatever we believed */
    remove_record(sched, co);
}

void rtm_sched_birth(struct rtm_sched *sched, const char *block, uint64_t gc_runs)
{
    rtm_sched_add(sched, (struct lua_State *)(block + sched->thread_offset), gc_runs);
}

void rtm_sched_add(struct rtm_sched *sched, struct lua_State *thread, uint64_t gc_runs)
{
    struct rtm_coroutine *former = rtm_pointer_map_find(&sched->by_thread, thread);
    if (former)
        forget(sched, former); /* freed past us, and its address used again */
    struct rtm_coroutine *co = add_record(sched, thread);
    if (co)
        note_birth(sched, co, gc_runs);
}

void rtm_sched_free(struct rtm_sched *sched, const char *block)
{
    const struct lua_State *thread = (const struct lua_State *)(block + sched->thread_offset);
    struct rtm_coroutine *co = rtm_pointer_map_find(&sched->by_thread, thread);
    if (!co)
        return;
    forget(sched, co);
}

/* Dead coroutines come back where C code puts a new function on a finished thread. */
static void revive(struct rtm_sched *sched, struct rtm_coroutine *co)
{
    co->state = RTM_COROUTINE_NEVER_STARTED;
    co->id = ++sched->last_id;
    co->switches = 0;
    co->run_ticks = 0;
    co->switched_ticks = 0;
    rtm_atomic_add(&sched->created, 1);
    note_birth(sched, co, 0);
}

struct rtm_coroutine *rtm_sched_prepare(struct rtm_sched *sched, struct lua_State *from,
                                        struct lua_State *thread, int nargs)
{
    if (from)
        rtm_sched_sync(sched, from);
    struct rtm_coroutine *co = find(sched, thread);
    if (!co)
        co = add_found(sched, thread);
    if (!co) {
        rtm_atomic_add(&sched->missed, 1);
        return NULL;
    }
    if (co->state == RTM_COROUTINE_NEVER_STARTED ||
        (co->state == RTM_COROUTINE_SUSPENDED && rtm_vm_is_suspended(thread)))
        return co;
    if (is_on_chain(co))
        return NULL;        /* the VM refuses to resume it */
    count_death(sched, co); /* where C code reset it while it was suspended */
    if (!rtm_vm_is_startable(thread, nargs))
        return NULL;
    revive(sched, co);
    return co;
}

void rtm_sched_suspend(struct rtm_sched *sched, struct lua_State *thread,
                       enum rtm_coroutine_state state)
{
    struct rtm_coroutine *co = sched->current;
    if (RTM_UNLIKELY(co->thread != thread)) {
        co = find(sched, thread);
        if (!co || !is_on_chain(co))
            return; /* an event in between has told already that it stopped */
        rtm_atomic_add(&sched->missed, 1);
        leave_unseen(sched, co);
    }
    if (co->resumer)
        rtm_sched_leave(sched, co, state);
}

void rtm_sched_refuse(struct rtm_sched *sched, struct lua_State *thread,
                      enum rtm_coroutine_state state)
{
    struct rtm_coroutine *co = sched->current;
    if (co->thread != thread || !co->resumer)
        return;
    struct rtm_coroutine *to = co->resumer;
    if (--co->switches == 0)
        rtm_atomic_set(&sched->started, rtm_atomic_get(&sched->started) - 1);
    co->resumer = NULL;
    co->state = RTM_COROUTINE_SUSPENDED;
    if (state == RTM_COROUTINE_DEAD)
        count_death(sched, co);
    co->state = (uint8_t)state;
    to->state = RTM_COROUTINE_RUNNING;
    sched->current = to;
    rtm_atomic_set(&sched->depth, rtm_atomic_get(&sched->depth) - 1);
}

bool rtm_sched_begin_close(struct rtm_sched *sched, struct lua_State *by, struct lua_State *thread)
{
    rtm_sched_sync(sched, by);
    struct rtm_coroutine *co = rtm_pointer_map_find(&sched->by_thread, thread);
    if (!co || is_on_chain(co))
        return false;
    count_death(sched, co);
    co->is_closing = true;
    co->resumer = sched->current;
    sched->current = co;
    return true;
}

/* What ran in between may have switched past us, or stopped and started the tracking: then the
   coroutine is on the chain like any other, or gone from it. */
void rtm_sched_end_close(struct rtm_sched *sched, struct lua_State *thread)
{
    struct rtm_coroutine *co = rtm_pointer_map_find(&sched->by_thread, thread);
    if (!co || !is_on_chain(co))
        return;
    leave_unseen(sched, co);
    if (co->is_closing)
        end_closing(sched, co);
    else if (co->resumer)
        rtm_sched_leave(sched, co, RTM_COROUTINE_DEAD);
}

static uint64_t less(uint64_t whole, uint64_t part)
{
    return whole > part ? whole - part : 0;
}

struct rtm_sched_census rtm_sched_census(const struct rtm_sched *sched)
{
    /* Another thread may read between two of the VM's updates: what is taken away is read before
       that which it is taken from, and grows no further than that. */
    uint64_t dead_unstarted = rtm_atomic_get(&sched->dead_unstarted);
    uint64_t started = rtm_atomic_get(&sched->started);
    uint64_t depth = rtm_atomic_get(&sched->depth);
    struct rtm_sched_census census = {.dead = rtm_atomic_get(&sched->dead)};
    atomic_thread_fence(memory_order_acquire);
    census.created = rtm_atomic_get(&sched->created);
    census.live = less(census.created, census.dead);
    census.running = depth > 0;
    census.normal = depth > 0 ? depth - 1 : 0;
    census.never_started = less(census.created, started + dead_unstarted);
    census.suspended = less(census.live, depth + census.never_started);
    return census;
}

void rtm_sched_visit(const struct rtm_sched *sched,
                     void (*visit)(const struct rtm_coroutine *co, void *to), void *to)
{
    const struct rtm_pointer_map *map = &sched->by_thread;
    for (size_t i = 0; map->entries && i <= map->mask; i++) {
        if (map->entries[i].key)
            visit(map->entries[i].value, to);
    }
}
