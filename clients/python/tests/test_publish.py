"""Publishing, with a server that loses answers."""

import json
import threading
import unittest
from typing import Any, Dict, List, Optional

from kit import Notices, failure, no_floor, quick
from leat import Client, LeatError, Message, Receipt
from leat.publish import BATCH_RECORDS, _string
from scripted import PATIENCE, Connection, Server, empty


def stored(count: int, last: str = "9", duplicates: int = 0, **more: Any) -> Any:
    body = json.dumps({"count": count, "last": last, "duplicates": duplicates, **more})
    return empty("200 OK", body=body.encode(), type="application/json")


def problem(status: str, headers: str = "", **members: Any) -> Any:
    return empty(status, headers, json.dumps(members).encode(), "application/problem+json")


def lost(connection: Connection) -> None:
    """What was sent has arrived, and its answer does not."""
    connection.reset()


def sent(server: Server, request: int) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in server.seen[request].body.decode().split("\n")[:-1]]


class PublishTest(unittest.TestCase):
    def setUp(self) -> None:
        patch = no_floor()
        patch.start()
        self.addCleanup(patch.stop)


class TestPublish(PublishTest):
    def test_one_record_of_each_kind(self) -> None:
        with Server(*[stored(1)] * 4) as server:
            client = quick(server.url + "/base/", headers={"X-A": "b"})
            self.assertEqual(client.publish("a", "t€xt\n", type="t", key="k"), Receipt(1, 0, "9"))
            client.publish("a", b"\x00\xff")
            client.publish("a", {"b": [1, None]})
            client.publish("a", 7)
            lines = [sent(server, i)[0] for i in range(4)]
            self.assertEqual(lines[0], {"topic": "a", "key": "k", "type": "t", "data": "t€xt\n"})
            self.assertEqual([(line["data"], line.get("encoding")) for line in lines[1:]],
                             [("AP8=", "base64"), ({"b": [1, None]}, None), (7, None)])
            seen = server.seen[0]
            self.assertEqual((seen.method, seen.target, seen.headers["content-type"], seen.headers["x-a"]),
                             ("POST", "/base/events", "application/x-ndjson", "b"))

    def test_lost_answer_is_repeated_with_the_same_keys(self) -> None:
        with Server(lost, empty("503 Busy"), problem("409 Conflict", code="conflict", detail="busy"), stored(2, duplicates=1)) as server:
            receipt = quick(server.url).publish_all([Message("a", 1), Message("b", 2, key="mine")])
            self.assertEqual(receipt, Receipt(2, 1, "9"))
            self.assertEqual(len({seen.body for seen in server.seen}), 1)
            keys = [line["key"] for line in sent(server, 0)]
            self.assertEqual(keys[1], "mine")
            self.assertGreaterEqual(len(keys[0]), 20)

    def test_part_that_is_stored_is_not_sent_again(self) -> None:
        # The failures in a row that count are those without progress.
        with Server(
            problem("503 Busy", code="unavailable", detail="stopping", count=1, last="1"),
            problem("503 Busy", code="unavailable", detail="stopping", count=1, last="2"),
            stored(1, "3"),
        ) as server:
            self.assertEqual(quick(server.url, attempts=2).publish_all(Message("a", n) for n in range(3)), Receipt(3, 0, "3"))
            self.assertEqual([[line["data"] for line in sent(server, i)] for i in range(3)], [[0, 1, 2], [1, 2], [2]])

    def test_record_that_is_refused(self) -> None:
        with Server(stored(BATCH_RECORDS), problem("409 Conflict", code="content_type_mismatch", detail="no", line=3, count=2, last="7")) as server:
            e = failure(lambda: quick(server.url).publish_all([Message("a", n) for n in range(BATCH_RECORDS + 5)]))
            self.assertEqual((e.code, e.status, e.fields["line"]), ("content_type_mismatch", 409, BATCH_RECORDS + 3))
            self.assertEqual(e.fields["stored"], Receipt(BATCH_RECORDS + 2, 0, "7"))
            self.assertIn(f"record {BATCH_RECORDS + 3}: ", str(e))

    def test_record_that_cannot_be_written(self) -> None:
        for bad in (float("nan"), {1, 2}, "\ud800", [[object()]]):
            with Server(stored(1)) as server:
                e = failure(lambda: quick(server.url).publish_all([Message("a", 1), Message("a", bad), Message("a", 3)]))
                self.assertEqual((e.code, e.fields["line"], e.fields["stored"]), ("invalid_body", 2, Receipt(1, 0, "9")))
                self.assertEqual([line["data"] for line in sent(server, 0)], [1])

    def test_batches(self) -> None:
        with Server(stored(BATCH_RECORDS), stored(1), keep=True) as server, quick(server.url).publisher() as publisher:
            self.assertEqual(publisher.publish_all(Message("a", n) for n in range(BATCH_RECORDS + 1)).count, BATCH_RECORDS + 1)
        with Server(stored(3), stored(1)) as server:
            # A batch ends with the message that makes it large.
            quick(server.url).publish_all([Message("a", "x" * 100_000)] * 4)
            self.assertEqual([len(sent(server, i)) for i in range(2)], [3, 1])
        self.assertEqual(quick("http://127.0.0.1:1").publish_all([]), Receipt())

    def test_connection_is_kept_and_a_stale_one_replaced(self) -> None:
        notices = Notices()
        with Server(stored(1), stored(1), keep=True) as server, quick(server.url, notify=notices).publisher() as publisher:
            publisher.publish("a", 1)
            publisher.publish("a", 2)
            self.assertEqual(len(server._sockets), 1)
        with Server(stored(1), stored(1)) as server, quick(server.url, notify=notices).publisher() as publisher:
            # This server closes without a word.
            publisher.publish("a", 1)
            publisher.publish("a", 2)
        self.assertEqual(notices.all, [])

    def test_answer_of_another_program(self) -> None:
        for script in (stored(2), empty("200 OK", body=b"hello"), empty("200 OK", body=b"[1]")):
            with Server(script) as server:
                self.assertEqual(failure(lambda: quick(server.url).publish("a", 1)).code, "unexpected_answer")

    def test_gives_up_in_time(self) -> None:
        with Server() as gone:
            pass
        notices = Notices()
        e = failure(lambda: quick(gone.url, attempts=None, notify=notices).publish("a", 1, timeout=0.2))
        self.assertEqual((e.code, e.temporary, e.fields["stored"]), ("unavailable", True, Receipt()))
        self.assertIn("connection refused", str(e))
        with Server(Connection.wait_gone, Connection.wait_gone) as server:
            e = failure(lambda: quick(server.url, attempts=None).publish("a", 1, timeout=0.2))
            self.assertEqual(e.code, "stalled")

    def test_close_ends_a_call(self) -> None:
        with Server(Connection.wait_gone) as server:
            publisher = quick(server.url).publisher()
            errors: List[LeatError] = []
            thread = threading.Thread(target=lambda: errors.append(failure(lambda: publisher.publish("a", 1))))
            thread.start()
            while not server.seen:
                thread.join(0.01)
            publisher.close()
            thread.join(PATIENCE)
            self.assertEqual([e.code for e in errors], ["closed"])
            self.assertEqual(failure(lambda: publisher.publish("a", 1)).code, "closed")


