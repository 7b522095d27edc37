# What the relay carries, and how truthfully: TCP with all its endings, UDP, ping, inbound ports, and what a hostile program sends
# it. How tun0 is made and taken away is network.bats' subject, the front door front_network.bats'.
load helpers
load relay

setup() {
	common_setup
	host_namespace
}

endings() {
	start_peers
	relay_by "$1"
	runs python '
for host in both:
    c = connect(host, 7001); c.sendall(blob); c.shutdown(socket.SHUT_WR); assert drain(c).decode() == summary
    assert drain(connect(host, 7002)) == blob
    c = connect(host, 7003); c.sendall(b"x"); assert error_of(lambda: c.recv(1)) == "ECONNRESET"
    c = connect(host, 7004); assert c.recv(1) == b""; c.sendall(blob); c.close()
    c = connect(host, 7006); received = []
    reader = threading.Thread(target=lambda: received.append(drain(c))); reader.start()
    c.sendall(blob); c.shutdown(socket.SHUT_WR); reader.join(); assert received == [blob]
    c = connect(host, 7001); c.sendall(b"a"); c.send(b"!", socket.MSG_OOB); c.sendall(blob); c.shutdown(socket.SHUT_WR)
    assert drain(c).decode().split()[0] == str(len(blob) + 2) # urgent data is data
    c = connect(host, 7007); c.sendall(b"x"); time.sleep(0.2)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()'
	wait_until grep -q "ends_first 8388608" "$TEST_DIR/peers.log"
	wait_until grep -q "reset seen" "$TEST_DIR/peers.log"
	fails grep orderly "$TEST_DIR/peers.log"
}

@test "TCP: half-closed, reset, ended by either side first, and all at once: spliced" {
	endings splice
}

@test "TCP: half-closed, reset, ended by either side first, and all at once: translated" {
	endings translate
}

@test "TCP: half-closed, reset, ended by either side first, and all at once: translated without offload" {
	endings plain
}

slow_readers() {
	start_peers
	relay_by "$1"
	runs python '
for host in both:
    c = connect(host, 7005); c.sendall(blob); c.shutdown(socket.SHUT_WR); assert drain(c).decode() == summary
    c = socket.socket(family(host)); c.settimeout(20); c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.connect((host, 7002)); time.sleep(1.5); assert drain(c) == blob'
}

@test "TCP: slow readers on either side get all of it: spliced" {
	slow_readers splice
}

@test "TCP: slow readers on either side get all of it: translated" {
	slow_readers translate
}

@test "TCP: slow readers on either side get all of it: translated without offload" {
	slow_readers plain
}

port_again() {
	start_peers
	relay_by "$1"
	runs python '
for i in range(40):
    c = socket.socket(); c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); c.bind(("", 45678)); c.settimeout(5)
    c.connect(("203.0.113.7", 7004 if i % 2 else 7006))
    if i % 2: assert c.recv(1) == b""
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()'
}

@test "TCP: a port is used again at once, after a reset and while the last connection lingers at the relay: spliced" {
	port_again splice
}

@test "TCP: a port is used again at once, after a reset and while the last connection lingers at the relay: translated" {
	port_again translate
}

unreachable() {
	start_peers
	relay_by "$1"
	runs python '
def udp(host, port):
    u = socket.socket(family(host), socket.SOCK_DGRAM); u.settimeout(5); u.connect((host, port)); u.send(b"x"); u.recv(1)
for name in (lambda: connect("203.0.113.7", 1), lambda: connect("2001:db8::7", 1), lambda: udp("203.0.113.7", 1), lambda: udp("2001:db8::7", 1),
        lambda: connect("203.0.113.8", 7001), lambda: udp("203.0.113.8", 7001), lambda: connect("198.18.9.9", 7001)):
    print(error_of(name))
print(error_of(lambda: connect("2001:db8::8", 7001)), error_of(lambda: udp("2001:db8::8", 7001)))
def other(host, length): # a protocol that nobody carries, whole and in pieces
    r = socket.socket(family(host), socket.SOCK_RAW, 253); r.settimeout(5); r.connect((host, 0)); r.send(bytes(length)); r.recv(1)
print(*(error_of(lambda: other(host, length)) for host in both for length in (100, 5000)))'
	is $'ECONNREFUSED\nECONNREFUSED\nECONNREFUSED\nECONNREFUSED\nEHOSTUNREACH\nEHOSTUNREACH\nEHOSTUNREACH\nEACCES EACCES\nEHOSTUNREACH EHOSTUNREACH EACCES EACCES'
	for address in 203.0.113.7 2001:db8::7; do
		runs inside ping -n -c 2 -i 0.2 -W 5 -s 1000 "$address"
		has '2 received'
	done
	fails inside ping -n -c 1 -W 5 203.0.113.8
	has 'Packet filtered'
}

