// SPDX-License-Identifier: Apache-2.0
#include "core/channel.h"

#include <string.h>

enum sm_err sm_channel_init(struct sm_channel *c, const struct sm_suite *suite,
                            enum sm_aead_kind kind, const struct sm_secret32 *key)
{
    *c = (struct sm_channel){0};
    return sm_aead_init(&c->aead, suite, kind, key);
}

void sm_channel_done(struct sm_channel *c)
{
    sm_aead_done(&c->aead);
}

static struct sm_tframe head_of(uint8_t type, size_t payload_n)
{
    size_t n = sm_tframe_bytes(payload_n) - SM_TFRAME_HEAD;
    return (struct sm_tframe){
        .n = (uint32_t)n, .type = type, .padding = (uint8_t)(n - SM_TFRAME_TAG - payload_n)};
}

void sm_channel_compose2(uint8_t *p, uint8_t type, struct sm_view a, struct sm_view b)
{
    struct sm_tframe f = head_of(type, a.n + b.n);
    sm_tframe_write(&f, p);
    if (a.n > 0) {
        memcpy(p + SM_TFRAME_HEAD, a.p, a.n);
    }
    if (b.n > 0) {
        memcpy(p + SM_TFRAME_HEAD + a.n, b.p, b.n);
    }
    memset(p + SM_TFRAME_HEAD + a.n + b.n, 0, f.padding);
}

size_t sm_channel_composed(const uint8_t *p)
{
    return SM_TFRAME_HEAD + sm_le32(p);
}

static void count(struct sm_channel *c, size_t n)
{
    c->counter++;
    c->frames++;
    c->bytes += n;
}

enum sm_err sm_channel_seal(struct sm_channel *c, uint8_t *p)
{
    size_t n = sm_le32(p) - SM_TFRAME_TAG;
    sm_put_le64(p + 8, c->counter);
    SM_TRY(sm_aead_seal(&c->aead, c->counter, sm_view_of(p, SM_TFRAME_HEAD),
                        sm_view_of(p + SM_TFRAME_HEAD, n), p + SM_TFRAME_HEAD));
    count(c, n);
    return SM_OK;
}

enum sm_err sm_channel_seal_from(struct sm_channel *c, uint8_t type, struct sm_view a,
                                 struct sm_view b, uint8_t *p)
{
    static const uint8_t zeros[SM_TFRAME_ALIGN];
    struct sm_tframe f = head_of(type, a.n + b.n);
    const struct sm_view parts[] = {a, b, {zeros, f.padding}};
    size_t n_parts = f.padding > 0 ? 3 : b.n > 0 ? 2 : 1; /* one part is sealed faster */
    f.counter = c->counter;
    sm_tframe_write(&f, p);
    SM_TRY(sm_aead_seal_parts(&c->aead, c->counter, sm_view_of(p, SM_TFRAME_HEAD), parts,
                              n_parts, p + SM_TFRAME_HEAD));
    count(c, f.n - SM_TFRAME_TAG);
    return SM_OK;
}

static bool is_zeros(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

enum sm_err sm_channel_open(struct sm_channel *c, const struct sm_tframe *f, uint8_t *p,
                            struct sm_view *out)
{
    uint8_t *body = p + SM_TFRAME_HEAD;
    size_t n = f->n - SM_TFRAME_TAG;
    if (f->counter != c->counter) {
        return SM_E_REPLAY;
    }
    SM_TRY(sm_aead_open(&c->aead, c->counter, sm_view_of(p, SM_TFRAME_HEAD),
                        sm_view_of(body, f->n), body));
    count(c, n);
    if (!is_zeros(body + n - f->padding, f->padding)) {
        return SM_E_MALFORMED;
    }
    *out = sm_view_of(body, n - f->padding);
    return SM_OK;
}

/* SPEC Noise 4.2: "REKEY(k): ... returns the first 32 bytes from ENCRYPT(k, maxnonce, zerolen,
 * zeros)".  The nonce of all ones is the same for both ciphers. */
enum sm_err sm_channel_next_key(struct sm_aead *a, struct sm_secret32 *out)
{
    static const uint8_t maxnonce[SM_NONCE_BYTES] = {[4] = 0xff, 0xff, 0xff, 0xff,
                                                     0xff,       0xff, 0xff, 0xff};
    uint8_t zeros[32] = {0}, sealed[32 + SM_TAG_BYTES];
    SM_TRY(sm_aead_seal_nonce(a, maxnonce, (struct sm_view){0}, sm_view_of(zeros, sizeof zeros),
                              sealed));
    memcpy(out->b, sealed, sizeof out->b);
    sm_wipe(sealed, sizeof sealed);
    return SM_OK;
}

enum sm_err sm_channel_rekey(struct sm_channel *c)
{
    struct sm_secret32 next;
    SM_TRY(sm_channel_next_key(&c->aead, &next));
    enum sm_err e = sm_aead_init(&c->aead, c->aead.suite, c->aead.kind, &next);
    sm_wipe(&next, sizeof next);
    c->frames = 0;
    c->bytes = 0;
    return e;
}
