# The check of what a connection to a name is for (network.checkServerName): TLS's server_name and HTTP's Host, however they are
# written, on each way that TCP can go.
# bats file_tags=user
load helpers

setup() {
	common_setup
	host_namespace
	start_dns 5353 www.example.com 203.0.113.7 other.example.com 203.0.113.7 web.example.com 203.0.113.8
	start_server
	write_probe
}

# Answers whatever it is sent, on every port that the probe tries, and says what that began with.
start_server() {
	cat >"$TEST_DIR/server.py" <<-'PY'
		import os, socket, threading
		def serve(c, port):
		    try:
		        data = c.recv(65536)
		        if data: os.write(1, b"got %d %r\n" % (port, data)); c.sendall(b"answer") # in one piece, unlike print()
		        while c.recv(65536): c.sendall(b"answer")
		    except OSError: pass
		    c.close()
		def listen(port):
		    s = socket.create_server(("203.0.113.7", port), backlog=64)
		    while True: threading.Thread(target=serve, args=(s.accept()[0], port), daemon=True).start()
		for port in 22, 80, 443, 8080: threading.Thread(target=listen, args=(port,), daemon=True).start()
		def answer(port):
		    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("203.0.113.7", port))
		    while True: data, address = u.recvfrom(100); u.sendto(data, address)
		threading.Thread(target=answer, args=(8443,), daemon=True).start()
		print("serving", flush=True); answer(443)
	PY
	start server /usr/bin/python3 "$TEST_DIR/server.py"
	wait_for_port 203.0.113.7 8080
	wait_until grep -q serving "$TEST_DIR/server.log"
}

