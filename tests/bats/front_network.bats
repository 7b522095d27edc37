# The one way out, through the front door: what gets out, by which way, and that nothing else does. Everything happens in
# a network namespace that plays the host (helpers.bash).
load helpers

setup() {
	common_setup
	host_namespace
}

proxy=socks5://127.0.0.1:1080
CURL=(curl -sS --max-time 20)

relay_pids() {
	find /proc/[0-9]*/exe -maxdepth 0 -lname "$FILE_DIR/fence-network" 2>/dev/null | cut -d/ -f3
}

# A server on the host that notes whatever reaches it, by every way that a probe tries: $TEST_DIR/witness.log.
start_witness() {
	cat >"$TEST_DIR/witness.py" <<-'PY'
		import os, selectors, socket, sys
		selector = selectors.DefaultSelector()
		def listen(family, kind, address, protocol=0):
		    s = socket.socket(family, kind, protocol)
		    s.bind(address)
		    if kind == socket.SOCK_STREAM: s.listen(64)
		    s.setblocking(False)
		    selector.register(s, selectors.EVENT_READ, (kind, address))
		for address in ("203.0.113.7", "127.0.0.1"):
		    listen(socket.AF_INET, socket.SOCK_STREAM, (address, 7777))
		    listen(socket.AF_INET, socket.SOCK_DGRAM, (address, 7777))
		listen(socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::7", 7777))
		listen(socket.AF_INET6, socket.SOCK_DGRAM, ("2001:db8::7", 7777))
		listen(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + sys.argv[1])
		listen(socket.AF_INET, socket.SOCK_RAW, ("203.0.113.7", 0), socket.IPPROTO_ICMP)
		print("listening", flush=True)
		while True:
		    for key, _ in selector.select():
		        kind, address = key.data
		        try:
		            if kind == socket.SOCK_STREAM: key.fileobj.accept()[0].close()
		            else: key.fileobj.recv(4096)
		        except OSError: continue
		        print("reached", kind.name, repr(address), flush=True)
	PY
	start witness /usr/bin/python3 "$TEST_DIR/witness.py" "$ID"
	wait_until grep -q listening "$TEST_DIR/witness.log"
}

# Tries to get out by every way, and says what worked.
probe() {
	cat >probe.py <<-'PY'
		import os, socket, struct, sys
		def attempt(name, function):
		    try: function(); print("out by", name)
		    except OSError as error: print("no", name, error)
		def tcp(family, address):
		    with socket.socket(family) as s: s.settimeout(5); s.connect(address)
		def udp(family, address):
		    with socket.socket(family, socket.SOCK_DGRAM) as s: s.connect(address); s.send(b"x")
		def echo(kind):
		    with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP) as s:
		        s.sendto(b"\x08\x00\xf7\xff\x00\x00\x00\x00", ("203.0.113.7", 0))
		def raw():
		    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as s:
		        s.sendto(struct.pack("!HHHH", 7777, 7777, 8, 0), ("203.0.113.7", 0))
		def packet():
		    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0x0008) as s: s.sendto(b"x" * 64, ("lo", 0x0800))
		def abstract():
		    with socket.socket(socket.AF_UNIX) as s: s.connect("\0" + sys.argv[1])
		def vsock():
		    with socket.socket(40, socket.SOCK_STREAM) as s: s.settimeout(2); s.connect((2, 7777))
		def marked():
		    with socket.socket() as s: s.setsockopt(socket.SOL_SOCKET, 36, 1)
		attempt("tcp", lambda: tcp(socket.AF_INET, ("203.0.113.7", 7777)))
		attempt("tcp to the host's loopback", lambda: tcp(socket.AF_INET, ("127.0.0.1", 7777)))
		attempt("tcp to the proxy", lambda: tcp(socket.AF_INET, ("127.0.0.1", 1080)))
		attempt("tcp6", lambda: tcp(socket.AF_INET6, ("2001:db8::7", 7777)))
		attempt("raw", raw)
		attempt("packet", packet)
		attempt("abstract", abstract)
		attempt("mark", marked)
		# These can be sent without an error, and go nowhere: the witness knows.
		for function in (lambda: udp(socket.AF_INET, ("203.0.113.7", 7777)), lambda: udp(socket.AF_INET, ("127.0.0.1", 7777)),
		        lambda: udp(socket.AF_INET6, ("2001:db8::7", 7777)), lambda: echo(socket.SOCK_DGRAM), vsock):
		    try: function()
		    except OSError as error: print(error)
	PY
	give probe.py
}

