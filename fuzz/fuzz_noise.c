// SPDX-License-Identifier: Apache-2.0
/* A stranger's bytes as every message of a handshake, over the stand-in suite.  The first byte
 * picks the pattern, and whether the others are the messages or are xored into honest ones.
 * A changed message must never lead to two ends that finished with the same hash. */
#include "crypto/noise.h"
#include "crypto/suite_sim.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const names[] = {
    "Noise_XX_25519_AESGCM_SHA256",
    "Noise_IK_25519_ChaChaPoly_SHA256",
    "Noise_KKpsk2_25519_AESGCM_BLAKE2s",
    "Noise_X1X1_25519_ChaChaPoly_BLAKE2b",
};

struct end {
    struct sm_dh_pair s;
    struct sm_noise n;
};

static void start(struct end side[2], const char *name, struct sm_rng *rng)
{
    static const struct sm_secret32 psk = {{3}};
    const struct sm_suite *suite = sm_suite_sim();
    sm_dh_pair_make(suite, rng, &side[0].s);
    sm_dh_pair_make(suite, rng, &side[1].s);
    for (int i = 0; i < 2; i++) {
        struct sm_noise_keys keys = {.s = &side[i].s,
                                     .rs = &side[1 - i].s.pub,
                                     .psks = &psk,
                                     .psk_count = strstr(name, "psk") != NULL};
        enum sm_err e =
            sm_noise_init(&side[i].n, suite, name, i == 0, (struct sm_view){0}, &keys);
        assert(e == SM_OK);
    }
}

/* Take up to `want` bytes of the input. */
static struct sm_view take(struct sm_view *in, size_t want)
{
    struct sm_view v = sm_view_sub(*in, 0, want);
    *in = sm_view_sub(*in, v.n, in->n);
    return v;
}

/* The honest message with the stranger's bytes xored in; true when that changed it. */
static bool disturb(uint8_t *msg, size_t n, struct sm_view noise)
{
    uint8_t changed = 0;
    for (size_t i = 0; i < noise.n && i < n; i++) {
        msg[i] ^= noise.p[i];
        changed |= noise.p[i];
    }
    return changed != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t seed[32] = {1};
    if (n < 1) {
        return 0;
    }
    struct sm_view in = {data + 1, n - 1};
    struct end side[2];
    struct sm_rng rng;
    sm_rng_init(&rng, seed, "fuzz noise");
    start(side, names[data[0] % SM_COUNT(names)], &rng);
    bool is_raw = (data[0] & 4) != 0, was_changed = false;

    enum sm_err e = SM_OK;
    for (int turn = 0; e == SM_OK && !sm_noise_is_done(&side[turn].n); turn = 1 - turn) {
        uint8_t msg[256], payload[256];
        size_t msg_n, payload_n;
        e = sm_noise_write(&side[turn].n, &rng, sm_view_str("hello"), msg, sizeof msg, &msg_n);
        if (e != SM_OK) {
            break;
        }
        struct sm_view noise = take(&in, 120);
        if (is_raw) {
            was_changed |= !sm_view_eq(noise, sm_view_of(msg, msg_n));
            e = sm_noise_read(&side[1 - turn].n, noise, payload, sizeof payload, &payload_n);
        } else {
            was_changed |= disturb(msg, msg_n, noise);
            e = sm_noise_read(&side[1 - turn].n, sm_view_of(msg, msg_n), payload,
                              sizeof payload, &payload_n);
        }
    }
    bool done = sm_noise_is_done(&side[0].n) && sm_noise_is_done(&side[1].n);
    assert(was_changed || done);
    assert(!was_changed || !done ||
           !sm_view_eq(sm_noise_hash(&side[0].n), sm_noise_hash(&side[1].n)));
    return 0;
}
