/* Many VMs and those who read them from threads without one; SECONDS is how long.
     contexts load SECONDS    VMs work, come and go at full speed while four threads read all of
                              them without a pause; each judges what it reads (support/page_check)
     contexts series SECONDS  100,000 series over several VMs: what a reader costs who writes them
     contexts fork            forks while a reader is in the middle of a visit
     contexts safe_point      a child asks for a VM's next safe point */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "core/api.h"
#include "core/context.h"
#include "core/contexts.h"
#include "core/metrics.h"
#include "core/seen.h"
#include "ground/buffer.h"
#include "hosts/host.h"
#include "os/clock.h"

enum {
    WORKERS = 3,
    READERS = 4,
    PAGES_UNJUDGED = 20, /* between two that are: judging is slow */
    MAX_BYTES = 64 << 20,
    SERIES_VMS = 5,
    FORKS = 50,
    TOO_LONG_S = 3600,
    READS = 20,
};

int luaopen_rtmetrics_core(lua_State *L);

static atomic_bool is_over;

static lua_State *open_vm(void)
{
    lua_State *L = host_open();
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_rtmetrics_core);
    lua_setfield(L, -2, "rtmetrics.core");
    lua_pop(L, 2);
    return L;
}

static pthread_t start_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) != 0)
        host_fail("cannot start a thread");
    return thread;
}

static void look_at(const struct rtm_visit *visit)
{
    struct rtm_seen seen;
    unsigned last = 0;
    for (struct rtm_context *cx = visit->first; cx; cx = cx->next) {
        rtm_seen_look(cx, rtm_clock_monotonic_ns(), &seen);
        if (cx->number <= last || seen.alloc_least_s > seen.alloc_most_s ||
            (seen.knows_switch && seen.switch_ago_s > TOO_LONG_S))
            host_fail("VM %u is not seen as it is", cx->number);
        last = cx->number;
    }
}

/* Differences of counters that move on, read much faster than pages are written: none may go below
   0. */
static void read_differences(const struct rtm_visit *visit)
{
    static const char *const names[] = {
        "/sched/coroutines:coroutines", "/sched/coroutines/never-started:coroutines",
        "/sched/coroutines/suspended:coroutines", "/memory/classes/heap/objects:bytes"};
    struct rtm_metrics_reading reading;
    rtm_metrics_begin_visit(&reading, visit);
    for (size_t i = 0; i < RTM_COUNT_OF(names); i++) {
        struct rtm_metric_value value;
        rtm_metric_id id;
        if (!rtm_metrics_find(names[i], &id))
            host_fail("no metric %s", names[i]);
        for (int n = 0; n < READS; n++) {
            for (reading.cx = visit->first; reading.cx; reading.cx = reading.cx->next) {
                rtm_metrics_read(&reading, id, &value);
                if (value.kind == RTM_METRIC_UINT64 && value.uint64 > MAX_BYTES)
                    host_fail("%s is %llu", names[i], (unsigned long long)value.uint64);
            }
        }
    }
}

static void render(struct rtm_buffer *page)
{
    struct rtm_visit visit;
    rtm_buffer_reset(page);
    rtm_contexts_begin_visit(&visit);
    look_at(&visit);
    read_differences(&visit);
    rtm_metrics_render_all(&visit, RTM_ACCEPT_TEXT, page);
    rtm_contexts_end_visit(&visit);
    if (page->failed)
        host_fail("a page failed");
}

/* --- load --- */

