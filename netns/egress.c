/* See egress.h. The rules are few: they are tried one after the other, for each connection and query. */
#include "netns/egress.h"

#include "spec/cleanup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAME_MAX_LENGTH = 253, LABEL_MAX_LENGTH = 63 };

enum rule_kind { RULE_ANY, RULE_NAME, RULE_SUBDOMAINS, RULE_RANGE };

struct range {
	sa_family_t family;
	uint8_t address[16];
	unsigned int prefix;
};

struct rule {
	enum rule_kind kind;
	unsigned int protocols; /* EGRESS_TCP | EGRESS_UDP */
	uint16_t port;		/* 0: any */
	char *text;		/* as written, for the log */
	char *name;		/* RULE_NAME: the name; RULE_SUBDOMAINS: ".example.com" */
	struct range range;
};

struct rule_list {
	struct rule *rules;
	size_t count;
};

struct egress {
	struct rule_list allow, deny;
	bool default_allow;
};

/* Addresses that mean something else to each host, and so are never covered by a name or by "*". */
static const struct special {
	struct range range;
	const char *why;
} special_addresses[] = {
	{ { AF_INET, { 0 }, 8 }, "unspecified address" },
	{ { AF_INET, { 10 }, 8 }, "private address" },
	{ { AF_INET, { 100, 64 }, 10 }, "private address" },
	{ { AF_INET, { 127 }, 8 }, "loopback address" },
	{ { AF_INET, { 168, 63, 129, 16 }, 32 }, "cloud metadata address" }, /* Azure's, though public */
	{ { AF_INET, { 169, 254 }, 16 }, "link-local address" },
	{ { AF_INET, { 172, 16 }, 12 }, "private address" },
	{ { AF_INET, { 192, 0, 0 }, 24 }, "special-purpose address" }, /* Oracle's metadata is 192.0.0.192 */
	{ { AF_INET, { 192, 168 }, 16 }, "private address" },
	{ { AF_INET, { 198, 18 }, 15 }, "stand-in address" },
	{ { AF_INET, { 224 }, 4 }, "multicast address" },
	{ { AF_INET, { 240 }, 4 }, "reserved address" },
	{ { AF_INET6, { 0 }, 127 }, "loopback address" }, /* :: and ::1 */
	{ { AF_INET6, { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48 }, "private address" },
	{ { AF_INET6, { 0x20, 0x01 }, 32 }, "tunnel address" }, /* Teredo: what it leads to is hidden */
	{ { AF_INET6, { 0xfc }, 7 }, "private address" },
	{ { AF_INET6, { 0xfe, 0x80 }, 10 }, "link-local address" },
	{ { AF_INET6, { 0xfe, 0xc0 }, 10 }, "private address" },
	{ { AF_INET6, { 0xff }, 8 }, "multicast address" },
};

/* IPv6 ranges whose addresses are an IPv4 address in disguise, and where in them it is. */
static const struct embedding {
	struct range range;
	unsigned int offset;
} embeddings[] = {
	{ { AF_INET6, { [10] = 0xff, 0xff }, 96 }, 12 },      /* ::ffff:0:0/96, mapped */
	{ { AF_INET6, { [8] = 0xff, 0xff }, 96 }, 12 },	      /* ::ffff:0:0:0/96, translated (SIIT) */
	{ { AF_INET6, { 0x00, 0x64, 0xff, 0x9b }, 96 }, 12 }, /* 64:ff9b::/96, NAT64 */
	{ { AF_INET6, { 0x20, 0x02 }, 16 }, 2 },	      /* 6to4 */
	{ { AF_INET6, { 0 }, 96 }, 12 },		      /* IPv4-compatible */
};

/* Names that a resolver far away, a proxy's, would turn into addresses of its own host. */
static const char *const special_names[] = { "localhost", "localhost.localdomain", "localhost4",
	"localhost4.localdomain4", "localhost6", "localhost6.localdomain6", "loopback", "ip6-localhost",
	"ip6-loopback", "metadata.google.internal", "metadata.goog", "metadata", "instance-data.ec2.internal",
	"instance-data" };

static bool in_range(const struct range *range, sa_family_t family, const uint8_t *address)
{
	unsigned int whole = range->prefix / 8, rest = range->prefix % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	return range->family == family && memcmp(range->address, address, whole) == 0 &&
	       (!rest || ((range->address[whole] ^ address[whole]) & mask) == 0);
}

/* The addresses that a packet to `endpoint` may end at: itself, and what it embeds. */
struct address_forms {
	size_t count;
	struct range forms[2];
};

static struct address_forms forms_of(const struct endpoint *endpoint)
{
	struct address_forms all = { .count = endpoint->family ? 1 : 0 };
	struct range *form = &all.forms[0];

	form->family = endpoint->family;
	memcpy(form->address, &endpoint->v6, endpoint->family == AF_INET ? 4 : 16);
	for (size_t i = 0; i < ARRAY_SIZE(embeddings); i++) {
		if (!in_range(&embeddings[i].range, form->family, form->address))
			continue;
		all.count = 2;
		all.forms[1].family = AF_INET;
		memcpy(all.forms[1].address, form->address + embeddings[i].offset, 4);
		break;
	}
	return all;
}

static const char *special_address(const struct address_forms *addresses)
{
	for (size_t i = 0; i < addresses->count; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(special_addresses); j++) {
			if (in_range(&special_addresses[j].range, addresses->forms[i].family,
				    addresses->forms[i].address))
				return special_addresses[j].why;
		}
	}
	return NULL;
}

