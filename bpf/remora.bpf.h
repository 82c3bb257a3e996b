/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The whole contract between a tracer and remora. A tracer is one NAME.bpf.c that includes this file and says
 * what it is in BTF: tags (REMORA_*) give role and prose, typedefs give meaning. Nothing else knows it.
 * Order in a tracer: knobs, structs, maps, inline bodies, thin SEC programs, licence.
 */
#ifndef __REMORA_BPF_H
#define __REMORA_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "core_fixes.bpf.h"

/* ---- 1. Tags: "remora:<word> <text>" ---- */
#define REMORA_TAG(text) __attribute__((btf_decl_tag("remora:" text)))
#define REMORA_HELP(text) REMORA_TAG("help " text)		/* what a member, parameter or metric means */
#define REMORA_EVENT(name, text) REMORA_TAG("event " name) REMORA_HELP(text) /* a struct that is an event */
#define REMORA_COUNTER(text) REMORA_TAG("counter " text)	/* member of a metric map's value */
#define REMORA_GAUGE(text) REMORA_TAG("gauge " text)
#define REMORA_HISTOGRAM(text) REMORA_TAG("histogram " text)
#define REMORA_OPTIONAL REMORA_TAG("optional")			/* member: left out when 0; program: may be refused */
#define REMORA_ATTRIBUTES(name) REMORA_TAG("attributes " name)	/* struct shown at the event's top level */
/* member shown at this dotted path from the event's top, the OpenTelemetry name where there is one */
#define REMORA_ATTRIBUTE(path) REMORA_TAG("attribute " path)
#define REMORA_FLAGS REMORA_TAG("flags")			/* member: an enum whose values are or-ed together */
#define REMORA_FEATURE REMORA_TAG("feature")			/* member that makes behaviour: profiles learn it */
#define REMORA_ONEOF(group, rank) REMORA_TAG("oneof " group " " rank) /* programs of which the first that loads is taken */
/* A parameter fixed while the object is loaded: const volatile __u32 depth REMORA_PARAM("1", "9", "what") = 3; */
#define REMORA_PARAM(min, max, text) REMORA_TAG("param " min " " max " " text)
/* One that each container may have for itself: a member of the struct given to REMORA_PARAMS(). */
#define REMORA_OWN_PARAM(standard, min, max, text) REMORA_TAG("param " standard " " min " " max " " text)
#define REMORA_OWN_TEXT(text) REMORA_TAG("param text " text)	/* ... an array of char, ended by NUL, empty at first */
/* The value of a map whose entries are shown as rows instead of as metrics, for what has too many labels. */
#define REMORA_TABLE(name, text) REMORA_TAG("table " name) REMORA_HELP(text)
#define REMORA_FLOW REMORA_TAG("flow")				/* table: its rows say who talks to whom */
/*
 * Table: what advice is made of. "syscalls": a row for each system call used, in a member of type remora_syscall;
 * "capabilities": who needed which, in enums `capability` (CAP_...) and `verdict` (granted, denied).
 */
#define REMORA_ROLE(role) REMORA_TAG("role " role)
/* What an event or a table's row is in a report of a container: executed, ended (of processes, by process.pid), opened,
 * changed (files), connected, accepted, talked, listened (network), asked (names), requested, used. Events are added up
 * by their features. */
#define REMORA_REPORT(role) REMORA_TAG("report " role)
/* SEC("perf_event"): run on each processor so often a second, by the clock. */
#define REMORA_SAMPLE(hertz) REMORA_TAG("sample " hertz)
/* SEC("iter/bpf_map_elem"): run over this map of the tracer's before its metrics and tables are read. */
#define REMORA_REFRESH(map) REMORA_TAG("refresh " map)

/*
 * A metric that is in a file of the container's cgroup: "[CONTROLLER:]FILE [LINE [KEY]] [/ DIVISOR]", others after
 * "|" for where it is not there. With a controller the file is one of version 1. LINE is a line's first word, * for
 * a series of each line with its first word as label device, #N for the N-th word of the first line; the value
 * follows, or is KEY's. Members of the struct given once to REMORA_CGROUP_METRICS().
 */
#define REMORA_CGROUP(places) REMORA_TAG("cgroup " places)
#define REMORA_CGROUP_METRICS(T) const volatile T remora_cgroup = {}

