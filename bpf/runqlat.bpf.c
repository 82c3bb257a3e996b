// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * How long tasks that could run waited for a processor. The kernel keeps the sum for each task, moves between
 * processors included (/proc/PID/schedstat): it is looked at when a task leaves the processor, and what it has
 * grown by is the wait before. So there is one program, which asks after one task and needs no clock.
 */
#include "remora.bpf.h"

#define TASK_DEAD 0x80
#define TASKS 8192

enum wait_cause {
	woken,			/* slept, or was just forked */
	preempted,		/* had to leave the processor, or yielded it */
	throttled,		/* its cgroup's quota of processor time was used up */
};

struct runqlat_key {
	remora_index index;
	enum wait_cause cause REMORA_HELP("what it waited after: woken from sleep or fork, preempted by another "
					  "task, throttled by the quota (cpu.max) of its cgroup");
};
struct runqlat_metrics {
	remora_histogram_ns wait REMORA_HISTOGRAM(
		"time a task that could run waited for a processor, told when it leaves it again; with a quota, "
		"the time until the next period is waited, too");
};
/* Preallocated, here and below: this runs under the scheduler's locks, and allocating may want to wake a task. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 3 * REMORA_CONTAINERS);
	__type(key, struct runqlat_key);
	__type(value, struct runqlat_metrics);
} runqlat_metrics SEC(".maps");

/* What the kernel had counted when a task last left the processor, by thread. */
struct left {
	__u64 start;		/* of the thread: its number may have been another's */
	__u64 waited;
	__u32 times;		/* it got a processor */
	enum wait_cause cause;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TASKS);
	__type(key, __u32);
	__type(value, struct left);
} runqlat_left SEC(".maps");

REMORA_TRACER(runqlat, "performance", "how long tasks that could run waited for a processor, and why");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
};
struct cfs_rq {
	int throttle_count;
};
struct sched_entity {
	struct cfs_rq *cfs_rq;
};
struct task_struct___sched {
	struct sched_info sched_info;
	struct sched_entity se;
	bool throttled;
};
#pragma clang attribute pop

/* Since e1fad12dcb66 ("sched/fair: Switch to task based throttle model", v6.18) each task is throttled for itself. */
static __always_inline bool is_throttled(const struct task_struct___sched *task)
{
	if (bpf_core_field_exists(task->throttled))
		return task->throttled;
	if (bpf_core_field_exists(task->se.cfs_rq->throttle_count))
		return task->se.cfs_rq->throttle_count;
	return false;
}

static __always_inline void waited(struct remora_container *c, enum wait_cause cause, __u64 time)
{
	static const struct runqlat_metrics none;
	struct runqlat_key key = { .index = c->index, .cause = cause };
	struct runqlat_metrics *m = bpf_map_lookup_elem(&runqlat_metrics, &key);

	if (!m) {
		bpf_map_update_elem(&runqlat_metrics, &key, &none, BPF_NOEXIST);
		m = bpf_map_lookup_elem(&runqlat_metrics, &key);
	}
	if (m)
		remora_observe(&m->wait, time, 10);
	else
		remora_lost(c);
}

/* Of a task that is seen for the first time and is not new, this wait is not known. */
SEC("tp_btf/sched_switch")
int BPF_PROG(switched, bool preempt, struct task_struct *prev)
{
	const struct task_struct___sched *task = (const void *)prev;
	struct remora_container *c = remora_container_of_task(prev);
	struct left now = {}, *before;
	__u32 thread, state;

	if (!c)
		return 0;
	thread = prev->pid;
	state = remora_left_in_state(ctx, prev);
	now.start = prev->start_boottime;
	now.waited = task->sched_info.run_delay;
	now.times = task->sched_info.pcount;
	now.cause = state ? woken : is_throttled(task) ? throttled : preempted;
	before = bpf_map_lookup_elem(&runqlat_left, &thread);
	if (before && before->start == now.start) {
		if (now.times == before->times + 1)
			waited(c, before->cause, now.waited - before->waited);
	} else if (now.times == 1) {
		waited(c, woken, now.waited);
	}
	if (state & TASK_DEAD)
		bpf_map_delete_elem(&runqlat_left, &thread);
	else if (before)
		*before = now;
	else if (bpf_map_update_elem(&runqlat_left, &thread, &now, BPF_ANY))
		remora_lost(c);
	return 0;
}
