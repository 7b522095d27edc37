/* See traffic.h. */
#include "netns/traffic.h"

#include "netns/netlink.h"
#include "spec/cleanup.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>

enum { MESSAGE_MAX = 1024, PASS_CLASS = 0x00010001 };

static struct tcmsg *begin(
	struct netlink *netlink, char *buffer, uint16_t type, uint16_t flags, unsigned int link)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct tcmsg *body;

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	message->nlmsg_seq = netlink_sequence(netlink);
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->tcm_ifindex = (int)link;
	return body;
}

static int finish(struct netlink *netlink, const char *buffer, const char *what, struct error *err)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;

	return netlink_send(netlink, message, message->nlmsg_len, message->nlmsg_seq, what, err);
}

static struct tcmsg *begin_clsact(
	struct netlink *netlink, char *buffer, uint16_t type, uint16_t flags, unsigned int link)
{
	struct tcmsg *body = begin(netlink, buffer, type, flags, link);

	body->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	body->tcm_parent = TC_H_CLSACT;
	mnl_attr_put_strz((struct nlmsghdr *)buffer, TCA_KIND, "clsact");
	return body;
}

int traffic_egress_add(struct netlink *netlink, unsigned int link, struct error *err)
{
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_MAX];

	begin_clsact(netlink, buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link);
	return finish(netlink, buffer, "add filters to tun0 (tc clsact)", err);
}

void traffic_egress_delete(struct netlink *netlink, unsigned int link)
{
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_MAX];
	struct error ignored = { 0 };

	begin_clsact(netlink, buffer, RTM_DELQDISC, 0, link);
	finish(netlink, buffer, "take the filters of tun0 away", &ignored);
}

static void put_words(struct nlmsghdr *message, const struct traffic_filter *filter)
{
	struct {
		struct tc_u32_sel selector;
		struct tc_u32_key keys[ARRAY_SIZE(filter->words)];
	} match = { 0 };

	match.selector.flags = TC_U32_TERMINAL;
	match.selector.nkeys = (unsigned char)filter->count;
	for (size_t i = 0; i < filter->count; i++) {
		match.keys[i].off = filter->words[i].offset;
		match.keys[i].mask = htonl(filter->words[i].mask);
		match.keys[i].val = htonl(filter->words[i].value);
	}
	mnl_attr_put(
		message, TCA_U32_SEL, sizeof(match.selector) + filter->count * sizeof(match.keys[0]), &match);
}

static void put_redirection(struct nlmsghdr *message, unsigned int link)
{
	struct tc_mirred redirection = {
		.action = TC_ACT_STOLEN, .eaction = TCA_INGRESS_REDIR, .ifindex = link
	};
	struct nlattr *actions = mnl_attr_nest_start(message, TCA_U32_ACT);
	struct nlattr *first = mnl_attr_nest_start(message, 1), *options;

	mnl_attr_put_strz(message, TCA_ACT_KIND, "mirred");
	options = mnl_attr_nest_start(message, TCA_ACT_OPTIONS);
	mnl_attr_put(message, TCA_MIRRED_PARMS, sizeof(redirection), &redirection);
	mnl_attr_nest_end(message, options);
	mnl_attr_nest_end(message, first);
	mnl_attr_nest_end(message, actions);
}

int traffic_filter_add(struct netlink *netlink, unsigned int link, sa_family_t family, uint16_t priority,
	const struct traffic_filter *filter, struct error *err)
{
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_MAX];
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;
	struct tcmsg *body = begin(netlink, buffer, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, link);
	struct nlattr *options;

	body->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS);
	body->tcm_info =
		TC_H_MAKE((uint32_t)priority << 16, htons(family == AF_INET ? ETH_P_IP : ETH_P_IPV6));
	mnl_attr_put_strz(message, TCA_KIND, "u32");
	options = mnl_attr_nest_start(message, TCA_OPTIONS);
	if (filter->back)
		put_redirection(message, link);
	else
		mnl_attr_put_u32(message, TCA_U32_CLASSID, PASS_CLASS);
	put_words(message, filter);
	mnl_attr_nest_end(message, options);
	return finish(netlink, buffer, "add a filter to tun0 (tc u32, mirred)", err);
}
