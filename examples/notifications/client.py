"""python3 notifications/client.py [URL of the server]"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = (sys.argv[1:] or ["http://127.0.0.1:8080"])[0]

# It reconnects and goes on after the last id. The server ends it with 204.
with leat.Client(server).events("/notifications") as events:
    for event in events:
        print(event.id, event.type, event.data, flush=True)
