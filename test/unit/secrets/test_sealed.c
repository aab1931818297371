/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/crypto/jwk.h"
#include "agent/crypto/jws.h"
#include "agent/secrets/sealed.h"
#include "test/test.h"

#include <ftw.h>
#include <sys/stat.h>

#define KID    "kbs:///test/signing/key"
#define SECRET "kbs:///test/secret/one"

/* Before there were signatures: only with skip_verification. */
static const char legacy[] =
	"sealed.fakejwsheader."
	"eyJ2ZXJzaW9uIjoiMC4xLjAiLCJ0eXBlIjoidmF1bHQiLCJuYW1lIjoia2JzOi8vL29uZS8yL3R"
	"yb2lzIiwicHJvdmlkZXIiOiJrYnMiLCJwcm92aWRlcl9zZXR0aW5ncyI6e30sImFubm90YXRpb25zIjp7f"
	"X0.fakesignature";

/* A Trustee of two resources that remembers what it was asked. */
struct fake {
	struct buf key; /* what KID gives; none: missing */
	int asked;      /* all reads */
	int keys;       /* of them through signing_key */
	char last[URI_MAX + 1];
	enum err_code refuse; /* CODE_OK: nothing */
};

static int give(struct secret *out, struct view v, struct err *e)
{
	int r = secret_alloc(out, v.len, e);

	return r < 0 ? r : secret_append(out, v.p, v.len, e);
}

static int fake_resource(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
			 struct err *e)
{
	struct fake *f = ctx;

	CHECK(deadline_left_ms(d) > 0);
	f->asked++;
	memcpy(f->last, uri->text, sizeof f->last);
	if (f->refuse != CODE_OK)
		return err_code(e, f->refuse, "as the test wants");
	if (strcmp(uri->text, KID) == 0 && f->key.len > 0)
		return give(out, buf_view(&f->key), e);
	if (strcmp(uri->text, SECRET) == 0 || strcmp(uri->text, "kbs:///one/2/trois") == 0 ||
	    strcmp(uri->text, "kbs:///default/sealed-secret/test") == 0)
		return give(out, view_str("plain"), e);
	return err_code(e, CODE_KBS_NOT_FOUND, "no such resource");
}

static int fake_key(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		    struct err *e)
{
	((struct fake *)ctx)->keys++;
	return fake_resource(ctx, out, uri, d, e);
}

/* A signing key made for the test, with the rules that trust it. */
struct owner {
	struct secret jwk;
	struct fake trustee;
	struct sealed_rules rules;
};

static void open_owner(struct owner *o)
{
	struct err e;

	*o = (struct owner){ .trustee.key = BUF_MAX(JWK_TEXT_MAX) };
	CHECK_INT(jwk_generate_es256(&o->jwk, &o->trustee.key, "k", &e), 0);
	o->rules = (struct sealed_rules){
		.resource = fake_resource,
		.resource_ctx = &o->trustee,
		.kbs_keys_allowed = true,
	};
}

static void close_owner(struct owner *o)
{
	secret_done(&o->jwk);
	buf_done(&o->trustee.key);
}

#define cleanup_owner __attribute__((cleanup(close_owner)))

