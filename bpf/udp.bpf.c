// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* UDP datagrams sent and received, by container and by flow: packets are looked at in the container's own cgroup,
 * before they are cut in fragments and after they were put together again. */
#include "remora.bpf.h"
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define IPPROTO_UDP 17
#define SOCK_DGRAM 2
#define HEADER 8		/* bytes of an UDP header */
#define EXTENSIONS 4		/* IPv6 extension headers walked over */
#define SETS 256
#define WAYS 4
#define OTHERS (SETS * WAYS)	/* place of the row that adds up the flows that gave way */
#define ROWS 16384

enum udp_direction {
	outgoing,
	incoming,
};

enum ipv6_extension {		/* ABI */
	hop_by_hop = 0,
	routing = 43,
	fragment = 44,
	authentication = 51,
	destination = 60,
};

struct ends {
	remora_ipv6 local_address REMORA_HELP("own address") REMORA_ATTRIBUTE("network.local.address");
	remora_ipv6 peer_address REMORA_HELP("peer's address") REMORA_ATTRIBUTE("network.peer.address")
		REMORA_FEATURE;
	remora_be16 local_port REMORA_HELP("own port") REMORA_ATTRIBUTE("network.local.port");
	remora_be16 peer_port REMORA_HELP("peer's port") REMORA_ATTRIBUTE("network.peer.port") REMORA_FEATURE;
	__u8 _pad[4];
} __attribute__((aligned(8)));

struct flow_event {
	struct remora_head head;
	struct remora_process process; /* the sender; unknown if incoming */
	struct ends ends;
	enum udp_direction direction REMORA_HELP("who sent it: the container if outgoing") REMORA_FEATURE;
	__u8 _pad[4];
} REMORA_EVENT("flow", "the first datagram of a flow, or of one forgotten since; the process is known if outgoing")
	REMORA_REPORT("talked");

struct udp_metrics {
	__u64 sent_datagrams REMORA_COUNTER("datagrams sent");
	__u64 received_datagrams REMORA_COUNTER("datagrams received, those dropped for want of room included");
	remora_bytes sent REMORA_COUNTER("bytes of payload sent");
	remora_bytes received REMORA_COUNTER("bytes of payload received");
	__u64 flows REMORA_COUNTER("flows begun");
	__u64 dropped REMORA_COUNTER("datagrams dropped since the socket had no room for them");
	__u64 errors REMORA_COUNTER("errors told to sockets, as that nobody listens at the peer's port; from 5.14 on");
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct udp_metrics);
} udp_metrics SEC(".maps");

/*
 * A flow has four places that it may take, by its hash. Of four others that have them, the one silent for longest
 * gives way, and what it had is added to the row of the others: no container takes another's room, nothing needs
 * to know when a flow is over, and the rows add up to the metrics.
 */
struct row_key {
	remora_index container;
	__u32 _place;
};
struct udp_row {
	struct ends ends;
	enum udp_direction direction REMORA_HELP("who sent the first datagram: the container if outgoing");
	__u32 others REMORA_HELP("in the one row without addresses: how many forgotten flows it adds up")
		REMORA_OPTIONAL;
	__u64 sent_datagrams REMORA_COUNTER("datagrams sent");
	__u64 received_datagrams REMORA_COUNTER("datagrams received");
	remora_bytes sent REMORA_COUNTER("bytes of payload sent");
	remora_bytes received REMORA_COUNTER("bytes of payload received");
	remora_ktime first REMORA_HELP("time of the first datagram");
	remora_ktime last REMORA_HELP("time of the last datagram");
} REMORA_TABLE("udp_flows", "UDP flows, those silent for longest forgotten first")
	REMORA_REPORT("talked");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ROWS);
	__type(key, struct row_key);
	__type(value, struct udp_row);
} udp_flows SEC(".maps");

REMORA_TRACER(udp, "security", "UDP datagrams by container and flow, drops and errors");

struct datagram {
	struct ends ends;
	__u32 at;		/* of its header */
	__u32 bytes;		/* of payload */
	__u64 count;		/* more than one in a packet that is yet to be cut, or was joined */
};

static __always_inline struct udp_metrics *metrics_of(struct remora_container *c)
{
	__u32 i = c->index;

	return bpf_map_lookup_elem(&udp_metrics, &i);
}

/* ---- Packets ---- */
static __always_inline void fill_mapped(remora_ipv6 *to, __be32 ipv4)
{
	__u32 *word = (__u32 *)to;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = ipv4;
}

