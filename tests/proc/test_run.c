// SPDX-License-Identifier: Apache-2.0
/* A SEE's supervisor with its compiler and worker, for real: this test plays main, net, the
 * client and a node that stores.
 *
 * The environment names the program: SM_RUN.
 */
#include "crypto/hash.h"
#include "os/clock.h"
#define KIT_NOW sm_clock_wall()
#include "core/put.h"
#include "core/session.h"
#include "os/child.h"
#include "os/file.h"
#include "passport_kit.h"
#include "proc/config.h"
#include "proc/ipc.h"
#include "t.h"
#include "wire/ctl.h"
#include "wire/receipt.h"
#include "wire/see_rpc.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEE_EP    65536u
#define CLIENT_EP 7u
#define SHARDS    64u
#define PATIENCE  SM_S(50) /* the alarm comes first only when all hangs */

/* -- the world --------------------------------------------------------------------------- */

enum { CLIENT, STRANGER, HOLDER, HOSTS };

struct answer {
    bool is_here;
    uint64_t id;
    enum sm_err err;
    struct sm_buf body;
};

struct party {
    struct kit_id id;
    struct sm_host *host;
};

static struct world {
    char scratch[64], home[96];
    struct kit kit;
    struct sm_loop *loop;
    struct sm_timer *timer;
    struct party party[HOSTS];
    struct answer answers[4];

    struct sm_child child;
    struct sm_child_watch *watch;
    bool has_child, has_exited;
    struct sm_child_exit how;
    struct sm_ipc *main;
    struct sm_stream *net;
    struct sm_buf in;
    char ready[128];
    struct sm_endpoint_record see;
    uint8_t record[SM_ENDPOINT_RECORD_BYTES];
    size_t record_n;
    uint8_t passport[SM_PASSPORT_MAX];
    size_t passport_n;
    bool is_up;
    uint32_t cpu_ms; /* of a unit, as the SEE is launched */

    struct sm_buf module;
    uint8_t *shards[SHARDS]; /* of the one object the holder keeps, by segment */
    size_t shard_n[SHARDS];
    struct sm_buf manifest;
} w = {.child.pidfd = -1, .cpu_ms = 1000};

static void pump(void);

static void turn(void)
{
    sm_loop_turn(w.loop, true);
    pump();
}

/* -- the node that stores ---------------------------------------------------------------- */

static enum sm_err store_answer(struct sm_view body, uint8_t *room, size_t cap,
                                struct sm_view *reply)
{
    struct sm_store_req q;
    struct sm_wr o = sm_wr_init(room, cap);
    SM_TRY(sm_store_req_read(body, &q));
    if (q.op == SM_STORE_SHARD_PUT) {
        T_TRUE(q.segment < SHARDS && q.index == 0);
        w.shards[q.segment] = malloc(q.bytes.n);
        T_TRUE(w.shards[q.segment] != NULL);
        memcpy(w.shards[q.segment], q.bytes.p, q.bytes.n);
        w.shard_n[q.segment] = q.bytes.n;
        sm_sha256(q.bytes, room);
        *reply = sm_view_of(room, 32);
        return SM_OK;
    }
    if (q.op == SM_STORE_COMMIT) {
        struct sm_data_id id;
        T_OK(sm_buf_add(&w.manifest, q.bytes.p, q.bytes.n));
        sm_manifest_id(q.bytes, &id);
        memcpy(room, id.b, 32);
        *reply = sm_view_of(room, 32);
        return SM_OK;
    }
    if (q.op == SM_STORE_MANIFEST_GET) {
        struct sm_store_manifest_reply m = {.held = 1, .manifest = sm_buf_view(&w.manifest)};
        SM_TRY(sm_store_manifest_reply_write(&o, &m));
        return sm_wr_done(&o, reply);
    }
    if (q.op != SM_STORE_SHARD_GET || q.segment >= SHARDS || w.shards[q.segment] == NULL) {
        return SM_E_NOTFOUND;
    }
    *reply = sm_view_of(w.shards[q.segment], w.shard_n[q.segment]);
    return SM_OK;
}

/* -- net: packets between the SEE and the hosts of this test ----------------------------- */

static void send_ctl(enum sm_ctl_type type, uint16_t flags, uint64_t id, struct sm_view body)
{
    uint8_t head[SM_CTL_HEAD];
    sm_ctl_head_write(
        &(struct sm_ctl_head){
            .body_n = (uint32_t)body.n, .type = (uint16_t)type, .flags = flags, .id = id},
        head);
    if (w.net != NULL) {
        T_OK(sm_stream_write2(w.net, sm_view_of(head, sizeof head), body));
    }
}

static void send_packet(struct sm_addr from, const struct sm_host_out *o)
{
    static uint8_t room[64 << 10];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    struct sm_view v;
    sm_ctl_packet_write(&wr, &(struct sm_ctl_packet){.peer = from,
                                                     .slot = o->packet.slot,
                                                     .payload = o->packet.bytes});
    T_OK(sm_wr_done(&wr, &v));
    send_ctl(SM_CTL_PACKET, 0, 0, v);
}

