// SPDX-License-Identifier: Apache-2.0
#include "os/tpm.h"

#include "os/secretmem.h"
#include "os/tpm_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>

#define NV_EK_RSA   0x01c00002u
#define NV_EK_ECC   0x01c0000au
#define NV_READ_MAX 512u /* every TPM gives this much at once */
#define NONE3       ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE
#define PASSWORD    ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE

struct sm_tpmdev {
    struct sm_tcti tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR ak; /* ESYS_TR_NONE: none */
    uint8_t ak_public[SM_TPMDEV_BLOB];
    size_t ak_public_n;
    char why[SM_TPMDEV_WHY];
};

bool sm_tpmdev_is_built(void)
{
    return true;
}

/* -- errors ------------------------------------------------------------------------------ */

static enum sm_err err_of_tpm(uint32_t rc)
{
    switch ((rc & TPM2_RC_FMT1) != 0 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc) {
    case TPM2_RC_POLICY_FAIL:
    case TPM2_RC_PCR_CHANGED:
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_LOCKOUT:
    case TPM2_RC_HIERARCHY:
        return SM_E_REFUSED;
    case TPM2_RC_INTEGRITY:
        return SM_E_CRYPTO;
    case TPM2_RC_HANDLE:
        return SM_E_NOTFOUND;
    case TPM2_RC_OBJECT_MEMORY:
    case TPM2_RC_OBJECT_HANDLES:
    case TPM2_RC_SESSION_MEMORY:
    case TPM2_RC_SESSION_HANDLES:
    case TPM2_RC_MEMORY:
        return SM_E_LIMIT;
    case TPM2_RC_RETRY:
    case TPM2_RC_TESTING:
    case TPM2_RC_YIELDED:
    case TPM2_RC_NV_RATE:
        return SM_E_BUSY;
    case TPM2_RC_CURVE:
    case TPM2_RC_HASH:
    case TPM2_RC_COMMAND_CODE:
        return SM_E_UNSUPPORTED;
    default:
        return SM_E_FAILED;
    }
}

static enum sm_err err_of(uint32_t rc)
{
    if (rc >> TSS2_RC_LAYER_SHIFT == 0) {
        return err_of_tpm(rc);
    }
    switch (rc & 0xffff) {
    case TSS2_BASE_RC_NO_CONNECTION:
    case TSS2_BASE_RC_TRY_AGAIN:
        return SM_E_TIMEOUT;
    case TSS2_BASE_RC_MEMORY:
        return SM_E_NOMEM;
    default:
        return SM_E_IO;
    }
}

static enum sm_err fail(struct sm_tpmdev *t, const char *doing, uint32_t rc)
{
    char words[SM_TPMDEV_WHY];
    sm_tpmdev_words(rc, words);
    (void)snprintf(t->why, sizeof t->why, "%s: %.*s", doing,
                   (int)(sizeof t->why - 4 - strlen(doing)), words);
    return err_of(rc);
}

static enum sm_err refuse(struct sm_tpmdev *t, enum sm_err e, const char *text)
{
    (void)snprintf(t->why, sizeof t->why, "%s", text);
    return e;
}

const char *sm_tpmdev_why(const struct sm_tpmdev *t)
{
    return t->why;
}

/* -- opening ----------------------------------------------------------------------------- */

enum sm_err sm_tpmdev_open(const char *tcti, struct sm_tpmdev **out,
                           char why[static SM_TPMDEV_WHY])
{
    /* What tpm2-tss would print to stderr is in sm_tpmdev_why(). */
    (void)setenv("TSS2_LOG", "all+none", 0);
    struct sm_tpmdev *t = calloc(1, sizeof *t);
    if (t == NULL) {
        (void)snprintf(why, SM_TPMDEV_WHY, "%s", sm_err_words(SM_E_NOMEM));
        return SM_E_NOMEM;
    }
    t->ak = ESYS_TR_NONE;
    t->tcti.fd = -1;
    enum sm_err e = sm_tcti_open(tcti, &t->tcti, why);
    if (e == SM_OK) {
        TSS2_RC rc = Esys_Initialize(&t->esys, (TSS2_TCTI_CONTEXT *)(void *)&t->tcti, NULL);
        struct sm_tpmdev_info info;
        e = rc != 0 ? fail(t, "start", rc) : sm_tpmdev_info(t, &info);
        (void)snprintf(why, SM_TPMDEV_WHY, "%s", t->why);
    }
    if (e != SM_OK) {
        sm_tpmdev_close(t);
        return e;
    }
    *out = t;
    return SM_OK;
}

