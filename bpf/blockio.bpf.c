// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Requests to block devices, when they are done. Whose is one?
 * - The task's that makes it: reads, direct and synchronous writes, flushes.
 * - Of what the kernel's threads make, the cgroup's that the data is charged to: writeback, if the io controller of
 *   cgroup2 is on for the container and the file system takes part in it.
 * What a file system's journal writes, and writeback in other cases, is nobody's. Of a request merged of several the
 * first counts.
 */
#include "remora.bpf.h"

#define REQ_OP_MASK 0xff
#define SERIES 4096
#define REQUESTS 16384	/* on their way at a time */

enum blockio_op {
	read,
	write,			/* of zeroes, too */
	flush,
	discard,		/* secure erase, too */
	other,			/* a driver's own, a zone's state: not told */
};

struct blockio_key {
	remora_index index;
	remora_dev dev REMORA_HELP("the whole device, as major:minor");
	enum blockio_op op REMORA_HELP("read, write, flush of the device's cache, or discard");
};
struct blockio_metrics {
	__u64 operations REMORA_COUNTER("requests done by block devices");
	__u64 errors REMORA_COUNTER("of these, requests that failed");
	remora_bytes bytes REMORA_COUNTER("bytes moved, zeroed or discarded");
	remora_histogram_ns latency REMORA_HISTOGRAM("time from the request's being queued until the device had done it");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SERIES);
	__type(key, struct blockio_key);
	__type(value, struct blockio_metrics);
} blockio_metrics SEC(".maps");

struct owner {
	__u64 root;		/* cgroup of the container */
	__u64 start;		/* the request's, so that it is this one: they are used again and again */
	__u64 time;		/* for devices whose requests have no start */
};
/* Made: a request is not yet known, only the bio that it begins with. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, REQUESTS);
	__type(key, __u64);
	__type(value, struct owner);
} blockio_made SEC(".maps");
/* Sent to the device. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, REQUESTS);
	__type(key, __u64);
	__type(value, struct owner);
} blockio_sent SEC(".maps");

REMORA_TRACER(blockio, "performance", "requests to block devices: how many, how large, how long they took");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct cgroup_subsys_state___cgroup {
	struct cgroup *cgroup;
};
struct blkcg {
	struct cgroup_subsys_state___cgroup css;
};
struct blkcg_gq {
	struct blkcg *blkcg;
};
struct bio {
	struct blkcg_gq *bi_blkg;
};
struct gendisk {
	int major;
	int first_minor;
};
struct request_queue {
	struct gendisk *disk;
};
struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len;
	struct bio *bio;
	u64 start_time_ns;
};
struct request___o {
	struct gendisk *rq_disk;
};
#pragma clang attribute pop

enum req_op {
	REQ_OP_READ = 0,
	REQ_OP_WRITE = 1,
	REQ_OP_FLUSH = 2,
	REQ_OP_DISCARD = 3,
	REQ_OP_SECURE_ERASE = 5,
	REQ_OP_ZONE_APPEND = 7,	/* WRITE_SAME up to 5.17 */
	REQ_OP_WRITE_ZEROES = 9,
};

/*
 * Fewer arguments since e8a676d61c07 ("block: simplify and extend the block_bio_merge tracepoint class", v5.11) and
 * a54895fa057c ("block: remove the request_queue to argument request based tracepoints", v5.11 and v5.10.137). The
 * typedefs are the kernel's own names, which exist only if the arguments are as many.
 */
typedef void (*btf_trace_block_getrq)(void *, struct bio *);
typedef void (*btf_trace_block_bio_frontmerge)(void *, struct bio *);
typedef void (*btf_trace_block_rq_issue)(void *, struct request *);

/* f3fa33acca9f ("block: remove the ->rq_disk field in struct request", v5.17) */
static __always_inline __u32 dev_of(const struct request *rq)
{
	const struct request___o *old = (const void *)rq;
	struct gendisk *disk;

	if (bpf_core_field_exists(old->rq_disk))
		disk = old->rq_disk;
	else
		disk = rq->q->disk;
	return disk->major << 20 | disk->first_minor;
}

static __always_inline enum blockio_op op_of(const struct request *rq)
{
	switch (rq->cmd_flags & REQ_OP_MASK) {
	case REQ_OP_READ:
		return read;
	case REQ_OP_WRITE: /* without data, a flush; what is sent for one or several of these has no owner */
		return rq->__data_len ? write : flush;
	case REQ_OP_ZONE_APPEND:
	case REQ_OP_WRITE_ZEROES:
		return write;
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		return discard;
	}
	return other;
}

/* ---- Made ---- */
static __always_inline void made(__u64 bio)
{
	struct remora_container *c = remora_container();
	struct owner owner = {};

	if (!c)
		return;
	owner.root = c->root;
	owner.time = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&blockio_made, &bio, &owner, BPF_ANY))
		remora_lost(c);
}

