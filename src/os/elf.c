#define _GNU_SOURCE
#include "os/elf.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ground/memory.h"
#include "os/elf_object.h"
#include "os/fork.h"

#define SLOTS_MAX 4096

struct rtm_elf_slot {
    void **address;
    void *before;   /* the target, or a stub of the object's own that would find it */
    int protection; /* of its page, when it was patched */
};

struct load_counts {
    uint64_t loads;
    uint64_t unloads;
};

/* The walk over the loaded objects, one candidate at a time, since the loader's lock that protects
   the walk must not be held while an object is pinned. */
struct search {
    const struct rtm_elf_patch *patch;
    size_t next; /* position of the first object that was not looked at yet */
    size_t position;
    struct rtm_elf_object object;
    char name[PATH_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void reset_lock(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static void *read_slot(void **address)
{
    return __atomic_load_n(address, __ATOMIC_ACQUIRE);
}

static bool is_left_alone(const struct rtm_elf_object *object)
{
    return rtm_elf_object_contains(object, (uintptr_t)&lock, 0) ||
           object->base == _r_debug.r_ldbase || object->base == getauxval(AT_SYSINFO_EHDR);
}

static bool is_uninteresting(const struct rtm_elf_object *object, const struct rtm_elf_found *slot,
                             void *data)
{
    const struct rtm_elf_patch *patch = data;
    void *value = read_slot(slot->address);
    return value != patch->target && !rtm_elf_object_is_lazy(object, slot, value);
}

static int look_at_object(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size; /* the fields that we read are as old as the function */
    struct search *search = data;
    const struct rtm_elf_patch *patch = search->patch;
    struct rtm_elf_object *object = &search->object;
    if (search->position++ < search->next || !rtm_elf_object_read(object, info) ||
        is_left_alone(object))
        return 0;
    if (patch->within && !rtm_elf_object_contains(object, (uintptr_t)patch->within, 0))
        return 0;
    if (rtm_elf_object_visit(object, patch->symbol, is_uninteresting, (void *)patch))
        return 0;
    snprintf(search->name, sizeof search->name, "%s", info->dlpi_name);
    return 1;
}

/* Finds the next object that has a slot to patch, perhaps. */
static bool find_candidate(struct search *search)
{
    search->position = 0;
    bool found = dl_iterate_phdr(look_at_object, search) == 1;
    search->next = search->position;
    return found;
}

static int read_counts(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    struct load_counts *counts = data;
    *counts = (struct load_counts){info->dlpi_adds, info->dlpi_subs};
    return 1;
}

/* A fork may come at any point of it, so the old array is good until the new one is published. */
static bool grow(void **array, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : 8;
    void *old = *array;
    void *bigger = wanted <= SLOTS_MAX ? rtm_memory_alloc(wanted * size) : NULL;
    if (!bigger)
        return false;
    if (count)
        memcpy(bigger, old, count * size);
    *array = bigger;
    *capacity = wanted;
    rtm_memory_free(old);
    return true;
}

static struct rtm_elf_slot *record_of(struct rtm_elf_patch *patch, void **address)
{
    for (size_t i = 0; i < patch->slot_count; i++) {
        if (patch->slots[i].address == address)
            return &patch->slots[i];
    }
    return NULL;
}

static struct rtm_elf_slot *add_record(struct rtm_elf_patch *patch, void **address)
{
    struct rtm_elf_slot *known = record_of(patch, address);
    if (known)
        return known;
    if (!grow((void **)&patch->slots, &patch->slot_capacity, patch->slot_count,
              sizeof *patch->slots))
        return NULL;
    struct rtm_elf_slot *slot = &patch->slots[patch->slot_count];
    *slot = (struct rtm_elf_slot){.address = address};
    return slot;
}

/* What /proc/self/maps says of the page of `address`; -1 where it cannot be read. */
static int mapped_protection(const void *address)
{
    char line[256];
    bool at_start = true;
    int protection = -1;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && protection < 0 && fgets(line, sizeof line, maps)) {
        char *end = line, *flags = line;
        uintptr_t low = strtoull(line, &end, 16);
        uintptr_t high = at_start && *end == '-' ? strtoull(end + 1, &flags, 16) : 0;
        if ((uintptr_t)address >= low && (uintptr_t)address < high)
            protection = (flags[1] == 'r' ? PROT_READ : 0) | (flags[2] == 'w' ? PROT_WRITE : 0) |
                         (flags[3] == 'x' ? PROT_EXEC : 0);
        at_start = strchr(line, '\n') != NULL;
    }
    if (maps)
        fclose(maps);
    return protection;
}

/* What the loader gave the page: the part under PT_GNU_RELRO, whole pages only, is read-only. */
static int loaded_protection(const struct rtm_elf_object *object, const void *address)
{
    uintptr_t page_mask = ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
    for (size_t i = 0; i < object->header_count; i++) {
        const ElfW(Phdr) *header = &object->headers[i];
        uintptr_t start = object->base + header->p_vaddr;
        if (header->p_type == PT_GNU_RELRO && (uintptr_t)address >= (start & page_mask) &&
            (uintptr_t)address < ((start + header->p_memsz) & page_mask))
            return PROT_READ;
    }
    return PROT_READ | PROT_WRITE;
}

/* Writes `value` if the slot still holds `expected`; false if it does not, or if its page cannot be
   made writable. */
static bool write_slot(void **address, void *expected, void *value, int protection)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)((uintptr_t)address & ~(uintptr_t)(page_size - 1));
    bool is_read_only = !(protection & PROT_WRITE);
    if (is_read_only && mprotect(page, page_size, protection | PROT_WRITE) != 0)
        return false;
    bool is_written = __atomic_compare_exchange_n(address, &expected, value, false,
                                                  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (is_read_only)
        (void)mprotect(page, page_size, protection); /* what was just allowed the other way */
    return is_written;
}

/* What a lazily bound slot would be bound to: the loader looks in the global scope first. */
static void *resolve(void *handle, const char *symbol)
{
    void *address = dlsym(RTLD_DEFAULT, symbol);
    if (!address)
        address = dlsym(handle, symbol);
    (void)dlerror(); /* the host must not find our failure there */
    return address;
}

struct patching {
    struct rtm_elf_patch *patch;
    void *handle;
    bool is_pin_needed;
    bool is_out_of_memory;
};

static bool patch_slot(const struct rtm_elf_object *object, const struct rtm_elf_found *found,
                       void *data)
{
    struct patching *patching = data;
    struct rtm_elf_patch *patch = patching->patch;
    void *value = read_slot(found->address);
    bool is_wanted =
        value == patch->target || (rtm_elf_object_is_lazy(object, found, value) &&
                                   resolve(patching->handle, patch->symbol) == patch->target);
    if (!is_wanted)
        return true;
    struct rtm_elf_slot *slot = add_record(patch, found->address);
    if (!slot) {
        patching->is_out_of_memory = true;
        return false;
    }
    int protection = mapped_protection(found->address);
    slot->protection = protection >= 0 ? protection : loaded_protection(object, found->address);
    slot->before = value;
    /* Counted before it is written: what is written must never be unknown to a stop. */
    bool is_new = slot == &patch->slots[patch->slot_count];
    patch->slot_count += is_new;
    patching->is_pin_needed = true;
    if (!write_slot(found->address, value, patch->replacement, slot->protection)) {
        patch->slot_count -= is_new;
        patch->missed++;
    }
    return true;
}

/* The object's handle, if it is still the one that was looked at; NULL otherwise. */
static void *pin(const struct search *search)
{
    struct link_map *map = NULL;
    void *handle = dlopen(*search->name ? search->name : NULL, RTLD_LAZY | RTLD_NOLOAD);
    if (handle && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_ld == search->object.dynamic)
        return handle;
    if (handle)
        dlclose(handle);
    (void)dlerror();
    return NULL;
}

/* False when memory has run out. */
static bool patch_object(struct rtm_elf_patch *patch, const struct search *search)
{
    void *handle = pin(search);
    if (!handle) {
        patch->missed++;
        return true;
    }
    struct patching patching = {.patch = patch, .handle = handle};
    if (grow((void **)&patch->pins, &patch->pin_capacity, patch->pin_count, sizeof *patch->pins))
        rtm_elf_object_visit(&search->object, patch->symbol, patch_slot, &patching);
    else
        patching.is_out_of_memory = true;
    if (patching.is_pin_needed)
        patch->pins[patch->pin_count++] = handle;
    else
        dlclose(handle);
    return !patching.is_out_of_memory;
}

/* Another thread may be in the middle of loading: its object is seen already, but not bound yet.
   The loader's lock makes us wait for it, and the counts are those from before, so that who begins
   in between is found by the next scan. */
static bool scan(struct rtm_elf_patch *patch, struct rtm_error *err)
{
    struct load_counts counts;
    dl_iterate_phdr(read_counts, &counts);
    if (counts.loads == patch->loads && counts.unloads == patch->unloads)
        return true;
    void *self = dlopen(NULL, RTLD_LAZY | RTLD_NOLOAD);
    if (self)
        dlclose(self);
    struct search search;
    search.patch = patch;
    search.next = 0;
    patch->missed = 0;
    while (find_candidate(&search)) {
        if (!patch_object(patch, &search))
            return rtm_error_set(err, "cannot patch %s in %s: not enough memory", patch->symbol,
                                 *search.name ? search.name : "the program");
    }
    patch->loads = counts.loads;
    patch->unloads = counts.unloads;
    return true;
}

static void restore_slots(const struct rtm_elf_patch *patch)
{
    for (size_t i = 0; i < patch->slot_count; i++) {
        const struct rtm_elf_slot *slot = &patch->slots[i];
        if (read_slot(slot->address) != patch->replacement)
            continue;
        int protection = mapped_protection(slot->address);
        /* Refused or overwritten meanwhile: the replacement stays as a pass-through. */
        (void)write_slot(slot->address, patch->replacement, slot->before,
                         protection >= 0 ? protection : slot->protection);
    }
}

/* Restores all and lets go of the lock before the objects, whose destructors may run then. */
static void give_back_and_unlock(struct rtm_elf_patch *patch)
{
    restore_slots(patch);
    struct rtm_elf_patch done = *patch;
    *patch = (struct rtm_elf_patch){.symbol = done.symbol,
                                    .target = done.target,
                                    .replacement = done.replacement,
                                    .within = done.within};
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < done.pin_count; i++)
        dlclose(done.pins[i]);
    rtm_memory_free(done.pins);
    rtm_memory_free(done.slots);
}