/* ---- 2. Meanings ---- */
typedef __u64 remora_ktime;	/* CLOCK_BOOTTIME, shown as a date */
typedef __u64 remora_ns;	/* a duration, shown in seconds */
typedef __u64 remora_us;
typedef __u64 remora_bytes;
typedef __u32 remora_errno;	/* positive; shown by name, left out when 0 */
typedef __u32 remora_signal;
typedef __u32 remora_mode;	/* permission bits, shown in octal */
typedef __u32 remora_dev;	/* kernel's dev_t, shown as major:minor */
typedef __u32 remora_ipv4;	/* network order */
typedef struct { __u8 byte[16]; } remora_ipv6; /* a v4-mapped address is shown as IPv4 */
typedef __u16 remora_be16;	/* network order: a port */
typedef __u32 remora_syscall;	/* number, REMORA_SYSCALL_32 added for the 32-bit table; shown by name */
#define REMORA_SYSCALL_32 0x80000000
typedef __u32 remora_pid;	/* in a table with stacks: whose addresses the user's stack has */
typedef __u64 remora_image;	/* ... and what tells one program of that process from the next: mm->start_stack */
typedef __s32 remora_user_stack; /* ids in remora_stacks; negative: none */
typedef __s32 remora_kernel_stack;
typedef __u32 remora_index;	/* the container, in the key of a metric map */
/* A tail: bytes behind the record, in the order of these members. */
struct remora_tail {
	__u16 len;
	__u16 truncated;
};
typedef struct remora_tail remora_text;	/* one string */
typedef struct remora_tail remora_args;	/* strings, each ended by NUL */
typedef struct remora_tail remora_path;	/* components from the last to the first, each ended by NUL */
/* A string of fixed size is an array whose element is named char. Members that begin with _ are not shown. */

#define REMORA_BUCKETS 32
/* Bucket i counts values below 2^(i+first); first is 10 for nanoseconds (1.024 us), 0 else. The last is +Inf. */
struct remora_histogram {
	__u64 bucket[REMORA_BUCKETS];
	__u64 sum;
};
typedef struct remora_histogram remora_histogram_ns;
typedef struct remora_histogram remora_histogram_bytes;

struct remora_head {
	remora_ktime time;
	__u64 root;		/* cgroup id of the container */
	__u32 container;	/* its index */
	__u32 type;		/* BTF id of the record's struct in its own object */
	__u32 tracer;		/* which loaded object */
	__u32 fixed;		/* bytes before the tails */
};

struct remora_process {
	__u32 pid REMORA_HELP("process id as the host sees it");
	__u32 tid REMORA_HELP("thread id as the host sees it");
	__u32 parent_pid REMORA_HELP("parent's process id");
	__u32 user_id REMORA_HELP("effective user id in the host's numbering");
	__u32 group_id REMORA_HELP("effective group id in the host's numbering");
	__u32 vpid REMORA_HELP("process id as the container sees it");
	char comm[16] REMORA_HELP("name of the thread, which it may set itself");
} REMORA_ATTRIBUTES("process");

/* ---- 3. Shared state: the daemon makes these maps once and hands them to every object ---- */
#define REMORA_SLOTS 4096	/* power of two */
#define REMORA_CONTAINERS 512	/* default; the daemon may choose another number */
#define REMORA_BITS 64		/* tracers that may be loaded at a time */
#define REMORA_TRACER_SCOPE 0	/* head.tracer of the scope's own records */

struct remora_slot {		/* direct table: cgroup id & (REMORA_SLOTS - 1) */
	__u64 cgroup;
	__u32 container;
	__u32 shared;		/* another scoped cgroup hashes here too: ask remora_scope */
};
struct remora_container {
	__u64 root;		/* 0: free */
	__u64 tracers;		/* bit mask */
	__u32 init;		/* init's pid while it is still the runtime's own program; nothing is reported */
	__u32 entering;		/* tasks brought in from outside that are still the runtime's own program */
	__u32 index;		/* its own place in this array */
	__u32 gone;		/* the cgroup was removed; set even if the record that says so is lost */
	__u64 escaped;		/* nested cgroups that found no room in remora_scope */
	__u64 _line1[3];
	__u64 produced;		/* bytes this container put into the ring */
	__u64 released;		/* of these, bytes the daemon has given back */
	__u64 _line2[6];
};
struct remora_stats {		/* per container, of one tracer */
	__u64 counted;		/* events that happened */
	__u64 lost_full;	/* the ring was full */
	__u64 lost_share;	/* the container had used up its share of the ring */
	__u64 lost_other;	/* a map or buffer of the tracer was full */
	__u64 delivered;	/* read from the ring; written by the daemon */
	__u64 lost_budget;	/* more than the budget */
	__u64 budget;		/* events a second, 0: no bound; written by the daemon */
	__u64 window;		/* the second, and how many there were in it */
};
#define REMORA_HEAD_MAX 1024
#define REMORA_TAIL_MAX 16384	/* power of two */
#define REMORA_PIECE_MAX 8192	/* longest single string, power of two */
struct remora_scratch {
	__u32 busy;
	__u32 used;
	__u8 data[REMORA_HEAD_MAX + REMORA_TAIL_MAX + REMORA_PIECE_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, REMORA_SLOTS);
	__type(key, __u32);
	__type(value, struct remora_slot);
} remora_slots SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, REMORA_SLOTS);
	__type(key, __u64);
	__type(value, __u32);
} remora_scope SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, __u32);
	__type(value, struct remora_container);
} remora_containers SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} remora_entering SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} remora_ring SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);	/* for process context, and for programs that run with bottom halves off */
	__type(key, __u32);
	__type(value, struct remora_scratch);
} remora_scratch SEC(".maps");
/*
 * Which object speaks for a tracer: by processor and bit. While a tracer is replaced, both objects are attached;
 * the daemon changes this on each processor from a thread that runs there, so that no event sees a change.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, REMORA_BITS);
	__type(key, __u32);
	__type(value, __u32);
} remora_current SEC(".maps");
/* The tracer's own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, __u32);
	__type(value, struct remora_stats);
} remora_stats SEC(".maps");

/* struct NAME_params *p = remora_params_of(c), or NULL; the struct's members are tagged REMORA_OWN_... */
#define REMORA_PARAMS(T)                                                           \
	struct {                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                  \
		__uint(max_entries, REMORA_CONTAINERS);                            \
		__type(key, __u32);                                                \
		__type(value, T);                                                  \
	} remora_params SEC(".maps");                                              \
	static __always_inline T *remora_params_of(struct remora_container *c)     \
	{                                                                          \
		__u32 i = c->index;                                                \
                                                                                   \
		return bpf_map_lookup_elem(&remora_params, &i);                    \
	}