# bats test_tags=root
@test "the witness sees all that the probe tries, when nothing fences it" {
	start_witness
	probe
	runs as_who /usr/bin/python3 probe.py "$ID"
	for way in tcp tcp6 raw packet abstract mark "tcp to the host's loopback"; do
		has "out by $way"
	done
	for way in "SOCK_STREAM ('203.0.113.7'" "SOCK_STREAM ('2001:db8::7'" "SOCK_DGRAM ('203.0.113.7'" \
		"SOCK_DGRAM ('2001:db8::7'" "SOCK_DGRAM ('127.0.0.1'" "SOCK_STREAM '\\x00"; do
		wait_until grep -qF "$way" "$TEST_DIR/witness.log"
	done
}

@test "without a rule nothing gets out: TCP, UDP, ICMP, IPv6, raw, packet and abstract sockets" {
	start_witness
	for who in $EVERYONE; do
		become "$who"
		probe
		runs fence -- /usr/bin/python3 probe.py "$ID"
		hasnt 'out by'
		fails fence -- ping -c 1 -W 1 203.0.113.7
		fails fence -- "${CURL[@]}" http://203.0.113.7:7777/
		[ "$(cat "$TEST_DIR/witness.log")" = listening ]
	done
}

@test "with the proxy stopped nothing gets out" {
	start_witness
	for who in $EVERYONE; do
		become "$who"
		start_proxy 1080
		probe
		stop "$PROXY_PID"
		runs fence --proxy "$proxy" -- /usr/bin/python3 probe.py "$ID"
		hasnt 'out by'
		[ "$(cat "$TEST_DIR/witness.log")" = listening ]
	done
}

@test "a proxy gets what the policy allows and no more" {
	start_witness
	start_proxy 1080
	start_web 203.0.113.7 80
	for who in $EVERYONE; do
		become "$who"
		probe
		policy '{ "network": { "proxyUrl": "socks5://127.0.0.1:1080", "allowedDomains": ["203.0.113.7:80"] } }'
		runs fence --policy "$POLICY" -- "${CURL[@]}" http://203.0.113.7/
		is 'the page'
		runs fence --policy "$POLICY" -- /usr/bin/python3 probe.py "$ID"
		hasnt 'out by'
		[ "$(cat "$TEST_DIR/witness.log")" = listening ]
	done
}

@test "a program that knows of no proxy gets its page through one, which logs it" {
	start_proxy 1080
	start_web 203.0.113.7 80
	start_web 2001:db8::7 80
	for who in $EVERYONE; do
		become "$who"
		: >"$TEST_DIR/proxy.log"
		runs fence --proxy "$proxy" -- "${CURL[@]}" --noproxy '*' http://203.0.113.7/
		is 'the page'
		wait_until grep -q 'connected to 203.0.113.7:80' "$TEST_DIR/proxy.log"
		runs fence --proxy "$proxy" -- sh -c 'env | grep -i "^[a-z]*_proxy="; curl -sS --max-time 20 -g "http://[2001:db8::7]/"'
		is 'the page'
		assert_nothing_left
	done
}

@test "a proxy with a password" {
	start_proxy 1080 us%er 'p@ss:wörd'
	start_web 203.0.113.7 80
	for who in $EVERYONE; do
		become "$who"
		runs fence --proxy 'socks5://us%25er:p%40ss%3Aw%C3%B6rd@127.0.0.1:1080' -- "${CURL[@]}" http://203.0.113.7/
		is 'the page'
		fails fence --proxy 'socks5://us%25er:wrong@127.0.0.1:1080' -- "${CURL[@]}" http://203.0.113.7/
		fails fence --proxy "$proxy" -- "${CURL[@]}" http://203.0.113.7/
	done
}

@test "the proxy's password is nowhere that the command can read" {
	start_proxy 1080 user S3cretPassw0rd
	for who in $EVERYONE; do
		become "$who"
		policy '{ "network": { "proxyUrl": "socks5://user:S3cretPassw0rd@127.0.0.1:1080" } }'
		# By standard input, so that no command line of the search itself holds the word.
		echo S3cretPassw0rd >"$TEST_DIR/word"
		runs fence --policy "$POLICY" -- sh -c '
			cat >/tmp/word
			env | grep -f /tmp/word
			cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/mountinfo 2>/dev/null | tr "\0" "\n" | grep -f /tmp/word
			find / \( -path /usr -o -path /proc -o -path /sys -o -path /opt -o -path /tmp/word \) -prune -o \
				-type f -size -1000k -print0 2>/dev/null | xargs -0r grep -al -D skip -f /tmp/word 2>/dev/null
			exit 0' <"$TEST_DIR/word"
		is ''
	done
}

