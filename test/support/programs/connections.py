"""connections.py WAY COUNT ADDRESS...: holds COUNT TCP connections to partner.py, to the addresses in turn; WAY is echo,
download or idle. Prints "connected" when each has had its first line. After SIGUSR1 it waits until each connection has
had ten lines more, or for GIVE_UP seconds, and prints "round" and what it found since the round before, as JSON:
  moved    connections that had ten lines
  silent   names of those that had not
  broken   what was wrong with any, ever: it was closed or reset, or a line was not the one that had to come next, or
           came from another peer
  peers    addresses that the other end saw
  gap      milliseconds: the longest time between two lines of one connection, or since its last one
An echo connection asks again as soon as it has its answer, and after PAUSE."""

import os
import selectors
import signal
import socket
import sys
import time

GIVE_UP = 20
PAUSE = 0.02
LINES = 10


class Connection:
    def __init__(self, name, address):
        self.name = name
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_connection((address, 8082), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read, self.number, self.asked, self.peer, self.lines, self.gap = b"", -1, 0, None, 0, 0.0
        self.last = time.monotonic()
        self.socket.sendall(f"{way} {name}\n".encode())
        self.socket.setblocking(False)

    def take(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("closed")
        *lines, self.read = (self.read + data).split(b"\n")
        for line in lines:
            self.line(line.decode())

    def line(self, text):
        name, number, peer = text.split(" ", 2)
        if (name, int(number), peer) != (self.name, self.number + 1, self.peer or peer):
            raise ValueError(f"got {text!r} after {self.number} {self.peer}")
        now = time.monotonic()
        self.gap, self.last = max(self.gap, now - self.last), now
        self.number, self.peer, self.lines = self.number + 1, peer, self.lines + 1

    def ask(self):
        # The next question goes out when the last one is answered; nothing is asked twice.
        if self.asked <= self.number:
            self.asked = self.number + 1
            self.socket.send(f"{self.asked}\n".encode())

    def begin_round(self):
        self.lines, self.gap = 0, 0.0

    def longest(self, now):
        return max(self.gap, now - self.last)


def attempt(connection, step):
    try:
        step()
    except (OSError, ValueError) as error:
        broken.append(f"{connection.name}: {error}".replace("'", "").replace('"', ""))
        events.unregister(connection.socket)
        connection.socket.close()
        connections.remove(connection)


def report():
    now = time.monotonic()
    moved = [one for one in connections if one.lines >= LINES]
    found = {
        "moved": len(moved),
        "silent": [one.name for one in connections if one not in moved],
        "broken": broken,
        "peers": sorted({one.peer.rsplit(" ", 1)[0] for one in connections}),
        "gap": round(1000 * max((one.longest(now) for one in connections), default=0)),
    }
    # As JSON. The module for it is not in the least Python that Debian has.
    print("round", str(found).replace("'", '"'), flush=True)
    for one in connections:
        one.begin_round()


def begin(*_):
    global deadline
    deadline = time.monotonic() + GIVE_UP
    for one in connections:
        one.lines = 0


way, count, addresses = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
broken, deadline, due = [], None, 0.0
signal.signal(signal.SIGUSR1, begin)
connections = [Connection(f"{way}-{os.getpid()}-{i}", addresses[i % len(addresses)]) for i in range(count)]
events = selectors.DefaultSelector()
for one in connections:
    events.register(one.socket, selectors.EVENT_READ, one)
connected = False
while True:
    for key, _ in events.select(PAUSE):
        attempt(key.data, key.data.take)
    now = time.monotonic()
    if way == "echo" and now >= due:
        due = now + PAUSE
        for one in list(connections):
            attempt(one, one.ask)
    if not connected and all(one.number >= 0 for one in connections):
        connected = True
        print("connected", flush=True)
    if deadline and (now > deadline or all(one.lines >= LINES for one in connections)):
        deadline = None
        report()
