#include "data/series.h"

#include <string.h>

#include "ground/hash.h"
#include "ground/memory.h"
#include "ground/version.h"

enum { READ_BATCH = 32 };

struct rtm_series {
    struct rtm_series *previous, *next; /* the metric's list; guarded by the set's lock */
    uint64_t hash;
    bool listed;
    uint32_t key_length;
    char *key;
    size_t bytes;
    rtm_version version;  /* of a histogram's value and counts */
    rtm_counter value;    /* the bits of a double */
    rtm_counter counts[]; /* bound_count + 1 of them in a histogram; the key's bytes follow */
};

struct rtm_series_metric {
    struct rtm_series_description *description; /* ours */
    struct rtm_series *first, *last;
    struct rtm_series *fallback; /* the overflow series; the only one of a metric without labels */
    uint32_t series;             /* of the caps: the fallback is not among them */
    struct rtm_hash_table index;
    size_t bytes;
};

struct rtm_series_cursor {
    struct rtm_series *next;
    struct rtm_series_cursor *link;
};

/* --- values --- */

static double to_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double get_double(const rtm_counter *cell)
{
    return to_double(rtm_atomic_get(cell));
}

static void set_double(rtm_counter *cell, double value)
{
    rtm_atomic_set(cell, to_bits(value));
}

static size_t count_cells(const struct rtm_series_description *metric)
{
    return metric->type == RTM_SERIES_HISTOGRAM ? (size_t)metric->bound_count + 1 : 0;
}

/* False where the writer was in between: the figures may not belong together. */
static bool copy_values(const struct rtm_series *series, struct rtm_series_reading *reading)
{
    uint32_t version = rtm_version_begin_read(&series->version);
    reading->value = to_double(rtm_version_get(&series->value));
    for (size_t i = 0; i < count_cells(reading->metric); i++)
        reading->counts[i] = rtm_version_get(&series->counts[i]);
    return rtm_version_end_read(&series->version, version);
}

/* Runs with the lock held. The writer is through in no time, unless it has lost its CPU in the
   middle; or for good, in the child of another thread's fork: then the sum may lack the last
   observation. */
static void take_reading(const struct rtm_series *series, struct rtm_series_reading *reading)
{
    for (unsigned tries = 1; !copy_values(series, reading) && rtm_version_wait(tries); tries++)
        continue;
    rtm_label_key_split(series->key, reading->labels, reading->metric->label_count);
}

/* --- one series --- */

static bool is_same_key(const void *item, const void *sought)
{
    const struct rtm_series *series = item;
    const struct rtm_label_key *key = sought;
    return series->key_length == key->length && memcmp(series->key, key->bytes, key->length) == 0;
}

static struct rtm_series *new_series(struct rtm_series_set *set,
                                     const struct rtm_series_metric *metric,
                                     const struct rtm_label_key *key, uint64_t hash)
{
    size_t head = sizeof(struct rtm_series) + count_cells(metric->description) * sizeof(uint64_t);
    struct rtm_series *series = rtm_memory_alloc(head + key->length);
    if (!series)
        return NULL;
    series->hash = hash;
    series->bytes = head + key->length;
    series->key = (char *)series + head;
    series->key_length = (uint32_t)key->length;
    memcpy(series->key, key->bytes, key->length);
    rtm_atomic_add(&set->bytes, series->bytes);
    return series;
}

static void release_bytes(struct rtm_series_set *set, size_t bytes)
{
    rtm_atomic_set(&set->bytes, rtm_atomic_get(&set->bytes) - bytes);
}

static void delete_series(struct rtm_series_set *set, struct rtm_series *series)
{
    if (series)
        release_bytes(set, series->bytes);
    rtm_memory_free(series);
}

static void link_series(struct rtm_series_set *set, struct rtm_series_metric *metric,
                        struct rtm_series *series)
{
    rtm_lock_acquire(&set->lock);
    series->previous = metric->last;
    series->next = NULL;
    *(metric->last ? &metric->last->next : &metric->first) = series;
    metric->last = series;
    series->listed = true;
    rtm_lock_release(&set->lock);
    rtm_atomic_add(&set->series, 1);
}

/* Runs with the lock held. A reader that would come to this series next goes on behind it. */
static void unlink_series(struct rtm_series_set *set, struct rtm_series_metric *metric,
                          struct rtm_series *series)
{
    for (struct rtm_series_cursor *cursor = set->cursors; cursor; cursor = cursor->link) {
        if (cursor->next == series)
            cursor->next = series->next;
    }
    *(series->previous ? &series->previous->next : &metric->first) = series->next;
    *(series->next ? &series->next->previous : &metric->last) = series->previous;
    series->listed = false;
    rtm_atomic_set(&set->series, rtm_atomic_get(&set->series) - 1);
}

