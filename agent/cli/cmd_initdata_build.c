/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/gunzip.h"
#include "agent/cli/cli.h"
#include "agent/cli/cmd_initdata.h"
#include "agent/setup/guest.h"
#include "initdata/blockdev.h"

#include <stdio.h>

enum { DATA_MAX = 64 };

/* One [data] member to be. */
struct member {
	const char *key;
	size_t key_len;
	const char *file;
};

struct members {
	struct member m[DATA_MAX];
	size_t n;
};

static int add(struct members *all, const char *key, size_t key_len, const char *file)
{
	if (!file)
		return -1;
	for (size_t i = 0; i < all->n; i++)
		if (all->m[i].key_len == key_len && memcmp(all->m[i].key, key, key_len) == 0)
			return cli_usage("initdata build", "the key %.*s is given twice",
					 (int)key_len, key);
	if (all->n == DATA_MAX)
		return cli_usage("initdata build", "more than %d keys", DATA_MAX);
	all->m[all->n++] = (struct member){ key, key_len, file };
	return -1;
}

/* KEY=FILE. Returns -1 to go on. */
static int add_data(struct members *all, const char *arg)
{
	const char *eq = strchr(arg, '=');

	if (!eq || eq == arg || eq[1] == '\0')
		return cli_usage("initdata build", "--data %s: want KEY=FILE", arg);
	for (const char *p = arg; p < eq; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return cli_usage("initdata build",
					 "--data: a control character in the key");
	return add(all, arg, (size_t)(eq - arg), eq + 1);
}

/*
 * cli_parse() keeps the last value of an option; --data may be given many times, so those are
 * taken out first. args has room for argc. Returns -1 to go on.
 */
static int take_data(struct members *all, int *n, char **args, int argc, char **argv)
{
	*n = 0;
	for (int i = 0; i < argc; i++) {
		const char *arg = NULL;
		int r;

		if (strcmp(argv[i], "--data") == 0 && i + 1 < argc)
			arg = argv[++i];
		else if (strncmp(argv[i], "--data=", 7) == 0)
			arg = argv[i] + 7;
		if (!arg) {
			args[(*n)++] = argv[i];
			continue;
		}
		r = add_data(all, arg);
		if (r >= 0)
			return r;
	}
	return -1;
}

static int put_member(struct buf *out, const struct member *m, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(INITDATA_TEXT_MAX);
	int r = cli_read(&text, m->file, INITDATA_TEXT_MAX, e);

	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_INITDATA_TOO_LARGE, "initdata");
	if (r < 0)
		return r;
	if (!enc_is_utf8(buf_view(&text)))
		return err_set(e, ERR_FORMAT, "%s is not UTF-8, which TOML must be", m->file);
	toml_put_string(out, (struct view){ (const uint8_t *)m->key, m->key_len });
	buf_puts(out, " = ");
	toml_put_string(out, buf_view(&text));
	buf_putc(out, '\n');
	return 0;
}

static int write_text(struct buf *out, const char *algorithm, const struct members *all,
		      struct err *e)
{
	buf_printf(out, "version = \"0.1.0\"\nalgorithm = \"%s\"\n\n[data]\n", algorithm);
	for (size_t i = 0; i < all->n; i++) {
		int r = put_member(out, &all->m[i], e);

		if (r < 0)
			return r;
	}
	return buf_check(out, "initdata", e);
}

/* What a guest will do with it: read it, find every text in it as it was, take its configuration.
 */
static int check(const struct buf *delivered, const struct members *all, struct err *e)
{
	cleanup_initdata struct initdata d = { 0 };
	struct guest_config config = { 0 };
	int r = initdata_load(&d, buf_view(delivered), e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < all->n; i++) {
		cleanup_free char *key = strndup(all->m[i].key, all->m[i].key_len);

		if (!key)
			return err_set(e, ERR_NOMEM, "no memory for a key");
		if (!initdata_get(&d, key, NULL))
			return err_set(e, ERR_INTERNAL, "the key %s does not read back", key);
	}
	r = guest_config_load(&config, &d, e);
	guest_config_done(&config);
	return r;
}

