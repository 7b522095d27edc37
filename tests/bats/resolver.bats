# What the relay makes of resolvers that are slow, silent or hostile. How names become addresses is network.bats' subject.
# bats file_tags=root
load helpers
load relay

setup() {
	common_setup
	host_namespace
}

# ask NAME… by TCP: the answer's code and last bytes, and how many seconds it took.
questions='
def labels(name): return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
def query(name, flags=b"\1\0"): return b"\0\7" + flags + b"\0\1\0\0\0\0\0\0" + labels(name) + b"\0\1\0\1"
def ask(name):
    c = connect("192.0.2.53", 53); begun = time.monotonic()
    c.sendall(struct.pack("!H", len(query(name))) + query(name)); answer = take(c, struct.unpack("!H", take(c, 2))[0])
    return answer[3] & 15, socket.inet_ntoa(answer[-4:]), round(time.monotonic() - begun)
'

# A resolver that asks for TCP, and whose first connection is dead.
start_deaf_resolver() {
	start resolver /usr/bin/python3 -u -c '
import socket, struct, threading
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 5353)); t = socket.create_server(("127.0.0.1", 5353)); print("serving")
def question(q): return q[12:q.index(b"\0", 12) + 5]
def udp():
    while True:
        q, peer = u.recvfrom(4096); u.sendto(q[:2] + b"\x83\x80\0\1" + bytes(6) + question(q), peer)
def tcp(c):
    while length := c.recv(2, socket.MSG_WAITALL):
        q = c.recv(struct.unpack("!H", length)[0], socket.MSG_WAITALL)
        r = q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question(q) + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\xcb\0\x71\7"; c.sendall(struct.pack("!H", len(r)) + r)
threading.Thread(target=udp, daemon=True).start(); dead = t.accept()
while True: threading.Thread(target=tcp, args=(t.accept()[0],), daemon=True).start()'
	wait_until grep -q serving "$TEST_DIR/resolver.log"
}

@test "a resolver's connection that is dead is given up for another, before the client gives up" {
	start_deaf_resolver
	relay '{"defaultAction": "allow", "dns": "127.0.0.1:5353"}'
	runs python "$questions"'first, second = ask("a.example.com"), ask("b.example.com"); print(first[:2], second[:2])
assert 4 <= first[2] < 7 and second[2] < 3, (first, second)'
	is "(0, '203.0.113.7') (0, '203.0.113.7')"
}

@test "questions that are asked and given up again do not pile up for a resolver that takes none" {
	start_deaf_resolver
	relay '{"defaultAction": "allow", "dns": "127.0.0.1:5353"}'
	runs python "$questions"'
padded = b"\0\0\x29\4\0\0\0\0\0" + struct.pack("!HHH", 904, 12, 900) + bytes(900)
def burst(i):
    c = connect("192.0.2.53", 53)
    for j in range(32):
        q = query("n%d-%d.example.com" % (i, j)); q = q[:11] + b"\1" + q[12:] + padded; c.send(struct.pack("!H", len(q)) + q)
    return c
for i in range(40):
    streams = [burst(i * 16 + j) for j in range(16)]; time.sleep(0.03)
    for c in streams: c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()'
	local resident
	resident=$(awk '/^VmHWM/ { print $2 }' "/proc/$RELAY/status")
	[ "$resident" -lt 8192 ] || { echo "the relay has $resident KiB" >&2 && return 1; }
}

# A proxy that cannot reach 1.1.1.1, and does not say so; and answers itself for other resolvers.
start_silent_proxy() {
	start silent /usr/bin/python3 -u -c '
import socket, struct, threading
def read(c, n): return c.recv(n, socket.MSG_WAITALL)
def serve(c):
    read(c, read(c, 2)[1]); c.sendall(b"\5\0"); request = read(c, 10); print(socket.inet_ntoa(request[4:8]))
    if request[4:8] == b"\1\1\1\1": c.recv(1); return
    c.sendall(b"\5\0\0\1" + bytes(6))
    while length := read(c, 2):
        q = read(c, struct.unpack("!H", length)[0])
        r = q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + q[12:q.index(b"\0", 12) + 5] + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\xcb\0\x71\7"; c.sendall(struct.pack("!H", len(r)) + r)
s = socket.create_server(("127.0.0.1", 1080)); print("serving")
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()'
	wait_until grep -q serving "$TEST_DIR/silent.log"
}

@test "of the public resolvers the next is asked when a proxy keeps silent about one" {
	start_silent_proxy
	fast_clock 4
	relay '{"proxies": ["socks5://127.0.0.1:1080"]}'
	runs python "$questions"'print(ask("a.example.com")[0], ask("a.example.com")[:2])'
	is "2 (0, '203.0.113.7')"
}

