// SPDX-License-Identifier: Apache-2.0
/* ML-KEM beside X25519: when two ends use it, that it is mixed in, and that nobody in between
 * can talk them out of it.  The stand-in suite has a KEM that hides nothing, so the protocol is
 * tested everywhere; where the OpenSSL that is loaded has ML-KEM-768 (3.5), the real one runs
 * through the same cases and the published vectors. */
#include "base/map.h"
#include "core/door.h"
#include "core/handshake.h"
#include "crypto/hash.h"
#include "crypto/suite_sim.h"
#include "t.h"

/* -- the KEM itself ------------------------------------------------------------------------ */

/* Official ML-KEM-768 vectors as BoringSSL and OpenSSL publish them: d || z, m, SHA-256 of the
 * key, SHA-256 of the ciphertext, secret. */
static const char *const vectors[][5] = {
    {"7c9935a0b07694aa0c6d10e4db6b1add2fd81a25ccb148032dcd739936737f2d"
     "8626ed79d451140800e03b59b956f8210e556067407d13dc90fa9e8b872bfb8f",
     "147c03f7a5bebba406c8fae1874d7f13c80efe79a3a9a874cc09fe76f6997615",
     "86adbca81f4fee893e2fb58fb98aa2fe188f501fed268d7f4056f8c05c4e53c4",
     "36829a2f35cbf4deb62c0a12a15c22dae9f8d2c252566fc24f88abe805cb575e",
     "e7184a0975ee3470878d2d159ec83129c8aec253d4ee17b4810311d198cd0368"},
    {"d60b93492a1d8c1c7ba6fc0b733137f3406cee8110a93f170e7a78658af326d9"
     "003271531cf27285b8721ed5cb46853043b346a66cba6cf765f1b0eaa40bf672",
     "cde797df8ce67231f6c5d15811843e01eb2ab84c7490931240822adbddd72046",
     "858915faa304fb5beed7d653189707b34a27504dd254ffb12ad47392a0c1ad4a",
     "22ddb185d097bbf15e84e745d02ec3cc2fe03e35cecca7066db063673c10a683",
     "5f0c5d9f39d3e724b5a2bd54e69e360f72ffab5d4d6cc5e572fecba80acd4796"},
    {"4b622de1350119c45a9f2e2ef3dc5df50a759d138cdfbd64c81cc7cc2f513345"
     "e82fcc97ca60ccb27bf6938c975658aeb8b4d37cffbde25d97e561f36c219ade",
     "f43f68fbd694f0a6d307297110ecd4739876489fdf07eb9b03364e2ed0ff96e9",
     "abdbf1e55c0f6132e2a7d4d5a765922004fce0aaa4ad71603203842aafab0750",
     "137bb72b8c35c7186937bf32e61d088491e264706d13fb3afa937e5e9719ce9c",
     "7f3bcc03a35a0030255264914e5d88a0c93611c7ca21f0609678a88ca42ce1c9"},
    {"050d58f9f757edc1e8180e3808b806f5bbb3586db3470b069826d1bb9a4efc2c"
     "de950541fd53a8a47aaa8cdfe80d928262a5ef7f8129ec3ef92f78d7cc32ef60",
     "ea74fbc3c546500ed684bed6fe3c496d3b86d2d6dfaf223969b942e9a8c95e85",
     "761246e49267216d1c83749007708110ab03c7bc3bddea251c1a6679ca2c86e1",
     "c9064416a8da5b524221cbc0a7cfb2b1a6895f6d1adf164a37e773b03e5a7de5",
     "c630736985fdb7830d7446e18b6b81fa4a707a6058964b99190120de85e7559c"},
    {"66b79b844e0c2adad694e0478661ac46fe6b6001f6a71ff8e2f034b1fd8833d3"
     "be2d3c64d38269a1ee8660b9a2beaeb9f5ac022e8f0a357feebfd13b06813854",
     "64efa87a12cb96f98b9b81a7e5128a959c74e5332aaab0444fca7b4a5e5e0216",
     "baee6bf318b50eea75613d20366ee008eb5b8b7f5db559b0f660f4d6b44346bc",
     "6ebb176a676bfa5e3b2ab94bb9be9afd771202ffa2cf6d9ee29bed38e2727710",
     "41e078d0d0c4fe5df5c6683171d5c1c3f1ef152c4945f9cb299f74278ce4cc4f"},
};