static const char setup[] =
    "rt = require 'rtmetrics'\n"
    "local prometheus = require 'rtmetrics.prometheus'\n"
    "local jobs = prometheus.counter('app_jobs', 'Jobs.', { 'kind' })\n"
    "local twos = prometheus.histogram('app_twos', 'All the same.', nil, { 1, 2, 3 })\n"
    "local open = prometheus.gauge('app_open', 'Up and down.', { 'place' })\n"
    "local echo = coroutine.wrap(function(a) while true do a = coroutine.yield(a) end end)\n"
    "local round = 0\n"
    "function work()\n"
    "  round = round + 1\n"
    "  local kept = {}\n"
    "  for i = 1, 100 do kept[i] = { i, 'n' .. i .. round } end\n"
    "  for i = 1, 50 do echo(i) end\n"
    "  for i = 1, 20 do\n"
    "    coroutine.wrap(function() coroutine.yield(i) end)()\n"
    "    jobs:inc(1, { i % 4 })\n"
    "    twos:observe(2)\n"
    "    open:set(i, { i })\n"
    "  end\n"
    "  if round % 7 == 0 then open:del({ 3 }) end\n"
    "  if round % 20 == 0 then prometheus.render() end\n"
    "  if round % 50 == 0 then collectgarbage() end\n"
    "  if round % 300 == 0 then rt.stop() rt.start {} end\n"
    "  if round % 400 == 0 then rt.setgcpercent(round % 3 * 100) end\n"
    "end";

static void *run_worker(void *unused)
{
    (void)unused;
    lua_State *L = open_vm();
    host_run(L, setup);
    while (!atomic_load(&is_over))
        host_run(L, "work()");
    lua_close(L);
    return NULL;
}

static void *run_opener(void *closed)
{
    while (!atomic_load(&is_over)) {
        lua_State *L = open_vm();
        host_run(L, setup);
        for (int i = 0; i < 3; i++)
            host_run(L, "work()");
        lua_close(L);
        ++*(long *)closed;
    }
    return NULL;
}

static void judge(lua_State *judge_vm, const struct rtm_buffer *page)
{
    lua_getglobal(judge_vm, "check");
    lua_pushlstring(judge_vm, page->bytes, page->length);
    if (lua_pcall(judge_vm, 1, 0, 0) != 0)
        host_fail("%s", host_message(judge_vm));
}

static void *run_reader(void *pages)
{
    struct rtm_buffer page;
    lua_State *judge_vm = host_open();
    host_run(judge_vm, "check = require('support.page_check').new()");
    rtm_buffer_init(&page, MAX_BYTES);
    while (!atomic_load(&is_over)) {
        for (int i = 0; i <= PAGES_UNJUDGED; i++)
            render(&page);
        judge(judge_vm, &page);
        *(long *)pages += PAGES_UNJUDGED + 1;
    }
    rtm_buffer_fini(&page);
    lua_close(judge_vm);
    return NULL;
}

static void test_load(unsigned seconds)
{
    pthread_t threads[WORKERS + 1 + READERS];
    long pages[READERS] = {0}, closed = 0, all = 0;
    lua_State *L = open_vm(); /* one that waits all the time */
    host_run(L, setup);
    size_t count = 0;
    for (int i = 0; i < WORKERS; i++)
        threads[count++] = start_thread(run_worker, NULL);
    threads[count++] = start_thread(run_opener, &closed);
    for (int i = 0; i < READERS; i++)
        threads[count++] = start_thread(run_reader, &pages[i]);
    sleep(seconds);
    atomic_store(&is_over, true);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    lua_close(L);
    for (int i = 0; i < READERS; i++)
        all += pages[i];
    printf("pages %ld closed %ld\n", all, closed);
}

/* --- series --- */

static const char fill[] =
    "require 'rtmetrics'\n"
    "prometheus = require 'rtmetrics.prometheus'\n"
    "counters, histograms = {}, {}\n"
    "for m = 1, 10 do\n"
    "  counters[m] = prometheus.counter('app_counter' .. m, 'Of many.', { 'n' })\n"
    "  local name = 'app_histogram' .. m\n"
    "  histograms[m] = prometheus.histogram(name, 'Of many.', { 'n' }, { 1, 2, 3 })\n"
    "  for n = 1, 1000 do\n"
    "    counters[m]:inc(1, { n })\n"
    "    histograms[m]:observe(2, { n })\n"
    "  end\n"
    "end";

/* One update of each sort: of what is there, and of a series that comes and goes. */
static const char update[] = "n = (n or 0) % 1000 + 1\n"
                             "counters[1]:inc(1, { n })\n"
                             "histograms[1]:observe(2, { n })\n"
                             "histograms[2]:del({ n })\n"
                             "histograms[2]:observe(2, { n })";

