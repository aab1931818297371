/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/setup/verity.h"
#include "test/test.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>

#define HASH  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char root[64];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

static void clean(void)
{
	(void)nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void begin(void)
{
	snprintf(root, sizeof root, "/tmp/verity.XXXXXX");
	CHECK(mkdtemp(root) != NULL);
	(void)atexit(clean);
}

static void put(const char *path, const char *text)
{
	char full[256], *slash;

	snprintf(full, sizeof full, "%s%s", root, path);
	slash = strrchr(full, '/');
	*slash = '\0';
	CHECK_INT(fs_mkdirs(full, 0755, NULL), 0);
	*slash = '/';
	CHECK_INT(fs_write(full, view_str(text), 0644, NULL), 0);
}

static void put_dm(const char *device, const char *uuid, const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "/sys/dev/block/%s/dm/uuid", device);
	put(path, uuid);
	snprintf(path, sizeof path, "/sys/dev/block/%s/dm/name", device);
	put(path, name);
}

static struct verity_mount look(const char *path, const char *cmdline, bool measured)
{
	struct bootfacts facts = { .cmdline_measured = measured, .why = "it was not measured" };
	struct verity_mount m;

	snprintf(facts.cmdline, sizeof facts.cmdline, "%s", cmdline);
	verity_look(&m, root, path, &facts);
	return m;
}

#define ROOT_LINE  "21 1 253:0 / / ro,relatime shared:1 - erofs /dev/mapper/root ro\n"
#define PROC_LINE  "22 21 0:20 / /proc rw - proc proc rw\n"
#define USR_LINE   "30 21 253:1 / /usr ro,relatime - squashfs /dev/mapper/usr ro\n"
#define USR2_LINE  "30 21 253:1 / /usrx ro,relatime - squashfs /dev/mapper/usr ro\n"
#define US_LINE    "31 21 253:1 / /us ro,relatime - squashfs /dev/mapper/usr ro\n"
#define PLAIN_LINE "21 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n"

TEST(verity_look__root_on_verity__hash_of_the_command_line_and_whether_it_is_measured)
{
	struct verity_mount m;

	begin();
	put("/proc/self/mountinfo", ROOT_LINE PROC_LINE);
	put_dm("253:0", "CRYPT-VERITY-00000000000000000000000000000000-root\n", "root\n");
	m = look("/", "quiet roothash=" HASH, true);
	CHECK(m.known && m.own && m.verity && m.read_only && m.measured);
	CHECK(strcmp(m.hash, HASH) == 0 && strcmp(m.name, "root") == 0 && m.why[0] == '\0');
	CHECK_INT(m.from, VERITY_HASH_CMDLINE);
	m = look("/", "quiet roothash=" HASH, false);
	CHECK(m.verity && !m.measured && strcmp(m.why, "it was not measured") == 0);
	m = look("/", "quiet", true);
	CHECK(m.verity && !m.measured && !m.hash[0] && strstr(m.why, "only root may read"));
	/* "/usr" is a folder of it. */
	m = look("/usr", "roothash=" HASH, true);
	CHECK(m.known && !m.own && m.verity && m.measured);
	/* A mapping of another name is not the one that systemd made of roothash=. */
	put_dm("253:0", "CRYPT-VERITY-00-root\n", "mine\n");
	m = look("/", "roothash=" HASH, true);
	CHECK(m.verity && !m.measured && !m.hash[0]);
}