static void unhex(const char *hex, uint8_t *out, size_t n)
{
    T_OK(sm_unhex(hex, strlen(hex), out, n));
}

static void want_hash(const void *p, size_t n, const char *hex)
{
    uint8_t got[32], want[32];
    sm_sha256(sm_view_of(p, n), got);
    unhex(hex, want, sizeof want);
    T_MEM(got, 32, want, 32);
}

static const struct sm_suite *real_with_kem(void)
{
    const struct sm_suite *s = sm_suite_real();
    if (!sm_suite_has_kem(s)) {
        t_skip("this OpenSSL has no ML-KEM-768; 3.5 has");
    }
    return s;
}

static void ml_kem_gives_the_published_answers(void)
{
    const struct sm_suite *s = real_with_kem();
    for (size_t i = 0; i < SM_COUNT(vectors); i++) {
        struct sm_kem_seed seed;
        struct sm_kem_pub pub;
        struct sm_kem_ct ct;
        struct sm_secret32 m, secret, want;
        unhex(vectors[i][0], seed.b, sizeof seed.b);
        unhex(vectors[i][1], m.b, sizeof m.b);
        unhex(vectors[i][4], want.b, sizeof want.b);
        T_OK(s->kem_pub(&seed, &pub));
        want_hash(pub.b, sizeof pub.b, vectors[i][2]);
        T_OK(s->kem_wrap(&pub, &m, &ct, &secret));
        want_hash(ct.b, sizeof ct.b, vectors[i][3]);
        T_MEM(secret.b, 32, want.b, 32);
        T_OK(s->kem_open(&seed, &ct, &secret));
        T_MEM(secret.b, 32, want.b, 32);
    }
}

/* What every suite's KEM promises. */
static void kem_keeps_its_promises(const struct sm_suite *s)
{
    struct sm_kem_seed seed = {{1}};
    struct sm_kem_pub pub;
    struct sm_kem_ct ct, ct2;
    struct sm_secret32 m = {{2}}, a, b;
    sm_put_le64(seed.b + 8, t_seed());
    T_OK(s->kem_pub(&seed, &pub));
    T_OK(s->kem_wrap(&pub, &m, &ct, &a));
    T_OK(s->kem_open(&seed, &ct, &b));
    T_MEM(a.b, 32, b.b, 32);
    for (size_t at = 0; at < sizeof ct.b; at += 31) { /* no error, and no secret of anybody's */
        ct2 = ct;
        ct2.b[at] ^= 1;
        T_OK(s->kem_open(&seed, &ct2, &b));
        T_TRUE(memcmp(a.b, b.b, 32) != 0);
    }
    m.b[0]++;
    T_OK(s->kem_wrap(&pub, &m, &ct2, &b));
    T_TRUE(memcmp(a.b, b.b, 32) != 0 && memcmp(&ct, &ct2, sizeof ct) != 0);
    memset(pub.b, 0xff, 96); /* coefficients above the modulus */
    T_ERR(s->kem_wrap(&pub, &m, &ct, &a), SM_E_CRYPTO);
}

static void the_kem_of_the_stand_in_behaves_like_one(void)
{
    kem_keeps_its_promises(sm_suite_sim());
}

static void the_real_kem_behaves_like_one(void)
{
    kem_keeps_its_promises(real_with_kem());
}

static bool never(void)
{
    return false;
}

/* As an OpenSSL before 3.5. */
static struct sm_suite without_kem(const struct sm_suite *s)
{
    struct sm_suite copy = *s;
    copy.has_kem = never;
    return copy;
}

static void a_library_without_it_says_so(void)
{
    struct sm_suite old = without_kem(sm_suite_sim());
    T_TRUE(!sm_suite_has_kem(&old) && sm_suite_has_kem(sm_suite_sim()));
    if (!sm_suite_has_kem(sm_suite_real())) {
        struct sm_kem_seed seed = {{1}};
        struct sm_kem_pub pub;
        T_ERR(sm_suite_real()->kem_pub(&seed, &pub), SM_E_UNSUPPORTED);
    }
}

#ifdef SM_DEV_ROOT
#include "tunnel_rig.h"

