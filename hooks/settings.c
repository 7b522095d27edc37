/* See settings.h. */
#include "hooks/settings.h"

#include "netns/egress.h"
#include "netns/unix_door.h"
#include "netns/url.h"
#include "spec/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>

enum {
	DNS_PORT = 53,
	ADDRESSES_PER_NAME = 4, /* of a proxy's name: each is tried in turn */
	LISTEN_BACKLOG = 1024,
};

/* The addresses of a host's name, at most `max`; how many is returned. */
static int resolve(const char *host, uint16_t port, int type, struct endpoint *addresses, size_t max,
	const char *what, struct error *err)
{
	struct addrinfo hints = { .ai_socktype = type, .ai_flags = AI_NUMERICSERV }, *found, *each;
	char service[8];
	size_t count = 0;
	int fault;

	snprintf(service, sizeof(service), "%u", port);
	fault = getaddrinfo(host, service, &hints, &found);
	if (fault)
		return error_set(err, fault == EAI_SYSTEM ? errno : 0, "cannot find the address of %s %s%s%s",
			what, host, fault == EAI_SYSTEM ? "" : ": ",
			fault == EAI_SYSTEM ? "" : gai_strerror(fault));
	for (each = found; each && count < max; each = each->ai_next) {
		struct sockaddr_storage address = { 0 };

		memcpy(&address, each->ai_addr, each->ai_addrlen);
		count += endpoint_from_sockaddr(&addresses[count], &address);
	}
	freeaddrinfo(found);
	return count ? (int)count : error_set(err, 0, "%s %s has no IPv4 or IPv6 address", what, host);
}

static struct proxy *add_proxy(struct relay_config *config, const struct proxy_url *url)
{
	struct proxy *proxy = &config->proxies[config->proxy_count++];

	*proxy = (struct proxy){ .kind = url->kind, .remote_names = url->remote_names };
	memcpy(proxy->user, url->user, sizeof(proxy->user));
	memcpy(proxy->password, url->password, sizeof(proxy->password));
	return proxy;
}

/* One entry for each address of a name. */
static int add_resolved(const struct proxy_url *url, struct relay_config *config, struct error *err)
{
	struct endpoint addresses[ADDRESSES_PER_NAME];
	int count =
		resolve(url->host, url->port, SOCK_STREAM, addresses, ADDRESSES_PER_NAME, "the proxy", err);

	for (int i = 0; i < count && config->proxy_count < PROXIES_MAX; i++)
		add_proxy(config, url)->address = addresses[i];
	return count < 0 ? -1 : 0;
}

static void add_unix(struct arena *arena, const struct proxy_url *url, struct relay_config *config,
	struct string_list *paths)
{
	struct proxy *proxy = add_proxy(config, url);

	proxy->address.family = AF_UNIX;
	proxy->unix_path = (uint8_t)paths->count;
	*(const char **)arena_push(arena, &paths->items, &paths->count, sizeof(*paths->items)) =
		arena_strdup(arena, url->path);
}

static int apply_proxies(
	struct arena *arena, const struct network_file *file, struct relay_config *config, struct error *err)
{
	struct string_list paths = { 0 };

	config->proxies = arena_array(arena, PROXIES_MAX, sizeof(*config->proxies));
	for (size_t i = 0; i < file->proxies.count; i++) {
		struct proxy_url url;
		int result = 0;

		if (config->proxy_count == PROXIES_MAX)
			return error_set(
				err, 0, "proxies[%zu]: more than %d addresses of proxies", i, PROXIES_MAX);
		if (url_read_proxy(file->proxies.items[i], &url, err) < 0)
			return error_wrap(err, "proxies[%zu]", i);
		if (url.path[0])
			add_unix(arena, &url, config, &paths);
		else
			result = add_resolved(&url, config, err);
		explicit_bzero(&url, sizeof(url));
		if (result < 0)
			return -1;
	}
	return paths.count ? unix_door_start(paths.items, paths.count, &config->unix_door, err) : 0;
}

/* The first server of the host's resolv.conf that this can reach by address; a stub on 127.0.0.53 is as good as any, since
 * the relay lives on the host. */
