/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* How a tracer reports: counting, reserving, tails, histograms, paths. Part of remora.bpf.h. */
#ifndef __REMORA_EMIT_H
#define __REMORA_EMIT_H

#define REMORA_RING_HEADER 8
#define remora_barrier(v) asm volatile("" : "+r"(v))
#define remora_add(p, n) ((void)__sync_fetch_and_add(p, n))

static __always_inline struct remora_stats *remora_stats_of(struct remora_container *c)
{
	__u32 i = c->index;

	return bpf_map_lookup_elem(&remora_stats, &i);
}

/* An event or metric update that could not be kept, for want of room in one of the tracer's own maps. */
static __always_inline void remora_lost(struct remora_container *c)
{
	struct remora_stats *s = remora_stats_of(c);

	if (s) {
		remora_add(&s->counted, 1);
		remora_add(&s->lost_other, 1);
	}
}

/*
 * A container may hold no more of the ring than is free (Choudhury and Hahne's dynamic threshold): one flood
 * takes half and leaves half to the others, two take a third each.
 */
static __always_inline bool remora_within_share(struct remora_container *c, __u32 size)
{
	__u64 used = bpf_ringbuf_query(&remora_ring, BPF_RB_AVAIL_DATA);
	__u64 all = bpf_ringbuf_query(&remora_ring, BPF_RB_RING_SIZE);

	return (__s64)(c->produced - c->released) + size <= (__s64)(all - used);
}

/* Past its budget of events a second a tracer reports no more of this container until the next second. */
static __always_inline bool remora_over_budget(struct remora_stats *s)
{
	__u64 second, window;

	if (!s->budget)
		return false;
	second = bpf_ktime_get_boot_ns() / 1000000000;
	window = s->window;
	if (window >> 32 != second) {
		s->window = second << 32 | 1;
		return false;
	}
	if ((window & 0xffffffff) >= s->budget) {
		remora_add(&s->lost_budget, 1);
		return true;
	}
	remora_add(&s->window, 1);
	return false;
}

static __always_inline void remora_fill_head(struct remora_head *h, struct remora_container *c, __u32 type,
					     __u32 fixed)
{
	h->time = bpf_ktime_get_boot_ns();
	h->root = c->root;
	h->container = c->index;
	h->type = type;
	h->tracer = remora_self.tracer;
	h->fixed = fixed;
}

static __always_inline __u32 remora_ring_size(__u32 size)
{
	return (size + REMORA_RING_HEADER + 7) & ~7U;
}

static __always_inline void *remora_reserve_(struct remora_container *c, const __u32 size, __u32 type)
{
	struct remora_stats *s = remora_stats_of(c);
	struct remora_head *h;

	if (!s)
		return NULL;
	remora_add(&s->counted, 1);
	if (remora_over_budget(s))
		return NULL;
	if (!remora_within_share(c, remora_ring_size(size))) {
		remora_add(&s->lost_share, 1);
		return NULL;
	}
	h = bpf_ringbuf_reserve(&remora_ring, size, 0);
	if (!h) {
		remora_add(&s->lost_full, 1);
		return NULL;
	}
	remora_add(&c->produced, remora_ring_size(size));
	__builtin_memset(h, 0, size);
	remora_fill_head(h, c, type, size);
	return h;
}

/* A zeroed record of struct type T in the ring, or NULL, the loss being counted; then remora_submit(). */
#define remora_reserve(c, T)                                                                           \
	({                                                                                             \
		_Static_assert(sizeof(T) <= REMORA_HEAD_MAX, "an event's fixed part is at most 1 KiB");    \
		(T *)remora_reserve_(c, sizeof(T), bpf_core_type_id_local(T));                         \
	})
#define remora_submit(e) bpf_ringbuf_submit(e, 0)

/*
 * A record with tails is put together in a buffer of this CPU, then copied: remora_begin(), the tails in the
 * order of the members, remora_end(). Only in programs that run in process context and cannot be preempted
 * by another that does the same (tracepoints, tp_btf); remora_begin_net() in those that run with bottom halves
 * off (cgroup_skb).
 */
#define REMORA_PATH_DEPTH 40
#define REMORA_NAME_MAX 256