#define T0 RIG_T0

struct pair {
    struct rig_mesh m;
    struct rig_node na, nb;
    struct sm_tunnel_cfg ca, cb;
    struct rig_end a, b;
};

static struct pair *pair_make(const struct sm_suite *suite, enum sm_pq a, enum sm_pq b)
{
    struct pair *p = calloc(1, sizeof *p);
    T_TRUE(p != NULL);
    rig_mesh_make(&p->m, suite, t_seed());
    rig_node_make(&p->m, &p->na);
    rig_node_make(&p->m, &p->nb);
    p->ca = rig_cfg(&p->m, &p->na, true);
    p->cb = rig_cfg(&p->m, &p->nb, false);
    p->ca.pq = a;
    p->cb.pq = b;
    return p;
}

static void pair_open(struct pair *p)
{
    rig_end_open(&p->a, &p->na, &p->ca, T0);
    rig_end_open(&p->b, &p->nb, &p->cb, T0);
    rig_drain(&p->a, T0);
}

static void pair_free(struct pair *p)
{
    rig_end_free(&p->a);
    rig_end_free(&p->b);
    free(p);
}

/* -- who uses it ----------------------------------------------------------------------------
 */

enum can { NEITHER = 0, A = 1, B = 2, BOTH = 3 };

struct meeting {
    enum sm_pq a, b;
    enum can can;
    enum { PLAIN, HYBRID, REFUSED } want;
};

static const struct meeting meetings[] = {
    {SM_PQ_AUTO, SM_PQ_AUTO, BOTH, HYBRID},    {SM_PQ_REQUIRE, SM_PQ_AUTO, BOTH, HYBRID},
    {SM_PQ_AUTO, SM_PQ_REQUIRE, BOTH, HYBRID}, {SM_PQ_REQUIRE, SM_PQ_REQUIRE, BOTH, HYBRID},
    {SM_PQ_AUTO, SM_PQ_OFF, BOTH, PLAIN},      {SM_PQ_OFF, SM_PQ_AUTO, BOTH, PLAIN},
    {SM_PQ_OFF, SM_PQ_OFF, BOTH, PLAIN},       {SM_PQ_AUTO, SM_PQ_AUTO, A, PLAIN},
    {SM_PQ_AUTO, SM_PQ_AUTO, B, PLAIN},        {SM_PQ_AUTO, SM_PQ_AUTO, NEITHER, PLAIN},
    {SM_PQ_REQUIRE, SM_PQ_OFF, BOTH, REFUSED}, {SM_PQ_OFF, SM_PQ_REQUIRE, BOTH, REFUSED},
    {SM_PQ_REQUIRE, SM_PQ_AUTO, A, REFUSED},   {SM_PQ_AUTO, SM_PQ_REQUIRE, B, REFUSED},
    {SM_PQ_REQUIRE, SM_PQ_AUTO, B, REFUSED}, /* before a byte is sent */
    {SM_PQ_AUTO, SM_PQ_REQUIRE, A, REFUSED},
};

static void meet(const struct sm_suite *suite, const struct meeting *w, bool is_ik,
                 enum sm_aead_kind slower)
{
    struct sm_suite old = without_kem(suite);
    struct pair *p = pair_make(suite, w->a, w->b);
    p->ca.suite = (w->can & A) != 0 ? suite : &old;
    p->cb.suite = (w->can & B) != 0 ? suite : &old;
    p->ca.peer = is_ik ? &p->nb.dh.pub : NULL;
    p->cb.faster = slower;
    pair_open(p);
    rig_run(&p->a, &p->b, T0);
    T_EQ(p->a.is_up && p->b.is_up, w->want != REFUSED);
    T_EQ(sm_tunnel_is_pq(p->a.t), w->want == HYBRID);
    T_EQ(sm_tunnel_is_pq(p->b.t), w->want == HYBRID);
    if (w->want == REFUSED) {
        T_TRUE(p->a.is_down && !p->a.is_up && !p->b.is_up);
        T_TRUE(strstr(p->a.reason, "ML-KEM-768") != NULL);
    } else {
        T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_str("hello")));
        rig_run(&p->a, &p->b, T0);
        T_MEM(p->b.last.p, p->b.last.n, "hello", 5);
    }
    pair_free(p);
}

