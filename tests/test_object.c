// SPDX-License-Identifier: Apache-2.0
#include "t.h"
#include "base/cbor.h"
#include "core/object.h"

static struct sm_rng rng_of_test(void)
{
    uint8_t seed[32] = {0};
    sm_put_le64(seed, t_seed());
    struct sm_rng r;
    sm_rng_init(&r, seed, "test object");
    return r;
}

static struct sm_manifest some_manifest(uint8_t *ids, uint64_t size)
{
    struct sm_manifest m = {.size = size,
                            .segment_bytes = 1000,
                            .code = {.k = 2, .n = 3},
                            .cipher = SM_AESGCM,
                            .remove_hash = {7}};
    m.shard_ids = sm_view_of(ids, (size + 999) / 1000 * 3 * 32);
    return m;
}

static void a_manifest_is_read_as_it_was_written(void)
{
    uint8_t ids[3 * 3 * 32], room[1024];
    for (size_t i = 0; i < sizeof ids; i++) {
        ids[i] = (uint8_t)i;
    }
    struct sm_manifest m = some_manifest(ids, 2001), got;
    struct sm_wr w = sm_wr_init(room, sizeof room);
    T_OK(sm_manifest_write(&w, &m));
    T_OK(sm_manifest_read(sm_view_of(room, w.n), &got));
    T_EQ(got.size, 2001);
    T_EQ(got.code.k, 2);
    T_EQ(got.code.n, 3);
    T_EQ(got.cipher, SM_AESGCM);
    T_MEM(got.remove_hash, 32, m.remove_hash, 32);
    T_EQ(sm_manifest_segments(&got), 3);
    T_EQ(sm_manifest_plain_bytes(&got, 1), 1000);
    T_EQ(sm_manifest_plain_bytes(&got, 2), 1);
    T_EQ(sm_manifest_shard_bytes(&got, 2), 16);
    struct sm_shard_id id;
    sm_manifest_shard_id(&got, 1, 2, &id);
    T_MEM(id.b, 32, ids + (3 + 2) * 32, 32);
}

static void a_manifest_cut_anywhere_or_longer_is_refused(void)
{
    uint8_t ids[3 * 3 * 32] = {0}, room[1024] = {0};
    struct sm_manifest m = some_manifest(ids, 2001), got;
    struct sm_wr w = sm_wr_init(room, sizeof room);
    T_OK(sm_manifest_write(&w, &m));
    for (size_t n = 0; n < w.n; n++) {
        T_TRUE(sm_manifest_read(sm_view_of(room, n), &got) != SM_OK);
    }
    T_ERR(sm_manifest_read(sm_view_of(room, w.n + 1), &got), SM_E_MALFORMED);
}

/* The heads a hostile putter would choose: [version, size, segment, k, n, cipher]. */
static void a_manifest_that_does_not_add_up_is_refused(void)
{
    static const struct {
        uint64_t v[6];
        enum sm_err want;
    } bad[] = {
        {{1, 2001, 1000, 2, 3, 1}, SM_OK},
        {{0, 2001, 1000, 2, 3, 1}, SM_E_MALFORMED},
        {{2, 2001, 1000, 2, 3, 1}, SM_E_VERSION},
        {{1, 3001, 1000, 2, 3, 1}, SM_E_MALFORMED},
        {{1, 2000, 1000, 2, 3, 1}, SM_E_MALFORMED},
        {{1, UINT64_MAX, 1, 2, 3, 1}, SM_E_MALFORMED},
        {{1, 2001, 0, 2, 3, 1}, SM_E_MALFORMED},
        {{1, 2001, 2u * SM_SHARD_MAX - 15, 2, 3, 1}, SM_E_MALFORMED},
        {{1, 2001, UINT64_MAX, 2, 3, 1}, SM_E_MALFORMED},
        {{1, 2001, 1000, 0, 3, 1}, SM_E_MALFORMED},
        {{1, 2001, 1000, 4, 3, 1}, SM_E_MALFORMED},
        {{1, 2001, 1000, 258, 3, 1}, SM_E_MALFORMED},
        {{1, 2001, 1000, 2, 65, 1}, SM_E_MALFORMED},
        {{1, 2001, 1000, 2, 3, 0}, SM_E_MALFORMED},
        {{1, 2001, 1000, 2, 3, 3}, SM_E_MALFORMED},
    };
    uint8_t ids[3 * 3 * 32] = {0}, room[1024];
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        struct sm_wr w = sm_wr_init(room, sizeof room);
        struct sm_manifest got;
        sm_cbor_put_array(&w, 8);
        for (size_t j = 0; j < 6; j++) {
            sm_cbor_put_uint(&w, bad[i].v[j]);
        }
        sm_cbor_put_bytes(&w, sm_view_of(ids, 32));
        sm_cbor_put_bytes(&w, sm_view_of(ids, sizeof ids));
        T_ERR(sm_manifest_read(sm_view_of(room, w.n), &got), bad[i].want);
    }
}

