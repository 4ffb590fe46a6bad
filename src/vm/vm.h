/* The border to Lua: what any VM must give us, whichever it is. Exactly one of puc54.c, puc53.c,
   puc51.c and luajit.c is built and answers the questions that depend on the version; what a VM
   cannot tell is a trait that says so, and becomes a metric of kind `bad`. Nobody outside vm/ and
   the bindings looks inside a lua_State. */
#ifndef RTM_VM_VM_H
#define RTM_VM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/coroutine.h"

struct lua_State;

/* What the allocator says of a new block (Lua 5.4 manual, lua_Alloc); the tag is `osize` where ptr
 * is NULL. */
enum rtm_vm_kind {
    RTM_VM_KIND_STRING,
    RTM_VM_KIND_TABLE,
    RTM_VM_KIND_FUNCTION,
    RTM_VM_KIND_USERDATA,
    RTM_VM_KIND_THREAD,
    RTM_VM_KIND_UPVALUE,
    RTM_VM_KIND_PROTO,
    RTM_VM_KINDS,
};

#define RTM_VM_TAGS 16 /* tags are below; 0 is a block that is no object */

struct rtm_vm_traits {
    const char *name; /* "Lua 5.4" */
    uint8_t
        kind_tags[RTM_VM_KINDS]; /* the allocator's tag of each kind; 0: this VM does not tell */
    bool tells_kinds;            /* new objects carry a tag */
    bool tells_threads;          /* a new thread is seen in the allocator */
    bool owns_coroutines;        /* coroutine.* is replaced unless told otherwise */
    bool tells_stopped;          /* whether the collector is stopped can be asked */
    bool has_generational;       /* there is a generational mode */
};

const struct rtm_vm_traits *rtm_vm_traits(void);

/* The main thread of L's VM; NULL where the VM does not tell (5.1 and LuaJIT, asked in a
 * coroutine). Runs: VM thread. */
struct lua_State *rtm_vm_main_thread(struct lua_State *L);

/* Bytes in use by the VM's own account, exact. Runs: VM thread. */
uint64_t rtm_vm_heap_bytes(struct lua_State *L);

/* What the collector may do now. Cheap, reads only; may be asked inside the allocator. Runs: VM
 * thread, allocator. */
enum rtm_vm_collector {
    RTM_VM_COLLECTOR_BUSY, /* inside a finalizer or in lua_close: nothing starts a collection */
    RTM_VM_COLLECTOR_STOPPED,
    RTM_VM_COLLECTOR_READY,
};
enum rtm_vm_collector rtm_vm_collector(struct lua_State *L);

/* State of a thread that does not run now, by what the VM keeps of it. Runs: VM thread. */
enum rtm_coroutine_state rtm_vm_thread_state(struct lua_State *thread);

/* Whether a thread has yielded. Runs: VM thread. */
bool rtm_vm_is_suspended(struct lua_State *thread);

/* Whether a thread that is not suspended has a function to start beside `nargs` arguments on its
 * stack. Runs: VM thread. */
bool rtm_vm_is_startable(struct lua_State *thread, int nargs);

/* How the VM lays out the block of a thread: the bytes before the lua_State in it, and the block's
   size. Found once in a scratch state; false if it could not be. Runs: any. */
struct rtm_vm_thread_block {
    size_t offset;
    size_t bytes;
};
bool rtm_vm_find_thread_block(struct rtm_vm_thread_block *block);

#endif
