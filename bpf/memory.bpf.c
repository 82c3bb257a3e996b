// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Page faults and resident memory by process, and memory made executable. The kernel counts faults and pages for
 * each process: they are looked up when somebody reads them and when the process ends, so that a fault costs nothing.
 */
#include "remora.bpf.h"

#ifndef __TARGET_ARCH_x86
#error "system call numbers are known for x86-64 and its 32-bit programs only"
#endif

#define EINTR 4
#define FMODE_BACKING (3 << 24) /* the former, and that since v6.14 */
#define ERESTARTSYS 512		/* first and last of the results that a signal makes, which become EINTR */
#define ERESTART_RESTARTBLOCK 516
#define HUGETLBFS_MAGIC 0x958458f6
#define MAX_ERRNO 4095
#define NO_BASE (~0ULL)		/* to be taken when the process is looked at first */
#define OVERLAYFS_MAGIC 0x794c7630
#define PAGE_SHIFT 12
#define PROCESSES 16384
#define READ_IMPLIES_EXEC 0x0400000
#define SHM_EXEC 0100000
#define SHM_RDONLY 010000
#define STEPS 64		/* a walk over the host's processes is done in so many steps ... */
#define STEP 128		/* ... of so many processes */
#define THREADS 1024		/* of a process whose faults are summed up */
#define TMPFS_MAGIC 0x01021994
#define TREE_DEPTH 40
#define TS_COMPAT 2		/* the system call came in the 32-bit way */
#define X32_BIT 0x40000000

enum memory_protection {
	PROT_READ = 1,
	PROT_WRITE = 2,
	PROT_EXEC = 4,
};

enum memory_call {
	mmap = 1,
	mprotect,		/* pkey_mprotect, too */
	shmat,
};

enum memory_backing {
	unknown,
	anonymous,
	image,			/* a file of a lower layer, or of a file system that is no overlay */
	upper,			/* a file written in the container: the overlay's upper layer */
	memfd,			/* a file in memory that never had a name */
	deleted,		/* a file that no longer has a name */
	sysv,			/* a System V segment */
};

struct memory_params {
	__u32 files REMORA_OWN_PARAM("0", "0", "1",
				     "1: report files of the image mapped executable, as libraries are, too");
	__u32 repeat REMORA_OWN_PARAM("0", "0", "1",
				      "1: report each mapping, not only the first of its kind in a process");
};
REMORA_PARAMS(struct memory_params);

struct map_exec_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("file behind the memory, empty if it is anonymous") REMORA_FEATURE
		REMORA_ATTRIBUTE("file.path");
	__u32 _pad;
	__u64 address REMORA_HELP("where the memory begins, 0 if it could not be mapped");
	remora_bytes length REMORA_HELP("bytes asked for; of shmat, of the segment");
	enum memory_protection protection REMORA_FLAGS REMORA_FEATURE
		REMORA_HELP("what the program may do with it now; if the call failed, what it asked for");
	enum memory_call call REMORA_HELP("system call: mmap, mprotect (or pkey_mprotect), shmat") REMORA_FEATURE;
	enum memory_backing backing REMORA_FEATURE
		REMORA_HELP("what is behind it: anonymous memory, a file of the image or of the container's upper "
			    "layer, a memfd, a deleted file, a System V segment");
	remora_errno error REMORA_HELP("why it failed");
} REMORA_EVENT("map_exec", "memory was made executable, or should have been");

struct memory_metrics {
	__u64 minor_faults REMORA_COUNTER("page faults that needed no input");
	__u64 major_faults REMORA_COUNTER("page faults that waited for input");
	__u64 executable REMORA_COUNTER("times memory was made executable, files of the image included");
	__u64 writable_executable REMORA_COUNTER("of these, times it was writable as well");
	remora_bytes anonymous REMORA_GAUGE("resident memory of the processes' own, summed over processes");
	remora_bytes file REMORA_GAUGE("resident memory of mapped files, summed over the processes that map them");
	remora_bytes shared REMORA_GAUGE("resident shared and tmpfs memory, summed over the processes that map it");
	remora_bytes swapped REMORA_GAUGE("memory of the processes' own in swap");
	remora_histogram_bytes peak REMORA_HISTOGRAM("the most memory that a process which ended had resident");
	__u64 _session;		/* the refresh that the sums below are of */
	__u64 _sum[4];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct memory_metrics);
} memory_metrics SEC(".maps");