/* Without the final dot. */
static size_t name_length(const char *name)
{
	size_t length = strlen(name);

	return length && name[length - 1] == '.' ? length - 1 : length;
}

static bool same_name(const char *name, size_t length, const char *other)
{
	return strlen(other) == length && strncasecmp(name, other, length) == 0;
}

/* "127.1", "2130706433", "0x7f.1": names to us, addresses to whoever resolves them with inet_aton(). */
static bool looks_numeric(const char *name, size_t length)
{
	const char *last = memrchr(name, '.', length);
	size_t left;

	last = last ? last + 1 : name;
	left = length - (size_t)(last - name);
	if (left >= 2 && last[0] == '0' && (last[1] | 0x20) == 'x')
		return strspn(last + 2, "0123456789abcdefABCDEF") >= left - 2;
	return strspn(last, "0123456789") >= left;
}

static const char *fault_of_name(const char *name, size_t length)
{
	size_t label = 0;

	if (length == 0 || length > NAME_MAX_LENGTH)
		return "a name has 1 to 253 characters";
	for (size_t i = 0; i <= length; i++) {
		unsigned char c = i < length ? (unsigned char)name[i] : '.';

		if (c == '.' && label == 0)
			return "a part of the name between two dots is empty";
		if (c == '.') {
			label = 0;
			continue;
		}
		if (c >= 0x80)
			return "write the name in its ASCII form (xn--…)";
		if (c == '/')
			return "a path is not part of a rule; write the name alone";
		if (c == '*')
			return "\"*\" may stand only alone or first, as in \"*.example.com\"";
		if (!isalnum(c) && c != '-' && c != '_')
			return "a name has letters, digits, \"-\" and \".\" only";
		if (++label > LABEL_MAX_LENGTH)
			return "a part of the name is longer than 63 characters";
	}
	return looks_numeric(name, length) ? "neither a name nor an address" : NULL;
}

static bool is_special_name(const char *name, size_t length)
{
	static const char below[] = ".localhost";
	size_t tail = sizeof(below) - 1;

	for (size_t i = 0; i < ARRAY_SIZE(special_names); i++) {
		if (same_name(name, length, special_names[i]))
			return true;
	}
	return length > tail && same_name(name + length - tail, tail, below);
}

