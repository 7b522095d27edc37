# TCP as the relay itself speaks it, where it translates: by the packet, against a client that no kernel helps, so that it can do what
# kernels don't. What a program sees of it is relay.bats' subject.
# bats file_tags=root
load helpers
load relay

setup() {
	common_setup
	host_namespace
	start_peers
}

# Clients of a kind: Raw(PORT) writes and reads packets on tun0, from an address that the container's kernel does not have.
raw() {
	python '
SYN, ACK, RST, FIN, PSH = 2, 16, 4, 1, 8
MSS, SCALE, SACK_PERMITTED, TIMESTAMPS = b"\2\4\5\xb4", b"\1\3\3\7", b"\4\2", b"\x08\x0a\0\0\0\1\0\0\0\0"
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data + b"\0") // 2), (data + b"\0")[:len(data) + len(data) % 2]))
    total = (total & 65535) + (total >> 16); return ~(total + (total >> 16)) & 65535
class Segment:
    def __init__(self, tcp):
        self.sequence, self.acknowledgement, offset, self.flags, self.window = struct.unpack("!IIBBH", tcp[4:16])
        self.payload, options, self.options = tcp[(offset >> 4) * 4:], tcp[20:(offset >> 4) * 4], {}
        while options and options[0]:
            length = 1 if options[0] == 1 else options[1]
            if options[0] != 1: self.options[options[0]] = options[2:length]
            options = options[length:]
class Raw:
    own, peer = socket.inet_aton("198.18.0.50"), socket.inet_aton("203.0.113.7")
    def __init__(self, port, options=b"", window=65535, local=None, sequence=1000):
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)); self.s.bind(("tun0", 0x0800))
        self.port, self.local, self.next, self.seen, self.window = port, local or 20000 + os.getpid() % 10000 + port, sequence, 0, window
        self.send(SYN, options=options); self.next += 1; self.answer = self.expect(lambda p: p.flags & (SYN | ACK) == SYN | ACK)
        self.seen = self.answer.sequence + 1; self.acknowledge()
    def send(self, flags, payload=b"", sequence=None, acknowledgement=None, options=b""):
        options += b"\0" * (-len(options) % 4)
        tcp = struct.pack("!HHIIBBHHH", self.local, self.port, self.next if sequence is None else sequence, (self.seen if acknowledgement is None else acknowledgement)
            if flags & ACK else 0, (20 + len(options)) // 4 << 4, flags, self.window, 0, 0) + options + payload
        tcp = tcp[:16] + struct.pack("!H", checksum(self.own + self.peer + struct.pack("!HH", 6, len(tcp)) + tcp)) + tcp[18:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0, self.own, self.peer)
        self.s.send(ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp)
    def say(self, payload): self.send(ACK | PSH, payload); self.next += len(payload)
    def acknowledge(self, up_to=None): self.seen = up_to or self.seen; self.send(ACK)
    def receive(self, seconds): # None: nothing in that time
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.s.settimeout(left)
            try: data, address = self.s.recvfrom(70000)
            except TimeoutError: return None
            if address[2] != socket.PACKET_OUTGOING and data[12:20] == self.peer + self.own and data[20:24] == struct.pack("!HH", self.port, self.local):
                return Segment(data[20:struct.unpack("!H", data[2:4])[0]])
    def expect(self, wanted, seconds=5):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if (got := self.receive(left)) and wanted(got): return got
        raise AssertionError("it never came")
    def silent(self, seconds=0.3): assert (got := self.receive(seconds)) is None, vars(got)
'"$@"
}

# by_packet PYTHON: on both of the ways that the relay speaks TCP itself.
by_packet() {
	local datapath
	for datapath in translate plain; do
		export DATAPATH=$datapath
		relay_by "$datapath"
		runs raw "$1"
		is "${2:-}"
		stop "$CONTAINER"
		ID=$ID-x BUNDLE=$BUNDLE-x
	done
}

@test "options: only what the SYN offered, and never timestamps, which need not be checked then" {
	by_packet '
for offered, wanted in (b"", {2}), (TIMESTAMPS, {2}), (MSS + SCALE, {2, 3}), (MSS + SACK_PERMITTED + TIMESTAMPS + SCALE, {2, 3, 4}):
    c = Raw(7006, offered, local=21000 + len(offered)); assert set(c.answer.options) == wanted, (offered, c.answer.options)
    c.send(ACK | PSH, b"hello", options=TIMESTAMPS); c.next += 5
    got = c.expect(lambda p: p.payload); assert got.payload == b"hello" and not got.options, got.options
c = Raw(7002, b"\2\4\2\0", window=10000, local=22000) # a maximum of 512
got = c.expect(lambda p: p.payload); assert os.environ["DATAPATH"] != "plain" or len(got.payload) == 512 # else the kernel cuts it up'
}

