// SPDX-License-Identifier: Apache-2.0
/* Envelopes, endorsements of hardware platforms, and what a platform's evidence must be made
 * of before anybody looks into it. */
#include "attest/endorse.h"
#include "attest/envelope.h"
#include "attest/hardware.h"
#include "base/cbor.h"
#include "crypto/suite_sim.h"
#include "t.h"
#include "wire/frame.h"

#define NOW ((struct sm_wall){1700000000u})

static uint8_t room[SM_EVIDENCE_MAX + 8192];

static struct sm_view written(const struct sm_envelope *e)
{
    struct sm_wr w = sm_wr_init(room, sizeof room);
    struct sm_view v;
    T_OK(sm_envelope_write(e, &w));
    T_OK(sm_wr_done(&w, &v));
    return v;
}

static void what_is_written_reads_back_to_the_same_bytes(void)
{
    struct sm_envelope e = {0}, back;
    uint8_t copy[sizeof room];
    for (unsigned i = 1; i < SM_PARTS; i++) {
        e.part[i] = sm_view_of(sm_part_name(i), 3 + i % 2);
    }
    struct sm_view v = written(&e);
    T_OK(sm_envelope_read(v, &back));
    T_EQ(sm_envelope_mask(&back), (1u << SM_PARTS) - 2);
    for (unsigned i = 1; i < SM_PARTS; i++) {
        T_TRUE(sm_view_eq(back.part[i], e.part[i]));
    }
    memcpy(copy, v.p, v.n);
    struct sm_view again = written(&back);
    T_MEM(again.p, again.n, copy, v.n);
}

