"""python3 ndjson/client.py [URL of the server] [rows] [break off after]"""

import http.client
import json
import sys
import urllib.request

server, n, cut = (sys.argv[1:] + ["http://127.0.0.1:8080", "5", ""][len(sys.argv) - 1:])[:3]

rows, total = 0, None
try:
    # The timeout is for each read, not for the whole: it is how long the server may be silent.
    with urllib.request.urlopen(f"{server}/rows?n={n}&cut={cut}", timeout=60) as response:
        # Iterating yields lines of bytes, cut at LF only, as soon as each has arrived.
        # (splitlines() of text would also cut at U+2028, which JSON strings may contain.)
        for line in response:
            if line == b"\n":
                continue
            value = json.loads(line)
            if "total" in value:
                total = value["total"]
                continue
            rows += 1
            print(value["row"], value["name"], flush=True)
    if total != rows:
        raise EOFError("the last line is missing")
    print(f"all {rows} rows")
except (OSError, EOFError, http.client.IncompleteRead, json.JSONDecodeError):
    print(f"broken off after {rows} rows")
