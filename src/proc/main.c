// SPDX-License-Identifier: Apache-2.0
/* seemeshd: starts a node's programs, joins them, and starts again what dies.
 *
 * It reads the configuration, takes the node's lock, binds the sockets and hands them to net,
 * so that net needs no right to bind; it never parses a byte from the network.  A program that
 * ends, or breaks the table of proc/ipc.h, is started again after a pause that doubles; one
 * that never came up ends the node with a reason, because trying again would not help.
 */
#include "attest/rules.h"
#include "crypto/kem.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/loop.h"
#include "os/net.h"
#include "os/udp.h"
#include "proc/child_common.h"
#include "proc/config.h"
#include "proc/identity.h"
#include "proc/ipc.h"
#include "proc/kept.h"
#include "proc/log.h"
#include "seemesh/version.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKOFF_MIN SM_MS(100)
#define BACKOFF_MAX SM_S(10)
#define STEADY      SM_S(60) /* a program that lived this long starts its pauses anew */
#define STOP_GRACE  SM_S(5)
#define CLOCK_EVERY SM_S(600) /* looked at, and remembered */
#define LISTENERS   (2 * SM_CONFIG_TCP_MAX + 1)
/* SEEs are endpoints of the node like clients, whose numbers net gives below this one. */
#define FIRST_INSTANCE 65536u

enum { EXIT_OK = 0, EXIT_FAILED_START = 1, EXIT_USAGE = 2 };

struct daemon;

/* A program of the node: net, keys, store, or one SEE's supervisor. */
struct program {
    struct daemon *d;
    enum sm_prog prog;
    struct sm_child child;
    struct sm_child_watch *watch;
    struct sm_ipc *ch;
    struct sm_timer *again; /* the fixed programs: when to start next */
    struct sm_dur pause;
    struct sm_mono started;
    bool is_wanted, is_running, was_ready;
    bool was_ever_ready; /* so it can start: when it dies it is started again, always */
    /* SEE supervisors: */
    uint64_t instance;
    uint64_t certify_id; /* the question it waits for; 0 = none, else its id + 1 */
};

struct listener {
    int fd;
    enum sm_ipc_listener kind;
    char address[SM_UNIX_PATH];
};

struct daemon {
    struct sm_loop *loop;
    struct sm_config config;
    struct sm_buf config_text;
    struct sm_log log;
    char libexec[SM_PATH];
    int lock_fd;
    struct listener listeners[LISTENERS];
    size_t n_listeners;
    struct program fixed[SM_PROGS]; /* by enum sm_prog; main and run stay empty */
    struct program *sees;           /* config.see.slots of them */
    uint64_t next_instance;
    uint8_t see_measurement[48];
    struct sm_signal *signals[2];
    struct sm_timer *stop_timer, *clock_timer;
    bool is_stopping;
    int exit_code;
};

/* -- logging ----------------------------------------------------------------------------- */

static void log_view(struct daemon *d, const char *process, enum sm_log_level level,
                     struct sm_view event, struct sm_view text)
{
    char line[SM_LOG_LINE];
    size_t n = sm_log_line(&d->log, sm_clock_mono(), sm_clock_wall_ms(), process, level, event,
                           text, line);
    if (n > 0) {
        ssize_t put = write(STDERR_FILENO, line, n);
        (void)put; /* there is nowhere else to say it */
    }
}

static void note(struct daemon *d, enum sm_log_level level, const char *event, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));
static void note(struct daemon *d, enum sm_log_level level, const char *event, const char *fmt,
                 ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_view(d, "main", level, sm_view_str(event), sm_view_str(text));
}

/* One line on standard error, for people who started us by hand. */
static void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fputs("seemeshd: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
}

/* -- the end ----------------------------------------------------------------------------- */

static bool any_running(const struct daemon *d)
{
    for (size_t i = 0; i < SM_PROGS; i++) {
        if (d->fixed[i].is_running) {
            return true;
        }
    }
    for (size_t i = 0; i < d->config.see.slots; i++) {
        if (d->sees[i].is_running) {
            return true;
        }
    }
    return false;
}

static void stop_program(struct program *p)
{
    if (p->again != NULL) {
        sm_timer_at(p->again, SM_NEVER);
    }
    if (!p->is_running) {
        return;
    }
    if (p->ch == NULL ||
        sm_ipc_send(p->ch, SM_IPC_SHUTDOWN, 0, (struct sm_view){0}, -1) != SM_OK) {
        sm_child_kill(&p->child, SIGKILL);
    }
}

static void stop(struct daemon *d, int exit_code)
{
    if (d->is_stopping) {
        return;
    }
    d->is_stopping = true;
    d->exit_code = exit_code;
    for (size_t i = 0; i < SM_PROGS; i++) {
        stop_program(&d->fixed[i]);
    }
    for (size_t i = 0; i < d->config.see.slots; i++) {
        stop_program(&d->sees[i]);
    }
    sm_timer_at(d->stop_timer, sm_after(sm_clock_mono(), STOP_GRACE));
    if (!any_running(d)) {
        sm_loop_stop(d->loop);
    }
}

