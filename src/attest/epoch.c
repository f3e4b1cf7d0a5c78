// SPDX-License-Identifier: Apache-2.0
#include "attest/epoch.h"

#include "attest/envelope.h"
#include "base/cbor.h"
#include "crypto/hash.h"

#include <string.h>

enum { FIELDS = 5, PART_ITEMS = 3, TO_SIGN = 128 };

void sm_beacon_make(const struct sm_binding *b, uint8_t out[static SM_BEACON])
{
    static const char label[] = "seemesh/beacon/1"; /* with its zero byte */
    uint8_t lease[8], challenge[32], whole[32];
    struct sm_hash h;
    sm_put_le64(lease, b->lease_seq);
    sm_sha256(b->challenge, challenge);
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_of(label, sizeof label));
    sm_hash_add(&h, sm_view_of(&b->role, 1));
    sm_hash_add(&h, sm_view_of(b->h, sizeof b->h));
    sm_hash_add(&h, sm_view_of(lease, sizeof lease));
    sm_hash_add(&h, sm_view_of(challenge, sizeof challenge));
    sm_hash_end(&h, whole);
    memcpy(out, whole, SM_BEACON);
}

void sm_epoch_report_data(struct sm_view statement, const uint8_t sign_key[static 32],
                          uint8_t out[static SM_REPORT_DATA])
{
    static const char label[] = "seemesh/att-epoch/v1"; /* with its zero byte */
    struct sm_hash h;
    sm_hash_init(&h, SM_SHA512);
    sm_hash_add(&h, sm_view_of(label, sizeof label));
    sm_hash_add(&h, sm_view_of(sign_key, 32));
    sm_hash_add(&h, statement);
    sm_hash_end(&h, out);
}

/* What the epoch key signs. */
static struct sm_view to_sign(struct sm_view statement,
                              const uint8_t report_data[static SM_REPORT_DATA],
                              uint8_t buf[static TO_SIGN])
{
    static const char label[] = "seemesh/att-session/v1"; /* with its zero byte */
    uint8_t hash[32];
    struct sm_wr w = sm_wr_init(buf, TO_SIGN);
    sm_sha256(statement, hash);
    sm_wr_bytes(&w, label, sizeof label);
    sm_wr_bytes(&w, hash, sizeof hash);
    sm_wr_bytes(&w, report_data, SM_REPORT_DATA);
    return sm_view_of(w.p, w.n);
}

/* -- writing ------------------------------------------------------------------------------ */

static void put_bytes(struct sm_wr *w, uint64_t key, const void *p, size_t n)
{
    sm_cbor_put_uint(w, key);
    sm_cbor_put_bytes(w, sm_view_of(p, n));
}

void sm_epoch_statement_write(const struct sm_epoch *e, struct sm_wr *w)
{
    sm_cbor_put_map(w, FIELDS);
    put_bytes(w, 1, e->key, sizeof e->key);
    put_bytes(w, 2, e->boot_id, sizeof e->boot_id);
    sm_cbor_put_uint(w, 3);
    sm_cbor_put_uint(w, e->not_before.s);
    sm_cbor_put_uint(w, 4);
    sm_cbor_put_uint(w, e->expires.s);
    put_bytes(w, 5, e->beacons.p, e->beacons.n);
}

enum sm_err sm_epoch_part_write(const struct sm_suite *suite, const struct sm_sign_pair *epoch,
                                struct sm_view statement,
                                const uint8_t report_data[static SM_REPORT_DATA],
                                struct sm_wr *w)
{
    uint8_t buf[TO_SIGN];
    struct sm_sig sig;
    suite->sign(epoch, to_sign(statement, report_data, buf), &sig);
    sm_cbor_put_array(w, PART_ITEMS);
    sm_cbor_put_bytes(w, statement);
    sm_cbor_put_bytes(w, sm_view_of(report_data, SM_REPORT_DATA));
    sm_cbor_put_bytes(w, sm_view_of(sig.b, sizeof sig.b));
    return w->full ? SM_E_LIMIT : SM_OK;
}

/* -- reading ------------------------------------------------------------------------------ */

struct part {
    struct sm_view statement, report_data, sig;
    struct sm_epoch epoch;
};

static void read_bytes(struct sm_cbor *c, uint64_t key, uint8_t *out, size_t n)
{
    if (sm_cbor_uint(c) != key) {
        sm_cbor_fail(c);
    }
    struct sm_view v = sm_cbor_bytes(c);
    if (v.n != n) {
        sm_cbor_fail(c);
        return;
    }
    memcpy(out, v.p, n);
}

static uint64_t read_uint(struct sm_cbor *c, uint64_t key)
{
    if (sm_cbor_uint(c) != key) {
        sm_cbor_fail(c);
    }
    return sm_cbor_uint(c);
}

