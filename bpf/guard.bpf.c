// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Acts that bear on security: what a container does to mounts, namespaces, other processes, its own rights and
 * the kernel, whether it succeeds or is refused. One program at the exit of system calls tells them: there the
 * result is known, and a call that seccomp refuses comes by, too. What the call's arguments point to is read
 * then, after the kernel read it: another thread may have changed it in between. Numbers, descriptors and what
 * is told from the kernel's own objects cannot be changed that way. A call that seccomp kills for does not
 * return, and what io_uring does passes by; that a ring is made is told.
 */
#include "remora.bpf.h"

#ifndef __TARGET_ARCH_x86
#error "system call numbers are known for x86-64 and its 32-bit programs only"
#endif

#define AT_FDCWD -100
#define EINTR 4
#define EPERM 1
#define EACCES 13
#define ERESTARTSYS 512		/* first and last of the results that a signal makes, which become EINTR */
#define ERESTART_RESTARTBLOCK 516
#define FMODE_READ 1
#define FMODE_WRITE 2
#define O_ACCMODE 3
#define O_WRONLY 1
#define TS_COMPAT 2		/* the system call came in the 32-bit way */
#define X32_BIT 0x40000000
#define PATH_SIZE 4097		/* one more than PATH_MAX: the longest path is whole */
#define TEXT_SIZE 256
#define OPTIONS_SIZE 4096	/* a page is the most that the kernel takes */
#define MS_MGC_VAL 0xc0ed0000	/* in flags of old programs; the kernel drops it, too */
#define SYS_SOCKET 1		/* of the 32-bit socketcall */
#define SYS_EXECVE 59
#define AF_UNIX 1
#define AF_NETLINK 16
#define SOCK_TYPE 0xf
#define NOBODY -1

/* Superblocks: magic numbers are ABI. */
#define PROC_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define CGROUP_MAGIC 0x27e0eb
#define BINFMT_MAGIC 0x42494e4d
#define SECURITYFS_MAGIC 0x73636673
#define DEBUGFS_MAGIC 0x64626720
#define TRACEFS_MAGIC 0x74726163
#define CONFIGFS_MAGIC 0x62656570
#define EFIVARFS_MAGIC 0xde5e81e4
#define NSFS_MAGIC 0x6e736673
#define PIDFS_MAGIC 0x50494446

enum act {
	mount, umount, mount_api, change_root, namespace, ptrace, process_access, module, credentials, socket,
	kernel_config, bpf, perf_event, keyring, memfd, prctl, seccomp, call,
	no_act,
};
enum outcome {
	done,
	denied,		/* EPERM or EACCES */
	failed,
};

