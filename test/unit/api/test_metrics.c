/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/metrics.h"
#include "test/test.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void text_is(const struct buf *b, const char *want)
{
	if (strcmp(buf_str(b), want) != 0)
		test_fail(__FILE__, __LINE__, "text is\n%s\nwant\n%s", buf_str(b), want);
}

TEST(metrics_text__counter_and_gauge__have_help_and_type)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	const struct metrics_label two[] = { { "a", "x" }, { "b", "y" }, { NULL, NULL } };

	metrics_one(&b, "n_total", METRICS_COUNTER, "What it counts.", UINT64_MAX);
	metrics_begin(&b, "g", METRICS_GAUGE, "Now.");
	metrics_put(&b, "g", two, 7);
	metrics_put_ms(&b, "g", NULL, 1005);
	metrics_put_ms(&b, "g", NULL, -1);
	text_is(&b, "# HELP n_total What it counts.\n# TYPE n_total counter\n"
		    "n_total 18446744073709551615\n"
		    "# HELP g Now.\n# TYPE g gauge\ng{a=\"x\",b=\"y\"} 7\ng 1.005\ng 0.000\n");
}

TEST(metrics_text__value_of_a_label__cannot_leave_its_quotes)
{
	static const struct {
		const char *value, *want;
	} rows[] = {
		{ "a\"} 1\nb{c=\"", "a\\\"} 1\\nb{c=\\\"" },
		{ "back\\slash", "back\\\\slash" },
		{ "tab\tand\x7f", "tab?and?" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "bad\xff\xc3", "bad??" },
		{ "", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf b = BUF_MAX(4096);
		const struct metrics_label l[] = { { "v", rows[i].value }, { NULL, NULL } };
		char want[100];

		metrics_put(&b, "m", l, 1);
		(void)snprintf(want, sizeof want, "m{v=\"%s\"} 1\n", rows[i].want);
		text_is(&b, want);
	}
}

TEST(metrics_text__histogram__is_cumulative_in_seconds)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	struct histogram h = { 0 };
	static const int64_t values[] = { -5, 0, 1, 2, 5, 1000, 1001, 30000, 30001, 99999 };

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		histogram_add(&h, values[i]);
	metrics_histogram(&b, "s", "How long.", &h);
	text_is(&b, "# HELP s How long.\n# TYPE s histogram\n"
		    "s_bucket{le=\"0.001\"} 3\ns_bucket{le=\"0.005\"} 5\ns_bucket{le=\"0.01\"} 5\n"
		    "s_bucket{le=\"0.025\"} 5\ns_bucket{le=\"0.05\"} 5\ns_bucket{le=\"0.1\"} 5\n"
		    "s_bucket{le=\"0.25\"} 5\ns_bucket{le=\"0.5\"} 5\ns_bucket{le=\"1\"} 6\n"
		    "s_bucket{le=\"2.5\"} 7\ns_bucket{le=\"10\"} 7\ns_bucket{le=\"30\"} 8\n"
		    "s_bucket{le=\"+Inf\"} 10\ns_sum 162.009\ns_count 10\n");
}

/* --- the socket ------------------------------------------------------------- */

static char dir[64], path[96];
static size_t text_len = 10;

static void write_text(void *ctx, struct buf *out)
{
	CHECK(ctx == &text_len);
	for (size_t i = 0; i < text_len; i++)
		buf_putc(out, 'x');
}

static struct metrics_server *serve(void)
{
	struct metrics_server *s = NULL;
	struct err e = { 0 };

	(void)snprintf(dir, sizeof dir, "/tmp/vouchsafe-test-XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof path, "%s/metrics.sock", dir);
	CHECK_INT(metrics_serve(&s, path, 0660, write_text, &text_len, &e), 0);
	return s;
}

static void end(struct metrics_server *s)
{
	metrics_stop(s);
	CHECK(access(path, F_OK) != 0);
	CHECK_INT(rmdir(dir), 0);
}

static int connected(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
	return fd;
}

/* The whole answer; the connection's end is part of it. */
static void ask(struct buf *out, const void *request, size_t len)
{
	cleanup_close int fd = connected();
	char piece[4096];
	ssize_t n;

	CHECK(send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len);
	while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
		buf_put(out, piece, (size_t)n);
	CHECK_INT(n, 0);
	CHECK_INT(out->failed, 0);
}

TEST(metrics_socket__request__gets_its_answer)
{
	static const struct {
		const char *request, *status;
	} rows[] = {
		{ "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.0 200 " },
		{ "GET / HTTP/1.0\n\n", "HTTP/1.0 200 " },
		{ "GET /metrics?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.0 200 " },
		{ "GET /metrics/ HTTP/1.0\r\n\r\n", "HTTP/1.0 404 " },
		{ "GET /metric HTTP/1.0\r\n\r\n", "HTTP/1.0 404 " },
		{ "HEAD / HTTP/1.0\r\n\r\n", "HTTP/1.0 405 " },
		{ "GETX / HTTP/1.0\r\n\r\n", "HTTP/1.0 405 " },
		{ "GET metrics HTTP/1.0\r\n\r\n", "HTTP/1.0 400 " },
		{ "GET\r\n\r\n", "HTTP/1.0 400 " },
		{ " / HTTP/1.0\r\n\r\n", "HTTP/1.0 400 " },
		{ "\r\n\r\n", "HTTP/1.0 400 " },
	};
	struct metrics_server *s = serve();
	struct stat st;

	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0660);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf b = BUF_MAX(METRICS_TEXT_MAX);

