/* See firewall.h. In nft's words:
 *
 *	table inet fence {
 *		chain arriving {	# which connections were begun from outside: only they may be answered
 *			type filter hook prerouting priority mangle
 *			iif != lo iif != TUN ct state new ct mark set MARK
 *		}
 *		chain routing {
 *			type route hook output priority mangle
 *			ct direction reply ct mark MARK meta mark set MARK
 *		}
 *		chain leaving {
 *			type filter hook output priority filter; policy drop
 *			oif lo accept
 *			oif TUN accept
 *			ct direction reply ct mark MARK accept
 *			meta l4proto ipv6-icmp icmpv6 type 135-136 accept	# neighbours, for those replies
 *		}
 *		chain forwarding {
 *			type filter hook forward priority filter; policy drop
 *		}
 *	}
 *
 * The direction of a connection alone would not do: with IPV6_FREEBIND a program without any capability can send itself a packet
 * from an address outside, over lo, and then "reply" to it. Hence the mark that only an arrival by a real link sets.
 */
#include "netns/firewall.h"

#include "netns/netlink.h"
#include "spec/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>

#define TABLE	     "fence"
#define SPLICE_TABLE "fence-splice"

enum { BATCH_MAX = 16384, STATE_NEW = NF_CT_STATE_BIT(IP_CT_NEW) };

/* A batch of messages that is being written; `message` is the one that is open. */
struct batch {
	struct netlink *netlink;
	const char *table;
	char *end;
	struct nlmsghdr *message;
	uint32_t last;
	_Alignas(struct nlmsghdr) char bytes[BATCH_MAX];
};

static struct nlmsghdr *begin(
	struct batch *batch, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource)
{
	struct nfgenmsg *body;

	batch->message = mnl_nlmsg_put_header(batch->end);
	batch->message->nlmsg_type = type;
	batch->message->nlmsg_flags = NLM_F_REQUEST | flags;
	batch->message->nlmsg_seq = netlink_sequence(batch->netlink);
	body = mnl_nlmsg_put_extra_header(batch->message, sizeof(*body));
	*body = (struct nfgenmsg){
		.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource)
	};
	return batch->message;
}

static void end(struct batch *batch)
{
	batch->end = mnl_nlmsg_get_payload_tail(batch->message);
	batch->end = batch->bytes + MNL_ALIGN((size_t)(batch->end - batch->bytes));
}

/* What each table, chain and rule is: nf_tables' own request, to be acknowledged. */
static struct nlmsghdr *begin_request(struct batch *batch, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = begin(
		batch, (NFNL_SUBSYS_NFTABLES << 8) | type, NLM_F_ACK | NLM_F_CREATE | flags, NFPROTO_INET, 0);

	batch->last = message->nlmsg_seq;
	return message;
}

static void put_number(struct nlmsghdr *message, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(message, type, htonl(value));
}

static void add_chain(
	struct batch *batch, const char *name, const char *kind, uint32_t hook, int priority, uint32_t policy)
{
	struct nlmsghdr *message = begin_request(batch, NFT_MSG_NEWCHAIN, 0);
	struct nlattr *nest;

	mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, batch->table);
	mnl_attr_put_strz(message, NFTA_CHAIN_NAME, name);
	nest = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
	put_number(message, NFTA_HOOK_HOOKNUM, hook);
	put_number(message, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	mnl_attr_nest_end(message, nest);
	put_number(message, NFTA_CHAIN_POLICY, policy);
	mnl_attr_put_strz(message, NFTA_CHAIN_TYPE, kind);
	end(batch);
}

/* A rule is a list of expressions; each loads a register, compares it, or acts. */
struct rule {
	struct nlmsghdr *message;
	struct nlattr *expressions, *expression, *data;
};

static struct rule begin_rule(struct batch *batch, const char *chain)
{
	struct rule rule = { .message = begin_request(batch, NFT_MSG_NEWRULE, NLM_F_APPEND) };

	mnl_attr_put_strz(rule.message, NFTA_RULE_TABLE, batch->table);
	mnl_attr_put_strz(rule.message, NFTA_RULE_CHAIN, chain);
	rule.expressions = mnl_attr_nest_start(rule.message, NFTA_RULE_EXPRESSIONS);
	return rule;
}