static void take_answer(const struct sm_host_out *o)
{
    for (size_t i = 0; i < SM_COUNT(w.answers); i++) {
        struct answer *a = &w.answers[i];
        if (a->id == o->response.id && !a->is_here) {
            a->is_here = true;
            a->err = o->response.err;
            sm_buf_clear(&a->body);
            T_OK(sm_buf_add(&a->body, o->response.body.p, o->response.body.n));
            return;
        }
    }
}

static void drain_host(struct party *p)
{
    static uint8_t room[1 << 20];
    struct sm_host_out o;
    while (sm_host_next(p->host, &o)) {
        if (o.kind == SM_HOST_PACKET) {
            send_packet(p->id.addr, &o);
        } else if (o.kind == SM_HOST_RESPONSE) {
            take_answer(&o);
        } else if (o.kind == SM_HOST_REQUEST) {
            struct sm_view reply = {0};
            T_EQ(o.request.service, SM_SERVICE_STORE);
            enum sm_err e = store_answer(o.request.body, room, sizeof room, &reply);
            T_OK(sm_host_reply(p->host, sm_clock_mono(), o.request.handle, e, reply));
        }
    }
}

static void pump(void)
{
    struct sm_mono next = SM_NEVER;
    for (size_t i = 0; i < HOSTS; i++) {
        sm_host_tick(w.party[i].host, sm_clock_mono());
        drain_host(&w.party[i]);
        next = sm_earlier(next, sm_host_deadline(w.party[i].host));
    }
    sm_timer_at(w.timer, next);
}

static void on_timer(void *ctx)
{
    (void)ctx; /* turn() pumps */
}

static void take_hello(const struct sm_ctl_head *h, struct sm_view body)
{
    struct sm_ctl_hello m;
    uint8_t room[SM_PASSPORT_MAX + 128];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    struct sm_wr pw = sm_wr_init(w.passport, sizeof w.passport);
    const struct kit_id *node = &w.party[CLIENT].id; /* the same node's client */
    struct sm_view node_record, endpoint, v;
    T_OK(sm_ctl_hello_read(body, &m));
    T_EQ(m.kind, SM_CTL_SEE);
    T_MEM(m.endpoint.p, m.endpoint.n, w.record, w.record_n);
    T_MEM(m.dh_key, 32, w.see.dh_key, 32);
    T_OK(sm_passport_read(sm_view_of(node->passport, node->passport_n), &node_record,
                          &endpoint));
    sm_passport_write(node_record, m.endpoint, &pw);
    T_OK(sm_wr_done(&pw, &v));
    w.passport_n = v.n;
    struct sm_ctl_welcome welcome = {.self = {node->addr.node, SEE_EP}, .passport = v};
    memcpy(welcome.mesh_id, w.kit.anchor.mesh_id, sizeof welcome.mesh_id);
    sm_wr_u32(&wr, 0);
    sm_ctl_welcome_write(&wr, &welcome);
    send_ctl(SM_CTL_HELLO, SM_CTL_REPLY, h->id, sm_view_of(room, wr.n));
    w.is_up = true;
}

static void take_ctl(const struct sm_ctl_head *h, struct sm_view body)
{
    struct sm_ctl_packet p;
    if (h->type == SM_CTL_HELLO) {
        take_hello(h, body);
        return;
    }
    if (h->type != SM_CTL_PACKET) {
        return; /* REPORT, OBSERVE */
    }
    T_OK(sm_ctl_packet_read(body, &p));
    struct sm_addr see = {w.party[CLIENT].id.addr.node, SEE_EP};
    for (size_t i = 0; i < HOSTS; i++) {
        if (sm_addr_eq(w.party[i].id.addr, p.peer)) {
            sm_host_packet(w.party[i].host, sm_clock_mono(), sm_clock_wall(), see, p.slot,
                           p.payload);
            drain_host(&w.party[i]);
        }
    }
}

static void net_read(void *ctx, struct sm_view bytes)
{
    (void)ctx;
    struct sm_ctl_head h;
    T_OK(sm_buf_add(&w.in, bytes.p, bytes.n));
    while (w.in.n >= SM_CTL_HEAD) {
        T_OK(sm_ctl_head_read(sm_view_of(w.in.p, SM_CTL_HEAD), &h));
        if (w.in.n < SM_CTL_HEAD + h.body_n) {
            break;
        }
        take_ctl(&h, sm_view_of(w.in.p + SM_CTL_HEAD, h.body_n));
        sm_buf_drop(&w.in, SM_CTL_HEAD + h.body_n);
    }
}

static void net_closed(void *ctx, enum sm_err why)
{
    (void)ctx;
    (void)why;
    sm_stream_free(w.net);
    w.net = NULL;
}

/* -- main -------------------------------------------------------------------------------- */

