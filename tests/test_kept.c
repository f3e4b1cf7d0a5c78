// SPDX-License-Identifier: Apache-2.0
/* What a node must not forget: documents in HOME/rules, and the latest time it has known. */
#include "proc/kept.h"

#include "attest/rules.h"
#include "os/file.h"
#include "seemesh/version.h"
#include "t.h"

#include <unistd.h>

static char home[] = "/tmp/sm-kept-XXXXXX";

static void write_floor(const char *text)
{
    char dir[SM_PATH], path[SM_PATH];
    T_OK(sm_path_join(home, "rules", dir));
    T_OK(sm_path_join(dir, "time-floor", path));
    T_OK(sm_dir_make(dir, 0700));
    T_OK(sm_file_write_atomic(path, 0600, sm_view_str(text)));
}

static void documents_come_back_as_they_were(void)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(64u << 10);
    T_ERR(sm_kept_read(home, SM_DOC_MANIFEST, &b), SM_E_NOTFOUND);
    T_OK(sm_kept_write(home, SM_DOC_MANIFEST, sm_view_str("first")));
    T_OK(sm_kept_write(home, SM_DOC_REVOCATION, sm_view_str("a list")));
    T_OK(sm_kept_write(home, SM_DOC_MANIFEST, sm_view_str("second")));
    T_OK(sm_kept_read(home, SM_DOC_MANIFEST, &b));
    T_MEM(b.p, b.n, "second", 6);
    T_OK(sm_kept_read(home, SM_DOC_REVOCATION, &b));
    T_MEM(b.p, b.n, "a list", 6);
    T_ERR(sm_kept_write(home, 200, sm_view_str("no kind")), SM_E_UNSUPPORTED);
}

static void the_floor_only_rises(void)
{
    struct sm_wall floor;
    T_OK(sm_kept_floor(home, &floor));
    T_EQ(floor.s, SEEMESH_RELEASE_TIME);
    struct sm_wall later = {floor.s + 1000};
    T_OK(sm_kept_floor_raise(home, later));
    T_OK(sm_kept_floor_raise(home, (struct sm_wall){floor.s + 10}));
    T_OK(sm_kept_floor(home, &floor));
    T_EQ(floor.s, later.s);
    T_TRUE(!sm_kept_is_below(later, floor));
    T_TRUE(!sm_kept_is_below((struct sm_wall){floor.s - SM_KEPT_SKEW_S}, floor));
    T_TRUE(sm_kept_is_below((struct sm_wall){floor.s - SM_KEPT_SKEW_S - 1}, floor));
    write_floor("17\n"); /* below the release: as if it were not there */
    T_OK(sm_kept_floor(home, &floor));
    T_EQ(floor.s, SEEMESH_RELEASE_TIME);
}

static void a_floor_that_is_no_number_is_not_taken_for_none(void)
{
    static const char *const bad[] = {"",     "\n", "12",   "-5\n",
                                      " 1\n", "1x", "1\nx", "0x10000000\n"};
    struct sm_wall floor = {7};
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        write_floor(bad[i]);
        T_ERR(sm_kept_floor(home, &floor), SM_E_CORRUPT);
        T_ERR(sm_kept_floor_raise(home, (struct sm_wall){UINT64_MAX}), SM_E_CORRUPT);
    }
    write_floor("12345678901234567890123456789\n");
    T_ERR(sm_kept_floor(home, &floor), SM_E_CORRUPT);
    T_EQ(floor.s, 7);
}

static void clean(void)
{
    static const char *const names[] = {"manifest.cose", "revocation.cose", "time-floor"};
    char dir[SM_PATH], path[SM_PATH];
    T_OK(sm_path_join(home, "rules", dir));
    for (size_t i = 0; i < SM_COUNT(names); i++) {
        T_OK(sm_path_join(dir, names[i], path));
        (void)unlink(path);
    }
    (void)rmdir(dir);
    (void)rmdir(home);
}

static void nothing_is_left(void)
{
    clean();
    T_TRUE(!sm_file_exists(home));
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(documents_come_back_as_they_were),
        T_CASE(the_floor_only_rises),
        T_CASE(a_floor_that_is_no_number_is_not_taken_for_none),
        T_CASE(nothing_is_left),
    };
    if (mkdtemp(home) == NULL) {
        return 1;
    }
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
