// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * DNS questions asked and answered, over UDP and TCP: messages are read from the packets of the container's own
 * sockets. What a message is made of is walked over by global functions, a few steps each: the verifier looks at
 * each of them once and by itself, and is done in a hundredth of the time. What they share is kept in memory.
 */
#include "remora.bpf.h"
#include <bpf/bpf_endian.h>

#define global __attribute__((noinline)) /* and not static */
#define ETH_P_IP 0x0800
#define AF_INET 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define TCP_SYN 2
#define UDP_HEADER 8
#define STANDARD_PORT 53
#define DOCKER_SERVER 0x7f00000b /* 127.0.0.11 */
#define EXTENSIONS 4		/* IPv6 extension headers walked over */
#define LABEL_MAX 63
#define NAME_MAX 255
#define POINTER 0xc0
#define MESSAGE_MAX 2048	/* bytes looked at of a message; powers of two, as the next three */
#define TEXT_MAX 4096
#define ADDRESSES_MAX 1024
#define ADDRESSES 16
#define TARGETS 8
#define STEPS 8		/* bytes or records of which a global function disposes */
#define NAME_STEPS 288		/* of 255 bytes, and of what leads from one part of a name to the next */
#define RECORD_STEPS 128	/* records, and labels of names before them */
#define SETS 128		/* power of two */
#define WAYS 4			/* SETS * WAYS questions may a container have open */
#define PENDING 16384
#define SECOND 1000000000ULL
#define INGRESS 0		/* which work */
#define EGRESS 1

struct dns_params {
	__u32 port REMORA_OWN_PARAM("53", "1", "65535", "port at which servers answer");
	__u32 timeout REMORA_OWN_PARAM("10", "1", "600", "seconds after which a query counts as unanswered");
	__u32 queries REMORA_OWN_PARAM("0", "0", "1", "1: an event for each query, too");
	__u32 _pad;
};
REMORA_PARAMS(struct dns_params);

enum dns_direction {
	outgoing,		/* the container asks */
	incoming,		/* the container is asked */
};

enum dns_transport {
	tcp = IPPROTO_TCP,
	udp = IPPROTO_UDP,
};

enum dns_type {			/* as registered with IANA, of those in use */
	A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, HINFO = 13, MX = 15, TXT = 16, AAAA = 28, LOC = 29, SRV = 33,
	NAPTR = 35, DNAME = 39, DS = 43, SSHFP = 44, RRSIG = 46, NSEC = 47, DNSKEY = 48, TLSA = 52, CDS = 59,
	SVCB = 64, HTTPS = 65, SPF = 99, IXFR = 251, AXFR = 252, ANY = 255, URI = 256, CAA = 257,
	OTHER = 65536,		/* of a metric: any but these */
};

enum dns_class {
	IN = 1, CH = 3, HS = 4, NONE = 254,
};

enum dns_opcode {
	QUERY, IQUERY, STATUS, NOTIFY = 4, UPDATE, DSO,
};

enum dns_rcode {
	NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN, YXRRSET, NXRRSET, NOTAUTH, NOTZONE, DSOTYPENI,
};

enum dns_flags {
	AA = 0x400, TC = 0x200, RD = 0x100, RA = 0x80, AD = 0x20, CD = 0x10,
};

#define RESPONSE 0x80		/* in the first byte of the flags */
#define DNS_RESPONSE 0x8000
#define DNS_FLAGS (AA | TC | RD | RA | AD | CD)

enum ipv6_extension {		/* ABI */
	hop_by_hop = 0,
	routing = 43,
	fragment = 44,
	authentication = 51,
	destination = 60,
};

struct ends {
	remora_ipv6 local_address REMORA_HELP("own address") REMORA_ATTRIBUTE("network.local.address");
	remora_ipv6 peer_address REMORA_HELP("peer's address: the server's if outgoing")
		REMORA_ATTRIBUTE("network.peer.address") REMORA_FEATURE;
	remora_be16 local_port REMORA_HELP("own port") REMORA_ATTRIBUTE("network.local.port");
	remora_be16 peer_port REMORA_HELP("peer's port") REMORA_ATTRIBUTE("network.peer.port");
	enum dns_transport transport REMORA_HELP("what carries it") REMORA_ATTRIBUTE("network.transport");
} __attribute__((aligned(8)));

struct question {
	enum dns_type type REMORA_HELP("type of record asked for") REMORA_ATTRIBUTE("dns.question.type")
		REMORA_FEATURE;
	enum dns_class class REMORA_HELP("class of record asked for") REMORA_ATTRIBUTE("dns.question.class");
	enum dns_opcode opcode REMORA_HELP("kind of query, if none for records") REMORA_ATTRIBUTE("dns.opcode")
		REMORA_OPTIONAL;
	__u32 id REMORA_HELP("number that query and answer share") REMORA_ATTRIBUTE("dns.id");
};

#define NAME_HELP "name asked for, as written; a dot or backslash in a label has a backslash before it, bytes that " \
	"are not printable are \\DDD; . is the root"

struct query_event {
	struct remora_head head;
	struct remora_process process; /* the asking one; unknown if incoming */
	remora_text name REMORA_HELP(NAME_HELP) REMORA_ATTRIBUTE("dns.question.name") REMORA_FEATURE;
	struct question question;
	struct ends ends;
	enum dns_direction direction REMORA_HELP("outgoing: the container asks; incoming: it is asked") REMORA_FEATURE;
	enum dns_flags flags REMORA_HELP("flags of the message") REMORA_FLAGS;
	__u32 attempts REMORA_HELP("how often it was sent by now");
	__u32 size REMORA_HELP("bytes of the message");
	__u8 _pad[4];
} REMORA_EVENT("query", "a question was asked; only with the parameter queries")
	REMORA_REPORT("asked");