/* Best effort: what could not be flushed now is flushed by nobody. */
static void flush(struct sm_tpmdev *t, ESYS_TR *handle)
{
    if (*handle != ESYS_TR_NONE) {
        if (Esys_FlushContext(t->esys, *handle) != 0) {
            (void)Esys_TR_Close(t->esys, handle);
        }
        *handle = ESYS_TR_NONE;
    }
}

void sm_tpmdev_close(struct sm_tpmdev *t)
{
    if (t == NULL) {
        return;
    }
    if (t->esys != NULL) {
        flush(t, &t->ak);
        Esys_Finalize(&t->esys);
    }
    sm_tcti_close(&t->tcti);
    free(t);
}

/* Property values of four letters each. */
static void letters(uint32_t v, char *out)
{
    for (unsigned i = 0; i < 4; i++) {
        uint8_t c = (uint8_t)(v >> (24 - 8 * i));
        if (c > 0x20 && c < 0x7f) {
            *out++ = (char)c;
        }
    }
    *out = '\0';
}

static void take_property(const TPMS_TAGGED_PROPERTY *p, struct sm_tpmdev_info *info)
{
    switch (p->property) {
    case TPM2_PT_MANUFACTURER:
        letters(p->value, info->maker);
        break;
    case TPM2_PT_VENDOR_STRING_1:
    case TPM2_PT_VENDOR_STRING_2:
    case TPM2_PT_VENDOR_STRING_3:
    case TPM2_PT_VENDOR_STRING_4:
        letters(p->value, info->model + strlen(info->model));
        break;
    case TPM2_PT_FIRMWARE_VERSION_1:
        info->firmware |= (uint64_t)p->value << 32;
        break;
    case TPM2_PT_FIRMWARE_VERSION_2:
        info->firmware |= p->value;
        break;
    default:
        break;
    }
}

enum sm_err sm_tpmdev_info(struct sm_tpmdev *t, struct sm_tpmdev_info *out)
{
    struct sm_tpmdev_info info = {0};
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    const uint32_t n = TPM2_PT_FIRMWARE_VERSION_2 - TPM2_PT_MANUFACTURER + 1;
    TSS2_RC rc = Esys_GetCapability(t->esys, NONE3, TPM2_CAP_TPM_PROPERTIES,
                                    TPM2_PT_MANUFACTURER, n, &more, &data);
    if (rc != 0) {
        return fail(t, "ask the TPM who made it", rc);
    }
    const TPML_TAGGED_TPM_PROPERTY *list = &data->data.tpmProperties;
    for (uint32_t i = 0; i < list->count && i < n; i++) {
        take_property(&list->tpmProperty[i], &info);
    }
    Esys_Free(data);
    info.is_software = strcmp(info.maker, "IBM") == 0;
    *out = info;
    return SM_OK;
}

/* -- templates --------------------------------------------------------------------------- */

static const TPMT_SYM_DEF_OBJECT aes128 = {
    .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};

/* PolicySecret(endorsement hierarchy): who may use an EK. */
static const TPM2B_DIGEST ek_policy = {
    .size = 32, .buffer = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
                           0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
                           0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa}};

#define FIXED (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT)
#define BORN  (FIXED | TPMA_OBJECT_SENSITIVEDATAORIGIN)

static TPM2B_PUBLIC ecc_template(TPMA_OBJECT attributes)
{
    return (TPM2B_PUBLIC){
        .publicArea = {.type = TPM2_ALG_ECC,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = attributes,
                       .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_NULL},
                                                .scheme = {.scheme = TPM2_ALG_NULL},
                                                .curveID = TPM2_ECC_NIST_P256,
                                                .kdf = {.scheme = TPM2_ALG_NULL}}}};
}