static bool host_resolver(struct endpoint *dns)
{
	_cleanup_fclose_ FILE *file = fopen("/etc/resolv.conf", "re");
	char line[512], address[64];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "nameserver %63s", address) != 1)
			continue;
		dns->port = DNS_PORT;
		dns->family = strchr(address, ':') ? AF_INET6 : AF_INET;
		if (inet_pton(dns->family, address, &dns->v6) == 1)
			return true;
	}
	*dns = (struct endpoint){ 0 };
	return false;
}

static int apply_dns(const struct network_file *file, struct relay_config *config, struct error *err)
{
	char host[256];
	uint16_t port;

	if (file->dns) {
		if (url_read_host(file->dns, DNS_PORT, "dns", host, &port, err) < 0)
			return -1;
		return resolve(host, port, SOCK_DGRAM, &config->dns, 1, "the resolver", err) < 0 ? -1 : 0;
	}
	if (config->proxy_count || host_resolver(&config->dns) || !egress_has_names(config->egress))
		return 0;
	return error_set(err, 0,
		"the network rules name hosts, but this host's /etc/resolv.conf names no resolver; give one "
		"with --dns");
}

static int apply_rules(
	struct arena *arena, const struct network_file *file, struct relay_config *config, struct error *err)
{
	static const char *const local[] = { "localhost", "127.0.0.0/8", "[::1]" };
	bool allow = file->default_action ? strcmp(file->default_action, "allow") == 0
					  : file->proxies.count && !file->allow.count;
	size_t count = file->deny.count;
	const char **deny = arena_array(arena, count + ARRAY_SIZE(local), sizeof(*deny));

	if (count)
		memcpy(deny, file->deny.items, count * sizeof(*deny));
	if (!file->allow_local_outbound.set || !file->allow_local_outbound.value) {
		memcpy(deny + count, local, sizeof(local));
		count += ARRAY_SIZE(local);
	}
	return egress_new(file->allow.items, file->allow.count, deny, count, allow, &config->egress, err);
}

static int bind_inbound(struct inbound *inbound, struct error *err)
{
	_cleanup_close_ int fd = socket(inbound->listen.family,
		(inbound->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&inbound->listen, &address);
	char text[ENDPOINT_TEXT_MAX];
	int on = 1;

	endpoint_format(&inbound->listen, text);
	if (fd < 0 || (!inbound->udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
		(inbound->listen.family == AF_INET6 &&
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0))
		return error_set(err, errno, "cannot make a socket for the inbound port %s", text);
	if (bind(fd, (struct sockaddr *)&address, length) < 0 ||
		(!inbound->udp && listen(fd, LISTEN_BACKLOG) < 0))
		return error_set(err, errno, "cannot listen on the inbound port %s", text);
	inbound->listen_fd = steal_fd(&fd);
	return 0;
}

static int apply_inbound(
	struct arena *arena, const struct network_file *file, struct relay_config *config, struct error *err)
{
	config->inbound = arena_array(arena, file->inbound.count + 1, sizeof(*config->inbound));
	for (size_t i = 0; i < file->inbound.count; i++) {
		struct inbound *inbound = &config->inbound[config->inbound_count++];

		if (url_read_inbound(file->inbound.items[i], inbound, err) < 0 ||
			bind_inbound(inbound, err) < 0)
			return error_wrap(err, "inbound[%zu]", i);
	}
	return 0;
}

/* A descriptor that was inherited is taken as it is: opened by name it would have to be permitted, and could be no socket. A link can be
 * an earlier command's, to a file that a shell reads: what is logged is names of its choice. */
static int open_log(const char *path, struct error *err)
{
	static const char inherited[] = "/proc/self/fd/";
	size_t length = sizeof(inherited) - 1;
	int fd;

	if (strncmp(path, inherited, length) == 0)
		fd = fcntl(atoi(path + length), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	else
		fd = open(path,
			O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0600);
	return fd < 0 ? error_set(err, errno, "cannot open the log %s%s", path,
				errno == ELOOP ? ", a symbolic link: name where it leads" : "")
		      : fd;
}

int settings_apply(
	struct arena *arena, const struct network_file *file, struct relay_config *config, struct error *err)
{
	if (apply_rules(arena, file, config, err) < 0 || apply_proxies(arena, file, config, err) < 0 ||
		apply_dns(file, config, err) < 0 || apply_inbound(arena, file, config, err) < 0)
		return -1;
	config->check_server_name = file->check_server_name.value;
	if (file->log)
		config->log_fd = open_log(file->log, err);
	return file->log && config->log_fd < 0 ? -1 : 0;
}
