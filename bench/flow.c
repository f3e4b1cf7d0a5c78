// SPDX-License-Identifier: Apache-2.0
#include "bench/flow_int.h"
#include "bench/tls_kit.h"
#include "os/clock.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ACCEPT_MS     10000
#define MESSAGE_BYTES 65536u /* the longest, and the longest answer */

struct flow {
    struct flow_cfg cfg;
    uint8_t *message;
    struct tls_kit tls;
    struct mesh *mesh;
    struct station *station;
    struct bare bare;
    pid_t pids[STATIONS_MAX];
    unsigned pid_n;
    cpu_set_t cpus; /* to be given back after each run */
};

static bool is_bare(const struct flow *f)
{
    return f->cfg.kind == FLOW_TCP || f->cfg.kind == FLOW_TLS || f->cfg.kind == FLOW_UDP;
}

static bool is_udp(const struct flow *f)
{
    return f->cfg.kind == FLOW_UDP || f->cfg.kind == FLOW_UDP_TUNNEL;
}

/* -- processors --------------------------------------------------------------------------- */

/* Where process number self of the chain belongs. */
static enum sm_err pin(const struct flow *f, unsigned self)
{
    cpu_set_t one;
    size_t cpu = 0, nth = f->cfg.cores == 0 ? 0 : self % f->cfg.cores;
    if (f->cfg.cores == 0) {
        return SM_OK;
    }
    if (CPU_COUNT(&f->cpus) < (int)f->cfg.cores) {
        return SM_E_LIMIT;
    }
    while (!CPU_ISSET(cpu, &f->cpus) || nth-- > 0) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0 ? SM_OK : SM_E_IO;
}

static void unpin(const struct flow *f)
{
    if (f->cfg.cores > 0) {
        (void)sched_setaffinity(0, sizeof f->cpus, &f->cpus);
    }
}

/* -- the other processes ------------------------------------------------------------------ */

static enum sm_err accept_one(int listener, int *out)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    int n = poll(&p, 1, ACCEPT_MS);
    int fd = n == 1 ? accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
    if (fd < 0) {
        return n == 0 ? SM_E_TIMEOUT : SM_E_IO;
    }
    *out = fd;
    return SM_OK;
}

static enum sm_err serve_bare(struct flow *f, int up)
{
    struct bare b;
    if (is_udp(f)) {
        SM_TRY(bare_udp_open(up, &f->cfg, true, &b));
        bare_udp_serve(&b, &f->cfg);
    } else {
        SM_TRY(bare_open(up, f->tls.server, true, &b));
        bare_serve(&b, &f->cfg);
    }
    return SM_OK;
}

/* One end of the chain in a process of its own: fd listens, or over UDP is connected; `next` is
 * where the one behind listens. */
static enum sm_err serve(struct flow *f, unsigned self, int fd, const struct sm_inet *next)
{
    int up = fd, down = -1;
    SM_TRY(pin(f, self));
    if (!is_udp(f)) {
        SM_TRY(accept_one(fd, &up));
    }
    if (is_bare(f)) {
        return serve_bare(f, up);
    }
    if (next != NULL) {
        SM_TRY(sm_tcp_connect(next, &down));
    }
    struct station *s;
    SM_TRY(station_new(f->mesh, self, up, down, &s));
    station_serve(s);
    return SM_OK;
}

/* Start process number self, which takes fd. */
static enum sm_err start_with(struct flow *f, unsigned self, int fd, const struct sm_inet *next)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(getppid() == parent && serve(f, self, fd, next) == SM_OK ? 0 : 1);
    }
    (void)close(fd);
    if (pid < 0) {
        return SM_E_IO;
    }
    f->pids[f->pid_n++] = pid;
    return SM_OK;
}

/* Start process number self; where it listens goes to *at. */
static enum sm_err start(struct flow *f, unsigned self, const struct sm_inet *next,
                         struct sm_inet *at)
{
    const struct sm_inet any = {.family = 4, .ip = {127, 0, 0, 1}};
    int listener;
    SM_TRY(sm_tcp_listen(&any, &listener));
    enum sm_err e = sm_tcp_local(listener, at);
    if (e != SM_OK) {
        (void)close(listener);
        return e;
    }
    return start_with(f, self, listener, next);
}

