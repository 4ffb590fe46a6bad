#define _GNU_SOURCE
#include "os/elf_object.h"

#include <string.h>

#if defined(__x86_64__) && defined(__LP64__)
#define IS_KNOWN_MACHINE true
#define JUMP_SLOT R_X86_64_JUMP_SLOT
#define GLOB_DAT R_X86_64_GLOB_DAT
#elif defined(__aarch64__) && defined(__LP64__)
#define IS_KNOWN_MACHINE true
#define JUMP_SLOT R_AARCH64_JUMP_SLOT
#define GLOB_DAT R_AARCH64_GLOB_DAT
#else
#define IS_KNOWN_MACHINE false
#define JUMP_SLOT 1
#define GLOB_DAT 2
#endif

#if __ELF_NATIVE_CLASS == 64
#define RELOCATION_TYPE(info) ELF64_R_TYPE(info)
#define RELOCATION_SYMBOL(info) ELF64_R_SYM(info)
#else
#define RELOCATION_TYPE(info) ELF32_R_TYPE(info)
#define RELOCATION_SYMBOL(info) ELF32_R_SYM(info)
#endif

bool rtm_elf_object_contains(const struct rtm_elf_object *object, uintptr_t address, unsigned flags)
{
    for (size_t i = 0; i < object->header_count; i++) {
        const ElfW(Phdr) *header = &object->headers[i];
        if (header->p_type == PT_LOAD && (header->p_flags & flags) == flags &&
            address - (object->base + header->p_vaddr) < header->p_memsz)
            return true;
    }
    return false;
}

/* The loader relocates most of these addresses in place, but not those of a dynamic section that it
   cannot write. */
static const void *dynamic_pointer(const struct rtm_elf_object *object, uintptr_t value)
{
    if (rtm_elf_object_contains(object, value, PF_R))
        return (const void *)value;
    if (rtm_elf_object_contains(object, object->base + value, PF_R))
        return (const void *)(object->base + value);
    return NULL;
}

struct dynamic_values {
    uintptr_t symbols, names, names_size;
    uintptr_t table, table_size, table_entry, relative_count;
    uintptr_t jump_table, jump_table_size, jump_table_kind;
};

static struct dynamic_values read_dynamic(const ElfW(Dyn) * entry)
{
    struct dynamic_values values = {0};
    for (; entry->d_tag != DT_NULL; entry++) {
        uintptr_t value = entry->d_un.d_val;
        switch (entry->d_tag) {
        case DT_SYMTAB:
            values.symbols = value;
            break;
        case DT_STRTAB:
            values.names = value;
            break;
        case DT_STRSZ:
            values.names_size = value;
            break;
        case DT_RELA:
            values.table = value;
            break;
        case DT_RELASZ:
            values.table_size = value;
            break;
        case DT_RELAENT:
            values.table_entry = value;
            break;
        case DT_RELACOUNT:
            values.relative_count = value;
            break;
        case DT_JMPREL:
            values.jump_table = value;
            break;
        case DT_PLTRELSZ:
            values.jump_table_size = value;
            break;
        case DT_PLTREL:
            values.jump_table_kind = value;
            break;
        }
    }
    return values;
}

static void take_table(struct rtm_elf_object *object, int index, uintptr_t table, uintptr_t bytes)
{
    const char *start = bytes ? dynamic_pointer(object, table) : NULL;
    if (!start || !rtm_elf_object_contains(object, (uintptr_t)start + bytes - 1, PF_R))
        return;
    object->tables[index] = (const void *)start;
    object->table_lengths[index] = bytes / sizeof(ElfW(Rela));
}

static void take_tables(struct rtm_elf_object *object, const struct dynamic_values *values)
{
    if (values->jump_table_kind == DT_RELA)
        take_table(object, 0, values->jump_table, values->jump_table_size);
    /* The relative ones come first and name no symbol. */
    uintptr_t skipped = values->relative_count * sizeof(ElfW(Rela));
    if (values->table_entry == sizeof(ElfW(Rela)) && values->table_size > skipped)
        take_table(object, 1, values->table + skipped, values->table_size - skipped);
}

bool rtm_elf_object_read(struct rtm_elf_object *object, const struct dl_phdr_info *info)
{
    *object = (struct rtm_elf_object){
        .base = info->dlpi_addr, .headers = info->dlpi_phdr, .header_count = info->dlpi_phnum};
    for (size_t i = 0; i < object->header_count; i++) {
        if (object->headers[i].p_type == PT_DYNAMIC)
            object->dynamic = (const void *)(object->base + object->headers[i].p_vaddr);
    }
    if (!object->dynamic)
        return false;
    struct dynamic_values values = read_dynamic(object->dynamic);
    object->symbols = dynamic_pointer(object, values.symbols);
    object->names = dynamic_pointer(object, values.names);
    object->names_size = values.names_size;
    if (!object->symbols || !object->names)
        return false;
    take_tables(object, &values);
    return object->table_lengths[0] + object->table_lengths[1] > 0;
}

static bool has_name(const struct rtm_elf_object *object, const ElfW(Sym) * symbol,
                     const char *name)
{
    return symbol->st_name < object->names_size &&
           strcmp(object->names + symbol->st_name, name) == 0;
}

static bool find_slot(const struct rtm_elf_object *object, const ElfW(Rela) * relocation,
                      const char *name, struct rtm_elf_found *found)
{
    unsigned type = (unsigned)RELOCATION_TYPE(relocation->r_info);
    if (type != JUMP_SLOT && type != GLOB_DAT)
        return false;
    const ElfW(Sym) *symbol = &object->symbols[RELOCATION_SYMBOL(relocation->r_info)];
    uintptr_t address = object->base + relocation->r_offset;
    if (!has_name(object, symbol, name) || address % sizeof(void *) ||
        !rtm_elf_object_contains(object, address, PF_R))
        return false;
    *found = (struct rtm_elf_found){(void **)address, symbol, type == JUMP_SLOT};
    return true;
}

bool rtm_elf_object_visit(const struct rtm_elf_object *object, const char *name,
                          rtm_elf_object_visitor visit, void *data)
{
    struct rtm_elf_found found;
    for (int t = 0; t < 2; t++) {
        for (size_t i = 0; i < object->table_lengths[t]; i++) {
            if (find_slot(object, &object->tables[t][i], name, &found) &&
                !visit(object, &found, data))
                return false;
        }
    }
    return true;
}

bool rtm_elf_object_is_lazy(const struct rtm_elf_object *object, const struct rtm_elf_found *found,
                            const void *value)
{
    uintptr_t address = (uintptr_t)value;
    bool is_own_definition =
        found->symbol->st_shndx != SHN_UNDEF && object->base + found->symbol->st_value == address;
    return found->is_jump && !is_own_definition && rtm_elf_object_contains(object, address, PF_X);
}

bool rtm_elf_object_is_supported(void)
{
    return IS_KNOWN_MACHINE;
}
