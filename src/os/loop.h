// SPDX-License-Identifier: Apache-2.0
#pragma once
/* loop: one thread's wait for sockets, timers, signals and children.
 *
 * The loop runs in turns: wait, deliver what happened, call the turn hook, write what was
 * queued.  A daemon feeds its core from the callbacks and drains it once a turn in the hook,
 * so a burst of input costs one pass over the core and one writev per stream.
 *
 *     sm_loop_new(&loop);
 *     sm_loop_on_turn(loop, drain_core, node);
 *     sm_stream_new(loop, fd, &peer_ops, peer, 4 << 20, &peer->stream);
 *     sm_loop_run(loop);                            -- until sm_loop_stop()
 *
 * Rules for callbacks: no callback runs inside a call into this module, except sm_loop_run
 * and sm_loop_turn.  Any object, also the one that is calling, may be freed in a callback;
 * after its free function no callback of it comes.
 *
 * Memory:  objects are freed by the caller, before the loop is.  Functions that take a
 *          descriptor own it when they succeed; on failure the caller still does.
 * Errors:  NOMEM, LIMIT (no descriptors), IO; more where stated.
 * Threads: one loop, one thread.
 * Source:  libuv is seen only by loop.c; sockets go through its poll handles, because
 *          descriptors travel with our messages and writes are batched by us.
 */
#include "base/bytes.h"
#include "base/err.h"
#include "base/time.h"
#include "os/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sm_loop;

enum sm_err sm_loop_new(struct sm_loop **out) SM_MUST;
void sm_loop_free(struct sm_loop *l); /* NULL is fine */
void sm_loop_run(struct sm_loop *l);  /* until sm_loop_stop() */
void sm_loop_stop(struct sm_loop *l);
/* One turn; `may_wait` = block until something happens.  For tests and tools. */
void sm_loop_turn(struct sm_loop *l, bool may_wait);
/* The hook at the end of each turn, before queued bytes are written.  It also runs before
 * the first wait. */
void sm_loop_on_turn(struct sm_loop *l, void (*fn)(void *ctx), void *ctx);
/* Do not wait in the next turn: the hook left work over. */
void sm_loop_again(struct sm_loop *l);

/* After a turn in which a stream read or wrote, look for more for up to d before sleeping. What
 * hardly ever finds anything is tried less.  0, the default: sleep at once. */
void sm_loop_patience(struct sm_loop *l, struct sm_dur d);
#define SM_LOOP_PATIENCE SM_US(50) /* for who carries bulk: a waking costs as much */

/* -- timers ------------------------------------------------------------------------------ */

/* One-shot; late by up to a millisecond, never early.  SM_NEVER disarms. */
struct sm_timer;
enum sm_err sm_timer_new(struct sm_loop *l, void (*fn)(void *ctx), void *ctx,
                         struct sm_timer **out) SM_MUST;
void sm_timer_at(struct sm_timer *t, struct sm_mono when);
void sm_timer_free(struct sm_timer *t);

/* -- streams ----------------------------------------------------------------------------- */

/* A connected (or connecting) stream socket with a bounded queue of bytes to write. */
struct sm_stream;

struct sm_stream_ops {
    void (*read)(void *ctx, struct sm_view bytes); /* bytes live until it returns, and are the
                                                      callee's to change, as a tunnel does
                                                      that opens them where they lie */
    void (*closed)(void *ctx, enum sm_err why);    /* once; CLOSED = orderly end.  Nothing can
                                                      be read or written now; free it. */
    void (*connected)(void *ctx); /* may be NULL: the socket is connected already */
    void (*drained)(void *ctx);   /* may be NULL.  After a write was refused or had to wait:
                                     the queue is empty again. */
    void (*got_fd)(void *ctx, int fd); /* may be NULL: then passed descriptors are closed.  The
                                          callee owns fd; comes before the bytes it rode on. */
};

/* Take over a connected or connecting socket.  queue_max bounds the bytes waiting. */
enum sm_err sm_stream_new(struct sm_loop *l, int fd, const struct sm_stream_ops *ops, void *ctx,
                          size_t queue_max, struct sm_stream **out) SM_MUST;
/* Writes what the socket takes at once, drops the rest, closes.  NULL is fine. */
void sm_stream_free(struct sm_stream *s);

/* Write the bytes, or queue a copy of them; all or nothing.  LIMIT when they do not fit the
 * queue, CLOSED when the stream has ended.  An empty queue takes any length, so that a limit
 * below the largest message cannot stop a stream for good. */
enum sm_err sm_stream_write(struct sm_stream *s, struct sm_view bytes) SM_MUST;
/* Two parts as one write, for a header and its body. */
enum sm_err sm_stream_write2(struct sm_stream *s, struct sm_view a, struct sm_view b) SM_MUST;
/* Unix sockets only: the descriptor rides on the first byte.  Owned by the stream when OK. */
enum sm_err sm_stream_write_fd(struct sm_stream *s, struct sm_view a, struct sm_view b,
                               int fd) SM_MUST;
size_t sm_stream_queued(const struct sm_stream *s);
/* Stop and resume reading, to push back on the other side. */
void sm_stream_pause(struct sm_stream *s, bool is_paused);
/* Deliver what the socket holds already, now: the one exception to the first rule for
 * callbacks.  For the last words of a process that has died. */
void sm_stream_drain(struct sm_stream *s);
int sm_stream_fd(const struct sm_stream *s); /* to ask for addresses; never to read or write */

/* -- listeners --------------------------------------------------------------------------- */

struct sm_listener;
/* Call `accepted` with every new connection's descriptor, which the callee owns.  When
 * descriptors run out, accepting rests for 100 ms. */
enum sm_err sm_listener_new(struct sm_loop *l, int fd, void (*accepted)(void *ctx, int fd),
                            void *ctx, struct sm_listener **out) SM_MUST;
void sm_listener_free(struct sm_listener *l);

/* -- other descriptors, signals, children ------------------------------------------------ */

enum { SM_POLL_READ = 1, SM_POLL_WRITE = 2, SM_POLL_HANGUP = 4 };
struct sm_poll;
/* Watch a descriptor the caller keeps; close it only after sm_poll_free().  `fn` gets the
 * events that are there; an error or hang-up comes as all the events asked for + HANGUP. */
enum sm_err sm_poll_new(struct sm_loop *l, int fd, void (*fn)(void *ctx, int events), void *ctx,
                        struct sm_poll **out) SM_MUST;
void sm_poll_set(struct sm_poll *p, int events); /* 0 = rest */
void sm_poll_free(struct sm_poll *p);

struct sm_signal;
enum sm_err sm_signal_new(struct sm_loop *l, int signo, void (*fn)(void *ctx, int signo),
                          void *ctx, struct sm_signal **out) SM_MUST;
void sm_signal_free(struct sm_signal *s);

struct sm_child;
struct sm_child_exit {
    bool was_signal;
    int code; /* exit status, or the signal's number */
};
/* Tell once when the child has ended, and reap it. */
struct sm_child_watch;
enum sm_err sm_child_watch_new(struct sm_loop *l, const struct sm_child *child,
                               void (*fn)(void *ctx, struct sm_child_exit how), void *ctx,
                               struct sm_child_watch **out) SM_MUST;
void sm_child_watch_free(struct sm_child_watch *w);
