/* What the files oci*.c share. Nobody else includes it. */
#pragma once

#include "spec/oci.h"

extern const struct object_type oci_process_type, oci_linux_type, oci_resources_type, oci_id_mapping_type;

/* Every object of the OCI model keeps the members that it does not know. */
#define OCI_TYPE(model, table, ...) \
	OBJECT_TYPE(model, table, .unknown_offset = offsetof(model, unknown), ##__VA_ARGS__)

/* Checks for table fields: the rest of a sentence that begins with the value, or NULL. */
const char *oci_check_absolute(const char *value);

/* What no table can say. The tree is only for the positions in messages; `prefix` is the JSON path of the process:
 * "process" in a config, "" in a process.json. */
int oci_validate_config(struct arena *arena, const struct oci_config *config, const struct json *tree,
	const char *name, struct error *err);
int oci_validate_process(struct arena *arena, const struct oci_process *process, const struct json *tree,
	const char *name, const char *prefix, struct error *err);
