#include "vm/resume_c.h"

#include <stdint.h>

#include "os/elf.h"
#include "vm/alloc.h"
#include "vm/attach.h"
#include "vm/compat.h"
#include "vm/events.h"

/* The wrapper in front of the VM's allocator leads to its owner without touching the stack; if the
   host has put another one on top of it, the registry does. */
static struct rtm_vm_owner *find_owner(lua_State *L)
{
    struct rtm_vm_owner *owner = rtm_alloc_owner(L);
    if (owner || !lua_checkstack(L, 1))
        return owner;
    return rtm_attach_find(L, NULL);
}

/* C code need not name the thread that resumes; 5.1 has no place for it. */
static struct rtm_coroutine *announce(struct rtm_vm_owner *owner, lua_State *from, lua_State *co,
                                      int nargs)
{
    return owner ? owner->events->on_resume(owner, from, co, nargs) : NULL;
}

static void announce_return(struct rtm_vm_owner *owner, struct rtm_coroutine *record, lua_State *co,
                            int status)
{
    if (!record)
        return;
    enum rtm_coroutine_state state =
        status == LUA_YIELD || (status != LUA_OK && lua_status(co) <= LUA_YIELD)
            ? RTM_COROUTINE_SUSPENDED
            : RTM_COROUTINE_DEAD;
    owner->events->on_suspend(owner, record, state);
}

#if LUA_VERSION_NUM == 501

static int watched_resume(lua_State *co, int nargs)
{
    struct rtm_vm_owner *owner = find_owner(co);
    struct rtm_coroutine *record = announce(owner, NULL, co, nargs);
    int status = lua_resume(co, nargs);
    announce_return(owner, record, co, status);
    return status;
}

#elif LUA_VERSION_NUM == 503

static int watched_resume(lua_State *co, lua_State *from, int nargs)
{
    struct rtm_vm_owner *owner = find_owner(co);
    struct rtm_coroutine *record = announce(owner, from, co, nargs);
    int status = lua_resume(co, from, nargs);
    announce_return(owner, record, co, status);
    return status;
}

#else

static int watched_resume(lua_State *co, lua_State *from, int nargs, int *nresults)
{
    struct rtm_vm_owner *owner = find_owner(co);
    struct rtm_coroutine *record = announce(owner, from, co, nargs);
    int status = lua_resume(co, from, nargs, nresults);
    announce_return(owner, record, co, status);
    return status;
}

#endif

static struct rtm_elf_patch patch = {.symbol = "lua_resume"};

bool rtm_resume_c_start(struct rtm_error *err)
{
    patch.target = (void *)(uintptr_t)lua_resume;
    patch.replacement = (void *)(uintptr_t)watched_resume;
    return rtm_elf_patch_start(&patch, err);
}

void rtm_resume_c_stop(void)
{
    rtm_elf_patch_stop(&patch);
}

/* What a failed rescan leaves out shows as `missed` and as switches that went past us. */
void rtm_resume_c_rescan(void)
{
    struct rtm_error ignored;
    (void)!rtm_elf_patch_rescan(&patch, &ignored);
}

void rtm_resume_c_count(size_t *patched, size_t *missed)
{
    rtm_elf_patch_count(&patch, patched, missed);
}
