/* network.json, read and written by its table. See network.h. The grammar of addresses and rules is the relay's. */
#include "spec/network.h"

static const char *const default_actions[] = { "deny", "allow", NULL };
static const char *const tun_modes[] = { "required", "preferred", "never", NULL };
static const char *const datapaths[] = { "auto", "splice", "translate", "plain", NULL };

#define PERCENT .has_range = true, .minimum = 0, .maximum = 30

static const struct field impairment_fields[] = {
	FIELD(struct network_impairment, lose, "lose", UINT16, PERCENT),
	FIELD(struct network_impairment, repeat, "repeat", UINT16, PERCENT),
	FIELD(struct network_impairment, delay, "delay", UINT16, PERCENT),
};
static const struct object_type impairment_type =
	OBJECT_TYPE(struct network_impairment, impairment_fields, .strict = true);

static const struct field network_fields[] = {
	FIELD(struct network_file, proxies, "proxies", STRING_LIST),
	FIELD(struct network_file, dns, "dns", STRING, .nonempty = true),
	FIELD(struct network_file, allow, "allow", STRING_LIST),
	FIELD(struct network_file, deny, "deny", STRING_LIST),
	FIELD(struct network_file, default_action, "defaultAction", STRING, .allowed = default_actions),
	FIELD(struct network_file, inbound, "inbound", STRING_LIST),
	FIELD(struct network_file, tun, "tun", STRING, .allowed = tun_modes),
	FIELD(struct network_file, datapath, "datapath", STRING, .allowed = datapaths),
	FIELD(struct network_file, ipv6, "ipv6", BOOLEAN),
	FIELD(struct network_file, allow_local_outbound, "allowLocalOutbound", BOOLEAN),
	FIELD(struct network_file, check_server_name, "checkServerName", BOOLEAN),
	FIELD(struct network_file, log, "log", STRING, .nonempty = true),
	FIELD(struct network_file, impairment, "impairment", OBJECT, .object = &impairment_type),
};
static const struct object_type network_type =
	OBJECT_TYPE(struct network_file, network_fields, .strict = true);

int network_file_load(struct arena *arena, const char *path, struct network_file **file, struct error *err)
{
	struct network_file *model = arena_alloc(arena, sizeof(*model));
	struct json *tree;

	if (json_parse_file(arena, path, JSON_STRICT, &tree, err) < 0 ||
		table_read(arena, &network_type, tree, path, "", model, err) < 0)
		return -1;
	*file = model;
	return 0;
}

struct json *network_file_write(struct arena *arena, const struct network_file *file)
{
	return table_write(arena, &network_type, file);
}