@test "what cannot be reached is said as it is, for TCP, UDP and ping: spliced" {
	unreachable splice
}

@test "what cannot be reached is said as it is, for TCP, UDP and ping: translated" {
	unreachable translate
}

# impaired DATAPATH PER-CENT: with packets lost, repeated and overtaken, both ways, every transfer is whole.
impaired() {
	start_peers
	relay "{\"allow\": [\"203.0.113.7\", \"2001:db8::7\"], \"datapath\": \"$1\",
		\"impairment\": {\"lose\": $2, \"repeat\": $2, \"delay\": $2}}"
	runs python '
for host in both:
    def up():
        c = connect(host, 7001); c.sendall(blob); c.shutdown(socket.SHUT_WR); assert drain(c).decode() == summary; done.append(1)
    def down():
        assert drain(connect(host, 7002)) == blob; done.append(1)
    def there_and_back():
        c = connect(host, 7006)
        for i in range(50): c.sendall(blob[:i * 40 + 1]); assert take(c, i * 40 + 1) == blob[:i * 40 + 1]
        done.append(1)
    done = []; threads = [threading.Thread(target=each) for each in (up, down, there_and_back)]
    for each in threads: each.start()
    for each in threads: each.join()
    assert len(done) == 3'
}

@test "TCP: packets lost, repeated and overtaken leave every transfer whole: translated" {
	impaired translate 3
}

@test "TCP: packets lost, repeated and overtaken leave every transfer whole: translated without offload" {
	impaired plain 1
}

@test "TCP: SYNs lost, repeated and overtaken are no more than delays: spliced" {
	impaired splice 10
}

@test "spliced connections are accepted only where the relay has connected" {
	start_peers
	relay_by splice
	runs python '
for host in ("198.18.0.3", "fd66:656e:6365::c612:3"): # where the accepting sockets are, for who could come by another way
    assert error_of(lambda: connect(host, 18322)) in ("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES")
assert error_of(lambda: connect("203.0.113.7", 18322)) == "ECONNREFUSED"
assert error_of(lambda: connect("127.0.0.1", 18322)) == "ECONNREFUSED"
bound = socket.socket(); bound.setsockopt(socket.SOL_SOCKET, 25, b"tun0\0"); bound.connect(("203.0.113.7", 7002)); assert drain(bound) == blob
options = socket.socket(); options.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x01\x01\x01\x00"); options.settimeout(20)
options.connect(("203.0.113.7", 7002)); assert drain(options) == blob'
}

@test "UDP goes out directly, one port for every peer, and comes back" {
	start_peers
	relay '{"allow": ["203.0.113.7", "203.0.113.8", "2001:db8::7"]}'
	start who /usr/bin/python3 -u -c '
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 7009)); print("serving")
while True: data, address = u.recvfrom(100); u.sendto(str(address[1]).encode(), address)'
	wait_until grep -q serving "$TEST_DIR/who.log"
	runs python '
for host in both:
    u = socket.socket(family(host), socket.SOCK_DGRAM); u.settimeout(5)
    for length in (0, 1, 1400): u.sendto(blob[:length], (host, 7001)); assert u.recv(65535) == blob[:length]
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5)
u.sendto(b"", ("203.0.113.7", 7009)); first = u.recv(10)
u.sendto(b"", ("203.0.113.8", 7009)); assert u.recv(10) == first'
}