@test "both ends at once: each FIN is acknowledged, and the port may be used again while the end lingers" {
	by_packet '
c = Raw(7004); end = c.expect(lambda p: p.flags & FIN)
c.send(FIN | ACK); c.next += 1 # without having seen the other
assert c.expect(lambda p: p.flags & ACK and p.acknowledgement == c.next)
assert c.expect(lambda p: p.flags & FIN).sequence == end.sequence # sent again until it is acknowledged
c.acknowledge(end.sequence + 1)
c.send(FIN | ACK, sequence=c.next - 1); assert c.expect(lambda p: p.flags == ACK).acknowledgement == c.next # had it been lost
again = Raw(7004, local=c.local, sequence=c.next + 5000); assert again.answer.sequence - c.seen & 0xffffffff < 1 << 31 # later than the last
again.expect(lambda p: p.flags & FIN and p.sequence == again.seen)
c = Raw(7004, local=23000); c.acknowledge(c.expect(lambda p: p.flags & FIN).sequence + 1); c.send(FIN | ACK); c.next += 1; c.expect(lambda p: p.acknowledgement == c.next)
time.sleep(1.5); c.send(FIN | ACK, sequence=c.next - 1); assert c.expect(lambda p: True).flags & RST # nobody lingers for ever'
}

@test "a closed window: not a byte, only probes, ever rarer; an opened one is filled and no more" {
	by_packet '
c = Raw(7002, window=0); times = []
while len(times) < 3:
    got = c.expect(lambda p: True); assert not got.payload and got.sequence == c.seen - 1, vars(got); times.append(time.monotonic()); c.acknowledge()
assert times[2] - times[1] > (times[1] - times[0]) * 1.5, times
c.window = 1072; c.acknowledge(); data = b""
while got := c.receive(0.25): assert got.sequence == c.seen + len(data) or got.sequence == c.seen; data += got.payload if got.sequence == c.seen + len(data) else b""
assert data == blob[:1072], len(data)
c.acknowledge(c.seen + 1072); assert c.expect(lambda p: p.payload and p.sequence == c.seen).payload[:100] == blob[1072:1172]'
}

@test "the relay's own closed window opens again by itself, and answers whoever asks" {
	by_packet '
c = Raw(7005, MSS + SCALE); sent = 0 # its peer reads nothing for a second, or longer
scale = c.answer.options[3][0]; window = c.answer.window; edge = c.next + window
begin = time.monotonic(); closed = False
while time.monotonic() - begin < 0.8 * FACTOR:
    for _ in range(100): # tun0 holds 500, and drops what is more
        if edge - c.next >= 1400 and sent < 60 << 20: c.say(bytes(1400)); sent += 1400
    while got := c.receive(0.05):
        if got.flags & ACK: edge = max(edge, got.acknowledgement + (got.window << scale))
        if got.acknowledgement == c.next: break
    if edge - c.next < 1400: closed = True
    elif closed: break
assert closed, sent
c.send(ACK, sequence=c.next - 1); assert c.expect(lambda p: p.flags & ACK, 1) # asked: told at once
got = c.expect(lambda p: p.acknowledgement + (p.window << scale) - c.next >= 1400); assert got # and then without being asked
c.send(FIN | ACK); c.next += 1; summary = c.expect(lambda p: p.payload, 10).payload
assert summary.split()[0] == str(sent).encode(), (summary, sent)'
}

@test "the relay's window stays open also to who is always sent something" {
	by_packet '
c = Raw(7002, MSS, window=2920); edge = c.next + c.answer.window
for _ in range(150):
    got = c.expect(lambda p: p.payload and p.sequence == c.seen); edge = max(edge, got.acknowledgement + got.window); c.seen += len(got.payload)
    assert edge - c.next >= 1400, (edge, c.next); c.say(bytes(1400)) # it brings the acknowledgement that lets the next through'
}

