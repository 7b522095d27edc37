/* The policy model: what may be read, written, reached, called, and what passes into the environment.
 *
 * (Owned by the policy room; the struct follows the keys of POLICY-FACTS and DESIGN.)
 */
#pragma once

#include "spec/table.h"

struct policy;
