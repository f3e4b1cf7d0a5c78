// SPDX-License-Identifier: Apache-2.0
#include "crypto/cose.h"
#include "crypto/montgomery.h"
#include "crypto/noise.h"
#include "crypto/suite_sim.h"
#include "t.h"

/* All suites must keep the same promises, but for secrecy.  The first is the real one; where
 * its AES is not OpenSSL's, the last is the real one with that. */
static const struct sm_suite *suites[3];
static size_t n_suites;

static struct sm_rng rng_of(const char *label)
{
    uint8_t seed[32] = {0};
    sm_put_le64(seed, t_seed());
    struct sm_rng r;
    sm_rng_init(&r, seed, label);
    return r;
}

static void unhex(const char *hex, uint8_t *out, size_t n)
{
    T_OK(sm_unhex(hex, strlen(hex), out, n));
}

#define T_HEX(got, hex)                                                                        \
    do {                                                                                       \
        uint8_t t_want_[sizeof(hex) / 2];                                                      \
        unhex((hex), t_want_, sizeof t_want_);                                                 \
        T_MEM((got), sizeof t_want_, t_want_, sizeof t_want_);                                 \
    } while (0)

/* -- rng --------------------------------------------------------------------------------- */

static void a_seed_and_a_label_give_one_stream(void)
{
    uint8_t seed[32] = {1}, a[1000], b[1000];
    struct sm_rng r;
    sm_rng_init(&r, seed, "one");
    sm_rng_bytes(&r, a, sizeof a);
    sm_rng_init(&r, seed, "one");
    for (size_t at = 0, n = 1; at < sizeof b; at += n, n = n * 2 + 1) { /* in other pieces */
        sm_rng_bytes(&r, b + at, at + n > sizeof b ? sizeof b - at : n);
    }
    T_MEM(a, sizeof a, b, sizeof b);
    sm_rng_init(&r, seed, "two");
    sm_rng_bytes(&r, b, sizeof b);
    T_TRUE(memcmp(a, b, 16) != 0);
    seed[31] = 1;
    sm_rng_init(&r, seed, "one");
    sm_rng_bytes(&r, b, sizeof b);
    T_TRUE(memcmp(a, b, 16) != 0);
}

static void what_was_drawn_is_no_longer_in_the_state(void)
{
    struct sm_rng r = rng_of("erase");
    uint8_t drawn[16];
    sm_rng_bytes(&r, drawn, sizeof drawn);
    T_TRUE(memmem(&r, sizeof r, drawn, sizeof drawn) == NULL);
}

static void below_reaches_every_value_and_no_other(void)
{
    struct sm_rng r = rng_of("below");
    unsigned seen[7] = {0};
    for (unsigned i = 0; i < 7000; i++) {
        uint64_t v = sm_rng_below(&r, 7);
        T_TRUE(v < 7);
        seen[v]++;
    }
    for (unsigned i = 0; i < 7; i++) {
        T_TRUE(seen[i] > 700);
    }
    T_EQ(sm_rng_below(&r, 1), 0);
    uint64_t most = (UINT64_C(1) << 63) + 1; /* half of all draws must be refused */
    for (unsigned i = 0; i < 100; i++) {
        T_TRUE(sm_rng_below(&r, most) < most);
    }
}

/* -- hashes ------------------------------------------------------------------------------ */

