// SPDX-License-Identifier: Apache-2.0
#pragma once
/* cache: compiled modules by content, and the modules that were refused.
 *
 * An entry is a record, and for a module that compiled also a shared object.  The record holds
 * the object's hash and a MAC under a key of this node, so that neither a damaged disk nor
 * somebody who can write the directory can put code into a worker.  Files appear whole: written
 * beside, synced, renamed, directory synced.  A lock covers the keys that share
 * a first byte, so their number is fixed.
 *
 *     KEY.rec  KEY.so  lock.XX         KEY in hexadecimal, XX its first byte
 *
 * Errors: NOTFOUND for what is not there, has expired or fails its MAC; IO and NOSPACE.
 */
#include "base/bytes.h"
#include "base/time.h"
#include "see/wasm.h"

struct sm_see_key {
    uint8_t b[32];
};

#define SM_SEE_ENGINE_MAX 160

struct sm_see_record {
    enum sm_err err; /* SM_OK, or why there is no object: MODULE, COMPILE or LIMIT */
    uint8_t so_hash[32];
    uint64_t so_bytes;
    struct sm_wasm_fault fault; /* when err is not SM_OK */
    struct sm_wall made;
    uint32_t build_ms;
    char engine[SM_SEE_ENGINE_MAX]; /* what built it, in words */
};

struct sm_see_cache {
    int dir;
    uint8_t mac_key[32];
};

/* A compile that hit a limit is tried again after this; the machine may have been busy. */
#define SM_SEE_REFUSAL_S 3600

enum sm_err sm_see_cache_open(const char *path, const uint8_t mac_key[static 32],
                              struct sm_see_cache *out) SM_MUST;
void sm_see_cache_done(struct sm_see_cache *c);

/* Wait for the key's lock; the descriptor returned holds it until closed. */
enum sm_err sm_see_cache_lock(const struct sm_see_cache *c, const struct sm_see_key *key,
                              int *out) SM_MUST;
enum sm_err sm_see_cache_find(const struct sm_see_cache *c, const struct sm_see_key *key,
                              struct sm_wall now, struct sm_see_record *out) SM_MUST;
/* Store a record, and the object's bytes when rec->err is SM_OK (so_hash is filled in here). */
enum sm_err sm_see_cache_put(const struct sm_see_cache *c, const struct sm_see_key *key,
                             struct sm_see_record *rec, struct sm_view so) SM_MUST;
/* The object as a sealed memfd whose bytes were hashed after the seal.  HASH when it differs
 * from its record: both are then removed. */
enum sm_err sm_see_cache_load(const struct sm_see_cache *c, const struct sm_see_key *key,
                              struct sm_wall now, int *memfd) SM_MUST;
/* Remove the least recently used entries until the rest is at most max_bytes. */
enum sm_err sm_see_cache_trim(const struct sm_see_cache *c, uint64_t max_bytes) SM_MUST;
