// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Sockets bound and listening. That a bind or listen failed is told where trampolines are allowed; elsewhere the
 * container's cgroup and the socket's state tell those that succeeded. */
#include "remora.bpf.h"
#include "sock.bpf.h"
#include <bpf/bpf_endian.h>

#define SOCKETS 8192

const volatile __u32 sockets REMORA_PARAM("16", "8192", "sockets of a container kept in the table") = 1024;

struct bind_event {
	struct remora_head head;
	struct remora_process process;
	remora_ipv6 address REMORA_HELP("address asked for") REMORA_ATTRIBUTE("network.local.address") REMORA_FEATURE;
	enum ip_protocol protocol REMORA_HELP("tcp, udp or another") REMORA_ATTRIBUTE("network.transport")
		REMORA_FEATURE;
	remora_be16 port REMORA_HELP("port; the one the kernel chose, if it was left to it")
		REMORA_ATTRIBUTE("network.local.port") REMORA_FEATURE;
	__u8 _pad[2];
	remora_errno error REMORA_HELP("why it failed; failures are told where the kernel allows trampolines");
	__u8 _pad2[4];
} REMORA_EVENT("bind", "a socket was bound to an address and port, or could not be")
	REMORA_REPORT("listened");

struct listen_event {
	struct remora_head head;
	struct remora_process process;
	remora_ipv6 address REMORA_HELP("own address") REMORA_ATTRIBUTE("network.local.address") REMORA_FEATURE;
	enum ip_protocol protocol REMORA_HELP("tcp") REMORA_ATTRIBUTE("network.transport") REMORA_FEATURE;
	remora_be16 port REMORA_HELP("own port; 0 if the kernel has yet to choose one")
		REMORA_ATTRIBUTE("network.local.port") REMORA_FEATURE;
	__u8 _pad[2];
	__u32 backlog REMORA_HELP("connections that may wait to be accepted");
	remora_errno error REMORA_HELP("why it failed; failures are told where the kernel allows trampolines");
} REMORA_EVENT("listen", "a socket began to listen for connections, or could not")
	REMORA_REPORT("listened");

struct listen_metrics {
	__u64 binds REMORA_COUNTER("sockets bound");
	__u64 bind_failures REMORA_COUNTER("binds that failed, where the kernel allows trampolines");
	__u64 listens REMORA_COUNTER("sockets that began to listen");
	__u64 listen_failures REMORA_COUNTER("listens that failed, where the kernel allows trampolines");
	__u64 sockets REMORA_GAUGE("TCP sockets that listen and UDP sockets that are bound");
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct listen_metrics);
} listen_metrics SEC(".maps");

struct socket_key {
	remora_index container;
	__u32 _pad;
	__u64 _socket;		/* TCP: its address; UDP: its cookie, as programs of cgroups know no address */
};
struct socket_row {
	remora_ipv6 address REMORA_HELP("own address") REMORA_ATTRIBUTE("network.local.address");
	enum ip_protocol protocol REMORA_HELP("tcp or udp") REMORA_ATTRIBUTE("network.transport");
	remora_be16 port REMORA_HELP("own port") REMORA_ATTRIBUTE("network.local.port");
	__u8 _pad[2];
	__u32 backlog REMORA_HELP("TCP connections that may wait to be accepted") REMORA_OPTIONAL;
	__u32 waiting REMORA_GAUGE("TCP connections that wait to be accepted") REMORA_OPTIONAL;
	remora_ktime since REMORA_HELP("when it began to listen or was bound");
	__u32 pid REMORA_HELP("process that did it, which others may have inherited it from")
		REMORA_ATTRIBUTE("process.pid");
	char comm[16] REMORA_HELP("name of its thread") REMORA_ATTRIBUTE("process.comm");
	__u32 _netns;
	__u64 _root;
} REMORA_TABLE("listening", "TCP sockets that listen and UDP sockets that were bound")
	REMORA_REPORT("listened");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SOCKETS);
	__type(key, struct socket_key);
	__type(value, struct socket_row);
} listen_sockets SEC(".maps");

/* Whose a UDP socket is: whoever closes it may be anybody. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SOCKETS);
	__type(key, __u64);
	__type(value, __u32);
} listen_datagram SEC(".maps");

REMORA_TRACER(listen, "default,security", "sockets bound and listening, and what is listening now");

struct sockaddr_any {		/* sockaddr_in, sockaddr_in6: ABI */
	__u16 family;
	__be16 port;
	__be32 ipv4;		/* sockaddr_in6: flow label */
	remora_ipv6 ipv6;
};

static __always_inline struct listen_metrics *metrics_of(__u32 container)
{
	return bpf_map_lookup_elem(&listen_metrics, &container);
}

