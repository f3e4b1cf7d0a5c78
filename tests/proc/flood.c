// SPDX-License-Identifier: Apache-2.0
/* flood HOME ROOT ADDRESS:PORT SECONDS honest [DIALS]
 * flood HOME ROOT ADDRESS:PORT SECONDS idle|hello|solve|pq|drip|junk RATE
 *
 * Strangers for a real node of the development mesh whose configuration is in HOME and whose
 * root's key is in ROOT.  The honest one makes whole attested tunnels, one after the other,
 * each as a newly started node would, and says how many came up.  The others open RATE
 * connections a second from addresses all over 127/8: to say nothing, to send HELLO and go no
 * further, to solve the puzzle as well, to send a HELLO with a key of ML-KEM, to say a HELLO
 * one byte at a time, or to say what is none.  One JSON object on stdout. */
#include "attest/dev.h"
#include "core/door.h"
#include "core/handshake.h"
#include "core/tunnel.h"
#include "os/clock.h"
#include "os/random.h"
#include "proc/config.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPEN_MAX = 768, DIALS_MAX = 100000 };

struct self {
    const struct sm_suite *suite;
    struct sm_rng rng;
    struct sm_anchor anchor;
    struct sm_sign_pair sign;
    struct sm_node_record rec;
    struct sockaddr_in to;
    struct sm_mono end;
};

static enum sm_err fill_identity(struct self *s, const char *root_dir)
{
    char path[SM_PATH];
    struct sm_secret32 seed;
    struct sm_sign_pair root;
    struct sm_wall now = sm_clock_wall();
    struct sm_dev_endorsement e = {.not_before = now, .expires = {now.s + 3600}};
    SM_TRY(sm_path_join(root_dir, "root.key", path));
    SM_TRY(sm_file_read_exact(path, seed.b, sizeof seed.b));
    sm_sign_pair_from(s->suite, &seed, &root);
    sm_sign_pair_make(s->suite, &s->rng, &s->sign);
    sm_rng_bytes(&s->rng, e.platform_id, sizeof e.platform_id);
    memcpy(e.sign_key, s->sign.pub.b, sizeof e.sign_key);
    struct sm_wr w = sm_wr_init(s->rec.endorsement, sizeof s->rec.endorsement);
    SM_TRY(sm_dev_endorse(s->suite, &root, &s->anchor, &e, &w));
    s->rec.endorsement_n = (uint16_t)w.n;
    sm_node_id_make(e.platform_id, 0, s->anchor.network, &s->rec.node_id);
    memcpy(s->rec.sign_key, s->sign.pub.b, sizeof s->rec.sign_key);
    memcpy(s->rec.owner, "honest", 7);
    return SM_OK;
}

static enum sm_err self_make(struct self *s, char **argv)
{
    char path[SM_PATH];
    uint8_t seed[32];
    struct sm_inet to;
    static struct sm_config config;
    struct sm_config_problem problem;
    *s = (struct self){.suite = sm_suite_real()};
    SM_TRY(sm_random_bytes(seed, sizeof seed));
    sm_rng_init(&s->rng, seed, "flood");
    SM_TRY(sm_path_join(argv[1], "seemesh.conf", path));
    SM_TRY(sm_config_load(path, argv[1], &config, &problem));
    SM_TRY(sm_config_anchor(&config, &s->anchor));
    SM_TRY(sm_inet_parse(argv[3], &to));
    s->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(to.port)};
    memcpy(&s->to.sin_addr, to.ip, 4);
    s->end = sm_after(sm_clock_mono(), SM_S(strtoul(argv[4], NULL, 10)));
    return fill_identity(s, argv[2]);
}

