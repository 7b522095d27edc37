# The network hook by itself, as any OCI runtime runs it: a state on its standard input, a network namespace, and no more. What the
# relay carries is front_network.bats' subject; here it is how the way out is made and taken away, names, and who is kept out.
load helpers

setup() {
	common_setup
	host_namespace
}

# A "container": a process in network namespaces of its own, and as `user` in a user namespace that owns them.
container() {
	local flags=(--net)
	[ "$who" = root ] || flags=(--user --map-root-user --net)
	start container "${AS[@]}" unshare "${flags[@]}" "$@" sleep 600
	CONTAINER=$STARTED
	wait_until is_sleeping "$CONTAINER"
}

is_sleeping() {
	[ "$(cat "/proc/$1/comm" 2>/dev/null)" = sleep ]
}

# network JSON: the bundle's network.json.
network() {
	mkdir -p "$BUNDLE"
	printf '%s\n' "$1" >"$BUNDLE/network.json"
	chmod 600 "$BUNDLE/network.json"
	give "$BUNDLE"
}

# hook up|down [ARG…]: with the state of this test's container.
hook() {
	local status='"status": "creating", "pid": '${CONTAINER:-0}
	[ "$1" = up ] || status='"status": "stopped"'
	as_who "$FILE_DIR/fence-network" "$@" \
		<<<"{\"ociVersion\": \"1.0.2\", \"id\": \"$ID\", $status, \"bundle\": \"$BUNDLE\"}"
}

# As an ordinary program of the container's: nobody, with no capability to be had.
inside() {
	nsenter --target "$CONTAINER" --net -- \
		setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
}

inside_as_root() {
	nsenter --target "$CONTAINER" --net -- "$@"
}

relays() {
	local exe
	for exe in $(find /proc/[0-9]*/exe -maxdepth 0 -lname "$FILE_DIR/fence-network" 2>/dev/null | cut -d/ -f3); do
		[ "$(cat "/proc/$exe/comm")" != fence-relay ] || echo "$exe"
	done
}

no_relay() {
	[ -z "$(relays)" ]
}

one_relay() {
	RELAY=$(relays)
	[ -n "$RELAY" ] && [ "$(wc -w <<<"$RELAY")" = 1 ] || { echo "relays: $RELAY" >&2 && return 1; }
}

# ask NAME TYPE [DIG-FLAG…]: of any resolver's address, since all are captured.
ask() {
	inside dig +tries=1 +time=8 +noall +answer +comments "$@" @192.0.2.53
}

stop_container() {
	stop "$CONTAINER"
	CONTAINER=
}

@test "up makes lo, tun0 and the routes of both families, and nothing is left after down" {
	for who in $EVERYONE; do
		become "$who"
		network '{"allow": ["203.0.113.7"], "tun": "required"}'
		container
		runs hook up
		is ''
		runs inside_as_root ip -brief address
		has 'lo               UNKNOWN        127.0.0.1/8 ::1/128'
		has '198.18.0.1/15 fd66:656e:6365::c612:1/64'
		[ "${#lines[@]}" -eq 2 ]
		runs inside_as_root ip route get 203.0.113.7
		has 'dev tun0'
		runs inside_as_root ip -6 route get 2001:db8::7
		has 'dev tun0'
		one_relay
		stop_container
		runs hook down
		wait_until no_relay
		assert_nothing_left
	done
}

@test "ipv6 false leaves IPv6 without a route" {
	network '{"ipv6": false}'
	container
	runs hook up
	fails inside_as_root ip -6 route get 2001:db8::7
	has 'unreachable'
}

@test "the relay has no capability, file, user or system call to spare, and none of its caller's descriptors" {
	for who in $EVERYONE; do
		become "$who"
		network '{"proxies": ["socks5://joe:s3cr3t@127.0.0.1:1080"]}'
		container
		exec {leaked}<"$BASH_SOURCE"
		runs hook up
		exec {leaked}<&-
		one_relay
		runs cat "/proc/$RELAY/status"
		has $'Seccomp:\t2'
		has $'NoNewPrivs:\t1'
		for set in Inh Prm Eff Bnd Amb; do has "Cap$set:"$'\t0000000000000000'; done
		[ "$who" = user ] || has $'Uid:\t65534\t65534\t65534\t65534'
		runs cat "/proc/$RELAY/mountinfo"
		[ "${#lines[@]}" -eq 1 ]
		has ' / / ro,nosuid,nodev,noexec'
		runs find "/proc/$RELAY/fd" -lname '/*' ! -lname /dev/null ! -lname /dev/net/tun -printf '%l\n'
		is ''
		runs cat "/proc/$RELAY/cmdline" "/proc/$RELAY/environ"
		hasnt s3cr3t
		stop_container
		wait_until no_relay
	done
}