enum mount_flags {
	MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_SYNCHRONOUS = 16, MS_REMOUNT = 32,
	MS_MANDLOCK = 64, MS_DIRSYNC = 128, MS_NOSYMFOLLOW = 256, MS_NOATIME = 1024, MS_NODIRATIME = 2048,
	MS_BIND = 4096, MS_MOVE = 8192, MS_REC = 16384, MS_SILENT = 32768, MS_POSIXACL = 1 << 16,
	MS_UNBINDABLE = 1 << 17, MS_PRIVATE = 1 << 18, MS_SLAVE = 1 << 19, MS_SHARED = 1 << 20,
	MS_RELATIME = 1 << 21, MS_KERNMOUNT = 1 << 22, MS_I_VERSION = 1 << 23, MS_STRICTATIME = 1 << 24,
	MS_LAZYTIME = 1 << 25,
};
enum umount_flags { MNT_FORCE = 1, MNT_DETACH = 2, MNT_EXPIRE = 4, UMOUNT_NOFOLLOW = 8 };
enum fsconfig {			/* one more than the kernel's: 0 is left out */
	FSCONFIG_SET_FLAG = 1, FSCONFIG_SET_STRING, FSCONFIG_SET_BINARY, FSCONFIG_SET_PATH,
	FSCONFIG_SET_PATH_EMPTY, FSCONFIG_SET_FD, FSCONFIG_CMD_CREATE, FSCONFIG_CMD_RECONFIGURE,
	FSCONFIG_CMD_CREATE_EXCL,
};
enum mount_attributes {
	MOUNT_ATTR_RDONLY = 1, MOUNT_ATTR_NOSUID = 2, MOUNT_ATTR_NODEV = 4, MOUNT_ATTR_NOEXEC = 8,
	MOUNT_ATTR_NOATIME = 0x10, MOUNT_ATTR_STRICTATIME = 0x20, MOUNT_ATTR_NODIRATIME = 0x80,
	MOUNT_ATTR_IDMAP = 0x100000, MOUNT_ATTR_NOSYMFOLLOW = 0x200000,
};
enum tree_flags {
	OPEN_TREE_CLONE = 1, AT_SYMLINK_NOFOLLOW = 0x100, AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000,
	AT_RECURSIVE = 0x8000, OPEN_TREE_CLOEXEC = 02000000,
};
enum move_flags {
	MOVE_MOUNT_F_SYMLINKS = 1, MOVE_MOUNT_F_AUTOMOUNTS = 2, MOVE_MOUNT_F_EMPTY_PATH = 4,
	MOVE_MOUNT_T_SYMLINKS = 0x10, MOVE_MOUNT_T_AUTOMOUNTS = 0x20, MOVE_MOUNT_T_EMPTY_PATH = 0x40,
	MOVE_MOUNT_SET_GROUP = 0x100, MOVE_MOUNT_BENEATH = 0x200,
};
enum namespace_types {
	CLONE_NEWTIME = 0x80, CLONE_NEWNS = 0x20000, CLONE_NEWCGROUP = 0x2000000, CLONE_NEWUTS = 0x4000000,
	CLONE_NEWIPC = 0x8000000, CLONE_NEWUSER = 0x10000000, CLONE_NEWPID = 0x20000000, CLONE_NEWNET = 0x40000000,
};
#define CLONE_NEW 0x7e020080
#define CSIGNAL 0xff		/* of clone's flags: the signal at the child's end */
enum ptrace_request {
	PTRACE_TRACEME, PTRACE_PEEKTEXT, PTRACE_PEEKDATA, PTRACE_PEEKUSER, PTRACE_POKETEXT, PTRACE_POKEDATA,
	PTRACE_POKEUSER, PTRACE_CONT, PTRACE_KILL, PTRACE_SINGLESTEP, PTRACE_GETREGS = 12, PTRACE_SETREGS,
	PTRACE_GETFPREGS, PTRACE_SETFPREGS, PTRACE_ATTACH, PTRACE_DETACH, PTRACE_GETFPXREGS, PTRACE_SETFPXREGS,
	PTRACE_SYSCALL = 24, PTRACE_GET_THREAD_AREA, PTRACE_SET_THREAD_AREA, PTRACE_ARCH_PRCTL = 30, PTRACE_SYSEMU,
	PTRACE_SYSEMU_SINGLESTEP, PTRACE_SINGLEBLOCK, PTRACE_SETOPTIONS = 0x4200, PTRACE_GETEVENTMSG,
	PTRACE_GETSIGINFO, PTRACE_SETSIGINFO, PTRACE_GETREGSET, PTRACE_SETREGSET, PTRACE_SEIZE, PTRACE_INTERRUPT,
	PTRACE_LISTEN, PTRACE_PEEKSIGINFO, PTRACE_GETSIGMASK, PTRACE_SETSIGMASK, PTRACE_SECCOMP_GET_FILTER,
	PTRACE_SECCOMP_GET_METADATA, PTRACE_GET_SYSCALL_INFO, PTRACE_GET_RSEQ_CONFIGURATION,
	PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, PTRACE_SET_SYSCALL_INFO,
};
enum access_mode { read = 1, write = 2, read_write = 3, descriptor = 4 };
enum module_flags {
	MODULE_INIT_IGNORE_MODVERSIONS = 1, MODULE_INIT_IGNORE_VERMAGIC = 2, MODULE_INIT_COMPRESSED_FILE = 4,
};
enum socket_family {
	AF_INET = 2, AF_INET6 = 10, AF_KEY = 15, AF_PACKET = 17, AF_CAN = 29, AF_BLUETOOTH = 31, AF_ALG = 38,
	AF_VSOCK = 40, AF_XDP = 44,
};
enum sock_type {		/* as the kernel has it */
	SOCK_STREAM = 1, SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP, SOCK_PACKET = 10,
};
enum bpf_cmd {			/* as the kernel has it, which may have more */
	BPF_MAP_CREATE, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY,
	BPF_PROG_LOAD,
};
enum bpf_prog_type { BPF_PROG_TYPE_UNSPEC, BPF_PROG_TYPE_SOCKET_FILTER };
enum perf_type_id { PERF_TYPE_HARDWARE, PERF_TYPE_SOFTWARE };
enum keyctl {			/* one more than the kernel's: 0 is left out */
	KEYCTL_GET_KEYRING_ID = 1, KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_UPDATE, KEYCTL_REVOKE, KEYCTL_CHOWN,
	KEYCTL_SETPERM, KEYCTL_DESCRIBE, KEYCTL_CLEAR, KEYCTL_LINK, KEYCTL_UNLINK, KEYCTL_SEARCH, KEYCTL_READ,
	KEYCTL_INSTANTIATE, KEYCTL_NEGATE, KEYCTL_SET_REQKEY_KEYRING, KEYCTL_SET_TIMEOUT, KEYCTL_ASSUME_AUTHORITY,
	KEYCTL_GET_SECURITY, KEYCTL_SESSION_TO_PARENT, KEYCTL_REJECT, KEYCTL_INSTANTIATE_IOV, KEYCTL_INVALIDATE,
	KEYCTL_GET_PERSISTENT, KEYCTL_DH_COMPUTE, KEYCTL_PKEY_QUERY, KEYCTL_PKEY_ENCRYPT, KEYCTL_PKEY_DECRYPT,
	KEYCTL_PKEY_SIGN, KEYCTL_PKEY_VERIFY, KEYCTL_RESTRICT_KEYRING, KEYCTL_MOVE, KEYCTL_CAPABILITIES,
	KEYCTL_WATCH_KEY,
};
enum memfd_flags {
	MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 16,
};
enum prctl_option {
	PR_SET_KEEPCAPS = 8, PR_SET_SECCOMP = 22, PR_CAPBSET_DROP = 24, PR_SET_SECUREBITS = 28, PR_SET_MM = 35,
	PR_SET_NO_NEW_PRIVS = 38, PR_CAP_AMBIENT = 47, PR_SET_PTRACER = 0x59616d61,
};
#define PR_CAP_AMBIENT_IS_SET 1
enum seccomp_mode { strict = 1, filter = 2 };
enum seccomp_flags {
	SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2, SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4,
	SECCOMP_FILTER_FLAG_NEW_LISTENER = 8, SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16,
	SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32,
};

