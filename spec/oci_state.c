/* The OCI state: what hooks read on their standard input, and what `state` prints. See oci.h. */
#include "spec/oci.h"
#include "spec/oci_tables.h"

/* "paused" is not the specification's, which lets a runtime add values; the other runtimes have it. */
static const char *const statuses[] = { "creating", "created", "running", "stopped", "paused", NULL };

static const struct field state_fields[] = {
	FIELD(struct oci_state, oci_version, "ociVersion", STRING, .required = true),
	FIELD(struct oci_state, id, "id", STRING, .required = true, .nonempty = true),
	FIELD(struct oci_state, pid, "pid", INT64, .has_range = true, .minimum = 0, .maximum = INT32_MAX),
	FIELD(struct oci_state, status, "status", STRING, .required = true, .allowed = statuses),
	FIELD(struct oci_state, bundle, "bundle", STRING, .required = true, .check = oci_check_absolute),
	FIELD(struct oci_state, annotations, "annotations", STRING_MAP),
};
static const struct object_type state_type = OCI_TYPE(struct oci_state, state_fields);

int oci_state_read(struct arena *arena, const struct json *tree, const char *name, struct oci_state **state,
	struct error *err)
{
	struct oci_state *model = arena_alloc(arena, sizeof(*model));

	if (table_read(arena, &state_type, tree, name, "", model, err) < 0)
		return -1;
	*state = model;
	return 0;
}

struct json *oci_state_write(struct arena *arena, const struct oci_state *state)
{
	return table_write(arena, &state_type, state);
}