# Another container in the same namespaces, as a pod has.
companion() {
	local flags=(--net)
	[ "$who" = root ] || flags=(--user --net)
	start companion nsenter --target "$CONTAINER" "${flags[@]}" -- sleep 600
	COMPANION=$STARTED
	wait_until is_sleeping "$COMPANION"
}

@test "one relay serves a pod's containers, and lives as long as any of them" {
	start_web 203.0.113.7 80
	for who in $EVERYONE; do
		become "$who"
		network '{"allow": ["203.0.113.7"]}'
		container
		runs hook up
		one_relay
		first=$CONTAINER relay=$RELAY
		companion
		CONTAINER=$COMPANION
		network '{"allow": ["203.0.113.7"], "deny": ["203.0.113.8"]}'
		fails hook up
		has 'shares the network of one with other network rules'
		network '{"allow": ["203.0.113.7"]}'
		runs hook up
		stop "$first"
		runs inside curl -sS -m 10 http://203.0.113.7/
		is 'the page'
		one_relay
		[ "$RELAY" = "$relay" ]
		stop_container
		wait_until no_relay
	done
}

# bats test_tags=root
@test "another user cannot keep a relay alive" {
	network '{}'
	container
	runs hook up
	one_relay
	start bystander sleep 600
	inode=$(stat -Lc '%i' "/proc/$CONTAINER/ns/net")
	runs in_host "${AS_USER[@]}" /usr/bin/python3 - "$inode" "$STARTED" <<-'PY'
		import os, re, socket, sys
		name = re.search(r"@(fence-network/namespace/\S+-%s)" % sys.argv[1], open("/proc/net/unix").read()).group(1)
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(10)
		s.connect("\0" + name)
		try:
		    socket.send_fds(s, [bytes(8)], [os.pidfd_open(int(sys.argv[2]))])
		    print("answer", s.recv(1))
		except OSError as error: print(error)
	PY
	hasnt "b'y'"
	hasnt "b'n'"
	stop_container
	wait_until no_relay
}

@test "the relay ends with the container, however that ends" {
	network '{}'
	container
	runs hook up
	one_relay
	kill -KILL "$CONTAINER"
	wait_until no_relay
	runs hook down
}

@test "down ends a relay that hangs" {
	network '{}'
	container
	runs hook up
	one_relay
	kill -STOP "$RELAY"
	stop_container
	runs hook down
	wait_until no_relay
}

@test "without its relay the container is silent, not open" {
	start_web 203.0.113.7 80
	network '{"allow": ["203.0.113.7"]}'
	container
	runs hook up
	runs inside curl -sS -m 10 http://203.0.113.7/
	is 'the page'
	one_relay
	kill -KILL "$RELAY"
	wait_until no_relay
	fails inside curl -sS -m 10 http://203.0.113.7/
	runs inside_as_root ip -brief link
	hasnt tun0
}

