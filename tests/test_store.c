// SPDX-License-Identifier: Apache-2.0
#include "core/get.h"
#include "core/put.h"
#include "crypto/suite_sim.h"
#include "os/file.h"
#include "store/store.h"
#include "t.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct sm_wall noon = {1800000000};
static const struct sm_code code = {.k = 2, .n = 3};

/* -- a store in a folder of its own ------------------------------------------------------ */

static char home[64];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void home_remove(void)
{
    if (home[0] != '\0') {
        (void)nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        home[0] = '\0';
    }
}

static void home_make(void)
{
    home_remove(); /* of a case that failed */
    /* In memory when there is such a place: the tests are about order, not about the disk. */
    bool has_shm = access("/dev/shm", W_OK) == 0;
    (void)snprintf(home, sizeof home, "%s/sm_store_XXXXXX", has_shm ? "/dev/shm" : "/tmp");
    T_TRUE(mkdtemp(home) != NULL);
}

static struct sm_store_cfg some_cfg(void)
{
    return (struct sm_store_cfg){.dir = home, .quota_bytes = 1u << 30, .stale_s = 3600};
}

static struct sm_store *store_at(struct sm_wall now)
{
    struct sm_store_cfg cfg = some_cfg();
    struct sm_store *s = NULL;
    T_OK(sm_store_open(&cfg, now, &s, NULL));
    return s;
}

static void must_be_clean(struct sm_store *s, uint64_t objects)
{
    struct sm_store_report r;
    T_OK(sm_store_check(s, NULL, NULL, &r));
    T_EQ(r.missing, 0);
    T_EQ(r.damaged, 0);
    T_EQ(r.strays, 0);
    T_EQ(r.accounts, 0);
    T_TRUE(r.is_database_sound);
    T_TRUE(objects == UINT64_MAX || r.objects == objects);
}

/* -- requests ---------------------------------------------------------------------------- */

struct answer {
    struct sm_buf bytes;
    struct sm_store_event event;
};

static struct answer answer_new(void)
{
    return (struct answer){.bytes = SM_BUF(1u << 20)};
}

static enum sm_err ask_as(struct sm_store *s, const char *client, const struct sm_store_req *q,
                          struct answer *a)
{
    uint8_t *room = malloc(SM_SHARD_MAX + SM_STORE_HEAD_MAX);
    T_TRUE(room != NULL);
    struct sm_wr w = sm_wr_init(room, SM_SHARD_MAX + SM_STORE_HEAD_MAX);
    T_OK(sm_store_req_write(&w, q));
    enum sm_err e = sm_store_handle(s, noon, sm_view_str(client), sm_view_of(room, w.n),
                                    &a->bytes, &a->event);
    free(room);
    return e;
}

static enum sm_err ask(struct sm_store *s, const struct sm_store_req *q, struct answer *a)
{
    return ask_as(s, "alice", q, a);
}

static struct sm_store_req shard_put(uint8_t upload, uint8_t index, uint32_t segment,
                                     struct sm_view bytes)
{
    return (struct sm_store_req){.op = SM_STORE_SHARD_PUT,
                                 .upload = {{upload}},
                                 .index = index,
                                 .segment = segment,
                                 .bytes = bytes};
}

/* The bytes of object number i, 0 to 40,000 of them, always the same. */
static struct sm_view object_bytes(uint64_t i)
{
    static uint8_t bytes[40000];
    uint8_t seed[32] = {0};
    sm_put_le64(seed, i);
    struct sm_rng r;
    sm_rng_init(&r, seed, "object");
    size_t n = (size_t)sm_rng_below(&r, sizeof bytes);
    sm_rng_bytes(&r, bytes, n);
    return sm_view_of(bytes, n);
}

/* Put one object with all its columns into the one store; `step` is told of each request. */
static enum sm_err put_object(struct sm_store *s, uint64_t i, void (*step)(void),
                              struct sm_data_id *out)
{
    struct sm_put_cfg cfg = {.suite = sm_suite_sim(),
                             .cipher = SM_AESGCM,
                             .code = code,
                             .n_holders = 3,
                             .segment_bytes = 9000};
    sm_put_le64(cfg.key.b, i);
    sm_put_le64(cfg.seed, i);
    struct sm_put *p = NULL;
    T_OK(sm_put_new(&cfg, &p));
    struct answer a = answer_new();
    struct sm_view data = object_bytes(i);
    struct sm_put_out o;
    size_t at = 0;
    for (bool is_done = false; !is_done;) {
        at += sm_put_feed(p, (struct sm_mono){1}, sm_view_sub(data, at, data.n));
        if (at == data.n) {
            sm_put_end(p, (struct sm_mono){1});
        }
        while (!is_done && sm_put_next(p, (struct sm_mono){1}, &o)) {
            if (step != NULL) {
                step();
            }
            is_done = o.kind == SM_PUT_DONE;
            if (!is_done) {
                enum sm_err e =
                    sm_store_handle(s, noon, sm_view_str("alice"), o.body, &a.bytes, &a.event);
                sm_put_response(p, (struct sm_mono){1}, o.id, e, sm_buf_view(&a.bytes));
            }
        }
    }
    *out = o.object;
    sm_put_free(p);
    sm_buf_done(&a.bytes);
    return o.err;
}

