/* Checks of single values in a policy, for its tables: NULL if the value is good, else the rest of a sentence that begins with
 * it. The grammars of rules, proxies and ports are the relay's (netns/egress.h, netns/url.h), which reads them again: here they
 * are checked where the error can still name a line.
 */
#pragma once

/* Of a rule for commands: matching (command_match.c) knows no longer one. */
enum { COMMAND_RULE_LENGTH_MAX = 1023, COMMAND_RULE_WORDS_MAX = 32 };

const char *check_path_pattern(const char *value);
const char *check_command_rule(const char *value);
const char *check_egress_rule(const char *value);
const char *check_proxy_url(
	const char *value); /* its sentence must be printed without the value: it may hold a password */
const char *check_host_port(const char *value);
const char *check_inbound(const char *value);
const char *check_capability(const char *value);
const char *check_system_call(const char *value);
const char *check_allowed_system_call(const char *value);
const char *check_memory(const char *value);
const char *check_cpus(const char *value);
const char *check_exec_policy(const char *value);
const char *check_variable(const char *value);
const char *check_variable_pattern(const char *value);
const char *check_not_empty(const char *value);