static void kill_all(void *ctx)
{
    struct daemon *d = ctx;
    for (size_t i = 0; i < SM_PROGS; i++) {
        if (d->fixed[i].is_running) {
            note(d, SM_LOG_WARN, "program-killed", "program=%s why=\"did not stop in time\"",
                 sm_prog_name(d->fixed[i].prog));
            sm_child_kill(&d->fixed[i].child, SIGKILL);
        }
    }
    for (size_t i = 0; i < d->config.see.slots; i++) {
        if (d->sees[i].is_running) {
            sm_child_kill(&d->sees[i].child, SIGKILL);
        }
    }
}

static void on_signal(void *ctx, int signo)
{
    struct daemon *d = ctx;
    if (d->is_stopping) {
        kill_all(d); /* asked twice: now */
        return;
    }
    note(d, SM_LOG_NOTICE, "stopping", "signal=%s", signo == SIGINT ? "INT" : "TERM");
    stop(d, EXIT_OK);
}

/* -- messages ---------------------------------------------------------------------------- */

static void drop_program(struct program *p, const char *why)
{
    note(p->d, SM_LOG_ERROR, "program-dropped", "program=%s why=\"%s\"", sm_prog_name(p->prog),
         why);
    sm_child_kill(&p->child, SIGKILL); /* its exit does the rest */
}

/* Send to a program that may be gone; a queue that overflows is a program that hangs. */
static void tell(struct program *p, enum sm_ipc_type type, uint64_t id, struct sm_view body,
                 int fd)
{
    enum sm_err e = p->ch != NULL ? sm_ipc_send(p->ch, type, id, body, fd) : SM_E_CLOSED;
    if (e != SM_OK && fd >= 0) {
        (void)close(fd);
    }
    if (e == SM_E_LIMIT) {
        drop_program(p, "it does not read its messages");
    }
}

static void tell_answer(struct program *p, enum sm_ipc_type type, uint64_t id, enum sm_err e,
                        struct sm_view body)
{
    if (p->ch != NULL && sm_ipc_answer(p->ch, type, id, e, body) == SM_E_LIMIT) {
        drop_program(p, "it does not read its messages");
    }
}

static void on_log(struct program *p, struct sm_view body)
{
    struct sm_ipc_log m;
    if (sm_ipc_log_read(body, &m) == SM_OK && m.level <= SM_LOG_DEBUG) {
        log_view(p->d, sm_prog_name(p->prog), (enum sm_log_level)m.level, m.event, m.text);
    }
}

static void on_violation(struct program *p, struct sm_view body)
{
    uint8_t about = body.n > 0 ? body.p[0] : SM_PROGS;
    char quoted[SM_LOG_QUOTED(128)];
    if (about >= SM_PROGS || !p->d->fixed[about].is_running) {
        return;
    }
    sm_log_quote(sm_view_sub(body, 1, 128), quoted);
    note(p->d, SM_LOG_ERROR, "violation", "by=%s seen-by=%s what=%s",
         sm_prog_name((enum sm_prog)about), sm_prog_name(p->prog), quoted);
    drop_program(&p->d->fixed[about], "it broke the table of messages");
}

/* keys has verified it. */
static void on_keep(struct daemon *d, const struct sm_ipc_msg *m)
{
    struct sm_ipc_keep k;
    const char *home = d->config.node.home;
    enum sm_err e = sm_ipc_keep_read(m->body, &k);
    e = e == SM_OK ? sm_kept_write(home, k.kind, k.doc) : e;
    e = e == SM_OK ? sm_kept_floor_raise(home, k.issued) : e;
    if (e != SM_OK) {
        note(d, SM_LOG_ERROR, "document-not-kept", "home=%s kind=%u error=\"%s\"", home,
             (unsigned)k.kind, sm_err_words(e));
    }
}

/* What was believed before the restart. */
static void give_documents(struct program *p)
{
    static const uint8_t kinds[] = {SM_DOC_REVOCATION, SM_DOC_MANIFEST};
    for (size_t i = 0; i < SM_COUNT(kinds); i++) {
        SM_CLEANUP(sm_buf_done) struct sm_buf body = SM_BUF((64u << 10) + 1);
        SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(64u << 10);
        enum sm_err e = sm_kept_read(p->d->config.node.home, kinds[i], &doc);
        if (e == SM_E_NOTFOUND) {
            continue;
        }
        e = e == SM_OK ? sm_buf_add(&body, &kinds[i], 1) : e;
        e = e == SM_OK ? sm_buf_add(&body, doc.p, doc.n) : e;
        if (e != SM_OK) {
            note(p->d, SM_LOG_ERROR, "document-unreadable", "home=%s kind=%u error=\"%s\"",
                 p->d->config.node.home, (unsigned)kinds[i], sm_err_words(e));
            continue;
        }
        tell(p, SM_IPC_DOCUMENT, 0, sm_buf_view(&body), -1);
    }
}

