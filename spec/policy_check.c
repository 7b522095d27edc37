/* See policy_check.h. */
#include "spec/policy_check.h"

#include "spec/cleanup.h"
#include "spec/limits.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

enum { NAME_LENGTH_MAX = 253, LABEL_LENGTH_MAX = 63 };

const char *check_not_empty(const char *value)
{
	return *value ? NULL : "is empty; give a value or leave it out";
}

const char *check_command_rule(const char *value)
{
	static const char blank[] = " \t";
	size_t words = 0;

	for (const char *at = value + strspn(value, blank); *at; at += strspn(at, blank)) {
		at += strcspn(at, blank);
		words++;
	}
	if (!words)
		return "has no word; name a program, or leave it out";
	return words > COMMAND_RULE_WORDS_MAX || strlen(value) > COMMAND_RULE_LENGTH_MAX
		       ? "is longer than a rule for commands can be (32 words, 1023 bytes)"
		       : NULL;
}

const char *check_path_pattern(const char *value)
{
	if (!*value)
		return "is an empty path; write \".\" for the working directory, or leave it out";
	if (strlen(value) >= PATH_MAX)
		return "is longer than any path can be";
	if (value[0] == '~' && value[1] && value[1] != '/')
		return "begins with another user's home, which is not looked up; write its path";
	return NULL;
}

/* Addresses, names and ports */

static const char *check_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long port;

	if (digits < 1 || digits > 5 || text[digits])
		return "has a port that is not a number from 1 to 65535";
	port = strtoul(text, NULL, 10);
	return port >= 1 && port <= UINT16_MAX ? NULL : "has a port that is not a number from 1 to 65535";
}

/* "127.1", "2130706433": names here, addresses to whoever resolves them with inet_aton(). */
static bool looks_numeric(const char *name)
{
	const char *last = strrchr(name, '.');

	last = last ? last + 1 : name;
	if (last[0] == '0' && (last[1] | 0x20) == 'x')
		return true;
	return last[strspn(last, "0123456789")] == '\0';
}

static const char *check_name(const char *name)
{
	size_t length = strlen(name), label = 0;

	if (length && name[length - 1] == '.')
		length--;
	if (!length || length > NAME_LENGTH_MAX)
		return "is no name: a name has 1 to 253 characters";
	for (size_t i = 0; i <= length; i++) {
		unsigned char c = i < length ? (unsigned char)name[i] : '.';

		if (c == '.') {
			if (!label)
				return "has an empty part between two dots";
			label = 0;
			continue;
		}
		if (c >= 0x80)
			return "is not ASCII; write the name in its xn--… form";
		if (c == '*')
			return "has a \"*\" that stands neither alone nor first, as in \"*.example.com\"";
		if (!isalnum(c) && c != '-' && c != '_')
			return "has a character that no name has";
		if (++label > LABEL_LENGTH_MAX)
			return "has a part of more than 63 characters";
	}
	return looks_numeric(name) ? "is neither a name nor an address" : NULL;
}

static const char *check_rule_name(const char *name)
{
	bool subdomains = strncmp(name, "*.", 2) == 0;
	const char *fault;

	if (strcmp(name, "*") == 0)
		return NULL;
	if (subdomains)
		name += 2;
	fault = check_name(name);
	if (fault)
		return fault;
	if (subdomains && !strchr(name, '.'))
		return "opens a whole top-level domain; name the domains below it";
	if (!strchr(name, '.') && strcasecmp(name, "localhost") != 0)
		return "has a single part, which every network resolves to something else; write the whole "
		       "name";
	return NULL;
}

static bool is_address(int family, const char *text)
{
	unsigned char address[16];

	return inet_pton(family, text, address) == 1;
}

static const char *check_prefix(const char *text, unsigned long longest)
{
	size_t digits = strspn(text, "0123456789");

	if (digits < 1 || digits > 3 || text[digits] || strtoul(text, NULL, 10) > longest)
		return "has a prefix length that no such address has";
	return NULL;
}