struct answer_event {
	struct remora_head head;
	struct remora_process process; /* outgoing: asked; incoming: answered */
	remora_text name REMORA_HELP(NAME_HELP) REMORA_ATTRIBUTE("dns.question.name") REMORA_FEATURE;
	struct question question;
	remora_args answers REMORA_HELP("addresses in the answer, the first 16") REMORA_ATTRIBUTE("dns.answers");
	remora_args targets REMORA_HELP("names that the answer's CNAME and PTR records lead to, the first 8")
		REMORA_ATTRIBUTE("dns.targets");
	struct ends ends;
	enum dns_direction direction REMORA_HELP("outgoing: the container asked; incoming: it answered")
		REMORA_FEATURE;
	enum dns_rcode rcode REMORA_HELP("what came of it") REMORA_FEATURE;
	enum dns_flags flags REMORA_HELP("flags of the message; TC: it was cut, to be asked over TCP") REMORA_FLAGS;
	__u32 records REMORA_HELP("records in the answer, as it says itself");
	__u32 size REMORA_HELP("bytes of the message");
	__u32 attempts REMORA_HELP("how often it was asked; left out if no question was seen") REMORA_OPTIONAL;
	remora_ns latency REMORA_HELP("time since it was first asked; left out if no question was seen") REMORA_OPTIONAL;
} REMORA_EVENT("answer", "a question was answered")
	REMORA_REPORT("asked");

struct unanswered_event {
	struct remora_head head;
	struct remora_process process; /* the asking one; unknown if incoming */
	struct question question;
	struct ends ends;
	enum dns_direction direction REMORA_HELP("outgoing: the container asked; incoming: it did not answer")
		REMORA_FEATURE;
	__u32 attempts REMORA_HELP("how often it was asked");
	remora_ktime asked REMORA_HELP("when it was first asked");
	char name[256] REMORA_HELP(NAME_HELP "; here at most 255 characters")
		REMORA_ATTRIBUTE("dns.question.name") REMORA_FEATURE;
} REMORA_EVENT("unanswered", "a question got no answer in time; found out when metrics are read or its place is needed")
	REMORA_REPORT("asked");

/* ---- Metrics ---- */
struct query_key {
	remora_index container;
	enum dns_direction direction;
	enum dns_type type;
};
struct query_metrics {
	__u64 queries REMORA_COUNTER("questions asked, each time they were sent");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct query_key);
	__type(value, struct query_metrics);
} dns_queries SEC(".maps");

struct response_key {
	remora_index container;
	enum dns_direction direction;
	enum dns_rcode rcode;
};
struct response_metrics {
	__u64 responses REMORA_COUNTER("answers, by what came of it");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct response_key);
	__type(value, struct response_metrics);
} dns_responses SEC(".maps");

struct dns_key {
	remora_index container;
	enum dns_direction direction;
};
struct dns_metrics {
	__u64 unmatched REMORA_COUNTER("answers to questions that were not seen, or answered before");
	__u64 unanswered REMORA_COUNTER("questions without an answer in time");
	__u64 malformed REMORA_COUNTER("datagrams at the port that are no DNS messages");
	__u64 unparsed REMORA_COUNTER("parts of TCP streams at the port that were not looked at: what begins within "
				      "a message, or follows the first one of a segment");
	remora_histogram_ns latency REMORA_HISTOGRAM("time from the first question to its answer");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * REMORA_CONTAINERS);
	__type(key, struct dns_key);
	__type(value, struct dns_metrics);
} dns_metrics SEC(".maps");

/*
 * Open questions. Each has four places that it may take among those of its container, so that none takes another's
 * room; what never gets an answer is replaced, or swept out when metrics are read.
 */
struct pending_key {
	remora_index container;
	__u32 place;
};
struct pending {
	struct ends ends;
	struct question question;
	__u64 hash;		/* of name, type and class */
	__u64 root;		/* places outlive containers */
	__u64 first, last;	/* when it was asked */
	enum dns_direction direction;
	__u32 attempts;
	struct remora_process process;
	char name[256];		/* its text, cut */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PENDING);
	__type(key, struct pending_key);
	__type(value, struct pending);
} dns_pending SEC(".maps");

/* What one message is taken apart in, one for each direction: receiving may interrupt sending. */
struct work {
	__u32 busy;
	volatile __u32 len;	/* bytes of the message that are here */
	volatile __u32 at;	/* the next one */
	volatile __u32 out;	/* next byte of the text */
	volatile __u32 begun;	/* where the name's text begins */
	volatile __u32 left;	/* bytes left of the label */
	volatile __u32 may_point; /* names may go on elsewhere in the message */
	volatile __u32 seen;	/* records walked over */
	volatile __u32 addresses;
	volatile __u32 addresses_len;
	volatile __u32 addresses_cut; /* there are more */
	volatile __u32 targets;
	volatile __u32 targets_cut;
	__u32 name_len;
	__u32 records;
	__u32 container;
	__u32 size;		/* of the message, what is not here included */
	__u32 flags;
	volatile __u64 hash;
	struct pending pending;
	__u16 target_at[TARGETS];
	struct {
		__u8 byte[16];
		__u32 is_ipv4;
	} address[ADDRESSES];
	__u8 message[MESSAGE_MAX + 16] __attribute__((aligned(8)));
	char text[TEXT_MAX + 8];	/* name, then targets */
	char addresses_text[ADDRESSES_MAX + 8];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct work);
} dns_work SEC(".maps");

