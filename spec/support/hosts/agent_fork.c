/* agent_fork CHILDREN: a VM with an agent that is asked for pages by two threads all the time, and
   forks, from the VM's thread and from another one in turn. The children work and end in each way
   there is; after each the parent's agent must answer. A child that has not ended in time is a
   failure. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "hosts/client.h"

enum { ASKERS = 2, CHILD_PATIENCE_S = 60, WAYS = 6 };

static const char setup[] = "agent = require 'rtmetrics.agent'\n"
                            "handle = assert(agent.start { listen = '127.0.0.1:0' })";

static const char work[] = "local t = {} for i = 1, 300 do t[i] = { i, 'n' .. i } end\n"
                           "local f = coroutine.wrap(function() coroutine.yield(1) end) f()\n"
                           "collectgarbage()";

/* What a child may expect: nothing of its parent's, and an agent of its own if it wants one. */
static const char check_child[] = "assert(agent.status().running == false)\n"
                                  "assert(handle:stop() == false)\n"
                                  "assert(agent.status().connections == 0)";

static const char own_agent[] = "local own = assert(agent.start { listen = '127.0.0.1:0' })\n"
                                "assert(own.address ~= handle.address)\n"
                                "assert(agent.status().running)\n"
                                "if %d == 0 then assert(own:stop()) end";

static unsigned port;
static atomic_bool is_over;
static atomic_ulong answers;

static void *ask(void *unused)
{
    (void)unused;
    while (!is_over) {
        if (client_get(port, "/metrics") == 200)
            answers++;
    }
    return NULL;
}

static void end_child(lua_State *L, int way)
{
    switch (way) {
    case 0:
        lua_close(L);
        exit(0);
    case 1:
        host_run(L, "os.exit(0)");
        break;
    case 2:
        abort();
    case 3:
        exit(0);
    case 4:
        _exit(0);
    default:
        host_run(L, "os.exit(0, true)");
    }
}

/* Sockets of the parent that the child still has: none. */
static void check_descriptors(void)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in own;
        socklen_t length = sizeof own;
        if (getsockname(fd, (struct sockaddr *)&own, &length) == 0 && own.sin_family == AF_INET &&
            ntohs(own.sin_port) == port)
            host_fail("descriptor %d of the parent's agent is open in the child", fd);
    }
}

static void run_child(lua_State *L, int number)
{
    struct rlimit none = {0, 0};
    char code[sizeof own_agent + 16];
    setrlimit(RLIMIT_CORE, &none);
    alarm(CHILD_PATIENCE_S);
    check_descriptors();
    host_run(L, work);
    host_run(L, check_child);
    if (number % 3 == 0) {
        snprintf(code, sizeof code, own_agent, number % 2);
        host_run(L, code);
    }
    end_child(L, number % WAYS);
}

static void fork_one(lua_State *L, int number)
{
    int status = 0;
    pid_t child = fork();
    if (child < 0)
        host_fail("cannot fork");
    if (child == 0)
        run_child(L, number);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (status != 0 && !(number % WAYS == 2 && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT))
        host_fail("child %d ended with status %d", number, status);
    int answer = client_get(port, "/healthz");
    if (answer != 200)
        host_fail("after child %d the parent answers %d", number, answer);
}

struct turn {
    lua_State *L;
    int number;
};

static void *fork_on_thread(void *subject)
{
    const struct turn *turn = subject;
    fork_one(turn->L, turn->number);
    return NULL;
}

static void fork_in_turn(lua_State *L, int number)
{
    struct turn turn = {L, number};
    pthread_t thread;
    if (number % 2 == 0) {
        fork_one(L, number);
    } else if (pthread_create(&thread, NULL, fork_on_thread, &turn) != 0 ||
               pthread_join(thread, NULL) != 0) {
        host_fail("cannot start a thread");
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        host_fail("usage: agent_fork CHILDREN");
    int children = (int)strtol(argv[1], NULL, 10);
    lua_State *L = host_open();
    host_run(L, setup);
    port = (unsigned)host_number(L, "return (tonumber(handle.address:match(':(%d+)$')))");
    pthread_t askers[ASKERS];
    for (int i = 0; i < ASKERS; i++) {
        if (pthread_create(&askers[i], NULL, ask, NULL) != 0)
            host_fail("cannot start a thread");
    }
    for (int i = 0; i < children; i++) {
        host_run(L, work);
        fork_in_turn(L, i);
    }
    is_over = true;
    for (int i = 0; i < ASKERS; i++)
        pthread_join(askers[i], NULL);
    host_run(L, "assert(agent.status().running) assert(handle:stop())");
    if (client_get(port, "/healthz") != 0)
        host_fail("the port still answers");
    lua_close(L);
    if (answers == 0)
        host_fail("nobody was answered");
    return 0;
}
