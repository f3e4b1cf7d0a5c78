// SPDX-License-Identifier: Apache-2.0
/* seemesh-keys: holds the node's long-term key and signs what it understands.
 *
 * It has no network, after start no files but those its platform needs (proc/provider.h), and
 * three questions it answers: SIGN (a record, or evidence over a binding), CERTIFY (an endpoint
 * of this node), DOCUMENT (is this manifest or revocation list signed by a pinned root, and
 * newer than the last?  Then main keeps it: so net cannot put the node back to an older one,
 * not even over a restart).  It never signs bytes that do not parse as a record of a known
 * type, by this node, in this mesh, for at most a day.
 */
#include "attest/rules.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "proc/child_common.h"
#include "proc/epoch_keeper.h"
#include "proc/identity.h"
#include "proc/provider.h"
#include "wire/frame.h"
#include "wire/linkstate.h"
#include "wire/provider.h"
#include "wire/sign.h"
#include "wire/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define RECORD_S_MAX (25u * 3600u) /* a day, and an hour for clocks and renewal */
#define ENDPOINT_S   (12u * 3600u) /* net renews clients', a SEE its own, after half of it */

#define USER_EVERY SM_S(2)

struct keys {
    struct sm_mono user_at; /* no evidence for people before */
    struct sm_self *self;
    const struct sm_suite *suite;
    struct sm_anchor anchor;
    struct sm_identity id;
    char dir[SM_PATH]; /* HOME/keys */
    struct sm_provider_env env;
    struct sm_evidence_provider provider;
    struct sm_epoch_keeper epoch; /* [platform] binding = epoch */
    uint64_t endpoint_seq;
    struct sm_rules *rules; /* to know a document that may be kept */
};

/* -- records ----------------------------------------------------------------------------- */

static enum sm_err check_head(const struct keys *k, struct sm_wall now,
                              const struct sm_record_head *h)
{
    if (h->network != k->anchor.network) {
        return SM_E_REFUSED;
    }
    SM_TRY(sm_record_times(h, now));
    if (h->expires.s < h->not_before.s || h->expires.s - h->not_before.s > RECORD_S_MAX ||
        h->expires.s > now.s + RECORD_S_MAX + SM_RECORD_SKEW_S) {
        return SM_E_REFUSED;
    }
    return SM_OK;
}

/* A NODE record may say only what this process knows about the node. */
static enum sm_err check_node(const struct keys *k, struct sm_view record)
{
    struct sm_node_record r;
    SM_TRY(sm_node_record_read(record, &r));
    bool same = sm_node_id_eq(&r.node_id, &k->id.node_id) && r.index == k->id.index &&
                r.platform == k->id.platform &&
                memcmp(r.sign_key, k->id.key->pub.b, sizeof r.sign_key) == 0 &&
                memcmp(r.measurement, k->id.measurement, sizeof r.measurement) == 0 &&
                r.endorsement_n == k->id.endorsement_n &&
                memcmp(r.endorsement, k->id.endorsement, r.endorsement_n) == 0;
    return same ? SM_OK : SM_E_REFUSED;
}

/* Whose record is it, by the grammar of its type? */
static enum sm_err check_body(const struct keys *k, uint8_t type, struct sm_view record)
{
    struct sm_linkstate linkstate;
    struct sm_provider provider;
    struct sm_task task;
    struct sm_node_id by;
    switch (type) {
    case SM_RECORD_NODE:
        return check_node(k, record);
    case SM_RECORD_LINKSTATE:
        SM_TRY(sm_linkstate_read(record, &linkstate));
        by = linkstate.node_id;
        break;
    case SM_RECORD_PROVIDER:
        SM_TRY(sm_provider_read(record, &provider));
        by = provider.node_id;
        break;
    case SM_RECORD_TASK:
        SM_TRY(sm_task_read(record, &task));
        by = task.signer;
        break;
    default: /* ENDPOINT comes by CERTIFY, RECEIPT is signed by its SEE */
        return SM_E_REFUSED;
    }
    return sm_node_id_eq(&by, &k->id.node_id) ? SM_OK : SM_E_REFUSED;
}

