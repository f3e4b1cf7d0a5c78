// SPDX-License-Identifier: Apache-2.0
#include "see/engine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum sm_err sm_engine_init(struct sm_engine *e, const char *program_dir,
                           const char *runtime_dir, const char *cache_path,
                           const uint8_t mac_key[static 32])
{
    char *compile = NULL, *worker = NULL;
    if (asprintf(&compile, "%s/seemesh-compile", program_dir) < 0) {
        return SM_E_NOMEM;
    }
    if (asprintf(&worker, "%s/seemesh-worker", program_dir) < 0) {
        free(compile);
        return SM_E_NOMEM;
    }
    struct sm_engine made = {.compile_path = compile,
                             .worker_path = worker,
                             .runtime_dir = runtime_dir,
                             .cache_path = cache_path,
                             .optimize = 1,
                             .compile_cpu_s = 90,
                             .compile_wall_ms = 180000,
                             .cache_bytes = (uint64_t)1 << 30};
    enum sm_err err = sm_see_cache_open(cache_path, mac_key, &made.cache);
    if (err != SM_OK) {
        free(compile);
        free(worker);
        return err;
    }
    *e = made;
    return SM_OK;
}

void sm_engine_done(struct sm_engine *e)
{
    free((char *)(uintptr_t)e->compile_path);
    free((char *)(uintptr_t)e->worker_path);
    sm_see_cache_done(&e->cache);
}

/* -- processes and descriptors ----------------------------------------------------------- */

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

#define CHILD_FDS 5

/* Put fds[i] on descriptor i, in a child that has nothing else to lose. */
static bool arrange_fds(const int fds[static CHILD_FDS])
{
    int high[CHILD_FDS];
    for (int i = 0; i < CHILD_FDS; i++) {
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, CHILD_FDS);
        if (high[i] < 0) {
            return false;
        }
    }
    for (int i = 0; i < CHILD_FDS; i++) {
        if (dup2(high[i], i) < 0) {
            return false;
        }
    }
    return close_range(CHILD_FDS, ~0u, CLOSE_RANGE_CLOEXEC) == 0;
}

/* Start a program in a process group of its own, with these descriptors and an empty
 * environment. */
static enum sm_err spawn(const char *const argv[], const int fds[static CHILD_FDS], pid_t *out)
{
    char *const env[] = {NULL};
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        return SM_E_IO;
    }
    if (pid == 0) {
        sigset_t none;
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
            getppid() != parent || !arrange_fds(fds)) {
            _exit(126);
        }
        execve(argv[0], (char *const *)(uintptr_t)argv, env);
        _exit(127);
    }
    (void)setpgid(pid, pid); /* whoever is first */
    *out = pid;
    return SM_OK;
}

static void kill_group(pid_t *pid)
{
    if (*pid > 0) {
        (void)kill(-*pid, SIGKILL);
        (void)kill(*pid, SIGKILL);
        while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) {
            continue;
        }
        *pid = 0;
    }
}

static enum sm_err write_all(int fd, struct sm_view v)
{
    while (v.n > 0) {
        ssize_t n = write(fd, v.p, v.n);
        if (n < 0 && errno != EINTR) {
            return SM_E_IO;
        }
        if (n > 0) {
            v.p += n;
            v.n -= (size_t)n;
        }
    }
    return SM_OK;
}

