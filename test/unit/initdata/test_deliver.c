/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "initdata/deliver.h"
#include "test/test.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#define PP "/run/peerpod"
#define CC "/run/confidential-containers/initdata"

static char root[64];

static void begin(void)
{
	(void)snprintf(root, sizeof root, "/tmp/test_deliver.XXXXXX");
	CHECK(mkdtemp(root));
	(void)umask(022);
}

static const char *at(const char *path)
{
	static char full[256];

	(void)snprintf(full, sizeof full, "%s%s", root, path);
	return full;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names in a folder, sorted, each followed by a space. */
static void check_names(const char *folder, const char *want)
{
	cleanup_buf struct buf b = BUF_MAX(1024);
	char *names[16];
	size_t n = 0;
	DIR *d = opendir(at(folder));

	CHECK(d);
	for (struct dirent *x = readdir(d); x; x = readdir(d))
		if (x->d_name[0] != '.' && n < ARRAY_LEN(names))
			names[n++] = strdup(x->d_name);
	(void)closedir(d);
	qsort(names, n, sizeof names[0], by_name);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, "%s ", names[i]);
		free(names[i]);
	}
	if (!view_is(buf_view(&b), want))
		test_fail(__FILE__, __LINE__, "%s has %s", folder, buf_str(&b));
}

static void check_file(const char *path, const char *text)
{
	cleanup_buf struct buf b = BUF_MAX(4096);
	struct stat st;

	CHECK_INT(fs_read(&b, at(path), 4096, NULL), 0);
	CHECK(view_is(buf_view(&b), text));
	CHECK_INT(stat(at(path), &st), 0);
	CHECK_INT(st.st_mode & 07777, 0644);
}

static void clean(void)
{
	static const char *const folders[] = { PP, CC };
	static const char *const names[] = {
		"aa.toml",  "cdh.toml",  "policy.rego", "initdata.digest",     "initdata.toml",
		"apf.json", "auth.json", "initdata",    "scratch-space.marker"
	};
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			(void)snprintf(path, sizeof path, "%s/%s", folders[i], names[k]);
			(void)unlink(at(path));
		}
		(void)rmdir(at(folders[i]));
	}
	(void)rmdir(at("/run/confidential-containers"));
	(void)rmdir(at("/run"));
	CHECK_INT(rmdir(root), 0);
}

static const struct delivery whole = {
	.text = { (const uint8_t *)"TEXT", 4 },
	.digest = { .b = { 0xAB, 0x01 }, .len = 48 },
	.file = { [DELIVER_POLICY] = { (const uint8_t *)"POLICY", 6 },
		  [DELIVER_AA] = { (const uint8_t *)"AA", 2 },
		  [DELIVER_CDH] = { (const uint8_t *)"", 0 } },
};

TEST(deliver_write__all_keys__leaves_the_files_of_the_contract)
{
	struct stat st;

	begin();
	CHECK_INT(deliver_write(root, &whole, NULL), 0);
	check_names(PP, "aa.toml cdh.toml initdata.digest policy.rego ");
	check_names(CC, "aa.toml cdh.toml initdata.toml ");
	check_file(PP "/policy.rego", "POLICY");
	check_file(PP "/aa.toml", "AA");
	check_file(PP "/cdh.toml", "");
	check_file(CC "/aa.toml", "AA");
	check_file(CC "/cdh.toml", "");
	check_file(CC "/initdata.toml", "TEXT");
	check_file(PP "/initdata.digest", "ab0100000000000000000000000000000000000000000000"
					  "000000000000000000000000000000000000000000000000");
	CHECK_INT(stat(at(CC), &st), 0);
	CHECK_INT(st.st_mode & 07777, 0755);
	CHECK(strcmp(at(DELIVER_INITDATA_PATH), at(CC "/initdata.toml")) == 0);
	clean();
}

TEST(deliver_write__fewer_keys__leaves_what_the_image_ships_and_clears_our_folder)
{
	struct delivery d = whole;

	begin();
	CHECK_INT(deliver_write(root, &whole, NULL), 0);
	d.file[DELIVER_POLICY] = d.file[DELIVER_AA] = d.file[DELIVER_CDH] = (struct view){ 0 };
	CHECK_INT(deliver_write(root, &d, NULL), 0);
	check_names(PP, "aa.toml cdh.toml initdata.digest policy.rego ");
	check_names(CC, "initdata.toml ");
	clean();
}