/* `prefix` is its length, or NULL. */
static const char *check_range(int family, const unsigned char *address, const char *prefix)
{
	static const unsigned char mapped[12] = { [10] = 0xff, 0xff };
	unsigned long longest = family == AF_INET ? 32 : 128;
	const char *fault = prefix ? check_prefix(prefix, longest) : NULL;

	if (family == AF_INET6 && memcmp(address, mapped, sizeof(mapped)) == 0)
		return "has an IPv4 address in an IPv6 one; write it as such";
	for (unsigned long bit = prefix && !fault ? strtoul(prefix, NULL, 10) : longest; bit < longest; bit++)
		if (address[bit / 8] & 0x80 >> bit % 8)
			return "has bits set beyond its prefix; write the network's address";
	return fault;
}

/* An address, a range or a name, without a port. `text` is cut up. */
static const char *check_destination(char *text)
{
	unsigned char address[16];
	char *slash, *bracket;
	int family;

	if (*text == '[') {
		bracket = strchr(text, ']');
		if (!bracket || (bracket[1] && bracket[1] != '/'))
			return "has a \"[\" without its \"]\"";
		*bracket = '\0';
		slash = bracket[1] ? bracket + 1 : NULL;
		text++;
	} else {
		slash = strchr(text, '/');
	}
	if (slash)
		*slash = '\0';
	family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, text, address) == 1)
		return check_range(family, address, slash ? slash + 1 : NULL);
	if (family == AF_INET6)
		return "is no IPv6 address";
	if (slash)
		return "has a path, which no rule has; write the name alone";
	return check_rule_name(text);
}

const char *check_egress_rule(const char *value)
{
	char copy[NAME_LENGTH_MAX + 64], *rest = copy, *colon, *bracket;
	const char *fault;

	if (strlen(value) >= sizeof(copy))
		return "is too long for a rule";
	strcpy(copy, value);
	if (strncmp(copy, "tcp://", 6) == 0 || strncmp(copy, "udp://", 6) == 0)
		rest += 6;
	if (strstr(rest, "://"))
		return "has a scheme; write the name alone (only tcp:// and udp:// may stand before it)";
	if (!*rest)
		return "names nothing; write a name, *.name, an address or a range, with :port or without";
	/* An IPv6 address without brackets has colons of its own, and no port. */
	colon = strrchr(rest, ':');
	bracket = strrchr(rest, ']');
	if (colon && (bracket ? colon > bracket : strchr(rest, ':') == colon)) {
		fault = check_port(colon + 1);
		if (fault)
			return fault;
		*colon = '\0';
	}
	return check_destination(rest);
}

const char *check_host_port(const char *text)
{
	char host[NAME_LENGTH_MAX + 3];
	const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
	size_t length;
	const char *fault;

	if (!colon || (bracket && bracket > colon))
		return "has no port; write HOST:PORT";
	length = (size_t)(colon - text);
	if (length >= sizeof(host))
		return "has a host whose name is longer than 253 characters";
	fault = check_port(colon + 1);
	if (fault)
		return fault;
	memcpy(host, text, length);
	host[length] = '\0';
	if (*host == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		return is_address(AF_INET6, host + 1) ? NULL
						      : "has something in brackets that is no IPv6 address";
	}
	if (strchr(host, ':'))
		return "has an IPv6 address without brackets; write [ADDRESS]:PORT";
	return is_address(AF_INET, host) ? NULL : check_name(host);
}

