// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_handshake.h"

#include "bench/tls_kit.h"
#include "bench/tunnel_pair.h"
#include "crypto/noise.h"

#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#define SPAN_NS 50000000u /* of one run */
#define TURNS   16        /* messages of a handshake; more means that it is stuck */

struct rig {
    const struct sm_suite *suite;
    struct sm_rng rng;
    struct sm_dh_pair a, b;
    struct sm_known_dh known[2];
    struct sm_sign_pair signer;
    struct sm_sig sig;
    struct tls_kit tls;
    EVP_PKEY *x_own, *x_peer, *ed;
    struct tunnel_pair *tunnels; /* NULL: this build cannot */
};

static const uint8_t text[300]; /* about a record */

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* -- TLS ---------------------------------------------------------------------------------- */

static enum sm_err tls_run(SSL *s, SSL *c)
{
    BIO *at_s = NULL, *at_c = NULL;
    if (s == NULL || c == NULL || BIO_new_bio_pair(&at_s, 32768, &at_c, 32768) != 1) {
        return SM_E_NOMEM;
    }
    SSL_set_bio(s, at_s, at_s);
    SSL_set_bio(c, at_c, at_c);
    SSL_set_accept_state(s);
    SSL_set_connect_state(c);
    for (int i = 0; i < TURNS; i++) {
        int at_client = SSL_do_handshake(c), at_server = SSL_do_handshake(s);
        if (at_client == 1 && at_server == 1) {
            return SM_OK;
        }
    }
    return SM_E_CRYPTO;
}