/* What every event begins with. */
#define GUARDED                                                                              \
	struct remora_head head;                                                             \
	struct remora_process process;                                                       \
	remora_syscall call REMORA_HELP("system call") REMORA_FEATURE;                       \
	remora_errno error REMORA_HELP("why it failed")
struct guarded {
	GUARDED;
};

struct mount_event {
	GUARDED;
	remora_text source REMORA_HELP("what was to be mounted: a device, a directory, a name") REMORA_OPTIONAL
		REMORA_FEATURE;
	remora_path target REMORA_HELP("where: the directory and the name as given") REMORA_FEATURE;
	remora_text fs_type REMORA_HELP("type of file system") REMORA_OPTIONAL REMORA_FEATURE;
	remora_text options REMORA_HELP("the file system's own options") REMORA_OPTIONAL;
	enum mount_flags flags REMORA_FLAGS REMORA_HELP("how") REMORA_OPTIONAL REMORA_FEATURE;
	__u32 _pad;
} REMORA_EVENT("mount", "something was mounted, mounted anew or moved, or should have been");

struct umount_event {
	GUARDED;
	remora_path target REMORA_HELP("the directory and the name as given") REMORA_FEATURE;
	enum umount_flags flags REMORA_FLAGS REMORA_HELP("how") REMORA_OPTIONAL REMORA_FEATURE;
} REMORA_EVENT("umount", "something was unmounted, or should have been");

