/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of an SNP or TDX guest as a file system (FUSE): /dev/sev-guest and /dev/tdx_guest by
 * their ioctls, configfs-tsm, the measurement files of TDX. They are files that a private mount
 * namespace puts at the literal paths (test/devices/tee_devices.py). Semantics: configfs-tsm as the
 * kernel's own module has them (a binary attribute is taken over at close, the report is made by
 * the first read), checked against it in test/vm.
 *
 *   devices KEYS MOUNT_POINT [FUSE options]
 *
 *   MOUNT_POINT/sev-guest tdx_guest tsm/report/ measurements/ control
 *
 * Writing "name value" lines to control sets a knob; see struct knobs. Reading it gives counters.
 */
#define FUSE_USE_VERSION 35
#include "test/devices/report.h"

#include <errno.h>
#include <fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>

enum { ITEMS = 32, NAME_ROOM = 80, HANG_STEP_MS = 10, HANG_MAX_MS = 60000, PAGE = 4096 };

/* What misbehaves. A number counts down: so many times, -1 for ever. */
static struct knobs {
	char provider[32]; /* "" is nobody: ENXIO */
	int busy, wouldblock, eio, enxio, timeout; /* reading outblob, or the ioctl */
	int mkdir_busy, inblob_busy;
	int interfere;  /* somebody else writes to the folder once its report is made */
	int hang;       /* never answers; a signal ends it, as it ends the kernel's wait */
	int hang_hard;  /* so many milliseconds, whatever comes */
	int slow;       /* milliseconds, each time */
	int truncated, oversized, empty, wrong_data;
	int no_aux;
	/* /dev/sev-guest */
	int throttle;   /* EIO and host error 2 */
	int ext_ok;     /* a wrong length is told with success, not EIO */
	int no_certs, no_ext, firmware_error, bad_status, bad_size, certs_huge, grow;
	int vmpl, debug;
	int other_td; /* the host's quote has another MRCONFIGID than the TD: its first byte */
} knobs;

static struct item {
	bool used;
	char name[NAME_ROOM];
	uint8_t inblob[64];
	size_t in_len;
	unsigned write_generation, read_generation;
	struct buf report;
} items[ITEMS];

