// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * System calls by number, counted where they return: there the result is known, and what seccomp denies comes past,
 * too. Those that do not return, exit() and exit_group(), are counted at the thread's end.
 */
#include "remora.bpf.h"

#ifndef __TARGET_ARCH_x86
#error "system call numbers are known for x86-64 and its 32-bit programs only"
#endif

#define NUMBERS 1024		/* more than either table has: a container has no more keys than these, twice */
#define NO_NUMBER 0x7fffffff	/* stands for all numbers above, shown as unknown */
#define KEYS 65536
#define HISTOGRAMS 16384
#define THREADS 32768
#define TS_COMPAT 2		/* the system call came in the 32-bit way */
#define MAX_ERRNO 4095
#define EINTR 4
#define ENOSYS 38
#define ERESTARTSYS 512		/* first and last of the results that a signal makes, which become EINTR */
#define ERESTART_RESTARTBLOCK 516

enum call_64 {
	RT_SIGRETURN = 15, CLONE = 56, FORK = 57, VFORK = 58, EXIT = 60, EXIT_GROUP = 231, CLONE3 = 435,
};
enum call_32 {
	EXIT_32 = REMORA_SYSCALL_32 | 1, FORK_32 = REMORA_SYSCALL_32 | 2, CLONE_32 = REMORA_SYSCALL_32 | 120,
	RT_SIGRETURN_32 = REMORA_SYSCALL_32 | 173, VFORK_32 = REMORA_SYSCALL_32 | 190,
	EXIT_GROUP_32 = REMORA_SYSCALL_32 | 252, CLONE3_32 = REMORA_SYSCALL_32 | 435,
};

struct syscall_params {
	__u32 latency REMORA_OWN_PARAM("0", "0", "1", "1: keep a histogram of how long each system call took");
	__u32 _pad;
};
REMORA_PARAMS(struct syscall_params);

struct first_use_event {
	struct remora_head head;
	struct remora_process process;
	remora_syscall syscall REMORA_HELP("system call; unknown: a number that no table has") REMORA_FEATURE;
	remora_errno error REMORA_HELP("why it failed; EINTR: a signal came, after which the kernel may have tried again");
	__s64 result REMORA_HELP("what it returned, 0 if it failed or did not return");
} REMORA_EVENT("first_use", "the container used a system call for the first time");

struct syscall_key {
	remora_index index;
	remora_syscall syscall REMORA_HELP("system call; unknown: all numbers that no table has");
};

struct syscall_counts {
	__u64 calls REMORA_COUNTER("system calls that returned, or ended their thread");
	__u64 errors REMORA_COUNTER("of these, those that failed, were denied or interrupted");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, KEYS);
	__type(key, struct syscall_key);
	__type(value, struct syscall_counts);
} syscall_counts SEC(".maps");

struct syscall_latency {
	remora_histogram_ns latency REMORA_HISTOGRAM("time from entry to return, waiting included; if parameter latency is 1");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, HISTOGRAMS);
	__type(key, struct syscall_key);
	__type(value, struct syscall_latency);
} syscall_latency SEC(".maps");

struct syscall_row {
	struct remora_process process;	/* the first to use it */
	remora_ktime first REMORA_HELP("when the container first used it");
	__u64 calls REMORA_COUNTER("how often it returned, or ended its thread");
	__u64 errors REMORA_COUNTER("how often it failed, was denied or interrupted");
} REMORA_TABLE("syscalls", "system calls the container has used, and the process that was the first to")
	REMORA_ROLE("syscalls") REMORA_REPORT("used");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, KEYS);
	__type(key, struct syscall_key);
	__type(value, struct syscall_row);
} syscall_rows SEC(".maps");

/* When each thread entered the system call it is in, for containers with latency. */
struct entered {
	__u64 time;
	__u32 syscall;
	__u32 _pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, THREADS);
	__type(key, __u32);
	__type(value, struct entered);
} syscall_entered SEC(".maps");

REMORA_TRACER(syscall, "security,performance", "system calls used, how often, how often in vain and how long");

