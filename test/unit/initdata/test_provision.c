/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "initdata/initdata.h"
#include "initdata/provision.h"
#include "test/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TEXT                                                                                       \
	"version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n\"aa.toml\" = 'AA'\n"                \
	"\"policy.rego\" = 'package owner'\n"
#define PP "/run/peerpod/"
#define CC "/run/confidential-containers/initdata/"

/* A PCR, or with host_sets a HOST_DATA, of one digest; shared between processes. */
struct fake {
	uint8_t reg[32];
	int extends;
	int fail_read, fail_bind; /* kinds, 0 for none */
	bool ignores_bind, someone_else_extends, opened;
	bool die_before, die_after; /* kill -9 around the extend */
};

static struct fake *fake;
static char root[64];

static int reg_binding(void *ctx, struct view digest, enum provision_register *out, struct err *e)
{
	static const uint8_t zero[32];
	struct fake *f = ctx;

	if (f->fail_read)
		return err_set(e, (enum err_kind)f->fail_read, "the register is unreadable");
	*out = memcmp(f->reg, zero, 32) == 0       ? REGISTER_EMPTY
	       : memcmp(f->reg, digest.p, 32) == 0 ? REGISTER_MATCHES
						   : REGISTER_OTHER;
	return 0;
}

static int reg_bind(void *ctx, struct view digest, struct err *e)
{
	static const uint8_t zero[32];
	struct fake *f = ctx;

	if (f->fail_bind)
		return err_set(e, (enum err_kind)f->fail_bind, "the register cannot be extended");
	if (f->die_before)
		(void)raise(SIGKILL);
	f->extends++;
	/* A second extend makes something else of it, as a PCR does. */
	if (!f->ignores_bind)
		for (size_t i = 0; i < 32; i++)
			f->reg[i] = memcmp(f->reg, zero, 32) == 0 || i > 0 ? digest.p[i]
									   : f->reg[i] ^ 1;
	if (f->someone_else_extends)
		f->reg[0] ^= 1;
	if (f->die_after)
		(void)raise(SIGKILL);
	return 0;
}

static int mark_open(struct provision_platform *p, struct err *e)
{
	struct fake *f = p->ctx;

	(void)e;
	f->opened = true;
	return 0;
}

