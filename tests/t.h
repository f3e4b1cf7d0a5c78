// SPDX-License-Identifier: Apache-2.0
#pragma once
/* t: the test harness.  A test program is a list of named promises:
 *
 *     static void reads_past_the_end_give_zeros(void) { T_EQ(sm_rd_u8(&r), 0); }
 *     int main(int argc, char **argv)
 *     {
 *         static const struct t_case cases[] = {T_CASE(reads_past_the_end_give_zeros)};
 *         return t_main(cases, SM_COUNT(cases), argc, argv);
 *     }
 *
 * Output is TAP, which Meson reads.  A failed check prints both values, ends its case and
 * fails the program.  t_seed() gives the run's seed (SM_SEED sets it; it is always printed).
 * An argument on the command line runs only the cases whose name contains it.
 * t_skip("why") ends the case as skipped.
 */
#include "base/bytes.h"
#include "base/err.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct t_case {
    const char *name;
    void (*run)(void);
};
#define T_CASE(fn)                                                                             \
    {                                                                                          \
#fn, fn                                                                                \
    }

extern jmp_buf t_jump;
uint64_t t_seed(void);
_Noreturn void t_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void t_skip(const char *why);
int t_main(const struct t_case *cases, size_t n, int argc, char **argv);
void t_mem_eq(const char *file, int line, const char *what, const void *a, size_t an,
              const void *b, size_t bn);

#define T_TRUE(cond)                                                                           \
    do {                                                                                       \
        if (!(cond)) {                                                                         \
            t_fail(__FILE__, __LINE__, "not true: %s", #cond);                                 \
        }                                                                                      \
    } while (0)
#define T_EQ(got, want)                                                                        \
    do {                                                                                       \
        long long t_got_ = (long long)(got), t_want_ = (long long)(want);                      \
        if (t_got_ != t_want_) {                                                               \
            t_fail(__FILE__, __LINE__, "%s is %lld, want %lld", #got, t_got_, t_want_);        \
        }                                                                                      \
    } while (0)
#define T_OK(expr)                                                                             \
    do {                                                                                       \
        enum sm_err t_err_ = (expr);                                                           \
        if (t_err_ != SM_OK) {                                                                 \
            t_fail(__FILE__, __LINE__, "%s gave %s", #expr, sm_err_name(t_err_));              \
        }                                                                                      \
    } while (0)
#define T_ERR(expr, want)                                                                      \
    do {                                                                                       \
        enum sm_err t_err_ = (expr);                                                           \
        if (t_err_ != (want)) {                                                                \
            t_fail(__FILE__, __LINE__, "%s gave %s, want %s", #expr, sm_err_name(t_err_),      \
                   sm_err_name(want));                                                         \
        }                                                                                      \
    } while (0)
#define T_MEM(got, got_n, want, want_n)                                                        \
    t_mem_eq(__FILE__, __LINE__, #got, (got), (got_n), (want), (want_n))
#define T_STR(got, want)                                                                       \
    t_mem_eq(__FILE__, __LINE__, #got, (got), strlen(got), (want), strlen(want))
