// SPDX-License-Identifier: Apache-2.0
/* Any text: refused with a problem, or its canonical form parses to itself. */
#include "proc/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void print(const struct sm_config *c, struct sm_buf *out)
{
    if (sm_config_print(c, out) != SM_OK) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct sm_config c, again;
    struct sm_config_problem why = {0};
    if (sm_config_parse(sm_view_of(p, n), "/home", &c, &why) != SM_OK) {
        if (why.text[0] == '\0') {
            abort();
        }
        return 0;
    }
    SM_CLEANUP(sm_buf_done) struct sm_buf a = SM_BUF(SM_CONFIG_BYTES);
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(SM_CONFIG_BYTES);
    print(&c, &a);
    if (sm_config_parse(sm_buf_view(&a), NULL, &again, &why) != SM_OK) {
        abort();
    }
    print(&again, &b);
    if (a.n != b.n || memcmp(a.p, b.p, a.n) != 0) {
        abort();
    }
    return 0;
}
