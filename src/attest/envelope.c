// SPDX-License-Identifier: Apache-2.0
#include "attest/envelope.h"

#include "base/cbor.h"
#include "wire/frame.h"

#define KIB             1024u
#define IS_ENDORSEMENT  2u /* bits of a CMW indicator */
#define IS_EVIDENCE     4u
#define RECORD_ITEMS    3u
#define MEDIA_TYPE_BASE "application/vnd.seemesh."

/* Media types are ours where the maker has not registered any.  Sizes: the largest seen, with
 * room; what a tunnel takes as a whole is SM_EVIDENCE_MAX. */
static const struct {
    const char *name, *type;
    uint8_t indicator;
    uint32_t max;
} parts[SM_PARTS] = {
    [SM_PART_DEV] = {"dev", MEDIA_TYPE_BASE "dev-evidence", IS_EVIDENCE, KIB},
    [SM_PART_EPOCH] = {"epoch", MEDIA_TYPE_BASE "epoch", IS_EVIDENCE, 2560},
    [SM_PART_SNP_REPORT] = {"snp-report", MEDIA_TYPE_BASE "snp-report", IS_EVIDENCE, 1184},
    [SM_PART_SNP_VEK] = {"snp-vek", MEDIA_TYPE_BASE "snp-vek", IS_ENDORSEMENT, 4 * KIB},
    [SM_PART_SNP_CHAIN] = {"snp-chain", MEDIA_TYPE_BASE "snp-chain", IS_ENDORSEMENT, 8 * KIB},
    [SM_PART_SNP_CRL] = {"snp-crl", MEDIA_TYPE_BASE "snp-crl", IS_ENDORSEMENT, 16 * KIB},
    [SM_PART_DCAP_QUOTE] = {"dcap-quote", MEDIA_TYPE_BASE "dcap-quote", IS_EVIDENCE, 12 * KIB},
    [SM_PART_DCAP_TCB_INFO] = {"dcap-tcb-info", MEDIA_TYPE_BASE "dcap-tcb-info", IS_ENDORSEMENT,
                               40 * KIB},
    [SM_PART_DCAP_QE_IDENTITY] = {"dcap-qe-identity", MEDIA_TYPE_BASE "dcap-qe-identity",
                                  IS_ENDORSEMENT, 8 * KIB},
    [SM_PART_DCAP_TCB_CHAIN] = {"dcap-tcb-chain", MEDIA_TYPE_BASE "dcap-tcb-chain",
                                IS_ENDORSEMENT, 8 * KIB},
    [SM_PART_DCAP_ROOT_CRL] = {"dcap-root-crl", MEDIA_TYPE_BASE "dcap-root-crl", IS_ENDORSEMENT,
                               8 * KIB},
    [SM_PART_DCAP_PCK_CRL] = {"dcap-pck-crl", MEDIA_TYPE_BASE "dcap-pck-crl", IS_ENDORSEMENT,
                              40 * KIB},
    [SM_PART_TPM_QUOTE] = {"tpm-quote", MEDIA_TYPE_BASE "tpm-quote", IS_EVIDENCE, KIB},
    [SM_PART_TPM_SIG] = {"tpm-sig", MEDIA_TYPE_BASE "tpm-sig", IS_EVIDENCE, KIB},
    [SM_PART_TPM_AK] = {"tpm-ak", MEDIA_TYPE_BASE "tpm-ak", IS_EVIDENCE, KIB},
    [SM_PART_TPM_PCRS] = {"tpm-pcrs", MEDIA_TYPE_BASE "tpm-pcrs", IS_EVIDENCE, 2 * KIB},
    [SM_PART_TPM_LOG] = {"tpm-log", MEDIA_TYPE_BASE "tpm-log", IS_EVIDENCE, 48 * KIB},
    [SM_PART_HCL_REPORT] = {"hcl-report", MEDIA_TYPE_BASE "hcl-report", IS_EVIDENCE, 8 * KIB},
    [SM_PART_NITRO] = {"nitro", MEDIA_TYPE_BASE "nitro", IS_EVIDENCE, 16 * KIB},
};

const char *sm_part_name(enum sm_part part)
{
    return part > 0 && part < SM_PARTS ? parts[part].name : "unknown";
}

size_t sm_part_max(enum sm_part part)
{
    return part > 0 && part < SM_PARTS ? parts[part].max : 0;
}

/* [type, bytes, indicator]; what it holds, or an empty view and a failed reader. */
static struct sm_view read_record(struct sm_cbor *c, uint64_t number)
{
    if (number == 0 || number >= SM_PARTS || sm_cbor_array(c) != RECORD_ITEMS) {
        sm_cbor_fail(c);
        return (struct sm_view){0};
    }
    struct sm_view type = sm_cbor_text(c);
    struct sm_view bytes = sm_cbor_bytes(c);
    uint64_t indicator = sm_cbor_uint(c);
    if (!sm_view_eq(type, sm_view_str(parts[number].type)) || bytes.n == 0 ||
        indicator != parts[number].indicator) {
        sm_cbor_fail(c);
        return (struct sm_view){0};
    }
    return bytes;
}

enum sm_err sm_envelope_read(struct sm_view bytes, struct sm_envelope *out)
{
    if (bytes.n > SM_EVIDENCE_MAX) {
        return SM_E_LIMIT;
    }
    struct sm_cbor c = sm_cbor_init(bytes);
    struct sm_envelope e = {0};
    bool is_long = false;
    size_t n = sm_cbor_map(&c);
    if (n == 0 || n >= SM_PARTS) {
        sm_cbor_fail(&c);
        n = 0;
    }
    for (; n > 0; n--) {
        uint64_t number = sm_cbor_uint(&c); /* ascending, by the rules of maps */
        struct sm_view v = read_record(&c, number);
        if (v.n > 0) {
            is_long = is_long || v.n > parts[number].max;
            e.part[number] = v;
        }
    }
    SM_TRY(sm_cbor_done(&c));
    if (is_long) {
        return SM_E_LIMIT;
    }
    *out = e;
    return SM_OK;
}

uint32_t sm_envelope_mask(const struct sm_envelope *e)
{
    uint32_t mask = 0;
    for (unsigned i = 1; i < SM_PARTS; i++) {
        mask |= (uint32_t)(e->part[i].n > 0) << i;
    }
    return mask;
}

enum sm_err sm_envelope_write(const struct sm_envelope *e, struct sm_wr *w)
{
    size_t n = 0;
    for (unsigned i = 1; i < SM_PARTS; i++) {
        n += e->part[i].n > 0;
        if (e->part[i].n > parts[i].max) {
            return SM_E_LIMIT;
        }
    }
    sm_cbor_put_map(w, n);
    for (unsigned i = 1; i < SM_PARTS; i++) {
        if (e->part[i].n > 0) {
            sm_cbor_put_uint(w, i);
            sm_cbor_put_array(w, RECORD_ITEMS);
            sm_cbor_put_text(w, sm_view_str(parts[i].type));
            sm_cbor_put_bytes(w, e->part[i]);
            sm_cbor_put_uint(w, parts[i].indicator);
        }
    }
    return w->full ? SM_E_LIMIT : SM_OK;
}
