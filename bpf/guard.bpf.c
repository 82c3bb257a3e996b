// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Acts that bear on security: what a container does to mounts, namespaces, other processes, its own rights and
 * the kernel, whether it succeeds or is refused. One program at the exit of system calls tells them: there the
 * result is known, and a call that seccomp refuses comes by, too. What the arguments point to, and which file a
 * descriptor is, is looked up then, after the kernel has used it: another thread may have changed it in between.
 * Numbers and results are what the kernel saw. A call that seccomp kills for does not return, and what io_uring
 * does passes by; that a ring is made is told.
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
	remora_text options REMORA_HELP("the file system's own options as given, with any password in them")
		REMORA_OPTIONAL;
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
	remora_text fs_type REMORA_HELP("type of file system, where the call is about a new one") REMORA_OPTIONAL
		REMORA_FEATURE;
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
	__u32 _pad;
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
	__uint(max_entries, 4096);
	__type(key, struct guard_key);
	__type(value, struct guard_metrics);
} guard_metrics SEC(".maps");

/* What a thread's credentials were when they were last looked at: at fork, exec and their last change. */
struct known {
	__u64 user[4], group[4];	/* real, effective, saved, for files */
	__u64 effective, permitted, inheritable;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
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
	char _before[8];	/* zero: what comes before a name of less than eight bytes */
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

REMORA_TRACER(guard, "security",
	      "acts that bear on security: mounts, namespaces, other processes' memory, credentials, modules, raw "
	      "sockets, the kernel's configuration");

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

struct returned {		/* a system call that has */
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

static __always_inline __u32 error_of(long result)
{
	if (result >= 0)
		return 0;
	return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK ? EINTR : -result;
}

static __always_inline void fill_returned(struct returned *r, struct pt_regs *regs, __u32 number, __u16 ops,
					  long result)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	r->task = task;
	r->fs = BPF_CORE_READ(task, fs);
	r->compat = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
	r->op = r->compat ? ops >> 8 : ops & 0xff;
	r->arg[0] = r->compat ? (__u32)regs->bx : regs->di;
	r->arg[1] = r->compat ? (__u32)regs->cx : regs->si;
	r->arg[2] = r->compat ? (__u32)regs->dx : regs->dx;
	r->arg[3] = r->compat ? (__u32)regs->si : regs->r10;
	r->arg[4] = r->compat ? (__u32)regs->di : regs->r8;
	r->result = result;
	r->error = error_of(result);
	/* the four that programs of the x32 kind have numbers of their own for */
	if (number >= 512)
		number = number == 521 ? 101 : number == 528 ? 246 : number - 229;
	r->number = r->compat ? number | REMORA_SYSCALL_32 : number;
}

/* ---- Counting and the parts that events share. Not inlined: they would be many times over. ---- */
static __noinline int count(struct returned *r, enum act act)
{
	struct guard_key key = { r->container->index, act, r->error ? failed : done };
	struct guard_metrics *m, one = { 1 };

	if (r->error == EPERM || r->error == EACCES)
		key.outcome = denied;
	m = bpf_map_lookup_elem(&guard_metrics, &key);
	if (!m && !bpf_map_update_elem(&guard_metrics, &key, &one, BPF_NOEXIST))
		return 0;
	if (!m)
		m = bpf_map_lookup_elem(&guard_metrics, &key);
	if (m)
		remora_add(&m->acts, 1);
	else
		remora_lost(r->container);
	return 0;
}

#define FIXED(b) (((struct remora_head *)(b)->data)->fixed & (REMORA_HEAD_MAX - 1))

static __noinline int fill(struct remora_scratch *b, struct returned *r)
{
	struct guarded *e = (struct guarded *)b->data;

	remora_fill_process_of(&e->process, r->task);
	e->call = r->number;
	e->error = r->error;
	return 0;
}

/* Counts the act and begins its event; then the tails in the order of the members, then end(). */
#define begin(r, act, T)                                                                     \
	({                                                                                   \
		struct remora_scratch *b_;                                                   \
		count(r, act);                                                               \
		b_ = remora_begin((r)->container, T);                                        \
		if (b_)                                                                      \
			fill(b_, r);                                                         \
		b_;                                                                          \
	})

static __noinline int end(struct remora_scratch *b, struct returned *r)
{
	remora_end(r->container, b, FIXED(b));
	return 0;
}

static __noinline int tail_text(struct remora_scratch *b, remora_text *t, __u64 from)
{
	if (from)
		remora_tail_str(b, t, FIXED(b), (void *)from, TEXT_SIZE, true);
	return 0;
}

static __noinline struct file *file_at(struct returned *r, __u32 fd)
{
	struct task_struct *task = r->task;
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **at = BPF_CORE_READ(table, fd), *file = NULL;

	if (fd < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), at + fd);
	return file;
}

static __noinline int tail_path(struct remora_scratch *b, remora_path *t, struct returned *r, const struct path *path)
{
	remora_tail_path(b, t, FIXED(b), path, &r->fs->root);
	return 0;
}