@test "what is wrong is said in one line, without the password, and leaves nothing" {
	container
	while IFS='|' read -r file message; do
		[ -n "$file" ] || continue
		network "$file"
		fails hook up
		[ "${#lines[@]}" -eq 1 ] || complain 'this should be one line'
		has "fence-network: "
		has "$message"
		hasnt s3cr3t
		no_relay
		runs inside_as_root ip -brief link
		hasnt tun0
	done <<-'TABLE'
		{|network.json:
		{"proxis": ["socks5://127.0.0.1:1"]}|did you mean "proxies"
		{"proxies": ["https://joe:s3cr3t@127.0.0.1:1"]}|must begin with socks5://, socks5h://, http:// or socks5+unix:
		{"proxies": ["socks5+unix:s3cr3t"]}|the whole path of a socket
		{"proxies": ["socks5://joe:s3cr3t@127.0.0.1"]}|the port is missing
		{"proxies": ["socks5://joe:s3cr3t@127.0.0.1:99999"]}|the port must be a number from 1 to 65535
		{"proxies": ["socks5://joe:s3cr3t@:1080"]}|the host is missing
		{"proxies": ["socks5://joe:s3cr3t%2@127.0.0.1:1"]}|"%" in the user or password must be followed by two hexadecimal digits
		{"proxies": ["socks5://joe:s3cr3t/@127.0.0.1:1"]}|after the port nothing may follow
		{"proxies": ["socks5://:s3cr3t@127.0.0.1:1"]}|the user before "@" is missing
		{"proxies": ["socks5://[2001:db8::zz]:1080"]}|in brackets an IPv6 address must stand
		{"proxies": ["socks5://2001:db8::1:1080"]}|an IPv6 address is written in brackets
		{"proxies": ["socks5://nobody.invalid:1080"]}|cannot find the address of the proxy nobody.invalid
		{"allow": ["http://example.com"]}|network rule "http://example.com": only tcp:// and udp://
		{"allow": ["*.com"]}|a whole top-level domain is too much
		{"allow": ["192.0.2.7/24"]}|bits set beyond its prefix
		{"deny": ["a..b"]}|between two dots is empty
		{"inbound": ["eighty"]}|inbound port "eighty"
		{"inbound": ["192.0.2.99:80"]}|cannot listen on the inbound port 192.0.2.99:80
		{"dns": "192.0.2.53:0"}|the port must be a number from 1 to 65535
		{"tun": "always"}|"required"
		{"log": "/nowhere/at/all"}|cannot open the log /nowhere/at/all
	TABLE
}

# bats test_tags=root
@test "a container on the host's own network is refused" {
	start container sleep 600
	CONTAINER=$STARTED
	wait_until is_sleeping "$CONTAINER"
	network '{}'
	fails hook up
	has "shares the host's network"
}

# bats test_tags=root
@test "another user's container is refused" {
	network '{}'
	container
	become user
	network '{}'
	fails hook up
	no_relay
}

@test "a tun0 that is there already is not taken over" {
	network '{"tun": "preferred"}'
	container
	inside_as_root ip tuntap add tun0 mode tun
	fails hook up
	has 'cannot make the network link tun0'
	no_relay
}

@test "without /dev/net/tun: an error where it is required, else a listener, said aloud" {
	in_host chmod 600 /dev/net/tun
	become user
	network '{"tun": "required"}'
	container
	fails hook up
	has '/dev/net/tun'
	network '{"tun": "preferred"}'
	runs hook up
	has 'a SOCKS5 listener on 127.0.0.1:18321 instead'
	runs inside_as_root ss -Hltn
	has '127.0.0.1:18321'
}

resolver() {
	local long text=() i
	long=$(printf 'x%.0s' {1..200})
	for i in {1..20}; do text+=("--txt-record=big.example.com,$i$long"); done
	start resolver dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=53 --user=root \
		--listen-address=198.51.100.7 --bind-interfaces --log-queries --log-facility=- --pid-file= --local=/com/ \
		--host-record=www.example.com,203.0.113.7 --host-record=both.example.com,203.0.113.7,2001:db8::7 \
		--host-record=private.example.com,10.0.0.1 --host-record=loop.example.com,127.0.0.1 \
		--host-record=other.example.org,203.0.113.8 --txt-record=www.example.com,hello "${text[@]}"
	wait_for_port 198.51.100.7 53
}

@test "names that are allowed get stand-in addresses, if they exist" {
	resolver
	start_web 203.0.113.7 80
	network '{"allow": ["*.example.com"], "dns": "198.51.100.7:53"}'
	container
	runs hook up
	runs ask www.example.com A
	has $'\tA\t198.18.1.0'
	runs ask WWW.Example.COM A +tcp
	has $'\tA\t198.18.1.0'
	runs ask both.example.com AAAA
	has $'\tAAAA\tfd66:656e:6365::c612:101'
	runs ask www.example.com AAAA
	has 'status: NOERROR'
	has 'ANSWER: 0'
	runs ask nothing.example.com A
	has 'status: NXDOMAIN'
	runs ask -x 198.18.1.0
	has 'PTR	www.example.com.'
	runs ask www.example.com TXT
	has '"hello"'
	runs ask www.example.com HTTPS
	has 'status: NOERROR'
	has 'ANSWER: 0'
	runs ask localhost A
	has $'\tA\t127.0.0.1'
	runs inside curl -sS -m 10 http://www.example.com/
	is 'the page'
}

@test "names that are not allowed do not exist, and are never asked of the resolver" {
	resolver
	network '{"allow": ["*.example.com"], "deny": ["both.example.com"], "dns": "198.51.100.7:53"}'
	container
	runs hook up
	for name in other.example.org example.com both.example.com secret.tunnel.example.org use-application-dns.net; do
		runs ask "$name" A
		has 'status: NXDOMAIN'
		runs ask "$name" TXT
		has 'status: NXDOMAIN'
	done
	runs ask 7.113.0.203.in-addr.arpa PTR
	has 'status: NXDOMAIN'
	runs ask . NS
	has 'status: REFUSED'
	runs cat "$TEST_DIR/resolver.log"
	hasnt 'example.org'
	hasnt 'arpa'
	hasnt 'both'
}

@test "a name that resolves to a private or loopback address leads nowhere" {
	resolver
	start_web 127.0.0.1 80
	network '{"allow": ["*.example.com"], "dns": "198.51.100.7:53"}'
	container
	runs hook up
	for name in private loop; do
		fails inside curl -sS -m 5 "http://$name.example.com/"
	done
	runs cat "$TEST_DIR/web-127.0.0.1-80.log"
	hasnt GET
}

@test "long answers are truncated over UDP and whole over TCP" {
	resolver
	network '{"allow": ["*.example.com"], "dns": "198.51.100.7:53"}'
	container
	runs hook up
	runs ask big.example.com TXT +ignore +qr +bufsize=4096
	has ' tc '
	runs ask big.example.com TXT +noedns
	[ "$(grep -c xxxx <<<"$output")" = 20 ]
	runs ask big.example.com TXT +tcp
	[ "$(grep -c xxxx <<<"$output")" = 20 ]
}

@test "without --dns names are asked of public resolvers through the proxy, by TCP" {
	in_host ip address add 1.1.1.1/32 dev lo
	start resolver dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= \
		--listen-address=1.1.1.1 --bind-interfaces --host-record=www.example.com,203.0.113.7
	wait_for_port 1.1.1.1 53
	start_proxy 1080
	network '{"proxies": ["socks5://127.0.0.1:1080"]}'
	container
	runs hook up
	runs ask www.example.com A
	has $'\tA\t203.0.113.7'
	runs cat "$TEST_DIR/proxy.log"
	has 1.1.1.1
}

@test "a resolver that does not answer costs seconds, not a hang" {
	network '{"allow": ["*.example.com"], "dns": "198.51.100.7:5353"}'
	container
	runs hook up
	runs ask www.example.com A
	has 'status: SERVFAIL'
}

# An engine's namespace: eth0 to a bridge, with an address and default routes in both families.
bridged() {
	in_host sh -ec '
		ip link add eth0 netns "$1" type veth peer name bridge
		ip address add 192.0.2.1/24 dev bridge
		ip address add 2001:db8:1::1/64 dev bridge nodad
		ip link set bridge up' sh "$CONTAINER"
	inside_as_root sh -ec '
		ip address add 192.0.2.2/24 dev eth0
		ip address add 2001:db8:1::2/64 dev eth0 nodad
		ip link set eth0 up
		ip route add default via 192.0.2.1
		ip route add default via 2001:db8:1::1
		sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1'
}

# An echo server in the container, for TCP and UDP of both families, bound to every address, as most are.
start_echo() {
	cat >"$TEST_DIR/echo.py" <<-'PY'
		import selectors, socket
		selector = selectors.DefaultSelector()
		for family in socket.AF_INET, socket.AF_INET6:
		    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
		        s = socket.socket(family, kind)
		        if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
		        s.bind(("", 8080))
		        if kind == socket.SOCK_STREAM: s.listen()
		        selector.register(s, selectors.EVENT_READ)
		print("listening", flush=True)
		while True:
		    for key, _ in selector.select():
		        s = key.fileobj
		        if s.type == socket.SOCK_STREAM:
		            connection = s.accept()[0]
		            connection.sendall(b"reply")
		            connection.close()
		        else:
		            s.sendto(b"reply", s.recvfrom(100)[1])
	PY
	nsenter --target "$CONTAINER" --net -- /usr/bin/python3 "$TEST_DIR/echo.py" >"$TEST_DIR/echo.log" 2>&1 3>&- &
	SERVERS+=("$!")
	wait_until grep -q listening "$TEST_DIR/echo.log"
}

# Everything that comes out of eth0 and is neither ARP nor a neighbour's question: $TEST_DIR/bridge.log.
start_sniffer() {
	cat >"$TEST_DIR/sniff.py" <<-'PY'
		import socket
		s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
		s.bind(("bridge", 0))
		print("listening", flush=True)
		while True:
		    data, address = s.recvfrom(4096)
		    neighbour = data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] in (133, 135, 136, 143)
		    if address[2] == socket.PACKET_OUTGOING or data[12:14] == b"\x08\x06" or data[20] == 0 or neighbour: continue
		    print("leaked", data.hex(), flush=True)
	PY
	start bridge /usr/bin/python3 "$TEST_DIR/sniff.py"
	wait_until grep -q listening "$TEST_DIR/bridge.log"
}

