// SPDX-License-Identifier: Apache-2.0
/* Signed documents in the net process: from main, which has the disk, and from operators, to
 * the core; from the core to keys, which has main keep them, and to every endpoint, which
 * verifies for itself whom it talks to. */
#include "proc/net_int.h"

#include <string.h>

enum { DOC_MAX = 64 << 10 };

/* Those that endpoints and the disk get; collateral is for tunnels only. */
static bool is_for_all(uint8_t kind)
{
    return kind == SM_DOC_MANIFEST || kind == SM_DOC_REVOCATION;
}

static enum sm_err offer(struct net *n, uint8_t kind, struct sm_view doc, bool is_kept,
                         struct sm_reasons *why)
{
    return sm_node_offer(n->node, sm_clock_mono(), sm_clock_wall(), kind, doc, is_kept, why);
}

/* -- from main ---------------------------------------------------------------------------- */

static void offer_kept(struct net *n, uint8_t kind, struct sm_view doc)
{
    struct sm_reasons why;
    char text[160];
    enum sm_err e = offer(n, kind, doc, true, &why);
    if (e != SM_OK && e != SM_E_EXISTS) {
        sm_reasons_text(&why, text, sizeof text);
        sm_child_log(n->self, SM_LOG_ERROR, "document-refused", "from=disk error=%s why=\"%s\"",
                     sm_err_name(e), text);
    }
}

void docs_from_main(struct net *n, struct sm_view body)
{
    uint8_t kind;
    struct sm_view doc;
    if (sm_ipc_document_read(body, &kind, &doc) != SM_OK || !is_for_all(kind)) {
        return;
    }
    if (n->node != NULL) {
        offer_kept(n, kind, doc);
        return;
    }
    struct sm_buf *to = &n->docs[kind];
    to->max = DOC_MAX;
    sm_buf_clear(to);
    if (sm_buf_add(to, doc.p, doc.n) != SM_OK) {
        sm_child_fail(n->self); /* it must not start without what it knew */
    }
}

void docs_node_made(struct net *n)
{
    for (uint8_t kind = 0; kind < SM_COUNT(n->docs); kind++) {
        if (n->docs[kind].n > 0) {
            offer_kept(n, kind, sm_buf_view(&n->docs[kind]));
        }
        sm_buf_done(&n->docs[kind]);
    }
}

/* -- from the core ------------------------------------------------------------------------ */

static void to_keys(struct net *n, const struct sm_doc *doc)
{
    struct sm_ipc *keys = sm_self_peer(n->self, SM_PROG_KEYS);
    SM_CLEANUP(sm_buf_done) struct sm_buf body = SM_BUF(1 + DOC_MAX);
    uint8_t *room;
    if (keys == NULL || doc->bytes.n > DOC_MAX ||
        sm_buf_room(&body, 1 + doc->bytes.n, &room) != SM_OK) {
        return; /* told again when keys is back */
    }
    struct sm_wr w = sm_wr_init(room, 1 + doc->bytes.n);
    sm_ipc_document_write(doc->kind, doc->bytes, &w);
    if (sm_ipc_send(keys, SM_IPC_DOCUMENT, 0, sm_view_of(w.p, w.n), -1) != SM_OK) {
        sm_child_log(n->self, SM_LOG_ERROR, "document-not-kept", "why=\"keys does not read\"");
    }
}

static void to_endpoint(struct ep *ep, const struct sm_doc *doc)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf body = SM_BUF(1 + DOC_MAX);
    uint8_t *room;
    if (sm_buf_room(&body, 1 + doc->bytes.n, &room) == SM_OK) {
        struct sm_wr w = sm_wr_init(room, 1 + doc->bytes.n);
        sm_ctl_doc_write(&w, &(struct sm_ctl_doc){doc->kind, doc->bytes});
        (void)ep_send(ep, SM_CTL_DOC, sm_view_of(w.p, w.n));
    }
}

void docs_keep(struct net *n, const struct sm_action *a)
{
    if (!is_for_all(a->doc.kind)) {
        return;
    }
    to_keys(n, &a->doc);
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        if (n->eps[i].is_used && n->eps[i].is_ready) {
            to_endpoint(&n->eps[i], &a->doc);
        }
    }
}

void docs_to_keys(struct net *n)
{
    struct sm_doc doc;
    for (size_t i = 0;
         n->node != NULL && sm_rules_doc(sm_node_rules(n->node), sm_clock_wall(), i, &doc);
         i++) {
        if (is_for_all(doc.kind)) {
            to_keys(n, &doc);
        }
    }
}

void docs_to_endpoint(struct net *n, struct ep *ep)
{
    struct sm_doc doc;
    for (size_t i = 0; sm_rules_doc(sm_node_rules(n->node), sm_clock_wall(), i, &doc); i++) {
        if (is_for_all(doc.kind)) {
            to_endpoint(ep, &doc);
        }
    }
}

/* -- from an operator --------------------------------------------------------------------- */

enum sm_err docs_offer(struct net *n, struct sm_view body, struct sm_buf *out_why)
{
    struct sm_ctl_doc d;
    struct sm_reasons why = {0};
    char text[1024];
    SM_TRY(sm_ctl_doc_read(body, &d));
    enum sm_err e = offer(n, d.kind, d.bytes, false, &why);
    if (e != SM_OK) {
        sm_reasons_text(&why, text, sizeof text);
        (void)!sm_buf_add(out_why, text, strlen(text)); /* the error says the most of it */
        return e;
    }
    net_step(n, &(struct sm_event){.kind = SM_EV_TIMER}); /* enforced, and on its way */
    return SM_OK;
}
