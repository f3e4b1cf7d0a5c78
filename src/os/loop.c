// SPDX-License-Identifier: Apache-2.0
/* The one file that sees libuv.  Every object embeds its uv handle and is freed in the
 * handle's close callback, so a callback may free the object it came from: the memory stays
 * until the turn is over, and `is_freed` keeps us from calling back.
 */
#include "os/loop.h"

#include "os/child.h"
#include "os/clock.h"
#include "os/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

/* One read: four tunnel frames.  Larger reads gained nothing over loopback, smaller cost. */
#define READ_BYTES ((size_t)256 * 1024)
/* A stream that never runs dry must leave the turn to others. */
#define READS_PER_TURN 4
#define FDS_PER_READ   8  /* descriptors one recvmsg takes; our frames carry one each */
#define IOV_PER_WRITE  16 /* blocks one sendmsg gathers */
#define BLOCK_BYTES    ((size_t)68 * 1024) /* a tunnel's longest frame and what is small */
#define BLOCKS_SPARE   8                   /* kept, so that bulk does not ask for memory */
/* From here on copying costs more than a call of its own does. */
#define DIRECT_BYTES ((size_t)16 * 1024)
#define ACCEPT_REST  SM_MS(100)
#define LUCK_MAX     16u
#define LUCK_REST    64u

/* A piece of a stream's queue: bytes [from, n), the first of them with fd, when it has one. */
struct block {
    struct block *next;
    size_t from, n, cap;
    int fd;
    uint8_t bytes[];
};

struct sm_loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_idle_t idle; /* runs while there is late work: makes the next wait empty */
    bool is_stopped;
    bool has_events; /* something called back since the last turn */
    bool wants_turn; /* sm_loop_again */
    struct sm_dur patience;
    struct sm_mono linger_until; /* NEVER: not lingering */
    unsigned luck;               /* of lingering; 0: rest */
    unsigned rest;               /* times it was not tried */
    bool has_moved;              /* bytes, since the last turn */
    void (*turn)(void *ctx);
    void *turn_ctx;
    struct sm_stream *dirty; /* streams with bytes to try to write at the end of the turn */
    struct sm_stream *late;  /* streams whose end is told at the start of the next turn */
    uint8_t *read_bytes;
    struct block *spare; /* of BLOCK_BYTES each */
    unsigned spare_n;
};

struct sm_stream {
    uv_poll_t poll;
    struct sm_loop *loop;
    struct sm_stream_ops ops;
    void *ctx;
    int fd;
    size_t queued, queue_max;
    struct block *first, *last;
    struct sm_stream *next_dirty, *next_late;
    enum sm_err end; /* why it ended, once it has */
    bool is_connecting, is_paused, is_dirty, is_late, is_ended, is_freed;
    bool is_broken;    /* nothing can be written; what the other side said is still read */
    bool is_waiting;   /* the socket took no more bytes */
    bool owes_drained; /* a write was refused or had to wait: tell when the queue is empty */
};

static enum sm_err uv_err(int r)
{
    return r == UV_ENOMEM ? SM_E_NOMEM : sm_err_of_errno(r < 0 ? -r : 0);
}

/* -- the loop ---------------------------------------------------------------------------- */

static void stream_flush(struct sm_stream *s);
static void stream_unlink(struct sm_stream *s);
static void stream_tell(struct sm_stream *s);

static void count_event(uv_loop_t *uv)
{
    struct sm_loop *l = uv->data;
    l->has_events = true;
}

static void on_idle(uv_idle_t *h)
{
    struct sm_loop *l = h->data;
    (void)uv_idle_stop(h);
    while (l->late != NULL) {
        struct sm_stream *s = l->late;
        l->late = s->next_late;
        s->is_late = false;
        stream_tell(s);
    }
}

void sm_loop_again(struct sm_loop *l)
{
    l->wants_turn = true;
    (void)uv_idle_start(&l->idle, on_idle);
}

/* -- lingering --------------------------------------------------------------------------- */

/* Worth a try?  Half the tries must hit; after a run of misses only one turn in many tries. */
static bool may_linger(struct sm_loop *l)
{
    if (l->luck > 0 || ++l->rest >= LUCK_REST) {
        l->rest = 0;
        return true;
    }
    return false;
}

