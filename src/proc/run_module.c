// SPDX-License-Identifier: Apache-2.0
#include "crypto/hash.h"
#include "os/clock.h"
#include "os/net.h"
#include "proc/run_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOAD_WITHIN                                                                            \
    SM_S(10) /* a worker maps a shared object: milliseconds on a quiet machine */

/* -- descriptors of the engine ----------------------------------------------------------- */

enum sm_err watch_start(struct see *s, int fd, void (*fn)(void *ctx, int events),
                        struct watch *out)
{
    struct watch w = {.fd = -1};
    SM_TRY(sm_fd_dup(fd, &w.fd));
    enum sm_err e = sm_poll_new(s->loop, w.fd, fn, s, &w.poll);
    if (e != SM_OK) {
        (void)close(w.fd);
        return e;
    }
    sm_poll_set(w.poll, SM_POLL_READ);
    *out = w;
    return SM_OK;
}

void watch_stop(struct watch *w)
{
    if (w->poll != NULL) {
        sm_poll_free(w->poll);
        (void)close(w->fd);
        *w = (struct watch){.fd = -1};
    }
}

/* -- answers ----------------------------------------------------------------------------- */

static void reply_state(struct see *s, uint64_t handle, bool is_ready)
{
    uint8_t bytes[16];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_unit_ready m = {.is_ready = is_ready};
    if (is_ready) {
        m.was_cached = s->module.made.was_cached != 0;
        m.compile_ms = s->module.made.build_ms;
    }
    sm_unit_ready_write(&w, &m);
    sm_mesh_reply(s->mesh, handle, SM_OK, sm_view_of(bytes, w.n));
}

static void give_up(struct see *s, enum sm_err err, const char *words)
{
    struct module *m = &s->module;
    m->phase = MODULE_NONE;
    sm_timer_at(m->timer, SM_NEVER);
    see_refuse(s, m->handle, err, words);
}

/* -- the worker -------------------------------------------------------------------------- */

static void drop_worker(struct module *m)
{
    if (m->has_zygote) {
        watch_stop(&m->watch);
        sm_zygote_done(&m->zygote);
        m->has_zygote = false;
    }
}

static void on_worker(void *ctx, int events)
{
    struct see *s = ctx;
    struct module *m = &s->module;
    (void)events;
    enum sm_err e = sm_zygote_step(&m->zygote);
    if (m->phase == MODULE_LOADING && m->zygote.is_ready) {
        m->phase = MODULE_READY;
        sm_timer_at(m->timer, SM_NEVER);
        reply_state(s, m->handle, true);
    }
    unit_step(s); /* its instance may have ended */
    if (e != SM_OK) {
        drop_worker(m);
        if (m->phase == MODULE_LOADING) {
            give_up(s, SM_E_COMPILE, "the compiled module could not be loaded");
        }
    }
}

static enum sm_err start_worker(struct see *s)
{
    struct module *m = &s->module;
    SM_TRY(sm_zygote_start(&s->engine, &m->made.key, sm_clock_wall(), &m->zygote));
    m->has_zygote = true;
    enum sm_err e = watch_start(s, m->zygote.fd, on_worker, &m->watch);
    if (e != SM_OK) {
        drop_worker(m);
    }
    return e;
}

enum sm_err module_worker(struct see *s, struct sm_zygote **out)
{
    struct module *m = &s->module;
    if (m->phase != MODULE_READY) {
        return SM_E_STATE;
    }
    if (!m->has_zygote) {
        SM_TRY(start_worker(s));
    }
    *out = &m->zygote;
    return SM_OK;
}

/* -- the compiler ------------------------------------------------------------------------ */

static void compiled(struct see *s, enum sm_err e)
{
    struct module *m = &s->module;
    char words[RUN_WORDS];
    if (e == SM_E_MODULE) {
        (void)snprintf(words, sizeof words, "offset %zu: %s", m->made.fault.offset,
                       m->made.fault.reason);
        give_up(s, e, words);
        return;
    }
    if (e != SM_OK) {
        give_up(s, e, m->made.fault.reason);
        return;
    }
    sm_child_log(s->self, SM_LOG_INFO, "module",
                 "cached=%s compile_ms=%" PRIu32 " engine=\"%s\"",
                 m->made.was_cached != 0 ? "yes" : "no", m->made.build_ms, m->made.engine);
    m->phase = MODULE_LOADING;
    sm_timer_at(m->timer, sm_after(sm_clock_mono(), LOAD_WITHIN));
    e = start_worker(s);
    if (e != SM_OK) {
        give_up(s, e, "the worker could not be started");
    }
}

