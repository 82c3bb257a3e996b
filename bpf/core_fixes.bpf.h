/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Kernel drift: one function each, citing the change it bridges. Included by remora.bpf.h. */
#ifndef __REMORA_CORE_FIXES_H
#define __REMORA_CORE_FIXES_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock_cgroup_data___o {
	u64 val;
};
struct task_struct___stack {
	void *stack;
};
#pragma clang attribute pop

/*
 * Until 8520e224f547 ("bpf, cgroups: Fix cgroup v2 fallback on v1/v2 mixed mode", v5.15) the pointer shared
 * one word with net_cls and net_prio: bit 0 says that the word holds those, bit 1 is a reference flag.
 */
static __always_inline u64 remora_sock_cgroup(const struct sock *sk)
{
	const struct sock_cgroup_data___o *old = (const void *)&sk->sk_cgrp_data;
	struct cgroup *cgrp;
	u64 word;

	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return sk->sk_cgrp_data.cgroup->kn->id;
	bpf_core_read(&word, sizeof(word), &old->val);
	if (word & 1)
		return 0;
	cgrp = (struct cgroup *)(word & ~3ULL);
	return BPF_CORE_READ(cgrp, kn, id);
}

/* bpf_get_current_task_btf() came with 3ca1032ab7ab ("bpf: Add bpf_get_current_task_btf helper", v5.11). */
static __always_inline u64 remora_current_cgroup(void)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		return ((struct task_struct *)bpf_get_current_task_btf())->cgroups->dfl_cgrp->kn->id;
	return bpf_get_current_cgroup_id();
}

/*
 * In what state a task leaves the processor: 0 if it could run on. sched_switch tells it since fa2c3254d7cf
 * ("sched/tracing: Don't re-read p->state when emitting sched_switch event", v5.18), for some releases between
 * its older arguments; else a task that is woken at once is seen as TASK_WAKING. 2f064a59a11f ("sched: Change
 * task_struct::state", v5.14) renamed the member. The typedef is the kernel's own name for the arguments, which
 * exists only if they are as many and of the same kinds.
 */
typedef void (*btf_trace_sched_switch)(void *, bool, struct task_struct *, struct task_struct *, unsigned int);
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct___state {
	unsigned int __state;
};
struct task_struct___o {
	volatile long state;
};
#pragma clang attribute pop

static __always_inline u32 remora_left_in_state(const u64 *ctx, const struct task_struct *prev)
{
	if (ctx[0] & 1) /* preempted, whatever it was about to wait for */
		return 0;
	if (bpf_core_type_exists(btf_trace_sched_switch))
		return ctx[3];
	if (bpf_core_field_exists(struct task_struct___state, __state))
		return ((const struct task_struct___state *)prev)->__state;
	return ((const struct task_struct___o *)prev)->state;
}

/*
 * The number of the system call that the current task is in, as its entry left it: -1 in a fault, for one. Before
 * dd6e10fbd9fb ("bpf: Add bpf_task_pt_regs() helper", v5.15) the registers are looked for where every kernel up
 * to then had them, at the end of a stack of four pages.
 */
#ifdef __TARGET_ARCH_x86
#define REMORA_STACK_SIZE 16384
static __always_inline u64 remora_current_call(void)
{
	struct task_struct___stack *task;
	struct pt_regs *regs;
	u64 number = -1;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		regs = (struct pt_regs *)bpf_task_pt_regs((struct task_struct *)bpf_get_current_task_btf());
		return regs->orig_ax;
	}
	task = (struct task_struct___stack *)bpf_get_current_task();
	regs = BPF_CORE_READ(task, stack) + REMORA_STACK_SIZE - bpf_core_type_size(struct pt_regs);
	bpf_core_read(&number, sizeof(number), &regs->orig_ax);
	return number;
}
#endif

#endif