/* The fallback stays allocated, so that an overflow or a metric without labels never needs memory.
 */
static void clear_fallback(struct rtm_series_metric *metric)
{
    set_double(&metric->fallback->value, 0);
    for (size_t i = 0; i < count_cells(metric->description); i++)
        rtm_atomic_set(&metric->fallback->counts[i], 0);
}

static void forget(struct rtm_series_set *set, struct rtm_series_metric *metric,
                   struct rtm_series *series)
{
    unlink_series(set, metric, series);
    if (series == metric->fallback) {
        clear_fallback(metric);
        return;
    }
    rtm_hash_remove(&metric->index, series->hash, series);
    metric->series--;
    set->labelled--;
    delete_series(set, series);
}

/* --- finding the series of an update --- */

static uint64_t hash_key(const struct rtm_series_metric *metric, const struct rtm_label_key *key)
{
    /* The metric's address differs from run to run, so that nobody outside can prepare label values
       that collide. */
    return rtm_hash_bytes(key->bytes, key->length, (uint64_t)(uintptr_t)metric);
}

/* Room for one more series in the index; its memory is part of ours. */
static bool reserve_index(struct rtm_series_set *set, struct rtm_series_metric *metric)
{
    size_t before = metric->index.capacity;
    bool done = rtm_hash_reserve(&metric->index);
    rtm_atomic_add(&set->bytes, (metric->index.capacity - before) * sizeof(struct rtm_hash_slot));
    return done;
}

static struct rtm_series *make_series(struct rtm_series_set *set, struct rtm_series_metric *metric,
                                      const struct rtm_label_key *key, uint64_t hash)
{
    if (metric->series >= set->limits.series_per_metric || set->labelled >= set->limits.series ||
        !reserve_index(set, metric))
        return NULL;
    struct rtm_series *series = new_series(set, metric, key, hash);
    if (!series)
        return NULL;
    rtm_hash_insert(&metric->index, hash, series);
    metric->series++;
    set->labelled++;
    link_series(set, metric, series);
    return series;
}

static struct rtm_series *find_series(const struct rtm_series_metric *metric,
                                      const struct rtm_label_key *key, uint64_t hash)
{
    if (metric->description->label_count == 0)
        return metric->fallback;
    return rtm_hash_find(&metric->index, hash, is_same_key, key);
}

/* The series of these labels, made where it can be; NULL beyond the caps. */
static struct rtm_series *need_series(struct rtm_series_set *set, struct rtm_series_metric *metric,
                                      const struct rtm_label_key *key)
{
    uint64_t hash = hash_key(metric, key);
    struct rtm_series *series = find_series(metric, key, hash);
    if (!series)
        return make_series(set, metric, key, hash);
    if (RTM_UNLIKELY(!series->listed))
        link_series(set, metric, series);
    return series;
}

static struct rtm_series *need_overflow(struct rtm_series_set *set,
                                        struct rtm_series_metric *metric)
{
    rtm_atomic_add(&set->overflowed, 1);
    if (!metric->fallback->listed)
        link_series(set, metric, metric->fallback);
    return metric->fallback;
}

/* --- registration --- */

bool rtm_series_check(const struct rtm_series_set *set, const struct rtm_series_spec *spec,
                      struct rtm_error *err)
{
    if (!rtm_series_spec_check(spec, err))
        return false;
    for (uint32_t i = 0; i < set->metric_count; i++) {
        if (!rtm_series_spec_fits(spec, set->metrics[i]->description, err))
            return false;
    }
    return true;
}

static struct rtm_series_metric *new_metric(struct rtm_series_set *set,
                                            const struct rtm_series_spec *spec)
{
    struct rtm_series_metric *metric = rtm_memory_alloc(sizeof *metric);
    if (!metric)
        return NULL;
    metric->bytes = sizeof *metric;
    metric->description = rtm_series_spec_describe(spec, &metric->bytes);
    rtm_atomic_add(&set->bytes, metric->bytes);
    return metric;
}

static void delete_metric(struct rtm_series_set *set, struct rtm_series_metric *metric)
{
    if (!metric)
        return;
    while (metric->first)
        forget(set, metric, metric->first);
    delete_series(set, metric->fallback);
    release_bytes(set, metric->bytes + metric->index.capacity * sizeof(struct rtm_hash_slot));
    rtm_hash_fini(&metric->index);
    rtm_memory_free(metric->description);
    rtm_memory_free(metric);
}