static void on_compiler(void *ctx, int events)
{
    struct see *s = ctx;
    struct module *m = &s->module;
    (void)events;
    enum sm_err e = sm_compile_step(&m->compile, sm_clock_mono(), &m->made);
    if (e != SM_E_BUSY) {
        watch_stop(&m->watch);
        compiled(s, e);
    }
}

static void on_timer(void *ctx)
{
    struct see *s = ctx;
    struct module *m = &s->module;
    if (m->phase == MODULE_COMPILING) {
        on_compiler(s, 0);
    } else if (m->phase == MODULE_LOADING) {
        drop_worker(m);
        give_up(s, SM_E_TIMEOUT, "the compiled module was not loaded in time");
    }
}

static enum sm_err start_compiler(struct see *s)
{
    struct module *m = &s->module;
    SM_TRY(sm_compile_start(&s->engine, sm_buf_view(&m->bytes), sm_clock_mono(), &m->compile));
    enum sm_err e = watch_start(s, m->compile.fd, on_compiler, &m->watch);
    if (e != SM_OK) {
        sm_compile_done(&m->compile);
        return e;
    }
    m->phase = MODULE_COMPILING;
    sm_timer_at(m->timer, m->compile.deadline);
    return SM_OK;
}

/* -- pieces ------------------------------------------------------------------------------ */

enum sm_err stage_piece(struct sm_buf *b, const struct sm_unit_piece *p)
{
    if (p->total > b->max) {
        return SM_E_LIMIT;
    }
    if (p->offset > p->total || p->bytes.n > p->total - p->offset) {
        return SM_E_MALFORMED;
    }
    if (p->offset == 0) {
        sm_buf_clear(b);
    }
    return p->offset == b->n ? sm_buf_add(b, p->bytes.p, p->bytes.n) : SM_E_STATE;
}

/* The whole module is here: is it the one the SEE was started for? */
static enum sm_err take_module(struct see *s)
{
    uint8_t hash[32];
    sm_sha256(sm_buf_view(&s->module.bytes), hash);
    if (memcmp(hash, s->start.module_hash, sizeof hash) != 0) {
        return SM_E_HASH;
    }
    return start_compiler(s);
}

void module_piece(struct see *s, uint64_t handle, const struct sm_unit_piece *p)
{
    struct module *m = &s->module;
    if (m->phase == MODULE_READY) {
        reply_state(s, handle, true);
        return;
    }
    if (m->phase != MODULE_NONE) {
        see_refuse(s, handle, SM_E_BUSY, "the module is being compiled");
        return;
    }
    enum sm_err e = stage_piece(&m->bytes, p);
    if (e == SM_OK && m->bytes.n < p->total) {
        reply_state(s, handle, false);
        return;
    }
    if (e == SM_OK) {
        e = take_module(s);
        sm_buf_done(&m->bytes);
    }
    if (e != SM_OK) {
        see_refuse(s, handle, e,
                   e == SM_E_HASH ? "this is not the module the SEE was started for"
                                  : "the module was not taken");
        return;
    }
    m->handle = handle;
}

enum sm_err module_init(struct see *s)
{
    s->module = (struct module){.bytes = SM_BUF(SM_WASM_MODULE_MAX), .watch.fd = -1};
    return sm_timer_new(s->loop, on_timer, s, &s->module.timer);
}

void module_done(struct see *s)
{
    struct module *m = &s->module;
    if (m->phase == MODULE_COMPILING) {
        watch_stop(&m->watch);
        sm_compile_done(&m->compile);
    }
    drop_worker(m);
    m->phase = MODULE_NONE;
    sm_buf_done(&m->bytes);
    sm_timer_free(m->timer);
    m->timer = NULL;
}
