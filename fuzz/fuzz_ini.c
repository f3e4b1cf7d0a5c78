// SPDX-License-Identifier: Apache-2.0
/* Lines, numbers, durations and sizes of a configuration: views stay inside the text, and what
 * is printed reads as what it was. */
#include "base/ini.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect_inside(struct sm_view v, struct sm_view text, size_t max)
{
    assert(v.n <= max);
    assert(v.n == 0 || (v.p >= text.p && v.p + v.n <= text.p + text.n));
}

static void lines(struct sm_view text)
{
    struct sm_ini ini = sm_ini_init(text);
    struct sm_ini_line l;
    unsigned before = 0;
    while (sm_ini_next(&ini, &l)) {
        assert(l.line > before && l.column > 0);
        before = l.line;
        expect_inside(l.section, text, SM_INI_NAME_MAX);
        expect_inside(l.name, text, SM_INI_NAME_MAX);
        if (l.kind == SM_INI_VALUE) {
            expect_inside(l.key, text, SM_INI_NAME_MAX);
            expect_inside(l.value, text, SM_INI_VALUE_MAX);
            assert(l.key.n > 0 && sm_ini_distance(l.key, l.key) == 0);
        }
    }
}

static void amounts(struct sm_view text)
{
    char word[32];
    uint64_t v, again;
    enum sm_err e;
    if (sm_ini_duration(text, &v) == SM_OK) {
        sm_ini_print_duration(v, word);
        e = sm_ini_duration(sm_view_str(word), &again);
        assert(e == SM_OK && again == v);
    }
    if (sm_ini_size(text, &v) == SM_OK) {
        sm_ini_print_size(v, word);
        e = sm_ini_size(sm_view_str(word), &again);
        assert(e == SM_OK && again == v);
    }
    if (sm_ini_number(text, &v) == SM_OK) {
        assert(text.n > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    lines((struct sm_view){data, n});
    amounts((struct sm_view){data, n});
    return 0;
}
