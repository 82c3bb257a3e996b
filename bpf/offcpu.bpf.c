// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* How long tasks were off the processor and why; and on demand, where in the program and the kernel they left it. */
#include "remora.bpf.h"

#define EFAULT 14
#define BPF_F_USER_STACK (1ULL << 8)
#define TASK_INTERRUPTIBLE 0x1
#define TASK_STOPPED_OR_TRACED 0xc
#define TASK_DEAD 0x80
#define TASK_FROZEN 0x8000
#define TASKS 8192
#define OWN_FRAMES 3	/* this program and what calls it, at the end of each stack of the kernel's */
#define STACKS 2048	/* power of two: a stack's place is its hash, and one that finds it taken is lost */
#define ROWS 4096

enum off_reason {
	preempted,		/* it could run on */
	sleep,
	uninterruptible,
	io,			/* uninterruptible, for input or output */
	stopped,		/* by a signal, a debugger or the freezer */
	reasons,
};

struct offcpu_params {
	__u32 stacks REMORA_OWN_PARAM("0", "0", "1",
				      "1: keep a table of the stacks that left the processor, which costs about 1 us each time");
	__u32 min_us REMORA_OWN_PARAM("1000", "0", "60000000",
				      "microseconds off the processor from which on a stack is put into the table");
};
REMORA_PARAMS(struct offcpu_params);

struct offcpu_key {
	remora_index index;
	enum off_reason reason REMORA_HELP("why it left the processor: preempted by another task or throttled, sleep, "
					   "uninterruptible wait, such a wait for io, stopped");
};
struct offcpu_metrics {
	remora_histogram_ns time REMORA_HISTOGRAM(
		"time from leaving the processor to running again, the wait for a processor at its end included");
};
/* Preallocated, all of them: this runs under the scheduler's locks, and allocating may want to wake a task. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, reasons * REMORA_CONTAINERS);
	__type(key, struct offcpu_key);
	__type(value, struct offcpu_metrics);
} offcpu_metrics SEC(".maps");

struct offcpu_row_key {
	remora_index index;
	remora_pid pid REMORA_HELP("process id as the host sees it");
	char comm[16] REMORA_HELP("name of the thread, which it may set itself");
	remora_image image;
	enum off_reason reason REMORA_HELP("why it left the processor");
	remora_user_stack user_stack
		REMORA_HELP("functions of the program, the outermost first; code without frame pointers cuts it short");
	remora_kernel_stack kernel_stack REMORA_HELP("functions of the kernel, the outermost first");
	__u32 _pad;
};
struct offcpu_row {
	remora_ns time REMORA_COUNTER("time off the processor");
	__u64 count REMORA_COUNTER("how often it was, for at least min_us");
} REMORA_TABLE("offcpu_stacks", "where tasks left the processor and for how long, if parameter stacks is 1");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ROWS);
	__type(key, struct offcpu_row_key);
	__type(value, struct offcpu_row);
} offcpu_rows SEC(".maps");

REMORA_STACKS(STACKS);

/* Threads that are off the processor; with time 0, on it. */
struct left {
	__u64 start;		/* of the thread: its number may have been another's */
	__u64 time;
	enum off_reason reason;
	bool has_stacks;
	__u8 _pad[3];
	__s32 user_stack;
	__s32 kernel_stack;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TASKS);
	__type(key, __u32);
	__type(value, struct left);
} offcpu_left SEC(".maps");

REMORA_TRACER(offcpu, "performance", "how long tasks were off the processor and why, and at which stacks");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct___iowait {
	unsigned int in_iowait : 1;
};
struct mm_struct___stack {
	unsigned long start_stack;
};
#pragma clang attribute pop

static __always_inline enum off_reason reason_of(const struct task_struct *task, __u32 state)
{
	const struct task_struct___iowait *waiting = (const void *)task;

	if (!state)
		return preempted;
	if (state & (TASK_STOPPED_OR_TRACED | TASK_FROZEN))
		return stopped;
	if (BPF_CORE_READ_BITFIELD(waiting, in_iowait))
		return io;
	return state & TASK_INTERRUPTIBLE ? sleep : uninterruptible;
}

