/* What must not be written although its directory may be: files that somebody's shell, editor, agent or git will run or obey later.
 *
 * In the working directory and each directory that the policy makes writable: those that exist, to a limited depth, and at the top
 * those that do not exist, too, since they could be made.
 */
#include "spec/compile.h"
#include "spec/facts_internal.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum {
	DEPTH_DEFAULT = 3,
	ENTRIES_MANY = 100000, /* names to be looked at, worth a note */
};

#define NO_SETTINGS "{}\n"

/* One name, or two: then the first is a directory in which other things may be written. */
static const struct protected_name {
	const char *name;
	bool directory;
	const char *inner, *inner_content; /* a directory, or a file that stands for none with this content */
} protected_names[] = {
	{ ".gitconfig" },
	{ ".gitmodules" },
	{ ".bashrc" },
	{ ".bash_profile" },
	{ ".zshrc" },
	{ ".zprofile" },
	{ ".profile" },
	{ ".ripgreprc" },
	{ ".mcp.json" },
	{ ".vscode", true },
	{ ".idea", true },
	{ ".claude", true, "commands" },
	{ ".claude", true, "agents" },
	{ ".claude", true, "settings.json", NO_SETTINGS },
	{ ".claude", true, "settings.local.json", NO_SETTINGS },
	{ ".git", true },
};

/* Of the home directory: what a shell, a session or ssh starts with. */
static const struct protected_name protected_at_home[] = {
	{ ".bash_aliases" },
	{ ".bash_login" },
	{ ".bash_logout" },
	{ ".zshenv" },
	{ ".zlogin" },
	{ ".zlogout" },
	{ ".pam_environment" },
	{ ".xprofile" },
	{ ".xsession" },
	{ ".xsessionrc" },
	{ ".xinitrc" },
	{ ".ssh", true },
	{ ".config/git", true },
	{ ".config/fish", true },
	{ ".config/autostart", true },
	{ ".config/environment.d", true },
	{ ".config/systemd", true },
	{ ".local/share/systemd", true },
};

/* They read as empty. */
static const char *const sensitive_names[] = {
	".env",
	".env.local",
	".env.development",
	".env.production",
	".env.staging",
	".env.test",
};

static const char *const never_searched[] = { ".", "..", "node_modules", ".git", ".claude", ".vscode",
	".idea" };

const char *const *protected_paths(bool allow_git_config)
{
	static const char *const paths[] = { ".git/config", ".git/hooks", ".gitconfig", ".gitmodules",
		".bashrc", ".bash_profile", ".zshrc", ".zprofile", ".profile", ".ripgreprc", ".mcp.json",
		".vscode", ".idea", ".claude/commands", ".claude/agents", ".claude/settings.json",
		".claude/settings.local.json", NULL };

	return paths + allow_git_config;
}

static struct path_fact *add(struct gatherer *gatherer, struct path_facts *list, struct path_fact fact)
{
	struct path_fact *slot = arena_push(gatherer->arena, &list->items, &list->count, sizeof(*slot));

	*slot = fact;
	slot->optional = true;
	return slot;
}

/* An empty file or directory may be the placeholder of another fence, and vanish with it before it is mounted. An empty mask does as
 * well for it as for what is missing. */
static bool holds_nothing(struct gatherer *gatherer, const struct path_fact *fact)
{
	_cleanup_closedir_ DIR *stream = NULL;
	struct dirent *entry;
	struct stat status;

	if (fact->kind == PATH_FILE)
		return lstat(fact->path, &status) == 0 && status.st_size == 0;
	if (fact->kind != PATH_DIRECTORY)
		return false;
	stream = opendir(fact->path);
	if (!stream) {
		note_fault(gatherer, errno, fact->path);
		return false;
	}
	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return false;
	return true;
}

/* The thing itself and, where it is a link, the link too, which could be pointed elsewhere. The kind of what is there is returned;
 * what isn't there is only protected `at_top`. */
static enum path_kind protect(struct gatherer *gatherer, const char *path, bool directory, bool at_top)
{
	struct path_facts *protected = &gatherer->facts->protected;
	struct path_fact itself, target;

