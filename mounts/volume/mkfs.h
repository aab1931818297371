/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_MKFS_H
#define VOLUME_MKFS_H

#include "mounts/volume/volume.h"

/*
 * mkfs.ext4 and mkfs.xfs: by fixed path, without a shell, with an environment of our own, no
 * descriptor of ours and a deadline; killed when we are.
 */
#define MKFS_OUTPUT_MAX (64u << 10) /* bytes of what it says; the rest is dropped */
#define MKFS_XFS_MIN    (300ull << 20)

/*
 * Are the words of mkfsOpts accepted? Only options, from a list: none that names another file or
 * device, none that stops before anything is made, no word that is no option.
 * Errors: volume.mkfs-options, naming the word.
 */
int mkfs_check(enum volume_fs fs, char *const *args, size_t n, struct err *e) MUST_CHECK;

/*
 * Make a file system.
 *
 * device  path of the mapping
 * fresh   no sector of it was ever written and dm-integrity is below: reading one is an error until
 *         it was written. What mkfs would read is zeroed before, and ext4's inode tables at once
 * journal with fresh: the volume outlives a power failure, so ext4's journal is zeroed too
 *
 * Errors: volume.mkfs, volume.mkfs-options, volume.deadline, volume.device, ERR_NOMEM.
 */
int mkfs_run(enum volume_fs fs, const char *device, char *const *args, size_t n, bool fresh, bool journal,
	     struct deadline d, const struct volume_progress *progress, struct err *e) MUST_CHECK;

/*
 * The words for ext4 on a fresh device: if any mentions lazy_itable_init they stay as they are; else
 * ",lazy_itable_init=0" goes to the last -E, or "-E lazy_itable_init=0" behind them. With journal,
 * words that mention lazy_journal_init get ",lazy_journal_init=0" in the same way: the last counts.
 */
struct mkfs_words {
	char *word[VOLUME_ARGS_MAX + 5];
	bool owned[VOLUME_ARGS_MAX + 5];
	size_t n;
};

#define cleanup_mkfs_words __attribute__((cleanup(mkfs_words_done)))

int mkfs_merge(struct mkfs_words *out, char *const *args, size_t n, bool journal, struct err *e) MUST_CHECK;
void mkfs_words_done(struct mkfs_words *w);

/*
 * The block numbers behind "Superblock backups stored on blocks:" of mkfs.ext4's words, as offsets
 * in bytes, with the size of a block that "… with N 4k blocks" says (4096 where nothing does).
 * Returns how many, at most max; 0 where there is no such line.
 */
size_t mkfs_backups(uint64_t *out, size_t max, const char *text);

#endif
