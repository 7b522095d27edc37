/* Facts: what the policy's words mean on this host, now. All that the compiler needs to know of it is here, so that the compiler
 * itself is a pure function.
 *
 * Gathered by looking (lstat, readlink, readdir, access) and nothing else: nothing is opened for writing or created.
 */
#pragma once

#include "spec/oci.h"
#include "spec/policy.h"

struct invocation;

enum path_kind {
	PATH_MISSING,
	PATH_FILE,
	PATH_DIRECTORY,
	PATH_SYMLINK, /* only where a path was not to be followed */
	PATH_OTHER,   /* a device, socket or pipe: mounted like a file */
};

/* A symbolic link that was met on the way to some path. */
struct path_link {
	const char *path; /* where it is: canonical but for itself */
	const char *target;
};

struct path_fact {
	const char *path; /* absolute, every symbolic link resolved */
	enum path_kind kind;
	const char *missing;   /* the first part of `path` that does not exist; NULL if it exists */
	const char *locked;    /* the directory that may not be searched, which is why it counts as missing */
	bool directory_wanted; /* of a missing path: it is meant to be a directory */
	const char
		*content; /* of a missing file: what has to be read there while it is kept from being made */
	bool optional;	  /* nobody named it: say nothing when it is not there */
	const char *rule; /* as the policy has it */
	struct {
		const char **items;
		size_t count;
	} links; /* paths of the links that led here */
};

/* .git/info/exclude of a repository whose files may be written. */
struct git_exclude {
	const char *path;    /* canonical, as the working directories are */
	const char *content; /* "": it is missing, or as good as that, and can be made */
	struct string_list worktrees;
};

struct path_facts {
	struct path_fact *items;
	size_t count;
};

struct facts {
	const char *home;	  /* as the caller knows it; NULL: none */
	struct path_fact home_at; /* where that is */
	struct path_fact cwd;
	bool cwd_is_too_wide; /* it is home, or holds it: "." then opens nothing */

	struct path_facts allow_read, deny_read, allow_write, deny_write, allow_execute;
	struct path_facts final_deny_read, final_deny_write;
	struct path_facts default_read, default_write;
	struct path_facts secrets;   /* of the system (/etc/shadow …): those that the caller could read */
	struct path_facts sensitive; /* .env files of the project: they read as empty */
	struct path_facts protected; /* what must not be written, in any directory that may be */
	struct path_facts
		pinned; /* directories that hold protected paths and must not be moved away: .git, .claude */
	struct path_facts sockets;   /* allowUnixSockets */
	struct path_facts top_level; /* of "/", where everything is readable by default; links are followed */
	bool root_is_bound; /* that is so, and one mount of "/" does: only links are in top_level then */
	struct string_list covered; /* what must not be seen of the root that is bound: /sys, /run … */
	struct path_facts system;   /* of /sys: what programs ask about the machine */
	struct {
		struct git_exclude *items;
		size_t count;
	} git_excludes;
	struct path_fact resolv_conf;
	struct {
		struct path_link *items;
		size_t count;
	} links;  /* all that were met, each once */
	bool tun; /* /dev/net/tun can be opened by the caller */
	struct string_list notes;
};

int facts_gather(struct arena *arena, const struct policy *policy, const struct invocation *invocation,
	struct facts *facts, struct error *err);

/* The names of protected files and directories as paths in the directory that holds them, NULL-terminated. */
const char *const *protected_paths(bool allow_git_config);

/* Is `path` `directory` itself, or below it? Both canonical. */
bool path_is_within(const char *path, const char *directory);
bool path_is_within_any(const char *path, const struct path_facts *list);
