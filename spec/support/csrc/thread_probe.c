/* Threads of ours: what they have of the starter's, how long one waits for their end; and the
   descriptors that a forked child closes. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fork_fds.h"
#include "os/thread.h"
#include "vm/compat.h"

/* Static, as one that is not joined in time goes on using it. */
static struct rtm_thread thread;
static char seen_name[RTM_THREAD_NAME_MAX];
static int seen_blocked;
static useconds_t sleep_us;

static void run(void *subject)
{
    sigset_t mask;
    (void)subject; /* all is static */
    usleep(sleep_us);
    prctl(PR_GET_NAME, seen_name);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    seen_blocked = 0;
    for (int signal = 1; signal < 32; signal++)
        seen_blocked += sigismember(&mask, signal);
}

/* run(name, milliseconds that it takes, milliseconds of patience) -> joined, name, blocked signals,
   of this thread too */
static int probe_run(lua_State *L)
{
    struct rtm_error err;
    sigset_t mask;
    sleep_us = (useconds_t)luaL_checknumber(L, 2) * 1000;
    if (!rtm_thread_start(&thread, luaL_checkstring(L, 1), run, NULL, &err))
        return luaL_error(L, "%s", err.text);
    lua_pushboolean(L, rtm_thread_join(&thread, (uint64_t)luaL_checknumber(L, 3) * 1000000));
    lua_pushstring(L, seen_name);
    lua_pushnumber(L, seen_blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    lua_pushnumber(L, sigismember(&mask, SIGTERM) + sigismember(&mask, SIGINT));
    return 4;
}

static int is_open_in_child(int fd)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(fcntl(fd, F_GETFD) >= 0);
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static int open_null(lua_State *L)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : luaL_error(L, "cannot open /dev/null");
}

/* descriptors() -> is one that was entered open in a child? one that was taken out? in the parent?
 */
static int probe_descriptors(lua_State *L)
{
    struct rtm_error err;
    int kept = open_null(L), removed = open_null(L);
    if (!rtm_fork_fds_init(&err))
        return luaL_error(L, "%s", err.text);
    rtm_fork_fds_begin();
    bool ok = rtm_fork_fds_add(kept) && rtm_fork_fds_add(removed);
    rtm_fork_fds_remove(removed);
    rtm_fork_fds_end();
    lua_pushboolean(L, ok && is_open_in_child(kept));
    lua_pushboolean(L, is_open_in_child(removed));
    lua_pushboolean(L, fcntl(kept, F_GETFD) >= 0);
    rtm_fork_fds_begin();
    rtm_fork_fds_remove(kept);
    rtm_fork_fds_end();
    close(kept);
    close(removed);
    return 3;
}

/* fork_within() -> milliseconds that a fork takes while another thread is between begin and end for
   `busy` milliseconds */
static void hold(void *subject)
{
    (void)subject;
    rtm_fork_fds_begin();
    usleep(sleep_us);
    rtm_fork_fds_end();
}

static int probe_fork_within(lua_State *L)
{
    struct rtm_error err;
    sleep_us = (useconds_t)luaL_checknumber(L, 1) * 1000;
    if (!rtm_fork_fds_init(&err) || !rtm_thread_start(&thread, "holder", hold, NULL, &err))
        return luaL_error(L, "%s", err.text);
    usleep(50000);
    lua_pushboolean(L, is_open_in_child(STDOUT_FILENO));
    lua_pushboolean(L, rtm_thread_join(&thread, UINT64_C(20000000000)));
    rtm_fork_fds_begin(); /* would wait for ever if the fork had left it locked */
    rtm_fork_fds_end();
    return 2;
}

static const luaL_Reg functions[] = {
    {"run", probe_run},
    {"descriptors", probe_descriptors},
    {"fork_within", probe_fork_within},
    {NULL, NULL},
};

int luaopen_thread_probe(lua_State *L)
{
    lua_newtable(L);
    rtm_compat_setfuncs(L, functions, 0);
    return 1;
}
