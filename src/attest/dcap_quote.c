// SPDX-License-Identifier: Apache-2.0
#include "attest/dcap_quote.h"

#include <string.h>

#define HEADER     48u
#define TEE_SGX    0u
#define TEE_TDX    0x81u
#define KEY_P256   2u
#define CERT_PCK   5u /* PCK certificate chain, PEM */
#define CERT_QE    6u /* what the quoting enclave signed */
#define BODY_SGX   1u
#define BODY_TD    2u
#define BODY_TD15  3u
#define P256_BYTES 64u

/* Intel's quoting enclaves. */
static const uint8_t qe_vendor[16] = {0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                      0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};

static void sgx_report_read(struct sm_rd *r, struct sm_sgx_report *out)
{
    sm_rd_bytes(r, out->cpusvn, sizeof out->cpusvn);
    sm_rd_bytes(r, out->miscselect, sizeof out->miscselect);
    (void)sm_rd_view(r, 28); /* reserved; ISVEXTPRODID */
    sm_rd_bytes(r, out->attributes, sizeof out->attributes);
    sm_rd_bytes(r, out->mrenclave, sizeof out->mrenclave);
    (void)sm_rd_view(r, 32);
    sm_rd_bytes(r, out->mrsigner, sizeof out->mrsigner);
    (void)sm_rd_view(r, 32);
    sm_rd_bytes(r, out->configid, sizeof out->configid);
    out->isvprodid = sm_rd_u16(r);
    out->isvsvn = sm_rd_u16(r);
    out->configsvn = sm_rd_u16(r);
    (void)sm_rd_view(r, 58); /* reserved; ISVFAMILYID */
    sm_rd_bytes(r, out->report_data, sizeof out->report_data);
}

static void td_report_read(struct sm_rd *r, bool is_15, struct sm_td_report *out)
{
    sm_rd_bytes(r, out->tee_tcb_svn, sizeof out->tee_tcb_svn);
    sm_rd_bytes(r, out->mrseam, sizeof out->mrseam);
    sm_rd_bytes(r, out->mrsignerseam, sizeof out->mrsignerseam);
    sm_rd_bytes(r, out->seamattributes, sizeof out->seamattributes);
    out->attributes = sm_rd_u64(r);
    out->xfam = sm_rd_u64(r);
    sm_rd_bytes(r, out->mrtd, sizeof out->mrtd);
    sm_rd_bytes(r, out->mrconfigid, sizeof out->mrconfigid);
    sm_rd_bytes(r, out->mrowner, sizeof out->mrowner);
    sm_rd_bytes(r, out->mrownerconfig, sizeof out->mrownerconfig);
    sm_rd_bytes(r, out->rtmr, sizeof out->rtmr);
    sm_rd_bytes(r, out->report_data, sizeof out->report_data);
    out->is_15 = is_15;
    if (is_15) {
        sm_rd_bytes(r, out->tee_tcb_svn2, sizeof out->tee_tcb_svn2);
        sm_rd_bytes(r, out->mrservicetd, sizeof out->mrservicetd);
    }
}

static enum sm_err header_read(struct sm_rd *r, struct sm_quote *q)
{
    uint8_t vendor[16];
    q->version = sm_rd_u16(r);
    uint16_t key_type = sm_rd_u16(r);
    uint32_t tee = sm_rd_u32(r);
    (void)sm_rd_u32(r); /* v3: versions of QE and PCE, which the certificates tell better */
    sm_rd_bytes(r, vendor, sizeof vendor);
    (void)sm_rd_view(r, 20); /* the QE's own use */
    if (r->failed) {
        return SM_E_TRUNCATED;
    }
    q->is_tdx = tee == TEE_TDX;
    bool is_known = q->version >= 3 && q->version <= 5 && key_type == KEY_P256 &&
                    (tee == TEE_TDX || tee == TEE_SGX) && !(q->is_tdx && q->version == 3) &&
                    memcmp(vendor, qe_vendor, sizeof vendor) == 0;
    return is_known ? SM_OK : SM_E_UNSUPPORTED;
}

/* Which body follows; v5 says so itself, and must say the same as the header. */
static enum sm_err body_size(struct sm_rd *r, const struct sm_quote *q, uint32_t *size)
{
    *size = q->is_tdx ? SM_TD_REPORT : SM_SGX_REPORT;
    if (q->version < 5) {
        return SM_OK;
    }
    uint16_t type = sm_rd_u16(r);
    uint32_t said = sm_rd_u32(r);
    if (r->failed) {
        return SM_E_TRUNCATED;
    }
    if (q->is_tdx && type == BODY_TD15) {
        *size = SM_TD_REPORT15;
    } else if (type != (q->is_tdx ? BODY_TD : BODY_SGX)) {
        return SM_E_UNSUPPORTED;
    }
    return said == *size ? SM_OK : SM_E_MALFORMED;
}

static void qe_read(struct sm_rd *r, struct sm_quote *q)
{
    q->qe_bytes = sm_rd_view(r, SM_SGX_REPORT);
    struct sm_rd report = sm_rd_init(q->qe_bytes);
    sgx_report_read(&report, &q->qe);
    q->qe_sig = sm_rd_view(r, P256_BYTES);
    q->qe_auth = sm_rd_view(r, sm_rd_u16(r));
    if (sm_rd_u16(r) != CERT_PCK) {
        sm_rd_fail(r);
    }
    q->pck_chain = sm_rd_blob(r, SM_QUOTE_MAX);
}

static enum sm_err signature_read(struct sm_view bytes, struct sm_quote *q)
{
    struct sm_rd r = sm_rd_init(bytes);
    q->sig = sm_rd_view(&r, P256_BYTES);
    q->key = sm_rd_view(&r, P256_BYTES);
    if (q->version == 3) {
        qe_read(&r, q);
        return sm_rd_done(&r);
    }
    if (sm_rd_u16(&r) != CERT_QE) {
        sm_rd_fail(&r);
    }
    struct sm_rd qe = sm_rd_init(sm_rd_blob(&r, SM_QUOTE_MAX));
    SM_TRY(sm_rd_done(&r));
    qe_read(&qe, q);
    return sm_rd_done(&qe);
}

static bool is_zero(struct sm_view v)
{
    uint8_t any = 0;
    for (size_t i = 0; i < v.n; i++) {
        any |= v.p[i];
    }
    return any == 0;
}

enum sm_err sm_quote_read(struct sm_view bytes, struct sm_quote *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct sm_quote q = {0};
    uint32_t size;
    if (bytes.n > SM_QUOTE_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(header_read(&r, &q));
    SM_TRY(body_size(&r, &q, &size));
    struct sm_rd body = sm_rd_init(sm_rd_view(&r, size));
    q.body = sm_view_sub(bytes, 0, bytes.n - r.left.n);
    if (q.is_tdx) {
        td_report_read(&body, size == SM_TD_REPORT15, &q.td);
    } else {
        sgx_report_read(&body, &q.sgx);
    }
    struct sm_view signature = sm_rd_blob(&r, SM_QUOTE_MAX);
    if (r.failed) {
        return SM_E_TRUNCATED;
    }
    SM_TRY(sm_rd_done(&body));
    SM_TRY(signature_read(signature, &q));
    q.trailing = r.left.n;
    q.is_trailing_zero = is_zero(r.left);
    *out = q;
    return SM_OK;
}
