/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/metrics_request.h"

#include <stdbool.h>
#include <string.h>

static bool path_is(const char *target, size_t n, const char *path)
{
	return n == strlen(path) && memcmp(target, path, n) == 0;
}

enum metrics_request metrics_request(const char *head)
{
	size_t method = strcspn(head, " \r\n");
	const char *target;
	size_t n;

	if (!strstr(head, "\r\n\r\n") && !strstr(head, "\n\n"))
		return METRICS_PARTIAL;
	if (method == 0 || head[method] != ' ' || head[method + 1] != '/')
		return METRICS_MALFORMED;
	if (!path_is(head, method, "GET"))
		return METRICS_METHOD;
	target = head + method + 1;
	n = strcspn(target, " ?\r\n");
	return path_is(target, n, "/metrics") || path_is(target, n, "/") ? METRICS_TEXT
									 : METRICS_NOT_FOUND;
}
