/* `fence features`: what this program can do, in the specification's words (features-schema.json), so that an engine can ask
 * instead of trying.
 *
 * What the host lacks is not its concern, with one exception that the specification makes: seccomp's supportedFlags.
 */
#pragma once

#include "spec/json.h"

struct json *features_write(struct arena *arena);