static enum sm_err get_object(struct sm_store *s, uint64_t i, const struct sm_data_id *id)
{
    uint64_t held[] = {7};
    struct sm_get_cfg cfg = {.suite = sm_suite_sim(),
                             .object = *id,
                             .held = held,
                             .n_holders = 1,
                             .to = UINT64_MAX,
                             .extra = 1};
    sm_put_le64(cfg.key.b, i);
    struct sm_get *g = NULL;
    T_OK(sm_get_new(&cfg, &g));
    struct answer a = answer_new();
    struct sm_view data = object_bytes(i);
    struct sm_get_out o;
    size_t at = 0;
    do {
        T_TRUE(sm_get_next(g, (struct sm_mono){1}, &o));
        if (o.kind == SM_GET_REQUEST) {
            enum sm_err e =
                sm_store_handle(s, noon, sm_view_str("bob"), o.body, &a.bytes, &a.event);
            sm_get_response(g, (struct sm_mono){1}, o.id, e, sm_buf_view(&a.bytes));
        } else if (o.kind == SM_GET_BYTES) {
            T_TRUE(at + o.bytes.n <= data.n);
            T_TRUE(memcmp(data.p + at, o.bytes.p, o.bytes.n) == 0);
            at += o.bytes.n;
        }
    } while (o.kind != SM_GET_DONE);
    T_TRUE(o.err != SM_OK || at == data.n);
    sm_get_free(g);
    sm_buf_done(&a.bytes);
    return o.err;
}

static struct sm_remove_token token_of(uint64_t i)
{
    struct sm_secret32 key = {{0}};
    struct sm_remove_token token;
    sm_put_le64(key.b, i);
    sm_object_remove_token(&key, &token);
    return token;
}

static unsigned n_files;

static int count_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    n_files += kind == FTW_F && strstr(path, "/shards/") != NULL;
    return 0;
}

static unsigned shard_files(void)
{
    n_files = 0;
    T_EQ(nftw(home, count_one, 16, FTW_PHYS), 0);
    return n_files;
}

/* Change (or with n = 0 delete) the first shard file found. */
static bool spoil_file(const char *how)
{
    for (unsigned first = 0; first < 256; first++) {
        char folder[128], path[400];
        (void)snprintf(folder, sizeof folder, "%s/shards/%02x", home, first);
        DIR *d = opendir(folder);
        T_TRUE(d != NULL);
        struct dirent *f = readdir(d);
        while (f != NULL && f->d_name[0] == '.') {
            f = readdir(d);
        }
        if (f != NULL) {
            (void)snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
        }
        closedir(d);
        if (f == NULL) {
            continue;
        }
        if (strcmp(how, "delete") == 0) {
            return unlink(path) == 0;
        }
        int fd = open(path, O_WRONLY);
        return fd >= 0 && pwrite(fd, "x", 1, 3) == 1 && close(fd) == 0;
    }
    return false;
}

/* -- promises ---------------------------------------------------------------------------- */

static void what_was_stored_is_read_also_after_reopening(void)
{
    home_make();
    struct sm_store *s = store_at(noon);
    struct sm_data_id id[8];
    for (uint64_t i = 0; i < 8; i++) {
        T_OK(put_object(s, i, NULL, &id[i]));
    }
    sm_store_close(s);
    s = store_at(noon);
    for (uint64_t i = 0; i < 8; i++) {
        T_OK(get_object(s, i, &id[i]));
    }
    struct sm_store_object list[16];
    size_t n = 0;
    T_OK(sm_store_list(s, NULL, list, 5, &n));
    T_EQ(n, 5);
    T_OK(sm_store_list(s, &list[4].id, list + 5, 11, &n));
    T_EQ(n, 3);
    for (size_t i = 1; i < 8; i++) {
        T_TRUE(memcmp(list[i - 1].id.b, list[i].id.b, 32) < 0);
        T_EQ(list[i].held, 7);
    }
    must_be_clean(s, 8);
    sm_store_close(s);
    home_remove();
}

