/* The eBPF program that enforces device rules on cgroup v2.
 *
 * Must never let the container run without its filter, nor for a moment with a laxer one: the new program is attached
 * before the old one goes, and both must agree as long as both are there.
 */
#include "runtime/device_filter.h"

#include "spec/cleanup.h"

#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>

/* Registers of the program. Rules are read backwards, since the last one that fits decides, and each bit of the access
 * is decided on its own: of "rw", one rule can allow the "r" and another one the "w". */
enum {
	TYPE = BPF_REG_2,
	WANTED = BPF_REG_3, /* the bits that no rule has decided yet */
	MAJOR = BPF_REG_4,
	MINOR = BPF_REG_5,
	SCRATCH = BPF_REG_6,
};

struct program {
	struct bpf_insn *items;
	size_t count;
};

static void emit(struct program *program, uint8_t code, uint8_t destination, uint8_t source, int16_t offset,
	int32_t immediate)
{
	program->items[program->count++] = (struct bpf_insn){
		.code = code, .dst_reg = destination, .src_reg = source, .off = offset, .imm = immediate
	};
}

static void emit_return(struct program *program, int value)
{
	emit(program, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value);
	emit(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* struct bpf_cgroup_dev_ctx: { u32 access_type (access << 16 | type), major, minor } */
static void emit_start(struct program *program)
{
	emit(program, BPF_LDX | BPF_W | BPF_MEM, TYPE, BPF_REG_1, 0, 0);
	emit(program, BPF_ALU | BPF_MOV | BPF_X, WANTED, TYPE, 0, 0);
	emit(program, BPF_ALU | BPF_AND | BPF_K, TYPE, 0, 0, 0xffff);
	emit(program, BPF_ALU | BPF_RSH | BPF_K, WANTED, 0, 0, 16);
	emit(program, BPF_LDX | BPF_W | BPF_MEM, MAJOR, BPF_REG_1, 4, 0);
	emit(program, BPF_LDX | BPF_W | BPF_MEM, MINOR, BPF_REG_1, 8, 0);
}

enum { START_LENGTH = 6, RULE_LENGTH_MAX = 8, END_LENGTH = 2 };

static void emit_rule(struct program *program, const struct device_rule *rule)
{
	size_t to_next[3], jumps = 0;

	/* 32-bit comparisons (Linux 5.1): a major or minor is unsigned. */
	if (rule->type != 'a') {
		to_next[jumps++] = program->count;
		emit(program, BPF_JMP32 | BPF_JNE | BPF_K, TYPE, 0, 0,
			rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	}
	if (rule->major >= 0) {
		to_next[jumps++] = program->count;
		emit(program, BPF_JMP32 | BPF_JNE | BPF_K, MAJOR, 0, 0, (int32_t)rule->major);
	}
	if (rule->minor >= 0) {
		to_next[jumps++] = program->count;
		emit(program, BPF_JMP32 | BPF_JNE | BPF_K, MINOR, 0, 0, (int32_t)rule->minor);
	}
	if (rule->allow) {
		emit(program, BPF_ALU | BPF_AND | BPF_K, WANTED, 0, 0, (int32_t)(DEVICE_ALL & ~rule->access));
		emit(program, BPF_JMP32 | BPF_JNE | BPF_K, WANTED, 0, 2, 0);
		emit_return(program, 1);
	} else {
		emit(program, BPF_ALU | BPF_MOV | BPF_X, SCRATCH, WANTED, 0, 0);
		emit(program, BPF_ALU | BPF_AND | BPF_K, SCRATCH, 0, 0, (int32_t)rule->access);
		emit(program, BPF_JMP32 | BPF_JEQ | BPF_K, SCRATCH, 0, 2, 0);
		emit_return(program, 0);
	}
	for (size_t i = 0; i < jumps; i++)
		program->items[to_next[i]].off = program->count - to_next[i] - 1;
}

static int generate(const struct device_rules *rules, struct program *program, struct error *err)
{
	program->items =
		calloc(START_LENGTH + rules->count * RULE_LENGTH_MAX + END_LENGTH, sizeof(*program->items));
	if (!program->items)
		return error_set(err, ENOMEM, "cannot generate the device filter");
	emit_start(program);
	for (size_t i = rules->count - 1; i > 0; i--)
		emit_rule(program, &rules->items[i]);
	emit_return(program, rules->items[0].allow); /* the one about all devices */
	return 0;
}

static int bpf(enum bpf_cmd command, union bpf_attr *attributes)
{
	return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static const char program_name[] = "fence_devices"; /* by which our own is known again */

static int load(const struct program *program, struct error *err)
{
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insns = (uintptr_t)program->items,
		.insn_cnt = program->count,
		.license = (uintptr_t) "Apache-2.0",
	};
	int fd;

	memcpy(attributes.prog_name, program_name, sizeof(program_name));
	fd = bpf(BPF_PROG_LOAD, &attributes);
	if (fd < 0)
		return error_set(err, errno, "linux.resources.devices: cannot load the eBPF device filter%s",
			errno == EPERM ? " (needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN)" : "");
	return fd;
}

enum { ATTACHED_MAX = 64 }; /* the kernel's own limit */

/* Ours that are attached to the cgroup itself: fds, closed by the caller. Other programs (a service manager's) stay. */
static size_t find_attached(int cgroup_fd, int fds[static ATTACHED_MAX])
{
	uint32_t ids[ATTACHED_MAX];
	union bpf_attr query = { 0 };
	size_t count = 0;

	query.query.target_fd = cgroup_fd;
	query.query.attach_type = BPF_CGROUP_DEVICE;
	query.query.prog_ids = (uintptr_t)ids;
	query.query.prog_cnt = ATTACHED_MAX;
	if (bpf(BPF_PROG_QUERY, &query) < 0)
		return 0;
	for (uint32_t i = 0; i < query.query.prog_cnt; i++) {
		union bpf_attr by_id = { .prog_id = ids[i] }, by_fd = { 0 };
		struct bpf_prog_info info = { 0 };
		int fd = bpf(BPF_PROG_GET_FD_BY_ID, &by_id);

		by_fd.info.bpf_fd = fd;
		by_fd.info.info_len = sizeof(info);
		by_fd.info.info = (uintptr_t)&info;
		if (fd >= 0 && bpf(BPF_OBJ_GET_INFO_BY_FD, &by_fd) == 0 &&
			strcmp(info.name, program_name) == 0)
			fds[count++] = fd;
		else
			close_fd(fd);
	}
	return count;
}

static int attach(int cgroup_fd, int program, struct error *err)
{
	union bpf_attr attributes = { 0 };

	attributes.target_fd = cgroup_fd;
	attributes.attach_bpf_fd = program;
	attributes.attach_type = BPF_CGROUP_DEVICE;
	attributes.attach_flags = BPF_F_ALLOW_MULTI; /* beside those of the cgroups above: all must allow */
	if (bpf(BPF_PROG_ATTACH, &attributes) < 0)
		return error_set(err, errno, "linux.resources.devices: cannot attach the eBPF device filter");
	return 0;
}

static int detach(int cgroup_fd, int program, struct error *err)
{
	union bpf_attr attributes = { 0 };

	attributes.target_fd = cgroup_fd;
	attributes.attach_bpf_fd = program;
	attributes.attach_type = BPF_CGROUP_DEVICE;
	if (bpf(BPF_PROG_DETACH, &attributes) < 0)
		return error_set(
			err, errno, "linux.resources.devices: cannot detach the previous eBPF device filter");
	return 0;
}

int device_filter_attach(int cgroup_fd, const struct device_rules *rules, struct error *err)
{
	struct program program = { 0 };
	_cleanup_free_ struct bpf_insn *instructions = NULL;
	_cleanup_close_ int fd = -1;
	int previous[ATTACHED_MAX], result = 0;
	size_t count;

	result = generate(rules, &program, err);
	instructions = program.items;
	fd = result < 0 ? -1 : load(&program, err);
	if (fd < 0)
		return -1;
	count = find_attached(cgroup_fd, previous);
	result = attach(cgroup_fd, fd, err);
	for (size_t i = 0; i < count; i++) {
		if (result == 0)
			result = detach(cgroup_fd, previous[i], err);
		close_fd(previous[i]);
	}
	return result;
}