struct mount_api_event {
	GUARDED;
	remora_text fs_type REMORA_HELP("type of file system") REMORA_OPTIONAL REMORA_FEATURE;
	remora_text key REMORA_HELP("fsconfig: which option") REMORA_OPTIONAL;
	remora_text value REMORA_HELP("fsconfig: its value, if that is a text") REMORA_OPTIONAL;
	remora_path path REMORA_HELP("the directory and the name as given of the mount in question") REMORA_OPTIONAL
		REMORA_FEATURE;
	remora_path target REMORA_HELP("move_mount: where it is to be seen, directory and name as given")
		REMORA_OPTIONAL REMORA_FEATURE;
	enum fsconfig command REMORA_HELP("fsconfig: what to do") REMORA_OPTIONAL REMORA_FEATURE;
	enum tree_flags flags REMORA_FLAGS REMORA_HELP("open_tree and mount_setattr: how") REMORA_OPTIONAL
		REMORA_FEATURE;
	enum move_flags move_flags REMORA_FLAGS REMORA_HELP("move_mount: how") REMORA_OPTIONAL REMORA_FEATURE;
	enum mount_attributes attributes REMORA_FLAGS REMORA_HELP("fsmount and mount_setattr: set on the mount")
		REMORA_OPTIONAL REMORA_FEATURE;
	enum mount_attributes cleared REMORA_FLAGS REMORA_HELP("mount_setattr: taken from the mount")
		REMORA_OPTIONAL REMORA_FEATURE;
	enum mount_flags propagation REMORA_FLAGS REMORA_HELP("mount_setattr: how mounts below spread")
		REMORA_OPTIONAL REMORA_FEATURE;
	__s32 fd REMORA_HELP("descriptor that the call gave, of fsconfig the one it works on, -1 if none");
} REMORA_EVENT("mount_api", "a step of mounting with file descriptors: fsopen, fspick, fsconfig, fsmount, "
			    "open_tree, move_mount, mount_setattr, open_tree_attr");

struct change_root_event {
	GUARDED;
	remora_path path REMORA_HELP("the new root: directory and name as given") REMORA_FEATURE;
	remora_path old_path REMORA_HELP("pivot_root: where the old root is to go, directory and name as given")
		REMORA_OPTIONAL REMORA_FEATURE;
} REMORA_EVENT("change_root", "the root directory was changed by chroot or pivot_root, or should have been");

struct namespace_event {
	GUARDED;
	enum namespace_types types REMORA_FLAGS REMORA_HELP("kinds of namespaces") REMORA_FEATURE;
	__u32 inode REMORA_HELP("setns: number of the namespace, as /proc/PID/ns shows it") REMORA_OPTIONAL;
	__u32 target_pid REMORA_HELP("setns: the process whose namespaces are joined, as it sees itself")
		REMORA_OPTIONAL;
	__u32 child_pid REMORA_HELP("clone: the new process, as the caller sees it") REMORA_OPTIONAL;
} REMORA_EVENT("namespace", "namespaces were made by unshare or clone or joined by setns, or should have been");

