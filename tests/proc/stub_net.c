// SPDX-License-Identifier: Apache-2.0
/* A net that asks keys for everything it may, and for what it may not, and logs the answers:
 * tests/proc/daemon reads them.  Argument-less, like every program under main; what to do comes
 * by the name of the node: "good" asks, "evil" breaks the table, "crash" dies once it is up. */
#include "attest/anchor.h"
#include "core/put.h"
#include "crypto/suite.h"
#include "os/clock.h"
#include "proc/child_common.h"
#include "wire/sign.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stub {
    struct sm_self *self;
    const struct sm_suite *suite;
    struct sm_anchor anchor;
    struct sm_ipc_identity id;
    uint8_t endorsement[512];
    uint8_t node[SM_NODE_RECORD_MAX];
    size_t node_n;
    unsigned listeners;
    struct sm_put *put; /* an object on its way to store, once */
    bool has_put;
    size_t put_at;
    struct sm_stream *endpoint;
    uint64_t staying; /* the instance that is to be stopped */
};

static void node_record(struct stub *s, struct sm_node_record *out)
{
    struct sm_wall now = sm_clock_wall();
    *out = (struct sm_node_record){.node_id = s->id.node_id,
                                   .index = s->id.index,
                                   .platform = s->id.platform,
                                   .endorsement_n = (uint16_t)s->id.endorsement.n};
    out->head = (struct sm_record_head){
        .network = s->anchor.network, .seq = 1, .not_before = now, .expires = {now.s + 3600}};
    memcpy(out->sign_key, s->id.sign_key, 32);
    memset(out->dh_key, 9, 32);
    memcpy(out->measurement, s->id.measurement, 48);
    memcpy(out->owner, "test", 5);
    memcpy(out->endorsement, s->endorsement, out->endorsement_n);
}

static void ask_record(struct stub *s, struct sm_ipc *keys, uint64_t id,
                       const struct sm_node_record *r)
{
    uint8_t record[SM_NODE_RECORD_MAX], request[SM_NODE_RECORD_MAX + 8];
    struct sm_wr w = sm_wr_init(record, sizeof record);
    struct sm_wr q = sm_wr_init(request, sizeof request);
    sm_node_record_write(r, &w);
    sm_sign_record_write(sm_view_of(record, w.n), &q);
    if (id == 1) {
        memcpy(s->node, record, w.n);
        s->node_n = w.n;
    }
    if (sm_ipc_send(keys, SM_IPC_SIGN, id, sm_view_of(request, q.n), -1) != SM_OK) {
        abort();
    }
}

static void ask_certify(struct sm_ipc *keys, uint64_t id, uint8_t kind)
{
    uint8_t bytes[SM_IPC_SMALL];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    const struct sm_ipc_certify ask = {.ep = 5, .kind = kind, .sign_key = {1}, .dh_key = {2}};
    sm_ipc_certify_write(&ask, &w);
    if (sm_ipc_send(keys, SM_IPC_CERTIFY, id, sm_view_of(bytes, w.n), -1) != SM_OK) {
        abort();
    }
}

