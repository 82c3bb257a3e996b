// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Who talks to whom, added up by peer and service: what a map of the network is drawn from. TCP's own counters of a
 * connection are taken when it ends and whenever somebody looks, so that no packet pays for it; UDP has none, and its
 * packets are counted in the container's own cgroup, where those of others are told apart by one byte. */
#include "remora.bpf.h"
#include "sock.bpf.h"
#include "datagram.bpf.h"

#define ROWS 16384
#define CONNECTIONS 16384
#define IDLE 60000000000ULL	/* ns after which a row makes room for others */

const volatile __u32 flows REMORA_PARAM("16", "8192", "flows kept apart for a container; the rest are one row") = 1024;

enum flow_direction {
	unknown,		/* made before it was observed, or not kept apart */
	outgoing,
	incoming,
};

struct flow_key {
	remora_index container;
	enum flow_direction direction REMORA_HELP("who began: the container if outgoing") REMORA_FEATURE;
	remora_ipv6 local_address REMORA_HELP("own address") REMORA_ATTRIBUTE("network.local.address") REMORA_OPTIONAL;
	remora_ipv6 peer_address REMORA_HELP("peer's address") REMORA_ATTRIBUTE("network.peer.address")
		REMORA_OPTIONAL REMORA_FEATURE;
	enum ip_protocol protocol REMORA_HELP("tcp or udp") REMORA_ATTRIBUTE("network.transport") REMORA_FEATURE;
	remora_be16 port REMORA_HELP("port of the side that did not begin: the peer's if outgoing, the own if "
				     "incoming, the lower of both if it is unknown") REMORA_ATTRIBUTE("server.port")
		REMORA_OPTIONAL REMORA_FEATURE;
	bool others REMORA_HELP("the row adds up the flows that are not kept apart") REMORA_OPTIONAL;
	__u8 _pad;
};

struct counts {
	struct traffic traffic;
	__u64 sent_packets;
	__u64 received_packets;
	__u64 retransmits;
};

struct flow_row {
	__u64 connections REMORA_COUNTER("TCP connections made") REMORA_OPTIONAL;
	__u64 failures REMORA_COUNTER("TCP connections that could not be made") REMORA_OPTIONAL;
	__u64 active REMORA_GAUGE("TCP connections that are open") REMORA_OPTIONAL;
	remora_bytes sent REMORA_COUNTER("bytes of payload sent, each counted once");
	remora_bytes received REMORA_COUNTER("bytes of payload received");
	__u64 sent_packets REMORA_COUNTER("TCP segments or UDP datagrams sent");
	__u64 received_packets REMORA_COUNTER("TCP segments or UDP datagrams received");
	__u64 retransmits REMORA_COUNTER("TCP segments sent again") REMORA_OPTIONAL;
	remora_us round_trip REMORA_GAUGE("smoothed round-trip time of the connection looked at last, in seconds")
		REMORA_OPTIONAL;
	remora_ktime first REMORA_HELP("when the first connection or datagram was seen");
	remora_ktime last REMORA_HELP("when something was last seen to happen");
	__u64 forgotten REMORA_COUNTER("idle flows that made room, which this row adds up") REMORA_OPTIONAL;
	struct counts _ended, _now;
	__u64 _active;
} REMORA_TABLE("flows", "who talks to whom, by peer and service") REMORA_FLOW
	REMORA_REPORT("talked");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ROWS);
	__type(key, struct flow_key);
	__type(value, struct flow_row);
} flow_rows SEC(".maps");

/* Connections that live, by socket. */
struct connection {
	struct flow_key flow;
	struct ends ends;
	__u64 root;		/* of the container, which another may follow in its place */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CONNECTIONS);
	__type(key, __u64);
	__type(value, struct connection);
} flow_connections SEC(".maps");

/* What a container takes up. */
struct flow_place {
	__u64 rows REMORA_GAUGE("flows kept apart");
	__u64 active REMORA_GAUGE("TCP connections that are open");
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct flow_place);
} flow_places SEC(".maps");

