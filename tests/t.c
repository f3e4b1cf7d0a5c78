// SPDX-License-Identifier: Apache-2.0
#include "t.h"

#include <stdarg.h>
#include <time.h>

jmp_buf t_jump;
static uint64_t seed;
static const char *skip_reason;

uint64_t t_seed(void)
{
    return seed;
}

_Noreturn void t_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("# %s:%d: ", file, line);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    fflush(stdout);
    longjmp(t_jump, 1);
}

_Noreturn void t_skip(const char *why)
{
    skip_reason = why;
    longjmp(t_jump, 2);
}

void t_mem_eq(const char *file, int line, const char *what, const void *a, size_t an,
              const void *b, size_t bn)
{
    if (an == bn && (an == 0 || memcmp(a, b, an) == 0)) {
        return;
    }
    char ha[2 * 48 + 1], hb[2 * 48 + 1];
    sm_hex(a, an < 48 ? an : 48, ha);
    sm_hex(b, bn < 48 ? bn : 48, hb);
    t_fail(file, line, "%s is %zu bytes %s, want %zu bytes %s", what, an, ha, bn, hb);
}

int t_main(const struct t_case *cases, size_t n, int argc, char **argv)
{
    const char *text = getenv("SM_SEED");
    seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;
    printf("TAP version 13\n# seed %" PRIu64 "\n1..%zu\n", seed, n);
    int failed = 0;
    for (size_t i = 0; i < n; i++) {
        if (argc > 1 && strstr(cases[i].name, argv[1]) == NULL) {
            printf("ok %zu - %s # SKIP not asked for\n", i + 1, cases[i].name);
            continue;
        }
        int how = setjmp(t_jump);
        if (how == 0) {
            cases[i].run();
            printf("ok %zu - %s\n", i + 1, cases[i].name);
        } else if (how == 2) {
            printf("ok %zu - %s # SKIP %s\n", i + 1, cases[i].name, skip_reason);
        } else {
            printf("not ok %zu - %s\n", i + 1, cases[i].name);
            failed = 1;
        }
        fflush(stdout);
    }
    return failed;
}
