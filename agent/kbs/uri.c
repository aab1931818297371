/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/uri.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

/* The text is whoever's: a message shows its visible ASCII only. */
static int bad(struct err *e, struct view text, const char *why)
{
	char shown[121];
	size_t n = text.len < sizeof shown - 1 ? text.len : sizeof shown - 1;

	for (size_t i = 0; i < n; i++)
		shown[i] = (char)(text.p[i] >= ' ' && text.p[i] < 0x7f ? text.p[i] : '?');
	shown[n] = '\0';
	return err_code(e, CODE_KBS_URI, "\"%s\": %s", shown, why);
}

static bool only(struct view v, const char *others)
{
	for (size_t i = 0; i < v.len; i++)
		if (!isalnum(v.p[i]) && !(v.p[i] && strchr(others, v.p[i])))
			return false;
	return true;
}

static struct view cut(struct view v, size_t from, size_t to)
{
	return (struct view){ v.p + from, to - from };
}

static size_t find(struct view v, size_t from, const char *set)
{
	while (from < v.len && !(v.p[from] && strchr(set, v.p[from])))
		from++;
	return from;
}

static void put(char *out, struct view v)
{
	if (v.len > 0)
		memcpy(out, v.p, v.len);
	out[v.len] = '\0';
}

/* What a URL's scheme may hold behind "kbs+", in the case that a URL parser would leave it in. */
static bool plugin_is_plain(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!islower(v.p[i]) && !isdigit(v.p[i]) && !(i > 0 && (v.p[i] == '-' || v.p[i] == '.')))
			return false;
	return v.len > 0;
}

static bool port_is_plain(struct view v)
{
	unsigned long n = 0;

	for (size_t i = 0; i < v.len && i < 5; i++) {
		if (!isdigit(v.p[i]) || v.p[0] == '0')
			return false;
		n = n * 10 + (unsigned long)(v.p[i] - '0');
	}
	return v.len > 0 && v.len <= 5 && n <= 65535;
}

/* "", name, IPv4 or [IPv6], each with or without a port. */
static bool host_is_plain(struct view v)
{
	char address[INET6_ADDRSTRLEN] = "";
	struct in6_addr parsed;
	size_t end;

	if (v.len == 0)
		return true;
	if (v.p[0] == '[') {
		end = find(v, 0, "]");
		if (end == v.len || end > sizeof address || !only(cut(v, 1, end), ":."))
			return false;
		put(address, cut(v, 1, end));
		if (inet_pton(AF_INET6, address, &parsed) != 1)
			return false;
		end++;
	} else {
		end = find(v, 0, ":");
		if (end == 0 || !only(cut(v, 0, end), "-._~"))
			return false;
	}
	return end == v.len || (v.p[end] == ':' && port_is_plain(cut(v, end + 1, v.len)));
}

/* Empty, ".", ".." and their percent-encoded forms: a URL parser would rewrite the path. */
static bool segments_are_plain(struct view path)
{
	size_t from = 0;

	for (;;) {
		size_t to = find(path, from, "/");
		struct view s = cut(path, from, to);

		if (s.len == 0 || view_is(s, ".") || view_is(s, ".."))
			return false;
		for (size_t i = 0; i + 2 < s.len; i++)
			if (s.p[i] == '%' && s.p[i + 1] == '2' && (s.p[i + 2] | 32) == 'e')
				return false;
		if (to == path.len)
			return true;
		from = to + 1;
	}
}

static bool percents_are_whole(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] == '%' &&
		    (v.len - i < 3 || !isxdigit(v.p[i + 1]) || !isxdigit(v.p[i + 2])))
			return false;
	return true;
}

int uri_parse(struct uri *out, struct view text, struct err *e)
{
	static const char path_chars[] = "/-._~!$&'()*+,;=:@%", query_chars[] = "/-._~!$&'()*+,;=:@%?";
	struct view plugin = view_str("resource"), host, path, query = { NULL, 0 }, fragment;
	size_t at, end;

	if (text.len == 0 || text.len > URI_MAX)
		return err_code(e, CODE_KBS_URI, "a URI of %zu bytes, allowed 1..%d", text.len, URI_MAX);
	at = find(text, 0, ":");
	if (!view_starts(text, "kbs") || at == text.len || (at != 3 && text.p[3] != '+'))
		return bad(e, text, "want kbs:// or kbs+PLUGIN://");
	if (at != 3)
		plugin = cut(text, 4, at);
	if (plugin.len > sizeof out->plugin - 1 || !plugin_is_plain(plugin))
		return bad(e, text, "want a plugin's name in lower case behind kbs+");
	if (!view_starts(cut(text, at, text.len), "://"))
		return bad(e, text, "want :// behind the scheme");
	at += 3;
	end = find(text, at, "/?#");
	host = cut(text, at, end);
	if (host.len > sizeof out->host - 1 || !host_is_plain(host))
		return bad(e, text, "the host is no host[:port]");
	if (end == text.len || text.p[end] != '/')
		return bad(e, text, "there is no path");
	at = end + 1;
	end = find(text, at, "?#");
	path = cut(text, at, end);
	if (!only(path, path_chars) || !percents_are_whole(path) || !segments_are_plain(path))
		return bad(e, text, "the path has an empty or dot segment, or a character that needs encoding");
	if (end < text.len && text.p[end] == '?') {
		at = end + 1;
		end = find(text, at, "#");
		query = cut(text, at, end);
		if (!only(query, query_chars) || !percents_are_whole(query))
			return bad(e, text, "the query has a character that needs encoding");
	}
	/* It is dropped, but not unread. */
	fragment = cut(text, end < text.len ? end + 1 : end, text.len);
	if (!only(fragment, query_chars))
		return bad(e, text, "the fragment has a character that needs encoding");
	put(out->plugin, plugin);
	put(out->host, host);
	put(out->path, path);
	put(out->query, query);
	(void)snprintf(out->text, sizeof out->text, "kbs%s%s://%s/%s%s%s",
		       strcmp(out->plugin, "resource") == 0 ? "" : "+",
		       strcmp(out->plugin, "resource") == 0 ? "" : out->plugin, out->host, out->path,
		       query.len ? "?" : "", out->query);
	return 0;
}

void uri_request_url(struct buf *out, const char *base, const struct uri *u)
{
	buf_printf(out, "%s/kbs/v0/%s/%s%s%s", base, u->plugin, u->path, u->query[0] ? "?" : "",
		   u->query);
}
