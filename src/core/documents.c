// SPDX-License-Identifier: Apache-2.0
/* What the node believes changes: signed documents come and go, and whoever is refused by the
 * new rules leaves at once.
 *
 * A document comes from a neighbour (core/bulletin.h), or by sm_node_offer: from disk at the
 * start, and from the operator.  Either way the rules take it or not.  What they took is given
 * out to be kept, told to the neighbours, and enforced: tunnels are judged again, revoked nodes
 * leave the map with their links, the DHT with what they signed, and the sessions. */
#include "core/node_int.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SM_BULLETIN_DOCS >= SM_DOCS_MAX && SM_BULLETIN_BYTES >= SM_DOC_MAX &&
                   SM_BULLETIN_NAME == SM_DOC_NAME,
               "every document fits the bulletin");

/* -- enforcing --------------------------------------------------------------------------- */

static void tell_change(struct sm_node *n, const struct sm_rules_change *c)
{
    char text[SM_TRACE_TEXT];
    const char *kind = sm_doc_kind_name(c->doc.kind);
    (void)snprintf(text, sizeof text, "%s version %" PRIu64 " replaces %" PRIu64, kind,
                   c->doc.version, c->was);
    node_trace(n, SM_TRACE_DOCUMENT, 0, NULL, SM_OK, text);
}

void documents_tell_revoked(struct sm_node *n, const struct sm_node_record *rec)
{
    struct sm_reasons why = {0};
    char text[SM_TRACE_TEXT];
    (void)sm_node_is_revoked(sm_rules_anchor(n->rules), rec, &why);
    sm_reasons_text(&why, text, sizeof text);
    node_trace(n, SM_TRACE_REVOKED, 0, &rec->node_id, SM_E_REFUSED, text);
}

/* Nobody will talk to us any more; the operator must hear why. */
static void look_at_self(struct sm_node *n)
{
    struct sm_node_record self; /* with its platform id, by what was pinned */
    if (sm_node_record_verify(n->cfg.suite, &n->cfg.anchor, n->wall, sm_node_self_record(n),
                              &self) == SM_OK &&
        sm_node_is_revoked(sm_rules_anchor(n->rules), &self, NULL)) {
        documents_tell_revoked(n, &self);
    }
}

static void enforce(struct sm_node *n, const struct sm_rules_change *c)
{
    if (c->is_anchor_new) {
        sm_trust_grades(n->trust, sm_rules_anchor(n->rules)->grade);
    }
    if (!c->may_refuse && !c->is_anchor_new) {
        return;
    }
    links_judge(n); /* first, so that they hear why */
    sm_route_rules_changed(n->route, n->now, n->wall, c->is_anchor_new);
    sm_host_rules_changed(n->host, n->now);
    look_at_self(n);
}

static void to_keep(struct sm_node *n, const struct sm_doc *d)
{
    unsigned i = 0;
    while (i < n->n_keep &&
           (n->keep[i].kind != d->kind || memcmp(n->keep[i].name, d->name, SM_DOC_NAME) != 0)) {
        i++;
    }
    if (i < SM_DOCS_MAX) {
        n->keep[i].kind = d->kind;
        memcpy(n->keep[i].name, d->name, SM_DOC_NAME);
        n->n_keep += i == n->n_keep;
    }
}

static enum sm_err offer(struct sm_node *n, uint8_t kind, struct sm_view doc, bool is_kept,
                         struct sm_reasons *why)
{
    struct sm_rules_change c;
    SM_TRY(sm_rules_offer(n->rules, n->wall, kind, doc, &c, why));
    tell_change(n, &c);
    if (!is_kept) {
        to_keep(n, &c.doc);
    }
    enforce(n, &c);
    return SM_OK;
}

enum sm_err sm_node_offer(struct sm_node *n, struct sm_mono now, struct sm_wall wall,
                          uint8_t kind, struct sm_view doc, bool is_kept,
                          struct sm_reasons *why)
{
    n->now = now;
    n->wall = wall;
    SM_TRY(offer(n, kind, doc, is_kept, why));
    sm_bulletin_changed(n->bulletin, now);
    return SM_OK;
}