/* Bytes have moved, so more may come soon: look again for a while instead of sleeping.  The
 * processor is offered to others each time; nobody wants it when the machine is idle, and then
 * it would be the waking that costs, the other side too: 35 us of the sender's time here for
 * each 64 KiB, when it has to wake a processor that sleeps. */
static void linger(struct sm_loop *l)
{
    bool was_lingering = l->linger_until.ns != SM_NEVER.ns;
    struct sm_mono now = sm_clock_mono();
    if (l->has_moved) {
        l->has_moved = false;
        l->luck += was_lingering && l->luck < LUCK_MAX;
        l->linger_until =
            was_lingering || may_linger(l) ? sm_after(now, l->patience) : SM_NEVER;
    } else if (was_lingering && sm_is_due(l->linger_until, now)) {
        l->luck -= l->luck > 0;
        l->linger_until = SM_NEVER;
    }
    if (l->linger_until.ns != SM_NEVER.ns) {
        (void)sched_yield();
        (void)uv_idle_start(&l->idle, on_idle);
    }
}

void sm_loop_patience(struct sm_loop *l, struct sm_dur d)
{
    l->patience = d;
}

/* -- turns ------------------------------------------------------------------------------- */

static void turn(struct sm_loop *l)
{
    l->has_events = false;
    l->wants_turn = false;
    if (l->turn != NULL) {
        l->turn(l->turn_ctx);
    }
    while (l->dirty != NULL) {
        struct sm_stream *s = l->dirty;
        l->dirty = s->next_dirty;
        s->is_dirty = false;
        stream_flush(s);
    }
}

static void on_prepare(uv_prepare_t *h)
{
    struct sm_loop *l = h->data;
    bool is_lingering = l->linger_until.ns != SM_NEVER.ns;
    if (!is_lingering || l->has_events || l->wants_turn || l->dirty != NULL) {
        turn(l);
    }
    if (l->patience.ns > 0) {
        linger(l);
    }
    if (l->is_stopped) {
        uv_stop(&l->uv);
    }
}

enum sm_err sm_loop_new(struct sm_loop **out)
{
    struct sm_loop *l = calloc(1, sizeof *l);
    uint8_t *bytes = malloc(READ_BYTES);
    if (l == NULL || bytes == NULL) {
        free(l);
        free(bytes);
        return SM_E_NOMEM;
    }
    l->read_bytes = bytes;
    l->linger_until = SM_NEVER;
    l->luck = LUCK_MAX / 2;
    /* Newer libuv takes io_uring when it can; our seccomp lists do not have it. */
    (void)setenv("UV_USE_IO_URING", "0", 1);
    int r = uv_loop_init(&l->uv);
    if (r != 0) {
        free(bytes);
        free(l);
        return uv_err(r);
    }
    /* Writing to a socket that has gone is an error to handle, not a reason to die. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)uv_prepare_init(&l->uv, &l->prepare);
    (void)uv_idle_init(&l->uv, &l->idle);
    l->uv.data = l;
    l->prepare.data = l;
    l->idle.data = l;
    (void)uv_prepare_start(&l->prepare, on_prepare);
    *out = l;
    return SM_OK;
}

void sm_loop_free(struct sm_loop *l)
{
    if (l == NULL) {
        return;
    }
    (void)uv_prepare_stop(&l->prepare);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    for (int i = 0; i < 8 && uv_run(&l->uv, UV_RUN_NOWAIT) != 0; i++) {
    } /* the handles' close callbacks; signals may take a second round */
    int r = uv_loop_close(&l->uv);
    assert(r == 0); /* else an object outlives its loop: our bug */
    (void)r;
    while (l->spare != NULL) {
        struct block *b = l->spare;
        l->spare = b->next;
        free(b);
    }
    free(l->read_bytes);
    free(l);
}

