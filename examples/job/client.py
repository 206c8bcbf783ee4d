"""python3 job/client.py [URL of the server] [step that fails]

Starts a job and waits for its end. Its exit code is that of the job.
"""

import json
import pathlib
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
fail = sys.argv[2] if len(sys.argv) > 2 else "0"

with urllib.request.urlopen(f"{server}/jobs?fail={fail}", data=b"") as answer:
    stream = answer.headers["Location"]
code = 1
with leat.Client(server).events(stream) as events:
    for event in events:
        if event.end:
            print(event.end.state, event.end.reason)
            code = 0 if event.end.state == "complete" else 1
        elif event.type == "message":
            progress = json.loads(event.data)
            print(f"{progress['done']}/{progress['of']} {progress['step']}", flush=True)
sys.exit(code)