static struct program *find_see(struct daemon *d, uint64_t instance)
{
    for (size_t i = 0; i < d->config.see.slots; i++) {
        if (d->sees[i].is_running && d->sees[i].instance == instance) {
            return &d->sees[i];
        }
    }
    return NULL;
}

/* An SEE's supervisor asks for its certificate.  Who it is, main knows better than it. */
static void on_certify(struct program *see, const struct sm_ipc_msg *m)
{
    struct daemon *d = see->d;
    struct sm_ipc_certify ask;
    uint8_t bytes[SM_IPC_SMALL];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_view v;
    struct program *keys = &d->fixed[SM_PROG_KEYS];
    if (see->certify_id != 0 || keys->ch == NULL ||
        sm_ipc_certify_read(m->body, &ask) != SM_OK) {
        tell_answer(see, SM_IPC_CERTIFIED, m->id, SM_E_BUSY, (struct sm_view){0});
        return;
    }
    ask.kind = SM_ENDPOINT_SEE;
    ask.ep = (uint32_t)see->instance;
    memcpy(ask.measurement, d->see_measurement, sizeof ask.measurement);
    sm_ipc_certify_write(&ask, &w);
    if (sm_wr_done(&w, &v) == SM_OK) {
        see->certify_id = m->id + 1;
        tell(keys, SM_IPC_CERTIFY, see->instance, v, -1);
    }
}

static void on_certified(struct daemon *d, const struct sm_ipc_msg *m)
{
    struct program *see = find_see(d, m->id);
    enum sm_err e;
    struct sm_view record;
    if (see == NULL || see->certify_id == 0 ||
        sm_ipc_answer_read(m->body, &e, &record) != SM_OK) {
        return; /* it died meanwhile */
    }
    uint64_t id = see->certify_id - 1;
    see->certify_id = 0;
    tell_answer(see, SM_IPC_CERTIFIED, id, e, record);
}

static void see_spawn(struct daemon *d, const struct sm_ipc_msg *m);

static void on_see_stop(struct daemon *d, struct sm_view body)
{
    uint64_t instance;
    if (sm_ipc_u64_read(body, &instance) != SM_OK) {
        return;
    }
    struct program *see = find_see(d, instance);
    if (see != NULL) {
        sm_child_kill(&see->child, SIGKILL);
    }
}

static void on_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct program *p = ctx;
    (void)ch;
    switch ((uint16_t)m->type) {
    case SM_IPC_LOG:
        on_log(p, m->body);
        break;
    case SM_IPC_READY:
        p->was_ready = p->was_ever_ready = true;
        note(p->d, SM_LOG_INFO, "program-ready", "program=%s %.*s", sm_prog_name(p->prog),
             (int)m->body.n, (const char *)m->body.p);
        break;
    case SM_IPC_HEALTH:
        log_view(p->d, sm_prog_name(p->prog), SM_LOG_INFO, sm_view_str("health"), m->body);
        break;
    case SM_IPC_VIOLATION:
        on_violation(p, m->body);
        break;
    case SM_IPC_SEE_SPAWN:
        see_spawn(p->d, m);
        break;
    case SM_IPC_SEE_STOP:
        on_see_stop(p->d, m->body);
        break;
    case SM_IPC_CERTIFY:
        on_certify(p, m);
        break;
    case SM_IPC_CERTIFIED:
        on_certified(p->d, m);
        break;
    case SM_IPC_KEEP:
        on_keep(p->d, m);
        break;
    default: /* the table lets nothing else through */
        break;
    }
}

static void on_closed(void *ctx, struct sm_ipc *ch, enum sm_err why)
{
    struct program *p = ctx;
    (void)why;
    if (sm_ipc_violation(ch)[0] != '\0') {
        drop_program(p, sm_ipc_violation(ch));
    }
    p->ch = NULL;
    sm_ipc_free(ch);
}

/* -- starting ---------------------------------------------------------------------------- */

static void on_exit_of(void *ctx, struct sm_child_exit how);

static enum sm_err exec_program(struct program *p, const struct sm_fd_map *more, size_t n_more)
{
    static const struct sm_ipc_ops ops = {.message = on_message, .closed = on_closed};
    char path[SM_PATH], name[32];
    int fds[2];
    (void)snprintf(name, sizeof name, "seemesh-%s", sm_prog_name(p->prog));
    SM_TRY(sm_path_join(p->d->libexec, name, path));
    SM_TRY(sm_unix_pair(fds));
    struct sm_fd_map map[2] = {{fds[1], SM_CHILD_FD_MAIN}};
    if (n_more > 0) {
        map[1] = more[0];
    }
    const char *const argv[] = {name, NULL};
    /* A group of its own: Ctrl-C at a terminal reaches main alone, which stops the others. */
    const struct sm_child_cfg cfg = {.path = path,
                                     .argv = argv,
                                     .fds = map,
                                     .n_fds = 1 + n_more,
                                     .cwd = "/",
                                     .own_group = true,
                                     .die_with_parent = true};
    enum sm_err e = sm_child_spawn(&cfg, &p->child);
    (void)close(fds[1]);
    if (e != SM_OK) {
        (void)close(fds[0]);
        return e;
    }
    p->is_running = true;
    p->was_ready = false;
    p->started = sm_clock_mono();
    e = sm_child_watch_new(p->d->loop, &p->child, on_exit_of, p, &p->watch);
    if (e != SM_OK) {
        int status;
        (void)close(fds[0]);
        sm_child_kill(&p->child, SIGKILL);
        p->is_running = sm_child_wait(&p->child, &status) != SM_OK;
        return e;
    }
    if (sm_ipc_new(p->d->loop, fds[0], SM_PROG_MAIN, p->prog, &ops, p, &p->ch) != SM_OK) {
        (void)close(fds[0]);
        sm_child_kill(&p->child, SIGKILL); /* its exit is seen by the watch */
        return SM_OK;
    }
    tell(p, SM_IPC_CONFIG, 0, sm_buf_view(&p->d->config_text), -1);
    return SM_OK;
}

