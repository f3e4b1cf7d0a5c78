// SPDX-License-Identifier: Apache-2.0
/* tpm: look at a TPM, and have a node endorsed that lives on one.
 *
 * request, endorse and accept are the three steps of proc/tpm_enrol.h, for a root that is kept
 * elsewhere; 'init --tpm --dev-root' does them at once. */
#include "attest/hardware.h"
#include "cli/commands.h"
#include "os/secretmem.h"
#include "proc/provider_tpm.h"
#include "proc/sealed.h"
#include "proc/tpm_init.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct here {
    struct sm_config cfg;
    struct sm_anchor anchor;
    char keys[SM_PATH];
    struct sm_tpm_node node;
};

static enum sm_err load_here(struct cli *c, struct here *h)
{
    SM_TRY(cli_load_config(c, &h->cfg));
    if (h->cfg.platform.kind != SM_PLATFORM_TPM) {
        return cli_fail(c, SM_E_STATE, "this node's platform is not a TPM ([platform] kind)");
    }
    SM_TRY(sm_config_anchor(&h->cfg, &h->anchor));
    SM_TRY(sm_path_join(h->cfg.node.home, "keys", h->keys));
    h->node = (struct sm_tpm_node){.dir = h->keys, .device = h->cfg.platform.device};
    return SM_OK;
}

static enum sm_err write_out(struct cli *c, const char *path, struct sm_view bytes)
{
    SM_TRY(cli_may_replace(c, path));
    enum sm_err e = sm_file_write_atomic(path, 0600, bytes);
    return e == SM_OK ? e : cli_fail(c, e, "cannot write %s: %s", path, sm_err_words(e));
}

static enum sm_err read_in(struct cli *c, const char *path, struct sm_buf *out)
{
    enum sm_err e = sm_file_read(path, out);
    return e == SM_OK ? e : cli_fail(c, e, "cannot read %s: %s", path, sm_err_words(e));
}

/* -- show -------------------------------------------------------------------------------- */

struct look {
    struct sm_tpmdev_info info;
    struct sm_tpmdev_pcrs pcrs;
    struct sm_tpm_ek ek;
    bool has_ek;
};

static bool look_at_ek(struct sm_tpmdev *t, enum sm_tpmdev_ek kind, struct look *out)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf pub = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf cert = SM_BUF(SM_TPMDEV_CERT);
    return sm_tpmdev_ek(t, kind, &pub, &cert) == SM_OK &&
           sm_tpm_ek_read(sm_buf_view(&pub), &out->ek) == SM_OK;
}

static enum sm_err look(struct cli *c, const char *device, struct look *out)
{
    struct sm_tpmdev *t = NULL;
    char why[SM_TPMDEV_WHY];
    const uint32_t all = (1u << SM_TPMDEV_PCRS) - 1;
    enum sm_err e = sm_tpmdev_open(sm_tpm_tcti(device), &t, why);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s", why);
    }
    e = sm_tpmdev_info(t, &out->info);
    e = e == SM_OK ? sm_tpmdev_pcrs(t, all, &out->pcrs) : e;
    if (e != SM_OK) {
        (void)cli_fail(c, e, "%s", sm_tpmdev_why(t));
    } else {
        out->has_ek =
            look_at_ek(t, SM_TPMDEV_EK_ECC, out) || look_at_ek(t, SM_TPMDEV_EK_RSA, out);
    }
    sm_tpmdev_close(t);
    return e;
}

static void platform_id_of(const struct look *l, char out[static 65])
{
    uint8_t id[32];
    enum sm_err e =
        sm_platform_id_hash(SM_PLATFORM_TPM, sm_view_of(l->ek.name, sizeof l->ek.name), id);
    sm_hex(id, e == SM_OK ? sizeof id : 0, out);
}

