// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Files opened, removed and renamed; bytes read from and written to regular files. One program at the exit of
 * system calls, where the result is known, works on every kernel; what io_uring does passes it by. */
#include "remora.bpf.h"

#ifndef __TARGET_ARCH_x86
#error "system call numbers are known for x86-64 and its 32-bit programs only"
#endif

#define AT_FDCWD -100
#define AT_REMOVEDIR 0x200
#define EINTR 4
#define ERESTARTSYS 512		/* first and last of the results that a signal makes, which become EINTR */
#define ERESTART_RESTARTBLOCK 516
#define FMODE_CREATED 0x100000
#define S_IFMT 0170000
#define S_IFREG 0100000
#define TS_COMPAT 2		/* the system call came in the 32-bit way */
#define X32_BIT 0x40000000
#define PATH_SIZE 4097		/* one more than PATH_MAX: the longest path is whole */

enum file_open_flags {		/* those of several bits first */
	O_TMPFILE = 020200000,
	O_SYNC = 04010000,
	O_RDONLY = 0,
	O_WRONLY = 1,
	O_RDWR = 2,
	O_CREAT = 0100,
	O_EXCL = 0200,
	O_NOCTTY = 0400,
	O_TRUNC = 01000,
	O_APPEND = 02000,
	O_NONBLOCK = 04000,
	O_DSYNC = 010000,
	O_ASYNC = 020000,
	O_DIRECT = 040000,
	O_LARGEFILE = 0100000,
	O_DIRECTORY = 0200000,
	O_NOFOLLOW = 0400000,
	O_NOATIME = 01000000,
	O_CLOEXEC = 02000000,
	O_PATH = 010000000,
};

enum file_rename_flags {
	RENAME_NOREPLACE = 1,
	RENAME_EXCHANGE = 2,
	RENAME_WHITEOUT = 4,
};

struct open_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("file, resolved if it was opened, else the directory and the name as given")
		REMORA_FEATURE REMORA_ATTRIBUTE("file.path");
	enum file_open_flags flags REMORA_FLAGS REMORA_HELP("how it was to be opened") REMORA_FEATURE;
	remora_mode mode REMORA_HELP("permission bits asked for a new file") REMORA_OPTIONAL;
	remora_errno error REMORA_HELP("why it failed");
	__s32 fd REMORA_HELP("file descriptor, -1 if it failed");
	bool created REMORA_HELP("the file did not exist before") REMORA_OPTIONAL REMORA_FEATURE;
	__u8 _pad[3];
} REMORA_EVENT("open", "a file was opened, or should have been");

struct unlink_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("the directory and the name as given") REMORA_FEATURE
		REMORA_ATTRIBUTE("file.path");
	remora_errno error REMORA_HELP("why it failed");
	bool directory REMORA_HELP("a directory was to be removed") REMORA_OPTIONAL;
	__u8 _pad[7];
} REMORA_EVENT("unlink", "a file or directory was removed, or should have been");

struct rename_event {
	struct remora_head head;
	struct remora_process process;
	remora_path old_path REMORA_HELP("former directory and name as given") REMORA_FEATURE;
	remora_path new_path REMORA_HELP("new directory and name as given") REMORA_FEATURE;
	enum file_rename_flags flags REMORA_FLAGS REMORA_HELP("how it was to be renamed") REMORA_OPTIONAL;
	remora_errno error REMORA_HELP("why it failed");
} REMORA_EVENT("rename", "a file or directory was renamed, or should have been");

struct file_metrics {
	__u64 opens REMORA_COUNTER("files opened");
	__u64 open_failures REMORA_COUNTER("files that could not be opened");
	__u64 creates REMORA_COUNTER("files created by opening them");
	__u64 unlinks REMORA_COUNTER("files and directories removed");
	__u64 renames REMORA_COUNTER("files and directories renamed");
	__u64 reads REMORA_COUNTER("system calls that read from a regular file");
	__u64 writes REMORA_COUNTER("system calls that wrote to a regular file");
	remora_bytes read REMORA_COUNTER("bytes that system calls returned from regular files");
	remora_bytes written REMORA_COUNTER("bytes that system calls put into regular files");
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct file_metrics);
} file_metrics SEC(".maps");

REMORA_TRACER(file, "security", "files opened, removed and renamed, bytes read and written");

