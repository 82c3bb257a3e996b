// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Who is in scope, as the kernel keeps it: nested cgroups inherit, removed ones leave, and what runs before
 * a container's own program does is told apart. Attached while anybody is in scope, before every tracer, so
 * that at an exec these programs have run when the tracers' do.
 */
#include "remora.bpf.h"

#define PF_FORKNOEXEC 0x40

/* Kept with the ring for the daemon, which alone uses it: how far the ring has been read and counted. */
struct remora_reader {
	__u64 counted_to;
	__u64 unattributed;
	__u64 epoch;
	__u64 numbers;
	__u64 given_back;
	__u64 _pad[3];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct remora_reader);
} remora_reader SEC(".maps");

REMORA_TRACER(scope, "", "membership of cgroups in containers");

/* Version 1 hierarchies fire the same tracepoints, and their ids may equal ours: the default hierarchy is 0. */
static __always_inline bool is_default_hierarchy(struct cgroup *cgrp)
{
	return cgrp->root->hierarchy_id == 0;
}

static __always_inline bool is_scoped(__u64 cgroup)
{
	__u32 *index = bpf_map_lookup_elem(&remora_scope, &cgroup);

	return index != NULL;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(inherit, struct cgroup *cgrp, const char *path)
{
	__u64 id = cgrp->kn->id, up;
	__u32 at = id & (REMORA_SLOTS - 1), *index;
	struct remora_container *c;
	struct remora_slot *slot;
	struct cgroup *parent;

	if (!is_default_hierarchy(cgrp))
		return 0;
	parent = (void *)BPF_CORE_READ(cgrp, self.parent) - bpf_core_field_offset(struct cgroup, self);
	up = BPF_CORE_READ(parent, kn, id);
	index = bpf_map_lookup_elem(&remora_scope, &up);
	if (!index)
		return 0;
	c = remora_container_at(*index);
	slot = bpf_map_lookup_elem(&remora_slots, &at);
	if (!c || !slot)
		return 0;
	if (bpf_map_update_elem(&remora_scope, &id, index, BPF_ANY))
		remora_add(&c->escaped, 1);
	else
		slot->shared = 1;
	return 0;
}

/* Sockets keep a removed cgroup alive; its entry goes when the last of them has. */
SEC("tp_btf/cgroup_release")
int BPF_PROG(leave, struct cgroup *cgrp, const char *path)
{
	__u64 id = cgrp->kn->id;

	if (is_default_hierarchy(cgrp) && is_scoped(id))
		bpf_map_delete_elem(&remora_scope, &id);
	return 0;
}

/* In the ring like any event, so that the daemon has read all that came before when it reads this. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(gone, struct cgroup *cgrp, const char *path)
{
	__u64 id = cgrp->kn->id;
	struct remora_container *c;
	struct remora_head *h;

	if (!is_default_hierarchy(cgrp))
		return 0;
	c = remora_find(id);
	if (!c || c->root != id)
		return 0;
	c->gone = 1;
	h = bpf_ringbuf_reserve(&remora_ring, sizeof(*h), 0);
	if (!h)
		return 0;
	remora_fill_head(h, c, 0, sizeof(*h));
	h->tracer = REMORA_TRACER_SCOPE;
	remora_add(&c->produced, remora_ring_size(sizeof(*h)));
	bpf_ringbuf_submit(h, BPF_RB_FORCE_WAKEUP);
	return 0;
}

static __always_inline void enters(struct remora_container *c, __u32 pid)
{
	if (!bpf_map_update_elem(&remora_entering, &pid, &c->index, BPF_NOEXIST))
		remora_add(&c->entering, 1);
}

/*
 * A process brought in from outside that has forked but not executed is a runtime on its way to `exec`. One
 * that moves within the container, or was brought in long after it executed, is not.
 */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(enter, struct cgroup *to, const char *path, struct task_struct *task, bool threadgroup)
{
	struct remora_container *c, *mover;
	__u32 pid = task->tgid;

	if (!is_default_hierarchy(to) || !(task->flags & PF_FORKNOEXEC))
		return 0;
	c = remora_find(to->kn->id);
	if (!c || c->init)
		return 0;
	mover = remora_find(remora_current_cgroup());
	if (!mover || mover->root != c->root)
		enters(c, pid);
	return 0;
}

/* Nor is one that was forked into the container from outside (CLONE_INTO_CGROUP), or by one that is on its way. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(brought_forth, struct task_struct *parent, struct task_struct *child)
{
	struct remora_container *c = remora_find(child->cgroups->dfl_cgrp->kn->id), *above;
	__u32 pid = child->tgid, parent_pid = parent->tgid;

	if (!c || c->init || child->pid != pid)
		return 0;
	above = remora_find(parent->cgroups->dfl_cgrp->kn->id);
	if (!above || above->root != c->root ||
	    (c->entering && bpf_map_lookup_elem(&remora_entering, &parent_pid)))
		enters(c, pid);
	return 0;
}

static __always_inline void entered(__u32 pid)
{
	__u32 *index = bpf_map_lookup_elem(&remora_entering, &pid);
	struct remora_container *c;

	if (!index)
		return;
	c = remora_container_at(*index);
	if (!bpf_map_delete_elem(&remora_entering, &pid) && c)
		remora_add(&c->entering, -1);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(born, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	struct remora_container *c = remora_find(task->cgroups->dfl_cgrp->kn->id);
	__u32 pid = task->tgid;

	if (!c)
		return 0;
	if (c->init == pid)
		c->init = 0;
	if (c->entering)
		entered(pid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(quit, struct task_struct *task)
{
	struct remora_container *c = remora_find(task->cgroups->dfl_cgrp->kn->id);

	if (c && c->entering && task->pid == task->tgid)
		entered(task->tgid);
	return 0;
}
