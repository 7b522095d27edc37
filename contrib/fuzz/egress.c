/* Fuzzes egress rules: each line of the input is a rule, the last one the name that is asked about. */
#include "netns/egress.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

enum { RULES_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct endpoint address = { .family = size & 1 ? AF_INET : AF_INET6, .port = 443 };
	char *text = malloc(size + 1), *rest = text;
	const char *rules[RULES_MAX], *why;
	struct egress *egress;
	struct error error;
	size_t count = 0;

	memcpy(text, data, size);
	text[size] = '\0';
	memcpy(&address.v6, data, size < sizeof(address.v6) ? size : sizeof(address.v6));
	while (count < RULES_MAX && strchr(rest, '\n'))
		rules[count++] = strsep(&rest, "\n");
	if (egress_new(rules, count, NULL, 0, false, &egress, &error) == 0) {
		why = NULL;
		egress_permits(egress, EGRESS_TCP, rest, &address, &why);
		assert(why);
		why = NULL;
		egress_permits(egress, EGRESS_UDP, NULL, &address, &why);
		assert(why);
		egress_permits_query(egress, rest, &why);
		egress_has_names(egress);
		egress_free(egress);
	}
	/* What denies everything permits nothing. */
	if (egress_new(NULL, 0, rules, count, false, &egress, &error) == 0) {
		assert(!egress_permits(egress, EGRESS_TCP, rest, &address, &why));
		egress_free(egress);
	}
	/* What permits everything permits, as a name, nothing but a name. */
	if (egress_new(NULL, 0, NULL, 0, true, &egress, &error) == 0) {
		address.family = AF_UNSPEC;
		if (egress_permits(egress, EGRESS_TCP, rest, &address, &why))
			assert(strspn(rest, NAME_CHARACTERS) == strlen(rest));
		egress_free(egress);
	}
	free(text);
	return 0;
}
