// SPDX-License-Identifier: Apache-2.0
#include "proc/config.h"
#include "t.h"

static const char least[] = "[node]\n"
                            "name = node-1\n"
                            "environment = dev\n"
                            "mesh = demo\n"
                            "owner = alice\n"
                            "[root dev]\n"
                            "key = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";

static const char full[] = "# a comment\n"
                           "  [node]\n"
                           "name=node-1\n"
                           "environment =dev\n"
                           "mesh= demo\t\n"
                           "owner = Example Hospital, Ltd\n"
                           "home = /var/lib/seemesh\n"
                           "area = 7\n"
                           "roles = see,  gateway\n"
                           "\n"
                           "[listen]\n"
                           "tcp = 127.0.0.1:7001\n"
                           "tcp = [::1]:7001\n"
                           "control = /run/s.sock\n"
                           "[peer b]\n"
                           "address = 127.0.0.2:7002\n"
                           "[peer c]\n"
                           "address = 127.0.0.3:7003\n"
                           "; another\n"
                           "[root dev]\n"
                           "key = aebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4qa\n"
                           "[see]\n"
                           "slots = 0\n"
                           "memory = 65536KiB\n"
                           "cpu = 120s\n"
                           "cache = 2GiB\n"
                           "[tunnel]\n"
                           "pq = require\n"
                           "[store]\n"
                           "dir = /srv/shards\n"
                           "quota = 1536MiB\n"
                           "[limits]\n"
                           "tunnels = 8\n"
                           "[log]\n"
                           "level = debug";

static const char canonical[] = "[node]\n"
                                "name = node-1\n"
                                "environment = dev\n"
                                "mesh = demo\n"
                                "owner = Example Hospital, Ltd\n"
                                "home = /var/lib/seemesh\n"
                                "area = 7\n"
                                "roles = gateway, see\n"
                                "\n[platform]\n"
                                "kind = software\n"
                                "binding = session\n"
                                "device = auto\n"
                                "\n[listen]\n"
                                "tcp = 127.0.0.1:7001\n"
                                "tcp = [::1]:7001\n"
                                "udp = same\n"
                                "control = /run/s.sock\n"
                                "\n[tunnel]\n"
                                "pq = require\n"
                                "\n[store]\n"
                                "dir = /srv/shards\n"
                                "quota = 1536MiB\n"
                                "\n[see]\n"
                                "slots = 0\n"
                                "memory = 64MiB\n"
                                "cpu = 2m\n"
                                "cache = 2GiB\n"
                                "\n[limits]\n"
                                "tunnels = 8\n"
                                "clients = 64\n"
                                "sessions = 1024\n"
                                "queue = 256KiB\n"
                                "\n[log]\n"
                                "level = debug\n"
                                "\n[peer b]\n"
                                "address = 127.0.0.2:7002\n"
                                "carrier = auto\n"
                                "\n[peer c]\n"
                                "address = 127.0.0.3:7003\n"
                                "carrier = auto\n"
                                "\n[root dev]\n"
                                "key = aebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4qa\n";

static void the_canonical_form_is_as_expected_and_parses_to_itself(void)
{
    struct sm_config c, again;
    struct sm_config_problem why;
    SM_CLEANUP(sm_buf_done) struct sm_buf a = SM_BUF(SM_CONFIG_BYTES);
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(SM_CONFIG_BYTES);
    T_OK(sm_config_parse(sm_view_str(full), NULL, &c, &why));
    T_OK(sm_config_print(&c, &a));
    T_MEM(a.p, a.n, canonical, strlen(canonical));
    T_OK(sm_config_parse(sm_buf_view(&a), NULL, &again, &why));
    T_OK(sm_config_print(&again, &b));
    T_MEM(b.p, b.n, a.p, a.n);
    T_EQ(c.n_peers, 2);
    T_EQ(c.see.memory, 64 << 20);
    T_EQ(c.see.cpu, 120000000000ll);
    T_EQ(c.node.roles, SM_NODE_GATEWAY | SM_NODE_SEE);
    T_EQ(c.roots[0].key[0], 0x01);
}

