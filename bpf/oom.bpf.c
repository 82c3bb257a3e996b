// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Processes that the kernel killed for want of memory. Whoever asked for the last page is current, and may be
 * anybody: the container is the victim's. Nothing here is often, so that all is read by helpers, and the same body
 * serves every kind of program.
 */
#include "remora.bpf.h"

#define PAGE_SHIFT 12
#define DEPTH 32		/* of cgroups looked at, from the inside out */
#define NAME 64

enum scope {
	unknown,
	node,
	outer_cgroup,
	container,
};

struct oom_task {
	__u32 pid REMORA_HELP("process id, as the host sees it, of the task whose need of memory led to it");
	char comm[16] REMORA_HELP("name of that task");
	bool same_container REMORA_HELP("that task is of the same container");
	__u8 _pad[3];
	__u64 cgroup REMORA_HELP("id of that task's cgroup");
};

struct oom_kill_event {
	struct remora_head head;
	struct remora_process process;	/* the victim */
	enum scope scope
		REMORA_HELP("whose memory ran out; container: the container's, by the limit of its cgroup or of one in it; "
			    "outer_cgroup: by that of a cgroup around it, as a pod's; node: the machine's, or the part of it "
			    "that the task may use; unknown: this kernel does not tell") REMORA_FEATURE;
	__s32 score_adj REMORA_HELP("oom_score_adj of the victim, -1000 to 1000: the higher the sooner it is chosen");
	remora_bytes limit REMORA_HELP("limit of the cgroup whose memory ran out") REMORA_OPTIONAL;
	remora_bytes usage REMORA_HELP("memory of that cgroup in use") REMORA_OPTIONAL;
	remora_bytes virtual REMORA_HELP("address space of the victim");
	remora_bytes anonymous REMORA_HELP("anonymous memory of the victim, as the kernel's log has it: not to the page");
	remora_bytes file REMORA_HELP("resident memory of the victim that belongs to files");
	remora_bytes shared REMORA_HELP("resident memory of the victim that is shared memory or of a tmpfs");
	remora_bytes swap REMORA_HELP("memory of the victim that was swapped out");
	remora_bytes page_tables REMORA_HELP("page tables of the victim");
	__u64 kills REMORA_HELP("kills in the victim's memory cgroup so far, as oom_kill of memory.events");
	struct oom_task trigger;
} REMORA_EVENT("oom_kill", "the kernel killed a process for want of memory");

struct oom_key {
	remora_index index;
	enum scope scope REMORA_HELP("whose memory ran out: container, outer_cgroup, node or unknown");
};
struct oom_metrics {
	__u64 kills REMORA_COUNTER("processes killed by the kernel for want of memory");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4 * REMORA_CONTAINERS);
	__type(key, struct oom_key);
	__type(value, struct oom_metrics);
} oom_metrics SEC(".maps");

/* By thread: whose memory the kill that it is about to do is for, where a program sees the kernel decide. */
struct decision {
	__u64 memcg;
	__u32 constraint;
	__u32 _pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct decision);
} oom_decisions SEC(".maps");

/* By memory cgroup, the kills told of: victims are marked, too, that were ending already, and are not killed. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} oom_told SEC(".maps");

REMORA_TRACER(oom, "default,security", "processes killed by the kernel for want of memory");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct atomic_long {
	long counter;
};
struct page_counter {
	struct atomic_long usage;
	unsigned long max;
};
struct cgroup_subsys_state___cgroup {
	struct cgroup *cgroup;
};
struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
	struct atomic_long memory_events[9];
	bool oom_lock;
};
struct css_set___subsys {
	struct cgroup_subsys_state *subsys[12];
};
struct kernfs_node___name {
	const char *name;
};
enum cgroup_subsys_id {
	memory_cgrp_id = 4,
};
enum memcg_memory_event {
	MEMCG_OOM_KILL = 4,
};
enum oom_constraint {
	CONSTRAINT_MEMCG = 3,
};
struct oom_control {
	struct mem_cgroup *memcg;
	struct task_struct *chosen;
	enum oom_constraint constraint;
};
struct signal_struct___oom {
	short oom_score_adj;
};
struct mm_struct___sizes {
	unsigned long total_vm;
	struct atomic_long pgtables_bytes;
	struct task_struct *owner;
};
/* Until f1a7941243c1 ("mm: convert mm's rss stats into percpu_counter", v6.2). */
struct mm_rss_stat {
	struct atomic_long count[4];
};
struct mm_struct___old {
	struct mm_rss_stat rss_stat;
};
struct percpu_counter {
	long count;
};
struct mm_struct___percpu {
	struct percpu_counter rss_stat[4];
};
#pragma clang attribute pop

/* ---- The victim ---- */
#define FILE_PAGES 0		/* indices of rss_stat */
#define ANON_PAGES 1
#define SWAP_ENTRIES 2
#define SHMEM_PAGES 3
#define rss(mm, i)                                                                                      \
	({                                                                                              \
		long n_ = bpf_core_type_exists(struct mm_rss_stat) ?                                    \
				  BPF_CORE_READ((struct mm_struct___old *)(mm), rss_stat.count[i].counter) : \
				  BPF_CORE_READ((struct mm_struct___percpu *)(mm), rss_stat[i].count);  \
		n_ > 0 ? (__u64)n_ << PAGE_SHIFT : 0;                                                   \
	})