/* A path as given, from the directory it starts at; an empty one is that of the descriptor. */
static __noinline int tail_given(struct remora_scratch *b, remora_path *t, struct returned *r, __s32 dirfd,
				 __u64 name)
{
	const struct path *from = &r->fs->pwd;
	struct file *dir;
	char first = 0;

	if (bpf_probe_read_user(&first, 1, (void *)name)) {
		t->truncated = 1;
		return 0;
	}
	if (first)
		remora_tail_str(b, t, FIXED(b), (void *)name, PATH_SIZE, true);
	if (first == '/')
		return 0;
	if (dirfd != AT_FDCWD) {
		dir = file_at(r, dirfd);
		if (!dir) {
			t->truncated = 1;
			return 0;
		}
		from = &dir->f_path;
	}
	tail_path(b, t, r, from);
	return 0;
}

static __always_inline __s32 fd_of(struct returned *r)
{
	return r->error ? NOBODY : r->result;
}

/* Of a call that opens. */
static __always_inline __s32 dirfd_of(struct returned *r)
{
	return r->op == OPENAT || r->op == OPENAT2 ? r->arg[0] : AT_FDCWD;
}

static __always_inline bool is_verbose(struct returned *r)
{
	struct guard_params *p = remora_params_of(r->container);

	return p && p->verbose;
}

/* Files that have no name but one in brackets. */
static __always_inline bool is_anonymous(struct file *file, __u64 first)
{
	__u64 name = 0;

	bpf_probe_read_kernel(&name, sizeof(name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
	return name == first;
}
#define ANON_PIDFD 0x5d64666469705bULL /* "[pidfd]", little-endian */
#define ANON_FSCONTEXT 0x65746e6f6373665bULL /* "[fsconte" */

/* The process of a pidfd, as it sees itself. Until cb12fd8e0dab ("pidfd: add pidfs", 6.9) those were anonymous. */
static __noinline __u32 pid_of_pidfd(struct returned *r, __u32 fd)
{
	struct file *file = file_at(r, fd);
	struct pid *pid = NULL;
	__u32 at, nr = 0;

	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) == PIDFS_MAGIC)
		pid = BPF_CORE_READ(file, f_inode, i_private);
	else if (is_anonymous(file, ANON_PIDFD))
		pid = BPF_CORE_READ(file, private_data);
	if (!pid)
		return 0;
	at = bpf_core_field_offset(struct pid, numbers) + BPF_CORE_READ(pid, level) * bpf_core_type_size(struct upid);
	bpf_core_read(&nr, sizeof(nr), (void *)pid + at);
	return nr;
}

/* ---- Mounts ---- */
static __always_inline void mounted(struct returned *r)
{
	struct remora_scratch *b = begin(r, mount, struct mount_event);
	struct mount_event *e;
	__u32 flags = r->arg[3];

	if (!b)
		return;
	e = remora_event(b, struct mount_event);
	e->flags = (flags & 0xffff0000) == MS_MGC_VAL ? flags & 0xffff : flags;
	tail_text(b, &e->source, r->arg[0]);
	tail_given(b, &e->target, r, AT_FDCWD, r->arg[1]);
	tail_text(b, &e->fs_type, r->arg[2]);
	if (r->arg[4])
		remora_tail_str(b, &e->options, FIXED(b), (void *)r->arg[4], OPTIONS_SIZE, true);
	end(b, r);
}

static __always_inline void unmounted(struct returned *r)
{
	struct remora_scratch *b = begin(r, umount, struct umount_event);
	struct umount_event *e;

	if (!b)
		return;
	e = remora_event(b, struct umount_event);
	e->flags = r->number == (22 | REMORA_SYSCALL_32) ? 0 : r->arg[1]; /* the old one has no flags */
	tail_given(b, &e->target, r, AT_FDCWD, r->arg[0]);
	end(b, r);
}

struct mount_attr {		/* of mount_setattr: ABI */
	__u64 set;
	__u64 cleared;
	__u64 propagation;
};

/* What the members that are no tails say. */
static __always_inline void fill_mount_api(struct mount_api_event *e, struct returned *r)
{
	struct mount_attr attr = {};

	e->fd = r->op == FSCONFIG ? r->arg[0] : fd_of(r);
	if (r->op == MOVE_MOUNT || r->op == SETATTR)
		e->fd = NOBODY;
	if (r->op == OPEN_TREE || r->op == SETATTR)
		e->flags = r->arg[2];
	if (r->op == FSCONFIG)
		e->command = r->arg[1] + 1;
	if (r->op == FSMOUNT)
		e->attributes = r->arg[2];
	if (r->op == MOVE_MOUNT)
		e->move_flags = r->arg[4];
	if (r->op != SETATTR || bpf_probe_read_user(&attr, sizeof(attr), (void *)r->arg[3]))
		return;
	e->attributes = attr.set;
	e->cleared = attr.cleared;
	e->propagation = attr.propagation;
}

static __always_inline void tail_context(struct remora_scratch *b, remora_text *t, struct returned *r)
{
	struct file *file = file_at(r, r->arg[0]);
	struct fs_context *context;

	if (!is_anonymous(file, ANON_FSCONTEXT))
		return;
	context = BPF_CORE_READ(file, private_data);
	remora_tail_str(b, t, FIXED(b), BPF_CORE_READ(context, fs_type, name), TEXT_SIZE, false);
}

