/* See names.h.
 *
 * Of the 131072 addresses at most NAMES_MAX are in use at once. A new name gets the next address in the circle, so one
 * that lost its name, the least recently used, comes round again only after some hundred thousand other names.
 */
#include "netns/names.h"

#include "netns/hash.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	POOL_BASE = 0xc6120000, /* 198.18.0.0 */
	POOL_SIZE = 1 << 17,
	POOL_RESERVED = 256,
	NAMES_MAX = 1 << 15, /* bounds the memory that a flood of names can take: about 10 MiB at the worst */
	BUCKETS = 1 << 13,
	NAME_TEXT_MAX = 254,
};

static const uint8_t ula_prefix[12] = { 0xfd, 0x66, 0x65, 0x6e, 0x63, 0x65 };

struct entry {
	struct entry *next_by_name, *next_by_address; /* in their buckets */
	struct entry *older, *newer;		      /* by last use */
	uint32_t index;				      /* in the pool */
	uint32_t holds;
	char name[];
};

struct names {
	struct entry *by_name[BUCKETS], *by_address[BUCKETS];
	struct entry *oldest, *newest;
	size_t count;
	uint32_t cursor;
	struct hash_key key;
};

struct names *names_new(void)
{
	struct names *names = calloc(1, sizeof(*names));

	if (names && getrandom(&names->key, sizeof(names->key), 0) == sizeof(names->key)) {
		names->cursor = POOL_RESERVED;
		return names;
	}
	free(names);
	return NULL;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	for (struct entry *entry = names->oldest, *newer; entry; entry = newer) {
		newer = entry->newer;
		free(entry);
	}
	free(names);
}

/* False: too long. */
static bool fold(const char *name, char folded[static NAME_TEXT_MAX])
{
	size_t length = strlen(name);

	if (length && name[length - 1] == '.')
		length--;
	if (length == 0 || length >= NAME_TEXT_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		folded[i] = (char)tolower((unsigned char)name[i]);
	folded[length] = '\0';
	return true;
}

static struct entry **name_bucket(struct names *names, const char *name)
{
	return &names->by_name[hash_bytes(&names->key, name, strlen(name)) % BUCKETS];
}

static struct entry *find_index(const struct names *names, uint32_t index)
{
	struct entry *entry = names->by_address[index % BUCKETS];

	while (entry && entry->index != index)
		entry = entry->next_by_address;
	return entry;
}

static bool to_index(const struct endpoint *address, uint32_t *index)
{
	uint32_t value;

	if (address->family == AF_INET6) {
		if (memcmp(&address->v6, ula_prefix, sizeof(ula_prefix)) != 0)
			return false;
		memcpy(&value, (const uint8_t *)&address->v6 + sizeof(ula_prefix), sizeof(value));
	} else if (address->family == AF_INET) {
		value = address->v4.s_addr;
	} else {
		return false;
	}
	*index = ntohl(value) - POOL_BASE;
	return *index < POOL_SIZE;
}

static void to_address(uint32_t index, sa_family_t family, struct endpoint *address)
{
	uint32_t value = htonl(POOL_BASE + index);

	*address = (struct endpoint){ .family = family };
	if (family == AF_INET) {
		address->v4.s_addr = value;
		return;
	}
	memcpy(&address->v6, ula_prefix, sizeof(ula_prefix));
	memcpy((uint8_t *)&address->v6 + sizeof(ula_prefix), &value, sizeof(value));
}

static void unlink_age(struct names *names, struct entry *entry)
{
	*(entry->older ? &entry->older->newer : &names->oldest) = entry->newer;
	*(entry->newer ? &entry->newer->older : &names->newest) = entry->older;
}

static void make_newest(struct names *names, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = names->newest;
	*(names->newest ? &names->newest->newer : &names->oldest) = entry;
	names->newest = entry;
}

static void touch(struct names *names, struct entry *entry)
{
	unlink_age(names, entry);
	make_newest(names, entry);
}

static void forget(struct names *names, struct entry *entry)
{
	struct entry **slot = name_bucket(names, entry->name);

	while (*slot != entry)
		slot = &(*slot)->next_by_name;
	*slot = entry->next_by_name;
	slot = &names->by_address[entry->index % BUCKETS];
	while (*slot != entry)
		slot = &(*slot)->next_by_address;
	*slot = entry->next_by_address;
	unlink_age(names, entry);
	names->count--;
	free(entry);
}

/* The least recently used name without a flow makes room; false when each has one. */
static bool make_room(struct names *names)
{
	struct entry *entry = names->oldest;

	if (names->count < NAMES_MAX)
		return true;
	while (entry && entry->holds)
		entry = entry->newer;
	if (entry)
		forget(names, entry);
	return entry;
}

static uint32_t next_index(struct names *names)
{
	uint32_t index;

	do { /* ends: far fewer names than addresses */
		index = names->cursor++;
		if (names->cursor == POOL_SIZE)
			names->cursor = POOL_RESERVED;
	} while (find_index(names, index));
	return index;
}

static struct entry *remember(struct names *names, const char *name, struct entry **bucket)
{
	struct entry *entry;

	if (!make_room(names))
		return NULL;
	entry = calloc(1, sizeof(*entry) + strlen(name) + 1);
	if (!entry)
		return NULL;
	strcpy(entry->name, name);
	entry->index = next_index(names);
	entry->next_by_name = *bucket;
	*bucket = entry;
	entry->next_by_address = names->by_address[entry->index % BUCKETS];
	names->by_address[entry->index % BUCKETS] = entry;
	make_newest(names, entry);
	names->count++;
	return entry;
}

bool names_assign(struct names *names, const char *name, sa_family_t family, struct endpoint *address)
{
	char folded[NAME_TEXT_MAX];
	struct entry **bucket, *entry;

	if (!fold(name, folded))
		return false;
	bucket = name_bucket(names, folded);
	for (entry = *bucket; entry && strcmp(entry->name, folded) != 0;)
		entry = entry->next_by_name;
	if (entry)
		touch(names, entry);
	else
		entry = remember(names, folded, bucket);
	if (entry)
		to_address(entry->index, family, address);
	return entry;
}

const char *names_find(const struct names *names, const struct endpoint *address)
{
	struct entry *entry;
	uint32_t index;

	if (!to_index(address, &index))
		return NULL;
	entry = find_index(names, index);
	return entry ? entry->name : NULL;
}

bool names_is_stand_in(const struct endpoint *address)
{
	uint32_t index;

	return to_index(address, &index);
}

void names_hold(struct names *names, const struct endpoint *address)
{
	struct entry *entry;
	uint32_t index;

	if (!to_index(address, &index) || !(entry = find_index(names, index)))
		return;
	entry->holds++;
	touch(names, entry);
}

void names_release(struct names *names, const struct endpoint *address)
{
	struct entry *entry;
	uint32_t index;

	if (!to_index(address, &index) || !(entry = find_index(names, index)) || !entry->holds)
		return;
	entry->holds--;
	touch(names, entry);
}
