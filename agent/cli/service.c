/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/service.h"
#include "agent/api/metrics.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

enum { CHUNK = 3 * 1024, TIMEOUT_MAX_S = 3600 };

int cli_deadline(struct deadline *out, const char *text, struct err *e)
{
	char *end = NULL;
	long s = CLI_TIMEOUT_S;

	if (text)
		s = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : 0;
	if (text && (!end || *end != '\0' || s < 1 || s > TIMEOUT_MAX_S))
		return err_set(e, ERR_USAGE, "--timeout %.40s: want 1 to %d seconds", text,
			       TIMEOUT_MAX_S);
	*out = deadline_in(s * 1000);
	return 0;
}

int cli_socket(char **out, const char *where, struct err *e)
{
	cleanup_free char *path = fs_join(cli_root, where);

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	if (strlen(path) > RPC_PATH_MAX)
		return err_set(e, ERR_LIMIT, "socket path of %zu bytes, allowed %d", strlen(path),
			       RPC_PATH_MAX);
	*out = take(path);
	return 0;
}

int cli_put_bytes(struct view v, struct err *e)
{
	return v.len == 0 ? 0 : fs_write_fd(STDOUT_FILENO, v, "standard output", e);
}

/* enc.h writes into a buf, which is malloc'd memory. */
static size_t encode(uint8_t *out, struct view in)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = 0;

	for (size_t i = 0; i < in.len; i += 3) {
		size_t left = in.len - i;
		uint32_t v = (uint32_t)in.p[i] << 16;

		v |= left > 1 ? (uint32_t)in.p[i + 1] << 8 : 0;
		v |= left > 2 ? in.p[i + 2] : 0;
		out[n++] = (uint8_t)digits[v >> 18];
		out[n++] = (uint8_t)digits[v >> 12 & 63];
		out[n++] = left > 1 ? (uint8_t)digits[v >> 6 & 63] : '=';
		out[n++] = left > 2 ? (uint8_t)digits[v & 63] : '=';
	}
	return n;
}

int cli_put_base64(struct view v, struct err *e)
{
	cleanup_secret struct secret piece = { 0 };
	int r = secret_alloc(&piece, CHUNK / 3 * 4, e);

	while (r == 0 && v.len > 0) {
		size_t n = v.len < CHUNK ? v.len : CHUNK;

		piece.len = encode(piece.p, (struct view){ v.p, n });
		r = cli_put_bytes((struct view){ secret_bytes(&piece), piece.len }, e);
		v = (struct view){ v.p + n, v.len - n };
	}
	return r;
}

int cli_put_result(const struct secret *s, bool json, const char *what, const char *subject,
		   struct err *e)
{
	struct view plain = { secret_bytes(s), s->len };
	cleanup_buf struct buf head = BUF_MAX(65536);
	int r;

	if (!json)
		return cli_put_bytes(plain, e);
	buf_putc(&head, '{');
	if (what) {
		buf_printf(&head, "\"%s\":", what);
		json_put_string(&head, view_str(subject));
		buf_putc(&head, ',');
	}
	buf_puts(&head, "\"base64\":\"");
	r = buf_check(&head, "the answer", e);
	if (r == 0)
		r = cli_put_bytes(buf_view(&head), e);
	if (r == 0)
		r = cli_put_base64(plain, e);
	return r < 0 ? r : cli_put_bytes(view_str("\"}\n"), e);
}

/* --- metrics ---------------------------------------------------------------- */

/* HTTP/1.0: the answer ends with the connection. */
static int read_answer(struct buf *out, int fd, struct deadline d, struct err *e)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint8_t piece[4096];
		ssize_t n;

		if (deadline_left_ms(d) == 0)
			return err_code(e, CODE_API_DEADLINE, "no metrics in time");
		if (poll(&p, 1, 100) <= 0)
			continue;
		n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
		if (n == 0)
			return buf_check(out, "the metrics", e);
		if (n > 0)
			buf_put(out, piece, (size_t)n);
		else if (errno != EAGAIN && errno != EINTR)
			return err_code(e, CODE_API_UNREACHABLE, "the metrics' socket: %s",
					strerrorname_np(errno));
	}
}

int cli_metrics(struct buf *out, struct deadline d, struct err *e)
{
	static const char ask[] = "GET /metrics HTTP/1.0\r\n\r\n";
	cleanup_free char *path = NULL;
	cleanup_buf struct buf answer = BUF_MAX(METRICS_TEXT_MAX + 1024);
	const char *body;
	int r = cli_socket(&path, CLI_METRICS_SOCKET, e);

	if (r < 0)
		return r;
	cleanup_rpc struct rpc_link link = RPC_LINK(path);
	r = rpc_ready(&link, d, e);
	if (r < 0)
		return r;
	if (send(link.fd, ask, sizeof ask - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof ask - 1))
		return err_code(e, CODE_API_UNREACHABLE, "the metrics' socket closed");
	r = read_answer(&answer, link.fd, d, e);
	if (r < 0)
		return r;
	body = strstr(buf_str(&answer), "\r\n\r\n");
	if (strncmp(buf_str(&answer), "HTTP/1.0 200 ", 13) != 0 || !body)
		return err_code(e, CODE_API_MALFORMED, "%s: no metrics", path);
	buf_puts(out, body + 4);
	return buf_check(out, "the metrics", e);
}

static struct view cut(struct view *from, size_t n, size_t skip)
{
	struct view head = { from->p, n };

	n += skip;
	n = n < from->len ? n : from->len;
	*from = (struct view){ from->p + n, from->len - n };
	return head;
}

static size_t until(struct view v, const char *any)
{
	size_t n = 0;

	while (n < v.len && !strchr(any, v.p[n]))
		n++;
	return n;
}

/* Up to the brace that ends the labels; one in quotes does not. */
static size_t labels_end(struct view v)
{
	bool quoted = false;
	size_t n = 0;

	for (; n < v.len; n++) {
		if (quoted && v.p[n] == '\\')
			n++;
		else if (v.p[n] == '"')
			quoted = !quoted;
		else if (v.p[n] == '}' && !quoted)
			break;
	}
	return n < v.len ? n : v.len;
}

bool cli_next_sample(struct cli_sample *out, struct view *text)
{
	while (text->len > 0) {
		struct view line = cut(text, until(*text, "\n"), 1);

		if (line.len == 0 || line.p[0] == '#')
			continue;
		*out = (struct cli_sample){ .name = cut(&line, until(line, " {"), 0) };
		if (line.len > 0 && line.p[0] == '{') {
			(void)cut(&line, 1, 0);
			out->labels = cut(&line, labels_end(line), 1);
		}
		while (line.len > 0 && line.p[0] == ' ')
			(void)cut(&line, 1, 0);
		out->value = line;
		return true;
	}
	return false;
}