	resolve_path(gatherer, path, false, &itself);
	if (take_locked_directory(gatherer, &itself)) {
		itself.rule = path;
		add(gatherer, protected, itself);
		return PATH_MISSING;
	}
	itself.rule = target.rule = path;
	if (itself.kind == PATH_MISSING && (!at_top || !itself.missing || !can_be_made(gatherer, &itself)))
		return PATH_MISSING;
	itself.directory_wanted = itself.kind == PATH_MISSING ? directory : itself.kind == PATH_DIRECTORY;
	if (holds_nothing(gatherer, &itself)) {
		itself.kind = PATH_MISSING;
		itself.missing = itself.path;
	}
	add(gatherer, protected, itself);
	if (itself.kind != PATH_SYMLINK)
		return itself.kind;
	resolve_path(gatherer, path, true, &target);
	target.rule = path;
	target.directory_wanted = directory;
	add(gatherer, protected, target);
	return target.kind;
}

/* What lies in a directory that cannot be listed, or reached, which its owner can change, is not known: it stays as it is. */
static void protect_unlisted(struct gatherer *gatherer, const char *directory)
{
	struct path_fact fact;

	if (errno != EACCES) {
		note_fault(gatherer, errno, directory);
		return;
	}
	resolve_path(gatherer, directory, false, &fact);
	if (fact.locked || is_own(gatherer, directory))
		protect(gatherer, directory, true, false);
}

static void pin(struct gatherer *gatherer, const char *path)
{
	struct path_fact fact;

	resolve_path(gatherer, path, true, &fact);
	fact.rule = path;
	add(gatherer, &gatherer->facts->pinned, fact);
}

static const char *below(struct gatherer *gatherer, const char *directory, const char *name)
{
	return arena_printf(gatherer->arena, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, name);
}

/* git */

/* Reads a small file's first line that begins with `prefix`; NULL if there is none. A command can have put a FIFO there, for us to wait
 * at. */
static const char *read_line(struct gatherer *gatherer, const char *path, const char *prefix)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	_cleanup_fclose_ FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	char line[PATH_MAX + 16];
	size_t length = strlen(prefix);

	if (!file || !fgets(line, sizeof(line), file)) {
		if (!file || ferror(file))
			note_fault(gatherer, errno, path);
		return NULL;
	}
	if (strncmp(line, prefix, length) != 0)
		return NULL;
	line[strcspn(line, "\r\n")] = '\0';
	return arena_strdup(gatherer->arena, line + length);
}

static const char *from(struct gatherer *gatherer, const char *directory, const char *path)
{
	return *path == '/' ? path : below(gatherer, directory, path);
}

/* A file whose content, one line, is as good as none; an empty one would make programs fail that look while the command runs. */
static void protect_with_content(struct gatherer *gatherer, const char *path, const char *content)
{
	size_t length = strcspn(content, "\n");
	struct path_fact fact;
	const char *text;

	resolve_path(gatherer, path, false, &fact);
	if (fact.locked)
		return; /* as the directories beside it are, see protect() */
	text = fact.kind == PATH_FILE ? read_line(gatherer, path, "") : NULL;
	/* Another fence's placeholder, which can vanish, or is just being filled. */
	if ((text && strlen(text) == length && strncmp(text, content, length) == 0) ||
		holds_nothing(gatherer, &fact)) {
		fact.kind = PATH_MISSING;
		fact.missing = fact.path;
	}
	if (fact.kind != PATH_MISSING) {
		protect(gatherer, path, false, false);
		return;
	}
	if (!fact.missing || (!text && !can_be_made(gatherer, &fact)))
		return;
	fact.rule = path;
	fact.content = content;
	add(gatherer, &gatherer->facts->protected, fact);
}

/* Where the configuration and the hooks of a git directory are: "." is here, as without the file. */
static void protect_commondir(struct gatherer *gatherer, const char *directory)
{
	protect_with_content(gatherer, below(gatherer, directory, "commondir"), ".\n");
}

/* What the repository's other worktrees go by: each has a file of that kind, too. */
static void protect_worktrees(struct gatherer *gatherer, const char *worktrees, bool allow_config)
{
	_cleanup_closedir_ DIR *stream = opendir(worktrees);
	struct dirent *entry;

	if (!stream)
		protect_unlisted(gatherer, worktrees);
	while (stream && (entry = readdir(stream))) {
		const char *path = below(gatherer, worktrees, entry->d_name);

		if (*entry->d_name == '.')
			continue;
		protect_commondir(gatherer, path);
		if (!allow_config)
			protect(gatherer, below(gatherer, path, "config.worktree"), false, true);
	}
}

