// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Signals: who sent which to whom. The kernel sends them in timers and in softirq, too, where current is anybody:
 * it counts as the sender only where a process asked for the signal, or caused it by what it did.
 */
#include "remora.bpf.h"

#ifndef __TARGET_ARCH_x86
#error "system call numbers are known for x86-64 and its 32-bit programs only"
#endif

#define TS_COMPAT 2
#define SIGCHLD 17
#define SEND_SIG_PRIV 1		/* instead of a siginfo: by the kernel */
#define KEYS 16384
#define OF(signal, code) ((signal) << 8 | (code))

/* Codes above 0 mean something else with each signal. */
enum code {
	SI_USER = 0, SI_KERNEL = 0x80,
	SI_QUEUE = -1, SI_TIMER = -2, SI_MESGQ = -3, SI_ASYNCIO = -4, SI_SIGIO = -5, SI_TKILL = -6, SI_DETHREAD = -7,
	SI_ASYNCNL = -60,
	ILL_ILLOPC = OF(4, 1), ILL_ILLOPN = OF(4, 2), ILL_ILLADR = OF(4, 3), ILL_ILLTRP = OF(4, 4),
	ILL_PRVOPC = OF(4, 5), ILL_PRVREG = OF(4, 6), ILL_COPROC = OF(4, 7), ILL_BADSTK = OF(4, 8),
	TRAP_BRKPT = OF(5, 1), TRAP_TRACE = OF(5, 2), TRAP_BRANCH = OF(5, 3), TRAP_HWBKPT = OF(5, 4),
	TRAP_UNK = OF(5, 5), TRAP_PERF = OF(5, 6),
	BUS_ADRALN = OF(7, 1), BUS_ADRERR = OF(7, 2), BUS_OBJERR = OF(7, 3), BUS_MCEERR_AR = OF(7, 4),
	BUS_MCEERR_AO = OF(7, 5),
	FPE_INTDIV = OF(8, 1), FPE_INTOVF = OF(8, 2), FPE_FLTDIV = OF(8, 3), FPE_FLTOVF = OF(8, 4),
	FPE_FLTUND = OF(8, 5), FPE_FLTRES = OF(8, 6), FPE_FLTINV = OF(8, 7), FPE_FLTSUB = OF(8, 8),
	SEGV_MAPERR = OF(11, 1), SEGV_ACCERR = OF(11, 2), SEGV_BNDERR = OF(11, 3), SEGV_PKUERR = OF(11, 4),
	SEGV_CPERR = OF(11, 10),
	CLD_EXITED = OF(17, 1), CLD_KILLED = OF(17, 2), CLD_DUMPED = OF(17, 3), CLD_TRAPPED = OF(17, 4),
	CLD_STOPPED = OF(17, 5), CLD_CONTINUED = OF(17, 6),
	POLL_IN = OF(29, 1), POLL_OUT = OF(29, 2), POLL_MSG = OF(29, 3), POLL_ERR = OF(29, 4), POLL_PRI = OF(29, 5),
	POLL_HUP = OF(29, 6),
	SYS_SECCOMP = OF(31, 1), SYS_USER_DISPATCH = OF(31, 2),
};

enum direction {
	internal,		/* from a process of the container to one of the same */
	received,		/* from outside */
	sent,			/* to a process outside */
	kernel,			/* by the kernel, on nobody's behalf */
};

enum result {			/* as the kernel's tracepoint has it */
	delivered,
	ignored,
	already_pending,
	overflow_fail,
	lose_info,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernel_siginfo {
	int si_code;
};
#pragma clang attribute pop

struct signal_params {
	__u32 children REMORA_OWN_PARAM("0", "0", "1", "1: report also that a child exited, or a traced one stopped "
					"(SIGCHLD with CLD_EXITED, CLD_TRAPPED); they are counted in any case");
	__u32 _pad;
};
REMORA_PARAMS(struct signal_params);

struct signal_target {
	__u32 pid REMORA_HELP("process id of the receiver as the host sees it");
	__u32 tid REMORA_HELP("thread id of the receiver as the host sees it");
	__u32 vpid REMORA_HELP("process id of the receiver as it sees itself");
	char comm[16] REMORA_HELP("name of the receiver's thread, which it may set itself");
};

struct signal_event {
	struct remora_head head;
	struct remora_process process;	/* the sender; the receiver where the kernel sent it on nobody's behalf */
	remora_signal signal REMORA_HELP("the signal") REMORA_FEATURE;
	enum code code REMORA_HELP("how it came to be; SI_USER: kill(), SI_TKILL: tgkill(), SI_KERNEL: by the kernel");
	enum direction direction
		REMORA_HELP("internal: between processes of the container; received: from outside; sent: to outside; "
			    "kernel: on nobody's behalf, and process is the receiver") REMORA_FEATURE;
	enum result result REMORA_HELP("delivered: the receiver has it or will; already_pending: one more of the same is "
				       "dropped; overflow_fail: too many are queued; lose_info: sent without its details");
	struct signal_target target;
	bool thread REMORA_HELP("sent to this thread, not to its process") REMORA_OPTIONAL;
	__u8 _pad[3];
} REMORA_EVENT("signal", "a signal was sent");

struct signal_key {
	remora_index index;
	remora_signal signal REMORA_HELP("the signal");
	enum direction direction REMORA_HELP("internal, received, sent, or kernel: by the kernel on nobody's behalf");
};
struct signal_metrics {
	__u64 signals REMORA_COUNTER("signals sent and received, those of children that end included");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, KEYS);
	__type(key, struct signal_key);
	__type(value, struct signal_metrics);
} signal_metrics SEC(".maps");