static enum sm_err sign_bytes(const struct keys *k, struct sm_view unsigned_bytes,
                              struct sm_sig *out)
{
    uint8_t bytes[SM_RECORD_TO_SIGN_MAX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_view v;
    sm_record_to_sign(unsigned_bytes, &w);
    SM_TRY(sm_wr_done(&w, &v));
    k->suite->sign(k->id.key, v, out);
    return SM_OK;
}

static enum sm_err sign_record(const struct keys *k, struct sm_view record, struct sm_wr *w)
{
    uint8_t whole[SM_RECORD_MAX] = {0};
    struct sm_record_head head;
    struct sm_sig sig;
    if (record.n > sizeof whole - SM_RECORD_SIG) {
        return SM_E_LIMIT;
    }
    /* The readers want a signature at the end; they do not look at it. */
    memcpy(whole, record.p, record.n);
    struct sm_view v = sm_view_of(whole, record.n + SM_RECORD_SIG);
    SM_TRY(sm_record_peek(v, &head));
    SM_TRY(check_head(k, sm_clock_wall(), &head));
    SM_TRY(check_body(k, head.type, v));
    SM_TRY(sign_bytes(k, record, &sig));
    sm_wr_bytes(w, sig.b, sizeof sig.b);
    return SM_OK;
}

/* -- evidence ---------------------------------------------------------------------------- */

/* What the platform signs is decided in three places: for a session, for an epoch and for
 * people, each under a prefix of its own. */
static enum sm_err ask_platform(struct keys *k, const uint8_t rd[static SM_REPORT_DATA],
                                struct sm_wr *w)
{
    char why[SM_PROVIDER_WHY];
    enum sm_err e = sm_evidence_provider_collect(&k->provider, rd, w, why);
    if (e == SM_OK && why[0] != '\0') {
        sm_child_log(k->self, SM_LOG_WARN, "evidence", "platform=%s what=\"%s\"",
                     k->provider.kind->name, why);
    }
    if (e != SM_OK) {
        sm_child_log(k->self, SM_LOG_WARN, "no-evidence", "platform=%s why=\"%s\"",
                     k->provider.kind->name, why);
    }
    return e;
}

static enum sm_err collect_epoch(void *ctx, const uint8_t rd[static SM_REPORT_DATA],
                                 struct sm_wr *w)
{
    return ask_platform(ctx, rd, w);
}

static enum sm_err collect(struct keys *k, const struct sm_binding *b, struct sm_wr *w)
{
    uint8_t rd[SM_REPORT_DATA];
    if (sm_self_config(k->self)->platform.binding == SM_BIND_EPOCH) {
        return sm_epoch_keeper_sign(&k->epoch, sm_clock_mono(), sm_clock_wall(), b, w);
    }
    sm_binding_report_data(b, rd);
    return ask_platform(k, rd, w);
}

/* For people: never for a session, and not so often that tunnels wait for the platform. */
static enum sm_err collect_user(struct keys *k, struct sm_view data, struct sm_wr *w)
{
    uint8_t rd[SM_REPORT_DATA];
    struct sm_mono now = sm_clock_mono();
    if (!sm_is_due(k->user_at, now)) {
        return SM_E_BUSY;
    }
    k->user_at = sm_after(now, USER_EVERY);
    sm_user_report_data(data, rd);
    return ask_platform(k, rd, w);
}

static enum sm_err serve_sign(struct keys *k, const struct sm_sign_request *req,
                              struct sm_wr *w)
{
    switch ((enum sm_sign_kind)req->kind) {
    case SM_SIGN_RECORD:
        return sign_record(k, req->record, w);
    case SM_SIGN_EVIDENCE:
        return collect(k, &req->binding, w);
    case SM_SIGN_USER:
        return collect_user(k, req->user, w);
    }
    return SM_E_UNSUPPORTED;
}

/* -- questions --------------------------------------------------------------------------- */

static void answer(struct keys *k, struct sm_ipc *ch, const struct sm_ipc_msg *m,
                   enum sm_ipc_type type, enum sm_err e, const struct sm_wr *w)
{
    struct sm_view v = {0};
    if (e == SM_OK) {
        e = sm_wr_done(w, &v);
    }
    if (e != SM_OK) {
        sm_child_log(k->self, SM_LOG_WARN, "not-signed", "asked=%s by=%s why=\"%s\"",
                     sm_ipc_name((uint16_t)m->type), sm_prog_name(sm_ipc_peer(ch)),
                     sm_err_words(e));
        v = (struct sm_view){0};
    }
    if (sm_ipc_answer(ch, type, m->id, e, v) != SM_OK) {
        sm_child_fail(k->self); /* its reader is stuck: start over */
    }
}

static void on_sign(struct keys *k, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    uint8_t bytes[SM_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_sign_request req;
    enum sm_err e = sm_sign_request_read(m->body, &req);
    if (e == SM_OK) {
        e = serve_sign(k, &req, &w);
    }
    answer(k, ch, m, SM_IPC_SIGNED, e, &w);
}

/* Clients are net's to name, SEEs main's: net must not be able to make an SEE up. */
static enum sm_err check_kind(enum sm_prog by, uint8_t kind)
{
    bool ok = (by == SM_PROG_NET && kind == SM_ENDPOINT_CLIENT) ||
              (by == SM_PROG_MAIN && kind == SM_ENDPOINT_SEE);
    return ok ? SM_OK : SM_E_REFUSED;
}

static enum sm_err certify(struct keys *k, enum sm_prog by, struct sm_view body,
                           struct sm_wr *w)
{
    struct sm_ipc_certify ask;
    struct sm_wall now = sm_clock_wall();
    struct sm_sig sig;
    SM_TRY(sm_ipc_certify_read(body, &ask));
    SM_TRY(check_kind(by, ask.kind));
    if (ask.ep == SM_EP_NODE) {
        return SM_E_REFUSED;
    }
    struct sm_endpoint_record r = {.node_id = k->id.node_id, .ep = ask.ep, .kind = ask.kind};
    r.head = (struct sm_record_head){.network = k->anchor.network,
                                     .seq = ++k->endpoint_seq,
                                     .not_before = now,
                                     .expires = {now.s + ENDPOINT_S}};
    memcpy(r.sign_key, ask.sign_key, sizeof r.sign_key);
    memcpy(r.dh_key, ask.dh_key, sizeof r.dh_key);
    memcpy(r.measurement, ask.measurement, sizeof r.measurement);
    sm_endpoint_record_write(&r, w);
    struct sm_view v;
    SM_TRY(sm_wr_done(w, &v));
    SM_TRY(sign_bytes(k, v, &sig));
    sm_wr_bytes(w, sig.b, sizeof sig.b);
    return SM_OK;
}

static void on_certify(struct keys *k, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    uint8_t bytes[SM_ENDPOINT_RECORD_BYTES];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    enum sm_err e = certify(k, sm_ipc_peer(ch), m->body, &w);
    answer(k, ch, m, SM_IPC_CERTIFIED, e, &w);
}

/* -- documents --------------------------------------------------------------------------- */

static struct sm_wall issued_of(const struct keys *k, uint8_t kind)
{
    const struct sm_mesh_manifest *manifest = sm_rules_manifest(k->rules);
    const struct sm_revocations *list = sm_rules_revocations(k->rules);
    if (kind == SM_DOC_MANIFEST && manifest != NULL) {
        return manifest->issued;
    }
    return kind == SM_DOC_REVOCATION && list != NULL ? list->issued : (struct sm_wall){0};
}

static enum sm_err keep(struct keys *k, uint8_t kind, struct sm_view doc)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf body = SM_BUF(doc.n + 16);
    uint8_t *room;
    SM_TRY(sm_buf_room(&body, body.max, &room));
    struct sm_wr w = sm_wr_init(room, body.max);
    sm_ipc_keep_write(&(struct sm_ipc_keep){kind, issued_of(k, kind), doc}, &w);
    return sm_ipc_send(sm_self_main(k->self), SM_IPC_KEEP, 0, sm_view_of(w.p, w.n), -1);
}

/* From main: kept before.  From net: taken just now, and to be kept if that is true. */
static void on_document(struct keys *k, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct sm_rules_change change;
    struct sm_reasons why = {0};
    uint8_t kind;
    struct sm_view doc;
    bool is_from_net = sm_ipc_peer(ch) == SM_PROG_NET;
    enum sm_err e = sm_ipc_document_read(m->body, &kind, &doc);
    if (e == SM_OK) {
        e = sm_rules_offer(k->rules, sm_clock_wall(), kind, doc, &change, &why);
    }
    if (e == SM_OK && is_from_net && keep(k, kind, doc) != SM_OK) {
        sm_child_fail(k->self); /* start over: net offers it again */
    }
    if (e != SM_OK && e != SM_E_EXISTS) {
        char text[160];
        sm_reasons_text(&why, text, sizeof text);
        sm_child_log(k->self, is_from_net ? SM_LOG_WARN : SM_LOG_ERROR, "document-refused",
                     "from=%s error=%s why=\"%s\"", is_from_net ? "net" : "disk",
                     sm_err_name(e), text);
    }
}

static void on_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct keys *k = ctx;
    if (m->type == SM_IPC_DOCUMENT) {
        on_document(k, ch, m);
    } else if (m->type == SM_IPC_SIGN) {
        on_sign(k, ch, m);
    } else if (m->type == SM_IPC_CERTIFY) {
        on_certify(k, ch, m);
    }
}