void sm_loop_run(struct sm_loop *l)
{
    l->is_stopped = false;
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

void sm_loop_stop(struct sm_loop *l)
{
    l->is_stopped = true;
}

void sm_loop_turn(struct sm_loop *l, bool may_wait)
{
    (void)uv_run(&l->uv, may_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void sm_loop_on_turn(struct sm_loop *l, void (*fn)(void *ctx), void *ctx)
{
    l->turn = fn;
    l->turn_ctx = ctx;
}

/* -- timers ------------------------------------------------------------------------------ */

struct sm_timer {
    uv_timer_t uv;
    struct sm_loop *loop;
    void (*fn)(void *ctx);
    void *ctx;
    struct sm_mono when;
};

static void free_data(uv_handle_t *h)
{
    free(h->data);
}

static void on_timer(uv_timer_t *h)
{
    struct sm_timer *t = h->data;
    count_event(h->loop);
    if (!sm_is_due(t->when, sm_clock_mono())) {
        sm_timer_at(t, t->when); /* uv counts whole milliseconds of its own clock */
        return;
    }
    t->when = SM_NEVER;
    t->fn(t->ctx);
}

enum sm_err sm_timer_new(struct sm_loop *l, void (*fn)(void *ctx), void *ctx,
                         struct sm_timer **out)
{
    struct sm_timer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return SM_E_NOMEM;
    }
    (void)uv_timer_init(&l->uv, &t->uv);
    t->uv.data = t;
    t->loop = l;
    t->fn = fn;
    t->ctx = ctx;
    t->when = SM_NEVER;
    *out = t;
    return SM_OK;
}

void sm_timer_at(struct sm_timer *t, struct sm_mono when)
{
    t->when = when;
    if (when.ns == SM_NEVER.ns) {
        (void)uv_timer_stop(&t->uv);
        return;
    }
    uint64_t ns = sm_between(sm_clock_mono(), when).ns;
    uv_update_time(&t->loop->uv);
    (void)uv_timer_start(&t->uv, on_timer, ns / 1000000u + (ns % 1000000u != 0), 0);
}

void sm_timer_free(struct sm_timer *t)
{
    if (t != NULL) {
        uv_close((uv_handle_t *)&t->uv, free_data);
    }
}

/* -- streams: state ---------------------------------------------------------------------- */

static void on_stream(uv_poll_t *h, int status, int events);

static void stream_watch(struct sm_stream *s)
{
    int events = (s->is_paused || s->is_connecting ? 0 : UV_READABLE) |
                 (s->is_waiting || s->is_connecting ? UV_WRITABLE : 0);
    if (s->is_ended || s->is_freed || events == 0) {
        (void)uv_poll_stop(&s->poll);
    } else {
        (void)uv_poll_start(&s->poll, events, on_stream);
    }
}

/* Tell at the start of the next turn: callers of write must not be called back. */
static void stream_make_late(struct sm_stream *s)
{
    if (!s->is_late) {
        s->is_late = true;
        s->next_late = s->loop->late;
        s->loop->late = s;
        sm_loop_again(s->loop);
    }
}

static void stream_end(struct sm_stream *s, enum sm_err why)
{
    if (s->is_ended || s->is_freed) {
        return;
    }
    s->is_ended = true;
    s->end = why;
    stream_watch(s);
    stream_make_late(s);
}

static void stream_tell(struct sm_stream *s)
{
    if (s->is_ended) {
        s->ops.closed(s->ctx, s->end);
    } else if (s->owes_drained && s->queued == 0) {
        s->owes_drained = false;
        if (s->ops.drained != NULL) {
            s->ops.drained(s->ctx);
        }
    }
}

static struct block *block_new(struct sm_loop *l, size_t n, int fd)
{
    size_t cap = n > BLOCK_BYTES ? n : BLOCK_BYTES;
    struct block *b = cap == BLOCK_BYTES ? l->spare : NULL;
    if (b != NULL) {
        l->spare = b->next;
        l->spare_n--;
    } else {
        b = malloc(sizeof *b + cap);
    }
    if (b != NULL) {
        *b = (struct block){.cap = cap, .fd = fd};
    }
    return b;
}

static void block_free(struct sm_loop *l, struct block *b)
{
    if (b->cap != BLOCK_BYTES || l->spare_n == BLOCKS_SPARE) {
        free(b);
        return;
    }
    b->next = l->spare;
    l->spare = b;
    l->spare_n++;
}

static void drop_first(struct sm_stream *s)
{
    struct block *b = s->first;
    s->first = b->next;
    s->last = s->first == NULL ? NULL : s->last;
    if (b->fd >= 0) {
        (void)close(b->fd);
    }
    block_free(s->loop, b);
}

static void unlink_from(struct sm_stream **list, struct sm_stream *s, bool is_dirty_list)
{
    while (*list != NULL && *list != s) {
        list = is_dirty_list ? &(*list)->next_dirty : &(*list)->next_late;
    }
    if (*list == s) {
        *list = is_dirty_list ? s->next_dirty : s->next_late;
    }
}

static void stream_unlink(struct sm_stream *s)
{
    if (s->is_dirty) {
        unlink_from(&s->loop->dirty, s, true);
    }
    if (s->is_late) {
        unlink_from(&s->loop->late, s, false);
    }
}

/* -- streams: writing -------------------------------------------------------------------- */

static ssize_t send_some(struct sm_stream *s)
{
    struct iovec iov[IOV_PER_WRITE];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = iov};

    for (struct block *b = s->first; b != NULL && m.msg_iovlen < IOV_PER_WRITE; b = b->next) {
        if (b->fd >= 0 && b != s->first) {
            break; /* a descriptor rides on the first byte of a call */
        }
        iov[m.msg_iovlen++] = (struct iovec){b->bytes + b->from, b->n - b->from};
    }
    if (s->first->fd >= 0) {
        memset(&control, 0, sizeof control);
        m.msg_control = control.space;
        m.msg_controllen = sizeof control.space;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &s->first->fd, sizeof(int));
    }
    ssize_t put;
    do {
        put = sendmsg(s->fd, &m, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    return put;
}

static void count_sent(struct sm_stream *s, size_t n)
{
    if (s->first->fd >= 0) {
        (void)close(s->first->fd);
        s->first->fd = -1;
    }
    s->loop->has_moved = true;
    s->queued -= n;
    while (n > 0) {
        struct block *b = s->first;
        size_t part = n < b->n - b->from ? n : b->n - b->from;
        b->from += part;
        n -= part;
        if (b->from == b->n) {
            drop_first(s);
        }
    }
}

/* The other side takes nothing any more.  It may have said something before it went, so the
 * stream ends when that has been read. */
static void write_failed(struct sm_stream *s, enum sm_err why)
{
    s->is_waiting = false;
    if (s->is_paused) {
        stream_end(s, why);
        return;
    }
    s->is_broken = true;
    while (s->first != NULL) {
        drop_first(s);
    }
    s->queued = 0;
    stream_watch(s);
}

static void stream_flush(struct sm_stream *s)
{
    bool had_to_wait = s->is_waiting;
    s->is_waiting = false;
    while (s->first != NULL && !s->is_ended && !s->is_connecting) {
        ssize_t put = send_some(s);
        if (put < 0 && errno == EAGAIN) {
            s->is_waiting = true;
            s->owes_drained = true;
            break;
        }
        if (put < 0) {
            write_failed(s, sm_err_of_errno(errno));
            return;
        }
        count_sent(s, (size_t)put);
    }
    if (s->is_waiting != had_to_wait) {
        stream_watch(s);
    }
    if (s->owes_drained && s->queued == 0) {
        stream_make_late(s);
    }
}

static void stream_make_dirty(struct sm_stream *s)
{
    if (!s->is_dirty && !s->is_waiting) {
        s->is_dirty = true;
        s->next_dirty = s->loop->dirty;
        s->loop->dirty = s;
    }
}

static void block_add(struct block *b, struct sm_view v)
{
    if (v.n > 0) {
        memcpy(b->bytes + b->n, v.p, v.n);
        b->n += v.n;
    }
}

/* Bulk goes to the socket from where it lies when nothing waits before it.  What the socket did
 * not take stays in *v. */
static enum sm_err write_direct(struct sm_stream *s, struct sm_view *v)
{
    if (s->first != NULL || s->is_waiting || s->is_connecting) {
        return SM_OK;
    }
    ssize_t put;
    do {
        put = send(s->fd, v->p, v->n, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    if (put < 0 && errno != EAGAIN) {
        write_failed(s, sm_err_of_errno(errno));
        return SM_E_CLOSED;
    }
    s->loop->has_moved = s->loop->has_moved || put > 0;
    *v = sm_view_sub(*v, put > 0 ? (size_t)put : 0, v->n);
    return SM_OK;
}

static enum sm_err stream_queue(struct sm_stream *s, struct sm_view a, struct sm_view b, int fd)
{
    size_t n = a.n + b.n;
    bool is_cut = false;
    if (s->is_ended || s->is_broken) {
        return SM_E_CLOSED;
    }
    if (n == 0) {
        return fd >= 0 ? SM_E_INVALID : SM_OK;
    }
    if (b.n == 0 && n >= DIRECT_BYTES && fd < 0) {
        SM_TRY(write_direct(s, &a));
        is_cut = a.n < n;
        n = a.n;
        if (n == 0) {
            return SM_OK;
        }
    }
    if (s->queued > 0 && (n > s->queue_max || s->queued > s->queue_max - n)) {
        s->owes_drained = true;
        return SM_E_LIMIT;
    }
    struct block *to = s->last;
    if (to == NULL || fd >= 0 || to->cap - to->n < n) {
        to = block_new(s->loop, n, fd);
        if (to == NULL) {
            if (is_cut) {
                stream_end(s, SM_E_NOMEM); /* its rest would be missing */
            }
            return SM_E_NOMEM;
        }
        if (s->last != NULL) {
            s->last->next = to;
        } else {
            s->first = to;
        }
        s->last = to;
    }
    block_add(to, a);
    block_add(to, b);
    s->queued += n;
    stream_make_dirty(s);
    return SM_OK;
}

enum sm_err sm_stream_write(struct sm_stream *s, struct sm_view bytes)
{
    return stream_queue(s, bytes, (struct sm_view){0}, -1);
}

enum sm_err sm_stream_write2(struct sm_stream *s, struct sm_view a, struct sm_view b)
{
    return stream_queue(s, a, b, -1);
}

enum sm_err sm_stream_write_fd(struct sm_stream *s, struct sm_view a, struct sm_view b, int fd)
{
    assert(fd >= 0);
    return stream_queue(s, a, b, fd);
}

size_t sm_stream_queued(const struct sm_stream *s)
{
    return s->queued;
}

/* -- streams: reading -------------------------------------------------------------------- */

static void take_fds(struct sm_stream *s, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (s->ops.got_fd != NULL && !s->is_freed) {
                s->ops.got_fd(s->ctx, fd);
            } else {
                (void)close(fd);
            }
        }
    }
}

/* One recvmsg and its callbacks; how many bytes, 0 when there is no more for now. */
static size_t stream_read_once(struct sm_stream *s)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(FDS_PER_READ * sizeof(int))];
    } control;
    struct iovec iov = {s->loop->read_bytes, READ_BYTES};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof control.space};
    ssize_t got;
    do {
        got = recvmsg(s->fd, &m, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) {
        return 0;
    }
    s->loop->has_moved = true;
    if (got <= 0) {
        stream_end(s, got == 0 ? SM_E_CLOSED : sm_err_of_errno(errno));
        return 0;
    }
    take_fds(s, &m);
    if (!s->is_freed) {
        s->ops.read(s->ctx, sm_view_of(s->loop->read_bytes, (size_t)got));
    }
    return (size_t)got;
}