static void certify(struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct sm_ipc_certify ask;
    const struct kit_id *node = &w.party[CLIENT].id;
    struct sm_view node_record, endpoint;
    struct sm_node_record rec;
    T_OK(sm_ipc_certify_read(m->body, &ask));
    T_EQ(ask.ep, SEE_EP);
    T_EQ(ask.kind, SM_ENDPOINT_SEE);
    T_OK(sm_passport_read(sm_view_of(node->passport, node->passport_n), &node_record,
                          &endpoint));
    T_OK(sm_node_record_read(node_record, &rec));
    w.see = (struct sm_endpoint_record){
        .head = kit_head(&w.kit), .node_id = rec.node_id, .ep = ask.ep, .kind = ask.kind};
    memcpy(w.see.sign_key, ask.sign_key, sizeof w.see.sign_key);
    memcpy(w.see.dh_key, ask.dh_key, sizeof w.see.dh_key);
    struct sm_wr wr = sm_wr_init(w.record, sizeof w.record);
    sm_endpoint_record_write(&w.see, &wr);
    w.record_n = kit_sign(&w.kit, &node->sign, &wr).n;
    T_OK(sm_ipc_answer(ch, SM_IPC_CERTIFIED, m->id, SM_OK, sm_view_of(w.record, w.record_n)));
}

static void main_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    (void)ctx;
    if (m->type == SM_IPC_READY) {
        (void)snprintf(w.ready, sizeof w.ready, "%.*s", (int)m->body.n,
                       (const char *)m->body.p);
    } else if (m->type == SM_IPC_CERTIFY) {
        certify(ch, m);
    } else if (m->type == SM_IPC_LOG) {
        struct sm_ipc_log l;
        T_OK(sm_ipc_log_read(m->body, &l));
        printf("# run: %.*s %.*s\n", (int)l.event.n, (const char *)l.event.p, (int)l.text.n,
               (const char *)l.text.p);
    }
}

static void main_closed(void *ctx, struct sm_ipc *ch, enum sm_err why)
{
    (void)ctx;
    (void)why;
    sm_ipc_free(ch);
    w.main = NULL;
}

static void on_exit_of(void *ctx, struct sm_child_exit how)
{
    (void)ctx;
    w.has_exited = true;
    w.how = how;
}

static void send_config(void)
{
    struct sm_config c;
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(SM_CONFIG_BYTES);
    T_OK(sm_config_defaults(w.home, &c));
    memcpy(c.node.name, "n", 2);
    memcpy(c.node.mesh, "kit", 4);
    memcpy(c.node.owner, "tester", 7);
    c.node.environment = SM_ENV_DEV;
    c.n_roots = 1;
    memcpy(c.roots[0].name, "dev", 4);
    memcpy(c.roots[0].key, w.kit.root.pub.b, 32);
    T_OK(sm_config_print(&c, &text));
    T_OK(sm_ipc_send(w.main, SM_IPC_CONFIG, 0, sm_buf_view(&text), -1));
}

static void send_launch(void)
{
    uint8_t room[256];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    struct sm_see_start start = {.cpu_ms = w.cpu_ms, .mem_pages = 64};
    memcpy(start.client_dh, w.party[CLIENT].id.dh.pub.b, 32);
    sm_sha256(sm_buf_view(&w.module), start.module_hash);
    sm_wr_u64(&wr, SEE_EP);
    sm_wr_u32(&wr, SEE_EP);
    sm_see_start_write(&wr, &start);
    T_OK(sm_ipc_send(w.main, SM_IPC_LAUNCH, 0, sm_view_of(room, wr.n), -1));
}

static void spawn_see(void)
{
    static const struct sm_ipc_ops ipc_ops = {.message = main_message, .closed = main_closed};
    static const struct sm_stream_ops net_ops = {.read = net_read, .closed = net_closed};
    const char *const argv[] = {"seemesh-run", NULL};
    int main_fds[2], net_fds[2];
    T_OK(sm_unix_pair(main_fds));
    T_OK(sm_unix_pair(net_fds));
    const struct sm_fd_map map[] = {{main_fds[1], 3}, {net_fds[1], 4}};
    const struct sm_child_cfg cfg = {.path = getenv("SM_RUN"),
                                     .argv = argv,
                                     .fds = map,
                                     .n_fds = 2,
                                     .cwd = "/",
                                     .own_group = true,
                                     .die_with_parent = true};
    T_OK(sm_child_spawn(&cfg, &w.child));
    w.has_child = true;
    (void)close(main_fds[1]);
    (void)close(net_fds[1]);
    T_OK(sm_child_watch_new(w.loop, &w.child, on_exit_of, NULL, &w.watch));
    T_OK(sm_ipc_new(w.loop, main_fds[0], SM_PROG_MAIN, SM_PROG_RUN, &ipc_ops, NULL, &w.main));
    T_OK(sm_stream_new(w.loop, net_fds[0], &net_ops, NULL, 64 << 20, &w.net));
}

/* -- the module of all tests ------------------------------------------------------------- */

#define WASI(name, type)                                                                       \
    "(import \"wasi_snapshot_preview1\" \"" name "\" (func $" name " " type "))"

