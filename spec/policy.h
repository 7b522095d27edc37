/* The policy model: what may be read, written, reached, called, and what passes into the environment.
 *
 * The keys are those of greywall and of its ancestor fence, with their meanings, and fence's own. Unknown keys are errors.
 * This file and policy.c say what a policy *is*; where it comes from is policy_load.h, what it does is compile.h.
 */
#pragma once

#include "spec/table.h"

struct policy_network {
	const char *proxy_url;		     /* socks5://, socks5h://, http:// or socks5+unix: */
	struct string_list fallback_proxies; /* tried in order where it cannot be reached */
	const char *http_proxy_url;	     /* accepted for greywall's files; without effect on Linux */
	const char *dns_address;	     /* host:port */
	struct string_list allowed_domains, denied_domains; /* egress rules, the grammar of netns/egress.h */
	struct string_list allow_unix_sockets;		    /* paths */
	struct optional_bool allow_all_unix_sockets, allow_local_binding, allow_local_outbound;
	struct uint32_list allow_local_outbound_ports;
	struct optional_bool check_server_name;			  /* default false */
	struct string_list inbound_ports;			  /* "[address:]port[:inner][/udp]" */
	struct optional_uint16 http_proxy_port, socks_proxy_port; /* accepted, without effect */
	const char *tun;      /* "required", "preferred" (default), "never" */
	const char *datapath; /* "auto", "splice", "translate" (default) */
	const char *log;
};

struct policy_filesystem {
	struct optional_bool default_deny_read; /* default true */
	struct optional_bool strict_deny_read;	/* the system's own paths are not readable either */
	struct string_list allow_read, deny_read, allow_write, deny_write;
	struct string_list allow_execute; /* given: only these may be executed */
	struct optional_bool allow_git_config;
	struct json *
		wsl_interop; /* accepted, without effect: Windows programs need sockets that no sandbox has */
};

struct policy_command {
	struct string_list deny, allow;
	struct optional_bool use_defaults; /* default true */
	const char *
		runtime_exec_policy; /* "path": spec/facts_programs.c; NULL: only what fence itself starts is judged */
};

struct policy_ssh {
	struct string_list allowed_hosts, denied_hosts, allowed_commands, denied_commands;
	struct optional_bool allow_all_commands, inherit_deny;
};

struct policy_environment {
	struct string_list pass; /* names and globs; given: only these pass, and a small base */
	struct string_list deny;
	struct string_map set;
};

extern const struct object_type policy_environment_type;

struct policy_system_calls {
	struct string_list deny, allow; /* `allow` takes from the default denials only */
	const char *action;		/* "errno" (default) or "kill": what a denied call meets */
};

struct policy_resources {
	const char *memory; /* bytes, or "512M" */
	const char *cpus;   /* "1.5" */
	struct optional_int64 pids;
};

struct policy {
	const char *schema, *description;
	const char *extends; /* resolved by policy_load() */
	struct policy_network *network;
	struct policy_filesystem *filesystem;
	struct policy_command *command;
	struct policy_ssh *ssh;
	struct policy_environment *environment;
	struct policy_system_calls *system_calls;
	struct policy_resources *resources;
	struct string_list capabilities;
	const char *landlock; /* "required", "preferred" (default), "never" */
	struct string_list
		inbound_ports;		/* the same as network.inboundPorts, where policy_read() puts them */
	struct optional_bool allow_pty; /* accepted, without effect: each sandbox has a devpts of its own */
	struct optional_uint32 mandatory_deny_search_depth; /* 1 … 10, default 3 */
	/* sandbox-runtime's, without effect here */
	struct json *ignore_violations, *ripgrep;
	struct optional_bool weaker_nested_sandbox;

	const char *
		container_policies; /* the node's: "named" (default), or "any": an annotation may hold a path or JSON */

	/* Not a key: under an engine, a container without a rule for the network has none. */
	bool governs_network;

	/* What the node denies: nothing below these can be opened again, by whatever policy comes after. */
	struct string_list final_deny_read, final_deny_write, final_deny_commands;

	/* Where it was read, and the directories in which other runs look for theirs: what it holds back must not change it. */
	struct string_list files, directories;
};

/* Reads one policy, strictly; every object is made, so that no pointer is NULL. `name` is for messages. `extends` is left
 * as it is. */
int policy_read(
	struct arena *arena, struct json *tree, const char *name, struct policy **policy, struct error *err);

/* Puts `nearer` over `policy`: lists are appended without repeating anything, nearer scalars win. */
void policy_merge(struct arena *arena, struct policy *policy, const struct policy *nearer);

/* Adds what `other` denies, and nothing else of it. */
void policy_keep_denials(struct arena *arena, struct policy *policy, const struct policy *other);

/* Copies what `policy` denies into its final lists as well: it is the node's. */
void policy_make_final(struct arena *arena, struct policy *policy);

/* Keys that were given and do nothing here: one line each. */
void policy_notes(struct arena *arena, const struct policy *policy, struct string_list *notes);

bool string_list_has(const struct string_list *list, const char *word);
void string_list_add(
	struct arena *arena, struct string_list *list, const char *word); /* unless it is there */
/* Appends "text" as it is, formatted. */
void string_list_note(struct arena *arena, struct string_list *list, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
