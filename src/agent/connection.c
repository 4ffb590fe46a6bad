#include "agent/connection.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "ground/memory.h"
#include "os/tcp.h"

#define NEVER UINT64_MAX
#define NS_PER_MS UINT64_C(1000000)

static const uint64_t idle_ns = 60000 * NS_PER_MS;
static const uint64_t begun_ns = 10 * NS_PER_MS; /* so long an answer's speed says little */

enum { TAKING_WAITS = 3 }; /* an answer may take so many times as long as a request */

static uint64_t patience_of(const struct rtm_connection_list *list, enum rtm_connection_state state)
{
    switch (state) {
    case RTM_CONNECTION_WAITING:
        return list->wait_ns;
    case RTM_CONNECTION_ANSWERING:
        return TAKING_WAITS * list->wait_ns;
    case RTM_CONNECTION_IDLE:
        return idle_ns;
    case RTM_CONNECTION_CLOSING:
        break;
    }
    return NEVER; /* that a socket was shut down is noticed at once */
}

static bool is_step(enum rtm_connection_state from, enum rtm_connection_state to)
{
    switch (to) {
    case RTM_CONNECTION_WAITING:
        return from == RTM_CONNECTION_WAITING;
    case RTM_CONNECTION_ANSWERING:
        return from == RTM_CONNECTION_WAITING || from == RTM_CONNECTION_IDLE;
    case RTM_CONNECTION_IDLE:
        return from == RTM_CONNECTION_ANSWERING;
    case RTM_CONNECTION_CLOSING:
        return true;
    }
    return false;
}

static void enter(struct rtm_connection_list *list, struct rtm_connection *connection,
                  enum rtm_connection_state state, uint64_t now_ns)
{
    uint64_t patience_ns = patience_of(list, state);
    RTM_ASSERT(is_step(connection->state, state));
    (void)is_step; /* only debug builds ask */
    connection->state = state;
    connection->since_ns = now_ns;
    connection->deadline_ns = patience_ns == NEVER ? NEVER : now_ns + patience_ns;
    if (connection->deadline_ns < list->next_ns)
        list->next_ns = connection->deadline_ns;
}

void rtm_connection_list_init(struct rtm_connection_list *list, uint64_t wait_ns)
{
    *list = (struct rtm_connection_list){.wait_ns = wait_ns, .next_ns = NEVER};
}

static bool is_loopback4(const struct in_addr *address)
{
    return ntohl(address->s_addr) >> 24 == 127;
}

/* An IPv4 client of an IPv6 socket named an IPv4 address, and the Host header tells that one. */
static void describe_ipv6(struct rtm_connection *connection, const struct in6_addr *address)
{
    struct in_addr ipv4;
    memcpy(&ipv4, &address->s6_addr[12], sizeof ipv4);
    bool is_mapped = IN6_IS_ADDR_V4MAPPED(address);
    connection->is_loopback = is_mapped ? is_loopback4(&ipv4) : IN6_IS_ADDR_LOOPBACK(address);
    inet_ntop(is_mapped ? AF_INET : AF_INET6, is_mapped ? (const void *)&ipv4 : address,
              connection->local_host, sizeof connection->local_host);
}

static void describe(struct rtm_connection *connection, const struct sockaddr_storage *local)
{
    if (local->ss_family == AF_INET6) {
        describe_ipv6(connection, &((const struct sockaddr_in6 *)local)->sin6_addr);
    } else if (local->ss_family == AF_INET) {
        const struct in_addr *address = &((const struct sockaddr_in *)local)->sin_addr;
        connection->is_loopback = is_loopback4(address);
        inet_ntop(AF_INET, address, connection->local_host, sizeof connection->local_host);
    } else {
        connection->is_loopback = true;
    }
}

struct rtm_connection *rtm_connection_new(struct rtm_connection_list *list, int fd,
                                          const struct sockaddr_storage *local, uint64_t now_ns)
{
    struct rtm_connection *connection = rtm_memory_alloc(sizeof *connection);
    if (!connection)
        return NULL;
    connection->fd = fd;
    describe(connection, local);
    connection->previous = list->last;
    if (list->last)
        list->last->next = connection;
    else
        list->first = connection;
    list->last = connection;
    list->count++;
    enter(list, connection, RTM_CONNECTION_WAITING, now_ns);
    return connection;
}

void rtm_connection_delete(struct rtm_connection_list *list, struct rtm_connection *connection)
{
    struct rtm_connection *next = connection->next, *previous = connection->previous;
    *(previous ? &previous->next : &list->first) = next;
    *(next ? &next->previous : &list->last) = previous;
    list->count--;
    if (connection->state == RTM_CONNECTION_CLOSING)
        list->closing--;
    if (list->count == 0)
        list->next_ns = NEVER;
    rtm_memory_free(connection);
}

void rtm_connection_begin_answer(struct rtm_connection_list *list,
                                 struct rtm_connection *connection, uint64_t now_ns)
{
    if (connection->state == RTM_CONNECTION_CLOSING)
        return;
    connection->taken_before = rtm_tcp_taken_bytes(connection->fd);
    enter(list, connection, RTM_CONNECTION_ANSWERING, now_ns);
}

void rtm_connection_keep_body(struct rtm_connection_list *list, struct rtm_connection *connection,
                              size_t body_bytes)
{
    connection->body_bytes = body_bytes;
    connection->has_body = true;
    list->body_bytes += body_bytes;
    if (connection->state == RTM_CONNECTION_CLOSING)
        list->closing_bytes += body_bytes;
}

void rtm_connection_forget_body(struct rtm_connection_list *list, struct rtm_connection *connection)
{
    list->body_bytes -= connection->body_bytes;
    if (connection->state == RTM_CONNECTION_CLOSING)
        list->closing_bytes -= connection->body_bytes;
    connection->has_body = false;
}

