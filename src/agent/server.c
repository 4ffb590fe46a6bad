#include "agent/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/complaint.h"
#include "agent/loop.h"
#include "ground/lock.h"
#include "ground/memory.h"
#include "os/clock.h"
#include "os/fork.h"
#include "os/fork_fds.h"
#include "os/thread.h"

#define NS_PER_MS UINT64_C(1000000)

enum { STOP_PATIENCE_MS = 2000, EXIT_PATIENCE_MS = 300 };

/* One start, from its first allocation to the end of its thread. The options are copied, for a
   start anew in a child. */
struct server {
    const struct rtm_api *api;
    struct rtm_server_options options;
    const char *hosts[RTM_GUARD_HOSTS_MAX];
    struct rtm_guard guard;
    struct rtm_listener listener;
    struct rtm_loop loop;
    struct rtm_thread thread;
    pid_t pid;
    uint64_t started_ns, generation;
    bool has_guard, has_loop, has_thread;
};

/* The process's. Under the lock; in a child, made anew by its reset. */
static struct rtm_lock lock;
static struct server *running;
static struct server *restarting; /* the parent's, whose options the child starts with */
static uint64_t generations;

static int users; /* under the lock too */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct rtm_error init_error;
static bool is_ready;

/* --- Options */

static const char *copy_text(const char *text, bool *failed)
{
    if (!text)
        return NULL;
    char *copy = rtm_memory_alloc(strlen(text) + 1);
    if (copy)
        memcpy(copy, text, strlen(text) + 1);
    else
        *failed = true;
    return copy;
}

static bool copy_options(struct server *server, const struct rtm_server_options *options)
{
    bool failed = false;
    struct rtm_guard_options *guard = &server->options.guard;
    server->options = *options;
    server->options.listen = copy_text(options->listen, &failed);
    guard->token = copy_text(options->guard.token, &failed);
    guard->token_file = copy_text(options->guard.token_file, &failed);
    guard->hosts = server->hosts;
    for (size_t i = 0; i < guard->host_count; i++)
        server->hosts[i] = copy_text(options->guard.hosts[i], &failed);
    return !failed;
}

static void free_options(struct server *server)
{
    rtm_memory_free((char *)server->options.listen);
    rtm_memory_free((char *)server->options.guard.token);
    rtm_memory_free((char *)server->options.guard.token_file);
    for (size_t i = 0; i < server->options.guard.host_count; i++)
        rtm_memory_free((char *)server->hosts[i]);
}

/* --- One server */

static void run(void *subject)
{
    struct server *server = subject;
    rtm_thread_give_way();
    rtm_loop_run(&server->loop);
    if (rtm_loop_is_broken(&server->loop))
        rtm_atomic_set(&server->api->agent_stats->running, 0);
}

static bool check_exposure(struct server *server, struct rtm_error *err)
{
    const char *listen = server->options.listen;
    if (!rtm_listen_check(listen, err))
        return false;
    if (rtm_listen_is_loopback(listen) || rtm_guard_has_token(&server->guard))
        return true;
    return rtm_error_set(err,
                         "cannot listen on %s: other machines reach it, so it needs a token "
                         "(option token or token_file)",
                         listen);
}

static bool open_listener(struct server *server, struct rtm_error *err)
{
    const struct rtm_server_options *options = &server->options;
    rtm_fork_fds_begin();
    bool ok = rtm_listen_open(&server->listener, options->listen, options->socket_mode, err);
    if (ok && !rtm_fork_fds_add(server->listener.fd)) {
        rtm_listen_close(&server->listener);
        ok = rtm_error_set(err, "cannot listen on %s: too many descriptors", options->listen);
    }
    rtm_fork_fds_end();
    server->guard.is_unix = server->listener.is_unix;
    server->guard.port = server->listener.port;
    return ok;
}

static void close_listener(struct server *server)
{
    if (server->listener.fd < 0)
        return;
    rtm_fork_fds_begin();
    rtm_fork_fds_remove(server->listener.fd);
    rtm_listen_close(&server->listener);
    rtm_fork_fds_end();
}

static void delete_server(struct server *server)
{
    bool is_broken = server->has_loop && rtm_loop_is_broken(&server->loop);
    if (server->has_loop)
        rtm_loop_close(&server->loop);
    if (!is_broken)
        close_listener(server);
    if (server->has_guard)
        rtm_guard_fini(&server->guard);
    free_options(server);
    rtm_memory_free(server);
}

static bool start_parts(struct server *server, struct rtm_error *err)
{
    const struct rtm_server_options *options = &server->options;
    const struct rtm_loop_options loop = {.max_connections = options->max_connections,
                                          .deadline_s = options->deadline_s};
    server->has_guard = rtm_guard_init(&server->guard, &options->guard, err);
    if (!server->has_guard || !check_exposure(server, err) || !open_listener(server, err))
        return false;
    server->has_loop =
        rtm_loop_open(&server->loop, server->api, &server->listener, &server->guard, &loop, err);
    if (!server->has_loop)
        return false;
    rtm_atomic_set(&server->api->agent_stats->running, 1);
    server->has_thread = rtm_thread_start(&server->thread, "rtmetrics-agent", run, server, err);
    if (!server->has_thread)
        rtm_atomic_set(&server->api->agent_stats->running, 0);
    return server->has_thread;
}

