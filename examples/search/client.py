"""python3 search/client.py [URL of the server] [what to search for]"""

import pathlib
import sys
from urllib.parse import quote

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
query = sys.argv[2] if len(sys.argv) > 2 else "not"

found = 0
with leat.Client(server).elements("/search?q=" + quote(query)) as elements:
    for element in elements:
        print(element["code"], element["text"], flush=True)  # while the rest is searched for
        found += 1
print(found, "found")