static void show_json(const struct look *l)
{
    char hex[2 * SM_TPMDEV_HASH + 1], id[65], name[8];
    json_t *pcrs = json_object();
    for (unsigned i = 0; i < SM_TPMDEV_PCRS; i++) {
        sm_hex(l->pcrs.value[i], SM_TPMDEV_HASH, hex);
        snprintf(name, sizeof name, "%u", i);
        json_object_set_new(pcrs, name, json_string(hex));
    }
    platform_id_of(l, id);
    cli_json(json_pack(
        "{s:s, s:s, s:s?, s:b, s:s?, s:o}", "maker", l->info.maker, "model", l->info.model,
        "ek", l->has_ek ? (l->ek.key.alg == SM_TPM_RSA ? "rsa" : "p256") : NULL, "software",
        (int)l->info.is_software, "platform_id", l->has_ek ? id : NULL, "pcrs", pcrs));
}

static void show_text(const struct look *l)
{
    char hex[2 * SM_TPMDEV_HASH + 1], id[65];
    platform_id_of(l, id);
    printf("maker        %s %s, firmware %016" PRIx64 "%s\n", l->info.maker, l->info.model,
           l->info.firmware, l->info.is_software ? "   -- SOFTWARE: it proves nothing" : "");
    printf("endorsement  %s\n", !l->has_ek ? "no certificate of its maker in this TPM"
                                : l->ek.key.alg == SM_TPM_RSA ? "RSA-2048, certificate in NV"
                                                              : "P-256, certificate in NV");
    if (l->has_ek) {
        printf("platform id  %s\n", id);
    }
    for (unsigned i = 0; i < SM_TPMDEV_PCRS; i++) {
        sm_hex(l->pcrs.value[i], SM_TPMDEV_HASH, hex);
        printf("PCR %-2u       %s\n", i, hex);
    }
}

enum sm_err cmd_tpm_show(struct cli *c, int argc, char **argv)
{
    const char *device = "auto";
    const struct cli_option opt[] = {{.name = "--tpm", .value = "TCTI", .text = &device}};
    struct look l = {0};
    SM_TRY(cli_parse(c, cli_command_named("tpm show"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE, "tpm show takes only --tpm");
    }
    SM_TRY(look(c, device, &l));
    if (c->json) {
        show_json(&l);
    } else {
        show_text(&l);
    }
    return SM_OK;
}

/* -- request ----------------------------------------------------------------------------- */

static enum sm_err renew_key(struct cli *c, const struct here *h, const char *pcrs)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(SM_SEALED_MAX);
    char path[SM_PATH], why[SM_TPM_ENROL_WHY];
    struct sm_sealed was;
    uint32_t mask = SM_PCRS_DEFAULT;
    SM_TRY(sm_path_join(h->keys, SM_SEALED_FILE, path));
    if (sm_file_read(path, &b) == SM_OK && sm_sealed_read(sm_buf_view(&b), &was) == SM_OK) {
        mask = was.pcrs.mask;
    }
    if (pcrs != NULL && sm_pcrs_parse(pcrs, &mask) != SM_OK) {
        return cli_fail(c, SM_E_USAGE, "--pcrs wants registers like 0,2,4,7 (not 16 or 23)");
    }
    enum sm_err e = sm_tpm_keys_make(&h->node, mask, true, why);
    return e == SM_OK ? e : cli_fail(c, e, "%s", why);
}

enum sm_err cmd_tpm_request(struct cli *c, int argc, char **argv)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf request = SM_BUF(SM_TPM_REQUEST_MAX);
    const char *out = NULL, *pcrs = NULL;
    bool renew = false, is_locked;
    const struct cli_option opt[] = {{.name = "-o", .value = "FILE", .text = &out},
                                     {.name = "--renew", .flag = &renew},
                                     {.name = "--pcrs", .value = "LIST", .text = &pcrs}};
    char why[SM_TPM_ENROL_WHY];
    struct here h;
    SM_TRY(
        cli_parse(c, cli_command_named("tpm request"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 0 || out == NULL || (pcrs != NULL && !renew)) {
        return cli_fail(c, SM_E_USAGE,
                        "tpm request wants -o FILE; --pcrs goes with --renew only");
    }
    SM_TRY(sm_secretmem_init(&is_locked));
    SM_TRY(load_here(c, &h));
    if (renew) {
        SM_TRY(renew_key(c, &h, pcrs));
    }
    enum sm_err e = sm_tpm_request_make(&h.node, &h.anchor, &request, why);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s", why);
    }
    SM_TRY(write_out(c, out, sm_buf_view(&request)));
    cli_say(c, "who holds the root answers it: seemesh tpm endorse %s -o ANSWER\n", out);
    if (c->json) {
        cli_json(json_pack("{s:s}", "request", out));
    }
    return SM_OK;
}

