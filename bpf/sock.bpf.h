/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What tracers of sockets share: addresses, ports, bytes. Included after remora.bpf.h. */
#ifndef __REMORA_SOCK_H
#define __REMORA_SOCK_H

#define AF_INET 2
#define AF_INET6 10
#define SOCK_DONE 1		/* bit of skc_flags: the peer's FIN has come */

enum ip_protocol {		/* ABI; by the names of IANA and OpenTelemetry */
	icmp = 1,
	tcp = 6,
	udp = 17,
	ipv6_icmp = 58,
	sctp = 132,
	udplite = 136,
	mptcp = 262,
};

enum tcp_state {		/* ABI */
	TCP_ESTABLISHED = 1, TCP_SYN_SENT, TCP_SYN_RECV, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_TIME_WAIT, TCP_CLOSE,
	TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_LISTEN, TCP_CLOSING, TCP_NEW_SYN_RECV,
};

/* IPv4 mapped to IPv6. */
static __always_inline void fill_mapped(remora_ipv6 *to, __be32 ipv4)
{
	__builtin_memset(to, 0, 10);
	to->byte[10] = 0xff;
	to->byte[11] = 0xff;
	__builtin_memcpy(&to->byte[12], &ipv4, 4);
}

/* These read at any depth: the socket may be one remembered that is there no more. */
static __always_inline void fill_local(remora_ipv6 *to, const struct sock *sk)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
		fill_mapped(to, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	else
		BPF_CORE_READ_INTO(to, sk, __sk_common.skc_v6_rcv_saddr);
}

static __always_inline void fill_peer(remora_ipv6 *to, const struct sock *sk)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
		fill_mapped(to, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	else
		BPF_CORE_READ_INTO(to, sk, __sk_common.skc_v6_daddr);
}

/* skc_num is 0 again by the time a socket is closed; this stays. */
static __always_inline __be16 local_port(const struct sock *sk)
{
	return BPF_CORE_READ((const struct inet_sock *)sk, inet_sport);
}

static __always_inline __be16 peer_port(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_dport);
}

static __always_inline __u32 retransmits_of(const struct sock *sk)
{
	return BPF_CORE_READ((const struct tcp_sock *)sk, total_retrans);
}

static __always_inline remora_us round_trip_of(const struct sock *sk)
{
	return BPF_CORE_READ((const struct tcp_sock *)sk, srtt_us) >> 3;
}

/* Payload. */
struct traffic {
	__u64 sent;
	__u64 received;
};

/* The peer's FIN has a place in the sequence of bytes; what was sent again is counted again. */
static __always_inline void fill_traffic(struct traffic *t, const struct sock *sk)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	__u64 sent = BPF_CORE_READ(tp, bytes_sent), again = BPF_CORE_READ(tp, bytes_retrans);
	__u64 received = BPF_CORE_READ(tp, bytes_received);
	__u64 fin = BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DONE & 1;

	t->sent = sent > again ? sent - again : 0;
	t->received = received > fin ? received - fin : 0;
}

/*
 * Counters of sockets that live are the sockets' own, and are looked up when somebody reads: from what those that
 * ended have left (_ended) a sum is begun (_now), each socket that lives adds what it has, and what is shown is
 * raised to that. A socket that ends is forgotten before what it had is added to _ended: in no pass it counts twice,
 * and if it counts in none, it does in the next. What is shown only grows.
 */
static __always_inline __u64 raise(__u64 *shown, __u64 now)
{
	__u64 before = *shown;

	if (now <= before)
		return 0;
	*shown = now;
	return now - before;
}

/* Which connection a socket remembered by its address was: memory of sockets is used again. */
struct ends {
	remora_ipv6 local_address;
	remora_ipv6 peer_address;
	__be16 local_port;
	__be16 peer_port;
	__u32 netns;
};

static __always_inline void fill_identity(struct ends *e, const struct sock *sk)
{
	__builtin_memset(e, 0, sizeof(*e));
	fill_local(&e->local_address, sk);
	fill_peer(&e->peer_address, sk);
	e->local_port = local_port(sk);
	e->peer_port = peer_port(sk);
	e->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline bool is_same(const struct ends *a, const struct ends *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] && x[4] == y[4];
}

/* Whether the connection lives whose ends these are. */
static __always_inline bool is_alive(const struct ends *ends, const struct sock *sk)
{
	__u32 state = BPF_CORE_READ(sk, __sk_common.skc_state);
	struct ends now;

	if (state == TCP_CLOSE || state == TCP_LISTEN || state >= TCP_NEW_SYN_RECV)
		return false;
	fill_identity(&now, sk);
	return is_same(ends, &now);
}

#endif
