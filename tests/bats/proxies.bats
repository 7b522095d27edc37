# How the relay deals with proxies: of which kinds, in which order, how they fail and heal, and the connections to them that it keeps ready. What it carries
# through them is relay.bats' subject.
# bats file_tags=root
load helpers
load relay

setup() {
	common_setup
	host_namespace
	start_peers
}

@test "a proxy that dies resets its connections; when it is back, new ones are made" {
	start_proxy 1080
	relay '{"proxies": ["socks5://127.0.0.1:1080"], "allow": ["203.0.113.7"]}'
	start busy nsenter --target "$CONTAINER" --net -- /usr/bin/python3 -u -c '
import socket
c = socket.create_connection(("203.0.113.7", 7006)); c.sendall(b"x"); print(c.recv(1))
try: print("end" if c.recv(1) == b"" else "?")
except OSError as error: print(error)'
	wait_until grep -q "b'x'" "$TEST_DIR/busy.log"
	kill -KILL "$PROXY_PID"
	wait_until grep -qE 'end|reset' "$TEST_DIR/busy.log"
	runs python 'print(error_of(lambda: connect("203.0.113.7", 7002)))'
	is ENETUNREACH
	start_proxy 1080
	runs python 'assert drain(connect("203.0.113.7", 7002)) == blob'
}

# An HTTP proxy that knows CONNECT and the password "p:w" of "us er"; it says what it was asked for.
start_http_proxy() {
	cat >"$TEST_DIR/connect.py" <<-'PY'
		import base64, socket, sys, threading
		def serve(c):
		    head = b""
		    while not head.endswith(b"\r\n\r\n"):
		        more = c.recv(1)
		        if not more: return c.close()
		        head += more
		    lines = head.decode().split("\r\n"); print(lines[0], flush=True)
		    if "Proxy-Authorization: Basic " + base64.b64encode(b"us er:p:w").decode() not in lines:
		        c.sendall(b"HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 2\r\n\r\nno"); return c.close()
		    host, port = lines[0].split()[1].rsplit(":", 1)
		    try: up = socket.create_connection((host.strip("[]").replace("www.example.com", "203.0.113.7"), int(port)), 10)
		    except OSError: c.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"); return c.close()
		    c.sendall(b"HTTP/1.0 200 Connection established\r\nVia: 1.1 x\r\n\r\n" + up.recv(65536) if port == "7002" else b"HTTP/1.1 200 OK\n\n")
		    def pump(a, b):
		        for data in iter(lambda: a.recv(65536), b""): b.sendall(data)
		        b.shutdown(socket.SHUT_WR)
		    threading.Thread(target=pump, args=(c, up), daemon=True).start(); pump(up, c)
		s = socket.create_server(("127.0.0.1", 3128)); print("serving", flush=True)
		while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
	PY
	start connect /usr/bin/python3 "$TEST_DIR/connect.py"
	wait_until grep -q serving "$TEST_DIR/connect.log"
}

@test "an HTTP proxy: CONNECT with a password and the name; UDP is refused at once, or goes by the next proxy; what it says is told" {
	start_http_proxy
	relay '{"proxies": ["http://us%20er:p%3Aw@127.0.0.1:3128"]}'
	runs python '
for host in both:
    assert drain(connect(host, 7002)) == blob
    c = connect(host, 7001); c.sendall(blob); c.shutdown(socket.SHUT_WR); assert drain(c).decode() == summary
print(error_of(lambda: connect("203.0.113.7", 1)))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect(("203.0.113.7", 7001)); u.send(b"x")
print(error_of(lambda: u.recv(1)))'
	is $'EHOSTUNREACH\nECONNREFUSED'
	runs inside dig +tries=1 +time=5 +short @192.0.2.53 www.example.com
	runs python "assert drain(connect('$output', 7002)) == blob"
	runs cat "$TEST_DIR/connect.log"
	has 'CONNECT [2001:db8::7]:7002 HTTP/1.1'
	has 'CONNECT www.example.com:7002 HTTP/1.1'
	[[ $output != *0.0.0.0* ]] || complain 'it was asked for an association'
	stop "$CONTAINER"

	start_associate
	ID=$ID-3 BUNDLE=$BUNDLE-3
	relay '{"proxies": ["http://us%20er:p%3Aw@127.0.0.1:3128", "socks5://127.0.0.1:1081"]}'
	runs python '
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.sendto(blob[:500], ("203.0.113.7", 7001)); assert u.recv(65535) == blob[:500]
assert drain(connect("203.0.113.7", 7002)) == blob'
	stop "$CONTAINER"

	ID=$ID-2 BUNDLE=$BUNDLE-2
	relay '{"proxies": ["http://127.0.0.1:3128"]}'
	runs python 'print(error_of(lambda: connect("203.0.113.7", 7002)))'
	is EHOSTUNREACH # as "prohibited" is told by the kernel
}