static void meet_all(const struct sm_suite *suite)
{
    for (size_t i = 0; i < SM_COUNT(meetings); i++) {
        for (int k = 0; k < 4; k++) {
            meet(suite, &meetings[i], k % 2 != 0, k / 2 != 0 ? SM_CHACHAPOLY : SM_AESGCM);
        }
    }
}

static void it_is_used_when_both_can_and_refused_when_one_must(void)
{
    meet_all(sm_suite_sim());
}

static void the_same_with_the_real_one(void)
{
    meet_all(real_with_kem());
}

static void an_old_key_leads_to_xx_with_a_fresh_kem_key(void)
{
    struct pair *p = pair_make(sm_suite_sim(), SM_PQ_REQUIRE, SM_PQ_REQUIRE);
    struct sm_dh_pair old;
    sm_dh_pair_make(p->m.suite, &p->m.rng, &old);
    p->ca.peer = &old.pub;
    p->cb.faster = SM_CHACHAPOLY; /* two retries */
    pair_open(p);
    rig_run(&p->a, &p->b, T0);
    T_TRUE(p->a.is_up && p->b.is_up && sm_tunnel_is_pq(p->a.t));
    pair_free(p);
}

/* -- that it is mixed in ---------------------------------------------------------------------
 */

static unsigned wraps, opens;

static enum sm_err count_wrap(const struct sm_kem_pub *to, const struct sm_secret32 *m,
                              struct sm_kem_ct *out_ct, struct sm_secret32 *out)
{
    wraps++;
    return sm_suite_sim()->kem_wrap(to, m, out_ct, out);
}

/* Somebody who can do all that X25519 hides, but has not the KEM's key. */
static enum sm_err guess_open(const struct sm_kem_seed *seed, const struct sm_kem_ct *ct,
                              struct sm_secret32 *out)
{
    opens++;
    enum sm_err e = sm_suite_sim()->kem_open(seed, ct, out);
    out->b[31] ^= 1;
    return e;
}

static void without_the_kems_secret_there_is_no_tunnel(void)
{
    for (int ik = 0; ik < 2; ik++) {
        struct pair *p = pair_make(sm_suite_sim(), SM_PQ_AUTO, SM_PQ_AUTO);
        struct sm_suite guesses = *sm_suite_sim();
        guesses.kem_open = guess_open;
        p->ca.suite = &guesses;
        p->ca.peer = ik != 0 ? &p->nb.dh.pub : NULL;
        opens = 0;
        pair_open(p);
        rig_run(&p->a, &p->b, T0);
        T_EQ(opens, 1);
        T_TRUE(p->a.is_down && !p->a.is_up && !p->b.is_up);
        T_ERR(p->a.err, SM_E_CRYPTO);
        pair_free(p);
    }
}

/* A KEM whose secret does not depend on all of the ciphertext: the psk does. */
static enum sm_err malleable_open(const struct sm_kem_seed *seed, const struct sm_kem_ct *ct,
                                  struct sm_secret32 *out)
{
    struct sm_kem_ct same = *ct;
    sm_put_le64(same.b + sizeof same.b - 8, sm_siphash(same.b, 32, 12, sizeof same.b - 8));
    return sm_suite_sim()->kem_open(seed, &same, out);
}

static void a_ciphertext_is_bound_whatever_the_kem_makes_of_it(void)
{
    for (int flip = 0; flip < 2; flip++) {
        struct pair *p = pair_make(sm_suite_sim(), SM_PQ_AUTO, SM_PQ_AUTO);
        struct sm_suite malleable = *sm_suite_sim();
        malleable.kem_open = malleable_open;
        p->ca.suite = &malleable;
        pair_open(p);
        rig_carry(&p->a, &p->b, T0);
        p->b.wire.p[SM_HAND_HEAD + SM_KEM_CT - 1] ^= (uint8_t)flip;
        rig_run(&p->a, &p->b, T0);
        T_EQ(p->a.is_up && p->b.is_up, flip == 0);
        pair_free(p);
    }
}

/* Two handshakes with the same keys of X25519 and other secrets of the KEM: nothing of what
 * they end in may be the same. */
