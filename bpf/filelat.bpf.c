// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * How long system calls on files took, by file system: from entry to return, so that it is what the program waits,
 * with the page cache's help and without. Regular files, directories and block devices only: a pipe, socket or
 * terminal makes wait for its other end. Memory maps, io_uring, sendfile and the like pass it by.
 */
#include "remora.bpf.h"

#ifndef __TARGET_ARCH_x86
#error "system call numbers are known for x86-64 and its 32-bit programs only"
#endif

#define AT_FDCWD -100
#define ANON_INODE_FS_MAGIC 0x09041934
#define EINTR 4
#define ERESTARTSYS 512		/* first and last of the results that a signal makes, which become EINTR */
#define ERESTART_RESTARTBLOCK 516
#define S_IFMT 0170000
#define S_IFDIR 0040000
#define S_IFBLK 0060000
#define S_IFREG 0100000
#define TS_COMPAT 2		/* the system call came in the 32-bit way */
#define X32_BIT 0x40000000
#define PATH_SIZE 4097		/* one more than PATH_MAX: the longest path is whole */

enum filelat_op {
	read = 1,
	write,
	open,
	fsync,			/* fdatasync, sync_file_range and syncfs, too */
};

struct filelat_params {
	__u32 slow_us REMORA_OWN_PARAM("0", "0", "600000000",
				       "microseconds from which on a call is an event; 0: none is");
	__u32 _pad;
};
REMORA_PARAMS(struct filelat_params);

struct slow_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("file; of one that could not be opened, the directory and the name as given")
		REMORA_ATTRIBUTE("file.path");
	enum filelat_op op REMORA_HELP("what was asked for: read, write, open, or fsync, which stands for fdatasync, "
				       "sync_file_range and syncfs, too");
	remora_errno error REMORA_HELP("why it failed");
	char fs[16] REMORA_HELP("type of the file system that the program sees; bdev: a block device") REMORA_OPTIONAL;
	remora_ns duration REMORA_HELP("time from entry to return");
	__s64 result REMORA_HELP("bytes moved, or the file descriptor; 0 if it failed");
} REMORA_EVENT("slow", "a system call on a file took longer than the parameter slow_us says");

struct filelat_key {
	remora_index index;
	enum filelat_op op REMORA_HELP("read, write, open; fsync stands for fdatasync, sync_file_range and syncfs, too");
	char fs[16] REMORA_HELP("type of the file system that the program sees, as overlay; bdev: a block device; none: "
				"the file could not be opened");
};
struct filelat_metrics {
	remora_histogram_ns latency REMORA_HISTOGRAM("time from entry to return of system calls on files");
	__u64 errors REMORA_COUNTER("of these, calls that failed");
	__u64 slow REMORA_COUNTER("of these, calls slower than the parameter slow_us says");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct filelat_key);
	__type(value, struct filelat_metrics);
} filelat_metrics SEC(".maps");

/* Calls that threads are in. */
struct call {
	__u64 time;
	struct file_system_type *fs; /* NULL: to be known when the file is open */
	__u32 number;
	enum filelat_op op;
	bool bdev;
	bool compat;
	__u8 _pad[6];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct call);
} filelat_calls SEC(".maps");

REMORA_TRACER(filelat, "performance", "how long reads, writes, opens and syncs of files take, by file system");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct file_system_type {
	const char *name;
};
struct super_block___type {
	struct file_system_type *s_type;
};
#pragma clang attribute pop

/* ---- System calls by number: the low half for 64-bit ones, the high half for 32-bit ones. ---- */
enum { OPENAT = 5, OPENAT2, CREAT };
#define OP_32(op) ((op) << 4)
#define OP_64(op) ((op) & 15)
#define CALLS 512
static const __u8 op_of[CALLS] = {
	[0] = read, [1] = write, [2] = open, [17] = read, [18] = write, [19] = read, [20] = write, [74] = fsync,
	[75] = fsync, [85] = CREAT, [257] = OPENAT, [277] = fsync, [295] = read | OP_32(OPENAT), [296] = write,
	[306] = fsync, [327] = read, [328] = write, [437] = OPENAT2 | OP_32(OPENAT2),
	[3] = OP_32(read), [4] = OP_32(write), [5] = OP_32(open), [8] = OP_32(CREAT), [118] = OP_32(fsync),
	[145] = OP_32(read), [146] = OP_32(write), [148] = OP_32(fsync), [180] = OP_32(read), [181] = OP_32(write),
	[314] = OP_32(fsync), [333] = OP_32(read), [334] = OP_32(write), [344] = OP_32(fsync), [378] = OP_32(read),
	[379] = OP_32(write),
};

static __always_inline __u32 error_of(long result)
{
	if (result >= 0)
		return 0;
	return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK ? EINTR : -result;
}

static __always_inline struct file *file_at(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **at = BPF_CORE_READ(table, fd), *file = NULL;

	if (fd < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), at + fd);
	return file;
}

/* Whether the file's latency is its own. eventfd and its like are regular files from v6.16 on. */
static __always_inline bool measure(struct call *call, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u32 type = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	struct super_block *sb = BPF_CORE_READ(inode, i_sb);

	if (type != S_IFREG && type != S_IFDIR && type != S_IFBLK)
		return false;
	if (BPF_CORE_READ(sb, s_magic) == ANON_INODE_FS_MAGIC)
		return false;
	call->bdev = type == S_IFBLK;
	call->fs = BPF_CORE_READ((struct super_block___type *)sb, s_type);
	return true;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(entered, struct pt_regs *regs, __u64 number)
{
	struct remora_container *c;
	struct task_struct *task;
	struct call call = {};
	__u32 thread;
	__u8 op;

	number &= ~(__u64)X32_BIT;
	if (number >= CALLS || !op_of[number])
		return 0;
	c = remora_container();
	if (!c)
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	call.compat = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
	op = call.compat ? op_of[number] >> 4 : OP_64(op_of[number]);
	if (!op)
		return 0;
	call.op = op >= OPENAT ? open : op;
	call.number = number;
	if (call.op != open && !measure(&call, file_at(task, call.compat ? regs->bx : regs->di)))
		return 0;
	thread = bpf_get_current_pid_tgid();
	call.time = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&filelat_calls, &thread, &call, BPF_ANY))
		remora_lost(c);
	return 0;
}