@test "an HTTP proxy may say something first; what it is asked for without TUN is a host's name and nothing else" {
	start hasty /usr/bin/python3 -u -c '
import socket, threading
def serve(c):
    print(c.recv(4096)); c.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"); c.recv(1)
s = socket.create_server(("127.0.0.1", 3128)); print("serving")
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()'
	wait_until grep -q serving "$TEST_DIR/hasty.log"
	relay "{\"proxies\": [\"http://127.0.0.1:3128\"], \"tun\": \"never\", \"log\": \"$TEST_DIR/net.log\"}"
	runs python '
def ask(name):
    c = connect("127.0.0.1", 18321); c.sendall(b"\5\1\0"); take(c, 2)
    c.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + b"\0\x50"); code = take(c, 10)[1]; return code if code else take(c, 5)
for name in (b"example.com", b"EXAMPLE.com."): assert ask(name) == b"hello"
for name in (b"a:80 HTTP/1.1\r\nX: y", b"[::1]", b"::1%lo", b"fe80::1%2", b"[::ffff:127.0.0.1]", b"a b", b"example.com ", b"a..b", b"a/b", b"user@host", b"a" * 64,
    b"localhost", b"x.localhost", b"localhost4", b"ip6-localhost", b"127.1", b"0x7f.1", b"017700000001", b"2130706433", b"127.0.0.1 ", b"\xc4\xb1.example"):
    assert ask(name) == 2, name'
	runs grep CONNECT "$TEST_DIR/hasty.log"
	is "b'CONNECT example.com:80 HTTP/1.1\\r\\nHost: example.com:80\\r\\n\\r\\n'
b'CONNECT EXAMPLE.com.:80 HTTP/1.1\\r\\nHost: EXAMPLE.com.:80\\r\\n\\r\\n'"
	runs jq -r 'select(.name | tostring | startswith("a:80")) | .verdict, .rule, .name' "$TEST_DIR/net.log"
	is $'deny\nno host\'s name\na:80 HTTP/1.1\r\nX: y'
}