/* Hooks and configuration of a git directory. */
static void protect_git_directory(
	struct gatherer *gatherer, const char *directory, bool allow_config, bool at_top)
{
	protect(gatherer, below(gatherer, directory, "hooks"), true, at_top);
	protect_commondir(gatherer, directory);
	protect_worktrees(gatherer, below(gatherer, directory, "worktrees"), allow_config);
	if (allow_config)
		return;
	protect(gatherer, below(gatherer, directory, "config"), false, at_top);
	protect(gatherer, below(gatherer, directory, "config.worktree"), false, at_top);
}

/* What the configuration names in its turn. */
static void protect_by_git_config(struct gatherer *gatherer, const char *git_directory, const char *worktree)
{
	enum { INCLUDED_MAX = 32 };
	struct git_config config = { 0 };
	struct string_list *files = &config.included;

	string_list_add(gatherer->arena, files, below(gatherer, git_directory, "config"));
	for (size_t i = 0; i < files->count && i < INCLUDED_MAX; i++) {
		const char *path = files->items[i], *slash;
		size_t next = files->count;

		git_config_read(gatherer, path, &config);
		if (i)
			protect(gatherer, path, false, true);
		slash = strrchr(path, '/');
		for (; next < files->count; next++)
			files->items[next] =
				from(gatherer, arena_strndup(gatherer->arena, path, (size_t)(slash - path)),
					files->items[next]);
	}
	for (size_t i = 0; i < config.hooks.count; i++)
		protect(gatherer, from(gatherer, worktree, config.hooks.items[i]), true, true);
}

/* Those of submodules, whose names may have slashes. */
static void protect_modules(
	struct gatherer *gatherer, const char *modules, bool allow_config, unsigned int depth)
{
	_cleanup_closedir_ DIR *stream = opendir(modules);
	struct dirent *entry;

	if (!stream)
		protect_unlisted(gatherer, modules);
	while (stream && depth && (entry = readdir(stream))) {
		const char *path = below(gatherer, modules, entry->d_name);

		if (*entry->d_name == '.' || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN))
			continue;
		if (!path_exists(gatherer, below(gatherer, path, "HEAD"))) {
			protect_modules(gatherer, path, allow_config, depth - 1);
			continue;
		}
		pin(gatherer, path);
		protect_git_directory(gatherer, path, allow_config, true);
		protect_modules(gatherer, below(gatherer, path, "modules"), allow_config, depth - 1);
	}
}

static void note_repository(struct gatherer *gatherer, const char *directory, const char *repository)
{
	struct facts *facts = gatherer->facts;
	struct path_fact fact;

	resolve_path(gatherer, repository, true, &fact);
	if (path_is_within_any(fact.path, &facts->allow_read) ||
		path_is_within_any(fact.path, &facts->allow_write) ||
		path_is_within_any(fact.path, &facts->top_level))
		return;
	string_list_note(gatherer->arena, &facts->notes,
		"%s is a git worktree or submodule, whose repository %s is not visible: git works with that "
		"in allowRead or "
		"allowWrite",
		directory, fact.path);
}

/* .git is a file in worktrees and submodules: what it names holds the hooks, or names what does. That is returned, or NULL. */
static const char *protect_git_file(
	struct gatherer *gatherer, const char *file, const char *directory, bool allow_config)
{
	const char *text = read_line(gatherer, file, "gitdir: ");
	const char *git_directory = text ? from(gatherer, directory, text) : NULL;
	const char *common =
		git_directory ? read_line(gatherer, below(gatherer, git_directory, "commondir"), "") : NULL;

	if (!git_directory)
		return NULL;
	pin(gatherer, git_directory);
	protect_git_directory(gatherer, git_directory, allow_config, true);
	protect(gatherer, below(gatherer, git_directory, "gitdir"), false, false);
	if (!common) {
		protect_by_git_config(gatherer, git_directory, directory);
		note_repository(gatherer, directory, git_directory);
		return git_directory;
	}
	common = from(gatherer, git_directory, common);
	note_repository(gatherer, directory, common);
	pin(gatherer, common);
	protect_git_directory(gatherer, common, allow_config, true);
	protect_by_git_config(gatherer, common, directory);
	return common;
}