/* ---- System calls by number: the low half for 64-bit ones, the high half for 32-bit ones. ---- */
enum op {
	NONE, OPEN, OPENAT, OPENAT2, CREAT, UNLINK, RMDIR, UNLINKAT, RENAME, RENAMEAT, READ, WRITE, SENDFILE, COPY,
};
#define OP_32(op) ((op) << 4)
#define OP_64(op) ((op) & 15)
#define CALLS 512
static const __u8 op_of[CALLS] = {
	[0] = READ, [1] = WRITE, [2] = OPEN, [17] = READ, [18] = WRITE, [19] = READ, [20] = WRITE,
	[82] = RENAME, [84] = RMDIR, [85] = CREAT, [87] = UNLINK, [257] = OPENAT, [263] = UNLINKAT,
	[264] = RENAMEAT, [275] = COPY, [295] = READ | OP_32(OPENAT), [296] = WRITE, [316] = RENAMEAT, [326] = COPY,
	[327] = READ, [328] = WRITE, [437] = OPENAT2 | OP_32(OPENAT2),
	[3] = OP_32(READ), [4] = OP_32(WRITE), [5] = OP_32(OPEN), [8] = OP_32(CREAT), [10] = OP_32(UNLINK),
	[38] = OP_32(RENAME), [40] = SENDFILE | OP_32(RMDIR), [145] = OP_32(READ), [146] = OP_32(WRITE),
	[180] = OP_32(READ), [181] = OP_32(WRITE), [187] = OP_32(SENDFILE), [239] = OP_32(SENDFILE),
	[301] = OP_32(UNLINKAT), [302] = OP_32(RENAMEAT), [313] = OP_32(COPY), [333] = OP_32(READ),
	[334] = OP_32(WRITE), [353] = OP_32(RENAMEAT), [377] = OP_32(COPY), [378] = OP_32(READ), [379] = OP_32(WRITE),
};

struct call {
	struct task_struct *task;
	struct fs_struct *fs;
	__u64 arg[5];
	long result;
	enum op op;
};

struct open_how {		/* of openat2: ABI */
	__u64 flags;
	__u64 mode;
	__u64 resolve;
};

static __always_inline void fill_call(struct call *call, struct pt_regs *regs, __u8 ops, long result)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	bool compat;

	call->task = task;
	call->result = result;
	compat = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
	call->op = compat ? ops >> 4 : OP_64(ops);
	call->arg[0] = compat ? (__u32)regs->bx : regs->di;
	call->arg[1] = compat ? (__u32)regs->cx : regs->si;
	call->arg[2] = compat ? (__u32)regs->dx : regs->dx;
	call->arg[3] = compat ? (__u32)regs->si : regs->r10;
	call->arg[4] = compat ? (__u32)regs->di : regs->r8;
}

static __always_inline __u32 error_of(long result)
{
	if (result >= 0)
		return 0;
	return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK ? EINTR : -result;
}

static __always_inline struct file_metrics *metrics_of(struct remora_container *c)
{
	__u32 i = c->index;

	return bpf_map_lookup_elem(&file_metrics, &i);
}

/* ---- Files and paths ---- */
static __always_inline struct file *file_at(struct call *call, __u32 fd)
{
	struct task_struct *task = call->task;
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **at = BPF_CORE_READ(table, fd), *file = NULL;

	if (fd < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), at + fd);
	return file;
}

/* A pipe or socket reopened through /proc/self/fd has a dentry but no place in a tree. */
static __always_inline bool has_place(struct file *file)
{
	struct dentry *d = BPF_CORE_READ(file, f_path.dentry);

	return BPF_CORE_READ(d, d_parent) != d || BPF_CORE_READ(file, f_path.mnt, mnt_root) == d;
}

/* A path as given, from the directory it starts at. */
static __always_inline void tail_given(struct remora_scratch *b, remora_path *t, const __u32 fixed,
				       struct call *call, __s32 dirfd, __u64 name)
{
	const char *first = remora_tail_at(b, fixed);
	const struct path *from = &call->fs->pwd;
	struct file *dir;

	remora_tail_str(b, t, fixed, (void *)name, PATH_SIZE, true);
	if (!t->len) {
		t->truncated = 1;
		return;
	}
	if (*first == '/')
		return;
	if (dirfd != AT_FDCWD) {
		dir = file_at(call, dirfd);
		if (!dir) {
			t->truncated = 1;
			return;
		}
		from = &dir->f_path;
	}
	remora_tail_path(b, t, fixed, from, &call->fs->root);
}

/* ---- Events ---- */
static __always_inline void report_open(struct remora_container *c, struct call *call, struct file_metrics *m,
					__s32 dirfd, __u64 name, struct open_how *how)
{
	struct file *file = call->result >= 0 ? file_at(call, call->result) : NULL;
	bool created = file && (BPF_CORE_READ(file, f_mode) & FMODE_CREATED);
	const __u32 fixed = sizeof(struct open_event);
	struct remora_scratch *b;
	struct open_event *e;

	remora_add(call->result >= 0 ? &m->opens : &m->open_failures, 1);
	if (created)
		remora_add(&m->creates, 1);
	b = remora_begin(c, struct open_event);
	if (!b)
		return;
	e = remora_event(b, struct open_event);
	remora_fill_process_of(&e->process, call->task);
	e->flags = how->flags;
	e->mode = how->flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? how->mode & 07777 : 0;
	e->error = error_of(call->result);
	e->fd = call->result >= 0 ? call->result : -1;
	e->created = created;
	if (file && has_place(file))
		remora_tail_path(b, &e->path, fixed, &file->f_path, &call->fs->root);
	else
		tail_given(b, &e->path, fixed, call, dirfd, name);
	remora_end(c, b, fixed);
}

