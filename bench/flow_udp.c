// SPDX-License-Identifier: Apache-2.0
/* Bare UDP: what datagrams in batches cost when nothing is done to them.
 *
 * Every datagram begins with the number of the run and its place in it.  The other end counts
 * what arrives of a run, tells every quarter of the window how far it is, and once it has all.
 * The sender stays less than the window ahead; when nothing is heard, what it sent is lost. */
#include "bench/flow_int.h"
#include "os/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define HEAD         16u
#define READ_BYTES   65536u
#define BATCH_MAX    64900u              /* see os/udp.c */
#define SEGMENTS_MAX 64u                 /* likewise */
#define WINDOW       ((uint64_t)1 << 20) /* the socket's buffer holds twice as much */
#define SILENCE_US   20000

enum { IS_DONE = 1 }; /* of an answer: all has arrived */

/* A datagram's head, and the whole of an answer. */
struct head {
    uint32_t run, flags;
    uint64_t at; /* bytes of the run before this one; answer: up to which some have arrived */
};

size_t flow_udp_segment(size_t message)
{
    size_t n = (message + FLOW_SEGMENT_MAX - 1) / FLOW_SEGMENT_MAX;
    return message / n;
}

static struct head head_read(const uint8_t *p)
{
    return (struct head){sm_le32(p), sm_le32(p + 4), sm_le64(p + 8)};
}

static void head_write(const struct head *h, uint8_t *p)
{
    sm_put_le32(p, h->run);
    sm_put_le32(p + 4, h->flags);
    sm_put_le64(p + 8, h->at);
}

/* -- sockets ------------------------------------------------------------------------------ */

static enum sm_err connect_to(int fd, int other)
{
    struct sm_inet at;
    SM_TRY(sm_tcp_local(other, &at));
    struct sockaddr_in s = {.sin_family = AF_INET, .sin_port = htons(at.port)};
    memcpy(&s.sin_addr, at.ip, 4);
    return connect(fd, (struct sockaddr *)&s, sizeof s) == 0 ? SM_OK : SM_E_IO;
}

enum sm_err flow_udp_pair(int out[static 2])
{
    const struct sm_inet any = {.family = 4, .ip = {127, 0, 0, 1}};
    int a, b;
    SM_TRY(sm_udp_bind(&any, &a));
    enum sm_err e = sm_udp_bind(&any, &b);
    if (e != SM_OK) {
        (void)close(a);
        return e;
    }
    e = connect_to(a, b);
    e = e == SM_OK ? connect_to(b, a) : e;
    if (e != SM_OK) {
        (void)close(a);
        (void)close(b);
        return e;
    }
    out[0] = a;
    out[1] = b;
    return SM_OK;
}

/* It waits, but not for ever.  segment: what the kernel is to cut batches into, or 0. */
static enum sm_err make_bare(int fd, int segment)
{
    const struct timeval silence = {.tv_usec = SILENCE_US};
    int flags = fcntl(fd, F_GETFL);
    bool is_ok = flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 &&
                 (segment == 0 ||
                  (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) == 0 &&
                   setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0));
    return is_ok ? SM_OK : SM_E_IO;
}

enum sm_err bare_udp_open(int fd, const struct flow_cfg *cfg, bool is_server, struct bare *out)
{
    struct bare b = {.fd = fd, .segment = flow_udp_segment(cfg->size)};
    enum sm_err e = make_bare(fd, is_server ? 0 : (int)b.segment);
    if (e != SM_OK) {
        bare_done(&b);
        return e;
    }
    *out = b;
    return SM_OK;
}

/* -- the sender --------------------------------------------------------------------------- */

struct sending {
    struct bare *b;
    uint64_t next, acked, goal;
    bool is_done;
};