struct process_key {
	remora_index index;
	__u32 pid REMORA_HELP("process id as the host sees it") REMORA_ATTRIBUTE("process.pid");
};
struct process_row {
	char comm[16] REMORA_HELP("name of its first thread, which it may set itself") REMORA_ATTRIBUTE("process.comm");
	remora_bytes anonymous REMORA_HELP("resident memory of its own");
	remora_bytes file REMORA_HELP("resident memory of mapped files");
	remora_bytes shared REMORA_HELP("resident shared and tmpfs memory");
	remora_bytes swapped REMORA_HELP("memory of its own in swap");
	remora_bytes peak REMORA_HELP("the most memory it had resident since it executed");
	__u64 minor_faults REMORA_COUNTER("page faults that needed no input, since it was observed");
	__u64 major_faults REMORA_COUNTER("page faults that waited for input, since it was observed");
	__u64 _minor_base, _major_base; /* of the kernel's counts, what came before */
	__u64 _task;		/* its first thread, as long as that has this start */
	__u64 _start;
} REMORA_TABLE("memory_processes", "processes of the container, their resident memory and page faults");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PROCESSES);
	__type(key, struct process_key);
	__type(value, struct process_row);
} memory_rows SEC(".maps");

/* What has been reported of processes. */
struct told {
	__u64 start;
	__u64 inode;
	__u32 pid;
	__u32 dev;
	__u32 kind;
	__u32 _pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct told);
	__type(value, __u8);
} memory_told SEC(".maps");

/* A refresh goes over these, then over the rows, then over the metrics. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STEPS);
	__type(key, __u32);
	__type(value, __u32);
} memory_steps SEC(".maps");
struct refresh {
	__u64 first;		/* process at which the walk began: the one that reads */
	__u64 at;		/* process at which it is, with number and start; 0: done */
	__u64 start;
	__u32 pid;
	__u32 _pad;
	__u64 session;		/* last one over the rows */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct refresh);
} memory_refresh SEC(".maps");

REMORA_TRACER(memory, "performance,security", "page faults, resident memory by process, memory made executable");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
typedef struct {
	long counter;
} atomic_long_t;
struct mm_rss_stat {
	atomic_long_t count[4];
};
struct percpu_counter {
	s64 count;
};
struct mm_struct___pages {
	struct percpu_counter rss_stat[4];
	unsigned long hiwater_rss;
};
struct rb_node {
	struct rb_node *rb_right, *rb_left;
};
struct rb_root {
	struct rb_node *rb_node;
};
struct mm_struct___o {
	struct mm_rss_stat rss_stat;
	struct rb_root mm_rb;
};
struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_flags;
	struct file *vm_file;
	struct rb_node vm_rb;
};
struct signal_struct___faults {
	struct list_head thread_head;
	unsigned long min_flt, maj_flt;
	unsigned long maxrss;
};
struct task_struct___faults {
	struct list_head tasks;
	struct list_head thread_node;
	unsigned long min_flt, maj_flt;
	unsigned int personality;
};
struct bpf_iter_meta {
	u64 session_id;
};
struct backing_file {
	struct path user_path;
};
/* Overlay inodes carry the upper dentry right behind the VFS inode (struct ovl_inode: vfs_inode, __upperdentry). */
struct ovl_inode {
	struct inode vfs_inode;
	struct dentry *__upperdentry;
};
#pragma clang attribute pop

