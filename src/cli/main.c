// SPDX-License-Identifier: Apache-2.0
/* seemesh(1): find the command, take the options every command has, run it. */
#include "cli/cli.h"
#include "seemesh/version.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_help(FILE *to)
{
    fputs("seemesh: compute together on data nobody may show\n\n"
          "  seemesh dev up                      start a local mesh to try things on\n"
          "  seemesh put FILE                    store a file, encrypted, in the mesh\n"
          "  seemesh run MODULE --on REF         run a WebAssembly module over it\n\n"
          "usage: seemesh [--home DIR] [--json] [--quiet] COMMAND [ARGUMENTS]\n\ncommands:\n",
          to);
    for (size_t i = 0; i < cli_commands_n; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", cli_commands[i].name, cli_commands[i].args);
        fprintf(to, "  %-30s %s\n", left, cli_commands[i].help);
    }
    fputs("  help [COMMAND]                 this text, or one command's\n"
          "  version                        what this is\n\n"
          "--home, or SEEMESH_HOME, names the folder of the node to speak to.  Results are on\n"
          "stdout, talk on stderr; --json prints objects.  Exit codes: 0 done, 1 failed, 2 "
          "usage\n"
          "or configuration, 3 node not reachable, 4 refused, 5 not found, 6 too few peers or "
          "no\n"
          "answer in time, 7 verification failed, 8 a limit was reached.\n",
          to);
}

/* The command whose words begin argv; *used says how many words. */
static const struct cli_command *find_command(int argc, char **argv, int *used)
{
    const struct cli_command *best = NULL;
    *used = 0;
    for (size_t i = 0; i < cli_commands_n; i++) {
        const char *name = cli_commands[i].name;
        const char *space = strchr(name, ' ');
        size_t first_n = space != NULL ? (size_t)(space - name) : strlen(name);
        if (argc < 1 || strlen(argv[0]) != first_n || strncmp(argv[0], name, first_n) != 0) {
            continue;
        }
        int words = 1;
        if (space != NULL) {
            if (argc < 2 || strcmp(argv[1], space + 1) != 0) {
                continue;
            }
            words = 2;
        }
        if (words > *used) {
            best = &cli_commands[i];
            *used = words;
        }
    }
    return best;
}

static void print_command(FILE *to, const struct cli_command *cmd)
{
    fprintf(to, "usage: seemesh %s %s\n\n%s\n", cmd->name, cmd->args, cmd->help);
    if (cmd->more != NULL) {
        fprintf(to, "\n%s", cmd->more);
    }
}

/* How different two words are: to name what the user may have meant. */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 24 };
    size_t an = strlen(a), bn = strlen(b), row[MAX + 1];
    if (an > MAX || bn > MAX) {
        return MAX;
    }
    for (size_t j = 0; j <= bn; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= an; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= bn; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
        }
    }
    return row[bn];
}

static enum sm_err unknown_command(struct cli *c, const char *word)
{
    const char *near = NULL;
    size_t least = 3;
    for (size_t i = 0; i < cli_commands_n; i++) {
        size_t d = distance(word, cli_commands[i].name);
        if (d < least) {
            least = d;
            near = cli_commands[i].name;
        }
    }
    return cli_fail(c, SM_E_USAGE, "'%s' is not a command%s%s%s; see 'seemesh help'", word,
                    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'" : "");
}

static enum sm_err dispatch(struct cli *c, int argc, char **argv)
{
    int used = 0;
    if (argc < 1 || strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 ||
        strcmp(argv[0], "-h") == 0) {
        const struct cli_command *cmd =
            argc > 1 ? find_command(argc - 1, argv + 1, &used) : NULL;
        if (cmd != NULL) {
            print_command(stdout, cmd);
        } else if (argc > 1) {
            return unknown_command(c, argv[1]);
        } else {
            print_help(argc < 1 ? stderr : stdout);
        }
        return argc < 1 ? SM_E_USAGE : SM_OK;
    }
    if (strcmp(argv[0], "version") == 0 || strcmp(argv[0], "--version") == 0) {
        if (c->json) {
            cli_json(json_pack("{s:s}", "version", SEEMESH_VERSION));
        } else {
            puts("seemesh " SEEMESH_VERSION);
        }
        return SM_OK;
    }
    const struct cli_command *cmd = find_command(argc, argv, &used);
    if (cmd == NULL) {
        return unknown_command(c, argv[0]);
    }
    for (int i = used; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_command(stdout, cmd);
            return SM_OK;
        }
    }
    return cmd->run(c, argc - used, argv + used);
}

/* The options every command has may stand anywhere before "--". */
static int take_common(struct cli *c, int argc, char **argv)
{
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (i < argc) {
                argv[kept++] = argv[i++];
            }
        } else if (strcmp(argv[i], "--json") == 0) {
            c->json = true;
        } else if (strcmp(argv[i], "--quiet") == 0 || strcmp(argv[i], "-q") == 0) {
            c->quiet = true;
        } else if (strcmp(argv[i], "--home") == 0 && i + 1 < argc) {
            c->home = argv[++i];
        } else if (strncmp(argv[i], "--home=", 7) == 0) {
            c->home = argv[i] + 7;
        } else {
            argv[kept++] = argv[i];
        }
    }
    return kept;
}

int main(int argc, char **argv)
{
    struct cli c = {.program = argc > 0 ? argv[0] : "seemesh",
                    .is_tty = isatty(STDERR_FILENO) == 1,
                    .home = getenv("SEEMESH_HOME")};
    signal(SIGPIPE, SIG_IGN);
    int left = argc > 0 ? take_common(&c, argc - 1, argv + 1) : 0;
    enum sm_err e = dispatch(&c, left, argv + 1);
    if ((fflush(stdout) != 0 || ferror(stdout)) && e == SM_OK) {
        e = cli_fail(&c, SM_E_IO, "cannot write to standard output");
    }
    if (e != SM_OK && !c.is_told) {
        cli_fail(&c, e, "%s", sm_err_words(e)); /* whatever it was: never fail without a word */
    }
    return cli_exit_code(e);
}
