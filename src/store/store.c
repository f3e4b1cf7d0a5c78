// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include "core/object.h"
#include "crypto/hash.h"
#include "os/file.h"
#include "store/db.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CLIENT_ID_MAX 64u
/* A client stages a few objects at a time; more than this is a leak or an attack. */
#define UPLOADS_MAX 64u
/* What a file costs at least; charging less would let small shards fill a disk unpaid. */
#define DISK_BLOCK 4096u
/* Deleting needs space, too: the log of the database (1 MiB between checkpoints) and a
 * manifest that is being moved.  Below this nothing is taken in. */
#define RESERVE_MIN (4u * 1024u * 1024u)

struct sm_store {
    char dir[SM_PATH], shards[SM_PATH];
    uint64_t quota_bytes, reserve_bytes, stale_s;
    int lock_fd;
    struct sm_db db;
    size_t prefix_n; /* of words: "DIR: ", which clients are not told */
    char words[SM_PATH + SM_STORE_WORDS_MAX];
};

/* -- words ------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static enum sm_err
because(struct sm_store *s, enum sm_err e, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(s->words, sizeof s->words, "%s: ", s->dir);
    s->prefix_n = n > 0 ? (size_t)n : 0;
    va_start(ap, fmt);
    (void)vsnprintf(s->words + s->prefix_n, SM_STORE_WORDS_MAX, fmt, ap);
    va_end(ap);
    return e;
}

/* The same for a failure of the database, OK for none. */
static enum sm_err db_result(struct sm_store *s, enum sm_err e)
{
    return e == SM_OK ? SM_OK
                      : because(s, e, "%s: database: %s", sm_err_words(e), sm_db_words(&s->db));
}

#define DB_TRY(s, expr) SM_TRY(db_result((s), (expr)))

const char *sm_store_words(const struct sm_store *s)
{
    return s->words;
}

/* -- transactions ------------------------------------------------------------------------ */

/* End what DB_BEGIN began: commit when all went well, else undo. */
static enum sm_err end_transaction(struct sm_store *s, enum sm_err e)
{
    if (e == SM_OK) {
        e = db_result(s, sm_db_do(&s->db, DB_COMMIT));
    }
    if (e != SM_OK) {
        enum sm_err undone = sm_db_do(&s->db, DB_ROLLBACK);
        (void)undone; /* SQLite may have undone it itself; the first error is the one to tell */
    }
    return e;
}

/* -- shard files ------------------------------------------------------------------------- */

static void shard_path(const struct sm_store *s, struct sm_view id, char out[static SM_PATH])
{
    char hex[65];
    assert(id.n == 32);
    sm_hex(id.p, 32, hex);
    (void)snprintf(out, SM_PATH, "%.400s/%.2s/%s", s->shards, hex, hex);
}

