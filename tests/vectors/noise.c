// SPDX-License-Identifier: Apache-2.0
/* Noise vectors in the format of cacophony and snow: the handshake's messages, then transport
 * messages, each written by us and compared, and read by our other side. */
#include "vectors.h"

#include "crypto/noise.h"

#include <string.h>

struct side {
    struct sm_dh_pair s, e;
    struct sm_dh_pub rs;
    struct sm_secret32 psks[SM_NOISE_PSKS_MAX];
    struct sm_noise_keys keys;
    struct sm_noise n;
    struct sm_aead send, recv;
};

static bool read_pair(const json_t *v, const char *key, struct sm_dh_pair *out)
{
    if (!v_32(v_hex(v, key), out->priv.b)) {
        return false;
    }
    v_suite()->dh_pub(&out->priv, &out->pub);
    return true;
}

static enum sm_err start(struct side *x, const json_t *v, bool is_initiator)
{
    bool i = is_initiator;
    if (read_pair(v, i ? "init_static" : "resp_static", &x->s)) {
        x->keys.s = &x->s;
    }
    if (v_32(v_hex(v, i ? "init_remote_static" : "resp_remote_static"), x->rs.b)) {
        x->keys.rs = &x->rs;
    }
    const json_t *psks = json_object_get(v, i ? "init_psks" : "resp_psks");
    x->keys.psks = x->psks;
    for (; x->keys.psk_count < json_array_size(psks); x->keys.psk_count++) {
        if (x->keys.psk_count == SM_COUNT(x->psks)) {
            return SM_E_UNSUPPORTED;
        }
        const char *psk = json_string_value(json_array_get(psks, x->keys.psk_count));
        v_32(v_unhex(psk == NULL ? "" : psk), x->psks[x->keys.psk_count].b);
    }
    SM_TRY(sm_noise_init(&x->n, v_suite(), v_text(v, "protocol_name"), i,
                         v_hex(v, i ? "init_prologue" : "resp_prologue"), &x->keys));
    if (read_pair(v, i ? "init_ephemeral" : "resp_ephemeral", &x->e)) {
        sm_noise_set_ephemeral(&x->n, &x->e);
    }
    return SM_OK;
}

static enum sm_err split(struct side *x, const char *protocol)
{
    enum sm_aead_kind kind = strstr(protocol, "AESGCM") != NULL ? SM_AESGCM : SM_CHACHAPOLY;
    struct sm_secret32 send, recv;
    SM_TRY(sm_noise_split(&x->n, &send, &recv));
    SM_TRY(sm_aead_init(&x->send, v_suite(), kind, &send));
    return sm_aead_init(&x->recv, v_suite(), kind, &recv);
}

/* One message of the handshake: our bytes are theirs, and our other side reads the payload. */
static enum sm_err shake(struct side *from, struct side *to, struct sm_view payload,
                         struct sm_view want)
{
    size_t n;
    uint8_t *msg = v_room(want.n), *got = v_room(want.n);
    struct sm_rng rng; /* only for a vector that forgot its ephemeral key: it will differ */
    sm_rng_init(&rng, (uint8_t[32]){0}, "no ephemeral key");
    SM_TRY(sm_noise_write(&from->n, &rng, payload, msg, want.n, &n));
    if (!sm_view_eq(sm_view_of(msg, n), want)) {
        return SM_E_HASH;
    }
    SM_TRY(sm_noise_read(&to->n, want, got, want.n, &n));
    return sm_view_eq(sm_view_of(got, n), payload) ? SM_OK : SM_E_HASH;
}

static enum sm_err transport(struct side *from, struct side *to, uint64_t number,
                             struct sm_view payload, struct sm_view want)
{
    uint8_t *msg = v_room(payload.n + SM_TAG_BYTES), *got = v_room(want.n);
    SM_TRY(sm_aead_seal(&from->send, number, (struct sm_view){0}, payload, msg));
    if (!sm_view_eq(sm_view_of(msg, payload.n + SM_TAG_BYTES), want)) {
        return SM_E_HASH;
    }
    SM_TRY(sm_aead_open(&to->recv, number, (struct sm_view){0}, want, got));
    return sm_view_eq(sm_view_of(got, payload.n), payload) ? SM_OK : SM_E_HASH;
}

/* "K" and its like have one message, and only the initiator speaks afterwards. */
static bool is_one_way(const char *protocol)
{
    const char *pattern = strchr(protocol, '_');
    return pattern != NULL && strchr("NKX", pattern[1]) != NULL &&
           (pattern[2] == '_' || pattern[2] == 'p');
}

/* The handshake is over: compare its hash, when it is given, and make the transport keys. */
static enum sm_err finish(struct side x[2], const json_t *v)
{
    struct sm_view hash = v_hex(v, "handshake_hash");
    for (int i = 0; i < 2; i++) {
        if (hash.n > 0 && !sm_view_eq(sm_noise_hash(&x[i].n), hash)) {
            return SM_E_HASH;
        }
        SM_TRY(split(&x[i], v_text(v, "protocol_name")));
    }
    return SM_OK;
}

static enum sm_err run_messages(struct side x[2], const json_t *v, size_t *at)
{
    const json_t *messages = json_object_get(v, "messages");
    bool one_way = is_one_way(v_text(v, "protocol_name")), is_transport = false;
    uint64_t number[2] = {0};
    for (*at = 0; *at < json_array_size(messages); ++*at) {
        const json_t *m = json_array_get(messages, *at);
        struct sm_view payload = v_hex(m, "payload"), want = v_hex(m, "ciphertext");
        size_t from = one_way ? 0 : *at % 2;
        if (is_transport) {
            SM_TRY(transport(&x[from], &x[1 - from], number[from]++, payload, want));
            continue;
        }
        SM_TRY(shake(&x[from], &x[1 - from], payload, want));
        if (sm_noise_is_done(&x[0].n)) {
            SM_TRY(finish(x, v));
            is_transport = true;
        }
    }
    return is_transport ? SM_OK : SM_E_TRUNCATED;
}

static void run_case(struct tally *t, const json_t *v)
{
    const char *protocol = v_text(v, "protocol_name");
    struct side x[2] = {0};
    size_t at = 0;
    enum sm_err e = start(&x[0], v, true);
    if (e == SM_OK) {
        e = start(&x[1], v, false);
    }
    if (e == SM_E_UNSUPPORTED) {
        v_skip(t, 1, "%s: a protocol we do not have", protocol);
        return;
    }
    if (e == SM_OK) {
        e = run_messages(x, v, &at);
    }
    if (e == SM_OK) {
        v_pass(t);
    } else {
        v_fail(t, "%s, message %zu: %s", protocol, at, sm_err_words(e));
    }
    for (int i = 0; i < 2; i++) {
        sm_aead_done(&x[i].send);
        sm_aead_done(&x[i].recv);
    }
}

void v_noise(struct tally *t, const json_t *file)
{
    const json_t *vectors = json_object_get(file, "vectors");
    if (!json_is_array(vectors)) {
        v_skip(t, 1, "no array \"vectors\"");
        return;
    }
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        run_case(t, json_array_get(vectors, i));
        v_forget();
    }
}