static __always_inline struct memory_metrics *metrics_of(struct remora_container *c)
{
	__u32 i = c->index;

	return bpf_map_lookup_elem(&memory_metrics, &i);
}

/* ---- Faults: what threads that ended left to the process, and what each thread has ---- */
struct faults {
	__u64 minor;
	__u64 major;
};

static __always_inline void fill_faults(struct faults *f, struct task_struct *task)
{
	struct signal_struct___faults *signal = (void *)BPF_CORE_READ(task, signal);
	void *head = (void *)signal + bpf_core_field_offset(signal->thread_head);
	struct list_head *at = BPF_CORE_READ(signal, thread_head.next);
	int i;

	f->minor = BPF_CORE_READ(signal, min_flt);
	f->major = BPF_CORE_READ(signal, maj_flt);
	for (i = 0; i < THREADS && at && at != head; i++) {
		struct task_struct___faults *thread;

		thread = (void *)at - bpf_core_field_offset(struct task_struct___faults, thread_node);
		f->minor += BPF_CORE_READ(thread, min_flt);
		f->major += BPF_CORE_READ(thread, maj_flt);
		at = BPF_CORE_READ(at, next);
	}
}

/* Adds what has come since the row last said; what a thread takes with it at its end may be missed a moment. */
static __always_inline void add_faults(struct memory_metrics *m, struct process_row *row, struct faults *f)
{
	__u64 minor = row->minor_faults, major = row->major_faults;

	if (row->_minor_base == NO_BASE) {
		row->_minor_base = f->minor;
		row->_major_base = f->major;
	}
	if (f->minor > row->_minor_base + minor) {
		row->minor_faults = f->minor - row->_minor_base;
		remora_add(&m->minor_faults, row->minor_faults - minor);
	}
	if (f->major > row->_major_base + major) {
		row->major_faults = f->major - row->_major_base;
		remora_add(&m->major_faults, row->major_faults - major);
	}
}

/* ---- Which processes there are ---- */
static __always_inline void observe(struct remora_container *c, struct task_struct *leader, struct faults *base)
{
	struct process_key key = { .index = c->index, .pid = BPF_CORE_READ(leader, tgid) };
	struct process_row row = {}, *known = bpf_map_lookup_elem(&memory_rows, &key);
	__u64 start = BPF_CORE_READ(leader, start_boottime);

	if (known) { /* a thread that executes becomes the first, with the first's start */
		known->_task = (__u64)leader;
		if (known->_start == start)
			return;
	}
	row._task = (__u64)leader;
	row._start = start;
	row._minor_base = base->minor;
	row._major_base = base->major;
	if (bpf_map_update_elem(&memory_rows, &key, &row, BPF_ANY))
		remora_lost(c);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	struct remora_container *c = remora_container_of_task(child);
	struct faults none = {};

	if (c && child->pid == child->tgid)
		observe(c, child, &none);
	return 0;
}

/* What a runtime's program did before is not the container's. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(executed, struct task_struct *task)
{
	struct remora_container *c = remora_container_of_task(task);
	struct faults before = {};

	if (!c)
		return 0;
	fill_faults(&before, task);
	observe(c, task, &before);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exited, struct task_struct *task)
{
	struct remora_container *c = remora_container_of_task(task);
	struct signal_struct___faults *signal;
	struct process_row *row, last;
	struct memory_metrics *m;
	struct process_key key;
	struct faults f = {};
	__u64 peak;

	if (!c || BPF_CORE_READ(task, signal, live.counter))
		return 0;
	key.index = c->index;
	key.pid = task->tgid;
	m = metrics_of(c);
	row = bpf_map_lookup_elem(&memory_rows, &key);
	if (!m || !row)
		return 0;
	last = *row;
	if (bpf_map_delete_elem(&memory_rows, &key)) /* threads that end together may each be the last */
		return 0;
	fill_faults(&f, task);
	add_faults(m, &last, &f);
	signal = (void *)BPF_CORE_READ(task, signal);
	peak = BPF_CORE_READ(signal, maxrss) << PAGE_SHIFT;
	remora_observe(&m->peak, peak > last.peak ? peak : last.peak, 0);
	return 0;
}

