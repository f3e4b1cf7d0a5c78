// SPDX-License-Identifier: Apache-2.0
#include "core/handshake.h"

#include "core/door.h"
#include "crypto/hash.h"

#include <assert.h>
#include <string.h>

#define WORK_STEP 2048u /* hashes */
#define NOISE_MAX 96u   /* of any message but the first, with no payload */

/* One Noise protocol a pattern, cipher and pq; numbers as on the wire. */
static const char *protocol(enum sm_hand_pattern pattern, enum sm_aead_kind cipher, bool is_pq)
{
    static const char *const names[2][2][2] = {
        {{"Noise_XX_25519_AESGCM_SHA256", "Noise_XXpsk2_25519_AESGCM_SHA256"},
         {"Noise_XX_25519_ChaChaPoly_SHA256", "Noise_XXpsk2_25519_ChaChaPoly_SHA256"}},
        {{"Noise_IK_25519_AESGCM_SHA256", "Noise_IKpsk2_25519_AESGCM_SHA256"},
         {"Noise_IK_25519_ChaChaPoly_SHA256", "Noise_IKpsk2_25519_ChaChaPoly_SHA256"}}};
    return names[pattern == SM_HAND_IK][cipher == SM_CHACHAPOLY][is_pq];
}

static enum sm_aead_kind cipher_of_pair(uint8_t a, uint8_t b)
{
    return a == SM_AESGCM && b == SM_AESGCM ? SM_AESGCM : SM_CHACHAPOLY;
}

static bool is_cipher(uint8_t c)
{
    return c == SM_AESGCM || c == SM_CHACHAPOLY;
}

void sm_handshake_init(struct sm_handshake *h, const struct sm_suite *suite,
                       const struct sm_anchor *anchor, bool is_dialer, enum sm_aead_kind faster,
                       const struct sm_dh_pair *own, const struct sm_dh_pub *peer,
                       struct sm_known_dh *known)
{
    *h = (struct sm_handshake){
        .suite = suite,
        .is_dialer = is_dialer,
        .faster = faster,
        .cipher = faster,
        .pattern = peer != NULL ? SM_HAND_IK : SM_HAND_XX,
        .own = *own,
        .known = known,
    };
    if (peer != NULL) {
        h->peer = *peer;
    }
    struct sm_wr w = sm_wr_init(h->prologue, SM_PROLOGUE_MAX);
    sm_anchor_prologue(anchor, &w);
    assert(!w.full);
    h->prologue_n = w.n;
}

void sm_handshake_pq(struct sm_handshake *h, enum sm_pq pq)
{
    h->pq = pq;
    h->is_pq = pq != SM_PQ_OFF && sm_suite_has_kem(h->suite);
}

void sm_handshake_wipe(struct sm_handshake *h)
{
    sm_noise_wipe(&h->noise);
    sm_wipe(h, sizeof *h);
}

static void mix_head(struct sm_handshake *h, const uint8_t head[static SM_HAND_HEAD])
{
    assert(h->prologue_n + SM_HAND_HEAD <= sizeof h->prologue);
    memcpy(h->prologue + h->prologue_n, head, SM_HAND_HEAD);
    h->prologue_n += SM_HAND_HEAD;
}

static void write_head(const struct sm_hand *head, struct sm_wr *out)
{
    uint8_t bytes[SM_HAND_HEAD];
    sm_hand_write(head, bytes);
    sm_wr_bytes(out, bytes, sizeof bytes);
}

void sm_handshake_refuse(enum sm_err err, struct sm_wr *out)
{
    write_head(&(struct sm_hand){.kind = SM_HAND_REFUSE, .reason = (uint8_t)(-(int)err)}, out);
}

static enum sm_err begin_noise(struct sm_handshake *h)
{
    struct sm_noise_keys keys = {.s = &h->own,
                                 .rs = h->is_dialer ? &h->peer : NULL,
                                 .known = h->known,
                                 .is_psk_late = h->is_pq};
    const char *name = protocol(h->pattern, h->cipher, h->is_pq);
    SM_TRY(sm_noise_init(&h->noise, h->suite, name, h->is_dialer,
                         sm_view_of(h->prologue, h->prologue_n), &keys));
    h->is_begun = true;
    return SM_OK;
}

/* Noise messages of ours carry nothing but a key of the KEM in the first: all else that is said
 * waits for the channel.  `before` goes ahead of the message. */
