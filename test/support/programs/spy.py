"""A CNI plugin that changes nothing and keeps what it was sent: one file for each call, in the folder that its chain entry
names, with the environment and standard input as JSON."""

import json
import os
import sys
import time

command = os.environ["CNI_COMMAND"]
request = json.load(sys.stdin)
if "folder" in request:
    name = f"{time.time_ns()}-{command}.json"
    # Nobody reads half a file.
    with open(f"{request['folder']}/.{name}", "w") as file:
        json.dump({"environment": dict(os.environ), "request": request}, file)
    os.rename(f"{request['folder']}/.{name}", f"{request['folder']}/{name}")
if command == "ADD":
    print(json.dumps(request["prevResult"]))
if command == "VERSION":
    print(json.dumps({"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]}))
