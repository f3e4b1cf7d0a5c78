// SPDX-License-Identifier: Apache-2.0
#pragma once
/* job_io: run one module over many units in SEE instances on many nodes.
 *
 * Joins the driver of core/job.h to a mesh: starts SEE instances (one on each node first, near
 * and trusted nodes before others), checks their passports, gives each the module, hands out
 * units, fetches results, and checks every receipt against the SEE's key and the bytes that
 * came.  What is secret, the object's key above all, goes only into requests of service UNIT,
 * whose sessions end in the SEE's supervisor.
 *
 * Input is a range of an object cut by `split`, or bytes that the caller has (the reduce step).
 * CSV is scanned first, by the SEEs, for the quotes before each unit.
 *
 * A job ends in exactly one done callback, from the event loop; then the caller reads rows and
 * outputs and frees it.
 *
 * Memory:  the outputs of all units, up to cfg.output_bytes_max.
 * Source:  DESIGN 11.
 */
#include "client/mesh.h"
#include "client/objects.h"
#include "core/job.h"
#include "core/split.h"
#include "wire/receipt.h"

struct sm_job_io;

struct sm_job_io_cfg {
    struct sm_mesh *mesh;
    uint8_t job_id[16];
    struct sm_view module; /* raw WebAssembly; borrowed until the job is freed */
    const char *const *args;
    unsigned n_args; /* <= SM_UNIT_ARGS_MAX - 1 */

    /* An object, cut into units ... */
    const struct sm_holders *holders; /* copied; NULL for inline input */
    struct sm_ref ref;
    uint64_t size;
    enum sm_split_kind split;
    uint64_t unit_bytes; /* each unit but the last has so many; 0: all about the same */
    uint32_t units;
    /* ... or `units` inputs of the caller, borrowed until the job is freed. */
    const struct sm_view *inputs;

    unsigned sees_max;
    uint32_t mem_pages, cpu_ms, wall_ms; /* 0: the nodes' own */
    size_t output_bytes_max;
    uint64_t fence_base;

    void *ctx;
    void (*progress)(void *ctx, uint32_t done, uint32_t units, unsigned sees);
    /* Something a person may want to know: "n4 is gone; unit 3 runs again". */
    void (*note)(void *ctx, const char *text);
    /* reason: one line when err is not OK; for module faults it has the module's own words. */
    void (*done)(void *ctx, enum sm_err err, const char *reason);
};

/* What became of one unit. */
struct sm_job_io_row {
    bool is_done;
    struct sm_node_id node;
    char owner[SM_NODE_OWNER_MAX + 1];
    uint32_t ep;
    uint32_t attempts;
    uint64_t fence;
    uint64_t input_n, output_n;
    uint32_t run_ms;    /* in the module */
    struct sm_dur took; /* as the client saw it */
    struct sm_view output;
    struct sm_view receipt, passport; /* of the SEE that signed it */
};

enum sm_err sm_job_io_start(const struct sm_job_io_cfg *cfg, struct sm_job_io **out) SM_MUST;
bool sm_job_io_row(const struct sm_job_io *j, uint32_t unit, struct sm_job_io_row *out);
unsigned sm_job_io_sees(const struct sm_job_io *j, unsigned *out_compiled,
                        uint32_t *out_compile_ms);
/* Stops the SEEs it started, as far as they can be told. */
void sm_job_io_free(struct sm_job_io *j);

/* Check a receipt with its SEE's passport, however old both are.  The passport must have been
 * good when its SEE was born: what the node said of itself later, or no more, does not undo the
 * SEE's key.  The receipt must be signed by that key, and in its time.  *out and *see are what
 * they say.  AUTH, CRYPTO, EXPIRED, or an error of their grammar. */
enum sm_err sm_receipt_check(const struct sm_anchor *anchor, struct sm_view receipt,
                             struct sm_view passport, struct sm_receipt *out,
                             struct sm_passport *see) SM_MUST;