/* Tell net who the node is, once on each new channel. */
static void on_peer(void *ctx, enum sm_prog peer, struct sm_ipc *ch)
{
    struct keys *k = ctx;
    uint8_t bytes[SM_IPC_SMALL];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_view v;
    if (peer != SM_PROG_NET || ch == NULL) {
        return;
    }
    struct sm_ipc_identity m = {
        .node_id = k->id.node_id, .index = k->id.index, .platform = k->id.platform};
    memcpy(m.sign_key, k->id.key->pub.b, sizeof m.sign_key);
    memcpy(m.measurement, k->id.measurement, sizeof m.measurement);
    m.endorsement = sm_view_of(k->id.endorsement, k->id.endorsement_n);
    sm_ipc_identity_write(&m, &w);
    if (sm_wr_done(&w, &v) != SM_OK || sm_ipc_send(ch, SM_IPC_IDENTITY, 0, v, -1) != SM_OK) {
        sm_child_fail(k->self);
    }
}

/* -- start ------------------------------------------------------------------------------- */

static enum sm_err load_identity(struct keys *k)
{
    const struct sm_config *c = sm_self_config(k->self);
    SM_TRY(sm_config_anchor(c, &k->anchor));
    const struct sm_identity_at at = {c->node.home, (uint8_t)c->platform.kind,
                                      c->platform.device};
    char why[SM_IDENTITY_WHY];
    enum sm_err e = sm_identity_load(k->suite, &k->anchor, sm_clock_wall(), &at, &k->id, why);
    if (e != SM_OK) {
        sm_child_log(k->self, SM_LOG_ERROR, "no-identity", "error=\"%s\" why=\"%s\"",
                     sm_err_words(e), why);
    }
    return e;
}