static __always_inline struct remora_container *container_of_victim(struct task_struct *task)
{
	struct remora_container *c = remora_container_of(BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id));

	return c && !remora_is_runtime(c, BPF_CORE_READ(task, tgid)) ? c : NULL;
}

static __always_inline void fill_victim(struct oom_kill_event *e, struct task_struct *task)
{
	struct signal_struct___oom *signal = (void *)BPF_CORE_READ(task, signal);
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct mm_struct___sizes *sizes = (void *)mm;

	remora_fill_process_of(&e->process, task);
	e->score_adj = BPF_CORE_READ(signal, oom_score_adj);
	e->virtual = (__u64)BPF_CORE_READ(sizes, total_vm) << PAGE_SHIFT;
	e->page_tables = BPF_CORE_READ(sizes, pgtables_bytes.counter);
	e->file = rss(mm, FILE_PAGES);
	e->anonymous = rss(mm, ANON_PAGES);
	e->swap = rss(mm, SWAP_ENTRIES);
	e->shared = rss(mm, SHMEM_PAGES);
}

/* ---- Memory cgroups: of the default hierarchy, or of one of their own ---- */
static __always_inline struct cgroup *cgroup_of(struct mem_cgroup *memcg)
{
	struct cgroup_subsys_state___cgroup *css = (void *)&memcg->css;

	return BPF_CORE_READ(css, cgroup);
}

static __always_inline struct cgroup *parent_of(struct cgroup *cgrp)
{
	void *parent = BPF_CORE_READ(cgrp, self.parent);

	return parent ? parent - bpf_core_field_offset(struct cgroup, self) : NULL;
}

static __always_inline struct mem_cgroup *memcg_of(struct task_struct *task)
{
	struct mm_struct___sizes *mm = (void *)BPF_CORE_READ(task, mm);
	struct task_struct *owner = NULL;
	struct css_set___subsys *set;
	void *css = NULL;

	if (!bpf_core_type_exists(struct mem_cgroup))
		return NULL;
	if (bpf_core_field_exists(mm->owner))
		owner = BPF_CORE_READ(mm, owner);
	set = (void *)BPF_CORE_READ(owner ? owner : task, cgroups);
	bpf_core_read(&css, sizeof(css), (void *)&set->subsys +
		      bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) * sizeof(css));
	return css ? css - bpf_core_field_offset(struct mem_cgroup, css) : NULL;
}

static __always_inline __u64 kills_of(struct mem_cgroup *memcg)
{
	__u64 kills = 0;

	if (memcg)
		bpf_core_read(&kills, sizeof(kills), (void *)&memcg->memory_events +
			      bpf_core_enum_value(enum memcg_memory_event, MEMCG_OOM_KILL) * sizeof(kills));
	return kills;
}

/* The outermost cgroup that waits for the kill: all within one whose memory has run out are locked. */
static __always_inline struct mem_cgroup *locked_above(struct mem_cgroup *memcg)
{
	struct mem_cgroup *locked = NULL;
	void *css;
	int i;

	for (i = 0; i < DEPTH && memcg; i++) {
		if (BPF_CORE_READ(memcg, oom_lock))
			locked = memcg;
		css = BPF_CORE_READ(memcg, css.parent);
		memcg = css ? css - bpf_core_field_offset(struct mem_cgroup, css) : NULL;
	}
	return locked;
}

/* ---- Whose memory ran out ---- */
struct place {
	__u64 level;
	char name[NAME];
};

static __always_inline bool is_same(const struct place *a, const struct place *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;
	int i;

	for (i = 0; i < sizeof(*a) / sizeof(*x); i++)
		if (x[i] != y[i])
			return false;
	return true;
}

static __always_inline void fill_place(struct place *p, struct cgroup *cgrp)
{
	struct kernfs_node___name *kn = (void *)BPF_CORE_READ(cgrp, kn);

	p->level = BPF_CORE_READ(cgrp, level);
	bpf_probe_read_kernel_str(&p->name, sizeof(p->name), BPF_CORE_READ(kn, name));
}

static __always_inline struct cgroup *up_to_id(struct cgroup *cgrp, __u64 id)
{
	int i;

	for (i = 0; i < DEPTH && cgrp; i++) {
		if (BPF_CORE_READ(cgrp, kn, id) == id)
			return cgrp;
		cgrp = parent_of(cgrp);
	}
	return NULL;
}

static __always_inline struct cgroup *up_to_level(struct cgroup *cgrp, int level)
{
	int i;

	for (i = 0; i < DEPTH && cgrp; i++) {
		if (BPF_CORE_READ(cgrp, level) <= level)
			return cgrp;
		cgrp = parent_of(cgrp);
	}
	return NULL;
}

/*
 * Where memory has a hierarchy of its own, the container's cgroup there has another id, but runtimes give it the
 * same path: level and name tell it.
 */
