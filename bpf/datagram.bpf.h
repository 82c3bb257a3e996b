/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* UDP datagrams as cgroup_skb programs see them: before they are cut in fragments, after they were put together
 * again. Included after sock.bpf.h. */
#ifndef __REMORA_DATAGRAM_H
#define __REMORA_DATAGRAM_H

#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define IPPROTO_TCP 6
#define IPPROTO_ICMPV6 58
#define UDP_HEADER 8
#define IPV6_HEADER 40
#define EXTENSIONS 4		/* IPv6 extension headers walked over */
#define SOCK_DGRAM 2

enum ipv6_extension {		/* ABI */
	hop_by_hop = 0,
	routing = 43,
	fragment = 44,
	authentication = 51,
	destination = 60,
};

struct datagram {
	remora_ipv6 local_address;
	remora_ipv6 peer_address;
	__be16 local_port;
	__be16 peer_port;
	__u32 bytes;		/* of payload */
	__u32 count;		/* more than one in a packet that is yet to be cut, or was joined */
	__u32 at;		/* of its header */
};

/* What most packets of most containers are is told here. */
static __always_inline bool may_be_udp(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + 20 > end)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return data[9] == udp;
	return data[6] != IPPROTO_TCP && data[6] != IPPROTO_ICMPV6;
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

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != udp)
		return false;
	d->at = (ip.version_length & 15) * 4;
	fill_mapped(&d->local_address, egress ? ip.from : ip.to);
	fill_mapped(&d->peer_address, egress ? ip.to : ip.from);
	return !(ip.fragment & bpf_htons(0x1fff)); /* raw sockets send those */
}

/* Walks over the extension headers; the offset of UDP's, or 0. */
static __always_inline __u32 over_extensions(struct __sk_buff *skb, __u8 next)
{
	__u32 at = IPV6_HEADER, i;
	__u8 head[4];

	for (i = 0; i <= EXTENSIONS; i++) {
		if (next == udp)
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
	__builtin_memcpy(&d->local_address, egress ? ip.from : ip.to, 16);
	__builtin_memcpy(&d->peer_address, egress ? ip.to : ip.from, 16);
	return d->at;
}

/* A raw socket gets a copy of what others receive. */
static __always_inline bool is_copy(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	return !sk || sk->type != SOCK_DGRAM;
}

static __always_inline bool read_datagram(struct __sk_buff *skb, struct datagram *d, const bool egress)
{
	__be16 ports[2];

	if (!egress && is_copy(skb))
		return false;
	if (!(skb->protocol == bpf_htons(ETH_P_IP) ? read_ipv4(skb, d, egress) : read_ipv6(skb, d, egress)))
		return false;
	if (bpf_skb_load_bytes(skb, d->at, ports, sizeof(ports)) || skb->len < d->at + UDP_HEADER)
		return false;
	d->local_port = ports[!egress];
	d->peer_port = ports[egress];
	d->bytes = skb->len - d->at - UDP_HEADER;
	d->count = skb->gso_segs > 1 ? skb->gso_segs : 1;
	return true;
}

#endif
