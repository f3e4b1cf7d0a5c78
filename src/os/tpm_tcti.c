// SPDX-License-Identifier: Apache-2.0
#include "os/file.h"
#include "os/tpm_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEADER       10u /* tag u16, size u32, code u32 */
#define RESPONSE_MAX 4096u

/* -- waiting ----------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whether the descriptor is ready before `end`. */
static bool wait_for(int fd, short events, int64_t end)
{
    for (;;) {
        int64_t left = end - now_ms();
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return false;
        }
    }
}

static bool is_again(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* -- the calls of tpm2-tss --------------------------------------------------------------- */

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *ctx, size_t size, const uint8_t *command)
{
    struct sm_tcti *c = (struct sm_tcti *)(void *)ctx;
    const int64_t end = now_ms() + c->timeout_ms;
    if (c->is_dead) {
        return TSS2_TCTI_RC_IO_ERROR;
    }
    c->is_dead = true; /* until its answer is whole */
    while (size > 0) {
        if (!wait_for(c->fd, POLLOUT, end)) {
            return TSS2_TCTI_RC_TRY_AGAIN;
        }
        /* A software TPM that has gone is an error, and no signal. */
        ssize_t n = c->is_socket ? send(c->fd, command, size, MSG_NOSIGNAL)
                                 : write(c->fd, command, size);
        if (n < 0 && is_again()) {
            continue;
        }
        if (n <= 0) {
            return TSS2_TCTI_RC_IO_ERROR;
        }
        command += n;
        size -= (size_t)n;
    }
    return TSS2_RC_SUCCESS;
}

static uint32_t size_of(const uint8_t header[static HEADER])
{
    return (uint32_t)header[2] << 24 | (uint32_t)header[3] << 16 | (uint32_t)header[4] << 8 |
           header[5];
}

/* A device gives its answer in one read, a socket may give it in pieces. */
static TSS2_RC receive_all(struct sm_tcti *c, uint8_t *p, size_t cap, size_t *out)
{
    const int64_t end = now_ms() + c->timeout_ms;
    size_t have = 0, want = HEADER;
    while (have < want) {
        if (!wait_for(c->fd, POLLIN, end)) {
            return TSS2_TCTI_RC_TRY_AGAIN;
        }
        ssize_t n = read(c->fd, p + have, cap - have);
        if (n < 0 && is_again()) {
            continue;
        }
        if (n <= 0) {
            return TSS2_TCTI_RC_IO_ERROR;
        }
        have += (size_t)n;
        if (have >= HEADER) {
            want = size_of(p);
        }
        if (want < HEADER || want > cap || (have > want)) {
            return TSS2_TCTI_RC_MALFORMED_RESPONSE;
        }
    }
    *out = have;
    return TSS2_RC_SUCCESS;
}

/* tpm2-tss always waits for ever; the time is ours.  TRY_AGAIN would make it ask again, so a
 * timeout is told as an error. */
static TSS2_RC receive(TSS2_TCTI_CONTEXT *ctx, size_t *size, uint8_t *response, int32_t timeout)
{
    struct sm_tcti *c = (struct sm_tcti *)(void *)ctx;
    size_t n = 0;
    (void)timeout;
    if (response == NULL) {
        *size = RESPONSE_MAX;
        return TSS2_RC_SUCCESS;
    }
    TSS2_RC rc = receive_all(c, response, *size, &n);
    if (rc == TSS2_TCTI_RC_TRY_AGAIN) {
        return TSS2_TCTI_RC_NO_CONNECTION;
    }
    if (rc == TSS2_RC_SUCCESS) {
        c->is_dead = false;
        *size = n;
    }
    return rc;
}

/* -- opening ----------------------------------------------------------------------------- */

static enum sm_err open_device(const char *path, int *out)
{
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return errno == EBUSY ? SM_E_BUSY : sm_err_of_errno(errno);
    }
    *out = fd;
    return SM_OK;
}

static enum sm_err open_socket(const char *path, int *out)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path) {
        return SM_E_LIMIT;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return sm_err_of_errno(errno);
    }
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) != 0) {
        enum sm_err e = errno == EAGAIN         ? SM_E_BUSY
                        : errno == ECONNREFUSED ? SM_E_NOTFOUND
                                                : sm_err_of_errno(errno);
        (void)close(fd);
        return e;
    }
    *out = fd;
    return SM_OK;
}

static const char *after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static void explain(enum sm_err e, const char *text, const char *path,
                    char why[static SM_TPMDEV_WHY])
{
    const char *what = e == SM_E_NOTFOUND  ? "there is no TPM; is it switched on in the "
                                             "firmware, or the software TPM started?"
                       : e == SM_E_REFUSED ? "this user may not open it; add the user to the "
                                             "group tss (usermod -aG tss USER)"
                       : e == SM_E_BUSY    ? "another program holds it; use device:/dev/tpmrm0"
                                           : sm_err_words(e);
    (void)snprintf(why, SM_TPMDEV_WHY, "%s: %s", path != NULL ? path : text, what);
}

enum sm_err sm_tcti_open(const char *text, struct sm_tcti *out, char why[static SM_TPMDEV_WHY])
{
    const char *device = after(text, "device:"), *sock = after(text, "swtpm:path=");
    enum sm_err e = SM_E_UNSUPPORTED;
    int fd = -1;
    if (device != NULL) {
        e = open_device(device, &fd);
    } else if (sock != NULL) {
        e = open_socket(sock, &fd);
    } else {
        (void)snprintf(why, SM_TPMDEV_WHY,
                       "a TPM is named as device:/dev/tpmrm0 or swtpm:path=SOCKET");
        return e;
    }
    if (e != SM_OK) {
        explain(e, text, device != NULL ? device : sock, why);
        return e;
    }
    *out = (struct sm_tcti){
        .fd = fd, .is_socket = sock != NULL, .timeout_ms = SM_TPMDEV_TIMEOUT_MS};
    out->common.v1.magic = 0x7365656d65736831; /* any number that is ours */
    out->common.v1.version = 2;
    out->common.v1.transmit = transmit;
    out->common.v1.receive = receive;
    return SM_OK;
}

void sm_tcti_close(struct sm_tcti *c)
{
    if (c->fd >= 0) {
        (void)close(c->fd);
        c->fd = -1;
    }
}
