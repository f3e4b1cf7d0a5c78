// SPDX-License-Identifier: Apache-2.0
#include "bench/flow_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 * 1024) /* as the loop of a node has */

/* A socket of a program that only streams: it waits, and it may fill the kernel's buffers. */
static enum sm_err make_bare(int fd)
{
    const int as_it_likes = 0;
    int flags = fcntl(fd, F_GETFL);
    struct pollfd connected = {.fd = fd, .events = POLLOUT};
    if (poll(&connected, 1, 10000) != 1 || flags < 0 ||
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &as_it_likes, sizeof as_it_likes) != 0) {
        return SM_E_IO;
    }
    return SM_OK;
}

static enum sm_err tls_open(struct bare *b, SSL_CTX *ctx, bool is_server)
{
    b->ssl = SSL_new(ctx);
    bool is_ok = b->ssl != NULL && SSL_set_fd(b->ssl, b->fd) == 1 &&
                 (is_server ? SSL_accept(b->ssl) : SSL_connect(b->ssl)) == 1;
    return is_ok ? SM_OK : SM_E_CRYPTO;
}

enum sm_err bare_open(int fd, SSL_CTX *ctx, bool is_server, struct bare *out)
{
    struct bare b = {.fd = fd};
    enum sm_err e = make_bare(fd);
    if (e == SM_OK && ctx != NULL) {
        e = tls_open(&b, ctx, is_server);
    }
    if (e != SM_OK) {
        bare_done(&b);
        return e;
    }
    *out = b;
    return SM_OK;
}

void bare_done(struct bare *b)
{
    SSL_free(b->ssl);
    if (b->fd >= 0) {
        (void)close(b->fd);
    }
    *b = (struct bare){.fd = -1};
}

static enum sm_err put_all(struct bare *b, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t put =
            b->ssl != NULL ? SSL_write(b->ssl, p, (int)n) : send(b->fd, p, n, MSG_NOSIGNAL);
        if (put <= 0 && (b->ssl != NULL || errno != EINTR)) {
            return SM_E_CLOSED;
        }
        p += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
    return SM_OK;
}

/* Read n bytes, in pieces of up to the buffer's length. */
static enum sm_err get_all(struct bare *b, uint8_t *buf, uint64_t n)
{
    while (n > 0) {
        size_t want = n < READ_BYTES ? (size_t)n : READ_BYTES;
        ssize_t got =
            b->ssl != NULL ? SSL_read(b->ssl, buf, (int)want) : recv(b->fd, buf, want, 0);
        if (got <= 0 && (b->ssl != NULL || errno != EINTR)) {
            return SM_E_CLOSED;
        }
        n -= got > 0 ? (uint64_t)got : 0;
    }
    return SM_OK;
}

enum sm_err bare_pass(struct bare *b, const struct flow_cfg *cfg, uint8_t *message)
{
    for (uint64_t sent = 0; sent < cfg->bytes; sent += cfg->size) {
        SM_TRY(put_all(b, message, cfg->size));
    }
    return get_all(b, message, cfg->answer);
}

void bare_serve(struct bare *b, const struct flow_cfg *cfg)
{
    uint8_t *buf = calloc(1, READ_BYTES);
    while (buf != NULL && get_all(b, buf, cfg->bytes) == SM_OK &&
           put_all(b, buf, cfg->answer) == SM_OK) {
    }
    free(buf);
}
