// SPDX-License-Identifier: Apache-2.0
#include "bench_see.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* (func (export "_start")) that writes one byte to its output. */
static const uint8_t module[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0c, 0x02, 0x60, 0x04, 0x7f, 0x7f,
    0x7f, 0x7f, 0x01, 0x7f, 0x60, 0x00, 0x00, 0x02, 0x23, 0x01, 0x16, 0x77, 0x61, 0x73, 0x69,
    0x5f, 0x73, 0x6e, 0x61, 0x70, 0x73, 0x68, 0x6f, 0x74, 0x5f, 0x70, 0x72, 0x65, 0x76, 0x69,
    0x65, 0x77, 0x31, 0x08, 0x66, 0x64, 0x5f, 0x77, 0x72, 0x69, 0x74, 0x65, 0x00, 0x00, 0x03,
    0x02, 0x01, 0x01, 0x05, 0x03, 0x01, 0x00, 0x01, 0x07, 0x13, 0x02, 0x06, 0x6d, 0x65, 0x6d,
    0x6f, 0x72, 0x79, 0x02, 0x00, 0x06, 0x5f, 0x73, 0x74, 0x61, 0x72, 0x74, 0x00, 0x01, 0x0a,
    0x16, 0x01, 0x14, 0x00, 0x41, 0x04, 0x41, 0x01, 0x36, 0x02, 0x00, 0x41, 0x01, 0x41, 0x00,
    0x41, 0x01, 0x41, 0x08, 0x10, 0x00, 0x1a, 0x0b};

enum { RUNS_MAX = 10000 };

static struct sm_mono mono_now(void)
{
    struct timespec ts = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (struct sm_mono){(uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec};
}

static uint64_t us_since(struct sm_mono begin)
{
    return sm_between(begin, mono_now()).ns / 1000u;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t median(uint64_t *v, unsigned n)
{
    qsort(v, n, sizeof *v, compare_u64);
    return v[n / 2];
}

/* One instance; when its byte came and when it had ended. */
static enum sm_err run_once(struct sm_zygote *z, uint64_t *first_us, uint64_t *whole_us,
                            uint32_t *peak_kib)
{
    static const char *const args[] = {"bench", NULL};
    struct sm_run_spec spec = {.args = args, .limits = sm_see_limits_default()};
    struct sm_run run;
    struct sm_mono begin = mono_now();
    SM_TRY(sm_run_start(z, &spec, begin, &run));
    struct pollfd byte = {.fd = run.out_fd, .events = POLLIN};
    (void)poll(&byte, 1, 10000);
    *first_us = us_since(begin);
    enum sm_err e;
    while ((e = sm_run_step(&run, mono_now())) == SM_E_BUSY) {
        struct pollfd end = {.fd = z->fd, .events = POLLIN};
        (void)poll(&end, run.is_over ? 0 : 1, 10000);
        if (sm_zygote_step(z) != SM_OK) {
            e = SM_E_UNREACHABLE;
            break;
        }
    }
    *whole_us = us_since(begin);
    *peak_kib = run.outcome.peak_kib;
    if (e == SM_OK) {
        e = run.out.n == 1 ? sm_see_outcome_err(&run.outcome) : SM_E_FAILED;
    }
    sm_run_done(&run);
    return e;
}

static enum sm_err run_many(struct sm_zygote *z, unsigned n, struct bench_see *out)
{
    static uint64_t first[RUNS_MAX], whole[RUNS_MAX];
    struct sm_mono begin = mono_now();
    for (unsigned i = 0; i < n; i++) {
        SM_TRY(run_once(z, &first[i], &whole[i], &out->peak_kib));
    }
    uint64_t total_us = us_since(begin);
    out->instances_per_s = (uint64_t)n * 1000000u / (total_us > 0 ? total_us : 1);
    out->first_us_p50 = median(first, n);
    out->whole_us_p50 = median(whole, n);
    return SM_OK;
}

static enum sm_err fork_many(unsigned n, struct bench_see *out)
{
    static uint64_t took[RUNS_MAX];
    for (unsigned i = 0; i < n; i++) {
        struct sm_mono begin = mono_now();
        pid_t pid = fork();
        if (pid == 0) {
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, NULL, 0) != pid) {
            return SM_E_IO;
        }
        took[i] = us_since(begin);
    }
    out->fork_us_p50 = median(took, n);
    return SM_OK;
}

static enum sm_err wait_ready(struct sm_zygote *z)
{
    while (!z->is_ready) {
        struct pollfd p = {.fd = z->fd, .events = POLLIN};
        (void)poll(&p, 1, 10000);
        SM_TRY(sm_zygote_step(z));
    }
    return SM_OK;
}

enum sm_err bench_see(const struct sm_engine *e, unsigned n, struct bench_see *out)
{
    struct bench_see b = {0};
    struct sm_compile_result made;
    struct sm_zygote z;
    if (n == 0 || n > RUNS_MAX) {
        return SM_E_INVALID;
    }
    struct sm_mono begin = mono_now();
    SM_TRY(sm_engine_compile(e, sm_view_of(module, sizeof module), &made));
    b.compile_us = us_since(begin);
    begin = mono_now();
    SM_TRY(sm_engine_compile(e, sm_view_of(module, sizeof module), &made));
    b.cached_us = us_since(begin);
    begin = mono_now();
    struct sm_wall now = {(uint64_t)time(NULL)};
    SM_TRY(sm_zygote_start(e, &made.key, now, &z));
    enum sm_err err = wait_ready(&z);
    b.zygote_us = us_since(begin);
    if (err == SM_OK) {
        err = run_many(&z, n, &b);
    }
    sm_zygote_done(&z);
    SM_TRY(err);
    SM_TRY(fork_many(n, &b));
    *out = b;
    return SM_OK;
}
