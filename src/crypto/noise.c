// SPDX-License-Identifier: Apache-2.0
/* Names and order follow the paper: https://noiseprotocol.org/noise.html, revision 34. */
#include "crypto/noise.h"

#include <assert.h>
#include <string.h>

enum token { END, E, S, EE, ES, SE, SS, PSK };

/* -- the patterns, sections 7.4, 7.5 and 18.1 -------------------------------------------- */

struct pattern {
    const char *name;
    bool knows_s, knows_rs; /* pre-messages "-> s" and "<- s" */
    const char *msg[SM_NOISE_MSGS_MAX];
};

static const struct pattern patterns[] = {
    {"N", false, true, {"e es"}},
    {"K", true, true, {"e es ss"}},
    {"X", false, true, {"e es s ss"}},

    {"NN", false, false, {"e", "e ee"}},
    {"NK", false, true, {"e es", "e ee"}},
    {"NX", false, false, {"e", "e ee s es"}},
    {"KN", true, false, {"e", "e ee se"}},
    {"KK", true, true, {"e es ss", "e ee se"}},
    {"KX", true, false, {"e", "e ee se s es"}},
    {"XN", false, false, {"e", "e ee", "s se"}},
    {"XK", false, true, {"e es", "e ee", "s se"}},
    {"XX", false, false, {"e", "e ee s es", "s se"}},
    {"IN", false, false, {"e s", "e ee se"}},
    {"IK", false, true, {"e es s ss", "e ee se"}},
    {"IX", false, false, {"e s", "e ee se s es"}},

    {"NK1", false, true, {"e", "e ee es"}},
    {"NX1", false, false, {"e", "e ee s", "es"}},
    {"X1N", false, false, {"e", "e ee", "s", "se"}},
    {"X1K", false, true, {"e es", "e ee", "s", "se"}},
    {"XK1", false, true, {"e", "e ee es", "s se"}},
    {"X1K1", false, true, {"e", "e ee es", "s", "se"}},
    {"X1X", false, false, {"e", "e ee s es", "s", "se"}},
    {"XX1", false, false, {"e", "e ee s", "es s se"}},
    {"X1X1", false, false, {"e", "e ee s", "es s", "se"}},
    {"K1N", true, false, {"e", "e ee", "se"}},
    {"K1K", true, true, {"e es", "e ee", "se"}},
    {"KK1", true, true, {"e", "e ee se es"}},
    {"K1K1", true, true, {"e", "e ee es", "se"}},
    {"K1X", true, false, {"e", "e ee s es", "se"}},
    {"KX1", true, false, {"e", "e ee se s", "es"}},
    {"K1X1", true, false, {"e", "e ee s", "se es"}},
    {"I1N", false, false, {"e s", "e ee", "se"}},
    {"I1K", false, true, {"e es s", "e ee", "se"}},
    {"IK1", false, true, {"e s", "e ee se es"}},
    {"I1K1", false, true, {"e s", "e ee es", "se"}},
    {"I1X", false, false, {"e s", "e ee s es", "se"}},
    {"IX1", false, false, {"e s", "e ee se s", "es"}},
    {"I1X1", false, false, {"e s", "e ee s", "se es"}},
};

/* -- parsing a protocol name, section 8 -------------------------------------------------- */

/* Take the name up to `until` off the front of *rest. */
static struct sm_view take(struct sm_view *rest, const char *until)
{
    size_t n = 0;
    while (n < rest->n && strchr(until, rest->p[n]) == NULL) {
        n++;
    }
    struct sm_view word = {rest->p, n};
    *rest = sm_view_sub(*rest, n + 1, rest->n);
    return word;
}

static bool is_word(struct sm_view v, const char *word)
{
    return sm_view_eq(v, sm_view_str(word));
}

static uint8_t token_of(struct sm_view word)
{
    static const char *const names[] = {
        [E] = "e", [S] = "s", [EE] = "ee", [ES] = "es", [SE] = "se", [SS] = "ss"};
    for (uint8_t t = E; t < SM_COUNT(names); t++) {
        if (is_word(word, names[t])) {
            return t;
        }
    }
    assert(false && "a token of our own table");
    return END;
}