static __always_inline void stepped(struct returned *r)
{
	struct remora_scratch *b = begin(r, mount_api, struct mount_api_event);
	bool config = r->op == FSCONFIG;
	struct mount_api_event *e;

	if (!b)
		return;
	e = remora_event(b, struct mount_api_event);
	fill_mount_api(e, r);
	if (r->op == FSOPEN)
		tail_text(b, &e->fs_type, r->arg[0]);
	else if (config || r->op == FSMOUNT)
		tail_context(b, &e->fs_type, r);
	if (config)
		tail_text(b, &e->key, r->arg[2]);
	if (e->command == FSCONFIG_SET_STRING || e->command == FSCONFIG_SET_PATH)
		tail_text(b, &e->value, r->arg[3]);
	if (r->op >= OPEN_TREE || r->op == FSPICK)
		tail_given(b, &e->path, r, r->arg[0], r->arg[1]);
	if (r->op == MOVE_MOUNT)
		tail_given(b, &e->target, r, r->arg[2], r->arg[3]);
	end(b, r);
}

static __always_inline void root_changed(struct returned *r)
{
	struct remora_scratch *b = begin(r, change_root, struct change_root_event);
	struct change_root_event *e;

	if (!b)
		return;
	e = remora_event(b, struct change_root_event);
	tail_given(b, &e->path, r, AT_FDCWD, r->arg[0]);
	if (r->op == PIVOT_ROOT)
		tail_given(b, &e->old_path, r, AT_FDCWD, r->arg[1]);
	end(b, r);
}

/* ---- Namespaces ---- */
/* The kind moved to the namespace itself with 4055526d3574 ("ns: move ns type into struct ns_common", 6.18). */
static __always_inline void fill_joined(struct namespace_event *e, struct returned *r)
{
	struct file *file = file_at(r, r->arg[0]);
	const struct proc_ns_operations *ops;
	struct ns_common *ns;

	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != NSFS_MAGIC) {
		e->target_pid = pid_of_pidfd(r, r->arg[0]);
		return;
	}
	ns = BPF_CORE_READ(file, f_inode, i_private);
	ops = BPF_CORE_READ(ns, ops);
	e->inode = BPF_CORE_READ(file, f_inode, i_ino);
	if (e->types)
		return;
	e->types = bpf_core_field_exists(ops->type) ? BPF_CORE_READ(ops, type) : BPF_CORE_READ(ns, ns_type);
}

static __always_inline void namespaced(struct returned *r)
{
	struct remora_scratch *b;
	struct namespace_event *e;
	__u64 flags = r->arg[0];

	if (r->op == CLONE3 && bpf_probe_read_user(&flags, sizeof(flags), (void *)r->arg[0]))
		return;
	if (r->op == CLONE)
		flags &= ~CSIGNAL;
	if (r->op == SETNS)
		flags = r->arg[1];
	else if (!(flags & CLONE_NEW))
		return;
	b = begin(r, namespace, struct namespace_event);
	if (!b)
		return;
	e = remora_event(b, struct namespace_event);
	e->types = flags & CLONE_NEW;
	if (r->op == SETNS)
		fill_joined(e, r);
	else if (r->op != UNSHARE && !r->error)
		e->child_pid = r->result;
	end(b, r);
}

/* ---- Other processes ---- */
/* Whether the request begins or changes something; it must before anything can be looked at. */
static __always_inline bool is_intrusive(__u32 request)
{
	switch (request) {
	case PTRACE_TRACEME:
	case PTRACE_POKETEXT:
	case PTRACE_POKEDATA:
	case PTRACE_POKEUSER:
	case PTRACE_KILL:
	case PTRACE_SETREGS:
	case PTRACE_SETFPREGS:
	case PTRACE_ATTACH:
	case PTRACE_SETFPXREGS:
	case PTRACE_SETREGSET:
	case PTRACE_SEIZE:
	case PTRACE_SET_SYSCALL_INFO:
		return true;
	}
	return false;
}

static __always_inline void ptraced(struct returned *r)
{
	struct remora_scratch *b;
	struct ptrace_event *e;

	if (!is_intrusive(r->arg[0]) && !is_verbose(r))
		return;
	b = begin(r, ptrace, struct ptrace_event);
	if (!b)
		return;
	e = remora_event(b, struct ptrace_event);
	e->request = r->arg[0];
	e->target_pid = e->request == PTRACE_TRACEME ? 0 : r->arg[1];
	end(b, r);
}

static __noinline int accessed(struct returned *r, enum access_mode access, __u32 pid, struct file *file,
			       __u64 name)
{
	struct remora_scratch *b = begin(r, process_access, struct process_access_event);
	struct process_access_event *e;

	if (!b)
		return 0;
	e = remora_event(b, struct process_access_event);
	e->access = access;
	e->target_pid = pid;
	if (!r->error && (r->op == VM || r->op == WRITE || r->op == WRITEV))
		e->bytes = r->result;
	if (file)
		tail_path(b, &e->path, r, &file->f_path);
	else if (name)
		tail_given(b, &e->path, r, dirfd_of(r), name);
	end(b, r);
	return 0;
}

static __always_inline void reached(struct returned *r)
{
	__u32 number = r->number;

	if (r->op == GETFD)
		accessed(r, descriptor, pid_of_pidfd(r, r->arg[0]), NULL, 0);
	else
		accessed(r, number == 310 || number == (347 | REMORA_SYSCALL_32) ? read : write, r->arg[0], NULL, 0);
}

/* ---- Files of the kernel's configuration, and memory of processes ---- */
enum place {
	NOWHERE,
	IN_PROCESS,		/* /proc/PID and below */
	PROC_ROOT,		/* /proc itself */
	CONFIG,			/* whatever is written there configures the kernel */
	CGROUP,			/* version 1, where some files do */
};

