// SPDX-License-Identifier: Apache-2.0
/* Traps: a batch above 65,507 bytes less heads is cut by the kernel in software, silently and
 * at four times the cost; more than 64 segments are refused; EIO means that the device has no
 * checksum offload, for good; EINVAL that one segment does not fit its MTU, or anything else,
 * later.  A batch that was refused is lost unless it is sent again singly. */
#include "os/udp.h"

#include "os/file.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define READ_BATCH   ((size_t)64 * 1024)
#define READ_BATCHES 8u
#define READS        4u        /* of READ_BATCHES each; then others have their turn */
#define SOCKET_BYTES (4 << 20) /* a batch of 64 KB counts some 100 there */
#define UDP_QUEUE    ((size_t)512 * 1024)

union any_inet {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct waiting {
    struct waiting *next;
    struct sm_inet to;
    size_t n, segment;
    uint8_t bytes[];
};

struct sm_udp {
    struct sm_poll *poll;
    int fd;
    uint8_t family;
    void (*got)(void *ctx, const struct sm_inet *from, uint8_t *p, size_t n, size_t segment);
    void *ctx;
    bool has_segments, is_reading, is_freed;
    struct waiting *first, *last;
    size_t queued;
    uint8_t *in;
    struct sm_udp_stats stats;
};

/* -- addresses --------------------------------------------------------------------------- */

static socklen_t to_sockaddr(const struct sm_inet *a, union any_inet *out)
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

static struct sm_inet from_sockaddr(const union any_inet *s)
{
    struct sm_inet a = {0};
    if (s->sa.sa_family == AF_INET6) {
        a.family = 6;
        a.port = ntohs(s->v6.sin6_port);
        memcpy(a.ip, &s->v6.sin6_addr, 16);
    } else {
        a.family = 4;
        a.port = ntohs(s->v4.sin_port);
        memcpy(a.ip, &s->v4.sin_addr, 4);
    }
    return a;
}

/* -- sockets ----------------------------------------------------------------------------- */

/* A wish: the kernel may have less. */
static void wish(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

enum sm_err sm_udp_bind(const struct sm_inet *at, int *out_fd)
{
    union any_inet s;
    socklen_t n = to_sockaddr(at, &s);
    const int on = 1;
    int fd = socket(s.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return sm_err_of_errno(errno);
    }
    if (at->family == 6) {
        wish(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    } else {
        wish(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    }
    wish(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BYTES);
    wish(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BYTES);
    wish(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BYTES);
    wish(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES);
    wish(fd, IPPROTO_UDP, UDP_GRO, 1);
    if ((at->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd, &s.sa, n) != 0) {
        enum sm_err e = errno == EADDRINUSE ? SM_E_BUSY : sm_err_of_errno(errno);
        (void)close(fd);
        return e;
    }
    *out_fd = fd;
    return SM_OK;
}

/* -- receiving --------------------------------------------------------------------------- */

static size_t segment_of(struct msghdr *m, size_t n)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof size);
            return size > 0 && (size_t)size < n ? (size_t)size : n;
        }
    }
    return n;
}

