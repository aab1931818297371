/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/fields.h"
#include "agent/api/mountd.h"
#include "agent/base/fs.h"
#include "agent/cli/cli.h"
#include "agent/cli/service.h"
#include "agent/cli/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#define STATE_DIR "/run/vouchsafe/volumes"

enum { REQUEST_MAX = 256 * 1024 };

/* --- mountd's socket ---------------------------------------------------------------- */

static int link_of(struct mountd_link *out, char **path, struct err *e)
{
	int r = cli_socket(path, MOUNTD_SOCKET, e);

	*out = (struct mountd_link){ .path = *path, .pair = -1 };
	return r;
}

int volumes_any(void)
{
	cleanup_free char *path = fs_join(cli_root, STATE_DIR);
	DIR *d = path ? opendir(path) : NULL;
	bool any = false;

	if (!d)
		return path && errno == ENOENT ? 0 : -1;
	for (const struct dirent *f = readdir(d); f; f = readdir(d))
		any = any || (f->d_name[0] != '.' && strcmp(f->d_name, "lock") != 0);
	(void)closedir(d);
	return any;
}

int volumes_ask(struct buf *text, struct json **list, struct deadline d, struct err *e)
{
	cleanup_free char *path = NULL;
	struct mountd_link l;
	int r = link_of(&l, &path, e);

	if (r == 0)
		r = mountd_list(&l, text, d, e);
	return r < 0 ? r : json_parse(list, buf_view(text), VOLUMES_MAX, e);
}

bool volumes_untagged(const struct json *volume)
{
	return json_is_true(json_get(volume, "keyed")) && !json_is_true(json_get(volume, "headerTag"));
}

/* --- list --------------------------------------------------------------------------- */

static void put_text(struct buf *out, const struct json *v, const char *key)
{
	const char *s = json_string(json_get(v, key));

	buf_put_plain(out, view_str(s ? s : "-"));
}

static void put_volumes(struct buf *out, const struct json *list)
{
	for (const struct json *v = json_first(list); v; v = json_next(v)) {
		put_text(out, v, "mapper");
		buf_puts(out, "  ");
		put_text(out, v, "device");
		buf_puts(out, "  ");
		put_text(out, v, "mountPoint");
		buf_puts(out, "  ");
		put_text(out, v, json_string(json_get(v, "filesystem")) ? "filesystem" : "target");
		buf_printf(out, "  %s%s%s\n",
			   json_is_true(json_get(v, "keyed")) ? "keyed" : "keyless",
			   volumes_untagged(v) ? "  untagged" : "",
			   json_is_true(json_get(v, "integrity")) ? "  integrity" : "");
	}
}

static int volume_list_open(int argc, char **argv)
{
	bool json = false;
	const char *timeout = NULL;
	const struct cli_option options[] = {
		{ "--json", &json, NULL, "print [{\"mapper\", \"device\", \"mountPoint\", …}]" },
		CLI_TIMEOUT_OPTION(&timeout),
	};
	const struct cli_syntax syntax = {
		.command = "volume list",
		.operands = "",
		.about = "As root in the guest: print the encrypted volumes that are open, one a "
			 "line: mapper\n"
			 "name, device, mount point, file system, whether it has a key, "
			 "\"untagged\" where\n"
			 "another program made the header (only its form was judged then), "
			 "integrity.\n\n"
			 "Exit code 75 when vouchsafe-mountd cannot be reached, 77 when you are "
			 "not root.",
		.options = options,
		.n_options = ARRAY_LEN(options),
	};
	cleanup_buf struct buf text = BUF_MAX(VOLUMES_MAX), out = BUF_MAX(2 * VOLUMES_MAX);
	cleanup_json struct json *list = NULL;
	struct deadline d;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, NULL);

	if (r >= 0)
		return r;
	if (cli_deadline(&d, timeout, &e) < 0 || volumes_ask(&text, &list, d, &e) < 0)
		return cli_fail(&e, json);
	if (json)
		buf_printf(&out, "%s\n", buf_str(&text));
	else
		put_volumes(&out, list);
	if (buf_check(&out, "the list", &e) < 0)
		return cli_fail(&e, json);
	return cli_print(&out);
}

/* --- close -------------------------------------------------------------------------- */

static int volume_close_open(int argc, char **argv)
{
	bool all = false;
	const char *timeout = NULL, *name;
	const struct cli_option options[] = {
		{ "--all", &all, NULL, "every volume, latest first" },
		CLI_TIMEOUT_OPTION(&timeout),
	};
	const struct cli_syntax syntax = {
		.command = "volume close",
		.operands = "NAME|--all",
		.about = "As root in the guest: unmount a volume and close its mapping. NAME is "
			 "its mapper name\n"
			 "(vouchsafe volume list). One that is closed already is closed. A keyless "
			 "volume's data\n"
			 "are gone with that. vouchsafe-volumes.service does this with --all at "
			 "shutdown.\n\n"
			 "Exit code 71 when something uses the volume, 75 when vouchsafe-mountd "
			 "cannot be reached,\n"
			 "77 when you are not root.",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.max_operands = 1,
	};
	cleanup_free char *path = NULL;
	struct mountd_link l;
	struct deadline d;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, &name);

	if (r >= 0)
		return r;
	if (all == (name != NULL))
		return cli_usage("volume close", "want a NAME or --all");
	if (all && volumes_any() == 0)
		return EXIT_OK;
	if (cli_deadline(&d, timeout, &e) < 0 || link_of(&l, &path, &e) < 0 ||
	    mountd_close(&l, name, d, &e) < 0)
		return cli_fail(&e, false);
	return EXIT_OK;
}