static void put_vault(struct buf *out, const struct owner *o, const char *kid, const char *uri)
{
	struct err e = { 0 };

	if (sealed_make_vault(out, kid, &o->jwk, uri, "kbs", &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}

static void put_payload(struct buf *out, const struct owner *o, const char *payload)
{
	struct err e = { 0 };

	buf_puts(out, "sealed.");
	CHECK_INT(jws_sign_es256(out, view_str("{\"alg\":\"ES256\",\"kid\":\"" KID "\"}"),
				 view_str(payload), &o->jwk, &e),
		  0);
}

static void expect(const struct sealed_rules *rules, const char *name, struct view text,
		   enum err_code code, const char *words)
{
	cleanup_secret struct secret out = { 0 };
	struct err e = { 0 };
	int r;

	CHECK_INT(give(&out, view_str("keep"), &e), 0);
	r = sealed_unseal(&out, rules, name, text, deadline_in(5000), &e);
	if (code == CODE_OK) {
		if (r != 0)
			test_fail(__FILE__, __LINE__, "%s: %s", err_name(&e), e.msg);
		CHECK(secret_eq(&out, "plain", 5));
		return;
	}
	if (r == 0 || e.code != code)
		test_fail(__FILE__, __LINE__, "code is %s (%s), want %s", err_name(&e), e.msg,
			  err_entry(code)->name);
	CHECK_INT(r, -(int)err_entry(code)->kind);
	if (!strstr(e.msg, words))
		test_fail(__FILE__, __LINE__, "message \"%s\" lacks \"%s\"", e.msg, words);
	CHECK(secret_eq(&out, "keep", 4));
}

TEST(sealed_is__prefix_and_its_dot)
{
	CHECK(sealed_is(view_str("sealed.x")));
	CHECK(sealed_is(view_str("sealed.")));
	CHECK(!sealed_is(view_str("sealed")));
	CHECK(!sealed_is(view_str("Sealed.x")));
	CHECK(!sealed_is(view_str(" sealed.x")));
	CHECK(!sealed_is((struct view){ NULL, 0 }));
}

TEST(sealed_unseal__own_vault__gives_the_resource)
{
	cleanup_owner struct owner o;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

	open_owner(&o);
	put_vault(&text, &o, KID, SECRET);
	CHECK(sealed_is(buf_view(&text)));
	expect(&o.rules, NULL, buf_view(&text), CODE_OK, "");
	CHECK_INT(o.trustee.asked, 2);
	CHECK(strcmp(o.trustee.last, SECRET) == 0);
	expect(&o.rules, "V", buf_view(&text), CODE_OK, "");
	/* White space behind it, more prefixes, or none. */
	buf_puts(&text, " \r\n\t\n");
	expect(&o.rules, NULL, buf_view(&text), CODE_OK, "");
	expect(&o.rules, NULL, (struct view){ text.p + 7, text.len - 7 }, CODE_OK, "");
	buf_reset(&text);
	buf_puts(&text, "sealed.sealed.");
	put_vault(&text, &o, KID, SECRET);
	expect(&o.rules, NULL, buf_view(&text), CODE_OK, "");
	buf_reset(&text);
	buf_puts(&text, "\n");
	put_vault(&text, &o, KID, SECRET);
	expect(&o.rules, NULL, buf_view(&text), CODE_SEALED_FORMAT, "sealed secret");
}

TEST(sealed_unseal__signing_key__comes_through_its_own_callback_where_there_is_one)
{
	cleanup_owner struct owner o;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

	open_owner(&o);
	o.rules.signing_key = fake_key;
	put_vault(&text, &o, KID, SECRET);
	expect(&o.rules, NULL, buf_view(&text), CODE_OK, "");
	CHECK_INT(o.trustee.keys, 1);
	CHECK_INT(o.trustee.asked, 2);
}

TEST(sealed_unseal__one_byte_changed__never_gives_a_secret)
{
	cleanup_owner struct owner o;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

	open_owner(&o);
	put_vault(&text, &o, KID, SECRET);
	for (size_t at = 7; at < text.len; at++) {
		cleanup_secret struct secret out = { 0 };
		struct err e;
		uint8_t kept = text.p[at];

		text.p[at] = kept == 'A' ? 'B' : 'A';
		CHECK(sealed_unseal(&out, &o.rules, NULL, buf_view(&text), deadline_in(5000), &e) <
		      0);
		CHECK(!secret_bytes(&out));
		text.p[at] = kept;
	}
}

TEST(sealed_unseal__algorithm_and_kid__are_judged_before_anything_is_fetched)
{
	static const struct {
		const char *header;
		enum err_code code;
		const char *words;
	} bad[] = {
		{ "{\"alg\":\"HS256\",\"kid\":\"" KID "\"}", CODE_SEALED_ALGORITHM, "\"HS256\"" },
		{ "{\"alg\":\"none\",\"kid\":\"" KID "\"}", CODE_SEALED_ALGORITHM, "\"none\"" },
		{ "{\"alg\":\"ES384\",\"kid\":\"" KID "\"}", CODE_SEALED_ALGORITHM,
		  "want \"ES256\"" },
		{ "{\"alg\":\"ES256\"}", CODE_SEALED_FORMAT, "kid" },
		{ "{\"kid\":\"" KID "\"}", CODE_SEALED_FORMAT, "alg" },
		{ "{\"alg\":\"ES256\",\"kid\":\"" KID "\",\"crit\":[]}", CODE_SEALED_FORMAT,
		  "crit" },
		{ "{\"alg\":\"ES256\",\"kid\":\"" KID "\",\"b64\":false}", CODE_SEALED_FORMAT,
		  "b64" },
		{ "{\"alg\":\"ES256\",\"kid\":\"kbs:///a/../b\"}", CODE_SEALED_FORMAT, "kid" },
		{ "{\"alg\":\"ES256\",\"kid\":\"file\"}", CODE_SEALED_KEY_MISSING,
		  "credential directory" },
	};
	cleanup_owner struct owner o;
	struct err e;

	open_owner(&o);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

		CHECK_INT(
			jws_sign_es256(&text, view_str(bad[i].header), view_str("{}"), &o.jwk, &e),
			0);
		expect(&o.rules, NULL, buf_view(&text), bad[i].code, bad[i].words);
		CHECK_INT(o.trustee.asked, 0);
	}
}

TEST(sealed_unseal__key_at_trustee__failures_keep_their_reason)
{
	cleanup_owner struct owner o;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

	open_owner(&o);
	put_vault(&text, &o, KID, SECRET);
	o.trustee.refuse = CODE_KBS_POLICY_DENIED;
	expect(&o.rules, NULL, buf_view(&text), CODE_KBS_POLICY_DENIED, "signing key " KID);
	o.trustee.refuse = CODE_NET_REFUSED;
	expect(&o.rules, NULL, buf_view(&text), CODE_NET_REFUSED, "as the test wants");
	o.trustee.refuse = CODE_KBS_NOT_FOUND;
	expect(&o.rules, NULL, buf_view(&text), CODE_SEALED_KEY_MISSING, KID);
	o.trustee.refuse = CODE_OK;
	buf_reset(&o.trustee.key);
	buf_puts(&o.trustee.key, "{\"kty\":\"RSA\"}");
	expect(&o.rules, NULL, buf_view(&text), CODE_SEALED_KEY, "signing key");
	o.rules.kbs_keys_allowed = false;
	o.trustee.asked = 0;
	expect(&o.rules, NULL, buf_view(&text), CODE_TRUST_PLAIN_HTTP, KID);
	CHECK_INT(o.trustee.asked, 0);
}

TEST(sealed_unseal__other_key__is_a_wrong_signature)
{
	cleanup_owner struct owner o, other;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

	open_owner(&o);
	open_owner(&other);
	put_vault(&text, &other, KID, SECRET);
	expect(&o.rules, NULL, buf_view(&text), CODE_SEALED_SIGNATURE, KID);
	CHECK_INT(o.trustee.asked, 1);
}

TEST(sealed_unseal__kids__only_listed_ones_are_asked_for)
{
	static const char *const same[] = { "kbs:///a/b/c", "kbs+resource:///test/signing/key" };
	static const char *const other[] = { "kbs:///test/signing/key2", "KBS", "" };
	cleanup_owner struct owner o;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

	open_owner(&o);
	put_vault(&text, &o, KID, SECRET);
	o.rules.kids = same;
	o.rules.n_kids = ARRAY_LEN(same);
	expect(&o.rules, NULL, buf_view(&text), CODE_OK, "");
	/* A list that could not be checked would be none: it wins over skip_verification. */
	o.rules.skip_verification = true;
	expect(&o.rules, NULL, buf_view(&text), CODE_OK, "");
	expect(&o.rules, NULL, view_str(legacy), CODE_SEALED_FORMAT, "sealed secret");
	o.rules.skip_verification = false;
	o.trustee.asked = 0;
	o.rules.kids = other;
	o.rules.n_kids = ARRAY_LEN(other);
	expect(&o.rules, NULL, buf_view(&text), CODE_SEALED_KID_NOT_LISTED, KID);
	o.rules.n_kids = 0;
	expect(&o.rules, NULL, buf_view(&text), CODE_SEALED_KID_NOT_LISTED, KID);
	CHECK_INT(o.trustee.asked, 0);
}

#define REST     ",\"provider_settings\":{},\"annotations\":{}"
#define VAULT    "{\"version\":\"0.1.0\",\"type\":\"vault\""
#define ENVELOPE "{\"version\":\"0.1.0\",\"type\":\"envelope\",\"provider\":\"aliyun\"" REST

TEST(sealed_unseal__payload__wants_every_member_and_ignores_others)
{
	static const struct {
		const char *payload;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ VAULT ",\"name\":\"" SECRET "\",\"provider\":\"kbs\"" REST "}", CODE_OK, "" },
		{ VAULT ",\"name\":\"" SECRET "\",\"provider\":\"KBS\"" REST ",\"more\":[1]}",
		  CODE_OK, "" },
		{ VAULT ",\"name\":\"kbs+resource:///test/secret/one\",\"provider\":\"kbs\"" REST
			"}",
		  CODE_OK, "" },
		{ "", CODE_SEALED_FORMAT, "payload" },
		{ "[]", CODE_SEALED_FORMAT, "version" },
		{ "{\"type\":\"vault\"}", CODE_SEALED_FORMAT, "version" },
		{ "{\"version\":1}", CODE_SEALED_FORMAT, "version" },
		{ "{\"version\":\"0.2.0\"}", CODE_SEALED_VERSION, "\"0.2.0\"" },
		{ "{\"version\":\"0.1.0\"}", CODE_SEALED_FORMAT, "type" },
		{ "{\"version\":\"0.1.0\",\"type\":\"Vault\"}", CODE_SEALED_FORMAT, "\"Vault\"" },
		{ VAULT "}", CODE_SEALED_FORMAT, "name" },
		{ VAULT ",\"name\":7}", CODE_SEALED_FORMAT, "name" },
		{ VAULT ",\"name\":\"" SECRET "\"" REST "}", CODE_SEALED_FORMAT, "provider" },
		{ VAULT ",\"name\":\"" SECRET "\",\"provider\":\"kbs\",\"annotations\":{}}",
		  CODE_SEALED_FORMAT, "provider_settings" },
		{ VAULT ",\"name\":\"" SECRET "\",\"provider\":\"kbs\",\"provider_settings\":{}}",
		  CODE_SEALED_FORMAT, "annotations" },
		{ VAULT ",\"name\":\"" SECRET
			"\",\"provider\":\"kbs\",\"provider_settings\":{},\"annotations\":[]}",
		  CODE_SEALED_FORMAT, "annotations" },
		{ VAULT ",\"name\":\"" SECRET "\",\"name\":\"" SECRET "\",\"provider\":\"kbs\"" REST
			"}",
		  CODE_SEALED_FORMAT, "payload" },
		{ VAULT ",\"name\":\"" SECRET "\",\"provider\":\"aws\"" REST "}",
		  CODE_SEALED_PROVIDER_UNSUPPORTED, "vault with provider \"aws\"" },
		{ VAULT ",\"name\":\"/etc/passwd\",\"provider\":\"kbs\"" REST "}",
		  CODE_SEALED_FORMAT, "name" },
		{ VAULT ",\"name\":\"kbs:///no/such/one\",\"provider\":\"kbs\"" REST "}",
		  CODE_KBS_NOT_FOUND, "kbs:///no/such/one" },
		{ ENVELOPE "}", CODE_SEALED_FORMAT, "wrap_type" },
		{ ENVELOPE ",\"wrap_type\":\"a256gcm\"}", CODE_SEALED_FORMAT, "\"a256gcm\"" },
		{ ENVELOPE ",\"wrap_type\":\"A256CTR\",\"key_id\":\"\",\"encrypted_key\":\"\","
			   "\"encrypted_data\":\"\"}",
		  CODE_SEALED_FORMAT, "iv" },
		{ ENVELOPE ",\"wrap_type\":\"A256CTR\",\"key_id\":\"\",\"encrypted_key\":\"\","
			   "\"encrypted_data\":\"\",\"iv\":\"\"}",
		  CODE_SEALED_PROVIDER_UNSUPPORTED, "envelope with provider \"aliyun\"" },
	};
	cleanup_owner struct owner o;

	open_owner(&o);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

		put_payload(&text, &o, rows[i].payload);
		expect(&o.rules, NULL, buf_view(&text), rows[i].code, rows[i].words);
	}
}

