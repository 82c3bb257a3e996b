// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * HTTP/1.x requests in plain text and their answers, as client and as server. Only segments that begin with a
 * request line or a status line are looked into: bodies are passed over, and an answer counts only while one is
 * awaited on its connection. Of requests sent before the answer to the one before (pipelining) only those at a
 * segment's beginning are seen, and no answer is taken for theirs.
 */
#include "segment.bpf.h"

#define BPF_SK_STORAGE_GET_F_CREATE 1
#define WINDOW 64		/* bytes looked at together */
#define WINDOWS 128		/* ... of a head: a long line takes several, any other one */
#define HEAD_MAX 8192
#define TEXT_MAX 255		/* power of two less one */
#define HOST_MAX 127
#define SPACES 4		/* around the value of a header */
#define INTERIM 3		/* answers of 1xx before another in one segment, that included */
#define VERSION 9		/* " HTTP/1.x" */
#define SWITCHING_PROTOCOLS 101

enum http_role {
	client,
	server,
};

enum http_method {
	NO_METHOD, GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH,
};

struct http_params {
	__u16 port REMORA_OWN_PARAM("0", "0", "65535", "only requests to this port of the server's; 0: to any");
	__u16 max_path REMORA_OWN_PARAM("128", "0", "255", "bytes of the path reported");
	__u8 query REMORA_OWN_PARAM("0", "0", "1", "1: report what is behind the path's question mark, too, up to 255 bytes: "
				    "it often has secrets");
	__u8 _pad[3];
};
REMORA_PARAMS(struct http_params)

struct request_event {
	struct remora_head head;
	struct remora_process process; /* client: sent the request; server: sent the answer */
	struct ends ends;
	enum http_role direction REMORA_HELP("client: the container made the request; server: it was asked")
		REMORA_FEATURE;
	enum http_method method REMORA_HELP("request method") REMORA_FEATURE REMORA_ATTRIBUTE("http.request.method");
	remora_text path REMORA_HELP("target of the request as sent, up to a question mark")
		REMORA_ATTRIBUTE("url.path");
	remora_text query REMORA_HELP("what is behind the question mark, if the parameter query is 1")
		REMORA_OPTIONAL REMORA_ATTRIBUTE("url.query");
	remora_text host REMORA_HELP("Host header, as far as it was in the request's first segment") REMORA_FEATURE
		REMORA_OPTIONAL REMORA_ATTRIBUTE("http.request.header.host");
	__u16 status REMORA_HELP("status code of the answer; left out if the connection ended without one")
		REMORA_OPTIONAL REMORA_ATTRIBUTE("http.response.status_code");
	bool pipelined REMORA_HELP("sent before the answer to the one before, or in front of another: the answer is not "
				   "looked for") REMORA_OPTIONAL;
	__u8 _pad;
	remora_ns latency REMORA_HELP("time from the request's first segment to the answer's, in seconds")
		REMORA_OPTIONAL;
} REMORA_EVENT("request", "an HTTP request was answered, or will not be")
	REMORA_REPORT("requested");

struct http_metrics {
	remora_histogram_ns client_latency REMORA_HISTOGRAM("time from request to answer of requests made");
	remora_histogram_ns server_latency REMORA_HISTOGRAM("time from request to answer of requests received");
	__u64 pipelined REMORA_COUNTER("requests whose answers were not looked for, for others were under way");
	__u64 ignored REMORA_COUNTER("segments that began like a request, but without a whole request line, or in the body "
				     "of another");
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_CONTAINERS);
	__type(key, remora_index);
	__type(value, struct http_metrics);
} http_metrics SEC(".maps");

struct request_key {
	remora_index container;
	enum http_method method;
	enum http_role direction;
	char class[4];		/* of the status: "1xx" to "5xx", "none" */
};
struct request_count {
	__u64 requests REMORA_COUNTER("requests that were answered, or will not be (class none)");
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct request_key);
	__type(value, struct request_count);
} http_requests SEC(".maps");

/* A connection, and the request whose answer is awaited. */
struct connection {
	__u64 since;		/* 0: none */
	struct remora_process process;
	enum http_method method;
	enum http_role direction;
	__u16 path_len;
	__u16 query_len;
	__u16 host_len;
	bool is_path_cut;
	bool is_query_cut;
	bool is_host_cut;
	bool is_pipelined;	/* once it is, it stays so: whose the next answer is cannot be told */
	bool is_tunnel;		/* another protocol is spoken from here on */
	__u8 _pad[5];
	char path[TEXT_MAX + 1];
	char query[TEXT_MAX + 1];
	char host[HOST_MAX + 1];
};
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct connection);
} http_connections SEC(".maps");

