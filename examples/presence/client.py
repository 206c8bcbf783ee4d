"""python3 presence/client.py [URL of the server] [name]"""

import json
import pathlib
import sys
import threading
import urllib.request
from urllib.parse import quote

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
name = sys.argv[2] if len(sys.argv) > 2 else "python"
gone = threading.Event()


def beat() -> None:
    wait = 0.0
    while not gone.wait(wait):
        try:
            with urllib.request.urlopen(f"{server}/here/{quote(name, safe='')}", data=b"", timeout=10) as answer:
                wait = json.load(answer)["next"] / 1000
        except OSError as error:
            print(error, file=sys.stderr)  # the server is away; it will be told later
            wait = 5.0


threading.Thread(target=beat, daemon=True).start()
try:
    with leat.Client(server).subscribe("here", from_="-1") as events:
        for event in events:
            print("here:", ", ".join(json.loads(event.data)["here"]), flush=True)
except KeyboardInterrupt:
    gone.set()
    urllib.request.urlopen(f"{server}/gone/{quote(name, safe='')}", data=b"").close()