static __always_inline bool read_ipv4(struct __sk_buff *skb, struct datagram *d, bool egress)
{
	struct {
		__u8 version_length;
		__u8 _a[5];
		__be16 fragment;
		__u8 _b;
		__u8 protocol;
		__be16 _c;
		__be32 from, to;
	} ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP)
		return false;
	d->at = (ip.version_length & 15) * 4;
	fill_mapped(&d->ends.local_address, egress ? ip.from : ip.to);
	fill_mapped(&d->ends.peer_address, egress ? ip.to : ip.from);
	return !(ip.fragment & bpf_htons(0x1fff)); /* raw sockets send those */
}

/* Walks over the extension headers; the offset of UDP's, or 0. */
static __always_inline __u32 over_extensions(struct __sk_buff *skb, __u8 next)
{
	__u32 at = 40, i;
	__u8 head[4];

	for (i = 0; i <= EXTENSIONS; i++) {
		if (next == IPPROTO_UDP)
			return at;
		if (next != hop_by_hop && next != routing && next != fragment && next != authentication &&
		    next != destination)
			return 0;
		if (bpf_skb_load_bytes(skb, at, head, sizeof(head)))
			return 0;
		if (next == fragment && (head[2] || head[3] & 0xf8))
			return 0;
		at += next == fragment ? 8 : next == authentication ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
		next = head[0];
	}
	return 0;
}

static __always_inline bool read_ipv6(struct __sk_buff *skb, struct datagram *d, bool egress)
{
	struct {
		__be32 _a;
		__be16 _b;
		__u8 next;
		__u8 _c;
		__u64 from[2], to[2];
	} ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return false;
	d->at = over_extensions(skb, ip.next);
	__builtin_memcpy(&d->ends.local_address, egress ? ip.from : ip.to, 16);
	__builtin_memcpy(&d->ends.peer_address, egress ? ip.to : ip.from, 16);
	return d->at;
}

static __always_inline bool read_datagram(struct __sk_buff *skb, struct datagram *d, bool egress)
{
	__be16 ports[2];

	if (!(skb->protocol == bpf_htons(ETH_P_IP) ? read_ipv4(skb, d, egress) : read_ipv6(skb, d, egress)))
		return false;
	if (bpf_skb_load_bytes(skb, d->at, ports, sizeof(ports)) || skb->len < d->at + HEADER)
		return false;
	d->ends.local_port = ports[!egress];
	d->ends.peer_port = ports[egress];
	d->bytes = skb->len - d->at - HEADER;
	d->count = skb->gso_segs > 1 ? skb->gso_segs : 1;
	return true;
}

/* What most packets of most containers are is told here. */
static __always_inline bool may_be_udp(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + 20 > end)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return data[9] == IPPROTO_UDP;
	return data[6] != 6 && data[6] != 58; /* TCP, ICMPv6 */
}

/* A raw socket gets a copy of what others receive. */
static __always_inline bool is_copy(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	return !sk || sk->type != SOCK_DGRAM;
}

/* ---- Flows ---- */
static __always_inline void add(struct udp_row *row, struct datagram *d, bool egress)
{
	remora_add(egress ? &row->sent_datagrams : &row->received_datagrams, d->count);
	remora_add(egress ? &row->sent : &row->received, d->bytes);
	row->last = bpf_ktime_get_boot_ns();
}

static __always_inline __u64 hash(const struct ends *f)
{
	const __u64 *word = (const __u64 *)f, prime = 0x9e3779b97f4a7c15ULL;
	__u64 h = *(const __u32 *)&f->local_port;

	h = (h ^ word[0] ^ word[1]) * prime;
	h = (h ^ h >> 32 ^ word[2]) * prime;
	return (h ^ h >> 32 ^ word[3]) * prime;
}

static __always_inline bool is_same(const struct ends *a, const struct ends *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] && a->local_port == b->local_port &&
	       a->peer_port == b->peer_port;
}

static __always_inline struct udp_row *others_of(struct remora_container *c)
{
	struct row_key key = { .container = c->index, ._place = OTHERS };
	struct udp_row none = {}, *row = bpf_map_lookup_elem(&udp_flows, &key);

	if (row)
		return row;
	none.first = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&udp_flows, &key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&udp_flows, &key);
}

/* Whoever deletes the row adds what it had. */
static __always_inline void forget(struct remora_container *c, struct row_key *key)
{
	struct udp_row *row = bpf_map_lookup_elem(&udp_flows, key), had;

	if (!row)
		return;
	had = *row;
	if (bpf_map_delete_elem(&udp_flows, key))
		return;
	row = others_of(c);
	if (!row) {
		remora_lost(c);
		return;
	}
	remora_add(&row->sent_datagrams, had.sent_datagrams);
	remora_add(&row->received_datagrams, had.received_datagrams);
	remora_add(&row->sent, had.sent);
	remora_add(&row->received, had.received);
	remora_add(&row->others, 1);
	row->last = had.last;
}