struct ptrace_event {
	GUARDED;
	enum ptrace_request request REMORA_HELP("what was asked for") REMORA_FEATURE;
	__u32 target_pid REMORA_HELP("the other process or thread, as the caller sees it") REMORA_OPTIONAL;
} REMORA_EVENT("ptrace", "another process was to be controlled or changed; looking and going on are told only "
			 "with the parameter verbose");

struct process_access_event {
	GUARDED;
	remora_path path REMORA_HELP("the file, for access by /proc/PID/mem") REMORA_OPTIONAL;
	enum access_mode access REMORA_HELP("read or write memory, or take a file descriptor") REMORA_FEATURE;
	__u32 target_pid REMORA_HELP("the other process, as the caller sees it; it may be the caller itself")
		REMORA_OPTIONAL;
	remora_bytes bytes REMORA_HELP("bytes read or written") REMORA_OPTIONAL;
} REMORA_EVENT("process_access", "a process's memory was read or written, or a file descriptor of it taken, or "
				 "should have been: process_vm_readv, process_vm_writev, pidfd_getfd, "
				 "/proc/PID/mem opened or written to");

struct module_event {
	GUARDED;
	remora_path path REMORA_HELP("finit_module: the module's file") REMORA_OPTIONAL REMORA_FEATURE;
	remora_text parameters REMORA_HELP("parameters given to the module") REMORA_OPTIONAL;
	char name[56] REMORA_HELP("the module's name, if it got so far") REMORA_OPTIONAL REMORA_FEATURE;
	enum module_flags flags REMORA_FLAGS REMORA_HELP("how it was to be loaded") REMORA_OPTIONAL;
	__u32 _pad;
} REMORA_EVENT("module", "a kernel module was loaded or removed, or should have been");

struct ids {
	__s64 real REMORA_HELP("real id, -1: unknown or not asked for");
	__s64 effective REMORA_HELP("effective id, -1: unknown or not asked for");
	__s64 saved REMORA_HELP("saved id, -1: unknown or not asked for");
	__s64 fs REMORA_HELP("id for access to files, -1: unknown or not asked for");
};
struct credentials_event {
	GUARDED;
	struct ids requested;
	struct ids user;
	struct ids group;
	struct ids previous_user;
	struct ids previous_group;
	remora_args gained REMORA_HELP("effective capabilities that the thread has now and had not before")
		REMORA_OPTIONAL REMORA_FEATURE;
	remora_args lost REMORA_HELP("effective capabilities that it had before and has no more") REMORA_OPTIONAL;
	remora_args requested_capabilities REMORA_HELP("capset: effective capabilities asked for") REMORA_OPTIONAL;
	__u32 groups REMORA_HELP("setgroups: how many supplementary groups were given") REMORA_OPTIONAL;
} REMORA_EVENT("credentials",
	       "user ids, group ids or capabilities of a thread changed, by itself or by executing a program with "
	       "set-id bits or capabilities, or should have: requested ids are in the caller's numbering, the "
	       "others in the host's");

struct socket_event {
	GUARDED;
	enum socket_family family REMORA_HELP("address family") REMORA_FEATURE;
	enum sock_type type REMORA_HELP("type of socket") REMORA_FEATURE;
	__u32 protocol REMORA_HELP("protocol number, of AF_PACKET the Ethernet type") REMORA_FEATURE;
	__s32 fd REMORA_HELP("file descriptor, -1 if it failed");
} REMORA_EVENT("socket", "a socket was made, or should have been, that sees or sends raw packets, or that reaches "
			 "past the network: AF_ALG, AF_BLUETOOTH, AF_CAN, AF_KEY, AF_VSOCK, AF_XDP");