/* Where a directory or file is; of a process's, whose. */
static __noinline enum place place_of(struct dentry *d, __u32 *pid)
{
	struct dentry *above = NULL, *top = NULL;
	char name[12] = {};
	int i;

	switch (BPF_CORE_READ(d, d_sb, s_magic)) {
	case PROC_MAGIC:
		break;
	case CGROUP_MAGIC:
		return CGROUP;
	case SYSFS_MAGIC:
	case BINFMT_MAGIC:
	case SECURITYFS_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case CONFIGFS_MAGIC:
	case EFIVARFS_MAGIC:
		return CONFIG;
	default:
		return NOWHERE;
	}
	for (i = 0; i < REMORA_PATH_DEPTH; i++) {
		above = BPF_CORE_READ(d, d_parent);
		if (above == d)
			break;
		top = d;
		d = above;
	}
	if (!top)
		return PROC_ROOT;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(top, d_name.name));
	if (name[0] < '0' || name[0] > '9')
		return CONFIG;
	*pid = 0;
	for (i = 0; i < 10; i++) {
		if (name[i] < '0' || name[i] > '9')
			break;
		*pid = *pid * 10 + name[i] - '0';
	}
	return IN_PROCESS;
}

/* The last eight bytes of a name, the last one lowest. */
#define LAST_MEM 0x6d656dULL /* "mem" */
#define LAST_SLASH_MEM 0x2f6d656dULL /* "/mem" */
#define LAST_RELEASE_AGENT 0x73655f6167656e74ULL /* "se_agent" */
#define LAST_DEVICES_ALLOW 0x65732e616c6c6f77ULL /* "es.allow" */
#define LAST_DEVICES_DENY 0x6365732e64656e79ULL /* "ces.deny" */
#define PROC_SYS 0x70726f632f737973ULL /* "proc/sys" */
static __always_inline __u64 last_of(struct given *g, long len)
{
	__u32 at = len - 1;	/* len counts the NUL */
	__u64 last;

	remora_barrier(at);
	__builtin_memcpy(&last, (char *)g + (at & (TEXT_SIZE - 1)), sizeof(last));
	return __builtin_bswap64(last);
}

/* Without a branch, which the verifier would follow both ways each time. */
static __noinline __u64 has_proc_sys(struct given *g)
{
	__u64 last = 0, found = 0, differs;
	int i;

	for (i = 0; i < TEXT_SIZE; i++) {
		last = last << 8 | (__u8)g->name[i];
		differs = last ^ PROC_SYS;
		found |= ~(differs | -differs) >> 63;
	}
	return found;
}

static __always_inline bool is_mem(__u64 last)
{
	return last == LAST_MEM || (last & 0xffffffff) == LAST_SLASH_MEM;
}

static __always_inline bool is_cgroup_config(__u64 last)
{
	return last == LAST_RELEASE_AGENT || last == LAST_DEVICES_ALLOW || last == LAST_DEVICES_DENY;
}

static __always_inline enum act act_at(enum place place, __u64 last)
{
	if (place == IN_PROCESS)
		return is_mem(last) ? process_access : no_act;
	if (place == CONFIG || (place == CGROUP && is_cgroup_config(last)))
		return kernel_config;
	return no_act;
}

static __always_inline struct given *given(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&guard_given, &zero);
}

/* What opening a file for writing, or writing to it, is. */
static __noinline enum act act_on(struct file *file, __u32 *pid)
{
	struct dentry *d = BPF_CORE_READ(file, f_path.dentry);
	enum place place = place_of(d, pid);
	struct given *g = given();
	long len;

	if (place == NOWHERE || place == PROC_ROOT || !g)
		return no_act;
	len = bpf_probe_read_kernel_str(g->name, TEXT_SIZE, BPF_CORE_READ(d, d_name.name));
	return len > 0 ? act_at(place, last_of(g, len)) : no_act;
}

/* After "/proc/", or in that directory: "self" and "thread-self" are the caller. */
static __always_inline bool is_process(const char *name)
{
	__u32 four;

	__builtin_memcpy(&four, name, sizeof(four));
	return (name[0] >= '0' && name[0] <= '9') || four == 0x666c6573 || four == 0x65726874; /* "self", "thre" */
}

/* Beginnings of absolute paths, little-endian. */
#define BEGINS_PROC 0x2f636f72702fULL /* "/proc/" */
#define BEGINS_SYS 0x2f7379732fULL /* "/sys/" */
#define BEGINS_CGROUP 0x756f7267632f7366ULL /* "fs/cgrou", behind "/sys/" */

static __always_inline enum place place_of_absolute(struct given *g)
{
	__u64 begins, behind;

	__builtin_memcpy(&begins, g->name, sizeof(begins));
	if ((begins & 0xffffffffffff) == BEGINS_PROC)
		return is_process(&g->name[6]) ? IN_PROCESS : CONFIG;
	if ((begins & 0xffffffffff) != BEGINS_SYS)
		return CGROUP;	/* what has such a name is likely that, wherever it is mounted */
	__builtin_memcpy(&behind, &g->name[5], sizeof(behind));
	return behind == BEGINS_CGROUP ? CGROUP : CONFIG;
}

