/* SPDX-License-Identifier: Apache-2.0 */
#include "test/bench/floor.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

char reply[FLOOR_ROOM], cookie[256];

static CURL *curl;
static size_t reply_len;

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	(void)size;
	(void)ctx;
	need(n < FLOOR_ROOM - reply_len, "a reply is too large");
	memcpy(reply + reply_len, p, n);
	reply_len += n;
	reply[reply_len] = '\0';
	return n;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	(void)size;
	(void)ctx;
	if (n > 12 && strncasecmp(p, "set-cookie: ", 12) == 0)
		(void)snprintf(cookie, sizeof cookie, "%.*s", (int)strcspn(p + 12, ";\r"), p + 12);
	return n;
}

void http_open(void)
{
	need(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "curl");
	curl = curl_easy_init();
	need(curl != NULL, "curl");
}

void http(const char *path, const char *body, bool with_cookie, const char *bearer)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	static char line[FLOOR_ROOM];
	char url[4096];
	CURLcode code;
	long status = 0;

	curl_easy_reset(curl);
	(void)snprintf(url, sizeof url, "%s/kbs/v0/%s", given.url, path);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	if (given.ca) {
		struct curl_blob blob = { given.ca, strlen(given.ca), CURL_BLOB_NOCOPY };

		(void)curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
		(void)curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
		(void)curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
	}
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "vouchsafe");
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	if (body) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	if (bearer) {
		(void)snprintf(line, sizeof line, "Authorization: Bearer %s", bearer);
		headers = curl_slist_append(headers, line);
	}
	if (with_cookie)
		(void)curl_easy_setopt(curl, CURLOPT_COOKIE, cookie);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	reply_len = 0;
	code = curl_easy_perform(curl);
	if (code != CURLE_OK)
		die("%s: %s", url, curl_easy_strerror(code));
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		die("%s: status %ld: %s", url, status, reply);
	curl_slist_free_all(headers);
}