@test "UDP in trains: what is sent as one or received as one arrives datagram by datagram, whole and in order" {
	start_peers
	start burst /usr/bin/python3 -u -c '
import socket
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(("::", 7010)); print("serving")
while True:
    data, address = u.recvfrom(100); size = int(data)
    u.setsockopt(17, 103, size); u.sendto(bytes(i // size for i in range(size * 40 + 7)), address); u.setsockopt(17, 103, 0)'
	wait_until grep -q serving "$TEST_DIR/burst.log"
	relay "$direct"
	runs python '
for host in both:
    u = socket.socket(family(host), socket.SOCK_DGRAM); u.settimeout(5); u.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for size in (1200, 100, 1400):
        u.sendto(b"%d" % size, (host, 7010)); got = [u.recv(65535) for i in range(41)]
        assert got == [bytes([i]) * size for i in range(40)] + [bytes([40]) * 7], [len(g) for g in got]
    for size, count in ((1200, 50), (500, 64), (1, 10)):
        whole = blob[1:size * count + 1]; u.setsockopt(17, 103, size); u.sendto(whole, (host, 7001)); u.setsockopt(17, 103, 0)
        assert [u.recv(65535) for i in range(count)] == [whole[i:i + size] for i in range(0, len(whole), size)]
    for i in range(60): u.sendto(b"%d" % i * 100, (host, 7001))
    assert [u.recv(65535) for i in range(60)] == [b"%d" % i * 100 for i in range(60)]'
}

@test "datagrams longer than the MTU are put together; pieces that overlap or never end cost only themselves" {
	start_peers
	relay_by translate # where TCP is spliced, the container's kernel puts them together before, by its own rules
	runs python '
for host in both:
    u = socket.socket(family(host), socket.SOCK_DGRAM); u.settimeout(5); u.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for length in (1473, 3000, 8192, 65400): u.sendto(blob[:length], (host, 7001)); assert u.recv(65535) == blob[:length], length
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def piece(number, offset, more, payload):
    raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), number, more << 13 | offset // 8, 64, 17, 0,
        socket.inet_aton("198.18.0.1"), socket.inet_aton("203.0.113.7")) + payload, ("203.0.113.7", 0))
head = struct.pack("!HHHH", 999, 7001, 8 + 1000, 0)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("198.18.0.1", 999)); u.settimeout(0.5)
piece(1, 504, 0, bytes(504)); piece(1, 0, 1, head + bytes(496)); assert len(u.recv(2000)) == 1000 # the wrong way round
piece(2, 0, 1, head + bytes(496)); piece(2, 496, 1, bytes(8)); piece(2, 504, 0, bytes(504))       # overlapping
piece(5, 1016, 1, bytes(496)); piece(5, 0, 1, head); piece(5, 504, 0, bytes(504))                    # a hole, and beyond the end
piece(3, 65528, 0, bytes(100)); piece(4, 0, 1, head + b"x")                                          # too far, not in eighths
for i in range(20000): piece(100 + i, 8, 1, bytes(800))                                              # never ends
try: u.recv(2000); print("answered")
except TimeoutError: pass
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.sendto(blob[:5000], ("203.0.113.7", 7001)); assert u.recv(65535) == blob[:5000]'
	is ''
	for address in 203.0.113.7 2001:db8::7; do
		runs inside ping -n -c 1 -W 5 -s 20000 "$address"
	done
	[ "$(awk '/^VmRSS/ { print $2 }' "/proc/$RELAY/status")" -lt 8192 ]
}

@test "the path's MTU is told to those who ask not to divide, and what may be divided is" {
	in_host sh -ec '
		ip link add near mtu 1300 type veth peer name far
		ip netns add "$1"
		ip link set far netns "$1" mtu 1300
		ip address add 192.0.2.1/24 dev near; ip link set near up
		ip -n "$1" address add 192.0.2.2/24 dev far; ip -n "$1" link set far up' sh "$ID"
	start far ip netns exec "$ID" /usr/bin/python3 -u -c '
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("192.0.2.2", 7001)); print("serving")
while True: data, address = u.recvfrom(65535); u.sendto(b"%d" % len(data), address)'
	wait_until grep -q serving "$TEST_DIR/far.log"
	relay '{"allow": ["192.0.2.2"]}'
	runs python '
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(2); u.connect(("192.0.2.2", 7001))
u.setsockopt(0, 10, 2) # IP_MTU_DISCOVER: never divide
u.send(bytes(1200)); print(u.recv(10)); u.send(bytes(1400)); time.sleep(0.3)
print(error_of(lambda: u.send(bytes(1400))), u.getsockopt(0, 14)); u.getsockopt(1, 4) # SO_ERROR: what was pending
u.send(bytes(1272)); print(u.recv(10))
u.setsockopt(0, 10, 0); u.send(bytes(1400)); print(u.recv(10))'
	in_host ip netns delete "$ID"
	is $'b\'1200\'\nEMSGSIZE 1300\nb\'1272\'\nb\'1400\''
}