static uint64_t free_bytes(const struct sm_store *s)
{
    struct statvfs v;
    return statvfs(s->dir, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : 0;
}

static enum sm_err has_room(struct sm_store *s, size_t bytes)
{
    uint64_t left = free_bytes(s);
    if (left >= s->reserve_bytes && left - s->reserve_bytes >= bytes) {
        return SM_OK;
    }
    return because(s, SM_E_NOSPACE,
                   "no space: %zu bytes wanted, %llu free, %llu of it reserved", bytes,
                   (unsigned long long)left, (unsigned long long)s->reserve_bytes);
}

static enum sm_err write_shard(struct sm_store *s, struct sm_view id, struct sm_view bytes)
{
    char path[SM_PATH];
    SM_TRY(has_room(s, bytes.n));
    shard_path(s, id, path);
    enum sm_err e = sm_file_write_atomic(path, 0600, bytes);
    return e == SM_OK
               ? SM_OK
               : because(s, e, "%s: writing a shard of %zu bytes", sm_err_words(e), bytes.n);
}

static enum sm_err read_shard(struct sm_store *s, struct sm_view id, struct sm_buf *out)
{
    char path[SM_PATH];
    uint8_t hash[32];
    shard_path(s, id, path);
    SM_TRY(sm_file_read(path, out));
    sm_sha256(sm_buf_view(out), hash);
    return sm_view_eq(id, sm_view_of(hash, 32)) ? SM_OK : SM_E_CORRUPT;
}

static enum sm_err is_used(struct sm_store *s, struct sm_view id, bool *out)
{
    struct sm_db_q q = sm_db_use(&s->db, DB_SHARD_USED);
    sm_db_bind_blob(&q, 1, id);
    bool used = sm_db_row(&q);
    DB_TRY(s, sm_db_done(&q));
    *out = used;
    return SM_OK;
}

/* For a file whose row could not be written; should this fail, too, it is a stray. */
static void delete_if_unused(struct sm_store *s, struct sm_view id)
{
    struct sm_db_q q = sm_db_use(&s->db, DB_SHARD_USED);
    sm_db_bind_blob(&q, 1, id);
    bool used = sm_db_row(&q);
    if (sm_db_done(&q) == SM_OK && !used) {
        char path[SM_PATH];
        shard_path(s, id, path);
        (void)unlink(path);
    }
}

/* Delete the files of shards that lost a user, if it was their last.  Rows go first, so a
 * crash in here is only work for the next opening. */
static enum sm_err empty_trash(struct sm_store *s)
{
    uint8_t id[32] = {0};
    struct sm_view after = {0};
    for (;;) {
        struct sm_db_q q = sm_db_use(&s->db, DB_TRASH_NEXT);
        sm_db_bind_blob(&q, 1, after);
        bool is_one = sm_db_row(&q) && sm_db_col_blob(&q, 0).n == sizeof id;
        if (is_one) {
            memcpy(id, sm_db_col_blob(&q, 0).p, sizeof id);
        }
        DB_TRY(s, sm_db_done(&q));
        if (!is_one) {
            break;
        }
        after = sm_view_of(id, sizeof id);
        bool used = true;
        char path[SM_PATH];
        SM_TRY(is_used(s, after, &used));
        shard_path(s, after, path);
        if (!used && unlink(path) != 0 && errno != ENOENT) {
            return because(s, SM_E_IO, "deleting %s: %s", path, strerror(errno));
        }
    }
    return after.n == 0 ? SM_OK : db_result(s, sm_db_do(&s->db, DB_TRASH_EMPTY));
}

/* Look at every file below shards/; `is_sweep`: delete those nobody mentions. */
static enum sm_err walk_folder(struct sm_store *s, unsigned first, bool is_sweep,
                               uint64_t *strays)
{
    char folder[SM_PATH];
    (void)snprintf(folder, sizeof folder, "%.400s/%02x", s->shards, first);
    DIR *d = opendir(folder);
    if (d == NULL) {
        return because(s, SM_E_IO, "opening %s: %s", folder, strerror(errno));
    }
    enum sm_err e = SM_OK;
    for (struct dirent *f = readdir(d); e == SM_OK && f != NULL; f = readdir(d)) {
        uint8_t id[32];
        bool used = false;
        if (f->d_name[0] == '.') {
            continue;
        }
        if (sm_unhex(f->d_name, strlen(f->d_name), id, sizeof id) == SM_OK) {
            e = is_used(s, sm_view_of(id, sizeof id), &used);
        }
        if (e == SM_OK && !used) {
            ++*strays;
            if (is_sweep) {
                (void)unlinkat(dirfd(d), f->d_name, 0); /* else it stays a stray, no harm */
            }
        }
    }
    (void)closedir(d);
    return e;
}

static enum sm_err walk_files(struct sm_store *s, bool is_sweep, uint64_t *out_strays)
{
    uint64_t strays = 0;
    for (unsigned first = 0; first < 256; first++) {
        SM_TRY(walk_folder(s, first, is_sweep, &strays));
    }
    *out_strays = strays;
    return SM_OK;
}

/* -- accounts ---------------------------------------------------------------------------- */

static uint64_t cost_of(size_t bytes)
{
    return (bytes + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
}

static enum sm_err client_bytes(struct sm_store *s, struct sm_view client, uint64_t *out)
{
    struct sm_db_q q = sm_db_use(&s->db, DB_CLIENT_BYTES);
    sm_db_bind_blob(&q, 1, client);
    uint64_t bytes = sm_db_row(&q) ? (uint64_t)sm_db_col_int(&q, 0) : 0;
    DB_TRY(s, sm_db_done(&q));
    *out = bytes;
    return SM_OK;
}

static enum sm_err charge(struct sm_store *s, struct sm_view client, int64_t bytes)
{
    struct sm_db_q q = sm_db_use(&s->db, DB_CLIENT_CHARGE);
    sm_db_bind_blob(&q, 1, client);
    sm_db_bind_int(&q, 2, bytes);
    DB_TRY(s, sm_db_run(&q));
    return bytes >= 0 ? SM_OK : db_result(s, sm_db_do(&s->db, DB_CLIENT_TIDY));
}

static enum sm_err within_quota(struct sm_store *s, struct sm_view client, uint64_t more)
{
    uint64_t used = 0;
    SM_TRY(client_bytes(s, client, &used));
    if (used + more <= s->quota_bytes) {
        return SM_OK;
    }
    return because(s, SM_E_LIMIT, "quota: %llu of %llu bytes are used, %llu more wanted",
                   (unsigned long long)used, (unsigned long long)s->quota_bytes,
                   (unsigned long long)more);
}

/* -- one request ------------------------------------------------------------------------- */

struct call {
    struct sm_store *s;
    struct sm_wall now;
    struct sm_view client;
    struct sm_store_req req;
    struct sm_buf *reply;
    struct sm_store_event *event;
};

static struct sm_view upload_of(const struct call *c)
{
    return sm_view_of(c->req.upload.b, sizeof c->req.upload.b);
}

static struct sm_view object_of(const struct call *c)
{
    return sm_view_of(c->req.object.b, sizeof c->req.object.b);
}

/* A statement whose first arguments are client and upload. */
static struct sm_db_q use_upload(struct sm_store *s, enum sm_db_statement which,
                                 struct sm_view client, struct sm_view upload)
{
    struct sm_db_q q = sm_db_use(&s->db, which);
    sm_db_bind_blob(&q, 1, client);
    sm_db_bind_blob(&q, 2, upload);
    return q;
}

static struct sm_db_q use_object(struct sm_store *s, enum sm_db_statement which,
                                 struct sm_view object)
{
    struct sm_db_q q = sm_db_use(&s->db, which);
    sm_db_bind_blob(&q, 1, object);
    return q;
}

static enum sm_err uploads_left(const struct call *c)
{
    struct sm_db_q q = use_upload(c->s, DB_UPLOAD_COUNT, c->client, upload_of(c));
    int64_t others = sm_db_row(&q) ? sm_db_col_int(&q, 0) : 0;
    DB_TRY(c->s, sm_db_done(&q));
    return others < UPLOADS_MAX
               ? SM_OK
               : because(c->s, SM_E_LIMIT, "%u uploads are open already", UPLOADS_MAX);
}

/* What this place of the upload holds so far: give it back. */
static enum sm_err unstage_one(const struct call *c)
{
    struct sm_db_q q = use_upload(c->s, DB_STAGED_GET, c->client, upload_of(c));
    sm_db_bind_int(&q, 3, c->req.index);
    sm_db_bind_int(&q, 4, c->req.segment);
    uint8_t id[32] = {0};
    int64_t charged = -1;
    if (sm_db_row(&q) && sm_db_col_blob(&q, 0).n == sizeof id) {
        memcpy(id, sm_db_col_blob(&q, 0).p, sizeof id);
        charged = sm_db_col_int(&q, 1);
    }
    DB_TRY(c->s, sm_db_done(&q));
    if (charged < 0) {
        return SM_OK;
    }
    struct sm_db_q t = sm_db_use(&c->s->db, DB_TRASH_PUT);
    sm_db_bind_blob(&t, 1, sm_view_of(id, sizeof id));
    DB_TRY(c->s, sm_db_run(&t));
    return charge(c->s, c->client, -charged);
}

static enum sm_err stage_one(const struct call *c, struct sm_view id)
{
    SM_TRY(unstage_one(c));
    struct sm_db_q u = use_upload(c->s, DB_UPLOAD_TOUCH, c->client, upload_of(c));
    sm_db_bind_int(&u, 3, (int64_t)c->now.s);
    DB_TRY(c->s, sm_db_run(&u));
    struct sm_db_q q = use_upload(c->s, DB_STAGED_PUT, c->client, upload_of(c));
    sm_db_bind_int(&q, 3, c->req.index);
    sm_db_bind_int(&q, 4, c->req.segment);
    sm_db_bind_blob(&q, 5, id);
    sm_db_bind_int(&q, 6, (int64_t)c->req.bytes.n);
    sm_db_bind_int(&q, 7, (int64_t)cost_of(c->req.bytes.n));
    DB_TRY(c->s, sm_db_run(&q));
    return charge(c->s, c->client, (int64_t)cost_of(c->req.bytes.n));
}

static enum sm_err shard_put(const struct call *c)
{
    if (c->req.index >= SM_CODE_N_MAX) {
        return because(c->s, SM_E_MALFORMED, "index %u is not below %u", c->req.index,
                       SM_CODE_N_MAX);
    }
    SM_TRY(uploads_left(c));
    SM_TRY(within_quota(c->s, c->client, cost_of(c->req.bytes.n)));
    uint8_t hash[32];
    sm_sha256(c->req.bytes, hash);
    struct sm_view id = sm_view_of(hash, sizeof hash);
    SM_TRY(write_shard(c->s, id, c->req.bytes));
    enum sm_err e = db_result(c->s, sm_db_do(&c->s->db, DB_BEGIN));
    if (e == SM_OK) {
        e = end_transaction(c->s, stage_one(c, id));
    }
    if (e != SM_OK) {
        delete_if_unused(c->s, id); /* on a full disk its space is needed at once */
        return e;
    }
    SM_TRY(empty_trash(c->s));
    return sm_buf_add(c->reply, hash, sizeof hash);
}

/* Drop what is staged of an upload, of one index or (index < 0) all. */
static enum sm_err unstage(struct sm_store *s, struct sm_view client, struct sm_view upload,
                           int64_t index)
{
    struct sm_db_q sum = use_upload(s, DB_STAGED_SUM, client, upload);
    sm_db_bind_int(&sum, 3, index);
    int64_t charged = sm_db_row(&sum) ? sm_db_col_int(&sum, 0) : 0;
    DB_TRY(s, sm_db_done(&sum));
    static const enum sm_db_statement steps[] = {DB_STAGED_TRASH, DB_STAGED_DROP};
    for (size_t i = 0; i < SM_COUNT(steps); i++) {
        struct sm_db_q q = use_upload(s, steps[i], client, upload);
        sm_db_bind_int(&q, 3, index);
        DB_TRY(s, sm_db_run(&q));
    }
    struct sm_db_q q = use_upload(s, DB_UPLOAD_DROP, client, upload);
    DB_TRY(s, sm_db_run(&q));
    return charged == 0 ? SM_OK : charge(s, client, -charged);
}

static enum sm_err drop_upload(struct sm_store *s, struct sm_view client, struct sm_view upload)
{
    DB_TRY(s, sm_db_do(&s->db, DB_BEGIN));
    SM_TRY(end_transaction(s, unstage(s, client, upload, -1)));
    return empty_trash(s);
}

/* Every segment's shard of this index must be staged, and be the one the manifest names. */
static enum sm_err column_is_complete(const struct call *c, const struct sm_manifest *m)
{
    struct sm_db_q q = use_upload(c->s, DB_STAGED_COLUMN, c->client, upload_of(c));
    sm_db_bind_int(&q, 3, c->req.index);
    uint32_t next = 0;
    bool is_right = true;
    while (is_right && sm_db_row(&q)) {
        struct sm_shard_id want;
        is_right = next < sm_manifest_segments(m) && sm_db_col_int(&q, 0) == next;
        if (is_right) {
            sm_manifest_shard_id(m, next, c->req.index, &want);
            is_right = sm_view_eq(sm_db_col_blob(&q, 1), sm_view_of(want.b, sizeof want.b));
            next += is_right;
        }
    }
    DB_TRY(c->s, sm_db_done(&q));
    if (is_right && next == sm_manifest_segments(m)) {
        return SM_OK;
    }
    return because(c->s, SM_E_STATE, "shard %u of segment %u was not staged", c->req.index,
                   next);
}

static enum sm_err has_column(const struct call *c, struct sm_view object, bool *out)
{
    struct sm_db_q q = use_object(c->s, DB_COLUMN_HAS, object);
    sm_db_bind_int(&q, 2, c->req.index);
    bool has = sm_db_row(&q);
    DB_TRY(c->s, sm_db_done(&q));
    *out = has;
    return SM_OK;
}

/* What was staged becomes the object's; its charge goes along, and the manifest's is added. */
static enum sm_err adopt(const struct call *c, struct sm_view object)
{
    struct sm_db_q o = use_object(c->s, DB_OBJECT_PUT, object);
    sm_db_bind_blob(&o, 2, c->req.bytes);
    sm_db_bind_int(&o, 3, (int64_t)c->now.s);
    DB_TRY(c->s, sm_db_run(&o));
    struct sm_db_q sum = use_upload(c->s, DB_STAGED_SUM, c->client, upload_of(c));
    sm_db_bind_int(&sum, 3, c->req.index);
    int64_t staged = sm_db_row(&sum) ? sm_db_col_int(&sum, 0) : 0;
    DB_TRY(c->s, sm_db_done(&sum));
    int64_t manifest = (int64_t)cost_of(c->req.bytes.n);
    struct sm_db_q col = use_object(c->s, DB_COLUMN_PUT, object);
    sm_db_bind_int(&col, 2, c->req.index);
    sm_db_bind_blob(&col, 3, c->client);
    sm_db_bind_int(&col, 4, staged + manifest);
    DB_TRY(c->s, sm_db_run(&col));
    struct sm_db_q a = use_upload(c->s, DB_SHARD_ADOPT, c->client, upload_of(c));
    sm_db_bind_int(&a, 3, c->req.index);
    sm_db_bind_blob(&a, 4, object);
    DB_TRY(c->s, sm_db_run(&a));
    /* unstage() gives back the charge of what is staged; the column takes it over. */
    return charge(c->s, c->client, staged + manifest);
}

static enum sm_err commit_column(const struct call *c, struct sm_view object, bool has)
{
    if (!has) {
        SM_TRY(adopt(c, object));
    }
    return unstage(c->s, c->client, upload_of(c), c->req.index);
}

static enum sm_err held_of(struct sm_store *s, struct sm_view object, uint64_t *held,
                           uint64_t *bytes)
{
    uint64_t map = 0, sum = 0;
    struct sm_db_q q = use_object(s, DB_COLUMN_ALL, object);
    while (sm_db_row(&q)) {
        map |= UINT64_C(1) << (sm_db_col_int(&q, 0) & 63);
    }
    DB_TRY(s, sm_db_done(&q));
    struct sm_db_q b = use_object(s, DB_SHARD_SUM, object);
    sum = sm_db_row(&b) ? (uint64_t)sm_db_col_int(&b, 0) : 0;
    DB_TRY(s, sm_db_done(&b));
    *held = map;
    *bytes = sum;
    return SM_OK;
}

static enum sm_err commit(const struct call *c)
{
    struct sm_manifest m;
    struct sm_data_id id;
    bool has = false;
    SM_TRY(sm_manifest_read(c->req.bytes, &m));
    if (c->req.index >= m.code.n) {
        return because(c->s, SM_E_MALFORMED, "index %u is not below n = %u", c->req.index,
                       m.code.n);
    }
    sm_manifest_id(c->req.bytes, &id);
    struct sm_view object = sm_view_of(id.b, sizeof id.b);
    SM_TRY(has_column(c, object, &has));
    if (!has) {
        SM_TRY(column_is_complete(c, &m));
        SM_TRY(within_quota(c->s, c->client, cost_of(c->req.bytes.n)));
        SM_TRY(has_room(c->s, c->req.bytes.n));
    }
    DB_TRY(c->s, sm_db_do(&c->s->db, DB_BEGIN));
    SM_TRY(end_transaction(c->s, commit_column(c, object, has)));
    SM_TRY(empty_trash(c->s));
    struct sm_store_event event = {.news = SM_STORE_HOLDS, .object = id};
    SM_TRY(held_of(c->s, object, &event.held, &event.bytes));
    *c->event = event;
    return sm_buf_add(c->reply, id.b, sizeof id.b);
}

static enum sm_err abort_upload(const struct call *c)
{
    return drop_upload(c->s, c->client, upload_of(c));
}

static enum sm_err manifest_get(const struct call *c)
{
    uint64_t bytes = 0;
    struct sm_store_manifest_reply reply = {0};
    SM_TRY(held_of(c->s, object_of(c), &reply.held, &bytes));
    struct sm_db_q q = use_object(c->s, DB_OBJECT_GET, object_of(c));
    enum sm_err e = SM_E_NOTFOUND;
    if (sm_db_row(&q)) {
        uint8_t *room = NULL;
        reply.manifest = sm_db_col_blob(&q, 0);
        e = sm_buf_room(c->reply, reply.manifest.n + 16, &room);
        if (e == SM_OK) {
            struct sm_wr w = sm_wr_init(room, reply.manifest.n + 16);
            e = sm_store_manifest_reply_write(&w, &reply);
            c->reply->n += w.n;
        }
    }
    DB_TRY(c->s, sm_db_done(&q));
    return e == SM_E_NOTFOUND ? because(c->s, e, "no such object here") : e;
}

static enum sm_err shard_get(const struct call *c)
{
    uint8_t id[32];
    struct sm_db_q q = use_object(c->s, DB_SHARD_GET, object_of(c));
    sm_db_bind_int(&q, 2, c->req.index);
    sm_db_bind_int(&q, 3, c->req.segment);
    bool is_here = sm_db_row(&q) && sm_db_col_blob(&q, 0).n == sizeof id;
    if (is_here) {
        memcpy(id, sm_db_col_blob(&q, 0).p, sizeof id);
    }
    DB_TRY(c->s, sm_db_done(&q));
    if (!is_here) {
        return because(c->s, SM_E_NOTFOUND, "no such shard here");
    }
    enum sm_err e = read_shard(c->s, sm_view_of(id, sizeof id), c->reply);
    if (e == SM_OK) {
        return SM_OK;
    }
    char hex[65];
    sm_hex(id, sizeof id, hex);
    e = e == SM_E_NOTFOUND ? SM_E_CORRUPT : e; /* the database says it is here */
    return because(c->s, e, "%s: shard file %s", sm_err_words(e), hex);
}

/* Give back what each client was charged for the object. */
static enum sm_err uncharge_columns(struct sm_store *s, struct sm_view object)
{
    for (unsigned index = 0; index < SM_CODE_N_MAX; index++) {
        uint8_t client[CLIENT_ID_MAX];
        size_t client_n = 0;
        int64_t charged = 0;
        struct sm_db_q q = use_object(s, DB_COLUMN_ALL, object);
        while (sm_db_row(&q)) {
            struct sm_view v = sm_db_col_blob(&q, 1);
            if (sm_db_col_int(&q, 0) == index && v.n <= sizeof client) {
                memcpy(client, v.p, v.n);
                client_n = v.n;
                charged = sm_db_col_int(&q, 2);
            }
        }
        DB_TRY(s, sm_db_done(&q));
        if (client_n > 0) {
            SM_TRY(charge(s, sm_view_of(client, client_n), -charged));
        }
    }
    return SM_OK;
}

static enum sm_err drop_object(struct sm_store *s, struct sm_view object)
{
    static const enum sm_db_statement steps[] = {DB_SHARD_TRASH, DB_SHARD_DROP, DB_COLUMN_DROP,
                                                 DB_OBJECT_DROP};
    SM_TRY(uncharge_columns(s, object));
    for (size_t i = 0; i < SM_COUNT(steps); i++) {
        struct sm_db_q q = use_object(s, steps[i], object);
        DB_TRY(s, sm_db_run(&q));
    }
    return SM_OK;
}

static enum sm_err may_remove(const struct call *c)
{
    struct sm_db_q q = use_object(c->s, DB_OBJECT_GET, object_of(c));
    struct sm_manifest m;
    bool is_here = sm_db_row(&q);
    enum sm_err e = is_here ? sm_manifest_read(sm_db_col_blob(&q, 0), &m) : SM_E_NOTFOUND;
    DB_TRY(c->s, sm_db_done(&q));
    if (e != SM_OK) {
        return because(c->s, e, "%s", is_here ? "the manifest is damaged" : "no such object");
    }
    uint8_t hash[32];
    sm_remove_token_hash(&c->req.token, hash);
    return sm_secret_eq(hash, m.remove_hash, sizeof hash)
               ? SM_OK
               : because(c->s, SM_E_REFUSED, "the remove token is not this object's");
}

static enum sm_err remove_object(const struct call *c)
{
    SM_TRY(may_remove(c));
    DB_TRY(c->s, sm_db_do(&c->s->db, DB_BEGIN));
    SM_TRY(end_transaction(c->s, drop_object(c->s, object_of(c))));
    *c->event = (struct sm_store_event){.news = SM_STORE_DROPPED, .object = c->req.object};
    return empty_trash(c->s);
}

static enum sm_err stat_reply(const struct call *c)
{
    struct sm_store_stat st;
    uint8_t room[SM_STORE_STAT_BYTES];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    SM_TRY(sm_store_stat(c->s, c->client, &st));
    SM_TRY(sm_store_stat_write(&w, &st));
    return sm_buf_add(c->reply, room, w.n);
}

static enum sm_err dispatch(const struct call *c)
{
    switch (c->req.op) {
    case SM_STORE_SHARD_PUT:
        return shard_put(c);
    case SM_STORE_COMMIT:
        return commit(c);
    case SM_STORE_ABORT:
        return abort_upload(c);
    case SM_STORE_MANIFEST_GET:
        return manifest_get(c);
    case SM_STORE_SHARD_GET:
        return shard_get(c);
    case SM_STORE_REMOVE:
        return remove_object(c);
    case SM_STORE_STAT:
        return stat_reply(c);
    }
    return SM_E_UNSUPPORTED;
}

static enum sm_err read_and_dispatch(struct call *c, struct sm_view body)
{
    if (c->client.n == 0 || c->client.n > CLIENT_ID_MAX) {
        return SM_E_INVALID;
    }
    SM_TRY(sm_store_req_read(body, &c->req));
    return dispatch(c);
}

enum sm_err sm_store_handle(struct sm_store *s, struct sm_wall now, struct sm_view client,
                            struct sm_view body, struct sm_buf *reply,
                            struct sm_store_event *event)
{
    struct call c = {.s = s, .now = now, .client = client, .reply = reply, .event = event};
    *event = (struct sm_store_event){0};
    s->prefix_n = 0;
    sm_buf_clear(reply);
    enum sm_err e = read_and_dispatch(&c, body);
    if (e == SM_OK) {
        return SM_OK;
    }
    if (s->prefix_n == 0) {
        (void)because(s, e, "%s", sm_err_words(e));
    }
    const char *words = s->words + s->prefix_n;
    sm_buf_clear(reply);
    enum sm_err told = sm_buf_add(reply, words, strlen(words));
    (void)told; /* the error itself arrives even without words */
    return e;
}

/* -- open and close ---------------------------------------------------------------------- */

static enum sm_err make_folders(struct sm_store *s)
{
    SM_TRY(sm_dir_make(s->shards, 0700));
    bool is_new = false;
    for (unsigned first = 0; first < 256; first++) {
        char folder[SM_PATH];
        (void)snprintf(folder, sizeof folder, "%.400s/%02x", s->shards, first);
        if (!sm_file_exists(folder)) {
            SM_TRY(sm_dir_make(folder, 0700));
            is_new = true;
        }
    }
    return is_new ? sm_dir_sync(s->shards) : SM_OK;
}

static enum sm_err open_db(struct sm_store *s)
{
    char path[SM_PATH];
    SM_TRY(sm_path_join(s->dir, "state.db", path));
    enum sm_err e = sm_db_open(&s->db, path);
    if (e == SM_E_VERSION) {
        return because(s, e, "made by a later version of seemesh; use that one");
    }
    return db_result(s, e);
}

static enum sm_err recover(struct sm_store *s, struct sm_wall now)
{
    uint64_t strays = 0;
    unsigned dropped = 0;
    SM_TRY(empty_trash(s));
    SM_TRY(walk_files(s, true, &strays));
    return sm_store_sweep(s, now, &dropped);
}

static enum sm_err open_in(struct sm_store *s, struct sm_wall now)
{
    char path[SM_PATH];
    enum sm_err e = sm_dir_make(s->dir, 0700);
    if (e != SM_OK) {
        return because(s, e, "making the folder: %s", sm_err_words(e));
    }
    SM_TRY(sm_path_join(s->dir, "lock", path));
    e = sm_file_lock(path, &s->lock_fd);
    if (e != SM_OK) {
        return because(s, e, "%s",
                       e == SM_E_BUSY ? "in use by another process" : sm_err_words(e));
    }
    SM_TRY(sm_path_join(s->dir, "shards", s->shards));
    SM_TRY(open_db(s)); /* before anything is written: it may be a later format */
    e = make_folders(s);
    if (e != SM_OK) {
        return because(s, e, "making the shard folders: %s", sm_err_words(e));
    }
    return recover(s, now);
}

enum sm_err sm_store_open(const struct sm_store_cfg *cfg, struct sm_wall now,
                          struct sm_store **out, struct sm_buf *words)
{
    struct sm_store *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return SM_E_NOMEM;
    }
    s->lock_fd = -1;
    s->quota_bytes = cfg->quota_bytes;
    s->reserve_bytes = cfg->reserve_bytes > RESERVE_MIN ? cfg->reserve_bytes : RESERVE_MIN;
    s->stale_s = cfg->stale_s;
    /* "/shards/ab/", a hash and a temporary file's ending must fit behind it. */
    int n = snprintf(s->dir, sizeof s->dir, "%s", cfg->dir);
    enum sm_err e = n > 0 && n <= 360 ? open_in(s, now) : SM_E_LIMIT;
    if (e == SM_OK) {
        *out = s;
        return SM_OK;
    }
    if (words != NULL) {
        sm_buf_clear(words);
        enum sm_err told = sm_buf_printf(words, "%s", s->words);
        (void)told; /* the error itself arrives even without words */
    }
    sm_store_close(s);
    return e;
}

void sm_store_close(struct sm_store *s)
{
    if (s == NULL) {
        return;
    }
    sm_db_close(&s->db);
    if (s->lock_fd >= 0) {
        (void)close(s->lock_fd);
    }
    free(s);
}

/* -- housekeeping ------------------------------------------------------------------------ */

enum sm_err sm_store_sweep(struct sm_store *s, struct sm_wall now, unsigned *out_dropped)
{
    unsigned dropped = 0;
    for (;;) {
        uint8_t client[CLIENT_ID_MAX], upload[sizeof(struct sm_upload_id)];
        size_t client_n = 0;
        struct sm_db_q q = sm_db_use(&s->db, DB_UPLOAD_STALE);
        sm_db_bind_int(&q, 1, now.s > s->stale_s ? (int64_t)(now.s - s->stale_s) : 0);
        if (sm_db_row(&q) && sm_db_col_blob(&q, 0).n <= sizeof client &&
            sm_db_col_blob(&q, 1).n == sizeof upload) {
            client_n = sm_db_col_blob(&q, 0).n;
            memcpy(client, sm_db_col_blob(&q, 0).p, client_n);
            memcpy(upload, sm_db_col_blob(&q, 1).p, sizeof upload);
        }
        DB_TRY(s, sm_db_done(&q));
        if (client_n == 0) {
            break;
        }
        SM_TRY(drop_upload(s, sm_view_of(client, client_n), sm_view_of(upload, sizeof upload)));
        dropped++;
    }
    *out_dropped = dropped;
    return SM_OK;
}

static enum sm_err next_object(struct sm_store *s, struct sm_view after,
                               struct sm_store_object *out, bool *is_sound, bool *is_one)
{
    struct sm_db_q q = sm_db_use(&s->db, DB_OBJECT_NEXT);
    sm_db_bind_blob(&q, 1, after);
    bool found = sm_db_row(&q) && sm_db_col_blob(&q, 0).n == sizeof out->id.b;
    struct sm_store_object o = {0};
    if (found) {
        struct sm_manifest m = {0};
        struct sm_data_id id;
        struct sm_view bytes = sm_db_col_blob(&q, 1);
        memcpy(o.id.b, sm_db_col_blob(&q, 0).p, sizeof o.id.b);
        sm_manifest_id(bytes, &id);
        *is_sound = sm_data_id_eq(&id, &o.id) && sm_manifest_read(bytes, &m) == SM_OK;
        o.size = m.size;
        o.code = m.code;
        o.created.s = (uint64_t)sm_db_col_int(&q, 2);
    }
    DB_TRY(s, sm_db_done(&q));
    if (found) {
        SM_TRY(held_of(s, sm_view_of(o.id.b, sizeof o.id.b), &o.held, &o.bytes));
        *out = o;
    }
    *is_one = found;
    return SM_OK;
}

enum sm_err sm_store_list(struct sm_store *s, const struct sm_data_id *after,
                          struct sm_store_object out[], size_t max, size_t *out_n)
{
    struct sm_view from = after == NULL ? (struct sm_view){0} : sm_view_of(after->b, 32);
    size_t n = 0;
    for (bool is_one = true, is_sound = true; n < max;) {
        SM_TRY(next_object(s, from, &out[n], &is_sound, &is_one));
        if (!is_one) {
            break;
        }
        from = sm_view_of(out[n].id.b, 32);
        n++;
    }
    *out_n = n;
    return SM_OK;
}

enum sm_err sm_store_stat(struct sm_store *s, struct sm_view client, struct sm_store_stat *out)
{
    struct sm_store_stat st = {.client_quota = s->quota_bytes};
    struct sm_db_q q = sm_db_use(&s->db, DB_STAT);
    if (sm_db_row(&q)) {
        st.objects = (uint64_t)sm_db_col_int(&q, 0);
        st.shards = (uint64_t)sm_db_col_int(&q, 1);
        st.bytes = (uint64_t)sm_db_col_int(&q, 2);
    }
    DB_TRY(s, sm_db_done(&q));
    SM_TRY(client_bytes(s, client, &st.client_bytes));
    uint64_t left = free_bytes(s);
    st.free_bytes = left > s->reserve_bytes ? left - s->reserve_bytes : 0;
    *out = st;
    return SM_OK;
}

/* -- check ------------------------------------------------------------------------------- */

static enum sm_err check_manifests(struct sm_store *s, struct sm_store_report *r)
{
    struct sm_store_object o = {0};
    struct sm_view after = {0};
    for (bool is_one = true, is_sound = true;; r->objects++) {
        SM_TRY(next_object(s, after, &o, &is_sound, &is_one));
        if (!is_one) {
            return SM_OK;
        }
        r->damaged += !is_sound;
        after = sm_view_of(o.id.b, sizeof o.id.b);
    }
}

static enum sm_err check_shards(struct sm_store *s, sm_store_fault_fn *fault, void *ctx,
                                struct sm_store_report *r)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf bytes = SM_BUF(SM_SHARD_MAX);
    struct sm_db_q q = sm_db_use(&s->db, DB_SHARD_EVERY);
    while (sm_db_row(&q)) {
        struct sm_view id = sm_db_col_blob(&q, 3);
        struct sm_data_id object = {0};
        enum sm_err e = id.n == 32 ? read_shard(s, id, &bytes) : SM_E_CORRUPT;
        r->shards++;
        r->bytes += e == SM_OK ? bytes.n : 0;
        r->missing += e == SM_E_NOTFOUND;
        r->damaged += e != SM_OK && e != SM_E_NOTFOUND;
        if (e != SM_OK && fault != NULL && sm_db_col_blob(&q, 0).n == sizeof object.b) {
            memcpy(object.b, sm_db_col_blob(&q, 0).p, sizeof object.b);
            fault(ctx, &object, (unsigned)sm_db_col_int(&q, 1), (uint32_t)sm_db_col_int(&q, 2),
                  e);
        }
    }
    return db_result(s, sm_db_done(&q));
}

enum sm_err sm_store_check(struct sm_store *s, sm_store_fault_fn *fault, void *ctx,
                           struct sm_store_report *out)
{
    struct sm_store_report r = {0};
    struct sm_db_q sound = sm_db_use(&s->db, DB_SOUND);
    r.is_database_sound = sm_db_row(&sound) && sm_db_col_is_text(&sound, 0, "ok");
    DB_TRY(s, sm_db_done(&sound));
    struct sm_db_q accounts = sm_db_use(&s->db, DB_ACCOUNTS);
    r.accounts = sm_db_row(&accounts) ? (uint64_t)sm_db_col_int(&accounts, 0) : 0;
    DB_TRY(s, sm_db_done(&accounts));
    SM_TRY(check_manifests(s, &r));
    SM_TRY(check_shards(s, fault, ctx, &r));
    SM_TRY(walk_files(s, false, &r.strays));
    *out = r;
    return SM_OK;
}
