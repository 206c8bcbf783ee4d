"""The client against a real leat: kill -9, restart, gaps and ends."""

import itertools
import threading
import unittest
from typing import Any, Callable, Dict, List

from kit import Notices, failure, quick
from leat import Client, Message, Receipt
from leatserver import Leat
from scripted import PATIENCE

FOREIGN = "0000000000000001_0000000000000005"


class TestLeat(unittest.TestCase):
    leat: Leat

    @classmethod
    def setUpClass(cls) -> None:
        cls.leat = Leat()
        cls.addClassCleanup(cls.leat.stop)

    def client(self, **options: Any) -> Client:
        return quick(self.leat.url, **options)

    def test_kill_and_restart(self) -> None:
        """Every reader gets each record once, in order, and every record that
        was published is stored once, while the server is killed."""
        notices = Notices()
        client = self.client(retry=0.1, attempts=None, notify=notices)
        client.create("kill/bytes", "text/plain")
        readers: Dict[str, Any] = {
            "events": client.subscribe("kill/topic", from_="start"),
            "records": client.records("kill/topic", from_="start"),
            "poll": client.poll("kill/topic", from_="start", wait=5),
            "download": client.download("/streams/kill/bytes?follow=1"),
        }
        got: Dict[str, List[Any]] = {name: [] for name in readers}
        halfway = {name: threading.Event() for name in readers}
        restarted = threading.Event()
        published: List[int] = []

        def read(name: str) -> None:
            for item in readers[name]:
                got[name].append(item)
                if len(got[name]) >= 5:
                    halfway[name].set()

        def publish() -> None:
            with client.publisher() as publisher, client.producer("kill/bytes", "text/plain") as producer:
                last = 0
                while len(published) < last + 20:
                    n = len(published)
                    publisher.publish("kill/topic", {"n": n})
                    producer.append(f"{n}\n")
                    published.append(n)
                    if not restarted.is_set():
                        last = n
                producer.end()

        threads = [threading.Thread(target=read, args=(name,)) for name in readers]
        threads.append(threading.Thread(target=publish))
        for thread in threads:
            thread.start()
        for event in halfway.values():
            self.assertTrue(event.wait(PATIENCE), got)
        self.leat.kill()
        self.leat.start()
        restarted.set()
        threads[-1].join(PATIENCE)
        self.assertFalse(threads[-1].is_alive())
        with client.producer("kill/topic", "application/json") as producer:
            producer.end()
        for thread in threads:
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive(), {name: len(items) for name, items in got.items()})
        count = len(published)
        # All of them lost their connection.
        self.assertGreaterEqual(len(notices.kinds("waiting")), 5)
        want = [f'{{"n":{n}}}' for n in range(count)]
        self.assertEqual([e.data for e in got["events"] if not e.end], want)
        for name in ("records", "poll"):
            self.assertEqual([r.data for r in got[name] if not r.end], [{"n": n} for n in range(count)])
        for name in ("events", "records", "poll"):
            self.assertEqual([item.end.state for item in got[name][-1:]], ["complete"])
        self.assertEqual(b"".join(got["download"]).decode(), "".join(f"{n}\n" for n in range(count)))

    def test_kinds_of_data(self) -> None:
        client = self.client()
        values: List[Any] = ["t€xt\r\nline", b"\x00\xff", {"a": [1.5, None, "\u2028"]}]
        receipt = client.publish_all([Message(f"kinds/{n}", value, type="t", key="k") for n, value in enumerate(values)])
        self.assertEqual((receipt.count, receipt.duplicates), (3, 0))
        reads: List[Callable[..., Any]] = [client.records, client.poll]
        for read in reads:
            with read("kinds/*", from_="start") as records:
                got = list(itertools.islice(records, 3))
            self.assertEqual([r.data for r in got], values)
            self.assertEqual([(r.topic, r.type, r.key) for r in got], [(f"kinds/{n}", "t", "k") for n in range(3)])
            self.assertEqual(got[-1].id, receipt.last)
        with client.subscribe("kinds/0", from_="start") as events:
            self.assertEqual(next(events).data, "t€xt\nline")
        # The same once more is not stored again.
        self.assertEqual(client.publish("kinds/0", "t€xt\r\nline", key="k").duplicates, 1)
        e = failure(lambda: client.publish_all([Message("kinds/0", "x"), Message("kinds/0", 7)]))
        self.assertEqual((e.code, e.status, e.fields["line"]), ("content_type_mismatch", 409, 2))
        self.assertEqual(e.fields["stored"].count, 1)

    def test_gap(self) -> None:
        client = self.client()
        client.publish("gap", 1)
        readers: List[Callable[[], Any]] = [
            lambda: client.subscribe("gap", last_event_id=FOREIGN),
            lambda: client.records("gap", last_event_id=FOREIGN),
            lambda: client.poll("gap", last_event_id=FOREIGN),
        ]
        for make in readers:
            with make() as reader:
                first = next(reader)
                self.assertEqual((first.gap.reason, first.gap.asked), ("foreign", FOREIGN))

    def test_end_that_is_not_complete(self) -> None:
        client = self.client()
        self.assertTrue(client.create("ends", "text/plain"))
        self.assertFalse(client.create("ends", "text/plain"))
        with client.producer("ends", "text/plain") as producer:
            producer.append("some")
            producer.end("error", "Gerät weg")
        readers: List[Any] = [client.subscribe(stream="ends"), client.records(stream="ends")]
        for reader in readers:
            first, last = reader
            self.assertEqual(first.data, "some")
            self.assertEqual((last.end.topic, last.end.state, last.end.reason), ("ends", "error", "Gerät weg"))
        for url in ("/streams/ends", "/streams/ends?follow=1"):
            download = client.download(url)
            self.assertEqual(next(download), b"some")
            e = failure(lambda: next(download))
            self.assertEqual((e.code, e.temporary), ("truncated", False))
            self.assertIn("error", str(e))

    def test_download_in_parts(self) -> None:
        client = self.client()
        client.create("parts", "application/octet-stream")
        with client.producer("parts", "application/octet-stream") as producer:
            producer.append(b"a" * 300_000)
            with client.download("/streams/parts") as download:
                begun = next(download)
            producer.append(b"b" * 10)
            # The tag of the part that is here is also good for what has grown.
            rest = client.download("/streams/parts", offset=download.offset, etag=download.etag)
            self.assertEqual(begun + b"".join(rest), b"a" * 300_000 + b"b" * 10)
            self.assertEqual(list(client.download("/streams/parts", offset=rest.offset, etag=rest.etag)), [])

    def test_download_of_a_stream_that_is_quiet(self) -> None:
        notices = Notices()
        client = self.client(stall=0.3, attempts=None, notify=notices)
        self.client().create("quiet", "text/plain")
        with self.client().producer("quiet", "text/plain") as producer:
            producer.append("some")
            download = client.download("/streams/quiet?follow=1")
            self.assertEqual(next(download), b"some")

            def go_on() -> None:
                notices.wait_for("waiting")
                producer.append(" more")
                producer.end()

            thread = threading.Thread(target=go_on)
            thread.start()
            self.assertEqual(b"".join(download), b" more")
            thread.join(PATIENCE)

    def test_foreign_forms(self) -> None:
        """What reads any server reads this one."""
        client = self.client()
        client.create("forms", "application/json")
        with client.producer("forms", "application/json") as producer:
            producer.append_all([1, "]", {"a": []}])
            producer.end()
        self.assertEqual(list(client.elements("/streams/forms")), [1, "]", {"a": []}])
        lines = [line.value for line in client.lines("/streams/forms?as=ndjson")]
        self.assertEqual([value["data"] for value in lines if "data" in value], [1, "]", {"a": []}])

    def test_one_producer_takes_the_place_of_another(self) -> None:
        client = self.client()
        client.create("epochs", "text/plain")
        with client.producer("epochs", "text/plain", id="me", epoch=1) as old, \
                client.producer("epochs", "text/plain", id="me", epoch=2) as new:
            old.append("a")
            new.append("b")
            self.assertEqual(failure(lambda: old.append("c")).code, "stale_epoch")
        self.assertEqual(b"".join(client.download("/streams/epochs")), b"ab")

    def test_refusals(self) -> None:
        client = self.client()
        e = failure(lambda: client.publish("__no", 1))
        self.assertEqual((e.code, e.status, e.fields["line"]), ("invalid_name", 400, 1))
        e = failure(lambda: next(client.subscribe("a", from_="soon")))
        self.assertEqual((e.code, e.status), ("invalid_parameter", 400))
        self.assertTrue(e.advice)
        e = failure(lambda: next(client.download("/streams/none")))
        self.assertEqual((e.code, e.status), ("not_found", 404))
        self.assertEqual(Receipt(), failure(lambda: client.publish("", 1)).fields["stored"])
