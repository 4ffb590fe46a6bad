/* The function that the other elf_* modules call. */
int elf_fixture(int x);

int elf_fixture(int x)
{
    return x + 1;
}
