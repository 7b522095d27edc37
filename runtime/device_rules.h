/* Device rules: which device nodes a container may make, read and write.
 */
#pragma once

#include "spec/oci.h"

enum {
	DEVICE_MKNOD = 1,
	DEVICE_READ = 2,
	DEVICE_WRITE = 4,
	DEVICE_ALL = 7
}; /* the kernel's BPF_DEVCG_ACC_* */

struct device_rule {
	bool allow;
	char type;	      /* 'b' or 'c'; 'a' for all devices, in the first rule only */
	int64_t major, minor; /* -1: any */
	unsigned int access;  /* never 0 */
};

struct device_rules {
	struct device_rule *items;
	size_t count;
};

/* What holds, in order, a later rule overriding. The first one is about all devices: linux.resources.devices' own last one
 * of that kind (what comes before it has no effect), else "deny". After a denial the nodes follow that every container
 * has in /dev, and making any node (which opens nothing). Then the rest of linux.resources.devices. */
int device_rules_make(struct arena *arena, const struct oci_resources *resources, struct device_rules *rules,
	struct error *err);

/* The same rules in the same order. */
bool device_rules_equal(const struct device_rules *a, const struct device_rules *b);

/* "rwm", or as much of it as the access is. */
const char *device_access_text(unsigned int access, char text[static 4]);

bool device_rules_overlap(const struct device_rule *a, const struct device_rule *b);

/* For v1, whose list of exceptions knows no order: the same rules such that writing them one after the other has that
 * meaning. An error where it cannot be had. */
int device_rules_flatten(
	struct arena *arena, const struct device_rules *rules, struct device_rules *flat, struct error *err);
