// SPDX-License-Identifier: Apache-2.0
#include "crypto/known.h"

#include "crypto/hash.h"

#include <string.h>

/* -- shared secrets ----------------------------------------------------------------------- */

static bool is_same(const struct sm_dh_pub *a, const struct sm_dh_pub *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

enum sm_err sm_known_dh_find(struct sm_known_dh *k, const struct sm_dh_pub *own,
                             const struct sm_dh_pub *peer, struct sm_secret32 *out)
{
    if (!is_same(own, &k->own)) {
        return SM_E_NOTFOUND;
    }
    for (size_t i = 0; i < SM_COUNT(k->at); i++) {
        if (k->at[i].used != 0 && is_same(peer, &k->at[i].peer)) {
            k->at[i].used = ++k->clock;
            k->hits++;
            *out = k->at[i].shared;
            return SM_OK;
        }
    }
    return SM_E_NOTFOUND;
}

void sm_known_dh_add(struct sm_known_dh *k, const struct sm_dh_pub *own,
                     const struct sm_dh_pub *peer, const struct sm_secret32 *shared)
{
    size_t to = 0;
    if (!is_same(own, &k->own)) {
        sm_known_dh_wipe(k);
        k->own = *own;
    }
    for (size_t i = 0; i < SM_COUNT(k->at); i++) {
        if (k->at[i].used != 0 && is_same(peer, &k->at[i].peer)) {
            return;
        }
        to = k->at[i].used < k->at[to].used ? i : to;
    }
    k->at[to].peer = *peer;
    k->at[to].shared = *shared;
    k->at[to].used = ++k->clock;
}

void sm_known_dh_wipe(struct sm_known_dh *k)
{
    sm_wipe(k, sizeof *k);
}

/* -- signatures --------------------------------------------------------------------------- */

/* Key and signature have fixed lengths, so the three cannot be cut otherwise. */
static void name_of(const struct sm_sign_pub *key, struct sm_view msg, const struct sm_sig *sig,
                    uint8_t out[static 32])
{
    struct sm_hash h;
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_of(key->b, sizeof key->b));
    sm_hash_add(&h, sm_view_of(sig->b, sizeof sig->b));
    sm_hash_add(&h, msg);
    sm_hash_end(&h, out);
}

enum sm_err sm_known_verify(struct sm_known_sigs *k, const struct sm_suite *suite,
                            const struct sm_sign_pub *key, struct sm_view msg,
                            const struct sm_sig *sig)
{
    uint8_t name[32];
    if (k == NULL) {
        return suite->verify(key, msg, sig);
    }
    name_of(key, msg, sig, name);
    size_t set = sm_le32(name) % SM_KNOWN_SIG_SETS;
    for (size_t i = 0; i < SM_KNOWN_SIG_WAYS; i++) {
        if (memcmp(k->at[set][i], name, sizeof name) == 0) {
            k->hits++;
            return SM_OK;
        }
    }
    SM_TRY(suite->verify(key, msg, sig));
    memcpy(k->at[set][k->next[set]], name, sizeof name);
    k->next[set] = (uint8_t)((k->next[set] + 1u) % SM_KNOWN_SIG_WAYS);
    return SM_OK;
}