TEST(sealed_unseal__bind__lets_no_secret_stand_for_another)
{
	static const char *const names[] = { "A", "B" };
	/* Not in canonical form: they compare as URIs. */
	static const char *const uris[] = { "kbs+resource:///test/secret/one",
					    "kbs:///test/secret/two" };
	static const char *const broken[] = { "nonsense", "kbs:///test/secret/two" };
	static const struct {
		const char *name, *uri;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ "A", "kbs:///test/secret/one", CODE_OK, "" },
		{ "A", "kbs:///test/secret/two", CODE_SEALED_BIND_MISMATCH,
		  "\"A\" is bound to kbs:///test/secret/one" },
		{ "A", "kbs:///one/2/trois", CODE_SEALED_BIND_MISMATCH,
		  "names kbs:///one/2/trois" },
		{ "B", "kbs:///test/secret/one", CODE_SEALED_BIND_MISMATCH, "\"B\" is bound to" },
		{ "C", "kbs:///test/secret/one", CODE_SEALED_BIND_MISMATCH,
		  "another name than \"C\"" },
		{ "C", "kbs:///one/2/trois", CODE_OK, "" },
		{ "a", "kbs:///test/secret/one", CODE_SEALED_BIND_MISMATCH,
		  "another name than \"a\"" },
		{ "", "kbs:///test/secret/one", CODE_SEALED_BIND_MISMATCH, "another name than" },
		{ NULL, "kbs:///test/secret/one", CODE_OK, "" },
		{ NULL, "kbs:///one/2/trois", CODE_SEALED_BIND_MISMATCH, "bound to no name" },
	};
	cleanup_owner struct owner o;
	cleanup_buf struct buf one = BUF_MAX(SEALED_TEXT_MAX);

	open_owner(&o);
	o.rules.bind_names = names;
	o.rules.bind_uris = uris;
	o.rules.n_bind = ARRAY_LEN(names);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

		put_vault(&text, &o, KID, rows[i].uri);
		o.trustee.asked = 0;
		expect(&o.rules, rows[i].name, buf_view(&text), rows[i].code, rows[i].words);
		CHECK_INT(o.trustee.asked, rows[i].code == CODE_OK ? 2 : 1);
	}
	put_vault(&one, &o, KID, SECRET);
	o.rules.bind_uris = broken;
	expect(&o.rules, "C", buf_view(&one), CODE_SEALED_BIND_MISMATCH, "bind of \"A\"");
	/* Skipping signatures does not skip bind. */
	o.rules.bind_uris = uris;
	o.rules.skip_verification = true;
	expect(&o.rules, "B", buf_view(&one), CODE_SEALED_BIND_MISMATCH, "\"B\" is bound to");
	expect(&o.rules, "A", buf_view(&one), CODE_OK, "");
}

