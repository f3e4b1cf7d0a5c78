// SPDX-License-Identifier: Apache-2.0
#include "proc/ipc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- the table --------------------------------------------------------------------------- */

#define KIB 1024u
#define TO_ALL(type, when, max, fd)                                                            \
    {SM_PROG_MAIN, SM_PROG_NET, type, when, 0, max, fd},                                       \
        {SM_PROG_MAIN, SM_PROG_KEYS, type, when, 0, max, fd},                                  \
        {SM_PROG_MAIN, SM_PROG_STORE, type, when, 0, max, fd},                                 \
    {                                                                                          \
        SM_PROG_MAIN, SM_PROG_RUN, type, when, 0, max, fd                                      \
    }
#define FROM_ALL(type, when, max)                                                              \
    {SM_PROG_NET, SM_PROG_MAIN, type, when, 0, max, false},                                    \
        {SM_PROG_KEYS, SM_PROG_MAIN, type, when, 0, max, false},                               \
        {SM_PROG_STORE, SM_PROG_MAIN, type, when, 0, max, false},                              \
    {                                                                                          \
        SM_PROG_RUN, SM_PROG_MAIN, type, when, 0, max, false                                   \
    }
#define ANSWER(from, to, type, asked, max)                                                     \
    {                                                                                          \
        from, to, type, SM_IPC_ANSWER, asked, max, false                                       \
    }

#define DOCUMENT_MAX (1 + 64 * KIB) /* a manifest or a revocation list, signed */

static const struct sm_ipc_rule table[] = {
    TO_ALL(SM_IPC_CONFIG, SM_IPC_ONCE, 64 * KIB, false),
    TO_ALL(SM_IPC_SHUTDOWN, SM_IPC_ONCE, 0, false),
    TO_ALL(SM_IPC_LOG_LEVEL, SM_IPC_ANY, 1, false),
    FROM_ALL(SM_IPC_READY, SM_IPC_ONCE, KIB),
    FROM_ALL(SM_IPC_LOG, SM_IPC_ANY, 4 * KIB),
    FROM_ALL(SM_IPC_HEALTH, SM_IPC_ANY, 4 * KIB),
    FROM_ALL(SM_IPC_VIOLATION, SM_IPC_ANY, KIB),

    {SM_PROG_MAIN, SM_PROG_NET, SM_IPC_PEER, SM_IPC_ANY, 0, 1, true},
    {SM_PROG_MAIN, SM_PROG_KEYS, SM_IPC_PEER, SM_IPC_ANY, 0, 1, true},
    {SM_PROG_MAIN, SM_PROG_STORE, SM_IPC_PEER, SM_IPC_ANY, 0, 1, true},
    {SM_PROG_MAIN, SM_PROG_NET, SM_IPC_LISTENER, SM_IPC_ANY, 0, 256, true},
    {SM_PROG_MAIN, SM_PROG_NET, SM_IPC_ENDPOINT, SM_IPC_ANY, 0, 8, true},

    {SM_PROG_NET, SM_PROG_MAIN, SM_IPC_SEE_SPAWN, SM_IPC_ANY, 0, 64 * KIB, false},
    ANSWER(SM_PROG_MAIN, SM_PROG_NET, SM_IPC_SEE_SPAWNED, SM_IPC_SEE_SPAWN, 12),
    {SM_PROG_NET, SM_PROG_MAIN, SM_IPC_SEE_STOP, SM_IPC_ANY, 0, 8, false},
    {SM_PROG_MAIN, SM_PROG_NET, SM_IPC_SEE_EXIT, SM_IPC_ANY, 0, 13, false},
    {SM_PROG_MAIN, SM_PROG_RUN, SM_IPC_LAUNCH, SM_IPC_ONCE, 0, 64 * KIB, false},

    {SM_PROG_MAIN, SM_PROG_NET, SM_IPC_DOCUMENT, SM_IPC_ANY, 0, DOCUMENT_MAX, false},
    {SM_PROG_MAIN, SM_PROG_KEYS, SM_IPC_DOCUMENT, SM_IPC_ANY, 0, DOCUMENT_MAX, false},
    {SM_PROG_NET, SM_PROG_KEYS, SM_IPC_DOCUMENT, SM_IPC_ANY, 0, DOCUMENT_MAX, false},
    {SM_PROG_KEYS, SM_PROG_MAIN, SM_IPC_KEEP, SM_IPC_ANY, 0, DOCUMENT_MAX + 8, false},

    {SM_PROG_KEYS, SM_PROG_NET, SM_IPC_IDENTITY, SM_IPC_ONCE, 0, KIB, false},
    {SM_PROG_NET, SM_PROG_KEYS, SM_IPC_SIGN, SM_IPC_ANY, 0, 8 * KIB, false},
    ANSWER(SM_PROG_KEYS, SM_PROG_NET, SM_IPC_SIGNED, SM_IPC_SIGN, 64 * KIB),
    {SM_PROG_NET, SM_PROG_KEYS, SM_IPC_CERTIFY, SM_IPC_ANY, 0, KIB, false},
    ANSWER(SM_PROG_KEYS, SM_PROG_NET, SM_IPC_CERTIFIED, SM_IPC_CERTIFY, KIB),
    {SM_PROG_RUN, SM_PROG_MAIN, SM_IPC_CERTIFY, SM_IPC_ANY, 0, KIB, false},
    ANSWER(SM_PROG_MAIN, SM_PROG_RUN, SM_IPC_CERTIFIED, SM_IPC_CERTIFY, KIB),
    {SM_PROG_MAIN, SM_PROG_KEYS, SM_IPC_CERTIFY, SM_IPC_ANY, 0, KIB, false},
    ANSWER(SM_PROG_KEYS, SM_PROG_MAIN, SM_IPC_CERTIFIED, SM_IPC_CERTIFY, KIB),

    {SM_PROG_NET, SM_PROG_STORE, SM_IPC_STORE_RPC, SM_IPC_ANY, 0, SM_IPC_BODY_MAX, false},
    ANSWER(SM_PROG_STORE, SM_PROG_NET, SM_IPC_STORE_REPLY, SM_IPC_STORE_RPC, SM_IPC_BODY_MAX),
    {SM_PROG_STORE, SM_PROG_NET, SM_IPC_PUBLISH, SM_IPC_ANY, 0, 48, false},
    {SM_PROG_STORE, SM_PROG_NET, SM_IPC_UNPUBLISH, SM_IPC_ANY, 0, 32, false},
};