# A SOCKS5 proxy that only associates: 127.0.0.1:1081.
start_associate() {
	cat >"$TEST_DIR/associate.py" <<-'PY'
		import selectors, socket, struct, threading
		def read(c, n): return c.recv(n, socket.MSG_WAITALL)
		def address(read):
		    kind = read(1)[0]
		    host = socket.inet_ntop(*((socket.AF_INET, read(4)) if kind == 1 else (socket.AF_INET6, read(16))))
		    return host, struct.unpack("!H", read(2))[0]
		def serve(c):
		    read(c, read(c, 2)[1]); c.sendall(b"\5\0"); assert read(c, 3) == b"\5\3\0"; address(lambda n: read(c, n))
		    inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); inner.bind(("127.0.0.1", 0))
		    outer = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
		    c.sendall(b"\5\0\0\1" + bytes(4) + struct.pack("!H", inner.getsockname()[1])); print("associated", flush=True)
		    selector = selectors.DefaultSelector()
		    for s in (c, inner, outer): selector.register(s, selectors.EVENT_READ)
		    while True:
		        for key, _ in selector.select():
		            if key.fileobj is c: return
		            data, peer = key.fileobj.recvfrom(65535)
		            if key.fileobj is inner:
		                client, rest = peer, memoryview(data)[3:]
		                def take(n):
		                    global left
		                    taken, left = left[:n], left[n:]; return taken
		                globals()["left"] = rest; host, port = address(take)
		                outer.sendto(bytes(left), ("::ffff:" + host if "." in host else host, port))
		            else:
		                host = peer[0]
		                head = b"\1" + socket.inet_aton(host[7:]) if host.startswith("::ffff:") else b"\4" + socket.inet_pton(socket.AF_INET6, host)
		                inner.sendto(bytes(3) + head + struct.pack("!H", peer[1]) + data, client)
		s = socket.create_server(("127.0.0.1", 1081)); print("serving", flush=True)
		while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
	PY
	start associate /usr/bin/python3 "$TEST_DIR/associate.py"
	wait_until grep -q serving "$TEST_DIR/associate.log"
}

@test "UDP through a proxy that has it, and refused at once by one that has not" {
	start_peers
	start_associate
	relay '{"proxies": ["socks5://127.0.0.1:1081"], "allow": ["203.0.113.7", "2001:db8::7"]}'
	runs python '
for host in both:
    u = socket.socket(family(host), socket.SOCK_DGRAM); u.settimeout(5)
    for i in range(20): u.sendto(blob[:i * 50], (host, 7001)); assert u.recv(65535) == blob[:i * 50]
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5)
for i in range(5): u.sendto(b"%d" % i * 500, ("203.0.113.7", 7001))
assert [u.recv(65535) for i in range(5)] == [b"%d" % i * 500 for i in range(5)] # all, although the association had to be made
u.setsockopt(17, 103, 1000) # a train, UDP_SEGMENT
u.sendto(blob[1:20101], ("203.0.113.7", 7001))
assert [u.recv(65535) for i in range(21)] == [blob[1:20101][i:i + 1000] for i in range(0, 20100, 1000)]'
	[ "$(grep -c associated "$TEST_DIR/associate.log")" = 3 ] # one for each port, not for each datagram
	stop "$CONTAINER"

	start_proxy 1080
	ID=$ID-2 BUNDLE=$BUNDLE-2
	relay '{"proxies": ["socks5://127.0.0.1:1080"], "allow": ["203.0.113.7"]}'
	runs python '
begin = time.monotonic()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect(("203.0.113.7", 7001)); u.send(b"x")
assert error_of(lambda: u.recv(1)) == "ECONNREFUSED" and time.monotonic() - begin < 2'
}