struct kernel_config_event {
	GUARDED;
	remora_path path REMORA_HELP("the file, resolved if it was opened, else the directory and the name as given")
		REMORA_FEATURE REMORA_ATTRIBUTE("file.path");
	remora_text value REMORA_HELP("beginning of what was to be written") REMORA_OPTIONAL;
	remora_bytes bytes REMORA_HELP("bytes written") REMORA_OPTIONAL;
} REMORA_EVENT("kernel_config", "a file of the kernel's configuration was opened for writing or written to, or "
				"should have been: in /proc outside of the processes, /sys, binfmt_misc, securityfs, "
				"debugfs, tracefs, configfs, efivarfs, release_agent and devices of cgroup v1");

struct bpf_event {
	GUARDED;
	enum bpf_cmd command REMORA_HELP("what was asked for") REMORA_FEATURE;
	enum bpf_prog_type program_type REMORA_HELP("BPF_PROG_LOAD: type of the program") REMORA_OPTIONAL
		REMORA_FEATURE;
	enum bpf_map_type map_type REMORA_HELP("BPF_MAP_CREATE: type of the map") REMORA_OPTIONAL REMORA_FEATURE;
	char name[16] REMORA_HELP("name of that program or map") REMORA_OPTIONAL;
	__u32 _pad;
} REMORA_EVENT("bpf", "bpf() was called; access to a map's elements is told only if it fails or with the parameter "
		      "verbose");

struct perf_event_event {
	GUARDED;
	enum perf_type_id type REMORA_HELP("type of the counter") REMORA_FEATURE;
	__s32 target_pid REMORA_HELP("the thread counted, as the caller sees it; 0 the caller, -1 all");
	__u64 config REMORA_HELP("which counter of that type") REMORA_FEATURE;
	__s32 cpu REMORA_HELP("processor, -1: any");
	__s32 fd REMORA_HELP("file descriptor, -1 if it failed");
} REMORA_EVENT("perf_event", "a performance counter was opened, or should have been");

struct keyring_event {
	GUARDED;
	remora_text type REMORA_HELP("type of key, for add_key, request_key and KEYCTL_SEARCH") REMORA_OPTIONAL
		REMORA_FEATURE;
	remora_text description REMORA_HELP("description of that key, or name of the keyring joined") REMORA_OPTIONAL;
	enum keyctl operation REMORA_HELP("keyctl: what was asked for") REMORA_OPTIONAL REMORA_FEATURE;
	__s32 result REMORA_HELP("key or other number that the call gave, -1 if it failed");
} REMORA_EVENT("keyring", "the kernel's keyrings were used by keyctl, add_key or request_key");

struct memfd_event {
	GUARDED;
	remora_text name REMORA_HELP("name given, shown as memfd:NAME in /proc/PID/fd") REMORA_FEATURE;
	enum memfd_flags flags REMORA_FLAGS REMORA_HELP("how it was to be made") REMORA_OPTIONAL REMORA_FEATURE;
	__s32 fd REMORA_HELP("file descriptor, -1 if it failed");
	__u32 _pad;
} REMORA_EVENT("memfd", "a file without a place on any disk was made, or should have been");

struct prctl_event {
	GUARDED;
	enum prctl_option option REMORA_HELP("what was to be set") REMORA_FEATURE;
	__u32 _pad;
	__u64 argument REMORA_HELP("the option's first argument") REMORA_FEATURE;
	__u64 argument2 REMORA_HELP("its second argument") REMORA_OPTIONAL;
} REMORA_EVENT("prctl", "a process changed how the kernel limits or protects it, or should have");

struct seccomp_event {
	GUARDED;
	enum seccomp_mode mode REMORA_HELP("strict mode, or a filter") REMORA_FEATURE;
	enum seccomp_flags flags REMORA_FLAGS REMORA_HELP("how") REMORA_OPTIONAL REMORA_FEATURE;
} REMORA_EVENT("seccomp", "a process limited its own system calls by seccomp or prctl, or should have");

