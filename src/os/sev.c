// SPDX-License-Identifier: Apache-2.0
#include "os/sev.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sev-guest.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MSG_VERSION    1
#define STATUS_INVALID 0x16u /* of the firmware: a parameter */
#define PAGE           4096u
#define REPORT_AT      32u /* behind status, size and reserved bytes */
#define VMM_ERR_LEN    1u
#define VMM_ERR_BUSY   2u
#define KEY_AT         32u

const unsigned long sm_sev_calls[SM_SEV_CALLS] = {SNP_GET_REPORT, SNP_GET_DERIVED_KEY,
                                                  SNP_GET_EXT_REPORT};

__attribute__((format(printf, 3, 4))) static enum sm_err
because(char why[static SM_SEV_WHY], enum sm_err e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, SM_SEV_WHY, fmt, ap);
    va_end(ap);
    return e;
}

static int call_ioctl(int fd, unsigned long request, void *arg)
{
    return ioctl(fd, request, arg);
}

enum sm_err sm_sev_open(const char *device, struct sm_sev *out, char why[static SM_SEV_WHY])
{
    int fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return because(why, sm_err_of_errno(errno),
                       "%s: %s (it takes an SNP guest, its driver sev-guest, and the right to "
                       "open it)",
                       device, strerror(errno));
    }
    *out = (struct sm_sev){.fd = fd, .call = call_ioctl};
    return SM_OK;
}

void sm_sev_close(struct sm_sev *s)
{
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    s->fd = -1;
}

/* The kernel takes addresses as numbers. */
static __u64 address(const void *p)
{
    return (__u64)(uintptr_t)p;
}

static enum sm_err explain(const struct snp_guest_request_ioctl *r, int err,
                           char why[static SM_SEV_WHY])
{
    if (r->vmm_error == VMM_ERR_BUSY || err == EAGAIN || err == EBUSY || err == ETIMEDOUT) {
        return because(why, SM_E_BUSY, "the host throttles requests: ask again later");
    }
    if (r->vmm_error == VMM_ERR_LEN) {
        return because(why, SM_E_LIMIT, "the host's certificates are longer than asked for");
    }
    if (r->fw_error == STATUS_INVALID) {
        return because(
            why, SM_E_FAILED,
            "the firmware refused a parameter: VMPL, SVN or TCB above the guest's own");
    }
    if (err == ENOTTY) {
        return because(why, SM_E_UNSUPPORTED, "the device does not know this request");
    }
    return because(why, SM_E_FAILED, "the request failed: %s (firmware 0x%x, host 0x%x)",
                   strerror(err), (unsigned)r->fw_error, (unsigned)r->vmm_error);
}

static enum sm_err call(const struct sm_sev *s, unsigned long request, void *req, void *resp,
                        struct snp_guest_request_ioctl *r, char why[static SM_SEV_WHY])
{
    *r = (struct snp_guest_request_ioctl){
        .msg_version = MSG_VERSION, .req_data = address(req), .resp_data = address(resp)};
    if (s->call(s->fd, request, r) != 0) {
        return explain(r, errno, why);
    }
    if (r->exitinfo2 != 0) {
        return explain(r, 0, why);
    }
    return SM_OK;
}

/* {status u32, size u32, 24 reserved, report} */
static enum sm_err report_take(const struct snp_report_resp *resp,
                               uint8_t out[static SM_SEV_REPORT], char why[static SM_SEV_WHY])
{
    uint32_t status = sm_le32(resp->data), size = sm_le32(resp->data + 4);
    if (status != 0) {
        return because(why, SM_E_FAILED, "the firmware made no report: status 0x%x",
                       (unsigned)status);
    }
    if (size != SM_SEV_REPORT) {
        return because(why, SM_E_UNSUPPORTED, "a report of %u bytes: this version knows %u",
                       (unsigned)size, SM_SEV_REPORT);
    }
    memcpy(out, resp->data + REPORT_AT, SM_SEV_REPORT);
    return SM_OK;
}

/* With certificates: ask with what room there is, and once more with what the host wants. */
static enum sm_err extended(const struct sm_sev *s, const struct snp_report_req *req,
                            struct snp_report_resp *resp, struct sm_buf *certs,
                            char why[static SM_SEV_WHY])
{
    struct snp_guest_request_ioctl r;
    struct snp_ext_report_req ext = {.data = *req, .certs_len = 4 * PAGE - 1};
    enum sm_err e = SM_E_LIMIT;
    for (int round = 0; round < 2 && e == SM_E_LIMIT; round++) {
        uint32_t room = (ext.certs_len / PAGE + 1) * PAGE;
        uint8_t *table = room <= SM_SEV_CERTS ? aligned_alloc(PAGE, room) : NULL;
        if (table == NULL) {
            return because(why, room <= SM_SEV_CERTS ? SM_E_NOMEM : SM_E_LIMIT,
                           "a table of certificates of %u bytes", (unsigned)room);
        }
        memset(table, 0, room);
        ext.certs_address = address(table);
        ext.certs_len = room;
        e = call(s, SNP_GET_EXT_REPORT, &ext, resp, &r, why);
        if (e == SM_OK) {
            sm_buf_clear(certs);
            e = sm_buf_add(certs, table, room);
        }
        free(table);
    }
    return e;
}

enum sm_err sm_sev_report(const struct sm_sev *s, const uint8_t report_data[static 64],
                          uint32_t vmpl, uint8_t out[static SM_SEV_REPORT],
                          struct sm_buf *certs, char why[static SM_SEV_WHY])
{
    struct snp_report_req req = {.vmpl = vmpl};
    struct snp_report_resp resp = {0};
    struct snp_guest_request_ioctl r;
    memcpy(req.user_data, report_data, sizeof req.user_data);
    SM_TRY(certs != NULL ? extended(s, &req, &resp, certs, why)
                         : call(s, SNP_GET_REPORT, &req, &resp, &r, why));
    return report_take(&resp, out, why);
}

/* {status u32, 28 reserved, key 32} */
static enum sm_err key_take(const struct snp_derived_key_resp *resp,
                            uint8_t out[static SM_SEV_KEY], char why[static SM_SEV_WHY])
{
    uint32_t status = sm_le32(resp->data);
    if (status != 0) {
        return because(why, SM_E_FAILED, "the firmware derived no key: status 0x%x%s",
                       (unsigned)status,
                       status == STATUS_INVALID ? " (a TCB or SVN above the guest's own)" : "");
    }
    if (sodium_is_zero(resp->data + KEY_AT, SM_SEV_KEY)) {
        return because(why, SM_E_FAILED, "the firmware returned a key of zeros");
    }
    memcpy(out, resp->data + KEY_AT, SM_SEV_KEY);
    return SM_OK;
}

enum sm_err sm_sev_derive(const struct sm_sev *s, const struct sm_sev_key_ask *ask,
                          uint8_t out[static SM_SEV_KEY], char why[static SM_SEV_WHY])
{
    struct snp_derived_key_req req = {.root_key_select = ask->from_vmrk ? 1 : 0,
                                      .guest_field_select = ask->fields,
                                      .vmpl = ask->vmpl,
                                      .guest_svn = ask->guest_svn,
                                      .tcb_version = ask->tcb_version};
    struct snp_derived_key_resp resp = {0};
    struct snp_guest_request_ioctl r;
    enum sm_err e = call(s, SNP_GET_DERIVED_KEY, &req, &resp, &r, why);
    if (e == SM_OK) {
        e = key_take(&resp, out, why);
    }
    sodium_memzero(&resp, sizeof resp);
    return e;
}
