/* flags: -rdynamic */
/* private_malloc SCRIPT: a host whose luaL_newstate allocates from a malloc of its own that nobody
   else can reach, as programs do that bring Lua and an allocator statically linked. The function
   looks like Lua's own one, also to whoever makes a scratch state, but its blocks must not go to
   libc. */
#include <stddef.h>

#include "hosts/host.h"

enum { ARENA_BYTES = 64 << 20, CLASSES = 48 };

/* Before each block: the class it came from. Blocks of a class are reused, never split or merged.
 */
struct header {
    size_t size_class;
    struct header *next;
};

static _Alignas(max_align_t) unsigned char arena[ARENA_BYTES];
static size_t arena_used;
static struct header *free_blocks[CLASSES];

static size_t class_of(size_t size)
{
    size_t size_class = 4;
    while (((size_t)1 << size_class) < size)
        size_class++;
    return size_class;
}

static void *private_malloc(size_t size)
{
    size_t size_class = class_of(size);
    struct header *block = free_blocks[size_class];
    if (block) {
        free_blocks[size_class] = block->next;
        return block + 1;
    }
    size_t bytes = sizeof *block + ((size_t)1 << size_class);
    if (arena_used + bytes > ARENA_BYTES)
        return NULL;
    block = (struct header *)(void *)(arena + arena_used);
    arena_used += bytes;
    block->size_class = size_class;
    return block + 1;
}

static void private_free(void *ptr)
{
    if (!ptr)
        return;
    const unsigned char *at = ptr;
    if (at < arena || at >= arena + ARENA_BYTES)
        host_fail("a block that is not of this malloc came to its free");
    struct header *block = (struct header *)ptr - 1;
    block->next = free_blocks[block->size_class];
    free_blocks[block->size_class] = block;
}

static void *private_realloc(void *ptr, size_t size)
{
    void *block = private_malloc(size);
    if (!ptr || !block)
        return block;
    size_t old = (size_t)1 << ((struct header *)ptr - 1)->size_class;
    memcpy(block, ptr, old < size ? old : size);
    private_free(ptr);
    return block;
}

static void *l_alloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
    (void)ud;
    (void)osize;
    if (nsize == 0) {
        private_free(ptr);
        return NULL;
    }
    return private_realloc(ptr, nsize);
}

/* Exported, it comes before liblua's for every object of the process. */
__attribute__((visibility("default"))) lua_State *(luaL_newstate)(void)
{
    return lua_newstate(l_alloc, NULL);
}

/* The rest of the host uses libc's malloc: its object has slots for realloc and free, bound as ours
   are, though Lua's allocator in it never calls them. */
static void use_libc(size_t size)
{
    void *volatile block = malloc(size); /* volatile: or the compiler sees through it */
    block = realloc(block, size * 2);
    free(block);
}

int main(int argc, char **argv)
{
    use_libc((size_t)argc);
    if (argc != 2)
        host_fail("usage: private_malloc SCRIPT");
    for (int round = 0; round < 3; round++) {
        lua_State *L = host_open();
        if (luaL_loadfile(L, argv[1]) != 0 || lua_pcall(L, 0, 0, 0) != 0)
            host_fail("%s", host_message(L));
        lua_close(L);
    }
    return 0;
}
