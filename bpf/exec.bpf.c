// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Programs executed, processes that end, forks. */
#include "remora.bpf.h"

#define S_ISMEMFD_NAME 0x3a64666d656dULL /* "memfd:" as little-endian bytes */
#define OVERLAYFS_MAGIC 0x794c7630
#define PF_FORKNOEXEC 0x40	/* since it was forked it executed nothing */
#define FORKS_MAX 8		/* subshells within subshells */

struct exec_params {
	__u32 max_args REMORA_OWN_PARAM("4096", "0", "8191", "bytes of arguments reported per exec");
	__u32 _pad;
};
REMORA_PARAMS(struct exec_params);

enum origin {
	image,		/* a lower layer, or a file system that is no overlay */
	upper,		/* written in the container: the overlay's upper layer */
	memfd,		/* memory, never on disk */
	removed,	/* no folder has it any more */
};

struct exec_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("program executed, as the container sees it") REMORA_FEATURE
		REMORA_ATTRIBUTE("process.executable.path");
	remora_args args REMORA_HELP("arguments, the program's name first") REMORA_FEATURE
		REMORA_ATTRIBUTE("process.command_args");
	remora_path cwd REMORA_HELP("working directory") REMORA_ATTRIBUTE("process.working_directory");
	remora_text filename REMORA_HELP("file name given to the system call");
	char parent_comm[16] REMORA_HELP("name of the parent's thread");
	__u64 inode REMORA_HELP("inode number of the program");
	remora_dev dev REMORA_HELP("device of that inode");
	enum origin origin REMORA_HELP("where the program's file comes from") REMORA_FEATURE;
	__u32 ancestor_pid REMORA_HELP("nearest ancestor that executed a program, where the parent is only a copy of it, such as a subshell")
		REMORA_ATTRIBUTE("process.ancestor_pid");
	__u32 _pad;
	char tty[16] REMORA_HELP("controlling terminal") REMORA_OPTIONAL;
} REMORA_EVENT("exec", "a program was executed")
	REMORA_REPORT("executed");

struct exit_event {
	struct remora_head head;
	struct remora_process process;
	__u32 code REMORA_HELP("exit status, 0 to 255");
	remora_signal signal REMORA_HELP("signal that ended the process") REMORA_OPTIONAL;
	bool core_dumped REMORA_HELP("a core was dumped") REMORA_OPTIONAL;
	__u8 _pad[7];
	remora_ns duration REMORA_HELP("time since the process was forked");
} REMORA_EVENT("exit", "a process ended")
	REMORA_REPORT("ended");

struct exec_metrics {
	__u64 execs REMORA_COUNTER("programs executed");
	__u64 forks REMORA_COUNTER("processes forked");
	__u64 threads REMORA_COUNTER("threads started");
	__u64 exits REMORA_COUNTER("processes ended");
	remora_histogram_ns lifetime REMORA_HISTOGRAM("time from fork to exit of a process");
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct exec_metrics);
} exec_metrics SEC(".maps");

/* Threads that end together may each see that nobody is left: the first to write its process down reports. */
struct ended {
	__u64 start;
	__u32 pid;
	__u32 _pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct ended);
	__type(value, __u8);
} exec_ended SEC(".maps");

REMORA_TRACER(exec, "default,security", "programs executed, processes that end, forks");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
/* Overlay inodes carry the upper dentry right behind the VFS inode (struct ovl_inode: vfs_inode, __upperdentry). */
struct ovl_inode {
	struct inode vfs_inode;
	struct dentry *__upperdentry;
};
#pragma clang attribute pop

static __always_inline struct exec_metrics *metrics_of(struct remora_container *c)
{
	__u32 i = c->index;

	return bpf_map_lookup_elem(&exec_metrics, &i);
}

static __always_inline enum origin origin_of(struct file *file, struct inode *inode)
{
	struct dentry *over = NULL;
	__u64 name = 0;

	if (!BPF_CORE_READ(inode, i_nlink)) {
		bpf_probe_read_kernel_str(&name, 7, BPF_CORE_READ(file, f_path.dentry, d_name.name));
		return name == S_ISMEMFD_NAME ? memfd : removed;
	}
	if (BPF_CORE_READ(inode, i_sb, s_magic) == OVERLAYFS_MAGIC) {
		/* overlay is a module as a rule: without its BTF the layout stated above is relied on */
		bpf_probe_read_kernel(&over, sizeof(over), (void *)inode + bpf_core_type_size(struct inode));
		return over ? upper : image;
	}
	return image;
}

