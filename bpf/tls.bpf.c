// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* What TLS clients ask for: the ClientHello of each connection, on any port and wherever in a connection it comes,
 * read from the segment that begins with it, and from those behind it if it is longer. */
#include "segment.bpf.h"

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define BPF_F_CLONE (1 << 9)
#define BPF_SK_STORAGE_GET_F_CREATE 1

#define HEAD 11			/* bytes by which a hello is told */
#define RECORD 5		/* header of a record */
#define MESSAGE 9		/* ... and of the message in it */
#define HANDSHAKE 22
#define CLIENT_HELLO 1
#define RECORD_MAX 16384
#define FIXED 43		/* up to the session id: versions and random bytes */
#define SESSION_MAX 32
#define HELLO_MAX 4096		/* power of two; of a longer one that is not in one segment the rest is not read */
#define PIECE 2048		/* power of two; what is taken at a time */
#define PIECES 3
#define EXTENSIONS_MAX 64
#define VERSIONS_MAX 32
#define NAME_MAX 255
#define PROTOCOLS_MAX 16
#define SERVER_NAME 0
#define ALPN 16
#define SUPPORTED_VERSIONS 43
#define ENCRYPTED_HELLO 0xfe0d

enum hello_direction {
	outgoing,
	incoming,
};

enum tls_version {
	unknown,
	SSL_3_0 = 0x300,
	TLS_1_0,
	TLS_1_1,
	TLS_1_2,
	TLS_1_3,
};

struct tls_params {
	__u16 port REMORA_OWN_PARAM("0", "0", "65535", "only hellos to this port of the server's; 0: to any");
	__u8 _pad[6];
};
REMORA_PARAMS(struct tls_params)

struct span {
	__u32 at;
	__u32 len;
};

/* What is known of a hello before it is read. */
struct hello {
	__u32 at;		/* of its first byte in the packet */
	__u32 have;		/* bytes that are there */
	__u32 end;		/* of the message, its header included */
	__u32 reach;		/* of the record it begins in: a message may continue in another */
	__u16 version;
	bool is_part;		/* it is not in the packet, but in the socket's part */
	bool is_egress;
};

struct client_hello_event {
	struct remora_head head;
	struct remora_process process; /* outgoing: sent it; incoming: made the socket that listens */
	struct ends ends;
	enum hello_direction direction REMORA_HELP("outgoing: the container is the client") REMORA_FEATURE;
	enum tls_version version REMORA_HELP("highest version offered") REMORA_FEATURE;
	remora_text server_name REMORA_HELP("name of the server that the client wants (SNI)") REMORA_FEATURE
		REMORA_OPTIONAL REMORA_ATTRIBUTE("tls.client.server_name");
	remora_args alpn REMORA_HELP("application protocols offered (ALPN), the preferred one first")
		REMORA_FEATURE;
	__u16 ciphers REMORA_HELP("number of cipher suites offered");
	__u16 extensions REMORA_HELP("number of extensions, but for those that only try the server (GREASE)");
	bool encrypted REMORA_HELP("has an encrypted hello inside, whose server name is another, or that only tries the "
				   "server (ECH, GREASE)") REMORA_OPTIONAL;
	bool truncated REMORA_HELP("the end of the hello was not seen: what is missing here may have been there")
		REMORA_OPTIONAL;
	bool _is_doubled;	/* an extension came twice */
	__u8 _pad;
	/* The hello is read straight into the record: what is in memory the verifier need not follow. */
	struct hello _hello;
	struct span _server_name;
	struct span _alpn;
	struct span _versions;
	__u32 _at;		/* how far it has been read */
	__u32 _pad2;
} REMORA_EVENT("client_hello", "a TLS client began a handshake")
	REMORA_REPORT("connected");

struct hello_key {
	remora_index container;
	enum hello_direction direction;
	enum tls_version version;
	__u32 _pad;
};
struct hello_count {
	__u64 hellos REMORA_COUNTER("handshakes begun by clients, by the highest version offered");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct hello_key);
	__type(value, struct hello_count);
} tls_hellos SEC(".maps");

