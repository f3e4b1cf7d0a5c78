// SPDX-License-Identifier: Apache-2.0
#include "see/wasi.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "see/rt.h"

/* Only translated modules call these functions, by name. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum wasi_errno {
    WASI_OK = 0,
    WASI_AGAIN = 6,
    WASI_BADF = 8,
    WASI_FAULT = 21,
    WASI_INVAL = 28,
    WASI_IO = 29,
    WASI_NOSYS = 52,
    WASI_NOTSUP = 58,
    WASI_PIPE = 64,
    WASI_SPIPE = 70,
};

#define host       struct Z_wasi_snapshot_preview1_instance_t
#define WASI(name) Z_wasi_snapshot_preview1Z_##name

/* -- the module's memory ----------------------------------------------------------------- */

/* n bytes at address a, or NULL when any of them lies outside. */
static uint8_t *at(const host *h, uint32_t a, uint64_t n)
{
    return (uint64_t)a + n <= h->memory->size ? h->memory->data + a : NULL;
}

static uint32_t put_u32(const host *h, uint32_t a, uint32_t v)
{
    uint8_t *p = at(h, a, 4);
    if (p == NULL) {
        return WASI_FAULT;
    }
    sm_put_le32(p, v);
    return WASI_OK;
}

static uint32_t put_u64(const host *h, uint32_t a, uint64_t v)
{
    uint8_t *p = at(h, a, 8);
    if (p == NULL) {
        return WASI_FAULT;
    }
    sm_put_le64(p, v);
    return WASI_OK;
}

static bool is_open(const host *h, uint32_t fd)
{
    return fd < 3 && !h->is_closed[fd];
}

/* -- arguments and environment ----------------------------------------------------------- */

uint32_t WASI(args_sizes_get)(host *h, uint32_t count, uint32_t bytes)
{
    uint32_t e = put_u32(h, count, h->argc);
    return e != WASI_OK ? e : put_u32(h, bytes, h->args_n);
}

uint32_t WASI(args_get)(host *h, uint32_t list, uint32_t text)
{
    uint8_t *to = at(h, text, h->args_n);
    if (to == NULL || at(h, list, (uint64_t)h->argc * 4) == NULL) {
        return WASI_FAULT;
    }
    if (h->args_n > 0) {
        memcpy(to, h->args, h->args_n);
    }
    for (uint32_t i = 0, from = 0; i < h->argc; i++) {
        uint32_t e = put_u32(h, list + 4 * i, text + from);
        if (e != WASI_OK) {
            return e;
        }
        from += (uint32_t)strlen(h->args + from) + 1;
    }
    return WASI_OK;
}

uint32_t WASI(environ_sizes_get)(host *h, uint32_t count, uint32_t bytes)
{
    uint32_t e = put_u32(h, count, 0);
    return e != WASI_OK ? e : put_u32(h, bytes, 0);
}

uint32_t WASI(environ_get)(host *h, uint32_t list, uint32_t text)
{
    (void)h;
    (void)list;
    (void)text;
    return WASI_OK;
}

/* -- clocks and randomness --------------------------------------------------------------- */

static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                   CLOCK_THREAD_CPUTIME_ID};

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts = {0};
    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint32_t WASI(clock_res_get)(host *h, uint32_t id, uint32_t out)
{
    return id < SM_COUNT(clocks) ? put_u64(h, out, 1) : WASI_INVAL;
}

uint32_t WASI(clock_time_get)(host *h, uint32_t id, uint64_t precision, uint32_t out)
{
    (void)precision;
    return id < SM_COUNT(clocks) ? put_u64(h, out, clock_ns(clocks[id])) : WASI_INVAL;
}

uint32_t WASI(random_get)(host *h, uint32_t buf, uint32_t n)
{
    uint8_t *p = at(h, buf, n);
    if (p == NULL) {
        return WASI_FAULT;
    }
    for (size_t done = 0; done < n;) {
        ssize_t got = getrandom(p + done, n - done, 0);
        if (got < 0) {
            return WASI_IO;
        }
        done += (size_t)got;
    }
    return WASI_OK;
}

/* -- descriptors ------------------------------------------------------------------------- */

#define IOV_COUNT 16 /* more are a short read or write, which callers expect anyway */

/* Translate the module's buffers; their number in *n. */
static uint32_t take_iovs(const host *h, uint32_t list, uint32_t count, struct iovec *out,
                          int *n)
{
    if (at(h, list, (uint64_t)count * 8) == NULL) {
        return WASI_FAULT;
    }
    count = count < IOV_COUNT ? count : IOV_COUNT;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *pair = at(h, list + 8 * i, 8);
        uint32_t len = sm_le32(pair + 4);
        out[i].iov_base = at(h, sm_le32(pair), len);
        out[i].iov_len = len;
        if (out[i].iov_base == NULL) {
            return WASI_FAULT;
        }
    }
    *n = (int)count;
    return WASI_OK;
}