REMORA_TRACER(dns, "default,security", "DNS questions asked and answered, by UDP and TCP");

struct packet {
	struct ends ends;
	__u32 at;		/* of the message */
	__u32 len;		/* bytes of it that are here */
	__u32 rest;		/* bytes behind it */
	__u32 whole;		/* its length */
};

/* ---- Packets ---- */
static __always_inline bool is_carrier(__u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_TCP;
}

/* IPv4 options and IPv6 extension headers. */
static __noinline __u32 over_options(struct __sk_buff *skb, __u8 *protocol)
{
	__u32 at = 40, i;
	__u8 head[10];

	if (bpf_skb_load_bytes(skb, 0, head, sizeof(head)))
		return 0;
	if (head[0] >> 4 == 4) {
		*protocol = head[9];
		return is_carrier(head[9]) && !(head[6] & 0x1f) && !head[7] ? (head[0] & 15) * 4 : 0;
	}
	*protocol = head[6];
	for (i = 0; i <= EXTENSIONS; i++) {
		__u8 next = *protocol;

		if (is_carrier(next))
			return at;
		if (next != hop_by_hop && next != routing && next != fragment && next != authentication &&
		    next != destination)
			return 0;
		if (bpf_skb_load_bytes(skb, at, head, 4) || (next == fragment && (head[2] || head[3] & 0xf8)))
			return 0;
		at += next == fragment ? 8 : next == authentication ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
		*protocol = head[0];
	}
	return 0;
}

/*
 * Whether some container has, or had, its servers elsewhere than at port 53: until then a TCP segment is told by its
 * ports alone. Learned from segments that begin a connection, and from datagrams.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} dns_elsewhere SEC(".maps");

static __always_inline __u32 *elsewhere(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&dns_elsewhere, &zero);
}

static __always_inline void learn_elsewhere(void)
{
	__u32 *is_elsewhere = elsewhere();

	if (is_elsewhere && !*is_elsewhere)
		*is_elsewhere = 1;
}

/* What most packets of most containers are is told here: a segment of something else. */
static __always_inline bool is_other(struct __sk_buff *skb, const __u8 *tcp_header, const __be16 *ports, bool egress)
{
	const __be16 standard = bpf_htons(STANDARD_PORT);
	__u32 *is_elsewhere;

	if (ports[0] == standard || ports[1] == standard || tcp_header[13] & TCP_SYN ||
	    (egress && bpf_ntohl(skb->remote_port) == STANDARD_PORT))
		return false;
	is_elsewhere = elsewhere();
	return is_elsewhere && !*is_elsewhere;
}

/* Offset of the UDP or TCP header, or 0. Each packet of the container comes here. */
static __always_inline __u32 transport_of(struct __sk_buff *skb, __u8 *protocol, __be16 *ports, bool egress)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 at;

	if (data + 60 <= end && data[0] >> 4 == 6 && is_carrier(data[6])) {
		*protocol = data[6];
		*(__u32 *)ports = *(__u32 *)(data + 40);
		return data[6] == IPPROTO_TCP && is_other(skb, data + 40, ports, egress) ? 0 : 40;
	}
	if (data + 40 <= end && data[0] == 0x45 && !(data[6] & 0x1f) && !data[7]) {
		*protocol = data[9];
		*(__u32 *)ports = *(__u32 *)(data + 20);
		if (!is_carrier(data[9]))
			return 0;
		return data[9] == IPPROTO_TCP && is_other(skb, data + 20, ports, egress) ? 0 : 20;
	}
	at = over_options(skb, protocol);
	return at && !bpf_skb_load_bytes(skb, at, ports, 4) ? at : 0;
}

static __always_inline void fill_mapped(remora_ipv6 *to, __be32 ipv4)
{
	__u32 *word = (__u32 *)to;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = ipv4;
}

static __always_inline bool fill_ends(struct __sk_buff *skb, struct ends *to, const __be16 *ports, bool egress)
{
	remora_ipv6 *from_address = egress ? &to->local_address : &to->peer_address;
	remora_ipv6 *to_address = egress ? &to->peer_address : &to->local_address;
	__be32 ipv4[2];

	to->local_port = ports[!egress];
	to->peer_port = ports[egress];
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return !bpf_skb_load_bytes(skb, 8, from_address, 16) && !bpf_skb_load_bytes(skb, 24, to_address, 16);
	if (bpf_skb_load_bytes(skb, 12, ipv4, sizeof(ipv4)))
		return false;
	fill_mapped(from_address, ipv4[0]);
	fill_mapped(to_address, ipv4[1]);
	return true;
}

/*
 * netfilter may have put another server in the place of the one that was asked, as docker and service meshes have it
 * do. A connected socket knows better; docker's own server is known by its address. Answers come from where the
 * question went.
 */
static __always_inline bool was_meant_for(struct __sk_buff *skb, __u32 port, __u8 protocol)
{
	__be32 address;

	if (skb->remote_port)
		return bpf_ntohl(skb->remote_port) == port;
	return port == STANDARD_PORT && protocol == IPPROTO_UDP && skb->protocol == bpf_htons(ETH_P_IP) &&
	       !bpf_skb_load_bytes(skb, 16, &address, sizeof(address)) && address == bpf_htonl(DOCKER_SERVER);
}

