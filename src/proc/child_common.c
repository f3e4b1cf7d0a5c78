// SPDX-License-Identifier: Apache-2.0
#include "proc/child_common.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN
#endif
#ifdef HAS_ASAN
/* The leak checker traces its own process, which confinement forbids. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

struct sm_self {
    enum sm_prog prog;
    const struct sm_child_ops *ops;
    void *ctx;
    struct sm_loop *loop;
    struct sm_ipc *main;
    struct sm_ipc *peers[SM_PROGS];
    struct sm_config config;
    bool is_started, is_over; /* between the two, the role gets messages */
    bool is_stopping;
    enum sm_log_level level;
    struct sm_confine_has has;
    int exit_code;
};

/* -- logging ----------------------------------------------------------------------------- */

bool sm_child_may_log(const struct sm_self *self, enum sm_log_level level)
{
    return level <= self->level;
}

void sm_child_log(struct sm_self *self, enum sm_log_level level, const char *event,
                  const char *fmt, ...)
{
    char text[1024];
    uint8_t body[1536];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    struct sm_view v;
    va_list ap;
    if (!sm_child_may_log(self, level) || self->main == NULL) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct sm_ipc_log m = {
        .level = (uint8_t)level, .event = sm_view_str(event), .text = sm_view_str(text)};
    sm_ipc_log_write(&m, &w);
    if (sm_wr_done(&w, &v) != SM_OK || sm_ipc_send(self->main, SM_IPC_LOG, 0, v, -1) != SM_OK) {
        return; /* a log line is what may be lost when main is slow */
    }
}

void sm_child_fail(struct sm_self *self)
{
    self->exit_code = 1;
    self->is_over = true;
    sm_loop_stop(self->loop);
}

/* -- what main tells every program ------------------------------------------------------- */

static void report_violation(struct sm_self *self, const struct sm_ipc *ch)
{
    uint8_t body[128];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    struct sm_view v;
    sm_wr_u8(&w, (uint8_t)sm_ipc_peer(ch));
    sm_wr_view(&w, sm_view_str(sm_ipc_violation(ch)));
    if (sm_wr_done(&w, &v) != SM_OK ||
        sm_ipc_send(self->main, SM_IPC_VIOLATION, 0, v, -1) != SM_OK) {
        sm_child_fail(self);
    }
}

static void peer_closed(void *ctx, struct sm_ipc *ch, enum sm_err why)
{
    struct sm_self *self = ctx;
    enum sm_prog peer = sm_ipc_peer(ch);
    (void)why;
    if (sm_ipc_violation(ch)[0] != '\0') {
        report_violation(self, ch);
    }
    self->peers[peer] = NULL;
    if (self->ops->peer != NULL) {
        self->ops->peer(self->ctx, peer, NULL);
    }
    sm_ipc_free(ch);
}

static void peer_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct sm_self *self = ctx;
    if (!self->is_over) { /* no message with a descriptor passes between peers */
        self->ops->message(self->ctx, ch, m);
    }
}

static enum sm_err take_peer(struct sm_self *self, const struct sm_ipc_msg *m)
{
    static const struct sm_ipc_ops ops = {.message = peer_message, .closed = peer_closed};
    uint8_t prog = m->body.n == 1 ? m->body.p[0] : SM_PROGS;
    struct sm_ipc *ch = NULL;
    if (prog >= SM_PROGS || prog == SM_PROG_MAIN || !self->is_started) {
        (void)close(m->fd);
        return SM_E_MALFORMED;
    }
    enum sm_err e =
        sm_ipc_new(self->loop, m->fd, self->prog, (enum sm_prog)prog, &ops, self, &ch);
    if (e != SM_OK) {
        (void)close(m->fd);
        return e;
    }
    if (self->peers[prog] != NULL) {
        struct sm_ipc *old = self->peers[prog];
        self->peers[prog] = NULL;
        if (self->ops->peer != NULL) {
            self->ops->peer(self->ctx, (enum sm_prog)prog, NULL);
        }
        sm_ipc_free(old);
    }
    self->peers[prog] = ch;
    if (self->ops->peer != NULL) {
        self->ops->peer(self->ctx, (enum sm_prog)prog, ch);
    }
    return SM_OK;
}

static enum sm_err take_config(struct sm_self *self, struct sm_view text)
{
    struct sm_config_problem why;
    char has[SM_CONFINE_TEXT];
    SM_TRY(sm_config_parse(text, NULL, &self->config, &why));
    self->level = (enum sm_log_level)self->config.log.level;
    SM_TRY(self->ops->start(self->ctx, self));
    self->is_started = true;
    sm_confine_print(&self->has, has);
    return sm_ipc_send(self->main, SM_IPC_READY, 0, sm_view_str(has), -1);
}

