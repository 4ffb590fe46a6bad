/* A client of the agent for host programs: one request on a connection of its own. */
#ifndef RTM_CLIENT_H
#define RTM_CLIENT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "hosts/host.h"

enum { CLIENT_PATIENCE_S = 30 };

/* A connected socket, or -1. */
static inline int client_connect(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = CLIENT_PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        host_fail("no socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The status of GET `path`; 0 where no whole answer came. */
static inline int client_get(unsigned port, const char *path)
{
    char text[1024];
    size_t length = 0;
    ssize_t count;
    int fd = client_connect(port);
    if (fd < 0)
        return 0;
    snprintf(text, sizeof text,
             "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n", path, port);
    bool is_sent = send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
    memset(text, 0, sizeof text);
    /* what is beyond the head is read and forgotten */
    while (is_sent && (count = recv(fd, text + (length < 512 ? length : 512), 512, 0)) > 0)
        length += (size_t)count;
    close(fd);
    return is_sent && length > 12 ? (int)strtol(text + 9, NULL, 10) : 0;
}

#endif