static bool matches_name(const struct rule *rule, const char *name, size_t length)
{
	size_t suffix;

	if (rule->kind == RULE_NAME)
		return same_name(name, length, rule->name);
	if (rule->kind != RULE_SUBDOMAINS)
		return false;
	suffix = strlen(rule->name);
	return length > suffix && same_name(name + length - suffix, suffix, rule->name);
}

static bool matches_address(const struct rule *rule, const struct address_forms *addresses)
{
	static const struct range loopback[] = { { AF_INET, { 127 }, 8 }, { AF_INET6, { [15] = 1 }, 128 } };

	for (size_t i = 0; i < addresses->count; i++) {
		const struct range *form = &addresses->forms[i];

		if (rule->kind == RULE_RANGE && in_range(&rule->range, form->family, form->address))
			return true;
		if (rule->kind == RULE_NAME && strcmp(rule->name, "localhost") == 0 &&
			(in_range(&loopback[0], form->family, form->address) ||
				in_range(&loopback[1], form->family, form->address)))
			return true;
	}
	return false;
}

struct question {
	enum egress_protocol protocol; /* 0: a query, of any */
	uint16_t port;		       /* 0: any */
	const char *name;
	size_t name_length;
	struct address_forms addresses;
};

enum { BY_ANY = 1, BY_NAME = 2, BY_ADDRESS = 4 };

/* How the rule covers it: a mask of BY_. */
static unsigned int covers(const struct rule *rule, const struct question *question)
{
	unsigned int how = 0;

	if ((question->protocol && !(rule->protocols & question->protocol)) ||
		(rule->port && question->port && rule->port != question->port))
		return 0;
	if (rule->kind == RULE_ANY)
		how |= BY_ANY;
	if (question->name && matches_name(rule, question->name, question->name_length))
		how |= BY_NAME;
	if (matches_address(rule, &question->addresses))
		how |= BY_ADDRESS;
	return how;
}

static const char *first_match(
	const struct rule_list *list, const struct question *question, unsigned int how)
{
	for (size_t i = 0; i < list->count; i++) {
		if (covers(&list->rules[i], question) & how)
			return list->rules[i].text;
	}
	return NULL;
}

static bool verdict(bool permitted, const char *why, const char **rule)
{
	*rule = why;
	return permitted;
}

/* Deny, then allow, then the default; special addresses and names must be meant by a rule, not swept up by a "*". */
static bool decide(const struct egress *egress, const struct question *question, const char **rule)
{
	const unsigned int any = BY_ANY | BY_NAME | BY_ADDRESS;
	const char *deny, *allow, *special;

	/* "[::1]", "::1%lo", "a b", "a\r\nHeader:": a proxy would take it for an address, or for more than a name. */
	if (question->name && fault_of_name(question->name, question->name_length))
		return verdict(false,
			looks_numeric(question->name, question->name_length) ? "a number is no name"
									     : "no host's name",
			rule);
	deny = first_match(&egress->deny, question, any);
	if (deny)
		return verdict(false, deny, rule);
	special = special_address(&question->addresses);
	if (special) {
		allow = first_match(&egress->allow, question, BY_ADDRESS);
		return allow ? verdict(true, allow, rule) : verdict(false, special, rule);
	}
	if (question->name && !question->addresses.count &&
		is_special_name(question->name, question->name_length)) {
		allow = first_match(&egress->allow, question, BY_NAME);
		return allow ? verdict(true, allow, rule) : verdict(false, "a name of the host's own", rule);
	}
	allow = first_match(&egress->allow, question, any);
	if (allow)
		return verdict(true, allow, rule);
	return verdict(egress->default_allow, "default", rule);
}

bool egress_permits(const struct egress *egress, enum egress_protocol protocol, const char *name,
	const struct endpoint *address, const char **rule)
{
	struct question question = { .protocol = protocol,
		.port = address->port,
		.name = name,
		.name_length = name ? name_length(name) : 0,
		.addresses = forms_of(address) };

	return decide(egress, &question, rule);
}