static void staged_shards_are_invisible_and_a_commit_needs_them_all(void)
{
    home_make();
    struct sm_store *s = store_at(noon);
    struct answer a = answer_new();
    uint8_t ids[2 * 2 * 32] = {0}, room[512];
    struct sm_manifest m = {.size = 20,
                            .segment_bytes = 10,
                            .code = {.k = 1, .n = 2},
                            .cipher = SM_AESGCM,
                            .shard_ids = sm_view_of(ids, sizeof ids)};
    uint8_t shard[2][32] = {{1}, {2}};
    struct sm_store_req q = shard_put(1, 0, 0, sm_view_of(shard[0], 32));
    T_OK(ask(s, &q, &a));
    memcpy(ids, a.bytes.p, 32);
    struct sm_store_req q1 = shard_put(1, 0, 1, sm_view_of(shard[1], 32));
    T_OK(ask(s, &q1, &a));
    memcpy(ids + 64, a.bytes.p, 32);
    struct sm_store_req ab = {.op = SM_STORE_ABORT, .upload = {{2}}};
    T_OK(ask(s, &ab, &a)); /* another upload: changes nothing */
    struct sm_wr w = sm_wr_init(room, sizeof room);
    T_OK(sm_manifest_write(&w, &m));
    struct sm_store_req commit = {
        .op = SM_STORE_COMMIT, .index = 1, .upload = {{1}}, .bytes = sm_view_of(room, w.n)};
    T_ERR(ask(s, &commit, &a), SM_E_STATE); /* index 1 was never staged */
    commit.index = 2;
    T_ERR(ask(s, &commit, &a), SM_E_MALFORMED);
    commit.index = 0;
    T_ERR(ask_as(s, "bob", &commit, &a), SM_E_STATE); /* it is alice's upload */
    struct sm_store_req get = {.op = SM_STORE_MANIFEST_GET};
    sm_manifest_id(commit.bytes, &get.object);
    T_ERR(ask(s, &get, &a), SM_E_NOTFOUND);
    T_EQ(a.event.news, SM_STORE_NO_NEWS);
    T_OK(ask(s, &commit, &a));
    T_EQ(a.event.news, SM_STORE_HOLDS);
    T_EQ(a.event.held, 1);
    T_EQ(a.event.bytes, 64);
    T_OK(ask(s, &commit, &a)); /* the answer was lost: the same again */
    T_OK(ask(s, &get, &a));
    struct sm_store_req shard_get = {.op = SM_STORE_SHARD_GET, .segment = 1};
    shard_get.object = get.object;
    T_OK(ask(s, &shard_get, &a));
    T_MEM(a.bytes.p, a.bytes.n, shard[1], 32);
    shard_get.index = 1;
    T_ERR(ask(s, &shard_get, &a), SM_E_NOTFOUND);
    must_be_clean(s, 1);
    sm_buf_done(&a.bytes);
    sm_store_close(s);
    home_remove();
}

static void only_who_has_the_token_removes_and_then_nothing_is_left(void)
{
    home_make();
    struct sm_store *s = store_at(noon);
    struct answer a = answer_new();
    struct sm_data_id id[2];
    for (uint64_t i = 0; i < 2; i++) {
        T_OK(put_object(s, i + 1, NULL, &id[i]));
    }
    struct sm_store_req q = {.op = SM_STORE_REMOVE, .object = id[0], .token = token_of(2)};
    T_ERR(ask(s, &q, &a), SM_E_REFUSED);
    q.token = token_of(1);
    T_OK(ask(s, &q, &a));
    T_EQ(a.event.news, SM_STORE_DROPPED);
    T_ERR(ask(s, &q, &a), SM_E_NOTFOUND);
    T_ERR(get_object(s, 1, &id[0]), SM_E_NOTFOUND);
    T_OK(get_object(s, 2, &id[1]));
    must_be_clean(s, 1);
    q = (struct sm_store_req){.op = SM_STORE_REMOVE, .object = id[1], .token = token_of(2)};
    T_OK(ask(s, &q, &a));
    T_EQ(shard_files(), 0);
    struct sm_store_stat st;
    T_OK(sm_store_stat(s, sm_view_str("alice"), &st));
    T_EQ(st.client_bytes, 0);
    T_EQ(st.bytes, 0);
    sm_buf_done(&a.bytes);
    sm_store_close(s);
    home_remove();
}