static void a_prefix_or_a_changed_byte_reads_as_no_other_envelope(void)
{
    struct sm_envelope e = {0}, back;
    uint8_t copy[512], second[512];
    e.part[SM_PART_SNP_REPORT] = sm_view_str("report");
    e.part[SM_PART_SNP_CRL] = sm_view_str("list");
    struct sm_view v = written(&e);
    T_TRUE(v.n <= sizeof copy);
    memcpy(copy, v.p, v.n);
    for (size_t n = 0; n < v.n; n++) {
        T_TRUE(sm_envelope_read(sm_view_of(copy, n), &back) != SM_OK);
    }
    for (size_t bit = 0; bit < v.n * 8; bit++) {
        memcpy(second, copy, v.n);
        second[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (sm_envelope_read(sm_view_of(second, v.n), &back) == SM_OK) {
            struct sm_view again = written(&back); /* what is read has one encoding */
            T_MEM(again.p, again.n, second, v.n);
        }
    }
}

static void parts_unknown_empty_twice_or_mislabelled_are_refused(void)
{
    struct sm_envelope back;
    uint8_t b[256];
    T_ERR(sm_envelope_read(sm_view_of("\xa0", 1), &back), SM_E_MALFORMED);
    const char type[] = "application/vnd.seemesh.snp-report";
    for (int i = 0; i < 6; i++) {
        struct sm_wr w = sm_wr_init(b, sizeof b);
        sm_cbor_put_map(&w, i == 5 ? 2 : 1);
        for (int j = 0; j < (i == 5 ? 2 : 1); j++) {
            sm_cbor_put_uint(&w, i == 1 ? SM_PARTS : SM_PART_SNP_REPORT);
            sm_cbor_put_array(&w, 3);
            sm_cbor_put_text(&w, sm_view_str(i == 2 ? "text/plain" : type));
            sm_cbor_put_bytes(&w, sm_view_of("x", i == 3 ? 0 : 1));
            sm_cbor_put_uint(&w, i == 4 ? 2 : 4);
        }
        enum sm_err e = sm_envelope_read(sm_view_of(b, w.n), &back);
        T_ERR(e, i == 0 ? SM_OK : SM_E_MALFORMED);
    }
}

static void parts_and_wholes_that_are_too_long_are_refused(void)
{
    static uint8_t bytes[SM_EVIDENCE_MAX];
    struct sm_envelope e = {0}, back;
    for (unsigned i = 1; i < SM_PARTS; i++) {
        struct sm_wr w = sm_wr_init(room, sizeof room);
        e = (struct sm_envelope){0};
        e.part[i] = sm_view_of(bytes, sm_part_max(i));
        T_OK(sm_envelope_read(written(&e), &back));
        e.part[i].n++;
        T_ERR(sm_envelope_write(&e, &w), SM_E_LIMIT);
    }
    e = (struct sm_envelope){0};
    e.part[SM_PART_DCAP_TCB_INFO] = sm_view_of(bytes, sm_part_max(SM_PART_DCAP_TCB_INFO));
    e.part[SM_PART_DCAP_PCK_CRL] = sm_view_of(bytes, 24u << 10);
    T_ERR(sm_envelope_read(written(&e), &back), SM_E_LIMIT);
}

/* -- endorsements -------------------------------------------------------------------------- */

struct world {
    struct sm_sign_pair root, node;
    struct sm_anchor mesh;
    struct sm_endorsement e;
    uint8_t buf[SM_NODE_ENDORSEMENT_MAX];
    struct sm_view bytes;
};

static void endorse(struct world *w)
{
    struct sm_wr o = sm_wr_init(w->buf, sizeof w->buf);
    T_OK(sm_endorse(sm_suite_real(), &w->root, &w->mesh, &w->e, &o));
    T_OK(sm_wr_done(&o, &w->bytes));
}

static void world_make(struct world *w)
{
    uint8_t seed[32] = {0};
    struct sm_rng rng;
    *w = (struct world){0};
    sm_put_le64(seed, t_seed());
    sm_rng_init(&rng, seed, "test");
    sm_sign_pair_make(sm_suite_real(), &rng, &w->root);
    sm_sign_pair_make(sm_suite_real(), &rng, &w->node);
    T_OK(sm_anchor_make(SM_ENV_PROD, "clinic", (const uint8_t(*)[32])w->root.pub.b, 1,
                        &w->mesh));
    w->e = (struct sm_endorsement){.platform = SM_PLATFORM_SNP,
                                   .indexes = 1,
                                   .not_before = NOW,
                                   .expires = {NOW.s + 3600}};
    T_OK(sm_platform_id_hash(SM_PLATFORM_SNP, sm_view_str("chip"), w->e.platform_id));
    memcpy(w->e.shown_id, w->e.platform_id, 32);
    memcpy(w->e.sign_key, w->node.pub.b, 32);
    endorse(w);
}

static enum sm_err verify(const struct world *w, struct sm_wall now)
{
    struct sm_endorsement e;
    return sm_endorsement_verify(sm_suite_real(), &w->mesh, now, w->bytes, &e);
}

static void a_pinned_roots_endorsement_is_believed_in_its_time_and_mesh(void)
{
    struct world w;
    struct sm_endorsement e;
    world_make(&w);
    T_OK(sm_endorsement_verify(sm_suite_real(), &w.mesh, NOW, w.bytes, &e));
    T_EQ(e.platform, SM_PLATFORM_SNP);
    T_MEM(e.platform_id, 32, w.e.platform_id, 32);
    T_MEM(e.sign_key, 32, w.node.pub.b, 32);
    T_ERR(verify(&w, (struct sm_wall){NOW.s + 3661}), SM_E_EXPIRED);
    T_ERR(verify(&w, (struct sm_wall){NOW.s - 61}), SM_E_EXPIRED);
    w.mesh.mesh_id[0] ^= 1;
    T_ERR(verify(&w, NOW), SM_E_CRYPTO);
    w.mesh.mesh_id[0] ^= 1;
    w.mesh.roots[0][0] ^= 1;
    T_ERR(verify(&w, NOW), SM_E_CRYPTO);
}

static void no_flipped_bit_of_an_endorsement_is_believed(void)
{
    struct world w;
    world_make(&w);
    for (size_t bit = 0; bit < w.bytes.n * 8; bit++) {
        w.buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_TRUE(verify(&w, NOW) != SM_OK);
        w.buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void software_is_never_endorsed_as_hardware(void)
{
    struct world w;
    uint8_t buf[SM_NODE_ENDORSEMENT_MAX], id[32];
    struct sm_wr o = sm_wr_init(buf, sizeof buf);
    world_make(&w);
    w.e.platform = SM_PLATFORM_SOFTWARE;
    T_ERR(sm_endorse(sm_suite_real(), &w.root, &w.mesh, &w.e, &o), SM_E_REFUSED);
    w.e.platform = SM_PLATFORMS;
    T_ERR(sm_endorse(sm_suite_real(), &w.root, &w.mesh, &w.e, &o), SM_E_REFUSED);
    T_ERR(sm_platform_id_hash(SM_PLATFORM_SOFTWARE, sm_view_str("x"), id), SM_E_INVALID);
    T_ERR(sm_platform_id_hash(SM_PLATFORM_SNP, (struct sm_view){0}, id), SM_E_INVALID);
}

/* A TPM is known by its EK and shows its AK; every other platform is what it shows. */
static void only_a_tpm_shows_another_id_than_it_has(void)
{
    struct world w;
    uint8_t buf[SM_NODE_ENDORSEMENT_MAX];
    for (uint8_t p = SM_PLATFORM_SNP; p < SM_PLATFORMS; p++) {
        struct sm_wr o = sm_wr_init(buf, sizeof buf);
        world_make(&w);
        w.e.platform = p;
        w.e.shown_id[0] ^= 1;
        T_ERR(sm_endorse(sm_suite_real(), &w.root, &w.mesh, &w.e, &o),
              p == SM_PLATFORM_TPM ? SM_OK : SM_E_REFUSED);
    }
}

static void ids_of_one_chip_are_one_and_of_different_kinds_are_different(void)
{
    uint8_t a[32], b[32];
    T_OK(sm_platform_id_hash(SM_PLATFORM_SNP, sm_view_str("id"), a));
    T_OK(sm_platform_id_hash(SM_PLATFORM_SNP_VTPM, sm_view_str("id"), b));
    T_MEM(a, 32, b, 32);
    T_OK(sm_platform_id_hash(SM_PLATFORM_TDX, sm_view_str("id"), b));
    T_TRUE(memcmp(a, b, 32) != 0);
    T_OK(sm_platform_id_hash(SM_PLATFORM_TPM, sm_view_str("id"), a));
    T_TRUE(memcmp(a, b, 32) != 0);
}

/* -- what evidence is made of -------------------------------------------------------------- */

static void missing_and_foreign_parts_are_refused_by_name(void)
{
    struct sm_makers trust;
    struct sm_claims c;
    sm_makers_pinned(&trust);
    for (uint8_t p = 0; p < SM_PLATFORMS + 1; p++) {
        struct sm_envelope e = {0};
        struct sm_reasons why = {0};
        e.part[SM_PART_SNP_REPORT] = sm_view_str("x");
        e.part[SM_PART_SNP_VEK] = sm_view_str("x");
        T_TRUE(sm_hw_evidence_verify(&trust, NOW, p, &e, &c, &why) != SM_OK);
        T_EQ(why.n, 1);
        if (p == SM_PLATFORM_SNP) {
            T_STR(why.r[0].field, "snp-chain");
            why = (struct sm_reasons){0};
            e.part[SM_PART_SNP_CHAIN] = sm_view_str("x");
            e.part[SM_PART_DEV] = sm_view_str("x");
            T_ERR(sm_hw_evidence_verify(&trust, NOW, p, &e, &c, &why), SM_E_MALFORMED);
            T_STR(why.r[0].field, "dev");
        }
    }
}

static void pcrs_read_back_and_bank_and_mask_are_part_of_the_measurement(void)
{
    struct sm_tpm_pcrs p = {.bank = SM_TPM_SHA256, .mask = 1u << 0 | 1u << 14}, back;
    uint8_t buf[512], a[48], b[48];
    memset(p.value[0], 1, 32);
    memset(p.value[14], 2, 32);
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    sm_tpm_pcrs_write(&p, &w);
    T_OK(sm_tpm_pcrs_read(sm_view_of(buf, w.n), &back));
    T_MEM(&back, sizeof back, &p, sizeof p);
    for (size_t n = 0; n < w.n; n++) {
        T_ERR(sm_tpm_pcrs_read(sm_view_of(buf, n), &back), SM_E_TRUNCATED);
    }
    T_ERR(sm_tpm_pcrs_read(sm_view_of(buf, w.n + 1), &back), SM_E_MALFORMED);
    sm_tpm_pcrs_measurement(&p, a);
    p.mask = 1u << 1 | 1u << 14; /* the same bytes, of other registers */
    memcpy(p.value[1], p.value[0], 32);
    sm_tpm_pcrs_measurement(&p, b);
    T_TRUE(memcmp(a, b, 48) != 0);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(what_is_written_reads_back_to_the_same_bytes),
        T_CASE(a_prefix_or_a_changed_byte_reads_as_no_other_envelope),
        T_CASE(parts_unknown_empty_twice_or_mislabelled_are_refused),
        T_CASE(parts_and_wholes_that_are_too_long_are_refused),
        T_CASE(a_pinned_roots_endorsement_is_believed_in_its_time_and_mesh),
        T_CASE(no_flipped_bit_of_an_endorsement_is_believed),
        T_CASE(software_is_never_endorsed_as_hardware),
        T_CASE(only_a_tpm_shows_another_id_than_it_has),
        T_CASE(ids_of_one_chip_are_one_and_of_different_kinds_are_different),
        T_CASE(missing_and_foreign_parts_are_refused_by_name),
        T_CASE(pcrs_read_back_and_bank_and_mask_are_part_of_the_measurement),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
