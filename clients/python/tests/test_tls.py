"""TLS: verified unless a context says otherwise, and closed from elsewhere."""

import os
import socket
import ssl
import threading
import unittest

from kit import Notices, failure, no_floor, quick
from leat.wire import strict
from scripted import PATIENCE, Connection, Server, reply

TESTDATA = os.path.join(os.path.dirname(__file__), "testdata")
CERTIFICATE = os.path.join(TESTDATA, "localhost.crt")


def serve(sock: socket.socket) -> socket.socket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, os.path.join(TESTDATA, "localhost.key"))
    try:
        return context.wrap_socket(sock, server_side=True)
    except OSError:
        sock.close()  # the client did not like it
        raise


class TestTLS(unittest.TestCase):
    def test_reads_and_reconnects(self) -> None:
        with no_floor(), Server(reply([b"id: 1\ndata: a\n\n"], cut=True), reply([b"data: b\n\n"]), tls=serve) as server:
            context = ssl.create_default_context(cafile=CERTIFICATE)
            stream = quick(server.url, context=context).events("/")
            self.assertEqual([event.data for event in stream], ["a", "b"])
            self.assertEqual(server.seen[1].headers["last-event-id"], "1")

    def test_connection_that_ends_without_a_farewell(self) -> None:
        # Anybody on the way can end a TCP connection; only the server can say
        # that it ended this one.
        def farewell(connection: Connection) -> None:
            reply([b"1\n2\n"], framing="close")(connection)
            assert isinstance(connection.socket, ssl.SSLSocket)
            connection.socket.unwrap()

        with Server(reply([b"1\n2\n"], framing="close"), farewell, tls=serve) as server:
            client = quick(server.url, context=strict(ssl.create_default_context(cafile=CERTIFICATE)))
            lines = client.lines("/")
            self.assertEqual([next(lines).value, next(lines).value], [1, 2])
            self.assertEqual(failure(lambda: next(lines)).code, "truncated")
            self.assertEqual([line.value for line in client.lines("/")], [1, 2])

    def test_unknown_authority_is_final(self) -> None:
        with Server(tls=serve) as server:
            e = failure(lambda: next(quick(server.url).events("/")))
            self.assertEqual((e.code, e.temporary), ("unavailable", False))
            self.assertIn("is not trusted", str(e))

    def test_close_from_another_thread(self) -> None:
        notices = Notices()
        with Server(reply([b": x\n"], hold=True), tls=serve) as server:
            context = ssl.create_default_context(cafile=CERTIFICATE)
            stream = quick(server.url, context=context, notify=notices).events("/")
            thread = threading.Thread(target=lambda: list(stream))
            thread.start()
            notices.wait_for("comment")
            stream.close()
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())

    def test_close_during_the_handshake(self) -> None:
        begun, gone = threading.Event(), threading.Event()

        def deaf(sock: socket.socket) -> socket.socket:
            begun.set()
            Connection(sock, None).wait_gone()  # type: ignore[arg-type]
            gone.set()
            raise OSError("no handshake")

        with Server(tls=deaf) as server:
            stream = quick(server.url).events("/")
            thread = threading.Thread(target=lambda: list(stream))
            thread.start()
            self.assertTrue(begun.wait(PATIENCE))
            stream.close()
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())
            self.assertTrue(gone.wait(PATIENCE))