/* A channel between two programs that both run. */
static void join(struct daemon *d, enum sm_prog a, enum sm_prog b)
{
    const uint8_t names[2] = {(uint8_t)b, (uint8_t)a};
    int fds[2];
    if (d->fixed[a].ch == NULL || d->fixed[b].ch == NULL) {
        return;
    }
    if (sm_unix_pair(fds) != SM_OK) {
        note(d, SM_LOG_ERROR, "no-channel", "between=%s and=%s why=\"out of descriptors\"",
             sm_prog_name(a), sm_prog_name(b));
        return;
    }
    tell(&d->fixed[a], SM_IPC_PEER, 0, sm_view_of(&names[0], 1), fds[0]);
    tell(&d->fixed[b], SM_IPC_PEER, 0, sm_view_of(&names[1], 1), fds[1]);
}

static void give_listeners(struct daemon *d)
{
    for (size_t i = 0; i < d->n_listeners; i++) {
        uint8_t body[1 + SM_UNIX_PATH];
        int fd;
        body[0] = (uint8_t)d->listeners[i].kind;
        size_t n = strlen(d->listeners[i].address);
        memcpy(body + 1, d->listeners[i].address, n);
        if (sm_fd_dup(d->listeners[i].fd, &fd) == SM_OK) {
            tell(&d->fixed[SM_PROG_NET], SM_IPC_LISTENER, 0, sm_view_of(body, 1 + n), fd);
        }
    }
}

static enum sm_err start_fixed(struct program *p)
{
    SM_TRY(exec_program(p, NULL, 0));
    if (p->prog != SM_PROG_STORE) {
        give_documents(p); /* before it hears from anybody else */
    }
    if (p->prog == SM_PROG_NET) {
        join(p->d, SM_PROG_NET, SM_PROG_KEYS);
        join(p->d, SM_PROG_NET, SM_PROG_STORE);
        give_listeners(p->d);
    } else {
        join(p->d, SM_PROG_NET, p->prog);
    }
    return SM_OK;
}

static void start_again(void *ctx)
{
    struct program *p = ctx;
    enum sm_err e = start_fixed(p);
    if (e != SM_OK) {
        note(p->d, SM_LOG_ERROR, "program-not-started", "program=%s error=\"%s\"",
             sm_prog_name(p->prog), sm_err_words(e));
        stop(p->d, EXIT_FAILED_START);
    }
}

static void fixed_ended(struct program *p, struct sm_child_exit how)
{
    struct daemon *d = p->d;
    if (d->is_stopping && !how.was_signal && how.code == 0) {
        return;
    }
    note(d, SM_LOG_ERROR, "program-ended", "program=%s %s=%d ready=%s", sm_prog_name(p->prog),
         how.was_signal ? "signal" : "exit", how.code, p->was_ready ? "yes" : "no");
    if (d->is_stopping) {
        return;
    }
    if (!p->was_ever_ready) {
        note(d, SM_LOG_ERROR, "giving-up", "program=%s why=\"it could not start\"",
             sm_prog_name(p->prog));
        stop(d, EXIT_FAILED_START);
        return;
    }
    for (size_t i = 0; p->prog == SM_PROG_KEYS && i < d->config.see.slots; i++) {
        struct program *see = &d->sees[i];
        if (see->certify_id != 0) { /* it asked keys in vain */
            uint64_t id = see->certify_id - 1;
            see->certify_id = 0;
            tell_answer(see, SM_IPC_CERTIFIED, id, SM_E_BUSY, (struct sm_view){0});
        }
    }
    if (p->prog == SM_PROG_NET) { /* their sessions ended with it */
        for (size_t i = 0; i < d->config.see.slots; i++) {
            if (d->sees[i].is_running) {
                sm_child_kill(&d->sees[i].child, SIGKILL);
            }
        }
    }
    struct sm_mono now = sm_clock_mono();
    bool was_steady = sm_between(p->started, now).ns >= STEADY.ns;
    p->pause.ns = was_steady || p->pause.ns == 0 ? BACKOFF_MIN.ns : p->pause.ns * 2;
    p->pause.ns = p->pause.ns > BACKOFF_MAX.ns ? BACKOFF_MAX.ns : p->pause.ns;
    sm_timer_at(p->again, sm_after(now, p->pause));
}

