"""The `alerts` of app.yaml: what is read, what is refused and where, and who is told of what."""

from __future__ import annotations

import pytest

from worker.domain.alerting import Alerts, AlertType, Reach, Route, Severity, networks_of
from worker.domain.errors import DesiredStateError
from worker.domain.installation_file import read_installation
from worker.domain.secret_text import SecretReference

WHOLE = """\
alerts:
  receivers:
    - {name: ops, webhook: "https://ops.example.org/hook?a=b", secret: {file: ops-secret}}
    - {name: inner, webhook: "http://10.1.0.9:8080/", secret: {env: INNER}, networks: [10.1.0.0/16, "fd00::/8"]}
    - {name: chat, apprise: {file: chat-address}, allow-private: true}
  routes:
    - {receivers: [ops, chat], repositories: ["shop*"], environments: [production], types: [diff, fight, failed], severity: error}
    - {receivers: [inner]}
"""


def read(text: str) -> Alerts:
    return read_installation(text, "app.yaml").alerts


def test_everything_that_can_be_written() -> None:
    found = read(WHOLE)
    ops, inner, chat = found.receivers
    assert (ops.webhook, ops.secret, ops.reach) == (
        "https://ops.example.org/hook?a=b",
        SecretReference(file="ops-secret"),
        Reach(),
    )
    assert inner.reach == Reach(networks=networks_of(["10.1.0.0/16", "fd00::/8"]))
    assert (chat.apprise, chat.reach) == (SecretReference(file="chat-address"), Reach(private=True))
    assert found.routes[0] == Route(
        ("ops", "chat"),
        ("shop*",),
        ("production",),
        (AlertType.DIFF, AlertType.FIGHT, AlertType.FAILED),
        Severity.ERROR,
    )
    assert found.routes[1] == Route(("inner",))


@pytest.mark.parametrize(
    ("repository", "environment", "alert_type", "severity", "told"),
    [
        ("shop", "production", AlertType.FAILED, Severity.ERROR, ("ops", "inner", "chat")),
        ("shop-2", "production", AlertType.FIGHT, Severity.ERROR, ("ops", "inner", "chat")),
        ("shop", "production", AlertType.DIFF, Severity.WARNING, ("inner",)),
        ("shop", "production", AlertType.CONVERGED, Severity.ERROR, ("inner",)),
        ("shop", "staging", AlertType.FAILED, Severity.ERROR, ("inner",)),
        ("other", "production", AlertType.FAILED, Severity.ERROR, ("inner",)),
    ],
)
def test_who_is_told(
    repository: str, environment: str, alert_type: AlertType, severity: Severity, told: tuple[str, ...]
) -> None:
    assert read(WHOLE).told(repository, environment, alert_type, severity) == told


def test_without_routes_everybody_is_told_and_without_receivers_nobody() -> None:
    text = WHOLE.partition("  routes")[0]
    for alert_type in AlertType:
        assert read(text).told("x", "y", alert_type, Severity.INFO) == ("ops", "inner", "chat")
    assert read("").told("x", "y", AlertType.DIFF, Severity.ERROR) == ()


@pytest.mark.parametrize(
    ("written", "line", "message"),
    [
        ("receivers: [{name: a}]", 2, "give exactly one of `webhook` and `apprise`"),
        ("receivers: [{name: a, webhook: 'https://a.example', secret: {env: A}, apprise: {env: B}}]", 2, "give exactly one"),
        ("receivers: [{name: a, webhook: 'https://a.example'}]", 2, "`secret` is missing"),
        ("receivers: [{name: a, webhook: 'https://a.example', secret: whsec_abc}]", 2, "a secret does not stand in this file"),
        ("receivers: [{name: a, apprise: 'slack://canary'}]", 2, "a secret does not stand in this file"),
        ("receivers: [{name: a, apprise: {env: A}, secret: {env: B}}]", 2, "only webhooks are signed"),
        ("receivers: [{name: a, webhook: 'http://a.example', secret: {env: A}}]", 2, "is not https"),
        ("receivers: [{name: a, webhook: 'gopher://a.example', secret: {env: A}, allow-private: true}]", 2, "is no web address"),
        ("receivers: [{name: a, webhook: 'https://ada:canary@a.example/', secret: {env: A}}]", 2, "is no web address"),
        ("receivers: [{name: a, webhook: 'https://a.example', secret: {env: A}, networks: [10.1.0.1/16]}]", 2, "has host bits set"),
        ("receivers: [{name: a, webhook: 'https://a.example', secret: {env: A}, networks: [inner]}]", 2, "`networks`: 'inner'"),
        ("receivers: [{name: 'A b', apprise: {env: A}}]", 2, "is no name of a receiver"),
        ("receivers: [{name: a, apprise: {env: A}}, {name: a, apprise: {env: A}}]", 2, "a stands twice"),
        ("receivers: [{name: a, apprise: {env: A}, url: x}]", 2, "unknown key `url`"),
        ("routes: [{receivers: [b]}]", 2, "'b' is none of `alerts.receivers`"),
        ("routes: [{types: [diff]}]", 2, "`receivers` is missing"),
        ("receivers: [{name: a, apprise: {env: A}}]\n  routes: [{receivers: [a], types: [drift]}]", 3, "'drift' is none of change-committed, diff"),
        ("receivers: [{name: a, apprise: {env: A}}]\n  routes: [{receivers: [a], severity: fatal}]", 3, "'fatal' is none of info, warning, error"),
        ("receiver: []", 2, "did you mean `receivers`"),
    ],
)  # fmt: skip
def test_mistakes_are_found_with_their_line_and_show_no_secret(written: str, line: int, message: str) -> None:
    with pytest.raises(DesiredStateError) as raised:
        read(f"alerts:\n  {written}\n")
    assert message in str(raised.value)
    assert f"app.yaml:{line}" in str(raised.value)
    assert "canary" not in str(raised.value)