static bool make_fallback(struct rtm_series_set *set, struct rtm_series_metric *metric)
{
    struct rtm_label_key key;
    rtm_label_key_begin(&key);
    for (size_t i = 0; i < metric->description->label_count; i++)
        rtm_label_key_add(
            &key, (struct rtm_label_text){RTM_SERIES_OVERFLOW, sizeof RTM_SERIES_OVERFLOW - 1});
    uint64_t hash = hash_key(metric, &key);
    if (!reserve_index(set, metric))
        return false;
    metric->fallback = new_series(set, metric, &key, hash);
    if (metric->fallback)
        rtm_hash_insert(&metric->index, hash, metric->fallback);
    return metric->fallback;
}

static bool publish(struct rtm_series_set *set, struct rtm_series_metric *metric)
{
    rtm_lock_acquire(&set->lock);
    struct rtm_series_metric **metrics =
        rtm_memory_realloc(set->metrics, (set->metric_count + 1) * sizeof(void *));
    if (metrics) {
        set->metrics = metrics;
        set->metrics[set->metric_count++] = metric;
    }
    rtm_lock_release(&set->lock);
    return metrics;
}

static uint32_t find_same(const struct rtm_series_set *set, const struct rtm_series_spec *spec)
{
    for (uint32_t i = 0; i < set->metric_count; i++) {
        if (rtm_series_spec_is(spec, set->metrics[i]->description))
            return i;
    }
    return RTM_SERIES_NONE;
}

static bool has_room(const struct rtm_series_set *set, struct rtm_label_text name,
                     struct rtm_error *err)
{
    if (set->closed)
        return rtm_error_set(err, "cannot register \"%.*s\": the VM is closing", (int)name.length,
                             name.bytes);
    if (set->metric_count >= set->limits.metrics)
        return rtm_error_set(err,
                             "cannot register \"%.*s\": there are %u metrics already, the limit",
                             (int)name.length, name.bytes, set->metric_count);
    return true;
}

uint32_t rtm_series_register(struct rtm_series_set *set, const struct rtm_series_spec *spec,
                             struct rtm_error *err)
{
    uint32_t id = find_same(set, spec);
    if (id != RTM_SERIES_NONE || !has_room(set, spec->name, err))
        return id;
    struct rtm_series_metric *metric = new_metric(set, spec);
    if (!metric || !metric->description || !make_fallback(set, metric) || !publish(set, metric)) {
        delete_metric(set, metric);
        rtm_error_set(err, "cannot register \"%.*s\": out of memory", (int)spec->name.length,
                      spec->name.bytes);
        return RTM_SERIES_NONE;
    }
    if (!spec->label_count)
        link_series(set, metric, metric->fallback);
    return set->metric_count - 1;
}

/* --- updates --- */

const struct rtm_series_description *rtm_series_get(const struct rtm_series_set *set, uint32_t id)
{
    return set->closed || id >= set->metric_count ? NULL : set->metrics[id]->description;
}

void rtm_series_add(struct rtm_series_set *set, uint32_t id, const struct rtm_label_key *key,
                    double amount)
{
    struct rtm_series *series = need_series(set, set->metrics[id], key);
    if (!series)
        series = need_overflow(set, set->metrics[id]);
    set_double(&series->value, get_double(&series->value) + amount);
}

void rtm_series_assign(struct rtm_series_set *set, uint32_t id, const struct rtm_label_key *key,
                       double value)
{
    struct rtm_series *series = need_series(set, set->metrics[id], key);
    if (series)
        set_double(&series->value, value);
    else
        rtm_atomic_add(&set->dropped, 1);
}