/* A folder with the policy that images ship, and a register. */
static void begin(void)
{
	(void)snprintf(root, sizeof root, "/tmp/test_provision.XXXXXX");
	CHECK(mkdtemp(root));
	fake = mmap(NULL, sizeof *fake, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(fake != MAP_FAILED);
}

static const char *at(const char *path)
{
	static char full[256];

	(void)snprintf(full, sizeof full, "%s%s", root, path);
	return full;
}

static void write_file(const char *path, const char *text)
{
	cleanup_free char *full = strdup(at(path));

	CHECK(full);
	strrchr(full, '/')[0] = '\0';
	CHECK_INT(fs_mkdirs(full, 0755, NULL), 0);
	CHECK_INT(fs_write(at(path), view_str(text), 0644, NULL), 0);
}

static bool exists(const char *path)
{
	return access(at(path), F_OK) == 0;
}

static bool holds(const char *path, const char *text)
{
	cleanup_buf struct buf b = BUF_MAX(1u << 20);

	return fs_read(&b, at(path), 1u << 20, NULL) == 0 && view_is(buf_view(&b), text);
}

static void end(void)
{
	static const char *const files[] = { PP "policy.rego",   PP "aa.toml",
					     PP "cdh.toml",      PP "initdata.digest",
					     CC "initdata.toml", CC "aa.toml",
					     CC "cdh.toml",      PROVISION_ERROR_PATH,
					     PP "initdata",      PROVISION_REPORT_PATH };
	static const char *const folders[] = {
		PP, CC, "/run/confidential-containers", "/run/vouchsafe", "/run", ""
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)unlink(at(files[i]));
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (rmdir(at(folders[i])) < 0 && errno != ENOENT)
			test_fail(__FILE__, __LINE__, "something is left in %s", at(folders[i]));
	(void)munmap(fake, sizeof *fake);
}

enum delivered { VALID, ABSENT, MALFORMED };
enum state { EMPTY, MATCHES, OTHER };
enum platform { PCR, HOST_FIELD, NO_REGISTER };

static void set_register(enum state s, enum delivered d)
{
	struct digest digest;
	struct view text = d == ABSENT ? initdata_dummy() : view_str(TEXT);

	CHECK_INT(digest_of(&digest, HASH_SHA256, text, NULL), 0);
	*fake = (struct fake){ 0 };
	if (s == MATCHES)
		memcpy(fake->reg, digest.b, 32);
	if (s == OTHER)
		fake->reg[5] = 7;
}

static struct provision_platform platform_of(enum platform p, bool permit)
{
	return (struct provision_platform){
		.ctx = fake,
		.open = mark_open,
		.binding = p == NO_REGISTER ? NULL : reg_binding,
		.bind = p == PCR ? reg_bind : NULL,
		.permit_unbound = permit,
	};
}

static int provision(struct provision_result *out, enum delivered d, struct provision_platform *p,
		     struct err *e)
{
	struct view text = view_str(d == MALFORMED ? TEXT "oops" : TEXT);

	return provision_run(out, d == ABSENT ? NULL : &text, p, root, e);
}

static void check_delivered(enum delivered d)
{
	if (d == VALID) {
		CHECK(holds(PP "policy.rego", "package owner"));
		CHECK(holds(PP "aa.toml", "AA"));
		CHECK(holds(CC "aa.toml", "AA"));
		CHECK(holds(CC "initdata.toml", TEXT));
		CHECK(exists(PP "initdata.digest"));
	} else {
		CHECK(holds(PP "policy.rego", "image's own"));
		CHECK(holds(PP "aa.toml", ""));
		CHECK(holds(CC "initdata.toml", (const char *)initdata_dummy().p));
		CHECK(holds(PP "initdata.digest", "adb48cc14fea9403d3d51f3b5f5068fd"
						  "4d80445a14e94f1b3d5dbabaad66478d"));
	}
	CHECK(!exists(PP "cdh.toml") && !exists(CC "cdh.toml"));
	CHECK(!exists(PROVISION_ERROR_PATH));
}

static void check_nothing_delivered(void)
{
	CHECK(!exists(PP "aa.toml") && !exists(PP "initdata.digest") &&
	      !exists(CC "initdata.toml"));
}

static const struct row {
	enum delivered d;
	enum platform p;
	enum state s;
	bool permit;
	enum err_code code; /* CODE_OK: it works */
	int how;            /* then */
	int extends;
} rows[] = {
	{ VALID, PCR, EMPTY, false, CODE_OK, PROVISION_BOUND, 1 },
	{ VALID, PCR, MATCHES, false, CODE_OK, PROVISION_ALREADY, 0 },
	{ VALID, PCR, OTHER, false, CODE_INITDATA_PCR8_IN_USE, 0, 0 },
	{ VALID, PCR, EMPTY, true, CODE_OK, PROVISION_BOUND, 1 },
	{ VALID, PCR, MATCHES, true, CODE_OK, PROVISION_ALREADY, 0 },
	{ VALID, PCR, OTHER, true, CODE_INITDATA_PCR8_IN_USE, 0, 0 },
	{ VALID, HOST_FIELD, EMPTY, false, CODE_INITDATA_DIGEST_MISMATCH, 0, 0 },
	{ VALID, HOST_FIELD, MATCHES, false, CODE_OK, PROVISION_ALREADY, 0 },
	{ VALID, HOST_FIELD, OTHER, false, CODE_INITDATA_DIGEST_MISMATCH, 0, 0 },
	{ VALID, HOST_FIELD, EMPTY, true, CODE_INITDATA_DIGEST_MISMATCH, 0, 0 },
	{ VALID, HOST_FIELD, MATCHES, true, CODE_OK, PROVISION_ALREADY, 0 },
	{ VALID, HOST_FIELD, OTHER, true, CODE_INITDATA_DIGEST_MISMATCH, 0, 0 },
	{ VALID, NO_REGISTER, EMPTY, false, CODE_INITDATA_UNBINDABLE, 0, 0 },
	{ VALID, NO_REGISTER, EMPTY, true, CODE_OK, PROVISION_UNBOUND, 0 },
	{ ABSENT, PCR, EMPTY, false, CODE_OK, PROVISION_BOUND, 1 },
	{ ABSENT, PCR, MATCHES, false, CODE_OK, PROVISION_ALREADY, 0 },
	{ ABSENT, PCR, OTHER, false, CODE_INITDATA_MISSING, 0, 0 },
	{ ABSENT, PCR, EMPTY, true, CODE_OK, PROVISION_BOUND, 1 },
	{ ABSENT, PCR, OTHER, true, CODE_INITDATA_MISSING, 0, 0 },
	{ ABSENT, HOST_FIELD, EMPTY, false, CODE_INITDATA_UNBINDABLE, 0, 0 },
	{ ABSENT, HOST_FIELD, EMPTY, true, CODE_OK, PROVISION_UNBOUND, 0 },
	{ ABSENT, HOST_FIELD, MATCHES, false, CODE_OK, PROVISION_ALREADY, 0 },
	{ ABSENT, HOST_FIELD, OTHER, false, CODE_INITDATA_MISSING, 0, 0 },
	{ ABSENT, HOST_FIELD, OTHER, true, CODE_INITDATA_MISSING, 0, 0 },
	{ ABSENT, NO_REGISTER, EMPTY, false, CODE_INITDATA_UNBINDABLE, 0, 0 },
	{ ABSENT, NO_REGISTER, EMPTY, true, CODE_OK, PROVISION_UNBOUND, 0 },
	{ MALFORMED, PCR, EMPTY, true, CODE_INITDATA_SYNTAX, 0, 0 },
	{ MALFORMED, PCR, MATCHES, true, CODE_INITDATA_SYNTAX, 0, 0 },
	{ MALFORMED, PCR, OTHER, false, CODE_INITDATA_SYNTAX, 0, 0 },
	{ MALFORMED, HOST_FIELD, EMPTY, false, CODE_INITDATA_SYNTAX, 0, 0 },
	{ MALFORMED, NO_REGISTER, EMPTY, true, CODE_INITDATA_SYNTAX, 0, 0 },
};

TEST(provision_run__every_row_of_the_table__binds_and_delivers_or_refuses)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct provision_platform p;
		struct provision_result out = { .alg = HASH_SHA512 };
		struct err e = { 0 };
		int r;

		begin();
		set_register(row->s, row->d);
		p = platform_of(row->p, row->permit);
		write_file(PP "policy.rego", "image's own");
		r = provision(&out, row->d, &p, &e);
		if ((r == 0) != (row->code == CODE_OK) || (r < 0 && e.code != row->code))
			test_fail(__FILE__, __LINE__, "row %zu: %s %s", i,
				  r < 0 ? err_name(&e) : "works", e.msg);
		CHECK_INT(fake->extends, row->extends);
		CHECK_INT(fake->opened, row->d != MALFORMED);
		if (r == 0) {
			CHECK_INT(out.how, row->how);
			CHECK_INT(out.dummy, row->d == ABSENT);
			CHECK(out.alg == HASH_SHA256 && out.digest.len == 32);
			check_delivered(row->d);
		} else {
			CHECK_INT(r, -(int)err_entry(row->code)->kind);
			CHECK_INT(out.alg, HASH_SHA512);
			check_nothing_delivered();
		}
		end();
	}
}