static void shake(struct sm_handshake *a, struct sm_handshake *b, struct sm_rng *ra,
                  struct sm_rng *rb)
{
    uint8_t buf[2][SM_HANDSHAKE_OUT];
    struct sm_wr w = sm_wr_init(buf[0], sizeof buf[0]);
    T_OK(sm_handshake_start(a, ra, &w));
    for (int i = 1; w.n > 0; i++) {
        struct sm_handshake *h = i % 2 == 1 ? b : a;
        struct sm_view body = sm_view_of(w.p + SM_HAND_HEAD, w.n - SM_HAND_HEAD);
        struct sm_wr next = sm_wr_init(buf[i % 2], sizeof buf[0]);
        T_OK(sm_handshake_read(h, i % 2 == 1 ? rb : ra, w.p, body, &next));
        w = next;
    }
    T_TRUE(sm_handshake_is_done(a) && sm_handshake_is_done(b));
}

static void secrets_are_wiped_once_used(void)
{
    static const struct sm_kem_seed zeros;
    struct rig_mesh m;
    struct rig_node na, nb;
    static struct sm_handshake a, b;
    rig_mesh_make(&m, sm_suite_sim(), t_seed());
    rig_node_make(&m, &na);
    rig_node_make(&m, &nb);
    sm_handshake_init(&a, m.suite, &m.anchor, true, SM_AESGCM, &na.dh, &nb.dh.pub, NULL);
    sm_handshake_init(&b, m.suite, &m.anchor, false, SM_AESGCM, &nb.dh, NULL, NULL);
    sm_handshake_pq(&a, SM_PQ_AUTO);
    sm_handshake_pq(&b, SM_PQ_AUTO);
    shake(&a, &b, &m.rng, &m.rng);
    T_TRUE(a.is_pq && b.is_pq);
    T_MEM(a.kem.b, sizeof a.kem.b, zeros.b, sizeof zeros.b);
    struct sm_secret32 k[4];
    T_OK(sm_noise_split(&a.noise, &k[0], &k[1]));
    T_OK(sm_noise_split(&b.noise, &k[2], &k[3]));
    T_MEM(k[0].b, 32, k[3].b, 32);
    T_EQ(a.noise.psk_given + b.noise.psk_given, 0); /* split forgets the psks */
}

static void every_hello_has_a_fresh_kem_key(void)
{
    struct rig_mesh m;
    struct rig_node na;
    static struct sm_handshake a, b;
    uint8_t buf[2][SM_HANDSHAKE_OUT];
    rig_mesh_make(&m, sm_suite_sim(), t_seed());
    rig_node_make(&m, &na);
    for (int i = 0; i < 2; i++) {
        struct sm_handshake *h = i == 0 ? &a : &b;
        struct sm_wr w = sm_wr_init(buf[i], sizeof buf[i]);
        sm_handshake_init(h, m.suite, &m.anchor, true, SM_AESGCM, &na.dh, NULL, NULL);
        sm_handshake_pq(h, SM_PQ_AUTO);
        T_OK(sm_handshake_start(h, &m.rng, &w));
        T_EQ(w.n, SM_HAND_HEAD + 32 + SM_KEM_PUB + SM_TAG_BYTES);
    }
    T_TRUE(memcmp(a.kem.b, b.kem.b, sizeof a.kem.b) != 0);
    T_TRUE(memcmp(a.kem_hash, b.kem_hash, 32) != 0);
}

/* -- who is in between ------------------------------------------------------------------------
 */

/* Each byte of what `dir` sends in the handshake, changed in one bit. */
static bool run_flipped(struct pair *p, int dir, size_t at, unsigned bit)
{
    size_t done[2] = {0};
    bool is_flipped = false;
    pair_open(p);
    while (p->a.wire.n + p->b.wire.n > 0) {
        for (int i = 0; i < 2; i++) {
            struct rig_end *from = i == 0 ? &p->a : &p->b, *to = i == 0 ? &p->b : &p->a;
            if (i == dir && at >= done[i] && at < done[i] + from->wire.n) {
                from->wire.p[at - done[i]] ^= (uint8_t)(1u << bit);
                is_flipped = true;
            }
            done[i] += from->wire.n;
            rig_carry(from, to, T0);
        }
    }
    return is_flipped;
}

