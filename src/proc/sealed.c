// SPDX-License-Identifier: Apache-2.0
#include "proc/sealed.h"

#include "attest/hardware.h"
#include "crypto/hash.h"
#include "crypto/suite.h"
#include "os/random.h"
#include "wire/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC    "SMSEAL"
#define VERSION  1u
#define KEY_INFO "seemesh/node-key/1"
#define BOX      (32u + SM_TAG_BYTES)

/* -- the file ---------------------------------------------------------------------------- */

enum sm_err sm_sealed_read(struct sm_view bytes, struct sm_sealed *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct sm_sealed s = {0};
    struct sm_view magic = sm_rd_view(&r, sizeof MAGIC - 1);
    uint8_t version = sm_rd_u8(&r), platform = sm_rd_u8(&r);
    s.pcrs.mask = sm_rd_u32(&r);
    s.firmware = sm_rd_u64(&r);
    if (!sm_view_eq(magic, sm_view_str(MAGIC)) || version != VERSION ||
        platform != SM_PLATFORM_TPM || s.pcrs.mask == 0 ||
        (s.pcrs.mask & SM_TPM_PCRS_NEVER) != 0 || s.pcrs.mask >> SM_TPMDEV_PCRS != 0) {
        sm_rd_fail(&r);
    }
    for (unsigned i = 0; i < SM_TPMDEV_PCRS; i++) {
        if ((s.pcrs.mask >> i & 1) != 0) {
            sm_rd_bytes(&r, s.pcrs.value[i], SM_TPMDEV_HASH);
        }
    }
    s.blob = sm_rd_blob(&r, SM_TPMDEV_BLOB);
    s.head = sm_view_sub(bytes, 0, bytes.n - r.left.n);
    s.box = sm_rd_view(&r, BOX);
    SM_TRY(sm_rd_done(&r));
    *out = s;
    return SM_OK;
}

static void write_head(const struct sm_sealed *s, struct sm_wr *w)
{
    sm_wr_view(w, sm_view_str(MAGIC));
    sm_wr_u8(w, VERSION);
    sm_wr_u8(w, SM_PLATFORM_TPM);
    sm_wr_u32(w, s->pcrs.mask);
    sm_wr_u64(w, s->firmware);
    for (unsigned i = 0; i < SM_TPMDEV_PCRS; i++) {
        if ((s->pcrs.mask >> i & 1) != 0) {
            sm_wr_bytes(w, s->pcrs.value[i], SM_TPMDEV_HASH);
        }
    }
    sm_wr_blob(w, s->blob);
}

/* -- the box ----------------------------------------------------------------------------- */

/* The key is used for one message in its life, so the number is 0. */
static enum sm_err box_key(const struct sm_secret32 *data_key, struct sm_aead *out)
{
    struct sm_secret32 key;
    SM_TRY(sm_hkdf(SM_SHA256, (struct sm_view){0}, sm_view_of(data_key->b, sizeof data_key->b),
                   sm_view_str(KEY_INFO), key.b, sizeof key.b));
    enum sm_err e = sm_aead_init(out, sm_suite_real(), SM_AESGCM, &key);
    sm_wipe(&key, sizeof key);
    return e;
}

static enum sm_err box_seal(const struct sm_secret32 *data_key, struct sm_view head,
                            const struct sm_secret32 *seed, uint8_t out[static BOX])
{
    struct sm_aead aead = {0};
    SM_TRY(box_key(data_key, &aead));
    enum sm_err e = sm_aead_seal(&aead, 0, head, sm_view_of(seed->b, sizeof seed->b), out);
    sm_aead_done(&aead);
    return e;
}

static enum sm_err box_open(const struct sm_secret32 *data_key, const struct sm_sealed *s,
                            struct sm_secret32 *out)
{
    struct sm_aead aead = {0};
    SM_TRY(box_key(data_key, &aead));
    enum sm_err e = sm_aead_open(&aead, 0, s->head, s->box, out->b);
    sm_aead_done(&aead);
    return e;
}

/* -- sealing ----------------------------------------------------------------------------- */

static enum sm_err because_tpm(struct sm_tpmdev *t, enum sm_err e,
                               char why[static SM_TPMDEV_WHY])
{
    (void)snprintf(why, SM_TPMDEV_WHY, "%s", sm_tpmdev_why(t));
    return e;
}

static enum sm_err because(enum sm_err e, const char *doing, char why[static SM_TPMDEV_WHY])
{
    (void)snprintf(why, SM_TPMDEV_WHY, "%s: %s", doing, sm_err_words(e));
    return e;
}

