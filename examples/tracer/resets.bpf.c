// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* TCP connections that the peer reset: a tracer from outside of remora's tree. */
#include "remora.bpf.h"
#include <bpf/bpf_endian.h>

#define AF_INET 2

/* 1. Knobs: what each container may set for itself. */
struct resets_params {
	__u32 port REMORA_OWN_PARAM("0", "0", "65535", "peer's port of which resets are reported; 0: all");
	__u32 _pad;
};
REMORA_PARAMS(struct resets_params);

/* 2. Events: a struct whose first member is the head. Typedefs give meaning, attributes OpenTelemetry's names. */
struct reset_event {
	struct remora_head head;
	remora_ipv6 peer_address REMORA_HELP("peer that reset the connection")
		REMORA_ATTRIBUTE("network.peer.address") REMORA_FEATURE;
	remora_be16 peer_port REMORA_HELP("peer's port") REMORA_ATTRIBUTE("network.peer.port") REMORA_FEATURE;
	__u16 local_port REMORA_HELP("own port") REMORA_ATTRIBUTE("network.local.port");
	__u32 _pad;
} REMORA_EVENT("reset", "a peer reset a TCP connection");

/* 3. Metrics: a map by container; the daemon adds the container's labels. */
struct resets_metrics {
	__u64 received REMORA_COUNTER("connections that a peer reset");
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct resets_metrics);
} resets_metrics SEC(".maps");

/* 4. What it is: its name, the groups it belongs to, what it tells. */
REMORA_TRACER(resets, "", "TCP connections that the peer reset");

static __always_inline void fill_peer(remora_ipv6 *to, const struct sock *sk)
{
	__be32 ipv4 = sk->__sk_common.skc_daddr;

	if (sk->__sk_common.skc_family != AF_INET) {
		BPF_CORE_READ_INTO(to, sk, __sk_common.skc_v6_daddr);
		return;
	}
	to->byte[10] = 0xff;
	to->byte[11] = 0xff;
	__builtin_memcpy(&to->byte[12], &ipv4, sizeof(ipv4));
}

/* 5. A program: first of all whose doing it is. A reset comes while anybody runs, so the socket is asked. */
SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(received, struct sock *sk)
{
	struct remora_container *c = remora_container_of_sock(sk);
	struct resets_metrics *m;
	struct resets_params *p;
	struct reset_event *e;

	if (!c)
		return 0;
	m = bpf_map_lookup_elem(&resets_metrics, &c->index);
	if (m)
		remora_add(&m->received, 1);
	p = remora_params_of(c);
	if (p && p->port && sk->__sk_common.skc_dport != bpf_htons(p->port))
		return 0;
	e = remora_reserve(c, struct reset_event);
	if (!e)
		return 0;
	fill_peer(&e->peer_address, sk);
	e->peer_port = sk->__sk_common.skc_dport;
	e->local_port = sk->__sk_common.skc_num;
	remora_submit(e);
	return 0;
}
