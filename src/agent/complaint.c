#include "agent/complaint.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "os/clock.h"

#define INTERVAL_NS (10 * RTM_CLOCK_NS_PER_S)

static _Atomic uint64_t next_ns;
static _Atomic unsigned kept_back;

static bool is_due(void)
{
    uint64_t now = rtm_clock_monotonic_ns(), due = atomic_load(&next_ns);
    return now >= due && atomic_compare_exchange_strong(&next_ns, &due, now + INTERVAL_NS);
}

/* One write of the whole line, as the host may be writing too. */
static void write_line(const char *text, unsigned others)
{
    char line[400];
    char more[64] = "";
    if (others > 0)
        snprintf(more, sizeof more, " (%u more such lines were kept back)", others);
    int length = snprintf(line, sizeof line, "rtmetrics.agent: %s%s\n", text, more);
    /* nobody to tell where standard error is closed */
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        return;
}

void rtm_complaint_write(const char *format, ...)
{
    int saved_errno = errno;
    if (!is_due()) {
        atomic_fetch_add(&kept_back, 1);
    } else {
        char text[300];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        write_line(text, atomic_exchange(&kept_back, 0));
    }
    errno = saved_errno;
}
