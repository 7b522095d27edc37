/* One TCP connection of the container's, as the files tcp*.c share it. Names as in RFC 9293: SND is what the relay sends to
 * the container, RCV what it receives from it.
 */
#pragma once

#include "netns/first_words.h"
#include "netns/tcp.h"

enum tcp_state {
	TCP_DIALLING,	 /* the SYN waits for the upstream connection */
	TCP_ANSWERED,	 /* SYN and ACK sent */
	TCP_OPEN,	 /* until both directions have ended */
	TCP_LINGER,	 /* TIME-WAIT: no socket any more, a lost last ACK is repeated */
	TCP_HANDED_OVER, /* the container's kernel has the SYN back and is to have the relay accept a socket */
	TCP_SPLICED,	 /* that socket's packets are the kernel's business */
};

struct tcp_flow {
	struct watch upstream; /* the socket; edge-triggered */
	struct timer timer;
	struct tcp *tcp;
	struct tcp_flow *next_in_bucket, *next_dirty;
	struct dial *dial;
	struct flow_record *record; /* or NULL: DNS, or no memory */
	struct endpoint client, server;
	struct kept_syn *syn; /* while dialling, if it will be handed over */
	struct splice *splice;
	struct first_words *first_words; /* until they have been looked at */
	uint64_t
		progress; /* when the container last acknowledged something new, or was first sent something */
	uint64_t heard;	  /* when its last packet came */
	uint64_t acknowledgement_due; /* of what is acknowledged soon; 0: not set yet */

	uint32_t snd_una, snd_nxt, snd_wnd, snd_wl1;
	uint32_t recover;    /* recovering until this is acknowledged */
	uint32_t consumable; /* bytes acknowledged, still in the socket's queue */
	uint32_t rcv_nxt;
	uint32_t rcv_adv; /* the right edge of the window as advertised: it never moves left */
	uint32_t room;	  /* what the socket would take, when last asked */
	uint16_t mss;
	uint8_t state; /* enum tcp_state */
	uint8_t snd_scale, rcv_scale;
	uint8_t duplicate_acks, retries;
	uint8_t held; /* segments out of order, in tcp_reorder.c */

	bool dirty : 1;		   /* in the list for tcp_flush() */
	bool acknowledge : 1;	   /* the container is owed an ACK */
	bool acknowledge_soon : 1; /* unless data that goes to it takes the ACK along first */
	bool retransmit : 1;	   /* the first unacknowledged segment is to be sent again */
	bool recovering : 1;
	bool readable : 1;  /* the socket may hold more than was sent */
	bool turn_over : 1; /* more could be sent, but it is the others' turn; the timer is set for "now" */
	bool upstream_ended : 1;   /* end of file seen behind the last byte sent */
	bool upstream_hung_up : 1; /* EPOLLRDHUP: what is in the queue is all there will be */
	bool fin_sent : 1, fin_acknowledged : 1, fin_received : 1;
	bool fin_due : 1; /* at the socket: after the batch, since nobody waits for it as they do for a SYN */
	bool low_room : 1;     /* waiting for EPOLLOUT to widen the window */
	bool refused_data : 1; /* the socket did not take all that came: the rest is held, or must come again */
	bool lingers : 1;      /* the last word will be an ACK, which may be lost */
	bool holds_name : 1;   /* `server` is a stand-in address */
	bool sack_permitted : 1;
	bool plain_socket : 1;	  /* not TCP: the DNS stream, or a proxy's Unix socket */
	bool peeks_by_offset : 1; /* SO_PEEK_OFF works on it */
};

enum {
	INITIAL_WINDOW = 65535,
	MSS_DEFAULT = 536, /* RFC 9293, where a SYN says nothing */
};

static inline bool sequence_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static inline uint32_t flow_in_flight(const struct tcp_flow *flow)
{
	return flow->snd_nxt - flow->snd_una;
}

struct loop *tcp_loop(const struct tcp *tcp);
struct tunnel *tcp_tunnel(const struct tcp *tcp);

struct tcp_flow *tcp_find(struct tcp *tcp, const struct endpoint *client, const struct endpoint *server);
void flow_is_spliced(struct tcp_flow *flow);

/* Both forget the flow; it must not be touched afterwards. Abort tells the upstream side with a RST. */
void flow_close(struct tcp_flow *flow);
void flow_abort(struct tcp_flow *flow);
/* Tells the container with a RST, too. */
void flow_reset(struct tcp_flow *flow);

/* tcp_send.c: to the container */
void flow_send_syn_ack(struct tcp_flow *flow);
/* To a packet of no connection. */
void tcp_send_reset(struct tunnel *tunnel, const struct packet *packet);
bool tcp_can_peek_by_offset(void);
void flow_send_control(struct tcp_flow *flow, uint8_t flags); /* at snd_nxt, no payload */
void flow_send_probe(struct tcp_flow *flow);		      /* elicits an ACK */
int flow_send_data(struct tcp_flow *flow); /* what the window and the socket allow; -1: upstream failed */
int flow_retransmit(struct tcp_flow *flow);
int flow_consume(struct tcp_flow *flow);

/* tcp_receive.c: from the container. False: the flow is no more. */
bool flow_receive(struct tcp_flow *flow, const struct packet *packet);
bool flow_take_held(struct tcp_flow *flow); /* what came too early and has its turn now */
void gather_end(void);			    /* what was gathered is sent; a flow may be no more */
void gather_forget(const struct tcp_flow *flow);
void flow_update_room(struct tcp_flow *flow);
uint16_t flow_window(const struct tcp_flow *flow); /* as written in the header */

/* tcp_reorder.c: what came before what should have come first */
void reorder_hold(struct tcp_flow *flow, uint32_t sequence, const uint8_t *bytes, size_t length);
/* The held segment that now continues at rcv_nxt, from there on; valid until the next call of reorder_. False: none. */
bool reorder_next(struct tcp_flow *flow, const uint8_t **bytes, size_t *length);
void reorder_forget(struct tcp_flow *flow); /* all of the flow's */
uint8_t reorder_blocks(const struct tcp_flow *flow, struct tcp_block blocks[TCP_BLOCKS_MAX]);

/* tcp_handover.c: between the two, where the container's kernel terminates its TCP */
struct handover_listener;
struct handover_listener *handover_listen(struct tcp *tcp, int fd, struct error *err);
void handover_close(struct tcp *tcp, struct handover_listener *listener);
bool handover_keep(struct tcp_flow *flow, const struct packet *packet); /* the SYN */
void handover_forget(struct tcp_flow *flow);
void handover_begin(struct tcp_flow *flow);
