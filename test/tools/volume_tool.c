/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/format.h"
#include "mounts/volume/record.h"

#include <fcntl.h>
#include <stdio.h>

/*
 * Drives the room volume from scripts: volume_tool VERB [name=value…]
 *
 *   open          the whole of volume_open(); prints the mapper's name
 *   close, close-all, list
 *   write-header  judge the device and format it as far as that goes without device mapper
 *   check-header  judge the device, authenticate and load its header, try the key
 *
 * Prints "CODE: message" on stderr and ends with 1 when it fails.
 */
struct args {
	struct volume_rules rules;
	struct volume_spec spec;
	const char *devices[8], *prefixes[8];
	char *words[VOLUME_ARGS_MAX];
	char *key;
	char *mapper;
	long deadline_ms;
};

static bool starts(const char *arg, const char *name, char **value)
{
	size_t n = strlen(name);
	char *copy;

	if (strncmp(arg, name, n) != 0 || arg[n] != '=')
		return false;
	copy = strdup(arg + n + 1);
	if (!copy)
		exit(70);
	*value = copy;
	return true;
}

static void words(struct args *a, char *v)
{
	for (char *p = v; *p != '\0' && a->spec.n_mkfs_args < VOLUME_ARGS_MAX;) {
		size_t n = strcspn(p, " ");

		if (n > 0)
			a->words[a->spec.n_mkfs_args++] = p;
		p += n;
		if (*p == ' ')
			*p++ = '\0';
	}
	a->spec.mkfs_args = a->words;
}

static void one(struct args *a, const char *arg)
{
	struct volume_spec *s = &a->spec;
	char *v = NULL;

	if (starts(arg, "device", &v))
		s->device = v;
	else if (starts(arg, "devid", &v)) {
		if (sscanf(v, "%u:%u", &s->major, &s->minor) != 2)
			exit(64);
	} else if (starts(arg, "source", &v))
		s->source = strcmp(v, "encrypted") == 0 ? VOLUME_ENCRYPTED : VOLUME_EMPTY;
	else if (starts(arg, "target", &v))
		s->target = strcmp(v, "device") == 0 ? VOLUME_DEVICE : VOLUME_FILESYSTEM;
	else if (starts(arg, "fs", &v))
		s->fs = strcmp(v, "xfs") == 0 ? VOLUME_XFS : VOLUME_EXT4;
	else if (starts(arg, "mkfs", &v))
		words(a, v);
	else if (starts(arg, "integrity", &v))
		s->integrity = strcmp(v, "1") == 0;
	else if (starts(arg, "mapper", &v))
		s->mapper = a->mapper = v;
	else if (starts(arg, "mount", &v))
		s->mount_point = v;
	else if (starts(arg, "key", &v))
		a->key = v;
	else if (starts(arg, "state", &v))
		a->rules.state_dir = v;
	else if (starts(arg, "allow", &v) && a->rules.n_devices < 8)
		a->devices[a->rules.n_devices++] = v;
	else if (starts(arg, "prefix", &v) && a->rules.n_mount_prefixes < 8)
		a->prefixes[a->rules.n_mount_prefixes++] = v;
	else if (starts(arg, "tagged", &v))
		a->rules.tags = strcmp(v, "1") == 0 ? VOLUME_TAGS_ALL : VOLUME_TAGS_NONE;
	else if (starts(arg, "deadline", &v))
		a->deadline_ms = strtol(v, NULL, 10);
	else {
		fprintf(stderr, "volume_tool: %s?\n", arg);
		exit(64);
	}
}

static int read_key(struct secret *out, const char *path, struct err *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = secret_alloc(out, VOLUME_KEY_MAX + 1, e);

	if (r < 0)
		return r;
	if (fd < 0)
		return err_set(e, ERR_NOTFOUND, "%s: not there", path);
	for (;;) {
		ssize_t n = read(fd, out->p + out->len, out->cap - out->len);

		if (n <= 0)
			return 0;
		out->len += (size_t)n;
	}
}

static void told(void *ctx, const char *step, uint64_t done, uint64_t total)
{
	(void)ctx;
	fprintf(stderr, "progress %s %llu/%llu\n", step, (unsigned long long)done, (unsigned long long)total);
}

static int header(const struct args *a, const char *verb, const struct secret *key, struct err *e)
{
	cleanup_device struct device d = DEVICE_NONE;
	cleanup_header struct header h = HEADER_NONE;
	struct deadline until = deadline_in(a->deadline_ms);
	enum device_state state;
	int r = device_open(&d, &a->rules, &a->spec, e);

	if (r == 0)
		r = device_free(&d, e);
	if (r == 0)
		r = format_judge(&state, &d, &a->spec, key, e);
	if (r < 0)
		return r;
	printf("%s\n", state == STATE_EMPTY ? "empty" : state == STATE_LUKS ? "luks" : "interrupted");
	if (strcmp(verb, "write-header") == 0 && state != STATE_LUKS) {
		r = format_begin(&h, &d, &a->spec, key, until, e);
		return r < 0 ? r : format_finish(&d, &h, a->spec.integrity, e);
	}
	return format_load(&h, &d, &a->rules, &a->spec, key, until, e);
}

static int run(const char *verb, struct args *a, struct err *e)
{
	const struct volume_progress progress = { .tell = told };
	cleanup_secret struct secret key = { 0 };
	cleanup_buf struct buf json = BUF_MAX(1 << 20);
	struct volume_opened opened = { 0 };
	int r = 0;

	if (a->key)
		r = read_key(&key, a->key, e);
	if (r < 0)
		return r;
	a->spec.keyed = a->key != NULL;
	if (strcmp(verb, "open") == 0) {
		r = volume_open(&opened, &a->rules, &a->spec, a->key ? &key : NULL, deadline_in(a->deadline_ms),
				&progress, e);
		if (r == 0)
			printf("%s%s\n", opened.mapper, opened.untagged ? " untagged" : "");
		free(opened.mapper);
	} else if (strcmp(verb, "close") == 0) {
		r = volume_close(&a->rules, a->mapper ? a->mapper : "", e);
	} else if (strcmp(verb, "close-all") == 0) {
		r = volume_close_all(&a->rules, e);
	} else if (strcmp(verb, "list") == 0) {
		r = volume_list(&json, &a->rules, e);
		if (r == 0)
			printf("%s\n", buf_str(&json));
	} else {
		r = header(a, verb, a->key ? &key : NULL, e);
	}
	return r;
}

int main(int argc, char **argv)
{
	struct args a = { .rules.state_dir = "/run/volume-tool",
			  .spec.target = VOLUME_FILESYSTEM,
			  .deadline_ms = 600000 };
	struct err e = { 0 };

	if (argc < 2)
		return 64;
	for (int i = 2; i < argc; i++)
		one(&a, argv[i]);
	a.rules.devices = a.devices;
	a.rules.mount_prefixes = a.prefixes;
	if (run(argv[1], &a, &e) == 0)
		return 0;
	fprintf(stderr, "%s: %s\n", err_name(&e), e.msg);
	return 1;
}
