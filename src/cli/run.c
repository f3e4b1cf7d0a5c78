// SPDX-License-Identifier: Apache-2.0
/* run: a module over an object, its units on many nodes, and the result. */
#include "cli/commands.h"
#include "cli/receipts.h"
#include "client/job_io.h"
#include "os/clock.h"
#include "os/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MODULE_MAX = 32 << 20,
    OUTPUT_MAX = 1 << 30,
    FAN_IN = 8,                /* results that one reduce unit takes */
    UNITS_PER_SEE = 3,         /* small enough to balance, large enough to pay for the start */
    UNIT_BYTES_MAX = 32 << 20, /* a SEE holds a unit's input in memory */
    ARGS_MAX = SM_UNIT_ARGS_MAX - 1,
};

struct words {
    const char *list[ARGS_MAX];
    unsigned n;
};

struct run {
    struct cli *c;
    struct cli_conn conn;
    const char *module, *on, *split, *reduce, *output, *receipts;
    uint64_t units, unit_bytes, sees, time_ms;
    struct words args, reduce_args;
    struct sm_ref ref;
    struct sm_holders holders;
    uint64_t size;
    enum sm_split_kind kind;
    struct sm_buf map_wasm, reduce_wasm;
    uint8_t job_id[16];
    uint64_t fence;
    struct cli_progress progress;
    /* the phase that runs now */
    const char *phase;
    bool is_done;
    enum sm_err err;
    char reason[768];
    struct sm_buf receipt_text;
    json_t *rows;
    struct cli_table table;
    uint64_t began_ns;
};

/* -- options ------------------------------------------------------------------------------ */

/* --arg and --reduce-arg may be repeated, which the common parser does not know. */
static enum sm_err take_repeated(struct cli *c, const char *name, struct words *out, int *argc,
                                 char **argv)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (i < *argc) {
                argv[kept++] = argv[i++];
            }
            break;
        }
        if (strcmp(argv[i], name) != 0) {
            argv[kept++] = argv[i];
            continue;
        }
        if (i + 1 == *argc || out->n == ARGS_MAX) {
            return cli_fail(c, SM_E_USAGE, "%s wants a value, at most %d times", name,
                            ARGS_MAX);
        }
        out->list[out->n++] = argv[++i];
    }
    *argc = kept;
    return SM_OK;
}

static enum sm_err take_split(struct run *r)
{
    if (strcmp(r->split, "lines") == 0) {
        r->kind = SM_SPLIT_LINES;
    } else if (strcmp(r->split, "csv") == 0) {
        r->kind = SM_SPLIT_CSV;
    } else if (strncmp(r->split, "bytes:", 6) == 0 &&
               cli_size(r->split + 6, &r->unit_bytes) == SM_OK && r->unit_bytes > 0) {
        r->kind = SM_SPLIT_BYTES;
        if (r->unit_bytes > UNIT_BYTES_MAX) {
            return cli_fail(r->c, SM_E_USAGE, "--split bytes:N takes at most 32MiB");
        }
        if (r->units > 0) {
            return cli_fail(r->c, SM_E_USAGE, "--split bytes:N and --units exclude each other");
        }
    } else {
        return cli_fail(r->c, SM_E_USAGE,
                        "--split is lines, csv or bytes:N (like bytes:64KiB)");
    }
    return SM_OK;
}