TEST(sealed_unseal__skip_verification__reads_only_the_payload_of_four_parts)
{
	cleanup_owner struct owner o;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

	open_owner(&o);
	expect(&o.rules, NULL, view_str(legacy), CODE_SEALED_FORMAT, "sealed secret");
	o.rules.skip_verification = true;
	o.rules.kbs_keys_allowed = false;
	expect(&o.rules, NULL, view_str(legacy), CODE_OK, "");
	CHECK_INT(o.trustee.asked, 1);
	buf_printf(&text, "%s\n", legacy);
	expect(&o.rules, NULL, buf_view(&text), CODE_OK, "");
	expect(&o.rules, NULL, view_str(legacy + 7), CODE_SEALED_FORMAT, "3 parts");
	buf_reset(&text);
	buf_printf(&text, "sealed.%s", legacy);
	expect(&o.rules, NULL, buf_view(&text), CODE_SEALED_FORMAT, "5 parts");
	expect(&o.rules, NULL, view_str("Sealed.h.e30.s"), CODE_SEALED_FORMAT, "4 parts");
	expect(&o.rules, NULL, view_str("sealed.h.!.s"), CODE_SEALED_FORMAT, "payload");
	expect(&o.rules, NULL, view_str("sealed..."), CODE_SEALED_FORMAT, "payload");
	expect(&o.rules, NULL, view_str(""), CODE_SEALED_FORMAT, "1 parts");
}

