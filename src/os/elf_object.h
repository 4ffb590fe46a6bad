/* One loaded object as its ELF headers in memory tell it, and the words of its global offset table
   that hold the address of a given symbol. The headers are read in place: the object must not be
   unloaded meanwhile, so a caller is inside dl_iterate_phdr or keeps the object pinned. x86-64 and
   aarch64; no object has slots elsewhere. Runs: any thread, not a signal handler. */
#ifndef RTM_OS_ELF_OBJECT_H
#define RTM_OS_ELF_OBJECT_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rtm_elf_object {
    uintptr_t base;
    const ElfW(Phdr) * headers;
    size_t header_count;
    const ElfW(Dyn) * dynamic;
    const ElfW(Sym) * symbols;
    const char *names;
    size_t names_size;
    const ElfW(Rela) * tables[2];
    size_t table_lengths[2];
};

struct rtm_elf_found {
    void **address;
    const ElfW(Sym) * symbol;
    bool is_jump; /* a JUMP_SLOT, that is one which may be bound late; GLOB_DAT otherwise */
};

/* Returns false to end the visit. */
typedef bool (*rtm_elf_object_visitor)(const struct rtm_elf_object *object,
                                       const struct rtm_elf_found *found, void *data);

/* Whether slots can be found on this machine at all. */
bool rtm_elf_object_is_supported(void);

/* Fills `object` from what dl_iterate_phdr says; false where it has no symbols or relocations that
   we understand (its segments are known all the same). */
bool rtm_elf_object_read(struct rtm_elf_object *object, const struct dl_phdr_info *info);

/* Whether a loaded segment with all of `flags` (PF_R, PF_W, PF_X, or 0) covers `address`. */
bool rtm_elf_object_contains(const struct rtm_elf_object *object, uintptr_t address,
                             unsigned flags);

/* Shows each slot of `symbol` to `visit` until that returns false; the result of the last visit,
   true without one. */
bool rtm_elf_object_visit(const struct rtm_elf_object *object, const char *symbol,
                          rtm_elf_object_visitor visit, void *data);

/* Whether a slot that holds `value` was not bound yet: it leads to a stub in the object's own code,
   which asks the loader. */
bool rtm_elf_object_is_lazy(const struct rtm_elf_object *object, const struct rtm_elf_found *found,
                            const void *value);

#endif
