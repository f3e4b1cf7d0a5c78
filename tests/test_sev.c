// SPDX-License-Identifier: Apache-2.0
/* /dev/sev-guest with a stand-in for ioctl(2). */
#include "os/sev.h"
#include "t.h"

#include <errno.h>
#include <linux/sev-guest.h>
#include <sys/ioctl.h>

/* What the firmware and the host answer next. */
static struct {
    int err; /* of the call */
    uint32_t fw, vmm, status, size;
    uint8_t key;
    uint32_t table_n; /* bytes of the host's certificates */
    unsigned calls;
    struct snp_derived_key_req asked;
    uint32_t vmpl;
} chip;

static void report_answer(const struct snp_report_req *req, struct snp_report_resp *resp)
{
    chip.vmpl = req->vmpl;
    sm_put_le32(resp->data, chip.status);
    sm_put_le32(resp->data + 4, chip.size);
    memcpy(resp->data + 32 + 0x50, req->user_data, 64);
}

static int extended_answer(struct snp_ext_report_req *req, struct snp_report_resp *resp,
                           struct snp_guest_request_ioctl *r)
{
    if (req->certs_len < chip.table_n) {
        req->certs_len = chip.table_n;
        r->vmm_error = 1;
        errno = ENOSPC;
        return -1;
    }
    memset((void *)(uintptr_t)req->certs_address, 0xce, chip.table_n);
    report_answer(&req->data, resp);
    return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
    struct snp_guest_request_ioctl *r = arg;
    void *req = (void *)(uintptr_t)r->req_data;
    chip.calls++;
    T_EQ(fd, 99);
    T_EQ(r->msg_version, 1);
    r->fw_error = chip.fw;
    r->vmm_error = chip.vmm;
    if (chip.err != 0) {
        errno = chip.err;
        return -1;
    }
    if (request == SNP_GET_REPORT) {
        report_answer(req, (struct snp_report_resp *)(uintptr_t)r->resp_data);
        return 0;
    }
    if (request == SNP_GET_EXT_REPORT) {
        return extended_answer(req, (struct snp_report_resp *)(uintptr_t)r->resp_data, r);
    }
    T_EQ(request, SNP_GET_DERIVED_KEY);
    struct snp_derived_key_resp *resp = (struct snp_derived_key_resp *)(uintptr_t)r->resp_data;
    memcpy(&chip.asked, req, sizeof chip.asked);
    sm_put_le32(resp->data, chip.status);
    memset(resp->data + 32, chip.key, 32);
    return 0;
}

static const struct sm_sev dev = {.fd = 99, .call = fake_ioctl};
static uint8_t rd[64], report[SM_SEV_REPORT], key[SM_SEV_KEY];
static char why[SM_SEV_WHY];

static void reset(void)
{
    memset(&chip, 0, sizeof chip);
    chip.size = SM_SEV_REPORT;
    chip.key = 0x6b;
    memset(rd, 0x42, sizeof rd);
}

static enum sm_err derive(const struct sm_sev_key_ask *ask)
{
    return sm_sev_derive(&dev, ask, key, why);
}

static void a_report_is_for_the_bytes_and_the_vmpl_asked_for(void)
{
    reset();
    T_OK(sm_sev_report(&dev, rd, 2, report, NULL, why));
    T_EQ(chip.vmpl, 2);
    T_MEM(report + 0x50, 64, rd, 64);
}

static void a_status_or_size_that_is_wrong_gives_no_report(void)
{
    reset();
    chip.status = 0x16;
    T_ERR(sm_sev_report(&dev, rd, 0, report, NULL, why), SM_E_FAILED);
    reset();
    chip.size = 1185;
    T_ERR(sm_sev_report(&dev, rd, 0, report, NULL, why), SM_E_UNSUPPORTED);
    T_TRUE(strstr(why, "1185") != NULL);
}

