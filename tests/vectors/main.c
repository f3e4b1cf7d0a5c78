// SPDX-License-Identifier: Apache-2.0
/* seemesh-vectors [FOLDER]: every family of vectors in SEEMESH_VECTORS, or else in FOLDER. */
#include "vectors.h"

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef void run_fn(struct tally *t, const json_t *file);

static const struct {
    const char *family;
    run_fn *run; /* NULL: we have no such code yet */
} families[] = {
    {"crypto/noise", v_noise},
    {"crypto/wycheproof", v_wycheproof},
    {"crypto/cose", v_cose},
    {"crypto/frost", NULL},
    {"crypto/hpke", NULL},
    {"crypto/oprf", NULL},
    {"crypto/ristretto255", NULL},
    {"crypto/expand_message", NULL},
    {"crypto/biscuit", NULL},
    {"attest", v_attest},
    {"apps", NULL},
};

static const struct sm_suite *suite;

const struct sm_suite *v_suite(void)
{
    return suite;
}

/* -- telling ----------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 0))) static void tell(const struct tally *t, const char *what,
                                                       const char *fmt, va_list ap)
{
    printf("  %s %s: ", what, t->file == NULL ? t->family : t->file);
    vprintf(fmt, ap);
    printf("\n");
}

void v_pass(struct tally *t)
{
    t->passed++;
}

void v_fail(struct tally *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(t, "FAIL", fmt, ap);
    va_end(ap);
    t->failed++;
}

void v_skip(struct tally *t, size_t cases, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(t, "skip", fmt, ap);
    va_end(ap);
    t->skipped += (unsigned)cases;
}

/* -- bytes of the case in hand ----------------------------------------------------------- */

static struct scrap {
    struct scrap *next;
    uint8_t bytes[];
} * scraps;

uint8_t *v_room(size_t n)
{
    struct scrap *s = malloc(sizeof *s + n + 1);
    if (s == NULL) {
        fputs("seemesh-vectors: out of memory\n", stderr);
        exit(1);
    }
    s->next = scraps;
    scraps = s;
    return s->bytes;
}

void v_forget(void)
{
    while (scraps != NULL) {
        struct scrap *s = scraps;
        scraps = s->next;
        free(s);
    }
}

struct sm_view v_unhex(const char *text)
{
    size_t n = strlen(text) / 2;
    uint8_t *b = v_room(n);
    if (sm_unhex(text, strlen(text), b, n) != SM_OK) {
        fprintf(stderr, "seemesh-vectors: not hexadecimal: %s\n", text);
        exit(1);
    }
    return sm_view_of(b, n);
}

struct sm_view v_hex(const json_t *object, const char *key)
{
    return v_unhex(v_text(object, key));
}

struct sm_view v_unbase64url(const char *text)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t *b = v_room(strlen(text));
    size_t n = 0;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (const char *p = text; *p != '\0'; p++) {
        const char *d = strchr(digits, *p);
        acc = acc << 6 | (uint32_t)(d == NULL ? 0 : d - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            b[n++] = (uint8_t)(acc >> bits);
        }
    }
    return sm_view_of(b, n);
}

const char *v_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s == NULL ? "" : s;
}

bool v_32(struct sm_view v, uint8_t out[static 32])
{
    memset(out, 0, 32);
    if (v.n != 32) {
        return false;
    }
    memcpy(out, v.p, 32);
    return true;
}