static struct server *new_server(const struct rtm_api *api,
                                 const struct rtm_server_options *options, struct rtm_error *err)
{
    struct server *server = rtm_memory_alloc(sizeof *server);
    if (!server) {
        rtm_error_set(err, "cannot start the agent: no memory");
        return NULL;
    }
    server->api = api;
    server->listener.fd = -1;
    server->pid = getpid();
    server->started_ns = rtm_clock_wall_ns();
    bool ok =
        copy_options(server, options) || rtm_error_set(err, "cannot start the agent: no memory");
    if (ok && start_parts(server, err))
        return server;
    delete_server(server);
    return NULL;
}

/* A thread that does not end in time keeps what it uses; the listener is taken from it. */
static void end_server(struct server *server, unsigned patience_ms)
{
    struct rtm_agent_stats *stats = server->api->agent_stats;
    rtm_loop_stop(&server->loop);
    if (rtm_thread_join(&server->thread, patience_ms * NS_PER_MS))
        delete_server(server);
    else
        rtm_listen_shut(&server->listener);
    rtm_atomic_set(&stats->running, 0);
    rtm_atomic_set(&stats->connections, 0);
}

/* --- The process's one */

/* vfork children and those of a bare clone have our memory and are told nothing. */
static bool is_ours(void)
{
    return running && running->pid == getpid();
}

static void end_running(unsigned patience_ms)
{
    struct server *server = running;
    running = NULL;
    end_server(server, patience_ms);
}

static bool start_locked(const struct rtm_api *api, const struct rtm_server_options *options,
                         struct rtm_error *err)
{
    if (running && is_ours() && !rtm_thread_has_ended(&running->thread))
        return rtm_error_set(err, "the agent runs already at %s", running->listener.address);
    if (running && is_ours())
        end_running(STOP_PATIENCE_MS);
    struct server *server = new_server(api, options, err);
    if (!server)
        return false;
    server->generation = ++generations;
    running = server;
    return true;
}

/* A host that calls exit while a thread of its own starts or stops the agent does not wait for it.
 */
static void stop_at_exit(void)
{
    static const struct timespec pause = {.tv_nsec = NS_PER_MS};
    for (int i = 0; i < EXIT_PATIENCE_MS; i++) {
        if (rtm_lock_try(&lock)) {
            if (is_ours())
                end_running(EXIT_PATIENCE_MS);
            rtm_lock_release(&lock);
            return;
        }
        nanosleep(&pause, NULL);
    }
}

static void restart(struct lua_State *L)
{
    struct rtm_error err;
    (void)L; /* it starts for all VMs */
    rtm_lock_acquire(&lock);
    struct server *parents = restarting;
    restarting = NULL;
    if (parents && !running && !start_locked(parents->api, &parents->options, &err))
        rtm_complaint_write("no restart in process %ld: %s", (long)getpid(), err.text);
    rtm_lock_release(&lock);
}

/* The parent's server is left as it is, threads, locks and all, and never looked at again, save for
   its options. Its descriptors are closed by fork_fds. */
static void reset_in_child(void)
{
    rtm_lock_reset(&lock);
    if (running) {
        struct rtm_agent_stats *stats = running->api->agent_stats;
        rtm_atomic_set(&stats->running, 0);
        rtm_atomic_set(&stats->connections, 0);
        restarting = running->options.on_fork == RTM_SERVER_RESTART ? running : NULL;
    }
    running = NULL;
    if (restarting)
        restarting->api->at_safe_point(restart);
}

static void init(void)
{
    rtm_lock_init(&lock, RTM_LOCK_RANK_AGENT);
    is_ready = rtm_fork_fds_init(&init_error) &&
               rtm_fork_register(RTM_FORK_CORE, reset_in_child, &init_error) &&
               (atexit(stop_at_exit) == 0 ||
                rtm_error_set(&init_error, "cannot install an exit handler: no memory"));
}

/* --- For others */

bool rtm_server_init(struct rtm_error *err)
{
    pthread_once(&once, init);
    return is_ready || rtm_error_set(err, "%s", init_error.text);
}

static void describe(struct rtm_server_status *status)
{
    *status = (struct rtm_server_status){0};
    if (!is_ours() || rtm_thread_has_ended(&running->thread))
        return;
    status->running = true;
    memcpy(status->address, running->listener.address, sizeof status->address);
    status->pid = running->pid;
    status->started_s = (double)running->started_ns / (double)RTM_CLOCK_NS_PER_S;
    status->generation = running->generation;
}

bool rtm_server_start(const struct rtm_api *api, const struct rtm_server_options *options,
                      struct rtm_server_status *status, struct rtm_error *err)
{
    rtm_lock_acquire(&lock);
    bool ok = start_locked(api, options, err);
    if (ok)
        restarting = NULL;
    describe(status);
    rtm_lock_release(&lock);
    return ok;
}

static bool stop_locked(uint64_t generation)
{
    bool ok = is_ours() && (generation == 0 || running->generation == generation);
    if (ok)
        end_running(STOP_PATIENCE_MS);
    return ok;
}

bool rtm_server_stop(uint64_t generation)
{
    rtm_lock_acquire(&lock);
    bool ok = stop_locked(generation);
    rtm_lock_release(&lock);
    return ok;
}

void rtm_server_status(struct rtm_server_status *status)
{
    rtm_lock_acquire(&lock);
    describe(status);
    rtm_lock_release(&lock);
}

void rtm_server_add_user(void)
{
    rtm_lock_acquire(&lock);
    users++;
    rtm_lock_release(&lock);
}

void rtm_server_remove_user(void)
{
    rtm_lock_acquire(&lock);
    if (--users == 0)
        stop_locked(0);
    rtm_lock_release(&lock);
}
