// SPDX-License-Identifier: Apache-2.0
#include "see/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NAME_BYTES = 64 + 16, /* a key, a suffix and a process number */
    MAC_BYTES = 32,
    RECORD_MAX = 1024,
    ENTRIES_MAX = 4096, /* looked at by one trim */
};

static const char record_magic[8] = "smsee01";

static void entry_name(const struct sm_see_key *key, const char *suffix, char out[NAME_BYTES])
{
    char hex[2 * sizeof key->b + 1];
    sm_hex(key->b, sizeof key->b, hex);
    (void)snprintf(out, NAME_BYTES, "%s%s", hex, suffix);
}

static enum sm_err from_errno(void)
{
    return errno == ENOENT                      ? SM_E_NOTFOUND
           : errno == ENOSPC || errno == EDQUOT ? SM_E_NOSPACE
                                                : SM_E_IO;
}

enum sm_err sm_see_cache_open(const char *path, const uint8_t mac_key[static 32],
                              struct sm_see_cache *out)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return from_errno();
    }
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return from_errno();
    }
    out->dir = dir;
    memcpy(out->mac_key, mac_key, sizeof out->mac_key);
    return SM_OK;
}

void sm_see_cache_done(struct sm_see_cache *c)
{
    (void)close(c->dir);
    OPENSSL_cleanse(c->mac_key, sizeof c->mac_key);
}

enum sm_err sm_see_cache_lock(const struct sm_see_cache *c, const struct sm_see_key *key,
                              int *out)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "lock.%02x", key->b[0]);
    int fd = openat(c->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return from_errno();
    }
    while (flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            (void)close(fd);
            return SM_E_IO;
        }
    }
    *out = fd;
    return SM_OK;
}

/* -- records ----------------------------------------------------------------------------- */

static enum sm_err mac_of(const struct sm_see_cache *c, struct sm_view v,
                          uint8_t out[MAC_BYTES])
{
    unsigned n = MAC_BYTES;
    return HMAC(EVP_sha256(), c->mac_key, sizeof c->mac_key, v.p, v.n, out, &n) != NULL
               ? SM_OK
               : SM_E_CRYPTO;
}

static enum sm_err record_write(const struct sm_see_cache *c, const struct sm_see_key *key,
                                const struct sm_see_record *rec, struct sm_wr *w)
{
    struct sm_view bytes;
    uint8_t mac[MAC_BYTES];
    sm_wr_bytes(w, record_magic, sizeof record_magic);
    sm_wr_bytes(w, key->b, sizeof key->b);
    sm_wr_u32(w, (uint32_t)rec->err);
    sm_wr_bytes(w, rec->so_hash, sizeof rec->so_hash);
    sm_wr_u64(w, rec->so_bytes);
    sm_wr_u64(w, rec->fault.offset);
    sm_wr_bytes(w, rec->fault.reason, sizeof rec->fault.reason);
    sm_wr_u64(w, rec->made.s);
    sm_wr_u32(w, rec->build_ms);
    sm_wr_bytes(w, rec->engine, sizeof rec->engine);
    SM_TRY(sm_wr_done(w, &bytes));
    SM_TRY(mac_of(c, bytes, mac));
    sm_wr_bytes(w, mac, sizeof mac);
    return sm_wr_done(w, &bytes);
}

static enum sm_err record_read(const struct sm_see_cache *c, const struct sm_see_key *key,
                               struct sm_view v, struct sm_see_record *out)
{
    if (v.n <= MAC_BYTES) {
        return SM_E_TRUNCATED;
    }
    struct sm_view body = {v.p, v.n - MAC_BYTES};
    uint8_t mac[MAC_BYTES];
    SM_TRY(mac_of(c, body, mac));
    if (CRYPTO_memcmp(mac, v.p + body.n, MAC_BYTES) != 0) {
        return SM_E_CRYPTO;
    }
    struct sm_rd r = sm_rd_init(body);
    struct sm_see_record rec;
    struct sm_see_key its_key;
    char magic[sizeof record_magic];
    sm_rd_bytes(&r, magic, sizeof magic);
    sm_rd_bytes(&r, its_key.b, sizeof its_key.b);
    rec.err = sm_err_from_i32((int)sm_rd_u32(&r));
    sm_rd_bytes(&r, rec.so_hash, sizeof rec.so_hash);
    rec.so_bytes = sm_rd_u64(&r);
    rec.fault.offset = sm_rd_u64(&r);
    sm_rd_bytes(&r, rec.fault.reason, sizeof rec.fault.reason);
    rec.made.s = sm_rd_u64(&r);
    rec.build_ms = sm_rd_u32(&r);
    sm_rd_bytes(&r, rec.engine, sizeof rec.engine);
    SM_TRY(sm_rd_done(&r));
    if (memcmp(magic, record_magic, sizeof magic) != 0 ||
        memcmp(its_key.b, key->b, sizeof its_key.b) != 0) {
        return SM_E_MALFORMED;
    }
    rec.fault.reason[sizeof rec.fault.reason - 1] = '\0';
    rec.engine[sizeof rec.engine - 1] = '\0';
    *out = rec;
    return SM_OK;
}