# Ways out that an unprivileged program can try on eth0.
leak_attempts() {
	cat >"$TEST_DIR/leak.py" <<-'PY'
		import socket
		I4, I6, TCP, UDP = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
		SO_BINDTODEVICE, IP_FREEBIND, IPV6_FREEBIND = 25, 15, 78
		def attempt(what, function):
		    try: function(); print("done:", what)
		    except OSError as error: print("refused:", what, error)
		def send(family, kind, to, source=None, device=None, freebind=False):
		    with socket.socket(family, kind) as s:
		        s.settimeout(0.3)
		        if device: s.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device)
		        if freebind: s.setsockopt(*((0, IP_FREEBIND, 1) if family == I4 else (41, IPV6_FREEBIND, 1)))
		        if source: s.bind((source, 0))
		        if kind == UDP: s.sendto(b"leak", (to, 9))
		        else: s.connect((to, 9))
		def forged_reply(outside, own):
		    """Seems to come from outside, over lo, so that what follows seems to be the answer to it."""
		    a, b = socket.socket(I6, UDP), socket.socket(I6, UDP)
		    a.setsockopt(41, IPV6_FREEBIND, 1)
		    a.bind((outside, 777))
		    b.bind((own, 778))
		    a.sendto(b"hello", (own, 778))
		    b.recv(100)
		    b.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth0")
		    b.sendto(b"leak", (outside, 777))
		def ping(to):
		    with socket.socket(I4, UDP, socket.IPPROTO_ICMP) as s:
		        s.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth0")
		        s.sendto(bytes(8), (to, 0))
		def multicast():
		    with socket.socket(I4, UDP) as s:
		        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("192.0.2.2"))
		        s.sendto(b"leak", ("224.0.0.5", 9))
		for kind in TCP, UDP:
		    for family, near, far, own in (I4, "192.0.2.1", "203.0.113.7", "192.0.2.2"), \
		            (I6, "2001:db8:1::1", "2001:db8::7", "2001:db8:1::2"):
		        for to in near, far:
		            attempt(f"plain {to}", lambda: send(family, kind, to))
		            attempt(f"source {to}", lambda: send(family, kind, to, own))
		            attempt(f"device {to}", lambda: send(family, kind, to, device=b"eth0"))
		            attempt(f"both {to}", lambda: send(family, kind, to, own, b"eth0"))
		            attempt(f"freebind {to}", lambda: send(family, kind, to, "198.51.100.9" if family == I4 else "2001:db8:9::9", b"eth0", True))
		attempt("forged reply", lambda: forged_reply("2001:db8:1::1", "2001:db8:1::2"))
		attempt("ping", lambda: ping("192.0.2.1"))
		attempt("multicast", multicast)
		attempt("all nodes", lambda: send(I6, UDP, "ff02::1%eth0"))
		attempt("link-local", lambda: send(I6, UDP, "fe80::1%eth0"))
	PY
	inside /usr/bin/python3 "$TEST_DIR/leak.py"
}