const char *check_proxy_url(const char *value)
{
	static const char *const schemes[] = { "socks5://", "socks5h://", "http://" };
	static const char *const path_schemes[] = { "socks5+unix:", "socks5h+unix:" };
	char rest[2048];
	const char *at, *end;
	size_t length, i;

	for (i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strncasecmp(value, schemes[i], strlen(schemes[i])) == 0)
			break;
	for (size_t k = 0; i == ARRAY_SIZE(schemes) && k < ARRAY_SIZE(path_schemes); k++)
		if (strncasecmp(value, path_schemes[k], strlen(path_schemes[k])) == 0)
			return value[strlen(path_schemes[k])] == '/'
				       ? NULL
				       : "lacks the whole path of a Unix socket after \"unix:\"";
	if (i == ARRAY_SIZE(schemes))
		return "must begin with socks5://, socks5h://, http:// or socks5+unix:";
	value += strlen(schemes[i]);
	length = strcspn(value, "/?#");
	end = value + length;
	if (*end && strcmp(end, "/") != 0)
		return "has something after the port (\"/\", \"?\" and \"#\" in a password are written %2F, "
		       "%3F and %23)";
	at = memrchr(value, '@', length);
	if (at == value)
		return "has no user before \"@\"";
	if (at)
		value = at + 1;
	length = (size_t)(end - value);
	if (length >= sizeof(rest))
		return "is too long";
	memcpy(rest, value, length);
	rest[length] = '\0';
	return check_host_port(rest);
}

const char *check_inbound(const char *value)
{
	char copy[128], *slash, *inner, *colon;
	const char *fault;

	if (strlen(value) >= sizeof(copy))
		return "is too long for a port";
	strcpy(copy, value);
	slash = strchr(copy, '/');
	if (slash && strcmp(slash, "/udp") != 0 && strcmp(slash, "/tcp") != 0)
		return "has something other than tcp or udp after \"/\"";
	if (slash)
		*slash = '\0';
	inner = copy;
	if (copy[strspn(copy, "0123456789:")]) {
		/* An address first. */
		colon = *copy == '[' ? strchr(copy, ']') : copy;
		colon = colon ? strchr(colon, ':') : NULL;
		if (!colon)
			return "is not written [ADDRESS:]PORT[:INNER-PORT][/udp], an IPv6 address in "
			       "brackets";
		*colon = '\0';
		inner = colon + 1;
		if (*copy == '[' && colon[-1] == ']')
			colon[-1] = '\0';
		if (!is_address(*copy == '[' ? AF_INET6 : AF_INET, *copy == '[' ? copy + 1 : copy))
			return "has an address that is not a numeric one";
	}
	colon = strchr(inner, ':');
	if (colon)
		*colon = '\0';
	fault = check_port(inner);
	return fault || !colon ? fault : check_port(colon + 1);
}

/* Privileges */

const char *check_capability(const char *value)
{
	const struct refused_capability *refused = refused_capability(value);

	if (strcmp(value, "ALL") == 0)
		return "is not given; name the capabilities that are needed";
	if (!capability_known(value))
		return "is no capability of Linux; they are written CAP_NET_BIND_SERVICE, in capitals";
	return refused ? refused->reason : NULL;
}

const char *check_system_call(const char *value)
{
	if (!*value || value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_")])
		return "is no system call; write its name as in \"man 2\", such as ptrace";
	return NULL;
}

const char *check_allowed_system_call(const char *value)
{
	const struct denied_system_call *denied = denied_system_call(value);
	const char *fault = check_system_call(value);

	if (fault)
		return fault;
	if (!denied)
		return "is allowed without being named here; only what is denied by default can be";
	return denied->mandatory
		       ? "is a system call that no policy can allow: it would undo the sandbox or the host"
		       : NULL;
}

/* Sizes */

const char *check_memory(const char *value)
{
	return parse_memory(value) > 0 ? NULL
				       : "is no amount of memory; write bytes, or a number with K, M, G or T";
}

const char *check_cpus(const char *value)
{
	return parse_cpus(value) > 0 ? NULL : "is no number of CPUs; write 2, 0.5 or 1.25, at least 0.01";
}

const char *check_exec_policy(const char *value)
{
	if (strcmp(value, "argv") == 0)
		return "cannot be had: words that a running program gives can change after they were looked "
		       "at; "
		       "write \"path\", which keeps denied programs from being executed";
	return strcmp(value, "path") == 0 ? NULL : "is unknown; write \"path\"";
}

/* Environment */

const char *check_variable(const char *value)
{
	return *value && !strchr(value, '=') ? NULL : "is no variable's name";
}

const char *check_variable_pattern(const char *value)
{
	return check_variable(value) ? "is no variable's name; write NAME, or a pattern such as LC_*" : NULL;
}
