# rtmetrics: `make help` lists what can be made.

LUAS := 5.4 5.3 5.1 luajit

# A rock names the headers that it wants to be built against; they tell which Lua it is.
ifneq ($(LUA_INCDIR),)
LUA ?= $(shell if [ -f '$(LUA_INCDIR)/luajit.h' ]; then echo luajit; else \
    sed -n -e 's/^.define LUA_VERSION_NUM[^0-9]*50\([0-9]\).*/5.\1/p' \
        -e 's/^.define LUA_VERSION_MINOR_N[^0-9]*\([0-9]\).*/5.\1/p' '$(LUA_INCDIR)/lua.h'; fi)
endif
LUA ?= 5.4

ifeq ($(filter $(LUA),$(LUAS)),)
$(error rtmetrics does not support LUA=$(LUA): it knows the inside of each Lua that it observes. \
    Choose one of: $(LUAS))
endif

PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
WERROR ?= 1
JOBS ?= $(shell nproc)

# --- Which Lua -----------------------------------------------------------------------------------

lua_program_5.4 := lua5.4
lua_program_5.3 := lua5.3
lua_program_5.1 := lua5.1
lua_program_luajit := luajit
# Debian's name of the pkg-config file first, then those of others.
lua_pc_5.4 := lua5.4 lua-5.4 lua54
lua_pc_5.3 := lua5.3 lua-5.3 lua53
lua_pc_5.1 := lua5.1 lua-5.1 lua51
lua_pc_luajit := luajit
lua_packages_5.4 := liblua5.4-dev lua5.4
lua_packages_5.3 := liblua5.3-dev lua5.3
lua_packages_5.1 := liblua5.1-0-dev lua5.1
lua_packages_luajit := libluajit2-5.1-dev luajit2
lua_vm_5.4 := puc54
lua_vm_5.3 := puc53
lua_vm_5.1 := puc51
lua_vm_luajit := luajit
# The version in paths: LuaJIT shares the directories of 5.1, as it shares its modules. A module in C
# that knows the inside of its Lua cannot be shared; install for one of the two under each PREFIX.
lua_abi_5.4 := 5.4
lua_abi_5.3 := 5.3
lua_abi_5.1 := 5.1
lua_abi_luajit := 5.1

RTM_LUA ?= $(lua_program_$(LUA))
LUA_ABI := $(lua_abi_$(LUA))

# Is something compiled this time?
builds := $(filter all build core agent test-build hosts install install-core install-agent show-flags \
    show-sources,$(or $(MAKECMDGOALS),all))

ifneq ($(LUA_INCDIR),)
LUA_CFLAGS := -I$(LUA_INCDIR)
else ifneq ($(builds),)
ifeq ($(shell command -v pkg-config),)
$(error pkg-config is missing (Debian: apt-get install pkg-config))
endif
LUA_PC := $(shell for name in $(lua_pc_$(LUA)); do \
    if pkg-config --exists $$name; then echo $$name; break; fi; done)
ifeq ($(LUA_PC),)
$(error the headers of Lua $(LUA) are missing: pkg-config knows none of: $(lua_pc_$(LUA)) \
    (Debian: apt-get install $(lua_packages_$(LUA))))
endif
LUA_CFLAGS := $(shell pkg-config --cflags $(LUA_PC))
LUA_LIBS := $(shell pkg-config --libs $(LUA_PC))
endif

# zlib compresses pages where it is found; without it they go as they are. ZLIB=0 does without.
zlib_suffix := $(if $(filter 0,$(ZLIB)),-nozlib)
ifneq ($(builds),)
zlib_test := \043include <zlib.h>\nint main(void) { return !zlibVersion(); }\n
zlib_libs := $(or $(shell pkg-config --libs zlib 2>/dev/null),-lz)
ifeq ($(ZLIB),)
ZLIB := $(shell printf '$(zlib_test)' | $(CC) -x c -o /dev/null - $(zlib_libs) 2>/dev/null && echo 1 || echo 0)
endif
endif
ifeq ($(ZLIB),0)
zlib_libs :=
else
zlib_flags := -DRTM_ZLIB
endif

# libmicrohttpd is the agent's; where it is not found, the agent is left out. AGENT=0 leaves it out.
agent_suffix := $(if $(filter 0,$(AGENT)),-noagent)
ifneq ($(builds),)
agent_test := \043include <microhttpd.h>\nint main(void) { return !MHD_get_version(); }\n
agent_flags := $(shell pkg-config --cflags libmicrohttpd 2>/dev/null)
agent_libs := $(or $(shell pkg-config --libs libmicrohttpd 2>/dev/null),-lmicrohttpd)
ifeq ($(AGENT),)
AGENT := $(shell printf '$(agent_test)' | \
    $(CC) $(agent_flags) -x c -o /dev/null - $(agent_libs) 2>/dev/null && echo 1 || echo 0)