static __always_inline bool is_compat(void)
{
	struct task_struct *task;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		return ((struct task_struct *)bpf_get_current_task_btf())->thread_info.status & TS_COMPAT;
	task = (struct task_struct *)bpf_get_current_task();
	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

static __always_inline __u32 syscall_of(__u32 number)
{
	if (number >= NUMBERS)
		number = NO_NUMBER;
	return is_compat() ? number | REMORA_SYSCALL_32 : number;
}

/* A handler's return puts back the registers of whatever it interrupted, and no number. */
static __always_inline __u32 returned_from(__u32 number, long result)
{
	if (number == (__u32)-1 && result != -ENOSYS)
		return is_compat() ? RT_SIGRETURN_32 : RT_SIGRETURN;
	return syscall_of(number);
}

/* The child returns, too, from a call that it did not make. */
static __always_inline bool is_child(__u32 syscall, long result)
{
	if (result)
		return false;
	switch (syscall) {
	case CLONE: case FORK: case VFORK: case CLONE3:
	case CLONE_32: case FORK_32: case VFORK_32: case CLONE3_32:
		return true;
	}
	return false;
}

static __always_inline __u32 error_of(__u32 syscall, long result)
{
	if (result >= 0 || result < -MAX_ERRNO || syscall == RT_SIGRETURN || syscall == RT_SIGRETURN_32)
		return 0;
	return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK ? EINTR : -result;
}

/* ---- Counts ---- */
static __always_inline void first_used(struct remora_container *c, struct syscall_key *key, __u32 error, long result)
{
	struct syscall_row row = { .first = bpf_ktime_get_boot_ns() };
	struct first_use_event *e;

	remora_fill_process(&row.process);
	if (bpf_map_update_elem(&syscall_rows, key, &row, BPF_ANY))
		remora_lost(c);
	e = remora_reserve(c, struct first_use_event);
	if (!e)
		return;
	e->process = row.process;
	e->syscall = key->syscall;
	e->error = error;
	e->result = error ? 0 : result;
	remora_submit(e);
}

static __always_inline void count(struct remora_container *c, __u32 syscall, long result)
{
	struct syscall_key key = { .index = c->index, .syscall = syscall };
	struct syscall_counts *counts = bpf_map_lookup_elem(&syscall_counts, &key), none = {};
	__u32 error = error_of(syscall, result);

	if (!counts) {
		if (!bpf_map_update_elem(&syscall_counts, &key, &none, BPF_NOEXIST))
			first_used(c, &key, error, result);
		counts = bpf_map_lookup_elem(&syscall_counts, &key);
		if (!counts) {
			remora_lost(c);
			return;
		}
	}
	remora_add(&counts->calls, 1);
	if (error)
		remora_add(&counts->errors, 1);
}

/* ---- Latency ---- */
static __always_inline bool wants_latency(struct remora_container *c)
{
	struct syscall_params *p = remora_params_of(c);

	return p && p->latency;
}

static __always_inline struct remora_histogram *histogram_of(struct remora_container *c, __u32 syscall)
{
	static const struct syscall_latency empty;
	struct syscall_key key = { .index = c->index, .syscall = syscall };
	struct syscall_latency *l = bpf_map_lookup_elem(&syscall_latency, &key);

	if (!l) {
		bpf_map_update_elem(&syscall_latency, &key, &empty, BPF_NOEXIST);
		l = bpf_map_lookup_elem(&syscall_latency, &key);
	}
	return l ? (struct remora_histogram *)&l->latency : NULL;
}

static __always_inline void time_since_entry(struct remora_container *c, __u32 syscall)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct entered *entered = bpf_map_lookup_elem(&syscall_entered, &thread);
	struct remora_histogram *h;

	/* Entered before it was wanted, or by the thread whose id execve() has made this one's. */
	if (!entered || !entered->time || entered->syscall != syscall)
		return;
	h = histogram_of(c, syscall);
	if (h)
		remora_observe(h, bpf_ktime_get_ns() - entered->time, 10);
	else
		remora_lost(c);
	entered->time = 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enters, struct pt_regs *regs, long number)
{
	struct remora_container *c = remora_container();
	struct entered entered = {}, *mine;
	__u32 thread;

	if (!c || !wants_latency(c))
		return 0;
	thread = bpf_get_current_pid_tgid();
	entered.syscall = syscall_of(number);
	entered.time = bpf_ktime_get_ns();
	mine = bpf_map_lookup_elem(&syscall_entered, &thread);
	if (mine)
		*mine = entered;
	else if (bpf_map_update_elem(&syscall_entered, &thread, &entered, BPF_ANY))
		remora_lost(c);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(returns, struct pt_regs *regs, long result)
{
	struct remora_container *c = remora_container();
	__u32 syscall;

	if (!c)
		return 0;
	syscall = returned_from(regs->orig_ax, result);
	if (is_child(syscall, result))
		return 0;
	count(c, syscall, result);
	if (wants_latency(c))
		time_since_entry(c, syscall);
	return 0;
}

/* Killed threads were in a system call, too, but not in one of these: or it was denied, and has been counted. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(ends, struct task_struct *task)
{
	struct remora_container *c = remora_container();
	__u32 thread = bpf_get_current_pid_tgid(), syscall;

	if (!c)
		return 0;
	bpf_map_delete_elem(&syscall_entered, &thread);
	if (BPF_CORE_READ(task, exit_code) & 0x7f)
		return 0;
	syscall = syscall_of(remora_current_call());
	switch (syscall) {
	case EXIT: case EXIT_GROUP: case EXIT_32: case EXIT_GROUP_32:
		count(c, syscall, 0);
	}
	return 0;
}

/* Counts are kept once: the table's are brought up to date when somebody reads it. */
SEC("iter/bpf_map_elem") REMORA_REFRESH("syscall_rows")
int refresh(struct bpf_iter__bpf_map_elem *ctx)
{
	struct syscall_row *row = ctx->value;
	struct syscall_key *key = ctx->key, mine;
	struct syscall_counts *counts;

	if (!row || !key)
		return 0;
	mine = *key;
	counts = remora_container_at(mine.index) ? bpf_map_lookup_elem(&syscall_counts, &mine) : NULL;
	if (!counts)
		return 0;
	row->calls = counts->calls;
	row->errors = counts->errors;
	return 0;
}
