// SPDX-License-Identifier: Apache-2.0
#include "attest/reason.h"

#include "wire/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* -- the table --------------------------------------------------------------------------- */

const struct sm_reason_info *sm_reason_info(uint16_t code)
{
#define ROW(name, number, json, stage, claim, tvec, words)                                     \
    [SM_REASON_##name] = {json, words, SM_STAGE_##stage, SM_TVEC_##claim, SM_TVEC_##tvec},
    static const struct sm_reason_info rows[SM_REASON_CODES] = {
        [SM_REASON_NONE] = {"unknown", "a reason this build does not know", SM_STAGE_BOTH,
                            SM_TVEC_HARDWARE, SM_TVEC_UNEXPECTED},
        SM_REASON_LIST(ROW)};
#undef ROW
    bool is_known = code < SM_COUNT(rows) && rows[code].name != NULL;
    return &rows[is_known ? code : SM_REASON_NONE];
}

const char *sm_reason_name(uint16_t code)
{
    return sm_reason_info(code)->name;
}

const char *sm_tvec_claim_name(enum sm_tvec_claim c)
{
    static const char *const names[SM_TVEC_CLAIMS] = {
        "instance-identity", "configuration",  "executables",    "file-system",
        "hardware",          "runtime-opaque", "storage-opaque", "sourced-data"};
    return c < SM_TVEC_CLAIMS ? names[c] : "unknown";
}

const char *sm_tvec_tier_name(int value)
{
    return value >= 96   ? "contraindicated"
           : value >= 32 ? "warning"
           : value >= 2  ? "affirming"
                         : "none";
}

/* -- lists ------------------------------------------------------------------------------- */

void sm_reasons_add(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                    const char *got, const char *want)
{
    if (why->n == SM_COUNT(why->r)) {
        return;
    }
    struct sm_reason *r = &why->r[why->n++];
    r->code = (uint16_t)code;
    (void)snprintf(r->field, sizeof r->field, "%s", field);
    (void)snprintf(r->got, sizeof r->got, "%s", got);
    (void)snprintf(r->want, sizeof r->want, "%s", want);
}

void sm_reasons_append(struct sm_reasons *why, const struct sm_reasons *more)
{
    for (size_t i = 0; i < more->n && why->n < SM_COUNT(why->r); i++) {
        why->r[why->n++] = more->r[i];
    }
}

static void hex_cut(struct sm_view v, char out[static SM_REASON_TEXT])
{
    size_t most = (SM_REASON_TEXT - 1) / 2;
    sm_hex(v.p, v.n < most ? v.n : most, out);
}

void sm_reasons_add_hex(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                        struct sm_view got, struct sm_view want)
{
    char got_hex[SM_REASON_TEXT], want_hex[SM_REASON_TEXT];
    hex_cut(got, got_hex);
    hex_cut(want, want_hex);
    sm_reasons_add(why, code, field, got_hex, want_hex);
}

void sm_reasons_add_u64(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                        uint64_t got, const char *relation, uint64_t want)
{
    char got_text[24], want_text[64];
    (void)snprintf(got_text, sizeof got_text, "%" PRIu64, got);
    (void)snprintf(want_text, sizeof want_text, "%s%s%" PRIu64, relation,
                   *relation == '\0' ? "" : " ", want);
    sm_reasons_add(why, code, field, got_text, want_text);
}

void sm_reasons_text(const struct sm_reasons *why, char *out, size_t cap)
{
    size_t at = 0;
    if (cap > 0) {
        out[0] = '\0';
    }
    for (size_t i = 0; i < why->n && at < cap; i++) {
        const struct sm_reason *r = &why->r[i];
        int n = snprintf(out + at, cap - at, "%s%s got %s want %s", i == 0 ? "" : "; ",
                         r->field, r->got, r->want);
        at += n > 0 ? (size_t)n : 0;
    }
}

/* -- between peers ----------------------------------------------------------------------- */

static void write_text(const char *text, struct sm_wr *w)
{
    size_t n = strlen(text);
    sm_wr_u8(w, (uint8_t)n);
    for (size_t i = 0; i < n; i++) { /* words of certificates may be anything */
        sm_wr_u8(w, text[i] >= ' ' && text[i] <= '~' ? (uint8_t)text[i] : '?');
    }
}

void sm_reasons_write(const struct sm_reasons *why, struct sm_wr *w)
{
    size_t n = why->n < SM_REASONS_TOLD ? why->n : SM_REASONS_TOLD;
    sm_wr_u8(w, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        sm_wr_u16(w, why->r[i].code);
        write_text(why->r[i].field, w);
        write_text(why->r[i].got, w);
        write_text(why->r[i].want, w);
    }
}

/* Of another's making, and it ends in a log: printable, and no longer than its place. */
static void read_text(struct sm_rd *r, char *out, size_t cap)
{
    struct sm_view v = sm_rd_view(r, sm_rd_u8(r));
    if (v.n >= cap) {
        sm_rd_fail(r);
        return;
    }
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < ' ' || v.p[i] > '~') {
            sm_rd_fail(r);
        }
        out[i] = (char)v.p[i];
    }
    out[v.n] = '\0';
}