/* A node that would be refused everywhere had better say so here. */
static enum sm_err look_at_own_evidence(struct keys *k)
{
    uint8_t bytes[SM_EVIDENCE_MAX], rd[SM_REPORT_DATA];
    char why[SM_PROVIDER_WHY], text[SM_PROVIDER_WHY];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_attester who = {k->id.platform, k->id.key->pub.b, k->id.measurement,
                              k->id.shown_id};
    struct sm_claims claims;
    struct sm_reasons reasons;
    SM_TRY(sm_random_bytes(rd, sizeof rd));
    enum sm_err e = sm_evidence_provider_collect(&k->provider, rd, &w, why);
    if (e == SM_OK) {
        e = sm_evidence_verify(k->suite, &k->anchor, sm_clock_wall(), &who,
                               sm_view_of(w.p, w.n), &claims, &reasons);
        sm_reasons_text(&reasons, text, sizeof text);
        (void)snprintf(why, sizeof why, "%s", text);
    }
    if (e != SM_OK) {
        sm_child_log(k->self, SM_LOG_ERROR, "own-evidence", "platform=%s why=\"%s\"",
                     k->provider.kind->name, why);
        return e;
    }
    /* MRENCLAVE is shorter than the others: zeros behind it. */
    memset(k->id.measurement, 0, sizeof k->id.measurement);
    memcpy(k->id.measurement, claims.measurement,
           claims.measurement_n < 48 ? claims.measurement_n : 48);
    return SM_OK;
}

