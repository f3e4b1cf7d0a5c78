// SPDX-License-Identifier: Apache-2.0
#include "t.h"
#include "attest/manifest_text.h"
#include "crypto/rng.h"

#define HEAD                                                                                   \
    "[manifest]\n"                                                                             \
    "mesh = aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq\n"                            \
    "environment = dev\n"
#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static enum sm_err parse(const char *text, struct sm_mesh_manifest *out,
                         struct sm_text_problem *why)
{
    return sm_mesh_manifest_parse(sm_view_str(text), out, why);
}

/* Every key, and none with its default. */
static const char full[] = HEAD
    "version = 7\n"
    "issued = 2026-11-22T10:00:00Z\n"
    "not-after = 2027-11-22T10:00:00Z\n"
    "mode = observe\n"
    "binding = epoch\n"
    "lease = 10m\n"
    "grace = 20m\n"
    "epoch = 2m\n"
    "\n[platform software]\ngrade = 500\nmeasurement = any\n"
    "\n[platform snp]\ngrade = 1000\nmeasurement = listed\n"
    "\n[reference node-1-0]\nplatform = snp\nkind = measurement\nvalue = " HEX32 HEX32
    "\nstate = active\n"
    "\n[reference old]\nplatform = tpm\nkind = register\nregister = 7\nvalue = " HEX32
    "\nstate = deprecated until 2026-12-31T23:59:59Z\n"
    "\n[reference vendor]\nplatform = sgx\nkind = signer\nvalue = " HEX32
    "\nstate = revoked\nmin-svn = 3\n"
    "\n[reference init]\nplatform = snp\nkind = host-data\nvalue = " HEX32 "\nstate = active\n"
    "\n[allow box-1]\nplatform-id = " HEX32 "\n"
    "\n[hardware]\ndebug = yes\nmigration = yes\nunknown-bits = yes\ncrl = yes\nmax-age = 1m\n"
    "replayed = 4, 7\n"
    "\n[snp]\nfloor-milan = boot 4, snp 24, microcode 219\nfloor-genoa = none\n"
    "floor-turin = fmc 1, boot 1, tee 1, snp 1, microcode 60\nmin-abi = 1.55\nvmpl = 1\n"
    "require = alias-check, 40\nforbid = smt\nforbid-policy = smt, debug\nvlek = yes\n"
    "\n[intel]\nup-to-date = until 2027-01-01T00:00:00Z\nsw-hardening = never\n"
    "configuration = always\nconfiguration-sw-hardening = always\nout-of-date = always\n"
    "out-of-date-configuration = always\nrelaunch-advised = always\n"
    "min-tcb-date = 2025-01-01T00:00:00Z\nmin-tcb-eval = 17\n"
    "refuse-advisory = INTEL-SA-00837\nrefuse-advisory = INTEL-SA-01044\n"
    "attributes = 1, pks\nsept-ve = yes\nservice-td = yes\n"
    "\n[committee]\nthreshold = 3\nmembers = 5\nmax-per-vendor = 2\nmax-per-operator = 1\n"
    "max-per-site = 2\n";

static void what_is_written_in_full_prints_to_the_same_text(void)
{
    struct sm_mesh_manifest m;
    struct sm_text_problem why;
    struct sm_buf out = SM_BUF(SM_MANIFEST_TEXT_MAX);
    enum sm_err e = parse(full, &m, &why);
    T_STR(why.text, "");
    T_OK(e);
    T_OK(sm_mesh_manifest_print(&m, &out));
    T_MEM(out.p, out.n, full, sizeof full - 1);
    T_EQ(m.refs[1].until.s, 1798761599);
    T_EQ(m.hw.snp_floor[SM_SNP_MILAN][SM_SNP_UCODE], 219);
    T_EQ(m.hw.snp_policy_must_not, 1u << 16 | 1u << 19);
    sm_mesh_manifest_done(&m);
    sm_buf_done(&out);
}

