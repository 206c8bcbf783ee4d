"""python3 logtail/client.py [URL of the server] [how many lines]"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
count = int(sys.argv[2]) if len(sys.argv) > 2 else 0

read = 0
with leat.Client(server).records("log", from_="-100") as records:
    for record in records:
        if record.gap:
            print("lines are missing:", record.gap.reason, file=sys.stderr)
            continue
        print(record.data, flush=True)
        read += 1
        if read == count:
            break
