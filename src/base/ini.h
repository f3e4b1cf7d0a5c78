// SPDX-License-Identifier: Apache-2.0
#pragma once
/* ini: the grammar of our configuration files, one line at a time.
 *
 *     # a comment line, or ; one
 *     [section]            or  [section NAME]
 *     key = value          the value is the rest of the line, without blanks around it
 *
 * Names are [a-z0-9_-], at most SM_INI_NAME_MAX; values are printable ASCII.  No quoting, no
 * continuation, no comment behind a value, no includes: what is on the line is what counts.
 * Meaning (which keys exist, their types) is the caller's.
 *
 *     struct sm_ini ini = sm_ini_init(text);
 *     while (sm_ini_next(&ini, &line)) { ... }
 *     if (ini.problem != NULL) -- at ini.line, ini.column
 *
 * Memory:  never allocates; views point into the text.
 */
#include "base/bytes.h"

#define SM_INI_NAME_MAX  32u
#define SM_INI_VALUE_MAX 512u

enum sm_ini_kind { SM_INI_SECTION, SM_INI_VALUE };

struct sm_ini_line {
    enum sm_ini_kind kind;
    struct sm_view section, name; /* name is empty for a plain section */
    struct sm_view key, value;    /* SM_INI_VALUE */
    unsigned line, column;        /* of the section's or the key's first letter, from 1 */
    unsigned value_column;
};

struct sm_ini {
    struct sm_view left;
    struct sm_view section, name;
    unsigned line, column;
    const char *problem; /* why reading ended early, or NULL */
};

struct sm_ini sm_ini_init(struct sm_view text);
/* The next section or value; false at the end and at the first problem. */
bool sm_ini_next(struct sm_ini *ini, struct sm_ini_line *out);

/* Decimal digits only, then one of the units; all of text.  MALFORMED else, LIMIT when the
 * product does not fit.  Durations: ns us ms s m h d.  Sizes: B KiB MiB GiB TiB. */
enum sm_err sm_ini_number(struct sm_view text, uint64_t *out) SM_MUST;
enum sm_err sm_ini_duration(struct sm_view text, uint64_t *out_ns) SM_MUST;
enum sm_err sm_ini_size(struct sm_view text, uint64_t *out_bytes) SM_MUST;
/* The largest unit that is exact: "30s", "64MiB".  out has 32 bytes. */
void sm_ini_print_duration(uint64_t ns, char out[static 32]);
void sm_ini_print_size(uint64_t bytes, char out[static 32]);

/* How many letters to insert, remove or change to make a of b; 99 when either is longer than
 * SM_INI_NAME_MAX.  For "did you mean". */
unsigned sm_ini_distance(struct sm_view a, struct sm_view b);
