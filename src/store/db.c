// SPDX-License-Identifier: Apache-2.0
#include "store/db.h"

#include <errno.h>
#include <string.h>

#include <sqlite3.h>

#define FORMAT         1
#define APPLICATION_ID 0x534d5354 /* "SMST" */

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE clients (id BLOB PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE uploads (client BLOB, id BLOB, touched INTEGER NOT NULL,"
    " PRIMARY KEY (client, id)) WITHOUT ROWID;"
    "CREATE TABLE staged (client BLOB, upload BLOB, idx INTEGER, segment INTEGER,"
    " shard BLOB NOT NULL, bytes INTEGER NOT NULL, charged INTEGER NOT NULL,"
    " PRIMARY KEY (client, upload, idx, segment)) WITHOUT ROWID;"
    "CREATE INDEX staged_by_shard ON staged (shard);"
    "CREATE TABLE objects (id BLOB PRIMARY KEY, manifest BLOB NOT NULL,"
    " created INTEGER NOT NULL);"
    "CREATE TABLE columns (object BLOB, idx INTEGER, client BLOB NOT NULL,"
    " charged INTEGER NOT NULL, PRIMARY KEY (object, idx)) WITHOUT ROWID;"
    "CREATE TABLE shards (object BLOB, idx INTEGER, segment INTEGER, shard BLOB NOT NULL,"
    " bytes INTEGER NOT NULL, PRIMARY KEY (object, idx, segment)) WITHOUT ROWID;"
    "CREATE INDEX shards_by_shard ON shards (shard);"
    "CREATE TABLE trash (shard BLOB PRIMARY KEY) WITHOUT ROWID;"
    "PRAGMA application_id = 1397576532;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

_Static_assert(APPLICATION_ID == 1397576532 && FORMAT == 1, "the schema says the same");

/* A lock file keeps other processes out, so SQLite need not share memory with them. */
static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE;"
                               "PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA wal_autocheckpoint = 256;"
                               "PRAGMA journal_size_limit = 1048576;";

static enum sm_err err_of(const struct sm_db *d, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return SM_OK;
    case SQLITE_FULL:
        return SM_E_NOSPACE;
    case SQLITE_NOMEM:
        return SM_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return SM_E_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return SM_E_CORRUPT;
    case SQLITE_IOERR: {
        int err = sqlite3_system_errno(d->db);
        return err == ENOSPC || err == EDQUOT || err == EFBIG ? SM_E_NOSPACE : SM_E_IO;
    }
    default:
        return SM_E_IO;
    }
}

static enum sm_err pragma_int(struct sm_db *d, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(d->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_finalize(stmt);
    return err_of(d, rc);
}

static enum sm_err check_format(struct sm_db *d)
{
    int64_t format = 0, application = 0, tables = 0;
    SM_TRY(pragma_int(d, "PRAGMA user_version", &format));
    SM_TRY(pragma_int(d, "PRAGMA application_id", &application));
    SM_TRY(pragma_int(d, "SELECT count(*) FROM sqlite_master", &tables));
    if (tables == 0 && format == 0) {
        return err_of(d, sqlite3_exec(d->db, schema, NULL, NULL, NULL));
    }
    if (application != APPLICATION_ID) {
        return SM_E_CORRUPT;
    }
    return format == FORMAT ? SM_OK : SM_E_VERSION;
}

static enum sm_err prepare_all(struct sm_db *d)
{
#define SQL(name, sql) sql,
    static const char *const text[] = {SM_DB_STATEMENTS(SQL)};
#undef SQL
    for (size_t i = 0; i < DB_COUNT; i++) {
        SM_TRY(err_of(d, sqlite3_prepare_v3(d->db, text[i], -1, SQLITE_PREPARE_PERSISTENT,
                                            &d->stmt[i], NULL)));
    }
    return SM_OK;
}

enum sm_err sm_db_open(struct sm_db *d, const char *path)
{
    *d = (struct sm_db){0};
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    SM_TRY(err_of(d, sqlite3_open_v2(path, &d->db, flags, NULL)));
    SM_TRY(err_of(d, sqlite3_exec(d->db, settings, NULL, NULL, NULL)));
    SM_TRY(check_format(d));
    return prepare_all(d);
}

void sm_db_close(struct sm_db *d)
{
    for (size_t i = 0; i < DB_COUNT; i++) {
        sqlite3_finalize(d->stmt[i]);
    }
    (void)sqlite3_close(d->db);
    *d = (struct sm_db){0};
}

const char *sm_db_words(const struct sm_db *d)
{
    return sqlite3_errmsg(d->db);
}

struct sm_db_q sm_db_use(struct sm_db *d, enum sm_db_statement which)
{
    sqlite3_reset(d->stmt[which]);
    sqlite3_clear_bindings(d->stmt[which]);
    return (struct sm_db_q){.d = d, .stmt = d->stmt[which], .rc = SQLITE_OK};
}

void sm_db_bind_blob(struct sm_db_q *q, int at, struct sm_view v)
{
    int rc = v.n == 0 ? sqlite3_bind_zeroblob(q->stmt, at, 0)
                      : sqlite3_bind_blob64(q->stmt, at, v.p, v.n, SQLITE_STATIC);
    q->rc = q->rc == SQLITE_OK ? rc : q->rc;
}

void sm_db_bind_int(struct sm_db_q *q, int at, int64_t v)
{
    int rc = sqlite3_bind_int64(q->stmt, at, v);
    q->rc = q->rc == SQLITE_OK ? rc : q->rc;
}

bool sm_db_row(struct sm_db_q *q)
{
    if (q->rc == SQLITE_OK || q->rc == SQLITE_ROW) {
        q->rc = sqlite3_step(q->stmt);
    }
    return q->rc == SQLITE_ROW;
}

struct sm_view sm_db_col_blob(const struct sm_db_q *q, int at)
{
    const void *p = sqlite3_column_blob(q->stmt, at);
    return sm_view_of(p, p == NULL ? 0 : (size_t)sqlite3_column_bytes(q->stmt, at));
}

int64_t sm_db_col_int(const struct sm_db_q *q, int at)
{
    return sqlite3_column_int64(q->stmt, at);
}

bool sm_db_col_is_text(const struct sm_db_q *q, int at, const char *text)
{
    const unsigned char *got = sqlite3_column_text(q->stmt, at);
    return got != NULL && strcmp((const char *)got, text) == 0;
}

enum sm_err sm_db_done(struct sm_db_q *q)
{
    enum sm_err e = err_of(q->d, q->rc);
    sqlite3_reset(q->stmt);
    q->rc = SQLITE_MISUSE;
    return e;
}

enum sm_err sm_db_run(struct sm_db_q *q)
{
    while (sm_db_row(q)) {
    }
    return sm_db_done(q);
}

enum sm_err sm_db_do(struct sm_db *d, enum sm_db_statement which)
{
    struct sm_db_q q = sm_db_use(d, which);
    return sm_db_run(&q);
}