/* -- endorse ----------------------------------------------------------------------------- */

static void say_endorsed(struct cli *c, const struct sm_tpm_endorsed *e)
{
    char platform[65], measurement[2 * 48 + 1], pcrs[SM_PCRS_TEXT];
    sm_hex(e->endorsement.platform_id, 32, platform);
    sm_hex(e->claims.measurement, e->claims.measurement_n, measurement);
    sm_pcrs_print(e->claims.regs_mask, pcrs);
    if (c->json) {
        cli_json(json_pack("{s:s, s:s, s:s, s:b}", "platform_id", platform, "measurement",
                           measurement, "pcrs", pcrs, "software", (int)e->is_software));
        return;
    }
    printf("platform id  %s\nPCRs         %s\nmeasurement  %s\n", platform, pcrs, measurement);
    if (e->is_software) {
        cli_say(c, "this TPM is software: it proves nothing about the machine\n");
    }
}

enum sm_err cmd_tpm_endorse(struct cli *c, int argc, char **argv)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf request = SM_BUF(SM_TPM_REQUEST_MAX);
    SM_CLEANUP(sm_buf_done) struct sm_buf reply = SM_BUF(SM_TPM_REPLY_MAX);
    const char *out = NULL, *root = NULL, *ca = NULL;
    const struct cli_option opt[] = {{.name = "-o", .value = "FILE", .text = &out},
                                     {.name = "--root-dir", .value = "DIR", .text = &root},
                                     {.name = "--tpm-ca", .value = "FILE", .text = &ca}};
    struct sm_tpm_endorsed made;
    struct sm_config cfg;
    struct sm_anchor anchor;
    char why[SM_TPM_ENROL_WHY];
    bool is_locked;
    SM_TRY(
        cli_parse(c, cli_command_named("tpm endorse"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 1 || out == NULL || root == NULL || ca == NULL) {
        return cli_fail(c, SM_E_USAGE,
                        "tpm endorse wants REQUEST, --root-dir DIR, --tpm-ca FILE and -o FILE");
    }
    SM_TRY(sm_secretmem_init(&is_locked));
    SM_TRY(cli_load_config(c, &cfg));
    SM_TRY(sm_config_anchor(&cfg, &anchor));
    SM_TRY(read_in(c, argv[0], &request));
    enum sm_err e =
        sm_tpm_endorse_with(root, ca, &anchor, sm_buf_view(&request), &reply, &made, why);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s", why);
    }
    SM_TRY(write_out(c, out, sm_buf_view(&reply)));
    say_endorsed(c, &made);
    return SM_OK;
}

/* -- accept ------------------------------------------------------------------------------ */

enum sm_err cmd_tpm_accept(struct cli *c, int argc, char **argv)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf reply = SM_BUF(SM_TPM_REPLY_MAX);
    char why[SM_TPM_ENROL_WHY];
    struct here h;
    bool is_locked;
    SM_TRY(cli_parse(c, cli_command_named("tpm accept"), NULL, 0, argc, argv, &argc));
    if (argc != 1) {
        return cli_fail(c, SM_E_USAGE, "tpm accept wants the file with the answer");
    }
    SM_TRY(sm_secretmem_init(&is_locked));
    SM_TRY(load_here(c, &h));
    SM_TRY(read_in(c, argv[0], &reply));
    enum sm_err e = sm_tpm_reply_take(&h.node, sm_buf_view(&reply), why);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s", why);
    }
    cli_say(c, "endorsed; start the node, or start it again\n");
    if (c->json) {
        cli_json(json_pack("{s:b}", "endorsed", 1));
    }
    return SM_OK;
}
