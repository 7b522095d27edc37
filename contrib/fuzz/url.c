/* Fuzzes the addresses that people write: proxies, resolvers, inbound ports. No error may repeat a password. */
#include "netns/url.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), host[256];
	struct proxy_url url;
	struct inbound inbound;
	struct error error = { 0 };
	uint16_t port;

	memcpy(text, data, size);
	text[size] = '\0';
	if (url_read_proxy(text, &url, &error) == 0)
		assert(url.path[0] ? url.path[0] == '/' && strlen(url.path) < UNIX_PATH_MAX
				   : url.port && url.host[0] && strlen(url.user) < 256 &&
					     strlen(url.password) < 256);
	else
		assert(!strlen(text) || !strchr(text, '@') || !strstr(error.message, text));
	if (url_read_host(text, 53, "dns", host, &port, &error) == 0)
		assert(port && host[0]);
	if (url_read_inbound(text, &inbound, &error) == 0)
		assert(inbound.listen.port && inbound.inner_port && inbound.listen.family);
	free(text);
	return 0;
}