reach_container() {
	cat >"$TEST_DIR/reach.py" <<-'PY'
		import socket, sys
		for family, to, source in ((socket.AF_INET, "192.0.2.2", "192.0.2.1"), (socket.AF_INET, "192.0.2.2", "203.0.113.7"),
		        (socket.AF_INET6, "2001:db8:1::2", "2001:db8:1::1")):
		    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
		        with socket.socket(family, kind) as s:
		            s.settimeout(5)
		            s.bind((source, 0))
		            s.connect((to, 8080))
		            if kind == socket.SOCK_DGRAM: s.send(b"x")
		            print(s.recv(100).decode(), "from", to, "to", source, kind.name)
	PY
	in_host /usr/bin/python3 "$TEST_DIR/reach.py"
}

@test "in an engine's namespace tun0 is the only way out, and who comes in by eth0 is answered" {
	start_web 203.0.113.7 80
	network '{"allow": ["203.0.113.7:80"]}'
	container
	bridged
	start_echo
	runs reach_container
	runs hook up
	runs reach_container
	[ "$(grep -c ^reply <<<"$output")" = 6 ]
	start_sniffer
	runs inside curl -sS -m 10 http://203.0.113.7/
	is 'the page'
	runs leak_attempts
	runs cat "$TEST_DIR/bridge.log"
	hasnt leaked
	one_relay
	kill -KILL "$RELAY"
	wait_until no_relay
	runs leak_attempts
	runs cat "$TEST_DIR/bridge.log"
	hasnt leaked
}

