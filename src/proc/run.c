// SPDX-License-Identifier: Apache-2.0
/* seemesh-run: the supervisor of one SEE instance.
 *
 * It holds the keys this SEE was born with, ends the sessions of the one client it was started
 * for, reads that client's data, and drives the compiler and the worker that run the module.
 * It has no network: descriptor 3 leads to main, 4 to net.  It gives up its rights before main
 * tells it anything about a client.
 *
 *     CONFIG -> READY, LAUNCH -> CERTIFY, CERTIFIED -> HELLO to net; then it serves
 *
 * It ends with main or net, when told to, and after ten minutes in which nobody asked.
 */
#include "crypto/hash.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "proc/run_int.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define IDLE       SM_S(600)
#define RENEW      SM_S(6 * 3600) /* half of a certificate's life */
#define RENEW_SOON SM_S(600)      /* when that did not work */
#define FILES_MAX  256u
#define WALL_MS    60000u /* of a unit; twice its processor time if that is more */
#define CERTIFY_ID 1u

/* -- requests ---------------------------------------------------------------------------- */

void see_refuse(struct see *s, uint64_t handle, enum sm_err err, const char *words)
{
    sm_mesh_reply(s->mesh, handle, err, sm_view_str(words));
}

static void serve(struct see *s, uint64_t handle, const struct sm_unit_request *q)
{
    switch (q->op) {
    case SM_UNIT_MODULE:
        module_piece(s, handle, &q->piece);
        break;
    case SM_UNIT_RUN:
        unit_run(s, handle, &q->run);
        break;
    case SM_UNIT_INPUT:
        unit_input(s, handle, &q->piece);
        break;
    case SM_UNIT_OUTPUT:
        unit_output(s, handle, &q->piece);
        break;
    case SM_UNIT_SCAN:
        unit_scan(s, handle, &q->run.range);
        break;
    case SM_UNIT_CANCEL:
        unit_cancel(s, handle, &q->piece);
        break;
    }
}

static void on_request(void *ctx, uint64_t handle, const struct sm_passport *peer,
                       uint8_t service, struct sm_view body)
{
    struct see *s = ctx;
    struct sm_unit_request q;
    if (memcmp(peer->dh_key, s->start.client_dh, sizeof peer->dh_key) != 0 ||
        service != SM_SERVICE_UNIT) {
        see_refuse(s, handle, SM_E_REFUSED, "not served here");
        return;
    }
    sm_timer_at(s->idle, sm_after(sm_clock_mono(), IDLE));
    enum sm_err e = sm_unit_request_read(body, &q);
    if (e != SM_OK) {
        see_refuse(s, handle, e, "not a request of this version");
        return;
    }
    serve(s, handle, &q);
    sm_wipe(&q, sizeof q); /* a RUN carries the key of its object */
}

static void on_idle(void *ctx)
{
    struct see *s = ctx;
    if (units_busy(s)) {
        sm_timer_at(s->idle, sm_after(sm_clock_mono(), IDLE));
        return;
    }
    sm_child_log(s->self, SM_LOG_INFO, "idle", "ep=%" PRIu32, s->ep);
    sm_loop_stop(s->loop);
}

/* -- the endpoint ------------------------------------------------------------------------ */

static bool may_open(void *ctx, const uint8_t dh_key[static 32])
{
    const struct see *s = ctx;
    return memcmp(dh_key, s->start.client_dh, 32) == 0;
}

static void on_ready(void *ctx)
{
    struct see *s = ctx;
    struct sm_passport mine;
    enum sm_err e = sm_passport_verify(s->suite, &s->anchor, sm_clock_wall(),
                                       sm_mesh_passport(s->mesh), &mine);
    if (e != SM_OK) {
        sm_child_log(s->self, SM_LOG_ERROR, "bad-passport", "error=\"%s\"", sm_err_words(e));
        sm_child_fail(s->self);
        return;
    }
    s->platform = mine.node.platform;
    sm_child_log(s->self, SM_LOG_INFO, "see-up", "ep=%" PRIu32, s->ep);
}

