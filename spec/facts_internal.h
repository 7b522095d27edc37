/* What the files facts*.c share. Nobody else includes it. */
#pragma once

#include "spec/facts.h"

struct gatherer {
	struct arena *arena;
	struct facts *facts; /* being filled */
	struct error *err;   /* the first fault: of note_fault() */
	bool failed;
	size_t entries; /* seen by the search for protected files */
	struct string_list
		directories;	  /* met by resolve_path(): no links, so they need not be looked at again */
	const char *asked_parent; /* can_be_made(): the last answer */
	bool parent_writable;
};

/* A new fact at the end of a list, to be filled in. */
struct path_fact *facts_add(const struct gatherer *gatherer, struct path_facts *list);

/* facts_resolve.c: the canonical form of an absolute path, whether it exists or not; the links on the way are kept. Where `follow` is
 * false a link at the end stays one. */
void resolve_path(struct gatherer *gatherer, const char *path, bool follow, struct path_fact *fact);
bool path_exists(struct gatherer *gatherer, const char *path);

/* What could not be looked at might have to be protected. That a path leads nowhere, or may not be followed, is no fault. */
void note_fault(struct gatherer *gatherer, int number, const char *path);
/* `fact` leads through a directory that may not be searched: if the caller could give itself the right, that directory stands for all
 * in it from now on. */
bool take_locked_directory(struct gatherer *gatherer, struct path_fact *fact);
bool is_own(struct gatherer *gatherer, const char *path); /* the caller's */
bool can_be_made(
	struct gatherer *gatherer, const struct path_fact *fact); /* of a missing path: by the caller */

/* facts_programs.c */
void gather_denied_programs(
	struct gatherer *gatherer, const struct policy *policy, const struct string_list *env);

/* facts_git_config.c: appended to. */
struct git_config {
	struct string_list hooks, included;
};
void git_config_read(struct gatherer *gatherer, const char *path, struct git_config *config);

/* facts_git_exclude.c: of a repository, for one of its working directories. */
void gather_git_exclude(struct gatherer *gatherer, const char *worktree, const char *git_directory);

/* facts_protected.c */
void gather_protected(struct gatherer *gatherer, const struct policy *policy);
