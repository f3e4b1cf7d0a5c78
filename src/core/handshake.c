// SPDX-License-Identifier: Apache-2.0
#include "core/handshake.h"

#include "core/door.h"

#include <assert.h>
#include <string.h>

#define WORK_STEP 2048u /* hashes */

/* One Noise protocol a pattern and cipher; numbers as on the wire. */
static const char *protocol(enum sm_hand_pattern pattern, enum sm_aead_kind cipher)
{
    if (pattern == SM_HAND_IK) {
        return cipher == SM_AESGCM ? "Noise_IK_25519_AESGCM_SHA256"
                                   : "Noise_IK_25519_ChaChaPoly_SHA256";
    }
    return cipher == SM_AESGCM ? "Noise_XX_25519_AESGCM_SHA256"
                               : "Noise_XX_25519_ChaChaPoly_SHA256";
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
    struct sm_noise_keys keys = {
        .s = &h->own, .rs = h->is_dialer ? &h->peer : NULL, .known = h->known};
    SM_TRY(sm_noise_init(&h->noise, h->suite, protocol(h->pattern, h->cipher), h->is_dialer,
                         sm_view_of(h->prologue, h->prologue_n), &keys));
    h->is_begun = true;
    return SM_OK;
}

/* Noise messages of ours carry nothing: all that is said waits for the channel. */
static enum sm_err write_noise(struct sm_handshake *h, struct sm_rng *rng, struct sm_wr *out)
{
    uint8_t msg[SM_HANDSHAKE_OUT - SM_HAND_HEAD];
    size_t n;
    SM_TRY(sm_noise_write(&h->noise, rng, (struct sm_view){0}, msg, sizeof msg, &n));
    write_head(&(struct sm_hand){.kind = SM_HAND_NOISE, .n = (uint16_t)n}, out);
    sm_wr_bytes(out, msg, n);
    return out->full ? SM_E_LIMIT : SM_OK;
}

static enum sm_err read_noise(struct sm_handshake *h, struct sm_view msg)
{
    uint8_t none[1];
    size_t n;
    return sm_noise_read(&h->noise, msg, none, 0, &n);
}

/* The length of the first message is in the head that its own prologue needs. */
static uint16_t hello_bytes(enum sm_hand_pattern pattern)
{
    const unsigned e = 32, s = 32 + SM_TAG_BYTES, payload_tag = SM_TAG_BYTES;
    return (uint16_t)(pattern == SM_HAND_IK ? e + s + payload_tag : e);
}

enum sm_err sm_handshake_start(struct sm_handshake *h, struct sm_rng *rng, struct sm_wr *out)
{
    uint8_t head[SM_HAND_HEAD], msg[SM_HANDSHAKE_OUT - SM_HAND_HEAD];
    size_t n;
    h->tries++;
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_HELLO,
                                    .pattern = (uint8_t)h->pattern,
                                    .cipher = (uint8_t)h->cipher,
                                    .faster = (uint8_t)h->faster,
                                    .n = hello_bytes(h->pattern)},
                  head);
    mix_head(h, head);
    SM_TRY(begin_noise(h));
    SM_TRY(sm_noise_write(&h->noise, rng, (struct sm_view){0}, msg, sizeof msg, &n));
    assert(n == hello_bytes(h->pattern));
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
                                    .faster = (uint8_t)h->faster},
                  head);
    mix_head(h, head);
    sm_wr_bytes(out, head, sizeof head);
    h->is_begun = false;
    return SM_OK;
}

static enum sm_err read_hello(struct sm_handshake *h, struct sm_rng *rng,
                              const struct sm_hand *hello,
                              const uint8_t head[static SM_HAND_HEAD], struct sm_view body,
                              struct sm_wr *out)
{
    if (h->is_dialer || h->is_begun || !is_cipher(hello->cipher) || !is_cipher(hello->faster) ||
        hello->n != hello_bytes((enum sm_hand_pattern)hello->pattern)) {
        return SM_E_MALFORMED;
    }
    h->tries++;
    mix_head(h, head);
    h->pattern = (enum sm_hand_pattern)hello->pattern;
    h->cipher = cipher_of_pair(hello->faster, (uint8_t)h->faster);
    if (h->cipher != (enum sm_aead_kind)hello->cipher) {
        return answer_retry(h, h->pattern, h->cipher, out);
    }
    SM_TRY(begin_noise(h));
    enum sm_err e = read_noise(h, body);
    if (e == SM_E_CRYPTO && h->pattern == SM_HAND_IK) {
        return answer_retry(h, SM_HAND_XX, h->cipher, out); /* it knows a key we had once */
    }
    SM_TRY(e);
    return write_noise(h, rng, out);
}

/* -- dialer ------------------------------------------------------------------------------ */

/* Only what a responder may ask: a step from IK to XX, the cipher of the rule, or both. */
static bool is_retry_right(const struct sm_handshake *h, const struct sm_hand *retry)
{
    bool is_change = retry->pattern != h->pattern || retry->cipher != h->cipher;
    bool is_pattern = retry->pattern == h->pattern || retry->pattern == SM_HAND_XX;
    return is_change && is_pattern && is_cipher(retry->faster) &&
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
    SM_TRY(read_noise(h, body));
    return sm_noise_may_write(&h->noise) ? write_noise(h, rng, out) : SM_OK;
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