static void on_mesh_closed(void *ctx, enum sm_err why)
{
    struct see *s = ctx;
    sm_child_log(s->self, SM_LOG_NOTICE, "node-gone", "ep=%" PRIu32 " why=\"%s\"", s->ep,
                 sm_err_words(why));
    sm_child_fail(s->self);
}

static enum sm_err join_mesh(struct see *s, struct sm_view record)
{
    struct sm_mesh_cfg cfg = {.loop = s->loop,
                              .anchor = &s->anchor,
                              .fd = SM_CHILD_FD_ENDPOINT,
                              .kind = SM_CTL_SEE,
                              .endpoint = record,
                              .dh = s->keys->dh,
                              .sign = s->keys->sign,
                              .cipher = SM_AESGCM,
                              .ctx = s,
                              .ready = on_ready,
                              .closed = on_mesh_closed,
                              .request = on_request,
                              .may_open = may_open};
    enum sm_err e = sm_random_bytes(cfg.seed, sizeof cfg.seed);
    if (e == SM_OK) {
        e = sm_mesh_new(&cfg, &s->mesh);
    }
    sm_wipe(&cfg, sizeof cfg);
    return e;
}

/* -- main -------------------------------------------------------------------------------- */

/* No limit above the node's own; zero means the node's. */
static struct sm_see_limits limits_of(const struct sm_config *c,
                                      const struct sm_see_start *start)
{
    struct sm_see_limits node = sm_see_limits_default(), asked = {0};
    uint64_t pages = c->see.memory >> 16, cpu_s = (c->see.cpu + SM_S(1).ns - 1) / SM_S(1).ns;
    node.memory_pages = (uint32_t)(pages < SM_WASM_PAGES_MAX ? pages : SM_WASM_PAGES_MAX);
    node.cpu_s = (uint32_t)cpu_s;
    node.wall_ms = cpu_s * 2000 > WALL_MS ? (uint32_t)cpu_s * 2000 : WALL_MS;
    asked.memory_pages = start->mem_pages;
    asked.cpu_s = start->cpu_ms / 1000 + (start->cpu_ms % 1000 != 0);
    asked.wall_ms = start->wall_ms;
    return sm_see_limits_lower(node, asked);
}

static enum sm_err ask_certificate(struct see *s)
{
    struct sm_ipc_certify m = {.ep = s->ep, .kind = SM_ENDPOINT_SEE};
    uint8_t bytes[SM_IPC_SMALL];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_view v;
    memcpy(m.sign_key, s->keys->sign.pub.b, sizeof m.sign_key);
    memcpy(m.dh_key, s->keys->dh.pub.b, sizeof m.dh_key);
    sm_ipc_certify_write(&m, &w);
    SM_TRY(sm_wr_done(&w, &v));
    return sm_ipc_send(sm_self_main(s->self), SM_IPC_CERTIFY, CERTIFY_ID, v, -1);
}

/* u64 instance, u32 endpoint, then a START request. */
static enum sm_err on_launch(struct see *s, struct sm_view body)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_see_request q;
    (void)sm_rd_u64(&r);
    uint32_t ep = sm_rd_u32(&r);
    SM_TRY(sm_see_request_read(sm_rd_rest(&r), &q));
    if (q.op != SM_SEE_START || ep == SM_EP_NODE || s->has_launch) {
        return SM_E_MALFORMED;
    }
    s->has_launch = true;
    s->ep = ep;
    s->start = q.start;
    s->limits = limits_of(sm_self_config(s->self), &q.start);
    return ask_certificate(s);
}

static void on_renew(void *ctx)
{
    struct see *s = ctx;
    sm_timer_at(s->renew, sm_after(sm_clock_mono(), RENEW_SOON));
    if (ask_certificate(s) != SM_OK) {
        sm_child_fail(s->self); /* main does not read */
    }
}