TEST(verity_look__other_mounts__are_no_verity_and_say_what_they_are)
{
	struct verity_mount m;

	begin();
	put("/proc/self/mountinfo", PLAIN_LINE PROC_LINE);
	m = look("/", "roothash=" HASH, true);
	CHECK(m.known && !m.verity && !m.read_only && !m.measured && !m.hash[0]);
	CHECK(strstr(m.why, "ext4, not on dm-verity") != NULL);
	/* dm-crypt is a mapping too. */
	put_dm("254:1", "CRYPT-LUKS2-0000-root\n", "root\n");
	CHECK(!look("/", "roothash=" HASH, true).verity);
	/* What is mounted over it counts. */
	put("/proc/self/mountinfo", ROOT_LINE PLAIN_LINE);
	put_dm("253:0", "CRYPT-VERITY-00-root\n", "root\n");
	CHECK(!look("/", "roothash=" HASH, true).verity);
	put("/proc/self/mountinfo", PLAIN_LINE ROOT_LINE);
	CHECK(look("/", "roothash=" HASH, true).measured);
	put("/proc/self/mountinfo", "nonsense\n\n" PROC_LINE);
	m = look("/", "", true);
	CHECK(!m.known && strstr(m.why, "no mount of it") != NULL);
	snprintf(root + strlen(root), 8, "x");
	m = look("/", "", true);
	CHECK(!m.known && m.why[0]);
	root[strlen(root) - 1] = '\0';
}

TEST(verity_look__usr__is_held_to_usrhash)
{
	struct verity_mount m;

	begin();
	put("/proc/self/mountinfo", PLAIN_LINE USR_LINE);
	put_dm("253:1", "CRYPT-VERITY-00-usr\n", "usr\n");
	m = look("/usr", "roothash=" OTHER " usrhash=" HASH, true);
	CHECK(m.own && m.verity && m.measured && strcmp(m.hash, HASH) == 0);
	CHECK(!look("/usr", "roothash=" HASH, true).measured);
	CHECK(!look("/", "usrhash=" HASH, true).verity);
	/* A mount whose name only begins so. */
	put("/proc/self/mountinfo", PLAIN_LINE USR2_LINE);
	CHECK(!look("/usr", "usrhash=" HASH, true).verity);
	put("/proc/self/mountinfo", PLAIN_LINE US_LINE);
	CHECK(!look("/usr", "usrhash=" HASH, true).verity);
}