static void stream_read(struct sm_stream *s)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        if (stream_read_once(s) < READ_BYTES || s->is_freed || s->is_paused || s->is_ended) {
            return;
        }
    }
}

static void stream_connected(struct sm_stream *s)
{
    int err = 0;
    socklen_t n = sizeof err;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &n) != 0 || err != 0) {
        stream_end(s, sm_err_of_errno(err != 0 ? err : errno));
        return;
    }
    s->is_connecting = false;
    stream_watch(s);
    if (s->first != NULL) {
        stream_make_dirty(s);
    }
    if (s->ops.connected != NULL) {
        s->ops.connected(s->ctx);
    }
}

static void on_stream(uv_poll_t *h, int status, int events)
{
    struct sm_stream *s = h->data;
    count_event(h->loop);
    if (s->is_connecting) {
        stream_connected(s);
        return;
    }
    /* On an error uv stops the handle; the socket itself tells which error it was. */
    if (status < 0) {
        events = UV_READABLE | UV_WRITABLE;
    }
    if ((events & UV_WRITABLE) != 0 && s->is_waiting) {
        stream_flush(s);
    }
    if ((events & UV_READABLE) != 0 && !s->is_freed && !s->is_ended) {
        stream_read(s);
    }
    if (status < 0 && !s->is_freed) {
        stream_end(s, SM_E_CLOSED);
    }
}

