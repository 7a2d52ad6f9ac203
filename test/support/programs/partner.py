"""Talks with connections.py on TCP port 8082, in one of its ways for each connection: `echo` answers every line at once,
`download` sends a line every few milliseconds and listens to nothing, `idle` sends lines only after SIGUSR1: ten to each
such connection. Every line that it sends tells the connection's name, a number that counts up, and the peer that it has."""

import collections
import selectors
import signal
import socket
import time

INTERVAL = 0.02
LINES_AFTER_IDLE = 10
# More lines that nobody has taken only make the first ones after a gap later.
MOST_WAITING = 65536


class Connection:
    def __init__(self, s, peer):
        self.socket, self.peer = s, f"{peer[0].removeprefix('::ffff:')} {peer[1]}"
        self.read, self.unsent, self.way, self.name, self.number = b"", b"", None, None, 0

    def take(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError
        *lines, self.read = (self.read + data).split(b"\n")
        for line in lines:
            self.line(line.decode())

    def line(self, text):
        if self.way is None:
            self.way, self.name = text.split()
            self.say("0")
        elif self.way == "echo":
            self.say(text)

    def say(self, text):
        if len(self.unsent) < MOST_WAITING:
            self.unsent += f"{self.name} {text} {self.peer}\n".encode()
            self.push()

    def count(self):
        if len(self.unsent) < MOST_WAITING:
            self.number += 1
            self.say(str(self.number))

    def push(self):
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass


def accept():
    s, peer = listener.accept()
    s.setblocking(False)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connections.append(Connection(s, peer))
    events.register(s, selectors.EVENT_READ, connections[-1])


def attempt(connection, step):
    try:
        step()
    except OSError as error:
        print(f"broken {connection.name} {error}", flush=True)
        events.unregister(connection.socket)
        connection.socket.close()
        connections.remove(connection)


def speak(ways):
    for connection in [one for one in connections if one.way in ways]:
        attempt(connection, connection.count)


asked = collections.deque()
signal.signal(signal.SIGUSR1, lambda *_: asked.extend([True] * LINES_AFTER_IDLE))
connections = []
listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
listener.bind(("::", 8082))
listener.listen(128)
events = selectors.DefaultSelector()
events.register(listener, selectors.EVENT_READ, None)
print("ready", flush=True)
due = time.monotonic()
while True:
    for key, _ in events.select(max(0, due - time.monotonic())):
        attempt(key.data, key.data.take) if key.data else accept()
    if time.monotonic() >= due:
        due += INTERVAL
        # Decided once: the signal may come at any line.
        told = bool(asked) and asked.popleft()
        speak(("download", "idle") if told else ("download",))
        for connection in list(connections):
            attempt(connection, connection.push)