static __always_inline void fill_meant(struct __sk_buff *skb, struct ends *ends, __u32 port)
{
	__u32 *word = (__u32 *)&ends->peer_address;

	ends->peer_port = bpf_htons(port);
	if (!skb->remote_port)
		return;
	if (skb->family == AF_INET) {
		fill_mapped(&ends->peer_address, skb->remote_ip4);
		return;
	}
	word[0] = skb->remote_ip6[0];
	word[1] = skb->remote_ip6[1];
	word[2] = skb->remote_ip6[2];
	word[3] = skb->remote_ip6[3];
}

/* A raw socket gets a copy of what others receive. */
static __always_inline bool is_copy(struct __sk_buff *skb, __u8 protocol)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	return !sk || sk->type != (protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM);
}

/* ---- Counting ---- */
static const struct dns_metrics nothing;

static __always_inline struct dns_metrics *metrics_of(struct remora_container *c, enum dns_direction direction)
{
	struct dns_key key = { .container = c->index, .direction = direction };
	struct dns_metrics *m = bpf_map_lookup_elem(&dns_metrics, &key);

	if (m)
		return m;
	bpf_map_update_elem(&dns_metrics, &key, &nothing, BPF_NOEXIST);
	m = bpf_map_lookup_elem(&dns_metrics, &key);
	if (!m)
		remora_lost(c);
	return m;
}

#define count(c, direction, member)                                       \
	do {                                                              \
		struct dns_metrics *m_ = metrics_of(c, direction);        \
		if (m_)                                                   \
			remora_add(&m_->member, 1);                       \
	} while (0)

/* One more in a map of counters: none, or the first. */
#define count_in(c, map, key)                                             \
	do {                                                              \
		__u64 one_ = 1, *n_ = bpf_map_lookup_elem(map, key);      \
		if (!n_ && bpf_map_update_elem(map, key, &one_, BPF_NOEXIST)) \
			n_ = bpf_map_lookup_elem(map, key);               \
		else if (!n_)                                             \
			break;                                            \
		if (n_)                                                   \
			remora_add(n_, 1);                                \
		else                                                      \
			remora_lost(c);                                   \
	} while (0)

/* A container may ask for any number as type; its labels are bounded. */
static __always_inline enum dns_type label_of(__u32 type)
{
	switch (type) {
	case A: case NS: case CNAME: case SOA: case PTR: case HINFO: case MX: case TXT: case AAAA: case LOC: case SRV:
	case NAPTR: case DNAME: case DS: case SSHFP: case RRSIG: case NSEC: case DNSKEY: case TLSA: case CDS:
	case SVCB: case HTTPS: case SPF: case IXFR: case AXFR: case ANY: case URI: case CAA:
		return type;
	}
	return OTHER;
}

struct dns_header {
	__be16 id, flags, questions, answers, authorities, additional;
};

/* ---- Text ---- */
static __always_inline struct work *work_of(__u32 side)
{
	return bpf_map_lookup_elem(&dns_work, &side);
}

static __always_inline void put(struct work *w, char byte)
{
	__u32 out = w->out;

	w->text[out & (TEXT_MAX - 1)] = byte;
	w->out = out + 1;
}

/* A byte of a label as in RFC 4343: what is not printable, and the dot that is not between labels, escaped. */
static __always_inline void put_escaped(struct work *w, __u32 byte)
{
	if (byte > ' ' && byte < 0x7f) {
		if (byte == '.' || byte == '\\')
			put(w, '\\');
		put(w, byte);
		return;
	}
	put(w, '\\');
	put(w, '0' + byte / 100);
	put(w, '0' + byte / 10 % 10);
	put(w, '0' + byte % 10);
}

/* 1 if a < b, for numbers below 2^31, without a branch: the verifier would follow both ways, again and again. */
static __always_inline __u32 is_less(__u32 a, __u32 b)
{
	__u32 sign = (a - b) >> 31;

	remora_barrier(sign);
	return sign;
}

static __always_inline __u32 write_ipv4(char *to, __u32 out, const __u8 *byte)
{
	const __u32 mask = ADDRESSES_MAX - 1;
	__u32 i;

	for (i = 0; i < 4; i++) {
		__u32 v = byte[i], hundreds = v * 41 >> 12, tens = (v - hundreds * 100) * 103 >> 10;

		to[out & mask] = '0' + hundreds;
		out += is_less(99, v);
		to[out & mask] = '0' + tens;
		out += is_less(9, v);
		to[out & mask] = '0' + v - hundreds * 100 - tens * 10;
		to[(out + 1) & mask] = '.';
		out += 2;
	}
	return out - 1;
}

static __always_inline char hexadecimal(__u32 digit)
{
	return '0' + digit + is_less(9, digit) * ('a' - '0' - 10);
}

