// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Files opened, made, linked, renamed, removed, cut and given other owners and permissions; bytes read from and
 * written to regular files, and of those the bytes written below mount points.
 *
 * One program at the exit of system calls, where the result is known, works on every kernel. What io_uring is asked
 * to do passes it by and is seen where a request is submitted and where it completes:
 * - until 5.16 a completion is known only by ring and user_data: of two requests under way with the same ones the
 *   first is reported without its result, and bytes read and written are not counted;
 * - a request that asks for no completion (IOSQE_CQE_SKIP_SUCCESS), or whose paths are longer than KEPT_SIZE, is
 *   reported without its result when it is submitted;
 * - kernels before 5.10.162 and 5.12, whose requests are done by threads of the kernel, do not tell them.
 * Writing by io_submit() and by memory mappings is not counted.
 */
#include "remora.bpf.h"

#ifndef __TARGET_ARCH_x86
#error "system call numbers are known for x86-64 and its 32-bit programs only"
#endif

#define AT_FDCWD -100
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200
#define AT_EMPTY_PATH 0x1000
#define EINTR 4
#define ERESTARTSYS 512		/* first and last of the results that a signal makes, which become EINTR */
#define ERESTART_RESTARTBLOCK 516
#define FMODE_CREATED 0x100000
#define S_IFMT 0170000
#define S_IFREG 0100000
#define TS_COMPAT 2		/* the system call came in the 32-bit way */
#define X32_BIT 0x40000000
#define PATH_SIZE 4097		/* one more than PATH_MAX: the longest path is whole */
#define VOLUMES 16		/* mount points of a container that have series of their own */
#define REQ_F_CQE_SKIP (1 << 6)	/* IOSQE_CQE_SKIP_SUCCESS: ABI, the kernel's flags begin with those of the user's */

enum file_open_flags {		/* those of several bits first */
	O_TMPFILE = 020200000,
	O_SYNC = 04010000,
	O_RDONLY = 0,
	O_WRONLY = 1,
	O_RDWR = 2,
	O_CREAT = 0100,
	O_EXCL = 0200,
	O_NOCTTY = 0400,
	O_TRUNC = 01000,
	O_APPEND = 02000,
	O_NONBLOCK = 04000,
	O_DSYNC = 010000,
	O_ASYNC = 020000,
	O_DIRECT = 040000,
	O_LARGEFILE = 0100000,
	O_DIRECTORY = 0200000,
	O_NOFOLLOW = 0400000,
	O_NOATIME = 01000000,
	O_CLOEXEC = 02000000,
	O_PATH = 010000000,
};

enum file_rename_flags {
	RENAME_NOREPLACE = 1,
	RENAME_EXCHANGE = 2,
	RENAME_WHITEOUT = 4,
};

enum file_type {		/* bits of a mode from S_IFMT on */
	fifo = 1,
	character_device = 2,
	block_device = 6,
	regular = 8,
	socket = 12,
};

struct file_params {
	char prefix[REMORA_PREFIX_MAX] REMORA_OWN_TEXT("report only files that are this one or below it, as /etc; metrics "
		"count all; what cannot be compared, as a name with .. in it, is reported");
	__u32 failures_only REMORA_OWN_PARAM("0", "0", "1", "1: report only what failed");
	__u32 every REMORA_OWN_PARAM("1", "0", "1000000", "report one in so many opens, the first of them");
};
REMORA_PARAMS(struct file_params);

/*
 * All events begin like struct any_event and have its size, so that the same lines put them together. `pending` is
 * said of what io_uring was asked to do and never told; `_kind` is for such requests on their way.
 */
struct any_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path;
	remora_errno error;
	bool io_uring;
	bool pending;
	__u8 _kind;
	bool _own;
	__u32 _rest[5];
};
#define COMMON                                                                                                    \
	remora_errno error REMORA_HELP("why it failed");                                                          \
	bool io_uring REMORA_HELP("asked for through io_uring, not by a system call") REMORA_OPTIONAL             \
		REMORA_FEATURE;                                                                                   \
	bool pending REMORA_HELP("asked for through io_uring, how it ended is not known") REMORA_OPTIONAL;        \
	__u8 _kind

struct open_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("file, resolved if it was opened, else the directory and the name as given")
		REMORA_FEATURE REMORA_ATTRIBUTE("file.path");
	COMMON;
	bool created REMORA_HELP("the file did not exist before") REMORA_OPTIONAL REMORA_FEATURE;
	enum file_open_flags flags REMORA_FLAGS REMORA_HELP("how it was to be opened") REMORA_FEATURE;
	remora_mode mode REMORA_HELP("permission bits asked for a new file") REMORA_OPTIONAL;
	__s32 fd REMORA_HELP("file descriptor, -1 if it failed or went to a table of io_uring's own");
	bool mounted REMORA_HELP("the file lies on another mount than the process's root, such as a volume")
		REMORA_OPTIONAL REMORA_FEATURE;
	__u8 _pad[7];
} REMORA_EVENT("open", "a file was opened, or should have been")
	REMORA_REPORT("opened");

struct unlink_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("the directory and the name as given") REMORA_FEATURE
		REMORA_ATTRIBUTE("file.path");
	COMMON;
	bool directory REMORA_HELP("a directory was to be removed") REMORA_OPTIONAL;
	__u32 _pad[5];
} REMORA_EVENT("unlink", "a file or directory was removed, or should have been")
	REMORA_REPORT("changed");

struct rename_event {
	struct remora_head head;
	struct remora_process process;
	remora_path old_path REMORA_HELP("former directory and name as given") REMORA_FEATURE;
	COMMON;
	__u8 _own;
	remora_path new_path REMORA_HELP("new directory and name as given") REMORA_FEATURE;
	enum file_rename_flags flags REMORA_FLAGS REMORA_HELP("how it was to be renamed") REMORA_OPTIONAL;
	__u32 _pad[3];
} REMORA_EVENT("rename", "a file or directory was renamed, or should have been")
	REMORA_REPORT("changed");

struct link_event {
	struct remora_head head;
	struct remora_process process;
	remora_path old_path REMORA_HELP("directory and name as given of the file") REMORA_FEATURE;
	COMMON;
	__u8 _own;
	remora_path new_path REMORA_HELP("directory and name as given of its further name") REMORA_FEATURE;
	__u32 _pad[4];
} REMORA_EVENT("link", "a file was given a further name (hard link), or should have been")
	REMORA_REPORT("changed");