static void the_hosts_table_is_asked_for_again_with_the_room_it_wants(void)
{
    struct sm_buf certs = SM_BUF(SM_SEV_CERTS);
    static const uint32_t sizes[] = {0, 100, 16384, 16385, 40960, 65535};
    for (size_t i = 0; i < SM_COUNT(sizes); i++) {
        reset();
        chip.table_n = sizes[i];
        T_OK(sm_sev_report(&dev, rd, 0, report, &certs, why));
        T_EQ(chip.calls, sizes[i] > 16384 ? 2 : 1);
        T_TRUE(certs.n >= sizes[i]);
        T_TRUE(sizes[i] == 0 || certs.p[sizes[i] - 1] == 0xce);
    }
    reset();
    chip.table_n = SM_SEV_CERTS + 1;
    T_ERR(sm_sev_report(&dev, rd, 0, report, &certs, why), SM_E_LIMIT);
    sm_buf_done(&certs);
}

static void a_host_that_throttles_is_busy_and_nothing_else(void)
{
    static const int errs[] = {EAGAIN, EBUSY, ETIMEDOUT};
    for (size_t i = 0; i < SM_COUNT(errs); i++) {
        reset();
        chip.err = errs[i];
        T_ERR(sm_sev_report(&dev, rd, 0, report, NULL, why), SM_E_BUSY);
    }
    reset();
    chip.err = EIO;
    chip.vmm = 2;
    T_ERR(sm_sev_report(&dev, rd, 0, report, NULL, why), SM_E_BUSY);
    reset();
    chip.err = ENOTTY;
    T_ERR(sm_sev_report(&dev, rd, 0, report, NULL, why), SM_E_UNSUPPORTED);
    reset();
    chip.fw = 0x16; /* the call succeeded, the firmware did not */
    T_ERR(sm_sev_report(&dev, rd, 0, report, NULL, why), SM_E_FAILED);
}

static void a_derived_key_is_of_what_was_asked_for(void)
{
    struct sm_sev_key_ask ask = {.from_vmrk = true,
                                 .fields = SM_SEV_MIX_MEASUREMENT | SM_SEV_MIX_TCB,
                                 .vmpl = 1,
                                 .guest_svn = 2,
                                 .tcb_version = 3};
    reset();
    T_OK(derive(&ask));
    T_EQ(key[0], 0x6b);
    T_EQ(chip.asked.root_key_select, 1);
    T_EQ(chip.asked.guest_field_select, 8 | 32);
    T_EQ(chip.asked.vmpl, 1);
    T_EQ(chip.asked.guest_svn, 2);
    T_EQ(chip.asked.tcb_version, 3);
}

/* A tool that ignored the status handed out a key of zeros. */
static void a_key_of_zeros_or_with_a_bad_status_is_refused(void)
{
    static const struct sm_sev_key_ask ask = {.tcb_version = UINT64_MAX};
    reset();
    memset(key, 1, sizeof key);
    chip.status = 0x16;
    T_ERR(derive(&ask), SM_E_FAILED);
    T_TRUE(strstr(why, "TCB") != NULL);
    reset();
    chip.key = 0;
    T_ERR(derive(&ask), SM_E_FAILED);
    T_EQ(key[0], 1);
}

static void a_device_that_is_not_there_is_told(void)
{
    struct sm_sev s;
    T_ERR(sm_sev_open("/nonexistent/sev-guest", &s, why), SM_E_NOTFOUND);
    T_TRUE(strstr(why, "/nonexistent/sev-guest") != NULL);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_report_is_for_the_bytes_and_the_vmpl_asked_for),
        T_CASE(a_status_or_size_that_is_wrong_gives_no_report),
        T_CASE(the_hosts_table_is_asked_for_again_with_the_room_it_wants),
        T_CASE(a_host_that_throttles_is_busy_and_nothing_else),
        T_CASE(a_derived_key_is_of_what_was_asked_for),
        T_CASE(a_key_of_zeros_or_with_a_bad_status_is_refused),
        T_CASE(a_device_that_is_not_there_is_told),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