enum sm_err sm_stream_new(struct sm_loop *l, int fd, const struct sm_stream_ops *ops, void *ctx,
                          size_t queue_max, struct sm_stream **out)
{
    struct sm_stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return SM_E_NOMEM;
    }
    int r = uv_poll_init(&l->uv, &s->poll, fd);
    if (r != 0) {
        free(s);
        return uv_err(r);
    }
    s->poll.data = s;
    s->loop = l;
    s->ops = *ops;
    s->ctx = ctx;
    s->fd = fd;
    s->queue_max = queue_max;
    s->is_connecting = ops->connected != NULL;
    stream_watch(s);
    *out = s;
    return SM_OK;
}

static void stream_closed(uv_handle_t *h)
{
    struct sm_stream *s = h->data;
    while (s->first != NULL) {
        drop_first(s);
    }
    free(s);
}

void sm_stream_free(struct sm_stream *s)
{
    if (s == NULL) {
        return;
    }
    assert(!s->is_freed);
    stream_flush(s);
    stream_unlink(s);
    s->is_freed = true;
    (void)uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, stream_closed);
    (void)close(s->fd);
}

void sm_stream_pause(struct sm_stream *s, bool is_paused)
{
    s->is_paused = is_paused;
    stream_watch(s);
}

void sm_stream_drain(struct sm_stream *s)
{
    /* A socket buffer is bounded, and nobody fills it any more. */
    for (int i = 0; i < 64 && !s->is_freed && !s->is_ended && stream_read_once(s) > 0; i++) {
    }
}