struct failure_key {
	remora_index container;
	enum hello_direction direction;
};
struct failure_count {
	__u64 incomplete REMORA_COUNTER("hellos whose end was not seen, also among tls_hellos if their beginning was sound");
	__u64 malformed REMORA_COUNTER("what began like a hello but contradicts itself; not reported");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2048);
	__type(key, struct failure_key);
	__type(value, struct failure_count);
} tls_failures SEC(".maps");

/* Who made a socket; of an accepted one, who made the one that listens. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct remora_process);
} tls_owners SEC(".maps");

/* A hello that is not in one segment, while the others are awaited. */
struct part {
	struct remora_process process;
	__u32 next;		/* sequence number of the byte that is missing */
	__u32 len;
	bool is_egress;
	__u8 _pad[7];
	__u8 data[HELLO_MAX + PIECE];
};
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct part);
} tls_parts SEC(".maps");

REMORA_TRACER(tls, "security", "server names, protocols and versions that TLS clients ask for");

/* ---- Counts ---- */
static __always_inline void count_hello(struct remora_container *c, enum hello_direction direction,
					enum tls_version version)
{
	struct hello_key key = { .container = c->index, .direction = direction, .version = version };
	struct hello_count *count = bpf_map_lookup_elem(&tls_hellos, &key), none = {};

	if (!count) {
		bpf_map_update_elem(&tls_hellos, &key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&tls_hellos, &key);
	}
	if (count)
		remora_add(&count->hellos, 1);
	else
		remora_lost(c);
}

static __always_inline void count_failure(struct remora_container *c, enum hello_direction direction,
					  bool is_malformed)
{
	struct failure_key key = { .container = c->index, .direction = direction };
	struct failure_count *count = bpf_map_lookup_elem(&tls_failures, &key), none = {};

	if (!count) {
		bpf_map_update_elem(&tls_failures, &key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&tls_failures, &key);
	}
	if (count)
		remora_add(is_malformed ? &count->malformed : &count->incomplete, 1);
	else
		remora_lost(c);
}

/* ---- Reading. Every length is checked against what holds it; nothing is read beyond what was sent. ---- */
enum verdict {
	whole,
	cut,			/* more of it must have been sent, or was too much to be read */
	bad,
};

/* Where a hello is, and the record it is read into. */
struct source {
	struct __sk_buff *skb;
	struct part *part;
	struct remora_scratch *scratch;
	struct client_hello_event *event;
	const struct hello *hello;
};

/*
 * Functions that begin with this are verified each for itself, whatever state a caller is in: the verifier would
 * go through each of their loops once for each way into it.
 */
static __always_inline bool find(struct source *s, struct __sk_buff *skb)
{
	__u32 net = 1;

	s->skb = skb;
	s->part = NULL;
	s->scratch = bpf_map_lookup_elem(&remora_scratch, &net);
	if (!s->scratch || !skb->sk)
		return false;
	s->event = remora_event(s->scratch, struct client_hello_event);
	s->hello = &s->event->_hello;
	if (s->hello->is_part)
		s->part = bpf_sk_storage_get(&tls_parts, skb->sk, 0, 0);
	return s->part || !s->hello->is_part;
}

/* A constant number of bytes. */
static __always_inline bool take(const struct source *s, __u32 at, void *to, const __u32 len)
{
	if (at + len > s->hello->have)
		return false;
	if (s->part)
		return !bpf_probe_read_kernel(to, len, &s->part->data[at & (HELLO_MAX - 1)]);
	return !bpf_skb_load_bytes(s->skb, s->hello->at + at, to, len);
}

/* Up to NAME_MAX bytes, which are there, to a place that has room. */
static __always_inline void copy(const struct source *s, __u32 at, void *to, __u32 len)
{
	if (!len)
		return;
	len = bounded(len, NAME_MAX);
	if (s->part)
		bpf_probe_read_kernel(to, len, &s->part->data[at & (HELLO_MAX - 1)]);
	else
		bpf_skb_load_bytes(s->skb, s->hello->at + at, to, len);
}

static __always_inline __u32 number(const __u8 *b)
{
	return b[0] << 8 | b[1];
}