static void paths_follow_from_home_and_defaults_are_safe(void)
{
    struct sm_config c;
    struct sm_config_problem why;
    T_OK(sm_config_parse(sm_view_str(least), "/h", &c, &why));
    T_STR(c.node.home, "/h");
    T_STR(c.listen.control, "/h/control.sock");
    T_STR(c.store.dir, "/h/store");
    T_EQ(c.listen.n_tcp, 0);
    T_EQ(c.node.roles, SM_NODE_GATEWAY | SM_NODE_STORE | SM_NODE_SEE);
    T_ERR(sm_config_parse(sm_view_str(least), NULL, &c, &why), SM_E_CONFIG);
    T_ERR(sm_config_parse(sm_view_str(least), "h", &c, &why), SM_E_CONFIG);
}

/* Each is put behind the least configuration that is right. */
static const struct {
    const char *text;
    unsigned line, column;
    const char *words;
} bad[] = {
    {"[lisen]\n", 8, 1, "unknown section 'lisen'; did you mean 'listen'?"},
    {"[listen]\ntpc = 1.2.3.4:5\n", 9, 1, "unknown key 'tpc'; did you mean 'tcp'?"},
    {"[listen]\n  zebra = 1\n", 9, 3, "unknown key 'zebra'"},
    {"[listen]\ntcp = localhost:80\n", 9, 7, "listen.tcp must be ADDRESS:PORT"},
    {"[see]\nmemory = 64\n", 9, 10, "see.memory must be a size"},
    {"[see]\nmemory = 64 MiB\n", 9, 10, "see.memory must be a size"},
    {"[see]\nmemory = 1KiB\n", 9, 10, "see.memory must be a size"},
    {"[see]\ncpu = 30\n", 9, 7, "see.cpu must be a time"},
    {"[see]\nslots = 01\n", 9, 9, "see.slots must be"},
    {"[see]\nslots = -1\n", 9, 9, "see.slots must be"},
    {"[store]\nquota = 99999999999999999999TiB\n", 9, 9, "store.quota must be"},
    {"[store]\nquota = 18446744073709551615TiB\n", 9, 9, "store.quota must be"},
    {"[store]\ndir = shards\n", 9, 7, "store.dir must be an absolute path"},
    {"[see]\nslots = 1\nslots = 1\n", 10, 1, "'slots' is given twice"},
    {"[see]\nslots\n", 9, 6, "'=' is expected here"},
    {"[see]\nslots =\n", 9, 8, "the value is missing"},
    {"[see\n", 8, 5, "']' is expected here"},
    {"[see] x\n", 8, 7, "nothing may follow"},
    {"[see x]\n", 8, 1, "[see] takes no name"},
    {"[peer]\n", 8, 1, "[peer NAME] needs a name"},
    {"[peer a]\n[see]\n", 0, 0, "[peer a] needs 'address"},
    {"[peer a]\n", 0, 0, "[peer a] needs 'address"},
    {"[peer a]\naddress = 1.2.3.4:5\n[peer a]\n", 10, 1, "[peer a] is there twice"},
    {"[root dev]\n", 8, 1, "[root dev] is there twice"},
    {"[root x]\nkey = aaaa\n", 9, 7, "root.key must be"},
    {"[log]\nlevel = loud\n", 9, 9, "log.level must be"},
    {"[node]\nroles = see, see\n", 9, 9, "node.roles must be"},
    {"[node]\nname = other\n", 9, 1, "'name' is given twice"},
    {"[log]\nlevel = inf\xc3\xb6\n", 9, 12, "only printable ASCII"},
};