/*
 * A refresh begins with a walk along the list of all processes, from the one that reads, for those that were there
 * before anybody observed. The list may change between steps: the walk then ends, and the next goes further.
 */
static __always_inline bool is_still(struct task_struct *task, __u32 pid, __u64 start)
{
	return BPF_CORE_READ(task, pid) == pid && BPF_CORE_READ(task, start_boottime) == start;
}

static __always_inline void seen(struct task_struct *leader)
{
	__u64 cgroup = BPF_CORE_READ(leader, cgroups, dfl_cgrp, kn, id);
	struct remora_container *c = cgroup ? remora_container_of(cgroup) : NULL;
	struct process_key key = { .pid = BPF_CORE_READ(leader, tgid) };
	struct faults later = { NO_BASE, NO_BASE };

	if (!c || remora_is_runtime(c, key.pid) || !BPF_CORE_READ(leader, signal, live.counter))
		return;
	key.index = c->index;
	if (!bpf_map_lookup_elem(&memory_rows, &key))
		observe(c, leader, &later);
}

SEC("iter/bpf_map_elem") REMORA_REFRESH("memory_steps")
int walked(struct bpf_iter__bpf_map_elem *ctx)
{
	struct task_struct *at = (struct task_struct *)bpf_get_current_task();
	struct task_struct___faults *listed;
	__u32 zero = 0, *step = ctx->key;
	struct refresh *r = bpf_map_lookup_elem(&memory_refresh, &zero);
	int i;

	if (!r || !step)
		return 0;
	at = BPF_CORE_READ(at, group_leader);
	if (!*step)
		r->first = (__u64)at;
	else
		at = (struct task_struct *)r->at;
	r->at = 0;
	if (!at || (*step && !is_still(at, r->pid, r->start)))
		return 0;
	for (i = 0; i < STEP; i++) {
		listed = (void *)at;
		at = (void *)BPF_CORE_READ(listed, tasks.next) -
		     bpf_core_field_offset(struct task_struct___faults, tasks);
		if ((__u64)at == r->first)
			return 0;
		seen(at);
	}
	r->pid = BPF_CORE_READ(at, pid);
	r->start = BPF_CORE_READ(at, start_boottime);
	r->at = (__u64)at;
	return 0;
}

/* The kernel's kinds of pages, since 3.x: of files, anonymous, in swap, shared. */
enum { FILE, ANON, SWAP, SHARED };

/* f1a7941243c1 ("mm: convert mm's rss stats into percpu_counter", v6.2) */
#define bytes_of(mm, kind)                                                                                    \
	({                                                                                                    \
		struct mm_struct___pages *new_ = (void *)(mm);                                                \
		struct mm_struct___o *old_ = (void *)(mm);                                                    \
		__s64 pages_;                                                                                 \
                                                                                                              \
		if (bpf_core_type_exists(struct mm_rss_stat))                                                 \
			pages_ = BPF_CORE_READ(old_, rss_stat.count[kind].counter);                           \
		else                                                                                          \
			pages_ = BPF_CORE_READ(new_, rss_stat[kind].count);                                   \
		pages_ > 0 ? pages_ << PAGE_SHIFT : 0; /* apart by processors, it may be less than nothing */ \
	})

static __always_inline void fill_memory(struct process_row *row, struct mm_struct *mm)
{
	struct mm_struct___pages *pages = (void *)mm;
	__u64 now;

	row->anonymous = bytes_of(mm, ANON);
	row->file = bytes_of(mm, FILE);
	row->shared = bytes_of(mm, SHARED);
	row->swapped = bytes_of(mm, SWAP);
	now = row->anonymous + row->file + row->shared;
	row->peak = BPF_CORE_READ(pages, hiwater_rss) << PAGE_SHIFT;
	if (now > row->peak)
		row->peak = now;
}