/* --- open --------------------------------------------------------------------------- */

struct row {
	const char *option; /* of SecureMount */
	const char *value;  /* NULL: not given */
};

static void put_option(struct buf *out, const struct row *row)
{
	cleanup_buf struct buf entry = BUF_MAX(REQUEST_MAX);

	if (!row->value)
		return;
	field_put_bytes(&entry, 1, view_str(row->option));
	field_put_bytes(&entry, 2, view_str(row->value));
	if (buf_check(&entry, row->option, NULL) < 0)
		out->failed = ERR_LIMIT;
	field_put_bytes(out, 2, buf_view(&entry));
}

static int ask(const struct row *rows, size_t n, const char *mount_point, struct deadline d,
	       struct err *e)
{
	cleanup_buf struct buf request = BUF_MAX(REQUEST_MAX);
	cleanup_secret struct secret reply = { 0 };
	cleanup_free char *path = NULL;
	int r = cli_socket(&path, CLI_CDH_SOCKET, e);

	if (r < 0)
		return r;
	field_put_bytes(&request, 1, view_str("block-device"));
	for (size_t i = 0; i < n; i++)
		put_option(&request, &rows[i]);
	field_put_bytes(&request, 4, view_str(mount_point));
	if ((r = buf_check(&request, "the request", e)) < 0)
		return r;
	cleanup_rpc struct rpc_link link = RPC_LINK(path);
	if ((r = rpc_ready(&link, d, e)) < 0)
		return r;
	if (isatty(STDERR_FILENO))
		fprintf(stderr,
			"opening %s; each step is in vouchsafed's log (journalctl -u vouchsafed)\n",
			mount_point);
	return rpc_call(&link, "api.SecureMountService", "SecureMount", buf_view(&request), d,
			&reply, e);
}

static int volume_open_one(int argc, char **argv)
{
	bool integrity = false, encrypted = false, as_device = false, xfs = false;
	const char *timeout = NULL, *key = NULL, *mkfs = NULL, *mapper = NULL, *at[2];
	const struct cli_option options[] = {
		{ "--key", NULL, &key,
		  "REF  sealed.…, kbs:///…, file:///…; without it a random one" },
		{ "--encrypted", &encrypted, NULL,
		  "the device has a header already; else it is empty" },
		{ "--integrity", &integrity, NULL,
		  "dm-integrity: what the host changes is an error" },
		{ "--as-device", &as_device, NULL,
		  "no file system: MOUNT_POINT becomes a link to the mapping" },
		{ "--xfs", &xfs, NULL, "xfs in the place of ext4" },
		{ "--mkfs-opts", NULL, &mkfs, "WORDS  for mkfs, in one argument" },
		{ "--mapper", NULL, &mapper, "NAME  below /dev/mapper; random without" },
		CLI_TIMEOUT_OPTION(&timeout),
	};
	const struct cli_syntax syntax = {
		.command = "volume open",
		.operands = "DEVICE MOUNT_POINT",
		.about = "In the guest: have vouchsafed open an encrypted volume, as SecureMount "
			 "of cdh.sock does.\n"
			 "DEVICE is a path or MAJ:MIN. A device that is not said to be --encrypted "
			 "is formatted,\n"
			 "unless it holds something; one that this key opens already is opened. "
			 "Without --key\n"
			 "nobody ever sees the key, and the volume dies with the boot.\n\n"
			 "Exit code 65 when an option or a header is refused, 69 when device or "
			 "kernel cannot, 75\n"
			 "when the time was too short, 76 when the key or the header's tag is "
			 "wrong, 77 when rules\n"
			 "or a policy refuse.\n\n"
			 "  vouchsafe volume open --key kbs:///default/volumes/data /dev/vdb "
			 "/mnt/data",
		.options = options,
		.n_options = ARRAY_LEN(options),
		.min_operands = 2,
		.max_operands = 2,
	};
	struct deadline d;
	struct err e;
	int r = cli_parse(&syntax, argc, argv, at);

	if (r >= 0)
		return r;
	const struct row rows[] = {
		{ at[0][0] == '/' ? "devicePath" : "deviceId", at[0] },
		{ "sourceType", encrypted ? "encrypted" : "empty" },
		{ "targetType", as_device ? "device" : "fileSystem" },
		{ "encryptionType", "luks2" },
		{ "filesystemType", xfs ? "xfs" : "ext4" },
		{ "dataIntegrity", integrity ? "true" : "false" },
		{ "mkfsOpts", mkfs },
		{ "mapperName", mapper },
		{ "key", key },
	};
	if (cli_deadline(&d, timeout, &e) < 0 || ask(rows, ARRAY_LEN(rows), at[1], d, &e) < 0)
		return cli_fail(&e, false);
	return EXIT_OK;
}

/* ------------------------------------------------------------------------------------ */

static const struct cli_command commands[] = {
	{ "list", volume_list_open, "which are open" },
	{ "open", volume_open_one, "format where it is empty, open, mount" },
	{ "close", volume_close_open, "unmount and close" },
};

int cmd_volume(int argc, char **argv)
{
	static const struct cli_group group = {
		.name = "volume",
		.about = "Encrypted volumes of this guest. Pods get theirs through SecureMount; these are for a\n"
			 "person, for guests without kata-agent and for shutdown.\n\n",
		.commands = commands,
		.n_commands = ARRAY_LEN(commands),
	};

	return cli_group(&group, argc, argv);
}