/* A process's first thread: flags of another one say when that one was made. */
static __always_inline __u32 ancestor_of(struct task_struct *task)
{
	struct task_struct *at = BPF_CORE_READ(task, real_parent, group_leader);

#pragma unroll
	for (int i = 0; i < FORKS_MAX; i++) {
		if (!(BPF_CORE_READ(at, flags) & PF_FORKNOEXEC))
			break;
		at = BPF_CORE_READ(at, real_parent, group_leader);
	}
	return BPF_CORE_READ(at, tgid);
}

static __always_inline void fill_exec(struct exec_event *e, struct task_struct *task, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);

	remora_fill_process_of(&e->process, task);
	BPF_CORE_READ_INTO(&e->parent_comm, task, real_parent, comm);
	e->inode = BPF_CORE_READ(inode, i_ino);
	e->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	e->origin = origin_of(file, inode);
	e->ancestor_pid = ancestor_of(task);
	if (tty)
		bpf_probe_read_kernel_str(&e->tty, sizeof(e->tty), &tty->name);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(executed, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	struct remora_container *c = remora_container_of_task(task);
	const __u32 fixed = sizeof(struct exec_event);
	struct exec_params *params;
	struct exec_metrics *m;
	struct remora_scratch *b;
	struct exec_event *e;
	struct file *file;
	unsigned long args;

	if (!c)
		return 0;
	params = remora_params_of(c);
	m = metrics_of(c);
	if (m)
		remora_add(&m->execs, 1);
	b = remora_begin(c, struct exec_event);
	if (!b)
		return 0;
	e = remora_event(b, struct exec_event);
	file = BPF_CORE_READ(task, mm, exe_file);
	fill_exec(e, task, file);
	remora_tail_path(b, &e->path, fixed, &file->f_path, &BPF_CORE_READ(task, fs)->root);
	args = BPF_CORE_READ(task, mm, arg_start);
	remora_tail_user(b, &e->args, fixed, (void *)args, BPF_CORE_READ(task, mm, arg_end) - args,
			 params ? params->max_args : 0);
	remora_tail_path(b, &e->cwd, fixed, &BPF_CORE_READ(task, fs)->pwd, &BPF_CORE_READ(task, fs)->root);
	remora_tail_str(b, &e->filename, fixed, BPF_CORE_READ(bprm, filename), 4096, false);
	remora_end(c, b, fixed);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	struct remora_container *c = remora_container_of_task(child);
	struct exec_metrics *m = c ? metrics_of(c) : NULL;

	if (!m)
		return 0;
	if (child->pid == child->tgid)
		remora_add(&m->forks, 1);
	else
		remora_add(&m->threads, 1);
	return 0;
}

static __always_inline bool is_last_thread(struct task_struct *task, struct ended *key)
{
	__u8 one = 1;

	return !BPF_CORE_READ(task, signal, live.counter) &&
	       !bpf_map_update_elem(&exec_ended, key, &one, BPF_NOEXIST);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exited, struct task_struct *task)
{
	struct remora_container *c = remora_container_of_task(task);
	struct exec_metrics *m;
	struct exit_event *e;
	struct ended key = {};
	__u32 status;
	__u64 age;

	if (!c)
		return 0;
	key.pid = task->tgid;
	key.start = BPF_CORE_READ(task, group_leader, start_boottime);
	if (!is_last_thread(task, &key))
		return 0;
	age = bpf_ktime_get_boot_ns() - key.start;
	m = metrics_of(c);
	if (m) {
		remora_add(&m->exits, 1);
		remora_observe(&m->lifetime, age, 10);
	}
	e = remora_reserve(c, struct exit_event);
	if (!e)
		return 0;
	status = BPF_CORE_READ(task, signal, group_exit_code);
	if (!status)
		status = BPF_CORE_READ(task, exit_code);
	remora_fill_process_of(&e->process, task);
	e->process.tid = e->process.pid;
	e->code = (status >> 8) & 0xff;
	e->signal = status & 0x7f;
	e->core_dumped = status & 0x80;
	e->duration = age;
	remora_submit(e);
	return 0;
}