bool rtm_elf_patch_start(struct rtm_elf_patch *patch, struct rtm_error *err)
{
    if (!rtm_elf_object_is_supported())
        return rtm_error_set(err, "cannot patch %s: not supported on this machine", patch->symbol);
    if (!rtm_fork_register(RTM_FORK_LOCKS, reset_lock, err))
        return false;
    pthread_mutex_lock(&lock);
    bool is_done =
        patch->target ? scan(patch, err)
                      : rtm_error_set(err, "cannot patch %s: it is defined nowhere", patch->symbol);
    if (!is_done && patch->users == 0) {
        give_back_and_unlock(patch);
        return false;
    }
    patch->users += is_done;
    pthread_mutex_unlock(&lock);
    return is_done;
}

bool rtm_elf_patch_rescan(struct rtm_elf_patch *patch, struct rtm_error *err)
{
    pthread_mutex_lock(&lock);
    bool is_done = patch->users == 0 || scan(patch, err);
    pthread_mutex_unlock(&lock);
    return is_done;
}

void rtm_elf_patch_stop(struct rtm_elf_patch *patch)
{
    pthread_mutex_lock(&lock);
    RTM_ASSERT(patch->users > 0);
    if (--patch->users == 0)
        give_back_and_unlock(patch);
    else
        pthread_mutex_unlock(&lock);
}

