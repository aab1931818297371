/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/source.h"
#include "agent/base/fs.h"
#include "agent/base/log.h"
#include "initdata/blockdev.h"
#include "initdata/userdata.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define IMDS "http://169.254.169.254"
#define GCP  "http://metadata.google.internal/computeMetadata/v1/instance"

static const char *const azure_headers[] = { "Metadata: true", NULL };
static const char *const gcp_headers[] = { "Metadata-Flavor: Google", NULL };
static const char *const aws_token_headers[] = { "X-aws-ec2-metadata-token-ttl-seconds: 60", NULL };

static const struct {
	const char *name, *url; /* url NULL: no metadata service */
	const char *const *headers;
	bool base64;
} sources[] = {
	[SOURCE_AUTO] = { .name = "auto" },
	[SOURCE_CIDATA] = { .name = "cidata" },
	[SOURCE_BLOCK] = { .name = "block" },
	[SOURCE_AZURE] = { "azure",
			   IMDS "/metadata/instance/compute/userData?api-version=2021-01-01"
				"&format=text",
			   azure_headers, true },
	[SOURCE_AWS] = { "aws", IMDS "/latest/user-data", NULL, false },
	[SOURCE_GCP] = { "gcp", GCP "/attributes/user-data", gcp_headers, true },
	[SOURCE_ALIBABA] = { "alibaba", "http://100.100.100.200/latest/user-data", NULL, false },
	[SOURCE_NONE] = { .name = "none" },
};

const char *source_name(enum source_kind k)
{
	return sources[k].name;
}

int source_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		if (strcmp(name, sources[i].name) == 0)
			return (int)i;
	return -1;
}

static void probe_hypervisor(char out[13])
{
#if defined(__x86_64__)
	unsigned a, b, c, d;

	/* The leaf means something only where the bit "hypervisor present" is set. */
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 31))
		return;
	__cpuid(0x40000000, a, b, c, d);
	memcpy(out, &b, 4);
	memcpy(out + 4, &c, 4);
	memcpy(out + 8, &d, 4);
#endif
	out[12] = '\0';
}

void source_probe(struct source_probe *out, const char *root)
{
	cleanup_free char *path = fs_join(root, "/sys/class/dmi/id/sys_vendor");
	cleanup_buf struct buf b = BUF_MAX(sizeof out->manufacturer - 1);

	*out = (struct source_probe){ 0 };
	probe_hypervisor(out->hypervisor);
	if (!path || fs_read(&b, path, b.max, NULL) < 0)
		return;
	(void)snprintf(out->manufacturer, sizeof out->manufacturer, "%s", buf_str(&b));
	out->manufacturer[strcspn(out->manufacturer, "\r\n")] = '\0';
}

/* --- HTTP ------------------------------------------------------------------- */

static int ask(struct http_reply *reply, const struct source_env *env, struct http_request *q,
	       int64_t most_ms, struct err *e)
{
	q->deadline = deadline_min(env->deadline, deadline_in(most_ms));
	return env->round_trip(env->round_trip_ctx, q, reply, e);
}

/* The service redirects a folder's name to the same with a slash; nothing else is followed. */
static bool gcp_answers(const struct source_env *env)
{
	static const char *const urls[] = { GCP, GCP "/" };

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		cleanup_http_reply struct http_reply reply = { 0 };
		struct http_request q = {
			.method = "GET", .url = urls[i], .headers = gcp_headers, .reply_max = 65536
		};
		struct err e = { 0 };
		int r = ask(&reply, env, &q, SOURCE_DETECT_MS, &e);

		if (r == 0)
			return reply.status == 200;
		log_debug("no GCP", "url=%s why=\"%s\"", urls[i], e.msg);
		if (e.code != CODE_NET_REDIRECT)
			return false;
	}
	return false;
}

/* A token becomes part of a header line. */
static bool is_token(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] <= ' ' || v.p[i] >= 0x7f)
			return false;
	return v.len > 0;
}

/* IMDSv2. Without a token the request goes out all the same, as for IMDSv1. */
static int aws_token(char **header, const struct source_env *env, struct err *e)
{
	cleanup_http_reply struct http_reply reply = { 0 };
	struct http_request q = { .method = "PUT",
				  .url = IMDS "/latest/api/token",
				  .headers = aws_token_headers,
				  .reply_max = SOURCE_TOKEN_MAX };
	struct err why = { 0 };

	if (ask(&reply, env, &q, SOURCE_TOKEN_MS, &why) < 0) {
		log_debug("no IMDSv2 token", "why=\"%s\"", why.msg);
		return 0;
	}
	if (reply.status != 200 || !is_token(buf_view(&reply.body))) {
		log_debug("no IMDSv2 token", "status=%d", reply.status);
		return 0;
	}
	if (asprintf(header, "X-aws-ec2-metadata-token: %s", buf_str(&reply.body)) < 0) {
		*header = NULL;
		return err_set(e, ERR_NOMEM, "no memory for a token");
	}
	return 0;
}

