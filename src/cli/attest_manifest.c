// SPDX-License-Identifier: Apache-2.0
#include "cli/attest_manifest.h"

#include "attest/manifest_text.h"
#include "cli/conn.h"
#include "crypto/suite.h"
#include "os/file.h"

#define YEAR_S 31536000u

static enum sm_err text_read(struct cli *c, const char *path, struct sm_view text,
                             struct sm_mesh_manifest *out)
{
    struct sm_text_problem why = {0};
    enum sm_err e = sm_mesh_manifest_parse(text, out, &why);
    if (e == SM_E_CONFIG) {
        return cli_fail(c, e, "%s:%u:%u: %s", path, why.line, why.column, why.text);
    }
    return e;
}

/* Did a root that this node pins sign it?  No node, no answer, no complaint. */
static bool is_by_our_root(struct cli *c, struct sm_view doc)
{
    struct cli quiet = *c;
    struct sm_config config;
    struct sm_anchor anchor;
    struct sm_mesh_manifest m;
    quiet.is_probe = true;
    if (cli_load_config(&quiet, &config) != SM_OK ||
        sm_config_anchor(&config, &anchor) != SM_OK ||
        sm_mesh_manifest_verify(sm_suite_real(), &anchor, doc, &m, NULL) != SM_OK) {
        return false;
    }
    sm_mesh_manifest_done(&m);
    return true;
}

static enum sm_err manifest_load(struct cli *c, const char *manifest, const char *policy,
                                 struct sm_mesh_manifest *out, bool *out_is_signed)
{
    const char *path = manifest != NULL ? manifest : policy;
    SM_CLEANUP(sm_buf_done) struct sm_buf file = SM_BUF(SM_MANIFEST_TEXT_MAX);
    if (manifest != NULL && policy != NULL) {
        return cli_fail(c, SM_E_USAGE, "give --manifest or --policy, not both");
    }
    enum sm_err e = sm_file_read(path, &file);
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot read %s: %s", path, sm_err_words(e));
    }
    if (policy != NULL) {
        return text_read(c, path, sm_buf_view(&file), out);
    }
    e = sm_mesh_manifest_open(sm_buf_view(&file), out);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s is no signed manifest: %s", path, sm_err_words(e));
    }
    *out_is_signed = is_by_our_root(c, sm_buf_view(&file));
    return SM_OK;
}

/* Sign m by a key of this moment and put it in force under it. */
static enum sm_err put_in_force(struct sm_mesh_manifest *m, struct sm_wall now,
                                struct sm_rules **out, struct sm_reasons *why)
{
    static const struct sm_secret32 seed = {{1}}; /* a key for nothing but this */
    const struct sm_suite *suite = sm_suite_real();
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_MESH_MANIFEST_MAX);
    struct sm_sign_pair key;
    struct sm_anchor anchor;
    struct sm_rules_change change;
    struct sm_rules *rules;
    sm_sign_pair_from(suite, &seed, &key);
    const uint8_t(*roots)[32] = (const uint8_t(*)[32])key.pub.b;
    SM_TRY(sm_anchor_make((enum sm_env)m->env, "offline", roots, 1, &anchor));
    memcpy(m->mesh_id, anchor.mesh_id, sizeof m->mesh_id);
    m->version = m->version != 0 ? m->version : 1;
    m->issued = m->issued.s != 0 && m->issued.s < now.s ? m->issued : now;
    m->not_after = m->not_after.s != 0 ? m->not_after : (struct sm_wall){now.s + YEAR_S};
    SM_TRY(sm_mesh_manifest_sign(suite, &key, m, &doc));
    SM_TRY(sm_rules_new(suite, &anchor, &rules));
    enum sm_err e =
        sm_rules_offer(rules, now, SM_DOC_MANIFEST, sm_buf_view(&doc), &change, why);
    if (e != SM_OK) {
        sm_rules_free(rules);
        return e;
    }
    *out = rules;
    return SM_OK;
}

enum sm_err attest_rules(struct cli *c, const char *manifest, const char *policy,
                         struct sm_wall now, struct sm_rules **out, bool *out_is_signed)
{
    struct sm_mesh_manifest m;
    struct sm_reasons why = {0};
    *out_is_signed = false;
    SM_TRY(manifest_load(c, manifest, policy, &m, out_is_signed));
    enum sm_err e = put_in_force(&m, now, out, &why);
    sm_mesh_manifest_done(&m);
    if (e != SM_OK) {
        char text[256];
        sm_reasons_text(&why, text, sizeof text);
        return cli_fail(c, e, "the manifest cannot be used: %s%s%s", sm_err_words(e),
                        why.n > 0 ? ": " : "", text);
    }
    return SM_OK;
}