static struct report_state state;
static unsigned reports, requests, sev_calls, extends;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define KNOB(name) { #name, &knobs.name }
static const struct {
	const char *name;
	int *value;
} numbers[] = {
	KNOB(busy),	  KNOB(wouldblock),	KNOB(eio),	  KNOB(enxio),	    KNOB(timeout),
	KNOB(mkdir_busy), KNOB(inblob_busy), KNOB(interfere),  KNOB(hang),	    KNOB(hang_hard),
	KNOB(slow),	  KNOB(truncated),	KNOB(oversized),  KNOB(empty),	    KNOB(wrong_data),
	KNOB(no_aux),	  KNOB(throttle),	KNOB(ext_ok),	  KNOB(no_certs),   KNOB(no_ext),
	KNOB(firmware_error), KNOB(bad_status), KNOB(bad_size),	  KNOB(certs_huge), KNOB(grow),
	KNOB(vmpl),	  KNOB(debug),		KNOB(other_td),
};

static bool take_knob(int *n)
{
	if (*n == 0)
		return false;
	if (*n > 0)
		(*n)--;
	return true;
}

static void sleep_ms(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	(void)nanosleep(&t, NULL);
}

/* Called without the lock. */
static int delay(void)
{
	int hard, slow;
	bool hangs;

	(void)pthread_mutex_lock(&lock);
	hangs = take_knob(&knobs.hang);
	hard = knobs.hang_hard;
	slow = knobs.slow;
	(void)pthread_mutex_unlock(&lock);
	if (hard)
		sleep_ms(hard);
	if (slow)
		sleep_ms(slow);
	for (int ms = 0; hangs && ms < HANG_MAX_MS; ms += HANG_STEP_MS) {
		if (fuse_interrupted())
			return -EINTR;
		sleep_ms(HANG_STEP_MS);
	}
	return 0;
}

/* --- configfs-tsm --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	mode_t mode;
} attributes[] = {
	{ "inblob", 0200 },	{ "outblob", 0400 },	 { "auxblob", 0400 },	    { "provider", 0444 },
	{ "generation", 0444 }, { "privlevel", 0200 }, { "privlevel_floor", 0444 },
};

/* The folder of a path below /tsm/report, and its attribute ("" for the folder itself). */
static struct item *find(const char *path, const char **attribute)
{
	static const char base[] = "/tsm/report/";
	const char *name = path + sizeof base - 1, *slash;
	size_t n;

	if (strncmp(path, base, sizeof base - 1) != 0)
		return NULL;
	slash = strchr(name, '/');
	n = slash ? (size_t)(slash - name) : strlen(name);
	*attribute = slash ? slash + 1 : "";
	for (int i = 0; i < ITEMS; i++)
		if (items[i].used && strlen(items[i].name) == n && memcmp(items[i].name, name, n) == 0)
			return &items[i];
	return NULL;
}

static bool is_tdx(void)
{
	return strcmp(knobs.provider, "tdx_guest") == 0;
}

static mode_t mode_of(const char *attribute)
{
	/* TDX has neither. */
	if ((is_tdx() || knobs.no_aux) && strcmp(attribute, "auxblob") == 0)
		return 0;
	if (is_tdx() && strncmp(attribute, "privlevel", 9) == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
		if (strcmp(attributes[i].name, attribute) == 0)
			return attributes[i].mode;
	return 0;
}

static int op_mkdir(const char *path, mode_t mode)
{
	const char *attribute;
	int r = -ENOSPC;

	(void)mode;
	if (strncmp(path, "/tsm/report/", 12) != 0 || strchr(path + 12, '/'))
		return -EPERM;
	(void)pthread_mutex_lock(&lock);
	if (find(path, &attribute))
		r = -EEXIST;
	else if (take_knob(&knobs.mkdir_busy))
		r = -EBUSY;
	else if (!knobs.provider[0])
		r = -ENXIO;
	for (int i = 0; r == -ENOSPC && i < ITEMS; i++)
		if (!items[i].used && strlen(path + 12) < NAME_ROOM) {
			items[i] = (struct item){ .used = true, .report = BUF_MAX(1 << 20) };
			(void)snprintf(items[i].name, NAME_ROOM, "%s", path + 12);
			requests++;
			r = 0;
		}
	(void)pthread_mutex_unlock(&lock);
	return r;
}

static int op_rmdir(const char *path)
{
	const char *attribute;
	struct item *it;
	int r = -EPERM;

	(void)pthread_mutex_lock(&lock);
	it = find(path, &attribute);
	if (it && !attribute[0]) {
		buf_done(&it->report);
		*it = (struct item){ 0 };
		r = 0;
	}
	(void)pthread_mutex_unlock(&lock);
	return r;
}

static int fault(void)
{
	if (take_knob(&knobs.busy))
		return -EBUSY;
	if (take_knob(&knobs.wouldblock))
		return -EWOULDBLOCK;
	if (take_knob(&knobs.eio))
		return -EIO;
	if (take_knob(&knobs.enxio))
		return -ENXIO;
	return take_knob(&knobs.timeout) ? -ETIMEDOUT : 0;
}

static void spoil(struct buf *b)
{
	if (take_knob(&knobs.wrong_data) && b->len > 700)
		b->p[is_tdx() ? 48 + 520 : 0x50] ^= 0xff;
	if (is_tdx() && take_knob(&knobs.other_td) && b->len > 700)
		b->p[48 + 184] ^= 0xff;
	if (take_knob(&knobs.truncated) && b->len > 100)
		b->len -= 100;
	if (take_knob(&knobs.empty))
		b->len = 0;
	if (take_knob(&knobs.oversized))
		for (int i = 0; i < 40000; i++)
			buf_putc(b, 0x5a);
}

/* The report for what was written, made once a generation. */
static int make(struct item *it)
{
	int r;

	if (it->in_len == 0)
		return -EINVAL;
	if (it->report.len > 0 && it->read_generation == it->write_generation)
		return 0;
	r = it->in_len == 64 ? fault() : -EINVAL;
	if (r < 0)
		return r;
	buf_reset(&it->report);
	state.vmpl = (unsigned)knobs.vmpl;
	state.debug = knobs.debug;
	if (!(is_tdx() ? report_tdx : report_snp)(&it->report, it->inblob, &state))
		return -EIO;
	reports++;
	spoil(&it->report);
	it->read_generation = it->write_generation;
	if (take_knob(&knobs.interfere))
		it->write_generation++;
	return 0;
}

/* --- open files ------------------------------------------------------------------------------- */

/* What an open file holds: written until it is closed, read once it was read. */
struct open_file {
	struct buf bytes;
	bool written, filled;
};

static struct open_file *file_of(const struct fuse_file_info *fi)
{
	return (struct open_file *)(uintptr_t)fi->fh;
}

static int op_open(const char *path, struct fuse_file_info *fi)
{
	struct open_file *f = calloc(1, sizeof *f);

	(void)path;
	if (!f)
		return -ENOMEM;
	f->bytes = BUF_MAX(1 << 20);
	fi->fh = (uintptr_t)f;
	fi->direct_io = 1;
	return 0;
}

static int op_release(const char *path, struct fuse_file_info *fi)
{
	struct open_file *f = file_of(fi);

	(void)path;
	buf_done(&f->bytes);
	free(f);
	return 0;
}

static int rtmr_of(const char *path)
{
	int n;

	return sscanf(path, "/measurements/rtmr%1d:sha384", &n) == 1 && n < RTMRS ? n : -1;
}

static void write_counters(struct buf *b)
{
	int used = 0;

	for (int i = 0; i < ITEMS; i++)
		used += items[i].used;
	buf_printf(b, "reports %u\nrequests %u\nfolders %d\nsev_calls %u\nextends %u\n", reports, requests,
		   used, sev_calls, extends);
}

static int fill_attribute(struct buf *b, struct item *it, const char *a)
{
	int r;

	if (strcmp(a, "provider") == 0)
		buf_printf(b, "%s\n", knobs.provider);
	else if (strcmp(a, "generation") == 0)
		buf_printf(b, "%u\n", it->write_generation);
	else if (strcmp(a, "privlevel_floor") == 0)
		buf_puts(b, "0\n");
	if (strcmp(a, "outblob") != 0 && strcmp(a, "auxblob") != 0)
		return 0;
	r = make(it);
	if (r < 0)
		return r;
	if (strcmp(a, "outblob") == 0)
		buf_putv(b, buf_view(&it->report));
	else if (!knobs.no_certs)
		buf_putv(b, buf_view(report_certs()));
	return 0;
}

static int fill(struct buf *b, const char *path)
{
	uint8_t mrconfigid[RTMR_SIZE];
	const char *attribute = "";
	struct item *it;
	int n = rtmr_of(path), r = -EIO;

	if (strstr(path, "/outblob") && (r = delay()) < 0)
		return r;
	(void)pthread_mutex_lock(&lock);
	it = find(path, &attribute);
	r = 0;
	if (strcmp(path, "/control") == 0)
		write_counters(b);
	else if (n >= 0)
		buf_put(b, state.rtmr[n], RTMR_SIZE);
	else if (strcmp(path, "/measurements/mrconfigid") == 0) {
		report_mrconfigid(mrconfigid);
		buf_put(b, mrconfigid, sizeof mrconfigid);
	} else
		r = it ? fill_attribute(b, it, attribute) : -ENOENT;
	(void)pthread_mutex_unlock(&lock);
	return r;
}

static int op_read(const char *path, char *p, size_t n, off_t at, struct fuse_file_info *fi)
{
	struct open_file *f = file_of(fi);
	int r;

	/* No path: the folder is gone while its file is open. So in all that have an open file. */
	if (!f->filled) {
		r = path ? fill(&f->bytes, path) : -ENOENT;
		if (r < 0)
			return r;
		f->filled = true;
	}
	if ((size_t)at >= f->bytes.len)
		return 0;
	n = n < f->bytes.len - (size_t)at ? n : f->bytes.len - (size_t)at;
	memcpy(p, f->bytes.p + at, n);
	return (int)n;
}

static void set_knob(const char *line)
{
	char name[32] = "", value[32] = "";

	(void)sscanf(line, "%31s %31s", name, value);
	if (strcmp(name, "provider") == 0)
		(void)snprintf(knobs.provider, sizeof knobs.provider, "%s",
			       strcmp(value, "none") == 0 ? "" : value);
	if (strcmp(name, "reset") == 0) {
		char keep[32];

		memcpy(keep, knobs.provider, sizeof keep);
		knobs = (struct knobs){ 0 };
		memcpy(knobs.provider, keep, sizeof keep);
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (strcmp(name, numbers[i].name) == 0)
			*numbers[i].value = (int)strtol(value, NULL, 10);
}

static int write_control(const char *p, size_t n)
{
	char text[1024];

	if (n >= sizeof text)
		return -EFBIG;
	memcpy(text, p, n);
	text[n] = '\0';
	(void)pthread_mutex_lock(&lock);
	for (char *save = NULL, *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		set_knob(l);
	(void)pthread_mutex_unlock(&lock);
	return (int)n;
}

static int extend(int reg, const char *p, size_t n, off_t at)
{
	bool ok;

	if (at != 0 || n != RTMR_SIZE)
		return -EINVAL;
	(void)pthread_mutex_lock(&lock);
	ok = report_extend(state.rtmr[reg], (const uint8_t *)p);
	extends++;
	(void)pthread_mutex_unlock(&lock);
	return ok ? RTMR_SIZE : -EIO;
}

static int op_write(const char *path, const char *p, size_t n, off_t at, struct fuse_file_info *fi)
{
	struct open_file *f = file_of(fi);
	const char *attribute = "";
	bool found;

	if (!path)
		return -ENOENT;
	if (strcmp(path, "/control") == 0)
		return write_control(p, n);
	if (rtmr_of(path) >= 0)
		return extend(rtmr_of(path), p, n, at);
	(void)pthread_mutex_lock(&lock);
	found = find(path, &attribute);
	(void)pthread_mutex_unlock(&lock);
	if (!found)
		return -ENOENT;
	if (f->bytes.len + n > 64)
		return -EFBIG;
	buf_put(&f->bytes, p, n);
	f->written = true;
	return (int)n;
}

/* At close: the kernel takes a binary attribute over, and tells nobody when it does not. */
static int op_flush(const char *path, struct fuse_file_info *fi)
{
	struct open_file *f = file_of(fi);
	const char *attribute = "";
	struct item *it;

	if (!f->written || !path)
		return 0;
	(void)pthread_mutex_lock(&lock);
	it = find(path, &attribute);
	if (it && !take_knob(&knobs.inblob_busy)) {
		if (strcmp(attribute, "inblob") == 0) {
			memcpy(it->inblob, f->bytes.p, f->bytes.len);
			it->in_len = f->bytes.len;
		}
		it->write_generation++;
	}
	f->written = false;
	(void)pthread_mutex_unlock(&lock);
	return 0;
}

/* --- the tree ----------------------------------------------------------------------------------- */

static const char *const folders[] = { "/", "/tsm", "/tsm/report", "/measurements" };

static mode_t plain_mode(const char *path)
{
	if (strcmp(path, "/sev-guest") == 0 || strcmp(path, "/tdx_guest") == 0 ||
	    strcmp(path, "/control") == 0)
		return 0600;
	if (rtmr_of(path) >= 0)
		return 0644;
	return strcmp(path, "/measurements/mrconfigid") == 0 ? 0444 : 0;
}

static int op_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	const char *attribute = "";
	mode_t mode = plain_mode(path);
	struct item *it;

	(void)fi;
	*st = (struct stat){ .st_nlink = 1 };
	if (!path)
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (strcmp(path, folders[i]) == 0)
			st->st_mode = S_IFDIR | 0755;
	if (mode)
		st->st_mode = S_IFREG | mode;
	if (st->st_mode)
		return 0;
	(void)pthread_mutex_lock(&lock);
	it = find(path, &attribute);
	if (it && !attribute[0])
		st->st_mode = S_IFDIR | 0755;
	else if (it && (mode = mode_of(attribute)))
		st->st_mode = S_IFREG | mode;
	(void)pthread_mutex_unlock(&lock);
	return st->st_mode ? 0 : -ENOENT;
}

static int op_readdir(const char *path, void *b, fuse_fill_dir_t add, off_t at,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	const char *attribute = "";

	(void)at;
	(void)fi;
	(void)flags;
	if (!path)
		return -ENOENT;
	(void)pthread_mutex_lock(&lock);
	if (strcmp(path, "/tsm/report") == 0) {
		for (int i = 0; i < ITEMS; i++)
			if (items[i].used)
				(void)add(b, items[i].name, NULL, 0, 0);
	} else if (find(path, &attribute)) {
		for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
			if (mode_of(attributes[i].name))
				(void)add(b, attributes[i].name, NULL, 0, 0);
	}
	(void)pthread_mutex_unlock(&lock);
	return 0;
}

static int op_truncate(const char *path, off_t n, struct fuse_file_info *fi)
{
	(void)path;
	(void)n;
	(void)fi;
	return 0;
}

/* --- ioctls ----------------------------------------------------------------------------------- */

static bool from_caller(void *p, uint64_t at, size_t n)
{
	struct iovec here = { p, n }, there = { (void *)(uintptr_t)at, n };

	return process_vm_readv(fuse_get_context()->pid, &here, 1, &there, 1, 0) == (ssize_t)n;
}

static bool to_caller(const void *p, uint64_t at, size_t n)
{
	struct iovec here = { (void *)(uintptr_t)p, n }, there = { (void *)(uintptr_t)at, n };

	return process_vm_writev(fuse_get_context()->pid, &here, 1, &there, 1, 0) == (ssize_t)n;
}

/* The ioctl's argument, as the kernel has it. */
struct snp_call {
	uint8_t version, pad[7];
	uint64_t request, response;
	uint32_t firmware, host;
};

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof v);
}

/* What the caller sees in its argument also where the call fails. */
static int told(struct snp_call *c, void *arg, uint32_t firmware, uint32_t host, int r)
{
	c->firmware = firmware;
	c->host = host;
	return to_caller(c, (uintptr_t)arg, sizeof *c) ? r : -EFAULT;
}

static int give_report(struct snp_call *c, const uint8_t *request)
{
	cleanup_buf struct buf report = BUF_MAX(1 << 20);
	uint8_t response[4000] = { 0 };

	state.vmpl = knobs.vmpl ? (unsigned)knobs.vmpl : request[64];
	state.debug = knobs.debug;
	if (!report_snp(&report, request, &state))
		return -EIO;
	reports++;
	if (take_knob(&knobs.wrong_data))
		report.p[0x50] ^= 0xff;
	put32(response, take_knob(&knobs.bad_status) ? 0x16 : 0);
	put32(response + 4, take_knob(&knobs.bad_size) ? 1000 : (uint32_t)report.len);
	memcpy(response + 32, report.p, report.len);
	c->firmware = c->host = 0;
	return to_caller(response, c->response, sizeof response) ? 0 : -EFAULT;
}

static int snp_extended(struct snp_call *c, void *arg, uint8_t *request)
{
	const struct buf *certs = report_certs();
	uint32_t room, need = (uint32_t)((certs->len + PAGE - 1) / PAGE * PAGE);
	uint64_t at;

	memcpy(&at, request + 96, 8);
	memcpy(&room, request + 104, 4);
	if (room % PAGE != 0 || at % PAGE != 0)
		return -EINVAL;
	if (knobs.certs_huge)
		need = 1 << 20;
	if (room > 0 && take_knob(&knobs.grow))
		need = room + PAGE;
	if (!knobs.no_certs && room < need) {
		put32(request + 104, need);
		if (!to_caller(request, c->request, 112))
			return -EFAULT;
		c->host = 1;
		/* With success the argument is copied back by the kernel. */
		return knobs.ext_ok ? 0 : told(c, arg, 0, 1, -EIO);
	}
	if (!knobs.no_certs && !to_caller(certs->p, at, certs->len))
		return -EFAULT;
	return give_report(c, request);
}

static int snp(unsigned command, void *arg, void *data)
{
	struct snp_call *c = data;
	uint8_t request[112] = { 0 };
	bool ext = command == _IOWR('S', 2, struct snp_call);
	int r;

	if (!ext && command != _IOWR('S', 0, struct snp_call))
		return -ENOTTY;
	if (c->version != 1)
		return -EINVAL;
	if (!from_caller(request, c->request, ext ? 112 : 96))
		return -EFAULT;
	sev_calls++;
	if ((r = fault()) < 0)
		return r;
	if (take_knob(&knobs.throttle))
		return told(c, arg, 0, 2, -EIO);
	if (take_knob(&knobs.firmware_error))
		return told(c, arg, 0x16, 0, -EIO);
	if (ext && knobs.no_ext)
		return -ENOTTY;
	return ext ? snp_extended(c, arg, request) : give_report(c, request);
}

static int op_ioctl(const char *path, unsigned command, void *arg, struct fuse_file_info *fi,
		    unsigned flags, void *data)
{
	struct tdx_call {
		uint8_t data[64], report[1024];
	} *t = data;
	int r = -ENOTTY;

	(void)fi;
	(void)flags;
	/* Others ask whether a file is a terminal. */
	if (!path || _IOC_SIZE(command) == 0)
		return -ENOTTY;
	r = delay();
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&lock);
	if (strcmp(path, "/sev-guest") == 0) {
		r = snp(command, arg, data);
	} else if (strcmp(path, "/tdx_guest") == 0 && command == _IOWR('T', 1, struct tdx_call)) {
		state.debug = knobs.debug;
		report_tdreport(t->report, t->data, &state);
		r = 0;
	} else {
		r = -ENOTTY;
	}
	(void)pthread_mutex_unlock(&lock);
	return r;
}

static void *op_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	(void)conn;
	config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
	config->direct_io = 1;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = op_init,
	.getattr = op_getattr,
	.readdir = op_readdir,
	.mkdir = op_mkdir,
	.rmdir = op_rmdir,
	.open = op_open,
	.release = op_release,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.truncate = op_truncate,
	.ioctl = op_ioctl,
};

int main(int argc, char **argv)
{
	if (argc < 3 || !report_load(argv[1])) {
		fprintf(stderr, "usage: devices KEYS MOUNT_POINT [options]; KEYS is what keys.py makes\n");
		return 64;
	}
	argv[1] = argv[0];
	return fuse_main(argc - 1, argv + 1, &operations, NULL);
}
