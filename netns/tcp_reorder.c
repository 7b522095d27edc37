/* Segments that came before what should have come first. The one place where the container's data is kept: a few slots that all
 * connections share, used only when packets were lost or overtaken, and given back to the kernel when empty.
 */
#include "netns/tcp_flow.h"

#include <string.h>
#include <sys/mman.h>

enum {
	SLOTS = 64,
	SLOTS_OF_ONE_FLOW = 32,
	SLOT_SIZE = 65536,
};

static struct slot {
	const struct tcp_flow *flow; /* NULL: free */
	uint32_t sequence, length;
	uint32_t age; /* the greatest came last */
} slots[SLOTS];

static uint8_t storage[SLOTS][SLOT_SIZE] __attribute__((aligned(4096)));
static uint32_t last_age;
static size_t used;

static void release(struct slot *slot, struct tcp_flow *flow)
{
	slot->flow = NULL;
	flow->held--;
	if (--used == 0)
		madvise(storage, sizeof(storage), MADV_DONTNEED);
}

static uint32_t end_of(const struct slot *slot)
{
	return slot->sequence + slot->length;
}

static struct slot *free_slot(void)
{
	for (size_t i = 0; i < SLOTS; i++) {
		if (!slots[i].flow)
			return &slots[i];
	}
	return NULL;
}

static bool is_held(const struct tcp_flow *flow, uint32_t sequence, size_t length)
{
	for (size_t i = 0; flow->held && i < SLOTS; i++) {
		if (slots[i].flow == flow && !sequence_after(slots[i].sequence, sequence) &&
			!sequence_after(sequence + (uint32_t)length, end_of(&slots[i])))
			return true;
	}
	return false;
}

void reorder_hold(struct tcp_flow *flow, uint32_t sequence, const uint8_t *bytes, size_t length)
{
	uint32_t end = sequence + (uint32_t)length;
	struct slot *slot;

	/* Beyond the window there is no promise; and what a SACK has named is kept until its turn. */
	if (!length || length > SLOT_SIZE || sequence_after(end, flow->rcv_adv) ||
		flow->held >= SLOTS_OF_ONE_FLOW || is_held(flow, sequence, length) || !(slot = free_slot()))
		return;
	*slot = (struct slot){ flow, sequence, (uint32_t)length, ++last_age };
	memcpy(storage[slot - slots], bytes, length);
	flow->held++;
	used++;
}

bool reorder_next(struct tcp_flow *flow, const uint8_t **bytes, size_t *length)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *slot = &slots[i];

		if (slot->flow != flow || sequence_after(slot->sequence, flow->rcv_nxt))
			continue;
		if (sequence_after(end_of(slot), flow->rcv_nxt)) { /* released when it has been taken */
			*bytes = storage[i] + (flow->rcv_nxt - slot->sequence);
			*length = end_of(slot) - flow->rcv_nxt;
			return true;
		}
		release(slot, flow);
	}
	return false;
}

void reorder_forget(struct tcp_flow *flow)
{
	for (size_t i = 0; flow->held && i < SLOTS; i++) {
		if (slots[i].flow == flow)
			release(&slots[i], flow);
	}
}

/* Grows the block by what adjoins it, until nothing does. */
static void grow(const struct tcp_flow *flow, struct tcp_block *block)
{
	for (size_t i = 0; i < SLOTS; i++) {
		const struct slot *slot = &slots[i];

		if (slot->flow != flow || sequence_after(slot->sequence, block->end) ||
			sequence_after(block->start, end_of(slot)) ||
			(!sequence_after(block->start, slot->sequence) &&
				!sequence_after(end_of(slot), block->end)))
			continue;
		if (sequence_after(block->start, slot->sequence))
			block->start = slot->sequence;
		if (sequence_after(end_of(slot), block->end))
			block->end = end_of(slot);
		i = (size_t)-1; /* from the start again */
	}
}

static bool is_told(const struct slot *slot, const struct tcp_block *blocks, uint8_t count)
{
	for (uint8_t i = 0; i < count; i++) {
		if (!sequence_after(blocks[i].start, slot->sequence) &&
			!sequence_after(end_of(slot), blocks[i].end))
			return true;
	}
	return false;
}

/* RFC 2018: the block with the latest segment first. */
uint8_t reorder_blocks(const struct tcp_flow *flow, struct tcp_block blocks[TCP_BLOCKS_MAX])
{
	uint8_t count = 0;

	while (count < TCP_BLOCKS_MAX) {
		const struct slot *latest = NULL;

		for (size_t i = 0; i < SLOTS; i++) {
			if (slots[i].flow == flow && !is_told(&slots[i], blocks, count) &&
				(!latest || slots[i].age > latest->age))
				latest = &slots[i];
		}
		if (!latest)
			break;
		blocks[count] = (struct tcp_block){ latest->sequence, end_of(latest) };
		grow(flow, &blocks[count++]);
	}
	return count;
}