@test "a password on the command line is not there for long" {
	start_proxy 1080 user S3cretPassw0rd
	start_web 203.0.113.7 80
	echo S3cretPassw0rd >"$TEST_DIR/word"
	for who in $EVERYONE; do
		become "$who"
		mkfifo go
		give go
		on_host "${AS[@]}" "$FENCE" --proxy socks5://user:S3cretPassw0rd@127.0.0.1:1080 -- sh -c 'curl -sS http://203.0.113.7/; read x <go'
		"${command[@]}" >"$TEST_DIR/page.log" 2>&1 </dev/null 3>&- &
		wait_until grep -qs 'the page' "$TEST_DIR/page.log"
		# The proxy's own is a word by itself.
		runs sh -c 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" "\n" | grep -f "$0" | grep -vxf "$0" || true' "$TEST_DIR/word"
		is ''
		echo >go
		wait "$!"
	done
}

@test "config.json and the state hold no password either" {
	for who in $EVERYONE; do
		become "$who"
		runs fence spec --proxy socks5://user:S3cretPassw0rd@127.0.0.1:1080 --bundle "$WORK/bundle" -- true
		runs grep -rlF S3cretPassw0rd "$WORK/bundle"
		is "$WORK/bundle/network.json"
		[ "$(stat -c %a "$WORK/bundle/network.json")" = 600 ]
	done
}

@test "a name resolves through --dns" {
	start_proxy 1080
	start_web 203.0.113.7 80
	start_dns 5353 www.example.com 203.0.113.7
	for who in $EVERYONE; do
		become "$who"
		: >"$TEST_DIR/dns.log"
		runs fence --proxy "$proxy" --dns 127.0.0.1:5353 -- "${CURL[@]}" http://www.example.com/
		is 'the page'
		grep -q www.example.com "$TEST_DIR/dns.log"
		runs fence --proxy "$proxy" --dns 127.0.0.1:5353 -- dig +short +time=3 +tries=1 www.example.com
		is 203.0.113.7 # and dig has nothing to complain about, such as a kind of socket that fails in a strange way
		runs fence --proxy "$proxy" --dns 127.0.0.1:5353 -- dig +tcp +short +time=3 +tries=1 @192.0.2.99 www.example.com
		is 203.0.113.7
		exits 6 fence --proxy "$proxy" --dns 127.0.0.1:5353 -- "${CURL[@]}" http://unknown.example.net/
		runs fence --proxy "$proxy" --dns 127.0.0.1:5353 -- getent hosts localhost
	done
}

@test "connect() tells the truth: refused is refused" {
	start_proxy 1080
	for who in $EVERYONE; do
		become "$who"
		for flags in "--proxy $proxy" '--allow 203.0.113.7'; do
			exits 7 fence $flags -- "${CURL[@]}" http://203.0.113.7:81/
			runs fence $flags -- /usr/bin/python3 -c '
import socket, errno
s = socket.socket(); s.settimeout(10)
assert s.connect_ex(("203.0.113.7", 81)) == errno.ECONNREFUSED'
		done
	done
}

@test "a download of 1 GiB arrives whole, and so does an upload" {
	start_proxy 1080
	local size=${BULK:-1G}
	local key='-aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 00000000000000000000000000000000' sum
	sum=$(head -c $size /dev/zero | openssl enc $key | sha256sum)
	start blob socat TCP-LISTEN:7000,bind=203.0.113.7,fork,reuseaddr SYSTEM:"head -c $size /dev/zero | openssl enc $key"
	# It answers without waiting for the end of the stream: microsocks knows no half-closed connections.
	start sink socat TCP-LISTEN:7001,bind=203.0.113.7,fork,reuseaddr SYSTEM:"head -c $size | sha256sum"
	wait_for_port 203.0.113.7 7000
	wait_for_port 203.0.113.7 7001
	for who in $EVERYONE; do
		become "$who"
		runs fence --proxy "$proxy" -- bash -c 'exec 3<>/dev/tcp/203.0.113.7/7000; cat <&3 | sha256sum'
		is "$sum"
		runs fence --proxy "$proxy" -- bash -c "exec 3<>/dev/tcp/203.0.113.7/7001; head -c $size /dev/zero | openssl enc $key >&3; cat <&3"
		is "$sum"
	done
}