/* argv[1] says what it does: copy, trap, loop or exit with status 3. */
static const char wat[] = "(module " WASI(
    "fd_write",
    "(param i32 i32 i32 i32) (result i32)") WASI("fd_read",
                                                 "(param i32 i32 i32 i32) (result i32)")
    WASI("args_get", "(param i32 i32) (result i32)") WASI(
        "proc_exit",
        "(param i32)") "(memory (export \"memory\") 2) (func (export \"_start\") (local $n i32)"
                       " (drop (call $args_get (i32.const 64) (i32.const 512)))"
                       " (local.set $n (i32.load8_u (i32.load (i32.const 68))))"
                       " (if (i32.eq (local.get $n) (i32.const 116)) (then unreachable))"
                       " (if (i32.eq (local.get $n) (i32.const 108)) (then (loop $l (br $l))))"
                       " (if (i32.eq (local.get $n) (i32.const 101)) (then (call $proc_exit "
                       "(i32.const 3))))"
                       " (loop $again"
                       "  (i32.store (i32.const 0) (i32.const 4096))"
                       "  (i32.store (i32.const 4) (i32.const 16384))"
                       "  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) "
                       "(i32.const 8)))"
                       "  (local.set $n (i32.load (i32.const 8)))"
                       "  (if (local.get $n) (then"
                       "   (i32.store (i32.const 4) (local.get $n))"
                       "   (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) "
                       "(i32.const 8)))"
                       "   (br $again))))))";

static void assemble(void)
{
    char path[128], command[400];
    (void)snprintf(path, sizeof path, "%s/m.wat", w.scratch);
    T_OK(sm_file_write_atomic(path, 0600, sm_view_str(wat)));
    (void)snprintf(command, sizeof command, "wat2wasm %s -o %s.wasm", path, path);
    T_EQ(system(command), 0);
    (void)snprintf(command, sizeof command, "%s.wasm", path);
    w.module = SM_BUF(1 << 20);
    T_OK(sm_file_read(command, &w.module));
}

static void make_party(unsigned which, uint8_t node, uint32_t ep)
{
    struct party *p = &w.party[which];
    kit_identity(&w.kit, node, ep, &p->id);
    struct sm_host_cfg cfg = {.suite = sm_suite_real(),
                              .anchor = &w.kit.anchor,
                              .seed = {(uint8_t)(which + 1)},
                              .self = p->id.addr,
                              .dh = p->id.dh,
                              .handshake = SM_MS(300),
                              .passport = sm_view_of(p->id.passport, p->id.passport_n)};
    p->host = sm_host_new(&cfg);
    T_TRUE(p->host != NULL);
}

static void make_world(void)
{
    memcpy(w.scratch, "/tmp/seemesh-test-run.XXXXXX", 29);
    T_TRUE(mkdtemp(w.scratch) != NULL);
    (void)snprintf(w.home, sizeof w.home, "%s/home", w.scratch);
    w.in = SM_BUF(2 * (SM_CTL_HEAD + SM_CTL_BODY_MAX));
    w.manifest = SM_BUF(1 << 20);
    for (size_t i = 0; i < SM_COUNT(w.answers); i++) {
        w.answers[i].body = SM_BUF(SM_HOST_BODY_MAX);
    }
    kit_make(&w.kit, sm_suite_real(), t_seed());
    make_party(CLIENT, 1, CLIENT_EP);
    make_party(STRANGER, 2, CLIENT_EP);
    make_party(HOLDER, 3, SM_EP_NODE);
    T_OK(sm_loop_new(&w.loop));
    T_OK(sm_timer_new(w.loop, on_timer, NULL, &w.timer));
    assemble();
}

/* -- what a client does ------------------------------------------------------------------ */

static struct answer *ask_from(unsigned which, struct sm_view body, struct sm_dur patience)
{
    for (size_t i = 0; i < SM_COUNT(w.answers); i++) {
        struct answer *a = &w.answers[i];
        if (a->id == 0 || a->is_here) {
            a->is_here = false;
            T_OK(sm_host_request(w.party[which].host, sm_clock_mono(),
                                 (struct sm_addr){w.party[CLIENT].id.addr.node, SEE_EP},
                                 w.see.dh_key, SM_SERVICE_UNIT, body, patience, &a->id));
            pump();
            return a;
        }
    }
    t_fail(__FILE__, __LINE__, "more questions at a time than this test keeps");
}

static enum sm_err await(struct answer *a)
{
    while (!a->is_here) {
        turn();
    }
    return a->err;
}

static enum sm_err ask_piece(enum sm_unit_op op, const struct sm_unit_piece *p,
                             struct answer **out)
{
    static uint8_t room[SM_UNIT_CHUNK + 64];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    sm_unit_piece_write(&wr, op, p);
    *out = ask_from(CLIENT, sm_view_of(room, wr.n), PATIENCE);
    return await(*out);
}

static struct answer *send_run(const struct sm_unit_run *r)
{
    uint8_t room[8192];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    sm_unit_run_write(&wr, r);
    return ask_from(CLIENT, sm_view_of(room, wr.n), PATIENCE);
}

