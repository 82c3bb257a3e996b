// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* TCP connections made, accepted, refused and closed. State changes happen in softirq as often as not, where
 * current is anybody: the container is the socket's, the process is remembered from where it is known. */
#include "remora.bpf.h"
#include "sock.bpf.h"

#define EADDRNOTAVAIL 99
#define ECANCELED 125
#define FLOWS 16384

enum tcp_direction {
	unknown,		/* made before it was observed */
	outgoing,
	incoming,
};

struct connect_event {
	struct remora_head head;
	struct remora_process process;
	remora_ipv6 local_address REMORA_HELP("own address") REMORA_ATTRIBUTE("network.local.address");
	remora_ipv6 peer_address REMORA_HELP("peer's address") REMORA_ATTRIBUTE("network.peer.address")
		REMORA_FEATURE;
	remora_be16 local_port REMORA_HELP("own port") REMORA_ATTRIBUTE("network.local.port");
	remora_be16 peer_port REMORA_HELP("peer's port") REMORA_ATTRIBUTE("network.peer.port") REMORA_FEATURE;
	remora_errno error REMORA_HELP("why it failed; ECANCELED: closed before an answer came");
	remora_ns latency REMORA_HELP("time from the first SYN to the answer, in seconds") REMORA_OPTIONAL;
} REMORA_EVENT("connect", "a TCP connection was made, or could not be made")
	REMORA_REPORT("connected");

struct accept_event {
	struct remora_head head;
	struct remora_process process; /* the one that listens */
	remora_ipv6 local_address REMORA_HELP("own address") REMORA_ATTRIBUTE("network.local.address");
	remora_ipv6 peer_address REMORA_HELP("peer's address") REMORA_ATTRIBUTE("network.peer.address");
	remora_be16 local_port REMORA_HELP("own port") REMORA_ATTRIBUTE("network.local.port") REMORA_FEATURE;
	remora_be16 peer_port REMORA_HELP("peer's port") REMORA_ATTRIBUTE("network.peer.port");
	__u8 _pad[4];
} REMORA_EVENT("accept", "a peer's TCP connection was established; the process is the one that listens")
	REMORA_REPORT("accepted");

struct close_event {
	struct remora_head head;
	struct remora_process process; /* connected; accepted: closed it, else listens */
	remora_ipv6 local_address REMORA_HELP("own address") REMORA_ATTRIBUTE("network.local.address");
	remora_ipv6 peer_address REMORA_HELP("peer's address") REMORA_ATTRIBUTE("network.peer.address");
	remora_be16 local_port REMORA_HELP("own port") REMORA_ATTRIBUTE("network.local.port");
	remora_be16 peer_port REMORA_HELP("peer's port") REMORA_ATTRIBUTE("network.peer.port");
	enum tcp_direction direction REMORA_HELP("who made the connection");
	remora_ns duration REMORA_HELP("time since it was established, in seconds") REMORA_OPTIONAL;
	remora_bytes sent REMORA_HELP("bytes of payload sent, each counted once");
	remora_bytes received REMORA_HELP("bytes of payload received in order");
	remora_us round_trip REMORA_HELP("smoothed round-trip time, in seconds") REMORA_OPTIONAL;
	__u32 retransmits REMORA_HELP("segments sent again");
	remora_errno error REMORA_HELP("what broke it, as a reset or a time-out");
} REMORA_EVENT("close", "a TCP connection ended");

struct tcp_metrics {
	__u64 connects REMORA_COUNTER("connections made");
	__u64 connect_failures REMORA_COUNTER("connections that could not be made");
	__u64 accepts REMORA_COUNTER("connections accepted");
	__u64 closes REMORA_COUNTER("connections ended");
	__u64 retransmits REMORA_COUNTER("segments sent again");
	remora_bytes sent REMORA_COUNTER("bytes of payload sent");
	remora_bytes received REMORA_COUNTER("bytes of payload received");
	remora_histogram_ns connect_latency REMORA_HISTOGRAM("time from the first SYN to the connection's being made");
	struct traffic _ended, _now;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct tcp_metrics);
} tcp_metrics SEC(".maps");

/* Connections under way or established, by socket. */
struct flow {
	__u64 since;
	enum tcp_direction direction;
	__u32 retransmits;	/* of the socket's, those that the metric has */
	struct remora_process process;
	struct ends ends;	/* once it is established */
	__u64 root;		/* of the container, which another may follow in its place */
	__u32 container;
	__u32 _pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FLOWS);
	__type(key, __u64);
	__type(value, struct flow);
} tcp_flows SEC(".maps");

/* Who listens where: nothing leads from a connection in the making to the socket that listens. */
struct listener_key {
	__u32 netns;
	__u16 family;
	__be16 port;
	remora_ipv6 address;
};
struct listener {
	__u64 sock;
	struct remora_process process;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct listener_key);
	__type(value, struct listener);
} tcp_listeners SEC(".maps");