/* As RFC 5952 says: the longest run of zero groups is left out, the first of equal ones. */
static __always_inline __u32 write_ipv6(char *to, __u32 out, const __u8 *byte)
{
	const __u32 mask = ADDRESSES_MAX - 1;
	__u32 run = 0, longest = 0, begin = 0, i;

	for (i = 0; i < 8; i++) {
		__u32 is_zero = is_less(byte[2 * i] | byte[2 * i + 1], 1), longer;

		run = (run + 1) * is_zero;
		longer = is_less(longest, run);
		longest += (run - longest) * longer;
		begin += (i + 1 - run - begin) * longer;
	}
	longest *= is_less(1, longest);
	for (i = 0; i < 8; i++) {
		__u32 group = byte[2 * i] << 8 | byte[2 * i + 1];
		__u32 shown = is_less(i, begin) | (1 - is_less(i, begin + longest));
		__u32 first = (1 - shown) * (1 - is_less(begin, i));

		to[out & mask] = ':';
		out += first | (shown & is_less(0, i));
		to[out & mask] = hexadecimal(group >> 12);
		out += shown & is_less(0xfff, group);
		to[out & mask] = hexadecimal(group >> 8 & 15);
		out += shown & is_less(0xff, group);
		to[out & mask] = hexadecimal(group >> 4 & 15);
		out += shown & is_less(0xf, group);
		to[out & mask] = hexadecimal(group & 15);
		out += shown;
	}
	to[out & mask] = ':';
	return out + is_less(7, begin + longest);
}

static __always_inline bool is_mapped(const __u8 *byte)
{
	const __u32 *word = (const __u32 *)byte;

	return !word[0] && !word[1] && word[2] == bpf_htonl(0xffff);
}

static __always_inline __u32 write_mapped(char *to, __u32 out, const __u8 *byte)
{
	const char prefix[] = "::ffff:";
	__u32 i;

	for (i = 0; i < sizeof(prefix) - 1; i++)
		to[(out + i) & (ADDRESSES_MAX - 1)] = prefix[i];
	return write_ipv4(to, out + sizeof(prefix) - 1, byte + 12);
}

global int write_address(__u32 side, __u32 n)
{
	struct work *w = work_of(side);
	__u32 out;

	if (!w)
		return 0;
	n &= ADDRESSES - 1;
	out = w->addresses_len;
	if (w->address[n].is_ipv4)
		out = write_ipv4(w->addresses_text, out, w->address[n].byte);
	else if (is_mapped(w->address[n].byte))
		out = write_mapped(w->addresses_text, out, w->address[n].byte);
	else
		out = write_ipv6(w->addresses_text, out, w->address[n].byte);
	w->addresses_text[out & (ADDRESSES_MAX - 1)] = 0;
	w->addresses_len = out + 1;
	return 0;
}

/* ---- Names ---- */
static __always_inline __u32 byte_at(struct work *w, __u32 at)
{
	return w->message[at & (MESSAGE_MAX - 1)];
}

static __always_inline __u32 word_at(struct work *w, __u32 at)
{
	at &= MESSAGE_MAX - 1;
	return w->message[at] << 8 | w->message[at + 1];
}

/* Hashed as names are compared: regardless of case (FNV-1a). */
static __always_inline void add_to_hash(struct work *w, __u32 byte)
{
	byte |= (byte - 'A' < 26) << 5;
	w->hash = (w->hash ^ byte) * 0x100000001b3ULL;
}

enum step {
	more,
	whole,
	broken,
};

/* One byte of a name. */
static __always_inline enum step read_byte(struct work *w)
{
	__u32 at = w->at, left = w->left, byte = byte_at(w, at);

	if (at >= w->len)
		return broken;
	w->at = at + 1;
	if (left) {
		w->left = left - 1;
		add_to_hash(w, byte);
		put_escaped(w, byte);
		return more;
	}
	if (!byte)
		return whole;
	if (byte >= POINTER) {
		w->at = word_at(w, at) & 0x3fff;
		return w->may_point && at + 1 < w->len ? more : broken;
	}
	if (byte > LABEL_MAX)
		return broken;
	w->left = byte;
	add_to_hash(w, byte);
	if (w->out != w->begun)
		put(w, '.');
	return more;
}

global int read_bytes(__u32 side)
{
	struct work *w = work_of(side);
	enum step step = broken;
	__u32 i;

	if (!w)
		return broken;
#pragma clang loop unroll(disable)
	for (i = 0; i < STEPS; i++) {
		step = read_byte(w);
		if (step != more)
			break;
	}
	return step;
}

/* The name at w->at as text; whether it is one. */
global int read_name(__u32 side)
{
	struct work *w = work_of(side);
	__u32 i, step = more;

	if (!w)
		return false;
	w->begun = w->out;
	w->left = 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < NAME_STEPS / STEPS && step == more; i++)
		step = read_bytes(side);
	if (step != whole)
		return false;
	if (w->out == w->begun)
		put(w, '.');
	return true;
}

/* ---- Messages ---- */
/* The question. Its name is the first of the message, so that there is nothing to point at. */
static __always_inline bool read_question(struct work *w, __u32 side)
{
	__u32 at;

	w->hash = 0xcbf29ce484222325ULL;
	w->may_point = 0;
	if (!read_name(side))
		return false;
	at = w->at;
	if (at + 4 > w->len || at > sizeof(struct dns_header) + NAME_MAX)
		return false;
	w->name_len = w->out;
	w->pending.question.type = word_at(w, at);
	w->pending.question.class = word_at(w, at + 2);
	w->pending.hash = w->hash ^ (word_at(w, at) << 16 | word_at(w, at + 2));
	w->at = at + 4;
	return true;
}

static __always_inline void take_address(struct work *w, __u32 at, const __u32 size)
{
	__u32 n = w->addresses, i;

	if (n >= ADDRESSES) {
		w->addresses_cut = 1;
		return;
	}
	at &= MESSAGE_MAX - 1;
	n &= ADDRESSES - 1;
	for (i = 0; i < size; i++)
		w->address[n].byte[i] = w->message[at + i];
	w->address[n].is_ipv4 = size == 4;
	w->addresses = n + 1;
}

