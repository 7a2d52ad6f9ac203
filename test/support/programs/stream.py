"""Streams of small UDP packets, and how long they were interrupted.

send INTERVAL ADDRESSES PORT a packet each INTERVAL milliseconds to each of the addresses, which commas separate; numbered
receive PORT                 on SIGUSR1 a line: {"gap": longest time between two packets of one stream in milliseconds,
                             "packets": how many came, "lost": how many did not, "sources": addresses} since the last line
ping INTERVAL ADDRESS        the same as receive, of ICMP echoes that it sends itself; IPv4 only
"""
import json, os, select, signal, socket, struct, sys, time


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Seen:
    """What came since the last line."""

    def __init__(self):
        self.last, self.numbers = {}, {}
        self.reset(time.monotonic())
        self.asked = False
        signal.signal(signal.SIGUSR1, lambda *_: setattr(self, "asked", True))

    def reset(self, now):
        self.gap, self.packets, self.lost, self.sources = 0, 0, 0, set()
        self.last = {stream: now for stream in self.last}

    def take(self, stream, number, source):
        now = time.monotonic()
        self.gap = max(self.gap, now - self.last.get(stream, now))
        self.lost += max(0, number - self.numbers.get(stream, number - 1) - 1)
        self.last[stream], self.numbers[stream] = now, number
        self.packets += 1
        self.sources.add(source)

    def tell_if_asked(self):
        if not self.asked:
            return
        self.asked = False
        now = time.monotonic()
        gap = max([self.gap] + [now - last for last in self.last.values()])
        said = {"gap": round(gap * 1000, 1), "packets": self.packets, "lost": self.lost, "sources": sorted(self.sources)}
        print("round " + json.dumps(said), flush=True)
        self.reset(now)


def send(interval, addresses, port):
    streams = [(os.getpid() << 8 | i, address) for i, address in enumerate(addresses.split(","))]
    sock = socket.socket(socket.AF_INET6 if ":" in addresses else socket.AF_INET, socket.SOCK_DGRAM)
    number, due = 0, time.monotonic()
    print("sends", flush=True)
    while True:
        number += 1
        for stream, address in streams:
            try:
                sock.sendto(struct.pack(">II", stream, number), (address, int(port)))
            except OSError:
                pass  # no way at this moment
        due += float(interval) / 1000
        time.sleep(max(0, due - time.monotonic()))


def receive(port):
    seen = Seen()
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind(("::", int(port)))
    print("listens", flush=True)
    while True:
        if select.select([sock], [], [], 0.005)[0]:
            data, peer = sock.recvfrom(64)
            stream, number = struct.unpack(">II", data[:8])
            seen.take(stream, number, peer[0].removeprefix("::ffff:"))
        seen.tell_if_asked()


def ping(interval, address):
    seen = Seen()
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    name, number, due = os.getpid() & 0xFFFF, 0, time.monotonic()
    print("sends", flush=True)
    while True:
        if time.monotonic() >= due:
            number += 1
            due += float(interval) / 1000
            packet = struct.pack(">BBHHHI", 8, 0, 0, name, number & 0xFFFF, number)
            try:
                sock.sendto(packet[:2] + struct.pack(">H", checksum(packet)) + packet[4:], (address, 0))
            except OSError:
                pass
        if select.select([sock], [], [], max(0, min(0.005, due - time.monotonic())))[0]:
            data, peer = sock.recvfrom(64)
            kind, _, _, answered, _, number_of = struct.unpack(">BBHHHI", data[20:32])
            if kind == 0 and answered == name:
                seen.take(0, number_of, peer[0])
        seen.tell_if_asked()


{"send": send, "receive": receive, "ping": ping}[sys.argv[1]](*sys.argv[2:])
