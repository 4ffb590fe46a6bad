/* Patching a symbol's slots in the loaded objects: the words of the global offset tables through
   which an object calls a function of another. A slot is chosen by symbol name and by value, so
   that two providers of one name (two Luas in a process) are told apart. Left alone: this object,
   the dynamic loader, the vdso, and pointers that were taken otherwise (dlsym, data tables).

   A patched object is kept loaded until its slots are given back. A slot that somebody else has
   overwritten since is his: it stays as it is, and `replacement` must go on working as a
   pass-through, so it must stand in code that is never unmapped.

   One lock for all patches of the process. Nothing here may be called from an allocator, a hook, a
   signal handler or a destructor of an object: the loader's locks are taken. */
#ifndef RTM_OS_ELF_H
#define RTM_OS_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/check.h"
#include "ground/error.h"

struct rtm_elf_slot;

/* One symbol's patch; in static storage, zero but for the first four fields. */
struct rtm_elf_patch {
    const char *symbol;
    void *target;      /* what a slot must hold, or would hold once lazily bound */
    void *replacement; /* what it gets; never unmapped, same signature */
    void *within;      /* only the object that contains this address; NULL: all objects */

    /* Of elf.c, under its lock. */
    struct rtm_elf_slot *slots;
    void **pins; /* dlopen handles of the patched objects */
    size_t slot_count, slot_capacity;
    size_t pin_count, pin_capacity;
    size_t missed;           /* slots of the last scan that could not be patched */
    uint64_t loads, unloads; /* of the process, when it was last scanned */
    unsigned users;
};

/* Adds a user; the first one has all loaded objects scanned and patched. On failure nothing is
   patched and no user is added. Runs: VM thread, in an ordinary call. */
bool rtm_elf_patch_start(struct rtm_elf_patch *patch, struct rtm_error *err) RTM_MUST_USE;

/* Patches the objects that were loaded since the last scan; far below a microsecond where there are
   none. For after a require or loadlib. On failure the former slots stay patched. Runs: VM thread,
   in an ordinary call. */
bool rtm_elf_patch_rescan(struct rtm_elf_patch *patch, struct rtm_error *err) RTM_MUST_USE;

/* Takes a user away; with the last one every slot that still holds `replacement` gets its former
   value back and the objects are let go. Runs: VM thread, in an ordinary call. */
void rtm_elf_patch_stop(struct rtm_elf_patch *patch);

/* How many slots hold `replacement` now, and how many should but could not be given it. Runs: any
   thread, in an ordinary call. */
void rtm_elf_patch_count(struct rtm_elf_patch *patch, size_t *patched, size_t *missed);

/* Whether the object that contains `function` calls `symbol` at the address `ours`: it has slots
   for it, each is bound, and holds just that. False where that is not proven: no such slot (static
   or hidden definition), not bound yet, unknown object or machine. Call it when `function` has run
   already, so that what it calls is bound; it does not prove that `function` itself uses the slot.
   Runs: VM thread, in an ordinary call. */
bool rtm_elf_same_binding(const void *function, const char *symbol, const void *ours);

#endif