/*
 * What opening a file would have been that was refused: there is nothing but its name, which is taken as it is
 * given, without regard to links on the way.
 */
static __noinline enum act act_refused(struct returned *r, __s32 dirfd, __u64 name, __u32 *pid)
{
	struct fs_struct *fs = r->fs;
	struct given *g = given();
	struct dentry *base;
	enum place place;
	enum act act;
	long len;

	if (!g)
		return no_act;
	__builtin_memset(g->name, 0, TEXT_SIZE);
	len = bpf_probe_read_user_str(g->name, TEXT_SIZE, (void *)name);
	if (len <= 0)
		return no_act;
	if (g->name[0] == '/') {
		place = place_of_absolute(g);
	} else {
		base = dirfd == AT_FDCWD ? BPF_CORE_READ(fs, pwd.dentry) :
					   BPF_CORE_READ(file_at(r, dirfd), f_path.dentry);
		place = place_of(base, pid);
		if (place == PROC_ROOT)
			place = is_process(g->name) ? IN_PROCESS : CONFIG;
	}
	act = act_at(place, last_of(g, len));
	return act == no_act && has_proc_sys(g) ? kernel_config : act;
}

/* What was to be written, if anything. */
struct data {
	__u64 at;
	__u64 len;
};

static __noinline int configured(struct returned *r, struct file *file, __u64 name, struct data *data)
{
	struct remora_scratch *b = begin(r, kernel_config, struct kernel_config_event);
	struct kernel_config_event *e;

	if (!b)
		return 0;
	e = remora_event(b, struct kernel_config_event);
	if (file)
		tail_path(b, &e->path, r, &file->f_path);
	else
		tail_given(b, &e->path, r, dirfd_of(r), name);
	if (data->at) {
		remora_tail_user(b, &e->value, FIXED(b), (void *)data->at, data->len, TEXT_SIZE);
		e->bytes = r->error ? 0 : r->result;
	}
	end(b, r);
	return 0;
}

/* How a file was to be opened: as the bits of FMODE_READ and FMODE_WRITE. */
static __always_inline __u32 mode_asked(struct returned *r)
{
	__u64 flags = r->op == OPEN ? r->arg[1] : r->arg[2];

	if (r->op == CREAT)
		return FMODE_WRITE;
	if (r->op == OPENAT2)
		bpf_probe_read_user(&flags, sizeof(flags), (void *)r->arg[2]);
	return (flags + 1) & O_ACCMODE;
}

static __always_inline void opened(struct returned *r)
{
	__u64 name = r->op == OPENAT || r->op == OPENAT2 ? r->arg[1] : r->arg[0];
	struct file *file = r->error ? NULL : file_at(r, r->result);
	__u32 mode, pid = 0;
	struct data none = {};
	enum act act;

	if (file) {
		mode = BPF_CORE_READ(file, f_mode) & (FMODE_READ | FMODE_WRITE);
		act = act_on(file, &pid);
	} else {
		mode = mode_asked(r);
		act = act_refused(r, dirfd_of(r), name, &pid);
	}
	if (act == process_access && mode)
		accessed(r, mode, pid, file, name);
	else if (act == kernel_config && mode & FMODE_WRITE)
		configured(r, file, name, &none);
}

struct iovec {			/* ABI, and that of 32-bit programs */
	__u64 base;
	__u64 len;
};
struct iovec_32 {
	__u32 base;
	__u32 len;
};

static __always_inline void fill_data(struct data *data, struct returned *r)
{
	struct iovec_32 narrow = {};
	struct iovec wide = {};

	data->at = r->arg[1];
	data->len = r->arg[2];
	if (r->op == WRITEV && r->compat) {
		bpf_probe_read_user(&narrow, sizeof(narrow), (void *)r->arg[1]);
		data->at = narrow.base;
		data->len = narrow.len;
	} else if (r->op == WRITEV) {
		bpf_probe_read_user(&wide, sizeof(wide), (void *)r->arg[1]);
		data->at = wide.base;
		data->len = wide.len;
	}
	if (!r->error && data->len > r->result)
		data->len = r->result;
}

static __always_inline void written(struct returned *r)
{
	struct file *file = file_at(r, r->arg[0]);
	struct data data;
	enum act act;
	__u32 pid = 0;

	act = act_on(file, &pid);
	if (act == process_access) {
		accessed(r, write, pid, file, 0);
	} else if (act == kernel_config) {
		fill_data(&data, r);
		configured(r, file, 0, &data);
	}
}

/* ---- Modules ---- */
static __always_inline void moduled(struct returned *r)
{
	struct remora_scratch *b = begin(r, module, struct module_event);
	__u32 tid = bpf_get_current_pid_tgid();
	struct loading *loading;
	struct module_event *e;
	struct file *file;

	if (!b)
		return;
	e = remora_event(b, struct module_event);
	if (r->op == MODULE_REMOVE)
		bpf_probe_read_user_str(e->name, sizeof(e->name), (void *)r->arg[0]);
	loading = bpf_map_lookup_elem(&guard_loading, &tid);
	if (loading) {
		__builtin_memcpy(e->name, loading->name, sizeof(e->name));
		bpf_map_delete_elem(&guard_loading, &tid);
	}
	file = r->op == MODULE_FILE ? file_at(r, r->arg[0]) : NULL;
	if (file) {
		e->flags = r->arg[2];
		tail_path(b, &e->path, r, &file->f_path);
	}
	if (r->op != MODULE_REMOVE)
		tail_text(b, &e->parameters, r->op == MODULE_FILE ? r->arg[1] : r->arg[2]);
	end(b, r);
}