static void see_ended(struct program *p, struct sm_child_exit how)
{
    uint8_t bytes[16];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_view v;
    const struct sm_ipc_exit m = {
        .instance = p->instance, .was_signal = how.was_signal, .code = how.code};
    note(p->d, SM_LOG_INFO, "see-ended", "instance=%" PRIu64 " %s=%d", p->instance,
         how.was_signal ? "signal" : "exit", how.code);
    sm_ipc_exit_write(&m, &w);
    if (sm_wr_done(&w, &v) == SM_OK && !p->d->is_stopping) {
        tell(&p->d->fixed[SM_PROG_NET], SM_IPC_SEE_EXIT, 0, v, -1);
    }
    p->certify_id = 0;
}

static void on_exit_of(void *ctx, struct sm_child_exit how)
{
    struct program *p = ctx;
    struct daemon *d = p->d;
    p->is_running = false;
    sm_child_kill(&p->child, SIGKILL); /* what it left behind in its group */
    sm_child_watch_free(p->watch);
    p->watch = NULL;
    sm_child_done(&p->child);
    /* Its last words are still in the socket: read them. */
    if (p->ch != NULL) {
        sm_ipc_drain(p->ch);
    }
    sm_ipc_free(p->ch);
    p->ch = NULL;
    if (p->prog == SM_PROG_RUN) {
        see_ended(p, how);
    } else {
        fixed_ended(p, how);
    }
    if (d->is_stopping && !any_running(d)) {
        sm_loop_stop(d->loop);
    }
}

/* -- SEE instances ----------------------------------------------------------------------- */

static struct program *free_slot(struct daemon *d)
{
    for (size_t i = 0; i < d->config.see.slots; i++) {
        if (!d->sees[i].is_running) {
            return &d->sees[i];
        }
    }
    return NULL;
}

/* The launch settings behind who the SEE is: its instance, whose low half is its endpoint. */
static void launch_see(struct program *see, struct sm_view settings)
{
    uint8_t bytes[SM_IPC_SMALL];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_view v;
    sm_wr_u64(&w, see->instance);
    sm_wr_u32(&w, (uint32_t)see->instance);
    sm_wr_view(&w, settings);
    if (sm_wr_done(&w, &v) != SM_OK) {
        drop_program(see, "its launch settings are too long");
        return;
    }
    tell(see, SM_IPC_LAUNCH, 0, v, -1);
}

static enum sm_err start_see(struct daemon *d, struct program *see, struct sm_view settings)
{
    int fds[2];
    uint8_t instance[8];
    SM_TRY(sm_unix_pair(fds));
    const struct sm_fd_map endpoint = {fds[1], SM_CHILD_FD_ENDPOINT};
    enum sm_err e = exec_program(see, &endpoint, 1);
    (void)close(fds[1]);
    if (e != SM_OK) {
        (void)close(fds[0]);
        return e;
    }
    see->instance = d->next_instance++;
    sm_put_le64(instance, see->instance);
    launch_see(see, settings);
    tell(&d->fixed[SM_PROG_NET], SM_IPC_ENDPOINT, 0, sm_view_of(instance, 8), fds[0]);
    return SM_OK;
}

static void see_spawn(struct daemon *d, const struct sm_ipc_msg *m)
{
    uint8_t instance[8] = {0};
    struct program *net = &d->fixed[SM_PROG_NET];
    struct program *see = free_slot(d);
    enum sm_err e = d->is_stopping                              ? SM_E_CANCELLED
                    : (d->config.node.roles & SM_NODE_SEE) == 0 ? SM_E_UNSUPPORTED
                    : see == NULL                               ? SM_E_LIMIT
                                                                : start_see(d, see, m->body);
    if (e == SM_OK) {
        sm_put_le64(instance, see->instance);
    } else {
        note(d, SM_LOG_WARN, "see-refused", "error=\"%s\" slots=%" PRIu32, sm_err_words(e),
             d->config.see.slots);
    }
    tell_answer(net, SM_IPC_SEE_SPAWNED, m->id, e, sm_view_of(instance, 8));
}

/* -- sockets ----------------------------------------------------------------------------- */

/* Where UDP cannot be had, TCP does: that is said and no reason not to start. */
static void listen_udp(struct daemon *d, const struct sm_inet *at)
{
    struct listener *l = &d->listeners[d->n_listeners];
    char text[SM_INET_TEXT];
    sm_inet_print(at, text);
    enum sm_err e = sm_udp_bind(at, &l->fd);
    if (e != SM_OK) {
        note(d, SM_LOG_WARN, "no-udp", "udp=%s err=%s", text, sm_err_name(e));
        return;
    }
    l->kind = SM_LISTENER_UDP;
    (void)snprintf(l->address, sizeof l->address, "%s", text);
    d->n_listeners++;
    note(d, SM_LOG_NOTICE, "listening", "udp=%s", text);
}

