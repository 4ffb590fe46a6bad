/* flags: -fno-plt -Wl,-z,lazy -Wl,-z,relro */
/* A caller without a procedure linkage table: bound when loaded, in a read-only page. */
int elf_fixture(int x);
int elf_call(int x);

int elf_call(int x)
{
    return elf_fixture(x);
}
