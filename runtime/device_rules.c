/* Device rules: from linux.resources.devices to what holds, for either version of cgroups.
 *
 * Must never yield something laxer than the rules say, in order.
 */
#include "runtime/device_rules.h"

#include "spec/cleanup.h"

#include <string.h>

static const struct device_rule default_rules[] = {
	{ true, 'c', -1, -1, DEVICE_MKNOD }, { true, 'b', -1, -1, DEVICE_MKNOD },
	{ true, 'c', 1, 3, DEVICE_ALL },    /* null */
	{ true, 'c', 1, 5, DEVICE_ALL },    /* zero */
	{ true, 'c', 1, 7, DEVICE_ALL },    /* full */
	{ true, 'c', 1, 8, DEVICE_ALL },    /* random */
	{ true, 'c', 1, 9, DEVICE_ALL },    /* urandom */
	{ true, 'c', 5, 0, DEVICE_ALL },    /* tty */
	{ true, 'c', 5, 1, DEVICE_ALL },    /* console */
	{ true, 'c', 5, 2, DEVICE_ALL },    /* ptmx */
	{ true, 'c', 136, -1, DEVICE_ALL }, /* pts/N */
};

static int parse_access(const char *text, size_t index, unsigned int *access, struct error *err)
{
	*access = text ? 0 : DEVICE_ALL;
	for (; text && *text; text++) {
		switch (*text) {
		case 'r':
			*access |= DEVICE_READ;
			break;
		case 'w':
			*access |= DEVICE_WRITE;
			break;
		case 'm':
			*access |= DEVICE_MKNOD;
			break;
		default:
			return error_set(err, 0,
				"linux.resources.devices[%zu].access: '%c' is not one of r, w and m", index,
				*text);
		}
	}
	return 0;
}

static int parse_number(
	const struct optional_int64 *number, size_t index, const char *key, int64_t *value, struct error *err)
{
	*value = number->set ? number->value : -1;
	if (*value < -1 || *value > UINT32_MAX)
		return error_set(err, 0, "linux.resources.devices[%zu].%s: %lld is not a device number",
			index, key, (long long)*value);
	return 0;
}

static int parse_rule(
	const struct oci_device_rule *given, size_t index, struct device_rule *rule, struct error *err)
{
	const char *type = given->type && *given->type ? given->type : "a";

	rule->allow = given->allow.value;
	rule->type = *type == 'u' ? 'c' : *type; /* unbuffered: another word for a character device */
	if (type[1] || !strchr("abc", rule->type))
		return error_set(err, 0, "linux.resources.devices[%zu].type: \"%s\" is not one of a, b and c",
			index, type);
	if (parse_number(&given->major, index, "major", &rule->major, err) < 0 ||
		parse_number(&given->minor, index, "minor", &rule->minor, err) < 0 ||
		parse_access(given->access, index, &rule->access, err) < 0)
		return -1;
	if (rule->access == 0)
		return error_set(err, 0,
			"linux.resources.devices[%zu].access: is empty; say some of r, w and m", index);
	/* As in the kernel's own list: "a" is everything, whatever else the rule says. */
	if (rule->type == 'a')
		*rule = (struct device_rule){ rule->allow, 'a', -1, -1, DEVICE_ALL };
	return 0;
}

static void append(struct device_rules *rules, const struct device_rule *more, size_t count)
{
	memcpy(&rules->items[rules->count], more, count * sizeof(*more));
	rules->count += count;
}

/* Whether one of them takes back what the first lets be an exception. */
static bool has_contradiction(const struct device_rule *rules, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (rules[i].allow == rules[0].allow)
			return true;
	return false;
}

int device_rules_make(struct arena *arena, const struct oci_resources *resources, struct device_rules *rules,
	struct error *err)
{
	size_t given = resources ? resources->devices.count : 0, first = 0;
	struct device_rule *parsed = arena_array(arena, given + 1, sizeof(*parsed));
	bool common_first;

