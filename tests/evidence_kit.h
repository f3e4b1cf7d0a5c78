// SPDX-License-Identifier: Apache-2.0
#pragma once
/* evidence_kit: genuine evidence as files, and what mutation tests do to it.
 *
 * Files are those of SEEMESH_VECTORS, or of the folder beside the source.  Without them a test
 * is skipped: evidence of real hardware cannot be made up.
 */
#include "t.h"

#define KIT_MAX 32768u

struct kit_file {
    uint8_t b[KIT_MAX];
    size_t n;
};

static inline struct sm_view kit_view(const struct kit_file *f)
{
    return sm_view_of(f->b, f->n);
}

static inline void kit_load(const char *name, struct kit_file *out)
{
    char path[4096];
    const char *root = getenv("SEEMESH_VECTORS");
    int n = snprintf(path, sizeof path, "%s/attest/%s", root == NULL ? VECTORS : root, name);
    T_TRUE(n > 0 && (size_t)n < sizeof path);
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        t_skip("no vectors here: set SEEMESH_VECTORS");
    }
    out->n = fread(out->b, 1, sizeof out->b, f);
    (void)fclose(f);
    T_TRUE(out->n > 0 && out->n < sizeof out->b);
}

/* Which bytes a sweep touches: every one with SM_SWEEP=1, else a random residue of `stride`,
 * so that many runs together touch all. */
static inline size_t kit_stride(size_t stride)
{
    return getenv("SM_SWEEP") != NULL ? 1 : stride;
}

/* Call `accepts` with each byte of the file changed in turn, by one bit and by all, and return
 * how many changes it still took; `may` says of an offset that a change there is no matter. */
static inline size_t kit_sweep(struct kit_file *f, size_t stride, bool (*accepts)(void *ctx),
                               bool (*may)(const struct kit_file *f, size_t at), void *ctx)
{
    size_t taken = 0;
    stride = kit_stride(stride);
    for (size_t i = (size_t)(t_seed() % stride); i < f->n; i += stride) {
        uint8_t was = f->b[i];
        const uint8_t change[] = {(uint8_t)(1u << (i % 8)), 0xff};
        for (size_t k = 0; k < SM_COUNT(change); k++) {
            f->b[i] = was ^ change[k];
            if (accepts(ctx) && (may == NULL || !may(f, i))) {
                printf("# byte %zu of %zu: 0x%02x for 0x%02x is accepted\n", i, f->n, f->b[i],
                       was);
                taken++;
            }
        }
        f->b[i] = was;
    }
    return taken;
}

/* Every shorter file. */
static inline size_t kit_cut(struct kit_file *f, size_t stride, bool (*accepts)(void *ctx),
                             void *ctx)
{
    size_t taken = 0, whole = f->n;
    stride = kit_stride(stride);
    for (f->n = (size_t)(t_seed() % stride); f->n < whole; f->n += stride) {
        taken += accepts(ctx) ? 1 : 0;
    }
    f->n = whole;
    return taken;
}