static int open_from(const struct self *s, uint32_t address, bool is_blocking)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(address)}};
    int one = 1, type = SOCK_STREAM | SOCK_CLOEXEC | (is_blocking ? 0 : SOCK_NONBLOCK);
    int fd = socket(AF_INET, type, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        (connect(fd, (const struct sockaddr *)&s->to, sizeof s->to) != 0 &&
         errno != EINPROGRESS)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* -- one who means well -------------------------------------------------------------------- */

static enum sm_err sign_record(struct self *s, uint8_t *buf, size_t cap, struct sm_view *out)
{
    uint8_t to_sign[SM_RECORD_TO_SIGN_MAX];
    struct sm_wall now = sm_clock_wall();
    struct sm_wr w = sm_wr_init(buf, cap), t = sm_wr_init(to_sign, sizeof to_sign);
    struct sm_sig sig;
    s->rec.head = (struct sm_record_head){.network = s->anchor.network,
                                          .seq = s->rec.head.seq + 1,
                                          .not_before = now,
                                          .expires = {now.s + 3600}};
    sm_node_record_write(&s->rec, &w);
    sm_record_to_sign(sm_view_of(buf, w.n), &t);
    s->suite->sign(&s->sign, sm_view_of(to_sign, t.n), &sig);
    sm_wr_bytes(&w, sig.b, sizeof sig.b);
    return sm_wr_done(&w, out);
}

static void give_evidence(struct self *s, struct sm_tunnel *t, const struct sm_tunnel_out *o)
{
    struct sm_dev_platform platform = {0};
    struct sm_sign_request req;
    uint8_t buf[SM_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    enum sm_err e = sm_sign_request_read(o->bytes, &req);
    if (e == SM_OK) {
        e = sm_attest_collect_dev(s->suite, &s->sign, &platform, sm_clock_wall(), &req.binding,
                                  &w);
    }
    sm_tunnel_signed(t, sm_clock_mono(), o->token, e, sm_view_of(buf, w.n));
}

/* True when a whole round trip through the tunnel was measured: both ends are up. */
static bool drain(struct self *s, struct sm_tunnel *t, int fd, bool *is_over)
{
    struct sm_tunnel_out o;
    bool is_up = false;
    while (sm_tunnel_next(t, sm_clock_mono(), &o)) {
        if (o.kind == SM_TUNNEL_SEND) {
            *is_over |= send(fd, o.bytes.p, o.bytes.n, MSG_NOSIGNAL) != (ssize_t)o.bytes.n;
            sm_tunnel_written(t, o.bytes.n);
        } else if (o.kind == SM_TUNNEL_SIGN) {
            give_evidence(s, t, &o);
        } else if (o.kind == SM_TUNNEL_RTT) {
            is_up = true;
        } else if (o.kind == SM_TUNNEL_DOWN) {
            *is_over = true;
            if (o.err == SM_E_CANCELLED) {
                continue;
            }
            (void)fprintf(stderr, "down: %s\n", o.reason);
        }
    }
    return is_up;
}

static bool converse(struct self *s, struct sm_tunnel *t, int fd)
{
    static uint8_t buf[65536];
    bool is_over = false, is_up = false;
    sm_tunnel_open(t, sm_clock_mono());
    is_up = drain(s, t, fd, &is_over);
    while (!is_up && !is_over) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t ns = sm_between(sm_clock_mono(), sm_tunnel_deadline(t)).ns;
        if (poll(&p, 1, (int)((ns + 999999) / 1000000)) > 0) {
            ssize_t n = recv(fd, buf, sizeof buf, 0);
            if (n <= 0) {
                (void)fprintf(stderr, "down: the connection ended (%s)\n",
                              n < 0 ? strerror(errno) : "orderly");
                return false;
            }
            sm_tunnel_input(t, sm_clock_mono(), sm_clock_wall(), buf, (size_t)n);
        } else {
            sm_tunnel_tick(t, sm_clock_mono());
        }
        is_up = drain(s, t, fd, &is_over);
    }
    sm_tunnel_close(t, SM_E_CANCELLED, "that was all");
    (void)drain(s, t, fd, &is_over);
    return is_up;
}

static bool dial_honestly(struct self *s)
{
    uint8_t buf[SM_NODE_RECORD_MAX];
    struct sm_dh_pair dh;
    sm_dh_pair_make(s->suite, &s->rng, &dh);
    memcpy(s->rec.dh_key, dh.pub.b, sizeof s->rec.dh_key);
    struct sm_tunnel_cfg cfg = {.suite = s->suite,
                                .anchor = &s->anchor,
                                .is_dialer = true,
                                .faster = SM_AESGCM,
                                .dh = &dh};
    sm_rng_bytes(&s->rng, cfg.seed, sizeof cfg.seed);
    if (sign_record(s, buf, sizeof buf, &cfg.record) != SM_OK) {
        return false;
    }
    struct sm_tunnel *t = sm_tunnel_new(&cfg);
    int fd = open_from(s, 0x7f00fffeu, true);
    bool is_up = t != NULL && fd >= 0 && converse(s, t, fd);
    sm_tunnel_free(t);
    if (fd >= 0) {
        close(fd);
    }
    return is_up;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static int honest(struct self *s, unsigned long dials)
{
    static uint64_t took[DIALS_MAX];
    unsigned long up = 0, all = 0;
    struct sm_mono now = sm_clock_mono();
    while (!sm_is_due(s->end, now) && all < dials && all < DIALS_MAX) {
        bool is_up = dial_honestly(s);
        struct sm_mono then = sm_clock_mono();
        if (is_up) {
            took[up++] = sm_between(now, then).ns / 1000;
        }
        all++;
        (void)poll(NULL, 0, 20);
        now = sm_clock_mono();
    }
    qsort(took, up, sizeof *took, by_size);
    printf("{\"dials\": %lu, \"up\": %lu, \"p50_us\": %" PRIu64 ", \"p99_us\": %" PRIu64
           ", \"max_us\": %" PRIu64 "}\n",
           all, up, up > 0 ? took[up / 2] : 0, up > 0 ? took[up * 99 / 100] : 0,
           up > 0 ? took[up - 1] : 0);
    return all == 0;
}

/* -- the others ---------------------------------------------------------------------------- */

enum kind { IDLE, HELLO, SOLVE, PQ, DRIP, JUNK };

#define DRIP_EVERY SM_MS(200) /* a byte; a HELLO of 44 would take 9 s */

struct stranger {
    int fd; /* -1: none */
    bool has_said_hello, has_answered;
    uint8_t hello[SM_HAND_HEAD + 32 + SM_KEM_PUB + SM_TAG_BYTES];
    uint8_t in[SM_HAND_HEAD + SM_COOKIE_BYTES];
    size_t hello_n, said, in_n;
    struct sm_mono say_at;
};

struct crowd {
    struct stranger s[OPEN_MAX];
    unsigned at;
    unsigned long opened, refused, answered;
};

static void leave(struct stranger *x)
{
    struct linger at_once = {.l_onoff = 1}; /* by reset: no port stays in use */
    if (x->fd >= 0) {
        (void)setsockopt(x->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(x->fd);
        x->fd = -1;
    }
}

static void make_hello(struct self *s, enum kind kind, struct stranger *x)
{
    bool is_pq = kind == PQ;
    x->hello_n = SM_HAND_HEAD + 32 + (is_pq ? SM_KEM_PUB + SM_TAG_BYTES : 0);
    sm_rng_bytes(&s->rng, x->hello, x->hello_n);
    if (kind != JUNK) {
        sm_hand_write(&(struct sm_hand){.kind = SM_HAND_HELLO,
                                        .pattern = SM_HAND_XX,
                                        .cipher = SM_AESGCM,
                                        .faster = SM_AESGCM,
                                        .pq = is_pq ? SM_HAND_PQ : 0,
                                        .n = (uint16_t)(x->hello_n - SM_HAND_HEAD)},
                      x->hello);
    }
}

static void come(struct self *s, struct crowd *c, enum kind kind)
{
    struct stranger *x = &c->s[c->at++ % OPEN_MAX];
    leave(x);
    *x = (struct stranger){
        .fd =
            open_from(s, 0x7f000000u | (uint32_t)(1 + sm_rng_below(&s->rng, 0xfffff0)), false)};
    if (x->fd < 0) {
        c->refused++;
        return;
    }
    c->opened++;
    make_hello(s, kind, x);
}

static void answer(struct crowd *c, struct stranger *x)
{
    uint8_t out[SM_HANDSHAKE_OUT], head[SM_HAND_HEAD];
    struct sm_wr w = sm_wr_init(out, sizeof out);
    struct sm_cookie cookie;
    uint64_t nonce = 0;
    if (sm_cookie_read(sm_view_of(x->in + SM_HAND_HEAD, SM_COOKIE_BYTES), &cookie) != SM_OK) {
        return;
    }
    while (!sm_puzzle_is_solved(&cookie, nonce)) {
        nonce++;
    }
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_ADMIT, .n = SM_ADMIT_BYTES}, head);
    sm_wr_bytes(&w, head, sizeof head);
    sm_admit_write(&cookie, nonce, &w);
    sm_wr_bytes(&w, x->hello, x->hello_n);
    (void)!send(x->fd, out, w.n, MSG_NOSIGNAL);
    c->answered++;
}

static void go_on(struct crowd *c, struct stranger *x, enum kind kind, struct sm_mono now)
{
    if (x->fd < 0 || kind == IDLE) {
        return;
    }
    if (!x->has_said_hello && sm_is_due(x->say_at, now)) {
        size_t n = kind == DRIP ? 1 : x->hello_n;
        x->said += send(x->fd, x->hello + x->said, n, MSG_NOSIGNAL) > 0 ? n : 0;
        x->has_said_hello = x->said == x->hello_n;
        x->say_at = kind == DRIP ? sm_after(now, DRIP_EVERY) : now;
        return;
    }
    if (kind == SOLVE && !x->has_answered) {
        ssize_t n = recv(x->fd, x->in + x->in_n, sizeof x->in - x->in_n, 0);
        x->in_n += n > 0 ? (size_t)n : 0;
        if (x->in_n == sizeof x->in) {
            x->has_answered = true;
            answer(c, x);
        }
    }
}

static int flood(struct self *s, enum kind kind, unsigned long rate)
{
    static struct crowd c;
    struct rlimit files = {OPEN_MAX + 64, OPEN_MAX + 64};
    struct sm_mono began = sm_clock_mono(), now = began;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (unsigned i = 0; i < OPEN_MAX; i++) {
        c.s[i].fd = -1;
    }
    for (; !sm_is_due(s->end, now); now = sm_clock_mono()) {
        unsigned long due = sm_between(began, now).ns / 1000 * rate / 1000000;
        for (unsigned i = 0; i < 64 && c.opened + c.refused < due; i++) {
            come(s, &c, kind);
        }
        for (unsigned i = 0; i < OPEN_MAX; i++) {
            go_on(&c, &c.s[i], kind, now);
        }
        (void)poll(NULL, 0, 2);
    }
    for (unsigned i = 0; i < OPEN_MAX; i++) {
        leave(&c.s[i]);
    }
    printf("{\"opened\": %lu, \"refused\": %lu, \"answered\": %lu}\n", c.opened, c.refused,
           c.answered);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"idle", "hello", "solve", "pq", "drip", "junk"};
    static struct self self;
    enum sm_err e = argc >= 6 ? self_make(&self, argv) : SM_E_USAGE;
    unsigned long number = argc > 6 ? strtoul(argv[6], NULL, 10) : DIALS_MAX;
    if (e == SM_OK && strcmp(argv[5], "honest") == 0) {
        return honest(&self, number);
    }
    for (unsigned i = 0; e == SM_OK && i < SM_COUNT(kinds); i++) {
        if (strcmp(argv[5], kinds[i]) == 0) {
            return flood(&self, (enum kind)i, number);
        }
    }
    e = e == SM_OK ? SM_E_USAGE : e;
    (void)fprintf(stderr, "flood: %s\n", sm_err_words(e));
    return sm_err_exit_code(e);
}