@test "what cannot be of this connection opens, carries and changes nothing" {
	by_packet '
c = Raw.__new__(Raw); c.s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)); c.s.bind(("tun0", 0x0800))
c.port, c.local, c.next, c.seen, c.window = 7006, 25000, 500, 0, 65535
c.send(SYN | FIN); c.silent()
c.send(SYN); answer = c.expect(lambda p: p.flags & SYN); c.seen = answer.sequence + 1
c.send(SYN, sequence=9000); got = c.expect(lambda p: not p.flags & SYN); assert got.flags == ACK and got.acknowledgement == 501 # of an old one: asked about
c.next += 1; c.acknowledge(); c.say(b"first"); c.acknowledge(c.expect(lambda p: p.payload).sequence + 5)
for flags, sequence, acknowledgement in (ACK | PSH, c.next, c.seen + 1000), (FIN | ACK, c.next, c.seen + 1000), (ACK | PSH, c.next + 300000000, c.seen):
    c.window = 0; c.send(flags, b"forged", sequence=sequence, acknowledgement=acknowledgement)
    got = c.expect(lambda p: True); assert got.flags == ACK and got.acknowledgement == c.next, vars(got)
    c.window = 65535; c.say(b"genuine"); got = c.expect(lambda p: p.payload); assert got.payload == b"genuine", got.payload; c.acknowledge(got.sequence + 7)'
}

@test "what is lost is sent again: the answer to the SYN, data, the end" {
	by_packet '
c = Raw.__new__(Raw); c.s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)); c.s.bind(("tun0", 0x0800))
c.port, c.local, c.next, c.seen, c.window = 7006, 24000, 500, 0, 65535
c.send(SYN); first = c.expect(lambda p: p.flags & SYN); second = c.expect(lambda p: p.flags & SYN, 3); assert first.sequence == second.sequence
c.send(SYN); assert c.expect(lambda p: p.flags & SYN).sequence == first.sequence # the same connection still
c.next += 1; c.seen = first.sequence + 1; c.say(b"data"); a = c.expect(lambda p: p.payload); b = c.expect(lambda p: p.payload, 2)
assert (a.sequence, a.payload) == (b.sequence, b.payload) == (c.seen, b"data")
c.acknowledge(c.seen + 4); c.silent(0.8)
c.send(FIN | ACK); c.next += 1; a = c.expect(lambda p: p.flags & FIN); b = c.expect(lambda p: p.flags & FIN, 2); assert a.sequence == b.sequence == c.seen
c.acknowledge(c.seen + 1); c.silent(1.5)'
}

@test "forged resets and SYNs are asked about, not believed; what belongs to no connection is reset" {
	by_packet '
c = Raw(7006)
for flags, sequence, acknowledgement in (RST, c.next + 1, 0), (RST, c.next + 30000, 0), (SYN, c.next + 5, 0), (SYN | ACK, c.next, c.seen), (ACK, c.next, c.seen + 1000):
    c.send(flags, sequence=sequence, acknowledgement=acknowledgement); got = c.expect(lambda p: True); assert got.flags == ACK and got.acknowledgement == c.next, (flags, vars(got))
for sequence in (c.next - 1, c.next + 200000): c.send(RST, sequence=sequence); c.silent(0.1) # beyond the window: not a word
c.send(ACK | PSH, b"old", sequence=c.next - 3); assert c.expect(lambda p: True).acknowledgement == c.next
c.say(b"still here"); assert c.expect(lambda p: p.payload).payload == b"still here"
c.send(RST, sequence=c.next); c.send(ACK); got = c.expect(lambda p: p.flags & RST); assert got.sequence == c.seen # gone, by the exact number
c.send(FIN | ACK); assert c.expect(lambda p: p.flags & RST)
c.send(RST); c.silent(0.1) # never an answer to a reset'
}

@test "ten minutes of silence: who answers a probe stays, who is gone is reset on the other side" {
	local datapath
	fast_clock 200
	for datapath in splice translate; do
		relay_by "$datapath"
		runs raw '
idle = connect("203.0.113.7", 7006); idle.sendall(b"x"); idle.recv(1)
if sys.argv[1] == "translate":
    gone = Raw(7007); gone.say(b"x"); probes = 0; gone.expect(lambda p: p.acknowledgement == gone.next)
    while not (got := gone.expect(lambda p: True, 10)).flags & RST: assert not got.payload and got.sequence == gone.seen - 1, vars(got); probes += 1
    print(probes)
time.sleep(5); idle.sendall(b"still here"); print(take(idle, 10))' "$datapath"
		[ "$datapath" = splice ] && is "b'still here'" || is $'3\nb\'still here\''
		stop "$CONTAINER"
		ID=$ID-x BUNDLE=$BUNDLE-x
	done
	wait_until grep -q 'reset seen' "$TEST_DIR/peers.log"
}
