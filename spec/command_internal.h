/* What the files command*.c share. Nobody else includes it. */
#pragma once

#include "spec/command.h"
#include "spec/shell_words.h"

struct inspection {
	struct arena *arena;
	const struct policy *policy;
	const char *why; /* set when something is refused */
	unsigned int depth;
};

/* The words of a simple command from `first` on. */
bool inspect_words(struct inspection *inspection, const struct string_list *words, size_t first);
const char *join_words(struct arena *arena, const struct string_list *words, size_t first);
bool inspect_line(struct inspection *inspection, const char *line);

/* command_match.c: the rule ("git push") that covers these words, or NULL. */
const char *matching_rule(const struct string_list *rules, const struct string_list *words, size_t first);
const char *base_name(const char *path);
/* The word after options, by the letters of those that take a value. */
size_t skip_options(const struct string_list *words, size_t at, const char *with_value);

/* command_ssh.c: ssh, scp, sftp and rsync, when the policy has hosts. */
bool inspect_ssh(struct inspection *inspection, const struct string_list *words, size_t first);

/* Are these words refused by command.deny and its defaults, whatever ssh.* says? */
bool denied_by_commands(struct inspection *inspection, const struct string_list *words, size_t first);