struct symlink_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("the link: the directory and the name as given") REMORA_FEATURE
		REMORA_ATTRIBUTE("file.path");
	COMMON;
	__u8 _own;
	remora_text target REMORA_HELP("what the link says") REMORA_FEATURE
		REMORA_ATTRIBUTE("file.symbolic_link.target_path");
	__u32 _pad[4];
} REMORA_EVENT("symlink", "a symbolic link was made, or should have been")
	REMORA_REPORT("changed");

struct chmod_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("the directory and the name as given, resolved if a descriptor was given")
		REMORA_FEATURE REMORA_ATTRIBUTE("file.path");
	COMMON;
	bool nofollow REMORA_HELP("of a symbolic link itself") REMORA_OPTIONAL;
	remora_mode mode REMORA_HELP("new permission bits") REMORA_FEATURE REMORA_ATTRIBUTE("file.mode");
	__u32 _pad[4];
} REMORA_EVENT("chmod", "permissions of a file or directory were changed, or should have been")
	REMORA_REPORT("changed");

struct chown_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("the directory and the name as given, resolved if a descriptor was given")
		REMORA_FEATURE REMORA_ATTRIBUTE("file.path");
	COMMON;
	bool nofollow REMORA_HELP("of a symbolic link itself") REMORA_OPTIONAL;
	__u32 _pad;
	__s64 owner REMORA_HELP("new owner as the container numbers users, -1: left as it is") REMORA_FEATURE
		REMORA_ATTRIBUTE("file.owner.id");
	__s64 group REMORA_HELP("new group as the container numbers groups, -1: left as it is") REMORA_FEATURE
		REMORA_ATTRIBUTE("file.group.id");
} REMORA_EVENT("chown", "the owner or group of a file or directory was changed, or should have been")
	REMORA_REPORT("changed");

struct mkdir_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("the directory it is made in and the name as given") REMORA_FEATURE
		REMORA_ATTRIBUTE("file.path");
	COMMON;
	__u8 _own;
	remora_mode mode REMORA_HELP("permission bits asked for, before the umask");
	__u32 _pad[4];
} REMORA_EVENT("mkdir", "a directory was made, or should have been")
	REMORA_REPORT("changed");

struct mknod_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("the directory it is made in and the name as given") REMORA_FEATURE
		REMORA_ATTRIBUTE("file.path");
	COMMON;
	__u8 _own;
	remora_mode mode REMORA_HELP("permission bits asked for, before the umask");
	enum file_type type REMORA_HELP("what kind of file") REMORA_FEATURE;
	remora_dev dev REMORA_HELP("which device, of a device's file") REMORA_OPTIONAL REMORA_FEATURE;
	__u32 _pad[2];
} REMORA_EVENT("mknod", "a device's file, FIFO, socket or empty file was made, or should have been")
	REMORA_REPORT("changed");

struct truncate_event {
	struct remora_head head;
	struct remora_process process;
	remora_path path REMORA_HELP("the directory and the name as given, resolved if a descriptor was given")
		REMORA_FEATURE REMORA_ATTRIBUTE("file.path");
	COMMON;
	__u8 _own;
	__u32 _pad;
	remora_bytes size REMORA_HELP("new size of the file, in bytes") REMORA_ATTRIBUTE("file.size");
	__u64 _pad2;
} REMORA_EVENT("truncate", "a file was cut or extended to a size, or should have been")
	REMORA_REPORT("changed");

#define FIXED sizeof(struct any_event)
#define SAME(T) _Static_assert(sizeof(struct T) == FIXED, #T)
SAME(open_event); SAME(unlink_event); SAME(rename_event); SAME(link_event); SAME(symlink_event); SAME(chmod_event);
SAME(chown_event); SAME(mkdir_event); SAME(mknod_event); SAME(truncate_event);

struct file_metrics {
	__u64 opens REMORA_COUNTER("files opened");
	__u64 open_failures REMORA_COUNTER("files that could not be opened");
	__u64 creates REMORA_COUNTER("files created by opening them");
	__u64 unlinks REMORA_COUNTER("files and directories removed");
	__u64 renames REMORA_COUNTER("files and directories renamed");
	__u64 links REMORA_COUNTER("hard links made");
	__u64 symlinks REMORA_COUNTER("symbolic links made");
	__u64 chmods REMORA_COUNTER("permissions of files and directories changed");
	__u64 chowns REMORA_COUNTER("owners or groups of files and directories changed");
	__u64 mkdirs REMORA_COUNTER("directories made");
	__u64 mknods REMORA_COUNTER("device files, FIFOs, sockets and empty files made by mknod");
	__u64 truncates REMORA_COUNTER("files cut or extended by truncate");
	__u64 change_failures REMORA_COUNTER("removals, renames, links and other such changes that failed");
	__u64 io_uring REMORA_COUNTER("opens and changes, failed ones included, asked for through io_uring");
	__u64 reads REMORA_COUNTER("requests that read from a regular file");
	__u64 writes REMORA_COUNTER("requests that wrote to a regular file");
	remora_bytes read REMORA_COUNTER("bytes that system calls and io_uring returned from regular files");
	remora_bytes written REMORA_COUNTER("bytes that system calls and io_uring put into regular files");
	__u64 _sampled;		/* opens of which one in `every` is reported */
	__u64 _volumes;		/* mount points that have series */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct file_metrics);
} file_metrics SEC(".maps");

struct volume {
	remora_index index;
	char mountpoint[124];	/* as the container sees it; ~other: of those past VOLUMES */
};
struct volume_metrics {
	__u64 mount_writes REMORA_COUNTER("requests that wrote to a regular file on another mount than the root, by "
		"the mount point");
	remora_bytes mount_written REMORA_COUNTER("bytes put into regular files on another mount than the root, by "
		"the mount point");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2048);
	__type(key, struct volume);
	__type(value, struct volume_metrics);
} file_volumes SEC(".maps");

/* Where a mount of a container is mounted. A mount's number is given to another one later. */
struct mounted_key {
	__u32 index;
	int id;
};
struct mounted {
	__u64 parent;		/* pointers, to tell whether it is the same mount at the same place */
	__u64 on;
	__u64 root;		/* the process's, up to which paths go */
	struct volume volume;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, struct mounted_key);
	__type(value, struct mounted);
} file_mounted SEC(".maps");
struct {			/* one being put together: too long for the stack */
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mounted);
} file_finding SEC(".maps");

/* Requests of io_uring under way, as long as their result is unknown: the beginning of a struct remora_scratch. */
#define KEPT_SIZE 1904
#define BELOW 2
struct kept {
	__u32 busy;		/* BELOW: one of its paths is below the prefix */
	__u32 used;
	__u8 data[KEPT_SIZE];
};
struct kept_key {
	__u64 ring;		/* or the request, where a completion says which one it is of */
	__u64 user_data;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct kept_key);
	__type(value, struct kept);
} file_kept SEC(".maps");