static enum sm_err start_provider(struct keys *k)
{
    const struct sm_config *c = sm_self_config(k->self);
    char why[SM_PROVIDER_WHY];
    SM_TRY(sm_path_join(c->node.home, "keys", k->dir));
    k->env = (struct sm_provider_env){.dir = k->dir,
                                      .device = c->platform.device,
                                      .suite = k->suite,
                                      .node = k->id.key,
                                      .measurement = k->id.measurement,
                                      .boot_id = k->id.boot_id};
    if (c->platform.binding == SM_BIND_EPOCH && k->id.platform == SM_PLATFORM_SOFTWARE) {
        sm_child_log(k->self, SM_LOG_ERROR, "no-platform",
                     "why=\"[platform] binding = epoch is for hardware\"");
        return SM_E_CONFIG;
    }
    enum sm_err e = sm_evidence_provider_start(k->id.platform, &k->env, &k->provider, why);
    if (e != SM_OK) {
        sm_child_log(k->self, SM_LOG_ERROR, "no-platform", "platform=%s why=\"%s\"",
                     sm_platform_name(k->id.platform), why);
        return e;
    }
    k->epoch = (struct sm_epoch_keeper){
        .suite = k->suite, .node = k->id.key, .collect = collect_epoch, .ctx = k};
    memcpy(k->epoch.boot_id, k->id.boot_id, sizeof k->epoch.boot_id);
    sm_epoch_keeper_init(&k->epoch);
    return look_at_own_evidence(k);
}

static enum sm_err on_start(void *ctx, struct sm_self *self)
{
    struct keys *k = ctx;
    bool is_locked = false;
    char id[SM_B32_LEN(32) + 1];
    k->self = self;
    SM_TRY(sm_secretmem_init(&is_locked));
    if (!is_locked) {
        sm_child_log(self, SM_LOG_WARN, "keys-may-be-swapped",
                     "do=\"raise RLIMIT_MEMLOCK (LimitMEMLOCK= in systemd)\"");
    }
    k->suite = sm_suite_real();
    k->endpoint_seq = sm_clock_wall().s << 16; /* rises over restarts */
    SM_TRY(load_identity(k));
    SM_TRY(sm_rules_new(k->suite, &k->anchor, &k->rules));
    SM_TRY(start_provider(k));
    SM_TRY(sm_confine_limit(RLIMIT_NOFILE, 64));
    SM_TRY(sm_child_confine(self, k->provider.needs.rules, k->provider.needs.n_rules,
                            SM_CONFINE_NO_TCP | SM_CONFINE_SCOPED, k->provider.needs.calls));
    sm_b32(k->id.node_id.b, 32, id);
    sm_child_log(self, SM_LOG_NOTICE, "identity", "node=%s platform=%s", id,
                 k->provider.kind->name);
    return SM_OK;
}

static void on_stop(void *ctx)
{
    struct keys *k = ctx;
    sm_epoch_keeper_done(&k->epoch);
    sm_evidence_provider_stop(&k->provider);
    sm_rules_free(k->rules);
    sm_identity_done(&k->id);
}

int main(int argc, char **argv)
{
    static const struct sm_child_ops ops = {
        .start = on_start, .peer = on_peer, .message = on_message, .stop = on_stop};
    static struct keys k;
    return sm_child_main(SM_PROG_KEYS, &ops, &k, argc, argv);
}