/* -- files ------------------------------------------------------------------------------- */

static enum sm_err write_all(int fd, struct sm_view v)
{
    while (v.n > 0) {
        ssize_t n = write(fd, v.p, v.n);
        if (n < 0 && errno != EINTR) {
            return from_errno();
        }
        if (n > 0) {
            v.p += n;
            v.n -= (size_t)n;
        }
    }
    return SM_OK;
}

static enum sm_err write_synced(int fd, struct sm_view v)
{
    SM_TRY(write_all(fd, v));
    return fsync(fd) == 0 ? SM_OK : from_errno();
}

/* Create the file whole under its name, or leave nothing. */
static enum sm_err put_file(const struct sm_see_cache *c, const struct sm_see_key *key,
                            const char *suffix, struct sm_view v)
{
    char name[NAME_BYTES], temp[NAME_BYTES];
    entry_name(key, suffix, name);
    (void)snprintf(temp, sizeof temp, "new.%d%s", (int)getpid(), suffix);
    int fd = openat(c->dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return from_errno();
    }
    enum sm_err e = write_synced(fd, v);
    (void)close(fd);
    if (e == SM_OK && renameat(c->dir, temp, c->dir, name) != 0) {
        e = from_errno();
    }
    if (e != SM_OK) {
        (void)unlinkat(c->dir, temp, 0);
        return e;
    }
    return fsync(c->dir) == 0 ? SM_OK : from_errno();
}

static void remove_entry(const struct sm_see_cache *c, const struct sm_see_key *key)
{
    static const char *const suffixes[] = {".rec", ".so"};
    for (size_t i = 0; i < SM_COUNT(suffixes); i++) {
        char name[NAME_BYTES];
        entry_name(key, suffixes[i], name);
        (void)unlinkat(c->dir, name, 0);
    }
}

enum sm_err sm_see_cache_find(const struct sm_see_cache *c, const struct sm_see_key *key,
                              struct sm_wall now, struct sm_see_record *out)
{
    char name[NAME_BYTES];
    uint8_t bytes[RECORD_MAX];
    struct sm_see_record rec;
    entry_name(key, ".rec", name);
    int fd = openat(c->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return from_errno();
    }
    ssize_t n = read(fd, bytes, sizeof bytes);
    (void)futimens(fd, NULL); /* used now: what trim goes by */
    (void)close(fd);
    if (n < 0) {
        return SM_E_IO;
    }
    bool is_bad = record_read(c, key, sm_view_of(bytes, (size_t)n), &rec) != SM_OK;
    /* What is wrong with a module stays wrong; what the compiler ran into may pass. */
    if (is_bad || (rec.err != SM_OK && rec.err != SM_E_MODULE &&
                   (now.s < rec.made.s || now.s - rec.made.s > SM_SEE_REFUSAL_S))) {
        remove_entry(c, key);
        return SM_E_NOTFOUND;
    }
    *out = rec;
    return SM_OK;
}