static void no_flipped_bit_of_a_hybrid_handshake_survives(void)
{
    struct sm_rng rng;
    uint8_t seed[32] = {0};
    sm_put_le64(seed, t_seed());
    sm_rng_init(&rng, seed, "flips");
    for (int mode = 0; mode < 4; mode++) {
        int dir = mode % 2;
        for (size_t at = 0;; at++) {
            struct pair *p = pair_make(sm_suite_sim(), SM_PQ_AUTO, SM_PQ_AUTO);
            p->ca.peer = mode < 2 ? NULL : &p->nb.dh.pub;
            bool is_flipped = run_flipped(p, dir, at, (unsigned)sm_rng_below(&rng, 8));
            struct rig_end *hearer = dir == 0 ? &p->b : &p->a;
            /* An IK message that does not open leads to XX, which nobody has touched. */
            bool is_retried = mode == 2 && at >= SM_HAND_HEAD &&
                              at < SM_HAND_HEAD + SM_HAND_HELLO_MAX && hearer->is_up &&
                              sm_tunnel_is_pq(hearer->t);
            T_TRUE(!is_flipped || !hearer->is_up || is_retried);
            pair_free(p);
            if (!is_flipped) {
                T_TRUE(at > 1400);
                break;
            }
        }
    }
}

/* A RETRY that the responder never sent, in front of what it does. */
static void a_forged_retry_without_it_ends_the_handshake(void)
{
    for (int ik = 0; ik < 2; ik++) {
        uint8_t retry[SM_HAND_HEAD];
        struct pair *p = pair_make(sm_suite_sim(), SM_PQ_AUTO, SM_PQ_AUTO);
        p->ca.peer = ik != 0 ? &p->nb.dh.pub : NULL;
        pair_open(p);
        sm_buf_clear(&p->a.wire); /* the first HELLO never arrives */
        sm_hand_write(&(struct sm_hand){.kind = SM_HAND_RETRY,
                                        .pattern = ik != 0 ? SM_HAND_IK : SM_HAND_XX,
                                        .cipher = SM_AESGCM,
                                        .faster = SM_AESGCM},
                      retry);
        rig_give(&p->a, T0, retry, sizeof retry);
        T_TRUE(!p->a.is_down && p->a.wire.n > 0); /* it believes it for now */
        T_EQ(p->a.wire.p[10], 0);
        rig_run(&p->a, &p->b, T0);
        T_TRUE(!p->a.is_up && !p->b.is_up);
        pair_free(p);
    }
}

static void a_retry_may_not_bring_it_in_and_change_nothing(void)
{
    static const struct sm_hand wrong[] = {{.kind = SM_HAND_RETRY,
                                            .pattern = SM_HAND_XX,
                                            .cipher = SM_AESGCM,
                                            .faster = SM_AESGCM,
                                            .pq = SM_HAND_PQ},
                                           {.kind = SM_HAND_RETRY,
                                            .pattern = SM_HAND_XX,
                                            .cipher = SM_CHACHAPOLY,
                                            .faster = SM_CHACHAPOLY,
                                            .pq = SM_HAND_PQ}};
    for (size_t i = 0; i < SM_COUNT(wrong); i++) {
        struct pair *p = pair_make(sm_suite_sim(), SM_PQ_OFF, SM_PQ_AUTO);
        uint8_t retry[SM_HAND_HEAD];
        pair_open(p);
        sm_hand_write(&wrong[i], retry);
        rig_give(&p->a, T0, retry, sizeof retry);
        T_TRUE(p->a.is_down);
        T_ERR(p->a.err, SM_E_MALFORMED);
        pair_free(p);
    }
}

static void who_must_have_it_believes_no_retry_without(void)
{
    uint8_t retry[SM_HAND_HEAD];
    struct pair *p = pair_make(sm_suite_sim(), SM_PQ_REQUIRE, SM_PQ_AUTO);
    pair_open(p);
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_RETRY,
                                    .pattern = SM_HAND_XX,
                                    .cipher = SM_AESGCM,
                                    .faster = SM_AESGCM},
                  retry);
    sm_buf_clear(&p->a.wire);
    rig_give(&p->a, T0, retry, sizeof retry);
    T_TRUE(p->a.is_down && p->a.wire.n == 0);
    T_ERR(p->a.err, SM_E_UNSUPPORTED);
    pair_free(p);
}