static enum sm_err write_noise(struct sm_handshake *h, struct sm_rng *rng,
                               struct sm_view before, struct sm_wr *out)
{
    uint8_t msg[NOISE_MAX];
    size_t n;
    SM_TRY(sm_noise_write(&h->noise, rng, (struct sm_view){0}, msg, sizeof msg, &n));
    write_head(&(struct sm_hand){.kind = SM_HAND_NOISE, .n = (uint16_t)(before.n + n)}, out);
    sm_wr_view(out, before);
    sm_wr_bytes(out, msg, n);
    return out->full ? SM_E_LIMIT : SM_OK;
}

static enum sm_err read_noise(struct sm_handshake *h, struct sm_view msg)
{
    uint8_t none[1];
    size_t n;
    return sm_noise_read(&h->noise, msg, none, 0, &n);
}

/* The length of the first message is in the head that its own prologue needs.  With a psk its
 * payload has a tag even in XX. */
static uint16_t hello_bytes(enum sm_hand_pattern pattern, bool is_pq)
{
    const unsigned e = 32, s = 32 + SM_TAG_BYTES, payload_tag = SM_TAG_BYTES;
    unsigned n = pattern == SM_HAND_IK ? e + s + payload_tag : is_pq ? e + payload_tag : e;
    return (uint16_t)(n + (is_pq ? SM_KEM_PUB : 0));
}

/* -- the KEM ------------------------------------------------------------------------------- */

/* SPEC wire.4: psk = HKDF-SHA-256(salt empty, secret, "seemesh/pq/1" || SHA-256(key) ||
 * SHA-256(ciphertext)). */
static enum sm_err give_psk(struct sm_handshake *h, const struct sm_secret32 *secret,
                            const struct sm_kem_ct *ct)
{
    static const char label[] = "seemesh/pq/1";
    uint8_t info[sizeof label - 1 + 64];
    struct sm_secret32 psk;
    memcpy(info, label, sizeof label - 1);
    memcpy(info + sizeof label - 1, h->kem_hash, 32);
    sm_sha256(sm_view_of(ct->b, sizeof ct->b), info + sizeof label - 1 + 32);
    enum sm_err e = sm_hkdf(SM_SHA256, (struct sm_view){0}, sm_view_of(secret->b, 32),
                            sm_view_of(info, sizeof info), psk.b, sizeof psk.b);
    if (e == SM_OK) {
        e = sm_noise_psk(&h->noise, &psk);
    }
    sm_wipe(&psk, sizeof psk);
    return e;
}

/* Dialer: a fresh key for each HELLO. */
static enum sm_err make_kem(struct sm_handshake *h, struct sm_rng *rng, struct sm_kem_pub *out)
{
    sm_rng_bytes(rng, h->kem.b, sizeof h->kem.b);
    SM_TRY(h->suite->kem_pub(&h->kem, out));
    sm_sha256(sm_view_of(out->b, sizeof out->b), h->kem_hash);
    return SM_OK;
}

/* Responder: the answer to a key of the dialer. */
static enum sm_err answer_kem(struct sm_handshake *h, struct sm_rng *rng,
                              const struct sm_kem_pub *key, struct sm_kem_ct *ct)
{
    struct sm_secret32 m, secret;
    sm_rng_bytes(rng, m.b, sizeof m.b);
    sm_sha256(sm_view_of(key->b, sizeof key->b), h->kem_hash);
    enum sm_err e = h->suite->kem_wrap(key, &m, ct, &secret);
    if (e == SM_OK) {
        e = give_psk(h, &secret, ct);
    }
    sm_wipe(&m, sizeof m);
    sm_wipe(&secret, sizeof secret);
    return e;
}

/* Dialer: the ciphertext in front of the responder's message; leaves the message. */
static enum sm_err open_kem(struct sm_handshake *h, struct sm_view *body)
{
    struct sm_kem_ct ct;
    struct sm_secret32 secret;
    if (body->n < sizeof ct.b) {
        return SM_E_TRUNCATED;
    }
    memcpy(ct.b, body->p, sizeof ct.b);
    *body = sm_view_sub(*body, sizeof ct.b, body->n);
    enum sm_err e = h->suite->kem_open(&h->kem, &ct, &secret);
    sm_wipe(&h->kem, sizeof h->kem);
    if (e == SM_OK) {
        e = give_psk(h, &secret, &ct);
    }
    sm_wipe(&secret, sizeof secret);
    return e;
}

/* -- the first message --------------------------------------------------------------------- */

