# Seccomp: linux.seccomp from inside, every action, operator and flag, the agent, and the cache of compiled programs.
load helpers

# filtered SECCOMP COMMAND
filtered() {
	rm -rf "$BUNDLE"
	make_bundle
	edit_config --argjson seccomp "$1" '.linux.seccomp = $seccomp'
	bundle_args sh -c "$2"
	run_bundle
}

# rule ACTION NAME [MEMBERS]: a profile that allows all but one call.
rule() {
	printf '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["%s", "no_such_call"], "action": "%s"%s}]}' \
		"$2" "$1" "${3:+, $3}"
}

@test "errno: EPERM unless another is given" {
	for who in $EVERYONE; do
		become "$who"
		runs filtered "$(rule SCMP_ACT_ERRNO mkdir)" 'mkdir /tmp/x; grep Seccomp: /proc/self/status'
		has 'Operation not permitted'
		has $'Seccomp:\t2'
		runs filtered "$(rule SCMP_ACT_ERRNO mkdir '"errnoRet": 28')" 'mkdir /tmp/x || true'
		has 'No space left on device'
	done
}

@test "default action with its errno" {
	runs filtered '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
		"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
		"syscalls": [{"action": "SCMP_ACT_ALLOW", "names": ["read", "write", "execve", "exit", "exit_group", "brk", "mmap",
			"munmap", "mprotect", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlink",
			"readlinkat", "getrandom", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "getuid", "getpid", "getppid",
			"getgid", "geteuid", "getegid", "ioctl", "fcntl", "openat", "open", "close", "close_range", "stat", "newfstatat", "fstat",
			"prctl", "uname", "getcwd", "lseek", "sched_getaffinity", "futex", "access", "faccessat", "faccessat2"]}]}' \
		'cd /tmp && echo moved || true'
	has 'not implemented'
	hasnt moved
}

@test "kill_process, kill and trap end it with SIGSYS, log and allow do not" {
	for action in SCMP_ACT_KILL_PROCESS SCMP_ACT_KILL SCMP_ACT_KILL_THREAD SCMP_ACT_TRAP; do
		exits 159 filtered "$(rule "$action" sethostname)" 'exec hostname new'
	done
	runs filtered "$(rule SCMP_ACT_LOG chdir)" 'cd /tmp && echo moved'
	is moved
	runs filtered "$(rule SCMP_ACT_TRACE mkdir '"errnoRet": 3')" 'mkdir /tmp/x || true' # nobody traces: ENOSYS
	has 'not implemented'
}

# Signals to a container's first process that it does not handle are of no effect, so that kill(2) only says yes or no.
signals='for s in 18 20 21 22; do kill -$s $$ 2>/dev/null && printf "%s " $s; done; echo'

@test "operators on an argument" {
	local operator expected
	while read -r operator expected; do
		runs filtered "$(rule SCMP_ACT_ERRNO kill "\"args\": [{\"index\": 1, \"value\": 21, \"op\": \"$operator\"}]")" "$signals"
		[ "$output" = "${expected//,/ } " ] || complain "$operator 21 should leave $expected"
	done <<-'CASES'
		SCMP_CMP_EQ 18,20,22
		SCMP_CMP_NE 21
		SCMP_CMP_LT 21,22
		SCMP_CMP_LE 22
		SCMP_CMP_GT 18,20,21
		SCMP_CMP_GE 18,20
	CASES
}

@test "masked equality: value is the mask, valueTwo what is left" {
	runs filtered "$(rule SCMP_ACT_ERRNO kill '"args": [{"index": 1, "value": 4, "valueTwo": 4, "op": "SCMP_CMP_MASKED_EQ"}]')" "$signals"
	is '18 '
}

@test "two arguments must both fit; two conditions on one argument are alternatives" {
	runs filtered "$(rule SCMP_ACT_ERRNO kill '"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 20, "op": "SCMP_CMP_EQ"}]')" "$signals"
	is '18 21 22 '
	runs filtered "$(rule SCMP_ACT_ERRNO kill '"args": [{"index": 1, "value": 18, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 20, "op": "SCMP_CMP_EQ"}]')" "$signals"
	is '21 22 '
}

@test "flags" {
	runs filtered "$(rule SCMP_ACT_ERRNO mkdir | jq -c '.flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC",
		"SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]')" 'mkdir /tmp/x || true'
	has 'Operation not permitted'
}