int sm_stream_fd(const struct sm_stream *s)
{
    return s->fd;
}

/* -- listeners --------------------------------------------------------------------------- */

struct sm_listener {
    uv_poll_t poll;
    struct sm_timer *rest;
    void (*accepted)(void *ctx, int fd);
    void *ctx;
    int fd;
    bool is_freed;
};

static void on_listener(uv_poll_t *h, int status, int events)
{
    struct sm_listener *l = h->data;
    count_event(h->loop);
    (void)status;
    (void)events;
    while (!l->is_freed) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            l->accepted(l->ctx, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            (void)uv_poll_stop(&l->poll);
            sm_timer_at(l->rest, sm_after(sm_clock_mono(), ACCEPT_REST));
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void listener_wake(void *ctx)
{
    struct sm_listener *l = ctx;
    (void)uv_poll_start(&l->poll, UV_READABLE, on_listener);
}

enum sm_err sm_listener_new(struct sm_loop *l, int fd, void (*accepted)(void *ctx, int fd),
                            void *ctx, struct sm_listener **out)
{
    struct sm_listener *n = calloc(1, sizeof *n);
    if (n == NULL) {
        return SM_E_NOMEM;
    }
    enum sm_err e = sm_timer_new(l, listener_wake, n, &n->rest);
    int r = e == SM_OK ? uv_poll_init(&l->uv, &n->poll, fd) : 0;
    if (e != SM_OK || r != 0) {
        sm_timer_free(n->rest);
        free(n);
        return e != SM_OK ? e : uv_err(r);
    }
    n->poll.data = n;
    n->accepted = accepted;
    n->ctx = ctx;
    n->fd = fd;
    (void)uv_poll_start(&n->poll, UV_READABLE, on_listener);
    *out = n;
    return SM_OK;
}

void sm_listener_free(struct sm_listener *l)
{
    if (l == NULL) {
        return;
    }
    l->is_freed = true;
    sm_timer_free(l->rest);
    (void)uv_poll_stop(&l->poll);
    uv_close((uv_handle_t *)&l->poll, free_data);
    (void)close(l->fd);
}

/* -- other descriptors, signals, children ------------------------------------------------ */

struct sm_poll {
    uv_poll_t uv;
    void (*fn)(void *ctx, int events);
    void *ctx;
    int events;
};

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct sm_poll *p = h->data;
    count_event(h->loop);
    int got = ((events & UV_READABLE) != 0 ? SM_POLL_READ : 0) |
              ((events & UV_WRITABLE) != 0 ? SM_POLL_WRITE : 0) |
              ((events & UV_DISCONNECT) != 0 ? SM_POLL_HANGUP : 0);
    p->fn(p->ctx, status < 0 ? p->events | SM_POLL_HANGUP : got);
}

enum sm_err sm_poll_new(struct sm_loop *l, int fd, void (*fn)(void *ctx, int events), void *ctx,
                        struct sm_poll **out)
{
    struct sm_poll *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SM_E_NOMEM;
    }
    int r = uv_poll_init(&l->uv, &p->uv, fd);
    if (r != 0) {
        free(p);
        return uv_err(r);
    }
    p->uv.data = p;
    p->fn = fn;
    p->ctx = ctx;
    *out = p;
    return SM_OK;
}