/*
 * A request may come with the packet that makes the connection (Apache's default, by TCP_DEFER_ACCEPT): there is
 * no socket of its own yet. Its entry goes with the answer, or with the connection's end.
 */
struct early_key {
	struct ends ends;
	__u32 container;
	__u32 _pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct early_key);
	__type(value, struct connection);
} http_early SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct connection);
} http_blank SEC(".maps");

REMORA_TRACER(http, "", "HTTP/1.x requests in plain text, with status and latency");

/* ---- Heads ---- */
/* Eight bytes as a number, the first on top, so that a text they begin with is told by one comparison. */
#define LETTER(text, i) ((__u64)((i) < sizeof(text) - 1 ? (text)[(i) < sizeof(text) ? (i) : 0] : 0) << (56 - 8 * (i)))
#define WORD(text)                                                                                          \
	(LETTER(text, 0) | LETTER(text, 1) | LETTER(text, 2) | LETTER(text, 3) | LETTER(text, 4) |          \
	 LETTER(text, 5) | LETTER(text, 6) | LETTER(text, 7))
#define begins(word, text) (!(((word) ^ WORD(text)) >> (8 * (9 - sizeof(text)))))

static __always_inline __u64 word_at(const struct segment *s, __u32 at)
{
	__u64 word = 0;

	if (at + sizeof(word) > s->len || bpf_skb_load_bytes(s->skb, s->at + at, &word, sizeof(word)))
		return 0;
	return bpf_be64_to_cpu(word);
}

/* By its own verified, as is read_lines(): what callers would have to be verified with is one number, not nine. */
__noinline __u32 method_of(__u64 word)
{
	return begins(word, "GET ") ? GET :
	       begins(word, "POST ") ? POST :
	       begins(word, "HEAD ") ? HEAD :
	       begins(word, "PUT ") ? PUT :
	       begins(word, "DELETE ") ? DELETE :
	       begins(word, "PATCH ") ? PATCH :
	       begins(word, "OPTIONS ") ? OPTIONS :
	       begins(word, "CONNECT ") ? CONNECT :
	       begins(word, "TRACE ") ? TRACE :
					NO_METHOD;
}

/* Bytes up to the request's target. */
__noinline __u32 length_of(__u32 method)
{
	return method == GET || method == PUT   ? 4 :
	       method == POST || method == HEAD ? 5 :
	       method == PATCH || method == TRACE ? 6 :
	       method == DELETE		? 7 :
						  8;
}

static __always_inline bool has_body(enum http_method method)
{
	return method == POST || method == PUT || method == PATCH;
}

/* One bit for each of eight bytes that is this one, the first byte's lowest. */
static __always_inline __u64 matches(__u64 word, char byte)
{
	const __u64 low = 0x7f7f7f7f7f7f7f7fULL;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	word ^= byte * 0x0101010101010101ULL;
	word = ~(((word & low) + low) | word | low); /* 0x80 where there was a zero */
	return (word >> 7) * 0x0102040810204080ULL >> 56;
}

/* The same for at most 64 bytes of a packet, of which the first eight are given back. */
static __always_inline __u64 matches_at(struct __sk_buff *skb, __u32 at, __u32 len, char byte, __u64 *first)
{
	__u64 w[WINDOW / 8] = {};

	if (len > WINDOW)
		len = WINDOW;
	bpf_skb_load_bytes(skb, at, w, bounded(len, WINDOW - 1));
	*first = bpf_be64_to_cpu(w[0]);
	return matches(w[0], byte) | matches(w[1], byte) << 8 | matches(w[2], byte) << 16 |
	       matches(w[3], byte) << 24 | matches(w[4], byte) << 32 | matches(w[5], byte) << 40 |
	       matches(w[6], byte) << 48 | matches(w[7], byte) << 56;
}

static __always_inline __u32 first_of(__u64 matches)
{
	return remora_log2(matches & -matches);
}

static __always_inline bool is_host(__u64 word)
{
	return begins(word | 0x2020202000000000ULL, "host:");
}

/* How far a head has been read, and what there is in it: offsets, 0 where nothing was found. */
struct lines {
	__u32 at;
	__u32 first_end;	/* of the first line */
	__u32 host;		/* the Host header's value */
	__u32 host_end;
	bool is_begin;		/* of a line */
	bool is_end;		/* behind the empty line */
};
#define OFFSET_BITS 14