static bool listen_tcp(struct daemon *d, struct sm_inet at)
{
    struct listener *l = &d->listeners[d->n_listeners];
    char text[SM_INET_TEXT];
    sm_inet_print(&at, text);
    enum sm_err e = sm_tcp_listen(&at, &l->fd);
    if (e != SM_OK) {
        complain(e == SM_E_BUSY
                     ? "%s is in use: stop what listens there, or change [listen] tcp in %s"
                     : "cannot listen on %s: check [listen] tcp in %s",
                 text, d->config.node.home);
        return false;
    }
    if (sm_tcp_local(l->fd, &at) == SM_OK) { /* port 0 has become a real one */
        sm_inet_print(&at, text);
    }
    l->kind = SM_LISTENER_TCP;
    (void)snprintf(l->address, sizeof l->address, "%s", text);
    d->n_listeners++;
    note(d, SM_LOG_NOTICE, "listening", "tcp=%s", text);
    if (d->config.listen.udp == SM_UDP_SAME) {
        listen_udp(d, &at);
    }
    return true;
}

static bool listen_control(struct daemon *d)
{
    struct listener *l = &d->listeners[d->n_listeners];
    const char *path = d->config.listen.control;
    enum sm_err e = sm_unix_listen(path, 0600, true, &l->fd);
    if (e != SM_OK) {
        complain("cannot make the control socket %s: %s", path,
                 e == SM_E_EXISTS     ? "something else is there"
                 : e == SM_E_NOTFOUND ? "its folder is missing"
                                      : sm_err_words(e));
        return false;
    }
    l->kind = SM_LISTENER_CONTROL;
    (void)snprintf(l->address, sizeof l->address, "%s", path);
    d->n_listeners++;
    return true;
}

static bool open_sockets(struct daemon *d)
{
    for (size_t i = 0; i < d->config.listen.n_tcp; i++) {
        if (!listen_tcp(d, d->config.listen.tcp[i])) {
            return false;
        }
    }
    return listen_control(d);
}

static void close_sockets(struct daemon *d)
{
    for (size_t i = 0; i < d->n_listeners; i++) {
        (void)close(d->listeners[i].fd);
        if (d->listeners[i].kind == SM_LISTENER_CONTROL) {
            (void)unlink(d->listeners[i].address);
        }
    }
}

/* -- the daemon's life ------------------------------------------------------------------- */

static bool take_lock(struct daemon *d)
{
    char path[SM_PATH];
    enum sm_err e = sm_path_join(d->config.node.home, "lock", path);
    if (e == SM_OK) {
        e = sm_file_lock(path, &d->lock_fd);
    }
    if (e == SM_E_BUSY) {
        complain("another seemeshd runs this node: %s is locked", path);
    } else if (e == SM_E_NOTFOUND) {
        complain("%s is not there: make the node with seemesh init", d->config.node.home);
    } else if (e != SM_OK) {
        complain("cannot lock %s: %s", path, sm_err_words(e));
    }
    return e == SM_OK;
}

static bool is_program_there(const struct daemon *d, enum sm_prog prog)
{
    char path[SM_PATH], name[32];
    (void)snprintf(name, sizeof name, "seemesh-%s", sm_prog_name(prog));
    if (sm_path_join(d->libexec, name, path) == SM_OK && access(path, X_OK) == 0) {
        return true;
    }
    complain("%s is not in %s: the installation is incomplete (or give --libexec DIR)", name,
             d->libexec);
    return false;
}

/* -- the clock --------------------------------------------------------------------------- */

/* By a clock that was set back, what has expired would be good again. */
static bool is_clock_possible(struct daemon *d)
{
    struct sm_wall floor, now = sm_clock_wall();
    const char *home = d->config.node.home;
    enum sm_err e = sm_kept_floor(home, &floor);
    if (e != SM_OK) {
        complain("cannot read %s/rules/time-floor: %s", home, sm_err_words(e));
        return false;
    }
    if (sm_kept_is_below(now, floor)) {
        complain("the clock is wrong: it says %" PRIu64 ", but this node has known %" PRIu64
                 " (seconds of Unix time); set the clock.  If it was ahead then, and is right "
                 "now, remove %s/rules/time-floor",
                 now.s, floor.s, home);
        return false;
    }
    e = sm_kept_floor_raise(home, now);
    if (e != SM_OK) {
        complain("cannot write %s/rules/time-floor: %s", home, sm_err_words(e));
    }
    return e == SM_OK;
}

static void on_clock(void *ctx)
{
    struct daemon *d = ctx;
    if (!d->is_stopping && !is_clock_possible(d)) {
        note(d, SM_LOG_ERROR, "clock-impossible", "now=%" PRIu64, sm_clock_wall().s);
        stop(d, EXIT_FAILED_START);
    }
    sm_timer_at(d->clock_timer, sm_after(sm_clock_mono(), CLOCK_EVERY));
}

