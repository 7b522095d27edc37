/* See seccomp_cache.h. */
#include "runtime/seccomp_cache.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/stat.h>

/* A file is this, the key, the instructions, and nothing after them. */
struct cache_header {
	char magic[8];
	uint64_t key_length, program_length;
	uint64_t notify;
};
static const char magic[8] = "fenceBPF";

enum { FILE_MAX = 1 << 20 };

static void add_bytes(struct seccomp_key *key, const void *bytes, size_t length)
{
	if (key->length + length > key->capacity) {
		unsigned char *larger;

		key->capacity = (key->length + length) * 2 + 4096;
		larger = arena_alloc(key->arena, key->capacity);
		if (key->length)
			memcpy(larger, key->bytes, key->length);
		key->bytes = larger;
	}
	memcpy(key->bytes + key->length, bytes, length);
	key->length += length;
}

/* Every value has a fixed length, its length before it, or an end: two profiles cannot look the same. */
static void add_number(struct seccomp_key *key, uint64_t number)
{
	add_bytes(key, &number, sizeof(number));
}

static void add_text(struct seccomp_key *key, const char *text)
{
	add_number(key, text ? 1 : 0);
	if (text)
		add_bytes(key, text, strlen(text) + 1);
}

static void add_list(struct seccomp_key *key, const struct string_list *list)
{
	add_number(key, list->count);
	for (size_t i = 0; i < list->count; i++)
		add_text(key, list->items[i]);
}

static void add_optional(struct seccomp_key *key, bool set, uint64_t number)
{
	add_number(key, set);
	add_number(key, set ? number : 0);
}

static void add_rule(struct seccomp_key *key, const struct oci_seccomp_rule *rule)
{
	add_list(key, &rule->names);
	add_text(key, rule->action);
	add_optional(key, rule->errno_ret.set, rule->errno_ret.value);
	add_number(key, rule->args.count);
	for (size_t i = 0; i < rule->args.count; i++) {
		const struct oci_seccomp_argument *argument = &rule->args.items[i];

		add_optional(key, argument->index.set, argument->index.value);
		add_optional(key, argument->value.set, argument->value.value);
		add_optional(key, argument->value_two.set, argument->value_two.value);
		add_text(key, argument->op);
	}
}

/* Flags and the listener's address are no part of the program. */
void seccomp_key_make(struct arena *arena, struct seccomp_key *key, const struct oci_seccomp *seccomp,
	const char *generation)
{
	*key = (struct seccomp_key){ .arena = arena };
	add_text(key, generation);
	add_text(key, seccomp->default_action);
	add_optional(key, seccomp->default_errno_ret.set, seccomp->default_errno_ret.value);
	add_list(key, &seccomp->architectures);
	add_number(key, seccomp->syscalls.count);
	for (size_t i = 0; i < seccomp->syscalls.count; i++)
		add_rule(key, &seccomp->syscalls.items[i]);
}

/* FNV-1a, eight bytes at a time. A collision costs a compilation. */
static void file_name(const struct seccomp_key *key, char *name, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325;
	size_t offset = 0;
	uint64_t word;

	for (; offset < key->length; offset += sizeof(word)) {
		size_t rest = key->length - offset;

		word = 0;
		memcpy(&word, key->bytes + offset, rest < sizeof(word) ? rest : sizeof(word));
		hash = (hash ^ word) * 0x100000001b3;
		hash ^= hash >> 32;
	}
	snprintf(name, size, "%016" PRIx64 ".bpf", hash);
}

static bool is_ours(const struct stat *status)
{
	return S_ISREG(status->st_mode) && status->st_uid == geteuid() && (status->st_mode & 022) == 0 &&
	       status->st_size <= FILE_MAX;
}

bool seccomp_cache_get(int directory, const struct seccomp_key *key, struct seccomp_program *program)
{
	_cleanup_free_ unsigned char *content = NULL;
	_cleanup_close_ int fd = -1;
	const struct cache_header *header;
	struct stat status;
	char name[32];

	file_name(key, name, sizeof(name));
	fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &status) < 0 || !is_ours(&status) || (size_t)status.st_size < sizeof(*header))
		return false;
	content = malloc(status.st_size);
	if (!content || read(fd, content, status.st_size) != status.st_size)
		return false;
	header = (const struct cache_header *)content;
	if (memcmp(header->magic, magic, sizeof(magic)) != 0 || header->key_length != key->length ||
		header->program_length > FILE_MAX || header->program_length % sizeof(struct sock_filter) ||
		sizeof(*header) + header->key_length + header->program_length != (size_t)status.st_size ||
		memcmp(content + sizeof(*header), key->bytes, key->length) != 0)
		return false;
	program->notify = header->notify;
	program->length = header->program_length;
	memmove(content, content + sizeof(*header) + key->length, program->length);
	program->instructions = steal_pointer(&content);
	return true;
}

static bool write_all(int fd, const void *bytes, size_t length)
{
	return write(fd, bytes, length) == (ssize_t)length;
}

void seccomp_cache_put(int directory, const struct seccomp_key *key, const struct seccomp_program *program)
{
	struct cache_header header = {
		.key_length = key->length, .program_length = program->length, .notify = program->notify
	};
	_cleanup_close_ int fd = -1;
	char name[32], temporary[64];

	if (sizeof(header) + key->length + program->length > FILE_MAX)
		return;
	memcpy(header.magic, magic, sizeof(magic));
	file_name(key, name, sizeof(name));
	/* Our pid makes it ours; one that a killed process of the same pid left is replaced. */
	snprintf(temporary, sizeof(temporary), ".%s.%d", name, getpid());
	unlinkat(directory, temporary, 0);
	fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (!write_all(fd, &header, sizeof(header)) || !write_all(fd, key->bytes, key->length) ||
		!write_all(fd, program->instructions, program->length) ||
		renameat(directory, temporary, directory, name) < 0)
		unlinkat(directory, temporary, 0);
}
