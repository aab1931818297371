/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "initdata/blockdev.h"
#include "initdata/source.h"
#include "initdata/userdata.h"
#include "test/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define IMDS    "http://169.254.169.254"
#define GOOGLE  "http://metadata.google.internal/computeMetadata/v1/instance"
#define ALIBABA "http://100.100.100.200/latest/user-data"

/* One exchange as it must come, and what is answered. */
struct step {
	const char *method, *url;
	const char *header; /* the only one; NULL: none */
	int status;
	const char *body;
	enum err_code fails; /* CODE_OK: it does not */
};

struct script {
	const struct step *steps;
	size_t n, at;
};

static int round_trip(void *ctx, const struct http_request *q, struct http_reply *reply,
		      struct err *e)
{
	struct script *s = ctx;
	const struct step *step = &s->steps[s->at];
	const char *header = q->headers ? q->headers[0] : NULL;

	if (s->at >= s->n)
		test_fail(__FILE__, __LINE__, "asks once more: %s", q->url);
	s->at++;
	if (strcmp(q->method, step->method) != 0 || strcmp(q->url, step->url) != 0)
		test_fail(__FILE__, __LINE__, "%s %s", q->method, q->url);
	if ((header == NULL) != (step->header == NULL) ||
	    (header && strcmp(header, step->header) != 0))
		test_fail(__FILE__, __LINE__, "%s: header %s", q->url, header ? header : "none");
	CHECK(!header || !q->headers[1]);
	CHECK(!q->bearer && !q->cookie && !q->content_type && q->body.len == 0);
	CHECK(q->reply_max > 0 && q->reply_max <= USERDATA_BASE64_MAX);
	CHECK(deadline_left_ms(q->deadline) > 0);
	CHECK(deadline_left_ms(q->deadline) <= SOURCE_TRY_MS);
	if (step->fails != CODE_OK)
		return err_code(e, step->fails, "%s: no luck", q->url);
	reply->status = step->status;
	reply->body = BUF_MAX(q->reply_max);
	buf_puts(&reply->body, step->body ? step->body : "");
	return 0;
}

static char root[64];

static const char *at(const char *path)
{
	static char full[256];

	(void)snprintf(full, sizeof full, "%s%s", root, path);
	return full;
}

static void begin(void)
{
	(void)snprintf(root, sizeof root, "/tmp/test_source.XXXXXX");
	CHECK(mkdtemp(root));
}

static void put(const char *path, struct view bytes)
{
	cleanup_free char *folder = strdup(at(path));

	CHECK(folder);
	strrchr(folder, '/')[0] = '\0';
	CHECK_INT(fs_mkdirs(folder, 0755, NULL), 0);
	CHECK_INT(fs_write(at(path), bytes, 0644, NULL), 0);
}

static void end(void)
{
	static const char *const left[] = { "/media/cidata/user-data",
					    "/media/cidata",
					    "/media",
					    "/dev/disk/by-label/cidata",
					    "/dev/disk/by-label",
					    "/dev/disk",
					    "/dev/vda",
					    "/dev",
					    "/sys/class/dmi/id/sys_vendor",
					    "/sys/class/dmi/id",
					    "/sys/class/dmi",
					    "/sys/class",
					    "/sys",
					    "" };

	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		if (unlink(at(left[i])) < 0)
			(void)rmdir(at(left[i]));
	CHECK(access(root, F_OK) < 0);
}

static struct source_env env_of(struct script *s, const char *hypervisor, const char *manufacturer)
{
	struct source_env env = { .root = root,
				  .round_trip = round_trip,
				  .round_trip_ctx = s,
				  .deadline = deadline_in(60000),
				  .plain_files = true };

	(void)snprintf(env.probe.hypervisor, sizeof env.probe.hypervisor, "%s", hypervisor);
	(void)snprintf(env.probe.manufacturer, sizeof env.probe.manufacturer, "%s", manufacturer);
	return env;
}

static void put_block(void)
{
	cleanup_buf struct buf image = BUF_MAX(4096);

	CHECK_INT(blockdev_image(&image, view_str("gz"), NULL), 0);
	put("/dev/vda", buf_view(&image));
}

