// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

const char *sm_err_words(enum sm_err e)
{
    switch (e) {
#define SM_ERR_CASE(name, value, words)                                                        \
    case name:                                                                                 \
        return words;
        SM_ERR_LIST(SM_ERR_CASE)
#undef SM_ERR_CASE
    }
    return "unknown error";
}

const char *sm_err_name(enum sm_err e)
{
    switch (e) {
#define SM_ERR_CASE(name, value, words)                                                        \
    case name:                                                                                 \
        return #name;
        SM_ERR_LIST(SM_ERR_CASE)
#undef SM_ERR_CASE
    }
    return "SM_E_UNKNOWN";
}

enum sm_err sm_err_from_i32(int value)
{
    switch (value) {
#define SM_ERR_CASE(name, number, words)                                                       \
    case number:                                                                               \
        return name;
        SM_ERR_LIST(SM_ERR_CASE)
#undef SM_ERR_CASE
    }
    return SM_E_FAILED;
}

int sm_err_exit_code(enum sm_err e)
{
    switch (e) {
    case SM_OK:
        return 0;
    case SM_E_USAGE:
    case SM_E_CONFIG:
    case SM_E_INVALID:
        return 2;
    case SM_E_REFUSED:
    case SM_E_MODULE:
        return 4;
    case SM_E_NOTFOUND:
        return 5;
    case SM_E_PEERS:
    case SM_E_TIMEOUT:
    case SM_E_UNREACHABLE:
    case SM_E_BUSY:
        return 6;
    case SM_E_AUTH:
    case SM_E_CRYPTO:
    case SM_E_HASH:
    case SM_E_EXPIRED:
    case SM_E_REPLAY:
    case SM_E_CORRUPT:
        return 7;
    case SM_E_LIMIT:
    case SM_E_NOMEM:
    case SM_E_NOSPACE:
        return 8;
    case SM_E_TRUNCATED:
    case SM_E_MALFORMED:
    case SM_E_VERSION:
    case SM_E_EXISTS:
    case SM_E_CLOSED:
    case SM_E_STATE:
    case SM_E_IO:
    case SM_E_STALE:
    case SM_E_TRAP:
    case SM_E_COMPILE:
    case SM_E_UNSUPPORTED:
    case SM_E_CANCELLED:
    case SM_E_FAILED:
        return 1;
    }
    return 1;
}