REMORA_TRACER(file, "security", "files opened, made, linked, renamed, removed and changed, bytes read and written");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct mount___id {
	int mnt_id;
};
struct filename {
	const char *name;
};
struct io_cqe {
	__s32 res;
};
struct io_cmd_data {
	struct file *file;
};
struct io_kiocb {		/* begins with the operation's own struct, one of those below */
	struct file *file;
	struct io_cmd_data cmd;
	u8 opcode;
	unsigned int flags;
	struct io_cqe cqe;
};
struct io_open {
	int dfd;
	u32 file_slot;
	struct filename *filename;
	struct {
		u64 flags;
		u64 mode;
	} how;
};
struct io_unlink {
	int dfd;
	int flags;
	struct filename *filename;
};
struct io_mkdir {
	int dfd;
	umode_t mode;
	struct filename *filename;
};
struct io_rename {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
	int flags;
};
struct io_link {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
};
struct io_hardlink {		/* io_link's name until 5.19 */
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
};
struct io_symlink {
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
};
struct io_ftrunc {
	struct file *file;
	loff_t len;
};
struct trace_event_raw_io_uring_submit_sqe {
	void *req;
};
struct trace_event_raw_io_uring_complete {
	void *req;
};
#pragma clang attribute pop

/* ---- System calls by number: the low byte for 64-bit ones, the high byte for 32-bit ones ---- */
enum kind {
	NONE, OPEN, UNLINK, RENAME, LINK, SYMLINK, CHMOD, CHOWN, MKDIR, MKNOD, TRUNCATE, READ, WRITE, SENDFILE, COPY,
};
#define KIND(code) ((code) & 15)
/* Which arguments come first: the name, a directory's descriptor and the name, or the file's descriptor. */
#define FORM(code) ((code) & 0x30)
#define NAME 0
#define AT 0x10
#define FD 0x20
/* What else is special, by kind. */
#define SPECIAL(code) ((code) & 0xc0)
#define CREAT 0x40		/* OPEN */
#define HOW 0x80
#define HANDLE 0xc0
#define RMDIR 0x40		/* UNLINK */
#define FLAGS 0x40		/* RENAME, CHMOD */
#define LINK_ITSELF 0x40	/* CHOWN */
#define SHORT_IDS 0x80
#define TWO_WORDS 0x40		/* TRUNCATE: the size takes two arguments */
#define C32(code) ((code) << 8)
#define CALLS 512
static const __u16 code_of[CALLS] = {
	[0] = READ, [1] = WRITE, [2] = OPEN, [17] = READ, [18] = WRITE, [19] = READ, [20] = WRITE,
	[40] = SENDFILE | C32(UNLINK | RMDIR), [76] = TRUNCATE, [77] = TRUNCATE | FD, [82] = RENAME,
	[83] = MKDIR | C32(SYMLINK), [84] = UNLINK | RMDIR, [85] = OPEN | CREAT, [86] = LINK, [87] = UNLINK,
	[88] = SYMLINK, [90] = CHMOD, [91] = CHMOD | FD, [92] = CHOWN | C32(TRUNCATE),
	[93] = CHOWN | FD | C32(TRUNCATE | FD), [94] = CHOWN | LINK_ITSELF | C32(CHMOD | FD), [133] = MKNOD,
	[257] = OPEN | AT, [258] = MKDIR | AT, [259] = MKNOD | AT, [260] = CHOWN | AT, [263] = UNLINK | AT,
	[264] = RENAME | AT, [265] = LINK | AT, [266] = SYMLINK | AT, [268] = CHMOD | AT, [275] = COPY,
	[295] = READ | C32(OPEN | AT), [296] = WRITE | C32(MKDIR | AT), [304] = OPEN | HANDLE | C32(SYMLINK | AT),
	[316] = RENAME | AT | FLAGS, [326] = COPY, [327] = READ, [328] = WRITE,
	[437] = OPEN | AT | HOW | C32(OPEN | AT | HOW), [452] = CHMOD | AT | FLAGS | C32(CHMOD | AT | FLAGS),
	[3] = C32(READ), [4] = C32(WRITE), [5] = C32(OPEN), [8] = C32(OPEN | CREAT), [9] = C32(LINK),
	[10] = C32(UNLINK), [14] = C32(MKNOD), [15] = C32(CHMOD), [16] = C32(CHOWN | LINK_ITSELF | SHORT_IDS),
	[38] = C32(RENAME), [39] = C32(MKDIR), [95] = C32(CHOWN | FD | SHORT_IDS), [145] = C32(READ),
	[146] = C32(WRITE), [180] = C32(READ), [181] = C32(WRITE), [182] = C32(CHOWN | SHORT_IDS),
	[187] = C32(SENDFILE), [193] = C32(TRUNCATE | TWO_WORDS), [194] = C32(TRUNCATE | FD | TWO_WORDS),
	[198] = C32(CHOWN | LINK_ITSELF), [207] = C32(CHOWN | FD), [212] = C32(CHOWN), [239] = C32(SENDFILE),
	[297] = C32(MKNOD | AT), [298] = C32(CHOWN | AT), [301] = C32(UNLINK | AT), [302] = C32(RENAME | AT),
	[303] = C32(LINK | AT), [306] = C32(CHMOD | AT), [313] = C32(COPY), [333] = C32(READ), [334] = C32(WRITE),
	[342] = C32(OPEN | HANDLE), [353] = C32(RENAME | AT | FLAGS), [377] = C32(COPY), [378] = C32(READ),
	[379] = C32(WRITE),
};

struct call {
	struct task_struct *task;
	struct fs_struct *fs;
	__u64 arg[5];
};

/* Where a file is said to be. */
struct place {
	__u64 name;
	__s32 dirfd;
	bool descriptor;	/* dirfd is open on the file itself, there is no name */
	bool empty;		/* an empty name stands for the directory */
};

/* What was asked for, whichever way. */
struct change {
	__u32 kind;
	bool own;		/* OPEN: created; UNLINK: a directory; CHMOD, CHOWN: a link itself */
	struct place place;
	struct place other;	/* RENAME, LINK: the new one; SYMLINK: its name is the target */
	struct file *file;	/* OPEN: what was opened, if it was; NULL else */
	__u32 flags;
	__u32 mode;
	__u64 first;		/* CHOWN: owner; MKNOD: device; TRUNCATE: size */
	__u64 second;		/* CHOWN: group */
	long result;
};

