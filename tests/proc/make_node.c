// SPDX-License-Identifier: Apache-2.0
/* make_node ROOT HOME NAME [ADDRESS:PORT]: a node with a store, and with one SEE slot
 * if NAME is "see", for tests. */
#include "os/secretmem.h"
#include "proc/init.h"

#include <stdio.h>
#include <string.h>

static enum sm_err make(int argc, char **argv)
{
    struct sm_config c;
    struct sm_node_id id;
    uint8_t key[32];
    bool is_locked;
    char text[SM_B32_LEN(32) + 1];
    SM_TRY(sm_secretmem_init(&is_locked));
    SM_TRY(sm_dev_root_init(argv[1], key));
    SM_TRY(sm_config_defaults(argv[2], &c));
    (void)snprintf(c.node.name, sizeof c.node.name, "%s", argv[3]);
    memcpy(c.node.mesh, "test", 5);
    memcpy(c.node.owner, "tester", 7);
    c.node.environment = SM_ENV_DEV;
    c.node.roles = SM_NODE_STORE;
    if (strcmp(argv[3], "see") == 0) {
        c.node.roles |= SM_NODE_SEE;
        c.see.slots = 1;
    }
    if (argc > 4) {
        SM_TRY(sm_inet_parse(argv[4], &c.listen.tcp[0]));
        c.listen.n_tcp = 1;
    }
    SM_TRY(sm_node_init(&c, argv[1], &id));
    sm_b32(id.b, 32, text);
    return puts(text) >= 0 ? SM_OK : SM_E_IO;
}

int main(int argc, char **argv)
{
    enum sm_err e = argc >= 4 ? make(argc, argv) : SM_E_USAGE;
    if (e != SM_OK) {
        (void)fprintf(stderr, "make_node: %s\n", sm_err_words(e));
    }
    return sm_err_exit_code(e);
}
