/* flags: -Wl,-z,now -Wl,-z,relro */
/* A caller whose slots are all read-only once it is loaded. */
int elf_fixture(int x);
int elf_call(int x);

int elf_call(int x)
{
    return elf_fixture(x);
}