/* Start a unit with inline input; what it does is its first argument. */
static struct answer *start_inline(uint32_t unit, uint64_t fence, const char *what,
                                   struct sm_view input)
{
    struct answer *a;
    size_t at = 0;
    do {
        struct sm_unit_piece p = {.unit = unit,
                                  .fence = fence,
                                  .offset = at,
                                  .total = input.n,
                                  .bytes = sm_view_sub(input, at, SM_UNIT_CHUNK)};
        T_OK(ask_piece(SM_UNIT_INPUT, &p, &a));
        at += p.bytes.n;
    } while (at < input.n);
    struct sm_unit_run r = {.job_id = {9}, .unit = unit, .fence = fence, .n_args = 1};
    r.args[0] = sm_view_str(what);
    r.is_inline = true;
    return send_run(&r);
}

static struct sm_unit_result result_of(struct answer *a)
{
    struct sm_unit_result r = {0};
    if (await(a) != SM_OK) {
        printf("# answer: %s: %.*s\n", sm_err_name(a->err), (int)a->body.n,
               (const char *)a->body.p);
    }
    T_OK(a->err);
    T_OK(sm_unit_result_read(sm_buf_view(&a->body), &r));
    return r;
}

static void fill(struct sm_buf *b, size_t n)
{
    uint8_t *p = NULL;
    uint64_t x = t_seed() | 1;
    T_OK(sm_buf_room(b, n, &p));
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)x;
    }
    b->n += n;
}

static void come_up(void)
{
    sm_ipc_free(w.main); /* of the SEE before */
    sm_stream_free(w.net);
    sm_child_watch_free(w.watch);
    sm_child_done(&w.child);
    w.is_up = w.has_exited = false;
    sm_buf_clear(&w.in);
    spawn_see();
    send_config();
    send_launch();
    while (!w.is_up && !w.has_exited) {
        turn();
    }
    T_TRUE(w.is_up);
}

/* -- promises ---------------------------------------------------------------------------- */

static void it_comes_up_behind_walls(void)
{
    make_world();
    T_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    come_up();
    printf("# %s\n", w.ready);
    T_TRUE(strstr(w.ready, "calls=yes") != NULL);
}

static void a_unit_before_the_module_is_refused(void)
{
    T_ERR(await(start_inline(1, 1, "copy", sm_view_str("x"))), SM_E_STATE);
}

static void another_module_is_refused(void)
{
    struct answer *a;
    struct sm_unit_piece p = {.total = 4, .bytes = sm_view_of("\0asm", 4)};
    T_ERR(ask_piece(SM_UNIT_MODULE, &p, &a), SM_E_HASH);
}

static void send_module(void)
{
    struct sm_view all = sm_buf_view(&w.module);
    struct sm_unit_ready ready = {0};
    for (size_t at = 0; at < all.n;) {
        struct answer *a;
        struct sm_unit_piece p = {
            .offset = at, .total = all.n, .bytes = sm_view_sub(all, at, all.n / 2 + 1)};
        enum sm_err e = ask_piece(SM_UNIT_MODULE, &p, &a);
        if (e != SM_OK) {
            printf("# %.*s\n", (int)a->body.n, (const char *)a->body.p);
        }
        T_OK(e);
        T_OK(sm_unit_ready_read(sm_buf_view(&a->body), &ready));
        at += p.bytes.n;
        T_EQ(ready.is_ready, at == all.n);
    }
    printf("# compiled in %u ms\n", ready.compile_ms);
}

static void the_module_comes_in_pieces(void)
{
    send_module();
}

static void check_receipt(struct sm_view record, uint32_t unit, uint64_t fence,
                          struct sm_view input, struct sm_view output)
{
    struct sm_receipt r;
    uint8_t hash[32], args[4 + 4] = {4, 0, 0, 0, 'c', 'o', 'p', 'y'};
    T_OK(sm_record_verify(sm_suite_real(), &w.kit.anchor, sm_clock_wall(), record,
                          SM_RECORD_RECEIPT, w.see.sign_key));
    T_OK(sm_receipt_read(record, &r));
    T_EQ(r.unit, unit);
    T_EQ(r.fence, fence);
    T_EQ(r.job[0], 9);
    T_EQ(r.see.ep, SEE_EP);
    T_EQ(r.platform, SM_PLATFORM_SOFTWARE);
    sm_sha256(sm_buf_view(&w.module), hash);
    T_MEM(r.module, 32, hash, 32);
    sm_sha256(sm_view_of(args, sizeof args), hash);
    T_MEM(r.args, 32, hash, 32);
    sm_sha256(input, hash);
    T_MEM(r.input, 32, hash, 32);
    sm_sha256(output, hash);
    T_MEM(r.output, 32, hash, 32);
}

static void a_unit_gives_its_output_and_a_receipt(void)
{
    struct sm_view in = sm_view_str("one line\n");
    struct answer *a = start_inline(1, 2, "copy", in);
    struct sm_unit_result r = result_of(a);
    printf("# run %u ms, total %u ms\n", r.run_ms, r.total_ms);
    T_TRUE(r.is_exit);
    T_EQ(r.exit_code, 0);
    T_EQ(r.input_n, in.n);
    T_MEM(r.output.p, r.output.n, in.p, in.n);
    check_receipt(r.receipt, 1, 2, in, r.output);
}

