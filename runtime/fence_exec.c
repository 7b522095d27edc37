/* fence-exec: the Landlock wall of an exported bundle, for runtimes that know nothing of our annotation.
 *
 *   fence-exec RULES COMMAND [ARGUMENT…]
 *
 * `fence spec` puts this program into the bundle and in front of the command: it restricts itself by RULES (landlock.h) and becomes
 * COMMAND. It runs inside the container as the contained user, so it holds nothing, and must never run the command when the
 * rules could not be applied.
 */
#include "runtime/landlock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As the front door has them (front_door.h). */
enum { EXIT_FENCE_FAILED = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

int main(int argc, char **argv)
{
	struct error err = { 0 };
	int status;

	if (argc < 3) {
		fprintf(stderr, "usage: fence-exec RULES COMMAND [ARGUMENT...]\n");
		return EXIT_FENCE_FAILED;
	}
	if (landlock_apply(argv[1], &err) < 0) {
		fprintf(stderr, "fence-exec: %s\n", err.message);
		return EXIT_FENCE_FAILED;
	}
	execvp(argv[2], argv + 2);
	status = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	fprintf(stderr, "fence-exec: cannot execute %s: %s\n", argv[2], strerror(errno));
	return status;
}