static void put_pattern(struct sm_noise *n, const struct pattern *p)
{
    for (; n->msg_count < SM_NOISE_MSGS_MAX && p->msg[n->msg_count] != NULL; n->msg_count++) {
        struct sm_view words = sm_view_str(p->msg[n->msg_count]);
        for (size_t i = 0; words.n > 0; i++) {
            n->script[n->msg_count][i] = token_of(take(&words, " "));
        }
    }
}

/* "psk0" goes before the first message's tokens, "pskN" after those of message N. */
static enum sm_err put_psk(struct sm_noise *n, struct sm_view modifier)
{
    if (modifier.n != 4 || memcmp(modifier.p, "psk", 3) != 0 || modifier.p[3] < '0' ||
        modifier.p[3] > '0' + n->msg_count) {
        return SM_E_UNSUPPORTED;
    }
    size_t where = (size_t)(modifier.p[3] - '0');
    uint8_t *tokens = n->script[where == 0 ? 0 : where - 1];
    size_t count = strlen((const char *)tokens);
    if (count + 1 >= SM_NOISE_TOKENS || n->psk_count == SM_NOISE_PSKS_MAX) {
        return SM_E_UNSUPPORTED;
    }
    if (where == 0) {
        memmove(tokens + 1, tokens, count);
        tokens[0] = PSK;
    } else {
        tokens[count] = PSK;
    }
    n->psk_count++;
    return SM_OK;
}

static enum sm_err parse_pattern(struct sm_noise *n, struct sm_view word,
                                 const struct pattern **out)
{
    size_t base = 0;
    while (base < word.n && (word.p[base] < 'a' || word.p[base] > 'z')) {
        base++;
    }
    const struct pattern *found = NULL;
    for (size_t i = 0; i < SM_COUNT(patterns); i++) {
        if (is_word(sm_view_sub(word, 0, base), patterns[i].name)) {
            found = &patterns[i];
        }
    }
    if (found == NULL) {
        return SM_E_UNSUPPORTED;
    }
    put_pattern(n, found);
    struct sm_view modifiers = sm_view_sub(word, base, word.n);
    while (modifiers.n > 0) {
        SM_TRY(put_psk(n, take(&modifiers, "+")));
    }
    *out = found;
    return SM_OK;
}

static enum sm_err parse_cipher(struct sm_view word, enum sm_aead_kind *out)
{
    if (is_word(word, "AESGCM")) {
        *out = SM_AESGCM;
    } else if (is_word(word, "ChaChaPoly")) {
        *out = SM_CHACHAPOLY;
    } else {
        return SM_E_UNSUPPORTED;
    }
    return SM_OK;
}

static enum sm_err parse_hash(struct sm_view word, enum sm_hash_kind *out)
{
    static const char *const names[] = {[SM_SHA256] = "SHA256",
                                        [SM_SHA512] = "SHA512",
                                        [SM_BLAKE2S] = "BLAKE2s",
                                        [SM_BLAKE2B] = "BLAKE2b"};
    for (size_t i = 0; i < SM_COUNT(names); i++) {
        if (is_word(word, names[i])) {
            *out = (enum sm_hash_kind)i;
            return SM_OK;
        }
    }
    return SM_E_UNSUPPORTED;
}

static enum sm_err parse_name(struct sm_noise *n, const char *protocol,
                              const struct pattern **out)
{
    struct sm_view rest = sm_view_str(protocol);
    if (!is_word(take(&rest, "_"), "Noise")) {
        return SM_E_UNSUPPORTED;
    }
    SM_TRY(parse_pattern(n, take(&rest, "_"), out));
    if (!is_word(take(&rest, "_"), "25519")) {
        return SM_E_UNSUPPORTED;
    }
    SM_TRY(parse_cipher(take(&rest, "_"), &n->cipher));
    return parse_hash(rest, &n->hash);
}

/* -- SymmetricState, section 5.2 --------------------------------------------------------- */

static struct sm_view ck_of(const struct sm_noise *n)
{
    return sm_view_of(n->ck, sm_hash_len(n->hash));
}

static void mix_hash(struct sm_noise *n, struct sm_view data)
{
    struct sm_hash h;
    sm_hash_init(&h, n->hash);
    sm_hash_add(&h, sm_noise_hash(n));
    sm_hash_add(&h, data);
    sm_hash_end(&h, n->h);
}

