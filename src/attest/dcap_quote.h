// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dcap_quote: the grammar of Intel's quotes, version 3 (SGX), 4 and 5 (TDX, SGX).
 *
 *     header 48 | v5: body type u16, size u32 | body 384, 584 or 648 | length u32 | signature
 *     signature of v3     sig 64, key 64, QE
 *     signature of v4, v5 sig 64, key 64, type u16 = 6, length u32, QE
 *     QE                  report 384, sig 64, length u16, auth data, type u16 = 5, length u32,
 *                         PCK certificates in PEM
 *
 * Every length must fit exactly into the one around it.  Behind the quote, buffers of fixed
 * size leave zeros; they are counted, and it is told when something else is there.
 *
 * Memory:  views into the quote.
 * Errors:  TRUNCATED, MALFORMED; UNSUPPORTED for a version, key type or body we do not know.
 * Source:  Intel SGX ECDSA Quote Library Reference 4; Intel TDX DCAP Quoting Library 4.
 */
#include "base/bytes.h"

#define SM_SGX_REPORT  384u
#define SM_TD_REPORT   584u
#define SM_TD_REPORT15 648u
#define SM_QUOTE_MAX   65536u /* the largest seen has 8000 bytes, most of them zeros */

/* An enclave's report: the body of an SGX quote, and what the quoting enclave says of itself.
 */
struct sm_sgx_report {
    uint8_t cpusvn[16], miscselect[4], attributes[16];
    uint8_t mrenclave[32], mrsigner[32], configid[64];
    uint16_t isvprodid, isvsvn, configsvn;
    uint8_t report_data[64];
};
#define SM_SGX_DEBUG 0x02u /* of attributes[0] */

struct sm_td_report {
    uint8_t tee_tcb_svn[16], mrseam[48], mrsignerseam[48], seamattributes[8];
    uint64_t attributes, xfam;
    uint8_t mrtd[48], mrconfigid[48], mrowner[48], mrownerconfig[48], rtmr[4][48];
    uint8_t report_data[64];
    bool is_15; /* the two below are there */
    uint8_t tee_tcb_svn2[16], mrservicetd[48];
};
#define SM_TD_DEBUG           (UINT64_C(1) << 0)
#define SM_TD_RESERVED        UINT64_C(0xfe) /* bits 7:1 */
#define SM_TD_SEPT_VE_DISABLE (UINT64_C(1) << 28)

struct sm_quote {
    uint16_t version;
    bool is_tdx;
    struct sm_sgx_report sgx; /* one of the two */
    struct sm_td_report td;

    struct sm_view body;     /* what sig signs */
    struct sm_view sig, key; /* P-256, r || s and x || y, 64 bytes each */
    struct sm_view qe_bytes; /* what qe_sig signs */
    struct sm_sgx_report qe;
    struct sm_view qe_sig, qe_auth;
    struct sm_view pck_chain; /* PEM */
    size_t trailing;          /* bytes behind */
    bool is_trailing_zero;
};

enum sm_err sm_quote_read(struct sm_view bytes, struct sm_quote *out) SM_MUST;