enum sm_err sm_handshake_start(struct sm_handshake *h, struct sm_rng *rng, struct sm_wr *out)
{
    uint8_t head[SM_HAND_HEAD], msg[SM_HAND_HELLO_MAX];
    struct sm_kem_pub key;
    struct sm_view payload = {0};
    size_t n;
    if (h->pq == SM_PQ_REQUIRE && !h->is_pq) {
        return SM_E_UNSUPPORTED;
    }
    if (h->is_pq) {
        SM_TRY(make_kem(h, rng, &key));
        payload = sm_view_of(key.b, sizeof key.b);
    }
    h->tries++;
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_HELLO,
                                    .pattern = (uint8_t)h->pattern,
                                    .cipher = (uint8_t)h->cipher,
                                    .faster = (uint8_t)h->faster,
                                    .pq = h->is_pq ? SM_HAND_PQ : 0,
                                    .n = hello_bytes(h->pattern, h->is_pq)},
                  head);
    mix_head(h, head);
    SM_TRY(begin_noise(h));
    SM_TRY(sm_noise_write(&h->noise, rng, payload, msg, sizeof msg, &n));
    assert(n == hello_bytes(h->pattern, h->is_pq));
    memcpy(h->hello, head, sizeof head);
    memcpy(h->hello + sizeof head, msg, n);
    h->hello_n = sizeof head + n;
    sm_wr_bytes(out, h->hello, h->hello_n);
    return out->full ? SM_E_LIMIT : SM_OK;
}

/* -- responder --------------------------------------------------------------------------- */

static enum sm_err answer_retry(struct sm_handshake *h, enum sm_hand_pattern pattern,
                                enum sm_aead_kind cipher, struct sm_wr *out)
{
    uint8_t head[SM_HAND_HEAD];
    if (h->tries >= SM_HANDSHAKE_TRIES) {
        sm_handshake_refuse(SM_E_LIMIT, out);
        return SM_E_LIMIT;
    }
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_RETRY,
                                    .pattern = (uint8_t)pattern,
                                    .cipher = (uint8_t)cipher,
                                    .faster = (uint8_t)h->faster,
                                    .pq = h->is_pq ? SM_HAND_PQ : 0},
                  head);
    mix_head(h, head);
    sm_wr_bytes(out, head, sizeof head);
    h->is_begun = false;
    return SM_OK;
}

static enum sm_err answer_hello(struct sm_handshake *h, struct sm_rng *rng, struct sm_view body,
                                struct sm_wr *out)
{
    struct sm_kem_pub key;
    struct sm_kem_ct ct;
    size_t n = 0;
    enum sm_err e = sm_noise_read(&h->noise, body, key.b, h->is_pq ? sizeof key.b : 0, &n);
    if (e == SM_E_CRYPTO && h->pattern == SM_HAND_IK) {
        return answer_retry(h, SM_HAND_XX, h->cipher, out); /* it knows a key we had once */
    }
    SM_TRY(e);
    if (!h->is_pq) {
        return write_noise(h, rng, (struct sm_view){0}, out);
    }
    assert(n == sizeof key.b); /* as hello_bytes() has it */
    SM_TRY(answer_kem(h, rng, &key, &ct));
    return write_noise(h, rng, sm_view_of(ct.b, sizeof ct.b), out);
}

static enum sm_err read_hello(struct sm_handshake *h, struct sm_rng *rng,
                              const struct sm_hand *hello,
                              const uint8_t head[static SM_HAND_HEAD], struct sm_view body,
                              struct sm_wr *out)
{
    bool is_offered = hello->pq != 0;
    if (h->is_dialer || h->is_begun || !is_cipher(hello->cipher) || !is_cipher(hello->faster) ||
        hello->n != hello_bytes((enum sm_hand_pattern)hello->pattern, is_offered)) {
        return SM_E_MALFORMED;
    }
    h->tries++;
    mix_head(h, head);
    h->pattern = (enum sm_hand_pattern)hello->pattern;
    h->cipher = cipher_of_pair(hello->faster, (uint8_t)h->faster);
    h->is_pq = h->is_pq && is_offered;
    if (h->pq == SM_PQ_REQUIRE && !h->is_pq) {
        sm_handshake_refuse(SM_E_UNSUPPORTED, out);
        return SM_E_UNSUPPORTED;
    }
    if (h->cipher != (enum sm_aead_kind)hello->cipher || h->is_pq != is_offered) {
        return answer_retry(h, h->pattern, h->cipher, out);
    }
    SM_TRY(begin_noise(h));
    return answer_hello(h, rng, body, out);
}

/* -- dialer ------------------------------------------------------------------------------ */

/* Only what a responder may ask: a step from IK to XX, the cipher of the rule, to leave the KEM
 * out, or several at once. */