/* HKDF(ck, ikm, count): HASHLEN bytes for each of `count` outputs. */
static void hkdf(const struct sm_noise *n, struct sm_view ikm, uint8_t *out, size_t count)
{
    enum sm_err e =
        sm_hkdf(n->hash, ck_of(n), ikm, (struct sm_view){0}, out, count * sm_hash_len(n->hash));
    assert(e == SM_OK); /* at most three hashes long */
}

static void set_key(struct sm_noise *n, const uint8_t *k)
{
    memcpy(n->k.b, k, sizeof n->k.b); /* a 64-byte output is truncated */
    n->has_key = true;
    n->nonce = 0;
}

static void mix_key(struct sm_noise *n, struct sm_view ikm)
{
    size_t len = sm_hash_len(n->hash);
    uint8_t out[2 * SM_HASH_MAX];
    hkdf(n, ikm, out, 2);
    memcpy(n->ck, out, len);
    set_key(n, out + len);
    sm_wipe(out, sizeof out);
}

static void mix_key_and_hash(struct sm_noise *n, struct sm_view ikm)
{
    size_t len = sm_hash_len(n->hash);
    uint8_t out[3 * SM_HASH_MAX];
    hkdf(n, ikm, out, 3);
    memcpy(n->ck, out, len);
    mix_hash(n, sm_view_of(out + len, len));
    set_key(n, out + 2 * len);
    sm_wipe(out, sizeof out);
}

static enum sm_err encrypt_and_hash(struct sm_noise *n, struct sm_view plain, struct sm_wr *w)
{
    size_t len = plain.n + (n->has_key ? SM_TAG_BYTES : 0);
    if (len > w->cap - w->n) {
        return SM_E_LIMIT;
    }
    uint8_t *to = w->p + w->n;
    if (n->has_key) {
        SM_CLEANUP(sm_aead_done) struct sm_aead a = {0};
        SM_TRY(sm_aead_init(&a, n->suite, n->cipher, &n->k));
        SM_TRY(sm_aead_seal(&a, n->nonce++, sm_noise_hash(n), plain, to));
    } else if (plain.n > 0) {
        memcpy(to, plain.p, plain.n);
    }
    w->n += len;
    mix_hash(n, sm_view_of(to, len));
    return SM_OK;
}

static enum sm_err decrypt_and_hash(struct sm_noise *n, struct sm_view text, uint8_t *out)
{
    if (n->has_key) {
        SM_CLEANUP(sm_aead_done) struct sm_aead a = {0};
        SM_TRY(sm_aead_init(&a, n->suite, n->cipher, &n->k));
        SM_TRY(sm_aead_open(&a, n->nonce++, sm_noise_hash(n), text, out));
    } else if (text.n > 0) {
        memcpy(out, text.p, text.n);
    }
    mix_hash(n, text);
    return SM_OK;
}

/* -- HandshakeState, section 5.3 --------------------------------------------------------- */

static enum sm_err mix_dh(struct sm_noise *n, const struct sm_dh_pair *own,
                          const struct sm_dh_pub *peer)
{
    struct sm_secret32 shared;
    SM_TRY(n->suite->dh(&own->priv, peer, &shared));
    mix_key(n, sm_view_of(shared.b, sizeof shared.b));
    sm_wipe(&shared, sizeof shared);
    return SM_OK;
}

/* Of the same two keys each time these two meet. */
static enum sm_err mix_static(struct sm_noise *n)
{
    if (n->known == NULL || sm_known_dh_find(n->known, &n->s.pub, &n->rs, &n->ss) != SM_OK) {
        SM_TRY(n->suite->dh(&n->s.priv, &n->rs, &n->ss));
    }
    n->has_ss = true;
    mix_key(n, sm_view_of(n->ss.b, sizeof n->ss.b));
    return SM_OK;
}

static void mix_ephemeral(struct sm_noise *n, const struct sm_dh_pub *e)
{
    mix_hash(n, sm_view_of(e->b, sizeof e->b));
    if (n->psk_count > 0) { /* section 9.2 */
        mix_key(n, sm_view_of(e->b, sizeof e->b));
    }
}