/* The one at hand. In memory of which the verifier knows nothing, the many ways that lead here become one. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct change);
} file_change SEC(".maps");

static __always_inline struct change *new_change(void)
{
	__u32 zero = 0;
	struct change *change = bpf_map_lookup_elem(&file_change, &zero);

	if (change)
		__builtin_memset(change, 0, sizeof(*change));
	return change;
}

struct open_how {		/* of openat2: ABI */
	__u64 flags;
	__u64 mode;
	__u64 resolve;
};

static __always_inline __u32 error_of(long result)
{
	if (result >= 0)
		return 0;
	return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK ? EINTR : -result;
}

static __always_inline struct file_metrics *metrics_of(struct remora_container *c)
{
	__u32 i = c->index;

	return bpf_map_lookup_elem(&file_metrics, &i);
}

/* ---- Files and paths ---- */
static __always_inline struct file *file_at(struct call *call, __u32 fd)
{
	struct task_struct *task = call->task;
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **at = BPF_CORE_READ(table, fd), *file = NULL;

	if (fd < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), at + fd);
	return file;
}

/* A pipe or socket reopened through /proc/self/fd has a dentry but no place in a tree. */
static __always_inline bool has_place(struct file *file)
{
	struct dentry *d = BPF_CORE_READ(file, f_path.dentry);

	return BPF_CORE_READ(d, d_parent) != d || BPF_CORE_READ(file, f_path.mnt, mnt_root) == d;
}

static __always_inline bool is_mounted(struct call *call, struct file *file)
{
	struct fs_struct *fs = call->fs;

	return BPF_CORE_READ(file, f_path.mnt) != BPF_CORE_READ(fs, root.mnt);
}

static __always_inline remora_path *path_of(struct remora_scratch *b, bool second)
{
	__u32 at = second * (offsetof(struct rename_event, new_path) - offsetof(struct rename_event, old_path));

	remora_barrier(at);
	return (void *)&remora_event(b, struct any_event)->path + (at & 15);
}

struct ends {			/* struct path, to be read at once */
	__u64 vfs;
	__u64 dentry;
};

/*
 * Global functions are verified by themselves, once: what has loops stands in them, lest the kernel follow each
 * loop for each way that leads to it. They take numbers only. Here: a path's components into the current record;
 * whether it begins on another mount than the root.
 */
__noinline int walk(__u64 vfs, __u64 dentry, __u64 root, bool second)
{
	__u32 zero = 0;
	struct remora_scratch *b = bpf_map_lookup_elem(&remora_scratch, &zero);
	struct ends ends = {};

	bpf_probe_read_kernel(&ends, sizeof(ends), (void *)root);
	if (b)
		remora_tail_walk(b, path_of(b, second), FIXED, (void *)vfs, (void *)dentry, (void *)ends.vfs,
				 (void *)ends.dentry);
	return ends.vfs != vfs;
}

static __always_inline bool tail_path(const struct path *path, struct call *call, bool second)
{
	struct ends ends = {};

	bpf_probe_read_kernel(&ends, sizeof(ends), path);
	return walk(ends.vfs, ends.dentry, (__u64)&call->fs->root, second);
}

/* Whether this path of the current record is below the container's prefix. */
__noinline int is_below(__u32 container, bool second)
{
	struct file_params *p = bpf_map_lookup_elem(&remora_params, &container);
	struct remora_tail t;
	__u32 zero = 0;
	struct remora_scratch *b = bpf_map_lookup_elem(&remora_scratch, &zero);

	if (!p || !b)
		return true;
	t = *path_of(b, second);
	return remora_path_is_below(b, &t, FIXED, p->prefix);
}

/* What was opened, or a path as given, from the directory it starts at; whether that is on another mount than the root. */
static __always_inline bool tail_place(struct remora_scratch *b, bool second, struct call *call, struct place *place,
				       struct file *file, const bool user)
{
	remora_path *t = path_of(b, second);
	const char *first = remora_tail_at(b, FIXED);
	const struct path *from = &call->fs->pwd;

	if (!file && !place->descriptor) {
		remora_tail_str(b, t, FIXED, (void *)place->name, PATH_SIZE, user);
		if (!t->len) {
			t->truncated = 1;
			return false;
		}
		if (*first == '/')
			return false;
		if (place->empty && !*first) {
			b->used -= t->len;
			t->len = 0;
		}
	}
	if (!file && place->dirfd != AT_FDCWD) {
		file = file_at(call, place->dirfd);
		if (!file || !has_place(file)) {
			t->truncated = 1;
			return false;
		}
	}
	if (file)
		from = &file->f_path;
	return tail_path(from, call, second);
}

/* ---- Events ---- */
static __always_inline __u32 type_of(__u32 kind)
{
	switch (kind) {
	case OPEN:
		return bpf_core_type_id_local(struct open_event);
	case UNLINK:
		return bpf_core_type_id_local(struct unlink_event);
	case RENAME:
		return bpf_core_type_id_local(struct rename_event);
	case LINK:
		return bpf_core_type_id_local(struct link_event);
	case SYMLINK:
		return bpf_core_type_id_local(struct symlink_event);
	case CHMOD:
		return bpf_core_type_id_local(struct chmod_event);
	case CHOWN:
		return bpf_core_type_id_local(struct chown_event);
	case MKDIR:
		return bpf_core_type_id_local(struct mkdir_event);
	case MKNOD:
		return bpf_core_type_id_local(struct mknod_event);
	default:
		return bpf_core_type_id_local(struct truncate_event);
	}
}

static __always_inline void fill_open(struct open_event *e, struct change *change)
{
	e->flags = change->flags;
	e->mode = change->flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? change->mode & 07777 : 0;
	e->fd = change->result >= 0 ? change->result : -1;
}

static __always_inline void fill_mknod(struct mknod_event *e, struct change *change)
{
	__u32 dev = change->first, type = change->mode >> 12 & 15;

	e->mode = change->mode & 07777;
	e->type = type ? type : regular;
	if (type == character_device || type == block_device) /* as mknod() has it, to the kernel's own */
		e->dev = (dev & 0xfff00) << 12 | (dev & 0xff) | (dev >> 12 & 0xfff00);
}

static __always_inline __s64 id_of(__u64 id)
{
	return (__u32)id == (__u32)-1 ? -1 : (__s64)(__u32)id;
}