static __always_inline __u64 packed(const struct lines *l)
{
	return (__u64)l->at | (__u64)l->first_end << OFFSET_BITS | (__u64)l->host << 2 * OFFSET_BITS |
	       (__u64)l->host_end << 3 * OFFSET_BITS | (__u64)l->is_begin << 62 | (__u64)l->is_end << 63;
}

static __always_inline void unpack(struct lines *l, __u64 from)
{
	const __u32 mask = (1 << OFFSET_BITS) - 1;

	l->at = from & mask;
	l->first_end = from >> OFFSET_BITS & mask;
	l->host = from >> 2 * OFFSET_BITS & mask;
	l->host_end = from >> 3 * OFFSET_BITS & mask;
	l->is_begin = from >> 62 & 1;
	l->is_end = from >> 63;
}

/*
 * Reads on to the end of the line, or of what is looked at together. Verified for itself: a state that is handed
 * over as one number is one to the verifier, however often this is called.
 */
__noinline __u64 read_line(struct __sk_buff *skb, __u32 from, __u32 len, __u64 state)
{
	__u64 ends, word;
	struct lines l;

	unpack(&l, state);
	ends = matches_at(skb, from + l.at, len - l.at, '\n', &word);
	if (l.is_begin && (begins(word, "\n") || begins(word, "\r\n")))
		l.is_end = true;
	else if (l.is_begin && !l.host && is_host(word))
		l.host = l.at + sizeof("host:") - 1;
	l.at += ends ? first_of(ends) : WINDOW;
	l.is_begin = ends;
	if (ends && !l.first_end)
		l.first_end = l.at;
	else if (ends && l.host && !l.host_end)
		l.host_end = l.at;
	l.at += l.is_begin;
	return packed(&l);
}

/* The head at this offset of the payload. */
static __always_inline void read_lines(struct lines *l, const struct segment *s, __u32 from)
{
	__u64 state = 0;
	__u32 i;

	for (i = 0; i < WINDOWS; i++) {
		unpack(l, state);
		if (l->is_end || l->at >= s->len - from || l->at >= HEAD_MAX)
			break;
		state = read_line(s->skb, s->at + from, s->len - from, state);
	}
}

/* The length of the request's target; 0 if this is no request line. A long one need not be there to its end. */
static __always_inline __u32 target_of(const struct segment *s, const struct lines *l, __u32 begin)
{
	__u32 end = l->first_end;
	char last;

	if (!end)
		return s->len > begin + TEXT_MAX && begins(word_at(s, begin), "/") ? s->len - begin : 0;
	if (end < begin + VERSION || bpf_skb_load_bytes(s->skb, s->at + end - 1, &last, 1))
		return 0;
	end -= VERSION + (last == '\r');
	return begins(word_at(s, end), " HTTP/1.") && end > begin ? end - begin : 0;
}

/* A status that ends the request; 0 if there is none, as in what only says that there will be one. */
static __always_inline __u32 status_of(const struct segment *s)
{
	__u32 at = 0, i, status;
	struct lines l;
	__u8 b[4];

	for (i = 0; i < INTERIM; i++) {
		if (!begins(word_at(s, at), "HTTP/1.") || at + VERSION + 3 > s->len ||
		    bpf_skb_load_bytes(s->skb, s->at + at + VERSION - 1, b, sizeof(b)))
			return 0;
		if (b[0] != ' ' || b[1] < '1' || b[1] > '5' || b[2] < '0' || b[2] > '9' || b[3] < '0' || b[3] > '9')
			return 0;
		status = (b[1] - '0') * 100 + (b[2] - '0') * 10 + b[3] - '0';
		if (status >= 200 || status == SWITCHING_PROTOCOLS)
			return status;
		read_lines(&l, s, at);
		if (!l.is_end)
			return 0;
		at += l.at;
	}
	return 0;
}

/* ---- Connections ---- */
static __always_inline void fill_key(struct early_key *key, struct remora_container *c, const struct segment *s)
{
	fill_ends(&key->ends, s);
	key->container = c->index;
}

static __always_inline struct connection *early_of(struct remora_container *c, const struct segment *s)
{
	struct early_key key = {};

	fill_key(&key, c, s);
	return bpf_map_lookup_elem(&http_early, &key);
}

static __always_inline struct connection *make_early(struct remora_container *c, const struct segment *s)
{
	struct connection *blank;
	struct early_key key = {};
	__u32 zero = 0;

	fill_key(&key, c, s);
	blank = bpf_map_lookup_elem(&http_blank, &zero);
	if (!blank || bpf_map_update_elem(&http_early, &key, blank, BPF_ANY))
		return NULL;
	return bpf_map_lookup_elem(&http_early, &key);
}