static enum sm_err mix_psk(struct sm_noise *n)
{
    assert(n->psk_at < n->psk_count);
    if (n->psk_at >= n->psk_given) {
        return SM_E_STATE;
    }
    const struct sm_secret32 *psk = &n->psk[n->psk_at++];
    mix_key_and_hash(n, sm_view_of(psk->b, sizeof psk->b));
    return SM_OK;
}

/* The tokens both sides treat alike.  "es" names the initiator's key first. */
static enum sm_err mix_token(struct sm_noise *n, uint8_t token)
{
    switch ((enum token)token) {
    case EE:
        return mix_dh(n, &n->e, &n->re);
    case ES:
        return n->is_initiator ? mix_dh(n, &n->e, &n->rs) : mix_dh(n, &n->s, &n->re);
    case SE:
        return n->is_initiator ? mix_dh(n, &n->s, &n->re) : mix_dh(n, &n->e, &n->rs);
    case SS:
        return mix_static(n);
    case PSK:
        return mix_psk(n);
    case E:
    case S:
    case END:
        break;
    }
    assert(false && "e and s are sent, not mixed");
    return SM_E_STATE;
}

static void write_e(struct sm_noise *n, struct sm_rng *rng, struct sm_wr *w)
{
    if (!n->has_e) {
        sm_dh_pair_make(n->suite, rng, &n->e);
        n->has_e = true;
    }
    sm_wr_bytes(w, n->e.pub.b, sizeof n->e.pub.b);
    mix_ephemeral(n, &n->e.pub);
}

static enum sm_err write_s(struct sm_noise *n, struct sm_wr *w)
{
    return encrypt_and_hash(n, sm_view_of(n->s.pub.b, sizeof n->s.pub.b), w);
}

static void read_e(struct sm_noise *n, struct sm_rd *r)
{
    sm_rd_bytes(r, n->re.b, sizeof n->re.b);
    mix_ephemeral(n, &n->re);
}

static enum sm_err read_s(struct sm_noise *n, struct sm_rd *r)
{
    size_t len = sizeof n->rs.b + (n->has_key ? SM_TAG_BYTES : 0);
    struct sm_view text = sm_rd_view(r, len);
    if (text.n < len) {
        return SM_E_TRUNCATED;
    }
    n->has_rs = true;
    return decrypt_and_hash(n, text, n->rs.b);
}

static enum sm_err write_tokens(struct sm_noise *n, struct sm_rng *rng, struct sm_wr *w)
{
    for (const uint8_t *t = n->script[n->msg_at]; *t != END; t++) {
        if (*t == E) {
            write_e(n, rng, w);
        } else if (*t == S) {
            SM_TRY(write_s(n, w));
        } else {
            SM_TRY(mix_token(n, *t));
        }
    }
    return SM_OK;
}

static enum sm_err read_tokens(struct sm_noise *n, struct sm_rd *r)
{
    for (const uint8_t *t = n->script[n->msg_at]; *t != END; t++) {
        if (*t == E) {
            read_e(n, r);
        } else if (*t == S) {
            SM_TRY(read_s(n, r));
        } else {
            SM_TRY(mix_token(n, *t));
        }
        if (r->failed) { /* before costing us a Diffie-Hellman */
            return SM_E_TRUNCATED;
        }
    }
    return SM_OK;
}

static void finish_message(struct sm_noise *n)
{
    n->msg_at++;
    if (n->msg_at == n->msg_count) {
        n->state = SM_NOISE_DONE;
    }
}

static enum sm_err write_message(struct sm_noise *n, struct sm_rng *rng, struct sm_view payload,
                                 struct sm_wr *w)
{
    SM_TRY(write_tokens(n, rng, w));
    SM_TRY(encrypt_and_hash(n, payload, w));
    struct sm_view written;
    SM_TRY(sm_wr_done(w, &written));
    finish_message(n);
    return SM_OK;
}