@test "what was sent just before the end still arrives" {
	start sink socat -u TCP-LISTEN:7001,bind=203.0.113.7,fork,reuseaddr SYSTEM:'wc -c >>count'
	wait_for_port 203.0.113.7 7001
	local place=$PWD
	for who in $EVERYONE; do
		become "$who"
		: >"$place/count"
		runs fence --allow 203.0.113.7 -- bash -c 'head -c 20M /dev/zero >/dev/tcp/203.0.113.7/7001'
		wait_until grep -q 20971520 "$place/count" || complain "arrived: $(cat "$place/count")"
		assert_nothing_left
	done
}

@test "what was sent just before the end still arrives, also without TUN" {
	start sink /usr/bin/python3 -u -c '
import socket, time
s = socket.create_server(("203.0.113.7", 7001)); print("serving")
while True:
    c = s.accept()[0]; time.sleep(0.3) # the data is still on its way when the command ends
    print(sum(len(data) for data in iter(lambda: c.recv(65536), b"")))'
	wait_until grep -q serving "$TEST_DIR/sink.log"
	local turn=0
	for who in $EVERYONE; do
		become "$who"
		turn=$((turn + 1))
		policy '{ "network": { "tun": "never", "allowedDomains": ["203.0.113.7"] } }'
		runs fence --policy "$POLICY" -- /usr/bin/python3 -c '
import os, socket
c = socket.create_connection(("127.0.0.1", 18321)); c.sendall(b"\5\1\0"); c.recv(2)
c.sendall(b"\5\1\0\1\xcb\0\x71\7\x1b\x59"); c.recv(10); c.sendall(bytes(4000000)); os._exit(0)'
		wait_until eval '[ "$(grep -c 4000000 "$TEST_DIR/sink.log")" = "$turn" ]' || complain "arrived: $(cat "$TEST_DIR/sink.log")"
	done
}

@test "200 connections at once all succeed" {
	start_proxy 1080
	start busy /usr/bin/python3 -c '
import socket, threading
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("203.0.113.7", 7000)); s.listen(1024)
def serve(c):
    data = c.recv(64)
    c.sendall(b"echo " + data); c.close()
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()'
	wait_for_port 203.0.113.7 7000
	for who in $EVERYONE; do
		become "$who"
		runs fence --proxy "$proxy" -- /usr/bin/python3 -c '
import selectors, socket
sockets = []
for i in range(200):
    s = socket.socket(); s.setblocking(False); s.connect_ex(("203.0.113.7", 7000)); sockets.append(s)
for s in sockets:                     # all are connected before the first speaks
    sel = selectors.DefaultSelector(); sel.register(s, selectors.EVENT_WRITE)
    assert sel.select(30), "no connection"; sel.close()
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
for i, s in enumerate(sockets): s.setblocking(True); s.settimeout(30); s.sendall(b"%d" % i)
for i, s in enumerate(sockets):
    data = b""
    while chunk := s.recv(64): data += chunk
    assert data == b"echo %d" % i, (i, data)
print("all 200")'
		is 'all 200'
	done
}

@test "inside there are lo and tun0, which the command can't change" {
	for who in $EVERYONE; do
		become "$who"
		runs fence --proxy "$proxy" -- sh -c 'ip -o link | cut -d: -f2 | tr -d " " | tr "\n" " "'
		is 'lo tun0 '
		runs fence --proxy "$proxy" -- sh -c 'ip address; ip route; ip -6 route'
		has 198.18.
		has 'default'
		has 'inet 127.0.0.1/8'
		for change in 'link set tun0 down' 'link set lo down' 'route del default' 'address add 192.0.2.1/24 dev lo' \
			'link add d0 type dummy' 'link add type veth'; do
			fails fence --proxy "$proxy" -- ip $change
		done
		fails fence --proxy "$proxy" -- sh -c 'exec 3<>/dev/net/tun'
		runs fence -- sh -c 'ip -o link | cut -d: -f2 | tr -d " " | tr "\n" " "'
		has 'lo '
	done
}