static __always_inline void take_target(struct work *w, __u32 at)
{
	__u32 n = w->targets;

	if (n >= TARGETS) {
		w->targets_cut = 1;
		return;
	}
	w->target_at[n & (TARGETS - 1)] = at;
	w->targets = n + 1;
}

/* One record of the answer, or one label of the name before it. */
static __always_inline enum step read_record(struct work *w)
{
	__u32 at = w->at, len = w->len, first = byte_at(w, at), type, size;

	if (w->seen >= w->records)
		return whole;
	if (first && first <= LABEL_MAX) {
		w->at = at + 1 + first;
		return at < len ? more : broken;
	}
	if (first && first < POINTER)
		return broken;
	at += first ? 2 : 1;
	type = word_at(w, at);
	size = word_at(w, at + 8);
	at += 10;
	if (at + size > len)
		return broken;
	if (type == A && size == 4)
		take_address(w, at, 4);
	else if (type == AAAA && size == 16)
		take_address(w, at, 16);
	else if (type == CNAME || type == PTR)
		take_target(w, at);
	w->at = at + size;
	w->seen++;
	return more;
}

global int read_some_records(__u32 side)
{
	struct work *w = work_of(side);
	enum step step = broken;
	__u32 i;

	if (!w)
		return broken;
#pragma clang loop unroll(disable)
	for (i = 0; i < STEPS; i++) {
		step = read_record(w);
		if (step != more)
			break;
	}
	return step;
}

static __always_inline void read_records(struct work *w, __u32 side)
{
	__u32 i, step = more;

	w->seen = 0;
	w->addresses = 0;
	w->addresses_cut = 0;
	w->targets = 0;
	w->targets_cut = 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < RECORD_STEPS / STEPS && step == more; i++)
		step = read_some_records(side);
	if (step == whole)
		return;
	w->addresses_cut = 1;
	w->targets_cut = 1;
}

/* What was found, as text. A name that does not end is left out. */
static __always_inline void write_answers(struct work *w, __u32 side)
{
	__u32 i;

	w->addresses_len = 0;
	for (i = 0; i < ADDRESSES && i < w->addresses; i++)
		write_address(side, i);
	w->may_point = 1;
	for (i = 0; i < TARGETS && i < w->targets; i++) {
		w->at = w->target_at[i & (TARGETS - 1)];
		if (w->out < TEXT_MAX - NAME_STEPS * 4 && read_name(side)) {
			put(w, 0);
			continue;
		}
		w->out = w->begun;
		w->targets_cut = 1;
	}
}