static void ask_all(struct stub *s, struct sm_ipc *keys)
{
    struct sm_node_record r;
    uint8_t bytes[SM_SIGN_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    const struct sm_binding binding = {.role = SM_ROLE_INITIATOR, .h = {1}};
    node_record(s, &r);
    ask_record(s, keys, 1, &r); /* its own record */
    r.node_id.b[0] ^= 1;
    ask_record(s, keys, 2, &r); /* another node's */
    r.node_id.b[0] ^= 1;
    r.head.expires.s += 48 * 3600;
    ask_record(s, keys, 3, &r); /* for two days */
    r.head.expires.s -= 48 * 3600;
    r.measurement[0] ^= 1;
    ask_record(s, keys, 4, &r); /* of other programs */
    r.measurement[0] ^= 1;
    r.head.network ^= 1;
    ask_record(s, keys, 5, &r); /* in another mesh */
    sm_sign_evidence_write(&binding, &w);
    if (sm_ipc_send(keys, SM_IPC_SIGN, 6, sm_view_of(bytes, w.n), -1) != SM_OK ||
        sm_ipc_send(keys, SM_IPC_SIGN, 7, sm_view_str("\x01garbage"), -1) != SM_OK) {
        abort();
    }
    /* A manifest that nobody signed: it must not be kept. */
    if (sm_ipc_send(keys, SM_IPC_DOCUMENT, 0, sm_view_str("\x01no manifest"), -1) != SM_OK) {
        abort();
    }
    ask_certify(keys, 8, SM_ENDPOINT_CLIENT);
    ask_certify(keys, 9, SM_ENDPOINT_SEE);
}

/* -- store ------------------------------------------------------------------------------- */

#define PUT_BYTES ((size_t)300000)

static void put_requests(struct stub *s, struct sm_ipc *store)
{
    static uint8_t body[SM_IPC_BODY_MAX];
    struct sm_put_out o;
    while (s->put != NULL && sm_put_next(s->put, sm_clock_mono(), &o)) {
        if (o.kind == SM_PUT_DONE) {
            sm_child_log(s->self, SM_LOG_NOTICE, "put-done", "error=%s", sm_err_name(o.err));
            sm_put_free(s->put);
            s->put = NULL;
            continue;
        }
        struct sm_wr w = sm_wr_init(body, sizeof body);
        sm_wr_view(&w, sm_view_str("thirty-two bytes that say who: x"));
        sm_wr_view(&w, o.body);
        if (sm_ipc_send(store, SM_IPC_STORE_RPC, o.id, sm_view_of(body, w.n), -1) != SM_OK) {
            abort();
        }
    }
}

/* Feed what is taken, pass the requests on; the rest when answers have come. */
static void put_step(struct stub *s, struct sm_ipc *store)
{
    static const uint8_t data[PUT_BYTES];
    size_t n = 1;
    while (n > 0 && s->put_at < PUT_BYTES) {
        n = sm_put_feed(s->put, sm_clock_mono(),
                        sm_view_of(data + s->put_at, PUT_BYTES - s->put_at));
        s->put_at += n;
        if (s->put_at == PUT_BYTES) {
            sm_put_end(s->put, sm_clock_mono());
        }
        put_requests(s, store);
    }
    put_requests(s, store);
}

static void put_something(struct stub *s, struct sm_ipc *store)
{
    const struct sm_put_cfg cfg = {.suite = s->suite,
                                   .cipher = SM_AESGCM,
                                   .code = {.k = 2, .n = 3},
                                   .n_holders = 3,
                                   .segment_bytes = 100000};
    if (!s->has_put && sm_put_new(&cfg, &s->put) == SM_OK) {
        s->has_put = true;
        put_step(s, store);
    }
}

static void from_store(struct stub *s, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct sm_ipc_publish p;
    enum sm_err e;
    struct sm_view body;
    if (m->type == SM_IPC_PUBLISH && sm_ipc_publish_read(m->body, &p) == SM_OK) {
        sm_child_log(s->self, SM_LOG_NOTICE, "published", "held=%u", (unsigned)p.frag_map);
    } else if (m->type == SM_IPC_STORE_REPLY && s->put != NULL &&
               sm_ipc_answer_read(m->body, &e, &body) == SM_OK) {
        sm_put_response(s->put, sm_clock_mono(), m->id, e, body);
        put_step(s, ch);
    }
}

/* -- SEEs -------------------------------------------------------------------------------- */

static void spawn(struct stub *s, uint64_t id, const char *launch)
{
    if (sm_ipc_send(sm_self_main(s->self), SM_IPC_SEE_SPAWN, id, sm_view_str(launch), -1) !=
        SM_OK) {
        abort();
    }
}

/* The endpoint: one short message, which the kernel hands over whole. */
static void endpoint_said(void *ctx, struct sm_view v)
{
    struct stub *s = ctx;
    sm_child_log(s->self, SM_LOG_NOTICE, "endpoint-said", "certificate=%.*s", (int)v.n,
                 (const char *)v.p);
    if (s->staying != 0) {
        uint8_t body[8];
        sm_put_le64(body, s->staying);
        if (sm_ipc_send(sm_self_main(s->self), SM_IPC_SEE_STOP, 0, sm_view_of(body, 8), -1) !=
            SM_OK) {
            abort();
        }
    }
}

static void endpoint_closed(void *ctx, enum sm_err why)
{
    struct stub *s = ctx;
    (void)why;
    sm_stream_free(s->endpoint);
    s->endpoint = NULL;
}

static void from_main(struct stub *s, const struct sm_ipc_msg *m)
{
    static const struct sm_stream_ops ops = {.read = endpoint_said, .closed = endpoint_closed};
    struct sm_ipc_exit x;
    enum sm_err e;
    struct sm_view body;
    if (m->type == SM_IPC_LISTENER) {
        (void)close(m->fd);
        s->listeners++;
        sm_child_log(s->self, SM_LOG_NOTICE, "got-listener", "n=%u", s->listeners);
    } else if (m->type == SM_IPC_ENDPOINT) {
        sm_stream_free(s->endpoint);
        if (sm_stream_new(sm_self_loop(s->self), m->fd, &ops, s, 1000, &s->endpoint) != SM_OK) {
            abort();
        }
    } else if (m->type == SM_IPC_SEE_SPAWNED &&
               sm_ipc_answer_read(m->body, &e, &body) == SM_OK) {
        sm_child_log(s->self, SM_LOG_NOTICE, "spawned", "id=%u error=%s", (unsigned)m->id,
                     sm_err_name(e));
        s->staying = m->id == 2 && e == SM_OK && body.n == 8 ? sm_le64(body.p) : s->staying;
    } else if (m->type == SM_IPC_SEE_EXIT && sm_ipc_exit_read(m->body, &x) == SM_OK) {
        sm_child_log(s->self, SM_LOG_NOTICE, "see-exit", "signal=%d code=%d", x.was_signal,
                     x.code);
        if (!x.was_signal) {
            spawn(s, 2, "stay");
            spawn(s, 3, "stay"); /* there is one slot */
        }
    }
}

/* -- messages ---------------------------------------------------------------------------- */

/* The whole check a peer would make of our record and a client's passport. */
static const char *verdict(struct stub *s, uint64_t id, struct sm_view body)
{
    uint8_t passport[SM_PASSPORT_MAX];
    struct sm_node_record node;
    struct sm_passport p;
    if (id == 1 && body.n == SM_RECORD_SIG && s->node_n + body.n <= sizeof s->node) {
        memcpy(s->node + s->node_n, body.p, body.n);
        s->node_n += body.n;
        enum sm_err e = sm_node_record_verify(s->suite, &s->anchor, sm_clock_wall(),
                                              sm_view_of(s->node, s->node_n), &node);
        return e == SM_OK ? "believed" : sm_err_name(e);
    }
    if (id == 8) {
        struct sm_wr w = sm_wr_init(passport, sizeof passport);
        sm_passport_write(sm_view_of(s->node, s->node_n), body, &w);
        enum sm_err e = sm_passport_verify(s->suite, &s->anchor, sm_clock_wall(),
                                           sm_view_of(passport, w.n), &p);
        return e == SM_OK ? "believed" : sm_err_name(e);
    }
    return body.n > 0 ? "bytes" : "empty";
}

static void on_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct stub *s = ctx;
    enum sm_err e;
    struct sm_view body;
    if (sm_ipc_peer(ch) == SM_PROG_STORE) {
        from_store(s, ch, m);
    } else if (sm_ipc_peer(ch) == SM_PROG_MAIN) {
        from_main(s, m);
    } else if (m->type == SM_IPC_IDENTITY && sm_ipc_identity_read(m->body, &s->id) == SM_OK) {
        if (strcmp(sm_self_config(s->self)->node.name, "crash") == 0) {
            _exit(9);
        }
        memcpy(s->endorsement, s->id.endorsement.p, s->id.endorsement.n);
        ask_all(s, ch);
        if ((sm_self_config(s->self)->node.roles & SM_NODE_SEE) != 0) {
            spawn(s, 1, "exit");
        }
    } else if (sm_ipc_answer_read(m->body, &e, &body) == SM_OK) {
        sm_child_log(s->self, SM_LOG_NOTICE, "answer", "id=%u error=%s result=%s",
                     (unsigned)m->id, sm_err_name(e),
                     e == SM_OK ? verdict(s, m->id, body) : "-");
    }
}

