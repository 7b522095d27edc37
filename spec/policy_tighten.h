/* Two policies as one that allows no more than either: the node's, and the one that a container asks for.
 */
#pragma once

#include "spec/policy.h"

/* Tightens `floor` in place by `named`. */
void policy_tighten(struct arena *arena, struct policy *floor, const struct policy *named);
