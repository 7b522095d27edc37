/* A line of shell as the simple commands in it, wherever they are: in lists, pipes, groups, loops, substitutions, here-documents.
 *
 * For rules about commands, not for running anything: it expands nothing but variables that the line itself sets, and where it cannot
 * tell, it finds one command too many rather than one too few.
 */
#pragma once

#include "spec/policy.h"

struct shell_command {
	struct string_list words; /* unquoted */
	const char *input;	  /* of a here-string or here-document, or NULL */
	bool reads_previous;	  /* its input is the output of the command before it */
};

struct shell_commands {
	struct shell_command *items;
	size_t count;
	bool too_deep; /* there is more, nested deeper than anybody writes */
};

void shell_split(struct arena *arena, const char *line, struct shell_commands *commands);