REMORA_TRACER(signal, "security", "signals: who sent which to whom");

struct sending {
	struct task_struct *to;
	__u32 signal;
	__s32 code;
	__u32 result;
	bool thread;
	bool by_current;
};

static __always_inline void count(struct remora_container *c, struct sending *s, enum direction direction)
{
	struct signal_key key = { .index = c->index, .signal = s->signal, .direction = direction };
	struct signal_metrics *m = bpf_map_lookup_elem(&signal_metrics, &key), none = {};

	if (!m) {
		bpf_map_update_elem(&signal_metrics, &key, &none, BPF_NOEXIST);
		m = bpf_map_lookup_elem(&signal_metrics, &key);
	}
	if (m)
		remora_add(&m->signals, 1);
	else
		remora_lost(c);
}

static __always_inline bool is_wanted(struct remora_container *c, struct sending *s)
{
	struct signal_params *p;

	if (s->signal != SIGCHLD || (s->code != CLD_EXITED && s->code != CLD_TRAPPED))
		return true;
	p = remora_params_of(c);
	return p && p->children;
}

static __always_inline void fill_target(struct signal_target *t, struct task_struct *to)
{
	struct remora_process p = {};

	remora_fill_process_of(&p, to);
	t->pid = p.pid;
	t->tid = p.tid;
	t->vpid = p.vpid;
	__builtin_memcpy(t->comm, p.comm, sizeof(t->comm));
}

static __always_inline void report(struct remora_container *c, struct sending *s, enum direction direction)
{
	struct signal_event *e;

	count(c, s, direction);
	if (!is_wanted(c, s))
		return;
	e = remora_reserve(c, struct signal_event);
	if (!e)
		return;
	if (s->by_current)
		remora_fill_process(&e->process);
	else
		remora_fill_process_of(&e->process, s->to);
	e->signal = s->signal;
	e->code = s->code;
	e->direction = direction;
	e->result = s->result;
	e->thread = s->thread;
	fill_target(&e->target, s->to);
	remora_submit(e);
}

static __always_inline __s32 code_of(struct kernel_siginfo *info, int signal)
{
	__s32 code;

	if ((__u64)info == SEND_SIG_PRIV)
		return SI_KERNEL;
	code = BPF_CORE_READ(info, si_code); /* 0 for no siginfo, which is SI_USER */
	return code > 0 && code < SI_KERNEL ? OF(signal, code) : code;
}

/* rt_sigqueueinfo() and its like may give any code below 0, among them those the kernel uses. */
static __always_inline bool is_sending(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	bool compat = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;

	switch ((__u32)remora_current_call()) {
	case 424:
		return true;
	case 129: case 297:
		return !compat;
	case 178: case 335:
		return compat;
	}
	return false;
}

static __always_inline bool is_by_current(__s32 code)
{
	switch (code) {
	case SI_USER: case SI_QUEUE: case SI_TKILL: case SI_MESGQ:
	case CLD_EXITED: case CLD_KILLED: case CLD_DUMPED: case CLD_TRAPPED: case CLD_STOPPED: case CLD_CONTINUED:
		return true;
	}
	return code < 0 && is_sending();
}

SEC("tp_btf/signal_generate")
int BPF_PROG(generated, int signal, struct kernel_siginfo *info, struct task_struct *task, int group, int result)
{
	struct remora_container *to = remora_container_of_task(task), *from = remora_container();
	struct sending s = { .to = task, .signal = signal, .result = result };

	if (!to && !from)
		return 0;
	s.code = code_of(info, signal);
	s.thread = !group;
	s.by_current = is_by_current(s.code);
	if (!s.by_current)
		from = NULL;
	if (to)
		report(to, &s, !s.by_current ? kernel : from == to ? internal : received);
	if (from && from != to)
		report(from, &s, sent);
	return 0;
}