	parsed[0] = (struct device_rule){ false, 'a', -1, -1, DEVICE_ALL };
	for (size_t i = 0; i < given; i++) {
		if (parse_rule(&resources->devices.items[i], i, &parsed[i + 1], err) < 0)
			return -1;
		if (parsed[i + 1].type == 'a')
			first = i + 1;
	}
	rules->items = arena_array(arena, given + 1 + ARRAY_SIZE(default_rules), sizeof(*rules->items));
	rules->count = 0;
	append(rules, &parsed[first], 1);
	/* What the config denies holds for the common devices too. Otherwise its own come first: devices.list shows them
	 * in the order that they were given in. */
	common_first = has_contradiction(&parsed[first], given + 1 - first);
	if (!parsed[first].allow && common_first)
		append(rules, default_rules, ARRAY_SIZE(default_rules));
	append(rules, &parsed[first + 1], given - first);
	if (!parsed[first].allow && !common_first)
		append(rules, default_rules, ARRAY_SIZE(default_rules));
	return 0;
}

static bool covers(int64_t wide, int64_t narrow)
{
	return wide < 0 || wide == narrow;
}

static bool rule_covers(const struct device_rule *wide, const struct device_rule *narrow)
{
	return covers(wide->major, narrow->major) && covers(wide->minor, narrow->minor);
}

bool device_rules_equal(const struct device_rules *a, const struct device_rules *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct device_rule *one = &a->items[i], *other = &b->items[i];

		if (one->allow != other->allow || one->type != other->type || one->major != other->major ||
			one->minor != other->minor || one->access != other->access)
			return false;
	}
	return true;
}

const char *device_access_text(unsigned int access, char text[static 4])
{
	snprintf(text, 4, "%s%s%s", access & DEVICE_READ ? "r" : "", access & DEVICE_WRITE ? "w" : "",
		access & DEVICE_MKNOD ? "m" : "");
	return text;
}

bool device_rules_overlap(const struct device_rule *a, const struct device_rule *b)
{
	return a->type == b->type && (a->access & b->access) &&
	       (covers(a->major, b->major) || covers(b->major, a->major)) &&
	       (covers(a->minor, b->minor) || covers(b->minor, a->minor));
}

/* Removes from the exception that an earlier rule made what the later one is about: the kernel does so by itself only for
 * one that is written the same. */
static int flatten_pair(struct arena *arena, const struct device_rule *later,
	const struct device_rule *earlier, struct device_rules *flat, struct error *err)
{
	struct device_rule *rule;

	/* Permission to make nodes alone opens nothing, and the default one for all nodes cannot be cut. */
	if (!device_rules_overlap(later, earlier) || earlier->access == DEVICE_MKNOD)
		return 0;
	if (!rule_covers(later, earlier))
		return error_set(err, 0,
			"linux.resources.devices: cgroup v1 cannot %s %c %lld:%lld within the wider %c "
			"%lld:%lld of a rule "
			"before it (-1 is any); name its devices one by one",
			later->allow ? "allow" : "deny", later->type, (long long)later->major,
			(long long)later->minor, earlier->type, (long long)earlier->major,
			(long long)earlier->minor);
	rule = arena_push(arena, &flat->items, &flat->count, sizeof(*rule));
	*rule = *earlier;
	rule->allow = later->allow;
	rule->access = earlier->access & later->access;
	return 0;
}

int device_rules_flatten(
	struct arena *arena, const struct device_rules *rules, struct device_rules *flat, struct error *err)
{
	bool exceptions_allow = !rules->items[0].allow;

	*flat = (struct device_rules){ 0 };
	for (size_t i = 0; i < rules->count; i++) {
		const struct device_rule *rule = &rules->items[i];

		for (size_t j = 1; j < i; j++)
			if (rule->allow != exceptions_allow && rules->items[j].allow == exceptions_allow &&
				flatten_pair(arena, rule, &rules->items[j], flat, err) < 0)
				return -1;
		*(struct device_rule *)arena_push(arena, &flat->items, &flat->count, sizeof(*rule)) = *rule;
	}
	return 0;
}