static enum sm_err statement_read(struct sm_view bytes, struct sm_epoch *out)
{
    struct sm_cbor c = sm_cbor_init(bytes);
    struct sm_epoch e = {0};
    size_t fields = sm_cbor_map(&c);
    read_bytes(&c, 1, e.key, sizeof e.key);
    read_bytes(&c, 2, e.boot_id, sizeof e.boot_id);
    e.not_before.s = read_uint(&c, 3);
    e.expires.s = read_uint(&c, 4);
    if (sm_cbor_uint(&c) != 5) {
        sm_cbor_fail(&c);
    }
    e.beacons = sm_cbor_bytes(&c);
    SM_TRY(sm_cbor_done(&c));
    if (fields != FIELDS || e.beacons.n % SM_BEACON != 0 ||
        e.beacons.n > SM_BEACONS_MAX * SM_BEACON) {
        return SM_E_MALFORMED;
    }
    *out = e;
    return SM_OK;
}

static enum sm_err part_read(struct sm_view bytes, struct part *out)
{
    struct sm_cbor c = sm_cbor_init(bytes);
    struct part p = {0};
    size_t items = sm_cbor_array(&c);
    p.statement = sm_cbor_bytes(&c);
    p.report_data = sm_cbor_bytes(&c);
    p.sig = sm_cbor_bytes(&c);
    SM_TRY(sm_cbor_done(&c));
    if (items != PART_ITEMS || p.report_data.n != SM_REPORT_DATA ||
        p.sig.n != sizeof(struct sm_sig)) {
        return SM_E_MALFORMED;
    }
    SM_TRY(statement_read(p.statement, &p.epoch));
    *out = p;
    return SM_OK;
}

/* -- believing ---------------------------------------------------------------------------- */

static enum sm_err check_times(const struct sm_epoch *e, struct sm_wall now,
                               struct sm_reasons *why)
{
    if (e->expires.s < e->not_before.s || e->expires.s - e->not_before.s > SM_EPOCH_S_MAX) {
        sm_reasons_add_u64(why, SM_REASON_TIME, "epoch length", e->expires.s - e->not_before.s,
                           "at most", SM_EPOCH_S_MAX);
        return SM_E_REFUSED;
    }
    if (now.s >= e->expires.s || e->not_before.s > now.s + SM_RECORD_SKEW_S) {
        sm_reasons_add_u64(why, SM_REASON_TIME, "epoch end", e->expires.s, "after", now.s);
        return SM_E_EXPIRED;
    }
    return SM_OK;
}

static enum sm_err check_session(const struct sm_suite *suite, const struct part *p,
                                 struct sm_reasons *why)
{
    uint8_t buf[TO_SIGN];
    struct sm_sign_pub key;
    struct sm_sig sig;
    memcpy(key.b, p->epoch.key, sizeof key.b);
    memcpy(sig.b, p->sig.p, sizeof sig.b);
    if (suite->verify(&key, to_sign(p->statement, p->report_data.p, buf), &sig) != SM_OK) {
        sm_reasons_add(why, SM_REASON_SIGNATURE, "session", "not by the epoch key",
                       "by the key that the platform signed");
        return SM_E_CRYPTO;
    }
    return SM_OK;
}

enum sm_err sm_epoch_verify(const struct sm_suite *suite, struct sm_wall now,
                            const uint8_t sign_key[static 32], struct sm_view part,
                            struct sm_claims *claims, struct sm_reasons *why)
{
    struct part p;
    uint8_t rd[SM_REPORT_DATA];
    enum sm_err e = part_read(part, &p);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, "epoch", sm_err_words(e), "a statement");
        return e;
    }
    sm_epoch_report_data(p.statement, sign_key, rd);
    if (!sm_appraise_report_data(claims, rd, why)) {
        return SM_E_REFUSED;
    }
    SM_TRY(check_times(&p.epoch, now, why));
    SM_TRY(check_session(suite, &p, why));
    memcpy(claims->report_data, p.report_data.p, SM_REPORT_DATA);
    claims->report_data_n = SM_REPORT_DATA;
    memcpy(claims->boot_id, p.epoch.boot_id, sizeof claims->boot_id);
    claims->is_epoch_bound = true;
    claims->epoch_from = p.epoch.not_before;
    claims->epoch_until = p.epoch.expires;
    return SM_OK;
}

bool sm_epoch_has_beacon(struct sm_view evidence, const uint8_t beacon[static SM_BEACON])
{
    struct sm_envelope e;
    struct part p;
    if (sm_envelope_read(evidence, &e) != SM_OK ||
        part_read(e.part[SM_PART_EPOCH], &p) != SM_OK) {
        return false;
    }
    bool is_there = false;
    for (size_t at = 0; at < p.epoch.beacons.n; at += SM_BEACON) {
        is_there = is_there || memcmp(p.epoch.beacons.p + at, beacon, SM_BEACON) == 0;
    }
    return is_there;
}