/* One call; how many batches it gave. */
static unsigned read_some(struct sm_udp *u)
{
    struct mmsghdr m[READ_BATCHES] = {0};
    struct iovec iov[READ_BATCHES];
    union any_inet from[READ_BATCHES];
    _Alignas(struct cmsghdr) char control[READ_BATCHES][CMSG_SPACE(sizeof(int))];
    for (unsigned i = 0; i < READ_BATCHES; i++) {
        iov[i] = (struct iovec){u->in + i * READ_BATCH, READ_BATCH};
        m[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                       .msg_namelen = sizeof from[i],
                                       .msg_iov = &iov[i],
                                       .msg_iovlen = 1,
                                       .msg_control = control[i],
                                       .msg_controllen = sizeof control[i]};
    }
    int count = recvmmsg(u->fd, m, READ_BATCHES, MSG_DONTWAIT, NULL);
    u->stats.reads++;
    for (int i = 0; i < count && !u->is_freed; i++) {
        size_t n = m[i].msg_len;
        if (n == 0 || (m[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
            continue;
        }
        size_t segment = segment_of(&m[i].msg_hdr, n);
        struct sm_inet a = from_sockaddr(&from[i]);
        u->stats.got += (n + segment - 1) / segment;
        u->got(u->ctx, &a, u->in + (size_t)i * READ_BATCH, n, segment);
    }
    return count > 0 ? (unsigned)count : 0; /* errors are ICMP's word, which nobody signed */
}

/* -- sending ----------------------------------------------------------------------------- */

static ssize_t send_once(const struct sm_udp *u, const struct sm_inet *to, const uint8_t *p,
                         size_t n, size_t segment)
{
    union any_inet s;
    struct iovec iov = {(void *)(uintptr_t)p, n};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(uint16_t))];
    } control = {0};
    struct msghdr m = {
        .msg_name = &s, .msg_namelen = to_sockaddr(to, &s), .msg_iov = &iov, .msg_iovlen = 1};
    if (n > segment) {
        uint16_t size = (uint16_t)segment;
        m.msg_control = control.space;
        m.msg_controllen = sizeof control.space;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    ssize_t put;
    do {
        put = sendmsg(u->fd, &m, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    if (put < 0 && errno == ECONNREFUSED) { /* of an earlier one, and cleared by telling */
        put = sendmsg(u->fd, &m, MSG_NOSIGNAL);
    }
    return put;
}

/* Send from *p on; true when all is gone, sent or lost.  Else the socket is full, and *p and *n
 * say what is left. */
static bool send_batch(struct sm_udp *u, const struct sm_inet *to, const uint8_t **p, size_t *n,
                       size_t segment)
{
    if (u->has_segments && *n > segment) {
        ssize_t put = send_once(u, to, *p, *n, segment);
        if (put >= 0) {
            u->stats.calls++;
            u->stats.sent += (*n + segment - 1) / segment;
            return true;
        }
        if (errno == EAGAIN) {
            return false;
        }
        u->has_segments = errno != EIO && errno != EOPNOTSUPP;
    }
    while (*n > 0) {
        size_t one = *n < segment ? *n : segment;
        ssize_t put = send_once(u, to, *p, one, one);
        if (put < 0 && errno == EAGAIN) {
            return false;
        }
        u->stats.calls++;
        u->stats.sent += put >= 0;
        u->stats.dropped += put < 0; /* too long for the device, no route, its queue is full */
        *p += one;
        *n -= one;
    }
    return true;
}

static void watch(struct sm_udp *u)
{
    sm_poll_set(u->poll, SM_POLL_READ | (u->first != NULL ? SM_POLL_WRITE : 0));
}

static void queue(struct sm_udp *u, const struct sm_inet *to, const uint8_t *p, size_t n,
                  size_t segment)
{
    struct waiting *w = u->queued + n <= UDP_QUEUE ? malloc(sizeof *w + n) : NULL;
    if (w == NULL) {
        u->stats.dropped += (n + segment - 1) / segment;
        return;
    }
    *w = (struct waiting){.to = *to, .n = n, .segment = segment};
    memcpy(w->bytes, p, n);
    if (u->last != NULL) {
        u->last->next = w;
    } else {
        u->first = w;
    }
    u->last = w;
    u->queued += n;
}

void sm_udp_send(struct sm_udp *u, const struct sm_inet *to, struct sm_view bytes,
                 size_t segment)
{
    const uint8_t *p = bytes.p;
    size_t n = bytes.n;
    bool was_empty = u->first == NULL;
    if (was_empty && send_batch(u, to, &p, &n, segment)) {
        return;
    }
    queue(u, to, p, n, segment);
    if (was_empty) {
        watch(u);
    }
}

static void flush(struct sm_udp *u)
{
    while (u->first != NULL) {
        struct waiting *w = u->first;
        const uint8_t *p = w->bytes;
        size_t n = w->n;
        bool is_gone = send_batch(u, &w->to, &p, &n, w->segment);
        if (!is_gone) {
            memmove(w->bytes, p, n);
            u->queued -= w->n - n;
            w->n = n;
            return;
        }
        u->queued -= w->n;
        u->first = w->next;
        u->last = u->first == NULL ? NULL : u->last;
        free(w);
    }
    watch(u);
}

/* -- life -------------------------------------------------------------------------------- */

static void release(struct sm_udp *u)
{
    while (u->first != NULL) {
        struct waiting *w = u->first;
        u->first = w->next;
        free(w);
    }
    free(u->in);
    free(u);
}

static void on_events(void *ctx, int events)
{
    struct sm_udp *u = ctx;
    if ((events & SM_POLL_WRITE) != 0 && u->first != NULL) {
        flush(u);
    }
    u->is_reading = true;
    for (unsigned i = 0; i < READS && !u->is_freed && read_some(u) == READ_BATCHES; i++) {
    }
    u->is_reading = false;
    if (u->is_freed) {
        release(u); /* it was freed in a callback of its own */
    }
}

enum sm_err sm_udp_new(struct sm_loop *l, int fd,
                       void (*got)(void *ctx, const struct sm_inet *from, uint8_t *p, size_t n,
                                   size_t segment),
                       void *ctx, struct sm_udp **out)
{
    struct sm_udp *u = calloc(1, sizeof *u);
    union any_inet s = {0};
    socklen_t n = sizeof s;
    if (u != NULL) {
        u->in = malloc(READ_BATCH * READ_BATCHES);
    }
    if (u == NULL || u->in == NULL || sm_poll_new(l, fd, on_events, u, &u->poll) != SM_OK) {
        free(u != NULL ? u->in : NULL);
        free(u);
        return SM_E_NOMEM;
    }
    (void)getsockname(fd, &s.sa, &n);
    u->family = s.sa.sa_family == AF_INET6 ? 6 : 4;
    u->fd = fd;
    u->got = got;
    u->ctx = ctx;
    u->has_segments = true;
    watch(u);
    *out = u;
    return SM_OK;
}

void sm_udp_free(struct sm_udp *u)
{
    if (u == NULL) {
        return;
    }
    sm_poll_free(u->poll);
    (void)close(u->fd);
    u->is_freed = true;
    if (!u->is_reading) {
        release(u);
    }
}

struct sm_udp_stats sm_udp_stats(const struct sm_udp *u)
{
    struct sm_udp_stats s = u->stats;
    s.has_segments = u->has_segments;
    return s;
}

uint8_t sm_udp_family(const struct sm_udp *u)
{
    return u->family;
}
