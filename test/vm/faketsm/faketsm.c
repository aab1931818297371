// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/*
 * A provider for the kernel's real configfs-tsm whose reports are made in user space: what a TEE
 * driver would ask its hardware, this hands to whoever has /dev/faketsm open. One request at a time:
 * read(2) gives struct request, write(2) takes two u32 lengths, then outblob and auxblob. An outblob
 * of no bytes is the hardware's refusal.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/tsm.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

static char *provider = "sev_guest";
module_param(provider, charp, 0444);
static uint timeout_ms = 10000;
module_param(timeout_ms, uint, 0644);

enum state { IDLE, ASKED, TAKEN, ANSWERED };

struct request {
	u32 privlevel;
	u32 inblob_len;
	u8 inblob[TSM_INBLOB_MAX];
};

static DEFINE_MUTEX(one);
static DECLARE_WAIT_QUEUE_HEAD(changed);
static enum state state;
static struct request request;
static u8 *answer;
static u32 out_len, aux_len;

static void go(enum state to)
{
	WRITE_ONCE(state, to);
	wake_up_all(&changed);
}

static int take_answer(struct tsm_report *r)
{
	if (out_len == 0)
		return -EIO;
	r->outblob = kvmemdup(answer, out_len, GFP_KERNEL);
	if (!r->outblob)
		return -ENOMEM;
	r->outblob_len = out_len;
	if (aux_len == 0)
		return 0;
	r->auxblob = kvmemdup(answer + out_len, aux_len, GFP_KERNEL);
	r->auxblob_len = r->auxblob ? aux_len : 0;
	return r->auxblob ? 0 : -ENOMEM;
}

static int report_new(struct tsm_report *r, void *data)
{
	long left;
	int rc;

	mutex_lock(&one);
	request = (struct request){ .privlevel = r->desc.privlevel, .inblob_len = r->desc.inblob_len };
	memcpy(request.inblob, r->desc.inblob, r->desc.inblob_len);
	go(ASKED);
	left = wait_event_killable_timeout(changed, READ_ONCE(state) == ANSWERED, msecs_to_jiffies(timeout_ms));
	rc = READ_ONCE(state) == ANSWERED ? take_answer(r) : left < 0 ? left : -ETIMEDOUT;
	kvfree(answer);
	answer = NULL;
	WRITE_ONCE(state, IDLE);
	mutex_unlock(&one);
	return rc;
}

static bool attr_visible(int n)
{
	return n == TSM_REPORT_GENERATION || n == TSM_REPORT_PROVIDER || n == TSM_REPORT_PRIVLEVEL ||
	       n == TSM_REPORT_PRIVLEVEL_FLOOR;
}

static bool bin_attr_visible(int n)
{
	return n == TSM_REPORT_INBLOB || n == TSM_REPORT_OUTBLOB || n == TSM_REPORT_AUXBLOB;
}

static struct tsm_ops ops = {
	.report_new = report_new,
	.report_attr_visible = attr_visible,
	.report_bin_attr_visible = bin_attr_visible,
};

static ssize_t give_request(struct file *f, char __user *to, size_t n, loff_t *at)
{
	if (n < sizeof(request))
		return -EINVAL;
	if (wait_event_interruptible(changed, READ_ONCE(state) == ASKED))
		return -EINTR;
	if (copy_to_user(to, &request, sizeof(request)))
		return -EFAULT;
	WRITE_ONCE(state, TAKEN);
	return sizeof(request);
}

static ssize_t get_answer(struct file *f, const char __user *from, size_t n, loff_t *at)
{
	u32 len[2];
	u8 *copy;

	if (n < sizeof(len) || n > sizeof(len) + 2 * TSM_OUTBLOB_MAX || READ_ONCE(state) != TAKEN)
		return -EINVAL;
	if (copy_from_user(len, from, sizeof(len)))
		return -EFAULT;
	if ((u64)len[0] + len[1] != n - sizeof(len))
		return -EINVAL;
	copy = kvmalloc(n, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	if (copy_from_user(copy, from + sizeof(len), n - sizeof(len))) {
		kvfree(copy);
		return -EFAULT;
	}
	answer = copy;
	out_len = len[0];
	aux_len = len[1];
	go(ANSWERED);
	return n;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.read = give_request,
	.write = get_answer,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "faketsm",
	.fops = &fops,
	.mode = 0600,
};

static int __init faketsm_init(void)
{
	int rc = misc_register(&device);

	if (rc)
		return rc;
	ops.name = provider;
	rc = tsm_register(&ops, NULL);
	if (rc)
		misc_deregister(&device);
	return rc;
}

static void __exit faketsm_exit(void)
{
	tsm_unregister(&ops);
	misc_deregister(&device);
}

module_init(faketsm_init);
module_exit(faketsm_exit);
/* Of the two licences above, the one that the kernel's own symbols ask for. */
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("configfs-tsm provider for tests");