@test "a proxy elsewhere cannot send datagrams to the loopback of this host" {
	start liar /usr/bin/python3 -u -c '
import itertools, socket, struct, threading
def read(c, n): return c.recv(n, socket.MSG_WAITALL)
def serve(c, liar): # "send to 127.0.0.1:7777", as one behind address translation might
    read(c, read(c, 2)[1]); c.sendall(b"\5\0"); read(c, 10); c.sendall(b"\5\0\0" + liar + struct.pack("!H", 7777)); c.recv(1)
def echo(address):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((address, 7777))
    while True: data, peer = u.recvfrom(2000); print(address); u.sendto(data, peer)
for address in "127.0.0.1", "203.0.113.7": threading.Thread(target=echo, args=(address,), daemon=True).start()
s = socket.create_server(("203.0.113.7", 1081)); print("serving")
for liar in itertools.cycle((b"\1\x7f\0\0\1", b"\4" + socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1"))):
    threading.Thread(target=serve, args=(s.accept()[0], liar), daemon=True).start()'
	wait_until grep -q serving "$TEST_DIR/liar.log"
	relay '{"proxies": ["socks5://203.0.113.7:1081"]}'
	runs python '
for i in range(6): u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10); u.sendto(b"x", ("192.0.2.9", 9)); assert u.recv(10) == b"x"'
	runs grep -c 203.0.113.7 "$TEST_DIR/liar.log"
	is 6
	fails grep 127.0.0.1 "$TEST_DIR/liar.log"
}

@test "a proxy behind a Unix socket, also after it was made anew; the relay itself opens no path" {
	start_proxy 1080
	start door socat "UNIX-LISTEN:$TEST_DIR/socks,fork,mode=600" TCP:127.0.0.1:1080
	local door=$STARTED
	wait_until [ -S "$TEST_DIR/socks" ]
	relay "{\"proxies\": [\"socks5+unix:$TEST_DIR/socks\"]}"
	runs python 'for host in both: assert drain(connect(host, 7002)) == blob'
	local children
	children=$(<"/proc/$door/task/$door/children") # each has a connection, of which some are kept ready
	stop "$door"
	kill $children || true
	runs python 'print(error_of(lambda: connect("203.0.113.7", 7002)))'
	is ENETUNREACH
	start door socat "UNIX-LISTEN:$TEST_DIR/socks,fork,mode=600,unlink-early" TCP:127.0.0.1:1080
	wait_until [ -S "$TEST_DIR/socks" ]
	runs python 'assert drain(connect("203.0.113.7", 7002)) == blob'
	[ "$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$RELAY/status")" = 65534 ]
	kill -KILL "$RELAY"
	wait_until no_helpers
}

no_helpers() {
	[ -z "$(find /proc/[0-9]*/exe -maxdepth 0 -lname "$FILE_DIR/fence-network" 2>/dev/null)" ]
}

@test "several proxies: the first that can be reached serves, a silent one costs one connection its patience, the healed one is used again" {
	in_host sh -ec '
		ip link add silent type veth peer name silent-peer
		ip address add 192.0.2.1/24 dev silent
		ip link set silent up
		ip link set silent-peer up
		ip neighbour add 192.0.2.99 lladdr 02:00:00:00:00:01 dev silent'
	start_proxy 1080
	relay '{"proxies": ["socks5://192.0.2.99:1080", "socks5://127.0.0.1:1081", "socks5://127.0.0.1:1080"]}'
	runs python '
def timed():
    begin = time.monotonic(); assert drain(connect("203.0.113.7", 7002)) == blob; return time.monotonic() - begin
assert timed() > 4; print([timed() < FACTOR for _ in range(5)])'
	is '[True, True, True, True, True]'
	start second microsocks -i 127.0.0.1 -p 1081
	wait_for_port 127.0.0.1 1081
	kill -KILL "$PROXY_PID"
	runs python 'assert drain(connect("203.0.113.7", 7002)) == blob'
}

# start_own_proxy MODE…: a SOCKS5 proxy on port 1082 that has its ways: greets=SECONDS is how long it takes to answer a greeting, idles=SECONDS how long
# it waits for the request, stale=SECONDS after which it hangs up on one instead of serving it, answers=SECONDS how long it takes to answer one,
# drips=SECONDS how long to each byte of that answer; one: a connection at a time; password: "p" of "u"; strange: it speaks something else.
start_own_proxy() {
	cat >"$TEST_DIR/own.py" <<-'PY'
		import select, socket, struct, sys, threading, time
		modes = dict(word.partition("=")[::2] for word in sys.argv[1:])
		def read(c, n): # "": the other side has ended
		    data = b""
		    while len(data) < n and (more := c.recv(n - len(data))): data += more
		    return data if len(data) == n else b""
		def log(*words): print(*words, flush=True)
		def pump(a, b):
		    try:
		        for data in iter(lambda: a.recv(65536), b""): b.sendall(data)
		        b.shutdown(socket.SHUT_WR)
		    except OSError: pass
		def address(c, kind):
		    if kind == 3: host = read(c, read(c, 1)[0]).decode().replace("www.example.com", "203.0.113.7")
		    else: host = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, read(c, 4 if kind == 1 else 16))
		    return host, struct.unpack("!H", read(c, 2))[0]
		def serve(c):
		    log("connected"); time.sleep(float(modes.get("greets", 0)))
		    head = read(c, 2)
		    if not head: return
		    methods = read(c, head[1])
		    if "password" in modes:
		        c.sendall(b"\5\2"); user = read(c, read(c, 2)[1]); password = read(c, read(c, 1)[0]); ok = (user, password) == (b"u", b"p")
		        log("password", ok); c.sendall(b"\1" + bytes([not ok]))
		        if not ok: return
		    elif "strange" in modes: return c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
		    else: c.sendall(b"\5\0")
		    began = time.monotonic()
		    if not select.select([c], [], [], float(modes.get("idles", 100)))[0]: return log("idle")
		    request = read(c, 4)
		    if not request: return log("unused")
		    if time.monotonic() - began > float(modes.get("stale", 100)): return log("stale")
		    try: up = socket.create_connection(address(c, request[3]), 10)
		    except OSError: return c.sendall(b"\5\5\0\1" + bytes(6))
		    time.sleep(float(modes.get("answers", 0)))
		    for byte in b"\5\0\0\1" + bytes(6): c.sendall(bytes([byte])); time.sleep(float(modes.get("drips", 0)))
		    log("serves")
		    threading.Thread(target=pump, args=(c, up), daemon=True).start(); pump(up, c)
		def run(c):
		    with c: serve(c)
		s = socket.create_server(("127.0.0.1", 1082), backlog=64); log("serving")
		while True:
		    c = s.accept()[0]
		    if "one" in modes: run(c)
		    else: threading.Thread(target=run, args=(c,), daemon=True).start()
	PY
	rm -f "$TEST_DIR/own.log" # of one before it, which says "serving", too
	start own /usr/bin/python3 "$TEST_DIR/own.py" "$@"
	OWN_PROXY=$STARTED
	wait_until grep -q serving "$TEST_DIR/own.log"
}

