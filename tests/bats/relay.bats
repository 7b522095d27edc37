# What the relay carries, and how truthfully: TCP with all its endings, UDP, ping, inbound ports, and what a hostile program sends
# it. How tun0 is made and taken away is network.bats' subject, the front door front_network.bats'.
# bats file_tags=root
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

unpaced() {
	start_peers
	relay_by "$1"
	runs python '
import subprocess
kept = [connect(host, 7006) for host in both]
for c in kept: assert c.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).strip(b"\0") == b"reno"
lines = subprocess.run(["ss", "-tinH"], capture_output=True, text=True, check=True).stdout.splitlines()[1::2]
assert lines and all(line.split()[0] == "reno" for line in lines), lines'
}

@test "TCP on its way to the relay is not paced, whatever the host is used to: spliced" {
	unpaced splice
}

@test "TCP on its way to the relay is not paced, whatever the host is used to: translated" {
	unpaced translate
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
    if i % 4 < 3: c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)) # else an orderly end
    c.close()'
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

	# socks5:// gets addresses, of which the rules were asked.
	start resolver dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=5353 --user=root --pid-file= --listen-address=127.0.0.1 \
		--bind-interfaces --host-record=www.example.com,203.0.113.7 --host-record=private.example.com,169.254.169.254
	wait_for_port 127.0.0.1 5353
	ID=$ID-1 BUNDLE=$BUNDLE-1
	relay '{"proxies": ["socks5://127.0.0.1:1081"], "dns": "127.0.0.1:5353", "allow": ["*.example.com"]}'
	for name in www private; do
		runs inside dig +tries=1 +time=5 +short @192.0.2.53 "$name.example.com"
		runs python '
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect((sys.argv[1], 7001)); u.send(b"x"); print(error_of(lambda: print(u.recv(1))))' "$output"
		[ $name = www ] && is $'b\'x\'\nNone' || is EHOSTUNREACH # as "prohibited" is told by the kernel
	done
	stop "$CONTAINER"

	start_proxy 1080
	ID=$ID-2 BUNDLE=$BUNDLE-2
	relay '{"proxies": ["socks5://127.0.0.1:1080"], "allow": ["203.0.113.7"]}'
	runs python '
begin = time.monotonic()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect(("203.0.113.7", 7001)); u.send(b"x")
assert error_of(lambda: u.recv(1)) == "ECONNREFUSED" and time.monotonic() - begin < 2'
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
	fails in_host /usr/bin/python3 -c 'import socket; socket.create_connection(("127.0.0.1", 8080), 10).recv(1)'
	has 'ConnectionResetError'
	for address in 127.0.0.1 ::1; do
		start "udp-$address" nsenter --target "$CONTAINER" --net -- /usr/bin/python3 -u -c '
import socket, sys
u = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM); u.bind((sys.argv[1], 7002)); print("serving")
while True: data, address = u.recvfrom(65535); u.sendto(data[::-1], address)' "$address"
		wait_until grep -q serving "$TEST_DIR/udp-$address.log"
		runs in_host /usr/bin/python3 -c '
import socket
for i in range(3):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5)
    for text in (b"abc", b"", b"x" * 1400): u.sendto(text, ("127.0.0.1", 8081)); assert u.recv(65535) == text[::-1]'
		stop "$STARTED"
	done
}

@test "inbound UDP from addresses that are never answered does not close the port to others" {
	relay '{"inbound": ["8081:7002/udp"]}'
	start inner nsenter --target "$CONTAINER" --net -- /usr/bin/python3 -u -c '
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 7002)); print("serving")
while True:
    data, address = u.recvfrom(65535)
    if data != b"spoofed": u.sendto(data, address)'
	wait_until grep -q serving "$TEST_DIR/inner.log"
	runs in_host /usr/bin/python3 -c '
import socket, time
def ask(u): u.sendto(b"x", ("127.0.0.1", 8081)); assert u.recv(1) == b"x"
def client(): u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); return u
first = client(); ask(first)
for i in range(1200):
    client().sendto(b"spoofed", ("127.0.0.1", 8081)); time.sleep(0.001)
