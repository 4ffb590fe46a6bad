/* An object with an allocator of its own: what it calls realloc is not what others call so. */
#include <stddef.h>

void *elf_allocate(void *block, size_t size);

__attribute__((visibility("hidden"))) void *realloc(void *block, size_t size);
__attribute__((visibility("hidden"))) void free(void *block);

static _Alignas(16) char arena[4096];

void *realloc(void *block, size_t size)
{
    return size <= sizeof arena ? arena : block;
}

void free(void *block)
{
    (void)block;
}

void *elf_allocate(void *block, size_t size)
{
    if (size)
        return realloc(block, size);
    free(block);
    return NULL;
}
