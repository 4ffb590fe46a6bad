/* Assertions on our own invariants (never on input), and the attributes that our prototypes use. */
#ifndef RTM_GROUND_CHECK_H
#define RTM_GROUND_CHECK_H

#include <assert.h>

#ifdef RTM_DEBUG
#define RTM_ASSERT(condition) assert(condition)
#else
#define RTM_ASSERT(condition) ((void)0)
#endif

#define RTM_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#define RTM_MUST_USE __attribute__((warn_unused_result))
#define RTM_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define RTM_LIKELY(x) __builtin_expect(!!(x), 1)
#define RTM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define RTM_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
