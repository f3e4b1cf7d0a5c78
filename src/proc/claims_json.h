// SPDX-License-Identifier: Apache-2.0
#pragma once
/* claims_json: claims, reasons and checks as JSON, the same from the node and from the command
 * line.
 */
#include "attest/claims_list.h"
#include "attest/policy.h"

#include <jansson.h>

static inline void sm_json_put_claim(void *ctx, const struct sm_claim *k)
{
    json_t *v = k->kind == SM_CLAIM_TEXT     ? json_string(k->text)
                : k->kind == SM_CLAIM_NUMBER ? json_integer((json_int_t)k->number)
                                             : json_boolean(k->number != 0);
    json_object_set_new(ctx, k->name, v);
}

static inline json_t *sm_json_claims(const struct sm_claims *k)
{
    json_t *o = json_object();
    sm_claims_list(k, sm_json_put_claim, o);
    return o;
}

/* {key: its name, field, got, wanted} */
static inline json_t *sm_json_reason(const char *key, const struct sm_reason *r)
{
    return json_pack("{s:s, s:s, s:s, s:s}", key, sm_reason_name(r->code), "field", r->field,
                     "got", r->got, "wanted", r->want);
}

static inline void sm_json_put_fix(json_t *o, const struct sm_reason *r, uint8_t platform)
{
    char fix[SM_FIX_TEXT];
    sm_reason_fix(r, platform, fix);
    json_object_set_new(o, "fix", json_string(fix));
}

/* [{reason, field, got, wanted, words, fix}] */
static inline json_t *sm_json_reasons(const struct sm_reasons *why, uint8_t platform)
{
    json_t *list = json_array();
    for (size_t i = 0; i < why->n; i++) {
        json_t *o = sm_json_reason("reason", &why->r[i]);
        json_object_set_new(o, "words", json_string(sm_reason_info(why->r[i].code)->words));
        sm_json_put_fix(o, &why->r[i], platform);
        json_array_append_new(list, o);
    }
    return list;
}

/* [{check, field, got, wanted, passed, fix}] */
static inline json_t *sm_json_checks(const struct sm_checks *checks, uint8_t platform)
{
    json_t *list = json_array();
    for (size_t i = 0; i < checks->n; i++) {
        const struct sm_check *k = &checks->c[i];
        json_t *o = sm_json_reason("check", &k->r);
        json_object_set_new(o, "passed", json_boolean(k->is_ok));
        if (!k->is_ok) {
            sm_json_put_fix(o, &k->r, platform);
        }
        json_array_append_new(list, o);
    }
    return list;
}

static inline json_t *sm_json_tvec(const struct sm_tvec *v)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < SM_TVEC_CLAIMS; i++) {
        json_object_set_new(o, sm_tvec_claim_name((enum sm_tvec_claim)i),
                            json_pack("{s:i, s:s}", "value", v->claim[i], "tier",
                                      sm_tvec_tier_name(v->claim[i])));
    }
    return o;
}
