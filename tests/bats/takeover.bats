# A relay that a hostile packet has taken over: what it may still ask of the kernel. A debugger plays the intruder, and has the relay make
# system calls that are none of its own.
load helpers
load relay

setup() {
	common_setup
	host_namespace
	[ "$(uname -m)" = x86_64 ] || skip 'the intruder knows only the registers of x86-64'
	cat >"$TEST_DIR/intrude.py" <<-'PY'
		import ctypes, os, signal, socket, struct, sys
		libc = ctypes.CDLL(None, use_errno=True); libc.ptrace.argtypes = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 2
		pid, numbers = int(sys.argv[1]), [int(n, 0) for n in sys.argv[2].split()]
		PEEK, GETREGS, SINGLESTEP, SETREGS, ATTACH = 2, 12, 9, 13, 16
		RAX, RCX, R11, RIP, ORIG_RAX, RSP = 10, 11, 6, 16, 15, 19
		arguments = 14, 13, 12, 7, 9, 8 # rdi rsi rdx r10 r8 r9
		registers = (ctypes.c_ulonglong * 27)()
		def ptrace(*a):
		    if libc.ptrace(*a) < 0: raise OSError(ctypes.get_errno(), "ptrace")
		def call(number, *values):
		    registers[RAX], registers[ORIG_RAX], registers[RIP] = number, 2 ** 64 - 1, at
		    for register, value in zip(arguments, values): registers[register] = value & 2 ** 64 - 1
		    ptrace(SETREGS, pid, None, registers); ptrace(SINGLESTEP, pid, None, None); status = os.waitpid(pid, 0)[1]
		    if os.WIFSIGNALED(status): return signal.Signals(os.WTERMSIG(status)).name
		    ptrace(GETREGS, pid, None, registers); result = ctypes.c_longlong(registers[RAX]).value
		    return os.strerror(-result) if -4096 < result < 0 else result
		ptrace(ATTACH, pid, None, None); os.waitpid(pid, 0); ptrace(GETREGS, pid, None, registers)
		at = registers[RIP] - 2 # it waits in a system call
		if numbers: print(call(*numbers))
		space = registers[RSP] - 4096
		for port in sys.argv[3:]: # connections to 127.0.0.1
		    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
		        memory.seek(space); memory.write(struct.pack("=H", 2) + struct.pack("!H", int(port)) + socket.inet_aton("127.0.0.1") + bytes(8))
		    print(port, call(42, call(41, 2, 1 | 0o2000000, 0), space, 16))
	PY
}

# intruded_by "NUMBER ARGUMENT…": what comes of it. Each needs a relay of its own, since it is to end.
intruded_by() {
	relay '{"proxies": ["socks5://127.0.0.1:1080"]}'
	runs in_host /usr/bin/python3 "$TEST_DIR/intrude.py" "$RELAY" "$1"
	stop "$CONTAINER"
	ID=$ID-x BUNDLE=$BUNDLE-x
}

@test "a relay that is taken over has no file, process, namespace or kind of socket but its own" {
	intruded_by '39' # getpid: it can name no other process
	is 1
	local call
	for call in '257 -100 0' '59 0 0 0' '56 0x11' '57' '62 1 0' "234 $$ $$ 6" '101 16 1' '272 0x40000000' '308 0 0' '165' '310 1' '321' '425' '250' \
		'9 0 4096 5 0x22 -1 0' '10 0 4096 7' '72 0 8 1' '49' '50' '41 1 0x80801' '41 16 0x80803' '41 17 0x80003' '41 40 0x80801' '41 2 0x80003 1' \
		'41 2 0x80801 132' '41 2 0x80801 262' '41 2 0x80002 1' '41 2 0x80805 132' '41 2 6' '53 1 0x80802' '53 30 0x80801' '16 0 0x5413'; do
		intruded_by "$call"
		[ "$output" = SIGSYS ] || complain "system call $call should have ended it"
	done
}

@test "a relay that is taken over connects, where all goes by proxies, to these and the resolver alone" {
	[ "$(/usr/bin/python3 -c 'import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))')" -ge 4 ] || skip 'needs Landlock of ABI 4'
	start_web 127.0.0.1 80
	start_dns 5353
	start_proxy 1080
	local config='"dns": "127.0.0.1:5353", "allow": ["203.0.113.7"]'
	relay "{\"proxies\": [\"socks5://127.0.0.1:1080\"], $config}"
	runs in_host /usr/bin/python3 "$TEST_DIR/intrude.py" "$RELAY" '' 1080 5353 80
	is $'1080 0\n5353 0\n80 Permission denied'
	stop "$CONTAINER"
	ID=$ID-x BUNDLE=$BUNDLE-x
	relay "{$config}" # without a proxy it is the one who connects
	runs in_host /usr/bin/python3 "$TEST_DIR/intrude.py" "$RELAY" '' 80
	is '80 0'
}

@test "a relay is the first process of a pid namespace, and ends when it is asked to" {
	relay "$direct"
	[ "$(awk '$1 == "NSpid:" { print $NF }' "/proc/$RELAY/status")" = 1 ]
	kill -TERM "$RELAY"
	wait_until is_gone
}

is_gone() {
	[ ! -e "/proc/$RELAY" ]
}
