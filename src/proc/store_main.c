// SPDX-License-Identifier: Apache-2.0
/* seemesh-store: the store engine behind its channel to net, locked into its folder.
 *
 * net has proven who asks and hands the request on with the asker's id.  What the node holds is
 * announced by net; so at the start of a channel, and after each change, store tells it.
 */
#include "os/clock.h"
#include "proc/child_common.h"
#include "store/store.h"

#include <inttypes.h>
#include <string.h>

#define CLIENT_BYTES  32u
#define REPLY_BYTES   ((size_t)1 << 20)
#define RESERVE_BYTES ((uint64_t)64 << 20) /* left to the rest of the node */
#define STALE_S       3600u                /* an upload that rests for an hour is given up */
#define SWEEP_EVERY   SM_S(300)
#define TELL_AT_ONCE  256u /* objects a step while telling all: requests come in between */
#define TELL_EVERY    SM_MS(5)

struct store_prog {
    struct sm_self *self;
    struct sm_store *store;
    struct sm_buf reply;
    struct sm_timer *sweep, *tell;
    bool has_told_any;
    struct sm_data_id told; /* up to here, while telling all */
};

/* -- telling net what is held ------------------------------------------------------------ */

static void publish(struct store_prog *p, struct sm_ipc *net, const struct sm_data_id *id,
                    uint64_t held, uint64_t bytes)
{
    uint8_t body[64];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    const struct sm_ipc_publish m = {.id = *id, .frag_map = held, .bytes = bytes};
    struct sm_view v;
    sm_ipc_publish_write(&m, &w);
    if (sm_wr_done(&w, &v) != SM_OK || sm_ipc_send(net, SM_IPC_PUBLISH, 0, v, -1) != SM_OK) {
        sm_child_fail(p->self); /* net hangs: start over, and tell all again */
    }
}

static void tell_more(void *ctx)
{
    struct store_prog *p = ctx;
    struct sm_ipc *net = sm_self_peer(p->self, SM_PROG_NET);
    struct sm_store_object some[TELL_AT_ONCE];
    size_t n = 0;
    if (net == NULL) {
        return;
    }
    enum sm_err e =
        sm_store_list(p->store, p->has_told_any ? &p->told : NULL, some, TELL_AT_ONCE, &n);
    if (e != SM_OK) {
        sm_child_log(p->self, SM_LOG_ERROR, "store-unreadable", "why=\"%s\"",
                     sm_store_words(p->store));
        sm_child_fail(p->self);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        publish(p, net, &some[i].id, some[i].held, some[i].bytes);
    }
    if (n == TELL_AT_ONCE) {
        p->has_told_any = true;
        p->told = some[n - 1].id;
        sm_timer_at(p->tell, sm_after(sm_clock_mono(), TELL_EVERY));
    }
}

static void tell_change(struct store_prog *p, struct sm_ipc *net,
                        const struct sm_store_event *ev)
{
    if (ev->news == SM_STORE_HOLDS) {
        publish(p, net, &ev->object, ev->held, ev->bytes);
    } else if (ev->news == SM_STORE_DROPPED &&
               sm_ipc_send(net, SM_IPC_UNPUBLISH, 0, sm_view_of(ev->object.b, 32), -1) !=
                   SM_OK) {
        sm_child_fail(p->self);
    }
}

static void on_peer(void *ctx, enum sm_prog peer, struct sm_ipc *ch)
{
    struct store_prog *p = ctx;
    if (peer == SM_PROG_NET && ch != NULL) {
        p->has_told_any = false;
        sm_timer_at(p->tell, sm_clock_mono());
    }
}

/* -- requests ---------------------------------------------------------------------------- */

/* The disk's fault, not the asker's: the operator must hear of it. */
static bool is_ours(enum sm_err e)
{
    return e == SM_E_IO || e == SM_E_NOSPACE || e == SM_E_CORRUPT || e == SM_E_NOMEM;
}