enum { UPDATES_MAX = 1 << 20 };

static uint64_t took_ns[UPDATES_MAX];

static int compare_times(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void report_times(const char *name, size_t count)
{
    qsort(took_ns, count, sizeof took_ns[0], compare_times);
    printf("%s_p99_us %.1f %s_p999_us %.1f %s_max_us %.1f ", name,
           (double)took_ns[count * 99 / 100] / 1e3, name, (double)took_ns[count * 999 / 1000] / 1e3,
           name, (double)took_ns[count - 1] / 1e3);
}

static size_t update_for(lua_State *L, unsigned seconds)
{
    uint64_t start_ns = rtm_clock_monotonic_ns(), now_ns = start_ns;
    size_t count = 0;
    luaL_loadstring(L, update);
    while (count < UPDATES_MAX && now_ns - start_ns < seconds * RTM_CLOCK_NS_PER_S) {
        uint64_t before_ns = now_ns;
        lua_pushvalue(L, -1);
        if (lua_pcall(L, 0, 0, 0) != 0)
            host_fail("%s", host_message(L));
        now_ns = rtm_clock_monotonic_ns();
        took_ns[count++] = now_ns - before_ns;
    }
    lua_pop(L, 1);
    return count;
}

struct scrapes {
    struct rtm_buffer page;
    long pages;
};

static void *run_scraper(void *argument)
{
    struct scrapes *scrapes = argument;
    while (!atomic_load(&is_over)) {
        render(&scrapes->page);
        scrapes->pages++;
    }
    return NULL;
}

static long count_lines(const struct rtm_buffer *page, const char *start)
{
    long lines = 0;
    size_t length = strlen(start);
    for (size_t i = 0; i + length < page->length; i++) {
        bool begins = i == 0 || page->bytes[i - 1] == '\n';
        lines += begins && memcmp(page->bytes + i, start, length) == 0;
    }
    return lines;
}

/* What any busy thread costs who shares the machine with it. */
static void *run_spinner(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_over))
        continue;
    return NULL;
}

static void report_updates(const char *name, lua_State *L, unsigned seconds,
                           void *(*beside)(void *), void *argument)
{
    atomic_store(&is_over, false);
    pthread_t thread = start_thread(beside, argument);
    report_times(name, update_for(L, seconds));
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
}

static void test_series(unsigned seconds)
{
    lua_State *vms[SERIES_VMS];
    struct scrapes scrapes = {.pages = 0};
    for (int i = 0; i < SERIES_VMS; i++) {
        vms[i] = open_vm();
        host_run(vms[i], fill);
    }
    rtm_buffer_init(&scrapes.page, MAX_BYTES);
    report_updates("spun", vms[0], seconds, run_spinner, NULL);
    report_updates("read", vms[0], seconds, run_scraper, &scrapes);
    render(&scrapes.page);
    printf("pages %ld bytes %zu counters %ld histograms %ld\n", scrapes.pages, scrapes.page.length,
           count_lines(&scrapes.page, "app_counter"),
           count_lines(&scrapes.page, "app_histogram") / 6);
    rtm_buffer_fini(&scrapes.page);
    for (int i = 0; i < SERIES_VMS; i++)
        lua_close(vms[i]);
}

/* --- fork --- */

static atomic_bool is_visiting;

/* Half of the forks meet a visit that stands still, half one that works. */
static void *run_visitor(void *unused)
{
    (void)unused;
    struct rtm_buffer page;
    struct rtm_visit visit;
    rtm_buffer_init(&page, MAX_BYTES);
    while (!atomic_load(&is_over)) {
        rtm_contexts_begin_visit(&visit);
        atomic_store(&is_visiting, true);
        usleep(1000);
        for (int i = 0; i < 20; i++) {
            rtm_buffer_reset(&page);
            rtm_metrics_render_all(&visit, RTM_ACCEPT_TEXT, &page);
        }
        atomic_store(&is_visiting, false);
        rtm_contexts_end_visit(&visit);
    }
    rtm_buffer_fini(&page);
    return NULL;
}