static int fetch_http(struct source_data *out, enum source_kind kind, const struct source_env *env,
		      struct err *e)
{
	cleanup_http_reply struct http_reply reply = { 0 };
	cleanup_free char *token = NULL;
	const char *aws_headers[] = { NULL, NULL };
	bool base64 = sources[kind].base64;
	struct http_request q = {
		.method = "GET",
		.url = sources[kind].url,
		.headers = sources[kind].headers,
		.reply_max = base64 ? USERDATA_BASE64_MAX : USERDATA_TEXT_MAX,
	};
	int r;

	if (kind == SOURCE_AWS) {
		r = aws_token(&token, env, e);
		if (r < 0)
			return r;
		aws_headers[0] = token;
		q.headers = aws_headers;
	}
	r = ask(&reply, env, &q, SOURCE_TRY_MS, e);
	if (r == -ERR_NOMEM)
		return r;
	if (r < 0)
		return err_wrap_code(
			e, r == -ERR_LIMIT ? CODE_USERDATA_TOO_LARGE : CODE_USERDATA_UNAVAILABLE,
			"user-data from %s", sources[kind].name);
	if (reply.status != 200)
		return err_code(e, CODE_USERDATA_UNAVAILABLE, "user-data from %s: %s: status %d",
				sources[kind].name, q.url, reply.status);
	out->form = base64 ? SOURCE_BASE64 : SOURCE_PLAIN;
	out->bytes = reply.body;
	reply.body = (struct buf){ 0 };
	return 0;
}

/* --- files and disks -------------------------------------------------------- */

/* Anything but "not there": what cannot be looked at must not count as absent. */
static int is_there(const char *root, const char *path, bool *out, struct err *e)
{
	cleanup_free char *full = fs_join(root, path);
	struct stat st;

	if (!full)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	*out = lstat(full, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
	return 0;
}

static int fetch_cidata(struct source_data *out, const struct source_env *env, struct err *e)
{
	cleanup_free char *path = fs_join(env->root, SOURCE_CIDATA_PATH);
	cleanup_buf struct buf b = BUF_MAX(USERDATA_TEXT_MAX);
	int r;

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = fs_read(&b, path, USERDATA_TEXT_MAX, e);
	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_USERDATA_TOO_LARGE, "user-data");
	if (r < 0)
		return r == -ERR_NOMEM ? r : err_wrap_code(e, CODE_INITDATA_SOURCE, "user-data");
	out->form = SOURCE_PLAIN;
	out->bytes = b;
	b = (struct buf){ 0 };
	return 0;
}

static int fetch_block(struct source_data *out, const struct source_env *env, struct err *e)
{
	cleanup_blockdev struct blockdev disk = { 0 };
	int r = blockdev_find(&disk, env->root, env->plain_files, e);

	if (r < 0)
		return r;
	out->form = r == 1 ? SOURCE_GZIP : SOURCE_NOTHING;
	out->bytes = disk.gzip;
	disk.gzip = (struct buf){ 0 };
	return 0;
}

static int is_block(bool *out, const struct source_env *env, struct err *e)
{
	cleanup_source_data struct source_data d = { 0 };
	int r = fetch_block(&d, env, e);

	*out = r == 0 && d.form == SOURCE_GZIP;
	return r;
}

int source_choose(enum source_kind *out, const struct source_env *env, struct err *e)
{
	const struct source_probe *p = &env->probe;
	bool file = false, label = false, block = false;
	bool kvm = strncmp(p->hypervisor, "KVM", 3) == 0;
	int r;

	if ((r = is_there(env->root, SOURCE_CIDATA_PATH, &file, e)) < 0 ||
	    (r = is_there(env->root, "/dev/disk/by-label/cidata", &label, e)) < 0)
		return r;
	if (!file && !label && (r = is_block(&block, env, e)) < 0)
		return r;
	if (file || label)
		*out = SOURCE_CIDATA;
	else if (block)
		*out = SOURCE_BLOCK;
	else if (strcmp(p->hypervisor, "Microsoft Hv") == 0)
		*out = SOURCE_AZURE;
	else if (strcmp(p->manufacturer, "Amazon EC2") == 0)
		*out = SOURCE_AWS;
	else if (kvm && (strcmp(p->manufacturer, "Google") == 0 || gcp_answers(env)))
		*out = SOURCE_GCP;
	else if (strcmp(p->manufacturer, "Alibaba Cloud") == 0)
		*out = SOURCE_ALIBABA;
	else
		*out = SOURCE_NONE;
	return 0;
}

int source_fetch(struct source_data *out, enum source_kind kind, const struct source_env *env,
		 struct err *e)
{
	if (sources[kind].url)
		return fetch_http(out, kind, env, e);
	if (kind == SOURCE_CIDATA)
		return fetch_cidata(out, env, e);
	if (kind == SOURCE_BLOCK)
		return fetch_block(out, env, e);
	out->form = SOURCE_NOTHING;
	return 0;
}

void source_data_done(struct source_data *d)
{
	buf_done(&d->bytes);
	*d = (struct source_data){ 0 };
}