static __always_inline void sum_up(struct memory_metrics *m, struct process_row *row, __u64 session)
{
	if (m->_session != session) {
		__builtin_memset(m->_sum, 0, sizeof(m->_sum));
		m->_session = session;
	}
	m->_sum[ANON] += row->anonymous;
	m->_sum[FILE] += row->file;
	m->_sum[SHARED] += row->shared;
	m->_sum[SWAP] += row->swapped;
}

static __always_inline bool is_in(struct task_struct *leader, __u32 index)
{
	__u64 cgroup = BPF_CORE_READ(leader, cgroups, dfl_cgrp, kn, id);
	struct remora_container *c = cgroup ? remora_find(cgroup) : NULL;

	return c && c->index == index && BPF_CORE_READ(leader, signal, live.counter);
}

SEC("iter/bpf_map_elem") REMORA_REFRESH("memory_rows")
int measured(struct bpf_iter__bpf_map_elem *ctx)
{
	struct process_key *at = ctx->key, key;
	struct task_struct *leader;
	struct refresh *r;
	struct memory_metrics *m;
	struct process_row *row;
	struct faults f = {};
	__u32 zero = 0;

	r = bpf_map_lookup_elem(&memory_refresh, &zero);
	if (!r)
		return 0;
	r->session = ((struct bpf_iter_meta *)ctx->meta)->session_id;
	if (!at) /* the end */
		return 0;
	key = *at;
	row = bpf_map_lookup_elem(&memory_rows, &key);
	m = bpf_map_lookup_elem(&memory_metrics, &key.index);
	if (!row || !m)
		return 0;
	leader = (struct task_struct *)row->_task;
	if (!is_still(leader, key.pid, row->_start) || !is_in(leader, key.index)) {
		bpf_map_delete_elem(&memory_rows, &key); /* it ended while nobody observed, or left */
		return 0;
	}
	bpf_core_read(&row->comm, sizeof(row->comm), &leader->comm);
	fill_memory(row, BPF_CORE_READ(leader, mm));
	fill_faults(&f, leader);
	add_faults(m, row, &f);
	sum_up(m, row, r->session);
	return 0;
}

SEC("iter/bpf_map_elem") REMORA_REFRESH("memory_metrics")
int published(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 zero = 0, *index = ctx->key, i;
	struct remora_container *c;
	struct memory_metrics *m;
	struct refresh *r;
	bool any;

	if (!index)
		return 0;
	i = *index;
	c = remora_container_at(i);
	m = bpf_map_lookup_elem(&memory_metrics, &i);
	r = bpf_map_lookup_elem(&memory_refresh, &zero);
	if (!c || !c->root || !m || !r)
		return 0;
	any = r->session && m->_session == r->session;
	m->anonymous = any ? m->_sum[ANON] : 0;
	m->file = any ? m->_sum[FILE] : 0;
	m->shared = any ? m->_sum[SHARED] : 0;
	m->swapped = any ? m->_sum[SWAP] : 0;
	return 0;
}

/* ---- Memory made executable ---- */
enum { MMAP_OLD = 4, IPC };
#define OP_32(op) ((op) << 4)
#define OP_64(op) ((op) & 15)
#define CALLS 512
static const __u8 op_of[CALLS] = {
	[9] = mmap, [10] = mprotect, [30] = shmat, [329] = mprotect,
	[90] = OP_32(MMAP_OLD), [117] = OP_32(IPC), [125] = OP_32(mprotect), [192] = OP_32(mmap),
	[380] = OP_32(mprotect), [397] = OP_32(shmat),
};

struct call {
	__u64 address;
	__u64 length;
	__u64 file;		/* 0: none, or not known */
	__s32 fd;
	__u32 protection;
	__u32 error;
	enum memory_call call;
	enum memory_backing backing;
	bool compat;
};

/* What a 32-bit program gives to the oldest mmap: ABI. */
struct mmap_arg_struct {
	__u32 addr, len, prot, flags, fd, offset;
};