static enum sm_err tls_once(struct rig *r, bool is_mutual)
{
    SSL *s = SSL_new(r->tls.server), *c = SSL_new(r->tls.client);
    if (is_mutual && s != NULL) {
        SSL_set_verify(s, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    enum sm_err e = tls_run(s, c);
    SSL_free(s);
    SSL_free(c);
    return e;
}

static enum sm_err tls_one_way(struct rig *r)
{
    return tls_once(r, false);
}

static enum sm_err tls_mutual(struct rig *r)
{
    return tls_once(r, true);
}

/* -- Noise -------------------------------------------------------------------------------- */

/* All messages and the keys, and forget them. */
static enum sm_err noise_run(struct rig *r, struct sm_noise *a, struct sm_noise *b)
{
    uint8_t msg[256], payload[256];
    size_t n, none;
    struct sm_secret32 k[4];
    while (!sm_noise_is_done(a)) {
        struct sm_noise *from = sm_noise_may_write(a) ? a : b, *to = from == a ? b : a;
        SM_TRY(sm_noise_write(from, &r->rng, (struct sm_view){0}, msg, sizeof msg, &n));
        SM_TRY(sm_noise_read(to, sm_view_of(msg, n), payload, sizeof payload, &none));
    }
    SM_TRY(sm_noise_split(a, &k[0], &k[1]));
    SM_TRY(sm_noise_split(b, &k[2], &k[3]));
    bool is_same = sm_secret_eq(k[0].b, k[3].b, sizeof k[0].b);
    sm_wipe(k, sizeof k);
    return is_same ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err noise_once(struct rig *r, const char *protocol, bool is_known)
{
    struct sm_noise a, b;
    struct sm_view prologue = sm_view_str("bench");
    struct sm_noise_keys of_a = {
        .s = &r->a, .rs = &r->b.pub, .known = is_known ? &r->known[0] : NULL};
    struct sm_noise_keys of_b = {.s = &r->b, .known = is_known ? &r->known[1] : NULL};
    SM_TRY(sm_noise_init(&a, r->suite, protocol, true, prologue, &of_a));
    SM_TRY(sm_noise_init(&b, r->suite, protocol, false, prologue, &of_b));
    enum sm_err e = noise_run(r, &a, &b);
    if (e == SM_OK) {
        sm_noise_remember(&a, &r->a.pub);
        sm_noise_remember(&b, &r->b.pub);
    }
    sm_noise_wipe(&a);
    sm_noise_wipe(&b);
    return e;
}

static enum sm_err xx_once(struct rig *r)
{
    return noise_once(r, "Noise_XX_25519_AESGCM_SHA256", false);
}

static enum sm_err ik_once(struct rig *r)
{
    return noise_once(r, "Noise_IK_25519_AESGCM_SHA256", false);
}

static enum sm_err ik_known(struct rig *r)
{
    return noise_once(r, "Noise_IK_25519_AESGCM_SHA256", true);
}

/* -- whole tunnels ------------------------------------------------------------------------ */

static enum sm_err attested_once(struct rig *r)
{
    return r->tunnels != NULL ? tunnel_pair_once(r->tunnels, false) : SM_E_UNSUPPORTED;
}

static enum sm_err attested_known(struct rig *r)
{
    return r->tunnels != NULL ? tunnel_pair_once(r->tunnels, true) : SM_E_UNSUPPORTED;
}

/* -- operations --------------------------------------------------------------------------- */

static enum sm_err x25519(struct rig *r)
{
    struct sm_secret32 shared;
    return r->suite->dh(&r->a.priv, &r->b.pub, &shared);
}

static enum sm_err x25519_openssl(struct rig *r)
{
    uint8_t shared[32];
    size_t n = sizeof shared;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(r->x_own, NULL);
    bool is_ok = c != NULL && EVP_PKEY_derive_init(c) == 1 &&
                 EVP_PKEY_derive_set_peer_ex(c, r->x_peer, 0) == 1 &&
                 EVP_PKEY_derive(c, shared, &n) == 1;
    EVP_PKEY_CTX_free(c);
    return is_ok ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err keygen(struct rig *r)
{
    struct sm_dh_pair pair;
    sm_dh_pair_make(r->suite, &r->rng, &pair);
    return SM_OK;
}

static enum sm_err keygen_openssl(struct rig *r)
{
    uint8_t priv[32];
    sm_rng_bytes(&r->rng, priv, sizeof priv);
    EVP_PKEY *k = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, sizeof priv);
    EVP_PKEY_free(k);
    return k != NULL ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err sign(struct rig *r)
{
    r->suite->sign(&r->signer, sm_view_of(text, sizeof text), &r->sig);
    return SM_OK;
}

static enum sm_err sign_openssl(struct rig *r)
{
    size_t n = sizeof r->sig.b;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool is_ok = c != NULL && EVP_DigestSignInit(c, NULL, NULL, NULL, r->ed) == 1 &&
                 EVP_DigestSign(c, r->sig.b, &n, text, sizeof text) == 1;
    EVP_MD_CTX_free(c);
    return is_ok ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err verify(struct rig *r)
{
    return r->suite->verify(&r->signer.pub, sm_view_of(text, sizeof text), &r->sig);
}

static enum sm_err verify_openssl(struct rig *r)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool is_ok = c != NULL && EVP_DigestVerifyInit(c, NULL, NULL, NULL, r->ed) == 1 &&
                 EVP_DigestVerify(c, r->sig.b, sizeof r->sig.b, text, sizeof text) == 1;
    EVP_MD_CTX_free(c);
    return is_ok ? SM_OK : SM_E_CRYPTO;
}

/* -- the run ------------------------------------------------------------------------------ */

enum { TLS, MUTUAL, XX, IK, IK_KNOWN, ATTESTED, ATTESTED_KNOWN, OPERATIONS };

/* From OPERATIONS on in pairs: ours and OpenSSL's. */
static enum sm_err (*const kinds[])(struct rig *r) = {
    tls_one_way,    tls_mutual,     xx_once,      ik_once,        ik_known,
    attested_once,  attested_known, x25519,       x25519_openssl, keygen,
    keygen_openssl, sign,           sign_openssl, verify,         verify_openssl,
};

struct figures {
    uint64_t per_s[SM_COUNT(kinds)][BENCH_RUNS];
    bool is_there[SM_COUNT(kinds)];
};

static enum sm_err run_one(struct rig *r, size_t kind, uint64_t *per_s)
{
    uint64_t from = cpu_ns(), took = 0, n = 0;
    while (took < SPAN_NS) {
        SM_TRY(kinds[kind](r));
        n++;
        took = cpu_ns() - from;
    }
    *per_s = n * 1000000000u / took;
    return SM_OK;
}

static enum sm_err rig_make(struct rig *r)
{
    static const uint8_t seed[32] = {1};
    r->suite = sm_suite_real();
    sm_rng_init(&r->rng, seed, "handshakes");
    sm_dh_pair_make(r->suite, &r->rng, &r->a);
    sm_dh_pair_make(r->suite, &r->rng, &r->b);
    sm_sign_pair_make(r->suite, &r->rng, &r->signer);
    r->x_own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, r->a.priv.b, 32);
    r->x_peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, r->b.pub.b, 32);
    r->ed = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, r->signer.seed.b, 32);
    if (r->x_own == NULL || r->x_peer == NULL || r->ed == NULL) {
        return SM_E_NOMEM;
    }
    enum sm_err e = tunnel_pair_new(&r->tunnels);
    return e == SM_OK || e == SM_E_UNSUPPORTED ? tls_kit_make(&r->tls) : e;
}

static void rig_done(struct rig *r)
{
    tls_kit_done(&r->tls);
    tunnel_pair_free(r->tunnels);
    EVP_PKEY_free(r->x_own);
    EVP_PKEY_free(r->x_peer);
    EVP_PKEY_free(r->ed);
    sm_wipe(r, sizeof *r);
}

static enum sm_err run_all(struct rig *r, struct figures *f)
{
    SM_TRY(rig_make(r));
    for (unsigned round = 0; round < BENCH_RUNS; round++) {
        for (size_t i = 0; i < SM_COUNT(kinds); i++) {
            enum sm_err e = run_one(r, i, &f->per_s[i][round]);
            if (e != SM_OK && e != SM_E_UNSUPPORTED) {
                return e;
            }
            f->is_there[i] = e == SM_OK;
        }
    }
    return SM_OK;
}

/* -- telling ------------------------------------------------------------------------------ */

#define ONE_WAY "TLS 1.3, P-256, the server alone proves itself"
#define BOTH    "TLS 1.3, P-256, both prove themselves"

static const struct {
    size_t kind, beside;
    const char *name, *reference;
} lines[] = {
    {XX, TLS, "Noise XX", ONE_WAY},
    {IK, TLS, "Noise IK, first meeting", ONE_WAY},
    {IK_KNOWN, TLS, "Noise IK, known neighbour", ONE_WAY},
    {IK_KNOWN, MUTUAL, "Noise IK, known neighbour", BOTH},
    {ATTESTED, TLS, "both attested, first meeting", ONE_WAY},
    {ATTESTED_KNOWN, TLS, "both attested, known neighbour", ONE_WAY},
    {ATTESTED_KNOWN, MUTUAL, "both attested, known neighbour", BOTH},
    {OPERATIONS + 0, OPERATIONS + 1, "X25519", "OpenSSL"},
    {OPERATIONS + 2, OPERATIONS + 3, "X25519, a new key", "OpenSSL"},
    {OPERATIONS + 4, OPERATIONS + 5, "Ed25519, sign 300 B", "OpenSSL"},
    {OPERATIONS + 6, OPERATIONS + 7, "Ed25519, verify 300 B", "OpenSSL"},
};

static void tell(const struct bench_sink *to, struct figures *f)
{
    for (size_t i = 0; i < SM_COUNT(lines); i++) {
        if (!f->is_there[lines[i].kind]) {
            continue;
        }
        to->line(to->ctx,
                 &(struct bench_line){
                     .bench = "handshake",
                     .name = lines[i].name,
                     .unit = "1/CPUs",
                     .reference = lines[i].reference,
                     .value = (double)bench_median(f->per_s[lines[i].kind], BENCH_RUNS),
                     .reference_value =
                         (double)bench_median(f->per_s[lines[i].beside], BENCH_RUNS)});
    }
}

enum sm_err bench_handshake(const struct bench_sink *to)
{
    static struct figures f;
    struct rig r = {0};
    enum sm_err e = run_all(&r, &f);
    rig_done(&r);
    SM_TRY(e);
    tell(to, &f);
    return f.is_there[ATTESTED] ? SM_OK : SM_E_UNSUPPORTED;
}