/* What only events of this kind have. */
static __always_inline void fill(struct any_event *e, struct change *change)
{
	e->_own = change->own;
	switch (change->kind) {
	case OPEN:
		fill_open((struct open_event *)e, change);
		break;
	case RENAME:
		((struct rename_event *)e)->flags = change->flags;
		break;
	case CHMOD:
		((struct chmod_event *)e)->mode = change->mode & 07777;
		break;
	case CHOWN:
		((struct chown_event *)e)->owner = id_of(change->first);
		((struct chown_event *)e)->group = id_of(change->second);
		break;
	case MKDIR:
		((struct mkdir_event *)e)->mode = change->mode & 07777;
		break;
	case MKNOD:
		fill_mknod((struct mknod_event *)e, change);
		break;
	case TRUNCATE:
		((struct truncate_event *)e)->size = change->first;
		break;
	}
}

/* Puts a record together; *below: whether one of its paths is below the prefix, if there is one. */
static __always_inline struct remora_scratch *compose(struct remora_container *c, struct call *call,
						      struct change *change, bool prefix, bool *below,
						      const bool user)
{
	struct remora_scratch *b = remora_begin_(c, FIXED, type_of(change->kind), 0);
	struct any_event *e;
	bool mounted;

	if (!b)
		return NULL;
	e = remora_event(b, struct any_event);
	remora_fill_process_of(&e->process, call->task);
	e->error = error_of(change->result);
	e->_kind = change->kind;
	fill(e, change);
	mounted = tail_place(b, false, call, &change->place, change->file, user);
	if (change->kind == OPEN)
		((struct open_event *)e)->mounted = change->file && mounted;
	*below = !prefix || is_below(c->index, false);
	if (change->kind != RENAME && change->kind != LINK && change->kind != SYMLINK)
		return b;
	if (change->kind == SYMLINK) {
		remora_tail_str(b, path_of(b, true), FIXED, (void *)change->other.name, PATH_SIZE, user);
		return b;
	}
	tail_place(b, true, call, &change->other, NULL, user);
	if (!*below)
		*below = is_below(c->index, true);
	return b;
}

static __always_inline void count(struct file_metrics *m, __u32 kind, long result, bool created)
{
	if (kind == OPEN) {
		remora_add(result >= 0 ? &m->opens : &m->open_failures, 1);
		if (created)
			remora_add(&m->creates, 1);
	} else if (result < 0) {
		remora_add(&m->change_failures, 1);
	} else if (kind >= UNLINK && kind <= TRUNCATE) { /* their counters stand in the order of enum kind */
		remora_add(&m->unlinks + (kind - UNLINK), 1);
	}
}

static __always_inline bool is_sampled(struct file_params *p, struct file_metrics *m, __u32 kind)
{
	__u64 before;

	if (kind != OPEN || !p || p->every < 2)
		return true;
	before = m->_sampled;
	remora_add(&m->_sampled, 1);
	return before % p->every == 0;
}

/* ---- System calls to changes ---- */
static __always_inline bool is_created(struct file *file)
{
	return BPF_CORE_READ(file, f_mode) & FMODE_CREATED;
}

static __always_inline void decode_open(struct change *change, struct call *call, __u32 code, __u64 flags, __u64 mode)
{
	struct open_how how = {};

	change->flags = flags;
	change->mode = mode;
	if (SPECIAL(code) == CREAT) {
		change->flags = O_CREAT | O_WRONLY | O_TRUNC;
		change->mode = flags;
	} else if (SPECIAL(code) == HOW) {
		bpf_probe_read_user(&how, sizeof(how), (void *)flags);
		change->flags = how.flags;
		change->mode = how.mode;
	} else if (SPECIAL(code) == HANDLE) { /* a descriptor on the file system, the handle, flags */
		change->place.dirfd = call->arg[0];
		change->place.descriptor = true;
		change->flags = call->arg[2];
	}
	if (change->result >= 0) {
		change->file = file_at(call, change->result);
		change->own = is_created(change->file);
	}
}

static __always_inline void decode_symlink(struct change *change, struct call *call, __u32 code)
{
	change->other.name = call->arg[0];
	change->place.dirfd = FORM(code) == AT ? call->arg[1] : AT_FDCWD;
	change->place.name = FORM(code) == AT ? call->arg[2] : call->arg[1];
}

/* RENAME, LINK */
static __always_inline void decode_two(struct change *change, struct call *call, __u32 code)
{
	change->other.dirfd = FORM(code) == AT ? call->arg[2] : AT_FDCWD;
	change->other.name = FORM(code) == AT ? call->arg[3] : call->arg[1];
	if (change->kind == LINK)
		change->place.empty = FORM(code) == AT && call->arg[4] & AT_EMPTY_PATH;
	else if (SPECIAL(code) == FLAGS)
		change->flags = call->arg[4];
}

static __always_inline void decode_ids(struct change *change, __u32 code, __u64 owner, __u64 group, __u64 flags)
{
	bool is_short = SPECIAL(code) & SHORT_IDS;

	change->first = is_short && (__u16)owner == 0xffff ? -1 : is_short ? (__u16)owner : owner;
	change->second = is_short && (__u16)group == 0xffff ? -1 : is_short ? (__u16)group : group;
	change->own = FORM(code) == AT ? flags & AT_SYMLINK_NOFOLLOW : SPECIAL(code) & LINK_ITSELF;
	change->place.empty = FORM(code) == AT && flags & AT_EMPTY_PATH;
}

static __always_inline void decode(struct change *change, struct call *call, __u32 code)
{
	const bool at = FORM(code) == AT;
	__u64 x = at ? call->arg[2] : call->arg[1], y = at ? call->arg[3] : call->arg[2];

	change->kind = KIND(code);
	change->place.dirfd = FORM(code) == NAME ? AT_FDCWD : call->arg[0];
	change->place.name = at ? call->arg[1] : call->arg[0];
	change->place.descriptor = FORM(code) == FD;
	switch (change->kind) {
	case OPEN:
		decode_open(change, call, code, x, y);
		break;
	case UNLINK:
		change->own = at ? x & AT_REMOVEDIR : SPECIAL(code) == RMDIR;
		break;
	case RENAME:
	case LINK:
		decode_two(change, call, code);
		break;
	case SYMLINK:
		decode_symlink(change, call, code);
		break;
	case CHMOD:
		change->mode = x;
		change->own = SPECIAL(code) == FLAGS && y & AT_SYMLINK_NOFOLLOW;
		change->place.empty = SPECIAL(code) == FLAGS && y & AT_EMPTY_PATH;
		break;
	case CHOWN:
		decode_ids(change, code, x, y, call->arg[4]);
		break;
	case MKDIR:
		change->mode = x;
		break;
	case MKNOD:
		change->mode = x;
		change->first = y;
		break;
	case TRUNCATE:
		change->first = SPECIAL(code) == TWO_WORDS ? y << 32 | (__u32)x : x;
		break;
	}
}