ask(client()); ask(first)'
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
assert drain(connect("203.0.113.7", 7002)) == blob
# A ping is answered, but not one of which two pieces, put together, are a piece again.
own, host = (socket.inet_pton(socket.AF_INET6, a) for a in ("fd66:656e:6365::c612:1", "2001:db8::7"))
answers = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86dd)); answers.bind(("tun0", 0x86dd))
def ipv6(following, payload): return struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + own + host + payload
def piece(following, offset, more, payload): return struct.pack("!BBHI", following, 0, offset | more, 7) + payload
def ping(length):
    total = sum(struct.unpack("!16H", own + host)) + length + 58 + 0x8000
    return struct.pack("!BBH", 128, 0, 65535 - total % 65535) + bytes(length - 4)
def answered(seconds, *packets):
    answers.settimeout(seconds)
    for p in packets: raw6.send(p)
    try:
        while answers.recv(2000)[8:24] != host: pass
        return True
    except TimeoutError: return False
assert answered(10, ipv6(58, ping(8))) and answered(10, ipv6(44, piece(58, 0, 1, ping(16)[:8])), ipv6(44, piece(58, 8, 0, bytes(8))))
assert not answered(0.5, ipv6(44, piece(44, 0, 1, piece(58, 0, 1, b""))), ipv6(44, piece(44, 8, 0, ping(4))))
assert drain(connect("203.0.113.7", 7002)) == blob'
	[ -d "/proc/$RELAY" ]
}

# Six thousand ports, and a server each of whose connections the client ends first.
many_connections() {
	start_peers
	relay_by "$1"
	inside sh -c 'echo 30000 35999 >/proc/sys/net/ipv4/ip_local_port_range'
	runs python '
for i in range(6500): connect("203.0.113.7", 7006).close()'
}

@test "more connections to one server than there are ports, one after the other: spliced" {
	many_connections splice
}

@test "more connections to one server than there are ports, one after the other: translated" {
	many_connections translate
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

# With 400 descriptors a quarter of those that are left over is not TCP's, and a spliced connection needs two.
full() {
	RELAY_ENVIRONMENT=(prlimit --nofile=400:400)
	start_peers
	relay "{\"allow\": [\"203.0.113.7\"], \"log\": \"$TEST_DIR/net.log\", \"datapath\": \"$1\"}"
	runs python '
def try_one():
    c = socket.socket(); c.settimeout(1.5); c.connect(("203.0.113.7", 7006)); return c
held = []
try:
    while len(held) < 200: held.append(try_one())
except TimeoutError: print(len(held), "at once")
for c in held[:10]: c.close()
for c in held[10:]: c.sendall(b"still here"); assert take(c, 10) == b"still here"
time.sleep(0.2); more = try_one(); more.sendall(b"again"); print(take(more, 5))
u = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for i in range(60)]
for s in u: s.connect(("203.0.113.7", 7001)); s.send(b"x")
time.sleep(1); print(len(select.select(u, [], [], 0)[0]), "by UDP")'
	is "$2 at once"$'\nb\'again\'\n18 by UDP'
	runs jq -r 'select(.event == "full") | .rule' "$TEST_DIR/net.log"
	[ "${#lines[@]}" -le "$TIME_FACTOR" ] # it is said at intervals
	output=$(sort -u <<<"$output")
	is 'RLIMIT_NOFILE allows no more at once'
}

@test "as many connections as the limit of open files allows; the next wait for room, and the log says so: spliced" {
	full splice 54
}

@test "as many connections as the limit of open files allows; the next wait for room, and the log says so: translated" {
	full translate 108
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

@test "datagrams that wait for a silent proxy are bounded in memory" {
	start silent /usr/bin/python3 -u -c '
import socket
s = socket.create_server(("127.0.0.1", 1081)); print("serving"); held = []
while True: held.append(s.accept())'
	wait_until grep -q serving "$TEST_DIR/silent.log"
	relay '{"proxies": ["socks5://127.0.0.1:1081"]}'
	runs python '
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(2000): u.sendto(bytes(60000), ("203.0.113.7", 1000 + i))'
	local resident
	resident=$(awk '/^VmHWM/ { print $2 }' "/proc/$RELAY/status")
	[ "$resident" -lt 16384 ] || { echo "the relay has $resident KiB" >&2 && return 1; }
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