enum sm_err sm_reasons_read(struct sm_view in, struct sm_reasons *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_reasons why = {.n = sm_rd_u8(&r)};
    if (why.n > SM_REASONS_TOLD) {
        return SM_E_MALFORMED;
    }
    for (size_t i = 0; i < why.n; i++) {
        why.r[i].code = sm_rd_u16(&r);
        read_text(&r, why.r[i].field, sizeof why.r[i].field);
        read_text(&r, why.r[i].got, sizeof why.r[i].got);
        read_text(&r, why.r[i].want, sizeof why.r[i].want);
    }
    SM_TRY(sm_rd_done(&r));
    *out = why;
    return SM_OK;
}

/* -- AR4SI ------------------------------------------------------------------------------- */

/* How bad: affirming is best, then not known, then what is not understood, then numbers. */
static int badness(int value)
{
    return value >= 32 ? value : value == SM_TVEC_UNEXPECTED ? 31 : value == 0 ? 30 : value;
}

struct sm_tvec sm_tvec_of(bool is_verified, bool is_code_compared, bool is_machine_compared,
                          const struct sm_reasons *why)
{
    struct sm_tvec v = {0};
    if (is_verified) {
        v.claim[SM_TVEC_INSTANCE] = is_machine_compared ? SM_TVEC_APPROVED : SM_TVEC_NONE;
        v.claim[SM_TVEC_CONFIGURATION] = SM_TVEC_APPROVED;
        v.claim[SM_TVEC_EXECUTABLES] = is_code_compared ? SM_TVEC_APPROVED_BOOT : SM_TVEC_NONE;
        v.claim[SM_TVEC_HARDWARE] = SM_TVEC_APPROVED;
    }
    for (size_t i = 0; i < why->n; i++) {
        const struct sm_reason_info *info = sm_reason_info(why->r[i].code);
        int *at = &v.claim[info->claim];
        *at = badness(info->value) > badness(*at) ? info->value : *at;
    }
    return v;
}

/* -- what to do about it ----------------------------------------------------------------- */

#define ON(p)  (1u << SM_PLATFORM_##p)
#define AMD    (ON(SNP) | ON(SNP_VTPM))
#define TD     (ON(TDX) | ON(TDX_VTPM))
#define INTEL  (TD | ON(SGX))
#define QUOTES (ON(TPM) | ON(SNP_VTPM) | ON(TDX_VTPM))
#define ANY    UINT32_MAX

/* The first row that fits is used, so the particular ones come before the general one of a
 * code.  In a text {field}, {got} and {want} stand for those of the reason. */
struct fix {
    uint16_t code;
    uint32_t platforms;
    const char *field, *got; /* NULL, or what it begins with */
    const char *text;
};