@test "a proxy that dies resets its connections; when it is back, new ones are made" {
	start_peers
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
	start_peers
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

@test "a proxy behind a Unix socket, also after it was made anew; the relay itself opens no path" {
	start_peers
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
	start_peers
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
assert timed() > 4; print([timed() < 1 for _ in range(5)])'
	is '[True, True, True, True, True]'
	start second microsocks -i 127.0.0.1 -p 1081
	wait_for_port 127.0.0.1 1081
	kill -KILL "$PROXY_PID"
	runs python 'assert drain(connect("203.0.113.7", 7002)) == blob'
}

# start_own_proxy MODE…: a SOCKS5 proxy on port 1082 that has its ways: greets=SECONDS is how long it takes to answer a greeting, idles=SECONDS how long
# it waits for the request, stale=SECONDS after which it hangs up on one instead of serving it; one: a connection at a time; password: "p" of "u".
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
		    else: c.sendall(b"\5\0")
		    began = time.monotonic()
		    if not select.select([c], [], [], float(modes.get("idles", 100)))[0]: return log("idle")
		    request = read(c, 4)
		    if not request: return log("unused")
		    if time.monotonic() - began > float(modes.get("stale", 100)): return log("stale")
		    try: up = socket.create_connection(address(c, request[3]), 10)
		    except OSError: return c.sendall(b"\5\5\0\1" + bytes(6))
		    log("serves"); c.sendall(b"\5\0\0\1" + bytes(6))
		    threading.Thread(target=pump, args=(c, up), daemon=True).start(); pump(up, c)
		def run(c):
		    with c: serve(c)
		s = socket.create_server(("127.0.0.1", 1082), backlog=64); log("serving")
		while True:
		    c = s.accept()[0]
		    if "one" in modes: run(c)
		    else: threading.Thread(target=run, args=(c,), daemon=True).start()
	PY
	start own /usr/bin/python3 "$TEST_DIR/own.py" "$@"
	OWN_PROXY=$STARTED
	wait_until grep -q serving "$TEST_DIR/own.log"
}

through_own='{"proxies": ["socks5://127.0.0.1:1082"]}'

own_proxy_is_idle() {
	[ -z "$(in_host ss -tnH state established dport = :1082)" ]
}

@test "who connects again through a distant proxy waits for the answer to the request only; nothing is held for who connects no more" {
	start_peers
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
print(sum(t > 0.35 for t in times) <= 3, min(times) < 0.2, times)'
	has 'True True'
	fails own_proxy_is_idle
	PATIENCE=25 wait_until own_proxy_is_idle
	runs python 'assert drain(connect("203.0.113.7", 7002)) == blob'
}

@test "who asks for a name finds a connection to a distant proxy on its way" {
	start_peers
	start_own_proxy greets=0.4
	start resolver dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=5353 --user=root --pid-file= \
		--listen-address=127.0.0.1 --bind-interfaces --host-record=www.example.com,203.0.113.7
	wait_for_port 127.0.0.1 5353
	relay '{"proxies": ["socks5://127.0.0.1:1082"], "dns": "127.0.0.1:5353"}'
	runs inside dig +tries=1 +time=5 +short @192.0.2.53 www.example.com
	is 203.0.113.7
	runs python '
time.sleep(0.6); begin = time.monotonic(); assert drain(connect("203.0.113.7", 7002)) == blob; print(time.monotonic() - begin < 0.35)'
	is True
	[ "$(grep -c connected "$TEST_DIR/own.log")" = 1 ]
	PATIENCE=25 wait_until own_proxy_is_idle
}

@test "connections kept ready that end, before or when they are used, cost nobody a connection; a new proxy is used at once" {
	start_peers
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
		runs python 'begin = time.monotonic(); assert drain(connect("203.0.113.7", 7002)) == blob; print(time.monotonic() - begin < 1)'
		is True
	done
}

@test "a proxy that serves one connection at a time serves them all" {
	start_peers
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
	start_peers
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
	start_peers
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
begin = time.monotonic(); assert drain(connect("203.0.113.7", 7002)) == blob; print(first < 15, time.monotonic() - begin < 1)'
	is 'True True'
}

