"""Registries are asked by the OCI distribution API: pages, tokens, ETags; what comes back is bounded and judged."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bot.registries import LARGEST_PAGE, RegistryAway, Speaker
from tests.doubles.registry import PASSWORD, USER, RegistryDouble, registry_double
from worker.domain.alerting import Reach
from worker.domain.errors import DesiredStateError, Refused
from worker.domain.installation_file import read_installation
from worker.domain.registries import Registry
from worker.domain.secret_text import SecretText

DIGEST = "sha256:" + "0a" * 32
NAME = "acme/web"
LIST = f"/v2/{NAME}/tags/list"


@pytest.fixture
def double() -> Iterator[RegistryDouble]:
    with registry_double() as made:
        made.tags[NAME] = ["1.0.0", "1.1.0", "latest"]
        made.digests[f"{NAME}:1.1.0"] = DIGEST
        yield made


def speaker(double: RegistryDouble, reach: Reach | None = None, password: str = PASSWORD) -> Speaker:
    registry = Registry("registry.example", double.address, USER, reach=reach or Reach(private=True))
    return Speaker(registry, SecretText(password) if password else None)


def test_all_pages_are_read_and_a_digest_is_asked_for(double: RegistryDouble) -> None:
    double.tags[NAME] = [f"1.{number}.0" for number in range(25)]
    double.page = 10
    found = speaker(double, password="")
    assert found.tags(NAME) == tuple(double.tags[NAME])
    assert double.count(LIST) == 3
    assert found.digest(NAME, "1.1.0") == DIGEST
    assert found.digest(NAME, "nowhere") == ""
    assert found.tags("acme/nowhere") == ()
    assert {scheme for _, _, scheme in double.asked} == {""}


@pytest.mark.parametrize("guard", ["bearer", "basic"])
def test_who_asks_is_proved_as_the_registry_wants_it(double: RegistryDouble, guard: str) -> None:
    double.guard = guard
    found = speaker(double)
    assert found.tags(NAME) == ("1.0.0", "1.1.0", "latest")
    assert found.tags(NAME) == ("1.0.0", "1.1.0", "latest")
    assert double.count("/token") == (1 if guard == "bearer" else 0), "a token is used again"
    with pytest.raises(Refused, match="answers 401") as refused:
        speaker(double, password="wrong").tags(NAME)
    assert "wrong" not in str(refused.value)
    with pytest.raises(Refused, match="answers 401"):
        speaker(double, password="").tags(NAME)


def test_what_has_not_changed_is_not_sent_again(double: RegistryDouble) -> None:
    double.etag = '"one"'
    found = speaker(double)
    assert found.tags(NAME) == found.tags(NAME) == ("1.0.0", "1.1.0", "latest")
    double.etag, double.tags[NAME] = '"two"', ["2"]
    assert found.tags(NAME) == ("2",)
    assert double.count(LIST) == 3


def test_a_registry_that_is_away_is_away_for_as_long_as_it_says(double: RegistryDouble) -> None:
    for double.status in (429, 500, 503):
        with pytest.raises(RegistryAway, match=f"registry.example answers {double.status}") as away:
            speaker(double).tags(NAME)
        assert away.value.retry_after == 77
    nobody = Speaker(Registry("registry.example", "http://127.0.0.1:1", reach=Reach(private=True)))
    with pytest.raises(RegistryAway, match="cannot be connected to"):
        nobody.tags(NAME)


def test_a63_what_is_no_tag_is_left_out_and_what_is_no_answer_refused(double: RegistryDouble) -> None:
    double.raw = b'{"tags": ["1.0.0", "-v", "a b", 5, "x\\"\\n  privileged: true", null]}'
    assert speaker(double).tags(NAME) == ("1.0.0",)
    double.raw = b'{"tags": null}'
    assert speaker(double).tags(NAME) == ()
    for double.raw in (b"<html>", b"[]", b"[" * 100_000):
        with pytest.raises(Refused, match="no JSON object"):
            speaker(double).tags(NAME)
    double.raw = b'{"tags": ["' + b"a" * LARGEST_PAGE + b'"]}'
    with pytest.raises(RegistryAway, match="over 1024 KiB"):
        speaker(double).tags(NAME)
    double.raw = b""
    double.digests[f"{NAME}:1.1.0"] = "sha256:short"
    assert speaker(double).digest(NAME, "1.1.0") == ""


def test_pages_without_an_end_are_refused(double: RegistryDouble) -> None:
    double.link = f'<{LIST}?last=1.0.0>; rel="next"'
    with pytest.raises(Refused, match="more than 50 pages"):
        speaker(double).tags(NAME)
    assert double.count(LIST) == 50


def test_a_registry_whose_pages_take_too_long_together_is_away(double: RegistryDouble) -> None:
    double.tags[NAME] = [f"1.{number}.0" for number in range(25)]
    double.page = 5
    slow = replace(speaker(double), clock=lambda: 25.0 * len(double.asked))
    with pytest.raises(RegistryAway, match=r"registry.example takes more than 60 s"):
        slow.tags(NAME)
    assert double.count(LIST) == 3
    double.page = 10
    assert slow.digest(NAME, "1.1.0") == DIGEST, "each image has its own time"


@pytest.mark.parametrize("link", ["http://127.0.0.1:1/v2/x", "//169.254.169.254/v2/", "/latest/meta-data", "../../x"])
def test_a61_a_next_page_elsewhere_is_not_followed(double: RegistryDouble, link: str) -> None:
    double.link = f'<{link}>; rel="next"'
    with pytest.raises(Refused, match="sends on to another place"):
        speaker(double).tags(NAME)
    assert double.count(LIST) == 1


@pytest.mark.parametrize(
    "realm", ["http://169.254.169.254/token", "http://127.0.0.2:9/token", "file:///etc/passwd", "x"]
)
def test_a61_a_token_is_not_asked_for_at_a_private_address(double: RegistryDouble, realm: str) -> None:
    double.guard, double.realm = "bearer", realm
    with pytest.raises(Refused, match=r"is not asked|no web address"):
        speaker(double).tags(NAME)
    assert double.count("/token") == 0


def test_a61_a_registry_at_a_private_address_is_asked_only_where_that_is_named(double: RegistryDouble) -> None:
    with pytest.raises(Refused, match="loopback address"):
        speaker(double, Reach()).tags(NAME)
    assert double.asked == []
    named = Reach(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    assert speaker(double, named).tags(NAME) != ()


def test_registries_are_declared_strictly() -> None:
    text = """\