/* Template L-1 or L-2 of TCG's profile. */
static TPM2B_PUBLIC ek_template(enum sm_tpmdev_ek kind)
{
    const TPMA_OBJECT attributes =
        BORN | TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
    TPM2B_PUBLIC pub = ecc_template(attributes);
    TPMT_PUBLIC *area = &pub.publicArea;
    area->authPolicy = ek_policy;
    if (kind == SM_TPMDEV_EK_ECC) {
        area->parameters.eccDetail.symmetric = aes128;
        area->unique.ecc.x.size = 32;
        area->unique.ecc.y.size = 32;
        return pub;
    }
    area->type = TPM2_ALG_RSA;
    area->parameters.rsaDetail = (TPMS_RSA_PARMS){
        .symmetric = aes128, .scheme = {.scheme = TPM2_ALG_NULL}, .keyBits = 2048};
    area->unique.rsa.size = 256;
    return pub;
}

/* The storage key that wraps what we keep in files. */
static TPM2B_PUBLIC storage_template(void)
{
    TPM2B_PUBLIC pub = ecc_template(BORN | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                                    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);
    pub.publicArea.parameters.eccDetail.symmetric = aes128;
    pub.publicArea.unique.ecc.x.size = 32;
    pub.publicArea.unique.ecc.y.size = 32;
    return pub;
}

/* Without dictionary protection: failed guesses by others must not lock our quotes. */
static TPM2B_PUBLIC ak_template(void)
{
    TPM2B_PUBLIC pub = ecc_template(BORN | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                                    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT);
    pub.publicArea.parameters.eccDetail.scheme =
        (TPMT_ECC_SCHEME){.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256};
    return pub;
}