const struct sm_ipc_rule *sm_ipc_rule(enum sm_prog from, enum sm_prog to, uint16_t type)
{
    for (size_t i = 0; i < SM_COUNT(table); i++) {
        if (table[i].from == from && table[i].to == to && table[i].type == type) {
            return &table[i];
        }
    }
    return NULL;
}

bool sm_ipc_may(enum sm_prog from, enum sm_prog to, uint16_t type)
{
    return sm_ipc_rule(from, to, type) != NULL;
}

const char *sm_prog_name(enum sm_prog role)
{
    static const char *const names[SM_PROGS] = {"main", "net", "keys", "store", "run"};
    return (unsigned)role < SM_PROGS ? names[role] : "?";
}

const char *sm_ipc_name(uint16_t type)
{
#define NAME(name, value)                                                                      \
    case (value):                                                                              \
        return #name;
    switch (type) {
        SM_IPC_TYPES(NAME)
    default:
        return "?";
    }
#undef NAME
}

/* -- a channel --------------------------------------------------------------------------- */

#define FLAG_FD     1u
#define FDS_WAITING 8u /* descriptors that came before their message was whole */
/* What may wait for a slow reader: a few of the largest messages. */
#define QUEUE_MAX ((size_t)8 << 20)

struct sm_ipc {
    struct sm_stream *stream;
    enum sm_prog self, peer;
    struct sm_ipc_ops ops;
    void *ctx;
    struct sm_buf in; /* the message that is not whole yet */
    int fds[FDS_WAITING];
    size_t n_fds;
    /* Per type: how often it came, and how many of our requests are unanswered. */
    uint32_t seen[SM_IPC_TYPE_END], asked[SM_IPC_TYPE_END];
    bool is_freed, is_in_read;
    char violation[96];
};

