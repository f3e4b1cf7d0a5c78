// SPDX-License-Identifier: Apache-2.0
#pragma once
/* db: the store's SQLite database: its tables, its statements, and one way to run them.
 *
 *     sm_db_use(d, DB_STAGED_GET);             reset, unbind
 *     sm_db_bind_blob(d, 1, upload);
 *     while (sm_db_row(d)) { sm_db_col_...; }
 *     SM_TRY(sm_db_done(d));                   the error of any step since sm_db_use
 *
 * One statement runs at a time in each `struct sm_db_q`; nested loops use one each.
 *
 * Errors:  NOSPACE, IO, CORRUPT, BUSY, NOMEM; VERSION for a database of a later format.
 */
#include "base/bytes.h"
#include "base/err.h"

#define SM_DB_STATEMENTS(X)                                                                    \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                \
    X(COMMIT, "COMMIT")                                                                        \
    X(ROLLBACK, "ROLLBACK")                                                                    \
    X(CLIENT_BYTES, "SELECT bytes FROM clients WHERE id = ?1")                                 \
    X(CLIENT_CHARGE, "INSERT INTO clients VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE "         \
                     "SET bytes = bytes + excluded.bytes")                                     \
    X(CLIENT_TIDY, "DELETE FROM clients WHERE bytes = 0")                                      \
    X(UPLOAD_COUNT, "SELECT count(*) FROM uploads WHERE client = ?1 AND id <> ?2")             \
    X(UPLOAD_TOUCH, "INSERT INTO uploads VALUES (?1, ?2, ?3) ON CONFLICT (client, id) "        \
                    "DO UPDATE SET touched = excluded.touched")                                \
    X(UPLOAD_STALE, "SELECT client, id FROM uploads WHERE touched < ?1 LIMIT 1")               \
    X(UPLOAD_DROP, "DELETE FROM uploads WHERE client = ?1 AND id = ?2 AND NOT EXISTS "         \
                   "(SELECT 1 FROM staged WHERE client = ?1 AND upload = ?2)")                 \
    X(STAGED_GET, "SELECT shard, charged FROM staged WHERE client = ?1 AND upload = ?2 "       \
                  "AND idx = ?3 AND segment = ?4")                                             \
    X(STAGED_PUT, "INSERT OR REPLACE INTO staged VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")         \
    X(STAGED_COLUMN, "SELECT segment, shard FROM staged WHERE client = ?1 AND upload = ?2 "    \
                     "AND idx = ?3 ORDER BY segment")                                          \
    X(STAGED_SUM, "SELECT coalesce(sum(charged), 0) FROM staged WHERE client = ?1 "            \
                  "AND upload = ?2 AND (idx = ?3 OR ?3 < 0)")                                  \
    X(STAGED_TRASH, "INSERT OR IGNORE INTO trash SELECT shard FROM staged WHERE client = ?1 "  \
                    "AND upload = ?2 AND (idx = ?3 OR ?3 < 0)")                                \
    X(STAGED_DROP, "DELETE FROM staged WHERE client = ?1 AND upload = ?2 "                     \
                   "AND (idx = ?3 OR ?3 < 0)")                                                 \
    X(OBJECT_GET, "SELECT manifest, created FROM objects WHERE id = ?1")                       \
    X(OBJECT_PUT, "INSERT OR IGNORE INTO objects VALUES (?1, ?2, ?3)")                         \
    X(OBJECT_DROP, "DELETE FROM objects WHERE id = ?1")                                        \
    X(OBJECT_NEXT, "SELECT id, manifest, created FROM objects WHERE id > ?1 ORDER BY id "      \
                   "LIMIT 1")                                                                  \
    X(COLUMN_HAS, "SELECT 1 FROM columns WHERE object = ?1 AND idx = ?2")                      \
    X(COLUMN_PUT, "INSERT INTO columns VALUES (?1, ?2, ?3, ?4)")                               \
    X(COLUMN_ALL, "SELECT idx, client, charged FROM columns WHERE object = ?1")                \
    X(COLUMN_DROP, "DELETE FROM columns WHERE object = ?1")                                    \
    X(SHARD_GET, "SELECT shard FROM shards WHERE object = ?1 AND idx = ?2 AND segment = ?3")   \
    X(SHARD_ADOPT, "INSERT INTO shards SELECT ?4, idx, segment, shard, bytes FROM staged "     \
                   "WHERE client = ?1 AND upload = ?2 AND idx = ?3")                           \
    X(SHARD_SUM, "SELECT coalesce(sum(bytes), 0) FROM shards WHERE object = ?1")               \
    X(SHARD_TRASH, "INSERT OR IGNORE INTO trash SELECT shard FROM shards WHERE object = ?1")   \
    X(SHARD_DROP, "DELETE FROM shards WHERE object = ?1")                                      \
    X(SHARD_EVERY, "SELECT object, idx, segment, shard FROM shards")                           \
    X(SHARD_USED, "SELECT 1 FROM shards WHERE shard = ?1 UNION ALL "                           \
                  "SELECT 1 FROM staged WHERE shard = ?1 LIMIT 1")                             \
    X(TRASH_NEXT, "SELECT shard FROM trash WHERE shard > ?1 ORDER BY shard LIMIT 1")           \
    X(TRASH_PUT, "INSERT OR IGNORE INTO trash VALUES (?1)")                                    \
    X(TRASH_EMPTY, "DELETE FROM trash")                                                        \
    X(STAT, "SELECT (SELECT count(*) FROM objects), (SELECT count(*) FROM shards), "           \
            "(SELECT coalesce(sum(bytes), 0) FROM shards) + "                                  \
            "(SELECT coalesce(sum(bytes), 0) FROM staged)")                                    \
    X(ACCOUNTS, "SELECT count(*) FROM clients AS c WHERE bytes <> "                            \
                "(SELECT coalesce(sum(charged), 0) FROM columns WHERE client = c.id) + "       \
                "(SELECT coalesce(sum(charged), 0) FROM staged WHERE client = c.id)")          \
    X(SOUND, "PRAGMA quick_check(1)")