static size_t find_bucket(const struct rtm_series_description *metric, double value)
{
    size_t low = 0, high = metric->bound_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (value <= metric->bounds[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void rtm_series_observe(struct rtm_series_set *set, uint32_t id, const struct rtm_label_key *key,
                        double value)
{
    struct rtm_series_metric *metric = set->metrics[id];
    struct rtm_series *series = need_series(set, metric, key);
    if (!series)
        series = need_overflow(set, metric);
    size_t bucket = find_bucket(metric->description, value);
    rtm_version_begin_write(&series->version);
    rtm_version_set(&series->counts[bucket], rtm_atomic_get(&series->counts[bucket]) + 1);
    rtm_version_set(&series->value, to_bits(get_double(&series->value) + value));
    rtm_version_end_write(&series->version);
}

void rtm_series_remove(struct rtm_series_set *set, uint32_t id, const struct rtm_label_key *key)
{
    struct rtm_series_metric *metric = set->metrics[id];
    struct rtm_series *series = find_series(metric, key, hash_key(metric, key));
    if (!series || !series->listed)
        return;
    rtm_lock_acquire(&set->lock);
    forget(set, metric, series);
    rtm_lock_release(&set->lock);
}

void rtm_series_reset(struct rtm_series_set *set, uint32_t id)
{
    rtm_lock_acquire(&set->lock);
    while (set->metrics[id]->first)
        forget(set, set->metrics[id], set->metrics[id]->first);
    rtm_lock_release(&set->lock);
}

/* --- reading --- */

bool rtm_series_describe(struct rtm_series_set *set, uint32_t index,
                         struct rtm_series_family *family)
{
    rtm_lock_acquire(&set->lock);
    bool found = index < set->metric_count;
    if (found) {
        const struct rtm_series_description *metric = set->metrics[index]->description;
        family->type = metric->type;
        memcpy(family->name, metric->family, strlen(metric->family) + 1);
    }
    rtm_lock_release(&set->lock);
    return found;
}

uint32_t rtm_series_find(struct rtm_series_set *set, const struct rtm_series_family *family)
{
    uint32_t found = RTM_SERIES_NONE;
    rtm_lock_acquire(&set->lock);
    for (uint32_t i = 0; i < set->metric_count && found == RTM_SERIES_NONE; i++) {
        const struct rtm_series_description *metric = set->metrics[i]->description;
        if (metric->type == family->type && strcmp(metric->family, family->name) == 0)
            found = i;
    }
    rtm_lock_release(&set->lock);
    return found;
}

bool rtm_series_has_clash(struct rtm_series_set *set, const struct rtm_series_family *family)
{
    struct rtm_label_text name = {family->name, strlen(family->name)};
    bool found = false;
    rtm_lock_acquire(&set->lock);
    for (uint32_t i = 0; i < set->metric_count && !found; i++)
        found = rtm_series_spec_clashes(name, family->type, set->metrics[i]->description);
    rtm_lock_release(&set->lock);
    return found;
}

/* Runs with the lock held: hands over a few series and leaves the cursor at the next. */
static void read_batch(struct rtm_series_cursor *cursor, struct rtm_series_reading *reading,
                       rtm_series_reader reader, void *user)
{
    for (int i = 0; i < READ_BATCH && cursor->next; i++) {
        take_reading(cursor->next, reading);
        cursor->next = cursor->next->next;
        reader(user, reading);
    }
}

static void drop_cursor(struct rtm_series_set *set, const struct rtm_series_cursor *cursor)
{
    struct rtm_series_cursor **at = &set->cursors;
    while (*at != cursor)
        at = &(*at)->link;
    *at = cursor->link;
}

void rtm_series_read(struct rtm_series_set *set, uint32_t index, rtm_series_reader reader,
                     void *user)
{
    struct rtm_series_reading reading;
    rtm_lock_acquire(&set->lock);
    if (index < set->metric_count) {
        struct rtm_series_cursor cursor = {set->metrics[index]->first, set->cursors};
        /* cppcheck-suppress autoVariables; drop_cursor takes it off the list again */
        set->cursors = &cursor;
        reading.metric = set->metrics[index]->description;
        read_batch(&cursor, &reading, reader, user);
        while (cursor.next) {
            rtm_lock_yield(&set->lock);
            read_batch(&cursor, &reading, reader, user);
        }
        drop_cursor(set, &cursor);
    }
    rtm_lock_release(&set->lock);
}

/* --- the set --- */

void rtm_series_init(struct rtm_series_set *set, struct rtm_series_limits limits)
{
    memset(set, 0, sizeof *set);
    rtm_lock_init(&set->lock, RTM_LOCK_RANK_SERIES);
    set->limits = limits;
}

void rtm_series_fini(struct rtm_series_set *set)
{
    rtm_lock_acquire(&set->lock);
    for (uint32_t i = 0; i < set->metric_count; i++) {
        delete_metric(set, set->metrics[i]);
    }
    rtm_memory_free(set->metrics);
    set->metrics = NULL;
    set->metric_count = 0;
    set->closed = true;
    rtm_lock_release(&set->lock);
}

void rtm_series_after_fork(struct rtm_series_set *set)
{
    rtm_lock_reset(&set->lock);
    set->cursors = NULL;
}