static TPM2B_PUBLIC sealed_template(const TPM2B_DIGEST *policy)
{
    return (TPM2B_PUBLIC){
        .publicArea = {.type = TPM2_ALG_KEYEDHASH,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = FIXED | TPMA_OBJECT_NODA,
                       .authPolicy = *policy,
                       .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
}

static enum sm_err primary(struct sm_tpmdev *t, ESYS_TR hierarchy, const TPM2B_PUBLIC *pub,
                           ESYS_TR *out, TPM2B_PUBLIC **out_public)
{
    const TPM2B_SENSITIVE_CREATE none = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    t->tcti.timeout_ms = SM_TPMDEV_SLOW_MS;
    TSS2_RC rc = Esys_CreatePrimary(t->esys, hierarchy, PASSWORD, &none, pub, &outside, &pcrs,
                                    out, out_public, NULL, NULL, NULL);
    t->tcti.timeout_ms = SM_TPMDEV_TIMEOUT_MS;
    if (rc != 0) {
        *out = ESYS_TR_NONE;
        return fail(t,
                    hierarchy == ESYS_TR_RH_OWNER ? "make the storage key"
                                                  : "make the endorsement key",
                    rc);
    }
    return SM_OK;
}

static enum sm_err storage_key(struct sm_tpmdev *t, ESYS_TR *out)
{
    TPM2B_PUBLIC pub = storage_template();
    return primary(t, ESYS_TR_RH_OWNER, &pub, out, NULL);
}

/* -- blobs: TPM2B_PUBLIC then TPM2B_PRIVATE ---------------------------------------------- */

static enum sm_err blob_write(struct sm_tpmdev *t, const TPM2B_PUBLIC *pub,
                              const TPM2B_PRIVATE *priv, struct sm_buf *out)
{
    uint8_t bytes[SM_TPMDEV_BLOB];
    size_t n = 0;
    TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(pub, bytes, sizeof bytes, &n);
    rc = rc != 0 ? rc : Tss2_MU_TPM2B_PRIVATE_Marshal(priv, bytes, sizeof bytes, &n);
    if (rc != 0) {
        return fail(t, "write the key blob", rc);
    }
    sm_buf_clear(out);
    return sm_buf_add(out, bytes, n);
}

static enum sm_err blob_load(struct sm_tpmdev *t, ESYS_TR parent, struct sm_view blob,
                             TPM2B_PUBLIC *pub, ESYS_TR *out)
{
    TPM2B_PRIVATE priv = {0};
    size_t at = 0;
    *pub = (TPM2B_PUBLIC){0};
    TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(blob.p, blob.n, &at, pub);
    rc = rc != 0 ? rc : Tss2_MU_TPM2B_PRIVATE_Unmarshal(blob.p, blob.n, &at, &priv);
    if (rc != 0 || at != blob.n) {
        return refuse(t, SM_E_CORRUPT, "the key blob is damaged");
    }
    rc = Esys_Load(t->esys, parent, PASSWORD, &priv, pub, out);
    if (rc != 0) {
        *out = ESYS_TR_NONE;
        return fail(t, "load the key blob", rc);
    }
    return SM_OK;
}

static enum sm_err public_bytes(struct sm_tpmdev *t, const TPMT_PUBLIC *area, uint8_t *p,
                                size_t cap, size_t *out)
{
    size_t n = 0;
    TSS2_RC rc = Tss2_MU_TPMT_PUBLIC_Marshal(area, p, cap, &n);
    if (rc != 0) {
        return fail(t, "read the public area", rc);
    }
    *out = n;
    return SM_OK;
}

/* -- registers --------------------------------------------------------------------------- */

static TPML_PCR_SELECTION selection(uint32_t mask)
{
    return (TPML_PCR_SELECTION){
        .count = 1,
        .pcrSelections[0] = {
            .hash = TPM2_ALG_SHA256,
            .sizeofSelect = 3,
            .pcrSelect = {(uint8_t)mask, (uint8_t)(mask >> 8), (uint8_t)(mask >> 16)}}};
}

static uint32_t mask_of(const TPML_PCR_SELECTION *s)
{
    uint32_t mask = 0;
    if (s->count == 1 && s->pcrSelections[0].hash == TPM2_ALG_SHA256) {
        for (unsigned i = 0; i < s->pcrSelections[0].sizeofSelect && i < 3; i++) {
            mask |= (uint32_t)s->pcrSelections[0].pcrSelect[i] << 8 * i;
        }
    }
    return mask;
}

/* Copies the values of `got`, which are at most eight, in the order of their numbers. */
static enum sm_err take_values(struct sm_tpmdev *t, uint32_t got, const TPML_DIGEST *values,
                               struct sm_tpmdev_pcrs *out)
{
    uint32_t at = 0;
    for (unsigned i = 0; i < SM_TPMDEV_PCRS; i++) {
        if ((got >> i & 1) == 0) {
            continue;
        }
        if (at == values->count || values->digests[at].size != SM_TPMDEV_HASH) {
            return refuse(t, SM_E_IO, "read PCRs: the TPM answers nonsense");
        }
        memcpy(out->value[i], values->digests[at++].buffer, SM_TPMDEV_HASH);
        out->mask |= 1u << i;
    }
    return SM_OK;
}

static enum sm_err read_some(struct sm_tpmdev *t, uint32_t wanted, struct sm_tpmdev_pcrs *out)
{
    TPML_PCR_SELECTION in = selection(wanted), *got = NULL;
    TPML_DIGEST *values = NULL;
    TSS2_RC rc = Esys_PCR_Read(t->esys, NONE3, &in, NULL, &got, &values);
    if (rc != 0) {
        return fail(t, "read PCRs", rc);
    }
    uint32_t mask = mask_of(got);
    enum sm_err e = mask == 0 || (mask & ~wanted) != 0
                        ? refuse(t, SM_E_UNSUPPORTED,
                                 "read PCRs: the SHA-256 bank is not active; switch it on in "
                                 "the firmware (SHA-1 is not taken)")
                        : take_values(t, mask, values, out);
    Esys_Free(got);
    Esys_Free(values);
    return e;
}

enum sm_err sm_tpmdev_pcrs(struct sm_tpmdev *t, uint32_t mask, struct sm_tpmdev_pcrs *out)
{
    struct sm_tpmdev_pcrs all = {0};
    if (mask == 0 || mask >> SM_TPMDEV_PCRS != 0) {
        return refuse(t, SM_E_INVALID, "PCRs are 0 to 23, and at least one");
    }
    while (all.mask != mask) { /* each turn adds at least one */
        SM_TRY(read_some(t, mask & ~all.mask, &all));
    }
    *out = all;
    return SM_OK;
}

enum sm_err sm_tpmdev_extend(struct sm_tpmdev *t, unsigned pcr,
                             const uint8_t digest[static SM_TPMDEV_HASH])
{
    TPML_DIGEST_VALUES v = {.count = 1, .digests[0].hashAlg = TPM2_ALG_SHA256};
    if (pcr >= SM_TPMDEV_PCRS) {
        return refuse(t, SM_E_INVALID, "PCRs are 0 to 23");
    }
    memcpy(v.digests[0].digest.sha256, digest, SM_TPMDEV_HASH);
    TSS2_RC rc = Esys_PCR_Extend(t->esys, ESYS_TR_PCR0 + pcr, PASSWORD, &v);
    return rc == 0 ? SM_OK : fail(t, "extend a PCR", rc);
}

/* -- endorsement key --------------------------------------------------------------------- */

static enum sm_err nv_read(struct sm_tpmdev *t, ESYS_TR index, size_t size, struct sm_buf *out)
{
    sm_buf_clear(out);
    while (out->n < size) {
        size_t left = size - out->n;
        TPM2B_MAX_NV_BUFFER *part = NULL;
        TSS2_RC rc = Esys_NV_Read(t->esys, index, index, PASSWORD,
                                  (uint16_t)(left < NV_READ_MAX ? left : NV_READ_MAX),
                                  (uint16_t)out->n, &part);
        if (rc != 0) {
            return fail(t, "read the EK certificate", rc);
        }
        enum sm_err e = part->size == 0 || part->size > left
                            ? refuse(t, SM_E_IO, "read NV: the TPM answers nonsense")
                            : sm_buf_add(out, part->buffer, part->size);
        Esys_Free(part);
        SM_TRY(e);
    }
    return SM_OK;
}

static enum sm_err nv_size(struct sm_tpmdev *t, ESYS_TR index, size_t *out)
{
    TPM2B_NV_PUBLIC *pub = NULL;
    TSS2_RC rc = Esys_NV_ReadPublic(t->esys, index, NONE3, &pub, NULL);
    if (rc != 0) {
        return fail(t, "read the EK certificate", rc);
    }
    *out = pub->nvPublic.dataSize;
    Esys_Free(pub);
    return SM_OK;
}

/* An index may be larger than what is in it: cut to the length DER gives. */
static enum sm_err cut_der(struct sm_tpmdev *t, struct sm_buf *b)
{
    size_t n = b->n >= 4 && b->p[0] == 0x30 && b->p[1] == 0x82
                   ? 4u + ((size_t)b->p[2] << 8 | b->p[3])
                   : 0;
    if (n == 0 || n > b->n) {
        return refuse(t, SM_E_CORRUPT, "what the TPM holds for EK certificate is none");
    }
    b->n = n;
    return SM_OK;
}

static enum sm_err ek_cert(struct sm_tpmdev *t, enum sm_tpmdev_ek kind, struct sm_buf *out)
{
    ESYS_TR index = ESYS_TR_NONE;
    size_t n = 0;
    TSS2_RC rc = Esys_TR_FromTPMPublic(
        t->esys, kind == SM_TPMDEV_EK_RSA ? NV_EK_RSA : NV_EK_ECC, NONE3, &index);
    if (rc != 0) {
        return fail(t, "find the EK certificate", rc);
    }
    enum sm_err e = nv_size(t, index, &n);
    e = e == SM_OK ? nv_read(t, index, n, out) : e;
    e = e == SM_OK ? cut_der(t, out) : e;
    (void)Esys_TR_Close(t->esys, &index);
    return e;
}

enum sm_err sm_tpmdev_ek_public(struct sm_tpmdev *t, enum sm_tpmdev_ek kind, struct sm_buf *out)
{
    TPM2B_PUBLIC template = ek_template(kind), *pub = NULL;
    uint8_t bytes[SM_TPMDEV_BLOB];
    ESYS_TR ek = ESYS_TR_NONE;
    size_t n = 0;
    SM_TRY(primary(t, ESYS_TR_RH_ENDORSEMENT, &template, &ek, &pub));
    enum sm_err e = public_bytes(t, &pub->publicArea, bytes, sizeof bytes, &n);
    Esys_Free(pub);
    flush(t, &ek);
    SM_TRY(e);
    sm_buf_clear(out);
    return sm_buf_add(out, bytes, n);
}

enum sm_err sm_tpmdev_ek(struct sm_tpmdev *t, enum sm_tpmdev_ek kind, struct sm_buf *out_public,
                         struct sm_buf *out_cert)
{
    SM_TRY(ek_cert(t, kind, out_cert)); /* the quick question first */
    return sm_tpmdev_ek_public(t, kind, out_public);
}

/* -- attestation key --------------------------------------------------------------------- */

enum sm_err sm_tpmdev_ak_make(struct sm_tpmdev *t, struct sm_buf *out_blob)
{
    const TPM2B_SENSITIVE_CREATE none = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC template = ak_template(), *pub = NULL;
    TPM2B_PRIVATE *priv = NULL;
    ESYS_TR parent = ESYS_TR_NONE;
    SM_TRY(storage_key(t, &parent));
    TSS2_RC rc = Esys_Create(t->esys, parent, PASSWORD, &none, &template, &outside, &pcrs,
                             &priv, &pub, NULL, NULL, NULL);
    flush(t, &parent);
    if (rc != 0) {
        return fail(t, "make the attestation key", rc);
    }
    enum sm_err e = blob_write(t, pub, priv, out_blob);
    Esys_Free(pub);
    Esys_Free(priv);
    return e;
}

enum sm_err sm_tpmdev_ak_load(struct sm_tpmdev *t, struct sm_view blob)
{
    TPM2B_PUBLIC pub;
    ESYS_TR parent = ESYS_TR_NONE;
    flush(t, &t->ak);
    t->ak_public_n = 0;
    SM_TRY(storage_key(t, &parent));
    enum sm_err e = blob_load(t, parent, blob, &pub, &t->ak);
    flush(t, &parent);
    SM_TRY(e);
    return public_bytes(t, &pub.publicArea, t->ak_public, sizeof t->ak_public, &t->ak_public_n);
}

enum sm_err sm_tpmdev_ak_public(struct sm_tpmdev *t, struct sm_view *out)
{
    if (t->ak == ESYS_TR_NONE) {
        return refuse(t, SM_E_STATE, "no attestation key is loaded");
    }
    *out = sm_view_of(t->ak_public, t->ak_public_n);
    return SM_OK;
}

/* -- sessions ---------------------------------------------------------------------------- */

static const TPMT_SYM_DEF session_cipher = {
    .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};

/* salt: a key of the TPM that the session's own key is sent to, or none. */
static enum sm_err session(struct sm_tpmdev *t, TPM2_SE type, ESYS_TR salt, TPMA_SESSION cipher,
                           ESYS_TR *out)
{
    const TPMA_SESSION flags = TPMA_SESSION_CONTINUESESSION | cipher;
    TSS2_RC rc = Esys_StartAuthSession(t->esys, salt, ESYS_TR_NONE, NONE3, NULL, type,
                                       &session_cipher, TPM2_ALG_SHA256, out);
    if (rc != 0) {
        *out = ESYS_TR_NONE;
        return fail(t, "start a session", rc);
    }
    rc = Esys_TRSess_SetAttributes(t->esys, *out, flags, 0xff);
    return rc == 0 ? SM_OK : fail(t, "start a session", rc);
}

/* -- activation -------------------------------------------------------------------------- */

static enum sm_err activate(struct sm_tpmdev *t, ESYS_TR ek, ESYS_TR policy,
                            const TPM2B_ID_OBJECT *object, const TPM2B_ENCRYPTED_SECRET *secret,
                            uint8_t out[static SM_TPMDEV_SECRET])
{
    TPM2B_DIGEST *value = NULL;
    TSS2_RC rc = Esys_PolicySecret(t->esys, ESYS_TR_RH_ENDORSEMENT, policy, PASSWORD, NULL,
                                   NULL, NULL, 0, NULL, NULL);
    if (rc != 0) {
        return fail(t, "use the endorsement key", rc);
    }
    rc = Esys_ActivateCredential(t->esys, t->ak, ek, ESYS_TR_PASSWORD, policy, ESYS_TR_NONE,
                                 object, secret, &value);
    if (rc != 0) {
        return fail(t, "open the credential", rc);
    }
    enum sm_err e = value->size == SM_TPMDEV_SECRET
                        ? SM_OK
                        : refuse(t, SM_E_MALFORMED, "the credential has another length");
    if (e == SM_OK) {
        memcpy(out, value->buffer, SM_TPMDEV_SECRET);
    }
    sm_secret_wipe(value, sizeof *value);
    Esys_Free(value);
    return e;
}

enum sm_err sm_tpmdev_activate(struct sm_tpmdev *t, enum sm_tpmdev_ek kind,
                               struct sm_view id_object, struct sm_view secret,
                               uint8_t out[static SM_TPMDEV_SECRET])
{
    TPM2B_ID_OBJECT object = {0};
    TPM2B_ENCRYPTED_SECRET sealed = {0};
    TPM2B_PUBLIC template = ek_template(kind);
    ESYS_TR ek = ESYS_TR_NONE, policy = ESYS_TR_NONE;
    size_t at = 0, at_secret = 0;
    TSS2_RC rc = Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(id_object.p, id_object.n, &at, &object);
    rc = rc != 0 ? rc
                 : Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(secret.p, secret.n, &at_secret,
                                                            &sealed);
    if (rc != 0 || at != id_object.n || at_secret != secret.n) {
        return refuse(t, SM_E_MALFORMED, "this is no credential");
    }
    if (t->ak == ESYS_TR_NONE) {
        return refuse(t, SM_E_STATE, "no attestation key is loaded");
    }
    SM_TRY(primary(t, ESYS_TR_RH_ENDORSEMENT, &template, &ek, NULL));
    enum sm_err e = session(t, TPM2_SE_POLICY, ESYS_TR_NONE, 0, &policy);
    e = e == SM_OK ? activate(t, ek, policy, &object, &sealed, out) : e;
    flush(t, &policy);
    flush(t, &ek);
    return e;
}

/* -- quotes ------------------------------------------------------------------------------ */

static enum sm_err quote_bytes(struct sm_tpmdev *t, const TPM2B_ATTEST *quoted,
                               const TPMT_SIGNATURE *sig, struct sm_buf *out_quote,
                               struct sm_buf *out_sig)
{
    uint8_t bytes[SM_TPMDEV_BLOB];
    size_t n = 0;
    TSS2_RC rc = Tss2_MU_TPMT_SIGNATURE_Marshal(sig, bytes, sizeof bytes, &n);
    if (rc != 0) {
        return fail(t, "read the quote", rc);
    }
    sm_buf_clear(out_quote);
    sm_buf_clear(out_sig);
    SM_TRY(sm_buf_add(out_quote, quoted->attestationData, quoted->size));
    return sm_buf_add(out_sig, bytes, n);
}

enum sm_err sm_tpmdev_quote(struct sm_tpmdev *t, uint32_t mask,
                            const uint8_t extra[static SM_TPMDEV_EXTRA],
                            struct sm_buf *out_quote, struct sm_buf *out_sig)
{
    const TPML_PCR_SELECTION pcrs = selection(mask);
    const TPMT_SIG_SCHEME own_scheme = {.scheme = TPM2_ALG_NULL};
    TPM2B_DATA data = {.size = SM_TPMDEV_EXTRA};
    TPM2B_ATTEST *quoted = NULL;
    TPMT_SIGNATURE *sig = NULL;
    if (t->ak == ESYS_TR_NONE) {
        return refuse(t, SM_E_STATE, "no attestation key is loaded");
    }
    memcpy(data.buffer, extra, SM_TPMDEV_EXTRA);
    TSS2_RC rc = Esys_Quote(t->esys, t->ak, PASSWORD, &data, &own_scheme, &pcrs, &quoted, &sig);
    if (rc != 0) {
        return fail(t, "quote", rc);
    }
    enum sm_err e = quote_bytes(t, quoted, sig, out_quote, out_sig);
    Esys_Free(quoted);
    Esys_Free(sig);
    return e;
}

/* -- sealing ----------------------------------------------------------------------------- */

/* In a trial session: the digest of "these registers have the values they have now". */
static enum sm_err pcr_policy(struct sm_tpmdev *t, ESYS_TR in_session, uint32_t mask)
{
    const TPML_PCR_SELECTION pcrs = selection(mask);
    const TPM2B_DIGEST as_they_are = {0};
    TSS2_RC rc = Esys_PolicyPCR(t->esys, in_session, NONE3, &as_they_are, &pcrs);
    return rc == 0 ? SM_OK : fail(t, "name the PCRs", rc);
}

static enum sm_err policy_digest(struct sm_tpmdev *t, uint32_t mask, TPM2B_DIGEST *out)
{
    ESYS_TR trial = ESYS_TR_NONE;
    TPM2B_DIGEST *digest = NULL;
    enum sm_err e = session(t, TPM2_SE_TRIAL, ESYS_TR_NONE, 0, &trial);
    e = e == SM_OK ? pcr_policy(t, trial, mask) : e;
    if (e == SM_OK) {
        TSS2_RC rc = Esys_PolicyGetDigest(t->esys, trial, NONE3, &digest);
        e = rc == 0 ? SM_OK : fail(t, "name the PCRs", rc);
    }
    flush(t, &trial);
    SM_TRY(e);
    *out = *digest;
    Esys_Free(digest);
    return SM_OK;
}

static enum sm_err seal_under(struct sm_tpmdev *t, ESYS_TR parent, const TPM2B_PUBLIC *pub,
                              const TPM2B_SENSITIVE_CREATE *sensitive, struct sm_buf *out_blob)
{
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION none = {0};
    TPM2B_PUBLIC *made = NULL;
    TPM2B_PRIVATE *priv = NULL;
    ESYS_TR cipher = ESYS_TR_NONE;
    SM_TRY(session(t, TPM2_SE_HMAC, parent, TPMA_SESSION_DECRYPT, &cipher));
    TSS2_RC rc = Esys_Create(t->esys, parent, ESYS_TR_PASSWORD, cipher, ESYS_TR_NONE, sensitive,
                             pub, &outside, &none, &priv, &made, NULL, NULL, NULL);
    flush(t, &cipher);
    if (rc != 0) {
        return fail(t, "seal", rc);
    }
    enum sm_err e = blob_write(t, made, priv, out_blob);
    Esys_Free(made);
    Esys_Free(priv);
    return e;
}

enum sm_err sm_tpmdev_seal(struct sm_tpmdev *t, uint32_t mask,
                           const uint8_t secret[static SM_TPMDEV_SECRET],
                           struct sm_buf *out_blob)
{
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.data.size = SM_TPMDEV_SECRET};
    TPM2B_DIGEST policy;
    ESYS_TR parent = ESYS_TR_NONE;
    SM_TRY(policy_digest(t, mask, &policy));
    SM_TRY(storage_key(t, &parent));
    TPM2B_PUBLIC pub = sealed_template(&policy);
    memcpy(sensitive.sensitive.data.buffer, secret, SM_TPMDEV_SECRET);
    enum sm_err e = seal_under(t, parent, &pub, &sensitive, out_blob);
    sm_secret_wipe(&sensitive, sizeof sensitive);
    flush(t, &parent);
    return e;
}

static enum sm_err unseal(struct sm_tpmdev *t, ESYS_TR item, ESYS_TR policy,
                          uint8_t out[static SM_TPMDEV_SECRET])
{
    TPM2B_SENSITIVE_DATA *data = NULL;
    TSS2_RC rc = Esys_Unseal(t->esys, item, policy, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    if (rc != 0) {
        return fail(t, "unseal", rc);
    }
    enum sm_err e = data->size == SM_TPMDEV_SECRET
                        ? SM_OK
                        : refuse(t, SM_E_CORRUPT, "the sealed key has another length");
    if (e == SM_OK) {
        memcpy(out, data->buffer, SM_TPMDEV_SECRET);
    }
    sm_secret_wipe(data, sizeof *data);
    Esys_Free(data);
    return e;
}

enum sm_err sm_tpmdev_unseal(struct sm_tpmdev *t, uint32_t mask, struct sm_view blob,
                             uint8_t out[static SM_TPMDEV_SECRET])
{
    TPM2B_PUBLIC pub;
    ESYS_TR parent = ESYS_TR_NONE, item = ESYS_TR_NONE, policy = ESYS_TR_NONE;
    SM_TRY(storage_key(t, &parent));
    enum sm_err e = session(t, TPM2_SE_POLICY, parent, TPMA_SESSION_ENCRYPT, &policy);
    e = e == SM_OK ? blob_load(t, parent, blob, &pub, &item) : e;
    flush(t, &parent);
    e = e == SM_OK ? pcr_policy(t, policy, mask) : e;
    e = e == SM_OK ? unseal(t, item, policy, out) : e;
    flush(t, &policy);
    flush(t, &item);
    return e;
}