/* Sockets whose failure at once the state's change has told already, by thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} tcp_told SEC(".maps");

REMORA_TRACER(tcp, "default,security", "TCP connections made, accepted, refused and closed");

struct sockaddr_any {		/* sockaddr_in, sockaddr_in6: ABI */
	__u16 family;
	__be16 port;
	__be32 ipv4;		/* sockaddr_in6: flow label */
	remora_ipv6 ipv6;
};

static __always_inline struct tcp_metrics *metrics_of(struct remora_container *c)
{
	__u32 i = c->index;

	return bpf_map_lookup_elem(&tcp_metrics, &i);
}

/* ---- Addresses ---- */
#define fill_ends(e, sk)                                        \
	do {                                                    \
		fill_local(&(e)->local_address, sk);            \
		fill_peer(&(e)->peer_address, sk);              \
		(e)->local_port = local_port(sk);               \
		(e)->peer_port = peer_port(sk);                 \
	} while (0)

/* ---- Listening ---- */
static __always_inline void fill_key(struct listener_key *key, const struct sock *sk)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->netns = sk->__sk_common.skc_net.net->ns.inum;
	key->family = sk->__sk_common.skc_family;
	key->port = local_port(sk);
	fill_local(&key->address, sk);
}

static __always_inline void listening(struct remora_container *c, const struct sock *sk)
{
	struct listener listener = { .sock = (__u64)sk };
	struct listener_key key;

	fill_key(&key, sk);
	remora_fill_process(&listener.process);
	if (bpf_map_update_elem(&tcp_listeners, &key, &listener, BPF_ANY))
		remora_lost(c);
}

static __always_inline void forget_listener(const struct sock *sk)
{
	struct listener *listener;
	struct listener_key key;

	fill_key(&key, sk);
	listener = bpf_map_lookup_elem(&tcp_listeners, &key);
	if (listener && listener->sock == (__u64)sk)
		bpf_map_delete_elem(&tcp_listeners, &key);
}

static __always_inline struct listener *listener_of(const struct sock *sk)
{
	struct listener *listener;
	struct listener_key key;

	fill_key(&key, sk);
	listener = bpf_map_lookup_elem(&tcp_listeners, &key);
	if (listener)
		return listener;
	if (key.family == AF_INET)
		fill_mapped(&key.address, 0);
	else
		__builtin_memset(&key.address, 0, sizeof(key.address));
	return bpf_map_lookup_elem(&tcp_listeners, &key);
}

/* ---- Connecting ---- */
static __always_inline void connecting(struct remora_container *c, const struct sock *sk)
{
	struct flow flow = { .since = bpf_ktime_get_boot_ns(), .direction = outgoing };
	__u64 key = (__u64)sk;

	flow.root = c->root;
	flow.container = c->index;
	remora_fill_process(&flow.process);
	if (bpf_map_update_elem(&tcp_flows, &key, &flow, BPF_ANY))
		remora_lost(c);
}

/* Without a flow the attempt began unobserved, or its loss was counted then. */
static __always_inline void report_connect(struct remora_container *c, const struct sock *sk, struct flow *flow,
					   __u32 error)
{
	struct tcp_metrics *m = metrics_of(c);
	__u64 now = bpf_ktime_get_boot_ns();
	struct connect_event *e;

	if (m) {
		remora_add(error ? &m->connect_failures : &m->connects, 1);
		if (flow && !error)
			remora_observe(&m->connect_latency, now - flow->since, 10);
	}
	if (!flow)
		return;
	if (!error)
		fill_identity(&flow->ends, sk);
	e = remora_reserve(c, struct connect_event);
	if (e) {
		e->process = flow->process;
		e->latency = now - flow->since;
		e->error = error;
		fill_ends(e, sk);
		remora_submit(e);
	}
	flow->since = now;
}

/* An attempt ended without a connection. sk_err tells why, unless the socket had no port, or was closed. */
static __always_inline void failed(struct remora_container *c, const struct sock *sk, struct flow *flow)
{
	__u32 error = sk->sk_err, thread = bpf_get_current_pid_tgid();
	__u64 key = (__u64)sk;

	if (!error && !BPF_CORE_READ((const struct tcp_sock *)sk, segs_out)) {
		error = EADDRNOTAVAIL;
		bpf_map_update_elem(&tcp_told, &thread, &key, BPF_ANY);
	}
	report_connect(c, sk, flow, error ? error : ECANCELED);
}