static __always_inline void fill_mmap(struct call *call, struct pt_regs *regs, long result)
{
	call->address = result;
	call->length = call->compat ? (__u32)regs->cx : regs->si;
	call->protection = regs->dx;
	call->fd = call->compat ? regs->di : regs->r8;
	if ((call->compat ? regs->si : regs->r10) & 0x20) /* MAP_ANONYMOUS */
		call->fd = -1;
}

static __always_inline void fill_old_mmap(struct call *call, struct pt_regs *regs, long result)
{
	struct mmap_arg_struct given = {};

	bpf_probe_read_user(&given, sizeof(given), (void *)(unsigned long)(__u32)regs->bx);
	call->address = result;
	call->length = given.len;
	call->protection = given.prot;
	call->fd = given.flags & 0x20 ? -1 : given.fd;
}

static __always_inline void fill_shmat(struct call *call, __u32 flags, __u64 address)
{
	call->call = shmat;
	call->address = address;
	call->fd = -1;
	call->protection = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
}

/* false: no such call after all */
static __always_inline bool fill_call(struct call *call, struct pt_regs *regs, __u8 op, long result)
{
	__u32 address = 0;

	if (result < 0 && result >= -MAX_ERRNO)
		call->error = result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK ? EINTR : -result;
	call->call = op;
	switch (op) {
	case MMAP_OLD:
		call->call = mmap;
		fill_old_mmap(call, regs, result);
		return true;
	case mmap:
		fill_mmap(call, regs, result);
		return true;
	case mprotect:
		call->address = call->compat ? (__u32)regs->bx : regs->di;
		call->length = call->compat ? (__u32)regs->cx : regs->si;
		call->protection = regs->dx;
		call->fd = -1;
		return true;
	case shmat:
		fill_shmat(call, regs->dx, result);
		return true;
	case IPC: /* shmat is its call 21, which gives the address through a pointer */
		if ((regs->bx & 0xffff) != 21)
			return false;
		bpf_probe_read_user(&address, sizeof(address), (void *)(unsigned long)(__u32)regs->si);
		fill_shmat(call, regs->dx, address);
		return true;
	}
	return false;
}

/* The first letters of names that the kernel gives, as little-endian bytes. */
#define NAME_MEMFD 0x3a64666d656dULL	/* "memfd:" */
#define NAME_SYSV 0x56535953ULL		/* "SYSV" */
#define NAME_ZERO 0x6f72657a2f766564ULL	/* "dev/zero": shared anonymous memory */
#define NAME_HUGE 0x6775685f6e6f6e61ULL	/* "anon_hug": likewise, of huge pages */

/*
 * Behind a map of an overlay's file is the layer's file. It has the overlay's path up to def3ae83da02 ("fs: store
 * real path instead of fake path in backing file f_path", v6.8), then as one of its own. Which files have that is
 * told by a flag that moved in v6.14 and now means something else as well: so what is there has to be an overlay's.
 */
static __always_inline const struct path *path_of(const struct file *file)
{
	const struct backing_file *backing = (const void *)file;

	if (bpf_core_field_exists(backing->user_path) && BPF_CORE_READ(file, f_mode) & FMODE_BACKING &&
	    BPF_CORE_READ(backing, user_path.dentry, d_sb, s_magic) == OVERLAYFS_MAGIC)
		return &backing->user_path;
	return &file->f_path;
}

static __always_inline enum memory_backing backing_of_nameless(struct dentry *d, __u64 magic)
{
	__u64 name[2] = {};

	if (magic != TMPFS_MAGIC && magic != HUGETLBFS_MAGIC)
		return deleted;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(d, d_name.name));
	if ((name[0] & 0xffffffffffff) == NAME_MEMFD)
		return memfd;
	if ((name[0] & 0xffffffff) == NAME_SYSV)
		return sysv;
	return name[0] == NAME_ZERO || name[0] == NAME_HUGE ? anonymous : deleted;
}

