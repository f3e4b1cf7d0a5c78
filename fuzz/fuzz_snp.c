// SPDX-License-Identifier: Apache-2.0
/* A stranger's SNP evidence: any bytes as report, certificate, revocation list, table or key,
 * beside genuine ones.  With SEEMESH_VECTORS set the genuine ones are there, and its files are
 * the corpus to give:
 *
 *     fuzz_snp CORPUS $SEEMESH_VECTORS/attest/snp/milan-v2 $SEEMESH_VECTORS/attest/ca
 *
 * What is accepted must be the genuine bytes themselves. */
#include "attest/roots.h"
#include "attest/snp.h"
#include "attest/x509.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX 8192u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct sm_wall day = {1735689600};
static struct sm_makers trust;
static struct sm_claims claims;
static struct sm_snp_evidence genuine;
static bool has_genuine;

static struct sm_view load(const char *folder, const char *name)
{
    char path[1024];
    uint8_t *b = malloc(FILE_MAX);
    int n = snprintf(path, sizeof path, "%s/attest/%s", folder, name);
    FILE *f = b == NULL || n < 0 || (size_t)n >= sizeof path ? NULL : fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "fuzz_snp: cannot read %s\n", path);
        exit(1);
    }
    size_t len = fread(b, 1, FILE_MAX, f);
    (void)fclose(f);
    return sm_view_of(b, len);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    const char *folder = getenv("SEEMESH_VECTORS");
    struct sm_reasons why;
    sm_makers_pinned(&trust);
    if (folder == NULL) {
        return 0;
    }
    genuine.report = load(folder, "snp/milan-v2/report.bin");
    genuine.vek = load(folder, "snp/milan-v2/vcek.der");
    genuine.chain = load(folder, "ca/amd_milan_ask.pem");
    has_genuine = true;
    if (sm_snp_verify(&genuine, &trust, day, &claims, &why) != SM_OK) {
        fputs("fuzz_snp: the genuine evidence is refused\n", stderr);
        exit(1);
    }
    return 0;
}

/* Accepted only if it says what the genuine evidence says; a chain may be written in more than
 * one way, a report and a certificate may not. */
static void try_evidence(const struct sm_snp_evidence *ev)
{
    struct sm_claims c = {0};
    struct sm_reasons why;
    enum sm_err e = sm_snp_verify(ev, &trust, day, &c, &why);
    assert(e == SM_OK || why.n > 0);
    if (e == SM_OK) {
        assert(has_genuine && memcmp(&c, &claims, sizeof c) == 0);
        assert(sm_view_eq(ev->report, genuine.report));
    }
}

static void try_chain(struct sm_view in)
{
    struct sm_chain chain = {0};
    struct sm_reasons why = {0};
    struct sm_chain_rules rules = {.is_strict = in.n % 2 == 1};
    struct sm_wall end;
    if (sm_chain_add(&chain, in) == SM_OK) {
        assert(chain.n > 0 && chain.n <= SM_CHAIN_MAX);
        (void)(sm_chain_verify(&chain, trust.root[SM_ROOT_INTEL_SGX], NULL, 0, &rules, day,
                               &end, &why) == SM_OK);
    } else {
        assert(chain.n == 0);
    }
    sm_chain_done(&chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_view in = {data, n};
    struct sm_snp_evidence ev = genuine;
    ev.report = in;
    try_evidence(&ev);
    ev = genuine;
    ev.vek = in;
    try_evidence(&ev);
    ev = genuine;
    ev.chain = in;
    try_evidence(&ev);
    ev = genuine;
    ev.crl = in;
    if (n > 0) {
        try_evidence(&ev);
    }
    ev = genuine;
    if (sm_snp_certs_read(in, &ev) == SM_OK) {
        try_evidence(&ev);
    }
    try_chain(in);
    struct sm_pub *key = NULL;
    if (sm_pub_of_spki(in, &key) == SM_OK) {
        assert(sm_pub_eq(key, key));
    }
    sm_pub_free(key);
    return 0;
}