static void hashes_give_the_published_values(void)
{
    static const char *const of_abc[] = {
        /* FIPS 180-4 and RFC 7693, appendices A and B */
        [SM_SHA256] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        [SM_SHA512] = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                      "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        [SM_BLAKE2S] = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
        [SM_BLAKE2B] = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                       "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
    };
    for (enum sm_hash_kind k = SM_SHA256; k <= SM_BLAKE2B; k++) {
        struct sm_hash h;
        uint8_t got[SM_HASH_MAX], want[SM_HASH_MAX];
        sm_hash_init(&h, k);
        sm_hash_add(&h, sm_view_str("a"));
        sm_hash_add(&h, (struct sm_view){0});
        sm_hash_add(&h, sm_view_str("bc"));
        sm_hash_end(&h, got);
        unhex(of_abc[k], want, sm_hash_len(k));
        T_MEM(got, sm_hash_len(k), want, sm_hash_len(k));
    }
    uint8_t empty[32];
    sm_sha256((struct sm_view){0}, empty);
    T_HEX(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void a_hash_does_not_depend_on_the_pieces(void)
{
    struct sm_rng r = rng_of("pieces");
    uint8_t data[600];
    sm_rng_bytes(&r, data, sizeof data);
    for (enum sm_hash_kind k = SM_SHA256; k <= SM_BLAKE2B; k++) {
        for (size_t n = 0; n <= sizeof data; n += 1 + sm_rng_below(&r, 9)) {
            uint8_t whole[SM_HASH_MAX], pieces[SM_HASH_MAX];
            struct sm_hash h;
            sm_hash_init(&h, k);
            sm_hash_add(&h, sm_view_of(data, n));
            sm_hash_end(&h, whole);
            sm_hash_init(&h, k);
            size_t cut = (size_t)sm_rng_below(&r, n + 1);
            sm_hash_add(&h, sm_view_of(data, cut));
            sm_hash_add(&h, sm_view_of(data + cut, n - cut));
            sm_hash_end(&h, pieces);
            T_MEM(pieces, sm_hash_len(k), whole, sm_hash_len(k));
        }
    }
}

static void hmac_and_hkdf_give_the_published_values(void)
{
    uint8_t mac[32], okm[42];
    sm_hmac(SM_SHA256, sm_view_str("Jefe"), sm_view_str("what do ya want for nothing?"), mac);
    T_HEX(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");

    uint8_t ikm[22], salt[13], info[10]; /* RFC 5869, A.1 */
    memset(ikm, 0x0b, sizeof ikm);
    unhex("000102030405060708090a0b0c", salt, sizeof salt);
    unhex("f0f1f2f3f4f5f6f7f8f9", info, sizeof info);
    T_OK(sm_hkdf(SM_SHA256, sm_view_of(salt, 13), sm_view_of(ikm, 22), sm_view_of(info, 10),
                 okm, sizeof okm));
    T_HEX(okm, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
               "34007208d5b887185865");
    static uint8_t much[255 * 32 + 1];
    T_ERR(sm_hkdf_expand(SM_SHA256, sm_view_of(mac, 32), sm_view_str(""), much, sizeof much),
          SM_E_INVALID);
    T_OK(sm_hkdf_expand(SM_SHA256, sm_view_of(mac, 32), sm_view_str(""), much, 255 * 32));
}

/* -- suites ------------------------------------------------------------------------------ */

static void both_sides_of_diffie_hellman_agree(void)
{
    struct sm_rng r = rng_of("dh");
    for (size_t i = 0; i < n_suites; i++) {
        const struct sm_suite *s = suites[i];
        struct sm_dh_pair a, b, c;
        struct sm_secret32 ab, ba, cb;
        sm_dh_pair_make(s, &r, &a);
        sm_dh_pair_make(s, &r, &b);
        sm_dh_pair_make(s, &r, &c);
        T_OK(s->dh(&a.priv, &b.pub, &ab));
        T_OK(s->dh(&b.priv, &a.pub, &ba));
        T_OK(s->dh(&c.priv, &b.pub, &cb));
        T_TRUE(sm_secret_eq(&ab, &ba, 32));
        T_TRUE(!sm_secret_eq(&ab, &cb, 32));
    }
}

/* The public key comes by another way than the shared secret does. */
static void a_public_key_is_the_base_point_times_the_private_one(void)
{
    static const struct sm_dh_pub base = {{9}};
    const struct sm_suite *s = sm_suite_real();
    struct sm_rng r = rng_of("public key");
    for (unsigned i = 0; i < 500; i++) {
        struct sm_secret32 priv, by_ladder;
        struct sm_dh_pub pub;
        sm_rng_bytes(&r, priv.b, sizeof priv.b);
        if (i < 2) { /* the ends of the range */
            memset(priv.b, i == 0 ? 0 : 0xff, sizeof priv.b);
        }
        s->dh_pub(&priv, &pub);
        T_OK(s->dh(&priv, &base, &by_ladder));
        T_MEM(pub.b, 32, by_ladder.b, 32);
    }
}

static void a_point_becomes_the_number_of_the_published_map(void)
{
    /* RFC 7748: the base points, y = 4/5 and u = 9; then y = 0, 2 and p + 2 by the formula */
    static const struct {
        const char *y, *u;
    } cases[] = {
        {"5866666666666666666666666666666666666666666666666666666666666666",
         "0900000000000000000000000000000000000000000000000000000000000000"},
        {"58666666666666666666666666666666666666666666666666666666666666e6",
         "0900000000000000000000000000000000000000000000000000000000000000"},
        {"0000000000000000000000000000000000000000000000000000000000000000",
         "0100000000000000000000000000000000000000000000000000000000000000"},
        {"0200000000000000000000000000000000000000000000000000000000000000",
         "eaffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "eaffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "0000000000000000000000000000000000000000000000000000000000000000"},
    };
    for (size_t i = 0; i < SM_COUNT(cases); i++) {
        uint8_t y[32], want[32], got[32];
        unhex(cases[i].y, y, sizeof y);
        unhex(cases[i].u, want, sizeof want);
        sm_montgomery_u(y, got);
        T_MEM(got, sizeof got, want, sizeof want);
    }
}

static void a_peer_key_of_small_order_is_refused(void)
{
    static const char *const bad[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
    };
    struct sm_rng r = rng_of("small order");
    for (size_t i = 0; i < n_suites; i++) {
        struct sm_dh_pair own;
        sm_dh_pair_make(suites[i], &r, &own);
        for (size_t k = 0; k < SM_COUNT(bad); k++) {
            struct sm_dh_pub peer;
            struct sm_secret32 out = {{7}}, before = out;
            unhex(bad[k], peer.b, sizeof peer.b);
            T_ERR(suites[i]->dh(&own.priv, &peer, &out), SM_E_CRYPTO);
            T_TRUE(sm_secret_eq(&out, &before, sizeof out));
        }
    }
}

static void a_signature_holds_for_one_key_and_one_message(void)
{
    struct sm_rng r = rng_of("sign");
    for (size_t i = 0; i < n_suites; i++) {
        const struct sm_suite *s = suites[i];
        struct sm_sign_pair a, b;
        struct sm_sig sig;
        uint8_t msg[50];
        sm_sign_pair_make(s, &r, &a);
        sm_sign_pair_make(s, &r, &b);
        sm_rng_bytes(&r, msg, sizeof msg);
        struct sm_view m = {msg, sizeof msg};
        s->sign(&a, m, &sig);
        T_OK(s->verify(&a.pub, m, &sig));
        T_ERR(s->verify(&b.pub, m, &sig), SM_E_CRYPTO);
        T_ERR(s->verify(&a.pub, sm_view_sub(m, 0, 49), &sig), SM_E_CRYPTO);
        for (unsigned bit = 0; bit < 8 * sizeof sig; bit++) {
            sig.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
            T_ERR(s->verify(&a.pub, m, &sig), SM_E_CRYPTO);
            sig.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        struct sm_sign_pair forged = {.pub = a.pub}; /* the public half alone signs nothing */
        s->sign(&forged, m, &sig);
        T_ERR(s->verify(&a.pub, m, &sig), SM_E_CRYPTO);
    }
}

static void ed25519_gives_the_published_values(void)
{
    const struct sm_suite *s = sm_suite_real(); /* RFC 8032, 7.1, test 2 */
    struct sm_secret32 seed;
    struct sm_sign_pair key;
    struct sm_sig sig;
    unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", seed.b, 32);
    sm_sign_pair_from(s, &seed, &key);
    T_HEX(key.pub.b, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    s->sign(&key, sm_view_str("r"), &sig);
    T_HEX(sig.b, "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                 "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
}

/* One sealed message and all the ways to open it wrongly. */
static void check_aead(const struct sm_suite *s, enum sm_aead_kind kind, size_t n)
{
    struct sm_rng r = rng_of("aead");
    SM_CLEANUP(sm_aead_done) struct sm_aead a = {0};
    struct sm_secret32 key;
    uint8_t plain[300], sealed[300 + SM_TAG_BYTES], got[300], zeros[300] = {0};
    sm_rng_bytes(&r, key.b, sizeof key.b);
    sm_rng_bytes(&r, plain, n);
    struct sm_view ad = sm_view_str("head"), ct = {sealed, n + SM_TAG_BYTES};
    T_OK(sm_aead_init(&a, s, kind, &key));
    T_OK(sm_aead_seal(&a, 5, ad, sm_view_of(plain, n), sealed));
    T_OK(sm_aead_open(&a, 5, ad, ct, got));
    T_MEM(got, n, plain, n);

    T_ERR(sm_aead_open(&a, 6, ad, ct, got), SM_E_CRYPTO);
    T_MEM(got, n, zeros, n);
    T_ERR(sm_aead_open(&a, 5, sm_view_str("heae"), ct, got), SM_E_CRYPTO);
    T_ERR(sm_aead_open(&a, 5, (struct sm_view){0}, ct, got), SM_E_CRYPTO);
    T_ERR(sm_aead_open(&a, 5, ad, sm_view_sub(ct, 0, 15), got), SM_E_CRYPTO);
    T_ERR(sm_aead_open(&a, 5, ad, sm_view_sub(ct, 1, n + 15), got), SM_E_CRYPTO);
    for (size_t i = 0; i < ct.n; i++) {
        sealed[i] ^= 0x10;
        T_ERR(sm_aead_open(&a, 5, ad, ct, got), SM_E_CRYPTO);
        sealed[i] ^= 0x10;
    }
    T_ERR(sm_aead_seal(&a, UINT64_MAX, ad, sm_view_of(plain, n), sealed), SM_E_LIMIT);

    key.b[31] ^= 1; /* the same object under another key, and back again */
    T_OK(sm_aead_init(&a, s, kind, &key));
    T_ERR(sm_aead_open(&a, 5, ad, ct, got), SM_E_CRYPTO);
    key.b[31] ^= 1;
    T_OK(sm_aead_init(&a, s, kind == SM_AESGCM ? SM_CHACHAPOLY : SM_AESGCM, &key));
    T_ERR(sm_aead_open(&a, 5, ad, ct, got), SM_E_CRYPTO);
    T_OK(sm_aead_init(&a, s, kind, &key));
    T_OK(sm_aead_open(&a, 5, ad, ct, sealed)); /* in place */
    T_MEM(sealed, n, plain, n);
}

static void a_sealed_message_opens_only_as_it_was_sealed(void)
{
    static const size_t sizes[] = {0, 1, 16, 63, 300};
    for (size_t i = 0; i < n_suites; i++) {
        for (size_t k = 0; k < SM_COUNT(sizes); k++) {
            check_aead(suites[i], SM_AESGCM, sizes[k]);
            check_aead(suites[i], SM_CHACHAPOLY, sizes[k]);
        }
    }
}

/* Whoever computes a cipher, the bytes are the same: at every length around the blocks and the
 * strides of vector code, of text and of associated data, in place and not, aligned or not. */
static void a_text_in_parts_is_sealed_as_the_whole(void)
{
    static uint8_t plain[600], whole[600 + SM_TAG_BYTES], parts_out[600 + SM_TAG_BYTES];
    static const enum sm_aead_kind kinds[] = {SM_AESGCM, SM_CHACHAPOLY};
    struct sm_rng r = rng_of("parts");
    sm_rng_bytes(&r, plain, sizeof plain);
    for (size_t k = 0; k < n_suites * SM_COUNT(kinds); k++) {
        SM_CLEANUP(sm_aead_done) struct sm_aead a = {0};
        struct sm_secret32 key;
        sm_rng_bytes(&r, key.b, sizeof key.b);
        T_OK(sm_aead_init(&a, suites[k / SM_COUNT(kinds)], kinds[k % SM_COUNT(kinds)], &key));
        for (size_t n = 0; n <= sizeof plain; n += 1 + n / 40) {
            size_t c1 = (size_t)sm_rng_below(&r, n + 1), c2 = (size_t)sm_rng_below(&r, n + 1);
            size_t low = c1 < c2 ? c1 : c2, high = c1 < c2 ? c2 : c1;
            struct sm_view ad = {plain, n % 33};
            const struct sm_view parts[] = {
                {plain, low}, {plain + low, high - low}, {plain + high, n - high}};
            T_OK(sm_aead_seal(&a, n, ad, sm_view_of(plain, n), whole));
            T_OK(sm_aead_seal_parts(&a, n, ad, parts, SM_COUNT(parts), parts_out));
            T_MEM(parts_out, n + SM_TAG_BYTES, whole, n + SM_TAG_BYTES);
        }
    }
}

static void all_backends_make_the_same_bytes(void)
{
    static uint8_t plain[2100], a_out[2100 + SM_TAG_BYTES + 64],
        b_out[2100 + SM_TAG_BYTES + 64];
    struct sm_rng r = rng_of("backends");
    const struct sm_suite *by[2] = {sm_suite_real_with(SM_AES_OPENSSL),
                                    sm_suite_real_with(SM_AES_IPSEC_MB)};
    T_TRUE(by[0] != NULL);
    T_TRUE(sm_suite_real() == (by[1] != NULL ? by[1] : by[0]));
    if (by[1] == NULL) {
        return; /* there is but one here */
    }
    SM_CLEANUP(sm_aead_done) struct sm_aead a = {0}, b = {0};
    sm_rng_bytes(&r, plain, sizeof plain);
    for (size_t n = 0; n <= 2060; n++) {
        size_t ad_n = n % 67, shift = n % 64;
        struct sm_secret32 key;
        sm_rng_bytes(&r, key.b, sizeof key.b);
        T_OK(sm_aead_init(&a, by[0], SM_AESGCM, &key));
        T_OK(sm_aead_init(&b, by[1], SM_AESGCM, &key));
        struct sm_view ad = {plain + 1, ad_n}, text = {plain + n % 33, n};
        T_OK(sm_aead_seal(&a, n, ad, text, a_out));
        memcpy(b_out + shift, text.p, n);
        T_OK(sm_aead_seal(&b, n, ad, sm_view_of(b_out + shift, n), b_out + shift));
        T_MEM(b_out + shift, n + SM_TAG_BYTES, a_out, n + SM_TAG_BYTES);
        T_OK(sm_aead_open(&b, n, ad, sm_view_of(b_out + shift, n + SM_TAG_BYTES),
                          b_out + shift));
        T_MEM(b_out + shift, n, text.p, n);
    }
}

static uint64_t now_ns;

static uint64_t tick(void)
{
    return now_ns += 100000;
}

static uint64_t stand_still(void)
{
    return 0;
}

static void choosing_a_cipher_ends_and_chooses_one(void)
{
    enum sm_aead_kind k = sm_aead_fastest(tick);
    T_TRUE(k == SM_AESGCM || k == SM_CHACHAPOLY);
    k = sm_aead_fastest(stand_still);
    T_TRUE(k == SM_AESGCM || k == SM_CHACHAPOLY);
}

/* -- noise ------------------------------------------------------------------------------- */

struct pair {
    struct sm_rng rng;
    struct sm_dh_pair ks, kr;
    struct sm_secret32 psk;
    struct sm_noise i, r;
};

static void pair_keys(struct pair *p, const struct sm_suite *s)
{
    p->rng = rng_of("noise");
    sm_dh_pair_make(s, &p->rng, &p->ks);
    sm_dh_pair_make(s, &p->rng, &p->kr);
    sm_rng_bytes(&p->rng, p->psk.b, sizeof p->psk.b);
}

static void pair_start(struct pair *p, const struct sm_suite *s, const char *name)
{
    size_t psks = strstr(name, "psk") != NULL;
    struct sm_noise_keys ki = {&p->ks, &p->kr.pub, &p->psk, psks, NULL, false};
    struct sm_noise_keys kr = {&p->kr, &p->ks.pub, &p->psk, psks, NULL, false};
    T_OK(sm_noise_init(&p->i, s, name, true, sm_view_str("mesh"), &ki));
    T_OK(sm_noise_init(&p->r, s, name, false, sm_view_str("mesh"), &kr));
}

/* Carry one message from a to b, with byte `flip` changed when that is inside it. */
static enum sm_err pass(struct pair *p, struct sm_noise *a, struct sm_noise *b, size_t flip)
{
    uint8_t msg[256], payload[64];
    size_t msg_n, payload_n = 0;
    SM_TRY(sm_noise_write(a, &p->rng, sm_view_str("payload"), msg, sizeof msg, &msg_n));
    if (flip < msg_n) {
        msg[flip] ^= 1;
    }
    SM_TRY(sm_noise_read(b, sm_view_of(msg, msg_n), payload, sizeof payload, &payload_n));
    if (flip >= msg_n) {
        T_MEM(payload, payload_n, "payload", 7);
    }
    return SM_OK;
}

static void run_to_the_end(struct pair *p)
{
    while (!sm_noise_is_done(&p->i)) {
        bool first = sm_noise_may_write(&p->i);
        T_OK(pass(p, first ? &p->i : &p->r, first ? &p->r : &p->i, SIZE_MAX));
    }
    T_TRUE(sm_noise_is_done(&p->r));
}

static const char *const names[] = {
    "Noise_XX_25519_AESGCM_SHA256",         "Noise_IK_25519_AESGCM_SHA256",
    "Noise_XX_25519_ChaChaPoly_BLAKE2s",    "Noise_KK_25519_ChaChaPoly_SHA512",
    "Noise_NNpsk0_25519_AESGCM_BLAKE2b",    "Noise_X1X1_25519_AESGCM_SHA256",
    "Noise_XKpsk3_25519_ChaChaPoly_SHA256", "Noise_X_25519_ChaChaPoly_SHA256",
};

static void both_ends_of_a_handshake_hold_the_same_keys(void)
{
    for (size_t k = 0; k < n_suites * SM_COUNT(names); k++) {
        const struct sm_suite *s = suites[k % n_suites];
        struct pair p;
        struct sm_secret32 is, ir, rs, rr;
        pair_keys(&p, s);
        pair_start(&p, s, names[k / n_suites]);
        run_to_the_end(&p);
        T_TRUE(sm_view_eq(sm_noise_hash(&p.i), sm_noise_hash(&p.r)));
        T_OK(sm_noise_split(&p.i, &is, &ir));
        T_OK(sm_noise_split(&p.r, &rs, &rr));
        T_TRUE(sm_secret_eq(&is, &rr, 32) && sm_secret_eq(&ir, &rs, 32));
        T_TRUE(!sm_secret_eq(&is, &ir, 32));
        T_TRUE(sm_view_eq(sm_noise_hash(&p.i), sm_noise_hash(&p.r)));
        T_ERR(sm_noise_split(&p.i, &is, &ir), SM_E_STATE);
        T_TRUE(memmem(&p.i, sizeof p.i, p.ks.priv.b, 32) == NULL);
    }
}

static void known_start(struct pair *p, const struct sm_suite *s, struct sm_known_dh *of_i,
                        struct sm_known_dh *of_r)
{
    const char *name = "Noise_IK_25519_AESGCM_SHA256";
    T_OK(sm_noise_init(&p->i, s, name, true, sm_view_str("mesh"),
                       &(struct sm_noise_keys){.s = &p->ks, .rs = &p->kr.pub, .known = of_i}));
    T_OK(sm_noise_init(&p->r, s, name, false, sm_view_str("mesh"),
                       &(struct sm_noise_keys){.s = &p->kr, .known = of_r}));
}

static void a_peer_that_was_remembered_gets_the_same_handshake(void)
{
    static struct sm_known_dh of_i, of_r;
    for (size_t k = 0; k < n_suites; k++) {
        struct pair p;
        struct sm_secret32 is, ir, rs, rr;
        sm_known_dh_wipe(&of_i);
        sm_known_dh_wipe(&of_r);
        pair_keys(&p, suites[k]);
        for (uint64_t round = 0; round < 4; round++) {
            /* who forgot meets who did not */
            known_start(&p, suites[k], round == 3 ? NULL : &of_i, &of_r);
            run_to_the_end(&p);
            T_EQ(of_i.hits, round > 2 ? 1 : round > 1);
            T_EQ(of_r.hits, round > 1 ? round - 1 : 0);
            T_OK(sm_noise_split(&p.i, &is, &ir));
            T_OK(sm_noise_split(&p.r, &rs, &rr));
            T_TRUE(sm_secret_eq(&is, &rr, 32) && sm_secret_eq(&ir, &rs, 32));
            if (round > 0) { /* nothing is remembered before somebody says so */
                sm_noise_remember(&p.i, &p.ks.pub);
                sm_noise_remember(&p.r, &p.kr.pub);
            }
        }
    }
}

static void secrets_are_of_one_own_key_and_the_oldest_goes_first(void)
{
    static struct sm_known_dh k;
    struct sm_dh_pub own = {{1}}, other = {{2}}, peer = {{0}};
    struct sm_secret32 secret = {{0}}, got;
    sm_known_dh_wipe(&k);
    for (unsigned i = 0; i < SM_KNOWN_DH; i++) {
        sm_put_le32(peer.b, i);
        sm_put_le32(secret.b, i + 7);
        sm_known_dh_add(&k, &own, &peer, &secret);
    }
    sm_put_le32(peer.b, 0);
    T_OK(sm_known_dh_find(&k, &own, &peer, &got)); /* so that 1 is the oldest */
    T_EQ(sm_le32(got.b), 7);
    sm_put_le32(peer.b, SM_KNOWN_DH);
    sm_known_dh_add(&k, &own, &peer, &secret);
    T_OK(sm_known_dh_find(&k, &own, &peer, &got));
    sm_put_le32(peer.b, 1);
    T_ERR(sm_known_dh_find(&k, &own, &peer, &got), SM_E_NOTFOUND);
    sm_put_le32(peer.b, 0);
    T_ERR(sm_known_dh_find(&k, &other, &peer, &got), SM_E_NOTFOUND);
    sm_known_dh_add(&k, &other, &peer, &secret);
    T_ERR(sm_known_dh_find(&k, &own, &peer, &got), SM_E_NOTFOUND);
    T_OK(sm_known_dh_find(&k, &other, &peer, &got));
}

static void only_a_signature_that_held_is_known(void)
{
    static struct sm_known_sigs known;
    const struct sm_suite *s = sm_suite_real();
    struct sm_rng r = rng_of("known");
    struct sm_sign_pair a, b;
    struct sm_sig sig, bad;
    struct sm_view m = sm_view_str("a record"), other = sm_view_str("another");
    sm_sign_pair_make(s, &r, &a);
    sm_sign_pair_make(s, &r, &b);
    s->sign(&a, m, &sig);
    memset(&known, 0, sizeof known);
    for (uint64_t i = 0; i < 3; i++) {
        T_OK(sm_known_verify(&known, s, &a.pub, m, &sig));
        T_EQ(known.hits, i);
        T_ERR(sm_known_verify(&known, s, &b.pub, m, &sig), SM_E_CRYPTO);
        T_ERR(sm_known_verify(&known, s, &a.pub, other, &sig), SM_E_CRYPTO);
        for (size_t bit = 0; bit < 8 * sizeof sig.b; bit++) {
            bad = sig;
            bad.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
            T_ERR(sm_known_verify(&known, s, &a.pub, m, &bad), SM_E_CRYPTO);
        }
    }
}

static void each_end_of_xx_learns_the_other(void)
{
    struct pair p;
    struct sm_dh_pub got;
    pair_keys(&p, suites[0]);
    pair_start(&p, suites[0], names[0]);
    T_ERR(sm_noise_remote(&p.r, &got), SM_E_NOTFOUND);
    run_to_the_end(&p);
    T_OK(sm_noise_remote(&p.r, &got));
    T_MEM(got.b, 32, p.ks.pub.b, 32);
    T_OK(sm_noise_remote(&p.i, &got));
    T_MEM(got.b, 32, p.kr.pub.b, 32);
}

/* Every single changed byte must stop the handshake before both ends believe in it. */
static void a_changed_byte_ends_the_handshake(void)
{
    for (size_t k = 0; k < n_suites; k++) {
        for (size_t at = 0; at < 3; at++) {
            for (size_t flip = 0; flip < 32 + 48 + 7 + 16; flip++) {
                struct pair p;
                pair_keys(&p, suites[k]);
                pair_start(&p, suites[k], names[0]);
                struct sm_noise *side[] = {&p.i, &p.r};
                enum sm_err e = SM_OK;
                size_t m = 0;
                for (; m < 3 && e == SM_OK; m++) {
                    e = pass(&p, side[m % 2], side[(m + 1) % 2], m == at ? flip : SIZE_MAX);
                }
                static const size_t bytes[] = {32 + 7, 32 + 48 + 7 + 16, 48 + 7 + 16};
                if (flip >= bytes[at]) {
                    T_OK(e);
                    continue;
                }
                T_ERR(e, SM_E_CRYPTO);
                static const struct sm_noise dead;
                T_TRUE(memcmp(&p.i, &dead, sizeof dead) == 0 ||
                       memcmp(&p.r, &dead, sizeof dead) == 0);
            }
        }
    }
}

static void a_message_cut_short_ends_the_handshake(void)
{
    for (size_t n = 0; n < 32 + 48 + 7 + 16; n++) {
        struct pair p;
        uint8_t msg[256], payload[64];
        size_t msg_n, payload_n = 99;
        pair_keys(&p, suites[1]);
        pair_start(&p, suites[1], "Noise_XX_25519_AESGCM_SHA256");
        T_OK(pass(&p, &p.i, &p.r, SIZE_MAX));
        T_OK(sm_noise_write(&p.r, &p.rng, sm_view_str("payload"), msg, sizeof msg, &msg_n));
        enum sm_err e =
            sm_noise_read(&p.i, sm_view_of(msg, n), payload, sizeof payload, &payload_n);
        T_TRUE(e == SM_E_TRUNCATED || e == SM_E_CRYPTO);
        T_EQ(payload_n, 99);
        T_ERR(sm_noise_read(&p.i, sm_view_of(msg, msg_n), payload, sizeof payload, &payload_n),
              SM_E_STATE);
    }
}

static void a_handshake_with_the_wrong_key_prologue_or_psk_fails(void)
{
    for (size_t k = 0; k < n_suites; k++) {
        const char *name = "Noise_IKpsk2_25519_AESGCM_SHA256";
        const struct sm_suite *s = suites[k];
        struct pair p;
        struct sm_dh_pair other;
        struct sm_secret32 bad_psk = {{1}};
        pair_keys(&p, s);
        sm_dh_pair_make(s, &p.rng, &other);
        pair_start(&p, s, name);
        struct sm_noise_keys wrong_key = {&p.ks, &other.pub, &p.psk, 1, NULL, false};
        T_OK(sm_noise_init(&p.i, s, name, true, sm_view_str("mesh"), &wrong_key));
        T_ERR(pass(&p, &p.i, &p.r, SIZE_MAX), SM_E_CRYPTO);

        pair_start(&p, s, name);
        struct sm_noise_keys right = {&p.ks, &p.kr.pub, &p.psk, 1, NULL, false};
        T_OK(sm_noise_init(&p.i, s, name, true, sm_view_str("hsem"), &right));
        T_ERR(pass(&p, &p.i, &p.r, SIZE_MAX), SM_E_CRYPTO);

        pair_start(&p, s, name);
        struct sm_noise_keys wrong_psk = {&p.ks, &p.kr.pub, &bad_psk, 1, NULL, false};
        T_OK(sm_noise_init(&p.i, s, name, true, sm_view_str("mesh"), &wrong_psk));
        T_OK(pass(&p, &p.i, &p.r, SIZE_MAX));
        T_ERR(pass(&p, &p.r, &p.i, SIZE_MAX), SM_E_CRYPTO);
    }
}

static void turns_and_limits_are_kept(void)
{
    struct pair p;
    uint8_t msg[256], payload[64];
    size_t n = 7;
    pair_keys(&p, suites[1]);
    pair_start(&p, suites[1], names[0]);
    T_ERR(sm_noise_write(&p.r, &p.rng, sm_view_str(""), msg, sizeof msg, &n), SM_E_STATE);
    T_ERR(sm_noise_read(&p.i, sm_view_of(msg, 32), payload, sizeof payload, &n), SM_E_STATE);
    struct sm_secret32 a, b;
    T_ERR(sm_noise_split(&p.i, &a, &b), SM_E_STATE);
    T_ERR(sm_noise_write(&p.i, &p.rng, sm_view_str("x"), msg, 32, &n), SM_E_LIMIT);
    T_ERR(sm_noise_write(&p.i, &p.rng, sm_view_str("x"), msg, 33, &n), SM_E_STATE);
    T_ERR(sm_noise_read(&p.r, sm_view_of(msg, 100), payload, 10, &n), SM_E_LIMIT);
    T_EQ(n, 7);
}

static void an_unknown_protocol_or_a_missing_key_is_refused(void)
{
    static const char *const bad[] = {
        "",
        "Noise",
        "Noise_XX",
        "Noise_XX_448_AESGCM_SHA256",
        "Noise_XY_25519_AESGCM_SHA256",
        "Noise_XX_25519_AESGCM_SHA256_",
        "Noise_XX_25519_AESGCM_SHA1",
        "Noise_XXpsk4_25519_AESGCM_SHA256",
        "Noise_XXpsk_25519_AESGCM_SHA256",
        "Noise_XXfallback_25519_AESGCM_SHA256",
        "Noise_XXpsk0+psk0+psk0+psk0+psk0+psk0_25519_AESGCM_SHA256",
        "Noise__25519_AESGCM_SHA256",
    };
    struct pair p;
    pair_keys(&p, suites[1]);
    struct sm_noise_keys all = {&p.ks, &p.kr.pub, &p.psk, 0, NULL, false};
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        T_ERR(sm_noise_init(&p.i, suites[1], bad[i], true, sm_view_str(""), &all),
              SM_E_UNSUPPORTED);
    }
    struct sm_noise_keys no_peer = {.s = &p.ks}, no_own = {.rs = &p.kr.pub};
    const char *ik = "Noise_IK_25519_AESGCM_SHA256";
    T_ERR(sm_noise_init(&p.i, suites[1], ik, true, sm_view_str(""), &no_peer), SM_E_INVALID);
    T_ERR(sm_noise_init(&p.i, suites[1], ik, true, sm_view_str(""), &no_own), SM_E_INVALID);
    T_ERR(sm_noise_init(&p.r, suites[1], ik, false, sm_view_str(""), &no_own), SM_E_INVALID);
    T_OK(sm_noise_init(&p.r, suites[1], ik, false, sm_view_str(""), &no_peer));
}

/* -- cose -------------------------------------------------------------------------------- */

static void a_signed_message_comes_back_and_binds_all_its_parts(void)
{
    struct sm_rng r = rng_of("cose");
    for (size_t i = 0; i < n_suites; i++) {
        const struct sm_suite *s = suites[i];
        struct sm_sign_pair key, other;
        struct sm_cose m;
        uint8_t msg[200];
        size_t n;
        sm_sign_pair_make(s, &r, &key);
        sm_sign_pair_make(s, &r, &other);
        struct sm_view payload = sm_view_str("content"), aad = sm_view_str("record");
        T_OK(sm_cose_sign(s, &key, payload, aad, msg, sizeof msg, &n));
        T_OK(sm_cose_read(sm_view_of(msg, n), &m));
        T_TRUE(sm_view_eq(m.payload, payload));
        T_OK(sm_cose_verify(s, &m, &key.pub, aad));
        T_ERR(sm_cose_verify(s, &m, &other.pub, aad), SM_E_CRYPTO);
        T_ERR(sm_cose_verify(s, &m, &key.pub, sm_view_str("Record")), SM_E_CRYPTO);
        T_ERR(sm_cose_sign(s, &key, payload, aad, msg, n - 1, &n), SM_E_LIMIT);

        T_OK(sm_cose_sign(s, &key, payload, aad, msg, sizeof msg, &n));
        for (size_t at = 0; at < n; at++) { /* no byte may change unseen */
            for (unsigned bit = 0; bit < 8; bit++) {
                msg[at] ^= (uint8_t)(1u << bit);
                enum sm_err e = sm_cose_read(sm_view_of(msg, n), &m);
                T_TRUE(e != SM_OK || sm_cose_verify(s, &m, &key.pub, aad) == SM_E_CRYPTO);
                msg[at] ^= (uint8_t)(1u << bit);
            }
            T_TRUE(sm_cose_read(sm_view_of(msg, at), &m) != SM_OK);
        }
    }
}

static void other_algorithms_and_critical_headers_are_refused(void)
{
    static const struct {
        const char *headers; /* protected, as a string; unprotected */
        enum sm_err want;
    } cases[] = {
        {"43a10127a0", SM_OK},
        {"43a10127a104423131", SM_OK},
        {"48a201270443313131a0", SM_OK},
        {"43a10126a0", SM_E_UNSUPPORTED},               /* ES256 */
        {"41a0a0", SM_E_UNSUPPORTED},                   /* none */
        {"40a0", SM_E_TRUNCATED},                       /* no header at all */
        {"41a0a10127", SM_E_MALFORMED},                 /* where nobody signed it */
        {"43a10127a10127", SM_E_MALFORMED},             /* twice */
        {"47a201270281182aa0", SM_E_UNSUPPORTED},       /* critical: 42 */
        {"43a10127a10281182a", SM_E_MALFORMED},         /* critical, unsigned */
        {"46a20127044231a0", SM_E_TRUNCATED},           /* a kid cut short */
        {"47a2012704423131a104423131", SM_E_MALFORMED}, /* two kids */
        {"44a1013807a0", SM_E_MALFORMED},               /* -8 the long way */
        {"44a1012700a0", SM_E_MALFORMED},               /* bytes behind the header */
    };
    for (size_t i = 0; i < SM_COUNT(cases); i++) {
        char hex[300] = "d284";
        strcat(hex, cases[i].headers);
        strcat(hex, "41705840"); /* payload "p", and a signature */
        for (int k = 0; k < 64; k++) {
            strcat(hex, "aa");
        }
        uint8_t msg[150];
        struct sm_cose m;
        size_t n = strlen(hex) / 2;
        unhex(hex, msg, n);
        enum sm_err e = sm_cose_read(sm_view_of(msg, n), &m);
        if (e != cases[i].want) {
            t_fail(__FILE__, __LINE__, "%s gave %s, want %s", cases[i].headers, sm_err_name(e),
                   sm_err_name(cases[i].want));
        }
        msg[0] = 0xd1; /* COSE_Mac0's tag */
        T_TRUE(sm_cose_read(sm_view_of(msg, n), &m) != SM_OK);
    }
}

int main(int argc, char **argv)
{
    suites[n_suites++] = sm_suite_real();
    suites[n_suites++] = sm_suite_sim();
    if (sm_suite_real_with(SM_AES_OPENSSL) != suites[0]) {
        suites[n_suites++] = sm_suite_real_with(SM_AES_OPENSSL);
    }
    static const struct t_case cases[] = {
        T_CASE(a_seed_and_a_label_give_one_stream),
        T_CASE(what_was_drawn_is_no_longer_in_the_state),
        T_CASE(below_reaches_every_value_and_no_other),
        T_CASE(hashes_give_the_published_values),
        T_CASE(a_hash_does_not_depend_on_the_pieces),
        T_CASE(hmac_and_hkdf_give_the_published_values),
        T_CASE(both_sides_of_diffie_hellman_agree),
        T_CASE(a_public_key_is_the_base_point_times_the_private_one),
        T_CASE(a_point_becomes_the_number_of_the_published_map),
        T_CASE(a_peer_key_of_small_order_is_refused),
        T_CASE(a_signature_holds_for_one_key_and_one_message),
        T_CASE(ed25519_gives_the_published_values),
        T_CASE(a_sealed_message_opens_only_as_it_was_sealed),
        T_CASE(a_text_in_parts_is_sealed_as_the_whole),
        T_CASE(all_backends_make_the_same_bytes),
        T_CASE(choosing_a_cipher_ends_and_chooses_one),
        T_CASE(both_ends_of_a_handshake_hold_the_same_keys),
        T_CASE(a_peer_that_was_remembered_gets_the_same_handshake),
        T_CASE(secrets_are_of_one_own_key_and_the_oldest_goes_first),
        T_CASE(only_a_signature_that_held_is_known),
        T_CASE(each_end_of_xx_learns_the_other),
        T_CASE(a_changed_byte_ends_the_handshake),
        T_CASE(a_message_cut_short_ends_the_handshake),
        T_CASE(a_handshake_with_the_wrong_key_prologue_or_psk_fails),
        T_CASE(turns_and_limits_are_kept),
        T_CASE(an_unknown_protocol_or_a_missing_key_is_refused),
        T_CASE(a_signed_message_comes_back_and_binds_all_its_parts),
        T_CASE(other_algorithms_and_critical_headers_are_refused),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
