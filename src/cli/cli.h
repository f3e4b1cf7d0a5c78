// SPDX-License-Identifier: Apache-2.0
#pragma once
/* cli: what the commands of seemesh(1) share: options, results, talk, progress.
 *
 * Results go to stdout, talk and progress to stderr.  With --json every command prints one
 * JSON object on stdout (or one a line, where its manual says so) and errors become
 * {"error": ..., "message": ...} there too.  The exit code is cli_exit_code().
 */
#include "base/bytes.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct cli {
    bool json, quiet, is_tty; /* is_tty: of stderr, for progress */
    bool is_probe;            /* a command asks on another's behalf: complain to nobody */
    bool is_told;             /* the user has heard what went wrong */
    const char *home;         /* node home: configuration and control socket */
    const char *program;      /* argv[0], to find the other programs beside it */
};

/* One option of a command.  Exactly one of flag, text, number is set. */
struct cli_option {
    const char *name;  /* "--split" */
    const char *value; /* what the help calls its value; NULL for a flag */
    const char *help;
    bool *flag;
    const char **text;
    uint64_t *number;
};

struct cli_command {
    const char *name; /* "put", or "dev up" */
    const char *args; /* "FILE" */
    const char *help; /* one line */
    const char *more; /* examples and what to know, shown by help */
    enum sm_err (*run)(struct cli *c, int argc, char **argv);
};
extern const struct cli_command cli_commands[];
extern const size_t cli_commands_n;

/* Take the options out of argv.  What is left is packed at its front and counted in *argc_out.
 * Complains and returns USAGE on an unknown option or a bad number; "--" ends options. */
enum sm_err cli_parse(struct cli *c, const struct cli_command *cmd,
                      const struct cli_option *opt, size_t opt_n, int argc, char **argv,
                      int *argc_out) SM_MUST;

/* sm_err_exit_code, and 3 when the node is not reachable. */
int cli_exit_code(enum sm_err e);
/* Say what went wrong, once, in one line, and give the error back to return it. */
enum sm_err cli_fail(struct cli *c, enum sm_err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* May this file be written whole, by a rename?  USAGE for a folder, a device, a pipe. */
enum sm_err cli_may_replace(struct cli *c, const char *path) SM_MUST;
/* Talk, on stderr; nothing with --quiet or --json. */
void cli_say(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Print a JSON object on stdout and free it. */
void cli_json(json_t *object);

/* "64MiB", "1500", "2GiB" and "30s", "200ms", "5m": MALFORMED else. */
enum sm_err cli_size(const char *text, uint64_t *out) SM_MUST;
enum sm_err cli_millis(const char *text, uint64_t *out) SM_MUST;
/* "12.3 MiB" */
const char *cli_bytes(uint64_t n, char out[static 24]);

/* A progress line on a terminal; silent elsewhere. */
struct cli_progress {
    struct cli *c;
    const char *what;
    uint64_t done, total, shown_ns;
    bool is_shown;
};
void cli_progress_start(struct cli_progress *p, struct cli *c, const char *what,
                        uint64_t total);
void cli_progress_set(struct cli_progress *p, uint64_t done, const char *note);
void cli_progress_end(struct cli_progress *p);

/* A table with left-aligned columns, as wide as their longest cell. */
#define CLI_COLUMNS_MAX 12
struct cli_table {
    const char *head[CLI_COLUMNS_MAX];
    size_t columns, rows, cap;
    char **cells; /* rows * columns, owned */
};
void cli_table_row(struct cli_table *t, ...); /* as many const char * as there are columns */
void cli_table_print(struct cli_table *t, FILE *to); /* and free */