TEST(provision_run__register_fails_or_lies__is_refused)
{
	static const struct {
		struct fake f;
		enum err_kind kind;
		const char *words;
	} bad[] = {
		{ { .fail_read = ERR_DEVICE },
		  ERR_DEVICE,
		  "compare the initdata with the register: the" },
		{ { .fail_bind = ERR_DEVICE },
		  ERR_DEVICE,
		  "bind the initdata: the register cannot" },
		{ { .ignores_bind = true }, ERR_DEVICE, "empty after it was extended" },
		{ { .someone_else_extends = true }, ERR_VERIFY, "another value" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct provision_result out;
		struct provision_platform p;
		struct err e;

		begin();
		*fake = bad[i].f;
		p = platform_of(PCR, true);
		CHECK_ERR(provision(&out, VALID, &p, &e), bad[i].kind, e, bad[i].words);
		check_nothing_delivered();
		end();
	}
}

static int refuse_to_open(struct provision_platform *p, struct err *e)
{
	(void)p;
	return err_code(e, CODE_TPM_ACCESS, "no way");
}

TEST(provision_run__platform_does_not_open__is_its_error)
{
	struct provision_result out;
	struct provision_platform p;
	struct err e;

	begin();
	p = platform_of(PCR, true);
	p.open = refuse_to_open;
	CHECK_ERR(provision(&out, VALID, &p, &e), ERR_DEVICE, e, "no way");
	CHECK_INT(fake->extends, 0);
	check_nothing_delivered();
	end();
}

/* Run provisioning in a child that may be killed. Returns its wait status. */
static int in_a_child(enum delivered d)
{
	pid_t pid = fork();
	int status = -1;

	CHECK(pid >= 0);
	if (pid == 0) {
		struct provision_platform p = platform_of(PCR, false);
		struct provision_result out;

		_exit(provision(&out, d, &p, NULL) < 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

TEST(provision_run__killed_around_the_extend__is_finished_by_the_next_run)
{
	for (int before = 0; before < 2; before++) {
		for (int d = VALID; d <= ABSENT; d++) {
			int status;

			begin();
			write_file(PP "policy.rego", "image's own");
			fake->die_before = before;
			fake->die_after = !before;
			status = in_a_child((enum delivered)d);
			CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
			check_nothing_delivered();
			CHECK_INT(fake->extends, !before);
			fake->die_before = fake->die_after = false;
			CHECK_INT(in_a_child((enum delivered)d), 0);
			CHECK_INT(fake->extends, 1);
			check_delivered((enum delivered)d);
			end();
		}
	}
}

TEST(provision_run__again_with_other_initdata__is_refused_and_the_first_is_undone)
{
	struct provision_result out;
	struct provision_platform p;
	struct err e;

	begin();
	p = platform_of(PCR, true);
	CHECK_INT(provision(&out, VALID, &p, &e), 0);
	CHECK_ERR(provision(&out, ABSENT, &p, &e), ERR_VERIFY, e, "the register is set");
	CHECK_INT(provision_refuse(root, &e, NULL), 0);
	check_nothing_delivered();
	CHECK(!exists(PP "policy.rego"));
	CHECK(exists(PROVISION_ERROR_PATH));
	CHECK_INT(provision(&out, VALID, &p, &e), 0);
	check_delivered(VALID);
	CHECK_INT(fake->extends, 1);
	end();
}

TEST(provision_refuse__files_of_all_kinds__go_and_the_reason_stays)
{
	static const char *const stale[] = { PP "policy.rego",   PP "aa.toml",
					     PP "cdh.toml",      PP "initdata.digest",
					     CC "initdata.toml", CC "aa.toml",
					     CC "cdh.toml",      CC "policy.rego" };
	cleanup_buf struct buf b = BUF_MAX(4096);
	cleanup_json struct json *doc = NULL;
	struct stat st;
	struct err why;

	begin();
	for (size_t i = 0; i < ARRAY_LEN(stale); i++)
		write_file(stale[i], "stale");
	write_file(PP "auth.json", "not ours");
	(void)err_code(&why, CODE_INITDATA_SCHEMA, "no \"data\"\n");
	CHECK_INT(provision_refuse(root, &why, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(stale); i++)
		CHECK(!exists(stale[i]));
	CHECK(exists(PP "auth.json"));
	CHECK_INT(stat(at(PROVISION_ERROR_PATH), &st), 0);
	CHECK_INT(st.st_mode & 07777, 0600);
	CHECK_INT(fs_read(&b, at(PROVISION_ERROR_PATH), 4096, NULL), 0);
	CHECK_INT(json_parse(&doc, buf_view(&b), 4096, NULL), 0);
	CHECK(strcmp(json_string(json_get(doc, "code")), "initdata.schema") == 0);
	CHECK(strcmp(json_string(json_get(doc, "message")), "no \"data\"\n") == 0);
	CHECK_INT(strlen(json_string(json_get(doc, "time"))), 20);
	CHECK_INT(unlink(at(PP "auth.json")), 0);
	end();
}

TEST(provision_refuse__nothing_there__is_fine)
{
	struct err why;

	begin();
	(void)err_code(&why, CODE_PLATFORM_NONE, "none");
	CHECK_INT(provision_refuse(root, &why, NULL), 0);
	end();
}

TEST(provision_refuse__policy_cannot_be_removed__is_reported_and_the_rest_goes)
{
	struct err why, e;

	begin();
	/* A folder in its place: unlink(2) fails, for root too. */
	CHECK_INT(fs_mkdirs(at(PP "policy.rego"), 0755, NULL), 0);
	write_file(CC "initdata.toml", "stale");
	(void)err_code(&why, CODE_PLATFORM_NONE, "none");
	CHECK_ERR(provision_refuse(root, &why, &e), ERR_SYSTEM, e, "policy.rego: EISDIR");
	CHECK(!exists(CC "initdata.toml"));
	CHECK(exists(PROVISION_ERROR_PATH));
	CHECK_INT(rmdir(at(PP "policy.rego")), 0);
	end();
}

/* Whoever delivers the dummy is treated as if he had delivered nothing. */
TEST(provision_run__dummy_is_delivered__is_the_row_of_absent)
{
	static const struct {
		enum platform p;
		enum state s;
		bool permit;
		enum err_code code;
	} row[] = {
		{ HOST_FIELD, EMPTY, true, CODE_OK },
		{ HOST_FIELD, EMPTY, false, CODE_INITDATA_UNBINDABLE },
		{ HOST_FIELD, OTHER, true, CODE_INITDATA_MISSING },
		{ PCR, EMPTY, false, CODE_OK },
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct provision_result out = { 0 };
		struct view dummy = initdata_dummy();
		struct provision_platform p;
		struct err e = { 0 };

		begin();
		set_register(row[i].s, ABSENT);
		p = platform_of(row[i].p, row[i].permit);
		CHECK_INT(provision_run(&out, &dummy, &p, root, &e),
			  -(int)err_entry(row[i].code)->kind);
		CHECK_INT(e.code, row[i].code);
		CHECK_INT(out.dummy, row[i].code == CODE_OK);
		end();
	}
}

TEST(provision_deliver__extras__are_delivered_and_named)
{
	cleanup_isolated struct isolated in = { 0 };
	struct isolated_input what = { .form = ISOLATED_INITDATA, .bytes = view_str(TEXT) };
	struct provision_result out = { 0 };
	struct provision_platform p;

	begin();
	write_file(PROVISION_REPORT_PATH, "stale");
	p = platform_of(PCR, false);
	CHECK_INT(isolated_load(&in, &what, NULL), 0);
	in.d.extra[EXTRA_INITDATA] = view_str("CODE");
	CHECK_INT(provision_deliver(&out, &in, &p, root, NULL), 0);
	check_delivered(VALID);
	CHECK(holds(PP "initdata", "CODE"));
	CHECK(out.file[DELIVER_POLICY] && out.file[DELIVER_AA] && !out.file[DELIVER_CDH]);
	CHECK(out.extra[EXTRA_INITDATA] && !out.extra[EXTRA_APF]);
	CHECK(!exists(PROVISION_REPORT_PATH));
	end();
}

static void check_report(const char *source, const struct provision_result *done,
			 const struct err *why, const char *skipped, const char *want)
{
	cleanup_buf struct buf b = BUF_MAX(65536);
	cleanup_json struct json *doc = NULL;
	struct stat st;
	const char *time;
	size_t len;

	CHECK_INT(provision_report(root, source, done, why, view_str(skipped), NULL), 0);
	CHECK_INT(stat(at(PROVISION_REPORT_PATH), &st), 0);
	CHECK_INT(st.st_mode & 07777, 0644);
	CHECK_INT(fs_read(&b, at(PROVISION_REPORT_PATH), 65536, NULL), 0);
	CHECK_INT(json_parse(&doc, buf_view(&b), 65536, NULL), 0);
	time = json_string(json_get(doc, "time"));
	CHECK(time && strlen(time) == 20);
	/* All the rest is compared. */
	len = strlen(want);
	if (b.len < len || memcmp(b.p, want, strcspn(want, "@")) != 0 ||
	    strcmp(buf_str(&b) + b.len - strlen(strchr(want, '@') + 1), strchr(want, '@') + 1) != 0)
		test_fail(__FILE__, __LINE__, "%s", buf_str(&b));
}

TEST(provision_report__each_outcome__is_json_without_secrets)
{
	struct provision_result done = { .how = PROVISION_ALREADY,
					 .dummy = true,
					 .alg = HASH_SHA384,
					 .digest = { .b = { 0xab }, .len = 2 } };
	struct err why;

	begin();
	check_report("none", &done, NULL, "",
		     "{\"source\":\"none\",\"outcome\":\"already-bound\",\"time\":\"@\","
		     "\"dummy\":true,\"algorithm\":\"sha384\",\"digest\":\"ab00\","
		     "\"files\":[\"/run/peerpod/initdata.digest\","
		     "\"/run/confidential-containers/initdata/initdata.toml\"],\"skipped\":[]}\n");
	done = (struct provision_result){ .how = PROVISION_BOUND,
					  .digest = { .b = { 1 }, .len = 1 },
					  .file = { true, false, true },
					  .extra = { true, false, false, true } };
	check_report("aws", &done, NULL, "/a \"b\n/c\n",
		     "{\"source\":\"aws\",\"outcome\":\"bound\",\"time\":\"@\","
		     "\"dummy\":false,\"algorithm\":\"sha256\",\"digest\":\"01\","
		     "\"files\":[\"/run/peerpod/policy.rego\",\"/run/peerpod/cdh.toml\","
		     "\"/run/confidential-containers/initdata/cdh.toml\","
		     "\"/run/peerpod/apf.json\",\"/run/peerpod/scratch-space.marker\","
		     "\"/run/peerpod/initdata.digest\","
		     "\"/run/confidential-containers/initdata/initdata.toml\"],"
		     "\"skipped\":[\"/a \\\"b\",\"/c\"]}\n");
	(void)err_code(&why, CODE_USERDATA_SYNTAX, "a reason that stays in the other file");
	check_report("azure", NULL, &why, "",
		     "{\"source\":\"azure\",\"outcome\":\"refused\",\"time\":\"@\","
		     "\"code\":\"userdata.syntax\"}\n");
	end();
}