static void a_shard_in_two_uploads_lives_until_both_are_gone(void)
{
    home_make();
    struct sm_store *s = store_at(noon);
    struct answer a = answer_new();
    uint8_t shard[100] = {5};
    for (uint8_t upload = 1; upload <= 2; upload++) {
        struct sm_store_req q = shard_put(upload, 0, 0, sm_view_of(shard, sizeof shard));
        T_OK(ask(s, &q, &a));
        T_OK(ask(s, &q, &a)); /* sent twice: charged once */
    }
    struct sm_store_stat st;
    T_OK(sm_store_stat(s, sm_view_str("alice"), &st));
    T_EQ(st.client_bytes, 2 * 4096);
    T_EQ(shard_files(), 1);
    for (uint8_t upload = 1; upload <= 2; upload++) {
        struct sm_store_req q = {.op = SM_STORE_ABORT, .upload = {{upload}}};
        T_OK(ask(s, &q, &a));
        T_EQ(shard_files(), upload == 1 ? 1 : 0);
    }
    must_be_clean(s, 0);
    sm_buf_done(&a.bytes);
    sm_store_close(s);
    home_remove();
}

static void stale_uploads_and_strays_are_swept_at_start(void)
{
    home_make();
    struct sm_store *s = store_at(noon);
    struct answer a = answer_new();
    uint8_t shard[100] = {5};
    struct sm_store_req q = shard_put(1, 0, 0, sm_view_of(shard, sizeof shard));
    T_OK(ask(s, &q, &a));
    sm_store_close(s);
    char stray[128];
    (void)snprintf(stray, sizeof stray, "%s/shards/ab/abcdef.tmp.77", home);
    T_OK(sm_file_write_atomic(stray, 0600, sm_view_str("half")));
    s = store_at((struct sm_wall){noon.s + 3599});
    T_EQ(shard_files(), 1); /* the stray is gone, the young upload is not */
    sm_store_close(s);
    s = store_at((struct sm_wall){noon.s + 3601});
    T_EQ(shard_files(), 0);
    must_be_clean(s, 0);
    sm_buf_done(&a.bytes);
    sm_store_close(s);
    home_remove();
}

static void damage_is_never_handed_out_and_a_check_counts_it(void)
{
    home_make();
    struct sm_store *s = store_at(noon);
    struct sm_data_id id;
    T_OK(put_object(s, 3, NULL, &id));
    T_TRUE(object_bytes(3).n > 18000); /* three segments: nine shards */
    unsigned files = shard_files();
    T_TRUE(spoil_file("change"));
    struct sm_store_report r;
    T_OK(sm_store_check(s, NULL, NULL, &r));
    T_EQ(r.damaged, 1);
    T_EQ(r.shards, files);
    T_OK(get_object(s, 3, &id)); /* two of three are enough, and a bad one is no answer */
    T_TRUE(spoil_file("delete"));
    T_OK(sm_store_check(s, NULL, NULL, &r));
    T_EQ(r.missing, 1);
    T_EQ(r.damaged, 0);
    sm_store_close(s);
    home_remove();
}

static void quotas_hold_and_say_what_is_used(void)
{
    home_make();
    struct sm_store_cfg cfg = some_cfg();
    cfg.quota_bytes = 8192;
    struct sm_store *s = NULL;
    T_OK(sm_store_open(&cfg, noon, &s, NULL));
    struct answer a = answer_new();
    uint8_t shard[5000] = {5};
    struct sm_store_req q = shard_put(1, 0, 0, sm_view_of(shard, sizeof shard));
    T_OK(ask(s, &q, &a));
    q.segment = 1;
    T_ERR(ask(s, &q, &a), SM_E_LIMIT);
    struct sm_view words = sm_buf_view(&a.bytes);
    T_TRUE(memmem(words.p, words.n, "8192 of 8192", 12) != NULL);
    T_TRUE(strstr(sm_store_words(s), home) != NULL);
    T_TRUE(memmem(words.p, words.n, home, strlen(home)) == NULL);
    T_OK(ask_as(s, "bob", &q, &a));
    must_be_clean(s, 0);
    sm_store_close(s);
    cfg.reserve_bytes = UINT64_MAX;
    T_OK(sm_store_open(&cfg, noon, &s, NULL));
    T_ERR(ask_as(s, "carol", &q, &a), SM_E_NOSPACE);
    sm_buf_done(&a.bytes);
    sm_store_close(s);
    home_remove();
}