TEST(verity_look__overlay__counts_as_far_as_its_layers_can_be_judged)
{
	static const struct {
		const char *options;
		bool verity, lower_only;
		const char *words;
	} rows[] = {
		{ "ro,lowerdir=/lower/a:/lower/b", true, false, "" },
		{ "rw,lowerdir=/lower,upperdir=/run/up,workdir=/run/work", false, true, "upper layer" },
		{ "ro,lowerdir=/lower:/run/x", false, false, "/run/x is tmpfs" },
		{ "ro,lowerdir=/sysroot/gone", false, false, "/sysroot/gone cannot be judged" },
		{ "ro,lowerdir=relative", false, false, "relative cannot be judged" },
		{ "ro", false, false, "does not show" },
	};

	begin();
	put_dm("253:0", "CRYPT-VERITY-00-root\n", "root\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[1024];
		struct verity_mount m;

		snprintf(text, sizeof text,
			 "31 21 253:0 / /lower ro - erofs /dev/mapper/root ro\n"
			 "32 21 0:30 / /run rw - tmpfs tmpfs rw\n"
			 "21 1 0:40 / / %s - overlay overlay %s\n",
			 rows[i].verity ? "ro" : "rw", rows[i].options);
		put("/proc/self/mountinfo", text);
		m = look("/", "roothash=" HASH, true);
		if (m.verity != rows[i].verity || m.lower_only != rows[i].lower_only ||
		    !strstr(m.why, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d %d \"%s\"", i, m.verity,
				  m.lower_only, m.why);
		CHECK_INT(m.measured, rows[i].verity);
	}
}

TEST(verity_params__table__root_hash_or_why_not)
{
	static const struct {
		const char *params;
		int kind;
		const char *words;
	} rows[] = {
		{ "1 7:0 7:1 4096 4096 64 1 sha256 " HASH " aa", 0, "" },
		{ "1 7:0 7:1 4096 4096 64 1 sha256 " HASH " aa 1 panic_on_corruption", 0, "" },
		{ "1 7:0 7:1 4096 4096 64 1 sha256 " HASH " aa 1 ignore_corruption", ERR_VERIFY,
		  "ignores corruption" },
		{ "1 7:0 7:1 4096 4096 64 1 sha256", ERR_FORMAT, "no root hash" },
		{ "1 7:0 7:1 4096 4096 64 1 sha256 -", ERR_FORMAT, "no root hash" },
		{ "1 7:0 7:1 4096 4096 64 1 sha256 g123456789abcdef0123456789abcdef", ERR_FORMAT,
		  "no hex" },
		{ "", ERR_FORMAT, "no root hash" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[129] = "-";
		struct err e = { 0 };

		CHECK_INT(verity_params(out, rows[i].params, &e), -rows[i].kind);
		CHECK(strstr(e.msg, rows[i].words) != NULL);
		CHECK(strcmp(out, rows[i].kind ? "-" : HASH) == 0);
	}
}

/* --- boot phases ---------------------------------------------------------------------------------- */

TEST(bootfacts_pcr11__words_of_phases__in_their_order_only)
{
	static const struct {
		const char *words[4];
		bool is;
		const char *found;
	} rows[] = {
		{ { NULL }, true, "" },
		{ { "sysinit", "ready" }, true, "sysinit ready" },
		{ { "enter-initrd", "leave-initrd", "sysinit", "ready" }, true,
		  "enter-initrd leave-initrd sysinit ready" },
		{ { "enter-initrd" }, true, "enter-initrd" },
		{ { "ready", "sysinit" }, false, "" },
		{ { "sysinit", "sysinit" }, false, "" },
		{ { "mine" }, false, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct digest log = { .len = 32, .b = { 7 } }, pcr = log;
		char words[64] = "-";
		bool is = !rows[i].is;

		for (size_t k = 0; k < 4 && rows[i].words[k]; k++)
			CHECK_INT(uki_pcr11_phase(&pcr, HASH_SHA256, rows[i].words[k], NULL), 0);
		CHECK_INT(bootfacts_pcr11(&is, words, &log, digest_view(&pcr), NULL), 0);
		CHECK_INT(is, rows[i].is);
		CHECK(strcmp(words, is ? rows[i].found : "-") == 0);
	}
}

TEST(bootfacts_look__nothing_there__says_what_is_missing)
{
	const struct attester_env env = { .root_fd = -1 };
	struct bootfacts f;

	begin();
	bootfacts_look(&f, root, &env);
	CHECK(!f.log && !f.replays && !f.cmdline_measured && strstr(f.why, "/proc/cmdline"));
	put("/proc/cmdline", "quiet\n");
	bootfacts_look(&f, root, &env);
	CHECK(strcmp(f.cmdline, "quiet") == 0);
	CHECK(!f.log && strstr(f.why, "CCEL"));
	put("/sys/firmware/acpi/tables/data/CCEL", "no log");
	bootfacts_look(&f, root, &env);
	CHECK(f.log && !f.replays && strstr(f.why, "cut short"));
	CHECK_INT(f.boot.secure_boot, -1);
}

/* A TPM that the host has put beside the hardware's own registers proves nothing of the boot. */
TEST(bootfacts_look__hardware_s_own_registers__come_before_a_tpm)
{
	char never_asked;
	struct attester_env env = { .tpm = (void *)&never_asked };
	struct bootfacts f;

	begin();
	put("/proc/cmdline", "quiet\n");
	env.root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bootfacts_look(&f, root, &env);
	CHECK(strstr(f.why, "binary_bios_measurements"));
	put("/sys/devices/platform/sev-guest/uevent", "");
	bootfacts_look(&f, root, &env);
	CHECK(!f.log && !f.replays && strstr(f.why, "SNP has no registers"));
	put("/proc/cpuinfo", "flags\t\t: fpu tdx_guest\n");
	bootfacts_look(&f, root, &env);
	CHECK(!f.replays && strstr(f.why, "CCEL"));
	(void)close(env.root_fd);
	clean();
}