@test "without a proxy the silent address of a name delays the next by a moment only" {
	start_peers
	in_host sh -ec '
		ip link add silent type veth peer name silent-peer
		ip address add 2001:db8:1::1/64 dev silent nodad
		ip link set silent up
		ip link set silent-peer up
		ip neighbour add 2001:db8:1::99 lladdr 02:00:00:00:00:01 dev silent'
	start resolver dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=5353 --user=root --pid-file= \
		--listen-address=127.0.0.1 --bind-interfaces --host-record=www.example.com,203.0.113.7,2001:db8:1::99
	wait_for_port 127.0.0.1 5353
	relay '{"allow": ["www.example.com"], "dns": "127.0.0.1:5353"}'
	runs inside dig +tries=1 +time=5 +short @192.0.2.53 www.example.com AAAA
	runs python "
begin = time.monotonic(); c = connect('$output', 7002); print(time.monotonic() - begin < 1, drain(c) == blob)"
	is 'True True'
}

@test "inbound TCP and UDP reach servers on 127.0.0.1, on ::1 and on every address; with none there, a reset" {
	relay '{"inbound": ["8080:7001", "8081:7002/udp"]}'
	local outside='
import socket
c = socket.create_connection(("127.0.0.1", 8080), 10); c.sendall(b"z" * 1000000); c.shutdown(socket.SHUT_WR)
print(b"".join(iter(lambda: c.recv(100), b"")).decode())'
	local address
	for address in 127.0.0.1 ::1 0.0.0.0; do
		start "inner-$address" nsenter --target "$CONTAINER" --net -- /usr/bin/python3 -u -c '
import socket, sys
s = socket.create_server((sys.argv[1], 7001), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("serving")
while True:
    c = s.accept()[0]; n = sum(len(data) for data in iter(lambda: c.recv(65536), b"")); c.sendall(b"%d" % n); c.close()' "$address"
		wait_until grep -q serving "$TEST_DIR/inner-$address.log"
		runs in_host /usr/bin/python3 -c "$outside"
		is 1000000
		stop "$STARTED"
	done
	fails in_host /usr/bin/python3 -c "$outside"
	has 'ConnectionResetError'
	start inner-udp nsenter --target "$CONTAINER" --net -- /usr/bin/python3 -u -c '
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 7002)); print("serving")
while True: data, address = u.recvfrom(65535); u.sendto(data[::-1], address)'
	wait_until grep -q serving "$TEST_DIR/inner-udp.log"
	runs in_host /usr/bin/python3 -c '
import socket
for i in range(3):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5)
    for text in (b"abc", b"", b"x" * 1400): u.sendto(text, ("127.0.0.1", 8081)); assert u.recv(65535) == text[::-1]'
}

@test "malformed packets, fragments, strange protocols and bogus addresses harm nobody" {
	start_peers
	relay "$direct"
	runs python '
import random
random.seed(1)
raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)); raw.bind(("tun0", 0x0800))
raw6 = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86dd)); raw6.bind(("tun0", 0x86dd))
def ipv4(protocol, payload, destination="203.0.113.7", fragment=0):
    head = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0, socket.inet_aton("198.18.0.1"), socket.inet_aton(destination)))
    total = sum(struct.unpack("!10H", head)); total = (total & 65535) + (total >> 16); struct.pack_into("!H", head, 10, ~total & 65535)
    return bytes(head) + payload
syn = struct.pack("!HHIIBBHHH", 4000, 7001, 1, 0, 0x50, 2, 1000, 0, 0)
for i in range(3000):
    packet = bytearray(ipv4(random.choice((1, 6, 17, 47, 58)), random.choice((syn, syn[:random.randrange(20)], os.urandom(40)))))
    for _ in range(random.randrange(6)): packet[random.randrange(len(packet))] = random.randrange(256)
    for s, payload in ((raw, bytes(packet)), (raw6, b"\x60" + os.urandom(random.randrange(80)))):
        try: s.send(payload)
        except OSError: pass
for destination in ("127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "198.18.0.1"): raw.send(ipv4(6, syn, destination))
raw.send(ipv4(17, os.urandom(1000), fragment=0x2000)); raw.send(ipv4(17, os.urandom(1000), fragment=100))
assert drain(connect("203.0.113.7", 7002)) == blob'
	[ -d "/proc/$RELAY" ]
}