/* -- strangers ----------------------------------------------------------------------------- */

static void a_busy_door_does_no_kem_work(void)
{
    static uint8_t in[SM_KNOCK_MAX];
    struct sm_door_cfg cfg = {.rate_per_s = 10};
    struct sm_knock k = {.in = in};
    struct sm_door door;
    struct sm_suite counts = *sm_suite_sim();
    counts.kem_wrap = count_wrap;
    uint8_t answer[64];
    struct sm_wr w = sm_wr_init(answer, sizeof answer);
    wraps = 0;
    for (int ik = 0; ik < 2; ik++) {
        struct pair *p = pair_make(&counts, SM_PQ_AUTO, SM_PQ_AUTO);
        p->ca.peer = ik != 0 ? &p->nb.dh.pub : NULL;
        pair_open(p);
        sm_door_init(&door, &cfg, T0);
        door.bits = 12;
        k = (struct sm_knock){.in = in};
        w.n = 0;
        T_EQ(sm_door_hear(&door, T0, 0, sm_view_str("here"),
                          sm_view_of(p->a.wire.p, p->a.wire.n), &k, &w),
             SM_DOOR_ASK);
        T_TRUE(w.n < 64);
        sm_buf_clear(&p->a.wire);
        rig_give(&p->a, T0, answer, w.n);
        while (p->a.wire.n == 0) {
            sm_tunnel_tick(p->a.t, T0);
            rig_drain(&p->a, T0);
        }
        T_EQ(sm_door_hear(&door, T0, 0, sm_view_str("here"),
                          sm_view_of(p->a.wire.p, p->a.wire.n), &k, &w),
             SM_DOOR_OPEN);
        T_EQ(wraps, (unsigned)ik);
        sm_buf_clear(&p->a.wire);
        rig_give(&p->b, T0, k.in + k.hello_at, k.n - k.hello_at);
        rig_run(&p->a, &p->b, T0);
        T_EQ(wraps, (unsigned)ik + 1);
        T_TRUE(p->a.is_up && p->b.is_up && sm_tunnel_is_pq(p->b.t));
        pair_free(p);
    }
}

static void a_key_that_is_none_ends_the_handshake(void)
{
    struct pair *p = pair_make(sm_suite_sim(), SM_PQ_AUTO, SM_PQ_AUTO);
    uint8_t hello[SM_HAND_HEAD + 32 + SM_KEM_PUB + SM_TAG_BYTES] = {0};
    pair_open(p);
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_HELLO,
                                    .pattern = SM_HAND_XX,
                                    .cipher = SM_AESGCM,
                                    .faster = SM_AESGCM,
                                    .pq = SM_HAND_PQ,
                                    .n = sizeof hello - SM_HAND_HEAD},
                  hello);
    rig_give(&p->b, T0, hello, sizeof hello);
    T_TRUE(p->b.is_down && p->b.wire.n == 0);
    pair_free(p);
}
#endif

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(ml_kem_gives_the_published_answers),
        T_CASE(the_kem_of_the_stand_in_behaves_like_one),
        T_CASE(the_real_kem_behaves_like_one),
        T_CASE(a_library_without_it_says_so),
#ifdef SM_DEV_ROOT
        T_CASE(it_is_used_when_both_can_and_refused_when_one_must),
        T_CASE(the_same_with_the_real_one),
        T_CASE(an_old_key_leads_to_xx_with_a_fresh_kem_key),
        T_CASE(without_the_kems_secret_there_is_no_tunnel),
        T_CASE(a_ciphertext_is_bound_whatever_the_kem_makes_of_it),
        T_CASE(secrets_are_wiped_once_used),
        T_CASE(every_hello_has_a_fresh_kem_key),
        T_CASE(no_flipped_bit_of_a_hybrid_handshake_survives),
        T_CASE(a_forged_retry_without_it_ends_the_handshake),
        T_CASE(a_retry_may_not_bring_it_in_and_change_nothing),
        T_CASE(who_must_have_it_believes_no_retry_without),
        T_CASE(a_busy_door_does_no_kem_work),
        T_CASE(a_key_that_is_none_ends_the_handshake),
#endif
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