through_own='{"proxies": ["socks5://127.0.0.1:1082"]}'

own_proxy_is_idle() {
	[ -z "$(in_host ss -tnH state established dport = :1082)" ]
}

@test "who connects again through a distant proxy waits for the answer to the request only; nothing is held for who connects no more" {
	start_own_proxy greets=0.4
	relay "$through_own"
	runs python '
def timed():
    begin = time.monotonic(); assert drain(connect("203.0.113.7", 7002)) == blob; return time.monotonic() - begin
print(timed() > 0.4)'
	is True
	wait_until own_proxy_is_idle # once is no habit
	runs python '
def timed():
    begin = time.monotonic(); connect("203.0.113.7", 7002).close(); return time.monotonic() - begin
times = [timed(), timed()]
for _ in range(8): time.sleep(0.6); times.append(timed())
print(sum(t > 0.35 * FACTOR for t in times) <= 3, min(times) < 0.2 * FACTOR, times)'
	has 'True True'
	fails own_proxy_is_idle
	PATIENCE=25 wait_until own_proxy_is_idle
	runs python 'assert drain(connect("203.0.113.7", 7002)) == blob'
}

@test "who asks for a name finds a connection to a distant proxy on its way" {
	start_own_proxy greets=0.4
	start resolver dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=5353 --user=root --pid-file= \
		--listen-address=127.0.0.1 --bind-interfaces --host-record=www.example.com,203.0.113.7
	wait_for_port 127.0.0.1 5353
	relay '{"proxies": ["socks5://127.0.0.1:1082"], "dns": "127.0.0.1:5353"}'
	runs inside dig +tries=1 +time=5 +short @192.0.2.53 www.example.com
	is 203.0.113.7
	runs python '
time.sleep(0.6); begin = time.monotonic(); assert drain(connect("203.0.113.7", 7002)) == blob; print(time.monotonic() - begin < 0.35 * FACTOR)'
	is True
	[ "$(grep -c connected "$TEST_DIR/own.log")" = 1 ]
	PATIENCE=25 wait_until own_proxy_is_idle
}

@test "connections kept ready that end, before or when they are used, cost nobody a connection; a new proxy is used at once" {
	for mode in idles=0.1 stale=0.1; do
		start_own_proxy "$mode"
		ID=$ID-$mode BUNDLE=$BUNDLE-$mode
		relay "$through_own"
		runs python '
for i in range(20):
    c = connect("203.0.113.7", 7006); c.sendall(b"x"); assert c.recv(1) == b"x"; c.close(); time.sleep(i % 5 * 0.05)'
		grep -qE 'idle|stale' "$TEST_DIR/own.log"
		stop "$CONTAINER"
		stop "$OWN_PROXY"
	done
	start_own_proxy
	ID=$ID-restart BUNDLE=$BUNDLE-restart
	relay "$through_own"
	for _ in 1 2 3; do
		runs python 'for i in range(4): assert drain(connect("203.0.113.7", 7002)) == blob'
		kill -KILL "$OWN_PROXY"
		wait "$OWN_PROXY" || true
		runs python 'print(error_of(lambda: connect("203.0.113.7", 7002)))'
		is ENETUNREACH
		start_own_proxy
		runs python 'begin = time.monotonic(); assert drain(connect("203.0.113.7", 7002)) == blob; print(time.monotonic() - begin < FACTOR)'
		is True
	done
}