static bool want_programs(struct daemon *d)
{
    static const enum sm_prog fixed[] = {SM_PROG_KEYS, SM_PROG_STORE, SM_PROG_NET};
    for (size_t i = 0; i < SM_COUNT(fixed); i++) {
        struct program *p = &d->fixed[fixed[i]];
        p->is_wanted = fixed[i] != SM_PROG_STORE || (d->config.node.roles & SM_NODE_STORE) != 0;
        if (p->is_wanted && (!is_program_there(d, fixed[i]) ||
                             sm_timer_new(d->loop, start_again, p, &p->again) != SM_OK)) {
            return false;
        }
    }
    char path[SM_PATH];
    if ((d->config.node.roles & SM_NODE_SEE) != 0) {
        return is_program_there(d, SM_PROG_RUN) &&
               sm_path_join(d->libexec, "seemesh-run", path) == SM_OK &&
               sm_measure_file(path, d->see_measurement) == SM_OK;
    }
    return true;
}

static void start_all(struct daemon *d)
{
    static const enum sm_prog order[] = {SM_PROG_KEYS, SM_PROG_STORE, SM_PROG_NET};
    for (size_t i = 0; i < SM_COUNT(order) && !d->is_stopping; i++) {
        if (d->fixed[order[i]].is_wanted) {
            start_again(&d->fixed[order[i]]);
        }
    }
}

static bool prepare(struct daemon *d)
{
    d->sees = calloc(d->config.see.slots + 1u, sizeof *d->sees);
    if (d->sees == NULL || sm_loop_new(&d->loop) != SM_OK ||
        sm_config_print(&d->config, &d->config_text) != SM_OK ||
        sm_timer_new(d->loop, kill_all, d, &d->stop_timer) != SM_OK ||
        sm_timer_new(d->loop, on_clock, d, &d->clock_timer) != SM_OK ||
        sm_signal_new(d->loop, SIGTERM, on_signal, d, &d->signals[0]) != SM_OK ||
        sm_signal_new(d->loop, SIGINT, on_signal, d, &d->signals[1]) != SM_OK) {
        complain("out of memory");
        return false;
    }
    for (size_t i = 0; i < SM_PROGS; i++) {
        d->fixed[i] = (struct program){.d = d, .prog = (enum sm_prog)i, .child.pidfd = -1};
    }
    for (size_t i = 0; i < d->config.see.slots; i++) {
        d->sees[i] = (struct program){.d = d, .prog = SM_PROG_RUN, .child.pidfd = -1};
    }
    d->log.level = (enum sm_log_level)d->config.log.level;
    sm_timer_at(d->clock_timer, sm_after(sm_clock_mono(), CLOCK_EVERY));
    return want_programs(d) && take_lock(d) && is_clock_possible(d) && open_sockets(d);
}

static void release(struct daemon *d)
{
    for (size_t i = 0; i < SM_PROGS; i++) {
        sm_timer_free(d->fixed[i].again);
    }
    for (size_t i = 0; i < SM_COUNT(d->signals); i++) {
        sm_signal_free(d->signals[i]);
    }
    sm_timer_free(d->stop_timer);
    sm_timer_free(d->clock_timer);
    sm_loop_free(d->loop);
    sm_buf_done(&d->config_text);
    free(d->sees);
    close_sockets(d);
    if (d->lock_fd >= 0) {
        (void)close(d->lock_fd);
    }
}

static int run(struct daemon *d)
{
    if (!prepare(d)) {
        release(d);
        return EXIT_FAILED_START;
    }
    note(d, SM_LOG_NOTICE, "start", "version=%s node=%s mesh=%s environment=%s home=%s",
         SEEMESH_VERSION, d->config.node.name, d->config.node.mesh,
         sm_env_name((enum sm_env)d->config.node.environment), d->config.node.home);
    if (d->config.node.environment == SM_ENV_DEV) {
        note(d, SM_LOG_WARN, "development-root",
             "what=\"attestation proves nothing about the machines of this mesh\"");
    }
    start_all(d);
    if (any_running(d)) {
        sm_loop_run(d->loop);
    }
    note(d, SM_LOG_NOTICE, "stopped", "exit=%d", d->exit_code);
    int code = d->exit_code;
    release(d);
    return code;
}

/* -- the command line -------------------------------------------------------------------- */

struct options {
    const char *config, *home, *libexec, *check;
};

static const char help[] =
    "usage: seemeshd --home DIR [--config FILE] [--libexec DIR]\n"
    "       seemeshd --check-config FILE\n"
    "\n"
    "Runs a node in the foreground; logs to standard error; ends on SIGTERM or SIGINT.\n"
    "\n"
    "  --home DIR           the node's folder, as seemesh init made it\n"
    "  --config FILE        instead of DIR/seemesh.conf\n"
    "  --check-config FILE  print the canonical form of a configuration, or what is wrong\n"
    "  --libexec DIR        where the node's programs are (else beside this one, or "
    "installed)\n"
    "  --version            print the version\n"
    "  --help               print this\n";