static void long_output_is_fetched_in_pieces(void)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf in = SM_BUF(2 << 20), out = SM_BUF(2 << 20);
    fill(&in, 1300000);
    struct sm_unit_result r = result_of(start_inline(2, 1, "copy", sm_buf_view(&in)));
    T_EQ(r.output_n, in.n);
    T_OK(sm_buf_add(&out, r.output.p, r.output.n));
    check_receipt(r.receipt, 2, 1, sm_buf_view(&in), sm_buf_view(&in));
    while (out.n < in.n) {
        struct answer *a;
        struct sm_unit_piece p = {.unit = 2, .fence = 1, .offset = out.n};
        T_OK(ask_piece(SM_UNIT_OUTPUT, &p, &a));
        T_TRUE(a->body.n > 0);
        T_OK(sm_buf_add(&out, a->body.p, a->body.n));
    }
    T_MEM(out.p, out.n, in.p, in.n);
    struct answer *a;
    struct sm_unit_piece other = {.unit = 1, .fence = 2};
    T_ERR(ask_piece(SM_UNIT_OUTPUT, &other, &a), SM_E_NOTFOUND);
}

static void a_trap_is_told_and_has_no_receipt(void)
{
    struct sm_unit_result r = result_of(start_inline(3, 1, "trap", sm_view_str("x")));
    T_TRUE(!r.is_exit);
    T_EQ(r.receipt.n, 0);
    T_MEM(r.words.p, r.words.n, "module trapped: unreachable instruction", 39);
}

static void an_exit_status_has_no_receipt(void)
{
    struct sm_unit_result r = result_of(start_inline(4, 1, "exit", sm_view_str("x")));
    T_TRUE(r.is_exit);
    T_EQ(r.exit_code, 3);
    T_EQ(r.receipt.n, 0);
}

static void an_endless_loop_is_stopped(void)
{
    struct sm_unit_result r = result_of(start_inline(5, 1, "loop", sm_view_str("x")));
    printf("# %.*s\n", (int)r.words.n, (const char *)r.words.p);
    T_TRUE(!r.is_exit);
    T_EQ(r.receipt.n, 0);
}

static void an_older_fence_is_stale(void)
{
    T_ERR(await(start_inline(1, 2, "copy", sm_view_str("x"))), SM_E_STALE);
    T_ERR(await(start_inline(1, 1, "copy", sm_view_str("x"))), SM_E_STALE);
    T_TRUE(result_of(start_inline(1, 3, "copy", sm_view_str("x"))).is_exit);
}

static void a_newer_attempt_ends_the_older(void)
{
    struct answer *old = start_inline(6, 100, "loop", sm_view_str("x"));
    struct answer *low = start_inline(7, 99, "copy", sm_view_str("x"));
    T_ERR(await(low), SM_E_BUSY);
    struct sm_unit_result r = result_of(start_inline(6, 101, "copy", sm_view_str("new")));
    T_MEM(r.output.p, r.output.n, "new", 3);
    T_ERR(await(old), SM_E_CANCELLED);
}

static void a_cancelled_attempt_ends(void)
{
    struct answer *a = start_inline(8, 200, "loop", sm_view_str("x")), *done;
    struct sm_unit_piece p = {.unit = 8, .fence = 200};
    T_OK(ask_piece(SM_UNIT_CANCEL, &p, &done));
    T_ERR(await(a), SM_E_CANCELLED);
    T_TRUE(result_of(start_inline(8, 201, "copy", sm_view_str("x"))).is_exit);
}

static void an_attempt_cancelled_ahead_does_not_run(void)
{
    struct sm_unit_piece p = {.unit = 12, .fence = 5};
    struct answer *done;
    T_OK(ask_piece(SM_UNIT_CANCEL, &p, &done));
    T_ERR(await(start_inline(12, 5, "copy", sm_view_str("x"))), SM_E_CANCELLED);
    T_TRUE(result_of(start_inline(12, 6, "copy", sm_view_str("x"))).is_exit);
}

static void a_stranger_gets_no_session(void)
{
    uint8_t room[64];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    struct sm_unit_piece p = {.unit = 1, .fence = 3};
    sm_unit_piece_write(&wr, SM_UNIT_OUTPUT, &p);
    struct answer *a = ask_from(STRANGER, sm_view_of(room, wr.n), SM_S(2));
    T_TRUE(await(a) != SM_OK);
    T_EQ(a->body.n, 0);
    struct sm_host_stats stats;
    sm_host_stats(w.party[STRANGER].host, &stats);
    T_EQ(stats.sessions, 0);
}

/* -- objects ----------------------------------------------------------------------------- */

