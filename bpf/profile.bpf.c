// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Where processor time goes: user and kernel stacks, sampled by the clock of each processor. */
#include "remora.bpf.h"

#define EFAULT 14
#define BPF_F_USER_STACK (1ULL << 8)
#define STACKS 8192	/* power of two: a stack's place is its hash, and one that finds it taken is lost */
#define ROWS 8192

struct profile_params {
	__u32 every REMORA_OWN_PARAM("1", "1", "1000",
				     "of so many samples one, taken at random, has its stacks noted; the metrics count all");
};
REMORA_PARAMS(struct profile_params);

struct profile_metrics {
	__u64 user_samples REMORA_COUNTER("samples of processors that ran the container's own code; 49 are one second");
	__u64 kernel_samples
		REMORA_COUNTER("samples of processors that ran the kernel for the container; 49 are one second");
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct profile_metrics);
} profile_metrics SEC(".maps");

struct profile_key {
	remora_index index;
	remora_pid pid REMORA_HELP("process id as the host sees it");
	char comm[16] REMORA_HELP("name of the thread, which it may set itself");
	remora_image image;
	remora_user_stack user_stack
		REMORA_HELP("functions of the program, the outermost first; code without frame pointers cuts it short");
	remora_kernel_stack kernel_stack REMORA_HELP("functions of the kernel, the outermost first") REMORA_OPTIONAL;
};
struct profile_row {
	__u64 samples REMORA_COUNTER("samples that found this; 49 are one second of a processor");
} REMORA_TABLE("profile_stacks", "what ran when a processor's clock was looked at, 49 times a second");
/* Preallocated: kernels before 6.1 let programs of perf events use no other. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ROWS);
	__type(key, struct profile_key);
	__type(value, struct profile_row);
} profile_stacks SEC(".maps");

REMORA_STACKS(STACKS);

REMORA_TRACER(profile, "performance", "user and kernel stacks on the processor, sampled 49 times a second");

struct bpf_perf_event_data {	/* ABI; what follows is not used */
	struct pt_regs regs;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct mm_struct___stack {
	unsigned long start_stack;
};
#pragma clang attribute pop

static __always_inline void count(struct remora_container *c, bool kernel)
{
	__u32 i = c->index;
	struct profile_metrics *m = bpf_map_lookup_elem(&profile_metrics, &i);

	if (m)
		remora_add(kernel ? &m->kernel_samples : &m->user_samples, 1);
}

static __always_inline bool is_wanted(struct remora_container *c)
{
	struct profile_params *p = remora_params_of(c);
	__u32 every = p ? p->every : 1;

	return every < 2 || !(bpf_get_prandom_u32() % every);
}

/* EFAULT: there is no such stack. Else the map is full, or another stack is where this one belongs. */
static __always_inline __s32 stack_of(struct remora_container *c, void *ctx, const __u64 flags)
{
	__s32 id = bpf_get_stackid(ctx, &remora_stacks, flags);

	if (id < 0 && id != -EFAULT)
		remora_lost(c);
	return id;
}

static __always_inline void note(struct remora_container *c, void *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct profile_row one = { .samples = 1 }, *row;
	struct profile_key key = { .index = c->index };
	struct mm_struct___stack *mm;

	key.pid = bpf_get_current_pid_tgid() >> 32;
	mm = (void *)BPF_CORE_READ(task, mm);
	key.image = BPF_CORE_READ(mm, start_stack);
	bpf_get_current_comm(&key.comm, sizeof(key.comm));
	key.user_stack = stack_of(c, ctx, BPF_F_USER_STACK);
	key.kernel_stack = stack_of(c, ctx, 0);
	row = bpf_map_lookup_elem(&profile_stacks, &key);
	if (!row && bpf_map_update_elem(&profile_stacks, &key, &one, BPF_NOEXIST)) {
		row = bpf_map_lookup_elem(&profile_stacks, &key); /* another processor was faster */
		if (!row)
			remora_lost(c);
	}
	if (row)
		remora_add(&row->samples, 1);
}

/* Not a divisor of the frequencies at which things happen, so that nothing is always or never seen. */
SEC("perf_event") REMORA_SAMPLE("49")
int sampled(struct bpf_perf_event_data *ctx)
{
	struct remora_container *c = remora_container();

	if (!c)
		return 0;
	count(c, (__s64)PT_REGS_IP(&ctx->regs) < 0);
	if (is_wanted(c))
		note(c, ctx);
	return 0;
}