static uint32_t from_errno(void)
{
    switch (errno) {
    case EAGAIN:
        return WASI_AGAIN;
    case EPIPE:
        return WASI_PIPE;
    case EBADF:
        return WASI_BADF;
    default:
        return WASI_IO;
    }
}

uint32_t WASI(fd_read)(host *h, uint32_t fd, uint32_t list, uint32_t count, uint32_t out)
{
    struct iovec iov[IOV_COUNT];
    int n = 0;
    if (!is_open(h, fd) || fd != STDIN_FILENO) {
        return WASI_BADF;
    }
    uint32_t e = take_iovs(h, list, count, iov, &n);
    if (e != WASI_OK || at(h, out, 4) == NULL) {
        return WASI_FAULT;
    }
    ssize_t got = readv((int)fd, iov, n);
    return got < 0 ? from_errno() : put_u32(h, out, (uint32_t)got);
}

uint32_t WASI(fd_write)(host *h, uint32_t fd, uint32_t list, uint32_t count, uint32_t out)
{
    struct iovec iov[IOV_COUNT];
    int n = 0;
    if (!is_open(h, fd) || fd == STDIN_FILENO) {
        return WASI_BADF;
    }
    uint32_t e = take_iovs(h, list, count, iov, &n);
    if (e != WASI_OK || at(h, out, 4) == NULL) {
        return WASI_FAULT;
    }
    ssize_t got = writev((int)fd, iov, n);
    return got < 0 ? from_errno() : put_u32(h, out, (uint32_t)got);
}

uint32_t WASI(fd_close)(host *h, uint32_t fd)
{
    if (!is_open(h, fd)) {
        return WASI_BADF;
    }
    h->is_closed[fd] = true;
    return WASI_OK;
}

uint32_t WASI(fd_seek)(host *h, uint32_t fd, uint64_t offset, uint32_t whence, uint32_t out)
{
    (void)offset;
    (void)whence;
    (void)out;
    return is_open(h, fd) ? WASI_SPIPE : WASI_BADF;
}

uint32_t WASI(fd_tell)(host *h, uint32_t fd, uint32_t out)
{
    (void)out;
    return is_open(h, fd) ? WASI_SPIPE : WASI_BADF;
}

#define FILETYPE_UNKNOWN 0 /* what a pipe is; libc then buffers whole blocks */
#define RIGHT_READ       (UINT64_C(1) << 1)
#define RIGHT_WRITE      (UINT64_C(1) << 6)
#define RIGHT_POLL       (UINT64_C(1) << 27)

uint32_t WASI(fd_fdstat_get)(host *h, uint32_t fd, uint32_t out)
{
    uint8_t *p = at(h, out, 24);
    if (!is_open(h, fd)) {
        return WASI_BADF;
    }
    if (p == NULL) {
        return WASI_FAULT;
    }
    memset(p, 0, 24);
    p[0] = FILETYPE_UNKNOWN;
    sm_put_le64(p + 8, RIGHT_POLL | (fd == STDIN_FILENO ? RIGHT_READ : RIGHT_WRITE));
    return WASI_OK;
}

uint32_t WASI(fd_fdstat_set_flags)(host *h, uint32_t fd, uint32_t flags)
{
    if (!is_open(h, fd)) {
        return WASI_BADF;
    }
    return flags == 0 ? WASI_OK : WASI_NOTSUP;
}

uint32_t WASI(fd_filestat_get)(host *h, uint32_t fd, uint32_t out)
{
    uint8_t *p = at(h, out, 64);
    if (!is_open(h, fd)) {
        return WASI_BADF;
    }
    if (p == NULL) {
        return WASI_FAULT;
    }
    memset(p, 0, 64);
    p[16] = FILETYPE_UNKNOWN;
    sm_put_le64(p + 24, 1); /* links */
    return WASI_OK;
}

/* -- waiting ----------------------------------------------------------------------------- */

enum { SUB_BYTES = 48, EVENT_BYTES = 32, SUB_CLOCK = 0, SUB_WRITE = 2, CLOCK_ABSOLUTE = 1 };

/* Nanoseconds until a clock subscription is due. */
static uint64_t clock_wait(const uint8_t *sub)
{
    uint32_t id = sm_le32(sub + 16);
    uint64_t timeout = sm_le64(sub + 24);
    if ((sub[40] & CLOCK_ABSOLUTE) == 0 || id >= SM_COUNT(clocks)) {
        return timeout;
    }
    uint64_t now = clock_ns(clocks[id]);
    return timeout > now ? timeout - now : 0;
}

static void sleep_ns(uint64_t ns)
{
    struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000u),
                          .tv_nsec = (long)(ns % 1000000000u)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

static void put_event(uint8_t *event, const uint8_t *sub, uint32_t error)
{
    uint8_t userdata[8], type = sub[8];
    memcpy(userdata, sub, sizeof userdata);
    memset(event, 0, EVENT_BYTES);
    memcpy(event, userdata, sizeof userdata);
    event[8] = (uint8_t)error;
    event[10] = type;
}

