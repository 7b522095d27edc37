/* What a container's limits and annotations are called as properties of a systemd unit, put into a D-Bus message as a(sv).
 */
#pragma once

#include "runtime/cgroup_internal.h"
#include "runtime/dbus.h"

void systemd_put_string(struct dbus_body *body, const char *name, const char *value);
void systemd_put_bool(struct dbus_body *body, const char *name, bool value);
void systemd_put_pid(struct dbus_body *body, const char *name, pid_t pid); /* a list of one */

/* linux.resources. What systemd has no property for is only in the cgroup's own files, where cgroup_apply() writes all of it. */
int systemd_put_resources(struct dbus_body *body, struct cgroup *cgroup,
	const struct oci_resources *resources, struct error *err);
/* The rest of it, on v2: weight of CPU time, or none, if systemd has a word for that. */
void systemd_put_weight(struct dbus_body *body, const struct oci_resources *resources, bool knows_idle);

/* The quota that systemd gives instead of this one. The cgroup's file is to say the same before and after systemd writes it. */
uint64_t systemd_round_quota(uint64_t quota, uint64_t period);

/* linux.resources.devices: nothing on v2, where the cgroup has a program of ours. `resources` may be NULL. */
int systemd_put_devices(struct dbus_body *body, const struct cgroup *cgroup,
	const struct oci_resources *resources, struct error *err);

/* org.systemd.property.NAME: VALUE, VALUE in the notation of GVariant. */
int systemd_put_annotations(struct dbus_body *body, const struct string_map *annotations, struct error *err);
