// SPDX-License-Identifier: Apache-2.0
#include "os/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union any_addr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

static enum sm_err net_err(int err)
{
    switch (err) {
    case EADDRINUSE:
        return SM_E_BUSY;
    case EACCES:
    case EPERM:
        return SM_E_REFUSED;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case ENAMETOOLONG:
        return SM_E_INVALID;
    case EMFILE:
    case ENFILE:
        return SM_E_LIMIT;
    case ENOENT:
        return SM_E_NOTFOUND;
    case ECONNREFUSED:
    case ENETUNREACH:
    case EHOSTUNREACH:
        return SM_E_UNREACHABLE;
    default:
        return SM_E_IO;
    }
}

static enum sm_err parse_port(const char *text, uint16_t *out)
{
    uint32_t port = 0;
    size_t n = 0;
    for (; text[n] >= '0' && text[n] <= '9' && n < 5; n++) {
        port = port * 10 + (uint32_t)(text[n] - '0');
    }
    if (n == 0 || text[n] != '\0' || port > UINT16_MAX) {
        return SM_E_MALFORMED;
    }
    *out = (uint16_t)port;
    return SM_OK;
}

enum sm_err sm_inet_parse(const char *text, struct sm_inet *out)
{
    struct sm_inet a = {.family = text[0] == '[' ? 6 : 4};
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    if (colon == NULL || (size_t)(colon - text) >= sizeof host) {
        return SM_E_MALFORMED;
    }
    SM_TRY(parse_port(colon + 1, &a.port));
    size_t n = (size_t)(colon - text);
    memcpy(host, text, n);
    host[n] = '\0';
    const char *ip = host;
    if (a.family == 6) {
        if (host[n - 1] != ']') {
            return SM_E_MALFORMED;
        }
        host[n - 1] = '\0';
        ip = host + 1;
    }
    if (inet_pton(a.family == 6 ? AF_INET6 : AF_INET, ip, a.ip) != 1) {
        return SM_E_MALFORMED;
    }
    *out = a;
    return SM_OK;
}

void sm_inet_print(const struct sm_inet *a, char out[static SM_INET_TEXT])
{
    char ip[INET6_ADDRSTRLEN] = "?";
    (void)inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->ip, ip, sizeof ip);
    (void)snprintf(out, SM_INET_TEXT, a->family == 6 ? "[%s]:%u" : "%s:%u", ip,
                   (unsigned)a->port);
}

bool sm_inet_eq(const struct sm_inet *a, const struct sm_inet *b)
{
    size_t n = a->family == 6 ? 16 : 4;
    return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, n) == 0;
}

