"""python3 compare/client.py [URL of the server] [topic] [how many records]

The same records over each of the three forms that are plain HTTP.
"""

import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
topic = sys.argv[2] if len(sys.argv) > 2 else "four"
count = int(sys.argv[3]) if len(sys.argv) > 3 else 3

client = leat.Client(server)
with client.subscribe(topic, from_="start") as events:
    print("events:", ", ".join(event.data for event in itertools.islice(events, count)))
with client.records(topic, from_="start") as lines:
    print("lines:", ", ".join(record.data for record in itertools.islice(lines, count)))
with client.poll(topic, from_="start") as polls:
    print("polls:", ", ".join(record.data for record in itertools.islice(polls, count)))
