/* A bundle on disk: reading its config.json, and writing that, network.json and the entries that the compiler asks for.
 *
 * What is written is all below one directory fd, nothing followed, nothing overwritten: a bundle is made in an empty directory that is ours.
 */
#pragma once

#include "spec/compile.h"

/* `path` as config.json means it: relative to the bundle, or absolute. */
const char *bundle_path(struct arena *arena, const char *bundle, const char *path);

/* The whole file, also a pipe; of one that is too long for json_parse() so much that it says so. *text lives in the arena, and is
 * NUL-terminated. */
int bundle_read_file(
	struct arena *arena, const char *path, const char **text, size_t *length, struct error *err);

/* Makes `path` (or takes an empty directory that is there) and returns its fd, or -1. */
int bundle_open(const char *path, struct error *err);

/* All but config.json; network.json is 0600. */
int bundle_write_entries(
	struct arena *arena, int bundle_fd, const struct compiled *compiled, struct error *err);
int bundle_write_config(struct arena *arena, int directory_fd, const char *path,
	const struct oci_config *config, struct error *err);

/* Writes one new file below `directory_fd`; an existing one is an error. */
int bundle_write_file(int directory_fd, const char *path, const char *content, size_t length, mode_t mode,
	struct error *err);

/* Removes the directory and all below it, without following links or crossing into other file systems (a mount that was left
 * there keeps its contents). ENOENT is success. */
int bundle_remove(const char *path, struct error *err);