static void end_rule(struct batch *batch, struct rule *rule)
{
	mnl_attr_nest_end(rule->message, rule->expressions);
	end(batch);
}

static void begin_expression(struct rule *rule, const char *name)
{
	rule->expression = mnl_attr_nest_start(rule->message, NFTA_LIST_ELEM);
	mnl_attr_put_strz(rule->message, NFTA_EXPR_NAME, name);
	rule->data = mnl_attr_nest_start(rule->message, NFTA_EXPR_DATA);
}

static void end_expression(struct rule *rule)
{
	mnl_attr_nest_end(rule->message, rule->data);
	mnl_attr_nest_end(rule->message, rule->expression);
}

static void put_value(struct rule *rule, uint16_t type, const void *value, size_t size)
{
	struct nlattr *nest = mnl_attr_nest_start(rule->message, type);

	mnl_attr_put(rule->message, NFTA_DATA_VALUE, size, value);
	mnl_attr_nest_end(rule->message, nest);
}

static void load_meta(struct rule *rule, uint32_t key)
{
	begin_expression(rule, "meta");
	put_number(rule->message, NFTA_META_KEY, key);
	put_number(rule->message, NFTA_META_DREG, NFT_REG_1);
	end_expression(rule);
}

static void load_ct(struct rule *rule, uint32_t key)
{
	begin_expression(rule, "ct");
	put_number(rule->message, NFTA_CT_KEY, key);
	put_number(rule->message, NFTA_CT_DREG, NFT_REG_1);
	end_expression(rule);
}