static const struct step gcp_yes = { "GET", GOOGLE, "Metadata-Flavor: Google", 200, "", 0 };
static const struct step gcp_404 = { "GET", GOOGLE, "Metadata-Flavor: Google", 404, "", 0 };
static const struct step gcp_dns = {
	"GET", GOOGLE, "Metadata-Flavor: Google", 0, NULL, CODE_NET_DNS
};
static const struct step gcp_slow = { "GET", GOOGLE, "Metadata-Flavor: Google",
				      0,     NULL,   CODE_NET_TIMEOUT };

TEST(source_choose__each_row_of_the_table__first_match_wins)
{
	static const struct {
		bool file, label, block;
		const char *hypervisor, *manufacturer;
		const struct step *asks; /* the one exchange, or NULL */
		enum source_kind want;
	} rows[] = {
		{ 1, 0, 0, "", "", NULL, SOURCE_CIDATA },
		{ 0, 1, 0, "", "", NULL, SOURCE_CIDATA },
		{ 1, 1, 1, "Microsoft Hv", "Amazon EC2", NULL, SOURCE_CIDATA },
		{ 0, 1, 1, "KVMKVMKVM", "Amazon EC2", NULL, SOURCE_CIDATA },
		{ 0, 0, 1, "Microsoft Hv", "Amazon EC2", NULL, SOURCE_BLOCK },
		{ 0, 0, 1, "KVMKVMKVM", "Alibaba Cloud", NULL, SOURCE_BLOCK },
		{ 0, 0, 0, "Microsoft Hv", "Amazon EC2", NULL, SOURCE_AZURE },
		{ 0, 0, 0, "Microsoft Hv", "", NULL, SOURCE_AZURE },
		{ 0, 0, 0, "KVMKVMKVM", "Amazon EC2", NULL, SOURCE_AWS },
		{ 0, 0, 0, "", "Amazon EC2", NULL, SOURCE_AWS },
		{ 0, 0, 0, "KVMKVMKVM", "QEMU", &gcp_yes, SOURCE_GCP },
		{ 0, 0, 0, "KVMKVMKVM", "Alibaba Cloud", &gcp_yes, SOURCE_GCP },
		{ 0, 0, 0, "KVMKVMKVM", "Google", NULL, SOURCE_GCP },
		{ 0, 0, 0, "KVMKVMKVM", "Alibaba Cloud", &gcp_404, SOURCE_ALIBABA },
		{ 0, 0, 0, "KVMKVMKVM", "Alibaba Cloud", &gcp_dns, SOURCE_ALIBABA },
		{ 0, 0, 0, "KVMKVMKVM", "Alibaba Cloud", &gcp_slow, SOURCE_ALIBABA },
		{ 0, 0, 0, "", "Alibaba Cloud", NULL, SOURCE_ALIBABA },
		{ 0, 0, 0, "KVMKVMKVM", "QEMU", &gcp_dns, SOURCE_NONE },
		{ 0, 0, 0, "", "Google", NULL, SOURCE_NONE },
		{ 0, 0, 0, "XenVMMXenVMM", "Amazon EC2 ", NULL, SOURCE_NONE },
		{ 0, 0, 0, "Microsoft H", "alibaba cloud", NULL, SOURCE_NONE },
		{ 0, 0, 0, "", "", NULL, SOURCE_NONE },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct script s = { rows[i].asks, rows[i].asks ? 1 : 0, 0 };
		struct source_env env;
		enum source_kind got = SOURCE_AUTO;

		begin();
		env = env_of(&s, rows[i].hypervisor, rows[i].manufacturer);
		if (rows[i].file)
			put("/media/cidata/user-data", view_str(""));
		if (rows[i].label) {
			CHECK_INT(fs_mkdirs(at("/dev/disk/by-label"), 0755, NULL), 0);
			CHECK_INT(symlink("../../sr0", at("/dev/disk/by-label/cidata")), 0);
		}
		if (rows[i].block)
			put_block();
		CHECK_INT(source_choose(&got, &env, NULL), 0);
		if (got != rows[i].want || s.at != s.n)
			test_fail(__FILE__, __LINE__, "row %zu: %s, asked %zu", i, source_name(got),
				  s.at);
		end();
	}
}

