"""A61: outgoing messages on real sockets: inner addresses, names that change, redirects, and answers without an end."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from bot import chat, outgoing
from bot.outgoing import Unreachable
from tests.doubles.receiver import answering, certificate, receiving
from worker.domain.alerting import Reach, WebAddress, networks_of
from worker.domain.errors import Unavailable
from worker.domain.secret_text import SecretText

PUBLIC, PRIVATE, LOOPBACK = Reach(), Reach(private=True), Reach(networks=networks_of(["127.0.0.0/8"]))
NAME = "alerts.example.org"


def address(text: str) -> WebAddress:
    found = WebAddress.of(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.9.9.9", "localhost", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:10.1.2.3]",
        "10.0.0.1", "172.16.0.9", "192.168.1.1", "100.64.0.1", "169.254.169.254", "[::ffff:169.254.169.254]",
        "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]",
        "[2002:7f00:1::]", "[::127.0.0.1]", "224.0.0.1", "[ff02::1]", "240.0.0.1", "255.255.255.255", "198.18.0.1",
        "127.1", "2130706433", "0x7f000001", "017700000001",
    ],
)  # fmt: skip
def test_a61_nothing_is_sent_inward_however_the_address_is_written(host: str) -> None:
    with receiving() as inner:
        with pytest.raises(Unreachable, match="nothing is sent there"):
            outgoing.post(address(f"https://{host}:{inner.port}/"), b"{}", {}, reach=PUBLIC)
        assert inner.bodies == []


@pytest.mark.parametrize(
    ("reach", "open_to", "closed_to"),
    [
        (PUBLIC, ["203.0.114.1", "2606:4700::1"], ["10.0.0.1", "127.0.0.1", "169.254.169.254"]),
        (PRIVATE, ["10.0.0.1", "::ffff:10.0.0.1", "127.0.0.1", "::1", "fd00::1", "8.8.8.8"],
         ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "::ffff:169.254.169.254"]),
        (Reach(networks=networks_of(["10.1.0.0/16"])), ["10.1.9.9", "8.8.8.8"], ["10.2.0.1", "127.0.0.1"]),
        (Reach(networks=networks_of(["169.254.0.0/16"])), ["169.254.1.1"], ["10.1.9.9"]),
    ],
)  # fmt: skip
def test_a61_the_operator_opens_what_is_private_and_never_more(
    reach: Reach, open_to: list[str], closed_to: list[str]
) -> None:
    assert [each for each in open_to if reach.refusal(ipaddress.ip_address(each))] == []
    assert [each for each in closed_to if not reach.refusal(ipaddress.ip_address(each))] == []


def test_a61_without_encryption_only_to_private_addresses() -> None:
    with pytest.raises(Unreachable, match="http is for private addresses only"):
        outgoing.post(address("http://8.8.8.8/"), b"{}", {}, reach=PRIVATE)
    with receiving() as inner:
        assert outgoing.post(address(f"http://127.0.0.1:{inner.port}/a?b=c"), b"{}", {}, reach=PRIVATE).status == 204
        assert inner.paths == ["/a?b=c"]
        assert inner.headers[0]["host"] == f"127.0.0.1:{inner.port}"


@pytest.mark.parametrize(
    "text",
    [
        "gopher://example.org/", "file:///etc/passwd", "ftp://example.org", "https://", "https:///x", "https://a b/",
        "https://ada:secret@example.org/", "https://example.org#@127.0.0.1/", "https://example.org\\@127.0.0.1/",
        "https://example.org:0/", "https://example.org:99999/", "https://example.org/\r\nX: y", "https://exämple.org/",
    ],
)  # fmt: skip
def test_a61_what_is_no_plain_web_address_is_none(text: str) -> None:
    assert WebAddress.of(text) is None


def test_a61_a_name_is_looked_up_once_and_exactly_what_was_judged_is_connected_to(tmp_path: Path) -> None:
    """The second answer of a rebinding name is never asked for; the certificate is that of the name all the same."""
    pem = certificate(tmp_path / "tls.pem", NAME)
    asked: list[str] = []
    with receiving(tls=pem) as inner:

        def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

        context = ssl.create_default_context(cafile=str(pem))
        url = address(f"https://{NAME}:{inner.port}/hook")
        answer = outgoing.post(url, b"{}", {}, reach=LOOPBACK, resolve=resolve, context=context)
        assert (answer.status, asked) == (204, [NAME])
        assert inner.headers[0]["host"] == f"{NAME}:{inner.port}"


def test_a61_one_inner_address_among_public_ones_makes_all_of_them_suspect() -> None:
    with receiving() as inner, pytest.raises(Unreachable, match=r"127\.0\.0\.1 is a loopback address"):
        outgoing.post(
            address(f"https://{NAME}:{inner.port}/"),
            b"{}",
            {},
            reach=PUBLIC,
            resolve=lambda _host, _port: ["8.8.8.8", "127.0.0.1"],
        )
    assert inner.bodies == []


def test_a61_a_certificate_for_another_name_is_not_believed(tmp_path: Path) -> None:
    pem = certificate(tmp_path / "tls.pem", "other.example.org")
    context = ssl.create_default_context(cafile=str(pem))
    with receiving(tls=pem) as inner:
        url = address(f"https://{NAME}:{inner.port}/")
        with pytest.raises(Unavailable, match="certificate is not believed"):
            outgoing.post(url, b"{}", {}, reach=LOOPBACK, resolve=lambda *_: ["127.0.0.1"], context=context)
        with pytest.raises(Unavailable, match="certificate is not believed"):
            outgoing.post(url, b"{}", {}, reach=LOOPBACK, resolve=lambda *_: ["127.0.0.1"])
        assert inner.bodies == [], "nothing was said to somebody else"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a61_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    with receiving() as inner, receiving(answering(status, Location=f"http://127.0.0.1:{inner.port}/")) as outer:
        answer = outgoing.post(address(f"http://127.0.0.1:{outer.port}/"), b"{}", {}, reach=LOOPBACK)
        assert answer.status == status
        assert inner.paths == []


def test_a61_an_answer_of_a_gigabyte_is_not_read() -> None:
    sent = []

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        piece = b"x" * (1 << 20)
        try:
            for _ in range(1024):
                handler.wfile.write(piece)
                sent.append(len(piece))
        except OSError:
            pass

    with receiving(flood) as outer:
        answer = outgoing.post(address(f"http://127.0.0.1:{outer.port}/"), b"{}", {}, reach=LOOPBACK)
    assert answer.status == 200
    assert sum(sent) < 64 << 20, "only what the sockets hold was taken"


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 20", b"HTTP/1.1 100 Continue\r\n\r\n" * 5])
def test_a61_who_answers_drop_by_drop_is_not_waited_for(says: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer within"):
            outgoing.post(
                address(f"http://127.0.0.1:{server.getsockname()[1]}/"),
                b"{}",
                {},
                reach=LOOPBACK,
                seconds=0.5,
                resolve=lambda *_: _dripping(server, says),
            )
        assert time.monotonic() - began < 3


def _dripping(server: socket.socket, says: bytes) -> list[str]:
    """Has a thread take the next connection, say something, then a byte now and then."""

    def run() -> None:
        channel, _ = server.accept()
        with channel:
            try:
                channel.sendall(says)
                while True:
                    channel.settimeout(0.05)
                    try:
                        if not channel.recv(4096):
                            return
                    except TimeoutError:
                        channel.sendall(b"x" if says else b"")
            except OSError:
                return

    threading.Thread(target=run, daemon=True).start()
    return ["127.0.0.1"]


def test_a61_a_name_that_is_not_found_in_time_keeps_nobody() -> None:
    never = threading.Event()

    def resolve(_host: str, _port: int) -> list[str]:
        never.wait(20)
        return ["127.0.0.1"]

    with pytest.raises(Unavailable, match="not found in time"):
        outgoing.post(address(f"https://{NAME}/"), b"{}", {}, reach=PUBLIC, resolve=resolve, seconds=0.2)
    never.set()


def test_a61_who_is_down_is_unavailable_and_when_to_come_back_is_heard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unavailable, match="cannot be connected to"):
        outgoing.post(address(f"http://127.0.0.1:{port}/"), b"{}", {}, reach=LOOPBACK)
    for text, seconds in (("120", 120.0), ("999999999", outgoing.LONGEST_WAIT), ("soon", None), ("", None)):
        with receiving(answering(429, Retry_After=text)) as outer:
            answer = outgoing.post(address(f"http://127.0.0.1:{outer.port}/"), b"{}", {}, reach=LOOPBACK)
            assert (answer.status, answer.retry_after) == (429, seconds)


def test_a61_a_chat_s_address_leads_nowhere_inside_either() -> None:
    with receiving() as inner:
        url = SecretText(f"json://127.0.0.1:{inner.port}/canary-token")
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1 is a loopback address") as raised:
            chat.say(url, "hello", PUBLIC)
        assert "canary" not in str(raised.value)
        assert inner.bodies == []
        chat.say(url, "shop/production: Drifted\nhttps://plumbline.example", LOOPBACK)
        (body,) = inner.bodies
        assert b"Drifted" in body
    with receiving() as inner, receiving(answering(302, Location=f"http://127.0.0.2:{inner.port}/")) as outer:
        only = Reach(networks=networks_of(["127.0.0.1/32"]))
        with pytest.raises((Unreachable, Unavailable)):
            chat.say(SecretText(f"json://127.0.0.1:{outer.port}/"), "hello", only)
        assert len(outer.bodies) == 1
        assert inner.bodies == [], "a redirect leads nowhere that the operator has not opened"
    with pytest.raises(Unreachable, match="none that apprise understands"):
        chat.say(SecretText("nonsense"), "hello", PUBLIC)


@pytest.mark.parametrize("asked", ["Mon, 01 Jan 2024 00:00:00 +99999999999999999999", "-1", "soon"])
def test_a61_a_wait_that_is_no_wait_is_none(asked: str) -> None:
    with receiving(answering(503, Retry_After=asked)) as inner:
        answer = outgoing.post(address(f"http://127.0.0.1:{inner.port}/"), b"{}", {}, reach=PRIVATE)
    assert (answer.status, answer.retry_after) == (503, None)


def test_a61_what_a_receiver_answers_to_apprise_without_an_end_is_not_kept() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1 << 10):
            handler.wfile.write(b"x" * (1 << 20))

    with receiving(endless) as inner, pytest.raises(Unavailable, match="could not say it"):
        chat.say(SecretText(f"json://127.0.0.1:{inner.port}/"), "hello", LOOPBACK)
