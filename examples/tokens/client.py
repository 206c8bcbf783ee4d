"""python3 tokens/client.py [URL of the server] [question]"""

import pathlib
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
question = sys.argv[2] if len(sys.argv) > 2 else "What is a leat?"

with urllib.request.urlopen(server + "/answers", data=question.encode()) as answer:
    stream = answer.headers["Location"]
with leat.Client(server).events(stream) as events:
    for event in events:
        if event.end:
            print(f"\n({event.end.state})")
        elif event.type == "message":
            print(event.data, end="", flush=True)