# What it sends as "secret" is for another server, and must never arrive.
write_probe() {
	cat >"$TEST_DIR/probe.py" <<-'PY'
		import os, socket, ssl, struct, sys, threading, time
		def connect(port, name="www.example.com"):
		    if "tun" in sys.argv: return socket.create_connection((name, port), 15)
		    c = socket.create_connection(("127.0.0.1", 18321), 15); c.sendall(b"\5\1\0"); c.recv(2)
		    c.sendall(b"\5\1\0\3" + bytes([len(name)]) + name.encode() + struct.pack("!H", port)); assert c.recv(10)[1] == 0; return c
		def hello(name):
		    context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
		    out = ssl.MemoryBIO()
		    try: context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
		    except ssl.SSLWantReadError: return out.read()
		def records(data, size): # the same message, in more records
		    return b"".join(data[:3] + struct.pack("!H", len(data[i:i + size])) + data[i:i + size] for i in range(5, len(data), size))
		def long_hello(name, length): # with a session ticket of that length
		    data = hello(name); at = 5 + 4 + 2 + 32; at += 1 + data[at]; at += 2 + struct.unpack_from("!H", data, at)[0]; at += 1 + data[at]
		    ticket = struct.pack("!HH", 35, length) + bytes(length); extensions = ticket + data[at + 2:]
		    body = data[9:at] + struct.pack("!H", len(extensions)) + extensions; message = b"\1" + struct.pack("!I", len(body))[1:] + body
		    return records(data[:5] + message, 16000)
		def get(host, target="/", more=""): return f"GET {target} HTTP/1.1\r\nUser-Agent: secret\r\nHost: {host}\r\n{more}\r\n".encode()
		www, evil = "www.example.com", "evil.example.org"
		pieces = lambda data, size: [data[i:i + size] for i in range(0, len(data), size)]
		cases = {
		    "the name": (443, [hello(www)]), "in capitals": (443, [hello("WWW.Example.COM")]), "on another port": (8080, [hello(www)]),
		    "by segments": (443, pieces(hello(www), 40)), "by records": (443, [records(hello(www), 50)]), "by both": (443, pieces(records(hello(www), 90), 130)),
		    "long": (443, [long_hello(www, 9000)]), "a host": (80, [get(www)]), "a port": (80, [get("www.example.com:80")]), "a dot": (80, [get("WWW.example.com.")]),
		    "a target": (80, [get(www, "http://www.example.com/x")]), "after a line": (80, [b"\r\n" + get(www)]), "host by bytes": (80, pieces(get(www), 9)),
		    "ssh": (22, [b"SSH-2.0-x y\r\n"]), "another protocol": (8080, [b"\0\1\2\3"]), "a word": (8080, [b"HELO me\r\n"]), "git": (8080, [b"0033git-upload-pack /x\0host=x\0"]),
		}
		secret = {
		    "another name": (443, [hello(evil)]), "another allowed name": (443, [hello("other.example.com")]), "no name": (443, [hello(None)]),
		    "no name elsewhere": (8080, [hello(None)]), "another, by segments": (443, pieces(hello(evil), 40)), "another, by records": (22, [records(hello(evil), 50)]),
		    "too long": (443, [long_hello(www, 17000)]), "malformed": (443, [hello(www)[:100] + hello(evil)[100:]]), "an alert first": (8080, [b"\x15\3\1\0\2\1\0" + hello(evil)]),
		    "SSL 2": (8080, [bytes.fromhex("802e0103010015000000100100") + bytes(40)]), "two names": (443, [hello(www).replace(b"\0\0\x0fwww.example.com", b"\0\0\6www.ex\0\0\6le.com")]),
		    "another host": (80, [get(evil)]), "part of it": (80, [get("example.com")]), "two hosts": (80, [get(www, "/", "Host: " + evil + "\r\n")]), "no host": (80, [b"GET / HTTP/1.0\r\n\r\n"]),
		    "another target": (80, [get(www, "http://evil.example.org/")]), "CONNECT": (8080, [b"CONNECT evil.example.org:443 HTTP/1.1\r\nHost: www.example.com\r\n\r\n"]),
		    "a folded line": (80, [get(www, "/", " x\r\n")]), "a space": (80, [b"GET / HTTP/1.1\r\nHost : evil.example.org\r\nHost: www.example.com\r\n\r\n"]),
		    "host elsewhere": (8080, pieces(get(evil), 30)), "by bare lines": (8080, [get(evil).replace(b"\r", b"")]), "HTTP/2": (80, [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]),
		    "neither": (443, [b"SSH-2.0-x y\r\n"]), "neither on 80": (80, [b"\0\1\2\3"]),
		}
		def outcome(port, parts):
		    try:
		        with connect(port) as c:
		            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		            for part in parts:
		                c.sendall(part)
		                if len(parts) > 1: time.sleep(0.01)
		            return "passes" if c.recv(100)[:6] == b"answer" else "ends"
		    except (ConnectionResetError, BrokenPipeError): return "is reset"
		    except Exception as error: return repr(error)
		def check(name, case, wanted):
		    found = outcome(*case)
		    if found != wanted: print(name + ":", found, flush=True)
		def unfinished(port, data): # never shows its name; ends by itself, or after ten seconds
		    begin = time.monotonic(); found = outcome(port, data); took = time.monotonic() - begin
		    if found != "is reset" or not 9 < took < 14: print("unfinished", data, found, took)
		threads = [threading.Thread(target=check, args=(name, case, wanted)) for wanted, all in (("passes", cases), ("is reset", secret)) for name, case in all.items()]
		threads += [threading.Thread(target=unfinished, args=case) for case in ((443, [hello(evil)[:200]]), (8080, [b"GET / HT"]), (443, [b"\x16"]))]
		for each in threads: each.start()
		for each in threads: each.join()
		def half(port, data):
		    c = connect(port); c.sendall(data); c.shutdown(socket.SHUT_WR)
		    try: return c.recv(100)
		    except ConnectionResetError: return "is reset"
		print(half(8080, b"words without an end"), half(443, hello(www)), half(443, hello(evil)[:200]), half(80, b""))
		print(len(cases) + 2)
	PY
}

# checks_names DATAPATH tun|listener: the policy.
checks_names() {
	local mode=preferred
	[ "$2" = tun ] || mode=never
	jq -n --arg datapath "$1" --arg mode "$mode" '{network: {tun: $mode, datapath: $datapath, dnsAddr: "127.0.0.1:5353", checkServerName: true,
		allowedDomains: ["www.example.com", "other.example.com", "203.0.113.7"]}}' >"$TEST_DIR/policy.json"
}

# checked DATAPATH tun|listener
checked() {
	checks_names "$@"
	cp "$TEST_DIR/probe.py" .
	runs fence --policy "$TEST_DIR/policy.json" --net-log "$WORK/net.log" -- /usr/bin/python3 probe.py "$2"
	is "b'answer' b'answer' is reset b''"$'\n'"$(grep -ac ^got "$TEST_DIR/server.log")"
	fails grep -a 'evil' "$TEST_DIR/server.log"
	runs jq -r 'select(.verdict == "deny") | [.name, .port, .rule, .serverName // "-"] | join(" ")' "$WORK/net.log"
	has "www.example.com 443 the server's name is another evil.example.org"
	has "www.example.com 443 the server's name is another other.example.com"
	has "www.example.com 80 the server's name is another evil.example.org"
	has "www.example.com 8080 TLS without a server's name -"
	has "www.example.com 443 no server's name in the first 16 KiB -"
	has "www.example.com 443 no server's name in 10 seconds -"
	[ "$(jq -s 'map(select(.verdict == "deny") | .bytesSent) | add' "$WORK/net.log")" = 0 ]
}