flood() {
	start_peers
	relay_by "$1"
	runs python '
c = connect("203.0.113.7", 7006)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data)); total = (total & 65535) + (total >> 16); return ~(total + (total >> 16)) & 65535
destination = socket.inet_aton("203.0.113.7")
for i in range(30000):
    source = socket.inet_aton("198.18.%d.%d" % (i >> 8 & 127, i & 255))
    head = struct.pack("!HHIIBBHHH", 1024 + i % 60000, 7006, i, 0, 0x50, 2, 1000, 0, 0)
    sum_ = checksum(source + destination + struct.pack("!HH", 6, 20) + head)
    raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, source, destination) + head[:16] + struct.pack("!H", sum_) + head[18:], ("203.0.113.7", 0))
    if i % 1000 == 0: c.sendall(b"still here"); assert c.recv(100) == b"still here"'
	local resident
	resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$RELAY/status")
	[ "$resident" -lt 65536 ] || { echo "the relay has $resident KiB" >&2 && return 1; }
}

@test "a flood of SYNs and of flows is bounded in memory, and the others go on: spliced" {
	flood splice
}

@test "a flood of SYNs and of flows is bounded in memory, and the others go on: translated" {
	flood translate
}

@test "a flood of names and of UDP flows is bounded in memory; an address in use never stands for another name" {
	start_peers
	start socks5h /usr/bin/python3 -u -c '
import socket, struct, threading
def read(c, n): return c.recv(n, socket.MSG_WAITALL)
def serve(c): # answers each connection with the name that it was asked for
    try:
        read(c, read(c, 2)[1]); c.sendall(b"\5\0"); read(c, 4); name = read(c, read(c, 1)[0]); read(c, 2); c.sendall(b"\5\0\0\1" + bytes(6))
        while c.recv(100): c.sendall(name)
    except (OSError, IndexError): pass
s = socket.create_server(("127.0.0.1", 1082)); print("serving")
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()'
	wait_until grep -q serving "$TEST_DIR/socks5h.log"
	relay '{"proxies": ["socks5h://127.0.0.1:1082"]}'
	runs python '
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect(("192.0.2.53", 53))
def ask(*names):
    for name in names: u.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0\0\1\0\1")
    got = [socket.inet_ntoa(u.recv(512)[-4:]) for name in names]
    return got if len(got) > 1 else got[0]
address = ask("held.example.com"); held = connect(address, 80)
gone = ask("gone.example.com")
for i in range(0, 40000, 50): assert not {address, gone} & set(ask(*("n%d.example.com" % j for j in range(i, i + 50))))
held.sendall(b"x"); assert held.recv(100) == b"held.example.com"
print(error_of(lambda: connect(gone, 80)), ask("gone.example.com") != gone, ask("held.example.com") == address)
c = connect(ask("n39999.example.com"), 80); c.sendall(b"x"); assert c.recv(100) == b"n39999.example.com"'
	is 'EHOSTUNREACH True True'
	local resident
	resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$RELAY/status")
	[ "$resident" -lt 16384 ] || { echo "the relay has $resident KiB" >&2 && return 1; }
	stop "$CONTAINER"

	ID=$ID-2 BUNDLE=$BUNDLE-2
	relay "$direct"
	runs python '
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW); destination = socket.inet_aton("203.0.113.7")
for i in range(30000):
    raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 29, 1, 0, 64, 17, 0, socket.inet_aton("198.18.%d.%d" % (i >> 8 & 127, i & 255)), destination) +
        struct.pack("!HHHH", 1024 + i % 60000, 9, 9, 0) + b"x", ("203.0.113.7", 0))
assert drain(connect("203.0.113.7", 7002)) == blob'
	resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$RELAY/status")
	[ "$resident" -lt 65536 ] || { echo "the relay has $resident KiB" >&2 && return 1; }
}

@test "a UDP flow ends after 30 seconds in one direction, after five minutes once it was answered" {
	start_peers
	fast_clock 100
	relay "{\"allow\": [\"203.0.113.7\"], \"log\": \"$TEST_DIR/net.log\"}"
	runs python '
a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for i in range(2))
a.sendto(b"x", ("203.0.113.7", 7001)); a.settimeout(5); a.recv(1)
b.sendto(b"x", ("203.0.113.7", 7777))' # nobody is there: that report comes first, and does not end the flow
	wait_until grep -q 7001 "$TEST_DIR/net.log"
	runs jq -r '"\(.port) \(.seconds / 30 | floor)"' "$TEST_DIR/net.log"
	is $'7777 1\n7001 10'
}
