/* Device rules as an eBPF program: cgroup v2.
 */
#pragma once

#include "runtime/device_rules.h"

/* Makes a program of the rules and attaches it to the cgroup, instead of the one of ours that was there before. */
int device_filter_attach(int cgroup_fd, const struct device_rules *rules, struct error *err);
