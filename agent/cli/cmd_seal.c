/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/cli/cli.h"
#include "agent/crypto/jwk.h"
#include "agent/crypto/jws.h"
#include "agent/secrets/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

enum { TEXT_MAX = 4 * SEALED_TEXT_MAX };

/* Read a key file straight into locked memory; "-" is standard input. */
static int read_key(struct secret *out, const char *path, struct err *e)
{
	cleanup_close int fd = -1;

	if (strcmp(path, "-") == 0)
		return secret_read(out, STDIN_FILENO, JWK_TEXT_MAX, "standard input", e);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_NOTFOUND, "%s: not there", path);
	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	return secret_read(out, fd, JWK_TEXT_MAX, path, e);
}

/* --- vault ---------------------------------------------------------------------------------- */

static int vault(int argc, char **argv)
{
	const char *kid = NULL, *jwk = NULL, *uri = NULL, *provider = "kbs";
	bool json = false;
	const struct cli_option options[] = {
		{ "--signing-kid", NULL, &kid,
		  "KID  URI at which Trustee has the public JWK, or the name of\n"
		  "a file in the guest's credential directory" },
		{ "--signing-jwk-path", NULL, &jwk,
		  "FILE  private P-256 JWK; - is standard input" },
		{ "--resource-uri", NULL, &uri,
		  "URI  what it stands for: kbs:///repository/type/tag" },
		{ "--provider", NULL, &provider,
		  "NAME  who has it; only kbs (the default)" },
		{ "--json", &json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "seal vault",
		.operands = "",
		.about = "Make a sealed secret that stands for a resource at Trustee; print it.\n"
			 "Put the line into a pod as the value of an environment variable or as\n"
			 "the content of a file. The secret itself and the public JWK go to\n"
			 "Trustee.\n"
			 "\n"
			 "  vouchsafe seal vault --signing-jwk-path mine-private.json \\\n"
			 "      --signing-kid kbs:///default/signing-key/mine \\\n"
			 "      --resource-uri kbs:///default/db/password",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_secret struct secret key = { 0 };
	cleanup_buf struct buf sealed = BUF_MAX(SEALED_TEXT_MAX), out = BUF_MAX(TEXT_MAX);
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (!kid || !jwk || !uri)
		return cli_usage(syntax.command, "%s is needed",
				 !kid   ? "--signing-kid"
				 : !jwk ? "--signing-jwk-path"
					: "--resource-uri");
	r = read_key(&key, jwk, &e);
	if (r == 0)
		r = sealed_make_vault(&sealed, kid, &key, uri, provider, &e);
	if (r < 0)
		return cli_fail(&e, json);
	if (!json) {
		buf_putc(&sealed, '\n');
		return cli_print(&sealed);
	}
	buf_printf(&out, "{\"sealed\":\"%s\",\"kid\":", buf_str(&sealed));
	json_put_string(&out, view_str(kid));
	buf_puts(&out, ",\"resource\":");
	json_put_string(&out, view_str(uri));
	buf_puts(&out, "}\n");
	return cli_print(&out);
}

/* --- keygen --------------------------------------------------------------------------------- */

/* Make a new file with these bytes; one that exists is left as it is. */
static int write_new(int dir, const char *name, struct view bytes, mode_t mode, struct err *e)
{
	cleanup_close int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int r;

	if (fd < 0 && errno == EEXIST)
		return err_set(e, ERR_USAGE, "%s exists already; nothing is overwritten", name);
	if (fd < 0)
		return err_sys(e, errno, "create %s", name);
	r = fs_write_fd(fd, bytes, name, e);
	if (r == 0 && fsync(fd) < 0)
		r = err_sys(e, errno, "sync %s", name);
	if (r < 0)
		(void)unlinkat(dir, name, 0);
	return r;
}

static int write_pair(const char *dir, const char *private_name, const char *public_name,
		      const struct secret *private_json, const struct buf *public_json,
		      struct err *e)
{
	cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return errno == ENOENT ? err_set(e, ERR_NOTFOUND, "%s: not there", dir)
				       : err_sys(e, errno, "open %s", dir);
	r = write_new(fd, private_name,
		      (struct view){ secret_bytes(private_json), private_json->len }, 0600, e);
	if (r < 0)
		return r;
	r = write_new(fd, public_name, buf_view(public_json), 0644, e);
	if (r < 0)
		(void)unlinkat(fd, private_name, 0);
	return r;
}

static void put_path(struct buf *out, const char *dir, const char *name, bool json)
{
	cleanup_buf struct buf path = BUF_MAX(8192);

	buf_printf(&path, "%s/%s", dir, name);
	if (json)
		json_put_string(out, buf_view(&path));
	else
		buf_putv(out, buf_view(&path));
}

static int keygen(int argc, char **argv)
{
	const char *kid = "sealed-signing", *dir = ".";
	bool json = false;
	const struct cli_option options[] = {
		{ "--kid", NULL, &kid,
		  "NAME  name of the key and of its files (default: sealed-signing)" },
		{ "--output-dir", NULL, &dir, "DIR  where to write (default: here)" },
		{ "--json", &json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "seal keygen",
		.operands = "",
		.about = "Make a key pair for sealing: NAME-private.json (mode 0600), which\n"
			 "stays with you, and NAME-public.json, which goes to Trustee. Nothing is\n"
			 "overwritten.\n"
			 "\n"
			 "  vouchsafe seal keygen --kid mine",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_secret struct secret private_json = { 0 };
	cleanup_buf struct buf public_json = BUF_MAX(JWK_TEXT_MAX), out = BUF_MAX(TEXT_MAX);
	char private_name[256], public_name[256];
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (kid[0] == '\0' || kid[0] == '.' || strchr(kid, '/') || strlen(kid) > 200 ||
	    !enc_is_utf8(view_str(kid)))
		return cli_usage(syntax.command,
				 "--kid becomes a file name: no slash, no dot in front, "
				 "at most 200 bytes (the URI is for seal vault)");
	(void)snprintf(private_name, sizeof private_name, "%s-private.json", kid);
	(void)snprintf(public_name, sizeof public_name, "%s-public.json", kid);
	r = jwk_generate_es256(&private_json, &public_json, kid, &e);
	if (r == 0)
		r = write_pair(dir, private_name, public_name, &private_json, &public_json, &e);
	if (r < 0)
		return cli_fail(&e, json);
	buf_puts(&out, json ? "{\"private\":" : "private: ");
	put_path(&out, dir, private_name, json);
	buf_puts(&out, json ? ",\"public\":" : "\npublic:  ");
	put_path(&out, dir, public_name, json);
	buf_puts(&out, json ? "}\n" : "\n");
	return cli_print(&out);
}

/* --- inspect -------------------------------------------------------------------------------- */

struct look {
	struct buf header; /* JSON text */
	struct jws jws;
	const char *signature;      /* "not checked", "valid", or a code */
	char resource[URI_MAX + 1]; /* what vouchsafe would ask Trustee for, "" when it would not */
};

static void look_done(struct look *l)
{
	buf_done(&l->header);
	jws_done(&l->jws);
}

#define cleanup_look __attribute__((cleanup(look_done)))

/* Stands for Trustee: notes what is asked for. */
static int note_resource(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
			 struct err *e)
{
	struct look *l = ctx;

	(void)d;
	memcpy(l->resource, uri->text, sizeof l->resource);
	return secret_alloc(out, 1, e);
}

/* Would it be unsealed, its signature aside? Runs the very code that unseals. */
static int try_payload(struct look *l, struct view text, struct err *e)
{
	const struct sealed_rules rules = {
		.resource = note_resource,
		.resource_ctx = l,
		.skip_verification = true,
	};
	cleanup_secret struct secret none = { 0 };
	cleanup_buf struct buf whole = BUF_MAX(SEALED_TEXT_MAX);

	buf_puts(&whole, "sealed.");
	buf_putv(&whole, text);
	if (buf_check(&whole, "sealed secret", e) < 0)
		return -ERR_LIMIT;
	return sealed_unseal(&none, &rules, NULL, buf_view(&whole), deadline_in(1000), e);
}

static int read_sealed(struct look *l, struct view *text, struct err *e)
{
	struct view head;
	const uint8_t *dot;
	int r;

	while (text->len > 0 && strchr(" \t\r\n", text->p[text->len - 1]) &&
	       text->p[text->len - 1] != 0)
		text->len--;
	for (; sealed_is(*text); text->len -= strlen("sealed."))
		text->p += strlen("sealed.");
	r = jws_parse(&l->jws, *text, e);
	if (r < 0)
		return r == -ERR_FORMAT ? err_wrap_code(e, CODE_SEALED_FORMAT, "sealed secret") : r;
	dot = memchr(text->p, '.', text->len);
	head = (struct view){ text->p, (size_t)(dot - text->p) };
	return enc_base64_decode(&l->header, ENC_B64U, head, e);
}

/* JSON for a terminal: on one line, and without the C1 controls that JSON lets through. */
static void put_line(struct buf *out, const char *what, struct view json)
{
	buf_puts(out, what);
	for (size_t i = 0; i < json.len; i++) {
		bool c1 = json.p[i] == 0xc2 && i + 1 < json.len && json.p[i + 1] < 0xa0;

		buf_putc(out, c1 ? '?' : json.p[i] < ' ' || json.p[i] == 0x7f ? ' ' : json.p[i]);
		i += c1;
	}
	buf_putc(out, '\n');
}

static void put_look(struct buf *out, const struct look *l, bool json)
{
	if (!json) {
		put_line(out, "header:    ", buf_view(&l->header));
		put_line(out, "payload:   ", buf_view(&l->jws.payload));
		put_line(out, "resource:  ", view_str(l->resource[0] ? l->resource : "none"));
		put_line(out, "signature: ", view_str(l->signature));
		return;
	}
	buf_puts(out, "{\"header\":");
	buf_putv(out, buf_view(&l->header));
	buf_puts(out, ",\"payload\":");
	buf_putv(out, buf_view(&l->jws.payload));
	buf_puts(out, ",\"resource\":");
	if (l->resource[0])
		json_put_string(out, view_str(l->resource));
	else
		buf_puts(out, "null");
	buf_printf(out, ",\"signature\":\"%s\"}\n", l->signature);
}

static int check_signature(struct look *l, const char *jwk, struct err *e)
{
	cleanup_secret struct secret key = { 0 };
	int r;

	l->signature = "not checked";
	if (!jwk)
		return 0;
	r = read_key(&key, jwk, e);
	if (r < 0)
		return r;
	r = jws_verify_es256(&l->jws, (struct view){ secret_bytes(&key), key.len }, e);
	l->signature = r < 0 ? err_name(e) : "valid";
	return r;
}

static int inspect(int argc, char **argv)
{
	const char *path, *jwk = NULL;
	bool json = false;
	const struct cli_option options[] = {
		{ "--public-jwk", NULL, &jwk, "FILE  verify the signature under this JWK" },
		{ "--signing-jwk-path", NULL, &jwk, "FILE  the same; d in it is not used" },
		{ "--json", &json, NULL, "print JSON" },
	};
	const struct cli_syntax syntax = {
		.command = "seal inspect",
		.operands = "FILE",
		.about = "Show what a sealed secret says and whether vouchsafe would unseal it.\n"
			 "FILE - is standard input. Nothing is fetched, and no secret is in it.\n"
			 "\n"
			 "  vouchsafe seal inspect --public-jwk mine-public.json secret.txt",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.min_operands = 1,
		.max_operands = 1,
	};
	cleanup_look struct look l = { .header = BUF_MAX(SEALED_TEXT_MAX) };
	cleanup_buf struct buf file = BUF_MAX(SEALED_TEXT_MAX), out = BUF_MAX(TEXT_MAX);
	cleanup_json struct json *payload = NULL;
	struct view text;
	struct err e, bad;
	int signature, served;
	int r = cli_parse(&syntax, argc, argv, &path);

	if (r >= 0)
		return r;
	r = cli_read(&file, path, SEALED_TEXT_MAX, &e);
	text = buf_view(&file);
	if (r == 0)
		r = read_sealed(&l, &text, &e);
	if (r == 0) {
		r = json_parse(&payload, buf_view(&l.jws.payload), SEALED_TEXT_MAX, &e);
		r = r < 0 ? err_wrap_code(&e, CODE_SEALED_FORMAT, "payload") : 0;
	}
	if (r < 0)
		return cli_fail(&e, json);
	served = try_payload(&l, text, &bad);
	signature = check_signature(&l, jwk, &e);
	put_look(&out, &l, json);
	r = cli_print(&out);
	if (r != 0 || (served == 0 && signature == 0))
		return r;
	if (signature == 0)
		e = bad;
	return json ? cli_exit_of(&e) : cli_fail(&e, false);
}

static const struct cli_command commands[] = {
	{ "vault", vault, "make a sealed secret that stands for a resource at Trustee" },
	{ "keygen", keygen, "make a signing key" },
	{ "inspect", inspect, "show and verify a sealed secret" },
};

int cmd_seal(int argc, char **argv)
{
	static const struct cli_group group = { "seal", "", commands, ARRAY_LEN(commands) };

	return cli_group(&group, argc, argv);
}
