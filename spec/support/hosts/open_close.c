/* open_close CYCLES SCRIPT: opens a VM, runs SCRIPT in it, closes it, CYCLES times. Prints the
   resident bytes after a tenth of the cycles, which fills caches, and at the end; and descriptors
   likewise. */
#include <dirent.h>

#include "hosts/host.h"

static int count_descriptors(void)
{
    int entries = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        host_fail("cannot open /proc/self/fd");
    while (readdir(directory))
        entries++;
    closedir(directory);
    return entries;
}

static void cycle(const char *script)
{
    lua_State *L = host_open();
    host_run(L, script);
    lua_close(L);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        host_fail("usage: open_close CYCLES SCRIPT");
    long cycles = strtol(argv[1], NULL, 10);
    const char *script = host_read(argv[2]);
    long warm_bytes = 0, warm_descriptors = 0;
    for (long i = 0; i < cycles; i++) {
        if (i == cycles / 10) {
            warm_bytes = host_resident();
            warm_descriptors = count_descriptors();
        }
        cycle(script);
    }
    printf("resident %ld %ld\n", warm_bytes, host_resident());
    printf("descriptors %ld %d\n", warm_descriptors, count_descriptors());
    return 0;
}