static const struct fix fixes[] = {
    /* Of the NODE record, before any evidence is looked at. */
    {SM_REASON_EXPIRED, ANY, "NODE record", NULL,
     "set the clocks of both nodes (chronyc makestep); a node that runs renews its record "
     "every 20 minutes, and its endorsement has an end too"},
    {SM_REASON_SIGNATURE, ANY, "NODE record", NULL,
     "a root that both ends pin must endorse the node: pin it ([root NAME] key = ...), or have "
     "the node endorsed by a root of this mesh"},
    {SM_REASON_IDENTITY, ANY, "NODE record", NULL,
     "the node is of another mesh, or its home was copied: compare [node] mesh and environment "
     "and the roots of both, and give each node a home of its own"},

    {SM_REASON_PLATFORM, ON(SOFTWARE), NULL, NULL,
     "development nodes are taken in development meshes only: run the node on hardware, and "
     "initialise it there with 'seemesh init'"},
    {SM_REASON_PLATFORM, ANY, NULL, NULL,
     "run the node on a platform the policy takes, or have the mesh's owner add this one to "
     "the manifest"},
    {SM_REASON_NOT_HARDWARE, ANY, NULL, NULL,
     "run the node on a platform whose maker signs for it; software proves nothing about a "
     "machine"},

    {SM_REASON_DEBUG, AMD, NULL, NULL,
     "launch the guest without debugging: clear bit 19 of its policy (QEMU: policy=0x30000)"},
    {SM_REASON_DEBUG, TD, NULL, NULL,
     "launch the TD without the attribute DEBUG (QEMU: leave out debug=on)"},
    {SM_REASON_DEBUG, ON(SGX), NULL, NULL,
     "build and sign the enclave without the attribute DEBUG"},
    {SM_REASON_DEBUG, ON(NITRO), NULL, NULL,
     "start the enclave without --debug-mode; with it PCR0 to PCR2 are zero"},
    {SM_REASON_DEBUG, ANY, NULL, NULL, "start it without debugging"},

    {SM_REASON_REPORT_DATA, ANY, NULL, NULL,
     "ask for new evidence, made for this session; if it comes again, somebody passes on "
     "evidence of another session or node"},

    {SM_REASON_MEASUREMENT, AMD, NULL, NULL,
     "boot the approved image, or have the owner add {got} to the manifest; firmware, kernel, "
     "initrd, command line, number and type of vCPUs all change it (compute it with "
     "sev-snp-measure)"},
    {SM_REASON_MEASUREMENT, TD, NULL, NULL,
     "boot the approved TD firmware, or have the owner add MRTD {got} to the manifest"},
    {SM_REASON_MEASUREMENT, ON(SGX), NULL, NULL,
     "run the approved enclave, or have the owner add MRENCLAVE {got} to the manifest"},
    {SM_REASON_MEASUREMENT, ON(NITRO), NULL, NULL,
     "run the approved image, or have the owner add PCR0 {got} to the manifest (as nitro-cli "
     "build-enclave prints it)"},
    {SM_REASON_MEASUREMENT, ON(TPM), NULL, NULL,
     "boot what the mesh approved ('seemesh tpm show' has the registers), or have the owner "
     "add "
     "{got}, which is a hash over them, or the registers themselves to the manifest"},
    {SM_REASON_MEASUREMENT, ON(SOFTWARE), NULL, NULL,
     "run the approved build of seemesh, or have the owner add {got} to the manifest"},
    {SM_REASON_MEASUREMENT, ANY, NULL, NULL, "the measurement of what was meant to run"},

    {SM_REASON_TIME, ON(NITRO), NULL, NULL,
     "collect a new document; if it is new, set the clocks of both machines (chronyc "
     "makestep)"},
    {SM_REASON_TIME, ANY, NULL, NULL,
     "set the clocks of both machines (chronyc makestep, timedatectl set-ntp true), then show "
     "new evidence"},

    {SM_REASON_GRAMMAR, ANY, NULL, NULL,
     "collect it again and keep the bytes as they come: no base64, no text, nothing before or "
     "behind"},
    {SM_REASON_SIGNATURE, AMD, NULL, NULL,
     "use the VCEK of this chip at its REPORTED_TCB; if that is what was used, the report was "
     "changed after it was signed"},
    {SM_REASON_SIGNATURE, ON(SOFTWARE), NULL, NULL,
     "the node's key is not the one that was endorsed: initialise it again with 'seemesh "
     "init'"},
    {SM_REASON_SIGNATURE, ANY, NULL, NULL,
     "collect the evidence again; if it comes again, it is changed after it was signed"},
    {SM_REASON_UNSUPPORTED, ANY, NULL, NULL,
     "update seemesh at the end that refuses; if it is new already, report '{field} {got}'"},
    {SM_REASON_UNSIGNED, AMD, NULL, NULL,
     "the host has signing turned off for this guest: it must let the VCEK or VLEK sign (no "
     "key: SIGNING_KEY 7)"},
    {SM_REASON_UNSIGNED, ANY, NULL, NULL, "have the platform sign its evidence"},

    {SM_REASON_CHAIN, AMD, NULL, NULL,
     "staple the VCEK of this chip and the ASK of its product, Milan, Genoa or Turin (snphost "
     "fetch, or AMD's KDS)"},
    {SM_REASON_CHAIN, ON(TPM), NULL, NULL,
     "pin the root of the TPM's maker or cloud (offline: --root), and staple the certificates "
     "between it and the AK"},
    {SM_REASON_CHAIN, ANY, NULL, NULL,
     "staple every certificate between the platform's key and the maker's root, leaf first"},

    {SM_REASON_EXPIRED, ANY, "manifest", NULL,
     "have the mesh's owner sign the manifest again with a later not-after, and apply it on "
     "every node that is cut off"},
    {SM_REASON_EXPIRED, ON(NITRO), NULL, NULL,
     "collect a new document: its certificate lives 3 hours; if it is new, set this machine's "
     "clock (chronyc makestep)"},
    {SM_REASON_EXPIRED, AMD, NULL, NULL,
     "fetch the VCEK or VLEK again and staple it (a VLEK lives a year); if it is new, set the "
     "verifier's clock (chronyc makestep)"},
    {SM_REASON_EXPIRED, ANY, NULL, NULL,
     "fetch the certificate again and staple it; if it is new, set the verifier's clock "
     "(chronyc makestep)"},

    {SM_REASON_REVOKED, ANY, NULL, NULL,
     "nothing on this node mends it: replace what was revoked, or ask the mesh's owner about "
     "the entry"},

    {SM_REASON_COLLATERAL, INTEL, "fmspc", NULL,
     "staple the TCB info of FMSPC {want}, which the PCK certificate names"},
    {SM_REASON_COLLATERAL, INTEL, "pceid", NULL,
     "staple the TCB info of PCE-ID {want}: the same FMSPC may have several"},
    {SM_REASON_COLLATERAL, INTEL, "tcbEvaluationDataNumber", NULL,
     "fetch newer TCB info and QE identity (update=standard or early), then staple or gossip "
     "them"},
    {SM_REASON_COLLATERAL, INTEL, NULL, NULL,
     "fetch TCB info, QE identity and both CRLs from Intel's service again (they live 30 days) "
     "and staple them; if they are new, set the verifier's clock"},
    {SM_REASON_COLLATERAL, AMD, NULL, NULL,
     "fetch AMD's CRL for this product again and staple it; if it is new, set the verifier's "
     "clock"},
    {SM_REASON_COLLATERAL, ANY, NULL, NULL, "fetch the maker's documents again, in time"},

    {SM_REASON_BINDING, ON(SNP_VTPM), NULL, NULL,
     "read the HCL report (NV 0x01400001) and make the quote in one boot of one machine"},
    {SM_REASON_BINDING, INTEL, NULL, NULL,
     "collect the quote again: the key that signed it is not the quoting enclave's"},
    {SM_REASON_BINDING, ANY, NULL, NULL, "collect all parts at once, on one machine"},
    {SM_REASON_QE_SIGNATURE, INTEL, NULL, NULL,
     "restart the quoting service of the host (qgsd, aesmd), then collect the quote again"},
    {SM_REASON_QE_SIGNATURE, ANY, NULL, NULL, "collect the quote again"},

    {SM_REASON_IDENTITY, AMD, "chip_id", NULL,
     "staple the VCEK of this very chip: the one shown is of another machine (a cache that was "
     "copied, or a guest that was moved)"},
    {SM_REASON_IDENTITY, AMD, "signing_key", NULL,
     "staple the certificate of the key that signs here: {got} signed, not {want}"},
    {SM_REASON_IDENTITY, AMD, NULL, NULL,
     "staple the VCEK of this chip: the product of the certificate is not the chip's"},
    {SM_REASON_IDENTITY, QUOTES, NULL, NULL,
     "staple the certificate of this very AK: it was made again since, or is of another TPM"},
    {SM_REASON_IDENTITY, ANY, NULL, NULL, "staple the endorsements of this very machine"},

    {SM_REASON_TCB, AMD, "reported tcb microcode", NULL,
     "update the host's BIOS or microcode so that its SPL is {want}, and reboot; look with "
     "'snphost show tcb'"},
    {SM_REASON_TCB, AMD, "reported tcb", NULL,
     "update the host's SEV firmware until {field} is {want}, commit it (snphost commit), and "
     "reboot; look with 'snphost show tcb'"},
    {SM_REASON_TCB, AMD, "launch tcb", NULL,
     "the guest was launched under older firmware ({field} {got}, wanted {want}): update the "
     "host if it is still old, then launch the guest anew"},
    {SM_REASON_TCB, AMD, "firmware abi", NULL, "update the host's SEV firmware"},
    {SM_REASON_TCB, AMD, "committed", NULL,
     "the report contradicts itself: collect it again, then report it to the host's operator"},
    {SM_REASON_TCB, AMD, NULL, NULL,
     "staple the VCEK of REPORTED_TCB ({field} is {got} there), not the one of before the "
     "firmware changed"},
    {SM_REASON_TCB, INTEL, NULL, NULL,
     "update the host's BIOS and microcode, register the platform again so that it gets a new "
     "PCK certificate, then fetch new collateral"},
    {SM_REASON_TCB, ANY, NULL, NULL, "update the firmware, then fetch new endorsements"},

    {SM_REASON_TCB_STATUS, INTEL, NULL, "OutOfDateConfiguration",
     "update the host's BIOS and microcode and change its settings as the advisories say, then "
     "fetch new PCK certificate and collateral"},
    {SM_REASON_TCB_STATUS, INTEL, NULL, "OutOfDate",
     "update the host's BIOS and microcode, TDX module or quoting enclave, then fetch new PCK "
     "certificate and collateral"},
    {SM_REASON_TCB_STATUS, INTEL, NULL, "Configuration",
     "change the host's BIOS settings as the advisories say (often: hyper-threading off), or "
     "have the owner take {got} until a date"},
    {SM_REASON_TCB_STATUS, INTEL, NULL, "SWHardening",
     "build what runs there with the mitigations of the advisories, and have the owner take "
     "{got}"},
    {SM_REASON_TCB_STATUS, INTEL, NULL, "TDRelaunch",
     "launch the TD anew: the TDX module was updated under it"},
    {SM_REASON_TCB_STATUS, INTEL, NULL, "Revoked",
     "Intel revoked this platform's key: update its firmware and register it again, or replace "
     "it"},
    {SM_REASON_TCB_STATUS, ANY, NULL, NULL,
     "bring firmware and settings to a state the policy takes"},
    {SM_REASON_ADVISORY, ANY, NULL, NULL,
     "update what {got} is about until it applies no more, or have the owner take it off the "
     "list"},

    {SM_REASON_RESERVED, ANY, NULL, NULL,
     "update seemesh: '{field}' has a meaning it does not know; or have the owner take unknown "
     "bits"},
    {SM_REASON_MIGRATION, AMD, NULL, NULL,
     "launch the guest without a migration agent: clear bit 18 of its policy"},
    {SM_REASON_MIGRATION, TD, NULL, NULL, "launch the TD without the attribute MIGRATABLE"},
    {SM_REASON_MIGRATION, ANY, NULL, NULL, "start it without migration"},
    {SM_REASON_VMPL, ANY, NULL, NULL,
     "ask for the report at VMPL {want} (privlevel of configfs-tsm), from where the node runs"},
    {SM_REASON_SIGNER, AMD, "signer", "vlek",
     "have the chip's own key sign (VCEK); where the cloud allows only VLEK, have the owner "
     "take VLEK"},
    {SM_REASON_SIGNER, ANY, NULL, NULL,
     "run what a signer of the manifest has signed, or have the owner add this signer"},

    {SM_REASON_FLAGS, AMD, "guest policy", NULL,
     "launch the guest with a policy {want}; it has {got}"},
    {SM_REASON_FLAGS, AMD, "platform_info, inverted", NULL,
     "turn these on in the host's BIOS (bits of PLATFORM_INFO): {want}"},
    {SM_REASON_FLAGS, AMD, "platform_info", NULL,
     "turn these off in the host's BIOS (bits of PLATFORM_INFO): {want}; SMT is bit 0"},
    {SM_REASON_FLAGS, TD, "sept_ve", NULL,
     "launch the TD with SEPT_VE_DISABLE (QEMU: sept-ve-disable=on)"},
    {SM_REASON_FLAGS, TD, "mrservicetd", NULL, "launch the TD without a service TD"},
    {SM_REASON_FLAGS, TD, NULL, NULL, "launch the TD {want} of its attributes {got}"},
    {SM_REASON_FLAGS, ANY, NULL, NULL, "start it with the settings the policy asks for"},

    {SM_REASON_PLATFORM_ID, AMD, NULL, "none",
     "have the host show CHIP_ID (MASK_CHIP_ID off), or have the owner take any machine"},
    {SM_REASON_PLATFORM_ID, ANY, NULL, NULL,
     "have the owner add this machine's platform id to the manifest: {got}"},
    {SM_REASON_HOST_DATA, AMD, NULL, NULL,
     "launch the guest with host data {want} (QEMU: host-data=), not {got}"},
    {SM_REASON_HOST_DATA, ANY, NULL, NULL,
     "launch it with the host data the policy names: {want}"},

    {SM_REASON_REGISTERS, QUOTES, NULL, NULL,
     "compare with a good boot: 'seemesh attest diff' names the first event that differs; if "
     "the change was meant, have the owner add the new value {got}"},
    {SM_REASON_REGISTERS, ON(NITRO), NULL, NULL,
     "run the approved image, or have the owner add the value {got}"},
    {SM_REASON_REGISTERS, ANY, NULL, NULL,
     "boot what was approved, or have the owner add the value {got}"},
    {SM_REASON_LOG, QUOTES, NULL, NULL,
     "read log and quote in one boot, and staple the log as it is "
     "(/sys/kernel/security/tpm0/binary_bios_measurements)"},
    {SM_REASON_LOG, ANY, NULL, NULL,
     "staple the event log of this boot (TDX: the CCEL table), as it is"},

    {SM_REASON_MANIFEST, ANY, "manifest", "none",
     "have the mesh's owner sign a manifest ('seemesh manifest sign') and apply it on this "
     "node "
     "('seemesh manifest apply')"},
    {SM_REASON_MANIFEST, ANY, NULL, NULL,
     "sign it for this mesh: environment, mesh name and first root give its id ('seemesh "
     "manifest show' prints it)"},
    {SM_REASON_DEPRECATED, ANY, NULL, NULL,
     "update the node to what an active reference value names, or have the owner put its end "
     "off"},
    {SM_REASON_VERSION, ANY, NULL, NULL,
     "nothing is wrong if this is an old copy; to change what is in force, sign it again with "
     "a "
     "version {want}"},
};