		ask(&b, rows[i].request, strlen(rows[i].request));
		if (strncmp(buf_str(&b), rows[i].status, strlen(rows[i].status)) != 0)
			test_fail(__FILE__, __LINE__, "%s: %.40s", rows[i].request, buf_str(&b));
		CHECK(strstr(buf_str(&b), "\r\n\r\n") != NULL);
	}
	end(s);
}

TEST(metrics_socket__head_too_long__is_431)
{
	struct metrics_server *s = serve();
	cleanup_buf struct buf b = BUF_MAX(4096), request = BUF_MAX(8192);

	buf_puts(&request, "GET /");
	while (request.len < METRICS_HEAD_MAX + 500)
		buf_putc(&request, 'a');
	ask(&b, request.p, request.len);
	CHECK(strncmp(buf_str(&b), "HTTP/1.0 431 ", 13) == 0);
	end(s);
}

TEST(metrics_socket__text_too_long__is_500_and_next_request_works)
{
	struct metrics_server *s = serve();
	static const char get[] = "GET / HTTP/1.0\r\n\r\n";
	cleanup_buf struct buf b = BUF_MAX(METRICS_TEXT_MAX + 1024);

	text_len = METRICS_TEXT_MAX + 1;
	ask(&b, get, sizeof get - 1);
	CHECK(strncmp(buf_str(&b), "HTTP/1.0 500 ", 13) == 0);
	buf_reset(&b);
	text_len = METRICS_TEXT_MAX;
	ask(&b, get, sizeof get - 1);
	CHECK(strncmp(buf_str(&b), "HTTP/1.0 200 ", 13) == 0);
	CHECK(b.len > METRICS_TEXT_MAX);
	text_len = 10;
	end(s);
}

TEST(metrics_socket__more_peers_than_places__the_first_gives_way)
{
	struct metrics_server *s = serve();
	static const char get[] = "GET / HTTP/1.0\r\n\r\n";
	cleanup_buf struct buf b = BUF_MAX(4096);
	int fds[METRICS_PEERS];
	char c;

	for (size_t i = 0; i < METRICS_PEERS; i++)
		fds[i] = connected();
	(void)usleep(50 * 1000);
	ask(&b, get, sizeof get - 1);
	CHECK(strncmp(buf_str(&b), "HTTP/1.0 200 ", 13) == 0);
	CHECK_INT(recv(fds[0], &c, 1, 0), 0);
	CHECK(recv(fds[1], &c, 1, MSG_DONTWAIT) < 0);
	for (size_t i = 0; i < METRICS_PEERS; i++)
		(void)close(fds[i]);
	end(s);
}

TEST(metrics_socket__who_does_not_ask__is_closed_in_time)
{
	struct metrics_server *s = serve();
	cleanup_close int fd = connected();
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	CHECK(send(fd, "GET", 3, MSG_NOSIGNAL) == 3);
	CHECK_INT(poll(&p, 1, METRICS_MS / 2), 0);
	CHECK_INT(poll(&p, 1, METRICS_MS), 1);
	CHECK_INT(recv(fd, &c, 1, 0), 0);
	end(s);
}

TEST(metrics_serve__bad_path__fails_and_leaves_out_untouched)
{
	struct metrics_server *s = NULL;
	struct err e = { 0 };
	char longer[200] = "/tmp/";

	for (size_t i = 5; i < 150; i++)
		longer[i] = 'x';
	CHECK_ERR(metrics_serve(&s, longer, 0660, write_text, NULL, &e), ERR_LIMIT, e, "at most 107");
	CHECK_ERR(metrics_serve(&s, "relative", 0660, write_text, NULL, &e), ERR_LIMIT, e, "absolute");
	CHECK_ERR(metrics_serve(&s, "/no/such/folder/m.sock", 0660, write_text, NULL, &e), ERR_SYSTEM,
		  e, "bind /no/such/folder");
	CHECK(s == NULL);
}