struct header {
    uint32_t n;
    uint16_t type, flags;
    uint64_t id;
};

static void violate(struct sm_ipc *ch, const struct header *h, enum sm_err e, const char *how)
{
    (void)snprintf(ch->violation, sizeof ch->violation, "%s sent %s(%u), %u bytes: %s",
                   sm_prog_name(ch->peer), sm_ipc_name(h->type), (unsigned)h->type,
                   (unsigned)h->n, how);
    sm_stream_pause(ch->stream, true);
    ch->ops.closed(ch->ctx, ch, e);
}

/* Is the message of this header allowed now?  Judged before its body is waited for. */
static enum sm_err judge(const struct sm_ipc *ch, const struct header *h, const char **out_how)
{
    const struct sm_ipc_rule *rule = sm_ipc_rule(ch->peer, ch->self, h->type);
    if (rule == NULL) {
        *out_how = "it may not ask that";
        return SM_E_REFUSED;
    }
    if (h->n > rule->body_max) {
        *out_how = "too long";
        return SM_E_LIMIT;
    }
    if ((h->flags & ~FLAG_FD) != 0 || ((h->flags & FLAG_FD) != 0) != rule->has_fd) {
        *out_how = "wrong flags";
        return SM_E_MALFORMED;
    }
    if (rule->when == SM_IPC_ONCE && ch->seen[h->type] > 0) {
        *out_how = "a second time";
        return SM_E_REFUSED;
    }
    if (rule->when == SM_IPC_ANSWER && ch->asked[rule->answers] == 0) {
        *out_how = "an answer to no question";
        return SM_E_REFUSED;
    }
    return SM_OK;
}

static void header_read(const uint8_t *p, struct header *out)
{
    struct sm_rd r = sm_rd_init(sm_view_of(p, SM_IPC_HEADER));
    out->n = sm_rd_u32(&r);
    out->type = sm_rd_u16(&r);
    out->flags = sm_rd_u16(&r);
    out->id = sm_rd_u64(&r);
}

static void deliver(struct sm_ipc *ch, const struct header *h, struct sm_view body)
{
    const struct sm_ipc_rule *rule = sm_ipc_rule(ch->peer, ch->self, h->type);
    struct sm_ipc_msg m = {.type = rule->type, .id = h->id, .body = body, .fd = -1};
    if (rule->has_fd) {
        if (ch->n_fds == 0) {
            violate(ch, h, SM_E_MALFORMED, "its descriptor is missing");
            return;
        }
        m.fd = ch->fds[0];
        memmove(ch->fds, ch->fds + 1, --ch->n_fds * sizeof ch->fds[0]);
    }
    if (ch->seen[h->type] < UINT32_MAX) {
        ch->seen[h->type]++;
    }
    if (rule->when == SM_IPC_ANSWER) {
        ch->asked[rule->answers]--;
    }
    ch->ops.message(ch->ctx, ch, &m);
}

/* Deliver the message at the front of v, if it is whole; *out_n is its length, or 0. */
static void take_one(struct sm_ipc *ch, struct sm_view v, size_t *out_n)
{
    struct header h;
    const char *how = "";
    *out_n = 0;
    if (v.n < SM_IPC_HEADER) {
        return;
    }
    header_read(v.p, &h);
    enum sm_err e = judge(ch, &h, &how);
    if (e != SM_OK) {
        violate(ch, &h, e, how);
        return;
    }
    if (v.n - SM_IPC_HEADER < h.n) {
        return;
    }
    *out_n = SM_IPC_HEADER + h.n;
    deliver(ch, &h, sm_view_sub(v, SM_IPC_HEADER, h.n));
}

static bool is_over(const struct sm_ipc *ch)
{
    return ch->is_freed || ch->violation[0] != '\0';
}

