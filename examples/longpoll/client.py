"""python3 longpoll/client.py [URL of the server] [how many messages]"""

import json
import random
import sys
import time
import urllib.request

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
most = int(sys.argv[2]) if len(sys.argv) > 2 else None

read, last, failures = 0, "", 0
while most is None or read < most:
    place = last and "&last_event_id=" + last  # it wins over from=
    try:
        # The timeout is longer than the server waits: else the connection is dead.
        url = server + "/events?as=json&topic=wall&from=start&wait=25s" + place
        with urllib.request.urlopen(url, timeout=40) as response:
            answer = json.load(response)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        failures += 1
        time.sleep(random.uniform(0, min(30, 0.5 * 2**failures)))
        continue
    failures = 0
    for event in answer["events"]:
        if "topic" in event and (most is None or read < most):
            print(event["data"], flush=True)
            read += 1
    last = answer["next"]