TEST(sealed_unseal__over_the_limit__is_a_limit)
{
	cleanup_owner struct owner o;
	cleanup_free char *text = malloc(SEALED_TEXT_MAX + 1);
	cleanup_buf struct buf sealed = BUF_MAX(SEALED_TEXT_MAX);
	cleanup_secret struct secret out = { 0 };
	struct err e;

	open_owner(&o);
	CHECK(text != NULL);
	for (size_t i = 0; i <= SEALED_TEXT_MAX; i++)
		text[i] = 'A';
	CHECK_ERR(sealed_unseal(&out, &o.rules, NULL,
				(struct view){ (uint8_t *)text, SEALED_TEXT_MAX + 1 },
				deadline_in(1000), &e),
		  ERR_LIMIT, e, "sealed secret of 65537 bytes, allowed 65536");
	/* Whom nobody told where to write an error. */
	CHECK_INT(sealed_unseal(&out, &o.rules, NULL, view_str("sealed.a.b.c"), deadline_in(1000),
				NULL),
		  -ERR_FORMAT);
	put_vault(&sealed, &o, "no-uri", SECRET);
	CHECK_INT(sealed_unseal(&out, &o.rules, NULL, buf_view(&sealed), deadline_in(1000), NULL),
		  -ERR_NOTFOUND);
	buf_reset(&sealed);
	put_vault(&sealed, &o, "kbs:///no/such/key", SECRET);
	CHECK_INT(sealed_unseal(&out, &o.rules, NULL, buf_view(&sealed), deadline_in(1000), NULL),
		  -ERR_NOTFOUND);
}