/* ---- Accepting ---- */
static __always_inline void accepted(struct remora_container *c, const struct sock *sk)
{
	struct flow flow = { .since = bpf_ktime_get_boot_ns(), .direction = incoming };
	struct listener *listener = listener_of(sk);
	struct tcp_metrics *m = metrics_of(c);
	__u64 key = (__u64)sk;
	struct accept_event *e;

	if (listener)
		flow.process = listener->process;
	flow.retransmits = retransmits_of(sk);
	flow.root = c->root;
	flow.container = c->index;
	fill_identity(&flow.ends, sk);
	if (m) {
		remora_add(&m->accepts, 1);
		remora_add(&m->retransmits, flow.retransmits); /* of the SYN's answer, before there was a socket */
	}
	if (bpf_map_update_elem(&tcp_flows, &key, &flow, BPF_ANY))
		remora_lost(c);
	e = remora_reserve(c, struct accept_event);
	if (e) {
		e->process = flow.process;
		fill_ends(e, sk);
		remora_submit(e);
	}
}

static __always_inline void established(struct remora_container *c, const struct sock *sk, int from)
{
	__u64 key = (__u64)sk;
	struct flow *flow = bpf_map_lookup_elem(&tcp_flows, &key);

	if (from == TCP_SYN_SENT || (flow && flow->direction == outgoing)) /* both sides may send a SYN at once */
		report_connect(c, sk, flow, 0);
	else if (from == TCP_SYN_RECV)
		accepted(c, sk);
}

/* ---- Closing ---- */
/* Only the socket's owner leads it here: the one time that the process behind an accepted one is known. */
static __always_inline void closing(struct remora_container *c, const struct sock *sk)
{
	struct flow late = { .retransmits = retransmits_of(sk) }, *flow;
	__u64 key = (__u64)sk;

	if (remora_find(remora_current_cgroup()) != c)
		return;
	flow = bpf_map_lookup_elem(&tcp_flows, &key);
	if (!flow) {
		remora_fill_process(&late.process);
		bpf_map_update_elem(&tcp_flows, &key, &late, BPF_NOEXIST);
	} else if (flow->direction == incoming) {
		remora_fill_process(&flow->process);
	}
}

static __always_inline void report_close(struct remora_container *c, const struct sock *sk, struct flow *flow,
					 struct traffic *t)
{
	struct close_event *e = remora_reserve(c, struct close_event);

	if (!e)
		return;
	fill_ends(e, sk);
	e->sent = t->sent;
	e->received = t->received;
	e->retransmits = retransmits_of(sk);
	e->round_trip = round_trip_of(sk);
	e->error = sk->sk_err;
	if (flow) {
		e->direction = flow->direction;
		e->process = flow->process;
		if (flow->since)
			e->duration = bpf_ktime_get_boot_ns() - flow->since;
	}
	remora_submit(e);
}

/* The flow is forgotten first: see raise(). */
static __always_inline void ended(struct remora_container *c, const struct sock *sk, struct flow *flow)
{
	struct tcp_metrics *m = metrics_of(c);
	struct traffic traffic;
	__u64 key = (__u64)sk;

	fill_traffic(&traffic, sk);
	report_close(c, sk, flow, &traffic);
	bpf_map_delete_elem(&tcp_flows, &key);
	if (!m)
		return;
	remora_add(&m->closes, 1);
	remora_add(&m->_ended.sent, traffic.sent);
	remora_add(&m->_ended.received, traffic.received);
}