/* Each step that can fail leaves initdata.toml, the sign that all is done, unwritten. */
TEST(deliver_write__a_step_fails__there_is_no_initdata_toml)
{
	static const char *const in_the_way[] = { PP "/policy.rego", PP "/aa.toml",
						  PP "/cdh.toml",    CC "/aa.toml",
						  CC "/cdh.toml",    PP "/initdata.digest" };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(in_the_way); i++) {
		begin();
		CHECK_INT(fs_mkdirs(at(in_the_way[i]), 0755, NULL), 0);
		CHECK_ERR(deliver_write(root, &whole, &e), ERR_SYSTEM, e, in_the_way[i]);
		CHECK(access(at(CC "/initdata.toml"), F_OK) < 0);
		CHECK_INT(access(at(PP "/policy.rego"), F_OK), 0);
		CHECK_INT(rmdir(at(in_the_way[i])), 0);
		clean();
	}
}

TEST(deliver_remove_policy__after_a_delivery__nothing_is_left)
{
	begin();
	CHECK_INT(deliver_write(root, &whole, NULL), 0);
	CHECK_INT(deliver_remove_policy(root, NULL), 0);
	check_names(PP, "");
	check_names(CC, "");
	CHECK_INT(deliver_remove_policy(root, NULL), 0);
	clean();
}

static struct delivery with_extras(void)
{
	struct delivery d = whole;

	d.extra[EXTRA_APF] = view_str("APF");
	d.extra[EXTRA_AUTH] = view_str("AUTH");
	d.extra[EXTRA_INITDATA] = view_str("CODE");
	d.extra[EXTRA_SCRATCH] = view_str("");
	return d;
}

TEST(deliver_write__extras__have_their_modes)
{
	static const mode_t modes[] = { [EXTRA_APF] = 0600,
					[EXTRA_AUTH] = 0600,
					[EXTRA_INITDATA] = 0644,
					[EXTRA_SCRATCH] = 0644 };
	struct delivery d = with_extras();
	struct stat st;

	begin();
	CHECK_INT(deliver_write(root, &d, NULL), 0);
	check_names(PP, "aa.toml apf.json auth.json cdh.toml initdata initdata.digest policy.rego "
			"scratch-space.marker ");
	for (int f = 0; f < DELIVER_EXTRAS; f++) {
		const char *path = deliver_extra_path((enum deliver_extra)f);
		cleanup_buf struct buf b = BUF_MAX(64);

		CHECK_INT(deliver_extra_of(view_str(path)), f);
		CHECK_INT(fs_read(&b, at(path), 64, NULL), 0);
		CHECK(view_eq(buf_view(&b), d.extra[f]));
		CHECK_INT(stat(at(path), &st), 0);
		CHECK_INT(st.st_mode & 07777, modes[f]);
	}
	/* They stay when the next delivery has none, and when the policy goes. */
	CHECK_INT(deliver_write(root, &whole, NULL), 0);
	CHECK_INT(deliver_remove_policy(root, NULL), 0);
	check_names(PP, "apf.json auth.json initdata scratch-space.marker ");
	clean();
}

TEST(deliver_write__a_step_fails__no_extra_is_left)
{
	static const char *const in_the_way[] = { PP "/policy.rego", PP "/initdata.digest",
						  PP "/auth.json", PP "/scratch-space.marker",
						  CC "/initdata.toml" };
	struct delivery d = with_extras();
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(in_the_way); i++) {
		begin();
		CHECK_INT(fs_mkdirs(at(in_the_way[i]), 0755, NULL), 0);
		CHECK_ERR(deliver_write(root, &d, &e), ERR_SYSTEM, e, in_the_way[i]);
		CHECK_INT(rmdir(at(in_the_way[i])), 0);
		for (int f = 0; f < DELIVER_EXTRAS; f++)
			CHECK(access(at(deliver_extra_path((enum deliver_extra)f)), F_OK) < 0);
		CHECK(access(at(CC "/initdata.toml"), F_OK) < 0);
		clean();
	}
}

TEST(deliver_extra_of__other_paths__are_none)
{
	static const char *const rows[] = { "", "/run/peerpod/aa.toml", "/run/peerpod/policy.rego",
					    "/run/peerpod/apf.json/", "/run/peerpod/apf.jso" };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_INT(deliver_extra_of(view_str(rows[i])), -1);
	CHECK_INT(deliver_extra_of((struct view){ (const uint8_t *)PP "/apf.json\0", 22 }), -1);
}