static __always_inline enum memory_backing backing_of(const struct file *file)
{
	struct dentry *d, *over = NULL;
	struct inode *inode;
	__u64 magic;

	if (!file)
		return anonymous;
	d = BPF_CORE_READ(path_of(file), dentry);
	inode = BPF_CORE_READ(d, d_inode);
	magic = BPF_CORE_READ(inode, i_sb, s_magic);
	if (!BPF_CORE_READ(inode, i_nlink))
		return backing_of_nameless(d, magic);
	if (magic != OVERLAYFS_MAGIC)
		return image;
	/* overlay is a module as a rule: without its BTF the layout stated above is relied on */
	bpf_probe_read_kernel(&over, sizeof(over), (void *)inode + bpf_core_type_size(struct inode));
	return over ? upper : image;
}

/* A file that never was in a tree has a name all the same. */
static __always_inline void tail_file(struct remora_scratch *b, remora_path *t, const __u32 fixed,
				      const struct file *file, struct task_struct *task)
{
	const struct path *path = path_of(file);
	struct dentry *d = BPF_CORE_READ(path, dentry);

	if (BPF_CORE_READ(d, d_parent) == d)
		remora_tail_str(b, t, fixed, BPF_CORE_READ(d, d_name.name), REMORA_NAME_MAX, false);
	else
		remora_tail_path(b, t, fixed, path, &BPF_CORE_READ(task, fs)->root);
}

static __always_inline struct file *file_at(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **at = BPF_CORE_READ(table, fd), *file = NULL;

	if (fd < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), at + fd);
	return file;
}

static __always_inline bool is_first(struct call *call, struct task_struct *task, struct file *file)
{
	struct told key = { .pid = BPF_CORE_READ(task, tgid) };
	__u8 one = 1;

	key.start = BPF_CORE_READ(task, group_leader, start_boottime);
	key.kind = call->protection | call->call << 8 | call->backing << 16 | !!call->error << 24;
	if (file) {
		key.inode = BPF_CORE_READ(file, f_inode, i_ino);
		key.dev = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	}
	return !bpf_map_update_elem(&memory_told, &key, &one, BPF_NOEXIST);
}

static __always_inline bool is_wanted(struct remora_container *c, struct call *call, struct task_struct *task,
				      struct file *file)
{
	struct memory_params *p = remora_params_of(c);

	if (call->backing == image && !(call->protection & PROT_WRITE) && !(p && p->files))
		return false;
	return (p && p->repeat) || is_first(call, task, file);
}

static __always_inline void report(struct remora_container *c, struct call *call, struct task_struct *task)
{
	const __u32 fixed = sizeof(struct map_exec_event);
	struct file *file = (struct file *)call->file;
	struct map_exec_event *e;
	struct remora_scratch *b;

	if (!is_wanted(c, call, task, file))
		return;
	b = remora_begin(c, struct map_exec_event);
	if (!b)
		return;
	e = remora_event(b, struct map_exec_event);
	remora_fill_process_of(&e->process, task);
	e->address = call->error ? 0 : call->address;
	e->length = call->length;
	e->protection = call->protection;
	e->call = call->call;
	e->backing = call->backing;
	e->error = call->error;
	if (file && call->backing != anonymous)
		tail_file(b, &e->path, fixed, file, task);
	remora_end(c, b, fixed);
}

/* What is now at the address. */
static __always_inline void fill_area(struct call *call, struct vm_area_struct *vma)
{
	call->file = (__u64)BPF_CORE_READ(vma, vm_file);
	if (!call->error)
		call->protection = BPF_CORE_READ(vma, vm_flags) & (PROT_READ | PROT_WRITE | PROT_EXEC);
	call->backing = backing_of((struct file *)call->file);
	if (call->call == shmat)
		call->length = BPF_CORE_READ(vma, vm_end) - BPF_CORE_READ(vma, vm_start);
}