/* The first lets us in; the later ones follow it before it ends. */
static enum sm_err on_certified(struct see *s, struct sm_view body)
{
    enum sm_err err;
    struct sm_view record;
    SM_TRY(sm_ipc_answer_read(body, &err, &record));
    if (s->mesh != NULL && err != SM_OK) {
        return SM_OK; /* asked again soon */
    }
    SM_TRY(err);
    SM_TRY(s->mesh == NULL ? join_mesh(s, record) : sm_mesh_renew(s->mesh, record));
    sm_timer_at(s->renew, sm_after(sm_clock_mono(), RENEW));
    return SM_OK;
}

static void on_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct see *s = ctx;
    enum sm_err e = SM_OK;
    (void)ch;
    if (m->type == SM_IPC_LAUNCH) {
        e = on_launch(s, m->body);
    } else if (m->type == SM_IPC_CERTIFIED) {
        e = on_certified(s, m->body);
    }
    if (e != SM_OK) {
        sm_child_log(s->self, SM_LOG_ERROR, "see-not-started", "on=%s error=\"%s\"",
                     sm_ipc_name((uint16_t)m->type), sm_err_words(e));
        sm_child_fail(s->self);
    }
}

/* -- start ------------------------------------------------------------------------------- */

static enum sm_err make_keys(struct see *s, struct sm_rng *rng)
{
    s->keys = sm_secret_new(sizeof *s->keys);
    if (s->keys == NULL) {
        return SM_E_NOMEM;
    }
    sm_sign_pair_make(s->suite, rng, &s->keys->sign);
    sm_dh_pair_make(s->suite, rng, &s->keys->dh);
    return SM_OK;
}

/* The key that marks this node's own entries of the cache.  It lies outside the folder that
 * compilers can write. */
static enum sm_err cache_key(const char *path, struct sm_rng *rng, uint8_t out[static 32])
{
    uint8_t fresh[32];
    sm_rng_bytes(rng, fresh, sizeof fresh);
    enum sm_err e = sm_file_create(path, 0600, sm_view_of(fresh, sizeof fresh));
    sm_wipe(fresh, sizeof fresh);
    if (e != SM_OK && e != SM_E_EXISTS) {
        return e;
    }
    return sm_file_read_exact(path, out, 32);
}

/* Where the compiler and the worker are: beside this program when installed, in a folder of
 * their own in a build. */
static enum sm_err find_programs(char program_dir[static SM_PATH],
                                 char runtime_dir[static SM_PATH])
{
    static const struct {
        const char *programs, *runtime;
    } layouts[] = {{".", "../../share/seemesh/see-rt"}, {"../see", "../see"}};
    char self[SM_PATH], path[SM_PATH];
    SM_TRY(sm_self_path(self, sizeof self));
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < SM_COUNT(layouts); i++) {
        SM_TRY(sm_path_join(self, layouts[i].programs, program_dir));
        SM_TRY(sm_path_join(self, layouts[i].runtime, runtime_dir));
        SM_TRY(sm_path_join(program_dir, "seemesh-compile", path));
        if (sm_file_exists(path)) {
            return SM_OK;
        }
    }
    return SM_E_NOTFOUND;
}

static enum sm_err open_engine(struct see *s, struct sm_rng *rng,
                               char program_dir[static SM_PATH])
{
    const struct sm_config *c = sm_self_config(s->self);
    char dir[SM_PATH], key_path[SM_PATH];
    uint8_t mac_key[32];
    SM_TRY(sm_path_join(c->node.home, "see", dir));
    SM_TRY(sm_path_join(dir, "cache", s->cache_dir));
    SM_TRY(sm_path_join(dir, "cache.key", key_path));
    SM_TRY(sm_dir_make(s->cache_dir, 0700));
    SM_TRY(find_programs(program_dir, s->runtime_dir));
    enum sm_err e = cache_key(key_path, rng, mac_key);
    if (e == SM_OK) {
        e = sm_engine_init(&s->engine, program_dir, s->runtime_dir, s->cache_dir, mac_key);
    }
    sm_wipe(mac_key, sizeof mac_key);
    if (e == SM_OK) {
        s->has_engine = true;
        s->engine.cache_bytes = c->see.cache;
    }
    return e;
}

