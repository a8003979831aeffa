#include "option.h"
#include "serial.h"
#include "virtio.h"

#define MAX_CMDLINE 2048
#define DEFAULT_VERIFY 128

struct options options = {.fill = 32, .set = 8, .verify = DEFAULT_VERIFY, .heartbeat = 500, .seed = 1, .netsize = 1514,
	.blksize = 4096, .blkdepth = 32};

static char text[MAX_CMDLINE];
static struct line unknown;

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static bool number(const char *s, u64 max, u64 *v)
{
	u64 n = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || n > max / 10)
			return false;
		n = n * 10 + (*s - '0');
	}
	if (n > max)
		return false;
	*v = n;
	return true;
}

static bool choice(const char *s, const char *const *names, u32 count, u32 *v)
{
	for (u32 i = 0; i < count; i++)
		if (equal(s, names[i])) {
			*v = i;
			return true;
		}
	return false;
}

/* A number up to max that ends at end; moves on behind that. */
static bool part(const char **s, char end, u32 max, u32 *v)
{
	u32 n = 0;
	const char *p = *s;
	for (; *p >= '0' && *p <= '9' && n <= max; p++)
		n = n * 10 + (*p - '0');
	if (p == *s || n > max || *p != end)
		return false;
	*s = p + 1;
	*v = n;
	return true;
}

/* IP/LEN */
static bool network(const char *s)
{
	u32 ip = 0, v;
	for (u32 i = 0; i < 4; i++) {
		if (!part(&s, i < 3 ? '.' : '/', 255, &v))
			return false;
		ip |= v << 8 * i;
	}
	if (!ip || !part(&s, 0, 32, &v))
		return false;
	options.net_ip = ip;
	return true;
}

#define NO_DIGIT 16

/* The value of a hexadecimal digit. */
static u32 digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 32;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : NO_DIGIT;
}

/* IP6/LEN, of an address that does not begin with zeroes. */
static bool network6(const char *s)
{
	u8 ip[16] = {0};
	u32 n = 0, gap = 0, v; /* gap: bytes before the '::'; 0: none */
	for (bool more = true; more;) {
		u32 digits = 0;
		for (v = 0; digits < 4 && digit(*s) != NO_DIGIT; digits++)
			v = v << 4 | digit(*s++);
		if (!digits || n == 16)
			return false;
		ip[n++] = v >> 8;
		ip[n++] = v;
		if (s[0] == ':' && s[1] == ':') {
			if (gap)
				return false;
			gap = n;
			s++;
			more = s[1] != '/';
			s += !more;
		} else {
			more = *s == ':';
		}
		s += more;
	}
	if (*s++ != '/' || !part(&s, 0, 128, &v) || !ip[0] || (gap ? n > 14 : n != 16))
		return false;
	for (u32 i = 1; gap && i <= n - gap; i++) {
		ip[16 - i] = ip[n - i];
		ip[n - i] = 0;
	}
	memcpy(options.net_ip6, ip, 16);
	return true;
}

static bool mac(const char *s, u8 *address)
{
	for (u32 i = 0; i < 6; i++, s += 3) {
		u32 v = 0;
		for (u32 n = 0; n < 2; n++) {
			if (digit(s[n]) == NO_DIGIT)
				return false;
			v = v << 4 | digit(s[n]);
		}
		if (s[2] != (i < 5 ? ':' : 0))
			return false;
		address[i] = v;
	}
	return true;
}

