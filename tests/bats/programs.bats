# Real programs inside, with nothing configured in them, by both ways out: through a proxy, and directly by rules. What needs large
# packages, or minutes, is in tests/conformance (make conformance).
# bats file_tags=user
load helpers

setup() {
	common_setup
	host_namespace
	start_proxy 1080
	become user
}

# by_each_way fence-ARG…: through the proxy, and directly. Both must succeed, with the same output.
by_each_way() {
	runs fence --proxy socks5://127.0.0.1:1080 --dns 127.0.0.1:5353 -- "$@"
	local first=$output
	runs fence --allow 203.0.113.7,2001:db8::7,'*.example.com' --dns 127.0.0.1:5353 -- "$@"
	[ "$first" = "$output" ] || complain "by the proxy it was: $first"
}

dns() {
	start_dns 5353 www.example.com 203.0.113.7
}

# A certificate for www.example.com, its own authority: $WORK/cert.pem, $TEST_DIR/key.pem.
certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=www.example.com \
		-addext subjectAltName=DNS:www.example.com -keyout "$TEST_DIR/key.pem" -out "$WORK/cert.pem" 2>/dev/null
	give "$WORK/cert.pem"
}

@test "curl: HTTP/1.1, HTTP/2 and TLS, up and down, many at once" {
	dns
	certificate
	mkdir "$TEST_DIR/files"
	head -c 20M /dev/urandom >"$TEST_DIR/files/blob"
	local sum
	sum=$(sha256sum <"$TEST_DIR/files/blob")
	start plain nghttpd --no-tls --echo-upload --address=203.0.113.7 -d "$TEST_DIR/files" 80
	start secure nghttpd --address=203.0.113.7 -d "$TEST_DIR/files" 443 "$TEST_DIR/key.pem" "$WORK/cert.pem"
	start old /usr/bin/python3 -m http.server --bind 203.0.113.7 --directory "$TEST_DIR/files" 8080
	wait_for_port 203.0.113.7 80
	wait_for_port 203.0.113.7 443
	wait_for_port 203.0.113.7 8080
	by_each_way sh -c 'curl -sS --max-time 30 http://www.example.com:8080/blob | sha256sum'
	is "$sum"
	by_each_way sh -c 'curl -sS --max-time 30 --http2-prior-knowledge http://www.example.com/blob | sha256sum'
	is "$sum"
	by_each_way sh -c 'curl -sS --max-time 30 --cacert cert.pem -w "%{http_version}\n" -o got https://www.example.com/blob && sha256sum <got && rm got'
	is $'2\n'"$sum"
	head -c 2M "$TEST_DIR/files/blob" >up # its echo through microsocks takes a second for each MiB, also on the host itself
	by_each_way sh -c 'curl -sS --max-time 30 --http2-prior-knowledge --data-binary @up http://www.example.com/ | sha256sum'
	is "$(sha256sum <up)"
	head -c 200K "$TEST_DIR/files/blob" >"$TEST_DIR/files/small"
	by_each_way sh -c 'curl -sS --max-time 30 -Z $(for i in $(seq 30); do echo -o /dev/null http://www.example.com:8080/small; done) -w "%{size_download}\n" 2>/dev/null |
		sort | uniq -c | tr -s " "'
	is ' 30 204800'
}

@test "git: over HTTP and over ssh" {
	dns
	git init -q --bare "$TEST_DIR/repository"
	git -c init.defaultBranch=main init -q "$TEST_DIR/work"
	git -C "$TEST_DIR/work" -c user.name=x -c user.email=x@example.com commit -q --allow-empty -m hello
	git -C "$TEST_DIR/work" push -q "$TEST_DIR/repository" HEAD:refs/heads/main
	git -C "$TEST_DIR/repository" update-server-info
	start web /usr/bin/python3 -m http.server --bind 203.0.113.7 --directory "$TEST_DIR" 80
	wait_for_port 203.0.113.7 80
	by_each_way sh -c 'git clone -q -b main http://www.example.com/repository /tmp/clone && git -C /tmp/clone log --format=%s'
	is hello

	ssh-keygen -q -t ed25519 -N '' -f "$TEST_DIR/host-key"
	ssh-keygen -q -t ed25519 -N '' -f "$WORK/key"
	give "$WORK"/key*
	cp "$WORK/key.pub" "$TEST_DIR/authorized"
	in_host sh -c 'mkdir -p /run/sshd'
	start ssh /usr/sbin/sshd -D -e -f /dev/null -h "$TEST_DIR/host-key" -o ListenAddress=203.0.113.7:2222 -o UsePAM=no -o StrictModes=no \
		-o PidFile=none -o "AuthorizedKeysFile=$TEST_DIR/authorized"
	wait_for_port 203.0.113.7 2222
	by_each_way sh -c '
		GIT_SSH_COMMAND="ssh -F none -i key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR" \
			git clone -q -b main ssh://'"root@www.example.com:2222$TEST_DIR/repository"' /tmp/clone && git -C /tmp/clone log --format=%s'
	is hello
}