/* --- the credential directory --------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put_file(const char *dir, const char *name, struct view v)
{
	char path[512];
	struct err e;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	CHECK_INT(fs_write(path, v, 0600, &e), 0);
}

static void unseal_by_file(struct owner *o, const char *kid, enum err_code code, const char *words)
{
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);

	put_vault(&text, o, kid, SECRET);
	expect(&o->rules, NULL, buf_view(&text), code, words);
}

TEST(sealed_unseal__key_in_the_credential_directory__is_found_and_nothing_outside_of_it)
{
	char base[] = "/tmp/test_sealed.XXXXXX", dir[64], path[128];
	cleanup_owner struct owner o;
	cleanup_buf struct buf big = BUF_MAX(1u << 20);

	open_owner(&o);
	CHECK(mkdtemp(base) != NULL);
	(void)snprintf(dir, sizeof dir, "%s/keys", base);
	o.rules.credential_dir = dir;
	unseal_by_file(&o, "good", CODE_SEALED_KEY_MISSING, "directory is not there");
	CHECK_INT(mkdir(dir, 0700), 0);
	(void)snprintf(path, sizeof path, "%s/sub", dir);
	CHECK_INT(mkdir(path, 0700), 0);
	put_file(base, "outside", buf_view(&o.trustee.key));
	put_file(dir, "good", buf_view(&o.trustee.key));
	put_file(dir, "sub/good", buf_view(&o.trustee.key));
	put_file(dir, "junk", view_str("junk"));
	put_file(dir, "empty", view_str(""));
	for (unsigned i = 0; i < JWK_TEXT_MAX; i++)
		buf_putc(&big, ' ');
	put_file(dir, "edge", buf_view(&big));
	buf_putc(&big, ' ');
	put_file(dir, "big", buf_view(&big));
	(void)snprintf(path, sizeof path, "%s/link-in", dir);
	CHECK_INT(symlink("sub/good", path), 0);
	(void)snprintf(path, sizeof path, "%s/link-out", dir);
	CHECK_INT(symlink("../outside", path), 0);
	(void)snprintf(path, sizeof path, "%s/link-absolute", dir);
	CHECK_INT(symlink("/etc/hostname", path), 0);
	(void)snprintf(path, sizeof path, "%s/fifo", dir);
	CHECK_INT(mkfifo(path, 0600), 0);

	unseal_by_file(&o, "good", CODE_OK, "");
	CHECK_INT(o.trustee.asked, 1);
	unseal_by_file(&o, "sub/good", CODE_OK, "");
	unseal_by_file(&o, "link-in", CODE_OK, "");
	o.rules.kbs_keys_allowed = false;
	unseal_by_file(&o, "good", CODE_OK, "");
	unseal_by_file(&o, "none", CODE_SEALED_KEY_MISSING, "\"none\": not in");
	unseal_by_file(&o, "good/none", CODE_SEALED_KEY_MISSING, "not in");
	unseal_by_file(&o, "../outside", CODE_SEALED_KEY_MISSING, "leads out");
	unseal_by_file(&o, "sub/../../outside", CODE_SEALED_KEY_MISSING, "leads out");
	unseal_by_file(&o, "link-out", CODE_SEALED_KEY_MISSING, "leads out");
	unseal_by_file(&o, "link-absolute", CODE_SEALED_KEY_MISSING, "leads out");
	unseal_by_file(&o, "/good", CODE_SEALED_KEY_MISSING, "neither");
	unseal_by_file(&o, "fifo", CODE_SEALED_KEY, "not a regular file");
	unseal_by_file(&o, "sub", CODE_SEALED_KEY, "not a regular file");
	unseal_by_file(&o, ".", CODE_SEALED_KEY, "not a regular file");
	unseal_by_file(&o, "junk", CODE_SEALED_KEY, "signing key");
	unseal_by_file(&o, "empty", CODE_SEALED_KEY, "signing key");
	unseal_by_file(&o, "edge", CODE_SEALED_KEY, "signing key");
	unseal_by_file(&o, "big", CODE_SEALED_KEY, "over 16384 bytes");
	unseal_by_file(&o, "http://x/y", CODE_SEALED_KEY_MISSING, "not in");
	remove_tree(base);
}

/* --- making --------------------------------------------------------------------------------- */

TEST(sealed_make_vault__writes_the_members_of_the_spec)
{
	static const char want[] = "{\"version\":\"0.1.0\",\"type\":\"vault\",\"name\":\"" SECRET
				   "\",\"provider\":\"kbs\","
				   "\"provider_settings\":{},\"annotations\":{}}";
	cleanup_owner struct owner o;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);
	cleanup_jws struct jws j = { 0 };
	struct err e;

	open_owner(&o);
	put_vault(&text, &o, "a \"kid\"", "kbs+resource:///test/secret/one");
	CHECK_INT(jws_parse(&j, (struct view){ text.p + 7, text.len - 7 }, &e), 0);
	CHECK(view_is(buf_view(&j.payload), want));
	CHECK(strcmp(j.kid, "a \"kid\"") == 0);
}