struct call_event {
	GUARDED;
	__u64 argument1 REMORA_HELP("first argument");
	__u64 argument2 REMORA_HELP("second argument");
	__u64 argument3 REMORA_HELP("third argument");
	__s64 result REMORA_HELP("what the call gave, -1 if it failed");
} REMORA_EVENT("call", "another call that few programs need: acct, clock_settime, io_uring_setup, ioperm, iopl, "
		       "kexec_file_load, kexec_load, memfd_secret, open_by_handle_at, reboot, settimeofday, stime, "
		       "swapoff, swapon, userfaultfd");

struct guard_key {
	remora_index index;
	enum act act;
	enum outcome outcome;
};
struct guard_metrics {
	__u64 acts REMORA_COUNTER("acts that bear on security, by event; denied: EPERM or EACCES");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, REMORA_CONTAINERS * 3 * no_act);
	__type(key, struct guard_key);
	__type(value, struct guard_metrics);
} guard_metrics SEC(".maps");

/* What a thread's credentials were when they were last looked at: at fork, exec and their last change. */
struct known {
	__u32 user[4], group[4];
	__u64 effective, permitted, inheritable;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, __u32);
	__type(value, struct known);
} guard_known SEC(".maps");

/* Name of the module that a thread is loading. */
struct loading {
	char name[56];
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct loading);
} guard_loading SEC(".maps");

/* A name given to a system call, while it is looked at. */
struct given {
	char name[TEXT_SIZE];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct given);
} guard_given SEC(".maps");

struct guard_params {
	__u32 quiet_credentials REMORA_OWN_PARAM("0", "0", "1",
						 "1: leave out changes of credentials that give no capability");
	__u32 verbose REMORA_OWN_PARAM("0", "0", "1", "1: tell all of ptrace's requests and of bpf's commands");
};
REMORA_PARAMS(struct guard_params);

REMORA_TRACER(guard, "security", "acts that bear on security: mounts, namespaces, other processes' memory, credentials, "
				 "modules, raw sockets, the kernel's configuration");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct file_system_type {
	const char *name;
};
struct fs_context {
	struct file_system_type *fs_type;
};
struct module {
	char name[56];
};
#pragma clang attribute pop

