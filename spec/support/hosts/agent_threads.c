/* agent_threads VMS FORKS: four threads open and close VMS VMs in all, at random; each VM loads the
   agent, starts, stops and asks it at random, and works meanwhile; another thread asks for pages
   all the time. With FORKS, the main thread forks so many times meanwhile: whatever the others hold
   then, a child must be able to start and stop an agent, and to end. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>

#include "hosts/client.h"

enum { THREADS = 4, STEPS = 12, CHILD_PATIENCE_S = 60 };

static const char setup[] = "agent = require 'rtmetrics.agent'\n"
                            "prometheus = require 'rtmetrics.prometheus'\n"
                            "carts = prometheus.counter('carts', 'Carts.', { 'kind' })";

static const char *const steps[] = {
    "handle = agent.start { listen = '127.0.0.1:0' } or handle",
    "if handle then handle:stop() end",
    "assert(agent.status().requests >= 0)",
    "local t = {} for i = 1, 200 do t[i] = { i, 'n' .. i } end collectgarbage('step')",
    "for i = 1, 20 do carts:inc(1, { 'k' .. i }) end",
    "local f = coroutine.wrap(function() coroutine.yield(1) end) f()",
};

static const char in_child[] = "local handle = assert(agent.start { listen = '127.0.0.1:0' })\n"
                               "assert(handle:stop())";

static atomic_int vms_left;
static atomic_bool is_over;
static atomic_uint last_port;
static atomic_ulong answers;

static void note_port(lua_State *L)
{
    double port =
        host_number(L, "return tonumber((agent.status().address or ':0'):match(':(%d+)$'))");
    if (port > 0)
        last_port = (unsigned)port;
}

static void live(unsigned *seed)
{
    lua_State *L = host_open();
    host_run(L, setup);
    for (int i = 0; i < STEPS; i++) {
        host_run(L, steps[(unsigned)rand_r(seed) % (sizeof steps / sizeof *steps)]);
        note_port(L);
    }
    lua_close(L);
}

static void *run_vms(void *number)
{
    unsigned seed = (unsigned)(size_t)number + 1;
    while (vms_left-- > 0)
        live(&seed);
    return NULL;
}

static void *ask(void *unused)
{
    (void)unused;
    while (!is_over) {
        if (last_port && client_get(last_port, "/metrics") == 200)
            answers++;
        else
            usleep(1000);
    }
    return NULL;
}

static void run_child(lua_State *L)
{
    alarm(CHILD_PATIENCE_S);
    host_run(L, in_child);
    lua_close(L);
    /* not exit: it would move the offsets of files that the parent's threads are reading */
    _exit(0);
}

static void fork_often(int forks)
{
    lua_State *L = host_open();
    host_run(L, setup);
    for (int i = 0; i < forks; i++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0)
            run_child(L);
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            host_fail("child %d ended with status %d", i, status);
    }
    lua_close(L);
}

static void start_thread(pthread_t *thread, void *(*function)(void *), size_t number)
{
    if (pthread_create(thread, NULL, function, (void *)number) != 0)
        host_fail("cannot start a thread");
}

int main(int argc, char **argv)
{
    if (argc != 3)
        host_fail("usage: agent_threads VMS FORKS");
    pthread_t threads[THREADS], asker;
    vms_left = (int)strtol(argv[1], NULL, 10);
    start_thread(&asker, ask, 0);
    for (size_t i = 0; i < THREADS; i++)
        start_thread(&threads[i], run_vms, i);
    fork_often((int)strtol(argv[2], NULL, 10));
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    is_over = true;
    pthread_join(asker, NULL);
    printf("%lu answers\n", answers);
    return 0;
}