void rtm_connection_end_answer(struct rtm_connection_list *list, struct rtm_connection *connection,
                               uint64_t now_ns)
{
    if (connection->state == RTM_CONNECTION_ANSWERING)
        enter(list, connection, RTM_CONNECTION_IDLE, now_ns);
}

static void shut_down(struct rtm_connection_list *list, struct rtm_connection *connection)
{
    if (connection->state == RTM_CONNECTION_ANSWERING)
        rtm_tcp_forsake(connection->fd);
    shutdown(connection->fd, SHUT_RDWR);
    if (connection->has_body)
        list->closing_bytes += connection->body_bytes;
    enter(list, connection, RTM_CONNECTION_CLOSING, connection->since_ns);
    list->closing++;
}

unsigned rtm_connection_expire(struct rtm_connection_list *list, uint64_t now_ns)
{
    unsigned expired = 0;
    if (now_ns < list->next_ns)
        return 0;
    list->next_ns = NEVER;
    for (struct rtm_connection *at = list->first; at; at = at->next) {
        if (at->deadline_ns <= now_ns) {
            shut_down(list, at);
            expired++;
        } else if (at->deadline_ns < list->next_ns) {
            list->next_ns = at->deadline_ns;
        }
    }
    return expired;
}

static uint64_t grace_of(enum rtm_connection_state state)
{
    switch (state) {
    case RTM_CONNECTION_WAITING:
    case RTM_CONNECTION_IDLE:
        return 100 * NS_PER_MS;
    case RTM_CONNECTION_ANSWERING:
        return 250 * NS_PER_MS;
    case RTM_CONNECTION_CLOSING:
        break;
    }
    return NEVER;
}

/* Whose answer is still to be written is not slow, we are. */
static uint64_t evictable_ns(const struct rtm_connection *connection)
{
    uint64_t grace_ns = grace_of(connection->state);
    if (connection->state == RTM_CONNECTION_ANSWERING && !connection->has_body)
        return NEVER;
    return grace_ns == NEVER ? NEVER : connection->since_ns + grace_ns;
}

static uint64_t first_evictable_ns(const struct rtm_connection_list *list,
                                   enum rtm_connection_state state)
{
    uint64_t first_ns = NEVER;
    for (const struct rtm_connection *at = list->first; at; at = at->next) {
        if (at->state == state && evictable_ns(at) < first_ns)
            first_ns = evictable_ns(at);
    }
    return first_ns;
}

/* While somebody waits or is idle, nobody is cut off in the middle of an answer. */
uint64_t rtm_connection_evictable_ns(const struct rtm_connection_list *list)
{
    uint64_t waiting_ns = first_evictable_ns(list, RTM_CONNECTION_WAITING);
    uint64_t idle_from_ns = first_evictable_ns(list, RTM_CONNECTION_IDLE);
    uint64_t first_ns = waiting_ns < idle_from_ns ? waiting_ns : idle_from_ns;
    return first_ns < NEVER ? first_ns : first_evictable_ns(list, RTM_CONNECTION_ANSWERING);
}

/* Of those in a state whose grace is over, the one that came into it first. */
static struct rtm_connection *find_oldest(const struct rtm_connection_list *list,
                                          enum rtm_connection_state state, uint64_t now_ns)
{
    struct rtm_connection *oldest = NULL;
    for (struct rtm_connection *at = list->first; at; at = at->next) {
        if (at->state == state && evictable_ns(at) <= now_ns &&
            (!oldest || at->since_ns < oldest->since_ns))
            oldest = at;
    }
    return oldest;
}

/* Bytes per nanosecond. By a unix socket nothing is known to be taken: all are as slow. */
static double speed_of(const struct rtm_connection *connection, uint64_t now_ns)
{
    uint64_t taken_bytes = rtm_tcp_taken_bytes(connection->fd) - connection->taken_before;
    return (double)taken_bytes / (double)(now_ns - connection->since_ns + 1);
}

/* Of those that began at least so long ago, the one that takes its answer slowest; of equal ones,
   the one that began first. */
static struct rtm_connection *find_slowest(const struct rtm_connection_list *list,
                                           uint64_t grace_ns, uint64_t now_ns)
{
    struct rtm_connection *slowest = NULL;
    double least = 0;
    for (struct rtm_connection *at = list->first; at; at = at->next) {
        if (!at->has_body || at->state != RTM_CONNECTION_ANSWERING ||
            at->since_ns + grace_ns > now_ns)
            continue;
        double speed = speed_of(at, now_ns);
        if (!slowest || speed < least || (speed <= least && at->since_ns < slowest->since_ns)) {
            slowest = at;
            least = speed;
        }
    }
    return slowest;
}

static bool shut_down_if(struct rtm_connection_list *list, struct rtm_connection *connection)
{
    if (connection)
        shut_down(list, connection);
    return connection;
}

bool rtm_connection_evict(struct rtm_connection_list *list, uint64_t now_ns)
{
    struct rtm_connection *found = find_oldest(list, RTM_CONNECTION_WAITING, now_ns);
    if (!found)
        found = find_oldest(list, RTM_CONNECTION_IDLE, now_ns);
    if (!found && rtm_connection_evictable_ns(list) <= now_ns)
        found = find_slowest(list, grace_of(RTM_CONNECTION_ANSWERING), now_ns);
    return shut_down_if(list, found);
}

bool rtm_connection_evict_answer(struct rtm_connection_list *list, uint64_t now_ns)
{
    struct rtm_connection *found = find_slowest(list, begun_ns, now_ns);
    return shut_down_if(list, found ? found : find_slowest(list, 0, now_ns));
}