/* ---- System calls by number: the low byte for 64-bit ones, the high byte for 32-bit ones. ---- */
enum op {
	NONE,
	OPEN, CREAT, OPENAT, OPENAT2, WRITE, WRITEV,
	MOUNT, UMOUNT, FSOPEN, FSPICK, FSCONFIG, FSMOUNT, OPEN_TREE, MOVE_MOUNT, SETATTR, CHROOT, PIVOT_ROOT,
	UNSHARE, CLONE, CLONE3, SETNS,
	PTRACE, VM, GETFD, MODULE_IMAGE, MODULE_FILE, MODULE_REMOVE,
	SET_ID, SET_RE, SET_RES, SET_FS, SET_GROUPS, CAPSET,
	SOCKET, SOCKETCALL, BPF, PERF, ADD_KEY, KEYCTL, MEMFD, PRCTL, SECCOMP, CALL,
};
#define IN_32(op) ((op) << 8)
#define BOTH(op) ((op) | IN_32(op))
#define CALLS 548
static const __u16 op_of[CALLS] = {
	[1] = WRITE, [2] = OPEN, [4] = IN_32(WRITE), [5] = IN_32(OPEN), [8] = IN_32(CREAT), [18] = WRITE,
	[20] = WRITEV, [21] = IN_32(MOUNT), [22] = IN_32(UMOUNT), [23] = IN_32(SET_ID), [25] = IN_32(CALL),
	[26] = IN_32(PTRACE), [41] = SOCKET, [46] = IN_32(SET_ID), [51] = IN_32(CALL), [52] = IN_32(UMOUNT),
	[56] = CLONE, [61] = IN_32(CHROOT), [70] = IN_32(SET_RE), [71] = IN_32(SET_RE), [79] = IN_32(CALL),
	[81] = IN_32(SET_GROUPS), [85] = CREAT, [87] = IN_32(CALL), [88] = IN_32(CALL),
	[101] = PTRACE | IN_32(CALL), [102] = IN_32(SOCKETCALL), [105] = SET_ID, [106] = SET_ID,
	[110] = IN_32(CALL), [113] = SET_RE, [114] = SET_RE, [115] = IN_32(CALL), [116] = SET_GROUPS,
	[117] = SET_RES, [119] = SET_RES, [120] = IN_32(CLONE), [122] = SET_FS, [123] = SET_FS, [126] = CAPSET,
	[128] = IN_32(MODULE_IMAGE), [129] = IN_32(MODULE_REMOVE), [138] = IN_32(SET_FS),
	[139] = IN_32(SET_FS), [146] = IN_32(WRITEV), [155] = PIVOT_ROOT, [157] = PRCTL, [161] = CHROOT,
	[163] = CALL, [164] = CALL | IN_32(SET_RES), [165] = MOUNT, [166] = UMOUNT, [167] = CALL, [168] = CALL,
	[169] = CALL, [170] = IN_32(SET_RES), [172] = CALL | IN_32(PRCTL), [173] = CALL, [175] = MODULE_IMAGE,
	[176] = MODULE_REMOVE, [181] = IN_32(WRITE), [185] = IN_32(CAPSET), [203] = IN_32(SET_RE),
	[204] = IN_32(SET_RE), [206] = IN_32(SET_GROUPS), [208] = IN_32(SET_RES), [210] = IN_32(SET_RES),
	[213] = IN_32(SET_ID), [214] = IN_32(SET_ID), [215] = IN_32(SET_FS), [216] = IN_32(SET_FS),
	[217] = IN_32(PIVOT_ROOT), [227] = CALL, [246] = CALL, [248] = ADD_KEY, [249] = ADD_KEY,
	[250] = KEYCTL, [257] = OPENAT, [264] = IN_32(CALL), [272] = UNSHARE, [283] = IN_32(CALL),
	[286] = IN_32(ADD_KEY), [287] = IN_32(ADD_KEY), [288] = IN_32(KEYCTL), [295] = IN_32(OPENAT),
	[296] = WRITEV, [298] = PERF, [304] = CALL, [308] = SETNS, [310] = VM | IN_32(UNSHARE), [311] = VM,
	[313] = MODULE_FILE, [317] = SECCOMP, [319] = MEMFD, [320] = CALL, [321] = BPF, [323] = CALL,
	[328] = WRITEV, [334] = IN_32(WRITEV), [336] = IN_32(PERF), [342] = IN_32(CALL), [346] = IN_32(SETNS),
	[347] = IN_32(VM), [348] = IN_32(VM), [350] = IN_32(MODULE_FILE), [354] = IN_32(SECCOMP),
	[356] = IN_32(MEMFD), [357] = IN_32(BPF), [359] = IN_32(SOCKET), [374] = IN_32(CALL),
	[379] = IN_32(WRITEV), [404] = IN_32(CALL), [425] = BOTH(CALL), [428] = BOTH(OPEN_TREE),
	[429] = BOTH(MOVE_MOUNT), [430] = BOTH(FSOPEN), [431] = BOTH(FSCONFIG), [432] = BOTH(FSMOUNT),
	[433] = BOTH(FSPICK), [435] = BOTH(CLONE3), [437] = BOTH(OPENAT2), [438] = BOTH(GETFD),
	[442] = BOTH(SETATTR), [447] = BOTH(CALL), [467] = BOTH(SETATTR), [521] = PTRACE, [528] = CALL,
	[539] = VM, [540] = VM,
};

struct context {
	struct remora_container *container;
	struct task_struct *task;
	struct fs_struct *fs;
	__u64 arg[5];
	long result;
	__u32 number;
	enum op op;
	__u32 error;
	bool compat;
};