/* ---- Open questions ---- */
static __always_inline bool is_same(const struct pending *a, const struct pending *b)
{
	const __u64 *x = (const __u64 *)&a->ends, *y = (const __u64 *)&b->ends;
	__u64 differs = (a->hash ^ b->hash) | (a->root ^ b->root) | (a->question.id ^ b->question.id) |
			(a->direction ^ b->direction);

	return !(differs | (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

/* The first of its places. */
static __always_inline __u32 set_of(const struct pending *p)
{
	__u64 h = p->hash ^ p->question.id ^ (__u64)p->ends.local_port << 16 ^ (__u64)p->ends.peer_port << 32;

	return (h * 0x9e3779b97f4a7c15ULL >> 32 & (SETS - 1)) * WAYS;
}

static __always_inline void give_up(struct remora_container *c, const struct pending *p)
{
	struct unanswered_event *e;

	count(c, p->direction, unanswered);
	e = remora_reserve(c, struct unanswered_event);
	if (!e)
		return;
	e->process = p->process;
	e->question = p->question;
	e->ends = p->ends;
	e->direction = p->direction;
	e->attempts = p->attempts;
	e->asked = p->first;
	__builtin_memcpy(e->name, p->name, sizeof(e->name));
	remora_submit(e);
}

struct found {
	struct pending_key key;
	struct pending *old;	/* what is there */
	bool is_same;		/* the same question */
};

/* The place of the question: where it is, one that is free, or that of the one silent for longest. */
static __always_inline struct found find(struct remora_container *c, const struct pending *p)
{
	struct found f = { .key = { .container = c->index } };
	__u32 set = set_of(p), place = set, i;
	__u64 oldest = ~0ULL;

	for (i = 0; i < WAYS; i++) {
		f.key.place = set + i;
		f.old = bpf_map_lookup_elem(&dns_pending, &f.key);
		f.is_same = f.old && is_same(f.old, p);
		if (f.is_same)
			return f;
		if (oldest && (!f.old || f.old->last < oldest)) {
			oldest = f.old ? f.old->last : 0;
			place = f.key.place;
		}
	}
	f.key.place = place;
	f.old = bpf_map_lookup_elem(&dns_pending, &f.key);
	return f;
}

/* Writes the question down, or that it was asked again. */
static __always_inline void remember(struct remora_container *c, struct pending *p, __u64 timeout)
{
	struct found f = find(c, p);
	bool is_late = f.old && p->last >= f.old->last + timeout;

	if (f.is_same && !is_late) {
		f.old->last = p->last;
		p->attempts = ++f.old->attempts;
		return;
	}
	if (f.old && f.old->root == c->root) {
		if (is_late)
			give_up(c, f.old);
		else
			remora_lost(c);
	}
	if (bpf_map_update_elem(&dns_pending, &f.key, p, BPF_ANY))
		remora_lost(c);
}

/* What is known of the question that this answers; whoever takes it away has it. */
static __always_inline __u64 match(struct remora_container *c, struct pending *p)
{
	struct found f = find(c, p);
	__u64 first;
	__u32 attempts;

	if (!f.is_same)
		return 0;
	first = f.old->first;
	attempts = f.old->attempts;
	if (p->direction == outgoing)
		p->process = f.old->process;
	if (bpf_map_delete_elem(&dns_pending, &f.key))
		return 0;
	p->attempts = attempts;
	return p->last > first ? p->last - first : 1;
}

/* ---- Reporting ---- */
/*
 * A datagram is sent by its process. What a TCP socket sends is its process's doing while that has the socket
 * locked; else an acknowledgement or a timer did it, and current is anybody.
 */
static __always_inline void fill_owner(struct __sk_buff *skb, struct remora_container *c, struct pending *p)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tp;

	if (p->ends.transport == tcp) {
		tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
		if (!tp || !tp->inet_conn.icsk_inet.sk.sk_lock.owned)
			return;
	}
	if (remora_find(BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id)) == c)
		remora_fill_process_of(&p->process, task);
}

static __always_inline void add_tail(struct remora_scratch *b, struct remora_tail *t, const __u32 fixed, const void *from,
				     __u32 len)
{
	remora_barrier(len);
	len &= TEXT_MAX - 1;
	if (len && !bpf_probe_read_kernel(remora_tail_at(b, fixed), len, from))
		remora_tail_add(b, t, len);
}

static __always_inline void report_query(struct remora_container *c, struct work *w)
{
	struct remora_scratch *b = remora_begin_net(c, struct query_event);
	const __u32 fixed = sizeof(struct query_event);
	struct query_event *e;

	if (!b)
		return;
	e = remora_event(b, struct query_event);
	e->process = w->pending.process;
	e->question = w->pending.question;
	e->ends = w->pending.ends;
	e->direction = w->pending.direction;
	e->flags = w->flags & DNS_FLAGS;
	e->attempts = w->pending.attempts;
	e->size = w->size;
	add_tail(b, &e->name, fixed, w->text, w->name_len);
	remora_end(c, b, fixed);
}

static __always_inline void report_answer(struct remora_container *c, struct work *w, __u64 latency)
{
	struct remora_scratch *b = remora_begin_net(c, struct answer_event);
	const __u32 fixed = sizeof(struct answer_event);
	__u32 name_len = w->name_len & (TEXT_MAX - 1);
	struct answer_event *e;

	if (!b)
		return;
	e = remora_event(b, struct answer_event);
	e->process = w->pending.process;
	e->question = w->pending.question;
	e->ends = w->pending.ends;
	e->direction = w->pending.direction;
	e->rcode = w->flags & 15;
	e->flags = w->flags & DNS_FLAGS;
	e->records = w->records;
	e->size = w->size;
	e->latency = latency;
	e->attempts = latency ? w->pending.attempts : 0;
	add_tail(b, &e->name, fixed, w->text, w->name_len);
	add_tail(b, &e->answers, fixed, w->addresses_text, w->addresses_len);
	e->answers.truncated = w->addresses_cut;
	add_tail(b, &e->targets, fixed, w->text + name_len, w->out - name_len);
	e->targets.truncated = w->targets_cut;
	remora_end(c, b, fixed);
}

static __always_inline void asked(struct remora_container *c, struct work *w)
{
	struct pending *p = &w->pending;
	struct query_key key = { .container = c->index, .direction = p->direction,
				 .type = label_of(p->question.type) };
	struct dns_params *params = remora_params_of(c);
	__u32 len = w->name_len;

	count_in(c, &dns_queries, &key);
	if (len > sizeof(p->name) - 1)
		len = sizeof(p->name) - 1;
	remora_barrier(len);
	len &= sizeof(p->name) - 1;
	bpf_probe_read_kernel(p->name, len, w->text);
	p->name[len] = 0;
	p->attempts = 1;
	if (!params)
		return;
	remember(c, p, params->timeout * SECOND);
	if (params->queries)
		report_query(c, w);
}

static __always_inline void answered(struct remora_container *c, struct work *w, __u32 side)
{
	struct response_key key = { .container = c->index, .direction = w->pending.direction, .rcode = w->flags & 15 };
	struct dns_metrics *m = metrics_of(c, w->pending.direction);
	__u64 latency = match(c, &w->pending);

	count_in(c, &dns_responses, &key);
	if (m && latency)
		remora_observe(&m->latency, latency, 10);
	else if (m)
		remora_add(&m->unmatched, 1);
	read_records(w, side);
	write_answers(w, side);
	report_answer(c, w, latency);
}

/* The message that was put into the work; whether it is one. */
global int take_message(struct __sk_buff *skb, __u32 side)
{
	struct work *w = work_of(side);
	struct remora_container *c;
	struct dns_header *head;
	struct pending *p;
	bool is_response;

	c = w ? remora_container_at(w->container) : NULL;
	if (!c)
		return false;
	p = &w->pending;
	head = (struct dns_header *)w->message;
	w->flags = bpf_ntohs(head->flags);
	w->records = bpf_ntohs(head->answers);
	w->at = sizeof(*head);
	w->out = 0;
	w->name_len = 0;
	p->question.id = bpf_ntohs(head->id);
	p->question.opcode = w->flags >> 11 & 15;
	p->question.type = 0;
	p->question.class = 0;
	p->hash = 0;
	p->root = c->root;
	p->first = p->last = bpf_ktime_get_boot_ns();
	__builtin_memset(&p->process, 0, sizeof(p->process));
	is_response = w->flags & DNS_RESPONSE;
	if (head->questions == bpf_htons(1) ? !read_question(w, side) : head->questions || !is_response)
		return false;
	if (side == EGRESS)
		fill_owner(skb, c, p);
	if (is_response)
		answered(c, w, side);
	else
		asked(c, w);
	return true;
}

/* ---- From packets to messages ---- */
static __always_inline bool load_message(struct __sk_buff *skb, struct work *w, const struct packet *packet)
{
	__u32 len = packet->len;

	if (len < sizeof(struct dns_header))
		return false;
	if (len > MESSAGE_MAX)
		len = MESSAGE_MAX;
	len--; /* so that the verifier sees that it is not 0 */
	remora_barrier(len);
	len &= MESSAGE_MAX - 1;
	len++;
	w->len = len;
	w->size = packet->whole;
	return !bpf_skb_load_bytes(skb, packet->at, w->message, len);
}

/* Queries go to the port, answers come from it. */
static __always_inline bool read_message(struct __sk_buff *skb, struct remora_container *c, struct work *w,
					 const struct packet *packet, __u32 port, const bool egress)
{
	const struct ends *ends = &packet->ends;
	enum dns_direction direction;

	if (!load_message(skb, w, packet))
		return false;
	direction = !!(w->message[2] & RESPONSE) == egress ? incoming : outgoing;
	if (bpf_ntohs(direction == outgoing ? ends->peer_port : ends->local_port) != port)
		return false;
	w->container = c->index;
	w->pending.ends = *ends;
	w->pending.direction = direction;
	return take_message(skb, egress ? EGRESS : INGRESS);
}

/* Behind the transport header: where the message begins and how much of it is here; false if there is none. */
static __always_inline bool find_message(struct __sk_buff *skb, struct packet *packet, __u32 at)
{
	__be16 length;
	__u8 offset;

	if (packet->ends.transport == udp) {
		packet->at = at + UDP_HEADER;
		packet->len = skb->len > packet->at ? skb->len - packet->at : 0;
		packet->whole = packet->len;
		return true;
	}
	if (bpf_skb_load_bytes(skb, at + 12, &offset, 1))
		return false;
	at += (offset >> 4) * 4;
	if (skb->len <= at)
		return false;
	packet->at = at + sizeof(length);
	packet->rest = skb->len - at;
	if (packet->rest < sizeof(length) || bpf_skb_load_bytes(skb, at, &length, sizeof(length)))
		return true;
	packet->rest -= sizeof(length);
	packet->whole = bpf_ntohs(length);
	packet->len = packet->whole < packet->rest ? packet->whole : packet->rest;
	packet->rest -= packet->len;
	return true;
}

static __always_inline void look(struct __sk_buff *skb, struct remora_container *c, struct packet *packet, __u32 port,
				 const bool egress)
{
	struct work *w = work_of(egress ? EGRESS : INGRESS);
	enum dns_direction direction;
	bool is_read;

	if (!w)
		return;
	if (w->busy) {
		remora_lost(c);
		return;
	}
	w->busy = 1;
	is_read = read_message(skb, c, w, packet, port, egress);
	w->busy = 0;
	if (is_read && !packet->rest)
		return;
	direction = bpf_ntohs(packet->ends.peer_port) == port ? outgoing : incoming;
	if (packet->ends.transport == tcp)
		count(c, direction, unparsed);
	else
		count(c, direction, malformed);
}

static __always_inline int passed(struct __sk_buff *skb, const bool egress)
{
	struct packet packet = {};
	struct remora_container *c;
	struct dns_params *params;
	__u8 protocol = 0;
	__be16 ports[2];
	__u32 at = transport_of(skb, &protocol, ports, egress), port;
	bool is_changed;

	if (!at)
		return 1;
	c = remora_container_of_skb(skb);
	params = c ? remora_params_of(c) : NULL;
	if (!params)
		return 1;
	port = params->port;
	if (port != STANDARD_PORT)
		learn_elsewhere();
	is_changed = bpf_ntohs(ports[0]) != port && bpf_ntohs(ports[1]) != port;
	if (is_changed && (!egress || !was_meant_for(skb, port, protocol)))
		return 1;
	if ((!egress && is_copy(skb, protocol)) || !fill_ends(skb, &packet.ends, ports, egress))
		return 1;
	if (is_changed)
		fill_meant(skb, &packet.ends, port);
	packet.ends.transport = protocol;
	if (find_message(skb, &packet, at))
		look(skb, c, &packet, port, egress);
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

/* ---- Questions that nobody will answer any more ---- */
SEC("iter/bpf_map_elem") REMORA_REFRESH("dns_pending")
int expired(struct bpf_iter__bpf_map_elem *ctx)
{
	struct pending *p = ctx->value, had;
	struct pending_key *at = ctx->key, key;
	struct remora_container *c;
	struct dns_params *params;

	if (!at || !p)
		return 0;
	key = *at;
	c = remora_container_at(key.container);
	if (!c)
		return 0;
	bpf_probe_read_kernel(&had, sizeof(had), p);
	if (c->root != had.root) {
		bpf_map_delete_elem(&dns_pending, &key);
		return 0;
	}
	params = remora_params_of(c);
	if (!params || !(c->tracers & remora_self.mask) || !remora_is_current() ||
	    bpf_ktime_get_boot_ns() < had.last + params->timeout * SECOND)
		return 0;
	if (!bpf_map_delete_elem(&dns_pending, &key))
		give_up(c, &had);
	return 0;
}