static socklen_t to_sockaddr(const struct sm_inet *a, union any_addr *out)
{
    memset(out, 0, sizeof *out);
    if (a->family == 6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(a->port);
        memcpy(&out->v6.sin6_addr, a->ip, 16);
        return sizeof out->v6;
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(a->port);
    memcpy(&out->v4.sin_addr, a->ip, 4);
    return sizeof out->v4;
}

static enum sm_err from_sockaddr(const union any_addr *s, struct sm_inet *out)
{
    struct sm_inet a = {0};
    if (s->sa.sa_family == AF_INET) {
        a.family = 4;
        a.port = ntohs(s->v4.sin_port);
        memcpy(a.ip, &s->v4.sin_addr, 4);
    } else if (s->sa.sa_family == AF_INET6) {
        a.family = 6;
        a.port = ntohs(s->v6.sin6_port);
        memcpy(a.ip, &s->v6.sin6_addr, 16);
    } else {
        return SM_E_NOTFOUND;
    }
    *out = a;
    return SM_OK;
}

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Close fd and turn errno into ours. */
static enum sm_err give_up(int fd)
{
    int err = errno;
    (void)close(fd);
    return net_err(err);
}

/* What is small must not wait for the peer to acknowledge what went before: the loop gathers
 * writes itself.  And what is not yet on its way waits in our own short queues, where what is
 * urgent goes ahead, not in megabytes of the kernel's.  Accepted sockets inherit both. */
static int new_tcp_socket(int family)
{
    enum { UNSENT_MAX = 128 << 10 };
    const int on = 1, unsent = UNSENT_MAX;
    int fd = new_socket(family);
    if (fd >= 0 &&
        (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
         setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent) != 0)) {
        int err = errno;
        (void)close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

enum sm_err sm_tcp_listen(const struct sm_inet *at, int *out_fd)
{
    union any_addr s;
    socklen_t n = to_sockaddr(at, &s);
    const int on = 1;
    int fd = new_tcp_socket(s.sa.sa_family);
    if (fd < 0) {
        return net_err(errno);
    }
    /* A restarted node must not wait for the old connections' TIME_WAIT. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (at->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd, &s.sa, n) != 0 || listen(fd, SOMAXCONN) != 0) {
        return give_up(fd);
    }
    *out_fd = fd;
    return SM_OK;
}

enum sm_err sm_tcp_local(int fd, struct sm_inet *out)
{
    union any_addr s = {0};
    socklen_t n = sizeof s;
    if (getsockname(fd, &s.sa, &n) != 0) {
        return net_err(errno);
    }
    return from_sockaddr(&s, out);
}

enum sm_err sm_tcp_remote(int fd, struct sm_inet *out)
{
    union any_addr s = {0};
    socklen_t n = sizeof s;
    if (getpeername(fd, &s.sa, &n) != 0) {
        return SM_E_NOTFOUND;
    }
    return from_sockaddr(&s, out);
}

enum sm_err sm_tcp_connect(const struct sm_inet *to, int *out_fd)
{
    union any_addr s;
    socklen_t n = to_sockaddr(to, &s);
    int fd = new_tcp_socket(s.sa.sa_family);
    if (fd < 0) {
        return net_err(errno);
    }
    if (connect(fd, &s.sa, n) != 0 && errno != EINPROGRESS) {
        return give_up(fd);
    }
    *out_fd = fd;
    return SM_OK;
}

static enum sm_err unix_addr(const char *path, struct sockaddr_un *out)
{
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof out->sun_path) {
        return SM_E_INVALID;
    }
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path, path, n + 1);
    return SM_OK;
}

static enum sm_err remove_stale(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? SM_OK : net_err(errno);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return SM_E_EXISTS;
    }
    return unlink(path) == 0 ? SM_OK : net_err(errno);
}

enum sm_err sm_unix_listen(const char *path, unsigned mode, bool replace_stale, int *out_fd)
{
    struct sockaddr_un s;
    SM_TRY(unix_addr(path, &s));
    if (replace_stale) {
        SM_TRY(remove_stale(path));
    }
    int fd = new_socket(AF_UNIX);
    if (fd < 0) {
        return net_err(errno);
    }
    /* The mode is narrowed before bind, so nobody can connect in between. */
    mode_t old = umask(0777 & ~(mode_t)mode);
    int bound = bind(fd, (const struct sockaddr *)&s, sizeof s);
    int err = errno;
    (void)umask(old);
    errno = err;
    if (bound != 0 || listen(fd, 64) != 0) {
        return give_up(fd);
    }
    *out_fd = fd;
    return SM_OK;
}

enum sm_err sm_unix_connect(const char *path, int *out_fd)
{
    struct sockaddr_un s;
    SM_TRY(unix_addr(path, &s));
    int fd = new_socket(AF_UNIX);
    if (fd < 0) {
        return net_err(errno);
    }
    if (connect(fd, (const struct sockaddr *)&s, sizeof s) != 0) {
        /* EAGAIN: the listener's queue is full, which for us is nobody answering. */
        return errno == EAGAIN ? (void)close(fd), SM_E_BUSY : give_up(fd);
    }
    *out_fd = fd;
    return SM_OK;
}

enum sm_err sm_unix_pair(int out_fds[static 2])
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        return net_err(errno);
    }
    out_fds[0] = fds[0];
    out_fds[1] = fds[1];
    return SM_OK;
}

bool sm_unix_is_socket(int fd)
{
    int domain = 0;
    socklen_t n = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX;
}

enum sm_err sm_fd_dup(int fd, int *out_fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        return net_err(errno);
    }
    *out_fd = copy;
    return SM_OK;
}

bool sm_unix_is_own(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}
