/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates are made by libcrypto at run time; openssl(1) serves them. */
#include "test/unit/net/server.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define DAY (24 * 3600L)

static char dir[] = "/tmp/vouchsafe-tls-XXXXXX", extra_file[16] = "x";

static void remove_dir(void)
{
	const char *const files[] = { "key.pem",  "chain.pem",           "x",
				      "keys.log", "ca-certificates.crt", extra_file };
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

struct certificate {
	X509 *x;
	EVP_PKEY *key;
	char *pem; /* without the key */
};

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	CHECK(ext != NULL && X509_add_ext(x, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

/* As every tool writes them today; without them a root is found by its name alone. */
static bool key_ids = true;

/* by: NULL for a root. names: of a server, NULL for an authority. From and to count from now. */
static struct certificate make(const struct certificate *by, const char *cn, const char *names,
			       long from, long to)
{
	static long serial;
	struct certificate c = { X509_new(), EVP_EC_gen("P-256"), NULL };
	BIO *out = BIO_new(BIO_s_mem());
	X509_NAME *name = X509_get_subject_name(c.x);
	char *text;
	long n;

	CHECK(c.key != NULL && out != NULL);
	CHECK_INT(X509_set_version(c.x, 2), 1);
	CHECK_INT(ASN1_INTEGER_set(X509_get_serialNumber(c.x), ++serial), 1);
	CHECK_INT(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1,
					     0),
		  1);
	CHECK_INT(X509_set_issuer_name(c.x, by ? X509_get_subject_name(by->x) : name), 1);
	CHECK(X509_gmtime_adj(X509_getm_notBefore(c.x), from) &&
	      X509_gmtime_adj(X509_getm_notAfter(c.x), to));
	CHECK_INT(X509_set_pubkey(c.x, c.key), 1);
	extend(c.x, by ? by->x : c.x, NID_basic_constraints,
	       names ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (names)
		extend(c.x, by ? by->x : c.x, NID_subject_alt_name, names);
	if (key_ids) {
		extend(c.x, by ? by->x : c.x, NID_subject_key_identifier, "hash");
		extend(c.x, by ? by->x : c.x, NID_authority_key_identifier, "keyid:always");
	}
	CHECK(X509_sign(c.x, by ? by->key : c.key, EVP_sha256()) > 0);
	CHECK_INT(PEM_write_bio_X509(out, c.x), 1);
	n = BIO_get_mem_data(out, &text);
	c.pem = strndup(text, (size_t)n);
	BIO_free(out);
	return c;
}

static void drop(struct certificate *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	free(c->pem);
}

static void write_file(const char *name, const char *text, const char *more)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "w");
	CHECK(f != NULL && fputs(text, f) >= 0 && fputs(more, f) >= 0);
	CHECK_INT(fclose(f), 0);
}

static bool read_line(char *line, size_t room, int fd)
{
	size_t n = 0;

	while (n < room - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return n > 0;
}

struct tls_server {
	pid_t pid;
	int out;
	char url[64];
};

/*
 * openssl s_server on a free port; it serves the file x. leaf signs, issuer goes along when given.
 * more: one further option, or NULL.
 */
static struct tls_server serve(const struct certificate *leaf, const struct certificate *issuer,
			       const char *more)
{
	struct tls_server s = { 0 };
	char path[128], line[256] = "";
	int ends[2];
	FILE *f;

	if (access("/usr/bin/openssl", X_OK) < 0)
		test_skip("openssl(1) is not installed");
	if (strstr(dir, "XXXXXX")) {
		CHECK(mkdtemp(dir) != NULL);
		CHECK_INT(atexit(remove_dir), 0);
	}
	write_file("x", "ok", "");
	write_file("chain.pem", leaf->pem, issuer ? issuer->pem : "");
	(void)snprintf(path, sizeof path, "%s/key.pem", dir);
	f = fopen(path, "w");
	CHECK(f != NULL && PEM_write_PrivateKey(f, leaf->key, NULL, NULL, 0, NULL, NULL) == 1);
	CHECK_INT(fclose(f), 0);
	CHECK_INT(pipe(ends), 0);
	s.pid = fork();
	if (s.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(ends[1], 1);
		(void)dup2(open("/dev/null", O_RDWR), 2);
		if (chdir(dir) == 0)
			(void)execl("/usr/bin/openssl", "openssl", "s_server", "-accept",
				    "127.0.0.1:0", "-cert", "chain.pem", "-cert_chain", "chain.pem",
				    "-key", "key.pem", "-WWW", "-cipher", "DEFAULT@SECLEVEL=0",
				    more, (char *)NULL);
		_exit(127);
	}
	(void)close(ends[1]);
	s.out = ends[0];
	/* "ACCEPT 127.0.0.1:PORT", behind other lines. */
	while (strncmp(line, "ACCEPT ", 7) != 0)
		CHECK(read_line(line, sizeof line, ends[0]));
	(void)snprintf(s.url, sizeof s.url, "https://127.0.0.1:%ld",
		       strtol(strrchr(line, ':') + 1, NULL, 10));
	return s;
}

static void stop(struct tls_server *s)
{
	(void)kill(s->pid, SIGKILL);
	(void)waitpid(s->pid, NULL, 0);
	(void)close(s->out);
}

static struct https *trusting(const char *pem)
{
	const struct https_config config = { .ca_pem = pem };

	return new_client(&config);
}

static void check_served(const char *pem, const char *url)
{
	struct https *h = trusting(pem);
	cleanup_http_reply struct http_reply reply = { 0 };
	struct err e = { 0 };

	if (get_within(h, url, "/x", 10000, &reply, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", err_name(&e), e.msg);
	CHECK(strcmp(buf_str(&reply.body), "ok") == 0);
	https_free(h);
}

static void check_refused(const char *pem, const char *url, enum err_code code, const char *words)
{
	struct https *h = trusting(pem);

	check_get_fails(h, url, 10000, code, words);
	https_free(h);
}

TEST(tls__pinned_root__is_accepted_and_the_only_one)
{
	struct certificate root = make(NULL, "root", NULL, -DAY, DAY);
	struct certificate other = make(NULL, "root", NULL, -DAY, DAY);
	struct certificate leaf = make(&root, "kbs", "IP:127.0.0.1", -DAY, DAY);
	struct tls_server s = serve(&leaf, NULL, NULL);
	char *both = NULL;

	check_served(root.pem, s.url);
	check_refused(other.pem, s.url, CODE_TLS_UNTRUSTED, s.url);
	/* The system's roots: ours is not among them. */
	check_refused(NULL, s.url, CODE_TLS_UNTRUSTED, s.url);
	/* What the environment calls a root is none. */
	write_file("keys.log", root.pem, "");
	CHECK(asprintf(&both, "%s/keys.log", dir) > 0);
	(void)setenv("SSL_CERT_FILE", both, 1);
	(void)setenv("CURL_CA_BUNDLE", both, 1);
	check_refused(other.pem, s.url, CODE_TLS_UNTRUSTED, s.url);
	check_refused(NULL, s.url, CODE_TLS_UNTRUSTED, s.url);
	free(both);
	/* Several in one text: each of them is a root. */
	CHECK(asprintf(&both, "comment\n%s%s", other.pem, root.pem) > 0);
	check_served(both, s.url);
	free(both);
	stop(&s);
	drop(&root), drop(&other), drop(&leaf);
}

/* Make the files of dir the system's roots, for this process alone. */
static void pose_as_system_roots(const struct certificate *root)
{
	char hashed[16];

	/* As libcurl of Debian finds them: one file of all, and a folder of one each by name. */
	(void)snprintf(hashed, sizeof hashed, "%08lx.0", X509_subject_name_hash(root->x));
	write_file("ca-certificates.crt", root->pem, "");
	write_file(hashed, root->pem, "");
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		test_skip("no mount namespace of its own");
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(dir, "/etc/ssl/certs", NULL, MS_BIND, NULL) < 0)
		test_skip("nothing can be mounted over /etc/ssl/certs");
	(void)snprintf(extra_file, sizeof extra_file, "%s", hashed);
}

TEST(tls__roots_of_the_system__do_not_count_when_one_is_pinned)
{
	struct certificate root = make(NULL, "system", NULL, -DAY, DAY);
	struct certificate other = make(NULL, "pinned", NULL, -DAY, DAY);
	struct certificate leaf = make(&root, "kbs", "IP:127.0.0.1", -DAY, DAY);
	struct tls_server s = serve(&leaf, NULL, NULL);

	pose_as_system_roots(&root);
	/* They are the system's roots indeed. */
	check_served(NULL, s.url);
	check_refused(other.pem, s.url, CODE_TLS_UNTRUSTED, s.url);
	stop(&s);
	drop(&root), drop(&other), drop(&leaf);
}

/* A root made anew under its old name: the signature does not verify, which no retry changes. */
TEST(tls__root_of_that_name_with_another_key__is_tls_untrusted)
{
	for (int i = 0; i < 2; i++) {
		struct certificate root, other, leaf;
		struct tls_server s;

		key_ids = i == 1;
		root = make(NULL, "root", NULL, -DAY, DAY);
		other = make(NULL, "root", NULL, -DAY, DAY);
		leaf = make(&root, "kbs", "IP:127.0.0.1", -DAY, DAY);
		s = serve(&leaf, NULL, NULL);
		check_served(root.pem, s.url);
		check_refused(other.pem, s.url, CODE_TLS_UNTRUSTED, s.url);
		stop(&s);
		drop(&root), drop(&other), drop(&leaf);
	}
}

TEST(tls__self_signed__is_accepted_only_when_pinned)
{
	struct certificate leaf = make(NULL, "kbs", "IP:127.0.0.1", -DAY, DAY);
	struct certificate other = make(NULL, "kbs", "IP:127.0.0.1", -DAY, DAY);
	struct tls_server s = serve(&leaf, NULL, NULL);

	check_served(leaf.pem, s.url);
	check_refused(other.pem, s.url, CODE_TLS_UNTRUSTED, s.url);
	stop(&s);
	drop(&leaf), drop(&other);
}

TEST(tls__intermediate__must_be_sent)
{
	struct certificate root = make(NULL, "root", NULL, -DAY, DAY);
	struct certificate middle = make(&root, "middle", NULL, -DAY, DAY);
	struct certificate leaf = make(&middle, "kbs", "IP:127.0.0.1", -DAY, DAY);
	struct tls_server s = serve(&leaf, &middle, NULL);

	check_served(root.pem, s.url);
	stop(&s);
	s = serve(&leaf, NULL, NULL);
	check_refused(root.pem, s.url, CODE_TLS_UNTRUSTED, s.url);
	stop(&s);
	drop(&root), drop(&middle), drop(&leaf);
}

TEST(tls__another_name__is_tls_name)
{
	struct certificate root = make(NULL, "root", NULL, -DAY, DAY);
	struct certificate leaf =
		make(&root, "127.0.0.1", "DNS:kbs.example,IP:127.0.0.2", -DAY, DAY);
	struct tls_server s = serve(&leaf, NULL, NULL);

	check_refused(root.pem, s.url, CODE_TLS_NAME, "127.0.0.1");
	stop(&s);
	drop(&root), drop(&leaf);
}

/* The day of a certificate, as messages write it. */
static const char *day(long from_now)
{
	static char text[24];

	clock_format(text, clock_wall_s() + from_now);
	text[10] = '\0';
	return text;
}

static void check_names_both_times(const char *pem, const char *url, enum err_code code, long at)
{
	struct https *h = trusting(pem);
	struct http_reply reply = { 0 };
	struct err e = { 0 };

	CHECK_INT(get_within(h, url, "/x", 10000, &reply, &e), -ERR_VERIFY);
	if (e.code != code || !strstr(e.msg, day(at)) || !strstr(e.msg, day(0)))
		test_fail(__FILE__, __LINE__, "%s \"%s\" lacks %s", err_name(&e), e.msg, day(at));
	https_free(h);
}

TEST(tls__expired_or_not_yet_valid__names_both_times)
{
	struct certificate root = make(NULL, "root", NULL, -900 * DAY, 900 * DAY);
	struct certificate expired = make(&root, "kbs", "IP:127.0.0.1", -90 * DAY, -45 * DAY);
	struct certificate early = make(&root, "kbs", "IP:127.0.0.1", 45 * DAY, 90 * DAY);
	struct tls_server s = serve(&expired, NULL, NULL);

	check_names_both_times(root.pem, s.url, CODE_TLS_EXPIRED, -45 * DAY);
	stop(&s);
	s = serve(&early, NULL, NULL);
	check_names_both_times(root.pem, s.url, CODE_CLOCK_SKEW, 45 * DAY);
	stop(&s);
	drop(&root), drop(&expired), drop(&early);
}

/* The date that is told is that of the certificate that is at fault, not always the server's. */
TEST(tls__authority_out_of_its_time__its_date_is_named)
{
	struct certificate root = make(NULL, "root", NULL, -900 * DAY, 900 * DAY);
	struct certificate middle = make(&root, "middle", NULL, -90 * DAY, -45 * DAY);
	struct certificate leaf = make(&middle, "kbs", "IP:127.0.0.1", -10 * DAY, 10 * DAY);
	struct certificate old_root = make(NULL, "root", NULL, -90 * DAY, -45 * DAY);
	struct certificate direct = make(&old_root, "kbs", "IP:127.0.0.1", -10 * DAY, 10 * DAY);
	struct tls_server s = serve(&leaf, &middle, NULL);

	check_names_both_times(root.pem, s.url, CODE_TLS_EXPIRED, -45 * DAY);
	stop(&s);
	/* The root is not sent. */
	s = serve(&direct, NULL, NULL);
	check_refused(old_root.pem, s.url, CODE_TLS_EXPIRED, "pinned");
	stop(&s);
	drop(&root), drop(&middle), drop(&leaf), drop(&old_root), drop(&direct);
}

/* Nobody serves a certificate that ended ten years ago: it is the guest's clock that is wrong. */
TEST(tls__expired_for_many_years__is_the_clock)
{
	struct certificate root = make(NULL, "root", NULL, -9000 * DAY, 900 * DAY);
	struct certificate expired = make(&root, "kbs", "IP:127.0.0.1", -8000 * DAY, -7000 * DAY);
	struct tls_server s = serve(&expired, NULL, NULL);

	check_names_both_times(root.pem, s.url, CODE_CLOCK_SKEW, -7000 * DAY);
	stop(&s);
	drop(&root), drop(&expired);
}

TEST(tls__ca_text_without_a_certificate_in_it__is_a_bad_setting)
{
	struct certificate root = make(NULL, "root", NULL, -DAY, DAY);
	struct certificate leaf = make(&root, "kbs", "IP:127.0.0.1", -DAY, DAY);
	struct tls_server s = serve(&leaf, NULL, NULL);

	check_refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", s.url,
		      CODE_CONFIG_VALUE, "cert");
	check_refused("-----BEGIN CERTIFICATE-----\n", s.url, CODE_CONFIG_VALUE, "cert");
	stop(&s);
	drop(&root), drop(&leaf);
}

/* What an HTTP server says to bytes that are no HTTP. */
static void serve_complaint(struct server *s, int fd)
{
	char some[16];

	if (recv(fd, some, sizeof some, 0) > 0)
		say(fd, s->reply);
}

TEST(tls__old_protocol_or_none__is_tls_failed)
{
	struct certificate root = make(NULL, "root", NULL, -DAY, DAY);
	struct certificate leaf = make(&root, "kbs", "IP:127.0.0.1", -DAY, DAY);
	struct tls_server s = serve(&leaf, NULL, "-tls1_1");
	struct server *plain =
		start_server(serve_complaint, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
	char url[64];

	check_refused(root.pem, s.url, CODE_TLS_FAILED, s.url);
	stop(&s);
	s = serve(&leaf, NULL, "-tls1_2");
	check_served(root.pem, s.url);
	stop(&s);
	(void)snprintf(url, sizeof url, "https://127.0.0.1:%d", plain->port);
	check_refused(root.pem, url, CODE_TLS_FAILED, url);
	drop(&root), drop(&leaf);
}

TEST(tls__key_log_in_the_environment__stays_empty)
{
	struct certificate root = make(NULL, "root", NULL, -DAY, DAY);
	struct certificate leaf = make(&root, "kbs", "IP:127.0.0.1", -DAY, DAY);
	struct tls_server s = serve(&leaf, NULL, NULL);
	char path[128];

	(void)snprintf(path, sizeof path, "%s/keys.log", dir);
	(void)setenv("SSLKEYLOGFILE", path, 1);
	check_served(root.pem, s.url);
	CHECK(access(path, F_OK) < 0);
	stop(&s);
	drop(&root), drop(&leaf);
}

/* Plain text comes to a port that expects TLS: no byte of the request is sent in clear. */
static void serve_plain(struct server *s, int fd)
{
	(void)read_request(s, fd);
}

TEST(tls__server_that_never_answers__ends_at_the_deadline_without_a_byte_in_clear)
{
	struct server *s = start_server(serve_plain, NULL);
	struct https *h = trusting(NULL);
	char url[64];

	(void)snprintf(url, sizeof url, "https://127.0.0.1:%d", s->port);
	check_get_fails(h, url, 400, CODE_NET_TIMEOUT, url);
	CHECK_INT(s->requests, 0);
	https_free(h);
}

/* A proxy that carries bytes both ways behind its answer to CONNECT. */
static int tunnel_port;

static void serve_tunnel(struct server *s, int fd)
{
	const struct sockaddr_in a = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons((uint16_t)tunnel_port) };
	cleanup_close int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd p[2] = { { fd, POLLIN, 0 }, { far, POLLIN, 0 } };
	char bytes[4096];

	if (!read_request(s, fd) || connect(far, (const struct sockaddr *)&a, sizeof a) < 0)
		return;
	say(fd, s->reply);
	while (poll(p, 2, 5000) > 0) {
		for (int i = 0; i < 2; i++) {
			ssize_t n = p[i].revents ? recv(p[i].fd, bytes, sizeof bytes, 0) : -1;

			if (n == 0)
				return;
			if (n > 0)
				say_bytes(p[1 - i].fd, bytes, (size_t)n);
		}
	}
}

TEST(tls__through_a_proxy__is_checked_as_without_and_takes_nothing_from_the_proxys_headers)
{
	struct certificate root = make(NULL, "root", NULL, -DAY, DAY);
	struct certificate other = make(NULL, "other", NULL, -DAY, DAY);
	struct certificate leaf = make(&root, "kbs", "IP:127.0.0.1", -DAY, DAY);
	struct tls_server s = serve(&leaf, NULL, NULL);
	struct server *proxy = start_server(
		serve_tunnel, "HTTP/1.1 200 Connection established\r\nSet-Cookie: of=the-proxy\r\n"
			      "Retry-After: 60\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
	struct https_config config = { .ca_pem = root.pem, .proxy = proxy->url };
	cleanup_http_reply struct http_reply reply = { 0 };
	struct err e = { 0 };
	struct https *h;

	tunnel_port = (int)strtol(strrchr(s.url, ':') + 1, NULL, 10);
	h = new_client(&config);
	if (get_within(h, s.url, "/x", 10000, &reply, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", err_name(&e), e.msg);
	CHECK(strcmp(buf_str(&reply.body), "ok") == 0);
	CHECK(reply.set_cookie[0] == '\0' && reply.retry_after_ms == 0 && reply.date == 0);
	CHECK_INT(proxy->connections, 1);
	https_free(h);
	config.ca_pem = other.pem;
	h = new_client(&config);
	check_get_fails(h, s.url, 10000, CODE_TLS_UNTRUSTED, s.url);
	CHECK_INT(proxy->connections, 2);
	https_free(h);
	stop(&s);
	drop(&root), drop(&other), drop(&leaf);
}