/* Whole messages straight from v; returns what is left of it. */
static struct sm_view take_whole(struct sm_ipc *ch, struct sm_view v)
{
    size_t n;
    do {
        take_one(ch, v, &n);
        v = sm_view_sub(v, n, v.n);
    } while (n > 0 && !is_over(ch));
    return v;
}

/* How many bytes the unfinished message still needs: first its header, then its body. */
static size_t missing(const struct sm_ipc *ch)
{
    if (ch->in.n < SM_IPC_HEADER) {
        return SM_IPC_HEADER - ch->in.n;
    }
    return SM_IPC_HEADER + sm_le32(ch->in.p) - ch->in.n;
}

/* Feed the unfinished message; false when the channel cannot go on. */
static bool fill(struct sm_ipc *ch, struct sm_view *v)
{
    size_t n;
    while (ch->in.n > 0 && v->n > 0 && !is_over(ch)) {
        struct sm_view part = sm_view_sub(*v, 0, missing(ch));
        if (sm_buf_add(&ch->in, part.p, part.n) != SM_OK) {
            return false;
        }
        *v = sm_view_sub(*v, part.n, v->n);
        take_one(ch, sm_buf_view(&ch->in), &n);
        if (n > 0) {
            sm_buf_clear(&ch->in);
        }
    }
    return true;
}

static void channel_release(struct sm_ipc *ch)
{
    for (size_t i = 0; i < ch->n_fds; i++) {
        (void)close(ch->fds[i]);
    }
    sm_buf_done(&ch->in);
    free(ch);
}

static void on_read(void *ctx, struct sm_view v)
{
    struct sm_ipc *ch = ctx;
    ch->is_in_read = true;
    bool ok = fill(ch, &v);
    if (ok && !is_over(ch) && v.n > 0) {
        v = take_whole(ch, v);
        ok = is_over(ch) || sm_buf_add(&ch->in, v.p, v.n) == SM_OK;
    }
    if (!ok && !is_over(ch)) {
        (void)snprintf(ch->violation, sizeof ch->violation, "no memory for a message");
        ch->ops.closed(ch->ctx, ch, SM_E_NOMEM);
    }
    ch->is_in_read = false;
    if (ch->is_freed) {
        channel_release(ch);
    }
}

static void on_fd(void *ctx, int fd)
{
    struct sm_ipc *ch = ctx;
    if (ch->n_fds == FDS_WAITING) {
        (void)close(fd); /* its message will be refused for lack of it */
        return;
    }
    ch->fds[ch->n_fds++] = fd;
}

static void on_closed(void *ctx, enum sm_err why)
{
    struct sm_ipc *ch = ctx;
    if (!is_over(ch)) {
        ch->ops.closed(ch->ctx, ch, why);
    }
}

enum sm_err sm_ipc_new(struct sm_loop *l, int fd, enum sm_prog self, enum sm_prog peer,
                       const struct sm_ipc_ops *ops, void *ctx, struct sm_ipc **out)
{
    static const struct sm_stream_ops stream_ops = {
        .read = on_read, .closed = on_closed, .got_fd = on_fd};
    struct sm_ipc *ch = calloc(1, sizeof *ch);
    if (ch == NULL) {
        return SM_E_NOMEM;
    }
    *ch = (struct sm_ipc){.self = self,
                          .peer = peer,
                          .ops = *ops,
                          .ctx = ctx,
                          .in = SM_BUF(SM_IPC_HEADER + SM_IPC_BODY_MAX)};
    enum sm_err e = sm_stream_new(l, fd, &stream_ops, ch, QUEUE_MAX, &ch->stream);
    if (e != SM_OK) {
        free(ch);
        return e;
    }
    *out = ch;
    return SM_OK;
}

void sm_ipc_free(struct sm_ipc *ch)
{
    if (ch == NULL) {
        return;
    }
    assert(!ch->is_freed);
    sm_stream_free(ch->stream);
    ch->is_freed = true;
    if (!ch->is_in_read) {
        channel_release(ch);
    }
}