static enum sm_err read_message(struct sm_noise *n, struct sm_view msg, uint8_t *payload,
                                size_t cap, size_t *payload_n)
{
    if (msg.n > SM_NOISE_MSG_MAX) {
        return SM_E_LIMIT;
    }
    struct sm_rd r = sm_rd_init(msg);
    SM_TRY(read_tokens(n, &r));
    struct sm_view text = sm_rd_rest(&r);
    size_t tag = n->has_key ? SM_TAG_BYTES : 0;
    if (text.n < tag) {
        return SM_E_TRUNCATED;
    }
    if (text.n - tag > cap) {
        return SM_E_LIMIT;
    }
    SM_TRY(decrypt_and_hash(n, text, payload));
    finish_message(n);
    *payload_n = text.n - tag;
    return SM_OK;
}

/* -- what others call -------------------------------------------------------------------- */

/* Section 5.2, InitializeSymmetric. */
static void start_hash(struct sm_noise *n, const char *protocol)
{
    struct sm_view name = sm_view_str(protocol);
    if (name.n <= sm_hash_len(n->hash)) {
        memcpy(n->h, name.p, name.n);
    } else {
        struct sm_hash h;
        sm_hash_init(&h, n->hash);
        sm_hash_add(&h, name);
        sm_hash_end(&h, n->h);
    }
    memcpy(n->ck, n->h, sizeof n->ck);
}

static enum sm_err take_keys(struct sm_noise *n, const struct pattern *p,
                             const struct sm_noise_keys *keys)
{
    bool sends_s = false;
    for (size_t i = n->is_initiator ? 0 : 1; i < n->msg_count; i += 2) {
        sends_s = sends_s || memchr(n->script[i], S, SM_NOISE_TOKENS) != NULL;
    }
    bool needs_s = sends_s || (n->is_initiator ? p->knows_s : p->knows_rs);
    bool needs_rs = n->is_initiator ? p->knows_rs : p->knows_s;
    if ((needs_s && keys->s == NULL) || (needs_rs && keys->rs == NULL) ||
        keys->psk_count != (keys->is_psk_late ? 0 : n->psk_count)) {
        return SM_E_INVALID;
    }
    if (needs_s) {
        n->s = *keys->s;
    }
    n->known = keys->known;
    if (needs_rs) {
        n->rs = *keys->rs;
        n->has_rs = true;
    }
    for (; n->psk_given < keys->psk_count; n->psk_given++) {
        n->psk[n->psk_given] = keys->psks[n->psk_given];
    }
    return SM_OK;
}

/* The initiator's pre-message comes first. */
static void mix_pre_messages(struct sm_noise *n, const struct pattern *p)
{
    const struct sm_dh_pub *of_initiator = n->is_initiator ? &n->s.pub : &n->rs;
    const struct sm_dh_pub *of_responder = n->is_initiator ? &n->rs : &n->s.pub;
    if (p->knows_s) {
        mix_hash(n, sm_view_of(of_initiator->b, sizeof of_initiator->b));
    }
    if (p->knows_rs) {
        mix_hash(n, sm_view_of(of_responder->b, sizeof of_responder->b));
    }
}

enum sm_err sm_noise_init(struct sm_noise *n, const struct sm_suite *suite,
                          const char *protocol, bool is_initiator, struct sm_view prologue,
                          const struct sm_noise_keys *keys)
{
    SM_CLEANUP(sm_noise_wipe)
    struct sm_noise next = {.suite = suite, .is_initiator = is_initiator};
    const struct pattern *p;
    SM_TRY(parse_name(&next, protocol, &p));
    SM_TRY(take_keys(&next, p, keys));
    start_hash(&next, protocol);
    mix_hash(&next, prologue);
    mix_pre_messages(&next, p);
    next.state = SM_NOISE_RUNS;
    *n = next;
    return SM_OK;
}

enum sm_err sm_noise_psk(struct sm_noise *n, const struct sm_secret32 *psk)
{
    if (n->state != SM_NOISE_RUNS) {
        return SM_E_STATE;
    }
    if (n->psk_given == n->psk_count) {
        return SM_E_LIMIT;
    }
    n->psk[n->psk_given++] = *psk;
    return SM_OK;
}

bool sm_noise_may_write(const struct sm_noise *n)
{
    return n->state == SM_NOISE_RUNS && n->is_initiator == (n->msg_at % 2 == 0);
}

static bool may_read(const struct sm_noise *n)
{
    return n->state == SM_NOISE_RUNS && n->is_initiator != (n->msg_at % 2 == 0);
}