static struct sm_data_id put_object(struct sm_view data)
{
    static uint8_t room[1 << 20];
    struct sm_put_cfg cfg = {.suite = sm_suite_real(),
                             .cipher = SM_AESGCM,
                             .code = {1, 1},
                             .key = {{42}},
                             .seed = {7},
                             .n_holders = 1,
                             .segment_bytes = 4096};
    struct sm_put *put = NULL;
    struct sm_put_out o;
    size_t at = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        free(w.shards[i]);
        w.shards[i] = NULL;
    }
    sm_buf_clear(&w.manifest);
    T_OK(sm_put_new(&cfg, &put));
    for (;;) {
        at += sm_put_feed(put, sm_clock_mono(), sm_view_sub(data, at, data.n));
        if (at == data.n) {
            sm_put_end(put, sm_clock_mono());
        }
        T_TRUE(sm_put_next(put, sm_clock_mono(), &o));
        if (o.kind == SM_PUT_DONE) {
            break;
        }
        struct sm_view reply = {0};
        enum sm_err e = store_answer(o.body, room, sizeof room, &reply);
        sm_put_response(put, sm_clock_mono(), o.id, e, reply);
    }
    T_OK(o.err);
    sm_put_free(put);
    return o.object;
}

static struct sm_unit_range range_of(const struct sm_data_id *id, enum sm_split_kind split,
                                     uint64_t from, uint64_t to)
{
    struct sm_unit_range r = {
        .data = *id, .key = {42}, .from = from, .to = to, .split = split, .n_holders = 1};
    r.holders[0].node = w.party[HOLDER].id.addr.node;
    r.holders[0].frag_map = 1;
    memcpy(r.holders[0].dh_key, w.party[HOLDER].id.dh.pub.b, 32);
    return r;
}

static struct sm_unit_result run_range(uint32_t unit, uint64_t fence,
                                       const struct sm_unit_range *range)
{
    struct sm_unit_run r = {
        .job_id = {10}, .unit = unit, .fence = fence, .n_args = 1, .range = *range};
    r.args[0] = sm_view_str("copy");
    return result_of(send_run(&r));
}

static void lines_of_ranges_add_up_to_the_object(void)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(1 << 20), all = SM_BUF(1 << 20);
    for (unsigned i = 0; text.n < 100000; i++) {
        T_OK(sm_buf_printf(&text, "line %u %.*s\n", i, (int)(i * 37 % 90),
                           "----------------------------------------------------------------"
                           "--------------------------"));
        if (i == 700) { /* one line longer than two ranges */
            for (unsigned j = 0; j < 20000; j++) {
                T_OK(sm_buf_add(&text, "x", 1));
            }
        }
    }
    text.n--; /* the last line has no end */
    struct sm_data_id id = put_object(sm_buf_view(&text));
    uint32_t unit = 0;
    for (uint64_t from = 0; from < text.n; from += 9000) {
        struct sm_unit_range range = range_of(&id, SM_SPLIT_LINES, from, from + 9000);
        struct sm_unit_result r = run_range(unit++, 1, &range);
        T_EQ(r.input_n, r.output.n);
        T_OK(sm_buf_add(&all, r.output.p, r.output.n));
    }
    T_MEM(all.p, all.n, text.p, text.n);
}

static uint64_t scan(const struct sm_data_id *id, uint64_t from, uint64_t to)
{
    uint8_t room[2048];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    struct sm_unit_range range = range_of(id, SM_SPLIT_BYTES, from, to);
    sm_unit_scan_write(&wr, &range);
    struct answer *a = ask_from(CLIENT, sm_view_of(room, wr.n), PATIENCE);
    T_OK(await(a));
    T_EQ(a->body.n, 8);
    return sm_le64(a->body.p);
}

static void csv_units_get_the_header_and_whole_records(void)
{
    static const char header[] = "name,\"no\nte\"\n";
    enum { STEP = 7001, H = sizeof header - 1 };
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(1 << 20), all = SM_BUF(1 << 20);
    T_OK(sm_buf_add(&text, header, H));
    for (unsigned i = 0; text.n < 60000; i++) {
        T_OK(sm_buf_printf(&text, "row %u,\"a\nb \"\"%u\"\"\"\n", i, i));
    }
    struct sm_data_id id = put_object(sm_buf_view(&text));
    uint64_t quotes = 0; /* before the byte where the unit's reading begins */
    uint32_t unit = 1000;
    for (uint64_t from = 0; from < text.n; from += STEP) {
        struct sm_unit_range range = range_of(&id, SM_SPLIT_CSV, from, from + STEP);
        if (from > 0) {
            uint64_t prev = from - STEP;
            quotes += scan(&id, prev > 0 ? prev - 1 : 0, from - 1);
            range.in_quotes = quotes % 2 == 1;
        }
        struct sm_unit_result r = run_range(unit++, 1, &range);
        size_t skip = from > 0 ? H : 0;
        T_TRUE(r.output.n >= H);
        T_MEM(r.output.p, H, header, H);
        T_OK(sm_buf_add(&all, r.output.p + skip, r.output.n - skip));
    }
    T_MEM(all.p, all.n, text.p, text.n);
}

static void a_lost_object_is_told(void)
{
    struct sm_data_id id = {{1, 2, 3}};
    struct sm_unit_range range = range_of(&id, SM_SPLIT_LINES, 0, 100);
    struct sm_unit_run r = {.job_id = {11}, .fence = 1, .range = range};
    struct answer *a = send_run(&r);
    T_TRUE(await(a) != SM_OK);
    T_TRUE(a->body.n > 0);
    T_TRUE(result_of(start_inline(9, 1, "copy", sm_view_str("x"))).is_exit);
}