@test "flags that the profile does not mention, and which ones --debug shows" {
	for pair in 'del(.flags)|4' '.flags = []|0' '.flags = ["SECCOMP_FILTER_FLAG_LOG"]|2' '.flags = ["SECCOMP_FILTER_FLAG_TSYNC"]|0'; do
		make_bundle
		edit_config --argjson seccomp "$(rule SCMP_ACT_ERRNO mkdir | jq -c "${pair%|*}")" '.linux.seccomp = $seccomp'
		runs fence --root "$STATE" --debug run --bundle "$BUNDLE" "$ID"
		grep -q "^time=\"20.*Z\" level=debug msg=\"seccomp filter flags: ${pair#*|}\"\$" <<<"$output"
	done
}

@test "without no_new_privs the filter holds as well" {
	make_bundle
	edit_config --argjson seccomp "$(rule SCMP_ACT_ERRNO mkdir)" '.linux.seccomp = $seccomp | .process.noNewPrivileges = false'
	bundle_args sh -c 'mkdir /tmp/x; grep NoNewPrivs /proc/self/status'
	runs run_bundle
	has 'Operation not permitted'
	has $'NoNewPrivs:\t0'
}

# An answer for each number, by a program that calls nothing else.
calls_by_number() {
	cat >"$TEST_DIR/calls.c" <<-'C'
		#include <errno.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <unistd.h>
		int main(int count, char **numbers)
		{
			char text[256];
			int length = 0;
			for (int i = 1; i < count; i++)
				length += sprintf(text + length, "%d ", syscall(atol(numbers[i]), 0, 0, 0, 0, 0, 0) < 0 ? errno : 0);
			write(1, text, length);
			_exit(0);
		}
	C
	cc -static -o "$BUNDLE/rootfs/calls" "$TEST_DIR/calls.c"
}

@test "calls newer than the profile do not exist, for a default of errno; older ones are refused" {
	local basic='"execve", "exit_group", "write", "brk", "mmap", "munmap", "mprotect", "arch_prctl", "set_tid_address", "set_robust_list",
		"rseq", "prlimit64", "readlink", "readlinkat", "getrandom", "newfstatat", "fstat", "fcntl", "faccessat2", "futex", "uname"'
	local profile='{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"%s],
		"syscalls": [{"action": "SCMP_ACT_ALLOW", "names": [%s]}]%s}'
	local newer=440 x32=$((0x40000000)) largest=439
	[ "$(uname -m)" = x86_64 ] || skip 'the numbers are those of x86-64'
	make_bundle
	calls_by_number
	bundle_args /calls 83 "$newer" 9999 "$largest"
	edit_config --argjson seccomp "$(printf "$profile" '' "$basic" '')" '.linux.seccomp = $seccomp'
	runs run_bundle
	is '1 38 38 14 ' # EPERM, ENOSYS, ENOSYS, EFAULT
	edit_config '.linux.seccomp.defaultErrnoRet = 13'
	runs run_bundle
	is '13 38 38 14 '
	edit_config '.linux.seccomp.defaultAction = "SCMP_ACT_KILL_PROCESS" | del(.linux.seccomp.defaultErrnoRet)'
	exits 159 run_bundle
	# x32 is another architecture: killed where it is not filtered, as ever.
	edit_config --argjson seccomp "$(printf "$profile" '' "$basic" '')" '.linux.seccomp = $seccomp'
	bundle_args /calls "$((x32 + 83))"
	exits 159 run_bundle
	edit_config --argjson seccomp "$(printf "$profile" ', "SCMP_ARCH_X32"' "$basic" '')" '.linux.seccomp = $seccomp'
	bundle_args /calls 83 "$newer" "$((x32 + 83))" "$((x32 + 9999))"
	runs run_bundle
	is '1 38 1 38 '
}

@test "a filter that is loaded early may be older than what the runtime itself calls" {
	local profile
	profile=$(jq -c '.syscalls[0].names = ["close_range", "faccessat2"]' <<<"$(rule SCMP_ACT_ERRNO x)")
	make_bundle
	edit_config --argjson seccomp "$profile" '.linux.seccomp = $seccomp | .process.noNewPrivileges = false'
	bundle_args sh -c 'ls /proc/self/fd | wc -l'
	for who_in in 0 7; do
		edit_config --argjson uid "$who_in" '.process.user.uid = $uid'
		runs run_bundle 9</dev/null
		is 4
	done
	bundle_args /etc/passwd
	exits 126 run_bundle
}