/* Whether this is the head of a hello, and how long that says it is. */
static __always_inline bool read_head(struct hello *h, const __u8 *b)
{
	if (b[0] != HANDSHAKE || b[1] != 3 || b[2] > 4 || b[5] != CLIENT_HELLO || b[6] || b[9] != 3 || b[10] > 4)
		return false;
	h->reach = RECORD + number(&b[3]);
	h->end = MESSAGE + number(&b[7]);
	h->version = number(&b[9]);
	if (h->reach <= MESSAGE || h->reach > RECORD + RECORD_MAX || h->end <= FIXED)
		return false;
	if (h->reach > h->end)
		h->reach = h->end;
	return true;
}

/* Something that reaches up to there is missing. */
static __always_inline enum verdict missing(const struct source *s, __u32 to)
{
	return to > s->hello->end ? bad : cut;
}

/* The highest known of the versions, which stand behind the length of their list. */
__noinline int read_versions(struct __sk_buff *skb)
{
	const struct span *list;
	struct source s;
	__u32 i;
	__u8 b[2];

	if (!find(&s, skb))
		return bad;
	list = &s.event->_versions;
	if (!list->len)
		return whole;
	if (!take(&s, list->at, b, 1) || b[0] + 1U != list->len || !b[0] || b[0] & 1)
		return bad;
	s.event->version = unknown;
	for (i = 0; i < VERSIONS_MAX; i++) {
		if (1 + 2 * i >= list->len || !take(&s, list->at + 1 + 2 * i, b, 2))
			break;
		if (b[0] == 3 && b[1] <= 4 && number(b) > s.event->version)
			s.event->version = number(b);
	}
	return whole;
}

/* A list of one name: its length, a type, the name's length, the name. */
static __always_inline enum verdict read_server_name(const struct source *s)
{
	struct span *name = &s->event->_server_name;
	__u8 b[5];

	if (!name->len)
		return whole;
	if (!take(s, name->at, b, sizeof(b)) || number(b) + 2 != name->len || b[2] || !number(&b[3]) ||
	    number(&b[3]) + sizeof(b) != name->len)
		return bad;
	name->at += sizeof(b);
	name->len -= sizeof(b);
	return whole;
}

static __always_inline enum verdict read_alpn(const struct source *s)
{
	struct span *list = &s->event->_alpn;
	__u8 b[2];

	if (!list->len)
		return whole;
	if (list->len < 4 || !take(s, list->at, b, 2) || number(b) + 2 != list->len)
		return bad;
	list->at += 2;
	list->len -= 2;
	return whole;
}

/* None of these is ever empty. */
static __always_inline void note(struct client_hello_event *e, struct span *at, __u32 len)
{
	if (at->len || !len)
		e->_is_doubled = true;
	at->at = e->_at;
	at->len = len;
}

__noinline int read_extension(struct __sk_buff *skb)
{
	struct client_hello_event *e;
	__u32 type, len;
	struct source s;
	__u8 b[4];

	if (!find(&s, skb))
		return bad;
	e = s.event;
	if (!take(&s, e->_at, b, sizeof(b)))
		return missing(&s, e->_at + sizeof(b));
	type = number(b);
	len = number(&b[2]);
	e->_at += sizeof(b);
	if (e->_at + len > s.hello->have)
		return missing(&s, e->_at + len);
	if ((type & 0xf0f) != 0xa0a)
		e->extensions++;
	if (type == SERVER_NAME)
		note(e, &e->_server_name, len);
	else if (type == ALPN)
		note(e, &e->_alpn, len);
	else if (type == SUPPORTED_VERSIONS)
		note(e, &e->_versions, len);
	else if (type == ENCRYPTED_HELLO)
		e->encrypted = true;
	e->_at += len;
	return whole;
}

static __always_inline enum verdict read_extensions(const struct source *s)
{
	struct client_hello_event *e = s->event;
	int verdict = whole;
	__u32 i;

	for (i = 0; i < EXTENSIONS_MAX && e->_at != s->hello->end && verdict == whole; i++)
		verdict = read_extension(s->skb);
	if (e->_is_doubled)
		return bad;
	return verdict == whole && e->_at != s->hello->end ? cut : verdict;
}

