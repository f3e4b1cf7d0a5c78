// SPDX-License-Identifier: Apache-2.0
#include "core/code.h"
#include "t.h"

static uint64_t state;

static uint64_t next_random(void)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct stripe {
    uint8_t *bytes, *copy;
    uint8_t *shards[SM_CODE_N_MAX];
    size_t len;
};

static struct stripe stripe_new(struct sm_code c, size_t len)
{
    struct stripe s = {.len = len};
    s.bytes = malloc(len * c.n);
    s.copy = malloc(len * c.n);
    T_TRUE(s.bytes != NULL && s.copy != NULL);
    for (unsigned i = 0; i < c.n; i++) {
        s.shards[i] = s.bytes + i * len;
    }
    for (size_t i = 0; i < len * c.k; i++) {
        s.bytes[i] = (uint8_t)next_random();
    }
    return s;
}

static void stripe_done(struct stripe *s)
{
    free(s->bytes);
    free(s->copy);
}

static uint64_t data_map(struct sm_code c)
{
    return sm_code_all((struct sm_code){.k = c.k, .n = c.k});
}

static void encode(struct sm_coder *r, struct sm_code c, struct stripe *s)
{
    T_OK(sm_coder_make(r, s->len, s->shards, data_map(c), sm_code_all(c) & ~data_map(c)));
    memcpy(s->copy, s->bytes, s->len * c.n);
}

/* Lose the shards of a map, make them again and compare with what was there. */
static void lose_and_make(struct sm_coder *r, struct sm_code c, struct stripe *s, uint64_t lost)
{
    for (unsigned i = 0; i < c.n; i++) {
        if ((lost >> i & 1) != 0) {
            memset(s->shards[i], 0xee, s->len);
        }
    }
    T_OK(sm_coder_make(r, s->len, s->shards, sm_code_all(c) & ~lost, lost));
    T_TRUE(memcmp(s->bytes, s->copy, s->len * c.n) == 0);
}

static void any_k_shards_make_all_others_for_every_loss_of_every_small_code(void)
{
    state = t_seed();
    for (uint8_t n = 1; n <= 9; n++) {
        for (uint8_t k = 1; k <= n; k++) {
            struct sm_code c = {.k = k, .n = n};
            struct sm_coder *r = NULL;
            T_OK(sm_coder_new(c, &r));
            struct stripe s = stripe_new(c, 48);
            encode(r, c, &s);
            for (uint64_t lost = 0; lost <= sm_code_all(c); lost++) {
                if (__builtin_popcountll(lost) <= n - k) {
                    lose_and_make(r, c, &s, lost);
                } else {
                    T_ERR(sm_coder_make(r, s.len, s.shards, sm_code_all(c) & ~lost, lost),
                          SM_E_PEERS);
                }
            }
            stripe_done(&s);
            sm_coder_free(r);
        }
    }
}

static void wide_codes_and_long_shards_survive_random_losses(void)
{
    static const struct sm_code codes[] = {{10, 16}, {16, 32}, {20, 40}, {29, 64}, {64, 64}};
    static const size_t lens[] = {16, 31, 32768, 65552, 100000};
    state = t_seed();
    for (size_t i = 0; i < SM_COUNT(codes); i++) {
        struct sm_code c = codes[i];
        struct sm_coder *r = NULL;
        T_OK(sm_coder_new(c, &r));
        for (size_t j = 0; j < SM_COUNT(lens); j++) {
            struct stripe s = stripe_new(c, lens[j]);
            encode(r, c, &s);
            for (unsigned round = 0; round < 8; round++) {
                uint64_t lost = 0;
                for (unsigned tries = 0; tries < (unsigned)(c.n - c.k); tries++) {
                    lost |= UINT64_C(1) << next_random() % c.n;
                }
                lose_and_make(r, c, &s, lost);
            }
            stripe_done(&s);
        }
        sm_coder_free(r);
    }
}

static void one_shard_is_repaired_without_touching_the_others(void)
{
    state = t_seed();
    struct sm_code c = {.k = 4, .n = 7};
    struct sm_coder *r = NULL;
    T_OK(sm_coder_new(c, &r));
    struct stripe s = stripe_new(c, 1000);
    encode(r, c, &s);
    uint8_t *only[SM_CODE_N_MAX] = {0};
    only[1] = s.shards[1];
    only[2] = s.shards[2];
    only[4] = s.shards[4];
    only[6] = s.shards[6];
    only[5] = s.shards[5];
    memset(s.shards[5], 0, s.len);
    T_OK(sm_coder_make(r, s.len, only, 1u << 1 | 1u << 2 | 1u << 4 | 1u << 6, 1u << 5));
    T_TRUE(memcmp(s.bytes, s.copy, s.len * c.n) == 0);
    stripe_done(&s);
    sm_coder_free(r);
}

static void the_mesh_size_decides_the_code(void)
{
    static const struct {
        unsigned nodes, k, n, commit_min;
    } want[] = {{1, 1, 1, 1}, {2, 1, 2, 2}, {3, 1, 3, 2},     {4, 2, 4, 3},
                {7, 4, 7, 6}, {8, 5, 8, 7}, {16, 10, 16, 13}, {200, 10, 16, 13}};
    for (size_t i = 0; i < SM_COUNT(want); i++) {
        struct sm_code c = sm_code_for_mesh(want[i].nodes);
        T_EQ(c.k, want[i].k);
        T_EQ(c.n, want[i].n);
        T_EQ(sm_code_commit_min(c), want[i].commit_min);
    }
}

static void shards_are_a_kth_rounded_to_sixteen(void)
{
    struct sm_code c = {.k = 10, .n = 16};
    T_EQ(sm_code_shard_bytes(c, 0), 0);
    T_EQ(sm_code_shard_bytes(c, 1), 16);
    T_EQ(sm_code_shard_bytes(c, 160), 16);
    T_EQ(sm_code_shard_bytes(c, 161), 32);
    T_EQ(sm_code_shard_bytes(c, 10 * 524288), 524288);
}

static void a_code_outside_the_limits_is_refused(void)
{
    struct sm_coder *r = NULL;
    T_ERR(sm_coder_new((struct sm_code){.k = 0, .n = 4}, &r), SM_E_INVALID);
    T_ERR(sm_coder_new((struct sm_code){.k = 5, .n = 4}, &r), SM_E_INVALID);
    T_ERR(sm_coder_new((struct sm_code){.k = 5, .n = 65}, &r), SM_E_INVALID);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(any_k_shards_make_all_others_for_every_loss_of_every_small_code),
        T_CASE(wide_codes_and_long_shards_survive_random_losses),
        T_CASE(one_shard_is_repaired_without_touching_the_others),
        T_CASE(the_mesh_size_decides_the_code),
        T_CASE(shards_are_a_kth_rounded_to_sixteen),
        T_CASE(a_code_outside_the_limits_is_refused),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