/* id = bpf_get_stackid(ctx, &remora_stacks, flags), into a member of type remora_user_stack or _kernel_stack. */
#define REMORA_STACK_DEPTH 127
#define REMORA_STACKS(entries)                                                     \
	struct {                                                                   \
		__uint(type, BPF_MAP_TYPE_STACK_TRACE);                            \
		__uint(max_entries, entries);                                      \
		__uint(key_size, sizeof(__u32));                                   \
		__uint(value_size, REMORA_STACK_DEPTH * sizeof(__u64));            \
	} remora_stacks SEC(".maps")

struct remora_self {		/* filled in by the daemon before loading */
	__u64 mask;		/* this tracer's bit in remora_container.tracers */
	__u32 tracer;		/* which loaded object this is */
	__u32 abi;
	__u32 bit;
	__u32 _pad;
};
#define REMORA_ABI 2
extern const volatile struct remora_self remora_self;
/* Once in each tracer: its name, the groups it belongs to ("" for none) and what it tells. */
#define REMORA_TRACER(name, groups, text)                                          \
	const volatile struct remora_self remora_self REMORA_TAG("tracer " #name)  \
		REMORA_TAG("group " groups) REMORA_HELP(text) = { .abi = REMORA_ABI }; \
	char LICENSE[] SEC("license") = "Dual BSD/GPL"

/* ---- 4. The prologue: whose doing is this? NULL: nobody's that asked for this tracer ---- */
static __always_inline struct remora_container *remora_container_at(__u32 i)
{
	return bpf_map_lookup_elem(&remora_containers, &i);
}

static __always_inline struct remora_container *remora_find(__u64 cgroup)
{
	__u32 i = cgroup & (REMORA_SLOTS - 1), *nested;
	struct remora_slot *slot = bpf_map_lookup_elem(&remora_slots, &i);

	if (!slot)
		return NULL;
	if (slot->cgroup == cgroup)
		return remora_container_at(slot->container);
	if (!slot->shared)
		return NULL;
	nested = bpf_map_lookup_elem(&remora_scope, &cgroup);
	return nested ? remora_container_at(*nested) : NULL;
}

/* Until init has executed the container's program, and likewise for `exec`, what runs is the runtime. */
static __always_inline bool remora_is_runtime(struct remora_container *c, __u32 pid)
{
	return c->init || (c->entering && bpf_map_lookup_elem(&remora_entering, &pid));
}

/* Another object of the same name may be on its way in or out. */
static __always_inline bool remora_is_current(void)
{
	__u32 i = bpf_get_smp_processor_id() * REMORA_BITS + remora_self.bit, *current;

	current = bpf_map_lookup_elem(&remora_current, &i);
	return current && *current == remora_self.tracer;
}

static __always_inline struct remora_container *remora_container_of(__u64 cgroup)
{
	struct remora_container *c = remora_find(cgroup);

	return c && (c->tracers & remora_self.mask) && remora_is_current() ? c : NULL;
}

/* The container of the current task. */
static __always_inline struct remora_container *remora_container(void)
{
	struct remora_container *c = remora_container_of(remora_current_cgroup());

	return c && !remora_is_runtime(c, bpf_get_current_pid_tgid() >> 32) ? c : NULL;
}

/* The container of a task, or of a socket's owner, where current may be anybody. */
static __always_inline struct remora_container *remora_container_of_task(struct task_struct *task)
{
	struct remora_container *c = remora_container_of(task->cgroups->dfl_cgrp->kn->id);

	return c && !remora_is_runtime(c, task->tgid) ? c : NULL;
}

static __always_inline struct remora_container *remora_container_of_sock(const struct sock *sk)
{
	struct remora_container *c = remora_container_of(remora_sock_cgroup(sk));

	return c && !c->init ? c : NULL;
}

static __always_inline struct remora_container *remora_container_of_skb(struct __sk_buff *skb)
{
	struct remora_container *c = remora_container_of(bpf_skb_cgroup_id(skb));

	return c && !c->init ? c : NULL;
}

#include "remora_emit.bpf.h"

#endif
