/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* TCP segments as programs at a container's cgroup see them, for tracers that look into what is sent. */
#ifndef __REMORA_SEGMENT_H
#define __REMORA_SEGMENT_H

#include "remora.bpf.h"
#include <bpf/bpf_endian.h>

#define IPPROTO_TCP 6
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_LISTEN 10
#define EXTENSIONS 4		/* IPv6 extension headers walked over */

enum ipv6_extension {		/* ABI */
	hop_by_hop = 0,
	routing = 43,
	destination = 60,
};

struct ends {
	remora_ipv6 local_address REMORA_HELP("own address") REMORA_ATTRIBUTE("network.local.address");
	remora_ipv6 peer_address REMORA_HELP("peer's address") REMORA_ATTRIBUTE("network.peer.address");
	remora_be16 local_port REMORA_HELP("own port") REMORA_ATTRIBUTE("network.local.port");
	remora_be16 peer_port REMORA_HELP("peer's port") REMORA_ATTRIBUTE("network.peer.port");
	__u8 _pad[4];
};

/* On its way out one is as large as the process's write, as a rule: it is cut later, by the device. */
struct segment {
	struct __sk_buff *skb;
	struct bpf_sock *sk;	/* of a connection in the making the one that listens */
	__u32 at;		/* of the payload */
	__u32 len;		/* of the payload */
	__u32 seq;		/* of the payload's first byte */
	__be16 from;		/* ports */
	__be16 to;
	__u8 flags;
	bool is_v6;
	bool is_egress;
};

/* The offset of TCP's header behind IPv6's, or 0. */
static __always_inline __u32 over_extensions(struct __sk_buff *skb, __u8 next)
{
	__u32 at = 40, i;
	__u8 head[2];

	for (i = 0; i <= EXTENSIONS; i++) {
		if (next == IPPROTO_TCP)
			return at;
		if ((next != hop_by_hop && next != routing && next != destination) ||
		    bpf_skb_load_bytes(skb, at, head, sizeof(head)))
			return 0;
		at += (head[1] + 1) * 8;
		next = head[0];
	}
	return 0;
}

/* The offset of TCP's header, or 0. What is not TCP is told without a call. */
static __always_inline __u32 header_of(struct segment *s)
{
	__u8 *data = (void *)(long)s->skb->data, *end = (void *)(long)s->skb->data_end;

	if (data + 40 > end)
		return 0;
	s->is_v6 = data[0] >> 4 == 6;
	if (s->is_v6)
		return data[6] == IPPROTO_TCP ? 40 : over_extensions(s->skb, data[6]);
	if (data[9] != IPPROTO_TCP || (data[6] & 0x1f) || data[7]) /* fragments are sent by raw sockets */
		return 0;
	return (data[0] & 15) * 4;
}

/* False if there is neither payload nor an end of the connection. */
static __always_inline bool read_segment(struct segment *s, struct __sk_buff *skb, bool is_egress)
{
	struct {
		__be16 from, to;
		__be32 seq, ack;
		__u8 words, flags;
	} tcp;
	__u32 at;

	s->skb = skb;
	s->is_egress = is_egress;
	at = header_of(s);
	if (!at || bpf_skb_load_bytes(skb, at, &tcp, 14))
		return false;
	s->at = at + (tcp.words >> 4) * 4;
	s->len = skb->len > s->at ? skb->len - s->at : 0;
	s->flags = tcp.flags;
	if (!s->len && !(s->flags & (TCP_FIN | TCP_RST)))
		return false;
	s->seq = bpf_ntohl(tcp.seq) + !!(s->flags & TCP_SYN);
	s->from = tcp.from;
	s->to = tcp.to;
	s->sk = skb->sk;
	return s->sk;
}

static __always_inline bool is_listening(const struct tcp_sock *tp)
{
	return tp->inet_conn.icsk_inet.sk.__sk_common.skc_state == TCP_LISTEN;
}

/* False if it was sent before. What is sent is counted as sent only afterwards. */
static __always_inline bool is_new(const struct segment *s, const struct tcp_sock *tp)
{
	if (s->is_egress)
		return (__s32)(s->seq - tp->snd_nxt) >= 0;
	return is_listening(tp) || (__s32)(s->seq - tp->rcv_nxt) >= 0;
}

/* While a process holds the socket's lock nobody but it sends, be it what waited for the peer. */
static __always_inline bool fill_sender(struct remora_process *p, const struct segment *s,
					const struct tcp_sock *tp)
{
	if (!s->is_egress || !tp->inet_conn.icsk_inet.sk.sk_lock.owned)
		return false;
	remora_fill_process(p);
	return true;
}

/* A length that is not 0, at most max + 1 (max: a power of two less one), so that verifiers before 6.8 see both. */
static __always_inline __u32 bounded(__u32 len, const __u32 max)
{
	len--;
	remora_barrier(len);
	return (len & max) + 1;
}

static __always_inline void fill_address(remora_ipv6 *to, const struct segment *s, bool is_source)
{
	__u32 *word = (__u32 *)to;

	if (s->is_v6) {
		bpf_skb_load_bytes(s->skb, is_source ? 8 : 24, to, 16);
		return;
	}
	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	bpf_skb_load_bytes(s->skb, is_source ? 12 : 16, &word[3], 4);
}

static __always_inline void fill_ends(struct ends *e, const struct segment *s)
{
	fill_address(&e->local_address, s, s->is_egress);
	fill_address(&e->peer_address, s, !s->is_egress);
	e->local_port = s->is_egress ? s->from : s->to;
	e->peer_port = s->is_egress ? s->to : s->from;
}

#endif