@test "a proxy that keeps silent, drips, speaks something else or wants another password is left for the next; one that is only slow is not" {
	start_proxy 1080
	fast_clock 5 # the patience of five seconds is one; what a program here has is 20
	local mode
	for mode in greets=100 drips=0.3 strange password; do
		start_own_proxy "$mode"
		ID=$ID-$mode BUNDLE=$BUNDLE-$mode
		relay '{"proxies": ["socks5://127.0.0.1:1082", "socks5://127.0.0.1:1080"]}'
		runs python 'for _ in range(3): assert drain(connect("203.0.113.7", 7002)) == blob'
		stop "$CONTAINER"
		stop "$OWN_PROXY"
	done
	start_own_proxy answers=2
	ID=$ID-slow BUNDLE=$BUNDLE-slow
	relay '{"proxies": ["socks5://127.0.0.1:1082", "socks5://127.0.0.1:1080"]}'
	runs python 'assert drain(connect("203.0.113.7", 7002)) == blob'
	grep -q serves "$TEST_DIR/own.log"
}

@test "a proxy that serves one connection at a time serves them all" {
	start_own_proxy one
	relay "$through_own"
	runs python '
for i in range(10): assert drain(connect("203.0.113.7", 7002)) == blob
def one(): assert drain(connect("203.0.113.7", 7002)) == blob; done.append(1)
done = []; threads = [threading.Thread(target=one) for _ in range(6)]
for t in threads: t.start()
for t in threads: t.join()
print(len(done))'
	is 6
}

@test "a password is asked for on each connection, and one that is refused is tried no more often than it is needed" {
	start_own_proxy password
	relay '{"proxies": ["socks5://u:p@127.0.0.1:1082"]}'
	runs python 'for i in range(6): assert drain(connect("203.0.113.7", 7002)) == blob'
	stop "$CONTAINER"
	fails grep False "$TEST_DIR/own.log"
	ID=$ID-2 BUNDLE=$BUNDLE-2
	relay '{"proxies": ["socks5://u:x@127.0.0.1:1082"]}'
	runs python 'for i in range(3): print(error_of(lambda: connect("203.0.113.7", 7002)))'
	is $'EHOSTUNREACH\nEHOSTUNREACH\nEHOSTUNREACH' # as "prohibited" is told by the kernel
	[ "$(grep -c 'password False' "$TEST_DIR/own.log")" = 3 ]
}

@test "when the way to a proxy is lost with connections kept ready, the next proxy serves within its patience" {
	in_host sh -ec '
		ip link add near type veth peer name far
		ip address add 192.0.2.1/24 dev near
		ip link set near up'
	start island unshare --net sleep 600
	local island=$STARTED
	wait_until eval '[ "$(cat /proc/$island/comm)" = sleep ]'
	in_host ip link set far netns "$island"
	nsenter --target "$island" --net sh -ec '
		ip link set lo up; ip address add 192.0.2.2/24 dev far; ip address add 203.0.113.7/32 dev lo; ip link set far up'
	start far nsenter --target "$island" --net microsocks -i 192.0.2.2 -p 1080
	wait_for_port 192.0.2.2 1080
	start_proxy 1080
	relay '{"proxies": ["socks5://192.0.2.2:1080", "socks5://127.0.0.1:1080"]}'
	# Nobody serves there: "refused" is that proxy's own answer, which it still gives.
	runs python 'for i in range(4): print(error_of(lambda: connect("203.0.113.7", 7002)))'
	is $'ECONNREFUSED\nECONNREFUSED\nECONNREFUSED\nECONNREFUSED'
	start peer nsenter --target "$island" --net socat TCP-LISTEN:7010,fork,reuseaddr EXEC:'echo far'
	wait_until nsenter --target "$island" --net bash -c '2>/dev/null : >/dev/tcp/127.0.0.1/7010'
	runs python 'for i in range(4): assert drain(connect("203.0.113.7", 7010)) == b"far\n"'
	nsenter --target "$island" --net ip route add blackhole 192.0.2.1/32
	runs python '
begin = time.monotonic(); assert drain(connect("203.0.113.7", 7002)) == blob; first = time.monotonic() - begin
begin = time.monotonic(); assert drain(connect("203.0.113.7", 7002)) == blob; print(first < 15 * FACTOR, time.monotonic() - begin < FACTOR)'
	is 'True True'
}
