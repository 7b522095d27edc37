# Egress rules against addresses and names that are written, or wrapped, so that they look like others. Which rule wins is front_network.bats' subject.
load helpers
load relay

setup() {
	common_setup
	host_namespace
}

@test "addresses that mean something else elsewhere, in every disguise, must be named" {
	relay "{\"allow\": [\"*\"], \"deny\": [\"203.0.113.8\"], \"log\": \"$TEST_DIR/net.log\"}"
	runs python '
for address in ("10.0.0.1", "100.64.0.1", "168.63.129.16", "169.254.169.254", "172.31.255.255", "192.0.0.192", "192.168.1.1", "240.0.0.1",
    "fd00:ec2::254", "fc00::1", "fec0::1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:a9fe:a9fe::1", "2002:c0a8:101::1", "::ffff:0:169.254.169.254",
    "2001:0:4136:e378:8000:63bf:5601:5601", "64:ff9b::203.0.113.8", "2002:cb00:7108::1", "::ffff:0:203.0.113.8"):
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        s = socket.socket(family(address), kind); s.settimeout(5)
        def attempt(): s.connect((address, 80)); s.send(b"x"); s.recv(1)
        got = error_of(attempt); assert got in ("EHOSTUNREACH", "EACCES"), (address, kind, got) # ICMP: prohibited'
	runs jq -r .verdict "$TEST_DIR/net.log"
	[ "$(sort <<<"$output" | uniq -c | tr -s ' ')" = ' 42 deny' ] || complain 'each is denied, and said so'
}

@test "port 0 is nobody's, whatever port a rule names" {
	relay "{\"allow\": [\"203.0.113.7:80\"], \"log\": \"$TEST_DIR/net.log\"}"
	runs python '
print(error_of(lambda: connect("203.0.113.7", 0)))
raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)); raw.bind(("tun0", 0x0800))
raw.send(bytes.fromhex("4500001d00010000401178b4c6120001cb007107") + struct.pack("!HHHH", 4000, 0, 9, 0) + b"x")'
	is EHOSTUNREACH
	wait_until grep -q udp "$TEST_DIR/net.log"
	runs jq -r '"\(.protocol) \(.verdict) \(.rule)"' "$TEST_DIR/net.log"
	is $'tcp deny there is no port 0\nudp deny there is no port 0'
}

@test "a rule that would not do what it seems to do is refused" {
	local rule why
	while read -r rule why; do
		fails "$FENCE" spec --allow "$rule" --bundle "$BUNDLE" -- true
		has "$why"
	done <<-'END'
		[::ffff:192.0.2.0]/120 an IPv4 address in an IPv6 one
		::ffff:10.0.0.1 an IPv4 address in an IPv6 one
		010.0.0.1 is neither a name nor an address
		0x7f.1 is neither a name nor an address
		2130706433 is neither a name nor an address
		10.0.0.1/8 bits set beyond its prefix
		[2001:db8::1]/32 bits set beyond its prefix
		10.0.0.0/33 a prefix length that no such address has
		[fe80::1%lo] is no IPv6 address
		*.com opens a whole top-level domain
		*example.com stands neither alone nor first
		http://example.com has a scheme
		example.com/path has a path
		example.com:0 port
		example.com:65536 port
		a..example.com has an empty part
		exämple.com is not ASCII
	END
}