enum sm_err sm_see_cache_put(const struct sm_see_cache *c, const struct sm_see_key *key,
                             struct sm_see_record *rec, struct sm_view so)
{
    uint8_t bytes[RECORD_MAX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    if (rec->err == SM_OK) {
        rec->so_bytes = so.n;
        (void)SHA256(so.p, so.n, rec->so_hash);
        SM_TRY(put_file(c, key, ".so", so));
    }
    SM_TRY(record_write(c, key, rec, &w));
    return put_file(c, key, ".rec", sm_view_of(bytes, w.n));
}

/* -- loading ----------------------------------------------------------------------------- */

static enum sm_err copy_to(int from, int to, uint64_t n)
{
    uint8_t bytes[65536];
    while (n > 0) {
        ssize_t got = read(from, bytes, n < sizeof bytes ? n : sizeof bytes);
        if (got <= 0) {
            return got == 0 ? SM_E_HASH : SM_E_IO;
        }
        SM_TRY(write_all(to, sm_view_of(bytes, (size_t)got)));
        n -= (uint64_t)got;
    }
    return SM_OK;
}

static enum sm_err seal_and_check(int fd, const struct sm_see_record *rec)
{
    uint8_t hash[32];
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        return SM_E_IO;
    }
    void *p = mmap(NULL, rec->so_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
        return SM_E_IO;
    }
    (void)SHA256(p, rec->so_bytes, hash);
    (void)munmap(p, rec->so_bytes);
    return memcmp(hash, rec->so_hash, sizeof hash) == 0 ? SM_OK : SM_E_HASH;
}

static enum sm_err load_object(const struct sm_see_cache *c, const struct sm_see_key *key,
                               const struct sm_see_record *rec, int *out)
{
    char name[NAME_BYTES];
    entry_name(key, ".so", name);
    int from = openat(c->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0) {
        return errno == ENOENT ? SM_E_HASH : SM_E_IO;
    }
    int fd = memfd_create("see-module", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    enum sm_err e = fd >= 0 ? copy_to(from, fd, rec->so_bytes) : SM_E_IO;
    (void)close(from);
    if (e == SM_OK) {
        e = seal_and_check(fd, rec);
    }
    if (e == SM_OK) {
        *out = fd;
    } else if (fd >= 0) {
        (void)close(fd);
    }
    return e;
}

enum sm_err sm_see_cache_load(const struct sm_see_cache *c, const struct sm_see_key *key,
                              struct sm_wall now, int *memfd)
{
    struct sm_see_record rec;
    SM_TRY(sm_see_cache_find(c, key, now, &rec));
    SM_TRY(rec.err);
    enum sm_err e = load_object(c, key, &rec, memfd);
    if (e == SM_E_HASH) {
        remove_entry(c, key);
    }
    return e;
}

/* -- trimming ---------------------------------------------------------------------------- */

struct entry {
    struct sm_see_key key;
    uint64_t bytes;
    struct timespec used;
};

/* Least recently used first. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec) {
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    }
    return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

static bool entry_of(const struct sm_see_cache *c, const char *name, struct entry *out)
{
    struct stat rec, so;
    char so_name[NAME_BYTES];
    if (strlen(name) != 64 + strlen(".rec") || strcmp(name + 64, ".rec") != 0 ||
        sm_unhex(name, 64, out->key.b, sizeof out->key.b) != SM_OK ||
        fstatat(c->dir, name, &rec, AT_SYMLINK_NOFOLLOW) != 0) {
        return false;
    }
    entry_name(&out->key, ".so", so_name);
    out->bytes = (uint64_t)rec.st_size;
    out->used = rec.st_mtim;
    if (fstatat(c->dir, so_name, &so, AT_SYMLINK_NOFOLLOW) == 0) {
        out->bytes += (uint64_t)so.st_size;
    }
    return true;
}

static size_t list_entries(const struct sm_see_cache *c, DIR *d, struct entry *entries,
                           uint64_t *total)
{
    size_t n = 0;
    for (const struct dirent *de; n < ENTRIES_MAX && (de = readdir(d)) != NULL;) {
        if (entry_of(c, de->d_name, &entries[n])) {
            *total += entries[n++].bytes;
        }
    }
    return n;
}

enum sm_err sm_see_cache_trim(const struct sm_see_cache *c, uint64_t max_bytes)
{
    int fd = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct entry *entries = calloc(ENTRIES_MAX, sizeof *entries);
    if (d == NULL || entries == NULL) {
        free(entries);
        if (d != NULL) {
            (void)closedir(d);
        } else if (fd >= 0) {
            (void)close(fd);
        }
        return d == NULL ? SM_E_IO : SM_E_NOMEM;
    }
    uint64_t total = 0;
    size_t n = list_entries(c, d, entries, &total);
    qsort(entries, n, sizeof entries[0], compare_entries);
    for (size_t i = 0; i < n && total > max_bytes; i++) {
        remove_entry(c, &entries[i].key);
        total -= entries[i].bytes;
    }
    free(entries);
    (void)closedir(d);
    return SM_OK;
}