/* After the fixed part: session id, cipher suites, compression methods, extensions if any. */
static __always_inline enum verdict read_message(const struct source *s)
{
	struct client_hello_event *e = s->event;
	__u8 b[2];

	e->_at = FIXED;
	if (!take(s, e->_at, b, 1))
		return missing(s, e->_at + 1);
	if (b[0] > SESSION_MAX)
		return bad;
	e->_at += 1 + b[0];
	if (!take(s, e->_at, b, 2))
		return missing(s, e->_at + 2);
	if (!number(b) || number(b) & 1)
		return bad;
	e->ciphers = number(b) / 2;
	e->_at += 2 + number(b);
	if (!take(s, e->_at, b, 1))
		return missing(s, e->_at + 1);
	if (!b[0])
		return bad;
	e->_at += 1 + b[0];
	if (e->_at == s->hello->end)
		return whole;
	if (!take(s, e->_at, b, 2))
		return missing(s, e->_at + 2);
	e->_at += 2;
	if (e->_at + number(b) != s->hello->end)
		return bad;
	return read_extensions(s);
}

/* ---- Telling ---- */
static __always_inline void add_server_name(const struct source *s)
{
	struct client_hello_event *e = s->event;
	char *to = remora_tail_at(s->scratch, sizeof(*e));
	__u32 len = e->_server_name.len;

	if (len > NAME_MAX) {
		len = NAME_MAX;
		e->server_name.truncated = 1;
	}
	if (!len)
		return;
	copy(s, e->_server_name.at, to, len);
	to[len & NAME_MAX] = 0; /* it may end in one itself */
	remora_tail_add(s->scratch, &e->server_name, len + 1);
}

/* The next of the list, which shrinks by it. None is empty, and one with a NUL would be shown as two. */
__noinline int add_protocol(struct __sk_buff *skb)
{
	struct client_hello_event *e;
	struct source s;
	__u32 len;
	char *to;
	__u8 b;

	if (!find(&s, skb))
		return bad;
	e = s.event;
	if (!take(&s, e->_alpn.at, &b, 1) || !b || b >= e->_alpn.len)
		return bad;
	len = b;
	to = remora_tail_at(s.scratch, sizeof(*e));
	copy(&s, e->_alpn.at + 1, to, len);
	to[len] = 0;
	if (bpf_probe_read_kernel_str(to, bounded(len + 1, NAME_MAX), to) != len + 1)
		return bad;
	remora_tail_add(s.scratch, &e->alpn, len + 1);
	e->_alpn.at += len + 1;
	e->_alpn.len -= len + 1;
	return whole;
}

static __always_inline enum verdict add_alpn(const struct source *s)
{
	struct client_hello_event *e = s->event;
	int verdict = whole;
	__u32 i;

	for (i = 0; i < PROTOCOLS_MAX && e->_alpn.len && verdict == whole; i++)
		verdict = add_protocol(s->skb);
	e->alpn.truncated = verdict == whole && e->_alpn.len;
	return verdict;
}

/* Reads into the record that has been begun. */
__noinline int read_hello(struct __sk_buff *skb)
{
	enum verdict verdict;
	struct source s;

	if (!find(&s, skb))
		return bad;
	verdict = read_message(&s);
	if (verdict == bad || read_versions(skb) || read_server_name(&s) || read_alpn(&s))
		return bad;
	add_server_name(&s);
	return add_alpn(&s) == whole ? verdict : bad;
}

static __always_inline void tell(struct remora_container *c, const struct segment *s, struct hello *h,
				 struct remora_process *process)
{
	enum hello_direction direction = h->is_egress ? outgoing : incoming;
	struct remora_scratch *b = remora_begin_net(c, struct client_hello_event);
	struct client_hello_event *e;
	int verdict;

	if (!b)
		return;
	e = remora_event(b, struct client_hello_event);
	if (h->have > h->reach)
		h->have = h->reach;
	e->_hello = *h;
	e->version = h->version;
	verdict = read_hello(s->skb);
	if (verdict != whole)
		count_failure(c, direction, verdict == bad);
	if (verdict == bad) {
		b->busy = 0;
		return;
	}
	count_hello(c, direction, e->version);
	e->process = *process;
	fill_ends(&e->ends, s);
	e->direction = direction;
	e->truncated = verdict == cut;
	remora_end(c, b, sizeof(*e));
}