endif
endif

# --- How it is built -----------------------------------------------------------------------------

comma := ,
san_suffix := $(if $(SAN),-$(subst address,asan,$(subst undefined,ubsan,$(subst thread,tsan,$(subst $(comma),-,$(SAN))))))
BUILD := build/$(LUA)$(if $(filter 1,$(DEBUG)),-debug)$(zlib_suffix)$(agent_suffix)$(patsubst -asan-ubsan,-asan,$(san_suffix))

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
ifneq ($(WERROR),0)
warnings += -Werror
endif
ifeq ($(DEBUG),1)
override CFLAGS += -DRTM_DEBUG -O1 -g
endif
ifneq ($(SAN),)
san_flags := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
endif

depend = -MMD -MP -MF $@.d -MT $@
language := -std=gnu11 -fPIC -fno-plt -pthread -Isrc $(LUA_CFLAGS) $(zlib_flags) $(agent_flags)
core_flags = $(language) $(depend) -fvisibility=hidden $(warnings) $(CFLAGS) $(san_flags)
test_flags = $(core_flags) -DRTM_TEST_SEAMS -DRTM_DEBUG
# What stands in spec/support has no headers of its own, and its luaopen_* is meant to be seen.
support_flags = $(language) $(depend) -Ispec/support $(warnings) -Wno-missing-prototypes $(CFLAGS) \
    $(san_flags) -DRTM_TEST_SEAMS -DRTM_DEBUG
# nodelete: Lua unmaps its modules before its last frees, and our allocator must outlive them.
# now: a symbol bound late would run the dynamic linker inside a signal handler.
module_flags := -shared -pthread -Wl,-z,nodelete -Wl,-z,now -Wl,--as-needed

# A support file may ask for flags of its own in its first line: /* flags: -Wl,-z,lazy */
flags_of = $(shell sed -n '1s|^/\* flags: \(.*\) \*/.*|\1|p' $(1))

