/* What the kernel knows of a TCP connection. Runs: any. */
#ifndef RTM_OS_TCP_H
#define RTM_OS_TCP_H

#include <stdint.h>

/* How many bytes the other end has acknowledged so far; 0 where the socket is of another kind. */
uint64_t rtm_tcp_taken_bytes(int fd);

/* Has the next close give up what the other end has not taken, instead of offering it on for
   minutes, and tell it so. Nothing for other kinds of sockets. */
void rtm_tcp_forsake(int fd);

#endif