/* A denial of one port or protocol leaves the name's others: it may be asked for. */
static const char *denied_wholly(const struct rule_list *deny, const struct question *question)
{
	for (size_t i = 0; i < deny->count; i++) {
		const struct rule *rule = &deny->rules[i];

		if (!rule->port && rule->protocols == (EGRESS_TCP | EGRESS_UDP) && covers(rule, question))
			return rule->text;
	}
	return NULL;
}

bool egress_permits_query(const struct egress *egress, const char *name, const char **rule)
{
	struct question question = { .name = name, .name_length = name_length(name) };
	struct egress allowing = { .allow = egress->allow, .default_allow = egress->default_allow };

	*rule = denied_wholly(&egress->deny, &question);
	return !*rule && decide(&allowing, &question, rule);
}

/* "localhost" does not count: it is never asked of a resolver, and stands for addresses. */
static bool list_has_names(const struct rule_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct rule *rule = &list->rules[i];

		if (rule->kind == RULE_SUBDOMAINS ||
			(rule->kind == RULE_NAME && strcmp(rule->name, "localhost") != 0))
			return true;
	}
	return false;
}

bool egress_has_names(const struct egress *egress)
{
	return list_has_names(&egress->allow) || list_has_names(&egress->deny);
}

/* Reading rules. Each step takes its part off `rest` and says what is wrong with it. */

static int bad_rule(const char *text, const char *why, struct error *err)
{
	return error_set(err, 0, "network rule \"%s\": %s", text, why);
}

static int take_protocol(const char *text, char **rest, struct rule *rule, struct error *err)
{
	char *scheme = strstr(*rest, "://");

	rule->protocols = EGRESS_TCP | EGRESS_UDP;
	if (!scheme)
		return 0;
	if (strncasecmp(*rest, "tcp://", 6) == 0)
		rule->protocols = EGRESS_TCP;
	else if (strncasecmp(*rest, "udp://", 6) == 0)
		rule->protocols = EGRESS_UDP;
	else
		return bad_rule(
			text, "only tcp:// and udp:// may stand before a name; write the name alone", err);
	*rest = scheme + 3;
	return 0;
}

static int take_port(const char *text, char *rest, struct rule *rule, struct error *err)
{
	char *colon = strrchr(rest, ':'), *bracket = strrchr(rest, ']');
	unsigned long port;

	/* An IPv6 address without brackets has colons of its own, and no port. */
	if (!colon || (bracket && colon < bracket) || (!bracket && strchr(rest, ':') != colon))
		return 0;
	if (strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5)
		return bad_rule(text, "the port after \":\" must be a number from 1 to 65535", err);
	port = strtoul(colon + 1, NULL, 10);
	if (port < 1 || port > UINT16_MAX)
		return bad_rule(text, "the port after \":\" must be a number from 1 to 65535", err);
	rule->port = (uint16_t)port;
	*colon = '\0';
	return 0;
}