static void a_later_format_a_foreign_file_and_a_second_process_are_refused_with_words(void)
{
    home_make();
    struct sm_store_cfg cfg = some_cfg();
    struct sm_store *s = store_at(noon), *other = NULL;
    SM_CLEANUP(sm_buf_done) struct sm_buf words = SM_BUF(1024);
    T_ERR(sm_store_open(&cfg, noon, &other, &words), SM_E_BUSY);
    T_TRUE(memmem(words.p, words.n, "another process", 15) != NULL);
    sm_store_close(s);
    char path[128];
    sqlite3 *db = NULL;
    (void)snprintf(path, sizeof path, "%s/state.db", home);
    T_EQ(sqlite3_open(path, &db), SQLITE_OK);
    T_EQ(sqlite3_exec(db, "PRAGMA user_version = 2", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    T_ERR(sm_store_open(&cfg, noon, &other, &words), SM_E_VERSION);
    T_TRUE(memmem(words.p, words.n, "later version", 13) != NULL);
    T_OK(sm_file_write_atomic(path, 0600, sm_view_str("this is not a database, it is a lie")));
    T_ERR(sm_store_open(&cfg, noon, &other, &words), SM_E_CORRUPT);
    cfg.dir = "/proc/nothing";
    T_TRUE(sm_store_open(&cfg, noon, &other, &words) != SM_OK);
    T_TRUE(memmem(words.p, words.n, "/proc/nothing", 13) != NULL);
    home_remove();
}

/* -- crashes ----------------------------------------------------------------------------- */

static int report_fd;

static void tell_step(void)
{
    ssize_t put = write(report_fd, "p", 1);
    (void)put;
}

/* Store objects until killed; tell of every step, and of every object that is stored. */
static _Noreturn void store_for_ever(uint64_t first)
{
    tell_step();
    struct sm_store *s = store_at(noon);
    for (uint64_t i = first;; i++) {
        uint8_t line[1 + 8 + 32] = {'A'};
        struct sm_data_id id;
        if (put_object(s, i, tell_step, &id) != SM_OK) {
            _exit(1);
        }
        sm_put_le64(line + 1, i);
        memcpy(line + 9, id.b, 32);
        if (write(report_fd, line, sizeof line) != (ssize_t)sizeof line) {
            _exit(1);
        }
        if (i % 3 == 2) {
            struct answer a = answer_new();
            struct sm_store_req q = {.op = SM_STORE_REMOVE, .object = id, .token = token_of(i)};
            line[0] = 'R'; /* from here on it may be gone */
            if (write(report_fd, line, sizeof line) != (ssize_t)sizeof line ||
                ask(s, &q, &a) != SM_OK) {
                _exit(1);
            }
            sm_buf_done(&a.bytes);
        }
    }
}

struct acked {
    uint64_t i;
    struct sm_data_id id;
};

/* Read what the child tells; kill it after so many steps.  Adds to `acked`. */
static size_t watch_and_kill(int fd, pid_t child, unsigned steps, struct acked *acked, size_t n,
                             size_t max)
{
    uint8_t kind;
    while (read(fd, &kind, 1) == 1) {
        if (kind == 'p') {
            if (steps-- == 0) {
                T_EQ(kill(child, SIGKILL), 0);
            }
            continue;
        }
        uint8_t line[40];
        size_t got = 0;
        while (got < sizeof line) {
            ssize_t r = read(fd, line + got, sizeof line - got);
            if (r <= 0) {
                return n; /* killed within the line */
            }
            got += (size_t)r;
        }
        if (kind == 'A' && n < max) {
            acked[n].i = sm_le64(line);
            memcpy(acked[n++].id.b, line + 8, 32);
        } else if (kind == 'R' && n > 0) {
            n--;
        }
    }
    return n;
}

static void what_was_acknowledged_survives_kill_9_at_any_point(void)
{
    home_make();
    uint8_t seed[32] = {0};
    sm_put_le64(seed, t_seed());
    struct sm_rng rng;
    sm_rng_init(&rng, seed, "crash");
    struct acked acked[512];
    size_t n = 0;
    for (uint64_t round = 0; round < 40; round++) {
        int fds[2];
        T_EQ(pipe2(fds, O_CLOEXEC), 0);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            report_fd = fds[1];
            store_for_ever(100000 * round);
        }
        close(fds[1]);
        n = watch_and_kill(fds[0], child, (unsigned)sm_rng_below(&rng, 200), acked, n,
                           SM_COUNT(acked));
        close(fds[0]);
        int status = 0;
        T_EQ(waitpid(child, &status, 0), child);
        T_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct sm_store *s = store_at(noon);
        must_be_clean(s, UINT64_MAX);
        for (size_t i = 0; i < n; i++) {
            T_OK(get_object(s, acked[i].i, &acked[i].id));
        }
        sm_store_close(s);
    }
    T_TRUE(n > 0);
    home_remove();
}

/* -- full disks -------------------------------------------------------------------------- */

/* Fill the disk, check that nothing is half there, remove something, go on.  Its exit code
 * is 0 when all went well; the harness cannot jump out of a child. */
static int fill_the_disk(void)
{
    struct sm_data_id id[400];
    uint64_t n = 0;
    enum sm_err e = SM_OK;
    struct sm_store *s = store_at(noon);
    while (n < 400 && (e = put_object(s, n, NULL, &id[n])) == SM_OK) {
        n++;
    }
    if (e != SM_E_NOSPACE || n < 2 || strstr(sm_store_words(s), home) == NULL) {
        printf("# %s after %u objects: %s\n", sm_err_name(e), (unsigned)n, sm_store_words(s));
        return 2;
    }
    must_be_clean(s, n);
    for (uint64_t i = 0; i < n; i++) {
        T_OK(get_object(s, i, &id[i]));
    }
    struct answer a = answer_new();
    for (uint64_t i = 0; i < 2; i++) {
        struct sm_store_req q = {.op = SM_STORE_REMOVE, .object = id[i], .token = token_of(i)};
        T_OK(ask(s, &q, &a));
    }
    sm_buf_done(&a.bytes);
    T_OK(put_object(s, 0, NULL, &id[0]));
    must_be_clean(s, n - 1);
    sm_store_close(s);
    s = store_at(noon);
    must_be_clean(s, n - 1);
    sm_store_close(s);
    return 0;
}

static int in_child(int (*run)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int code_of = setjmp(t_jump) == 0 ? run() : 1;
        fflush(stdout);
        _exit(code_of);
    }
    int status = 0;
    T_EQ(waitpid(child, &status, 0), child);
    T_TRUE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define SKIPPED 77

static int on_a_small_tmpfs(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("sm", home, "tmpfs", 0, "size=8m") != 0) {
        return SKIPPED;
    }
    return fill_the_disk();
}