TEST(sealed_make_vault__bad_input__fails_and_puts_nothing)
{
	static const struct {
		const char *kid, *uri, *provider;
		enum err_code code;
		const char *words;
	} bad[] = {
		{ "", SECRET, "kbs", CODE_GENERAL_USAGE, "empty" },
		{ "k\xff", SECRET, "kbs", CODE_GENERAL_USAGE, "UTF-8" },
		{ KID, "default/a/b", "kbs", CODE_KBS_URI, "" },
		{ KID, SECRET, "aws", CODE_SEALED_PROVIDER_UNSUPPORTED, "aws" },
		{ KID, SECRET, "KBS", CODE_SEALED_PROVIDER_UNSUPPORTED, "KBS" },
	};
	cleanup_owner struct owner o;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);
	cleanup_secret struct secret public = { 0 };
	char kid[JWS_KID_MAX + 2] = "";
	struct err e;

	open_owner(&o);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_ERR(sealed_make_vault(&text, bad[i].kid, &o.jwk, bad[i].uri, bad[i].provider,
					    &e),
			  err_entry(bad[i].code)->kind, e, bad[i].words);
		CHECK_INT(e.code, bad[i].code);
		CHECK_INT(text.len, 0);
	}
	for (int i = 0; i <= JWS_KID_MAX; i++)
		kid[i] = 'k';
	CHECK_ERR(sealed_make_vault(&text, kid, &o.jwk, SECRET, NULL, &e), ERR_LIMIT, e,
		  "allowed 512");
	CHECK_INT(give(&public, buf_view(&o.trustee.key), &e), 0);
	CHECK_ERR(sealed_make_vault(&text, KID, &public, SECRET, NULL, &e), ERR_FORMAT, e, "d");
	CHECK_INT(e.code, CODE_SEALED_KEY);
}

/* --- vectors -------------------------------------------------------------------------------- */

static struct json *read_json(const char *path)
{
	cleanup_buf struct buf b = BUF_MAX(1u << 20);
	struct json *doc = NULL;
	struct err e = { 0 };

	if (fs_read(&b, path, 1u << 20, &e) < 0 || json_parse(&doc, buf_view(&b), 1u << 20, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, e.msg);
	return doc;
}

static const char *str(const struct json *o, const char *key)
{
	const char *s = json_string(json_get(o, key));

	if (!s)
		test_fail(__FILE__, __LINE__, "the vector has no \"%s\"", key);
	return s;
}

TEST(sealed_unseal__secrets_of_jwcrypto__are_read)
{
	cleanup_json struct json *doc = read_json(test_vector("secrets/sealed.json"));
	cleanup_owner struct owner o;
	char dir[] = "/tmp/test_sealed.XXXXXX";
	struct err e;

	open_owner(&o);
	buf_reset(&o.trustee.key);
	CHECK_INT(json_canonical(&o.trustee.key, json_get(doc, "public_jwk"), &e), 0);
	expect(&o.rules, NULL, view_str(str(doc, "vault")), CODE_OK, "");
	expect(&o.rules, NULL, view_str(str(doc, "envelope")), CODE_SEALED_PROVIDER_UNSUPPORTED,
	       "aliyun");
	CHECK(mkdtemp(dir) != NULL);
	put_file(dir, "file-key", buf_view(&o.trustee.key));
	o.rules.credential_dir = dir;
	expect(&o.rules, NULL, view_str(str(doc, "vault_by_file")), CODE_OK, "");
	remove_tree(dir);
}

/* Where a kid names a key that the fake has under another name. */
static int any_key(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		   struct err *e)
{
	(void)uri;
	(void)d;
	return give(out, buf_view(&((struct fake *)ctx)->key), e);
}

TEST(sealed_unseal__trustee_vectors__are_accepted_and_refused_as_they_say)
{
	static const struct {
		const char *name;
		enum err_code verified, skipped;
	} want[] = {
		{ "ok-vault", CODE_OK, CODE_OK },
		{ "ok-vault-no-b64", CODE_OK, CODE_OK },
		{ "ok-no-prefix", CODE_OK, CODE_SEALED_FORMAT },
		{ "bad-alg-hs256", CODE_SEALED_ALGORITHM, CODE_OK },
		{ "bad-alg-none", CODE_SEALED_ALGORITHM, CODE_OK },
		{ "bad-no-kid", CODE_SEALED_FORMAT, CODE_OK },
		{ "bad-version", CODE_SEALED_VERSION, CODE_SEALED_VERSION },
		{ "bad-no-annotations", CODE_SEALED_FORMAT, CODE_SEALED_FORMAT },
		{ "bad-type-case", CODE_SEALED_FORMAT, CODE_SEALED_FORMAT },
		{ "bad-provider", CODE_SEALED_PROVIDER_UNSUPPORTED,
		  CODE_SEALED_PROVIDER_UNSUPPORTED },
		{ "bad-envelope-kbs", CODE_SEALED_PROVIDER_UNSUPPORTED,
		  CODE_SEALED_PROVIDER_UNSUPPORTED },
		{ "bad-four-parts", CODE_SEALED_FORMAT, CODE_SEALED_FORMAT },
		{ "legacy-skip-only", CODE_SEALED_FORMAT, CODE_OK },
		{ "bad-signature", CODE_SEALED_SIGNATURE, CODE_OK },
		{ "bad-der-signature", CODE_SEALED_SIGNATURE, CODE_OK },
	};
	cleanup_json struct json *doc =
		read_json(test_shared("trustee/derived/sealed-secrets.json"));
	cleanup_owner struct owner o;
	size_t n = 0;
	struct err e;

	open_owner(&o);
	o.rules.signing_key = any_key;
	buf_reset(&o.trustee.key);
	CHECK_INT(json_canonical(&o.trustee.key, json_get(doc, "public_jwk"), &e), 0);
	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c), n++) {
		CHECK(n < ARRAY_LEN(want));
		CHECK(strcmp(str(c, "name"), want[n].name) == 0);
		o.rules.skip_verification = false;
		expect(&o.rules, NULL, view_str(str(c, "sealed")), want[n].verified, "");
		o.rules.skip_verification = true;
		expect(&o.rules, NULL, view_str(str(c, "sealed")), want[n].skipped, "");
	}
	CHECK_INT(n, ARRAY_LEN(want));
}