/* A kernel without modules has no such tracepoint. */
SEC("tp_btf/module_load") REMORA_OPTIONAL
int BPF_PROG(module_loaded, struct module *mod)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct loading loading = {};

	if (!remora_container())
		return 0;
	bpf_probe_read_kernel_str(loading.name, sizeof(loading.name), mod->name);
	bpf_map_update_elem(&guard_loading, &tid, &loading, BPF_ANY);
	return 0;
}

/* ---- Credentials ---- */
static __always_inline void look_up(struct known *k, struct task_struct *task)
{
	const struct cred *cred = BPF_CORE_READ(task, cred);

	k->user[0] = BPF_CORE_READ(cred, uid.val);
	k->user[1] = BPF_CORE_READ(cred, euid.val);
	k->user[2] = BPF_CORE_READ(cred, suid.val);
	k->user[3] = BPF_CORE_READ(cred, fsuid.val);
	k->group[0] = BPF_CORE_READ(cred, gid.val);
	k->group[1] = BPF_CORE_READ(cred, egid.val);
	k->group[2] = BPF_CORE_READ(cred, sgid.val);
	k->group[3] = BPF_CORE_READ(cred, fsgid.val);
	/* two words until f122a08b197d ("capability: just use a 'u64' instead of a 'u32[2]' array", 6.3) */
	bpf_core_read(&k->effective, sizeof(k->effective), &cred->cap_effective);
	bpf_core_read(&k->permitted, sizeof(k->permitted), &cred->cap_permitted);
	bpf_core_read(&k->inheritable, sizeof(k->inheritable), &cred->cap_inheritable);
}

static __always_inline void copy_ids(struct ids *to, const __u64 *from)
{
	to->real = from[0];
	to->effective = from[1];
	to->saved = from[2];
	to->fs = from[3];
}

static __always_inline bool differs(const struct known *a, const struct known *b)
{
	int i;

#pragma unroll
	for (i = 0; i < 4; i++)
		if (a->user[i] != b->user[i] || a->group[i] != b->group[i])
			return true;
	return a->effective != b->effective || a->permitted != b->permitted || a->inheritable != b->inheritable;
}

#define CAPS 41
static const char cap_names[CAPS][24] = {
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE",
	"CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
	"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

static __noinline int tail_caps(struct remora_scratch *b, remora_args *t, __u64 set)
{
	int i;

	for (i = 0; i < CAPS; i++)
		if (set >> i & 1)
			remora_tail_str(b, t, FIXED(b), cap_names[i], sizeof(cap_names[i]), false);
	return 0;
}

/* An id as the call has it: -1 for one that is to stay, also in the 16 bits of the oldest 32-bit calls. */
static __always_inline __s64 id_of(struct returned *r, __u64 arg)
{
	if (r->compat && (r->number & 0xffff) < 185)
		return (__u16)arg == 0xffff ? -1 : (__s64)(__u16)arg;
	return (__u32)arg == 0xffffffff ? -1 : (__s64)(__u32)arg;
}

static __always_inline void fill_requested(struct ids *ids, struct returned *r)
{
	ids->real = ids->effective = ids->saved = ids->fs = NOBODY;
	switch (r->op) {
	case SET_ID:
		ids->effective = id_of(r, r->arg[0]);
		break;
	case SET_RES:
		ids->saved = id_of(r, r->arg[2]);
		/* fallthrough */
	case SET_RE:
		ids->real = id_of(r, r->arg[0]);
		ids->effective = id_of(r, r->arg[1]);
		break;
	case SET_FS:
		ids->fs = id_of(r, r->arg[0]);
		break;
	default:
		break;
	}
}

struct cap_data {		/* of capset: ABI, one for 32 capabilities each */
	__u32 effective;
	__u32 permitted;
	__u32 inheritable;
};

static __always_inline __u64 caps_asked(struct returned *r)
{
	struct cap_data data[2] = {};

	if (r->op == CAPSET && bpf_probe_read_user(data, sizeof(data), (void *)r->arg[1]))
		bpf_probe_read_user(data, sizeof(data[0]), (void *)r->arg[1]); /* the first version has one */
	return data[0].effective | (__u64)data[1].effective << 32;
}

static __noinline int changed(struct returned *r, const struct known *old, const struct known *new)
{
	struct remora_scratch *b = begin(r, credentials, struct credentials_event);
	const __u64 nobody[4] = { -1, -1, -1, -1 };
	struct credentials_event *e;

	if (!b)
		return 0;
	e = remora_event(b, struct credentials_event);
	fill_requested(&e->requested, r);
	copy_ids(&e->user, new->user);
	copy_ids(&e->group, new->group);
	copy_ids(&e->previous_user, old ? old->user : nobody);
	copy_ids(&e->previous_group, old ? old->group : nobody);
	if (r->op == SET_GROUPS)
		e->groups = r->arg[0];
	if (old)
		tail_caps(b, &e->gained, new->effective & ~old->effective);
	if (old)
		tail_caps(b, &e->lost, old->effective & ~new->effective);
	if (r->op == CAPSET)
		tail_caps(b, &e->requested_capabilities, caps_asked(r));
	end(b, r);
	return 0;
}

static __always_inline bool is_quiet(struct returned *r, const struct known *old, const struct known *new)
{
	struct guard_params *p = remora_params_of(r->container);

	return p && p->quiet_credentials && old && !(new->effective & ~old->effective);
}

static __always_inline void credentialed(struct returned *r)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct known new, *old = bpf_map_lookup_elem(&guard_known, &tid);
	bool same;

	look_up(&new, r->task);
	same = old && r->op != SET_GROUPS && !differs(old, &new);
	if (r->error || (!same && !is_quiet(r, old, &new)))
		changed(r, old, &new);
	if (!same)
		bpf_map_update_elem(&guard_known, &tid, &new, BPF_ANY);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	struct known new;
	__u32 tid;

	if (!remora_container_of_task(child))
		return 0;
	look_up(&new, child);
	tid = child->pid;
	bpf_map_update_elem(&guard_known, &tid, &new, BPF_ANY);
	return 0;
}