# What a node asks of a pod: HTTP, TCP, UDP and ping, also where nobody listens.
probe_container() {
	local address
	for address in 192.0.2.2 '[2001:db8:1::2]'; do
		runs in_host curl -sS -m 5 "http://$address:8081/large"
		[ "${#output}" = 300000 ] || complain 'this should be longer'
		address=${address//[][]/}
		runs in_host ping -n -c 1 -W 5 -s 3000 "$address"
		runs in_host /usr/bin/python3 -c '
import socket, sys
for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
    s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, kind); s.settimeout(5)
    try: s.connect((sys.argv[1], 9)); s.send(b"x"); s.recv(1)
    except OSError as error: print(error.strerror)' "$address"
		is $'Connection refused\nConnection refused'
	done
	runs reach_container
	[ "$(grep -c ^reply <<<"$output")" = 6 ]
}

@test "a node's probes pass as before, and what it had begun goes on; when the relay dies they fail, so that the node heals it" {
	network '{"allow": ["203.0.113.7:80"]}'
	container
	bridged
	start_echo
	mkdir "$TEST_DIR/pages"
	head -c 300000 /dev/zero | tr '\0' x >"$TEST_DIR/pages/large"
	start pages nsenter --target "$CONTAINER" --net -- /usr/bin/python3 -u -m http.server --bind :: --directory "$TEST_DIR/pages" 8081
	start keeps nsenter --target "$CONTAINER" --net -- /usr/bin/python3 -c '
import socket, threading
def serve(c):
    for data in iter(lambda: c.recv(100), b""): c.sendall(data)
s = socket.create_server(("", 8082))
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()'
	wait_for_port 192.0.2.2 8081
	wait_for_port 192.0.2.2 8082
	mkfifo "$TEST_DIR/said"
	start early /usr/bin/python3 -u -c '
import socket, sys
c = socket.create_connection(("192.0.2.2", 8082), 10)
for line in open(sys.argv[1]): c.sendall(line.encode()); print(c.recv(100))' "$TEST_DIR/said"
	exec {said}<>"$TEST_DIR/said"
	echo before >&"$said"
	wait_until grep -q before "$TEST_DIR/early.log"
	probe_container
	runs hook up
	echo after >&"$said"
	wait_until grep -q after "$TEST_DIR/early.log"
	probe_container
	one_relay
	kill -KILL "$RELAY"
	wait_until no_relay
	# Its device goes with it, once the kernel has taken down its AIO context: some 30 ms later.
	wait_until eval '! nsenter --target "$CONTAINER" --net ip link show tun0 >/dev/null 2>&1'
	for address in 192.0.2.2 '[2001:db8:1::2]'; do
		fails in_host curl -sS -m 1 "http://$address:8081/large"
		fails in_host ping -n -c 1 -W 1 "${address//[][]/}"
	done
}