@test "inbound: -p is listened on at the host's loopback only" {
	for who in $EVERYONE; do
		become "$who"
		echo 'inner page' >index.html
		give index.html
		on_host "${AS[@]}" "$FENCE" -p 8080 -- /usr/bin/python3 -m http.server --bind 127.0.0.1 8080
		"${command[@]}" >"$TEST_DIR/inner.log" 2>&1 </dev/null 3>&- &
		pid=$!
		rm -f "$TEST_DIR/got"
		PATIENCE=15 wait_until in_host "${CURL[@]}" -o "$TEST_DIR/got" http://127.0.0.1:8080/
		[ "$(cat "$TEST_DIR/got")" = 'inner page' ]
		fails in_host "${CURL[@]}" http://203.0.113.7:8080/
		kill -TERM "$pid"
		wait "$pid" || true
		assert_nothing_left
		fails in_host "${CURL[@]}" http://127.0.0.1:8080/
	done
}

@test "egress without a proxy: what is allowed, and nothing else" {
	start_web 203.0.113.7 80
	start_web 203.0.113.8 80
	start_web 2001:db8::7 80
	for who in $EVERYONE; do
		become "$who"
		runs fence --allow 203.0.113.7 -- "${CURL[@]}" http://203.0.113.7/
		is 'the page'
		fails fence --allow 203.0.113.7 -- "${CURL[@]}" http://203.0.113.8/
		fails fence --allow 203.0.113.7 -- "${CURL[@]}" -g 'http://[2001:db8::7]/'
		fails fence --allow 203.0.113.7:443 -- "${CURL[@]}" http://203.0.113.7/
		runs fence --allow 203.0.113.0/24 --allow '[2001:db8::]/32' -- sh -c \
			'curl -sS --max-time 20 http://203.0.113.8/ && curl -sSg --max-time 20 "http://[2001:db8::7]/"'
		policy '{ "network": { "allowedDomains": ["203.0.113.0/24"], "deniedDomains": ["203.0.113.8"] } }'
		runs fence --policy "$POLICY" -- "${CURL[@]}" http://203.0.113.7/
		fails fence --policy "$POLICY" -- "${CURL[@]}" http://203.0.113.8/
	done
}

@test "egress by name: wildcards, their apex, look-alikes, deny over allow, addresses, rebinding" {
	start_web 203.0.113.7 80
	start_web 127.0.0.1 80
	start_dns 5353 www.example.com 203.0.113.7 example.com 203.0.113.7 bad.example.com 203.0.113.7 \
		www.example.com.evil.org 203.0.113.7 notexample.com 203.0.113.7 rebind.example.com 127.0.0.1 \
		meta.example.com 169.254.169.254 other.org 203.0.113.7
	for who in $EVERYONE; do
		become "$who"
		policy '{ "network": { "dnsAddr": "127.0.0.1:5353", "allowedDomains": ["*.example.com"], "deniedDomains": ["bad.example.com"] } }'
		runs fence --policy "$POLICY" -- "${CURL[@]}" http://www.example.com/
		is 'the page'
		runs fence --policy "$POLICY" -- "${CURL[@]}" http://WWW.Example.COM/
		for host in example.com bad.example.com www.example.com.evil.org notexample.com other.org 203.0.113.7 \
			rebind.example.com meta.example.com localhost; do
			fails fence --policy "$POLICY" -- "${CURL[@]}" --max-time 5 "http://$host/"
		done
	done
}

@test "without TUN: a SOCKS5 listener and the proxy variables, said aloud; required is required" {
	start_proxy 1080
	start_web 203.0.113.7 80
	start_witness
	for who in $EVERYONE; do
		become "$who"
		probe
		policy '{ "network": { "tun": "never", "proxyUrl": "socks5://127.0.0.1:1080", "allowedDomains": ["203.0.113.7:80"] } }'
		runs fence --policy "$POLICY" -- "${CURL[@]}" http://203.0.113.7/
		has 'the page'
		runs fence --policy "$POLICY" -- env
		has 'ALL_PROXY=socks5h://127.0.0.1:18321'
		runs fence --policy "$POLICY" -- /usr/bin/python3 probe.py "$ID"
		hasnt 'out by'
		[ "$(cat "$TEST_DIR/witness.log")" = listening ]
	done
	in_host mount -t tmpfs tmpfs /dev/net
	for who in $EVERYONE; do
		become "$who"
		policy '{ "network": { "tun": "required", "proxyUrl": "socks5://127.0.0.1:1080" } }'
		exits 125 fence --policy "$POLICY" -- touch ran
		has tun
		absent ran
		assert_nothing_left
		runs fence --proxy "$proxy" -- "${CURL[@]}" http://203.0.113.7/
		has 'the page'
		has tun
	done
}