static void load_transport_byte(struct rule *rule, uint32_t offset)
{
	begin_expression(rule, "payload");
	put_number(rule->message, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_number(rule->message, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
	put_number(rule->message, NFTA_PAYLOAD_OFFSET, offset);
	put_number(rule->message, NFTA_PAYLOAD_LEN, 1);
	end_expression(rule);
}

static void load_value(struct rule *rule, uint32_t place, const void *value, size_t size)
{
	begin_expression(rule, "immediate");
	put_number(rule->message, NFTA_IMMEDIATE_DREG, place);
	put_value(rule, NFTA_IMMEDIATE_DATA, value, size);
	end_expression(rule);
}

static void keep_bits(struct rule *rule, const void *mask, const void *none, size_t size)
{
	begin_expression(rule, "bitwise");
	put_number(rule->message, NFTA_BITWISE_SREG, NFT_REG_1);
	put_number(rule->message, NFTA_BITWISE_DREG, NFT_REG_1);
	put_number(rule->message, NFTA_BITWISE_LEN, (uint32_t)size);
	put_value(rule, NFTA_BITWISE_MASK, mask, size);
	put_value(rule, NFTA_BITWISE_XOR, none, size);
	end_expression(rule);
}

static void compare(struct rule *rule, uint32_t operation, const void *value, size_t size)
{
	begin_expression(rule, "cmp");
	put_number(rule->message, NFTA_CMP_SREG, NFT_REG_1);
	put_number(rule->message, NFTA_CMP_OP, operation);
	put_value(rule, NFTA_CMP_DATA, value, size);
	end_expression(rule);
}

static void compare_byte(struct rule *rule, uint32_t operation, uint8_t value)
{
	compare(rule, operation, &value, sizeof(value));
}

static void compare_word(struct rule *rule, uint32_t operation, uint32_t value)
{
	compare(rule, operation, &value, sizeof(value));
}

static void accept_packet(struct rule *rule)
{
	struct nlattr *data, *decision;

	begin_expression(rule, "immediate");
	put_number(rule->message, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = mnl_attr_nest_start(rule->message, NFTA_IMMEDIATE_DATA);
	decision = mnl_attr_nest_start(rule->message, NFTA_DATA_VERDICT);
	put_number(rule->message, NFTA_VERDICT_CODE, NF_ACCEPT);
	mnl_attr_nest_end(rule->message, decision);
	mnl_attr_nest_end(rule->message, data);
	end_expression(rule);
}

static void mark_arrivals(struct batch *batch, unsigned int tun, uint32_t mark)
{
	static const uint32_t new = STATE_NEW, none = 0;
	struct rule rule = begin_rule(batch, "arriving");

	load_meta(&rule, NFT_META_IIF);
	compare_word(&rule, NFT_CMP_NEQ, NETLINK_LOOPBACK);
	compare_word(&rule, NFT_CMP_NEQ, tun);
	load_ct(&rule, NFT_CT_STATE);
	keep_bits(&rule, &new, &none, sizeof(new));
	compare_word(&rule, NFT_CMP_NEQ, 0);
	load_value(&rule, NFT_REG_1, &mark, sizeof(mark));
	begin_expression(&rule, "ct");
	put_number(rule.message, NFTA_CT_KEY, NFT_CT_MARK);
	put_number(rule.message, NFTA_CT_SREG, NFT_REG_1);
	end_expression(&rule);
	end_rule(batch, &rule);
}

static void match_reply(struct rule *rule, uint32_t mark)
{
	load_ct(rule, NFT_CT_DIRECTION);
	compare_byte(rule, NFT_CMP_EQ, IP_CT_DIR_REPLY);
	load_ct(rule, NFT_CT_MARK);
	compare_word(rule, NFT_CMP_EQ, mark);
}

static void route_replies(struct batch *batch, uint32_t mark)
{
	struct rule rule = begin_rule(batch, "routing");

	match_reply(&rule, mark);
	load_value(&rule, NFT_REG_1, &mark, sizeof(mark));
	begin_expression(&rule, "meta");
	put_number(rule.message, NFTA_META_KEY, NFT_META_MARK);
	put_number(rule.message, NFTA_META_SREG, NFT_REG_1);
	end_expression(&rule);
	end_rule(batch, &rule);
}

static void accept_link(struct batch *batch, unsigned int link)
{
	struct rule rule = begin_rule(batch, "leaving");

	load_meta(&rule, NFT_META_OIF);
	compare_word(&rule, NFT_CMP_EQ, link);
	accept_packet(&rule);
	end_rule(batch, &rule);
}

static void accept_replies(struct batch *batch, uint32_t mark)
{
	struct rule rule = begin_rule(batch, "leaving");

	match_reply(&rule, mark);
	accept_packet(&rule);
	end_rule(batch, &rule);
}

static void accept_neighbours(struct batch *batch)
{
	struct rule rule = begin_rule(batch, "leaving");

	load_meta(&rule, NFT_META_NFPROTO);
	compare_byte(&rule, NFT_CMP_EQ, NFPROTO_IPV6);
	load_meta(&rule, NFT_META_L4PROTO);
	compare_byte(&rule, NFT_CMP_EQ, IPPROTO_ICMPV6);
	load_transport_byte(&rule, 0);
	compare_byte(&rule, NFT_CMP_GTE, ND_NEIGHBOR_SOLICIT);
	compare_byte(&rule, NFT_CMP_LTE, ND_NEIGHBOR_ADVERT);
	accept_packet(&rule);
	end_rule(batch, &rule);
}

static void put_table(struct batch *batch, uint16_t type, uint16_t flags)
{
	mnl_attr_put_strz(begin_request(batch, type, flags), NFTA_TABLE_NAME, batch->table);
	end(batch);
}

static bool table_is_there(struct batch *batch)
{
	struct error absent = { 0 };
	struct nlmsghdr *message =
		begin(batch, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE, NLM_F_ACK, NFPROTO_INET, 0);
	size_t length;

	mnl_attr_put_strz(message, NFTA_TABLE_NAME, batch->table);
	end(batch);
	length = (size_t)(batch->end - batch->bytes);
	batch->end = batch->bytes;
	return netlink_send(batch->netlink, batch->bytes, length, message->nlmsg_seq, "find a table",
		       &absent) == 0;
}

/* A container that is started again in its pod's namespace finds the table of its last run. Only then is there anything to delete: for that
 * the kernel takes a grace period, and has us wait for it when the socket is closed. */
static void replace_table(struct batch *batch, bool is_there)
{
	if (is_there)
		put_table(batch, NFT_MSG_DELTABLE, 0);
	put_table(batch, NFT_MSG_NEWTABLE, NLM_F_EXCL);
}

/* What nftables would write as `tcp flags & (syn | ack) == syn tproxy … to ADDRESS:PORT`. */
static void hand_to_listener(struct batch *batch, unsigned int tun, const struct endpoint *listener)
{
	bool v4 = listener->family == AF_INET;
	uint16_t port = htons(listener->port);
	uint8_t syn_and_ack = TH_SYN | TH_ACK, none = 0;
	struct rule rule = begin_rule(batch, "arriving");

	load_meta(&rule, NFT_META_IIF);
	compare_word(&rule, NFT_CMP_EQ, tun);
	load_meta(&rule, NFT_META_NFPROTO);
	compare_byte(&rule, NFT_CMP_EQ, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	load_meta(&rule, NFT_META_L4PROTO);
	compare_byte(&rule, NFT_CMP_EQ, IPPROTO_TCP);
	load_transport_byte(&rule, offsetof(struct tcphdr, th_flags));
	keep_bits(&rule, &syn_and_ack, &none, sizeof(none));
	compare_byte(&rule, NFT_CMP_EQ, TH_SYN);
	load_value(&rule, NFT_REG_1, &listener->v6, v4 ? sizeof(listener->v4) : sizeof(listener->v6));
	load_value(&rule, NFT_REG_2, &port, sizeof(port));
	begin_expression(&rule, "tproxy");
	put_number(rule.message, NFTA_TPROXY_FAMILY, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	put_number(rule.message, NFTA_TPROXY_REG_ADDR, NFT_REG_1);
	put_number(rule.message, NFTA_TPROXY_REG_PORT, NFT_REG_2);
	end_expression(&rule);
	end_rule(batch, &rule);
}

static void begin_table(struct batch *batch)
{
	bool is_there = table_is_there(batch);

	begin(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	end(batch);
	replace_table(batch, is_there);
}

/* Sends it: all of it is there, or nothing. */
static int end_table(struct batch *batch, const char *what, struct error *err)
{
	begin(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	end(batch);
	return netlink_send(
		batch->netlink, batch->bytes, (size_t)(batch->end - batch->bytes), batch->last, what, err);
}

static void write_firewall(struct batch *batch, unsigned int tun, uint32_t mark)
{
	add_chain(batch, "arriving", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_MANGLE, NF_ACCEPT);
	add_chain(batch, "routing", "route", NF_INET_LOCAL_OUT, NF_IP_PRI_MANGLE, NF_ACCEPT);
	add_chain(batch, "leaving", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER, NF_DROP);
	add_chain(batch, "forwarding", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER, NF_DROP);
	mark_arrivals(batch, tun, mark);
	route_replies(batch, mark);
	accept_link(batch, NETLINK_LOOPBACK);
	if (tun)
		accept_link(batch, tun);
	accept_replies(batch, mark);
	accept_neighbours(batch);
}

static struct batch *batch_new(struct netlink *netlink, const char *table, struct error *err)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch) {
		error_set(err, ENOMEM, "cannot set the namespace's firewall");
		return NULL;
	}
	batch->netlink = netlink;
	batch->table = table;
	batch->end = batch->bytes;
	begin_table(batch);
	return batch;
}

int firewall_set(unsigned int tun, uint32_t mark, struct error *err)
{
	_cleanup_netlink_ struct netlink *netlink = netlink_open(NETLINK_NETFILTER, err);
	_cleanup_free_ struct batch *batch = netlink ? batch_new(netlink, TABLE, err) : NULL;

	if (!batch)
		return -1;
	write_firewall(batch, tun, mark);
	return end_table(batch, "set the namespace's firewall (nf_tables)", err);
}

int firewall_set_listeners(
	unsigned int tun, const struct endpoint *listeners, size_t count, struct error *err)
{
	_cleanup_netlink_ struct netlink *netlink = netlink_open(NETLINK_NETFILTER, err);
	_cleanup_free_ struct batch *batch = netlink ? batch_new(netlink, SPLICE_TABLE, err) : NULL;

	if (!batch)
		return -1;
	add_chain(batch, "arriving", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_MANGLE, NF_ACCEPT);
	for (size_t i = 0; i < count; i++)
		hand_to_listener(batch, tun, &listeners[i]);
	return end_table(batch, "hand connections to the relay's listener (nf_tables' tproxy)", err);
}