/* A read-only descriptor at the start of these bytes. */
static enum sm_err bytes_fd(struct sm_view v, int *out)
{
    int fd = memfd_create("see-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return SM_E_IO;
    }
    enum sm_err e = write_all(fd, v);
    if (e == SM_OK && (lseek(fd, 0, SEEK_SET) != 0 ||
                       fcntl(fd, F_ADD_SEALS,
                             F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)) {
        e = SM_E_IO;
    }
    if (e != SM_OK) {
        (void)close(fd);
        return e;
    }
    *out = fd;
    return SM_OK;
}

/* -- compiling --------------------------------------------------------------------------- */

static enum sm_err spawn_compile(const struct sm_engine *e, const int fds[static CHILD_FDS],
                                 pid_t *out)
{
    char level[16], cpu[16], keep[24];
    (void)snprintf(level, sizeof level, "%u", e->optimize);
    (void)snprintf(cpu, sizeof cpu, "%u", e->compile_cpu_s);
    (void)snprintf(keep, sizeof keep, "%llu", (unsigned long long)e->cache_bytes);
    const char *const argv[] = {
        e->compile_path, "--cache", e->cache_path, "--runtime", e->runtime_dir, "--optimize",
        level,           "--cpu",   cpu,           "--keep",    keep,           NULL};
    return spawn(argv, fds, out);
}

enum sm_err sm_compile_start(const struct sm_engine *e, struct sm_view module,
                             struct sm_mono now, struct sm_compile *out)
{
    int module_fd = -1, key_fd = -1, result[2] = {-1, -1};
    struct sm_compile c = {.fd = -1, .deadline = sm_after(now, SM_MS(e->compile_wall_ms))};
    enum sm_err err = bytes_fd(module, &module_fd);
    if (err == SM_OK) {
        err = bytes_fd(sm_view_of(e->cache.mac_key, sizeof e->cache.mac_key), &key_fd);
    }
    if (err == SM_OK && pipe2(result, O_CLOEXEC | O_NONBLOCK) != 0) {
        err = SM_E_IO;
    }
    if (err == SM_OK) {
        err = spawn_compile(e, (const int[CHILD_FDS]){module_fd, 2, 2, result[1], key_fd},
                            &c.pid);
    }
    close_fd(&module_fd);
    close_fd(&key_fd);
    close_fd(&result[1]);
    if (err != SM_OK) {
        close_fd(&result[0]);
        return err;
    }
    c.fd = result[0];
    *out = c;
    return SM_OK;
}

static enum sm_err compile_failed(struct sm_compile *c, enum sm_err err, const char *why,
                                  struct sm_compile_result *out)
{
    sm_compile_done(c);
    *out = (struct sm_compile_result){.magic = SM_COMPILE_MAGIC, .err = err};
    (void)snprintf(out->fault.reason, sizeof out->fault.reason, "%s", why);
    return err;
}

enum sm_err sm_compile_step(struct sm_compile *c, struct sm_mono now,
                            struct sm_compile_result *out)
{
    struct sm_compile_result r;
    ssize_t n = read(c->fd, &r, sizeof r);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (!sm_is_due(c->deadline, now)) {
            return SM_E_BUSY;
        }
        return compile_failed(c, SM_E_LIMIT, "not compiled in time", out);
    }
    /* One write of less than PIPE_BUF arrives whole. */
    if (n != (ssize_t)sizeof r || r.magic != SM_COMPILE_MAGIC) {
        return compile_failed(c, SM_E_FAILED, "the compiler program ended without a result",
                              out);
    }
    sm_compile_done(c);
    r.fault.reason[sizeof r.fault.reason - 1] = '\0';
    r.engine[sizeof r.engine - 1] = '\0';
    *out = r;
    return sm_err_from_i32(r.err);
}
_Static_assert(sizeof(struct sm_compile_result) <= PIPE_BUF, "one write, one read");

void sm_compile_done(struct sm_compile *c)
{
    kill_group(&c->pid);
    close_fd(&c->fd);
}

/* -- zygotes ----------------------------------------------------------------------------- */

enum sm_err sm_zygote_start(const struct sm_engine *e, const struct sm_see_key *key,
                            struct sm_wall now, struct sm_zygote *out)
{
    int module_fd = -1, null_fd = -1, sockets[2] = {-1, -1};
    struct sm_zygote z = {.fd = -1};
    SM_TRY(sm_see_cache_load(&e->cache, key, now, &module_fd));
    enum sm_err err = SM_OK;
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) != 0) {
        err = SM_E_IO;
    }
    if (err == SM_OK) {
        const char *const argv[] = {e->worker_path, NULL};
        err = spawn(argv, (const int[CHILD_FDS]){null_fd, 2, 2, sockets[1], module_fd}, &z.pid);
    }
    close_fd(&module_fd);
    close_fd(&null_fd);
    close_fd(&sockets[1]);
    if (err != SM_OK) {
        close_fd(&sockets[0]);
        return err;
    }
    z.fd = sockets[0];
    *out = z;
    return SM_OK;
}

static void unlink_run(struct sm_run *run)
{
    if (run->zygote == NULL) {
        return;
    }
    for (struct sm_run **at = &run->zygote->runs; *at != NULL; at = &(*at)->next) {
        if (*at == run) {
            *at = run->next;
            break;
        }
    }
    run->zygote = NULL;
}

static void end_run(struct sm_run *run, struct sm_see_outcome outcome)
{
    /* A kill is ours: say why it was. */
    if (run->is_stopped && (outcome.how == SM_SEE_KILLED || outcome.how == SM_SEE_LOST)) {
        outcome.how = run->why;
    }
    /* The hard limit comes as a kill nobody asked for. */
    if (!run->is_stopped && outcome.how == SM_SEE_KILLED &&
        outcome.cpu_us / 1000000u >= run->limits.cpu_s) {
        outcome.how = SM_SEE_LIMIT_CPU;
    }
    run->outcome = outcome;
    run->is_over = true;
    unlink_run(run);
}

static void lose(struct sm_zygote *z)
{
    z->is_lost = true;
    while (z->runs != NULL) {
        end_run(z->runs, (struct sm_see_outcome){.how = SM_SEE_LOST});
    }
}