static __always_inline bool is_inside(struct remora_container *c, struct mem_cgroup *memcg, struct task_struct *task)
{
	struct cgroup *cgrp = cgroup_of(memcg), *own;
	struct place a = {}, b = {};

	if (!BPF_CORE_READ(cgrp, root, hierarchy_id))
		return up_to_id(cgrp, c->root);
	own = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	own = up_to_id(own, c->root);
	if (!own)
		return false;
	fill_place(&a, own);
	cgrp = up_to_level(cgrp, a.level);
	if (!cgrp)
		return false;
	fill_place(&b, cgrp);
	return is_same(&a, &b);
}

struct shortage {
	enum scope scope;
	struct mem_cgroup *memcg;	/* whose limit it is, if it is one's */
};

static __always_inline void fill_shortage(struct shortage *s, struct remora_container *c, struct mem_cgroup *memcg,
					  struct task_struct *task)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct decision *decision = bpf_map_lookup_elem(&oom_decisions, &thread);

	if (decision)
		s->memcg = decision->constraint == CONSTRAINT_MEMCG ? (struct mem_cgroup *)decision->memcg : NULL;
	else if (bpf_core_field_exists(memcg->oom_lock))
		s->memcg = locked_above(memcg);
	else
		return;
	s->scope = !s->memcg ? node : is_inside(c, s->memcg, task) ? container : outer_cgroup;
}

/* ---- The kill ---- */
/* A victim that was ending already is marked, but not killed, nor counted by its cgroup. */
static __always_inline bool is_kill(struct mem_cgroup *memcg, __u64 kills)
{
	struct cgroup *cgrp;
	__u64 id, *told;

	if (!memcg)
		return true;
	cgrp = cgroup_of(memcg);
	id = BPF_CORE_READ(cgrp, kn, id);
	told = bpf_map_lookup_elem(&oom_told, &id);
	if (!kills || (told && *told == kills))
		return false;
	bpf_map_update_elem(&oom_told, &id, &kills, BPF_ANY);
	return true;
}

static __always_inline void count(struct remora_container *c, enum scope scope)
{
	struct oom_key key = { .index = c->index, .scope = scope };
	struct oom_metrics *m = bpf_map_lookup_elem(&oom_metrics, &key), none = {};

	if (!m) {
		bpf_map_update_elem(&oom_metrics, &key, &none, BPF_NOEXIST);
		m = bpf_map_lookup_elem(&oom_metrics, &key);
	}
	if (m)
		remora_add(&m->kills, 1);
	else
		remora_lost(c);
}

static __always_inline void fill_trigger(struct oom_task *t, struct remora_container *c)
{
	struct remora_container *its;

	t->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(&t->comm, sizeof(t->comm));
	t->cgroup = bpf_get_current_cgroup_id();
	its = remora_find(t->cgroup);
	t->same_container = its && its->root == c->root;
}

static __always_inline void killed(struct task_struct *task)
{
	struct remora_container *c = container_of_victim(task);
	struct mem_cgroup *memcg = c ? memcg_of(task) : NULL;
	struct shortage shortage = {};
	struct oom_kill_event *e;
	__u64 kills;

	if (!c)
		return;
	kills = kills_of(memcg);
	if (!is_kill(memcg, kills))
		return;
	fill_shortage(&shortage, c, memcg, task);
	count(c, shortage.scope);
	e = remora_reserve(c, struct oom_kill_event);
	if (!e)
		return;
	e->scope = shortage.scope;
	memcg = shortage.memcg;
	if (memcg) {
		e->limit = (__u64)BPF_CORE_READ(memcg, memory.max) << PAGE_SHIFT;
		e->usage = (__u64)BPF_CORE_READ(memcg, memory.usage.counter) << PAGE_SHIFT;
	}
	e->kills = kills;
	fill_victim(e, task);
	fill_trigger(&e->trigger, c);
	remora_submit(e);
}

/*
 * Until 72ba14deb40a ("mm: update mark_victim tracepoints fields", v6.9 and stable kernels) it gave a pid alone,
 * through which the verifier lets nothing be read.
 */
SEC("tp_btf/mark_victim") REMORA_ONEOF("victim", "1")
int BPF_PROG(marked, struct task_struct *task)
{
	if (task->pid)
		killed(task);
	return 0;
}

SEC("fentry/mark_oom_victim") REMORA_ONEOF("victim", "2")
int BPF_PROG(marked_fentry, struct task_struct *task)
{
	killed(task);
	return 0;
}

SEC("kprobe/mark_oom_victim") REMORA_ONEOF("victim", "3")
int BPF_KPROBE(marked_kprobe, struct task_struct *task)
{
	killed(task);
	return 0;
}

/* The one place that tells for certain whose memory ran out, where trampolines are allowed. */
SEC("fentry/oom_kill_process") REMORA_OPTIONAL
int BPF_PROG(decided, struct oom_control *oc)
{
	struct decision decision = { .memcg = (__u64)oc->memcg, .constraint = oc->constraint };
	__u32 thread = bpf_get_current_pid_tgid();

	if (container_of_victim(oc->chosen))
		bpf_map_update_elem(&oom_decisions, &thread, &decision, BPF_ANY);
	return 0;
}