static __always_inline void closed(struct remora_container *c, const struct sock *sk, int from)
{
	__u64 key = (__u64)sk;
	struct flow *flow = bpf_map_lookup_elem(&tcp_flows, &key);

	if (c && from != TCP_SYN_SENT && from != TCP_SYN_RECV && from != TCP_NEW_SYN_RECV && from != TCP_LISTEN &&
	    from != TCP_CLOSE) {
		ended(c, sk, flow);
		return;
	}
	if (c && (from == TCP_SYN_SENT || (from == TCP_SYN_RECV && flow)))
		failed(c, sk, flow);
	if (from == TCP_LISTEN)
		forget_listener(sk);
	if (flow)
		bpf_map_delete_elem(&tcp_flows, &key);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(changed, const struct sock *sk, const int from, const int to)
{
	struct remora_container *c;

	if (sk->sk_protocol != tcp)
		return 0;
	c = remora_container_of_sock(sk);
	if (to == TCP_CLOSE)
		closed(c, sk, from);
	if (!c || to == TCP_CLOSE)
		return 0;
	if (to == TCP_ESTABLISHED)
		established(c, sk, from);
	else if ((from == TCP_ESTABLISHED && to == TCP_FIN_WAIT1) || to == TCP_LAST_ACK)
		closing(c, sk);
	else if ((to == TCP_SYN_SENT || to == TCP_LISTEN) &&
		 !remora_is_runtime(c, bpf_get_current_pid_tgid() >> 32))
		to == TCP_LISTEN ? listening(c, sk) : connecting(c, sk);
	return 0;
}

/* One packet may be several segments, by which the kernel counts. */
SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(sent_again, const struct sock *sk)
{
	struct remora_container *c = remora_container_of_sock(sk);
	struct tcp_metrics *m = c ? metrics_of(c) : NULL;
	__u32 total, before;
	__u64 key = (__u64)sk;
	struct flow *flow;

	if (!m)
		return 0;
	flow = bpf_map_lookup_elem(&tcp_flows, &key);
	total = retransmits_of(sk);
	before = flow ? flow->retransmits : total - 1;
	if (flow)
		flow->retransmits = total;
	remora_add(&m->retransmits, total - before);
	return 0;
}

/* ---- Refused before a SYN is sent, as without a route: no state changes. Where trampolines are allowed. ---- */
static __always_inline bool is_told(const struct sock *sk)
{
	__u32 thread = bpf_get_current_pid_tgid();
	__u64 *told = bpf_map_lookup_elem(&tcp_told, &thread);

	if (!told || *told != (__u64)sk)
		return false;
	bpf_map_delete_elem(&tcp_told, &thread);
	return true;
}

static __always_inline void refused(const struct sock *sk, const void *to, const __u32 size, int result)
{
	struct remora_container *c = result < 0 ? remora_container_of_sock(sk) : NULL;
	struct sockaddr_any address = {};
	struct connect_event *e;
	struct tcp_metrics *m;

	if (!c || is_told(sk) || remora_is_runtime(c, bpf_get_current_pid_tgid() >> 32))
		return;
	m = metrics_of(c);
	if (m)
		remora_add(&m->connect_failures, 1);
	e = remora_reserve(c, struct connect_event);
	if (!e)
		return;
	remora_fill_process(&e->process);
	bpf_probe_read_kernel(&address, size, to);
	e->peer_address = address.ipv6;
	if (size == 8)
		fill_mapped(&e->peer_address, address.ipv4);
	fill_local(&e->local_address, sk);
	e->local_port = local_port(sk);
	e->peer_port = address.port;
	e->error = -result;
	remora_submit(e);
}

SEC("fexit/tcp_v4_connect") REMORA_OPTIONAL
int BPF_PROG(refused_v4, struct sock *sk, const void *to, int len, int result)
{
	if (sk->sk_protocol == tcp)
		refused(sk, to, 8, result);
	return 0;
}

/* An IPv4 address mapped to IPv6 goes to tcp_v4_connect(). */
SEC("fexit/tcp_v6_connect") REMORA_OPTIONAL
int BPF_PROG(refused_v6, struct sock *sk, const void *to, int len, int result)
{
	struct sockaddr_any address = {};
	__u32 *word = (__u32 *)&address.ipv6;

	if (result >= 0 || sk->sk_protocol != tcp)
		return 0;
	bpf_probe_read_kernel(&address, sizeof(address), to);
	if (!word[0] && !word[1] && word[2] == 0xffff0000)
		return 0;
	refused(sk, to, sizeof(address), result);
	return 0;
}

/* ---- Bytes of connections that live: see raise() ---- */
static __always_inline bool is_used(const __u32 *place)
{
	struct remora_container *c = place ? remora_container_at(*place) : NULL;

	return c && c->root;
}

SEC("iter/bpf_map_elem") REMORA_REFRESH("tcp_metrics")
int begin(struct bpf_iter__bpf_map_elem *ctx)
{
	struct tcp_metrics *m = ctx->value;

	if (m && is_used(ctx->key))
		m->_now = m->_ended;
	return 0;
}

SEC("iter/bpf_map_elem") REMORA_REFRESH("tcp_flows")
int live(struct bpf_iter__bpf_map_elem *ctx)
{
	struct flow *flow = ctx->value;
	struct remora_container *c;
	struct traffic traffic;
	struct tcp_metrics *m;
	struct ends ends;
	__u64 key;

	if (!flow || !ctx->key || !flow->ends.local_port)
		return 0;
	key = *(__u64 *)ctx->key;
	ends = flow->ends;
	c = remora_container_at(flow->container);
	if (!c || c->root != flow->root || !is_alive(&ends, (struct sock *)key)) {
		bpf_map_delete_elem(&tcp_flows, &key);
		return 0;
	}
	fill_traffic(&traffic, (struct sock *)key);
	m = metrics_of(c);
	if (m) {
		m->_now.sent += traffic.sent;
		m->_now.received += traffic.received;
	}
	return 0;
}

SEC("iter/bpf_map_elem") REMORA_REFRESH("tcp_metrics")
int publish(struct bpf_iter__bpf_map_elem *ctx)
{
	struct tcp_metrics *m = ctx->value;

	if (m && is_used(ctx->key)) {
		raise(&m->sent, m->_now.sent);
		raise(&m->received, m->_now.received);
	}
	return 0;
}