static void take_reply(struct sm_zygote *z, const struct sm_worker_reply *r)
{
    if (r->say == SM_WORKER_READY) {
        z->is_ready = true;
        return;
    }
    for (struct sm_run *run = z->runs; run != NULL; run = run->next) {
        if (run->id == r->id) {
            struct sm_see_outcome o = {.how = SM_SEE_ENGINE_FAULT,
                                       .code = r->code,
                                       .cpu_us = r->cpu_us,
                                       .peak_kib = r->peak_kib};
            if (r->how <= SM_SEE_LOST) {
                o.how = (enum sm_see_how)r->how;
            }
            end_run(run, o);
            return;
        }
    }
}

enum sm_err sm_zygote_step(struct sm_zygote *z)
{
    while (!z->is_lost) {
        struct sm_worker_reply r;
        ssize_t n = recv(z->fd, &r, sizeof r, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return SM_OK;
        }
        if (n != (ssize_t)sizeof r) {
            lose(z);
            break;
        }
        take_reply(z, &r);
    }
    return SM_E_UNREACHABLE;
}

void sm_zygote_done(struct sm_zygote *z)
{
    kill_group(&z->pid);
    close_fd(&z->fd);
    lose(z);
}

/* -- runs -------------------------------------------------------------------------------- */

static enum sm_err pack_args(const char *const *args, struct sm_worker_request *r)
{
    for (; *args != NULL; args++) {
        size_t n = strlen(*args) + 1;
        if (n > sizeof r->args - r->args_n) {
            return SM_E_LIMIT;
        }
        memcpy(r->args + r->args_n, *args, n);
        r->args_n += (uint32_t)n;
        r->argc++;
    }
    return SM_OK;
}

