"""python3 audio/client.py [URL of the server] [file to write to]"""

import pathlib
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
out = open(sys.argv[2], "wb") if len(sys.argv) > 2 else None

with urllib.request.urlopen(server + "/recordings", data=b"") as answer:
    stream = answer.headers["Location"]
heard = 0
with leat.Client(server).download(stream + "?follow=1") as sound:
    for part in sound:
        heard += len(part)  # long before the recording is over
        if out:
            out.write(part)
print(f"{heard} bytes of {stream}", file=sys.stderr)
if not out:
    print(heard)