@test "an answer without recursion is not given to who asks for it" {
	start resolver /usr/bin/python3 -u -c '
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 5353)); print("serving")
while True:
    q, peer = u.recvfrom(4096); question = q[12:q.index(b"\0", 12) + 5]
    if q[2] & 1: u.sendto(q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + b"\xc0\x0c\0\1\0\1\0\0\1\0\0\4\xcb\0\x71\7", peer)
    else: u.sendto(q[:2] + b"\x80\x80\0\1\0\0\0\1\0\0" + question + b"\xc0\x0c\0\2\0\1\0\0\1\0\0\2\xc0\x0c", peer) # a referral'
	wait_until grep -q serving "$TEST_DIR/resolver.log"
	relay '{"defaultAction": "allow", "dns": "127.0.0.1:5353"}'
	runs python "$questions"'
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect(("192.0.2.53", 53))
for flags in (b"\0\0", b"\1\0", b"\0\0"): u.send(query("a.example.com", flags)); print(u.recv(512)[7])'
	is $'0\n1\n0'
}

@test "a name's stand-in is given also for an answer that is too long to be kept, and what options a client sent is never another's answer" {
	start resolver /usr/bin/python3 -u -c '
import socket, struct, threading
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 5353)); t = socket.create_server(("127.0.0.1", 5353)); print("serving")
def answer(q, count):
    end = q.index(b"\0", 12) + 5; a = b"\xc0\x0c\0\1\0\1\0\0\1\0\0\4\xcb\0\x71\7"
    return q[:2] + (b"\x81" if count else b"\x83") + b"\x80" + struct.pack("!HHHH", 1, count, 0, q[11]) + q[12:end] + a * count + q[end:]
def udp():
    while True:
        q, peer = u.recvfrom(4096); u.sendto(answer(q, 0 if b"big" in q else 1), peer)
threading.Thread(target=udp, daemon=True).start()
while True:
    c = t.accept()[0]
    while length := c.recv(2, socket.MSG_WAITALL): r = answer(c.recv(struct.unpack("!H", length)[0], socket.MSG_WAITALL), 300); c.sendall(struct.pack("!H", len(r)) + r)'
	wait_until grep -q serving "$TEST_DIR/resolver.log"
	relay '{"allow": ["big.example.com", "203.0.113.7"], "dns": "127.0.0.1:5353"}'
	runs python "$questions"'print(ask("big.example.com")[1][:7])'
	is 198.18.
	stop "$CONTAINER"
	ID=$ID-x BUNDLE=$BUNDLE-x
	relay '{"defaultAction": "allow", "dns": "127.0.0.1:5353"}'
	runs python "$questions"'
for cookie in b"cookie-1", b"cookie-2":
    c = connect("192.0.2.53", 53); q = query("www.example.com"); q = q[:11] + b"\1" + q[12:] + b"\0\0\x29\4\0\0\0\0\0" + struct.pack("!HHH", 12, 10, 8) + cookie
    c.sendall(struct.pack("!H", len(q)) + q); print(take(c, struct.unpack("!H", take(c, 2))[0])[-8:].decode())'
	is $'cookie-1\ncookie-2'
}

@test "long answers that nobody reads are bounded in memory" {
	start resolver /usr/bin/python3 -u -c '
import socket, struct, threading
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 5353)); t = socket.create_server(("127.0.0.1", 5353)); print("serving")
def answer(q, truncated): return q[:2] + (b"\x83" if truncated else b"\x81") + b"\x80\0\1" + bytes(6) + q[12:q.index(b"\0", 12) + 5] + bytes(0 if truncated else 60000)
def udp():
    while True: q, peer = u.recvfrom(4096); u.sendto(answer(q, True), peer)
def tcp(c):
    while length := c.recv(2, socket.MSG_WAITALL): r = answer(c.recv(struct.unpack("!H", length)[0], socket.MSG_WAITALL), False); c.sendall(struct.pack("!H", len(r)) + r)
threading.Thread(target=udp, daemon=True).start()
while True: threading.Thread(target=tcp, args=(t.accept()[0],), daemon=True).start()'
	wait_until grep -q serving "$TEST_DIR/resolver.log"
	relay '{"defaultAction": "allow", "dns": "127.0.0.1:5353"}'
	runs python "$questions"'
held = []
for i in range(60):
    c = connect("192.0.2.53", 53); c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096); held.append(c)
    for j in range(32): q = query("n%d-%d.example.com" % (i, j)); c.send(struct.pack("!H", len(q)) + q)
    time.sleep(0.1)
time.sleep(1); print(ask("last.example.com")[0])'
	is 0
	local resident
	resident=$(awk '/^VmHWM/ { print $2 }' "/proc/$RELAY/status")
	[ "$resident" -lt 32768 ] || { echo "the relay has $resident KiB" >&2 && return 1; }
}