static void the_text_and_the_binary_say_the_same(void)
{
    static uint8_t bytes[SM_MESH_MANIFEST_MAX];
    struct sm_mesh_manifest m, again;
    struct sm_text_problem why;
    struct sm_buf out = SM_BUF(SM_MANIFEST_TEXT_MAX);
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    T_OK(parse(full, &m, &why));
    sm_mesh_manifest_write(&m, &w);
    T_OK(sm_mesh_manifest_read(sm_view_of(bytes, w.n), &again));
    T_OK(sm_mesh_manifest_print(&again, &out));
    T_MEM(out.p, out.n, full, sizeof full - 1);
    sm_mesh_manifest_done(&m);
    sm_mesh_manifest_done(&again);
    sm_buf_done(&out);
}

static void what_is_left_out_is_strict(void)
{
    struct sm_mesh_manifest m, d;
    struct sm_text_problem why;
    sm_mesh_manifest_default(&d);
    T_OK(parse(HEAD, &m, &why));
    T_EQ(m.mode, SM_MODE_ENFORCE);
    T_EQ(m.grace_s, 0);
    T_EQ(m.version, 0);
    T_EQ(m.n_refs, 0);
    T_MEM(&m.hw, sizeof m.hw, &d.hw, sizeof d.hw);
    for (unsigned i = 0; i < SM_PLATFORMS; i++) {
        T_EQ(m.grade[i], 0);
    }
    sm_mesh_manifest_done(&m);
}

static void mistakes_are_told_with_their_place(void)
{
    static const struct {
        const char *text;
        unsigned line, column;
        const char *says;
    } all[] = {
        {"[manfest]\n", 1, 1, "unknown section 'manfest'; did you mean 'manifest'?"},
        {HEAD "modes = enforce\n", 4, 1, "unknown key 'modes'; did you mean 'mode'?"},
        {HEAD "mode = both\n", 4, 8, "manifest.mode must be enforce or observe"},
        {HEAD "mode = enforce\nmode = observe\n", 5, 1, "'mode' is given twice"},
        {HEAD "lease = 10\n", 4, 9, "manifest.lease must be a time from 1m to 1d"},
        {HEAD "lease = 2d\n", 4, 9, "manifest.lease must be a time from 1m to 1d"},
        {HEAD "grace = 1500ms\n", 4, 9, "manifest.grace must be a time from 0s to 7d"},
        {HEAD "not-after = 2027-02-30T00:00:00Z\n", 4, 13, "manifest.not-after must be a date"},
        {HEAD "[platform amd]\n", 4, 1, "[platform amd]: the platforms are"},
        {HEAD "[platform]\n", 4, 1, "[platform NAME] needs a name"},
        {HEAD "[platform snp]\n", 4, 1, "[platform snp] needs 'grade'"},
        {HEAD "[platform snp]\ngrade = 1\n[platform snp]\n", 6, 1, "is there twice"},
        {HEAD "[platform snp]\ngrade = 1001\n", 5, 9, "platform.grade must be"},
        {HEAD "[snp x]\n", 4, 1, "[snp] takes no name"},
        {HEAD "[reference a]\nplatform = snp\nkind = measurement\n", 4, 1, "needs 'value'"},
        {HEAD "[reference a]\nplatform = snp\nkind = measurement\nvalue = 0011\n", 4, 1,
         "20 to 64 bytes"},
        {HEAD "[reference a]\nplatform = snp\nkind = measurement\nvalue = 001\n", 7, 9,
         "reference.value must be"},
        {HEAD "[reference a]\nplatform = tpm\nkind = register\nvalue = " HEX32 "\n", 4, 1,
         "'register' goes with kind = register"},
        {HEAD "[reference a]\nplatform = snp\nkind = measurement\nmin-svn = 1\nvalue = " HEX32
              "\n",
         4, 1, "'min-svn' goes with kind = signer"},
        {HEAD "[reference a]\nplatform = snp\nkind = measurement\nvalue = " HEX32
              "\nstate = old\n",
         8, 9, "reference.state must be active, revoked, or deprecated until"},
        {HEAD "[reference a]\nplatform = snp\nkind = measurement\nvalue = " HEX32
              "\n[reference b]\nplatform = snp\nkind = measurement\nvalue = " HEX32 "\n",
         8, 1, "the name or the value is there already"},
        {HEAD "[allow a]\n", 4, 1, "[allow a] needs 'platform-id'"},
        {HEAD "[snp]\nfloor-milan = snp\n", 5, 15, "snp.floor-milan must be"},
        {HEAD "[snp]\nfloor-milan = snp 1, snp 2\n", 5, 15, "snp.floor-milan must be"},
        {HEAD "[snp]\nfloor-milan = snp 256\n", 5, 15, "snp.floor-milan must be"},
        {HEAD "[snp]\nrequire = ecc, smt\n", 5, 11, "snp.require must be"},
        {HEAD "[snp]\nrequire = smt,\n", 5, 11, "snp.require must be"},
        {HEAD "[intel]\nup-to-date = yes\n", 5, 14, "intel.up-to-date must be always"},
        {HEAD "[intel]\nrefuse-advisory = A\nrefuse-advisory = A\n", 6, 19, "refuse-advisory"},
        {HEAD "[committee]\nthreshold = 3\n", 0, 0, "committee: breaks a rule"},
        {"[manifest]\nenvironment = dev\n", 0, 0, "[manifest] needs 'mesh'"},
        {"mode = enforce\n", 1, 1, "a [section] must come before the first key"},
        {"[manifest]\nmesh = aaaq\n", 2, 8, "manifest.mesh must be a mesh id"},
    };
    for (size_t i = 0; i < SM_COUNT(all); i++) {
        struct sm_mesh_manifest m;
        struct sm_text_problem why;
        if (parse(all[i].text, &m, &why) != SM_E_CONFIG) {
            T_STR("taken", all[i].text);
        }
        if (strstr(why.text, all[i].says) == NULL) {
            T_STR(why.text, all[i].says);
        }
        T_EQ(why.line, all[i].line);
        T_EQ(why.column, all[i].column);
    }
}

