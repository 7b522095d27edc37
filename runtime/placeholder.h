/* Placeholders: empty files and directories that are made on the host only to be mounted over.
 *
 * A path that the policy protects but that does not exist yet can only be kept from being created by a mount, and a mount
 * needs something to lie on. The annotation dev.fence.placeholders lists those paths: a JSON array of absolute host
 * paths, parents first, or of {"path": …, "content": …} for a file that others who read it meanwhile must not find empty. Several containers can share one, and the last one out removes it: a registry under the
 * runtime's root says who holds what. A path that was there before fence came is never in it.
 */
#pragma once

#include "spec/oci.h"

#define ANNOTATION_PLACEHOLDERS "dev.fence.placeholders"

/* Before anything is mounted: registers `id` as a holder of those that do not exist, or that others hold. */
int placeholders_claim(struct arena *arena, const char *root, const char *id, const struct oci_config *config,
	struct error *err);

/* Once they are mounted over: notes which files they are, so that no other file is ever removed in their place. */
int placeholders_identify(struct arena *arena, const char *root, const char *id, struct error *err);

/* Gives up what `id` holds; those that nobody else holds are removed, if they are still empty. */
int placeholders_release(struct arena *arena, const char *root, const char *id, struct error *err);