void sm_poll_set(struct sm_poll *p, int events)
{
    int want = ((events & SM_POLL_READ) != 0 ? UV_READABLE : 0) |
               ((events & SM_POLL_WRITE) != 0 ? UV_WRITABLE : 0) |
               ((events & SM_POLL_HANGUP) != 0 ? UV_DISCONNECT : 0);
    p->events = events;
    if (want == 0) {
        (void)uv_poll_stop(&p->uv);
    } else {
        (void)uv_poll_start(&p->uv, want, on_poll);
    }
}

void sm_poll_free(struct sm_poll *p)
{
    if (p != NULL) {
        (void)uv_poll_stop(&p->uv);
        uv_close((uv_handle_t *)&p->uv, free_data);
    }
}

struct sm_signal {
    uv_signal_t uv;
    void (*fn)(void *ctx, int signo);
    void *ctx;
};

static void on_signal(uv_signal_t *h, int signo)
{
    struct sm_signal *s = h->data;
    count_event(h->loop);
    s->fn(s->ctx, signo);
}

enum sm_err sm_signal_new(struct sm_loop *l, int signo, void (*fn)(void *ctx, int signo),
                          void *ctx, struct sm_signal **out)
{
    struct sm_signal *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return SM_E_NOMEM;
    }
    int r = uv_signal_init(&l->uv, &s->uv);
    if (r != 0) {
        free(s);
        return uv_err(r);
    }
    s->uv.data = s;
    s->fn = fn;
    s->ctx = ctx;
    r = uv_signal_start(&s->uv, on_signal, signo);
    if (r != 0) {
        sm_signal_free(s);
        return uv_err(r);
    }
    *out = s;
    return SM_OK;
}

void sm_signal_free(struct sm_signal *s)
{
    if (s != NULL) {
        uv_close((uv_handle_t *)&s->uv, free_data);
    }
}

struct sm_child_watch {
    struct sm_poll *poll;
    pid_t pid;
    void (*fn)(void *ctx, struct sm_child_exit how);
    void *ctx;
};

static void on_child(void *ctx, int events)
{
    struct sm_child_watch *w = ctx;
    siginfo_t info = {0};
    (void)events;
    if (waitid(P_PID, (id_t)w->pid, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) {
        return;
    }
    sm_poll_set(w->poll, 0);
    w->fn(w->ctx, (struct sm_child_exit){.was_signal = info.si_code != CLD_EXITED,
                                         .code = info.si_status});
}

enum sm_err sm_child_watch_new(struct sm_loop *l, const struct sm_child *child,
                               void (*fn)(void *ctx, struct sm_child_exit how), void *ctx,
                               struct sm_child_watch **out)
{
    struct sm_child_watch *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return SM_E_NOMEM;
    }
    enum sm_err e = sm_poll_new(l, child->pidfd, on_child, w, &w->poll);
    if (e != SM_OK) {
        free(w);
        return e;
    }
    w->pid = child->pid;
    w->fn = fn;
    w->ctx = ctx;
    sm_poll_set(w->poll, SM_POLL_READ);
    *out = w;
    return SM_OK;
}

void sm_child_watch_free(struct sm_child_watch *w)
{
    if (w != NULL) {
        sm_poll_free(w->poll);
        free(w);
    }
}