static int take_prefix(const char *text, char *rest, struct range *range, struct error *err)
{
	unsigned int longest = range->family == AF_INET ? 32 : 128;
	unsigned int bytes = longest / 8;
	size_t digits = strspn(rest, "0123456789");
	struct range network = *range;

	if (!*rest) {
		range->prefix = longest;
		return 0;
	}
	if (*rest++ != '/' || (digits = strspn(rest, "0123456789")) == 0 || digits > 3 || rest[digits])
		return bad_rule(text, "after an address only \"/\" and a prefix length may stand", err);
	range->prefix = (unsigned int)strtoul(rest, NULL, 10);
	if (range->prefix > longest)
		return bad_rule(text, "the prefix is longer than the address", err);
	network.prefix = range->prefix;
	for (unsigned int bit = range->prefix; bit < bytes * 8; bit++)
		network.address[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	if (memcmp(network.address, range->address, bytes) != 0)
		return bad_rule(
			text, "the address has bits set beyond its prefix; write the network's address", err);
	return 0;
}

/* 1: an address or a range; 0: something else; -1: wrong. */
static int take_range(const char *text, char *rest, struct rule *rule, struct error *err)
{
	struct range *range = &rule->range;
	char *end, saved;
	bool bracketed = *rest == '[';

	if (bracketed) {
		end = strchr(++rest, ']');
		if (!end)
			return bad_rule(text, "\"[\" without \"]\"", err);
		*end++ = '\0';
	} else {
		end = rest + strcspn(rest, "/");
	}
	saved = *end;
	if (!bracketed)
		*end = '\0';
	range->family = bracketed || strchr(rest, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(range->family, rest, range->address) != 1) {
		if (bracketed || range->family == AF_INET6)
			return bad_rule(text, "not an IPv6 address", err);
		*end = saved;
		return 0;
	}
	if (!bracketed)
		*end = saved;
	/* Deny the one and the other would stay open. */
	if (range->family == AF_INET6 && in_range(&embeddings[0].range, AF_INET6, range->address))
		return bad_rule(text, "write an IPv4 address as such, not within ::ffff:0:0/96", err);
	rule->kind = RULE_RANGE;
	return take_prefix(text, end, range, err) < 0 ? -1 : 1;
}

static int take_name(const char *text, char *rest, struct rule *rule, struct error *err)
{
	bool subdomains = strncmp(rest, "*.", 2) == 0;
	char *name = subdomains ? rest + 2 : rest;
	const char *fault;

	if (strcmp(rest, "*") == 0) {
		rule->kind = RULE_ANY;
		return 0;
	}
	name[name_length(name)] = '\0';
	fault = fault_of_name(name, strlen(name));
	if (!fault && subdomains && !strchr(name, '.'))
		fault = "a whole top-level domain is too much for one rule; name the domains below it";
	if (fault)
		return bad_rule(text, fault, err);
	rule->kind = subdomains ? RULE_SUBDOMAINS : RULE_NAME;
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	rule->name = strdup(subdomains ? rest + 1 : name);
	return rule->name ? 0 : error_set(err, ENOMEM, "cannot keep a network rule");
}

static int read_rule(const char *text, struct rule *rule, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy;
	int range;

	rule->text = strdup(text);
	if (!copy || !rule->text)
		return error_set(err, ENOMEM, "cannot keep a network rule");
	if (take_protocol(text, &rest, rule, err) < 0 || take_port(text, rest, rule, err) < 0)
		return -1;
	range = take_range(text, rest, rule, err);
	if (range != 0)
		return range < 0 ? -1 : 0;
	return take_name(text, rest, rule, err);
}

static int read_rules(const char *const *texts, size_t count, struct rule_list *list, struct error *err)
{
	list->rules = calloc(count ? count : 1, sizeof(*list->rules));
	if (!list->rules)
		return error_set(err, ENOMEM, "cannot keep the network rules");
	for (size_t i = 0; i < count; i++) {
		list->count++;
		if (read_rule(texts[i], &list->rules[i], err) < 0)
			return -1;
	}
	return 0;
}

static void free_rules(struct rule_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->rules[i].text);
		free(list->rules[i].name);
	}
	free(list->rules);
}

void egress_free(struct egress *egress)
{
	if (!egress)
		return;
	free_rules(&egress->allow);
	free_rules(&egress->deny);
	free(egress);
}

int egress_new(const char *const *allow, size_t allow_count, const char *const *deny, size_t deny_count,
	bool default_allow, struct egress **egress, struct error *err)
{
	struct egress *made = calloc(1, sizeof(*made));

	if (!made)
		return error_set(err, ENOMEM, "cannot keep the network rules");
	made->default_allow = default_allow;
	if (read_rules(allow, allow_count, &made->allow, err) < 0 ||
		read_rules(deny, deny_count, &made->deny, err) < 0) {
		egress_free(made);
		return -1;
	}
	*egress = made;
	return 0;
}