folders := ground os data encoders vm observers core bindings
vm_files := $(foreach lua,$(LUAS),src/vm/$(lua_vm_$(lua)).c)
sources := $(filter-out $(vm_files),$(wildcard $(folders:%=src/%/*.c))) \
    $(wildcard src/vm/$(lua_vm_$(LUA)).c)
objects := $(sources:src/%.c=$(BUILD)/obj/%.o)
# The agent is a shared object of its own, with its own copies of what it needs of ground and os.
agent_sources := $(if $(filter 1,$(AGENT)),$(wildcard src/agent/*.c))
agent_objects := $(agent_sources:src/%.c=$(BUILD)/obj/%.o)
agent_base := $(BUILD)/obj/agent_base.a
agent_base_objects := $(filter $(BUILD)/obj/ground/% $(BUILD)/obj/os/%,$(objects))
agent_module := $(BUILD)/lib/rtmetrics/agent/native.so
test_objects := $(patsubst src/%.c,$(BUILD)/test/obj/%.o,$(sources) $(agent_sources))
archive := $(BUILD)/test/librtm.a
test_modules := $(patsubst spec/support/csrc/%.c,$(BUILD)/test/%.so,$(wildcard spec/support/csrc/*.c))
host_programs := $(patsubst spec/support/hosts/%.c,$(BUILD)/hosts/%,$(wildcard spec/support/hosts/*.c))
elf_modules := $(patsubst spec/support/elf/%.c,$(BUILD)/elf/%.so,$(wildcard spec/support/elf/*.c))

# V=1 shows the commands whole.
ifneq ($(V),1)
say = @echo '$(1) $@';
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all build core agent install-core install-agent test-build hosts install uninstall env deps test check-all threads valgrind oom fuzz \
    nightly demo bench docs style lint arch names signals tidy ci clean help \
    show-flags show-sources

all: build ## the module for LUA=5.4 (or 5.3, 5.1, luajit); DEBUG=1, SAN=address,undefined

build: core $(if $(filter 0,$(AGENT)),no-agent,agent)

core: $(BUILD)/lib/rtmetrics/core.so

agent: $(agent_module)

no-agent:
	@rm -f $(agent_module)
	@echo 'the agent is left out: libmicrohttpd is missing (Debian: libmicrohttpd-dev), or AGENT=0'

$(BUILD)/lib/rtmetrics/core.so: $(objects)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(module_flags) $(san_flags) $(LDFLAGS) -o $@ $(objects) $(zlib_libs) -lm

# Made anew each time: an archive would keep the objects of sources that are gone.
$(agent_base): $(agent_base_objects)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $(agent_base_objects)

$(agent_module): $(agent_objects) $(agent_base)
	@$(if $(filter 0,$(AGENT)),echo 'libmicrohttpd is missing (Debian: libmicrohttpd-dev)' >&2; exit 1)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(module_flags) $(san_flags) $(LDFLAGS) -o $@ $(agent_objects) $(agent_base) \
	    $(agent_libs)

$(BUILD)/obj/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(core_flags) -c -o $@ $<

# --- What only specs need ------------------------------------------------------------------------

test-build: build hosts $(test_modules) $(elf_modules)
	@:

hosts: $(host_programs)

$(BUILD)/test/obj/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(test_flags) -c -o $@ $<

$(archive): $(test_objects)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $(test_objects)

$(BUILD)/test/%.so: spec/support/csrc/%.c $(archive) Makefile
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(support_flags) $(module_flags) -o $@ $< $(call flags_of,$<) $(archive) \
	    $(if $(filter 1,$(AGENT)),$(agent_libs)) $(zlib_libs) -lm

$(BUILD)/hosts/%: spec/support/hosts/%.c $(archive) Makefile
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(support_flags) -o $@ $< $(call flags_of,$<) $(archive) $(LUA_LIBS) $(zlib_libs) -ldl -lm

# These stand for strangers' objects: no flag of ours, and no sanitizer.
$(BUILD)/elf/%.so: spec/support/elf/%.c Makefile
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) -shared -fPIC -O1 -g $(depend) -o $@ $< $(call flags_of,$<)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# --- Installing ----------------------------------------------------------------------------------

LUADIR ?= $(PREFIX)/share/lua/$(LUA_ABI)
LIBDIR ?= $(PREFIX)/lib/lua/$(LUA_ABI)
lua_files = $(shell cd lua && find rtmetrics -name '*.lua')

install: build install-core $(if $(filter 1,$(AGENT)),install-agent) ## into PREFIX=/usr/local (and DESTDIR), where LUA looks for modules
	@echo "installed in $(DESTDIR)$(LUADIR)/rtmetrics and $(DESTDIR)$(LIBDIR)/rtmetrics"

# Without the native part, the agent's Lua file says what to install.
install-core: core
	@set -e; for file in $(lua_files); do \
	    install -D -m 644 lua/$$file $(DESTDIR)$(LUADIR)/$$file; done
	@install -D -m 755 $(BUILD)/lib/rtmetrics/core.so $(DESTDIR)$(LIBDIR)/rtmetrics/core.so

install-agent: agent
	@install -D -m 755 $(agent_module) $(DESTDIR)$(LIBDIR)/rtmetrics/agent/native.so

uninstall: ## takes away what install put there
	@rm -f $(addprefix $(DESTDIR)$(LUADIR)/,$(lua_files)) $(DESTDIR)$(LIBDIR)/rtmetrics/core.so \
	    $(DESTDIR)$(LIBDIR)/rtmetrics/agent/native.so
	@for dir in $(DESTDIR)$(LUADIR)/rtmetrics $(DESTDIR)$(LIBDIR)/rtmetrics; do \
	    if [ -d $$dir ]; then find $$dir -type d -empty -delete; fi; done

# The last part of LUA_PATH is for Debian: it packs some modules in pure Lua (copas) for 5.1 only,
# and they run on 5.3 and 5.4 as they are.
debian_path := $(if $(filter 5.3 5.4,$(LUA)),/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua)
lua_path := $(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;;$(debian_path)
lua_cpath := $(CURDIR)/$(BUILD)/lib/?.so;;

env: ## prints the environment that uses the build in place: eval "$(make -s env LUA=5.4)"
	@echo "export LUA_PATH='$(lua_path)'"
	@echo "export LUA_CPATH='$(lua_cpath)'"
	@echo 'export PATH="$(CURDIR)/lua/bin:$$PATH"'

# --- Running -------------------------------------------------------------------------------------

again = $(MAKE) --no-print-directory
in_place = LUA_PATH='$(lua_path)' LUA_CPATH='$(lua_cpath)'
# Older sanitizers stop where the kernel scatters addresses widely; setarch keeps them together.
fixed_addresses = $(if $(SAN),$(shell setarch -R true 2>/dev/null && echo setarch -R))
specs = $(fixed_addresses) env RTM_ROOT='$(CURDIR)' RTM_BUILD='$(CURDIR)/$(BUILD)' RTM_LUA='$(RTM_LUA)' \
    RTM_LUA_NAME='$(LUA)' $(if $(SAN),RTM_SAN='$(SAN)') CC='$(CC)' \
    LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;$(CURDIR)/spec/?.lua;;$(debian_path)' \
    LUA_CPATH='$(CURDIR)/$(BUILD)/lib/?.so;$(CURDIR)/$(BUILD)/test/?.so;;' .ci/specs
SPECS ?= spec

deps: ## installs what building and testing need (Debian), if something is missing
	@.ci/deps build test

test: deps ## the specs on LUA=5.4; SPECS=spec/ground picks some; SAN=address,undefined
	@$(again) -j$(JOBS) test-build
	@$(specs) --exclude-tags=nightly $(SPECS)

check-all: deps ## build and test for every Lua, one sum
	@.ci/check-all '$(MAKE)' $(LUAS)

# What can run with the thread sanitizer's library in front: a spec's own interpreter (which then may start no
# shell, as that would not survive it), or host programs that are compiled with it.
tsan_specs := spec/data/series_spec.lua spec/core/contexts_spec.lua spec/survive spec/agent/fork_spec.lua

threads: deps ## the specs tagged threads; SAN=thread runs their host programs under its eyes
	@$(again) -j$(JOBS) test-build
	@$(specs) --tags=threads $(if $(SAN),$(tsan_specs),$(SPECS))

valgrind: deps ## the specs tagged valgrind, each child under valgrind
	@$(again) -j$(JOBS) test-build
	@RTM_VALGRIND=1 $(specs) --tags=valgrind $(SPECS)

oom: deps ## the specs tagged oom: the n-th allocation fails, for all n
	@$(again) -j$(JOBS) test-build
	@RTM_LIMIT_S=3600 $(specs) --tags=oom $(SPECS)

nightly: deps ## all specs, the long ones too
	@$(again) -j$(JOBS) test-build
	@RTM_LIMIT_S=3600 $(specs) $(SPECS)

fuzz: ## the request checks under libFuzzer, for FUZZ_S=30 seconds
	@.ci/deps fuzz
	@.ci/fuzz

demo: ## a tour in the terminal
	@.ci/deps build demo
	@$(again) -j$(JOBS) build
	@$(in_place) $(RTM_LUA) examples/demo.lua

bench: ## what rtmetrics costs, with and without
	@.ci/deps build test
	@$(again) -j$(JOBS) build
	@$(in_place) $(RTM_LUA) bench/run.lua

docs: ## writes the generated pages in docs/
	@.ci/deps build
	@$(again) -j$(JOBS) build
	@$(in_place) $(RTM_LUA) docs/generate.lua

# --- Style ---------------------------------------------------------------------------------------

style: ## lint, arch, names and signals: all of them, then the sum
	@.ci/deps build style
	@.ci/style '$(MAKE)'

lint: ## layout, warnings of clang, clang-tidy, cppcheck, luacheck, shellcheck, banned calls
	@.ci/lint/lint '$(MAKE)' $(LUAS)

# For tools that read C as the compiler does: the options, then the files.
show-flags show-sources:
	@echo '$(if $(filter show-flags,$@),$(language) $(warnings),$(sources) $(agent_sources))'

arch: ## includes against the table in src/README.md, circles, lua.h only where it may be
	@lua5.4 .ci/lint/arch.lua

names: ## shared symbols against file names, exports of the module, for every Lua
	@for lua in $(LUAS); do $(again) -s -j$(JOBS) LUA=$$lua build || exit 1; done
	@lua5.4 .ci/lint/names.lua $(LUAS:%=build/%)

signals: ## what *_signal.c may call
	@for lua in $(LUAS); do $(again) -s -j$(JOBS) LUA=$$lua build || exit 1; done
	@lua5.4 .ci/lint/signals.lua $(LUAS:%=build/%)

tidy: ## repairs the layout of the C files
	@find src spec -name '*.[ch]' -print0 | xargs -0 clang-format-14 -i

ci: ## all that must hold before a change lands: what .ci/run does on a bare machine
	@.ci/run

clean: ## removes build/
	rm -rf build

help: ## this list
	@echo 'make [target] [LUA=5.4|5.3|5.1|luajit] [DEBUG=1] [SAN=...] [ZLIB=0] [AGENT=0] [WERROR=0]; the default target is all'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