static enum sm_err take_level(struct sm_self *self, struct sm_view body)
{
    if (body.n != 1 || body.p[0] > SM_LOG_DEBUG) {
        return SM_E_MALFORMED;
    }
    self->level = (enum sm_log_level)body.p[0];
    return SM_OK;
}

static void take_shutdown(struct sm_self *self)
{
    self->is_stopping = true;
    if (self->ops->stop != NULL && self->is_started) {
        self->ops->stop(self->ctx);
    }
    self->is_over = true;
    sm_loop_stop(self->loop);
}

static void drop_fd(const struct sm_ipc_msg *m)
{
    if (m->fd >= 0) {
        (void)close(m->fd);
    }
}

static void main_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct sm_self *self = ctx;
    enum sm_err e = SM_OK;
    if (self->is_over) { /* what came behind the message that ended us */
        drop_fd(m);
        return;
    }
    if (m->type == SM_IPC_CONFIG) {
        e = take_config(self, m->body);
    } else if (m->type == SM_IPC_PEER) {
        e = take_peer(self, m);
    } else if (m->type == SM_IPC_LOG_LEVEL) {
        e = take_level(self, m->body);
    } else if (m->type == SM_IPC_SHUTDOWN) {
        take_shutdown(self);
    } else if (self->is_started) {
        self->ops->message(self->ctx, ch, m);
    } else {
        drop_fd(m);
        e = SM_E_STATE;
    }
    if (e != SM_OK) {
        sm_child_log(self, SM_LOG_ERROR, "cannot-go-on", "on=%s error=\"%s\"",
                     sm_ipc_name((uint16_t)m->type), sm_err_words(e));
        sm_child_fail(self);
    }
}

static void main_closed(void *ctx, struct sm_ipc *ch, enum sm_err why)
{
    struct sm_self *self = ctx;
    (void)why;
    sm_ipc_free(ch);
    self->main = NULL;
    self->exit_code = self->is_stopping ? 0 : 1;
    sm_loop_stop(self->loop);
}

/* -- the program's life ------------------------------------------------------------------ */

static void on_turn(void *ctx)
{
    struct sm_self *self = ctx;
    if (self->ops->turn != NULL && self->is_started && !self->is_over) {
        self->ops->turn(self->ctx);
    }
}

static enum sm_err run(struct sm_self *self)
{
    static const struct sm_ipc_ops ops = {.message = main_message, .closed = main_closed};
    SM_TRY(sm_loop_new(&self->loop));
    SM_TRY(sm_ipc_new(self->loop, SM_CHILD_FD_MAIN, self->prog, SM_PROG_MAIN, &ops, self,
                      &self->main));
    sm_loop_on_turn(self->loop, on_turn, self);
    sm_loop_run(self->loop);
    return SM_OK;
}

int sm_child_main(enum sm_prog prog, const struct sm_child_ops *ops, void *ctx, int argc,
                  char **argv)
{
    (void)argv;
    if (argc != 1 || !sm_unix_is_socket(SM_CHILD_FD_MAIN)) {
        (void)fprintf(stderr, "seemesh-%s: started by seemeshd(8), not by hand\n",
                      sm_prog_name(prog));
        return 2;
    }
    /* Static, because it lives as long as the process does: see the end. */
    static struct sm_self the_self;
    struct sm_self *self = &the_self;
    self->prog = prog;
    self->ops = ops;
    self->ctx = ctx;
    self->level = SM_LOG_INFO;
    if (run(self) != SM_OK) {
        self->exit_code = 1;
    }
    int code = self->exit_code;
    /* The process ends here: sockets flush and close, the kernel takes the rest.  Freeing the
     * loop would demand that every role frees each stream and timer on each path. */
    for (size_t i = 0; i < SM_PROGS; i++) {
        sm_ipc_free(self->peers[i]);
    }
    sm_ipc_free(self->main);
    return code;
}

struct sm_loop *sm_self_loop(struct sm_self *self)
{
    return self->loop;
}

const struct sm_config *sm_self_config(const struct sm_self *self)
{
    return &self->config;
}

struct sm_ipc *sm_self_main(struct sm_self *self)
{
    return self->main;
}

struct sm_ipc *sm_self_peer(struct sm_self *self, enum sm_prog peer)
{
    return (unsigned)peer < SM_PROGS ? self->peers[peer] : NULL;
}

enum sm_err sm_child_confine(struct sm_self *self, const struct sm_path_rule *rules, size_t n,
                             unsigned path_flags, unsigned call_groups)
{
    SM_TRY(sm_confine_begin(&self->has));
    SM_TRY(sm_confine_paths(rules, n, path_flags, &self->has));
    return sm_confine_calls(call_groups, &self->has);
}