/* ---- What has returned ---- */
struct returned {
	struct task_struct *task;
	struct file *file;	/* NULL: it could not be opened */
	__s32 dirfd;
	__u64 name;
	__u64 duration;
	long result;
	enum filelat_op op;
};

/* Where an open looked for its file. */
static __always_inline void fill_name(struct returned *r, struct call *call, struct pt_regs *regs)
{
	__u8 op = call->compat ? op_of[call->number & (CALLS - 1)] >> 4 : OP_64(op_of[call->number & (CALLS - 1)]);

	if (op == OPENAT || op == OPENAT2) {
		r->dirfd = call->compat ? regs->bx : regs->di;
		r->name = call->compat ? (__u32)regs->cx : regs->si;
	} else {
		r->dirfd = AT_FDCWD;
		r->name = call->compat ? (__u32)regs->bx : regs->di;
	}
}

/* A path as given, from the directory it starts at. */
static __always_inline void tail_given(struct remora_scratch *b, remora_path *t, const __u32 fixed,
				       struct returned *r, struct fs_struct *fs)
{
	const char *first = remora_tail_at(b, fixed);
	const struct path *from = &fs->pwd;
	struct file *dir;

	remora_tail_str(b, t, fixed, (void *)r->name, PATH_SIZE, true);
	if (!t->len) {
		t->truncated = 1;
		return;
	}
	if (*first == '/')
		return;
	if (r->dirfd != AT_FDCWD) {
		dir = file_at(r->task, r->dirfd);
		if (!dir) {
			t->truncated = 1;
			return;
		}
		from = &dir->f_path;
	}
	remora_tail_path(b, t, fixed, from, &fs->root);
}

static __always_inline void report(struct remora_container *c, struct returned *r, const char *fs_name)
{
	const __u32 fixed = sizeof(struct slow_event);
	struct remora_scratch *b = remora_begin(c, struct slow_event);
	struct task_struct *task = r->task;
	struct fs_struct *fs;
	struct slow_event *e;

	if (!b)
		return;
	e = remora_event(b, struct slow_event);
	remora_fill_process_of(&e->process, task);
	e->op = r->op;
	e->error = error_of(r->result);
	e->result = r->result < 0 ? 0 : r->result;
	e->duration = r->duration;
	__builtin_memcpy(e->fs, fs_name, sizeof(e->fs));
	fs = BPF_CORE_READ(task, fs);
	if (r->file)
		remora_tail_path(b, &e->path, fixed, &r->file->f_path, &fs->root);
	else
		tail_given(b, &e->path, fixed, r, fs);
	remora_end(c, b, fixed);
}

static __always_inline struct filelat_metrics *metrics_of(struct remora_container *c, struct filelat_key *key)
{
	struct filelat_metrics *m = bpf_map_lookup_elem(&filelat_metrics, key);
	static const struct filelat_metrics none;

	if (!m) {
		bpf_map_update_elem(&filelat_metrics, key, &none, BPF_NOEXIST);
		m = bpf_map_lookup_elem(&filelat_metrics, key);
		if (!m)
			remora_lost(c);
	}
	return m;
}

static __always_inline void ended(struct remora_container *c, struct call *call, struct returned *r)
{
	struct filelat_key key = { .index = c->index, .op = call->op };
	struct filelat_params *p = remora_params_of(c);
	struct file_system_type *fs = call->fs;
	struct filelat_metrics *m;
	bool slow = p && p->slow_us && r->duration >= p->slow_us * 1000ULL;

	if (call->bdev)
		__builtin_memcpy(key.fs, "bdev", 5);
	else if (fs)
		bpf_probe_read_kernel_str(key.fs, sizeof(key.fs), BPF_CORE_READ(fs, name));
	else
		__builtin_memcpy(key.fs, "none", 5);
	m = metrics_of(c, &key);
	if (m) {
		remora_observe(&m->latency, r->duration, 10);
		if (r->result < 0)
			remora_add(&m->errors, 1);
		if (slow)
			remora_add(&m->slow, 1);
	}
	if (slow)
		report(c, r, key.fs);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(returned, struct pt_regs *regs, long result)
{
	__u64 number = regs->orig_ax & ~(__u64)X32_BIT;
	struct returned r = { .result = result };
	struct remora_container *c;
	struct call *known, call;
	__u32 thread;

	if (number >= CALLS || !op_of[number])
		return 0;
	c = remora_container();
	if (!c)
		return 0;
	thread = bpf_get_current_pid_tgid();
	known = bpf_map_lookup_elem(&filelat_calls, &thread);
	if (!known)
		return 0;
	call = *known;
	bpf_map_delete_elem(&filelat_calls, &thread);
	if (call.number != number)
		return 0;
	r.duration = bpf_ktime_get_ns() - call.time;
	r.op = call.op;
	r.task = (struct task_struct *)bpf_get_current_task();
	if (call.op != open) {
		r.file = file_at(r.task, call.compat ? regs->bx : regs->di);
	} else if (result < 0) {
		fill_name(&r, &call, regs);
	} else {
		r.file = file_at(r.task, result);
		if (!measure(&call, r.file))
			return 0;
	}
	ended(c, &call, &r);
	return 0;
}
