"""send.py [pause=SECONDS] ADDRESS...: sends to every address almost without a pause, or with one, until it is told to stop: UDP of one flow and of a new
flow each time, ICMP echo requests, new TCP connections, and bytes on one TCP connection. What fails is tried again:
only what comes out at the other end counts. Prints "sending" after the first round, "round N" after every twentieth, and
at the end the rounds."""

import errno
import signal
import socket
import struct
import sys
import time

running = True


def stop(*_):
    global running
    running = False


class Target:
    def __init__(self, address):
        self.address = address
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.flow = socket.socket(self.family, socket.SOCK_DGRAM)
        self.stream = self.connection(8081)
        six = self.family == socket.AF_INET6
        self.icmp = socket.socket(self.family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
        # Echo request with ID 0 and sequence 0; the checksum of IPv6 is the kernel's task.
        self.echo = struct.pack("!BBHHH", 128, 0, 0, 0, 0) if six else struct.pack("!BBHHH", 8, 0, 0xF7FF, 0, 0)

    def connection(self, port):
        s = socket.socket(self.family, socket.SOCK_STREAM)
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Closing ends the connection at once: nothing is sent again after this program has ended.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if s.connect_ex((self.address, port)) not in (0, errno.EINPROGRESS):
            s.close()
        return s

    def round(self):
        for step in (self.old_udp, self.new_udp, self.ping, self.new_tcp, self.old_tcp):
            try:
                step()
            except OSError:
                pass

    def old_udp(self):
        self.flow.sendto(b"flow", (self.address, 9))

    def new_udp(self):
        with socket.socket(self.family, socket.SOCK_DGRAM) as s:
            s.sendto(b"new", (self.address, 9))

    def ping(self):
        self.icmp.sendto(self.echo, (self.address, 0))

    def new_tcp(self):
        self.connection(8080).close()

    def old_tcp(self):
        try:
            self.stream.send(b"x")
        except BlockingIOError:
            pass
        except OSError:
            self.stream.close()
            self.stream = self.connection(8081)


signal.signal(signal.SIGTERM, stop)
words = sys.argv[1:]
pause = float(words.pop(0).removeprefix("pause=")) if words[0].startswith("pause=") else 0.001
targets = [Target(address) for address in words]
rounds = 0
while running:
    for target in targets:
        target.round()
    rounds += 1
    if rounds == 1:
        print("sending", flush=True)
    if rounds % 20 == 0:
        print(f"round {rounds}", flush=True)
    time.sleep(pause)
print(f"rounds {rounds}", flush=True)
