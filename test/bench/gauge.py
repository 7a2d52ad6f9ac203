"""Runs programs one after another and says what each took: one JSON object for a program on a line of stdin, one for its usage on stdout.

A program: {"program": path, "args": [...], "env": {...}, "stdin": text}
Its usage: {"code": exit code, "output": text, "cpu": ms, "wall": ms, "faults": count, "memory": MiB}

Processor time is that of all threads, in user mode and in the kernel (getrusage(2)), and so are page faults that read nothing
from a disk; memory is the most that was resident. They are less disturbed by other work on the machine than wall time.
"""

import json
import os
import sys
import tempfile
import time


def run(program, args, env, stdin):
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output:
        given.write(stdin.encode())
        given.seek(0)
        ends = [(given, 0), (output, 1), (output, 2)]
        actions = [(os.POSIX_SPAWN_DUP2, file.fileno(), number) for file, number in ends]
        start = time.perf_counter()
        pid = os.posix_spawn(program, [program, *args], env, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - start
        output.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "output": output.read().decode(),
            "cpu": 1e3 * (usage.ru_utime + usage.ru_stime),
            "wall": 1e3 * wall,
            "faults": usage.ru_minflt,
            "memory": usage.ru_maxrss / 1024,
        }


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(run(request["program"], request["args"], request["env"], request["stdin"])), flush=True)