static bool begins(const char *text, const char *with)
{
    return with == NULL || strncmp(text, with, strlen(with)) == 0;
}

static bool is_for(const struct fix *f, const struct sm_reason *r, uint8_t platform)
{
    uint32_t bit = platform < SM_PLATFORMS ? 1u << platform : 0;
    return f->code == r->code && (f->platforms == ANY || (f->platforms & bit) != 0) &&
           begins(r->field, f->field) && begins(r->got, f->got);
}

static const char *fix_text(const struct sm_reason *r, uint8_t platform)
{
    for (size_t i = 0; i < SM_COUNT(fixes); i++) {
        if (is_for(&fixes[i], r, platform)) {
            return fixes[i].text;
        }
    }
    return "update seemesh at this end: the peer's reason is unknown to it";
}

/* The value of the placeholder at p, and its length there. */
static const char *placeholder(const struct sm_reason *r, const char *p, size_t *n)
{
    const struct {
        const char *name, *value;
    } all[] = {{"{field}", r->field}, {"{got}", r->got}, {"{want}", r->want}};
    for (size_t i = 0; i < SM_COUNT(all); i++) {
        if (begins(p, all[i].name)) {
            *n = strlen(all[i].name);
            return all[i].value;
        }
    }
    return NULL;
}

void sm_reason_fix(const struct sm_reason *r, uint8_t platform, char out[static SM_FIX_TEXT])
{
    size_t n = 0, skip = 1;
    for (const char *p = fix_text(r, platform); *p != '\0' && n + 1 < SM_FIX_TEXT; p += skip) {
        const char *value = placeholder(r, p, &skip);
        if (value == NULL) {
            out[n++] = *p;
            skip = 1;
            continue;
        }
        size_t len = strlen(value), room = SM_FIX_TEXT - 1 - n;
        len = len < room ? len : room;
        memcpy(out + n, value, len);
        n += len;
    }
    out[n] = '\0';
}
