/* What the files compile*.c share. Nobody else includes it. */
#pragma once

#include "spec/compile.h"

struct compilation {
	struct arena *arena;
	const struct policy *policy;
	const struct facts *facts;
	const struct invocation *invocation;
	struct compiled *compiled;
	struct oci_config *config;
	bool has_network; /* there is a way out, or in */
};

/* Appends a value to any list of the model. */
#define PUSH(arena, list, ...)                   \
	(*(__typeof__((list)->items))arena_push( \
		 (arena), &(list)->items, &(list)->count, sizeof(*(list)->items)) = __VA_ARGS__)

/* The rules on paths, sorted so that a directory comes before what is in it, each path once. */

enum permission { UNSET, ALLOWED, DENIED, DENIED_FOR_GOOD }; /* at the same path the greatest wins */

struct rule_node {
	const char *path;
	enum path_kind kind;
	const char *missing;
	bool directory_wanted;
	const char *content; /* of a missing file: what its placeholder holds; NULL: nothing */
	bool optional;	     /* say nothing if it does not exist */
	bool pin;	     /* must not be moved away while it is writable: gets a mount of its own */
	bool reads_empty;    /* denied, but as an empty file instead of an unreadable one */
	enum { ORDINARY, PRIVATE_TMP, OWN_DEV, OWN_PROC, OWN_FILE, COVERED } special;
	const char *source; /* OWN_FILE: in the bundle */
	enum permission read, write;
};

struct rule_tree {
	struct rule_node *items;
	size_t count;
};

int rule_tree_build(const struct compilation *compilation, struct rule_tree *tree, struct error *err);

/* What lies at a path inside, and what the command may do there. */

enum backing {
	BACKING_SKELETON, /* directories that the bundle has for it, and nothing else */
	BACKING_HOST,	  /* the host's own */
	BACKING_MASK,	  /* an empty directory instead of the host's */
	BACKING_PRIVATE,  /* a file system of the container's */
};

struct place {
	const char *path;
	bool readable, writable, read_final, write_final;
	enum backing backing;
	size_t owner; /* the place, by index, whose mount this is a part of: perhaps itself */
	const char
		*store; /* an owner's, of SKELETON and MASK: the directory in the bundle that stands for it */
	enum {
		NO_COVER,
		COVER_EMPTY,
		COVER_FILLED
	} cover;	    /* an owner's: it covers a part of the host's root */
	size_t shared_mask; /* an owner's, of MASK: its index in config->mounts, while it uses the empty directory that all share; else 0 */
};

typedef LIST_OF(struct place) places;

/* compile_filesystem.c */
struct oci_mount *add_mount(const struct compilation *compilation, const char *destination, const char *type,
	const char *source, const char *const *options);
const char *in_bundle(const struct compilation *compilation, const char *path); /* absolute */
void add_file(const struct compilation *compilation, const char *path, const char *content, uint32_t mode);
/* Read-only; `mask` is in the bundle. */
void bind_mask(const struct compilation *compilation, const char *destination, const char *mask);
const struct place *place_at(const places *placed, const char *path); /* the nearest around it, or at it */
int compile_filesystem(struct compilation *compilation, struct error *err);
void compile_git_excludes(
	const struct compilation *compilation, const places *placed, struct json *placeholders);
void compile_landlock(struct compilation *compilation, const struct string_list *readable,
	const struct string_list *writable);

struct oci_seccomp *compile_seccomp(struct arena *arena, const struct policy *policy);
struct oci_seccomp *new_seccomp_filter(
	struct arena *arena); /* that allows everything, on each architecture */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3 */
#endif
struct string_list denied_system_calls_of(struct arena *arena, const struct policy *policy);
void add_seccomp_refusals(struct arena *arena, const struct policy *policy, bool refuse_unix_sockets,
	struct oci_seccomp *seccomp);
void compile_environment(struct compilation *compilation);
int compile_network(struct compilation *compilation, struct error *err);
const char *compile_resolv_conf(void);

/* For compile_container.c. */
/* What must be had of a kernel's Landlock: all that the rules say, or at least the limits on execution. */
void landlock_set_need(struct arena *arena, struct json *rules, bool all, bool execution);
void tighten_seccomp(struct arena *arena, const struct policy *policy, struct oci_linux *linux);
void tighten_environment(
	struct arena *arena, const struct policy_environment *environment, struct oci_process *process);
struct network_file *network_of_policy(struct arena *arena, const struct policy *policy);
void add_network_hooks(
	struct arena *arena, struct oci_config *config, const char *hook, const char *network_path);