struct metrics_key {
	remora_index container;
	enum flow_direction direction REMORA_HELP("who began: the container if outgoing");
	enum ip_protocol protocol REMORA_HELP("tcp or udp");
};
struct flow_metrics {
	__u64 connections REMORA_COUNTER("TCP connections made");
	__u64 failures REMORA_COUNTER("TCP connections that could not be made");
	remora_bytes sent REMORA_COUNTER("bytes of payload sent, each counted once");
	remora_bytes received REMORA_COUNTER("bytes of payload received");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct metrics_key);
	__type(value, struct flow_metrics);
} flow_metrics SEC(".maps");

REMORA_TRACER(flow, "default", "who talks to whom: connections, bytes and packets by peer and service");

static const struct flow_row no_row;
static const struct flow_metrics no_metrics;

static __always_inline struct flow_place *place_of(__u32 container)
{
	return bpf_map_lookup_elem(&flow_places, &container);
}

/* ---- Rows ---- */
static __always_inline struct flow_row *find(struct flow_key *key)
{
	return bpf_map_lookup_elem(&flow_rows, key);
}

static __always_inline struct flow_row *make(struct flow_key *key, __u64 *rows)
{
	bool made = !bpf_map_update_elem(&flow_rows, key, &no_row, BPF_NOEXIST);
	struct flow_row *row = find(key);

	if (made && row) {
		row->first = bpf_ktime_get_boot_ns();
		row->last = row->first;
		if (rows)
			remora_add(rows, 1);
	}
	return row;
}

/* Makes it the key of the others. Of UDP it is not known who began a flow that is not kept apart. */
static __always_inline struct flow_row *others_of(struct flow_key *key)
{
	struct flow_row *row;

	__builtin_memset(&key->local_address, 0, sizeof(key->local_address));
	__builtin_memset(&key->peer_address, 0, sizeof(key->peer_address));
	key->port = 0;
	key->others = true;
	if (key->protocol == udp)
		key->direction = unknown;
	row = find(key);
	return row ? row : make(key, NULL);
}

/* The key becomes that of the row which is taken. */
static __always_inline struct flow_row *row_of(struct remora_container *c, struct flow_key *key)
{
	struct flow_place *place = place_of(key->container);
	struct flow_row *row = find(key);

	if (!row && place && place->rows < flows)
		row = make(key, &place->rows);
	if (!row)
		row = others_of(key);
	if (!row)
		remora_lost(c);
	return row;
}

static __always_inline void add(struct counts *to, const struct counts *more)
{
	remora_add(&to->traffic.sent, more->traffic.sent);
	remora_add(&to->traffic.received, more->traffic.received);
	remora_add(&to->sent_packets, more->sent_packets);
	remora_add(&to->received_packets, more->received_packets);
	remora_add(&to->retransmits, more->retransmits);
}

static __always_inline struct flow_metrics *metrics_of(const struct flow_key *flow)
{
	struct metrics_key key = { flow->container, flow->direction, flow->protocol };
	struct flow_metrics *m = bpf_map_lookup_elem(&flow_metrics, &key);

	if (m)
		return m;
	bpf_map_update_elem(&flow_metrics, &key, &no_metrics, BPF_NOEXIST);
	return bpf_map_lookup_elem(&flow_metrics, &key);
}

/* ---- TCP ---- */
static __always_inline void fill_key(struct flow_key *key, struct remora_container *c, const struct sock *sk,
				     enum flow_direction direction)
{
	__be16 own = local_port(sk), peer = peer_port(sk);

	__builtin_memset(key, 0, sizeof(*key));
	key->container = c->index;
	key->direction = direction;
	key->protocol = tcp;
	fill_local(&key->local_address, sk);
	fill_peer(&key->peer_address, sk);
	if (direction == unknown)
		key->port = bpf_ntohs(own) < bpf_ntohs(peer) ? own : peer;
	else
		key->port = direction == incoming ? own : peer;
}

static __always_inline void fill_counts(struct counts *counts, const struct sock *sk)
{
	fill_traffic(&counts->traffic, sk);
	counts->sent_packets = BPF_CORE_READ((const struct tcp_sock *)sk, segs_out);
	counts->received_packets = BPF_CORE_READ((const struct tcp_sock *)sk, segs_in);
	counts->retransmits = retransmits_of(sk);
}