@test "fence net tells the flows that live, and --net-log those that were, into a file or a descriptor" {
	start who /usr/bin/python3 -u -c '
import socket
s = socket.create_server(("203.0.113.7", 7000)); print("serving"); held = []
while True: c = s.accept()[0]; c.sendall(b"x" * 1234); held.append(c)'
	wait_until grep -q serving "$TEST_DIR/who.log"
	for who in $EVERYONE; do
		become "$who"
		mkfifo go
		give go
		on_host "${AS[@]}" "$FENCE" --allow 203.0.113.7:7000 --net-log 7 -- bash -c \
			'exec 3<>/dev/tcp/203.0.113.7/7000; printf abc >&3; head -c 1234 <&3 >/dev/null; echo running; read -r x <go'
		rm -f "$TEST_DIR/lives.log" "$TEST_DIR/flows.log"
		"${command[@]}" >"$TEST_DIR/lives.log" 2>&1 </dev/null 3>&- 7>"$TEST_DIR/flows.log" &
		pid=$!
		wait_until grep -qs running "$TEST_DIR/lives.log"
		local id
		id=$(fence list --quiet | grep "^fence-$pid-")
		runs fence net "$id"
		echo "$output" | jq -e '.protocol == "tcp" and .address == "203.0.113.7" and .port == 7000 and .verdict == "allow" and
			.rule == "203.0.113.7:7000" and .bytesSent == 3 and .bytesReceived == 1234'
		if [ "$who" = user ]; then # root may look as well
			runs in_host "$FENCE" --root "$XDG_RUNTIME_DIR/fence" net "$id"
			has '"port":7000'
		fi
		[ ! -s "$TEST_DIR/flows.log" ]
		echo >go
		wait "$pid"
		runs jq -r '[.event, .address, .port, .bytesSent, .bytesReceived] | join(" ")' "$TEST_DIR/flows.log"
		is 'flow 203.0.113.7 7000 3 1234'
		fails fence net "$id"
		runs fence --allow 203.0.113.7:7000 --net-log "$WORK/log" -- bash -c ': <>/dev/tcp/203.0.113.7/7000'
		grep -q '"port":7000,"verdict":"allow"' log
		exits 125 fence --allow 203.0.113.7 --net-log 9 -- true
		has 'descriptor 9'
	done
	exits 125 fence spec --net-log 2 --bundle "$WORK/b" -- true
	has 'name a file'
}

@test "when the relay dies, nothing gets out" {
	start_proxy 1080
	start_web 203.0.113.7 80
	for who in $EVERYONE; do
		become "$who"
		mkfifo go
		give go
		on_host "${AS[@]}" "$FENCE" --proxy "$proxy" -- sh -c \
			'curl -sS --max-time 20 http://203.0.113.7/; read -r x <go; curl -sS --max-time 5 http://203.0.113.7/ || echo silence'
		rm -f "$TEST_DIR/dies.log"
		"${command[@]}" >"$TEST_DIR/dies.log" 2>&1 </dev/null 3>&- &
		pid=$!
		wait_until grep -qs 'the page' "$TEST_DIR/dies.log"
		kill -KILL $(relay_pids)
		wait_until eval '[ -z "$(relay_pids)" ]'
		echo go >go
		wait "$pid" || true
		grep -q silence "$TEST_DIR/dies.log"
		assert_nothing_left
	done
}

@test "a command that is refused, or cannot be started, leaves no log behind; one that was there stays" {
	for who in $EVERYONE; do
		become "$who"
		policy '{ "command": { "deny": ["ls"] }, "network": { "allowedDomains": ["203.0.113.7"] } }'
		fails fence --policy "$POLICY" --net-log new.log -- ls
		has 'denied by command.deny'
		fails fence --policy "$POLICY" --net-log new.log -- /no/such/program
		absent new.log
		: >old.log
		give .
		fails fence --policy "$POLICY" --net-log old.log -- ls
		[ -e old.log ]
	done
}
