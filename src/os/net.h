// SPDX-License-Identifier: Apache-2.0
#pragma once
/* net: addresses and sockets.  All descriptors are non-blocking and close-on-exec from birth,
 * and TCP sockets send at once what they are given.
 *
 * Errors:  BUSY = the address is in use; REFUSED = not permitted; INVALID = cannot be used
 *          as an address; LIMIT = too many descriptors; IO = anything else.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A TCP address.  family 4 uses the first four bytes of ip. */
struct sm_inet {
    uint8_t family; /* 4 or 6; 0 = none */
    uint8_t ip[16];
    uint16_t port;
};
#define SM_INET_TEXT 56 /* "[ipv6]:port" and the final NUL */

/* Parse "127.0.0.1:7001" or "[::1]:7001".  MALFORMED else; no names, no service names. */
enum sm_err sm_inet_parse(const char *text, struct sm_inet *out) SM_MUST;
void sm_inet_print(const struct sm_inet *a, char out[static SM_INET_TEXT]);
bool sm_inet_eq(const struct sm_inet *a, const struct sm_inet *b);

/* A listening TCP socket.  Port 0 takes a free one: ask sm_tcp_local(). */
enum sm_err sm_tcp_listen(const struct sm_inet *at, int *out_fd) SM_MUST;
enum sm_err sm_tcp_local(int fd, struct sm_inet *out) SM_MUST;
/* The other end; NOTFOUND when it is no TCP socket. */
enum sm_err sm_tcp_remote(int fd, struct sm_inet *out) SM_MUST;
/* A socket that is connecting. */
enum sm_err sm_tcp_connect(const struct sm_inet *to, int *out_fd) SM_MUST;

#define SM_UNIX_PATH 108 /* of sockaddr_un, with the final NUL */
/* A listening Unix socket with the given permissions.  `replace_stale` removes a socket that
 * is there already: only the holder of the node's lock may say so.  INVALID when the path is
 * too long, EXISTS when the path is something other than a socket. */
enum sm_err sm_unix_listen(const char *path, unsigned mode, bool replace_stale,
                           int *out_fd) SM_MUST;
/* NOTFOUND = no such socket, UNREACHABLE = nobody listens, REFUSED = permissions. */
enum sm_err sm_unix_connect(const char *path, int *out_fd) SM_MUST;
enum sm_err sm_unix_pair(int out_fds[static 2]) SM_MUST;
bool sm_unix_is_socket(int fd);
/* Is the process at the other end of the same user as this one, or root? */
bool sm_unix_is_own(int fd);
/* Another descriptor of the same socket or file, close-on-exec. */
enum sm_err sm_fd_dup(int fd, int *out_fd) SM_MUST;