/* A unit that runs when this returns: the same attempt again is stale by then. */
static struct answer *run_loop(uint32_t unit, uint64_t fence)
{
    struct answer *a = start_inline(unit, fence, "loop", sm_view_str("x"));
    T_ERR(await(start_inline(unit, fence, "loop", sm_view_str("x"))), SM_E_STALE);
    T_TRUE(!a->is_here);
    return a;
}

/* The supervisor's one child when no compiler runs. */
static pid_t worker_pid(void)
{
    char path[64], text[32] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)w.child.pid,
                   (int)w.child.pid);
    FILE *f = fopen(path, "re");
    T_TRUE(f != NULL);
    T_TRUE(fgets(text, sizeof text, f) != NULL);
    (void)fclose(f);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    T_TRUE(pid > 1);
    return pid;
}

static void a_lost_worker_fails_its_unit_and_no_other(void)
{
    struct answer *a = run_loop(11, 250);
    T_EQ(kill(worker_pid(), SIGKILL), 0);
    T_ERR(await(a), SM_E_UNREACHABLE);
    T_TRUE(result_of(start_inline(11, 251, "copy", sm_view_str("x"))).is_exit);
}

/* What lived below a SEE that ended is ours by now: wait until all of it is dead.  What was
 * not killed keeps this test until its alarm. */
static void nothing_is_left(void)
{
    while (waitpid(-1, NULL, 0) > 0) {
    }
    T_EQ(errno, ECHILD);
}

static void shut_down(void)
{
    T_OK(sm_ipc_send(w.main, SM_IPC_SHUTDOWN, 0, (struct sm_view){0}, -1));
    while (!w.has_exited) {
        turn();
    }
    T_TRUE(!w.how.was_signal);
    T_EQ(w.how.code, 0);
    nothing_is_left();
}

static void it_ends_when_told(void)
{
    shut_down();
}

static void it_ends_with_main_and_leaves_nothing(void)
{
    w.cpu_ms = 3600 * 1000;
    come_up();
    send_module();
    (void)run_loop(10, 300);
    sm_ipc_free(w.main);
    w.main = NULL;
    while (!w.has_exited) {
        turn();
    }
    T_TRUE(!w.how.was_signal);
    nothing_is_left();
}

static void a_module_that_is_none_is_refused_with_its_fault(void)
{
    static const uint8_t bad[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 99, 0};
    struct answer *a;
    sm_buf_clear(&w.module);
    T_OK(sm_buf_add(&w.module, bad, sizeof bad));
    come_up();
    struct sm_unit_piece p = {.total = sizeof bad, .bytes = sm_buf_view(&w.module)};
    T_ERR(ask_piece(SM_UNIT_MODULE, &p, &a), SM_E_MODULE);
    printf("# %.*s\n", (int)a->body.n, (const char *)a->body.p);
    T_TRUE(a->body.n > 7);
    T_MEM(a->body.p, 7, "offset ", 7);
    T_ERR(await(start_inline(1, 1, "copy", sm_view_str("x"))), SM_E_STATE);
    shut_down();
}

static void it_ends_with_net(void)
{
    come_up();
    sm_stream_free(w.net);
    w.net = NULL;
    while (!w.has_exited) {
        turn();
    }
    T_TRUE(!w.how.was_signal);
    nothing_is_left();
}

/* ---------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(it_comes_up_behind_walls),
        T_CASE(a_unit_before_the_module_is_refused),
        T_CASE(another_module_is_refused),
        T_CASE(the_module_comes_in_pieces),
        T_CASE(a_unit_gives_its_output_and_a_receipt),
        T_CASE(long_output_is_fetched_in_pieces),
        T_CASE(a_trap_is_told_and_has_no_receipt),
        T_CASE(an_exit_status_has_no_receipt),
        T_CASE(an_endless_loop_is_stopped),
        T_CASE(an_older_fence_is_stale),
        T_CASE(a_newer_attempt_ends_the_older),
        T_CASE(a_cancelled_attempt_ends),
        T_CASE(an_attempt_cancelled_ahead_does_not_run),
        T_CASE(a_stranger_gets_no_session),
        T_CASE(lines_of_ranges_add_up_to_the_object),
        T_CASE(csv_units_get_the_header_and_whole_records),
        T_CASE(a_lost_object_is_told),
        T_CASE(a_lost_worker_fails_its_unit_and_no_other),
        T_CASE(it_ends_when_told),
        T_CASE(it_ends_with_main_and_leaves_nothing),
        T_CASE(a_module_that_is_none_is_refused_with_its_fault),
        T_CASE(it_ends_with_net),
    };
    (void)alarm(60);
    int failed = t_main(cases, SM_COUNT(cases), argc, argv);
    if (w.has_child && !w.has_exited) {
        sm_child_kill(&w.child, SIGKILL);
    }
    if (w.scratch[0] != '\0') {
        (void)nftw(w.scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    return failed;
}