/* A folder, a dangling link: not "not found". */
TEST(source_choose__something_else_at_the_file__is_cidata_all_the_same)
{
	struct script s = { NULL, 0, 0 };
	enum source_kind got = SOURCE_AUTO;
	struct source_env env;

	begin();
	env = env_of(&s, "", "");
	CHECK_INT(fs_mkdirs(at("/media/cidata/user-data"), 0755, NULL), 0);
	CHECK_INT(source_choose(&got, &env, NULL), 0);
	CHECK_INT(got, SOURCE_CIDATA);
	CHECK_INT(rmdir(at("/media/cidata/user-data")), 0);
	CHECK_INT(symlink("nowhere", at("/media/cidata/user-data")), 0);
	got = SOURCE_AUTO;
	CHECK_INT(source_choose(&got, &env, NULL), 0);
	CHECK_INT(got, SOURCE_CIDATA);
	end();
}

TEST(source_choose__gcp_redirects__the_same_with_a_slash_decides)
{
	static const struct step rows[][2] = {
		{ { "GET", GOOGLE, "Metadata-Flavor: Google", 0, NULL, CODE_NET_REDIRECT },
		  { "GET", GOOGLE "/", "Metadata-Flavor: Google", 200, "x", 0 } },
		{ { "GET", GOOGLE, "Metadata-Flavor: Google", 0, NULL, CODE_NET_REDIRECT },
		  { "GET", GOOGLE "/", "Metadata-Flavor: Google", 0, NULL, CODE_NET_REDIRECT } },
		{ { "GET", GOOGLE, "Metadata-Flavor: Google", 0, NULL, CODE_NET_REDIRECT },
		  { "GET", GOOGLE "/", "Metadata-Flavor: Google", 403, "", 0 } },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct script s = { rows[i], 2, 0 };
		enum source_kind got = SOURCE_AUTO;
		struct source_env env;

		begin();
		env = env_of(&s, "KVMKVMKVM", "");
		CHECK_INT(source_choose(&got, &env, NULL), 0);
		CHECK_INT(got, i == 0 ? SOURCE_GCP : SOURCE_NONE);
		CHECK_INT(s.at, 2);
		end();
	}
}

TEST(source_choose__malformed_initdata_disk__is_an_error_and_not_passed_over)
{
	struct script s = { NULL, 0, 0 };
	enum source_kind got = SOURCE_AUTO;
	struct source_env env;
	struct err e;

	begin();
	env = env_of(&s, "Microsoft Hv", "");
	put("/dev/vda", (struct view){ (const uint8_t *)"initdata\0\0\0\0\0\0\0\0", 16 });
	CHECK_ERR(source_choose(&got, &env, &e), ERR_FORMAT, e, "vda");
	CHECK_INT(got, SOURCE_AUTO);
	end();
}

#define AZURE IMDS "/metadata/instance/compute/userData?api-version=2021-01-01&format=text"
#define TTL   "X-aws-ec2-metadata-token-ttl-seconds: 60"