/* A message works on a copy, which replaces n when every check has passed. */
static enum sm_err commit(struct sm_noise *n, const struct sm_noise *next, enum sm_err e)
{
    if (e == SM_OK) {
        *n = *next;
    } else {
        sm_noise_wipe(n);
    }
    return e;
}

enum sm_err sm_noise_write(struct sm_noise *n, struct sm_rng *rng, struct sm_view payload,
                           uint8_t *out, size_t cap, size_t *out_n)
{
    if (!sm_noise_may_write(n)) {
        return SM_E_STATE;
    }
    SM_CLEANUP(sm_noise_wipe) struct sm_noise next = *n;
    struct sm_wr w = sm_wr_init(out, cap < SM_NOISE_MSG_MAX ? cap : SM_NOISE_MSG_MAX);
    SM_TRY(commit(n, &next, write_message(&next, rng, payload, &w)));
    *out_n = w.n;
    return SM_OK;
}

enum sm_err sm_noise_read(struct sm_noise *n, struct sm_view msg, uint8_t *payload, size_t cap,
                          size_t *payload_n)
{
    if (!may_read(n)) {
        return SM_E_STATE;
    }
    SM_CLEANUP(sm_noise_wipe) struct sm_noise next = *n;
    size_t got = 0;
    SM_TRY(commit(n, &next, read_message(&next, msg, payload, cap, &got)));
    *payload_n = got;
    return SM_OK;
}

bool sm_noise_is_done(const struct sm_noise *n)
{
    return n->state == SM_NOISE_DONE;
}

enum sm_err sm_noise_remote(const struct sm_noise *n, struct sm_dh_pub *out)
{
    if (!n->has_rs) {
        return SM_E_NOTFOUND;
    }
    *out = n->rs;
    return SM_OK;
}

void sm_noise_remember(const struct sm_noise *n, const struct sm_dh_pub *own)
{
    if (n->known != NULL && n->has_ss && n->has_rs) {
        sm_known_dh_add(n->known, own, &n->rs, &n->ss);
    }
}

struct sm_view sm_noise_hash(const struct sm_noise *n)
{
    return sm_view_of(n->h, sm_hash_len(n->hash));
}

/* HKDF(ck, input, 2): the first key is the initiator's to send with. */
static void key_pair(const struct sm_noise *n, struct sm_view input,
                     struct sm_secret32 *out_send, struct sm_secret32 *out_recv)
{
    size_t len = sm_hash_len(n->hash);
    uint8_t k[2 * SM_HASH_MAX];
    hkdf(n, input, k, 2);
    memcpy(out_send->b, k + (n->is_initiator ? 0 : len), sizeof out_send->b);
    memcpy(out_recv->b, k + (n->is_initiator ? len : 0), sizeof out_recv->b);
    sm_wipe(k, sizeof k);
}

/* The chaining key of a finished handshake meets no input but these and the empty one. */
enum sm_err sm_noise_export(const struct sm_noise *n, const char *label,
                            struct sm_secret32 *out_send, struct sm_secret32 *out_recv)
{
    if (n->state != SM_NOISE_DONE) {
        return SM_E_STATE;
    }
    assert(label[0] != '\0');
    key_pair(n, sm_view_str(label), out_send, out_recv);
    return SM_OK;
}

enum sm_err sm_noise_split(struct sm_noise *n, struct sm_secret32 *out_send,
                           struct sm_secret32 *out_recv)
{
    if (n->state != SM_NOISE_DONE) {
        return SM_E_STATE;
    }
    key_pair(n, (struct sm_view){0}, out_send, out_recv);

    struct sm_noise rest = {.hash = n->hash, .rs = n->rs, .has_rs = n->has_rs};
    if (n->known != NULL && n->has_ss) {
        rest.known = n->known;
        rest.ss = n->ss;
        rest.has_ss = true;
    }
    memcpy(rest.h, n->h, sizeof rest.h);
    sm_noise_wipe(n);
    *n = rest;
    sm_wipe(&rest, sizeof rest);
    return SM_OK;
}

void sm_noise_wipe(struct sm_noise *n)
{
    sm_wipe(n, sizeof *n);
}

void sm_noise_set_ephemeral(struct sm_noise *n, const struct sm_dh_pair *e)
{
    n->e = *e;
    n->has_e = true;
}