static enum sm_err send_request(struct sm_zygote *z, struct sm_worker_request *r,
                                const int *fds, size_t n_fds)
{
    union {
        char space[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = r, .iov_len = SM_WORKER_REQUEST_HEAD + r->args_n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > 0) {
        assert(n_fds == 3);
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof control.space;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    ssize_t n;
    do {
        n = sendmsg(z->fd, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? SM_E_BUSY : SM_E_UNREACHABLE;
    }
    return SM_OK;
}

static enum sm_err send_start(struct sm_zygote *z, const struct sm_run_spec *spec, uint64_t id,
                              const int fds[static 3])
{
    struct sm_worker_request *r = malloc(sizeof *r);
    if (r == NULL) {
        return SM_E_NOMEM;
    }
    r->ask = SM_WORKER_START;
    r->memory_pages = spec->limits.memory_pages;
    r->cpu_s = spec->limits.cpu_s;
    r->id = id;
    r->argc = r->args_n = 0;
    enum sm_err e = pack_args(spec->args, r);
    if (e == SM_OK) {
        e = send_request(z, r, fds, 3);
    }
    free(r);
    return e;
}

static size_t count_runs(const struct sm_zygote *z)
{
    size_t n = 0;
    for (const struct sm_run *r = z->runs; r != NULL; r = r->next) {
        n++;
    }
    return n;
}

enum sm_err sm_run_start(struct sm_zygote *z, const struct sm_run_spec *spec,
                         struct sm_mono now, struct sm_run *run)
{
    const struct sm_see_limits *l = &spec->limits;
    if (l->cpu_s == 0 || l->wall_ms == 0 || l->memory_pages == 0 ||
        l->stdout_bytes >= SIZE_MAX) {
        return SM_E_INVALID;
    }
    if (z->is_lost) {
        return SM_E_UNREACHABLE;
    }
    if (count_runs(z) >= SM_WORKER_INSTANCES_MAX) {
        return SM_E_BUSY;
    }
    int in = -1, out[2] = {-1, -1}, err[2] = {-1, -1};
    enum sm_err e = bytes_fd(spec->input, &in);
    if (e == SM_OK &&
        (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0 ||
         fcntl(out[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(err[0], F_SETFL, O_NONBLOCK) != 0)) {
        e = SM_E_IO;
    }
    if (e == SM_OK) {
        e = send_start(z, spec, z->next_id, (const int[3]){in, out[1], err[1]});
    }
    close_fd(&in);
    close_fd(&out[1]);
    close_fd(&err[1]);
    if (e != SM_OK) {
        close_fd(&out[0]);
        close_fd(&err[0]);
        return e;
    }
    *run = (struct sm_run){.next = z->runs,
                           .zygote = z,
                           .id = z->next_id++,
                           .limits = *l,
                           .began = now,
                           .deadline = sm_after(now, SM_MS(l->wall_ms)),
                           .out_fd = out[0],
                           .err_fd = err[0],
                           .out = SM_BUF((size_t)l->stdout_bytes),
                           .err = SM_BUF(l->stderr_bytes)};
    z->runs = run;
    return SM_OK;
}

/* The request may not fit the socket now; sm_run_step() tries again. */
static void send_kill(struct sm_run *run)
{
    struct sm_worker_request r = {.ask = SM_WORKER_KILL, .id = run->id};
    if (!run->is_over && !run->is_kill_sent) {
        run->is_kill_sent = send_request(run->zygote, &r, NULL, 0) == SM_OK;
    }
}

void sm_run_stop(struct sm_run *run, enum sm_see_how why)
{
    if (!run->is_over && !run->is_stopped) {
        run->is_stopped = true;
        run->why = why;
        send_kill(run);
    }
}

#define READ_BYTES 65536
#define KILL_GRACE SM_S(5) /* from the deadline to the end of a worker that ignores it */

/* Move what a pipe holds to its buffer; false when more came than the buffer may hold. */
static bool drain(int *fd, struct sm_buf *to)
{
    while (*fd >= 0) {
        uint8_t bytes[READ_BYTES];
        ssize_t n = read(*fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return true;
        }
        if (n <= 0) {
            close_fd(fd);
            return true;
        }
        size_t room = to->max - to->n, take = (size_t)n < room ? (size_t)n : room;
        if (sm_buf_add(to, bytes, take) != SM_OK || take < (size_t)n) {
            return false;
        }
    }
    return true;
}

enum sm_err sm_run_step(struct sm_run *run, struct sm_mono now)
{
    bool was_over = run->is_over; /* so all it wrote is in the pipes by now */
    if (!drain(&run->out_fd, &run->out)) {
        sm_run_stop(run, SM_SEE_LIMIT_OUTPUT);
        if (was_over && run->outcome.how == SM_SEE_EXIT) {
            run->outcome.how = SM_SEE_LIMIT_OUTPUT;
        }
        if (was_over) {
            close_fd(&run->out_fd);
        }
    }
    (void)drain(&run->err_fd, &run->err);
    if (sm_is_due(run->deadline, now)) {
        sm_run_stop(run, SM_SEE_LIMIT_WALL);
    }
    if (!was_over && sm_is_due(sm_after(run->deadline, KILL_GRACE), now)) {
        /* The worker does not do what it is told: end it with all it runs. */
        (void)kill(run->zygote->pid, SIGKILL);
    }
    if (run->is_stopped) {
        send_kill(run);
    }
    if (!was_over) {
        return SM_E_BUSY;
    }
    close_fd(&run->out_fd);
    close_fd(&run->err_fd);
    run->outcome.wall_us = sm_between(run->began, now).ns / 1000u;
    return SM_OK;
}

void sm_run_done(struct sm_run *run)
{
    sm_run_stop(run, SM_SEE_KILLED);
    unlink_run(run);
    close_fd(&run->out_fd);
    close_fd(&run->err_fd);
    sm_buf_done(&run->out);
    sm_buf_done(&run->err);
}

/* -- blocking ---------------------------------------------------------------------------- */

static struct sm_mono mono_now(void)
{
    struct timespec ts = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (struct sm_mono){(uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec};
}

static int wait_ms(struct sm_mono deadline)
{
    uint64_t ms = sm_between(mono_now(), deadline).ns / 1000000u + 1;
    return ms < 60000 ? (int)ms : 60000;
}

enum sm_err sm_engine_compile(const struct sm_engine *e, struct sm_view module,
                              struct sm_compile_result *out)
{
    struct sm_compile c;
    SM_TRY(sm_compile_start(e, module, mono_now(), &c));
    for (;;) {
        enum sm_err err = sm_compile_step(&c, mono_now(), out);
        if (err != SM_E_BUSY) {
            return err;
        }
        struct pollfd p = {.fd = c.fd, .events = POLLIN};
        (void)poll(&p, 1, wait_ms(c.deadline));
    }
}

enum sm_err sm_engine_run(struct sm_zygote *z, const struct sm_run_spec *spec,
                          struct sm_run *run)
{
    SM_TRY(sm_run_start(z, spec, mono_now(), run));
    for (;;) {
        enum sm_err err = sm_zygote_step(z);
        if (err != SM_OK && err != SM_E_UNREACHABLE) {
            return err;
        }
        err = sm_run_step(run, mono_now());
        if (err != SM_E_BUSY) {
            return err;
        }
        if (run->is_over) {
            continue;
        }
        struct pollfd p[] = {{.fd = z->fd, .events = POLLIN},
                             {.fd = run->out_fd, .events = POLLIN},
                             {.fd = run->err_fd, .events = POLLIN}};
        (void)poll(p, SM_COUNT(p), wait_ms(run->deadline));
    }
}