static void protect_git(struct gatherer *gatherer, const char *directory, bool allow_config, bool at_top)
{
	const char *path = below(gatherer, directory, ".git"), *common;
	struct path_fact fact;

	resolve_path(gatherer, path, true, &fact);
	if (fact.kind != PATH_DIRECTORY || holds_nothing(gatherer, &fact)) {
		/* Missing: an empty directory will be in its place, which git does not take for a repository. */
		common = protect(gatherer, path, true, at_top) == PATH_FILE
				 ? protect_git_file(gatherer, path, directory, allow_config)
				 : NULL;
		if (common && at_top)
			gather_git_exclude(gatherer, directory, common);
		return;
	}
	resolve_path(gatherer, path, false, &fact);
	if (fact.kind == PATH_SYMLINK)
		add(gatherer, &gatherer->facts->protected, fact);
	pin(gatherer, path);
	protect_git_directory(gatherer, path, allow_config, true);
	protect_by_git_config(gatherer, path, directory);
	protect_modules(gatherer, below(gatherer, path, "modules"), allow_config, DEPTH_DEFAULT);
	if (at_top)
		gather_git_exclude(gatherer, directory, path);
}

/* A directory that is a repository itself, without a working directory or as another's .git. */
static void protect_bare(struct gatherer *gatherer, const char *directory, bool allow_config)
{
	if (!path_exists(gatherer, below(gatherer, directory, "HEAD")) ||
		!path_exists(gatherer, below(gatherer, directory, "objects")))
		return;
	protect_git_directory(gatherer, directory, allow_config, true);
	protect_by_git_config(gatherer, directory, directory);
	protect_modules(gatherer, below(gatherer, directory, "modules"), allow_config, DEPTH_DEFAULT);
}

/* One directory */

static void protect_inner(
	struct gatherer *gatherer, const char *path, const struct protected_name *protected, bool at_top)
{
	const char *inner = below(gatherer, path, protected->inner);
	struct path_fact fact;

	resolve_path(gatherer, path, true, &fact);
	if (fact.kind != PATH_DIRECTORY || holds_nothing(gatherer, &fact)) {
		protect(gatherer, path, true, at_top);
		return;
	}
	resolve_path(gatherer, path, false, &fact);
	if (fact.kind == PATH_SYMLINK)
		add(gatherer, &gatherer->facts->protected, fact);
	pin(gatherer, path);
	if (protected->inner_content)
		protect_with_content(gatherer, inner, protected->inner_content);
	else
		protect(gatherer, inner, true, true);
}

static void protect_name(struct gatherer *gatherer, const char *directory,
	const struct protected_name *protected, bool allow_config, bool at_top)
{
	const char *path = below(gatherer, directory, protected->name);

	if (protected->inner)
		protect_inner(gatherer, path, protected, at_top);
	else if (strcmp(protected->name, ".git") == 0)
		protect_git(gatherer, directory, allow_config, at_top);
	else
		protect(gatherer, path, protected->directory, at_top);
}

static void protect_top(struct gatherer *gatherer, const char *directory, bool allow_config)
{
	protect_bare(gatherer, directory, allow_config);
	for (size_t i = 0; i < ARRAY_SIZE(protected_names); i++)
		protect_name(gatherer, directory, &protected_names[i], allow_config, true);
}

/* Inside of a directory that may be written, and not what the policy names itself. */
static bool is_writable_by_the_way(const struct facts *facts, const char *path)
{
	for (size_t i = 0; i < facts->allow_write.count; i++)
		if (strcmp(facts->allow_write.items[i].path, path) == 0)
			return false;
	return path_is_within_any(path, &facts->allow_write);
}

static void protect_home(struct gatherer *gatherer, bool allow_config)
{
	const struct facts *facts = gatherer->facts;
	const char *home = facts->home_at.path;

	if (!home)
		return;
	if (path_is_within_any(home, &facts->allow_write))
		protect_top(gatherer, home, allow_config);
	for (size_t i = 0; i < ARRAY_SIZE(protected_at_home); i++) {
		const char *path = below(gatherer, home, protected_at_home[i].name);

		if (is_writable_by_the_way(facts, path))
			protect(gatherer, path, protected_at_home[i].directory, true);
	}
}

