/* The least that an attach can be: the pair with its port in one request, then everything in the pod in one send. And the
 * least that a detach can be: back at the kernel's announcement. No checks, no addresses on disk, nothing undone. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[4096];
static struct nlmsghdr *message = (struct nlmsghdr *)buffer;

static struct nlmsghdr *start(int type, int flags, int size)
{
	memset(message, 0, NLMSG_SPACE(size));
	message->nlmsg_len = NLMSG_LENGTH(size);
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return message;
}

static struct rtattr *put(int type, const void *data, int size)
{
	struct rtattr *a = (void *)((char *)message + NLMSG_ALIGN(message->nlmsg_len));
	a->rta_type = type;
	a->rta_len = RTA_LENGTH(size);
	if (size)
		memcpy(RTA_DATA(a), data, size);
	message->nlmsg_len = NLMSG_ALIGN(message->nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

static void end(struct rtattr *a)
{
	a->rta_len = (char *)message + message->nlmsg_len - (char *)a;
}

static int netlink(int groups)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (s < 0 || bind(s, (void *)&to, sizeof to))
		err(1, "netlink");
	return s;
}

static void answers(int s, int count)
{
	static char answer[65536];
	while (count > 0) {
		int length = recv(s, answer, sizeof answer, 0);
		struct nlmsghdr *h = (void *)answer;
		for (; NLMSG_OK(h, length); h = NLMSG_NEXT(h, length))
			if (h->nlmsg_type == NLMSG_ERROR && count--)
				if (((struct nlmsgerr *)NLMSG_DATA(h))->error)
					errx(1, "refused: %s", strerror(-((struct nlmsgerr *)NLMSG_DATA(h))->error));
	}
}

static void attach(const char *netns, const char *name, const char *bridge, const char *address, const char *gateway)
{
	int s = netlink(0), fd = open(netns, O_RDONLY), master = if_nametoindex(bridge), one = 1, index;
	struct ifinfomsg up = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	*(struct ifinfomsg *)NLMSG_DATA(start(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof up)) = up;
	put(IFLA_IFNAME, name, strlen(name) + 1);
	put(IFLA_MASTER, &master, 4);
	put(IFLA_NUM_TX_QUEUES, &one, 4);
	put(IFLA_NUM_RX_QUEUES, &one, 4);
	struct rtattr *info = put(IFLA_LINKINFO, 0, 0);
	put(IFLA_INFO_KIND, "veth", 5);
	struct rtattr *data = put(IFLA_INFO_DATA, 0, 0), *peer = put(VETH_INFO_PEER, 0, 0);
	memset((char *)message + message->nlmsg_len, 0, sizeof up);
	message->nlmsg_len += sizeof up;
	put(IFLA_IFNAME, "eth0", 5);
	put(IFLA_NET_NS_FD, &fd, 4);
	put(IFLA_NUM_TX_QUEUES, &one, 4);
	put(IFLA_NUM_RX_QUEUES, &one, 4);
	end(peer), end(data), end(info);
	send(s, buffer, message->nlmsg_len, 0);
	answers(s, 1);

	if (setns(fd, CLONE_NEWNET))
		err(1, "setns");
	s = netlink(0);
	index = if_nametoindex("eth0");
	struct in_addr a, g;
	inet_aton(address, &a), inet_aton(gateway, &g);
	int length = 0;
	struct ifaddrmsg addr = { .ifa_family = AF_INET, .ifa_prefixlen = 16, .ifa_index = index };
	*(struct ifaddrmsg *)NLMSG_DATA(start(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof addr)) = addr;
	put(IFA_LOCAL, &a, 4), put(IFA_ADDRESS, &a, 4);
	length += NLMSG_ALIGN(message->nlmsg_len), message = (void *)(buffer + length);
	up.ifi_index = index;
	*(struct ifinfomsg *)NLMSG_DATA(start(RTM_NEWLINK, 0, sizeof up)) = up;
	length += NLMSG_ALIGN(message->nlmsg_len), message = (void *)(buffer + length);
	struct rtmsg route = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
			       .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST };
	*(struct rtmsg *)NLMSG_DATA(start(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof route)) = route;
	put(RTA_GATEWAY, &g, 4), put(RTA_OIF, &index, 4);
	length += NLMSG_ALIGN(message->nlmsg_len);
	send(s, buffer, length, 0);
	answers(s, 3);
}

static void detach(const char *name)
{
	static char heard[65536];
	int watch = netlink(RTMGRP_LINK), index = if_nametoindex(name);
	if (!fork()) {
		int s = netlink(0);
		struct ifinfomsg which = { .ifi_index = index };
		*(struct ifinfomsg *)NLMSG_DATA(start(RTM_DELLINK, 0, sizeof which)) = which;
		close(0), close(1), close(2);
		send(s, buffer, message->nlmsg_len, 0);
		_exit(0);
	}
	for (;;) {
		int length = recv(watch, heard, sizeof heard, 0);
		struct nlmsghdr *h = (void *)heard;
		for (; NLMSG_OK(h, length); h = NLMSG_NEXT(h, length)) {
			struct ifinfomsg *which = NLMSG_DATA(h);
			if (h->nlmsg_type == RTM_DELLINK && !which->ifi_family && which->ifi_index == index)
				return;
		}
	}
}

int main(int argc, char **argv)
{
	if (argc == 6)
		attach(argv[1], argv[2], argv[3], argv[4], argv[5]);
	else if (argc == 2)
		detach(argv[1]);
	else
		errx(2, "NETNS LINK BRIDGE ADDRESS GATEWAY, or LINK");
	return 0;
}