static enum sm_err options(struct run *r, int argc, char **argv)
{
    const char *time = "60s";
    const struct cli_option opt[] = {
        {.name = "--on", .value = "REF", .text = &r->on},
        {.name = "--split", .value = "HOW", .text = &r->split},
        {.name = "--units", .value = "N", .number = &r->units},
        {.name = "--reduce", .value = "MODULE", .text = &r->reduce},
        {.name = "--sees", .value = "N", .number = &r->sees},
        {.name = "--time", .value = "TIME", .text = &time},
        {.name = "--receipts", .value = "FILE", .text = &r->receipts},
        {.name = "-o", .value = "FILE", .text = &r->output},
        {.name = "--output", .value = "FILE", .text = &r->output},
    };
    SM_TRY(take_repeated(r->c, "--arg", &r->args, &argc, argv));
    SM_TRY(take_repeated(r->c, "--reduce-arg", &r->reduce_args, &argc, argv));
    SM_TRY(cli_parse(r->c, cli_command_named("run"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 1 || r->on == NULL) {
        return cli_fail(r->c, SM_E_USAGE, "run wants one MODULE and --on REF");
    }
    if (r->units > SM_JOB_UNITS_MAX || r->sees < 1 || r->sees > 64) {
        return cli_fail(r->c, SM_E_USAGE, "--units is at most %u, --sees 1 to 64",
                        SM_JOB_UNITS_MAX);
    }
    if (cli_millis(time, &r->time_ms) != SM_OK || r->time_ms < 100 || r->time_ms > 3600000) {
        return cli_fail(r->c, SM_E_USAGE, "--time is 100ms to 1h, like 30s");
    }
    if (r->c->json && r->output == NULL) {
        return cli_fail(r->c, SM_E_USAGE,
                        "--json needs -o FILE: both would go to standard output");
    }
    if (r->output != NULL) {
        SM_TRY(cli_may_replace(r->c, r->output));
    }
    if (r->receipts != NULL) {
        SM_TRY(cli_may_replace(r->c, r->receipts));
    }
    r->module = argv[0];
    return take_split(r);
}

static enum sm_err read_module(struct run *r, const char *path, struct sm_buf *out)
{
    *out = SM_BUF(MODULE_MAX);
    enum sm_err e = sm_file_read(path, out);
    if (e == SM_E_LIMIT) {
        return cli_fail(r->c, e, "%s is longer than 32 MiB, the most a module may be", path);
    }
    if (e != SM_OK) {
        return cli_fail(r->c, e, "cannot read the module %s: %s", path, sm_err_words(e));
    }
    if (out->n < 8 || memcmp(out->p, "\0asm", 4) != 0) {
        return cli_fail(r->c, SM_E_MODULE, "%s is not a WebAssembly module%s", path,
                        out->n > 0 ? ": it does not begin with \\0asm" : ": it is empty");
    }
    return SM_OK;
}

/* -- the object's size --------------------------------------------------------------------- */

static void on_info(void *ctx, uint64_t size, struct sm_code code)
{
    struct run *r = ctx;
    (void)code;
    r->size = size;
}

static enum sm_err on_no_bytes(void *ctx, uint64_t offset, struct sm_view bytes)
{
    (void)ctx;
    (void)offset;
    (void)bytes;
    return SM_OK;
}

static void on_sized(void *ctx, enum sm_err err, const char *reason)
{
    struct run *r = ctx;
    r->is_done = true;
    r->err = err;
    snprintf(r->reason, sizeof r->reason, "%s", reason != NULL ? reason : "");
}

static enum sm_err find_object(struct run *r)
{
    struct sm_get_io *io;
    SM_TRY(cli_find_holders(&r->conn, &r->ref.object, &r->holders));
    struct sm_get_io_cfg cfg = {.mesh = r->conn.mesh,
                                .ref = r->ref,
                                .holders = &r->holders,
                                .ctx = r,
                                .info = on_info,
                                .bytes = on_no_bytes,
                                .done = on_sized};
    enum sm_err e = sm_get_io_start(&cfg, &io); /* the empty range: only its size */
    sm_wipe(&cfg.ref.key, sizeof cfg.ref.key);
    SM_TRY(e);
    r->is_done = false;
    e = cli_wait(&r->conn, &r->is_done);
    if (e != SM_OK) {
        sm_get_io_cancel(io);
        return e;
    }
    if (r->err != SM_OK) {
        return cli_fail(r->c, r->err, "%s cannot be read: %s", r->on, r->reason);
    }
    return SM_OK;
}

static uint64_t unit_count(const struct run *r)
{
    uint64_t least = r->size / UNIT_BYTES_MAX + 1, n;
    if (r->kind == SM_SPLIT_BYTES) {
        n = r->size / r->unit_bytes + (r->size % r->unit_bytes != 0);
        return n > 0 ? n : 1;
    }
    if (r->units > 0) {
        n = r->units;
    } else {
        uint64_t by_size = r->size / (64 << 10) + 1; /* no unit below 64 KiB by itself */
        n = r->sees * UNITS_PER_SEE;
        n = n < by_size ? n : by_size;
    }
    n = n > least ? n : least;
    n = r->size > 0 && n > r->size ? r->size : n;
    return n > 0 ? n : 1;
}

/* -- a phase ------------------------------------------------------------------------------- */

static void on_progress(void *ctx, uint32_t done, uint32_t units, unsigned sees)
{
    struct run *r = ctx;
    char note[64];
    r->progress.total = units;
    snprintf(note, sizeof note, "%u of %u units, %u SEEs", done, units, sees);
    cli_progress_set(&r->progress, done, note);
}

static void on_note(void *ctx, const char *text)
{
    struct run *r = ctx;
    cli_progress_end(&r->progress);
    cli_say(r->c, "%s\n", text);
}

static void on_phase_done(void *ctx, enum sm_err err, const char *reason)
{
    struct run *r = ctx;
    r->is_done = true;
    r->err = err;
    snprintf(r->reason, sizeof r->reason, "%s", reason != NULL ? reason : "");
}

static void keep_row(struct run *r, uint32_t unit, const struct sm_job_io_row *row)
{
    char u[16], ep[16], ms[24], total[24], in[24], out[24], attempts[16], node[17];
    char id[SM_B32_LEN(32) + 1];
    sm_b32(row->node.b, 32, id);
    snprintf(node, sizeof node, "%.16s", id);
    snprintf(u, sizeof u, "%s %u", r->phase, unit);
    snprintf(ep, sizeof ep, "%u", row->ep);
    snprintf(ms, sizeof ms, "%u ms", row->run_ms);
    snprintf(total, sizeof total, "%" PRIu64 " ms", row->took.ns / 1000000);
    snprintf(attempts, sizeof attempts, "%u", row->attempts);
    cli_table_row(&r->table, u, row->owner, node, ep, cli_bytes(row->input_n, in),
                  cli_bytes(row->output_n, out), ms, total, attempts);
    json_array_append_new(
        r->rows, json_pack("{s:s, s:i, s:s, s:s, s:i, s:I, s:I, s:i, s:I, s:i, s:I}", "phase",
                           r->phase, "unit", (int)unit, "owner", row->owner, "node", id, "see",
                           (int)row->ep, "input_bytes", (json_int_t)row->input_n,
                           "output_bytes", (json_int_t)row->output_n, "run_ms",
                           (int)row->run_ms, "took_ms", (json_int_t)(row->took.ns / 1000000),
                           "attempts", (int)row->attempts, "fence", (json_int_t)row->fence));
}

/* Gather the outputs in order: concatenated, or each by itself. */
static enum sm_err keep_results(struct run *r, const struct sm_job_io *io, uint32_t units,
                                struct sm_buf *outs)
{
    for (uint32_t u = 0; u < units; u++) {
        struct sm_job_io_row row;
        sm_job_io_row(io, u, &row);
        keep_row(r, u, &row);
        r->fence = row.fence > r->fence ? row.fence : r->fence;
        outs[u] = SM_BUF(OUTPUT_MAX);
        SM_TRY(sm_buf_add(&outs[u], row.output.p, row.output.n));
        if (r->receipts != NULL) {
            SM_TRY(cli_receipt_line(&r->receipt_text, row.receipt, row.passport));
        }
    }
    return SM_OK;
}

static enum sm_err run_phase(struct run *r, struct sm_job_io_cfg *cfg, struct sm_buf *outs)
{
    struct sm_job_io *io;
    cfg->mesh = r->conn.mesh;
    memcpy(cfg->job_id, r->job_id, sizeof cfg->job_id);
    cfg->sees_max = (unsigned)r->sees;
    cfg->wall_ms = (uint32_t)r->time_ms;
    cfg->cpu_ms = (uint32_t)r->time_ms;
    cfg->output_bytes_max = OUTPUT_MAX;
    cfg->fence_base = r->fence;
    cfg->ctx = r;
    cfg->progress = on_progress;
    cfg->note = on_note;
    cfg->done = on_phase_done;
    r->is_done = false;
    cli_progress_start(&r->progress, r->c, r->phase, cfg->units);
    SM_TRY(sm_job_io_start(cfg, &io));
    enum sm_err e = cli_wait(&r->conn, &r->is_done);
    cli_progress_end(&r->progress);
    if (e == SM_OK && r->err != SM_OK) {
        e = cli_fail(r->c, r->err, "%s failed: %s", r->phase, r->reason);
    }
    if (e == SM_OK) {
        unsigned compiled;
        uint32_t compile_ms;
        unsigned sees = sm_job_io_sees(io, &compiled, &compile_ms);
        cli_say(r->c, "%s: %u units in %u SEEs (%u compiled the module, longest %u ms)\n",
                r->phase, cfg->units, sees, compiled, compile_ms);
        e = keep_results(r, io, cfg->units, outs);
    }
    sm_job_io_free(io);
    sm_loop_turn(r->conn.loop, false); /* lets the stops leave */
    return e;
}

static void free_outs(struct sm_buf *outs, uint32_t n)
{
    for (uint32_t i = 0; outs != NULL && i < n; i++) {
        sm_buf_done(&outs[i]);
    }
    free(outs);
}

/* One level of the tree: every FAN_IN results become one.  The last level has one unit, and it
 * alone gets the reduce arguments, which say how to present the result. */
static enum sm_err reduce_level(struct run *r, struct sm_buf **outs, uint32_t *n)
{
    uint32_t units = (*n + FAN_IN - 1) / FAN_IN;
    struct sm_buf *next = calloc(units, sizeof *next);
    struct sm_buf *joined = calloc(units, sizeof *joined);
    struct sm_view *inputs = calloc(units, sizeof *inputs);
    enum sm_err e = next == NULL || joined == NULL || inputs == NULL ? SM_E_NOMEM : SM_OK;
    for (uint32_t u = 0; u < units && e == SM_OK; u++) {
        joined[u] = SM_BUF(OUTPUT_MAX);
        for (uint32_t i = u * FAN_IN; i < *n && i < (u + 1) * FAN_IN && e == SM_OK; i++) {
            e = sm_buf_add(&joined[u], (*outs)[i].p, (*outs)[i].n);
        }
        inputs[u] = sm_buf_view(&joined[u]);
    }
    struct sm_job_io_cfg cfg = {.module = sm_buf_view(&r->reduce_wasm),
                                .args = r->reduce_args.list,
                                .n_args = units == 1 ? r->reduce_args.n : 0,
                                .units = units,
                                .inputs = inputs};
    if (e == SM_OK) {
        e = run_phase(r, &cfg, next);
    }
    free_outs(joined, units);
    free(inputs);
    if (e != SM_OK) {
        free_outs(next, units);
        return e;
    }
    free_outs(*outs, *n);
    *outs = next;
    *n = units;
    return SM_OK;
}

/* -- the result ---------------------------------------------------------------------------- */

static enum sm_err write_result(struct run *r, const struct sm_buf *outs, uint32_t n)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf all = SM_BUF(OUTPUT_MAX);
    for (uint32_t i = 0; i < n; i++) {
        SM_TRY(sm_buf_add(&all, outs[i].p, outs[i].n));
    }
    if (r->output == NULL) {
        return fwrite(all.p, 1, all.n, stdout) == all.n && fflush(stdout) == 0
                   ? SM_OK
                   : cli_fail(r->c, SM_E_IO, "cannot write the result: %s", strerror(errno));
    }
    enum sm_err e = sm_file_write_atomic(r->output, 0600, sm_buf_view(&all));
    return e == SM_OK ? e
                      : cli_fail(r->c, e, "cannot write %s: %s", r->output, sm_err_words(e));
}

static enum sm_err report(struct run *r)
{
    if (r->receipts != NULL) {
        enum sm_err e = sm_file_write_atomic(r->receipts, 0644, sm_buf_view(&r->receipt_text));
        if (e != SM_OK) {
            return cli_fail(r->c, e, "cannot write %s: %s", r->receipts, sm_err_words(e));
        }
    }
    double seconds = (double)(sm_clock_mono().ns - r->began_ns) / 1e9;
    if (r->c->json) {
        char job[33];
        sm_hex(r->job_id, sizeof r->job_id, job);
        cli_json(json_pack("{s:s, s:s, s:O, s:f}", "job", job, "result", r->output, "units",
                           r->rows, "seconds", seconds));
    } else if (!r->c->quiet) {
        cli_table_print(&r->table, stderr);
        cli_say(r->c, "done in %.2f s\n", seconds);
    }
    return SM_OK;
}

static enum sm_err run_job(struct run *r)
{
    SM_TRY(find_object(r));
    uint64_t count = unit_count(r);
    if (count > SM_JOB_UNITS_MAX) {
        return cli_fail(r->c, SM_E_LIMIT, "%s makes %" PRIu64 " units of %s; %u is the most",
                        r->split, count, r->on, SM_JOB_UNITS_MAX);
    }
    uint32_t n = (uint32_t)count;
    struct sm_buf *outs = calloc(n, sizeof *outs);
    if (outs == NULL) {
        return SM_E_NOMEM;
    }
    struct sm_job_io_cfg cfg = {.module = sm_buf_view(&r->map_wasm),
                                .args = r->args.list,
                                .n_args = r->args.n,
                                .holders = &r->holders,
                                .ref = r->ref,
                                .size = r->size,
                                .split = r->kind,
                                .unit_bytes = r->unit_bytes,
                                .units = n};
    r->phase = "map";
    enum sm_err e = run_phase(r, &cfg, outs);
    sm_wipe(&cfg.ref.key, sizeof cfg.ref.key);
    r->phase = "reduce";
    if (e == SM_OK && r->reduce != NULL) {
        do {
            e = reduce_level(r, &outs, &n);
        } while (e == SM_OK && n > 1);
    }
    if (e == SM_OK) {
        e = write_result(r, outs, n);
    }
    if (e == SM_OK) {
        e = report(r);
    }
    free_outs(outs, n);
    return e;
}

static enum sm_err prepare(struct run *r, int argc, char **argv)
{
    SM_TRY(options(r, argc, argv));
    SM_TRY(read_module(r, r->module, &r->map_wasm));
    if (r->reduce != NULL) {
        SM_TRY(read_module(r, r->reduce, &r->reduce_wasm));
    }
    SM_TRY(cli_ref(r->c, r->on, &r->ref));
    SM_TRY(sm_random_bytes(r->job_id, sizeof r->job_id));
    return cli_connect(r->c, &r->conn);
}

enum sm_err cmd_run(struct cli *c, int argc, char **argv)
{
    struct run *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return SM_E_NOMEM;
    }
    *r = (struct run){.c = c,
                      .split = "lines",
                      .sees = 16,
                      .receipt_text = SM_BUF(256 << 20),
                      .rows = json_array(),
                      .began_ns = sm_clock_mono().ns,
                      .table = {.head = {"unit", "ran on", "node", "see", "input", "output",
                                         "module", "in all", "tries"},
                                .columns = 9}};
    enum sm_err e = prepare(r, argc, argv);
    if (e == SM_OK) {
        e = run_job(r);
        cli_disconnect(&r->conn);
    }
    sm_buf_done(&r->map_wasm);
    sm_buf_done(&r->reduce_wasm);
    sm_buf_done(&r->receipt_text);
    json_decref(r->rows);
    sm_wipe(r, sizeof *r);
    free(r);
    return e;
}