/* Meant for Linux and given to every guest. */
static bool for_linux(const char *key)
{
	static const char *const keys[] = {"console", "panic", "earlyprintk"};
	for (u32 i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (equal(key, keys[i]))
			return true;
	return false;
}

static const struct {
	const char *key;
	u64 *value, max;
} numbers[] = {
	{"fill", &options.fill, 1 << 24},   {"wss", &options.set, 1 << 24},
	{"rate", &options.rate, 1 << 17},   {"read", &options.read, 1 << 17},
	{"verify", &options.verify, 1 << 17}, {"heartbeat", &options.heartbeat, 60000000},
	{"seed", &options.seed, ~0ul >> 1}, {"cpus", &options.cpus, 1 << 16},
	{"workers", &options.workers, 1 << 16},
	{"netsize", &options.netsize, 65000},
	{"blksize", &options.blksize, 1 << 20}, {"blkdepth", &options.blkdepth, 128},
	{"vsock", &options.vsock, ~0u}, {"vsockdial", &options.vsockdial, ~0u},
	{"netrate", &options.netrate, 100000000}, {"blkrate", &options.blkrate, 100000000},
};

static const struct {
	const char *key;
	bool *value;
} switches[] = {
	{"countreg", &options.countreg}, {"blkverify", &options.blkverify}, {"rng", &options.rng},
	{"vcon", &options.vcon},         {"balloon", &options.balloon},     {"touches", &options.touches},
};

enum outcome { GOOD, UNKNOWN, BAD };

static enum outcome set(const char *key, const char *value)
{
	static const char *const orders[] = {"seq", "rand"}, *const values[] = {"0", "1"};
	static const char *const kinds[] = {"random", "text", "half", "mixed"};
	static const char *const disks[] = {"randread", "randwrite", "seqread", "seqwrite"};
	static const char *const loads[] = {"tx", "rx", "echo", "tso"};
	u32 v;
	for (u32 i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (equal(key, numbers[i].key))
			return number(value, numbers[i].max, numbers[i].value) ? GOOD : BAD;
	for (u32 i = 0; i < sizeof(switches) / sizeof(*switches); i++)
		if (equal(key, switches[i].key)) {
			if (!choice(value, values, 2, &v))
				return BAD;
			*switches[i].value = v;
			return GOOD;
		}
	if (equal(key, "order")) {
		if (!choice(value, orders, 2, &v))
			return BAD;
		options.random_order = v;
	} else if (equal(key, "data")) {
		if (!choice(value, kinds, 4, &v))
			return BAD;
		options.data = v;
	} else if (equal(key, "netload")) {
		if (!choice(value, loads, 4, &v))
			return BAD;
		options.netload = NETLOAD_NONE + 1 + v;
	} else if (equal(key, "blkload")) {
		if (!choice(value, disks, 4, &v))
			return BAD;
		options.blkload = BLKLOAD_NONE + 1 + v;
	} else if (equal(key, "net")) {
		return network(value) || network6(value) ? GOOD : BAD;
	} else if (equal(key, "netpeer")) {
		return mac(value, options.net_peer) ? GOOD : BAD;
	} else if (equal(key, "virtio_mmio.device")) {
		return virtio_add(value) ? GOOD : BAD;
	} else {
		return for_linux(key) ? GOOD : UNKNOWN;
	}
	return GOOD;
}

static void one(char *word)
{
	static char none[1];
	char *value = word;
	while (*value && *value != '=')
		value++;
	bool has_value = *value;
	if (has_value)
		*value++ = 0;
	enum outcome o = set(word, has_value ? value : none);
	if (o == GOOD)
		return;
	struct line bad = {0}, *l = o == BAD ? &bad : &unknown;
	line_str(l, o == BAD ? "WARN bad value " : unknown.n ? " " : "WARN unknown option ");
	line_str(l, word);
	if (has_value) {
		line_str(l, "=");
		line_str(l, value);
	}
	if (o == BAD)
		line_send(&bad);
}

void option_parse(u32 start_info)
{
	const u64 *start = (const u64 *)(u64)start_info;
	const char *s = (const char *)start[3];
	if (!s)
		return;
	u32 n = 0;
	while (n < MAX_CMDLINE - 1 && s[n]) {
		text[n] = s[n];
		n++;
	}
	for (char *word = text; *word;) {
		if (*word == ' ') {
			word++;
			continue;
		}
		char *end = word;
		while (*end && *end != ' ')
			end++;
		bool last = !*end;
		*end = 0;
		one(word);
		word = end + !last;
	}
	if (unknown.n)
		line_send(&unknown);
}
