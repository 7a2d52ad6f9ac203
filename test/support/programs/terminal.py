"""Runs a command on a terminal of its own, of so many columns and rows, and prints what it wrote there.

usage: terminal.py COLUMNS ROWS TEXT COUNT COMMAND...

When TEXT was written COUNT times, Ctrl-C is typed once. Without COUNT (0) nothing is typed. Ends as the command does; whether the
terminal is set as it was before is told on stderr.
"""

import fcntl
import os
import pty
import struct
import sys
import termios

columns, rows, text, count = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode(), int(sys.argv[4])
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execvp(sys.argv[5], sys.argv[5:])

before = termios.tcgetattr(terminal)
written = b""
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:  # EIO: the last who had it open is gone
        break
    if not part:
        break
    written += part
    if count > 0 and written.count(text) >= count:
        os.write(terminal, b"\x03")
        count = 0
after = termios.tcgetattr(terminal)
_, status = os.waitpid(child, 0)
sys.stdout.write(written.decode())
sys.stderr.write("as before\n" if before == after else "changed\n")
sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
