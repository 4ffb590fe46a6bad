#include "os/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "ground/error.h"
#include "os/fork.h"

#define CLOCKSOURCE_FILE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

#if defined(__x86_64__)
#define COUNTER_NAME "tsc"
#define COUNTER_CLOCKSOURCE "tsc"
#elif defined(__aarch64__)
#define COUNTER_NAME "cntvct"
#define COUNTER_CLOCKSOURCE "arch_sys_counter"
#else
#define COUNTER_NAME "counter"
#define COUNTER_CLOCKSOURCE ""
#endif

#define ONE (UINT64_C(1) << 32)           /* in 32.32 fixed point */
#define COUNTER_LIMIT (UINT64_C(1) << 61) /* beyond it the two sources are not 2^62 apart */
#define MEASURE_NS 1000000
#define MEASURE_LIMIT_NS 4000000
#define CHECK_MIN_NS 10000000

/* NTP may slew CLOCK_MONOTONIC by 500 parts per million; two readings are 0.1 to 1 us apart in
   accuracy. What is beyond four times that slew is the counter's fault. */
#define STEP_SLACK_NS 100000
#define DRIFT_DIVISOR 512

enum verdict {
    NOT_CHOSEN,
    TRUSTED,
    NO_COUNTER,
    OTHER_CLOCKSOURCE,
    NOT_INVARIANT,
    FORBIDDEN,
    NO_FORK_HANDLER,
    NOT_MEASURED,
    ASTRAY,
    KERNEL_LEFT_IT
};

static const char *const reasons[] = {
    [NOT_CHOSEN] = "no source was chosen yet",
    [TRUSTED] = "the kernel's own clocksource is the CPU's counter",
    [NO_COUNTER] = "no counter is known for this machine",
    [OTHER_CLOCKSOURCE] = "the kernel's clocksource is not the CPU's counter",
    [NOT_INVARIANT] = "the CPU's counter is not invariant",
    [FORBIDDEN] = "prctl forbids this thread to read the CPU's counter",
    [NO_FORK_HANDLER] = "no fork handler could be installed",
    [NOT_MEASURED] = "the rate of the CPU's counter could not be measured",
    [ASTRAY] = "the CPU's counter stepped or drifted away from CLOCK_MONOTONIC",
    [KERNEL_LEFT_IT] = "the kernel gave up the CPU's counter as its clocksource",
};

/* One moment on both clocks. */
struct reading {
    uint64_t ticks;
    uint64_t ns;
    uint64_t width; /* ticks in which `ns` was read; UINT64_MAX: the counter went back each time */
};

struct rtm_clock_state rtm_clock_state = {.ns_per_tick = ONE};

static _Atomic enum verdict verdict;
static _Atomic uint64_t slow_ticks_per_ns = ONE; /* 32.32; changes once, when the counter goes */
static _Atomic bool without_vdso;
static pthread_once_t init_once = PTHREAD_ONCE_INIT;

/* Of whoever has taken `checking`. */
static atomic_flag checking = ATOMIC_FLAG_INIT;
static struct reading anchor; /* the last comparison; ns 0: none in this process */

#ifdef RTM_TEST_SEAMS
static const char *seam_clocksource;
static _Atomic int64_t seam_ticks, seam_ppm;
static _Atomic uint64_t seam_since;

uint64_t rtm_clock_counter(void)
{
    uint64_t ticks = rtm_clock_hardware();
    int64_t ran = (int64_t)(ticks - atomic_load(&seam_since));
    return ticks + (uint64_t)(atomic_load(&seam_ticks) + ran / 1000000 * atomic_load(&seam_ppm));
}
#endif

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * RTM_CLOCK_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Where prctl forbids the counter, the C library's own clock_gettime dies of it: it reads the
   counter in the vdso. */