static bool is_retry_right(const struct sm_handshake *h, const struct sm_hand *retry)
{
    bool is_pq = retry->pq != 0;
    bool is_change =
        retry->pattern != h->pattern || retry->cipher != h->cipher || is_pq != h->is_pq;
    bool is_pattern = retry->pattern == h->pattern || retry->pattern == SM_HAND_XX;
    return is_change && is_pattern && (h->is_pq || !is_pq) && is_cipher(retry->faster) &&
           retry->cipher == cipher_of_pair((uint8_t)h->faster, retry->faster);
}

/* Only in answer to HELLO: after a message was read there is no way back. */
static bool waits_for_answer(const struct sm_handshake *h)
{
    return h->is_dialer && !h->is_working && !sm_noise_may_write(&h->noise) &&
           !sm_noise_is_done(&h->noise);
}

static enum sm_err read_retry(struct sm_handshake *h, struct sm_rng *rng,
                              const struct sm_hand *retry,
                              const uint8_t head[static SM_HAND_HEAD], struct sm_wr *out)
{
    if (!waits_for_answer(h) || !is_retry_right(h, retry)) {
        return SM_E_MALFORMED;
    }
    if (h->tries >= SM_HANDSHAKE_TRIES) {
        return SM_E_LIMIT;
    }
    mix_head(h, head);
    h->pattern = (enum sm_hand_pattern)retry->pattern;
    h->cipher = (enum sm_aead_kind)retry->cipher;
    h->is_pq = retry->pq != 0;
    return sm_handshake_start(h, rng, out);
}

/* Once: the answer to ADMIT is that of a responder who has let us in, or none. */
static enum sm_err take_cookie(struct sm_handshake *h, struct sm_rng *rng, struct sm_view body)
{
    if (!waits_for_answer(h) || h->has_cookie || h->tries > 1) {
        return SM_E_MALFORMED;
    }
    SM_TRY(sm_cookie_read(body, &h->cookie));
    h->has_cookie = true;
    h->is_working = true;
    h->nonce = sm_rng_u64(rng);
    return SM_OK;
}

bool sm_handshake_has_work(const struct sm_handshake *h)
{
    return h->is_working;
}

enum sm_err sm_handshake_work(struct sm_handshake *h, struct sm_wr *out)
{
    assert(h->is_working);
    for (unsigned i = 0; i < WORK_STEP; i++, h->nonce++) {
        if (!sm_puzzle_is_solved(&h->cookie, h->nonce)) {
            continue;
        }
        h->is_working = false;
        write_head(&(struct sm_hand){.kind = SM_HAND_ADMIT, .n = SM_ADMIT_BYTES}, out);
        sm_admit_write(&h->cookie, h->nonce, out);
        sm_wr_bytes(out, h->hello, h->hello_n);
        return out->full ? SM_E_LIMIT : SM_OK;
    }
    return SM_OK;
}

/* -- both -------------------------------------------------------------------------------- */

static enum sm_err read_next(struct sm_handshake *h, struct sm_rng *rng, struct sm_view body,
                             struct sm_wr *out)
{
    if (!h->is_begun || h->is_working) {
        return SM_E_MALFORMED;
    }
    if (h->is_dialer && h->is_pq) {
        SM_TRY(open_kem(h, &body)); /* a dialer reads one message, in XX and IK */
    }
    SM_TRY(read_noise(h, body));
    return sm_noise_may_write(&h->noise) ? write_noise(h, rng, (struct sm_view){0}, out)
                                         : SM_OK;
}

enum sm_err sm_handshake_read(struct sm_handshake *h, struct sm_rng *rng,
                              const uint8_t head[static SM_HAND_HEAD], struct sm_view body,
                              struct sm_wr *out)
{
    struct sm_hand hand;
    SM_TRY(sm_hand_read(head, &hand));
    assert(hand.n == body.n);
    switch ((enum sm_hand_kind)hand.kind) {
    case SM_HAND_HELLO:
        return read_hello(h, rng, &hand, head, body, out);
    case SM_HAND_NOISE:
        return read_next(h, rng, body, out);
    case SM_HAND_RETRY:
        return read_retry(h, rng, &hand, head, out);
    case SM_HAND_REFUSE:
        return h->is_dialer ? SM_E_REFUSED : SM_E_MALFORMED;
    case SM_HAND_COOKIE:
        return take_cookie(h, rng, body);
    case SM_HAND_ADMIT:
        return SM_E_MALFORMED; /* the door takes those it asked for */
    }
    return SM_E_MALFORMED;
}

bool sm_handshake_is_done(const struct sm_handshake *h)
{
    return h->is_begun && sm_noise_is_done(&h->noise);
}
