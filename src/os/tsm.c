// SPDX-License-Identifier: Apache-2.0
#include "os/tsm.h"

#include "os/file.h"
#include "os/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHORT_MAX 64u /* generation, provider */

struct report {
    const struct sm_tsm_ask *ask;
    char folder[SM_PATH];
    char *why;
    uint64_t generation; /* as it must be after our writes */
};

__attribute__((format(printf, 3, 4))) static enum sm_err
because(const struct report *r, enum sm_err e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r->why, SM_TSM_WHY, fmt, ap);
    va_end(ap);
    return e;
}

/* What the kernel means by an errno, of an attribute. */
static enum sm_err explain(const struct report *r, const char *attribute, int err)
{
    switch (err) {
    case EINVAL:
        if (strcmp(attribute, "privlevel") == 0) {
            return because(r, SM_E_INVALID,
                           "privilege level %u is below the lowest one this guest may ask for "
                           "(privlevel_floor): a paravisor runs above it",
                           r->ask->privlevel);
        }
        return because(r, SM_E_INVALID, "the kernel refused %s as invalid", attribute);
    case EFBIG:
        return because(
            r, SM_E_LIMIT,
            "the report is longer than this kernel hands out (EFBIG from %s): a newer "
            "kernel takes more",
            attribute);
    case EBUSY:
    case EAGAIN:
        return because(r, SM_E_BUSY, "%s is busy: the host throttles, or another process wrote",
                       attribute);
    case ETIMEDOUT:
        return because(r, SM_E_BUSY, "the host made no report in time (ETIMEDOUT from %s)",
                       attribute);
    default:
        return because(r, sm_err_of_errno(err), "%s: %s", attribute, strerror(err));
    }
}

/* -- attributes --------------------------------------------------------------------------- */

static enum sm_err attribute_open(const struct report *r, const char *name, int flags, int *out)
{
    char path[SM_PATH];
    SM_TRY(sm_path_join(r->folder, name, path));
    int fd = open(path, flags | O_CLOEXEC, 0);
    if (fd < 0) {
        return explain(r, name, errno);
    }
    *out = fd;
    return SM_OK;
}

/* The kernel takes or gives an attribute in one piece; a blob may be read in several. */
static enum sm_err attribute_read(const struct report *r, const char *name, struct sm_buf *out)
{
    uint8_t part[4096];
    int fd;
    ssize_t n;
    enum sm_err e = SM_OK;
    sm_buf_clear(out);
    SM_TRY(attribute_open(r, name, O_RDONLY, &fd));
    while ((n = read(fd, part, sizeof part)) != 0) {
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            e = explain(r, name, errno);
            break;
        }
        e = sm_buf_add(out, part, (size_t)n);
        if (e != SM_OK) {
            e = because(r, e, "%s is longer than %zu bytes", name, out->max);
            break;
        }
    }
    (void)close(fd);
    return e;
}

static enum sm_err attribute_write(struct report *r, const char *name, const void *p, size_t n)
{
    int fd;
    SM_TRY(attribute_open(r, name, O_WRONLY, &fd));
    ssize_t put;
    do {
        put = write(fd, p, n);
    } while (put < 0 && errno == EINTR);
    enum sm_err e = put < 0            ? explain(r, name, errno)
                    : (size_t)put != n ? because(r, SM_E_IO, "%s took a part only", name)
                                       : SM_OK;
    /* configfs hands a blob to the driver when the file is closed. */
    if (close(fd) != 0 && e == SM_OK) {
        e = explain(r, name, errno);
    }
    r->generation += e == SM_OK;
    return e;
}

/* A line of text, without its end. */
static enum sm_err attribute_text(const struct report *r, const char *name,
                                  char out[static SHORT_MAX])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(SHORT_MAX - 1);
    SM_TRY(attribute_read(r, name, &b));
    size_t n = b.n > 0 && b.p[b.n - 1] == '\n' ? b.n - 1 : b.n;
    if (n > 0) {
        memcpy(out, b.p, n);
    }
    out[n] = '\0';
    return SM_OK;
}