def taken(seq: int, status: str = "200 OK", offset: str = "5") -> Any:
    return empty(status, f"Producer-Epoch: 0\r\nProducer-Seq: {seq}\r\nStream-Next-Offset: {offset}\r\n")


class TestProducer(PublishTest):
    def numbers(self, server: Server) -> List[Optional[str]]:
        return [seen.headers.get("producer-seq") for seen in server.seen]

    def test_requests_are_numbered_and_repeated(self) -> None:
        with Server(taken(0), lost, empty("503 Busy"), taken(1, "204 No"), taken(2), taken(3)) as server:
            with quick(server.url).producer("a/ä", "text/plain; charset=utf-8", id="me", epoch=4) as producer:
                self.assertEqual([producer.append("x€"), producer.append(b"y")], ["5", "5"])
                producer.append("z")
                producer.end("error", 'disk "full"')
            self.assertEqual(self.numbers(server), ["0", "1", "1", "1", "2", "3"])
            self.assertEqual([seen.body.decode() for seen in server.seen], ["x€", "y", "y", "y", "z", ""])
            first, last = server.seen[0], server.seen[-1].headers
            self.assertEqual((first.method, first.target), ("POST", "/streams/a/%C3%A4"))
            self.assertEqual([first.headers[n] for n in ("producer-id", "producer-epoch", "content-type")],
                             ["me", "4", "text/plain; charset=utf-8"])
            self.assertEqual((last["stream-closed"], last["leat-end"]), ("true", 'error; reason="disk \\"full\\""'))

    def test_json(self) -> None:
        with Server(taken(0), taken(1)) as server, quick(server.url).producer("a", "application/json") as producer:
            producer.append([1, "ä"])
            producer.append_all([1, {"b": 2}])
            self.assertEqual([seen.body.decode() for seen in server.seen], ['[[1,"ä"]]', '[1,{"b":2}]'])
            self.assertEqual(len(producer.id), 32)

    def test_in_doubt(self) -> None:
        with Server(lost, taken(0, "204 No"), taken(1)) as server:
            with quick(server.url, attempts=1).producer("a", "text/plain") as producer:
                self.assertTrue(failure(lambda: producer.append("x")).temporary)
                # Sent under the same number, this would be dropped as a
                # repetition of the one before.
                self.assertEqual(failure(lambda: producer.append("y")).code, "in_doubt")
                self.assertEqual(failure(producer.end).code, "in_doubt")
                producer.append("x")
                producer.append("y")
            self.assertEqual(self.numbers(server), ["0", "0", "1"])
            self.assertEqual([seen.body for seen in server.seen], [b"x", b"x", b"y"])

    def test_refusal_is_no_doubt(self) -> None:
        with Server(problem("409 Conflict", code="content_type_mismatch", detail="no"), taken(0)) as server:
            with quick(server.url).producer("a", "text/plain") as producer:
                self.assertEqual(failure(lambda: producer.append("x")).code, "content_type_mismatch")
                producer.append("y")
            self.assertEqual(self.numbers(server), ["0", "0"])
        with Server(problem("403 Forbidden", "Producer-Epoch: 9\r\n", code="stale_epoch", detail="taken")) as server:
            with quick(server.url).producer("a", "text/plain", id="me") as producer:
                e = failure(lambda: producer.append("x"))
                self.assertEqual((e.code, e.headers["producer-epoch"]), ("stale_epoch", "9"))
                self.assertGreater(producer.epoch, 1_600_000_000_000)

    def test_a_server_without_producers_is_told(self) -> None:
        with Server(empty("200 OK")) as server, quick(server.url).producer("a", "text/plain") as producer:
            self.assertEqual(failure(lambda: producer.append("x")).code, "unexpected_answer")

    def test_data_that_does_not_fit(self) -> None:
        with Client("http://127.0.0.1:1").producer("a", "text/plain") as producer:
            self.assertEqual(failure(lambda: producer.append(1)).code, "invalid_body")
            self.assertEqual(failure(lambda: producer.append_all(["x"])).code, "invalid_parameter")

    def test_reason(self) -> None:
        self.assertEqual(_string('a\\"b'), '"a\\\\\\"b"')
        self.assertEqual(_string("Grüße 100%"), '%"Gr%c3%bc%c3%9fe 100%25"')