TEST(sealed_unseal__published_secret__verifies_under_the_published_key)
{
	cleanup_owner struct owner o;
	cleanup_buf struct buf text = BUF_MAX(SEALED_TEXT_MAX);
	struct err e;

	open_owner(&o);
	o.rules.signing_key = any_key;
	buf_reset(&o.trustee.key);
	CHECK_INT(fs_read(&text, test_shared("trustee/extracted/sealed-secret-vault-test.txt"),
			  SEALED_TEXT_MAX, &e),
		  0);
	CHECK_INT(fs_read(&o.trustee.key,
			  test_shared("trustee/extracted/sealed-secret-signing-public.jwk.json"),
			  JWK_TEXT_MAX, &e),
		  0);
	expect(&o.rules, NULL, buf_view(&text), CODE_OK, "");
	CHECK(strcmp(o.trustee.last, "kbs:///default/sealed-secret/test") == 0);
}

/* Upstream's own payloads and keys: the reader takes the first, the signer the second. */
TEST(sealed_unseal__upstream_payloads__are_read)
{
#define HUB "trustee/guest-components/confidential-data-hub/hub/src/secret/tests/"
	static const struct {
		const char *file;
		enum err_code code;
	} rows[] = {
		{ HUB "vault-1.json", CODE_SEALED_PROVIDER_UNSUPPORTED },
		{ HUB "vault-2.json", CODE_OK },
		{ HUB "envelope-1.json", CODE_SEALED_PROVIDER_UNSUPPORTED },
	};
	cleanup_buf struct buf key = BUF_MAX(JWK_TEXT_MAX), wrong = BUF_MAX(JWK_TEXT_MAX);
	cleanup_owner struct owner o;
	struct err e;

	open_owner(&o);
	secret_done(&o.jwk);
	CHECK_INT(fs_read(&key, test_shared(HUB "test-key.json"), JWK_TEXT_MAX, &e), 0);
	CHECK_INT(fs_read(&wrong, test_shared(HUB "test-key-2.json"), JWK_TEXT_MAX, &e), 0);
	CHECK_INT(give(&o.jwk, buf_view(&key), &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf payload = BUF_MAX(SEALED_TEXT_MAX),
				       text = BUF_MAX(SEALED_TEXT_MAX);

		CHECK_INT(fs_read(&payload, test_shared(rows[i].file), SEALED_TEXT_MAX, &e), 0);
		put_payload(&text, &o, buf_str(&payload));
		buf_reset(&o.trustee.key);
		buf_putv(&o.trustee.key, buf_view(&key));
		expect(&o.rules, NULL, buf_view(&text), rows[i].code, "");
		buf_reset(&o.trustee.key);
		buf_putv(&o.trustee.key, buf_view(&wrong));
		expect(&o.rules, NULL, buf_view(&text), CODE_SEALED_SIGNATURE, "");
	}
}
