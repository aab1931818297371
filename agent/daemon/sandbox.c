/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/sandbox.h"
#include "agent/base/mem.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* Of every daemon. */
static const int daemons[] = {
	/* files, for CA folders, the credential folder, resolv.conf */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
	SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(close), SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(lseek), SCMP_SYS(getdents64),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(access), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(fcntl), SCMP_SYS(ioctl), SCMP_SYS(dup), SCMP_SYS(stat),
	SCMP_SYS(open), SCMP_SYS(unlink), SCMP_SYS(getcwd), SCMP_SYS(fstatfs), SCMP_SYS(statfs),
	/* writing files: the event log, credentials */
	SCMP_SYS(pwrite64), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(ftruncate),
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat), SCMP_SYS(unlinkat), SCMP_SYS(fchmod), SCMP_SYS(chmod),
	SCMP_SYS(fchmodat), SCMP_SYS(fchown), SCMP_SYS(chown), SCMP_SYS(lchown), SCMP_SYS(flock),
	SCMP_SYS(umask), SCMP_SYS(preadv), SCMP_SYS(pwritev),
	/* memory */
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(mlock),
	SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(membarrier),
	/* waiting */
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2), SCMP_SYS(pipe), SCMP_SYS(pipe2),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(signalfd4), SCMP_SYS(futex),
	SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(restart_syscall),
	/* sockets; families are filtered below */
	SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt),
	SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg),
	SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(shutdown),
	/* the process itself */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(uname),
	SCMP_SYS(sysinfo), SCMP_SYS(prlimit64), SCMP_SYS(getrlimit), SCMP_SYS(getrandom),
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(arch_prctl), SCMP_SYS(prctl),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(tgkill), SCMP_SYS(set_tid_address),
	SCMP_SYS(getrusage), SCMP_SYS(times),
};

/* Of a daemon that makes sockets others connect to. */
static const int binding[] = { SCMP_SYS(bind), SCMP_SYS(listen) };

/* Of mountd, libcryptsetup, libdevmapper, mkfs.ext4 and mkfs.xfs. */
static const int mounting[] = {
	SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(symlink),
	SCMP_SYS(symlinkat), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(rmdir), SCMP_SYS(mknod),
	SCMP_SYS(mknodat), SCMP_SYS(truncate), SCMP_SYS(fallocate), SCMP_SYS(fadvise64), SCMP_SYS(sync),
	SCMP_SYS(syncfs), SCMP_SYS(sync_file_range), SCMP_SYS(memfd_create), SCMP_SYS(mlockall),
	SCMP_SYS(munlockall), SCMP_SYS(mincore), SCMP_SYS(msync), SCMP_SYS(copy_file_range),
	SCMP_SYS(sendfile), SCMP_SYS(splice), SCMP_SYS(fchownat), SCMP_SYS(utimensat),
	/* keys of volumes in the kernel; libdevmapper's cookies */
	SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(semget), SCMP_SYS(semop),
	SCMP_SYS(semctl), SCMP_SYS(semtimedop),
	/* processes: a child for each request, and mkfs */
	SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(execve), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(kill),
	SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_send_signal), SCMP_SYS(getppid), SCMP_SYS(getpgrp),
	SCMP_SYS(getpgid), SCMP_SYS(setpgid), SCMP_SYS(setsid), SCMP_SYS(dup2), SCMP_SYS(dup3),
	SCMP_SYS(close_range), SCMP_SYS(chdir), SCMP_SYS(fchdir), SCMP_SYS(setrlimit), SCMP_SYS(alarm),
	SCMP_SYS(getpriority), SCMP_SYS(setpriority), SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_getparam), SCMP_SYS(getgroups), SCMP_SYS(getresuid), SCMP_SYS(getresgid),
	SCMP_SYS(capget), SCMP_SYS(getdents), SCMP_SYS(timer_create), SCMP_SYS(timer_settime),
	SCMP_SYS(timer_delete), SCMP_SYS(setitimer), SCMP_SYS(getitimer), SCMP_SYS(pause),
	SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigsuspend), SCMP_SYS(get_robust_list),
};

/* What a filter allows. Every other call is answered EPERM. */
struct set {
	const int *number;
	size_t n;
};

struct filter {
	struct set calls[3];
	struct set families;     /* of socket(2), and socketpair(2) of AF_UNIX; none: no rule of these */
	scmp_datum_t clone_mask; /* clone(2) with these flags … ; 0: no rule of it */
	scmp_datum_t clone_want; /* … like this */
};

#define SET(list) { (list), ARRAY_LEN(list) }

static void release(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static int allow(scmp_filter_ctx ctx, const struct set *calls)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < calls->n; i++) {
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls->number[i], 0);
		/* A call that this architecture lacks needs no rule. */
		if (r == -EDOM || r == -EFAULT)
			r = 0;
	}
	return r;
}

static int build(scmp_filter_ctx ctx, const struct filter *f)
{
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(f->calls); i++)
		r = allow(ctx, &f->calls[i]);
	for (size_t i = 0; r == 0 && i < f->families.n; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)f->families.number[i]));
	if (r == 0 && f->families.n > 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
				     SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	if (r == 0 && f->clone_mask != 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, f->clone_mask, f->clone_want));
	/* clone3 hides its flags in memory: ENOSYS makes libc use clone. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r == 0 ? seccomp_load(ctx) : r;
}

static int load(const struct filter *f, struct err *e)
{
	__attribute__((cleanup(release))) scmp_filter_ctx ctx = NULL;
	int r;

	/* The sanitizers' own runtime needs calls of its own (ptrace for leaks). */
	if (SANITIZED)
		return 0;
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return err_set(e, ERR_NOMEM, "no memory for the system call filter");
	r = build(ctx, f);
	return r < 0 ? err_sys(e, -r, "system call filter") : 0;
}

int sandbox_syscalls(struct err *e)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
	/* Threads, not processes. */
	const struct filter f = { .calls = { SET(daemons), SET(binding) },
				  .families = SET(families),
				  .clone_mask = CLONE_THREAD,
				  .clone_want = CLONE_THREAD };

	return load(&f, e);
}

int sandbox_syscalls_local(struct err *e)
{
	static const int families[] = { AF_UNIX };
	const struct filter f = { .calls = { SET(daemons) },
				  .families = SET(families),
				  .clone_mask = CLONE_THREAD,
				  .clone_want = CLONE_THREAD };

	return load(&f, e);
}

int sandbox_syscalls_only(const int *calls, size_t n, struct err *e)
{
	const struct filter f = { .calls = { { calls, n } } };

	return load(&f, e);
}

int sandbox_syscalls_mount(struct err *e)
{
	static const int families[] = { AF_UNIX };
	/* Processes, but in no new namespace. */
	const struct filter f = { .calls = { SET(daemons), SET(mounting) },
				  .families = SET(families),
				  .clone_mask = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID |
						CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
						CLONE_NEWCGROUP };

	return load(&f, e);
}