/* Where the components of the path walked last begin: in the last bytes of the buffer, which no tail reaches. */
struct remora_walk {
	__u16 count;
	__u16 at[64];		/* a power of two, at least REMORA_PATH_DEPTH */
};
#define REMORA_FIXED_MAX (REMORA_HEAD_MAX - sizeof(struct remora_walk))

static __always_inline struct remora_walk *remora_walk_of(struct remora_scratch *b)
{
	return (void *)b->data + sizeof(b->data) - sizeof(struct remora_walk);
}

static __always_inline struct remora_scratch *remora_begin_(struct remora_container *c, const __u32 size, __u32 type,
							    __u32 which)
{
	struct remora_scratch *b = bpf_map_lookup_elem(&remora_scratch, &which);

	if (!b)
		return NULL;
	if (b->busy) {
		remora_lost(c);
		return NULL;
	}
	b->busy = 1;
	b->used = 0;
	remora_walk_of(b)->count = 0;
	__builtin_memset(b->data, 0, size);
	remora_fill_head((struct remora_head *)b->data, c, type, size);
	return b;
}
#define remora_begin(c, T)                                                                             \
	({                                                                                             \
		_Static_assert(sizeof(T) <= REMORA_FIXED_MAX, "an event's fixed part is at most 894 bytes"); \
		remora_begin_(c, sizeof(T), bpf_core_type_id_local(T), 0);                             \
	})
#define remora_begin_net(c, T)                                                                         \
	({                                                                                             \
		_Static_assert(sizeof(T) <= REMORA_FIXED_MAX, "an event's fixed part is at most 894 bytes"); \
		remora_begin_(c, sizeof(T), bpf_core_type_id_local(T), 1);                             \
	})
#define remora_event(b, T) ((T *)(b)->data)
#define remora_cancel(b) ((void)((b)->busy = 0)) /* instead of remora_end(): there is no event after all */

/* Where the next tail goes; fixed is sizeof the event. */
static __always_inline void *remora_tail_at(struct remora_scratch *b, const __u32 fixed)
{
	__u32 used = b->used;

	remora_barrier(used);
	return b->data + fixed + (used & (REMORA_TAIL_MAX - 1));
}

static __always_inline void remora_tail_add(struct remora_scratch *b, struct remora_tail *t, __u32 len)
{
	__u32 used = b->used;

	if (used + len > REMORA_TAIL_MAX - 1) { /* the rest of the buffer is full: keep what fits */
		len = REMORA_TAIL_MAX - 1 - used;
		t->truncated = 1;
	}
	t->len += len;
	b->used = used + len;
}

/* A NUL-terminated string, of at most max bytes (a constant, at most REMORA_PIECE_MAX). */
static __always_inline void remora_tail_str(struct remora_scratch *b, struct remora_tail *t, const __u32 fixed,
					    const void *from, const __u32 max, const bool user)
{
	void *to = remora_tail_at(b, fixed);
	long n = user ? bpf_probe_read_user_str(to, max, from) : bpf_probe_read_kernel_str(to, max, from);

	if (n < 0)
		return;
	if (n >= max)
		t->truncated = 1;
	if (user && !n) { /* empty: kernels up to 6.12 do not count its NUL */
		*(char *)to = 0;
		n = 1;
	}
	remora_tail_add(b, t, n);
}

/* len bytes of user memory as they are. */
static __always_inline void remora_tail_user(struct remora_scratch *b, struct remora_tail *t, const __u32 fixed,
					     const void *from, __u32 len, __u32 max)
{
	void *to = remora_tail_at(b, fixed);

	if (len > max) {
		len = max;
		t->truncated = 1;
	}
	if (len > REMORA_PIECE_MAX - 1) {
		len = REMORA_PIECE_MAX - 1;
		t->truncated = 1;
	}
	remora_barrier(len);
	len &= REMORA_PIECE_MAX - 1;
	if (len && !bpf_probe_read_user(to, len, from))
		remora_tail_add(b, t, len);
}

