"""python3 migrate/client.py [URL of the server] [how many orders]"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
count = int(sys.argv[2]) if len(sys.argv) > 2 else 0


def notify(notice: leat.Notice) -> None:
    if notice.kind == "connected":
        print("connected", file=sys.stderr)


read = 0
with leat.Client(server, notify=notify).events("/stream") as events:
    for event in events:
        if event.type != "order":
            continue
        print(event.data, flush=True)
        read += 1
        if read == count:
            break
