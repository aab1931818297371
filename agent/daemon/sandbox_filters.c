/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run by make: prints sandbox_filters.h, the daemons' system call filters as the kernel takes them.
 * Nothing in them is known only when a daemon starts; made there they would cost each start half a
 * millisecond, and each daemon a library.
 */
#include "agent/base/mem.h"

#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/socket.h>

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

/* Of teed, which keeps nothing of the above. */
static const int device[] = {
	/* devices and configfs, beneath a folder */
	SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(ioctl),
	SCMP_SYS(close), SCMP_SYS(mkdirat), SCMP_SYS(unlinkat), SCMP_SYS(getdents64),
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(fcntl), SCMP_SYS(lseek),
	/* its socket; sendto for the service manager */
	SCMP_SYS(accept4), SCMP_SYS(getsockopt), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
	SCMP_SYS(sendmsg), SCMP_SYS(shutdown), SCMP_SYS(poll), SCMP_SYS(ppoll),
	/* the child of each request */
	SCMP_SYS(clone), SCMP_SYS(wait4), SCMP_SYS(kill), SCMP_SYS(pidfd_open), SCMP_SYS(pipe2),
	SCMP_SYS(close_range), SCMP_SYS(prctl), SCMP_SYS(getpid), SCMP_SYS(getppid),
	SCMP_SYS(gettid), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
	/* memory, time, the end */
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise),
	SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(getrandom), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(writev),
};

static const int network_families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
static const int local_families[] = { AF_UNIX };

/* What a filter allows. Every other call is answered EPERM. */
struct set {
	const int *number;
	size_t n;
};

struct filter {
	const char *name;
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
	/* A tree by number: the kernel runs a new filter for every call there is. */
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);

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
	return r;
}

static const struct filter filters[] = {
	/* Threads, not processes. */
	{ .name = "network",
	  .calls = { SET(daemons), SET(binding) },
	  .families = SET(network_families),
	  .clone_mask = CLONE_THREAD,
	  .clone_want = CLONE_THREAD },
	{ .name = "local",
	  .calls = { SET(daemons) },
	  .families = SET(local_families),
	  .clone_mask = CLONE_THREAD,
	  .clone_want = CLONE_THREAD },
	{ .name = "device", .calls = { SET(device) } },
	/* Processes, but in no new namespace. */
	{ .name = "mount",
	  .calls = { SET(daemons), SET(mounting) },
	  .families = SET(local_families),
	  .clone_mask = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
			CLONE_NEWUTS | CLONE_NEWCGROUP },
};

static int print(const struct filter *f)
{
	__attribute__((cleanup(release))) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	FILE *program = tmpfile();
	struct sock_filter x;
	int r;

	if (!ctx || !program)
		return -ENOMEM;
	r = build(ctx, f);
	if (r == 0)
		r = seccomp_export_bpf(ctx, fileno(program));
	if (r < 0)
		return r;
	rewind(program);
	printf("\nstatic const struct sock_filter filter_%s[] = {\n", f->name);
	while (fread(&x, sizeof x, 1, program) == 1)
		printf("\t{ 0x%02x, %u, %u, 0x%x },\n", x.code, x.jt, x.jf, x.k);
	printf("};\n");
	(void)fclose(program);
	return 0;
}

int main(void)
{
	const struct scmp_version *v = seccomp_version();

	printf("/* By sandbox_filters.c and libseccomp %u.%u.%u. */\n", v->major, v->minor, v->micro);
	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		int r = print(&filters[i]);

		if (r < 0) {
			fprintf(stderr, "filter \"%s\": %s\n", filters[i].name, strerror(-r));
			return 1;
		}
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
