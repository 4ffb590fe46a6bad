/* flags: -Wl,-z,lazy -Wl,-z,relro */
/* A caller that also hands the function's address around, read from the global offset table. */
int elf_fixture(int x);
int elf_call(int x);
int (*elf_address(void))(int);

int elf_call(int x)
{
    return elf_fixture(x);
}

int (*elf_address(void))(int)
{
    return elf_fixture;
}
