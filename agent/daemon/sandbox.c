/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/sandbox.h"
#include "agent/base/mem.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/daemon/sandbox_filters.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

int sandbox_limits(struct err *e)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "setrlimit(RLIMIT_CORE)");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, errno, "prctl(PR_SET_DUMPABLE)");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "prctl(PR_SET_NO_NEW_PRIVS)");
	return 0;
}

/* Where CAP_SETPCAP is not there the set stays: what we execute gets nothing from it all the same. */
static int keep_bounding_set(uint64_t mask, struct err *e)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if ((mask >> cap & 1) || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL && errno != EPERM)
			return err_sys(e, errno, "prctl(PR_CAPBSET_DROP)");
	}
	return 0;
}

static int keep_capabilities(uint64_t mask, struct err *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const uint32_t low = (uint32_t)mask, high = (uint32_t)(mask >> 32);
	const struct __user_cap_data_struct kept[2] = { { low, low, 0 }, { high, high, 0 } };
	struct __user_cap_data_struct now[2] = { 0 };

	/* A unit has done it already, and allows no capset. */
	if (syscall(SYS_capget, &header, now) == 0 && memcmp(now, kept, sizeof now) == 0)
		return 0;
	if (syscall(SYS_capset, &header, kept) < 0)
		return err_sys(e, errno, "capset");
	return 0;
}

size_t sandbox_memlock(size_t want)
{
	struct rlimit limit, more;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return 0;
	more = (struct rlimit){ want, limit.rlim_max > want ? limit.rlim_max : want };
	if (limit.rlim_cur < want && setrlimit(RLIMIT_MEMLOCK, &more) == 0)
		return want;
	return limit.rlim_cur < SIZE_MAX ? (size_t)limit.rlim_cur : SIZE_MAX;
}

int sandbox_drop_to(uid_t uid, gid_t gid, struct err *e)
{
	int r;

	if (geteuid() == 0) {
		r = keep_bounding_set(0, e);
		if (r < 0)
			return r;
		if (setgroups(0, NULL) < 0)
			return err_sys(e, errno, "setgroups");
		if (setresgid(gid, gid, gid) < 0)
			return err_sys(e, errno, "setresgid");
		if (setresuid(uid, uid, uid) < 0)
			return err_sys(e, errno, "setresuid");
		/* The change of user cleared it. */
		if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
			return err_sys(e, errno, "prctl(PR_SET_DUMPABLE)");
	}
	return keep_capabilities(0, e);
}

int sandbox_keep_powers(uint64_t mask, struct err *e)
{
	bool root = geteuid() == 0;
	int r = root ? keep_bounding_set(mask, e) : 0;

	return r < 0 ? r : keep_capabilities(root ? mask : 0, e);
}

int sandbox_drop(struct err *e)
{
	return sandbox_drop_to(SANDBOX_UID, SANDBOX_GID, e);
}

/* On all threads. PR_SET_NO_NEW_PRIVS is set (sandbox_limits()). */
static int load(const struct sock_filter *f, size_t n, struct err *e)
{
	/* The kernel only reads it. */
	const struct sock_fprog program = { (unsigned short)n, (struct sock_filter *)(uintptr_t)f };
	long r;

	/* The sanitizers' own runtime needs calls of its own (ptrace for leaks). */
	if (SANITIZED)
		return 0;
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
	if (r > 0)
		return err_set(e, ERR_SYSTEM, "system call filter: thread %ld does not take it", r);
	return r < 0 ? err_sys(e, errno, "system call filter") : 0;
}

int sandbox_syscalls(struct err *e)
{
	return load(filter_network, ARRAY_LEN(filter_network), e);
}

int sandbox_syscalls_local(struct err *e)
{
	return load(filter_local, ARRAY_LEN(filter_local), e);
}

int sandbox_syscalls_device(struct err *e)
{
	return load(filter_device, ARRAY_LEN(filter_device), e);
}

int sandbox_syscalls_mount(struct err *e)
{
	return load(filter_mount, ARRAY_LEN(filter_mount), e);
}