static const struct fetch {
	enum source_kind kind;
	struct step steps[2];
	int form; /* -1: it fails */
	const char *bytes;
	enum err_code code;
} fetches[] = {
	{ SOURCE_AZURE,
	  { { "GET", AZURE, "Metadata: true", 200, "QQ==", 0 } },
	  SOURCE_BASE64,
	  "QQ==",
	  0 },
	{ SOURCE_GCP,
	  { { "GET", GOOGLE "/attributes/user-data", "Metadata-Flavor: Google", 200, "QQ==", 0 } },
	  SOURCE_BASE64,
	  "QQ==",
	  0 },
	{ SOURCE_ALIBABA, { { "GET", ALIBABA, NULL, 200, "A", 0 } }, SOURCE_PLAIN, "A", 0 },
	{ SOURCE_AWS,
	  { { "PUT", IMDS "/latest/api/token", TTL, 200, "AQAE_x-1==", 0 },
	    { "GET", IMDS "/latest/user-data", "X-aws-ec2-metadata-token: AQAE_x-1==", 200, "A",
	      0 } },
	  SOURCE_PLAIN,
	  "A",
	  0 },
	/* No token: without it. */
	{ SOURCE_AWS,
	  { { "PUT", IMDS "/latest/api/token", TTL, 404, "no", 0 },
	    { "GET", IMDS "/latest/user-data", NULL, 200, "A", 0 } },
	  SOURCE_PLAIN,
	  "A",
	  0 },
	{ SOURCE_AWS,
	  { { "PUT", IMDS "/latest/api/token", TTL, 0, NULL, CODE_NET_TIMEOUT },
	    { "GET", IMDS "/latest/user-data", NULL, 200, "A", 0 } },
	  SOURCE_PLAIN,
	  "A",
	  0 },
	{ SOURCE_AWS,
	  { { "PUT", IMDS "/latest/api/token", TTL, 200, "", 0 },
	    { "GET", IMDS "/latest/user-data", NULL, 200, "A", 0 } },
	  SOURCE_PLAIN,
	  "A",
	  0 },
	/* A token that would begin another header line. */
	{ SOURCE_AWS,
	  { { "PUT", IMDS "/latest/api/token", TTL, 200, "x\r\nHost: y", 0 },
	    { "GET", IMDS "/latest/user-data", NULL, 200, "A", 0 } },
	  SOURCE_PLAIN,
	  "A",
	  0 },
	{ SOURCE_AWS,
	  { { "PUT", IMDS "/latest/api/token", TTL, 200, "x y", 0 },
	    { "GET", IMDS "/latest/user-data", NULL, 200, "", 0 } },
	  SOURCE_PLAIN,
	  "",
	  0 },
	/* Only 200 counts. */
	{ SOURCE_ALIBABA,
	  { { "GET", ALIBABA, NULL, 404, "A", 0 } },
	  -1,
	  NULL,
	  CODE_USERDATA_UNAVAILABLE },
	{ SOURCE_ALIBABA,
	  { { "GET", ALIBABA, NULL, 201, "A", 0 } },
	  -1,
	  NULL,
	  CODE_USERDATA_UNAVAILABLE },
	{ SOURCE_ALIBABA,
	  { { "GET", ALIBABA, NULL, 204, "", 0 } },
	  -1,
	  NULL,
	  CODE_USERDATA_UNAVAILABLE },
	{ SOURCE_ALIBABA,
	  { { "GET", ALIBABA, NULL, 500, "A", 0 } },
	  -1,
	  NULL,
	  CODE_USERDATA_UNAVAILABLE },
	{ SOURCE_ALIBABA,
	  { { "GET", ALIBABA, NULL, 0, NULL, CODE_NET_REFUSED } },
	  -1,
	  NULL,
	  CODE_USERDATA_UNAVAILABLE },
	{ SOURCE_ALIBABA,
	  { { "GET", ALIBABA, NULL, 0, NULL, CODE_NET_REDIRECT } },
	  -1,
	  NULL,
	  CODE_USERDATA_UNAVAILABLE },
	{ SOURCE_ALIBABA,
	  { { "GET", ALIBABA, NULL, 0, NULL, CODE_NET_TOO_LARGE } },
	  -1,
	  NULL,
	  CODE_USERDATA_TOO_LARGE },
	{ SOURCE_NONE, { { 0 } }, SOURCE_NOTHING, "", 0 },
	{ SOURCE_BLOCK, { { 0 } }, SOURCE_NOTHING, "", 0 },
};

TEST(source_fetch__each_cloud__asks_as_its_service_wants_it)
{
	for (size_t i = 0; i < ARRAY_LEN(fetches); i++) {
		const struct fetch *f = &fetches[i];
		struct script s = { f->steps, !!f->steps[0].url + !!f->steps[1].url, 0 };
		cleanup_source_data struct source_data d = { 0 };
		struct source_env env;
		struct err e = { 0 };
		int r;

		begin();
		env = env_of(&s, "", "");
		r = source_fetch(&d, f->kind, &env, &e);
		if ((r < 0) != (f->form < 0) || e.code != f->code || s.at != s.n)
			test_fail(__FILE__, __LINE__, "row %zu: %d %s, asked %zu", i, r, e.msg,
				  s.at);
		if (r == 0 && ((int)d.form != f->form || !view_is(buf_view(&d.bytes), f->bytes)))
			test_fail(__FILE__, __LINE__, "row %zu: form %d", i, (int)d.form);
		CHECK(r == 0 || (strstr(e.msg, "user-data from alibaba") && !d.bytes.p));
		end();
	}
}