/* -- walking ----------------------------------------------------------------------------- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);
    return n >= k && strcmp(name + n - k, suffix) == 0;
}

static void run_file(struct tally *t, run_fn *run, const char *path)
{
    json_error_t err;
    json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &err);
    t->file = path;
    if (file == NULL) {
        v_fail(t, "line %d: %s", err.line, err.text);
    } else {
        run(t, file);
    }
    json_decref(file);
    v_forget();
    t->file = NULL;
}

/* Every file below path in the order of names; without run, only count them. */
static unsigned walk(struct tally *t, run_fn *run, const char *path)
{
    struct dirent **list;
    int n = scandir(path, &list, NULL, alphasort);
    unsigned files = 0;
    for (int i = 0; i < n; i++) {
        char below[PATH_MAX];
        struct stat st;
        bool is_hidden = list[i]->d_name[0] == '.';
        int len = snprintf(below, sizeof below, "%s/%s", path, list[i]->d_name);
        free(list[i]);
        if (is_hidden || len < 0 || (size_t)len >= sizeof below || stat(below, &st) != 0) {
            continue;
        }
        if (S_ISDIR(st.st_mode)) {
            files += walk(t, run, below);
            continue;
        }
        files++;
        if (run != NULL && has_suffix(below, ".json")) {
            run_file(t, run, below);
        }
    }
    if (n >= 0) {
        free(list);
    }
    return files;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Other folders of evidence, whatever their name: they have a list at their top. */
static bool has_list(const char *path)
{
    char list[PATH_MAX];
    int len = snprintf(list, sizeof list, "%s/vectors.json", path);
    return len > 0 && (size_t)len < sizeof list && access(list, R_OK) == 0;
}

static run_fn *runner_of(const char *family, const char *path)
{
    for (size_t i = 0; i < SM_COUNT(families); i++) {
        if (strcmp(families[i].family, family) == 0) {
            return families[i].run;
        }
    }
    return has_list(path) ? v_attest : NULL;
}

static void run_family(const char *root, const char *family, struct tally *total)
{
    char path[PATH_MAX];
    struct tally t = {.family = family};
    int len = snprintf(path, sizeof path, "%s/%s", root, family);
    if (len < 0 || (size_t)len >= sizeof path || !is_folder(path)) {
        return;
    }
    run_fn *run = runner_of(family, path);
    bool is_again = suite != sm_suite_real_with(SM_AES_OPENSSL);
    if (is_again && (run == NULL || run == v_attest)) {
        return; /* has nothing to do with AES */
    }
    unsigned files = walk(&t, run, path);
    if (run == NULL) {
        v_skip(&t, files, "%u files: not part of the program yet", files);
    }
    printf("%s: %u passed, %u failed, %u skipped\n", family, t.passed, t.failed, t.skipped);
    total->passed += t.passed;
    total->failed += t.failed;
    total->skipped += t.skipped;
}

/* The families of one folder; those of crypto/ are one level deeper. */
static void run_folder(const char *root, const char *below, struct tally *total)
{
    char path[PATH_MAX];
    struct dirent **list;
    int len = snprintf(path, sizeof path, "%s/%s", root, below);
    int n = len < 0 || (size_t)len >= sizeof path ? -1 : scandir(path, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char family[2 * NAME_MAX + 2];
        const char *name = list[i]->d_name;
        snprintf(family, sizeof family, "%s%s%s", below, *below == '\0' ? "" : "/", name);
        if (name[0] == '.') {
            /* not a family */
        } else if (strcmp(family, "crypto") == 0) {
            run_folder(root, "crypto", total);
        } else {
            run_family(root, family, total);
        }
        free(list[i]);
    }
    if (n >= 0) {
        free(list);
    }
}

static const struct {
    enum sm_aes aes;
    const char *name;
} backends[] = {{SM_AES_OPENSSL, "OpenSSL"}, {SM_AES_IPSEC_MB, "intel-ipsec-mb"}};

int main(int argc, char **argv)
{
    const char *root = getenv("SEEMESH_VECTORS");
    if (root == NULL && argc > 1) {
        root = argv[1];
    }
    if (root == NULL || !is_folder(root)) {
        fprintf(stderr,
                "seemesh-vectors: no vectors in %s: set SEEMESH_VECTORS to their folder\n",
                root == NULL ? "no folder" : root);
        return 77; /* as Meson wants it: skipped */
    }
    struct tally total = {0};
    for (size_t i = 0; i < SM_COUNT(backends); i++) {
        suite = sm_suite_real_with(backends[i].aes);
        if (suite == NULL) {
            continue;
        }
        printf("AES by %s\n", backends[i].name);
        if (has_list(root)) {
            run_family(root, ".", &total);
        } else {
            run_folder(root, "", &total);
        }
    }
    printf("TOTAL: %u passed, %u failed, %u skipped\n", total.passed, total.failed,
           total.skipped);
    return total.failed > 0 || total.passed == 0;
}