/* One container may not fill the map alone. */
static __always_inline void remember(struct remora_container *c, const struct sock *sk, const struct flow_key *flow)
{
	struct connection connection = { .flow = *flow, .root = c->root };
	struct flow_place *place = place_of(c->index);
	__u64 key = (__u64)sk;

	fill_identity(&connection.ends, sk);
	if (!place || place->active > CONNECTIONS / 4 * 3 ||
	    bpf_map_update_elem(&flow_connections, &key, &connection, BPF_NOEXIST))
		remora_lost(c);
	else
		remora_add(&place->active, 1);
}

static __always_inline bool forget(const struct connection *connection, __u64 key, struct remora_container *c)
{
	struct flow_place *place = place_of(connection->flow.container);

	if (bpf_map_delete_elem(&flow_connections, &key))
		return false;
	if (place && c && c->root == connection->root)
		remora_add(&place->active, -1);
	return true;
}

/* Both sides may have sent a SYN: then it is in the map when it is answered. */
static __always_inline void connected(struct remora_container *c, const struct sock *sk, int from, int to)
{
	struct connection *known;
	struct flow_metrics *m;
	struct flow_key key;
	struct flow_row *row;
	__u64 sock = (__u64)sk;

	known = bpf_map_lookup_elem(&flow_connections, &sock);
	if (known)
		key = known->flow;
	else
		fill_key(&key, c, sk, from == TCP_SYN_RECV ? incoming : outgoing);
	row = row_of(c, &key);
	if (!known)
		remember(c, sk, &key);
	if (to != TCP_ESTABLISHED)
		return;
	m = metrics_of(&key);
	if (row) {
		remora_add(&row->connections, 1);
		row->last = bpf_ktime_get_boot_ns();
	}
	if (m)
		remora_add(&m->connections, 1);
}

static __always_inline void count_failure(const struct flow_key *key, struct flow_row *row)
{
	struct flow_metrics *m = metrics_of(key);

	if (row)
		remora_add(&row->failures, 1);
	if (m)
		remora_add(&m->failures, 1);
}