/* One batch, of as many whole messages as it takes. */
static enum sm_err put_batch(struct sending *s, const struct flow_cfg *cfg, uint8_t *batch)
{
    size_t each = s->b->segment, most = BATCH_MAX / each;
    size_t n = most < SEGMENTS_MAX ? most : SEGMENTS_MAX;
    n = (cfg->bytes - s->next % cfg->bytes) / each < n
            ? (size_t)((cfg->bytes - s->next % cfg->bytes) / each)
            : n;
    for (size_t i = 0; i < n; i++, s->next += each) {
        head_write(&(struct head){.run = s->b->run, .at = s->next}, batch + i * each);
    }
    ssize_t put;
    do {
        put = send(s->b->fd, batch, n * each, MSG_NOSIGNAL);
    } while (put < 0 && (errno == EINTR || errno == ENOBUFS));
    return put > 0 ? SM_OK : SM_E_CLOSED;
}

static enum sm_err await_answer(struct sending *s)
{
    uint8_t in[HEAD];
    ssize_t got = recv(s->b->fd, in, sizeof in, 0);
    if (got < 0 && errno == EAGAIN) { /* lost: the end is not reached without more */
        s->acked = s->next;
        s->goal = s->next + WINDOW;
        return SM_OK;
    }
    if (got < 0 && errno != EINTR) {
        return SM_E_CLOSED;
    }
    struct head h = head_read(in);
    if (got == (ssize_t)sizeof in && h.run == s->b->run) {
        s->acked = h.at > s->acked ? h.at : s->acked;
        s->is_done = h.flags == IS_DONE;
    }
    return SM_OK;
}

enum sm_err bare_udp_pass(struct bare *b, const struct flow_cfg *cfg, uint8_t *message)
{
    struct sending s = {.b = b, .goal = cfg->bytes};
    b->run++;
    while (!s.is_done) {
        SM_TRY(s.next < s.goal && s.next - s.acked < WINDOW ? put_batch(&s, cfg, message)
                                                            : await_answer(&s));
    }
    return SM_OK;
}

/* -- the other end ------------------------------------------------------------------------ */

struct receiving {
    uint32_t run;
    uint64_t got, top, told;
    bool is_done;
};

static void take_datagrams(struct receiving *r, const uint8_t *p, size_t n, size_t segment)
{
    for (size_t at = 0; at + HEAD <= n; at += segment) {
        struct head h = head_read(p + at);
        size_t len = n - at < segment ? n - at : segment;
        if (h.run != r->run) {
            *r = (struct receiving){.run = h.run};
        }
        r->got += len;
        r->top = h.at + len > r->top ? h.at + len : r->top;
    }
}

static enum sm_err answer(const struct bare *b, const struct flow_cfg *cfg, struct receiving *r)
{
    uint8_t out[HEAD];
    bool is_done = r->got >= cfg->bytes;
    if (r->is_done || (!is_done && r->top - r->told < WINDOW / 4)) {
        return SM_OK;
    }
    r->is_done = is_done;
    r->told = r->top;
    head_write(&(struct head){.run = r->run, .flags = is_done ? IS_DONE : 0, .at = r->top},
               out);
    return send(b->fd, out, sizeof out, MSG_NOSIGNAL) > 0 ? SM_OK : SM_E_CLOSED;
}

/* One read; segment: how long each datagram is of those that came together. */
static ssize_t get_some(const struct bare *b, uint8_t *buf, size_t *segment)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {buf, READ_BYTES};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    ssize_t got = recvmsg(b->fd, &m, 0);
    *segment = got > 0 ? (size_t)got : 1;
    struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c != NULL && c->cmsg_level == IPPROTO_UDP) {
        int size;
        memcpy(&size, CMSG_DATA(c), sizeof size);
        *segment = size > 0 ? (size_t)size : *segment;
    }
    return got;
}

void bare_udp_serve(struct bare *b, const struct flow_cfg *cfg)
{
    uint8_t *buf = calloc(1, READ_BYTES);
    struct receiving r = {0};
    ssize_t got;
    size_t segment;
    while (buf != NULL && ((got = get_some(b, buf, &segment)) > 0 || errno == EINTR)) {
        if (got > 0) {
            take_datagrams(&r, buf, (size_t)got, segment);
        }
        if (answer(b, cfg, &r) != SM_OK) {
            break;
        }
    }
    free(buf);
}