static __always_inline void forget_early(struct remora_container *c, const struct segment *s)
{
	struct early_key key = {};

	fill_key(&key, c, s);
	bpf_map_delete_elem(&http_early, &key);
}

/* ---- Telling ---- */
static __always_inline struct http_metrics *metrics_of(struct remora_container *c)
{
	__u32 i = c->index;

	return bpf_map_lookup_elem(&http_metrics, &i);
}

static __always_inline void count(struct remora_container *c, const struct connection *n, __u32 status)
{
	struct request_key key = { .container = c->index, .method = n->method, .direction = n->direction };
	struct request_count *sum, none = {};

	__builtin_memcpy(key.class, status ? "0xx" : "none", 4);
	key.class[0] += status / 100;
	sum = bpf_map_lookup_elem(&http_requests, &key);
	if (!sum) {
		bpf_map_update_elem(&http_requests, &key, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&http_requests, &key);
	}
	if (sum)
		remora_add(&sum->requests, 1);
	else
		remora_lost(c);
}

/* With a NUL behind it, for it may end in one itself. */
static __always_inline void add_text(struct remora_scratch *b, remora_text *t, const char *from, __u32 len, bool is_cut)
{
	char *to = remora_tail_at(b, sizeof(struct request_event));

	t->truncated = is_cut;
	if (!len)
		return;
	len = bounded(len, TEXT_MAX);
	bpf_probe_read_kernel(to, len, from);
	to[len] = 0;
	remora_tail_add(b, t, len + 1);
}

static __always_inline void report(struct remora_container *c, const struct segment *s, const struct tcp_sock *tp,
				   struct connection *n, __u32 status)
{
	__u64 latency = bpf_ktime_get_boot_ns() - n->since;
	struct http_metrics *m = metrics_of(c);
	struct request_event *e;
	struct remora_scratch *b;

	n->since = 0;
	if (m && status)
		remora_observe(n->direction == client ? &m->client_latency : &m->server_latency, latency, 10);
	if (m && n->is_pipelined)
		remora_add(&m->pipelined, 1);
	count(c, n, status);
	b = remora_begin_net(c, struct request_event);
	if (!b)
		return;
	e = remora_event(b, struct request_event);
	if (n->direction == server)
		fill_sender(&e->process, s, tp);
	else
		e->process = n->process;
	fill_ends(&e->ends, s);
	e->direction = n->direction;
	e->method = n->method;
	e->status = status;
	e->pipelined = n->is_pipelined;
	if (status)
		e->latency = latency;
	add_text(b, &e->path, n->path, n->path_len, n->is_path_cut);
	add_text(b, &e->query, n->query, n->query_len, n->is_query_cut);
	add_text(b, &e->host, n->host, n->host_len, n->is_host_cut);
	remora_end(c, b, sizeof(*e));
}

/* ---- Requests ---- */
static __always_inline __u32 load_text(const struct segment *s, __u32 at, __u32 len, char *to, const __u32 max)
{
	if (len > max)
		len = max;
	return len && !bpf_skb_load_bytes(s->skb, s->at + at, to, bounded(len, max)) ? len : 0;
}

/* How far it is to the question mark; the length if there is none. */
__noinline __u32 find_mark(struct __sk_buff *skb, __u32 from, __u32 len)
{
	__u64 marks, word;
	__u32 at, i;

	for (i = 0, at = 0; i < TEXT_MAX / WINDOW + 1 && at < len; i++, at += WINDOW) {
		marks = matches_at(skb, from + at, len - at, '?', &word);
		if (marks)
			return at + first_of(marks);
	}
	return len;
}

static __always_inline void fill_target(struct connection *n, const struct segment *s, const struct http_params *params,
					__u32 at, __u32 len)
{
	__u32 have = load_text(s, at, len, n->path, TEXT_MAX), end = find_mark(s->skb, s->at + at, have);

	n->path_len = end > params->max_path ? params->max_path : end;
	n->is_path_cut = n->path_len < end || (end == have && have < len);
	n->query_len = 0;
	n->is_query_cut = false;
	if (end == have || !params->query)
		return;
	len -= end + 1;
	n->query_len = load_text(s, at + end + 1, len, n->query, TEXT_MAX);
	n->is_query_cut = n->query_len < len;
}

static __always_inline bool is_space(struct __sk_buff *skb, __u32 at)
{
	char b = 0;

	bpf_skb_load_bytes(skb, at, &b, 1);
	return b == ' ' || b == '\t' || b == '\r';
}