/* Sending is the process's own doing, but for what the kernel sends through a socket of its own. */
static __always_inline void report(struct remora_container *c, const struct ends *ends, bool egress)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct flow_event *e = remora_reserve(c, struct flow_event);

	if (!e)
		return;
	if (egress && remora_find(BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id)) == c)
		remora_fill_process_of(&e->process, task);
	e->ends = *ends;
	e->direction = egress ? outgoing : incoming;
	remora_submit(e);
}

/* The first datagram, unless another processor has just made this row. */
static __always_inline struct udp_row *begin(struct remora_container *c, struct row_key *key, struct datagram *d,
					     bool egress)
{
	struct udp_metrics *m = metrics_of(c);
	struct udp_row fresh = {}, *row;

	fresh.ends = d->ends;
	fresh.direction = egress ? outgoing : incoming;
	fresh.first = bpf_ktime_get_boot_ns();
	if (!bpf_map_update_elem(&udp_flows, key, &fresh, BPF_NOEXIST)) {
		if (m)
			remora_add(&m->flows, 1);
		report(c, &d->ends, egress);
	}
	row = bpf_map_lookup_elem(&udp_flows, key);
	if (row && is_same(&row->ends, &d->ends))
		return row;
	remora_lost(c);
	return others_of(c);
}

static __always_inline struct udp_row *row_of(struct remora_container *c, struct datagram *d, bool egress)
{
	struct row_key key = { .container = c->index };
	__u32 set = (hash(&d->ends) >> 56) * WAYS, place = OTHERS, i;
	__u64 oldest = ~0ULL;
	struct udp_row *row;

	for (i = 0; i < WAYS; i++) {
		key._place = set + i;
		row = bpf_map_lookup_elem(&udp_flows, &key);
		if (row && is_same(&row->ends, &d->ends))
			return row;
		if (oldest && (!row || row->last < oldest)) {
			oldest = row ? row->last : 0;
			place = key._place;
		}
	}
	key._place = place;
	if (oldest)
		forget(c, &key);
	return begin(c, &key, d, egress);
}

static __always_inline int passed(struct __sk_buff *skb, const bool egress)
{
	struct remora_container *c;
	struct datagram d = {};
	struct udp_metrics *m;
	struct udp_row *row;

	if (!may_be_udp(skb))
		return 1;
	c = remora_container_of_skb(skb);
	if (!c || !read_datagram(skb, &d, egress) || (!egress && is_copy(skb)))
		return 1;
	m = metrics_of(c);
	if (m) {
		remora_add(egress ? &m->sent_datagrams : &m->received_datagrams, d.count);
		remora_add(egress ? &m->sent : &m->received, d.bytes);
	}
	row = row_of(c, &d, egress);
	if (row)
		add(row, &d, egress);
	return 1;
}

SEC("cgroup_skb/egress")
int sent(struct __sk_buff *skb)
{
	return passed(skb, true);
}

SEC("cgroup_skb/ingress")
int received(struct __sk_buff *skb)
{
	return passed(skb, false);
}

/* ---- What did not arrive ---- */
/*
 * IPv6 has it since 8139dccd464a ("udp6: add a missing call into udp_fail_queue_rcv_skb tracepoint", v6.5); a third
 * argument came with e9669a00bba7 ("net: udp: add IP/port data to the tracepoint ...", v6.10).
 */
SEC("tp_btf/udp_fail_queue_rcv_skb")
int BPF_PROG(dropped, int error, const struct sock *sk)
{
	struct remora_container *c = remora_container_of_sock(sk);
	struct udp_metrics *m = c ? metrics_of(c) : NULL;

	if (m)
		remora_add(&m->dropped, 1);
	return 0;
}

/* Came with e6a3e4434000 ("net: sock: add trace for socket errors", v5.14). */
SEC("tp_btf/inet_sk_error_report") REMORA_OPTIONAL
int BPF_PROG(failed, const struct sock *sk)
{
	struct remora_container *c;
	struct udp_metrics *m;

	if (sk->sk_protocol != IPPROTO_UDP || !sk->sk_err)
		return 0;
	c = remora_container_of_sock(sk);
	m = c ? metrics_of(c) : NULL;
	if (m)
		remora_add(&m->errors, 1);
	return 0;
}