@test "what is said to a name must be for that server: translated" {
	checked translate tun
}

@test "what is said to a name must be for that server: spliced" {
	checked splice tun
}

@test "what is said to a name must be for that server: without TUN" {
	checked translate listener
}

@test "QUIC to a name is refused at once; what is sent to an address is nobody's but the rules'" {
	echo '{ "network": { "dnsAddr": "127.0.0.1:5353", "checkServerName": true, "allowedDomains": ["www.example.com", "203.0.113.7"] } }' >"$TEST_DIR/policy.json"
	runs fence --policy "$TEST_DIR/policy.json" --net-log "$WORK/net.log" -- /usr/bin/python3 -c '
import socket, time
def udp(host, port, *datagrams):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect((host, port)); got = None
    try:
        for datagram in datagrams: u.send(datagram); got = u.recv(10)
    except OSError as error: got = error.strerror
    return got
www, initial = "www.example.com", b"\xc3\0\0\0\1" + bytes(1195)
begin = time.monotonic(); print(udp(www, 443, b"x"), time.monotonic() - begin < 2, udp("203.0.113.7", 443, b"x"))
print(udp(www, 8443, b"x"), udp(www, 8443, initial), udp(www, 8443, b"x", initial), udp("203.0.113.7", 8443, initial)[:1])
c = socket.create_connection(("203.0.113.7", 443), 5); c.sendall(b"SSH-2.0-x y\r\n"); print(c.recv(10))'
	is $'Connection refused True b\'x\'\nb\'x\' Connection refused Connection refused b\'\\xc3\'\nb\'answer\''
	runs jq -r 'select(.protocol == "udp" and .verdict == "deny") | .rule' "$WORK/net.log"
	is "$(yes "QUIC hides the server's name" | head -n 3)"
}

@test "with the check and a proxy that decides, names are checked, too" {
	start_proxy 1080
	start_web 203.0.113.8 80
	echo '{ "network": { "proxyUrl": "socks5://127.0.0.1:1080", "dnsAddr": "127.0.0.1:5353", "checkServerName": true } }' >"$TEST_DIR/policy.json"
	runs fence --policy "$TEST_DIR/policy.json" -- curl -sS -m 10 http://web.example.com/
	is 'the page'
	fails fence --policy "$TEST_DIR/policy.json" -- curl -sS -m 10 -H 'Host: evil.example.org' http://web.example.com/
	has 'reset by peer'
}

# sendfile(2) gives the relay pages of a file, which may be written to while they wait in its socket.
@test "what was looked at is what is sent, also of a file that changes meanwhile" {
	cat >change.py <<-'PY'
		import mmap, os, socket, struct, sys
		head = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n"; good, evil = head % b"www.example.com", head % b"evil.example.co"
		file = open("/tmp/head", "w+b"); file.write(good); file.flush(); page = mmap.mmap(file.fileno(), len(good)); parent = os.getpid()
		if os.fork() == 0:
		    while os.getppid() == parent: page[:] = evil; page[:] = good
		    os._exit(0)
		ends = {}
		for i in range(400):
		    try:
		        c = socket.socket() if "listener" in sys.argv else socket.create_connection(("www.example.com", 8080), 15)
		        if "listener" in sys.argv:
		            c.connect(("127.0.0.1", 18321)); c.sendall(b"\5\1\0"); c.recv(2)
		            c.sendall(b"\5\1\0\3\x0fwww.example.com" + struct.pack("!H", 8080)); c.recv(10)
		        os.sendfile(c.fileno(), file.fileno(), 0, len(good)); end = c.recv(100)[:6]
		    except ConnectionResetError: end = "reset"
		    ends[end] = ends.get(end, 0) + 1; c.close()
		print(ends)
	PY
	local way
	for way in 'splice tun' 'translate listener'; do
		checks_names $way
		runs fence --policy "$TEST_DIR/policy.json" -- /usr/bin/python3 change.py "${way#* }"
		has "b'answer'"
		fails grep -a 'evil' "$TEST_DIR/server.log"
	done
}