static void every_mistake_is_told_with_its_place(void)
{
    char text[1024];
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        struct sm_config c = {.n_peers = 77};
        struct sm_config_problem why = {0};
        (void)snprintf(text, sizeof text, "%s%s", least, bad[i].text);
        enum sm_err e = sm_config_parse(sm_view_str(text), "/h", &c, &why);
        if (e != SM_E_CONFIG || why.line != bad[i].line || why.column != bad[i].column ||
            strncmp(why.text, bad[i].words, strlen(bad[i].words)) != 0) {
            t_fail(__FILE__, __LINE__, "case %zu: %s at %u:%u: %s", i, sm_err_name(e), why.line,
                   why.column, why.text);
        }
        T_EQ(c.n_peers, 77); /* untouched */
    }
}

static void what_is_required_is_missed_by_name(void)
{
    static const char *const required[] = {"name = ", "environment = ", "mesh = ", "owner = "};
    for (size_t i = 0; i < SM_COUNT(required); i++) {
        struct sm_config c;
        struct sm_config_problem why = {0};
        char text[sizeof least];
        memcpy(text, least, sizeof least);
        *strstr(text, required[i]) = '#';
        T_ERR(sm_config_parse(sm_view_str(text), "/h", &c, &why), SM_E_CONFIG);
        T_TRUE(strstr(why.text, required[i]) != NULL);
        T_EQ(why.line, 0);
    }
}

static void a_damaged_file_never_parses_to_something_that_does_not_round_trip(void)
{
    uint64_t x = t_seed() | 1;
    char text[sizeof full];
    for (int i = 0; i < 20000; i++) {
        struct sm_config c, again;
        struct sm_config_problem why;
        memcpy(text, full, sizeof full);
        for (int k = 0; k < 3; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            text[(x >> 33) % (sizeof full - 1)] = (char)(x >> 20);
        }
        if (sm_config_parse(sm_view_of(text, sizeof full - 1), "/h", &c, &why) != SM_OK) {
            continue;
        }
        SM_CLEANUP(sm_buf_done) struct sm_buf a = SM_BUF(SM_CONFIG_BYTES);
        SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(SM_CONFIG_BYTES);
        T_OK(sm_config_print(&c, &a));
        T_OK(sm_config_parse(sm_buf_view(&a), NULL, &again, &why));
        T_OK(sm_config_print(&again, &b));
        T_MEM(b.p, b.n, a.p, a.n);
    }
}

static void amounts_print_in_the_largest_exact_unit(void)
{
    static const char *const times[] = {"0ns", "1ns", "1500us", "90s", "2m", "36h", "2d"};
    static const char *const sizes[] = {"0B", "1B", "1023B", "1536MiB", "2GiB", "1TiB"};
    char out[32];
    uint64_t v;
    for (size_t i = 0; i < SM_COUNT(times); i++) {
        T_OK(sm_ini_duration(sm_view_str(times[i]), &v));
        sm_ini_print_duration(v, out);
        T_STR(out, times[i]);
    }
    for (size_t i = 0; i < SM_COUNT(sizes); i++) {
        T_OK(sm_ini_size(sm_view_str(sizes[i]), &v));
        sm_ini_print_size(v, out);
        T_STR(out, sizes[i]);
    }
    T_ERR(sm_ini_size(sm_view_str("16777216TiB"), &v), SM_E_LIMIT);
    T_ERR(sm_ini_size(sm_view_str("1kib"), &v), SM_E_MALFORMED);
    T_ERR(sm_ini_number(sm_view_str(""), &v), SM_E_MALFORMED);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(the_canonical_form_is_as_expected_and_parses_to_itself),
        T_CASE(paths_follow_from_home_and_defaults_are_safe),
        T_CASE(every_mistake_is_told_with_its_place),
        T_CASE(what_is_required_is_missed_by_name),
        T_CASE(a_damaged_file_never_parses_to_something_that_does_not_round_trip),
        T_CASE(amounts_print_in_the_largest_exact_unit),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