static enum sm_err make_with(struct sm_tpmdev *t, uint32_t mask,
                             const struct sm_secret32 *data_key, const struct sm_secret32 *seed,
                             struct sm_buf *out, char why[static SM_TPMDEV_WHY])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf blob = SM_BUF(SM_TPMDEV_BLOB);
    struct sm_tpmdev_info info;
    struct sm_sealed s = {0};
    uint8_t bytes[SM_SEALED_MAX], box[BOX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    enum sm_err e = sm_tpmdev_info(t, &info);
    e = e == SM_OK ? sm_tpmdev_pcrs(t, mask, &s.pcrs) : e;
    e = e == SM_OK ? sm_tpmdev_seal(t, mask, data_key->b, &blob) : e;
    if (e != SM_OK) {
        return because_tpm(t, e, why);
    }
    s.firmware = info.firmware;
    s.blob = sm_buf_view(&blob);
    write_head(&s, &w);
    e = box_seal(data_key, sm_view_of(w.p, w.n), seed, box);
    if (e != SM_OK) {
        return because(e, "seal the node's key", why);
    }
    sm_wr_bytes(&w, box, sizeof box);
    sm_buf_clear(out);
    e = sm_buf_add(out, w.p, w.n);
    return e == SM_OK ? e : because(e, "seal the node's key", why);
}

enum sm_err sm_sealed_make(struct sm_tpmdev *t, uint32_t mask, const struct sm_secret32 *seed,
                           struct sm_buf *out, char why[static SM_TPMDEV_WHY])
{
    struct sm_secret32 data_key;
    if ((mask & SM_TPM_PCRS_NEVER) != 0) {
        return because(SM_E_INVALID, "PCR 16 and 23 may be reset by anybody", why);
    }
    enum sm_err e = sm_random_bytes(data_key.b, sizeof data_key.b);
    e = e == SM_OK ? make_with(t, mask, &data_key, seed, out, why)
                   : because(e, "random bytes", why);
    sm_wipe(&data_key, sizeof data_key);
    return e;
}

/* -- opening ----------------------------------------------------------------------------- */

void sm_pcrs_changed(const struct sm_tpmdev_pcrs *was, const struct sm_tpmdev_pcrs *is,
                     char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < SM_TPMDEV_PCRS && at < cap; i++) {
        char a[17], b[17];
        if ((was->mask >> i & 1) == 0 ||
            memcmp(was->value[i], is->value[i], SM_TPMDEV_HASH) == 0) {
            continue;
        }
        sm_hex(was->value[i], 8, a);
        sm_hex(is->value[i], 8, b);
        int n = snprintf(out + at, cap - at, "%sPCR %u was %s.. and is %s..",
                         at == 0 ? "" : ", ", i, a, b);
        at += n > 0 ? (size_t)n : 0;
    }
}

/* What changed, and what to do. */
static void explain(struct sm_tpmdev *t, const struct sm_sealed *s,
                    char why[static SM_TPMDEV_WHY])
{
    struct sm_tpmdev_pcrs is;
    char text[160];
    if (sm_tpmdev_pcrs(t, s->pcrs.mask, &is) != SM_OK) {
        return; /* the TPM's own words stand */
    }
    sm_pcrs_changed(&s->pcrs, &is, text, sizeof text);
    if (text[0] == '\0') {
        return;
    }
    (void)snprintf(why, SM_TPMDEV_WHY,
                   "%s: this is another boot than the key is sealed to. If you changed it: "
                   "'seemesh tpm request --renew', then have the request endorsed. If not: do "
                   "not trust this machine",
                   text);
}

enum sm_err sm_sealed_open(struct sm_tpmdev *t, const struct sm_sealed *s,
                           struct sm_secret32 *out, char why[static SM_TPMDEV_WHY])
{
    struct sm_secret32 data_key, seed;
    enum sm_err e = sm_tpmdev_unseal(t, s->pcrs.mask, s->blob, data_key.b);
    if (e != SM_OK) {
        (void)because_tpm(t, e, why);
        if (e == SM_E_REFUSED) {
            explain(t, s, why);
        }
        return e;
    }
    e = box_open(&data_key, s, &seed);
    sm_wipe(&data_key, sizeof data_key);
    if (e == SM_OK) {
        *out = seed;
    }
    sm_wipe(&seed, sizeof seed);
    return e == SM_OK ? e : because(e, "the sealed key's file was changed", why);
}

/* -- lists of registers ------------------------------------------------------------------ */

enum sm_err sm_pcrs_parse(const char *text, uint32_t *out_mask)
{
    uint32_t mask = 0;
    for (const char *p = text;; p++) {
        char *end;
        if (*p < '0' || *p > '9') {
            return SM_E_INVALID;
        }
        unsigned long i = strtoul(p, &end, 10);
        if (i >= SM_TPMDEV_PCRS || (SM_TPM_PCRS_NEVER >> i & 1) != 0 || (mask >> i & 1) != 0) {
            return SM_E_INVALID;
        }
        mask |= 1u << i;
        p = end;
        if (*p == '\0') {
            *out_mask = mask;
            return SM_OK;
        }
        if (*p != ',') {
            return SM_E_INVALID;
        }
    }
}

void sm_pcrs_print(uint32_t mask, char out[static SM_PCRS_TEXT])
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < SM_TPMDEV_PCRS; i++) {
        if ((mask >> i & 1) != 0) {
            at += (size_t)snprintf(out + at, SM_PCRS_TEXT - at, "%s%u", at == 0 ? "" : ",", i);
        }
    }
}
