/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor for `make bench`: the TPM commands, the requests and the crypto that a sealed secret
 * costs vouchsafed, straight down. No daemon, no check of what it is told, no locked
 * memory, no limits: a yardstick, never to be used with real secrets.
 *
 *   floor cold --url URL --tpm WHERE --sealed FILE [--ca FILE] [--initdata FILE]
 *   floor hold …     the same, then waits to be looked at, until a signal ends it
 *   floor cpu N MS … N attestations, each with all secrets, MS milliseconds apart; prints the
 *                    nanoseconds of CPU that one took
 *   floor relay PORT     a character device before the swtpm at that port; prints its path
 *   floor warm SOCKET    answers every ttrpc request from memory, to give the cost of a round trip
 *
 * WHERE is a device path or HOST:PORT of a swtpm. FILE of --sealed has one sealed secret a line,
 * all of one signing key. After the first secret its length is printed.
 */
#include "test/bench/floor.h"
#include "test/bench/relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct floor_given given;

static char token[FLOOR_ROOM], signing_key[4096], tee_jwk[256];

void die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)fputs("floor: ", stderr);
	(void)vfprintf(stderr, format, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

void need(bool ok, const char *what)
{
	if (!ok)
		die("%s", what);
}

/* --- the way of a secret ---------------------------------------------------------------------- */

/* The report data's first 32 bytes: all that a TPM quote has of it. */
static void report_data(uint8_t out[64], const char *nonce, size_t n)
{
	char text[1024];
	int len = snprintf(text, sizeof text,
			   "{\"additional-evidence\":\"\",\"nonce\":\"%.*s\",\"tee-pubkey\":%s}",
			   (int)n, nonce, tee_jwk);

	sha384(out, text, (size_t)len);
}

static char *put_initdata(char *p)
{
	if (!given.initdata)
		return stpcpy(p, "null");
	p = stpcpy(p, "{\"format\":\"toml\",\"body\":\"");
	for (const char *c = given.initdata; *c; c++) {
		if (*c == '\n' || *c == '\t')
			p = stpcpy(p, *c == '\n' ? "\\n" : "\\t");
		else if (*c == '"' || *c == '\\')
			p += sprintf(p, "\\%c", *c);
		else
			*p++ = *c;
	}
	return stpcpy(p, "\"}");
}

static void attest(void)
{
	static char body[FLOOR_ROOM];
	uint8_t hash[64];
	const char *nonce, *t;
	size_t n;
	char *p;

	http("auth",
	     "{\"version\":\"0.4.0\",\"tee\":\"tpm\",\"extra-params\":{\"supported-hash-"
	     "algorithms\":[\"sha256\","
	     "\"sha384\",\"sha512\"]}}",
	     false, NULL);
	nonce = member(reply, "nonce", &n);
	report_data(hash, nonce, n);
	p = stpcpy(body, "{\"init-data\":");
	p = put_initdata(p);
	p += sprintf(p,
		     ",\"runtime-data\":{\"nonce\":\"%.*s\",\"tee-pubkey\":%s},\"tee-evidence\":{"
		     "\"primary_evidence\":",
		     (int)n, nonce, tee_jwk);
	p += evidence(p, hash);
	(void)stpcpy(p, ",\"additional_evidence\":\"\"}}");
	http("attest", body, true, NULL);
	t = member(reply, "token", &n);
	(void)snprintf(token, sizeof token, "%.*s", (int)n, t);
	signing_key[0] = '\0';
}

static void get(char *out, const char *uri, size_t n)
{
	char path[4096];

	need(n > 7 && strncmp(uri, "kbs:///", 7) == 0, "no kbs:/// URI");
	(void)snprintf(path, sizeof path, "resource/%.*s", (int)n - 7, uri + 7);
	http(path, NULL, false, token);
	(void)jwe_open(out);
}

static size_t unseal(const char *sealed)
{
	static char plain[FLOOR_ROOM];
	char head[4096], payload[8192];
	const char *h = sealed + strlen("sealed."), *p = strchr(h, '.'),
		   *s = p ? strchr(p + 1, '.') : NULL;
	const char *kid, *name;
	size_t n;

	need(strncmp(sealed, "sealed.", 7) == 0 && s && p - h < 4096 && s - p < 8192,
	     "no sealed secret");
	head[unb64u((uint8_t *)head, h, (size_t)(p - h))] = '\0';
	payload[unb64u((uint8_t *)payload, p + 1, (size_t)(s - p) - 1)] = '\0';
	kid = member(head, "kid", &n);
	if (!signing_key[0]) {
		get(plain, kid, n);
		(void)snprintf(signing_key, sizeof signing_key, "%.4000s", plain);
	}
	verify(signing_key, h, (size_t)(s - h), s + 1, strlen(s + 1));
	name = member(payload, "name", &n);
	get(plain, name, n);
	return strlen(plain);
}

static void unseal_all(bool say)
{
	for (size_t i = 0; i < given.n_sealed; i++) {
		size_t n = unseal(given.sealed[i]);

		if (say && i == 0) {
			printf("%zu\n", n);
			(void)fflush(stdout);
		}
	}
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Paused as vouchsafed is, which attests anew only when its token has ended: caches get cold. */
static void repeat(unsigned long times, unsigned long pause_ms)
{
	const struct timespec pause = { (time_t)(pause_ms / 1000),
					(long)(pause_ms % 1000 * 1000000) };
	int64_t before;

	/* The first one pays for loading and for the connection; vouchsafed's was made before, too.
	 */
	attest();
	unseal_all(false);
	(void)nanosleep(&pause, NULL);
	before = cpu_ns();
	for (unsigned long i = 0; i < times; i++) {
		attest();
		unseal_all(false);
		(void)nanosleep(&pause, NULL);
	}
	printf("%lld\n", (long long)((cpu_ns() - before) / (int64_t)(times ? times : 1)));
}

/* --- a round trip's floor --------------------------------------------------------------------- */

static void *echo(void *arg)
{
	/* Response{status: {}, payload: UnsealSecretOutput{plaintext: 16 bytes}} */
	static const char body[] = "\x0a\x00\x12\x12\x0a\x10"
				   "0123456789abcdef";
	int fd = (int)(intptr_t)arg;
	uint8_t *in = malloc(FLOOR_ROOM), out[10 + sizeof body - 1] = { 0 };
	uint32_t n = htonl(sizeof body - 1);

	need(in != NULL, "memory");
	memcpy(out, &n, 4);
	out[8] = 2;
	memcpy(out + 10, body, sizeof body - 1);
	for (;;) {
		if (!take_all(fd, in, 10))
			break;
		memcpy(&n, in, 4);
		if (ntohl(n) > FLOOR_ROOM || !take_all(fd, in + 10, ntohl(n)))
			break;
		memcpy(out + 4, in + 4, 4);
		if (write(fd, out, sizeof out) != (ssize_t)sizeof out)
			break;
	}
	free(in);
	(void)close(fd);
	return NULL;
}

static void warm(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	need(strlen(path) < sizeof a.sun_path, "the path is too long");
	memcpy(a.sun_path, path, strlen(path));
	(void)unlink(path);
	need(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 64) == 0,
	     "socket");
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		need(fd >= 0 && pthread_create(&t, NULL, echo, (void *)(intptr_t)fd) == 0,
		     "thread");
		(void)pthread_detach(t);
	}
}