static enum sm_err generation(const struct report *r, uint64_t *out)
{
    char text[SHORT_MAX], *end;
    SM_TRY(attribute_text(r, "generation", text));
    errno = 0;
    uint64_t v = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') {
        return because(r, SM_E_IO, "generation is not a number");
    }
    *out = v;
    return SM_OK;
}

/* -- one report --------------------------------------------------------------------------- */

static enum sm_err check_provider(const struct report *r)
{
    char name[SHORT_MAX];
    SM_TRY(attribute_text(r, "provider", name));
    if (strcmp(name, r->ask->provider) != 0) {
        return because(r, SM_E_UNSUPPORTED,
                       "this machine's reports are made by %s, and %s was asked for", name,
                       r->ask->provider);
    }
    return SM_OK;
}

static enum sm_err check_generation(const struct report *r)
{
    uint64_t now;
    SM_TRY(generation(r, &now));
    if (now != r->generation) {
        return because(r, SM_E_BUSY,
                       "another process wrote to the folder of this report (generation %" PRIu64
                       ", not %" PRIu64 ")",
                       now, r->generation);
    }
    return SM_OK;
}

static enum sm_err read_aux(const struct report *r, struct sm_buf *aux)
{
    enum sm_err e = attribute_read(r, "auxblob", aux);
    if (e == SM_E_NOTFOUND) { /* not every provider has one */
        r->why[0] = '\0';
        return SM_OK;
    }
    return e;
}

static enum sm_err ask(struct report *r, struct sm_buf *out, struct sm_buf *aux)
{
    char level[16];
    SM_TRY(generation(r, &r->generation));
    SM_TRY(check_provider(r));
    if (r->ask->has_privlevel) {
        int n = snprintf(level, sizeof level, "%u", r->ask->privlevel);
        SM_TRY(attribute_write(r, "privlevel", level, (size_t)n));
    }
    SM_TRY(attribute_write(r, "inblob", r->ask->inblob, sizeof r->ask->inblob));
    SM_TRY(attribute_read(r, "outblob", out));
    SM_TRY(read_aux(r, aux));
    SM_TRY(check_generation(r));
    return out->n > 0 ? SM_OK : because(r, SM_E_IO, "the kernel gave an empty report");
}

static enum sm_err make_folder(struct report *r)
{
    uint8_t fresh[8];
    char hex[2 * sizeof fresh + 1], name[32];
    SM_TRY(sm_random_bytes(fresh, sizeof fresh));
    sm_hex(fresh, sizeof fresh, hex);
    (void)snprintf(name, sizeof name, "seemesh-%s", hex);
    SM_TRY(sm_path_join(r->ask->dir, name, r->folder));
    if (mkdir(r->folder, 0700) == 0) {
        return SM_OK;
    }
    switch (errno) {
    case ENOENT:
        return because(r, SM_E_UNSUPPORTED,
                       "%s is not there: it takes Linux 6.7, the guest driver (sev-guest or "
                       "tdx-guest) and a mounted configfs",
                       r->ask->dir);
    case ENXIO:
        return because(r, SM_E_UNSUPPORTED,
                       "no driver makes reports here: load sev-guest or tdx-guest");
    default:
        return explain(r, r->ask->dir, errno);
    }
}

enum sm_err sm_tsm_report(const struct sm_tsm_ask *a, struct sm_buf *out, struct sm_buf *aux,
                          char why[static SM_TSM_WHY])
{
    struct report r = {.ask = a, .why = why};
    why[0] = '\0';
    sm_buf_clear(out);
    sm_buf_clear(aux);
    SM_TRY(make_folder(&r));
    enum sm_err e = ask(&r, out, aux);
    if (rmdir(r.folder) != 0 && e == SM_OK) {
        e = explain(&r, "removing the folder", errno);
    }
    if (e != SM_OK) {
        sm_buf_clear(out);
        sm_buf_clear(aux);
    }
    return e;
}

bool sm_tsm_is_there(const char *dir)
{
    struct stat st;
    return stat(dir, &st) == 0 && S_ISDIR(st.st_mode);
}