/* The components of a path up to a root, over mount points, last one first. */
static __always_inline void remora_tail_walk(struct remora_scratch *b, struct remora_tail *t, const __u32 fixed,
					     struct vfsmount *vfs, struct dentry *d, struct vfsmount *root_vfs,
					     struct dentry *root_d)
{
	struct mount *m = container_of(vfs, struct mount, mnt);
	struct remora_walk *walk = remora_walk_of(b);
	int i;

	walk->count = 0;
	for (i = 0; i < REMORA_PATH_DEPTH; i++) {
		struct dentry *top = BPF_CORE_READ(vfs, mnt_root), *parent;

		if (d == root_d && vfs == root_vfs)
			break;
		if (d == top) { /* step over the mount point */
			struct mount *up = BPF_CORE_READ(m, mnt_parent);

			if (up == m)
				break;
			d = BPF_CORE_READ(m, mnt_mountpoint);
			m = up;
			vfs = (void *)m + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		parent = BPF_CORE_READ(d, d_parent);
		if (parent == d)
			break;
		walk->at[walk->count++ & 63] = b->used;
		remora_tail_str(b, t, fixed, BPF_CORE_READ(d, d_name.name), REMORA_NAME_MAX, false);
		d = parent;
	}
	if (i == REMORA_PATH_DEPTH)
		t->truncated = 1;
	else if (!t->len) /* the root itself: one empty component */
		remora_tail_str(b, t, fixed, "", 2, false);
}

/* Likewise, up to the task's root. */
static __always_inline void remora_tail_path(struct remora_scratch *b, struct remora_tail *t, const __u32 fixed,
					     const struct path *path, const struct path *root)
{
	remora_tail_walk(b, t, fixed, BPF_CORE_READ(path, mnt), BPF_CORE_READ(path, dentry), BPF_CORE_READ(root, mnt),
			 BPF_CORE_READ(root, dentry));
}

#define REMORA_PREFIX_MAX 128

/*
 * The path that the last tail has, from its beginning on: its first REMORA_PREFIX_MAX bytes or more, ended by NUL.
 * A name as given may come behind what was walked, or stand alone. It is there until the next tail.
 */
static __always_inline const char *remora_path_forward(struct remora_scratch *b, const struct remora_tail *t,
						       const __u32 fixed)
{
	__u32 start = (b->used - t->len) & (REMORA_TAIL_MAX - 1), used = 0, i;
	struct remora_walk *walk = remora_walk_of(b);
	char *to = remora_tail_at(b, fixed);
	bool given = t->len;
	long n;

	to[0] = 0;
	for (i = 0; i < REMORA_PATH_DEPTH; i++) {
		__u32 count = walk->count, at = walk->at[(count - 1 - i) & 63];

		if (i >= count || at < start || used >= REMORA_PREFIX_MAX) /* no more, or another tail's */
			break;
		given = at > start;
		to[used] = '/';
		n = bpf_probe_read_kernel_str(to + used + 1, REMORA_NAME_MAX,
					      b->data + fixed + (at & (REMORA_TAIL_MAX - 1)));
		if (n < 0)
			break;
		used = (used + n) & (4 * REMORA_PREFIX_MAX - 1);
	}
	if (!given || used >= REMORA_PREFIX_MAX)
		return to;
	if (b->data[fixed + start] != '/')
		to[used++] = '/';
	bpf_probe_read_kernel_str(to + used, REMORA_NAME_MAX, b->data + fixed + start);
	return to;
}

/* 1 for 0, else 0, without a branch: each in a loop multiplies what the verifier has to look at. */
static __always_inline __u64 remora_is_zero(__u64 v)
{
	__u64 minus = -v;

	remora_barrier(minus);
	return ~(v | minus) >> 63;
}

/* Whether a component that is empty, `.` or `..` follows; of four characters the first is the lowest byte. */
static __always_inline bool remora_is_odd(__u32 w)
{
	return remora_is_zero((w ^ 0x2f2f) & 0xffff) | remora_is_zero((w ^ 0x2f2e2f) & 0xffffff) |
	       remora_is_zero((w ^ 0x002e2f) & 0xffffff) | remora_is_zero(w ^ 0x2f2e2e2f) |
	       remora_is_zero(w ^ 0x002e2e2f);
}

/* Whether a name has such a component, or is too long to tell. */
static __always_inline bool remora_name_is_odd(const char *name)
{
	__u32 i;

	if (remora_is_odd(*(__u32 *)name << 8 | '/') && *name != '/')
		return true;
	for (i = 0; i < REMORA_PREFIX_MAX; i++) {
		if (remora_is_odd(*(__u32 *)(name + i)))
			return true;
		if (!name[i])
			return false;
	}
	return true;
}

/*
 * Whether the path that the last tail has is this prefix or below it, component by component. What cannot be
 * compared counts as below: a path cut short, and a name as given with a component that is empty, `.` or `..`.
 */
static __always_inline bool remora_path_is_below(struct remora_scratch *b, const struct remora_tail *t,
						 const __u32 fixed, const char *prefix)
{
	__u32 start = (b->used - t->len) & (REMORA_TAIL_MAX - 1), i;
	struct remora_walk *walk = remora_walk_of(b);
	const char *path;

	if (t->truncated || !t->len)
		return true;
	if ((!walk->count || walk->at[0] != start) && remora_name_is_odd((const char *)b->data + fixed + start))
		return true;
	path = remora_path_forward(b, t, fixed) + 1 - remora_is_zero(prefix[0] ^ '/');
	for (i = 0; i < REMORA_PREFIX_MAX - 1; i++)
		if (!prefix[i] || prefix[i] != path[i])
			break;
	if (i < REMORA_PREFIX_MAX - 1 && prefix[i] == '/' && !prefix[i + 1])
		return !path[i];
	return !prefix[i] && (!path[i] || path[i] == '/' || (i && path[i - 1] == '/'));
}

/* Counts and sends the record. */
static __always_inline void remora_end(struct remora_container *c, struct remora_scratch *b, const __u32 fixed)
{
	struct remora_stats *s = remora_stats_of(c);
	__u32 size = fixed + (b->used & (REMORA_TAIL_MAX - 1));

	b->busy = 0;
	if (!s)
		return;
	remora_add(&s->counted, 1);
	if (remora_over_budget(s))
		return;
	if (!remora_within_share(c, remora_ring_size(size)))
		remora_add(&s->lost_share, 1);
	else if (bpf_ringbuf_output(&remora_ring, b->data, size, 0))
		remora_add(&s->lost_full, 1);
	else
		remora_add(&c->produced, remora_ring_size(size));
}

static __always_inline void remora_fill_process_of(struct remora_process *p, struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);