@test "a container that starts again in the same engine's namespace gets its way out again" {
	start_web 203.0.113.7 80
	network '{"allow": ["203.0.113.7:80"]}'
	container
	bridged
	start_echo
	for run in 1 2; do
		runs hook up
		one_relay
		runs inside curl -sS -m 10 http://203.0.113.7/
		runs reach_container
		kill -KILL "$RELAY"
		wait_until no_relay
	done
}

# bats test_tags=root
@test "one container after the other in the same namespace: each has its way out at once" {
	start_web 203.0.113.7 80
	network '{"allow": ["203.0.113.7:80"]}'
	container
	local pod=$CONTAINER
	for run in 1 2 3 4 5; do
		start next nsenter --target "$pod" --net sleep 600
		CONTAINER=$STARTED
		wait_until is_sleeping "$CONTAINER"
		runs hook up
		runs inside curl -sS -m 10 http://203.0.113.7/
		is 'the page'
		stop_container
		runs hook down
	done
	stop "$pod"
}

@test "with a listener instead of tun0 an engine's eth0 is closed as well" {
	network '{"tun": "never"}'
	container
	bridged
	start_echo
	runs hook up
	start_sniffer
	runs leak_attempts
	runs cat "$TEST_DIR/bridge.log"
	hasnt leaked
	runs reach_container
}

@test "inbound ports of the host lead to the container's loopback, and are the host's loopback's unless said otherwise" {
	for who in $EVERYONE; do
		become "$who"
		network '{"inbound": ["18080:8080", "203.0.113.8:18081:8080"]}'
		container
		start_echo
		runs hook up
		runs in_host ss -Hltn
		has '127.0.0.1:18080'
		has '203.0.113.8:18081'
		for address in 127.0.0.1/18080 203.0.113.8/18081; do
			runs in_host bash -c "cat </dev/tcp/$address"
			is reply
		done
		fails in_host bash -c 'cat </dev/tcp/203.0.113.7/18080'
		stop_container
		runs hook down
		wait_until no_relay
		runs in_host ss -Hltn
		hasnt 1808
	done
}

@test "the log has one JSON line for each flow and query, with what it carried" {
	resolver
	start_web 203.0.113.7 80
	network "{\"allow\": [\"www.example.com:80\", \"loop.example.com\", \"udp://203.0.113.8:9\"],
		\"dns\": \"198.51.100.7:53\", \"log\": \"$WORK/net.log\", \"inbound\": [\"18080:8080\"]}"
	container
	start_echo
	runs hook up
	runs inside curl -sS -m 10 http://www.example.com/
	fails inside curl -sS -m 10 http://203.0.113.8/
	fails inside curl -sS -m 10 http://evil.example.org/
	fails inside curl -sS -m 10 http://loop.example.com/
	fails inside_as_root ping -c 1 -W 2 198.51.100.7
	runs inside bash -c 'printf 12345 >/dev/udp/203.0.113.8/9'
	runs in_host bash -c "cat </dev/tcp/127.0.0.1/18080"
	stop_container
	runs hook down
	runs jq -r '[.event, .protocol, .name, .address, .port, .verdict, .rule, .bytesSent, (.bytesReceived // 0 | if . > 99 then "many" else . end), .error] |
		map(. // "-") | join(" ")' "$WORK/net.log"
	has 'query - www.example.com - - allow www.example.com:80'
	has 'flow tcp www.example.com 203.0.113.7 80 allow www.example.com:80 79 many'
	has 'flow tcp - 203.0.113.8 80 deny default'
	has 'query - evil.example.org - - deny default'
	has 'flow tcp loop.example.com 127.0.0.1 80 deny localhost'
	has 'flow icmp - 198.51.100.7 - deny default'
	has 'flow udp - 203.0.113.8 9 allow udp://203.0.113.8:9 5 0'
	has 'inbound tcp - 127.0.0.1 8080 allow - 5 0'
	[ "$(grep -c '"tcp"' "$WORK/net.log")" = 4 ]
	[ "$(stat -c %a "$WORK/net.log")" = 600 ]
}