@test "mistakes are told, and the container does not start" {
	local profile fragment
	while IFS='|' read -r profile fragment; do
		fails filtered "$profile" 'echo started'
		has "$fragment"
		hasnt started
	done <<-'CASES'
		{"defaultAction": "SCMP_ACT_NOTIFY"}|linux.seccomp.defaultAction: cannot be SCMP_ACT_NOTIFY
		{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}|linux.seccomp.defaultErrnoRet: is only for
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1}]}|linux.seccomp.syscalls[0].errnoRet: is only for
		{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}|larger than 4095
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}], "listenerPath": "/x"}|cannot be used for the write syscall
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}|linux.seccomp.listenerPath: is missing
		{"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}|linux.seccomp.listenerMetadata
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}], "listenerPath": "/no/agent"}|failed to connect with seccomp agent: linux.seccomp.listenerPath: cannot connect to /no/agent
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["kill"], "action": "SCMP_ACT_KILL", "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}|linux.seccomp.syscalls[0].args[0].index
		{"defaultAction": "SCMP_ACT_MAYBE"}|defaultAction
	CASES
}

# An agent that takes one listener, writes the state that came with it to a file, and answers every mkdir with ENOMEDIUM.
agent='
import array, fcntl, json, os, socket, struct, sys
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777); server.listen()
connection, _ = server.accept()
data, ancillary, _, _ = connection.recvmsg(65536, 64)
listener = array.array("i", ancillary[0][2])[0]
while True:
	more = connection.recv(65536)
	if not more:
		break
	data += more
open(sys.argv[2], "wb").write(data)
while True:
	try:
		request = fcntl.ioctl(listener, 0xc0502100, bytes(80))
	except OSError:
		break
	identity, pid = struct.unpack_from("QI", request)
	fcntl.ioctl(listener, 0xc0182101, struct.pack("QqiI", identity, 0, -123, 0))
'

@test "notify: the agent gets the listener and the state, and decides" {
	for who in $EVERYONE; do
		become "$who"
		start "agent-$who" python3 -c "$agent" "$TEST_DIR/agent-$who" "$TEST_DIR/state-$who"
		wait_until test -S "$TEST_DIR/agent-$who"
		runs filtered "$(rule SCMP_ACT_NOTIFY mkdir | jq -c --arg path "$TEST_DIR/agent-$who" \
			'.listenerPath = $path | .listenerMetadata = "word"')" 'mkdir /tmp/x || true'
		has 'No medium found'
		jq -e --arg id "$ID" '.fds == ["seccompFd"] and .metadata == "word" and .pid > 0 and .state.id == $id and
			.ociVersion != null' "$TEST_DIR/state-$who"
	done
}

@test "compiled programs are kept by content, and nothing else is believed" {
	local cache profile
	profile=$(rule SCMP_ACT_ERRNO mkdir)
	runs filtered "$profile" 'mkdir /tmp/x || true'
	cache=$(find "$STATE" -name '*.bpf')
	[ "$(wc -l <<<"$cache")" -eq 1 ]
	[ "$(stat -c %a "$cache")" = 600 ]
	# The same profile again is the same file; another one is another file.
	runs filtered "$profile" 'mkdir /tmp/x || true'
	has 'Operation not permitted'
	runs filtered "$(rule SCMP_ACT_ERRNO mkdir '"errnoRet": 28')" 'mkdir /tmp/x || true'
	has 'No space left on device'
	[ "$(find "$STATE" -name '*.bpf' | wc -l)" -eq 2 ]
	# Under this name the program of the other profile: the input in it differs, so that it is not taken.
	cp "$(find "$STATE" -name '*.bpf' ! -path "$cache")" "$cache"
	runs filtered "$profile" 'mkdir /tmp/x || true'
	has 'Operation not permitted'
	# One that is cut off, one that others could have written.
	truncate -s 100 "$cache"
	runs filtered "$profile" 'mkdir /tmp/x || true'
	has 'Operation not permitted'
	chmod 666 "$cache"
	runs filtered "$profile" 'mkdir /tmp/x || true'
	has 'Operation not permitted'
	[ "$(stat -c %a "$cache")" = 600 ] || complain 'it should have been replaced'
}