/* -- what the bulletin asks --------------------------------------------------------------- */

static bool bulletin_list(void *ctx, unsigned i, struct sm_bulletin_doc *out)
{
    struct sm_node *n = ctx;
    struct sm_doc d;
    if (!sm_rules_doc(n->rules, n->wall, i, &d)) {
        return false;
    }
    *out = (struct sm_bulletin_doc){
        .kind = d.kind, .version = d.version, .bytes = (uint32_t)d.bytes.n};
    memcpy(out->name, d.name, sizeof out->name);
    memcpy(out->hash, d.hash, sizeof out->hash);
    return true;
}

static struct sm_view bulletin_get(void *ctx, const struct sm_bulletin_doc *doc)
{
    struct sm_node *n = ctx;
    struct sm_doc d;
    bool is_there = sm_rules_find(n->rules, n->wall, doc->kind, doc->name, &d) &&
                    memcmp(d.hash, doc->hash, sizeof d.hash) == 0;
    return is_there ? d.bytes : (struct sm_view){0};
}

static enum sm_err bulletin_offer(void *ctx, struct sm_mono now, struct sm_wall wall,
                                  uint8_t kind, struct sm_view bytes)
{
    struct sm_reasons why;
    (void)now;
    (void)wall; /* as of this step: in the node */
    return offer(ctx, kind, bytes, false, &why);
}

static int by_name(const void *a, const void *b)
{
    return sm_bulletin_doc_cmp(a, b);
}

void documents_digest(struct sm_node *n, struct sm_wr *w)
{
    struct sm_bulletin_message m = {.op = SM_BULLETIN_DIGEST};
    while (m.n_docs < SM_BULLETIN_DOCS && bulletin_list(n, m.n_docs, &m.docs[m.n_docs])) {
        m.n_docs++;
    }
    qsort(m.docs, m.n_docs, sizeof m.docs[0], by_name);
    sm_bulletin_message_write(&m, w);
}

/* -- for the node ------------------------------------------------------------------------- */

enum sm_err documents_new(struct sm_node *n)
{
    static const struct sm_bulletin_ops ops = {bulletin_list, bulletin_get, bulletin_offer};
    SM_TRY(sm_rules_new(n->cfg.suite, &n->cfg.anchor, &n->rules));
    n->bulletin = sm_bulletin_new(&ops, n);
    return n->bulletin != NULL ? SM_OK : SM_E_NOMEM;
}

void documents_free(struct sm_node *n)
{
    sm_bulletin_free(n->bulletin);
    sm_rules_free(n->rules);
}

static bool next_keep(struct sm_node *n, struct sm_action *out)
{
    while (n->n_keep > 0) {
        struct doc_name k = n->keep[--n->n_keep];
        *out = (struct sm_action){.kind = SM_ACT_KEEP};
        if (sm_rules_find(n->rules, n->wall, k.kind, k.name, &out->doc)) {
            return true;
        }
    }
    return false;
}

static void send(struct sm_node *n, struct sm_hop to, struct sm_view bytes)
{
    struct link *l = links_of_node(n, to);
    if (l != NULL) {
        /* A full queue: it is asked for again, by it or by us. */
        (void)!sm_tunnel_send(l->tunnel, SM_TUNNEL_CONTROL, bytes);
    }
}

bool documents_next(struct sm_node *n, struct sm_action *out, bool *progress)
{
    struct sm_bulletin_out o;
    while (sm_bulletin_next(n->bulletin, &o)) {
        *progress = true;
        if (o.kind == SM_BULLETIN_SEND) {
            send(n, o.who, o.bytes);
            continue;
        }
        const struct link *l = links_of_node(n, o.who);
        if (l != NULL) {
            struct sm_node_id id = l->node;
            node_observe(n, &id, o.seen);
        }
    }
    return next_keep(n, out);
}