/* The connection is forgotten first: see raise(). */
static __always_inline void ended(struct remora_container *c, const struct sock *sk, int from)
{
	struct connection *known;
	struct flow_key key = {};
	struct counts counts;
	struct flow_row *row;
	__u64 sock = (__u64)sk;

	known = bpf_map_lookup_elem(&flow_connections, &sock);
	if (!known && (from == TCP_SYN_RECV || from == TCP_NEW_SYN_RECV || from == TCP_LISTEN || from == TCP_CLOSE))
		return;
	if (known) {
		key = known->flow;
		forget(known, sock, c);
	} else {
		fill_key(&key, c, sk, from == TCP_SYN_SENT ? outgoing : unknown);
	}
	row = row_of(c, &key);
	if (from == TCP_SYN_SENT || from == TCP_SYN_RECV)
		count_failure(&key, row);
	if (!row)
		return;
	fill_counts(&counts, sk);
	add(&row->_ended, &counts);
	row->round_trip = round_trip_of(sk);
	row->last = bpf_ktime_get_boot_ns();
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(changed, const struct sock *sk, const int from, const int to)
{
	struct remora_container *c;

	if (sk->sk_protocol != tcp)
		return 0;
	c = remora_container_of_sock(sk);
	if (!c)
		return 0;
	if (to == TCP_ESTABLISHED || (to == TCP_SYN_RECV && from == TCP_SYN_SENT))
		connected(c, sk, from, to);
	else if (to == TCP_CLOSE)
		ended(c, sk, from);
	return 0;
}

/* ---- UDP ---- */
/* A datagram answers, if there is a flow that the other side began; else it is one of a flow that this side did. */
static __always_inline struct flow_row *row_of_datagram(struct remora_container *c, struct datagram *d,
							const bool egress)
{
	struct flow_key key = { .container = c->index, .protocol = udp };
	struct flow_row *row;

	key.local_address = d->local_address;
	key.peer_address = d->peer_address;
	key.direction = egress ? incoming : outgoing;
	key.port = egress ? d->local_port : d->peer_port;
	row = find(&key);
	if (row)
		return row;
	key.direction = egress ? outgoing : incoming;
	key.port = egress ? d->peer_port : d->local_port;
	return row_of(c, &key);
}

static __always_inline int passed(struct __sk_buff *skb, const bool egress)
{
	struct remora_container *c;
	struct datagram d = {};
	struct flow_row *row;

	if (!may_be_udp(skb))
		return 1;
	c = remora_container_of_skb(skb);
	if (!c || !read_datagram(skb, &d, egress))
		return 1;
	row = row_of_datagram(c, &d, egress);
	if (!row)
		return 1;
	remora_add(egress ? &row->_ended.traffic.sent : &row->_ended.traffic.received, d.bytes);
	remora_add(egress ? &row->_ended.sent_packets : &row->_ended.received_packets, d.count);
	row->last = bpf_ktime_get_boot_ns();
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

/* ---- When somebody looks: see raise() ---- */
SEC("iter/bpf_map_elem") REMORA_REFRESH("flow_rows")
int begin(struct bpf_iter__bpf_map_elem *ctx)
{
	struct flow_row *row = ctx->value;
	struct flow_key *key = ctx->key;

	if (!row || !key || !remora_container_at(key->container))
		return 0;
	row->_now = row->_ended;
	row->_active = 0;
	return 0;
}

SEC("iter/bpf_map_elem") REMORA_REFRESH("flow_connections")
int live(struct bpf_iter__bpf_map_elem *ctx)
{
	struct connection *value = ctx->value, connection;
	struct remora_container *c;
	struct counts counts;
	struct flow_row *row;
	__u64 key;

	if (!value || !ctx->key)
		return 0;
	key = *(__u64 *)ctx->key;
	connection = *value;
	c = remora_container_at(connection.flow.container);
	if (!c || c->root != connection.root || !is_alive(&connection.ends, (struct sock *)key)) {
		forget(&connection, key, c);
		return 0;
	}
	row = row_of(c, &connection.flow);
	if (!row)
		return 0;
	fill_counts(&counts, (struct sock *)key);
	add(&row->_now, &counts);
	row->_active++;
	row->round_trip = round_trip_of((struct sock *)key);
	return 0;
}

/* What the row had goes to the others': shown and yet to be shown, so that nothing is counted twice. */
static __always_inline void make_room(struct flow_key *key, struct flow_row *row, struct flow_place *place)
{
	struct flow_key to = *key;
	struct flow_row *others = others_of(&to);

	if (!others || bpf_map_delete_elem(&flow_rows, key))
		return;
	remora_add(&place->rows, -1);
	remora_add(&others->connections, row->connections);
	remora_add(&others->failures, row->failures);
	remora_add(&others->sent, row->sent);
	remora_add(&others->received, row->received);
	remora_add(&others->sent_packets, row->sent_packets);
	remora_add(&others->received_packets, row->received_packets);
	remora_add(&others->retransmits, row->retransmits);
	remora_add(&others->forgotten, 1);
	add(&others->_ended, &row->_ended);
	if (others->last < row->last)
		others->last = row->last;
}

SEC("iter/bpf_map_elem") REMORA_REFRESH("flow_rows")
int publish(struct bpf_iter__bpf_map_elem *ctx)
{
	__u64 sent, received, now = bpf_ktime_get_boot_ns();
	struct flow_row *row = ctx->value;
	struct flow_place *place;
	struct flow_metrics *m;
	struct flow_key key;

	if (!row || !ctx->key)
		return 0;
	key = *(struct flow_key *)ctx->key;
	place = remora_container_at(key.container) ? place_of(key.container) : NULL;
	if (!place)
		return 0;
	sent = raise(&row->sent, row->_now.traffic.sent);
	received = raise(&row->received, row->_now.traffic.received);
	raise(&row->sent_packets, row->_now.sent_packets);
	raise(&row->retransmits, row->_now.retransmits);
	if (raise(&row->received_packets, row->_now.received_packets) && row->_active)
		row->last = now;
	row->active = row->_active;
	if (sent | received) {
		m = metrics_of(&key);
		if (m) {
			remora_add(&m->sent, sent);
			remora_add(&m->received, received);
		}
	}
	if (!key.others && !row->_active && now - row->last > IDLE && place->rows > flows / 4 * 3)
		make_room(&key, row, place);
	return 0;
}
