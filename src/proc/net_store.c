// SPDX-License-Identifier: Apache-2.0
/* The store behind a node: what others ask it, and what it has us announce. */
#include "proc/net_int.h"

#include <stdlib.h>
#include <string.h>

static void answer(struct net *n, struct store_ask *ask, enum sm_err err, struct sm_view body)
{
    uint64_t token = ask->token;
    *ask = (struct store_ask){0};
    net_step(
        n, &(struct sm_event){.kind = SM_EV_SERVED, .token = token, .err = err, .bytes = body});
}

/* -- asking ------------------------------------------------------------------------------ */

static struct store_ask *ask_new(struct net *n, uint64_t token)
{
    for (unsigned i = 0; i < NET_STORE_ASKS; i++) {
        struct store_ask *ask = &n->asks[i];
        if (!ask->is_used) {
            *ask = (struct store_ask){.is_used = true, .token = token};
            return ask;
        }
    }
    return NULL;
}

static enum sm_err send_ask(struct net *n, const struct sm_action *a)
{
    struct sm_ipc *store = sm_self_peer(n->self, SM_PROG_STORE);
    uint8_t *body = store != NULL ? malloc(32 + a->bytes.n) : NULL;
    if (body == NULL) {
        return SM_E_BUSY;
    }
    memcpy(body, a->peer->node.node_id.b, 32); /* quotas are by node, for its clients too */
    memcpy(body + 32, a->bytes.p, a->bytes.n);
    enum sm_err e =
        sm_ipc_send(store, SM_IPC_STORE_RPC, a->token, sm_view_of(body, 32 + a->bytes.n), -1);
    free(body);
    return e;
}

void store_ask(struct net *n, const struct sm_action *a)
{
    struct store_ask *ask = ask_new(n, a->token);
    if (ask == NULL) {
        net_step(n,
                 &(struct sm_event){.kind = SM_EV_SERVED, .token = a->token, .err = SM_E_BUSY});
    } else if (send_ask(n, a) != SM_OK) {
        answer(n, ask, SM_E_BUSY, (struct sm_view){0});
    }
}

/* The store died.  What it was asked may or may not be done; all of it may be asked again. */
void store_lost(struct net *n)
{
    for (unsigned i = 0; i < NET_STORE_ASKS; i++) {
        if (n->asks[i].is_used) {
            answer(n, &n->asks[i], SM_E_BUSY, (struct sm_view){0});
        }
    }
}

/* -- announcing -------------------------------------------------------------------------- */

static void publish(struct net *n, const struct sm_ipc_publish *p)
{
    net_step(n, &(struct sm_event){.kind = SM_EV_PUBLISH,
                                   .item = {.key = p->id,
                                            .kind = SM_PROVIDER_SHARDS,
                                            .frag_map = p->frag_map,
                                            .bytes = p->bytes}});
}

static void publish_or_keep(struct net *n, const struct sm_ipc_publish *p)
{
    if (n->node != NULL) {
        publish(n, p);
        return;
    }
    if (n->waiting == NULL) {
        n->waiting = calloc(NET_WAITING, sizeof *n->waiting);
    }
    if (n->waiting != NULL && n->n_waiting < NET_WAITING) {
        n->waiting[n->n_waiting++] = *p;
    }
}

void store_publish_kept(struct net *n)
{
    for (size_t i = 0; i < n->n_waiting; i++) {
        publish(n, &n->waiting[i]);
    }
    free(n->waiting);
    n->waiting = NULL;
    n->n_waiting = 0;
}

/* -- the store's messages ---------------------------------------------------------------- */

static void take_reply(struct net *n, uint64_t token, enum sm_err err, struct sm_view body)
{
    unsigned i = 0;
    while (i < NET_STORE_ASKS && !(n->asks[i].is_used && n->asks[i].token == token)) {
        i++;
    }
    if (i == NET_STORE_ASKS) {
        return; /* of a store before this one */
    }
    answer(n, &n->asks[i], err, body);
}

void store_message(struct net *n, const struct sm_ipc_msg *m)
{
    enum sm_err err;
    struct sm_view rest;
    struct sm_ipc_publish p;
    if (m->type == SM_IPC_STORE_REPLY && sm_ipc_answer_read(m->body, &err, &rest) == SM_OK) {
        take_reply(n, m->id, err, rest);
    } else if (m->type == SM_IPC_PUBLISH && sm_ipc_publish_read(m->body, &p) == SM_OK) {
        publish_or_keep(n, &p);
    } else if (m->type == SM_IPC_UNPUBLISH && m->body.n == 32) {
        struct sm_event ev = {.kind = SM_EV_UNPUBLISH};
        memcpy(ev.item.key.b, m->body.p, 32);
        net_step(n, &ev);
    }
}