/* --- start ------------------------------------------------------------------------------------ */

static char *slurp(const char *path)
{
	char *text = malloc(FLOOR_ROOM);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, FLOOR_ROOM - 1) : -1;

	if (n < 0)
		die("cannot read %s", path);
	(void)close(fd);
	text[n] = '\0';
	return text;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "url", required_argument, NULL, 'u' },
		{ "tpm", required_argument, NULL, 't' },
		{ "ca", required_argument, NULL, 'c' },
		{ "initdata", required_argument, NULL, 'i' },
		{ "sealed", required_argument, NULL, 's' },
		{ 0 },
	};
	char *line, *rest = NULL;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'u':
			given.url = optarg;
			break;
		case 't':
			given.tpm = optarg;
			break;
		case 'c':
			given.ca = slurp(optarg);
			break;
		case 'i':
			given.initdata = slurp(optarg);
			break;
		case 's':
			rest = slurp(optarg);
			break;
		default:
			exit(64);
		}
	}
	while (rest && (line = strsep(&rest, "\n")) != NULL && given.n_sealed < FLOOR_SECRETS)
		if (*line)
			given.sealed[given.n_sealed++] = line;
	need(given.url && given.tpm && given.n_sealed > 0, "--url, --tpm and --sealed are needed");
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	unsigned long times = 0, pause_ms = 0;

	if (strcmp(mode, "warm") == 0 && argc == 3)
		warm(argv[2]);
	if (strcmp(mode, "relay") == 0 && argc == 3) {
		(void)puts(relay_start((uint16_t)strtoul(argv[2], NULL, 10)));
		(void)fflush(stdout);
		for (;;)
			(void)pause();
	}
	if (strcmp(mode, "cpu") == 0 && argc > 3) {
		times = strtoul(argv[2], NULL, 10);
		pause_ms = strtoul(argv[3], NULL, 10);
		argc -= 2;
		argv += 2;
	} else if (strcmp(mode, "cold") != 0 && strcmp(mode, "hold") != 0) {
		fprintf(stderr, "usage: floor cold|hold|cpu N MS --url URL --tpm WHERE --sealed "
				"FILE [--ca FILE]\n"
				"             [--initdata FILE]\n       floor relay PORT\n       floor warm SOCKET\n");
		return 64;
	}
	parse(argc - 1, argv + 1);
	tpm_open();
	read_pcr8();
	make_tee_key(tee_jwk);
	http_open();
	if (strcmp(mode, "cpu") == 0) {
		repeat(times, pause_ms);
		return 0;
	}
	attest();
	unseal_all(true);
	if (strcmp(mode, "hold") == 0)
		(void)pause();
	return 0;
}