	p->pid = BPF_CORE_READ(task, tgid);
	p->tid = BPF_CORE_READ(task, pid);
	p->parent_pid = BPF_CORE_READ(task, real_parent, tgid);
	p->user_id = BPF_CORE_READ(task, cred, euid.val);
	p->group_id = BPF_CORE_READ(task, cred, egid.val);
	bpf_core_read(&p->vpid, sizeof(p->vpid), (void *)pid + bpf_core_field_offset(struct pid, numbers) +
		      level * bpf_core_type_size(struct upid));
	bpf_core_read(&p->comm, sizeof(p->comm), &task->comm);
}

static __always_inline void remora_fill_process(struct remora_process *p)
{
	remora_fill_process_of(p, (struct task_struct *)bpf_get_current_task());
}

static __always_inline __u32 remora_log2(__u64 v)
{
	__u32 r, shift;

	r = (v > 0xffffffff) << 5; v >>= r;
	shift = (v > 0xffff) << 4; v >>= shift; r |= shift;
	shift = (v > 0xff) << 3; v >>= shift; r |= shift;
	shift = (v > 0xf) << 2; v >>= shift; r |= shift;
	shift = (v > 0x3) << 1; v >>= shift; r |= shift;
	return r | (v >> 1);
}

/* first: 10 for remora_histogram_ns, 0 for the others. */
static __always_inline void remora_observe(struct remora_histogram *h, __u64 value, const __u32 first)
{
	__u32 i = value >> first ? remora_log2(value >> first) + 1 : 0;

	if (i > REMORA_BUCKETS - 1)
		i = REMORA_BUCKETS - 1;
	remora_add(&h->bucket[i & (REMORA_BUCKETS - 1)], 1);
	remora_add(&h->sum, value);
}

#endif