/* The three pipes count as ready always: reading them blocks, which is what waiting would do.
 * So only clocks alone make it sleep, until the first is due. */
uint32_t WASI(poll_oneoff)(host *h, uint32_t subs, uint32_t events, uint32_t n, uint32_t out)
{
    if (n == 0) {
        return WASI_INVAL;
    }
    const uint8_t *sub0 = at(h, subs, (uint64_t)n * SUB_BYTES);
    uint8_t *event = at(h, events, (uint64_t)n * EVENT_BYTES);
    if (sub0 == NULL || event == NULL || at(h, out, 4) == NULL) {
        return WASI_FAULT;
    }
    uint64_t wait = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *sub = sub0 + (size_t)i * SUB_BYTES;
        uint64_t w = 0;
        if (sub[8] == SUB_CLOCK) {
            w = clock_wait(sub);
        } else if (sub[8] > SUB_WRITE) {
            return WASI_INVAL;
        }
        wait = w < wait ? w : wait;
    }
    sleep_ns(wait);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *sub = sub0 + (size_t)i * SUB_BYTES;
        bool is_clock = sub[8] == SUB_CLOCK;
        if (is_clock && clock_wait(sub) > wait) {
            continue;
        }
        uint32_t error = is_clock || is_open(h, sm_le32(sub + 16)) ? WASI_OK : WASI_BADF;
        put_event(event + (size_t)count++ * EVENT_BYTES, sub, error);
    }
    return put_u32(h, out, count);
}

uint32_t WASI(sched_yield)(host *h)
{
    (void)h;
    return WASI_OK;
}

void WASI(proc_exit)(host *h, uint32_t code)
{
    (void)h;
    rt_end(SM_SEE_EXIT, code);
}

/* -- what does not exist here ------------------------------------------------------------ */

/* Every other function of preview 1, so that modules link. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define ABSENT(name, error, ...)                                                               \
    uint32_t WASI(name)(host * self, __VA_ARGS__)                                              \
    {                                                                                          \
        return (error);                                                                        \
    }

ABSENT(fd_advise, WASI_NOTSUP, uint32_t a, uint64_t b, uint64_t c, uint32_t d)
ABSENT(fd_allocate, WASI_NOTSUP, uint32_t a, uint64_t b, uint64_t c)
ABSENT(fd_datasync, WASI_NOTSUP, uint32_t a)
ABSENT(fd_fdstat_set_rights, WASI_NOTSUP, uint32_t a, uint64_t b, uint64_t c)
ABSENT(fd_filestat_set_size, WASI_NOTSUP, uint32_t a, uint64_t b)
ABSENT(fd_filestat_set_times, WASI_NOTSUP, uint32_t a, uint64_t b, uint64_t c, uint32_t d)
ABSENT(fd_pread, WASI_SPIPE, uint32_t a, uint32_t b, uint32_t c, uint64_t d, uint32_t e)
ABSENT(fd_prestat_get, WASI_BADF, uint32_t a, uint32_t b)
ABSENT(fd_prestat_dir_name, WASI_BADF, uint32_t a, uint32_t b, uint32_t c)
ABSENT(fd_pwrite, WASI_SPIPE, uint32_t a, uint32_t b, uint32_t c, uint64_t d, uint32_t e)
ABSENT(fd_readdir, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint64_t d, uint32_t e)
ABSENT(fd_renumber, WASI_NOTSUP, uint32_t a, uint32_t b)
ABSENT(fd_sync, WASI_NOTSUP, uint32_t a)
ABSENT(path_create_directory, WASI_BADF, uint32_t a, uint32_t b, uint32_t c)
ABSENT(path_filestat_get, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)
ABSENT(path_filestat_set_times, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint32_t d,
       uint64_t e, uint64_t f, uint32_t g)
ABSENT(path_link, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e,
       uint32_t f, uint32_t g)
ABSENT(path_open, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e,
       uint64_t f, uint64_t g, uint32_t h, uint32_t i)
ABSENT(path_readlink, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e,
       uint32_t f)
ABSENT(path_remove_directory, WASI_BADF, uint32_t a, uint32_t b, uint32_t c)
ABSENT(path_rename, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e,
       uint32_t f)
ABSENT(path_symlink, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)
ABSENT(path_unlink_file, WASI_BADF, uint32_t a, uint32_t b, uint32_t c)
ABSENT(proc_raise, WASI_NOSYS, uint32_t a)
ABSENT(sock_accept, WASI_BADF, uint32_t a, uint32_t b, uint32_t c)
ABSENT(sock_recv, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e,
       uint32_t f)
ABSENT(sock_send, WASI_BADF, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)
ABSENT(sock_shutdown, WASI_BADF, uint32_t a, uint32_t b)