static void on_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct store_prog *p = ctx;
    struct sm_store_event event = {.news = SM_STORE_NO_NEWS};
    struct sm_rd r = sm_rd_init(m->body);
    struct sm_view client = sm_rd_view(&r, CLIENT_BYTES);
    struct sm_view body = sm_rd_rest(&r);
    enum sm_err e = sm_rd_done(&r);
    sm_buf_clear(&p->reply);
    if (e == SM_OK) {
        e = sm_store_handle(p->store, sm_clock_wall(), client, body, &p->reply, &event);
    }
    if (is_ours(e)) {
        sm_child_log(p->self, SM_LOG_ERROR, "store-failed", "error=%s why=\"%s\"",
                     sm_err_name(e), sm_store_words(p->store));
    }
    /* First the news: when the asker hears that its commit is done, net knows as well. */
    tell_change(p, ch, &event);
    if (sm_ipc_answer(ch, SM_IPC_STORE_REPLY, m->id, e, sm_buf_view(&p->reply)) != SM_OK) {
        sm_child_fail(p->self);
    }
}

static void sweep(void *ctx)
{
    struct store_prog *p = ctx;
    unsigned dropped = 0;
    if (sm_store_sweep(p->store, sm_clock_wall(), &dropped) != SM_OK) {
        sm_child_log(p->self, SM_LOG_ERROR, "sweep-failed", "why=\"%s\"",
                     sm_store_words(p->store));
    } else if (dropped > 0) {
        sm_child_log(p->self, SM_LOG_INFO, "uploads-swept", "n=%u", dropped);
    }
    sm_timer_at(p->sweep, sm_after(sm_clock_mono(), SWEEP_EVERY));
}

/* -- start ------------------------------------------------------------------------------- */

static enum sm_err open_store(struct store_prog *p, const struct sm_config *c)
{
    const struct sm_store_cfg cfg = {.dir = c->store.dir,
                                     .quota_bytes = c->store.quota,
                                     .reserve_bytes = RESERVE_BYTES,
                                     .stale_s = STALE_S};
    SM_CLEANUP(sm_buf_done) struct sm_buf words = SM_BUF(1024);
    enum sm_err e = sm_store_open(&cfg, sm_clock_wall(), &p->store, &words);
    if (e != SM_OK) {
        sm_child_log(p->self, SM_LOG_ERROR, "store-not-opened", "why=\"%.*s\"", (int)words.n,
                     words.p != NULL ? (const char *)words.p : "");
    }
    return e;
}

static enum sm_err on_start(void *ctx, struct sm_self *self)
{
    struct store_prog *p = ctx;
    const struct sm_config *c = sm_self_config(self);
    p->self = self;
    p->reply = SM_BUF(REPLY_BYTES);
    SM_TRY(open_store(p, c));
    SM_TRY(sm_timer_new(sm_self_loop(self), sweep, p, &p->sweep));
    SM_TRY(sm_timer_new(sm_self_loop(self), tell_more, p, &p->tell));
    sm_timer_at(p->sweep, sm_after(sm_clock_mono(), SWEEP_EVERY));
    /* SQLite seeds its temporary names from there. */
    const struct sm_path_rule rules[] = {{c->store.dir, SM_PATH_READ | SM_PATH_WRITE},
                                         {"/dev/urandom", SM_PATH_READ}};
    return sm_child_confine(self, rules, SM_COUNT(rules), SM_CONFINE_NO_TCP | SM_CONFINE_SCOPED,
                            SM_CALLS_FILES);
}

static void on_stop(void *ctx)
{
    struct store_prog *p = ctx;
    sm_store_close(p->store);
    sm_buf_done(&p->reply);
}

int main(int argc, char **argv)
{
    static const struct sm_child_ops ops = {
        .start = on_start, .peer = on_peer, .message = on_message, .stop = on_stop};
    static struct store_prog p;
    return sm_child_main(SM_PROG_STORE, &ops, &p, argc, argv);
}