static void production_takes_no_software_and_no_unlisted_program(void)
{
    static const char head[] =
        "[manifest]\nmesh = aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq\n"
        "environment = prod\n%s";
    static const char *const bad[] = {"[platform software]\ngrade = 1\n",
                                      "[platform snp]\ngrade = 1000\nmeasurement = any\n",
                                      "[hardware]\ndebug = yes\n"};
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        char text[512];
        struct sm_mesh_manifest m;
        struct sm_text_problem why;
        (void)snprintf(text, sizeof text, head, bad[i]);
        T_ERR(parse(text, &m, &why), SM_E_CONFIG);
        T_TRUE(strstr(why.text, "breaks a rule") != NULL);
    }
}

/* Lines of a good text taken out, doubled, swapped and bent: nothing but a sentence comes of
 * it, or a manifest that prints and parses again. */
static void any_text_is_taken_or_told(void)
{
    uint8_t seed[32] = {0};
    struct sm_rng rng;
    sm_put_le64(seed, t_seed());
    sm_rng_init(&rng, seed, "text");
    for (unsigned round = 0; round < 2000; round++) {
        char text[sizeof full];
        struct sm_mesh_manifest m, again;
        struct sm_text_problem why;
        struct sm_buf one = SM_BUF(SM_MANIFEST_TEXT_MAX), two = SM_BUF(SM_MANIFEST_TEXT_MAX);
        memcpy(text, full, sizeof full);
        for (uint64_t n = 1 + sm_rng_below(&rng, 3); n > 0; n--) {
            size_t at = (size_t)sm_rng_below(&rng, sizeof full - 1);
            size_t from = (size_t)sm_rng_below(&rng, sizeof full - 1);
            text[at] = sm_rng_below(&rng, 2) == 0 ? full[from] : (char)('0' + at % 10);
        }
        if (parse(text, &m, &why) != SM_OK) {
            T_TRUE(why.text[0] != '\0');
            continue;
        }
        T_OK(sm_mesh_manifest_print(&m, &one));
        T_OK(sm_mesh_manifest_parse(sm_buf_view(&one), &again, &why));
        T_OK(sm_mesh_manifest_print(&again, &two));
        T_MEM(two.p, two.n, one.p, one.n);
        sm_mesh_manifest_done(&m);
        sm_mesh_manifest_done(&again);
        sm_buf_done(&one);
        sm_buf_done(&two);
    }
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(what_is_written_in_full_prints_to_the_same_text),
        T_CASE(the_text_and_the_binary_say_the_same),
        T_CASE(what_is_left_out_is_strict),
        T_CASE(mistakes_are_told_with_their_place),
        T_CASE(production_takes_no_software_and_no_unlisted_program),
        T_CASE(any_text_is_taken_or_told),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