void rtm_elf_patch_count(struct rtm_elf_patch *patch, size_t *patched, size_t *missed)
{
    pthread_mutex_lock(&lock);
    *patched = 0;
    for (size_t i = 0; i < patch->slot_count; i++)
        *patched += read_slot(patch->slots[i].address) == patch->replacement;
    *missed = patch->missed;
    pthread_mutex_unlock(&lock);
}

struct comparison {
    uintptr_t function;
    const char *symbol;
    const void *ours;
    bool has_slot;
    bool is_same;
};

static bool compare_slot(const struct rtm_elf_object *object, const struct rtm_elf_found *slot,
                         void *data)
{
    (void)object;
    struct comparison *comparison = data;
    comparison->has_slot = true;
    return read_slot(slot->address) == comparison->ours;
}

static int compare_object(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    struct comparison *comparison = data;
    struct rtm_elf_object object;
    bool is_readable = rtm_elf_object_read(&object, info);
    if (!rtm_elf_object_contains(&object, comparison->function, PF_X))
        return 0;
    comparison->is_same =
        is_readable && rtm_elf_object_visit(&object, comparison->symbol, compare_slot, comparison);
    return 1;
}

bool rtm_elf_same_binding(const void *function, const char *symbol, const void *ours)
{
    struct comparison comparison = {
        .function = (uintptr_t)function, .symbol = symbol, .ours = ours};
    if (rtm_elf_object_is_supported())
        dl_iterate_phdr(compare_object, &comparison);
    return comparison.has_slot && comparison.is_same;
}