/* The child reads, works and closes as if there had been no reader. */
static void run_child(lua_State *L)
{
    struct rtm_buffer page;
    alarm(20);
    rtm_buffer_init(&page, MAX_BYTES);
    host_run(L, "work()");
    render(&page);
    if (!strstr(page.bytes, "app_jobs_total") || !strstr(page.bytes, "process_threads 1\n"))
        host_fail("the child's page is not of the child");
    host_run(L, "rt.stop() rt.start {}");
    lua_State *another = open_vm();
    host_run(another, setup);
    lua_close(another);
    lua_close(L);
    rtm_buffer_fini(&page);
    _exit(0);
}

static void test_fork(void)
{
    lua_State *L = open_vm();
    host_run(L, setup);
    host_run(L, "work()");
    pthread_t visitor = start_thread(run_visitor, NULL);
    for (int i = 0; i < FORKS; i++) {
        while (!atomic_load(&is_visiting))
            usleep(10);
        usleep((unsigned)i % 2 * 1500);
        pid_t child = fork();
        if (child < 0)
            host_fail("cannot fork");
        if (child == 0)
            run_child(L);
        int status = 0;
        if (waitpid(child, &status, 0) != child || status != 0)
            host_fail("child %d ended with status %d", i, status);
        host_run(L, "work()");
    }
    atomic_store(&is_over, true);
    pthread_join(visitor, NULL);
    lua_close(L);
}

/* --- safe_point --- */

static int ran;
static lua_State *ran_on;

static void note_run(struct lua_State *L)
{
    ran++;
    ran_on = L;
}

static int fork_here(lua_State *L)
{
    const struct rtm_api *api = lua_touserdata(L, lua_upvalueindex(1));
    pid_t child = fork();
    if (child == 0)
        api->at_safe_point(note_run);
    lua_pushinteger(L, child);
    return 1;
}

static int how_often(lua_State *L)
{
    lua_pushinteger(L, ran);
    lua_pushboolean(L, ran_on == L);
    return 2;
}

/* In a coroutine, since the hook must go to what runs. */
static const char ask_child[] =
    "require 'rtmetrics'\n"
    "function ask()\n"
    "  local child = fork_here()\n"
    "  local times, here = how_often()\n"
    "  return child, times, here\n"
    "end\n"
    "child, times, here = coroutine.wrap(function() return ask() end)()\n"
    "for i = 1, 100 do local t = { i } end\n"
    "again = how_often()";

static void test_safe_point(void)
{
    lua_State *L = open_vm();
    host_run(L, "api = require('rtmetrics.core').api");
    lua_getglobal(L, "api");
    const struct rtm_api *api = lua_touserdata(L, -1);
    if (!api || api->version != RTM_API_VERSION || !api->answer)
        host_fail("core.api is not the struct");
    lua_pushcclosure(L, fork_here, 1);
    lua_setglobal(L, "fork_here");
    lua_pushcfunction(L, how_often);
    lua_setglobal(L, "how_often");
    host_run(L, ask_child);
    pid_t child = (pid_t)host_number(L, "return child");
    host_run(L, child == 0 ? "assert(times == 1 and again == 1, times .. ' ' .. again)"
                           : "assert(times == 0 and again == 0)");
    lua_close(L);
    if (child == 0)
        _exit(0);
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0)
        host_fail("the child ended with status %d", status);
}

int main(int argc, char **argv)
{
    unsigned seconds = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (seconds && strcmp(argv[1], "load") == 0)
        test_load(seconds);
    else if (seconds && strcmp(argv[1], "series") == 0)
        test_series(seconds);
    else if (argc == 2 && strcmp(argv[1], "fork") == 0)
        test_fork();
    else if (argc == 2 && strcmp(argv[1], "safe_point") == 0)
        test_safe_point();
    else
        host_fail("usage: contexts load SECONDS|series SECONDS|fork|safe_point");
    return 0;
}