/* The disk by which native kata hands the text to its guest. */
static int write_image(const char *path, const struct buf *text, struct err *e)
{
	cleanup_buf struct buf gzip = BUF_MAX(BLOCKDEV_GZIP_MAX);
	cleanup_buf struct buf image = BUF_MAX(BLOCKDEV_GZIP_MAX + 1024);
	int r = gunzip_pack(&gzip, buf_view(text), e);

	if (r == 0)
		r = blockdev_image(&image, buf_view(&gzip), e);
	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_INITDATA_TOO_LARGE, "initdata");
	return r < 0 ? r : fs_write(path, buf_view(&image), 0644, e);
}

static int build(const char *algorithm, const struct members *all, bool encode, const char *image,
		 struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(INITDATA_TEXT_MAX);
	cleanup_buf struct buf code = BUF_MAX(INITDATA_ENCODED_MAX);
	int r = write_text(&text, algorithm, all, e);

	if (r == 0 && encode)
		r = initdata_encode(&code, buf_view(&text), e);
	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_INITDATA_TOO_LARGE, "initdata");
	if (r == 0)
		r = check(encode ? &code : &text, all, e);
	if (r == 0 && image)
		r = write_image(image, &text, e);
	if (r < 0)
		return r;
	if (encode)
		buf_putc(&code, '\n');
	return cli_print(encode ? &code : &text);
}

static const char about[] =
	"Make an initdata of files and print it: the TOML text, or with --encode what goes into\n"
	"the pod's annotation io.katacontainers.config.hypervisor.cc_init_data. Each file is "
	"checked\n"
	"as the guest will check it.\n\n"
	"The pod is measured over the exact bytes: keep what was printed, and ask for its digest\n"
	"with `vouchsafe initdata digest`. Where a TPM binds it, only sha256 lets Trustee see the\n"
	"text; with the others it can judge no more than the PCR.\n\n"
	"  vouchsafe initdata build --aa aa.toml --policy policy.rego >initdata.toml\n"
	"  vouchsafe initdata build --aa aa.toml --encode >annotation\n"
	"  vouchsafe initdata build --aa aa.toml --image initdata.img >initdata.toml";

int initdata_build(int argc, char **argv)
{
	const char *aa = NULL, *cdh = NULL, *policy = NULL, *own = NULL, *algorithm = "sha256";
	const char *data = NULL, *image = NULL;
	bool encode = false;
	const struct cli_option options[] = {
		{ "--aa", NULL, &aa, "FILE  aa.toml: Trustee's URL and certificate" },
		{ "--cdh", NULL, &cdh,
		  "FILE  cdh.toml: settings of the confidential data hub" },
		{ "--policy", NULL, &policy,
		  "FILE  policy.rego: what the kata agent may be asked" },
		{ "--vouchsafe", NULL, &own, "FILE  vouchsafe.toml: vouchsafe's own settings" },
		{ "--data", NULL, &data, "KEY=FILE  another key; may be given many times" },
		{ "--algorithm", NULL, &algorithm,
		  "NAME  digest: sha256 (default), sha384, sha512 or sm3" },
		{ "--encode", &encode, NULL, "print base64 of gzip" },
		{ "--image", NULL, &image, "FILE  also write native kata's initdata disk" },
	};
	const struct cli_syntax syntax = {
		.command = "initdata build",
		.operands = "",
		.about = about,
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_free char **args = calloc((size_t)argc + 1, sizeof *args);
	struct members all = { 0 }, more = { 0 };
	enum hash_alg alg;
	struct err e;
	int n, r;

	if (!args)
		return EXIT_SYSTEM;
	if ((r = take_data(&more, &n, args, argc, argv)) >= 0 ||
	    (r = cli_parse(&syntax, n, args, NULL)) >= 0 ||
	    (r = add(&all, "aa.toml", 7, aa)) >= 0 || (r = add(&all, "cdh.toml", 8, cdh)) >= 0 ||
	    (r = add(&all, "vouchsafe.toml", 14, own)) >= 0 ||
	    (r = add(&all, "policy.rego", 11, policy)) >= 0)
		return r;
	for (size_t i = 0; i < more.n; i++)
		if ((r = add(&all, more.m[i].key, more.m[i].key_len, more.m[i].file)) >= 0)
			return r;
	if (hash_by_name(&alg, view_str(algorithm), NULL) < 0)
		return cli_usage("initdata build", "--algorithm %s: want sha256, sha384, sha512 or sm3",
				 algorithm);
	r = build(algorithm, &all, encode, image, &e);
	return r < 0 ? cli_fail(&e, false) : r;
}
