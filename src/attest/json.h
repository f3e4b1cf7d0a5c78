// SPDX-License-Identifier: Apache-2.0
#pragma once
/* json: read JSON (RFC 8259) from bytes that are signed as they are.
 *
 * A reader goes left to right and is sticky as sm_rd is: the first broken rule makes it fail
 * for good, and the caller asks once, with sm_json_done().  It is stricter than JSON where
 * laxness would give one document two meanings: keys and strings that are used hold printable
 * ASCII without escapes, numbers are plain and not negative, nothing is nested deeper than
 * SM_JSON_DEPTH.  That a key comes once is for the caller to see to.
 *
 *     struct sm_json j = sm_json_init(bytes);
 *     struct sm_view key;
 *     sm_json_object(&j);
 *     while (sm_json_key(&j, &key)) {
 *         if (sm_view_eq(key, sm_view_str("version"))) {
 *             x.version = sm_json_uint(&j, UINT32_MAX);
 *         } else {
 *             sm_json_skip(&j);
 *         }
 *     }
 *     SM_TRY(sm_json_done(&j));     nothing is believed before this line
 *
 * Memory:  never allocates; views point into the bytes, which must outlive them.
 * Errors:  only from sm_json_done(): MALFORMED.
 */
#include "base/bytes.h"

#define SM_JSON_DEPTH 12u /* Intel's TCB info has 6 */

struct sm_json {
    struct sm_view left;
    bool failed;
    unsigned depth;
    struct {
        bool is_object, has_items;
    } open[SM_JSON_DEPTH];
};

struct sm_json sm_json_init(struct sm_view bytes);
void sm_json_object(struct sm_json *j);                   /* enter */
bool sm_json_key(struct sm_json *j, struct sm_view *key); /* false: it ended, or failed */
void sm_json_array(struct sm_json *j);                    /* enter */
bool sm_json_item(struct sm_json *j);                     /* false: it ended, or failed */
struct sm_view sm_json_text(struct sm_json *j);
uint64_t sm_json_uint(struct sm_json *j, uint64_t max);
struct sm_view sm_json_value(struct sm_json *j); /* the bytes of one whole value */
void sm_json_skip(struct sm_json *j);
void sm_json_fail(struct sm_json *j); /* the caller saw a broken rule */

/* Everything closed and nothing left but white space. */
enum sm_err sm_json_done(struct sm_json *j) SM_MUST;
