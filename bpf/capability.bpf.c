// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Capabilities asked for, and whether the process has them. The kernel asks all the time, so that checks are counted
 * in the kernel and told of once for each program. Left out is what the kernel only wonders about (checks that are
 * not to be audited), and what it does on its own behalf under other credentials, as overlay file systems do.
 */
#include "remora.bpf.h"

#ifndef __TARGET_ARCH_x86
#error "system call numbers are known for x86-64 and its 32-bit programs only"
#endif

#define CAP_OPT_NOAUDIT 2
#define NAMESPACES 33		/* user namespaces nest at most 32 deep in the first */
#define NUMBERS 1024
#define NO_NUMBER 0x7fffffff
#define TS_COMPAT 2
#define PF_IO_WORKER 0x10
#define ROWS 16384
#define ROWS_OF_ONE 1024	/* a container cannot fill the table with programs it makes up */
#define FRAMES 8
#define FUNCTION_SIZE 256	/* at most, where the next function is not known */

enum capability {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID,
	CAP_SETPCAP, CAP_LINUX_IMMUTABLE, CAP_NET_BIND_SERVICE, CAP_NET_BROADCAST, CAP_NET_ADMIN, CAP_NET_RAW,
	CAP_IPC_LOCK, CAP_IPC_OWNER, CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_CHROOT, CAP_SYS_PTRACE, CAP_SYS_PACCT,
	CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYS_NICE, CAP_SYS_RESOURCE, CAP_SYS_TIME, CAP_SYS_TTY_CONFIG, CAP_MKNOD,
	CAP_LEASE, CAP_AUDIT_WRITE, CAP_AUDIT_CONTROL, CAP_SETFCAP, CAP_MAC_OVERRIDE, CAP_MAC_ADMIN, CAP_SYSLOG,
	CAP_WAKE_ALARM, CAP_BLOCK_SUSPEND, CAP_AUDIT_READ, CAP_PERFMON, CAP_BPF, CAP_CHECKPOINT_RESTORE,
};

enum verdict {
	denied,
	granted,
};

struct capability_use_event {
	struct remora_head head;
	struct remora_process process;
	enum capability capability REMORA_HELP("what was asked for") REMORA_FEATURE;
	enum verdict verdict
		REMORA_HELP("granted: the process has it; another security module may still have refused") REMORA_FEATURE;
	char program[32] REMORA_HELP("name of the program's file; ~other: after 1,024 rows of the table capabilities")
		REMORA_ATTRIBUTE("process.executable.name") REMORA_FEATURE;
	remora_syscall syscall REMORA_HELP("system call that led to it; unknown: none did");
	bool user_namespace REMORA_HELP("asked with regard to a user namespace that is not the host's") REMORA_OPTIONAL;
	__u8 _pad[3];
} REMORA_EVENT("capability_use", "the kernel asked, for the first time with this answer, whether a program has a capability");

struct capability_key {
	remora_index index;
	enum capability capability REMORA_HELP("what was asked for");
	enum verdict verdict REMORA_HELP("whether the process had it");
};
struct capability_checks {
	__u64 checks REMORA_COUNTER("how often the kernel asked whether a process of the container has a capability");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, REMORA_CONTAINERS * 82);
	__type(key, struct capability_key);
	__type(value, struct capability_checks);
} capability_checks SEC(".maps");

struct capability_room {
	__u64 rows REMORA_GAUGE("rows of the table capabilities; programs beyond 1,024 rows are told of as ~other");
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct capability_room);
} capability_room SEC(".maps");

struct capability_user {
	remora_index index;
	enum capability capability REMORA_HELP("what was asked for");
	enum verdict verdict REMORA_HELP("granted: the process has it; another security module may still have refused");
	bool user_namespace REMORA_HELP("asked with regard to a user namespace that is not the host's") REMORA_OPTIONAL;
	__u8 _pad[3];
	char program[32] REMORA_HELP("name of the program's file; ~other: after 1,024 rows");
};
struct capability_row {
	struct remora_process process;	/* the first */
	remora_ktime first REMORA_HELP("when it was first asked for");
	remora_ktime last REMORA_HELP("when it was last asked for");
	__u64 checks REMORA_COUNTER("how often the kernel asked");
} REMORA_TABLE("capabilities", "who needed which capability, and the process that was the first to")
	REMORA_ROLE("capabilities") REMORA_REPORT("used");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ROWS);
	__type(key, struct capability_user);
	__type(value, struct capability_row);
} capability_rows SEC(".maps");

REMORA_TRACER(capability, "security", "capabilities asked for, and whether the process has them");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct user_namespace {
	struct user_namespace *parent;
	int level;
	kuid_t owner;
};
struct cred___ns {
	struct user_namespace *user_ns;
};
struct task_struct___creds {
	const struct cred *real_cred;
};
#pragma clang attribute pop

/* ---- Who asks, and what for ---- */
static __always_inline bool is_own_doing(const struct cred *cred)
{
	struct task_struct___creds *task = (void *)bpf_get_current_task();

	return cred == BPF_CORE_READ(task, real_cred);
}

static __always_inline __u32 current_syscall(struct task_struct *task)
{
	__u32 number = remora_current_call();

	if (number >= NUMBERS || (BPF_CORE_READ(task, flags) & PF_IO_WORKER))
		number = NO_NUMBER;
	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT ? number | REMORA_SYSCALL_32 : number;
}

static __always_inline void fill_user(struct capability_user *u, struct task_struct *task)
{
	bpf_probe_read_kernel_str(&u->program, sizeof(u->program),
				  BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name));
}

/* ---- Counts and events ---- */
static __always_inline void first_use(struct remora_container *c, struct capability_user *u,
				      struct capability_row *row, __u32 syscall)
{
	struct capability_use_event *e = remora_reserve(c, struct capability_use_event);