forges: [{name: gitea, address: 'https://git.example.org', token: {env: T}, webhook-secret: {env: W}}]
registries:
  - {host: ghcr.io, username: robot, password: {file: pull}}
  - {host: docker.io, poll: 1h}
  - {host: 'git.example.org:5000', address: 'http://10.0.0.7:5000', networks: [10.0.0.0/24], forge: gitea}
"""
    found = read_installation(text, "app.yaml")
    assert [(each.host, each.address) for each in found.registries] == [
        ("ghcr.io", "https://ghcr.io"), ("docker.io", "https://registry-1.docker.io"), ("git.example.org:5000", "http://10.0.0.7:5000"),
    ]  # fmt: skip
    assert [each.poll_seconds for each in found.registries] == [300.0, 3600.0, 300.0]
    assert found.registry_of("gitea") == found.registry("git.example.org:5000")
    assert found.registry("quay.io") is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{}", "`host` is missing"),
        ("{host: acme/web}", "is not how an image names a registry"),
        ("{host: ghcr.io, address: 'http://ghcr.io'}", "is not https"),
        ("{host: ghcr.io, address: 'https://ghcr.io/v2'}", "is no web address of a registry"),
        ("{host: ghcr.io, username: robot}", "belong together"),
        ("{host: ghcr.io, password: {env: X}}", "belong together"),
        ("{host: ghcr.io, password: secret, username: a}", "a secret does not stand in this file"),
        ("{host: ghcr.io, poll: 1s}", "is too short"),
        ("{host: ghcr.io, forge: nowhere}", "'nowhere' is none of"),
        ("{host: quay.io}", "quay.io stands twice"),
    ],
)
def test_every_mistake_in_a_registry_is_said(entry: str, said: str) -> None:
    with pytest.raises(DesiredStateError) as refused:
        read_installation(f"registries:\n- {{host: quay.io}}\n- {entry}\n", "app.yaml")
    assert any(said in str(problem) for problem in refused.value.problems), refused.value