#define SM_DB_ENUM(name, sql) DB_##name,
enum sm_db_statement { SM_DB_STATEMENTS(SM_DB_ENUM) DB_COUNT };
#undef SM_DB_ENUM

struct sqlite3;
struct sqlite3_stmt;

struct sm_db {
    struct sqlite3 *db;
    struct sqlite3_stmt *stmt[DB_COUNT];
};

/* One running statement. */
struct sm_db_q {
    struct sm_db *d;
    struct sqlite3_stmt *stmt;
    int rc;
};

enum sm_err sm_db_open(struct sm_db *d, const char *path) SM_MUST;
void sm_db_close(struct sm_db *d);
const char *sm_db_words(const struct sm_db *d); /* what SQLite says of the last failure */

struct sm_db_q sm_db_use(struct sm_db *d, enum sm_db_statement which);
void sm_db_bind_blob(struct sm_db_q *q, int at, struct sm_view v); /* until done */
void sm_db_bind_int(struct sm_db_q *q, int at, int64_t v);
bool sm_db_row(struct sm_db_q *q); /* step; false at the end and on failure */
struct sm_view sm_db_col_blob(const struct sm_db_q *q, int at); /* until the next step */
int64_t sm_db_col_int(const struct sm_db_q *q, int at);
bool sm_db_col_is_text(const struct sm_db_q *q, int at, const char *text);
enum sm_err sm_db_done(struct sm_db_q *q) SM_MUST; /* ends the statement */
enum sm_err sm_db_run(struct sm_db_q *q) SM_MUST;  /* step to the end, then done */
enum sm_err sm_db_do(struct sm_db *d, enum sm_db_statement which) SM_MUST; /* no arguments */
