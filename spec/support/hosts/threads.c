/* threads OWN|MOVING: OWN: four threads, each opens and closes VMs of its own and works in them.
   MOVING: two VMs that four threads take in turn, each under its lock, while a fifth thread reads
   process metrics in a VM of its own. */
#include <pthread.h>

#include "hosts/host.h"

enum { THREADS = 4, VMS = 2, ROUNDS = 40 };

static const char setup[] =
    "rt = require 'rtmetrics'\n"
    "samples = rt.read({ '/gc/heap/allocs:bytes', '/gc/cycles/total:gc-cycles',\n"
    "  '/sched/coroutines:coroutines', '/sched/switches:switches' })";

static const char work[] = "local t = {}\n"
                           "for i = 1, 300 do t[i] = { i, 'n' .. i } end\n"
                           "local co = coroutine.wrap(function(a)\n"
                           "  for i = 1, 50 do a = coroutine.yield({ a, i }) end\n"
                           "end)\n"
                           "for i = 1, 40 do co(i) end\n"
                           "collectgarbage('step')\n"
                           "rt.read(samples)";

static const char read_process[] = "local rt = require 'rtmetrics'\n"
                                   "for _, d in ipairs(rt.all()) do\n"
                                   "  if d.name:find('^/process/') then rt.read({ d.name }) end\n"
                                   "end";

static struct {
    pthread_mutex_t mutex;
    lua_State *L;
} vms[VMS];

static void *run_own(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        lua_State *L = host_open();
        host_run(L, setup);
        host_run(L, work);
        if (i % 3 == 0)
            host_run(L, "rt.stop() rt.start{}");
        host_run(L, work);
        lua_close(L);
    }
    return NULL;
}

static void *run_moving(void *first)
{
    for (int i = 0; i < ROUNDS * 4; i++) {
        int place = (int)((size_t)first + (size_t)i) % VMS;
        pthread_mutex_lock(&vms[place].mutex);
        host_run(vms[place].L, work);
        pthread_mutex_unlock(&vms[place].mutex);
    }
    return NULL;
}

static void *run_reader(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        lua_State *L = host_open();
        host_run(L, read_process);
        lua_close(L);
    }
    return NULL;
}

static void run_all(void *(*function)(void *))
{
    pthread_t threads[THREADS + 1];
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, function, (void *)i) != 0)
            host_fail("cannot start a thread");
    }
    if (pthread_create(&threads[THREADS], NULL, run_reader, NULL) != 0)
        host_fail("cannot start the reader");
    for (size_t i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void test_moving(void)
{
    for (int i = 0; i < VMS; i++) {
        pthread_mutex_init(&vms[i].mutex, NULL);
        vms[i].L = host_open();
        host_run(vms[i].L, setup);
    }
    run_all(run_moving);
    for (int i = 0; i < VMS; i++) {
        host_run(vms[i].L, "for _, sample in ipairs(rt.read(samples)) do assert(sample.kind) end");
        lua_close(vms[i].L);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "own") == 0)
        run_all(run_own);
    else if (argc == 2 && strcmp(argv[1], "moving") == 0)
        test_moving();
    else
        host_fail("usage: threads own|moving");
    return 0;
}
