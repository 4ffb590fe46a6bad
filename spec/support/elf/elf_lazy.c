/* flags: -Wl,-z,lazy -Wl,-z,relro */
/* A caller that is bound at its first call; its slot stands in a writable page. */
int elf_fixture(int x);
int elf_call(int x);

int elf_call(int x)
{
    return elf_fixture(x);
}