@test "apt: update, and download of a package" {
	dns
	mkdir -p "$TEST_DIR/package/DEBIAN" "$TEST_DIR/repository" apt/lists/partial apt/cache/archives/partial apt/etc/apt.conf.d apt/etc/preferences.d
	printf 'Package: hello-fence\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n' >"$TEST_DIR/package/DEBIAN/control"
	dpkg-deb --build "$TEST_DIR/package" "$TEST_DIR/repository/hello-fence_1_all.deb" >/dev/null
	(cd "$TEST_DIR/repository" && {
		cat "$TEST_DIR/package/DEBIAN/control"
		echo "Filename: ./hello-fence_1_all.deb"
		echo "Size: $(stat -c %s hello-fence_1_all.deb)"
		echo "SHA256: $(sha256sum hello-fence_1_all.deb | cut -d' ' -f1)"
	} >Packages)
	start web /usr/bin/python3 -m http.server --bind 203.0.113.7 --directory "$TEST_DIR/repository" 80
	wait_for_port 203.0.113.7 80
	echo 'deb [trusted=yes] http://www.example.com ./' >apt/etc/sources.list
	touch apt/status
	give apt
	by_each_way sh -c 'cd apt && rm -f *.deb && options="-qq -o Dir::Etc=$PWD/etc -o Dir::State::lists=$PWD/lists -o Dir::State::status=$PWD/status -o Dir::Cache=$PWD/cache" &&
		apt-get $options update && apt-get $options download hello-fence && dpkg-deb --field hello-fence_1_all.deb Package'
	is hello-fence
}

@test "python, a WebSocket, dig, ping, nc over UDP and TCP" {
	dns
	start_web 203.0.113.7 80
	start websocket /usr/bin/python3 -u -c '
import base64, hashlib, socket, threading
def read(c, n): return c.recv(n, socket.MSG_WAITALL)
def serve(c):
    head = b""
    while not head.endswith(b"\r\n\r\n"): head += c.recv(1)
    key = [l.split(b": ")[1] for l in head.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while True:
        head = read(c, 2)
        if len(head) < 2: return
        n = head[1] & 127; mask = read(c, 4); c.sendall(bytes([head[0], n]) + bytes(b ^ mask[i % 4] for i, b in enumerate(read(c, n))))
s = socket.create_server(("203.0.113.7", 8000)); print("serving")
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()'
	wait_until grep -q serving "$TEST_DIR/websocket.log"
	by_each_way /usr/bin/python3 -c '
import os, socket, urllib.request
print(urllib.request.urlopen("http://www.example.com/", timeout=20).read().decode().strip())
c = socket.create_connection(("www.example.com", 8000), 20)
c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " + b"A" * 22 + b"==\r\nSec-WebSocket-Version: 13\r\n\r\n")
head = b""
while not head.endswith(b"\r\n\r\n"): head += c.recv(1)
for i in range(50):
    c.sendall(bytes([0x81, 0x80 | 10]) + bytes(4) + b"message %02d" % i); assert c.recv(12, socket.MSG_WAITALL)[2:] == b"message %02d" % i
print(head.split(b"\r\n")[0].decode())'
	is $'the page\nHTTP/1.1 101 Switching Protocols'
	by_each_way sh -c 'dig +short +time=3 +tries=1 www.example.com TXT; dig +noall +comments +tcp +time=3 +tries=1 www.example.com | grep -o "status: [A-Z]*"'
	is 'status: NOERROR'
	runs fence --allow 203.0.113.7 -- ping -n -c 2 -i 0.2 -W 5 203.0.113.7
	has ' 0% packet loss'
	start echo socat -T 1 UDP-LISTEN:7000,bind=203.0.113.7,fork,reuseaddr EXEC:cat # its children outlive it by that
	start shout socat TCP-LISTEN:7001,bind=203.0.113.7,fork,reuseaddr SYSTEM:'tr a-z A-Z'
	wait_for_port 203.0.113.7 7001
	runs fence --allow 203.0.113.7 -- sh -c 'echo by UDP | nc -u -w 1 203.0.113.7 7000; echo by tcp | nc -N -w 5 203.0.113.7 7001'
	is $'by UDP\nBY TCP'
}

@test "iperf3: either way, both at once, 16 streams, UDP" {
	start server iperf3 -s -B 203.0.113.7
	wait_for_port 203.0.113.7 5201
	for arguments in '' -R --bidir '-P 16' '-P 16 -R' '-u -b 20M' '-u -b 20M -R'; do
		runs fence --allow 203.0.113.7 -- iperf3 -c 203.0.113.7 -t 1 --json $arguments
		[ "$(jq '(.end.sum_received // .end.sum).bytes > 100000 and (.error | not)' <<<"$output")" = true ] || complain "iperf3 $arguments"
	done
}

@test "a connection over which nothing is said for a while still works" {
	local seconds=${IDLE_SECONDS:-3} # ten minutes in make conformance
	start waits /usr/bin/python3 -u -c '
import socket
s = socket.create_server(("203.0.113.7", 7000)); print("serving")
while True: c = s.accept()[0]; print(c.recv(10)); print(c.recv(10)); c.sendall(b"still here")'
	wait_until grep -q serving "$TEST_DIR/waits.log"
	TIME_LIMIT=$((seconds + 60)) by_each_way /usr/bin/python3 -c '
import socket, sys, time
c = socket.create_connection(("203.0.113.7", 7000)); c.send(b"a"); time.sleep(int(sys.argv[1])); c.send(b"b"); c.settimeout(10); print(c.recv(10))' "$seconds"
	is "b'still here'"
}