static void on_peer(void *ctx, enum sm_prog peer, struct sm_ipc *ch)
{
    struct stub *s = ctx;
    sm_child_log(s->self, SM_LOG_NOTICE, ch != NULL ? "peer-there" : "peer-gone", "peer=%s",
                 sm_prog_name(peer));
    if (ch != NULL && peer == SM_PROG_STORE) {
        put_something(s, ch);
    }
    /* A frame the table does not have, past our own sender's assertion. */
    if (ch != NULL && strcmp(sm_self_config(s->self)->node.name, "evil") == 0) {
        static const uint8_t frame[SM_IPC_HEADER] = {0, 0, 0, 0, SM_IPC_CONFIG};
        for (int fd = 4; fd < 64; fd++) {
            if (sm_unix_is_socket(fd)) {
                ssize_t put = write(fd, frame, sizeof frame);
                (void)put;
            }
        }
    }
}

static enum sm_err on_start(void *ctx, struct sm_self *self)
{
    struct stub *s = ctx;
    s->self = self;
    s->suite = sm_suite_real();
    SM_TRY(sm_config_anchor(sm_self_config(self), &s->anchor));
    return sm_child_confine(self, NULL, 0, 0, SM_CALLS_CONNECT);
}

int main(int argc, char **argv)
{
    static const struct sm_child_ops ops = {
        .start = on_start, .peer = on_peer, .message = on_message};
    static struct stub s;
    return sm_child_main(SM_PROG_NET, &ops, &s, argc, argv);
}