/* What is left between two offsets without the spaces at both ends: its offset and, 16 bits higher, its length. */
__noinline __u32 trim(struct __sk_buff *skb, __u32 at, __u32 end)
{
	__u32 i;

	for (i = 0; i < SPACES && at < end && is_space(skb, at); i++)
		at++;
	for (i = 0; i < SPACES && at < end && is_space(skb, end - 1); i++)
		end--;
	return (end - at) << 16 | at;
}

static __always_inline void fill_host(struct connection *n, const struct segment *s, const struct lines *l)
{
	__u32 span = l->host_end ? trim(s->skb, s->at + l->host, s->at + l->host_end) : 0, len = span >> 16;

	n->host_len = load_text(s, (span & 0xffff) - s->at, len, n->host, HOST_MAX);
	n->is_host_cut = n->host_len < len;
}

/* Whether another request stands behind this one's head. */
static __always_inline bool is_followed(const struct segment *s, const struct lines *l)
{
	return l->is_end && method_of(word_at(s, l->at));
}

static __always_inline void ignored(struct remora_container *c)
{
	struct http_metrics *m = metrics_of(c);

	if (m)
		remora_add(&m->ignored, 1);
}

static __always_inline void asked(struct remora_container *c, const struct segment *s, const struct tcp_sock *tp,
				  enum http_method method)
{
	struct http_params *params = remora_params_of(c);
	__u32 begin = length_of(method), len;
	struct connection *n;
	struct lines l;

	if (!params || (params->port && bpf_htons(params->port) != s->to))
		return;
	read_lines(&l, s, 0);
	len = target_of(s, &l, begin);
	if (!len) {
		ignored(c);
		return;
	}
	n = is_listening(tp) ? make_early(c, s) :
			       bpf_sk_storage_get(&http_connections, s->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!n) {
		remora_lost(c);
		return;
	}
	if (n->is_tunnel)
		return;
	if (n->since) {
		if (has_body(n->method)) {
			ignored(c);
			return;
		}
		n->is_pipelined = true;
		report(c, s, tp, n, 0);
	}
	n->since = bpf_ktime_get_boot_ns();
	n->method = method;
	n->direction = s->is_egress ? client : server;
	if (n->direction == client)
		fill_sender(&n->process, s, tp);
	fill_target(n, s, params, begin, len);
	fill_host(n, s, &l);
	if (!has_body(method) && is_followed(s, &l))
		n->is_pipelined = true;
	if (n->is_pipelined)
		report(c, s, tp, n, 0);
}

/* ---- Answers, and ends without one ---- */
static __always_inline void told(struct remora_container *c, const struct segment *s, const struct tcp_sock *tp,
				 struct connection *n)
{
	bool is_servers = s->is_egress == (n->direction == server);
	__u32 status = is_servers && s->len ? status_of(s) : 0;

	if (status) {
		n->is_tunnel = status == SWITCHING_PROTOCOLS || (n->method == CONNECT && status < 300);
		report(c, s, tp, n, status);
	} else if ((s->flags & TCP_RST) || (is_servers && s->flags & TCP_FIN)) {
		report(c, s, tp, n, 0);
	}
}

static __always_inline void answered(struct remora_container *c, const struct segment *s, const struct tcp_sock *tp)
{
	struct connection *n = bpf_sk_storage_get(&http_connections, s->sk, 0, 0);

	if (n && n->since) {
		told(c, s, tp, n);
		return;
	}
	n = early_of(c, s);
	if (!n)
		return;
	told(c, s, tp, n);
	if (!n->since)
		forget_early(c, s);
}

static __always_inline int passed(struct __sk_buff *skb, const bool is_egress)
{
	struct remora_container *c;
	enum http_method method;
	struct segment s = {};
	struct tcp_sock *tp;
	__u64 word;

	if (!read_segment(&s, skb, is_egress))
		return 1;
	word = word_at(&s, 0);
	method = method_of(word);
	if (!method && !begins(word, "HTTP/1.") && !(s.flags & (TCP_FIN | TCP_RST)))
		return 1;
	c = remora_container_of_skb(skb);
	tp = c ? bpf_skc_to_tcp_sock(s.sk) : NULL;
	if (!c || !tp || (s.len && !is_new(&s, tp)))
		return 1;
	if (method)
		asked(c, &s, tp, method);
	if (!method || s.flags & (TCP_FIN | TCP_RST))
		answered(c, &s, tp);
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