static enum sm_err send_parts(struct sm_ipc *ch, enum sm_ipc_type type, uint64_t id,
                              struct sm_view head, struct sm_view body, int fd)
{
    const struct sm_ipc_rule *rule = sm_ipc_rule(ch->self, ch->peer, (uint16_t)type);
    uint8_t front[SM_IPC_HEADER + 4];
    struct sm_wr w = sm_wr_init(front, sizeof front);
    assert(rule != NULL);
    assert((fd >= 0) == rule->has_fd);
    if (head.n + body.n > rule->body_max) { /* it may be a stranger's, passed on */
        return SM_E_INVALID;
    }
    sm_wr_u32(&w, (uint32_t)(head.n + body.n));
    sm_wr_u16(&w, (uint16_t)type);
    sm_wr_u16(&w, fd >= 0 ? FLAG_FD : 0);
    sm_wr_u64(&w, id);
    sm_wr_view(&w, head);
    struct sm_view v = sm_view_of(front, w.n);
    SM_TRY(fd >= 0 ? sm_stream_write_fd(ch->stream, v, body, fd)
                   : sm_stream_write2(ch->stream, v, body));
    ch->asked[type]++;
    return SM_OK;
}

enum sm_err sm_ipc_send(struct sm_ipc *ch, enum sm_ipc_type type, uint64_t id,
                        struct sm_view body, int fd)
{
    return send_parts(ch, type, id, (struct sm_view){0}, body, fd);
}

enum sm_err sm_ipc_answer(struct sm_ipc *ch, enum sm_ipc_type type, uint64_t id, enum sm_err e,
                          struct sm_view body)
{
    uint8_t code[4];
    sm_put_le32(code, (uint32_t)(int32_t)e);
    return send_parts(ch, type, id, sm_view_of(code, sizeof code), body, -1);
}

void sm_ipc_drain(struct sm_ipc *ch)
{
    sm_stream_drain(ch->stream);
}

enum sm_prog sm_ipc_peer(const struct sm_ipc *ch)
{
    return ch->peer;
}

const char *sm_ipc_violation(const struct sm_ipc *ch)
{
    return ch->violation;
}

/* -- bodies ------------------------------------------------------------------------------ */

#define EVENT_MAX       48u
#define TEXT_MAX        (3u * KIB)
#define ENDORSEMENT_MAX 512u

enum sm_err sm_ipc_log_read(struct sm_view body, struct sm_ipc_log *out)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_ipc_log m;
    m.level = sm_rd_u8(&r);
    m.event = sm_rd_blob(&r, EVENT_MAX);
    m.text = sm_rd_blob(&r, TEXT_MAX);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ipc_log_write(const struct sm_ipc_log *m, struct sm_wr *w)
{
    sm_wr_u8(w, m->level);
    sm_wr_blob(w, m->event);
    sm_wr_blob(w, m->text);
}

enum sm_err sm_ipc_certify_read(struct sm_view body, struct sm_ipc_certify *out)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_ipc_certify m;
    m.ep = sm_rd_u32(&r);
    m.kind = sm_rd_u8(&r);
    sm_rd_bytes(&r, m.sign_key, sizeof m.sign_key);
    sm_rd_bytes(&r, m.dh_key, sizeof m.dh_key);
    sm_rd_bytes(&r, m.measurement, sizeof m.measurement);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ipc_certify_write(const struct sm_ipc_certify *m, struct sm_wr *w)
{
    sm_wr_u32(w, m->ep);
    sm_wr_u8(w, m->kind);
    sm_wr_bytes(w, m->sign_key, sizeof m->sign_key);
    sm_wr_bytes(w, m->dh_key, sizeof m->dh_key);
    sm_wr_bytes(w, m->measurement, sizeof m->measurement);
}

