/* The system calls that the relay makes once it serves. Any other ends it.
 */
#pragma once

#include "spec/error.h"

int cell_filter_install(struct error *err); /* no_new_privs must be set */
