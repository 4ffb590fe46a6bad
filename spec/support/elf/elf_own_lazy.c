/* flags: -Wl,-z,lazy -fsemantic-interposition */
/* As elf_own_provider, bound at its first call. */
int elf_fixture(int x);
int elf_call(int x);

int elf_fixture(int x)
{
    return x + 2000;
}

int elf_call(int x)
{
    return elf_fixture(x);
}