	if (!e)
		return;
	e->process = row->process;
	e->capability = u->capability;
	e->verdict = u->verdict;
	e->user_namespace = u->user_namespace;
	__builtin_memcpy(e->program, u->program, sizeof(e->program));
	e->syscall = syscall;
	remora_submit(e);
}

static __always_inline struct capability_row *row_of(struct remora_container *c, struct capability_user *u,
						     struct task_struct *task)
{
	struct capability_row *row = bpf_map_lookup_elem(&capability_rows, u), new = {};
	struct capability_room *room;
	__u32 i = c->index;

	if (row)
		return row;
	room = bpf_map_lookup_elem(&capability_room, &i);
	if (!room)
		return NULL;
	if (room->rows >= ROWS_OF_ONE) {
		__builtin_memset(u->program, 0, sizeof(u->program));
		__builtin_memcpy(u->program, "~other", 6);
		row = bpf_map_lookup_elem(&capability_rows, u);
		if (row)
			return row;
	}
	remora_fill_process_of(&new.process, task);
	new.first = bpf_ktime_get_boot_ns();
	if (!bpf_map_update_elem(&capability_rows, u, &new, BPF_NOEXIST)) {
		remora_add(&room->rows, 1);
		first_use(c, u, &new, current_syscall(task));
	}
	return bpf_map_lookup_elem(&capability_rows, u);
}

static __always_inline void count(struct remora_container *c, struct capability_key *key)
{
	struct capability_checks *checks = bpf_map_lookup_elem(&capability_checks, key), none = {};

	if (!checks) {
		bpf_map_update_elem(&capability_checks, key, &none, BPF_NOEXIST);
		checks = bpf_map_lookup_elem(&capability_checks, key);
	}
	if (checks)
		remora_add(&checks->checks, 1);
	else
		remora_lost(c);
}

static __always_inline void asked(struct remora_container *c, struct user_namespace *ns, __u32 capability, bool has)
{
	struct capability_key key = { .index = c->index, .capability = capability, .verdict = has };
	struct capability_user user = { .index = c->index, .capability = capability, .verdict = has };
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct capability_row *row;

	count(c, &key);
	fill_user(&user, task);
	user.user_namespace = BPF_CORE_READ(ns, level) > 0;
	row = row_of(c, &user, task);
	if (!row) {
		remora_lost(c);
		return;
	}
	remora_add(&row->checks, 1);
	row->last = bpf_ktime_get_boot_ns();
}

/* ---- Where it is asked: cap_capable() ---- */
/* The function itself tells whether the check is to be audited. */
SEC("fexit/cap_capable") REMORA_ONEOF("asked", "1")
int BPF_PROG(asked_fexit, const struct cred *cred, struct user_namespace *ns, int capability, unsigned int options,
	     int result)
{
	struct remora_container *c = remora_container();

	if (c && !(options & CAP_OPT_NOAUDIT) && is_own_doing(cred))
		asked(c, ns, capability, !result);
	return 0;
}

extern const void security_vm_enough_memory_mm __ksym __weak;
extern const void security_bprm_creds_for_exec __ksym __weak; /* stands behind it */

/*
 * The tracepoint, 6.14 and later, does not tell, and one check not to be audited comes with every mapping of memory:
 * whether CAP_SYS_ADMIN may use the last of it. The stack tells that one apart.
 */
static __always_inline bool is_about_memory(void *ctx)
{
	__u64 from = (__u64)&security_vm_enough_memory_mm, to = (__u64)&security_bprm_creds_for_exec;
	__u64 frames[FRAMES] = {};
	int i;

	if (to <= from || to - from > 4 * FUNCTION_SIZE)
		to = from + FUNCTION_SIZE;
	bpf_get_stack(ctx, frames, sizeof(frames), 0);
	for (i = 0; i < FRAMES; i++)
		if (frames[i] > from && frames[i] < to)
			return true;
	return false;
}

SEC("tp_btf/cap_capable") REMORA_ONEOF("asked", "2")
int BPF_PROG(asked_tracepoint, const struct cred *cred, struct user_namespace *ns,
	     const struct user_namespace *capable_ns, int capability, int result)
{
	struct remora_container *c = remora_container();

	if (!c || !is_own_doing(cred) || (capability == CAP_SYS_ADMIN && is_about_memory(ctx)))
		return 0;
	asked(c, ns, capability, !result);
	return 0;
}

/* What cap_capable() is about to answer. */
static __always_inline bool has_capability(const struct cred *cred, struct user_namespace *ns, int capability)
{
	struct user_namespace *own = BPF_CORE_READ((struct cred___ns *)cred, user_ns), *parent;
	__u64 effective = 0;
	int i;

	for (i = 0; i < NAMESPACES; i++) {
		if (ns == own) {
			bpf_core_read(&effective, sizeof(effective), &cred->cap_effective);
			return effective >> (capability & 63) & 1;
		}
		if (BPF_CORE_READ(ns, level) <= BPF_CORE_READ(own, level))
			return false;
		parent = BPF_CORE_READ(ns, parent);
		if (parent == own && BPF_CORE_READ(ns, owner.val) == BPF_CORE_READ(cred, euid.val))
			return true;
		ns = parent;
	}
	return false;
}

SEC("kprobe/cap_capable") REMORA_ONEOF("asked", "3")
int BPF_KPROBE(asked_kprobe, const struct cred *cred, struct user_namespace *ns, int capability,
	       unsigned int options)
{
	struct remora_container *c = remora_container();

	if (c && !(options & CAP_OPT_NOAUDIT) && is_own_doing(cred))
		asked(c, ns, capability, has_capability(cred, ns, capability));
	return 0;
}