SEC("tp_btf/block_getrq")
int BPF_PROG(requested)
{
	__u64 bio;

	if (bpf_core_type_exists(btf_trace_block_getrq)) {
		bio = ctx[0];
		remora_barrier(bio);
	} else {
		bio = ctx[1];
		remora_barrier(bio);
	}
	made(bio);
	return 0;
}

/* The request begins with another one from now on. */
SEC("tp_btf/block_bio_frontmerge")
int BPF_PROG(merged)
{
	__u64 bio;

	if (bpf_core_type_exists(btf_trace_block_bio_frontmerge)) {
		bio = ctx[0];
		remora_barrier(bio);
	} else {
		bio = ctx[2];
		remora_barrier(bio);
	}
	made(bio);
	return 0;
}

/* ---- Sent ---- */
/* The container that a bio is charged to. In a hierarchy of version 1 the id would be another's. */
static __always_inline struct remora_container *charged_container(const struct bio *bio)
{
	struct remora_container *c;
	struct cgroup *cgrp;
	__u64 id;

	if (!bpf_core_field_exists(bio->bi_blkg))
		return NULL;
	cgrp = bio->bi_blkg->blkcg->css.cgroup;
	id = cgrp->kn->id;
	if (!id || cgrp->root->hierarchy_id)
		return NULL;
	c = remora_container_of(id);
	return c && !c->init ? c : NULL;
}

/* Whoever sends it may be anybody: a task sends what others have queued, too. */
static __always_inline void sent(const struct request *rq)
{
	__u64 key = (__u64)rq, bio = (__u64)rq->bio;
	struct owner owner = {}, *known;
	struct remora_container *c;

	owner.start = rq->start_time_ns;
	known = bpf_map_lookup_elem(&blockio_made, &bio);
	if (known) {
		owner.root = known->root;
		owner.time = known->time;
		bpf_map_delete_elem(&blockio_made, &bio);
	} else {
		c = charged_container(rq->bio);
		if (!c)
			return;
		known = bpf_map_lookup_elem(&blockio_sent, &key);
		if (known && known->start && known->start == owner.start) /* sent once more */
			return;
		owner.root = c->root;
		owner.time = bpf_ktime_get_ns();
	}
	if (bpf_map_update_elem(&blockio_sent, &key, &owner, BPF_ANY)) {
		c = remora_container_of(owner.root);
		if (c)
			remora_lost(c);
	}
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(issued)
{
	const struct request *rq;

	if (bpf_core_type_exists(btf_trace_block_rq_issue)) {
		rq = (const void *)ctx[0];
		remora_barrier(rq);
	} else {
		rq = (const void *)ctx[1];
		remora_barrier(rq);
	}
	sent(rq);
	return 0;
}

/* ---- Done ---- */
static __always_inline void count(struct remora_container *c, struct blockio_key *key, bool failed, __u32 bytes,
				  bool whole, __u64 start)
{
	struct blockio_metrics *m = bpf_map_lookup_elem(&blockio_metrics, key);
	static const struct blockio_metrics none;

	if (!m) {
		bpf_map_update_elem(&blockio_metrics, key, &none, BPF_NOEXIST);
		m = bpf_map_lookup_elem(&blockio_metrics, key);
		if (!m) {
			remora_lost(c);
			return;
		}
	}
	if (!failed)
		remora_add(&m->bytes, bytes);
	if (!whole)
		return;
	remora_add(&m->operations, 1);
	if (failed)
		remora_add(&m->errors, 1);
	if (start)
		remora_observe(&m->latency, bpf_ktime_get_ns() - start, 10);
}

static __always_inline struct remora_container *container_at(struct owner *owner)
{
	return owner ? remora_container_of(owner->root) : NULL;
}

/* A device may do a request in parts. */
SEC("tp_btf/block_rq_complete")
int BPF_PROG(completed, const struct request *rq, int error, unsigned int bytes)
{
	__u64 start = rq->start_time_ns, by = (__u64)rq;
	bool whole = bytes >= rq->__data_len;
	enum blockio_op op = op_of(rq);
	struct remora_container *c;
	struct blockio_key key = {};
	struct owner *owner;

	if (op == flush) { /* it is not sent itself */
		by = (__u64)rq->bio;
		owner = bpf_map_lookup_elem(&blockio_made, &by);
	} else {
		owner = bpf_map_lookup_elem(&blockio_sent, &by);
		if (!owner || owner->start != start)
			return 0;
	}
	c = container_at(owner);
	if (owner && !start)
		start = owner->time;
	if (op == flush)
		bpf_map_delete_elem(&blockio_made, &by);
	else if (whole)
		bpf_map_delete_elem(&blockio_sent, &by);
	if (!c && op == flush)
		c = charged_container(rq->bio);
	if (!c || op == other)
		return 0;
	key.index = c->index;
	key.dev = dev_of(rq);
	key.op = op;
	count(c, &key, error & 0xff, bytes, whole, start);
	return 0;
}