enum sm_err sm_ipc_identity_read(struct sm_view body, struct sm_ipc_identity *out)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_ipc_identity m;
    sm_rd_bytes(&r, m.node_id.b, sizeof m.node_id.b);
    m.index = sm_rd_u8(&r);
    m.platform = sm_rd_u8(&r);
    sm_rd_bytes(&r, m.sign_key, sizeof m.sign_key);
    sm_rd_bytes(&r, m.measurement, sizeof m.measurement);
    m.endorsement = sm_rd_blob(&r, ENDORSEMENT_MAX);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ipc_identity_write(const struct sm_ipc_identity *m, struct sm_wr *w)
{
    sm_wr_bytes(w, m->node_id.b, sizeof m->node_id.b);
    sm_wr_u8(w, m->index);
    sm_wr_u8(w, m->platform);
    sm_wr_bytes(w, m->sign_key, sizeof m->sign_key);
    sm_wr_bytes(w, m->measurement, sizeof m->measurement);
    sm_wr_blob(w, m->endorsement);
}

enum sm_err sm_ipc_publish_read(struct sm_view body, struct sm_ipc_publish *out)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_ipc_publish m;
    sm_rd_bytes(&r, m.id.b, sizeof m.id.b);
    m.frag_map = sm_rd_u64(&r);
    m.bytes = sm_rd_u64(&r);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ipc_publish_write(const struct sm_ipc_publish *m, struct sm_wr *w)
{
    sm_wr_bytes(w, m->id.b, sizeof m->id.b);
    sm_wr_u64(w, m->frag_map);
    sm_wr_u64(w, m->bytes);
}

enum sm_err sm_ipc_document_read(struct sm_view body, uint8_t *out_kind,
                                 struct sm_view *out_doc)
{
    struct sm_rd r = sm_rd_init(body);
    uint8_t kind = sm_rd_u8(&r);
    struct sm_view doc = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    *out_kind = kind;
    *out_doc = doc;
    return SM_OK;
}

void sm_ipc_document_write(uint8_t kind, struct sm_view doc, struct sm_wr *w)
{
    sm_wr_u8(w, kind);
    sm_wr_view(w, doc);
}

enum sm_err sm_ipc_keep_read(struct sm_view body, struct sm_ipc_keep *out)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_ipc_keep m;
    m.kind = sm_rd_u8(&r);
    m.issued.s = sm_rd_u64(&r);
    m.doc = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ipc_keep_write(const struct sm_ipc_keep *m, struct sm_wr *w)
{
    sm_wr_u8(w, m->kind);
    sm_wr_u64(w, m->issued.s);
    sm_wr_view(w, m->doc);
}

enum sm_err sm_ipc_exit_read(struct sm_view body, struct sm_ipc_exit *out)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_ipc_exit m;
    m.instance = sm_rd_u64(&r);
    uint8_t was_signal = sm_rd_u8(&r);
    m.was_signal = was_signal == 1;
    m.code = (int32_t)sm_rd_u32(&r);
    if (was_signal > 1) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ipc_exit_write(const struct sm_ipc_exit *m, struct sm_wr *w)
{
    sm_wr_u64(w, m->instance);
    sm_wr_u8(w, m->was_signal ? 1 : 0);
    sm_wr_u32(w, (uint32_t)m->code);
}

enum sm_err sm_ipc_listener_read(struct sm_view body, enum sm_ipc_listener *out_kind,
                                 struct sm_view *out_address)
{
    struct sm_rd r = sm_rd_init(body);
    uint8_t kind = sm_rd_u8(&r);
    struct sm_view address = sm_rd_rest(&r);
    if (kind < SM_LISTENER_TCP || kind > SM_LISTENER_UDP) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out_kind = (enum sm_ipc_listener)kind;
    *out_address = address;
    return SM_OK;
}

enum sm_err sm_ipc_answer_read(struct sm_view body, enum sm_err *out_err,
                               struct sm_view *out_body)
{
    struct sm_rd r = sm_rd_init(body);
    int32_t code = (int32_t)sm_rd_u32(&r);
    struct sm_view rest = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    *out_err = sm_err_from_i32(code);
    *out_body = rest;
    return SM_OK;
}

enum sm_err sm_ipc_u64_read(struct sm_view body, uint64_t *out)
{
    struct sm_rd r = sm_rd_init(body);
    uint64_t v = sm_rd_u64(&r);
    SM_TRY(sm_rd_done(&r));
    *out = v;
    return SM_OK;
}