/* -- life --------------------------------------------------------------------------------- */

static enum sm_err open_own_end(struct flow *f, const struct sm_inet *to)
{
    int fd;
    SM_TRY(sm_tcp_connect(to, &fd));
    return is_bare(f) ? bare_open(fd, f->tls.client, false, &f->bare)
                      : station_new(f->mesh, 0, -1, fd, &f->station);
}

static enum sm_err open_udp(struct flow *f)
{
    int fds[2];
    SM_TRY(flow_udp_pair(fds));
    enum sm_err e = start_with(f, 1, fds[1], NULL);
    if (e != SM_OK) {
        (void)close(fds[0]);
        return e;
    }
    return is_bare(f) ? bare_udp_open(fds[0], &f->cfg, false, &f->bare)
                      : station_new(f->mesh, 0, -1, fds[0], &f->station);
}

static enum sm_err open_all(struct flow *f)
{
    struct sm_inet at, behind;
    if (f->message == NULL) {
        return SM_E_NOMEM;
    }
    memset(f->message, 0x5a, MESSAGE_BYTES);
    if (f->cfg.kind == FLOW_TLS) {
        SM_TRY(tls_kit_make(&f->tls));
    } else if (!is_bare(f)) {
        SM_TRY(mesh_new(&f->cfg, &f->mesh));
    }
    if (is_udp(f)) {
        return open_udp(f);
    }
    bool has_relay = f->cfg.kind == FLOW_RELAY;
    if (has_relay) {
        SM_TRY(start(f, 2, NULL, &behind));
    }
    SM_TRY(start(f, 1, has_relay ? &behind : NULL, &at));
    return open_own_end(f, &at);
}

enum sm_err flow_open(const struct flow_cfg *cfg, struct flow **out)
{
    struct flow *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return SM_E_NOMEM;
    }
    f->cfg = *cfg;
    f->bare.fd = -1;
    f->cfg.answer = cfg->answer > 0 ? cfg->answer : FLOW_ANSWER;
    f->message = malloc(MESSAGE_BYTES);
    enum sm_err e = sched_getaffinity(0, sizeof f->cpus, &f->cpus) == 0 ? open_all(f) : SM_E_IO;
    if (e != SM_OK) {
        flow_close(f);
        return e;
    }
    *out = f;
    return SM_OK;
}

static enum sm_err pass(struct flow *f)
{
    if (f->cfg.kind == FLOW_UDP) {
        return bare_udp_pass(&f->bare, &f->cfg, f->message);
    }
    return is_bare(f) ? bare_pass(&f->bare, &f->cfg, f->message) : station_pass(f->station);
}

enum sm_err flow_run(struct flow *f, uint64_t *out_ns)
{
    SM_TRY(pin(f, 0));
    struct sm_mono from = sm_clock_mono();
    enum sm_err e = pass(f);
    uint64_t ns = sm_between(from, sm_clock_mono()).ns;
    unpin(f);
    SM_TRY(e);
    *out_ns = ns;
    return SM_OK;
}

enum sm_err flow_run_probed(struct flow *f, uint64_t *out_trips, unsigned max, unsigned *out_n)
{
    SM_TRY(pin(f, 0));
    enum sm_err e =
        is_bare(f) ? SM_E_INVALID : station_probe(f->station, out_trips, max, out_n);
    unpin(f);
    return e;
}

static uint64_t cpu_of(clockid_t clock)
{
    struct timespec t = {0};
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t flow_cpu_ns(const struct flow *f)
{
    uint64_t sum = cpu_of(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; i < f->pid_n; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(f->pids[i], &clock) == 0) {
            sum += cpu_of(clock);
        }
    }
    return sum;
}

void flow_close(struct flow *f)
{
    if (f == NULL) {
        return;
    }
    for (unsigned i = 0; i < f->pid_n; i++) {
        (void)kill(f->pids[i], SIGKILL);
        (void)waitpid(f->pids[i], NULL, 0);
    }
    bare_done(&f->bare);
    station_free(f->station);
    mesh_free(f->mesh);
    tls_kit_done(&f->tls);
    free(f->message);
    free(f);
}
