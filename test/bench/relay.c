/* SPDX-License-Identifier: Apache-2.0 */
#include "test/bench/relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

enum { PACKET_MAX = 4096 };

atomic_uint relay_commands;

static struct {
	int master, tpm;
	char path[64];
} relay;

static void need(bool yes, const char *what)
{
	if (yes)
		return;
	(void)fprintf(stderr, "relay: %s\n", what);
	exit(1);
}

bool take_all(int fd, uint8_t *p, size_t n)
{
	for (size_t have = 0; have < n;) {
		ssize_t got = read(fd, p + have, n - have);

		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

/* One command or answer, by the size in its header. */
static bool packet(int from, int to)
{
	uint8_t p[PACKET_MAX];
	size_t n;

	if (!take_all(from, p, 10))
		return false;
	n = (size_t)p[4] << 8 | p[5];
	return n >= 10 && n <= sizeof p && take_all(from, p + 10, n - 10) &&
	       write(to, p, n) == (ssize_t)n;
}

static void *run_relay(void *unused)
{
	(void)unused;
	while (packet(relay.master, relay.tpm)) {
		relay_commands++;
		if (!packet(relay.tpm, relay.master))
			break;
	}
	return NULL;
}

/*
 * A TPM does not compute on the guest's processors: the last of ours is the relay's alone. With one
 * there is nothing to part.
 */
static void part_processors(pthread_t thread)
{
	cpu_set_t all, last;
	int n = CPU_SETSIZE - 1;

	need(sched_getaffinity(0, sizeof all, &all) == 0, "no processors");
	if (CPU_COUNT(&all) < 2)
		return;
	while (!CPU_ISSET(n, &all))
		n--;
	CPU_ZERO(&last);
	CPU_SET(n, &last);
	CPU_CLR(n, &all);
	need(pthread_setaffinity_np(thread, sizeof last, &last) == 0 &&
		     sched_setaffinity(0, sizeof all, &all) == 0,
	     "no processors");
}

const char *relay_start(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct termios raw;
	pthread_t thread;
	int one = 1, slave;

	relay.tpm = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(connect(relay.tpm, (struct sockaddr *)&a, sizeof a) == 0, "cannot connect to the TPM");
	(void)setsockopt(relay.tpm, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	relay.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	need(relay.master >= 0 && grantpt(relay.master) == 0 && unlockpt(relay.master) == 0 &&
		     ptsname_r(relay.master, relay.path, sizeof relay.path) == 0,
	     "no pty");
	slave = open(relay.path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	need(slave >= 0 && tcgetattr(slave, &raw) == 0, "no pty");
	cfmakeraw(&raw);
	need(tcsetattr(slave, TCSANOW, &raw) == 0, "no pty");
	need(pthread_create(&thread, NULL, run_relay, NULL) == 0, "no thread");
	part_processors(thread);
	return relay.path;
}