static __always_inline void report_unlink(struct remora_container *c, struct call *call, struct file_metrics *m,
					  __s32 dirfd, __u64 name, bool directory)
{
	const __u32 fixed = sizeof(struct unlink_event);
	struct remora_scratch *b;
	struct unlink_event *e;

	if (!call->result)
		remora_add(&m->unlinks, 1);
	b = remora_begin(c, struct unlink_event);
	if (!b)
		return;
	e = remora_event(b, struct unlink_event);
	remora_fill_process_of(&e->process, call->task);
	e->error = error_of(call->result);
	e->directory = directory;
	tail_given(b, &e->path, fixed, call, dirfd, name);
	remora_end(c, b, fixed);
}

struct renaming {
	__s32 old_dirfd, new_dirfd;
	__u64 old_name, new_name;
	__u32 flags;
};

static __always_inline void report_rename(struct remora_container *c, struct call *call, struct file_metrics *m,
					  struct renaming *r)
{
	const __u32 fixed = sizeof(struct rename_event);
	struct remora_scratch *b;
	struct rename_event *e;

	if (!call->result)
		remora_add(&m->renames, 1);
	b = remora_begin(c, struct rename_event);
	if (!b)
		return;
	e = remora_event(b, struct rename_event);
	remora_fill_process_of(&e->process, call->task);
	e->error = error_of(call->result);
	e->flags = r->flags;
	tail_given(b, &e->old_path, fixed, call, r->old_dirfd, r->old_name);
	tail_given(b, &e->new_path, fixed, call, r->new_dirfd, r->new_name);
	remora_end(c, b, fixed);
}

/* ---- System calls to events ---- */
static __always_inline void opened(struct remora_container *c, struct call *call, struct file_metrics *m)
{
	struct open_how how = {};
	__s32 dirfd = AT_FDCWD;
	__u64 name = call->arg[0];

	if (call->op == OPENAT || call->op == OPENAT2) {
		dirfd = call->arg[0];
		name = call->arg[1];
	}
	if (call->op == OPENAT2) {
		bpf_probe_read_user(&how, sizeof(how), (void *)call->arg[2]);
	} else if (call->op == CREAT) {
		how.flags = O_CREAT | O_WRONLY | O_TRUNC;
		how.mode = call->arg[1];
	} else {
		how.flags = (__u32)(call->op == OPEN ? call->arg[1] : call->arg[2]);
		how.mode = (__u32)(call->op == OPEN ? call->arg[2] : call->arg[3]);
	}
	report_open(c, call, m, dirfd, name, &how);
}

static __always_inline void unlinked(struct remora_container *c, struct call *call, struct file_metrics *m)
{
	bool at = call->op == UNLINKAT;

	report_unlink(c, call, m, at ? call->arg[0] : AT_FDCWD, at ? call->arg[1] : call->arg[0],
		      at ? call->arg[2] & AT_REMOVEDIR : call->op == RMDIR);
}

static __always_inline void renamed(struct remora_container *c, struct call *call, struct file_metrics *m,
				    bool has_flags)
{
	struct renaming r = { AT_FDCWD, AT_FDCWD, call->arg[0], call->arg[1] };

	if (call->op == RENAMEAT) {
		r.old_dirfd = call->arg[0];
		r.old_name = call->arg[1];
		r.new_dirfd = call->arg[2];
		r.new_name = call->arg[3];
		r.flags = has_flags ? call->arg[4] : 0;
	}
	report_rename(c, call, m, &r);
}

static __always_inline bool is_regular(struct call *call, __u32 fd)
{
	struct file *file = file_at(call, fd);

	return (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFREG;
}

static __always_inline void moved(struct call *call, struct file_metrics *m)
{
	__u64 in = call->arg[0], out = call->arg[0];

	if (call->op == SENDFILE)
		in = call->arg[1];
	else if (call->op == COPY)
		out = call->arg[2];
	if (call->op != WRITE && is_regular(call, in)) {
		remora_add(&m->reads, 1);
		remora_add(&m->read, call->result);
	}
	if (call->op != READ && is_regular(call, out)) {
		remora_add(&m->writes, 1);
		remora_add(&m->written, call->result);
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(returned, struct pt_regs *regs, long result)
{
	__u64 number = regs->orig_ax & ~(__u64)X32_BIT;
	struct remora_container *c;
	struct task_struct *task;
	struct file_metrics *m;
	struct call call;

	if (number >= CALLS || !op_of[number])
		return 0;
	c = remora_container();
	m = c ? metrics_of(c) : NULL;
	if (!m)
		return 0;
	fill_call(&call, regs, op_of[number], result);
	if (call.op == NONE)
		return 0;
	if (call.op >= READ) {
		if (result >= 0)
			moved(&call, m);
		return 0;
	}
	task = call.task;
	call.fs = BPF_CORE_READ(task, fs);
	if (call.op <= CREAT)
		opened(c, &call, m);
	else if (call.op <= UNLINKAT)
		unlinked(c, &call, m);
	else
		renamed(c, &call, m, number == 316 || number == 353);
	return 0;
}