static uint64_t read_clock_in_kernel(clockid_t clock)
{
    struct timespec now;
    if (syscall(SYS_clock_gettime, clock, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * RTM_CLOCK_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t rtm_clock_monotonic_ns(void)
{
    if (RTM_UNLIKELY(atomic_load_explicit(&without_vdso, memory_order_relaxed)))
        return read_clock_in_kernel(CLOCK_MONOTONIC);
    return read_clock(CLOCK_MONOTONIC);
}

/* Needs no counter, and so no care for where it is forbidden. */
uint64_t rtm_clock_coarse_ns(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

uint64_t rtm_clock_wall_ns(void)
{
    if (RTM_UNLIKELY(atomic_load_explicit(&without_vdso, memory_order_relaxed)))
        return read_clock_in_kernel(CLOCK_REALTIME);
    return read_clock(CLOCK_REALTIME);
}

uint64_t rtm_clock_thread_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t rtm_clock_slow_ticks(void)
{
    /* Who saw the counter switched off sees the rate that was stored before. */
    atomic_thread_fence(memory_order_acquire);
    uint64_t rate = atomic_load_explicit(&slow_ticks_per_ns, memory_order_relaxed);
    uint64_t ticks = (uint64_t)(((unsigned __int128)rtm_clock_monotonic_ns() * rate) >> 32);
    return (UINT64_C(1) << 63) + ticks;
}

static bool is_invariant(void)
{
#if defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && (edx & (1u << 8));
#else
    return true;
#endif
}

static bool is_forbidden(void)
{
    int mode = 0;
    if (prctl(PR_GET_TSC, &mode) == 0)
        return mode != PR_TSC_ENABLE;
#if defined(__x86_64__)
    return true;
#else
    return false; /* older kernels of other machines have no such switch */
#endif
}

/* False where it cannot be read. */
static bool read_clocksource(char *name, size_t size)
{
#ifdef RTM_TEST_SEAMS
    if (seam_clocksource) {
        snprintf(name, size, "%s", seam_clocksource);
        return true;
    }
#endif
    int fd = open(CLOCKSOURCE_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, name, size);
    close(fd);
    if (length < 1)
        return false;
    name[length - 1] = '\0'; /* a newline */
    return true;
}

static bool names_counter(const char *clocksource)
{
    return strcmp(clocksource, COUNTER_CLOCKSOURCE) == 0;
}

/* The best of a few tries: the clock read between two readings of the counter that are near each
   other, so that neither an interrupt nor another CPU's counter came between. */
static struct reading take_reading(void)
{
    struct reading best = {.width = UINT64_MAX};
    for (int i = 0; i < 8; i++) {
        uint64_t before = rtm_clock_counter();
        uint64_t ns = rtm_clock_monotonic_ns();
        uint64_t after = rtm_clock_counter();
        uint64_t width = after - before;
        if (after >= before && width < best.width)
            best = (struct reading){.ticks = before + width / 2, .ns = ns, .width = width};
    }
    return best;
}

static void publish_rate(uint64_t ns, uint64_t ticks)
{
    uint64_t rate = (uint64_t)(((unsigned __int128)ns << 32) / ticks);
    atomic_store_explicit(&rtm_clock_state.ns_per_tick, rate, memory_order_relaxed);
}

/* True when the rate between the two is known to a thousandth. */
static bool is_precise(const struct reading *first, const struct reading *last)
{
    if (first->width == UINT64_MAX || last->width == UINT64_MAX || last->ticks <= first->ticks)
        return false;
    return (first->width + last->width) < (last->ticks - first->ticks) / 1000;
}

static bool measure_rate(void)
{
    struct reading first = take_reading(), last = first;
    while (last.ns - first.ns < MEASURE_LIMIT_NS) {
        last = take_reading();
        if (last.ns - first.ns >= MEASURE_NS && is_precise(&first, &last)) {
            publish_rate(last.ns - first.ns, last.ticks - first.ticks);
            anchor = last;
            return last.ticks < COUNTER_LIMIT;
        }
    }
    return false;
}

static enum verdict judge(void)
{
    char clocksource[32];
    if (!*COUNTER_CLOCKSOURCE)
        return NO_COUNTER;
    if (is_forbidden()) {
        atomic_store(&without_vdso, true);
        return FORBIDDEN;
    }
    if (!read_clocksource(clocksource, sizeof clocksource) || !names_counter(clocksource))
        return OTHER_CLOCKSOURCE;
    return is_invariant() ? TRUSTED : NOT_INVARIANT;
}

static void reset_in_child(void)
{
    /* The thread that held the flag does not exist here, and CLOCK_MONOTONIC may be another one, of
       another time namespace. */
    atomic_flag_clear(&checking);
    anchor.ns = 0;
}

static void choose_source(void)
{
    enum verdict found = judge();
    if (found == TRUSTED && !rtm_fork_register(RTM_FORK_OS, reset_in_child, NULL))
        found = NO_FORK_HANDLER;
    if (found == TRUSTED && !measure_rate())
        found = NOT_MEASURED;
    atomic_store(&verdict, found);
    atomic_store(&rtm_clock_state.counting, found == TRUSTED);
}

void rtm_clock_init(void)
{
    pthread_once(&init_once, choose_source);
}

/* From now on ticks are those of CLOCK_MONOTONIC, in the unit that the counter had last. */
static void give_up(enum verdict why)
{
    uint64_t rate = atomic_load_explicit(&rtm_clock_state.ns_per_tick, memory_order_relaxed);
    uint64_t inverse = (uint64_t)(((unsigned __int128)1 << 64) / rate);
    atomic_store_explicit(&slow_ticks_per_ns, inverse, memory_order_relaxed);
    atomic_store(&verdict, why);
    atomic_store_explicit(&rtm_clock_state.counting, false, memory_order_release);
}

static bool is_astray(const struct reading *now)
{
    if (now->width == UINT64_MAX || now->ticks >= COUNTER_LIMIT)
        return true;
    uint64_t elapsed = now->ns - anchor.ns;
    uint64_t counted = rtm_clock_to_ns(now->ticks - anchor.ticks);
    uint64_t apart = counted > elapsed ? counted - elapsed : elapsed - counted;
    uint64_t tolerance = STEP_SLACK_NS + elapsed / DRIFT_DIVISOR + rtm_clock_to_ns(now->width);
    return apart > tolerance;
}

static void compare(void)
{
    char clocksource[32];
    if (read_clocksource(clocksource, sizeof clocksource) && !names_counter(clocksource)) {
        give_up(KERNEL_LEFT_IT);
        return;
    }
    struct reading now = take_reading();
    if (anchor.ns && is_astray(&now)) {
        give_up(ASTRAY);
        return;
    }
    if (anchor.ns && is_precise(&anchor, &now))
        publish_rate(now.ns - anchor.ns, now.ticks - anchor.ticks);
    anchor = now;
}

void rtm_clock_check(void)
{
    if (!atomic_load(&rtm_clock_state.counting) || atomic_flag_test_and_set(&checking))
        return;
    if (rtm_clock_monotonic_ns() - anchor.ns >= CHECK_MIN_NS)
        compare();
    atomic_flag_clear(&checking);
}

const char *rtm_clock_source(void)
{
    return atomic_load(&rtm_clock_state.counting) ? COUNTER_NAME : "monotonic";
}

const char *rtm_clock_reason(void)
{
    return reasons[atomic_load(&verdict)];
}

#ifdef RTM_TEST_SEAMS
void rtm_clock_seam_disturb(int64_t ticks, int64_t ppm)
{
    atomic_store(&seam_since, rtm_clock_hardware());
    atomic_store(&seam_ticks, ticks);
    atomic_store(&seam_ppm, ppm);
}

void rtm_clock_seam_clocksource(const char *name)
{
    seam_clocksource = name;
}

void rtm_clock_seam_restart(const char *name)
{
    rtm_clock_seam_clocksource(name);
    atomic_store(&seam_ticks, 0);
    atomic_store(&seam_ppm, 0);
    atomic_store(&without_vdso, false);
    atomic_store(&slow_ticks_per_ns, ONE);
    atomic_store(&rtm_clock_state.ns_per_tick, ONE);
    atomic_store(&rtm_clock_state.counting, false);
    choose_source();
}
#endif