static void a_full_disk_leaves_nothing_half_stored_and_can_be_emptied(void)
{
    home_make();
    int status = in_child(on_a_small_tmpfs);
    home_remove();
    if (status == SKIPPED) {
        t_skip("may not mount a tmpfs here");
    }
    T_EQ(status, 0);
}

static int with_a_file_size_limit(void)
{
    struct sm_store *s = store_at(noon);
    struct sm_data_id id;
    T_OK(put_object(s, 3, NULL, &id));
    T_TRUE(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct rlimit limit = {.rlim_cur = 100000, .rlim_max = 100000};
    T_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    static uint8_t shard[200000];
    struct answer a = answer_new();
    struct sm_store_req q = shard_put(1, 0, 0, sm_view_of(shard, sizeof shard));
    enum sm_err e = ask(s, &q, &a);
    T_TRUE(e != SM_OK && a.bytes.n > 0);
    sm_buf_done(&a.bytes);
    must_be_clean(s, 1);
    T_OK(get_object(s, 3, &id));
    sm_store_close(s);
    return 0;
}

static void a_write_that_fails_half_way_leaves_nothing(void)
{
    home_make();
    int status = in_child(with_a_file_size_limit);
    home_remove();
    T_EQ(status, 0);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(what_was_stored_is_read_also_after_reopening),
        T_CASE(staged_shards_are_invisible_and_a_commit_needs_them_all),
        T_CASE(only_who_has_the_token_removes_and_then_nothing_is_left),
        T_CASE(a_shard_in_two_uploads_lives_until_both_are_gone),
        T_CASE(stale_uploads_and_strays_are_swept_at_start),
        T_CASE(damage_is_never_handed_out_and_a_check_counts_it),
        T_CASE(quotas_hold_and_say_what_is_used),
        T_CASE(a_later_format_a_foreign_file_and_a_second_process_are_refused_with_words),
        T_CASE(what_was_acknowledged_survives_kill_9_at_any_point),
        T_CASE(a_full_disk_leaves_nothing_half_stored_and_can_be_emptied),
        T_CASE(a_write_that_fails_half_way_leaves_nothing),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