/* The walls must leave the compiler room: it narrows them further, down to a build folder,
 * and the worker to nothing. */
static enum sm_err confine(struct see *s, const char *program_dir)
{
    const struct sm_path_rule wanted[] = {
        {"/usr", SM_PATH_READ | SM_PATH_EXEC},
        {"/lib", SM_PATH_READ | SM_PATH_EXEC},
        {"/lib64", SM_PATH_READ | SM_PATH_EXEC},
        {"/bin", SM_PATH_READ | SM_PATH_EXEC},
        {"/etc/ld.so.cache", SM_PATH_READ},
        {"/etc/alternatives", SM_PATH_READ},
        {"/dev/null", SM_PATH_READ | SM_PATH_WRITE},
        {program_dir, SM_PATH_READ | SM_PATH_EXEC},
        {s->runtime_dir, SM_PATH_READ},
        {s->cache_dir, SM_PATH_READ | SM_PATH_WRITE},
    };
    struct sm_path_rule rules[SM_COUNT(wanted)];
    size_t n = 0;
    for (size_t i = 0; i < SM_COUNT(wanted); i++) {
        if (sm_file_exists(wanted[i].path)) {
            rules[n++] = wanted[i];
        }
    }
    SM_TRY(sm_confine_limit(RLIMIT_NOFILE, FILES_MAX));
    return sm_child_confine(s->self, rules, n, SM_CONFINE_NO_TCP | SM_CONFINE_SCOPED,
                            SM_CALLS_FILES | SM_CALLS_SPAWN);
}

static enum sm_err prepare(struct see *s, struct sm_rng *rng)
{
    char program_dir[SM_PATH];
    SM_TRY(make_keys(s, rng));
    SM_TRY(open_engine(s, rng, program_dir));
    SM_TRY(module_init(s));
    SM_TRY(units_init(s, rng));
    SM_TRY(sm_timer_new(s->loop, on_idle, s, &s->idle));
    SM_TRY(sm_timer_new(s->loop, on_renew, s, &s->renew));
    sm_timer_at(s->idle, sm_after(sm_clock_mono(), IDLE));
    return confine(s, program_dir);
}

static enum sm_err on_start(void *ctx, struct sm_self *self)
{
    struct see *s = ctx;
    struct sm_rng rng;
    uint8_t seed[32];
    bool is_locked = false;
    s->self = self;
    s->loop = sm_self_loop(self);
    SM_TRY(sm_secretmem_init(&is_locked));
    if (!is_locked) {
        sm_child_log(self, SM_LOG_WARN, "keys-may-be-swapped", "program=seemesh-run");
    }
    s->suite = sm_suite_real();
    SM_TRY(sm_config_anchor(sm_self_config(self), &s->anchor));
    SM_TRY(sm_random_bytes(seed, sizeof seed));
    sm_rng_init(&rng, seed, "seemesh-run");
    sm_wipe(seed, sizeof seed);
    enum sm_err e = prepare(s, &rng);
    sm_rng_wipe(&rng);
    return e;
}

/* However it ended: nothing of ours stays behind. */
static void release(struct see *s)
{
    if (s->has_engine) {
        module_done(s);
        units_done(s);
        sm_engine_done(&s->engine);
    }
    sm_mesh_free(s->mesh);
    sm_timer_free(s->idle);
    sm_timer_free(s->renew);
    sm_secret_free(s->keys);
}

int main(int argc, char **argv)
{
    static const struct sm_child_ops ops = {.start = on_start, .message = on_message};
    static struct see s;
    int code = sm_child_main(SM_PROG_RUN, &ops, &s, argc, argv);
    release(&s);
    return code;
}