/* The search */

struct search {
	struct gatherer *gatherer;
	bool allow_config;
	bool project; /* the working directory: its .env files are masked, too */
	unsigned int depth;
};

static bool one_of(const char *const *words, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

static void look_at(const struct search *search, const char *directory, const char *name, unsigned int depth)
{
	struct gatherer *gatherer = search->gatherer;
	struct path_fact fact;

	if (*name != '.')
		return;
	for (size_t i = 0; depth && i < ARRAY_SIZE(protected_names); i++)
		if (strcmp(protected_names[i].name, name) == 0)
			protect_name(gatherer, directory, &protected_names[i], search->allow_config, false);
	if (!search->project || !one_of(sensitive_names, ARRAY_SIZE(sensitive_names), name))
		return;
	resolve_path(gatherer, below(gatherer, directory, name), true, &fact);
	take_locked_directory(gatherer, &fact);
	fact.rule = name;
	add(gatherer, &gatherer->facts->sensitive, fact);
}

/* Its .env files could still be read by their names. */
static void hide_unlisted(struct gatherer *gatherer, const char *directory)
{
	struct path_fact fact;

	resolve_path(gatherer, directory, false, &fact);
	if (!take_locked_directory(gatherer, &fact) && !is_own(gatherer, directory))
		return;
	fact.rule = directory;
	add(gatherer, &gatherer->facts->sensitive, fact);
}

static bool is_directory(int fd, const struct dirent *entry)
{
	struct stat status;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

/* `depth` 0 is the directory itself, whose protected names protect_top() sees to. */
static void search_directory(const struct search *search, const char *directory, unsigned int depth)
{
	struct gatherer *gatherer = search->gatherer;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_closedir_ DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!stream) {
		bool hide = search->project && errno == EACCES;

		protect_unlisted(gatherer, directory);
		if (hide)
			hide_unlisted(gatherer, directory);
		close_fd(fd);
		return;
	}
	while (errno = 0, (entry = readdir(stream))) {
		gatherer->entries++;
		look_at(search, directory, entry->d_name, depth);
		if (depth + 1 < search->depth && is_directory(fd, entry) &&
			!one_of(never_searched, ARRAY_SIZE(never_searched), entry->d_name))
			search_directory(search, below(gatherer, directory, entry->d_name), depth + 1);
	}
	if (errno)
		note_fault(gatherer, errno, directory);
}

void gather_protected(struct gatherer *gatherer, const struct policy *policy)
{
	struct facts *facts = gatherer->facts;
	struct search search = {
		.gatherer = gatherer,
		.allow_config = policy->filesystem->allow_git_config.value,
		.depth = policy->mandatory_deny_search_depth.set ? policy->mandatory_deny_search_depth.value
								 : DEPTH_DEFAULT,
	};
	bool cwd_searched = facts->cwd_is_too_wide;

	for (size_t i = 0; i < facts->allow_write.count; i++) {
		const struct path_fact *root = &facts->allow_write.items[i];
		size_t earlier = 0;

		while (strcmp(facts->allow_write.items[earlier].path, root->path) != 0)
			earlier++;
		if (earlier < i || root->kind != PATH_DIRECTORY)
			continue;
		search.project = !cwd_searched && strcmp(root->path, facts->cwd.path) == 0;
		cwd_searched |= search.project;
		protect_top(gatherer, root->path, search.allow_config);
		search_directory(&search, root->path, 0);
	}
	search.project = true;
	if (!cwd_searched) {
		protect_top(gatherer, facts->cwd.path, search.allow_config);
		search_directory(&search, facts->cwd.path, 0);
	}
	protect_home(gatherer, search.allow_config);
	for (size_t i = 0; i < policy->directories.count; i++)
		protect(gatherer, policy->directories.items[i], true, true);
	for (size_t i = 0; i < policy->files.count; i++)
		protect(gatherer, from(gatherer, facts->cwd.path, policy->files.items[i]), false, false);
	if (gatherer->entries > ENTRIES_MANY)
		string_list_note(gatherer->arena, &facts->notes,
			"%zu names were looked at for protected files: a smaller mandatoryDenySearchDepth "
			"saves time",
			gatherer->entries);
}