static void a_segment_comes_back_from_any_k_shards_and_from_no_other_key(void)
{
    static const size_t sizes[] = {1, 15, 16, 17, 1000, 65536, 100001};
    struct sm_rng rng = rng_of_test();
    struct sm_code c = {.k = 4, .n = 7};
    struct sm_coder *coder = NULL;
    struct sm_aead good = {0}, wrong = {0};
    T_OK(sm_coder_new(c, &coder));
    T_OK(sm_aead_init(&good, sm_suite_real(), SM_AESGCM, &(struct sm_secret32){{1}}));
    T_OK(sm_aead_init(&wrong, sm_suite_real(), SM_AESGCM, &(struct sm_secret32){{2}}));
    for (size_t i = 0; i < SM_COUNT(sizes); i++) {
        size_t len = sm_segment_shard_bytes(c, sizes[i]);
        uint8_t *plain = malloc(sizes[i]), *shards = malloc(7 * len), *copy = malloc(7 * len);
        struct sm_shard_id ids[7];
        T_TRUE(plain != NULL && shards != NULL && copy != NULL);
        sm_rng_bytes(&rng, plain, sizes[i]);
        memcpy(shards, plain, sizes[i]);
        T_OK(sm_segment_seal(&good, coder, c, 9, sizes[i], shards, ids));
        memcpy(copy, shards, 7 * len);
        for (uint64_t have = 0; have < 128; have++) {
            memcpy(shards, copy, 7 * len);
            for (unsigned s = 0; s < 7; s++) {
                if ((have >> s & 1) == 0) {
                    memset(shards + s * len, 0xaa, len);
                }
            }
            enum sm_err want = __builtin_popcountll(have) >= 4 ? SM_OK : SM_E_PEERS;
            T_ERR(sm_segment_open(&good, coder, c, 9, sizes[i], shards, have), want);
            T_TRUE(want != SM_OK || memcmp(shards, plain, sizes[i]) == 0);
        }
        memcpy(shards, copy, 7 * len);
        T_ERR(sm_segment_open(&wrong, coder, c, 9, sizes[i], shards, 127), SM_E_CRYPTO);
        memcpy(shards, copy, 7 * len);
        T_ERR(sm_segment_open(&good, coder, c, 8, sizes[i], shards, 127), SM_E_CRYPTO);
        free(plain);
        free(shards);
        free(copy);
    }
    sm_aead_done(&good);
    sm_aead_done(&wrong);
    sm_coder_free(coder);
}