/* ---- Segments ---- */
static __always_inline void append(struct part *part, const struct segment *s, __u32 skip)
{
	__u32 i, len, at;

	for (i = 0; i < PIECES && skip < s->len; i++) {
		at = part->len;
		len = s->len - skip;
		if (at >= HELLO_MAX)
			break;
		if (len > PIECE)
			len = PIECE;
		len = bounded(len, PIECE - 1);
		remora_barrier(at);
		if (bpf_skb_load_bytes(s->skb, s->at + skip, &part->data[at & (HELLO_MAX - 1)], len))
			break;
		part->len = at + len;
		skip += len;
	}
	part->next = s->seq + s->len;
}

/* The process is known where one sends, or has made the socket since the tracer was attached. */
static __always_inline void fill_process(struct remora_process *p, const struct segment *s,
					 const struct tcp_sock *tp)
{
	struct remora_process *owner;

	if (fill_sender(p, s, tp))
		return;
	owner = bpf_sk_storage_get(&tls_owners, s->sk, 0, 0);
	if (owner)
		*p = *owner;
}

/*
 * A connection whose hello is incomplete: what has come now belongs to it, or ends it. True if there is nothing more
 * to wait for.
 */
static __always_inline bool go_on(const struct segment *s, struct part *part, struct hello *h,
				  struct remora_process *process)
{
	bool is_last = s->flags & (TCP_FIN | TCP_RST);

	h->is_part = true;
	h->is_egress = part->is_egress;
	if (s->is_egress == part->is_egress && part->next - s->seq < s->len)
		append(part, s, part->next - s->seq);
	h->have = part->len < HELLO_MAX ? part->len : HELLO_MAX;
	*process = part->process;
	return read_head(h, part->data) && (h->have >= h->reach || h->have == HELLO_MAX || is_last);
}

static __always_inline void wait(struct remora_container *c, const struct segment *s,
				 const struct remora_process *process)
{
	struct part *part = bpf_sk_storage_get(&tls_parts, s->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!part) {
		remora_lost(c);
		return;
	}
	part->is_egress = s->is_egress;
	part->process = *process;
	append(part, s, 0);
}

/* True if a hello begins here that is to be told now. */
static __always_inline bool begins(struct remora_container *c, const struct segment *s, struct hello *h,
				   struct remora_process *process)
{
	struct tls_params *params = remora_params_of(c);
	struct tcp_sock *tp;

	if (!params || (params->port && bpf_htons(params->port) != s->to))
		return false;
	tp = bpf_skc_to_tcp_sock(s->sk);
	if (!tp || !is_new(s, tp))
		return false;
	fill_process(process, s, tp);
	/* What comes before there is a connection, or at its end, has nothing to wait for. */
	if (h->have >= h->reach || is_listening(tp) || s->flags & (TCP_FIN | TCP_RST))
		return true;
	wait(c, s, process);
	return false;
}

static __always_inline int passed(struct __sk_buff *skb, const bool is_egress)
{
	struct remora_process process = {};
	struct remora_container *c;
	struct segment s = {};
	struct hello h = {};
	struct part *part;
	__u8 head[HEAD + 1];

	if (!read_segment(&s, skb, is_egress))
		return 1;
	part = bpf_sk_storage_get(&tls_parts, s.sk, 0, 0);
	if (part) {
		if (!go_on(&s, part, &h, &process))
			return 1;
	} else {
		if (s.len < HEAD || bpf_skb_load_bytes(skb, s.at, head, HEAD) || !read_head(&h, head))
			return 1;
		h.at = s.at;
		h.have = s.len;
		h.is_egress = is_egress;
	}
	c = remora_container_of_skb(skb);
	if (c && (part || begins(c, &s, &h, &process)))
		tell(c, &s, &h, &process);
	if (part)
		bpf_sk_storage_delete(&tls_parts, s.sk);
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

SEC("cgroup/sock_create")
int created(struct bpf_sock *sk)
{
	struct remora_container *c = remora_container();
	struct remora_process *owner;

	if (!c || sk->type != SOCK_STREAM || (sk->family != AF_INET && sk->family != AF_INET6))
		return 1;
	owner = bpf_sk_storage_get(&tls_owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (owner)
		remora_fill_process(owner);
	return 1;
}