/* ---- The table ---- */
static __always_inline void put(struct remora_container *c, struct socket_key *key, struct socket_row *row)
{
	struct listen_metrics *m = metrics_of(c->index);

	row->since = bpf_ktime_get_boot_ns();
	row->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(row->comm, sizeof(row->comm));
	row->_root = c->root;
	if (!m || m->sockets >= sockets || bpf_map_update_elem(&listen_sockets, key, row, BPF_NOEXIST))
		remora_lost(c);
	else
		remora_add(&m->sockets, 1);
}

static __always_inline void drop(struct socket_key *key)
{
	struct listen_metrics *m = metrics_of(key->container);

	if (!bpf_map_delete_elem(&listen_sockets, key) && m)
		remora_add(&m->sockets, -1);
}

/* ---- TCP: by the socket's state, from which it cannot stray by inheritance or exit ---- */
static __always_inline void listening(struct remora_container *c, const struct sock *sk)
{
	struct socket_key key = { .container = c->index, ._socket = (__u64)sk };
	struct socket_row row = { .protocol = tcp };

	fill_local(&row.address, sk);
	row.port = local_port(sk);
	row.backlog = sk->sk_max_ack_backlog;
	row._netns = sk->__sk_common.skc_net.net->ns.inum;
	put(c, &key, &row);
}

static __always_inline void report_listen(struct remora_container *c, const struct sock *sk, int result)
{
	struct listen_metrics *m = metrics_of(c->index);
	struct listen_event *e;

	if (m)
		remora_add(result ? &m->listen_failures : &m->listens, 1);
	e = remora_reserve(c, struct listen_event);
	if (!e)
		return;
	remora_fill_process(&e->process);
	fill_local(&e->address, sk);
	e->protocol = sk->sk_protocol;
	e->port = local_port(sk);
	e->backlog = sk->sk_max_ack_backlog;
	e->error = -result;
	remora_submit(e);
}

static __always_inline int began(const struct sock *sk, int result)
{
	struct remora_container *c = remora_container();

	if (!c)
		return 0;
	report_listen(c, sk, result);
	if (!result)
		listening(c, sk);
	return 0;
}

/* The backlog is no argument since e7049395b1c3 ("dccp/tcp: Remove an unused argument in ...", v5.17). */
SEC("fexit/inet_csk_listen_start") REMORA_ONEOF("listen", "1")
int BPF_PROG(listened_with_backlog, struct sock *sk, int backlog, int result)
{
	return began(sk, result);
}

SEC("fexit/inet_csk_listen_start") REMORA_ONEOF("listen", "2")
int BPF_PROG(listened, struct sock *sk, int result)
{
	return began(sk, result);
}