static void a_typo_in_a_reference_is_told_from_a_missing_object(void)
{
    struct sm_rng rng = rng_of_test();
    struct sm_ref ref, got;
    sm_rng_bytes(&rng, &ref, sizeof ref);
    char text[SM_REF_LEN + 1];
    sm_ref_print(&ref, text);
    T_EQ(strlen(text), SM_REF_LEN);
    T_OK(sm_ref_parse(sm_view_str(text), &got));
    T_MEM(&got, sizeof got, &ref, sizeof ref);
    for (size_t i = 4; i < SM_REF_LEN; i++) {
        char was = text[i];
        text[i] = was == 'a' ? 'b' : 'a';
        enum sm_err e = sm_ref_parse(sm_view_str(text), &got);
        T_TRUE(e == SM_E_HASH ||
               (e == SM_E_MALFORMED &&
                (was == ':' || text[i + 1] == ':' || text[i + 1] == '\0')) ||
               was == text[i]);
        T_TRUE(e != SM_OK);
        text[i] = was;
    }
    text[SM_REF_LEN - 1] = '\0';
    T_ERR(sm_ref_parse(sm_view_str(text), &got), SM_E_MALFORMED);
    T_ERR(sm_ref_parse(sm_view_str("sm2:abc"), &got), SM_E_VERSION);
    T_ERR(sm_ref_parse(sm_view_str("/etc/passwd"), &got), SM_E_MALFORMED);
    T_ERR(sm_ref_parse(sm_view_str(""), &got), SM_E_MALFORMED);
}

static void the_remove_token_and_the_cipher_key_differ_and_are_stable(void)
{
    struct sm_secret32 key = {{3}}, seal;
    struct sm_remove_token token, again;
    uint8_t hash[32];
    sm_object_seal_key(&key, &seal);
    sm_object_remove_token(&key, &token);
    sm_object_remove_token(&key, &again);
    T_MEM(token.b, 32, again.b, 32);
    T_TRUE(memcmp(token.b, seal.b, 32) != 0);
    sm_remove_token_hash(&token, hash);
    T_TRUE(memcmp(token.b, hash, 32) != 0);
}

static void every_store_request_is_read_as_it_was_written(void)
{
    static const uint8_t bytes[3] = {1, 2, 3};
    for (int op = SM_STORE_SHARD_PUT; op <= SM_STORE_STAT; op++) {
        bool has_bytes = op == SM_STORE_SHARD_PUT || op == SM_STORE_COMMIT;
        struct sm_store_req q = {.op = (enum sm_store_op)op,
                                 .index = 5,
                                 .segment = 70000,
                                 .upload = {{1}},
                                 .object = {{2}},
                                 .token = {{3}}};
        if (has_bytes) {
            q.bytes = sm_view_of(bytes, 3);
        }
        uint8_t one[128] = {0}, two[128] = {0};
        struct sm_wr w = sm_wr_init(one, sizeof one), w2 = sm_wr_init(two, sizeof two);
        struct sm_store_req got;
        T_OK(sm_store_req_write(&w, &q));
        T_OK(sm_store_req_read(sm_view_of(one, w.n), &got));
        T_OK(sm_store_req_write(&w2, &got));
        T_MEM(two, w2.n, one, w.n);
        T_EQ((w.n - q.bytes.n) % 16, 0);
        for (size_t n = 0; n < w.n - q.bytes.n; n++) {
            T_TRUE(sm_store_req_read(sm_view_of(one, n), &got) != SM_OK);
        }
        if (!has_bytes) {
            T_ERR(sm_store_req_read(sm_view_of(one, w.n + 1), &got), SM_E_MALFORMED);
        }
        one[2] = 1;
        T_ERR(sm_store_req_read(sm_view_of(one, w.n), &got), SM_E_MALFORMED);
    }
    uint8_t later = 99;
    struct sm_store_req got;
    T_ERR(sm_store_req_read(sm_view_of(&later, 1), &got), SM_E_UNSUPPORTED);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_manifest_is_read_as_it_was_written),
        T_CASE(a_manifest_cut_anywhere_or_longer_is_refused),
        T_CASE(a_manifest_that_does_not_add_up_is_refused),
        T_CASE(a_segment_comes_back_from_any_k_shards_and_from_no_other_key),
        T_CASE(a_typo_in_a_reference_is_told_from_a_missing_object),
        T_CASE(the_remove_token_and_the_cipher_key_differ_and_are_stable),
        T_CASE(every_store_request_is_read_as_it_was_written),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