static __always_inline void changed(struct remora_container *c, struct file_metrics *m, struct call *call,
				    struct change *change)
{
	struct file_params *p = remora_params_of(c);
	bool prefix = p && p->prefix[0], below;
	struct remora_scratch *b;

	count(m, change->kind, change->result, change->kind == OPEN && change->own);
	if (p && p->failures_only && change->result >= 0)
		return;
	if (!prefix && !is_sampled(p, m, change->kind))
		return;
	if (change->file && !has_place(change->file))
		change->file = NULL;
	b = compose(c, call, change, prefix, &below, true);
	if (!b)
		return;
	if (!prefix || (below && is_sampled(p, m, change->kind)))
		remora_end(c, b, FIXED);
	else
		remora_cancel(b);
}

/* ---- Bytes ---- */
/* Writes down where a mount is mounted. */
__noinline int find_volume(__u32 container, int id, __u64 parent, __u64 on, __u64 fs)
{
	struct vfsmount *vfs = (void *)parent + bpf_core_field_offset(struct mount, mnt);
	const struct path *root = &((struct fs_struct *)fs)->root;
	struct remora_container *c = remora_container_at(container);
	struct mounted_key key = { .index = container, .id = id };
	__u32 zero = 0;
	struct mounted *mounted = bpf_map_lookup_elem(&file_finding, &zero);
	struct remora_scratch *b = c && mounted ? remora_begin_(c, FIXED, 0, 0) : NULL;

	if (!b)
		return 0;
	__builtin_memset(mounted, 0, sizeof(*mounted));
	mounted->parent = parent;
	mounted->on = on;
	mounted->root = (__u64)BPF_CORE_READ(root, dentry);
	mounted->volume.index = container;
	walk((__u64)vfs, on, (__u64)root, false);
	bpf_probe_read_kernel_str(mounted->volume.mountpoint, sizeof(mounted->volume.mountpoint),
				  remora_path_forward(b, path_of(b, false), FIXED));
	bpf_map_update_elem(&file_mounted, &key, mounted, BPF_ANY);
	remora_cancel(b);
	return 0;
}

/* Where it is mounted; NULL: nowhere, as the file system behind a memfd. */
static __always_inline struct volume *volume_of(struct remora_container *c, struct call *call, struct vfsmount *vfs)
{
	struct mount *mount = container_of(vfs, struct mount, mnt);
	struct mount *parent = BPF_CORE_READ(mount, mnt_parent);
	struct dentry *on = BPF_CORE_READ(mount, mnt_mountpoint);
	struct mounted_key key = { .index = c->index };
	struct fs_struct *fs = call->fs;
	struct mounted *known;

	if (parent == mount)
		return NULL;
	key.id = BPF_CORE_READ((struct mount___id *)mount, mnt_id);
	known = bpf_map_lookup_elem(&file_mounted, &key);
	if (known && known->parent == (__u64)parent && known->on == (__u64)on &&
	    known->root == (__u64)BPF_CORE_READ(fs, root.dentry))
		return &known->volume;
	find_volume(c->index, key.id, (__u64)parent, (__u64)on, (__u64)fs);
	known = bpf_map_lookup_elem(&file_mounted, &key);
	if (!known)
		remora_lost(c);
	return known ? &known->volume : NULL;
}

static __always_inline struct volume_metrics *new_volume(struct file_metrics *m, struct volume *volume)
{
	struct volume_metrics none = {};

	if (!bpf_map_update_elem(&file_volumes, volume, &none, BPF_NOEXIST))
		remora_add(&m->_volumes, 1);
	return bpf_map_lookup_elem(&file_volumes, volume);
}

/* Those that are too many for series of their own. */
__noinline int add_other(__u32 container, __u64 bytes)
{
	struct volume other = { .index = container, .mountpoint = "~other" };
	struct volume_metrics *v = bpf_map_lookup_elem(&file_volumes, &other);
	struct file_metrics *m = bpf_map_lookup_elem(&file_metrics, &container);

	if (!v && m)
		v = new_volume(m, &other);
	if (!v)
		return 0;
	remora_add(&v->mount_writes, 1);
	remora_add(&v->mount_written, bytes);
	return 1;
}

static __always_inline void add_volume(struct remora_container *c, struct file_metrics *m, struct volume *volume,
				       __u64 bytes)
{
	struct volume_metrics *v = bpf_map_lookup_elem(&file_volumes, volume);

	if (!v && m->_volumes < VOLUMES)
		v = new_volume(m, volume);
	if (v) {
		remora_add(&v->mount_writes, 1);
		remora_add(&v->mount_written, bytes);
	} else if (!add_other(c->index, bytes)) {
		remora_lost(c);
	}
}

static __always_inline bool is_regular(struct file *file)
{
	return (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFREG;
}

static __always_inline void has_read(struct file_metrics *m, struct file *file, __u64 bytes)
{
	if (!is_regular(file))
		return;
	remora_add(&m->reads, 1);
	remora_add(&m->read, bytes);
}

static __always_inline void has_written(struct remora_container *c, struct file_metrics *m, struct call *call,
					struct file *file, __u64 bytes)
{
	struct volume *volume;

	if (!is_regular(file))
		return;
	remora_add(&m->writes, 1);
	remora_add(&m->written, bytes);
	if (!is_mounted(call, file))
		return;
	volume = volume_of(c, call, BPF_CORE_READ(file, f_path.mnt));
	if (volume)
		add_volume(c, m, volume, bytes);
}

static __always_inline void moved(struct remora_container *c, struct file_metrics *m, struct call *call, __u32 kind,
				  __u64 bytes)
{
	__u64 in = call->arg[0], out = call->arg[0];

	if (kind == SENDFILE)
		in = call->arg[1];
	else if (kind == COPY)
		out = call->arg[2];
	if (kind != WRITE)
		has_read(m, file_at(call, in), bytes);
	if (kind != READ)
		has_written(c, m, call, file_at(call, out), bytes);
}

static __always_inline void fill_call(struct call *call)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	call->task = task;
	call->fs = BPF_CORE_READ(task, fs);
}

