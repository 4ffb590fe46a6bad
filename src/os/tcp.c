#include "os/tcp.h"

#include <linux/tcp.h> /* the C library's struct ends too early */
#include <netinet/in.h>
#include <sys/socket.h>

uint64_t rtm_tcp_taken_bytes(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_bytes_acked : 0;
}

void rtm_tcp_forsake(int fd)
{
    static const struct linger none = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none,
                     sizeof none); /* fails where it means nothing */
}
