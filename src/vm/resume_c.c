#include "vm/resume_c.h"

#include <pthread.h>
#include <stdint.h>

#include "os/elf.h"
#include "vm/alloc.h"
#include "vm/announce.h"
#include "vm/compat.h"
#include "vm/events.h"

/* The wrapper in front of the VM's allocator leads to its owner without touching the stack. Where
   the host has put another one on top of it, the VM is taken for one that nobody watches: its
   switches by C code are noticed later, and counted as missed. */

#if LUA_VERSION_NUM == 501

static int watched_resume(lua_State *co, int nargs)
{
    struct rtm_vm_owner *owner = rtm_alloc_owner(co);
    bool is_announced = owner && owner->events->on_resume(owner, NULL, co, nargs);
    int status = lua_resume(co, nargs);
    if (is_announced)
        rtm_announce_return(owner, co, status);
    return status;
}

#elif LUA_VERSION_NUM == 503

static int watched_resume(lua_State *co, lua_State *from, int nargs)
{
    struct rtm_vm_owner *owner = rtm_alloc_owner(co);
    bool is_announced = owner && owner->events->on_resume(owner, from, co, nargs);
    int status = lua_resume(co, from, nargs);
    if (is_announced)
        rtm_announce_return(owner, co, status);
    return status;
}

#else

static int watched_resume(lua_State *co, lua_State *from, int nargs, int *nresults)
{
    struct rtm_vm_owner *owner = rtm_alloc_owner(co);
    bool is_announced = owner && owner->events->on_resume(owner, from, co, nargs);
    int status = lua_resume(co, from, nargs, nresults);
    if (is_announced)
        rtm_announce_return(owner, co, status);
    return status;
}

#endif

static struct rtm_elf_patch patch = {.symbol = "lua_resume"};
static pthread_once_t patch_once = PTHREAD_ONCE_INIT;

static void fill_patch(void)
{
    patch.target = (void *)(uintptr_t)lua_resume;
    patch.replacement = (void *)(uintptr_t)watched_resume;
}

bool rtm_resume_c_start(struct rtm_error *err)
{
    pthread_once(&patch_once, fill_patch);
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