static __always_inline void fill_arguments(struct call *call, struct pt_regs *regs, bool compat)
{
	call->arg[0] = compat ? (__u32)regs->bx : regs->di;
	call->arg[1] = compat ? (__u32)regs->cx : regs->si;
	call->arg[2] = compat ? (__u32)regs->dx : regs->dx;
	call->arg[3] = compat ? (__u32)regs->si : regs->r10;
	call->arg[4] = compat ? (__u32)regs->di : regs->r8;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(returned, struct pt_regs *regs, long result)
{
	__u64 number = regs->orig_ax & ~(__u64)X32_BIT;
	struct remora_container *c;
	struct change *change;
	struct file_metrics *m;
	struct task_struct *task;
	struct call call;
	bool compat;
	__u32 code;

	if (number >= CALLS || !code_of[number])
		return 0;
	c = remora_container();
	m = c ? metrics_of(c) : NULL;
	if (!m)
		return 0;
	fill_call(&call);
	task = call.task;
	compat = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
	code = compat ? code_of[number] >> 8 : code_of[number] & 0xff;
	if (!code)
		return 0;
	fill_arguments(&call, regs, compat);
	if (KIND(code) >= READ) {
		if (result >= 0)
			moved(c, m, &call, KIND(code), result);
		return 0;
	}
	change = new_change();
	if (!change)
		return 0;
	change->result = result;
	decode(change, &call, code);
	changed(c, m, &call, change);
	return 0;
}

/* ---- io_uring ---- */
#define OPERATIONS 64
static const __u8 kind_of[OPERATIONS] = { /* IORING_OP_...: ABI */
	[1] = READ, [2] = WRITE, [4] = READ, [5] = WRITE, [18] = OPEN, [22] = READ, [23] = WRITE, [28] = OPEN,
	[30] = WRITE, [35] = RENAME, [36] = UNLINK, [37] = MKDIR, [38] = SYMLINK, [39] = LINK, [55] = TRUNCATE,
};

static __always_inline __u32 kind_asked(struct io_kiocb *request)
{
	__u8 operation = BPF_CORE_READ(request, opcode);

	return operation < OPERATIONS ? kind_of[operation] : NONE;
}

/* RENAME, LINK; SYMLINK has two forms. */
static __always_inline void decode_ring_two(struct change *change, struct io_rename *request)
{
	change->place.dirfd = BPF_CORE_READ(request, old_dfd);
	change->place.name = (__u64)BPF_CORE_READ(request, oldpath, name);
	change->other.dirfd = BPF_CORE_READ(request, new_dfd);
	change->other.name = (__u64)BPF_CORE_READ(request, newpath, name);
}

static __always_inline void decode_ring_symlink(struct change *change, void *request)
{
	struct io_symlink *old = request;
	struct io_link *link = request;

	if (bpf_core_type_exists(struct io_link)) {
		change->place.dirfd = BPF_CORE_READ(link, new_dfd);
		change->place.name = (__u64)BPF_CORE_READ(link, newpath, name);
		change->other.name = (__u64)BPF_CORE_READ(link, oldpath, name);
	} else {
		change->place.dirfd = BPF_CORE_READ(old, new_dfd);
		change->place.name = (__u64)BPF_CORE_READ(old, newpath, name);
		change->other.name = (__u64)BPF_CORE_READ(old, oldpath, name);
	}
}

static __always_inline void decode_ring(struct change *change, void *request)
{
	struct io_unlink *unlink = request;
	struct io_mkdir *mkdir = request;
	struct io_open *open = request;

	switch (change->kind) {
	case OPEN:
		change->place.dirfd = BPF_CORE_READ(open, dfd);
		change->place.name = (__u64)BPF_CORE_READ(open, filename, name);
		change->flags = BPF_CORE_READ(open, how.flags);
		change->mode = BPF_CORE_READ(open, how.mode);
		break;
	case UNLINK:
		change->place.dirfd = BPF_CORE_READ(unlink, dfd);
		change->place.name = (__u64)BPF_CORE_READ(unlink, filename, name);
		change->own = BPF_CORE_READ(unlink, flags) & AT_REMOVEDIR;
		break;
	case MKDIR:
		change->place.dirfd = BPF_CORE_READ(mkdir, dfd);
		change->place.name = (__u64)BPF_CORE_READ(mkdir, filename, name);
		change->mode = BPF_CORE_READ(mkdir, mode);
		break;
	case SYMLINK:
		decode_ring_symlink(change, request);
		break;
	case TRUNCATE: /* its file is known when it completes */
		change->place.descriptor = true;
		change->place.dirfd = -1;
		if (bpf_core_type_exists(struct io_ftrunc))
			change->first = BPF_CORE_READ((struct io_ftrunc *)request, len);
		break;
	case RENAME:
		change->flags = BPF_CORE_READ((struct io_rename *)request, flags);
	case LINK: /* io_link, io_hardlink until 5.19: as io_rename */
		decode_ring_two(change, request);
		break;
	}
}

/* A completion that does not say which request it is of is known by ring and user_data. */
#define COMPLETES_BY_REQUEST bpf_core_field_exists(struct trace_event_raw_io_uring_complete, req)

/* The file that a request turned out to be about. */
static __always_inline struct file *file_of(struct call *call, struct kept *kept, struct io_kiocb *request, long result)
{
	struct open_event *was = (void *)kept->data;

	if (was->_kind == TRUNCATE && request)
		return BPF_CORE_READ(request, file);
	if (was->_kind != OPEN || result < 0 || was->fd < 0 || was->process.pid != bpf_get_current_pid_tgid() >> 32)
		return NULL;
	return file_at(call, result);
}

static __always_inline void fill_opened(struct open_event *e, struct call *call, struct file *file, long result)
{
	e->fd = result >= 0 && e->fd >= 0 ? result : -1;
	e->created = file && is_created(file);
	e->mounted = file && is_mounted(call, file);
}

static __always_inline struct remora_scratch *compose_kept(struct remora_container *c, struct call *call,
							   struct kept *kept, struct file *file, long result)
{
	struct any_event *was = (void *)kept->data, *e;
	struct remora_scratch *b = remora_begin_(c, FIXED, was->head.type, 0);
	__u32 len = kept->used & 2047;

	if (!b)
		return NULL;
	e = remora_event(b, struct any_event);
	bpf_probe_read_kernel(&e->process, FIXED - sizeof(e->head), &was->process);
	e->error = error_of(result);
	if (e->_kind == OPEN)
		fill_opened((struct open_event *)e, call, file, result);
	if (file && has_place(file)) {
		e->path.len = e->path.truncated = 0;
		tail_path(&file->f_path, call, false);
	} else {
		bpf_probe_read_kernel(remora_tail_at(b, FIXED), len, kept->data + FIXED);
		b->used = len;
	}
	return b;
}

/* Sends what was kept; pending: without its result, which will not be told. */
static __always_inline void settle(struct remora_container *c, struct file_metrics *m, struct kept *kept,
				   struct io_kiocb *request, long result, bool pending)
{
	struct any_event *was = (void *)kept->data;
	struct file_params *p = remora_params_of(c);
	bool prefix = p && p->prefix[0], below = kept->busy == BELOW;
	struct remora_scratch *b;
	struct call call = {};
	struct file *file;

	fill_call(&call);
	file = pending ? NULL : file_of(&call, kept, request, result);
	count(m, was->_kind, result, was->_kind == OPEN && file && is_created(file));
	if (p && p->failures_only && result >= 0)
		return;
	b = compose_kept(c, &call, kept, file, result);
	if (!b)
		return;
	remora_event(b, struct any_event)->pending = pending;
	if (prefix && file)
		below = is_below(c->index, false);
	if (below && is_sampled(p, m, was->_kind))
		remora_end(c, b, FIXED);
	else
		remora_cancel(b);
}

static __always_inline bool is_own(struct remora_container *c, struct kept *kept)
{
	struct any_event *was = (void *)kept->data;

	return was->head.container == c->index && was->head.root == c->root;
}

/* Keeps a record until its request completes, or sends it if that will not be known. */
static __always_inline void keep(struct remora_container *c, struct file_metrics *m, struct io_kiocb *request,
				 struct kept_key *key, struct remora_scratch *b, bool below)
{
	bool told = !(BPF_CORE_READ(request, flags) & REQ_F_CQE_SKIP);
	struct any_event *e = remora_event(b, struct any_event);
	struct open_event *open = (struct open_event *)e;
	struct file_params *p = remora_params_of(c);
	__u32 kind = e->_kind;

	e->io_uring = true;
	if (kind == OPEN && bpf_core_field_exists(struct io_open, file_slot) &&
	    BPF_CORE_READ((struct io_open *)request, file_slot))
		open->fd = -1; /* goes to a table of io_uring's own */
	b->busy = below ? BELOW : 1;
	if (told && b->used <= KEPT_SIZE - FIXED && !bpf_map_update_elem(&file_kept, key, b, BPF_ANY)) {
		remora_cancel(b);
		return;
	}
	bpf_map_delete_elem(&file_kept, key);
	count(m, kind, 0, false);
	e->pending = true;
	if (kind == OPEN)
		open->fd = -1;
	if (below && !(p && p->failures_only) && is_sampled(p, m, kind))
		remora_end(c, b, FIXED);
	else
		remora_cancel(b);
}

/* The record is made here, since the names are gone when the request completes. */
static __always_inline void submitted(struct io_kiocb *request, __u64 ring, __u64 user_data)
{
	struct kept_key key = { .ring = ring, .user_data = user_data };
	struct remora_container *c = remora_container();
	struct file_metrics *m = c ? metrics_of(c) : NULL;
	struct change *change;
	struct remora_scratch *b;
	struct call call = {};
	struct file_params *p;
	struct kept *kept;
	__u32 kind;
	bool below;

	if (!m)
		return;
	kind = kind_asked(request);
	if (kind == NONE || kind >= READ)
		return;
	remora_add(&m->io_uring, 1);
	kept = bpf_map_lookup_elem(&file_kept, &key);
	if (kept && is_own(c, kept)) /* of one whose completion was not told, or under way with the same user_data */
		settle(c, m, kept, NULL, 0, true);
	change = new_change();
	if (!change)
		return;
	p = remora_params_of(c);
	fill_call(&call);
	change->kind = kind;
	decode_ring(change, request);
	b = compose(c, &call, change, p && p->prefix[0], &below, false);
	if (b)
		keep(c, m, request, &key, b, below);
}

static __always_inline void completed(struct remora_container *c, struct file_metrics *m, struct io_kiocb *request,
				      struct kept_key *key, long result)
{
	struct kept *kept = bpf_map_lookup_elem(&file_kept, key);

	if (!kept)
		return;
	if (is_own(c, kept))
		settle(c, m, kept, request, result, false);
	bpf_map_delete_elem(&file_kept, key);
}

static __always_inline void moved_by_ring(struct remora_container *c, struct file_metrics *m,
					  struct io_kiocb *request, __u32 kind, long result)
{
	struct file *file = BPF_CORE_READ(request, file);
	struct call call = {};

	if (result < 0 || !file)
		return;
	fill_call(&call);
	if (kind == READ)
		has_read(m, file, result);
	else
		has_written(c, m, &call, file, result);
}

/* Until 6.3: (request, ...) since 6.0, before that (ring, request, operation, user_data, ...). */
SEC("tp_btf/io_uring_submit_sqe") REMORA_OPTIONAL
int asked(__u64 *ctx)
{
	bool first = bpf_core_field_exists(struct io_kiocb, cmd), by_request = first || COMPLETES_BY_REQUEST;
	__u64 request;

	if (!first && !bpf_core_field_exists(struct trace_event_raw_io_uring_submit_sqe, req))
		return 0;
	request = first ? ctx[0] : ctx[1];
	submitted((void *)request, by_request ? request : ctx[0], by_request ? 0 : ctx[3]);
	return 0;
}

/* Since 6.4. */
SEC("tp_btf/io_uring_submit_req") REMORA_OPTIONAL
int BPF_PROG(asked_req, struct io_kiocb *request)
{
	submitted(request, (__u64)request, 0);
	return 0;
}

/* (ring, request, ...) since 5.17, before that (ring, user_data, result, ...). */
SEC("tp_btf/io_uring_complete") REMORA_OPTIONAL
int done(__u64 *ctx)
{
	struct remora_container *c = remora_container();
	struct file_metrics *m = c ? metrics_of(c) : NULL;
	struct kept_key key = { .ring = ctx[0] };
	struct io_kiocb *request;
	long result;
	__u32 kind;

	if (!m)
		return 0;
	if (!COMPLETES_BY_REQUEST) {
		key.user_data = ctx[1];
		completed(c, m, NULL, &key, (int)ctx[2]);
		return 0;
	}
	request = (void *)ctx[1];
	result = bpf_core_field_exists(struct io_kiocb, cqe) ? BPF_CORE_READ(request, cqe.res) : (int)ctx[3];
	kind = kind_asked(request);
	key.ring = (__u64)request;
	if (kind >= READ)
		moved_by_ring(c, m, request, kind, result);
	else if (kind != NONE)
		completed(c, m, request, &key, result);
	return 0;
}