/* A program of 1992's making gets what is readable executable, too. */
static __always_inline bool may_execute(struct task_struct *task, struct call *call)
{
	struct task_struct___faults *t = (void *)task;

	return call->protection & PROT_EXEC ||
	       (call->protection & PROT_READ && BPF_CORE_READ(t, personality) & READ_IMPLIES_EXEC);
}

/* Whether a call is about executable memory; where it is, is then to be looked up. */
static __always_inline bool is_executable(struct call *call, struct pt_regs *regs, struct task_struct *task, long result)
{
	__u64 number = regs->orig_ax & ~(__u64)X32_BIT;
	__u8 op;

	if (number >= CALLS)
		return false;
	call->compat = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
	op = call->compat ? op_of[number] >> 4 : OP_64(op_of[number]);
	return op && fill_call(call, regs, op, result) && may_execute(task, call);
}

static __always_inline bool is_about_memory(struct pt_regs *regs)
{
	__u64 number = regs->orig_ax & ~(__u64)X32_BIT;

	return number < CALLS && op_of[number];
}

static __always_inline void made_executable(struct remora_container *c, struct call *call, struct task_struct *task)
{
	struct memory_metrics *m = metrics_of(c);

	if (call->error && call->fd >= 0) {
		call->file = (__u64)file_at(task, call->fd);
		call->backing = backing_of((struct file *)call->file);
	} else if (call->error && call->call == mmap) {
		call->backing = anonymous;
	}
	if (!m || (!call->error && !(call->protection & PROT_EXEC)))
		return;
	if (!call->error) {
		remora_add(&m->executable, 1);
		if (call->protection & PROT_WRITE)
			remora_add(&m->writable_executable, 1);
	}
	report(c, call, task);
}

static long found(struct task_struct *task, struct vm_area_struct *vma, struct call *call)
{
	fill_area(call, vma);
	return 0;
}

SEC("tp_btf/sys_exit") REMORA_ONEOF("map", "1")
int BPF_PROG(returned, struct pt_regs *regs, long result)
{
	struct remora_container *c;
	struct task_struct *task;
	struct call call = {};

	if (!is_about_memory(regs))
		return 0;
	c = remora_container();
	if (!c)
		return 0;
	task = (struct task_struct *)bpf_get_current_task_btf();
	if (!is_executable(&call, regs, task, result))
		return 0;
	/* without the lock on the map, which another thread may hold, it is not known what is there */
	bpf_find_vma(task, call.address, found, &call, 0);
	made_executable(c, &call, task);
	return 0;
}

/* Before 7c7e3d31e785 ("bpf: Introduce helper bpf_find_vma", v5.17) a process's memory was a tree of two branches. */
static __always_inline void find_area(struct call *call, struct task_struct *task)
{
	struct mm_struct___o *mm = (void *)BPF_CORE_READ(task, mm);
	struct rb_node *at = BPF_CORE_READ(mm, mm_rb.rb_node);
	struct vm_area_struct *vma;
	int i;

	for (i = 0; i < TREE_DEPTH && at; i++) {
		vma = (void *)at - bpf_core_field_offset(struct vm_area_struct, vm_rb);
		if (call->address < BPF_CORE_READ(vma, vm_start)) {
			at = BPF_CORE_READ(at, rb_left);
		} else if (call->address >= BPF_CORE_READ(vma, vm_end)) {
			at = BPF_CORE_READ(at, rb_right);
		} else {
			fill_area(call, vma);
			return;
		}
	}
}

SEC("tp_btf/sys_exit") REMORA_ONEOF("map", "2")
int BPF_PROG(returned_tree, struct pt_regs *regs, long result)
{
	struct remora_container *c;
	struct task_struct *task;
	struct call call = {};

	if (!is_about_memory(regs))
		return 0;
	c = remora_container();
	if (!c)
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	if (!is_executable(&call, regs, task, result))
		return 0;
	find_area(&call, task);
	made_executable(c, &call, task);
	return 0;
}