/* 0 = go on, else the exit code + 1. */
static int parse_options(int argc, char **argv, struct options *out)
{
    const struct {
        const char *name;
        const char **value;
    } table[] = {{"--config", &out->config},
                 {"--home", &out->home},
                 {"--libexec", &out->libexec},
                 {"--check-config", &out->check}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "--help") == 0 ||
            strcmp(argv[i], "-h") == 0) {
            (void)fputs(argv[i][2] == 'v' ? "seemeshd " SEEMESH_VERSION "\n" : help, stdout);
            return 1 + EXIT_OK;
        }
        while (k < SM_COUNT(table) && strcmp(argv[i], table[k].name) != 0) {
            k++;
        }
        if (k == SM_COUNT(table) || i + 1 == argc) {
            complain(k == SM_COUNT(table) ? "unknown option '%s'; see --help"
                                          : "'%s' needs a value; see --help",
                     argv[i]);
            return 1 + EXIT_USAGE;
        }
        *table[k].value = argv[++i];
    }
    if (out->check == NULL && out->home == NULL && out->config == NULL) {
        complain("which node? Give --home DIR; see --help");
        return 1 + EXIT_USAGE;
    }
    return 0;
}

/* Where home is absolute text, or NULL. */
static bool absolute_home(const char *home, char out[static SM_PATH])
{
    char real[PATH_MAX];
    if (realpath(home, real) == NULL || strlen(real) >= SM_PATH) {
        complain("%s is not there: make the node with seemesh init", home);
        return false;
    }
    memcpy(out, real, strlen(real) + 1);
    return true;
}

static bool load_config(const char *path, const char *home, struct sm_config *out)
{
    struct sm_config_problem why = {0};
    enum sm_err e = sm_config_load(path, home, out, &why);
    if (e == SM_E_CONFIG && why.line > 0) {
        complain("%s:%u:%u: %s", path, why.line, why.column, why.text);
    } else if (e == SM_E_CONFIG) {
        complain("%s: %s", path, why.text);
    } else if (e != SM_OK) {
        complain("cannot read %s: %s", path, sm_err_words(e));
    }
    return e == SM_OK;
}

static int check_config(const char *path)
{
    struct sm_config c;
    char dir[SM_PATH] = "/", copy[SM_PATH];
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(SM_CONFIG_BYTES);
    /* Its folder is the home, as it would be with --home. */
    if (strlen(path) < sizeof copy) {
        memcpy(copy, path, strlen(path) + 1);
        char *slash = strrchr(copy, '/');
        if (slash != NULL && slash != copy) {
            *slash = '\0';
        }
        if (!absolute_home(slash == NULL ? "." : slash == copy ? "/" : copy, dir)) {
            return EXIT_USAGE;
        }
    }
    if (!load_config(path, dir, &c) || sm_config_print(&c, &text) != SM_OK) {
        return EXIT_USAGE;
    }
    return fwrite(text.p, 1, text.n, stdout) == text.n && fflush(stdout) == 0 ? 0 : 1;
}

/* The folder of this program, where the build puts all of them, if keys is there; else where
 * they are installed. */
static enum sm_err find_libexec(const char *given, char out[static SM_PATH])
{
    char self[SM_PATH], keys[SM_PATH];
    if (given != NULL) {
        char real[PATH_MAX];
        if (realpath(given, real) == NULL || strlen(real) >= SM_PATH) {
            return SM_E_NOTFOUND;
        }
        memcpy(out, real, strlen(real) + 1);
        return SM_OK;
    }
    SM_TRY(sm_self_path(self, sizeof self));
    *strrchr(self, '/') = '\0';
    SM_TRY(sm_path_join(self, "seemesh-keys", keys));
    const char *dir = sm_file_exists(keys) ? self : SM_LIBEXEC;
    memcpy(out, dir, strlen(dir) + 1);
    return SM_OK;
}

static bool find_config(const struct options *o, struct daemon *d)
{
    char home[SM_PATH] = "", path[SM_PATH];
    if (o->home != NULL && !absolute_home(o->home, home)) {
        return false;
    }
    if (o->config == NULL && sm_path_join(home, "seemesh.conf", path) != SM_OK) {
        complain("%s is too long a path", home);
        return false;
    }
    if (!load_config(o->config != NULL ? o->config : path, home[0] != '\0' ? home : NULL,
                     &d->config)) {
        return false;
    }
    if (d->config.tunnel.pq == SM_PQ_REQUIRE && !sm_suite_has_kem(sm_suite_real())) {
        complain("[tunnel] pq = require: %s has no ML-KEM-768; it needs OpenSSL 3.5 or later",
                 sm_kem_library());
        return false;
    }
    if (find_libexec(o->libexec, d->libexec) != SM_OK) {
        complain("%s is not there", o->libexec != NULL ? o->libexec : SM_LIBEXEC);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct daemon d = {.lock_fd = -1, .next_instance = FIRST_INSTANCE};
    struct options o = {0};
    int r = parse_options(argc, argv, &o);
    if (r != 0) {
        return r - 1;
    }
    if (o.check != NULL) {
        return check_config(o.check);
    }
    d.config_text = SM_BUF(SM_CONFIG_BYTES);
    if (!find_config(&o, &d)) {
        return EXIT_USAGE;
    }
    return run(&d);
}