SEC("tp_btf/inet_sock_set_state") REMORA_ONEOF("listen", "3")
int BPF_PROG(listens, const struct sock *sk, const int from, const int to)
{
	return to == TCP_LISTEN && sk->sk_protocol == tcp ? began(sk, 0) : 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(closed, const struct sock *sk, const int from, const int to)
{
	struct socket_key key = { ._socket = (__u64)sk };
	struct remora_container *c;

	if (from != TCP_LISTEN || sk->sk_protocol != tcp)
		return 0;
	c = remora_container_of_sock(sk);
	if (!c)
		return 0;
	key.container = c->index;
	drop(&key);
	return 0;
}

/* ---- Binds ---- */
static __always_inline void count_bind(struct remora_container *c, int result)
{
	struct listen_metrics *m = metrics_of(c->index);

	if (m)
		remora_add(result ? &m->bind_failures : &m->binds, 1);
}

static __always_inline int bound(const struct sock *sk, const void *asked, int result)
{
	struct remora_container *c = remora_container();
	struct sockaddr_any address = {};
	struct bind_event *e;

	if (!c)
		return 0;
	count_bind(c, result);
	e = remora_reserve(c, struct bind_event);
	if (!e)
		return 0;
	remora_fill_process(&e->process);
	e->protocol = sk->sk_protocol;
	e->error = -result;
	fill_local(&e->address, sk);
	e->port = local_port(sk);
	if (result) {
		bpf_probe_read_kernel(&address, sizeof(address), asked);
		e->port = address.port;
		e->address = address.ipv6;
		if (address.family == AF_INET)
			fill_mapped(&e->address, address.ipv4);
	}
	remora_submit(e);
	return 0;
}

SEC("fexit/__inet_bind") REMORA_ONEOF("bind_v4", "1")
int BPF_PROG(bound_v4, struct sock *sk, const void *address, int len, u32 flags, int result)
{
	return bound(sk, address, result);
}

SEC("fexit/__inet6_bind") REMORA_ONEOF("bind_v6", "1")
int BPF_PROG(bound_v6, struct sock *sk, const void *address, int len, u32 flags, int result)
{
	return bound(sk, address, result);
}

static __always_inline int told(struct bpf_sock *sk, const remora_ipv6 *address)
{
	struct remora_container *c = remora_container();
	struct bind_event *e;

	if (!c)
		return 1;
	count_bind(c, 0);
	e = remora_reserve(c, struct bind_event);
	if (!e)
		return 1;
	remora_fill_process(&e->process);
	e->protocol = sk->protocol;
	e->address = *address;
	e->port = bpf_htons(sk->src_port);
	remora_submit(e);
	return 1;
}

static __always_inline void fill_v6(remora_ipv6 *to, struct bpf_sock *sk)
{
	__u32 *word = (__u32 *)to;

	word[0] = sk->src_ip6[0];
	word[1] = sk->src_ip6[1];
	word[2] = sk->src_ip6[2];
	word[3] = sk->src_ip6[3];
}

SEC("cgroup/post_bind4") REMORA_ONEOF("bind_v4", "2")
int told_v4(struct bpf_sock *sk)
{
	remora_ipv6 address;

	fill_mapped(&address, sk->src_ip4);
	return told(sk, &address);
}

SEC("cgroup/post_bind6") REMORA_ONEOF("bind_v6", "2")
int told_v6(struct bpf_sock *sk)
{
	remora_ipv6 address;

	fill_v6(&address, sk);
	return told(sk, &address);
}

/* ---- UDP: bound until it is closed ---- */
static __always_inline void open_datagram(struct remora_container *c, struct bpf_sock *sk, struct socket_row *row)
{
	struct socket_key key = { .container = c->index };

	key._socket = bpf_get_socket_cookie(sk);
	row->protocol = sk->protocol;
	row->port = bpf_htons(sk->src_port);
	if (bpf_map_update_elem(&listen_datagram, &key._socket, &key.container, BPF_ANY))
		remora_lost(c);
	else
		put(c, &key, row);
}

SEC("cgroup/post_bind4")
int opened_v4(struct bpf_sock *sk)
{
	struct remora_container *c = sk->protocol == udp || sk->protocol == udplite ? remora_container() : NULL;
	struct socket_row row = {};

	if (!c)
		return 1;
	fill_mapped(&row.address, sk->src_ip4);
	open_datagram(c, sk, &row);
	return 1;
}

SEC("cgroup/post_bind6")
int opened_v6(struct bpf_sock *sk)
{
	struct remora_container *c = sk->protocol == udp || sk->protocol == udplite ? remora_container() : NULL;
	struct socket_row row = {};

	if (!c)
		return 1;
	fill_v6(&row.address, sk);
	open_datagram(c, sk, &row);
	return 1;
}

SEC("cgroup/sock_release")
int released(struct bpf_sock *sk)
{
	struct socket_key key = {};
	__u32 *container;

	if (sk->protocol != udp && sk->protocol != udplite)
		return 1;
	key._socket = bpf_get_socket_cookie(sk);
	container = bpf_map_lookup_elem(&listen_datagram, &key._socket);
	if (!container || !remora_container_at(*container))
		return 1;
	key.container = *container;
	bpf_map_delete_elem(&listen_datagram, &key._socket);
	drop(&key);
	return 1;
}

static __always_inline bool is_same_address(const remora_ipv6 *a, const remora_ipv6 *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

/* ---- When somebody looks: ports that the kernel chose late, backlogs changed, sockets whose end was not seen ---- */
SEC("iter/bpf_map_elem") REMORA_REFRESH("listen_sockets")
int refreshed(struct bpf_iter__bpf_map_elem *ctx)
{
	struct socket_row *row = ctx->value;
	struct remora_container *c;
	const struct sock *sk;
	struct socket_key key;
	remora_ipv6 address;
	__be16 port;

	if (!row || !ctx->key || row->protocol != tcp)
		return 0;
	key = *(struct socket_key *)ctx->key;
	sk = (const struct sock *)key._socket;
	c = remora_container_at(key.container);
	port = local_port(sk);
	fill_local(&address, sk);
	if (!c || c->root != row->_root || BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN ||
	    BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) != row->_netns ||
	    !is_same_address(&address, &row->address) || (row->port && row->port != port)) {
		drop(&key);
		return 0;
	}
	row->port = port;
	row->backlog = BPF_CORE_READ(sk, sk_max_ack_backlog);
	row->waiting = BPF_CORE_READ(sk, sk_ack_backlog);
	return 0;
}