/* A program with set-id bits or capabilities gives them to whoever executes it. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(executed, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	struct returned r = { .container = remora_container_of_task(task), .number = SYS_EXECVE };
	struct known new, *old;
	__u32 tid = old_pid;

	if (!r.container)
		return 0;
	r.task = (struct task_struct *)bpf_get_current_task();
	look_up(&new, r.task);
	old = bpf_map_lookup_elem(&guard_known, &tid);
	if (old && (old->user[1] != new.user[1] || old->group[1] != new.group[1] || new.effective & ~old->effective))
		changed(&r, old, &new);
	tid = task->pid;
	bpf_map_update_elem(&guard_known, &tid, &new, BPF_ANY);
	return 0;
}

/* ---- Sockets ---- */
static __always_inline bool is_special(__u32 family, __u32 type)
{
	switch (family) {
	case AF_KEY:
	case AF_PACKET:
	case AF_CAN:
	case AF_BLUETOOTH:
	case AF_ALG:
	case AF_VSOCK:
	case AF_XDP:
		return true;
	case AF_UNIX:		/* where raw is another word for datagrams */
	case AF_NETLINK:	/* where raw is the common type */
		return false;
	}
	return type == SOCK_RAW || type == SOCK_PACKET;
}

static __always_inline void socketed(struct returned *r)
{
	__u32 arg[3] = { r->arg[0], r->arg[1], r->arg[2] };
	struct remora_scratch *b;
	struct socket_event *e;

	if (r->op == SOCKETCALL &&
	    (r->arg[0] != SYS_SOCKET || bpf_probe_read_user(arg, sizeof(arg), (void *)r->arg[1])))
		return;
	arg[1] &= SOCK_TYPE;
	if (!is_special(arg[0], arg[1]))
		return;
	b = begin(r, socket, struct socket_event);
	if (!b)
		return;
	e = remora_event(b, struct socket_event);
	e->family = arg[0];
	e->type = arg[1];
	e->protocol = arg[0] == AF_PACKET || arg[1] == SOCK_PACKET ? __builtin_bswap16(arg[2]) : arg[2];
	e->fd = fd_of(r);
	end(b, r);
}

/* ---- The kernel's other doors ---- */
/* bpf's argument as far as it is looked at: ABI. */
struct bpf_argument {
	__u32 type;		/* of a program or a map */
	__u32 _rest[6];
	char map_name[16];
	__u32 _more;
	char prog_name[16];
};

static __always_inline void fill_bpf(struct bpf_event *e, struct returned *r)
{
	struct bpf_argument arg = {};

	if ((__u32)r->arg[2] < sizeof(arg) || bpf_probe_read_user(&arg, sizeof(arg), (void *)r->arg[1]))
		bpf_probe_read_user(&arg, sizeof(arg.type), (void *)r->arg[1]);
	if (e->command == BPF_PROG_LOAD) {
		e->program_type = arg.type;
		__builtin_memcpy(e->name, arg.prog_name, sizeof(e->name));
	} else {
		e->map_type = arg.type;
		__builtin_memcpy(e->name, arg.map_name, sizeof(e->name));
	}
}

static __always_inline void bpf_called(struct returned *r)
{
	__u32 command = r->arg[0];
	struct remora_scratch *b;
	struct bpf_event *e;

	if (command >= BPF_MAP_LOOKUP_ELEM && command <= BPF_MAP_GET_NEXT_KEY && !r->error && !is_verbose(r))
		return;
	b = begin(r, bpf, struct bpf_event);
	if (!b)
		return;
	e = remora_event(b, struct bpf_event);
	e->command = command;
	if (command == BPF_PROG_LOAD || command == BPF_MAP_CREATE)
		fill_bpf(e, r);
	end(b, r);
}

struct perf_attr {		/* of perf_event_open: ABI */
	__u32 type;
	__u32 size;
	__u64 config;
};

static __always_inline void perf_opened(struct returned *r)
{
	struct remora_scratch *b = begin(r, perf_event, struct perf_event_event);
	struct perf_event_event *e;
	struct perf_attr attr = {};

	if (!b)
		return;
	e = remora_event(b, struct perf_event_event);
	bpf_probe_read_user(&attr, sizeof(attr), (void *)r->arg[0]);
	e->type = attr.type;
	e->config = attr.config;
	e->target_pid = r->arg[1];
	e->cpu = r->arg[2];
	e->fd = fd_of(r);
	end(b, r);
}

