/* flags: -Wl,-z,now -fsemantic-interposition */
/* Another function of the same name, called by its own object. */
int elf_fixture(int x);
int elf_call(int x);

int elf_fixture(int x)
{
    return x + 1000;
}

int elf_call(int x)
{
    return elf_fixture(x);
}