/* EFAULT: there is no such stack. Else the map is full, or another stack is where this one belongs. */
static __always_inline __s32 stack_of(struct remora_container *c, void *ctx, const __u64 flags)
{
	__s32 id = bpf_get_stackid(ctx, &remora_stacks, flags);

	if (id < 0 && id != -EFAULT)
		remora_lost(c);
	return id;
}

static __always_inline void leaves(struct remora_container *c, u64 *ctx, struct task_struct *task)
{
	__u32 thread = task->pid, state = remora_left_in_state(ctx, task);
	struct left left = { .start = task->start_boottime }, *known;
	struct offcpu_params *p = remora_params_of(c);

	if (state & TASK_DEAD) {
		bpf_map_delete_elem(&offcpu_left, &thread);
		return;
	}
	left.reason = reason_of(task, state);
	if (p && p->stacks) {
		left.has_stacks = true;
		left.user_stack = stack_of(c, ctx, BPF_F_USER_STACK);
		left.kernel_stack = stack_of(c, ctx, OWN_FRAMES);
	}
	left.time = bpf_ktime_get_ns();
	known = bpf_map_lookup_elem(&offcpu_left, &thread);
	if (known)
		*known = left;
	else if (bpf_map_update_elem(&offcpu_left, &thread, &left, BPF_ANY))
		remora_lost(c);
}

static __always_inline void count(struct remora_container *c, enum off_reason reason, __u64 time)
{
	static const struct offcpu_metrics none;
	struct offcpu_key key = { .index = c->index, .reason = reason };
	struct offcpu_metrics *m = bpf_map_lookup_elem(&offcpu_metrics, &key);

	if (!m) {
		bpf_map_update_elem(&offcpu_metrics, &key, &none, BPF_NOEXIST);
		m = bpf_map_lookup_elem(&offcpu_metrics, &key);
	}
	if (m)
		remora_observe(&m->time, time, 10);
	else
		remora_lost(c);
}

static __always_inline void note(struct remora_container *c, struct task_struct *task, struct left *left, __u64 time)
{
	struct offcpu_row_key key = { .index = c->index, .pid = task->tgid, .reason = left->reason };
	struct mm_struct___stack *mm = (void *)BPF_CORE_READ(task, mm);
	struct offcpu_row one = { .time = time, .count = 1 }, *row;

	key.image = BPF_CORE_READ(mm, start_stack);
	bpf_core_read(&key.comm, sizeof(key.comm), &task->comm);
	key.user_stack = left->user_stack;
	key.kernel_stack = left->kernel_stack;
	row = bpf_map_lookup_elem(&offcpu_rows, &key);
	if (!row && bpf_map_update_elem(&offcpu_rows, &key, &one, BPF_NOEXIST)) {
		row = bpf_map_lookup_elem(&offcpu_rows, &key); /* another processor was faster */
		if (!row)
			remora_lost(c);
	}
	if (row) {
		remora_add(&row->time, time);
		remora_add(&row->count, 1);
	}
}

static __always_inline void returns(struct remora_container *c, struct task_struct *task)
{
	struct offcpu_params *p = remora_params_of(c);
	__u32 thread = task->pid;
	struct left *left = bpf_map_lookup_elem(&offcpu_left, &thread);
	__u64 time;

	if (!left || !left->time || left->start != task->start_boottime)
		return;
	time = bpf_ktime_get_ns() - left->time;
	left->time = 0;
	count(c, left->reason, time);
	if (left->has_stacks && p && p->stacks && time >= p->min_us * 1000ULL)
		note(c, task, left, time);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(switched, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct remora_container *c = remora_container_of_task(prev);

	if (c)
		leaves(c, ctx, prev);
	c = remora_container_of_task(next);
	if (c)
		returns(c, next);
	return 0;
}