static __always_inline void keyed(struct returned *r)
{
	struct remora_scratch *b = begin(r, keyring, struct keyring_event);
	__u64 type = r->arg[0], description = r->arg[1];
	struct keyring_event *e;

	if (!b)
		return;
	e = remora_event(b, struct keyring_event);
	e->result = fd_of(r);
	if (r->op == KEYCTL) {
		e->operation = r->arg[0] + 1;
		type = e->operation == KEYCTL_SEARCH ? r->arg[2] : 0;
		description = e->operation == KEYCTL_SEARCH		  ? r->arg[3] :
			      e->operation == KEYCTL_JOIN_SESSION_KEYRING ? r->arg[1] :
									    0;
	}
	tail_text(b, &e->type, type);
	tail_text(b, &e->description, description);
	end(b, r);
}

static __always_inline void memfd_made(struct returned *r)
{
	struct remora_scratch *b = begin(r, memfd, struct memfd_event);
	struct memfd_event *e;

	if (!b)
		return;
	e = remora_event(b, struct memfd_event);
	e->flags = r->arg[1];
	e->fd = fd_of(r);
	tail_text(b, &e->name, r->arg[0]);
	end(b, r);
}

static __always_inline void limited(struct returned *r, enum seccomp_mode mode, __u32 flags)
{
	struct remora_scratch *b = begin(r, seccomp, struct seccomp_event);
	struct seccomp_event *e;

	if (!b)
		return;
	e = remora_event(b, struct seccomp_event);
	e->mode = mode;
	e->flags = flags;
	end(b, r);
}

/* Options that look, or that any program uses, are left out. */
static __always_inline bool is_set_up(struct returned *r)
{
	switch ((__u32)r->arg[0]) {
	case PR_CAP_AMBIENT:
		return r->arg[1] != PR_CAP_AMBIENT_IS_SET;
	case PR_SET_KEEPCAPS:
	case PR_CAPBSET_DROP:
	case PR_SET_SECUREBITS:
	case PR_SET_MM:
	case PR_SET_NO_NEW_PRIVS:
	case PR_SET_PTRACER:
		return true;
	}
	return false;
}

static __always_inline void prctled(struct returned *r)
{
	struct remora_scratch *b;
	struct prctl_event *e;

	if (!is_set_up(r))
		return;
	b = begin(r, prctl, struct prctl_event);
	if (!b)
		return;
	e = remora_event(b, struct prctl_event);
	e->option = r->arg[0];
	e->argument = r->arg[1];
	e->argument2 = r->arg[2];
	end(b, r);
}

static __always_inline void called(struct returned *r)
{
	struct remora_scratch *b = begin(r, call, struct call_event);
	struct call_event *e;

	if (!b)
		return;
	e = remora_event(b, struct call_event);
	e->argument1 = r->arg[0];
	e->argument2 = r->arg[1];
	e->argument3 = r->arg[2];
	e->result = fd_of(r);
	end(b, r);
}

/* ---- System calls to events ---- */
static __always_inline void limits(struct returned *r)
{
	__u32 first = r->arg[0], second = r->arg[1];

	if (r->op == PRCTL && first != PR_SET_SECCOMP)
		prctled(r);
	else if (r->op == PRCTL && (second == strict || second == filter))
		limited(r, second, 0);
	else if (r->op == SECCOMP && first < filter) /* there modes count from 0; others ask what there is */
		limited(r, first + 1, second);
}

static __always_inline void dispatch(struct returned *r)
{
	switch (r->op) {
	case OPEN ... OPENAT2:
		opened(r);
		break;
	case WRITE ... WRITEV:
		written(r);
		break;
	case MOUNT:
		mounted(r);
		break;
	case UMOUNT:
		unmounted(r);
		break;
	case FSOPEN ... SETATTR:
		stepped(r);
		break;
	case CHROOT ... PIVOT_ROOT:
		root_changed(r);
		break;
	case UNSHARE ... SETNS:
		namespaced(r);
		break;
	case PTRACE:
		ptraced(r);
		break;
	case VM ... GETFD:
		reached(r);
		break;
	case MODULE_IMAGE ... MODULE_REMOVE:
		moduled(r);
		break;
	case SET_ID ... CAPSET:
		credentialed(r);
		break;
	case SOCKET ... SOCKETCALL:
		socketed(r);
		break;
	case BPF:
		bpf_called(r);
		break;
	case PERF:
		perf_opened(r);
		break;
	case ADD_KEY ... KEYCTL:
		keyed(r);
		break;
	case MEMFD:
		memfd_made(r);
		break;
	case PRCTL ... SECCOMP:
		limits(r);
		break;
	case CALL:
		called(r);
		break;
	case NONE:
		break;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(returned, struct pt_regs *regs, long result)
{
	__u64 number = regs->orig_ax & ~(__u64)X32_BIT;
	struct returned r;
	__u16 ops;

	remora_barrier(number);
	if (number >= CALLS)
		return 0;
	ops = op_of[number];
	if (!ops)
		return 0;
	r.container = remora_container();
	if (!r.container)
		return 0;
	fill_returned(&r, regs, number, ops, result);
	/* a child's return from the clone that its parent is told about */
	if ((r.op == CLONE || r.op == CLONE3) && !result)
		return 0;
	dispatch(&r);
	return 0;
}