TEST(source_fetch__cidata_file__is_read_or_its_error_told)
{
	struct script s = { NULL, 0, 0 };
	cleanup_source_data struct source_data d = { 0 };
	struct source_env env;
	struct err e;

	begin();
	env = env_of(&s, "", "");
	CHECK_ERR(source_fetch(&d, SOURCE_CIDATA, &env, &e), ERR_SYSTEM, e, "not there");
	CHECK_INT(e.code, CODE_INITDATA_SOURCE);
	put("/media/cidata/user-data", view_str("A"));
	CHECK_INT(source_fetch(&d, SOURCE_CIDATA, &env, &e), 0);
	CHECK(d.form == SOURCE_PLAIN && view_is(buf_view(&d.bytes), "A"));
	CHECK_INT(truncate(at("/media/cidata/user-data"), USERDATA_TEXT_MAX + 1), 0);
	CHECK_ERR(source_fetch(&d, SOURCE_CIDATA, &env, &e), ERR_LIMIT, e, "2097152");
	CHECK_INT(e.code, CODE_USERDATA_TOO_LARGE);
	end();
}

TEST(source_fetch__block__is_its_gzip)
{
	struct script s = { NULL, 0, 0 };
	cleanup_source_data struct source_data d = { 0 };
	struct source_env env;

	begin();
	env = env_of(&s, "", "");
	put_block();
	CHECK_INT(source_fetch(&d, SOURCE_BLOCK, &env, NULL), 0);
	CHECK(d.form == SOURCE_GZIP && view_is(buf_view(&d.bytes), "gz"));
	end();
}

static int sees_deadline(void *ctx, const struct http_request *q, struct http_reply *reply,
			 struct err *e)
{
	(void)reply;
	*(int64_t *)ctx = deadline_left_ms(q->deadline);
	return err_code(e, CODE_NET_TIMEOUT, "slow");
}

TEST(source_fetch__overall_deadline_is_nearer__bounds_the_exchange)
{
	int64_t left = 0;
	struct source_env env = { .root = "",
				  .round_trip = sees_deadline,
				  .round_trip_ctx = &left };
	struct source_data d = { 0 };

	env.deadline = deadline_in(1000);
	CHECK_INT(source_fetch(&d, SOURCE_ALIBABA, &env, NULL), -ERR_NETWORK);
	CHECK(left > 0 && left <= 1000);
	env.deadline = deadline_in(3600000);
	CHECK_INT(source_fetch(&d, SOURCE_ALIBABA, &env, NULL), -ERR_NETWORK);
	CHECK(left > 1000 && left <= SOURCE_TRY_MS);
}

TEST(source_probe__vendor_file__is_read_without_its_line_end)
{
	static const struct {
		const char *file, *want;
	} rows[] = {
		{ "Amazon EC2\n", "Amazon EC2" },
		{ "Alibaba Cloud", "Alibaba Cloud" },
		{ "QEMU\nx\n", "QEMU" },
		{ "", "" },
		{ "0123456789012345678901234567890123456789012345678901234567890123456789\n", "" },
	};
	struct source_probe p;

	begin();
	source_probe(&p, root);
	CHECK(strcmp(p.manufacturer, "") == 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		put("/sys/class/dmi/id/sys_vendor", view_str(rows[i].file));
		source_probe(&p, root);
		if (strcmp(p.manufacturer, rows[i].want) != 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, p.manufacturer);
		CHECK(strnlen(p.hypervisor, sizeof p.hypervisor) < sizeof p.hypervisor);
	}
	end();
}

TEST(source_name__each_kind__reads_back)
{
	for (int k = SOURCE_AUTO; k <= SOURCE_NONE; k++)
		CHECK_INT(source_by_name(source_name((enum source_kind)k)), k);
	CHECK_INT(source_by_name("Azure"), -1);
	CHECK_INT(source_by_name(""), -1);
}
