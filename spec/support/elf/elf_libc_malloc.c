/* flags: -Wl,-z,lazy */
/* An object that allocates as everybody does, but has not done so before elf_allocate is called. */
#include <stdlib.h>

void *elf_allocate(void *block, size_t size);

void *elf_allocate(void *block, size_t size)
{
    if (size)
        return realloc(block, size);
    free(block);
    return NULL;
}
