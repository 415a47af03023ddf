"""Secret-looking values outside Secrets: masked in what is shown, and nothing else is.

Every sample is put together here, so that no file holds what a scanner would take for a credential.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from worker.domain.plan import ABSENT, FieldChange
from worker.domain.resource import MASK, SecretValue
from worker.domain.scrubbing import MASKED, name_at, scrubbed, scrubbed_text

LETTERS = "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD"
HEX = "0123456789abcdef"


def take(count: int, of: str = LETTERS) -> str:
    """So many characters of an alphabet, over and over."""
    return (of * (count // len(of) + 1))[:count]


SHAPES: dict[str, str] = {
    "github classic": "gh" + "p_" + take(36),
    "github oauth": "gh" + "o_" + take(36),
    "github app": "gh" + "s_" + take(36),
    "github refresh": "gh" + "r_" + take(36),
    "github fine-grained": "github" + "_pat_" + take(70),
    "gitlab personal": "gl" + "pat-" + take(20),
    "gitlab deploy": "gl" + "dt-" + take(20),
    "gitlab runner": "gl" + "rt-" + take(20),
    "gitlab trigger": "gl" + "ptt-" + take(40, HEX),
    "gitlab agent": "gl" + "agent-" + take(50),
    "aws access key": "AK" + "IA" + take(16, "ABCDEFG234567"),
    "aws session key": "AS" + "IA" + take(16, "ABCDEFG234567"),
    "alibaba key": "LT" + "AI" + take(20),
    "google api key": "AI" + "za" + take(35),
    "google oauth token": "ya" + "29." + take(60),
    "google client secret": "GOC" + "SPX-" + take(28),
    "entra client secret": "abc" + "8Q~" + take(34),
    "slack bot": "xox" + "b-" + take(12, "123456789") + "-" + take(24),
    "slack user": "xox" + "p-" + take(12, "123456789") + "-" + take(24),
    "slack app": "xa" + "pp-1-" + take(30),
    "stripe live": "sk" + "_live_" + take(24),
    "stripe restricted": "rk" + "_live_" + take(24),
    "stripe webhook": "wh" + "sec_" + take(32),
    "square": "sq0" + "csp-" + take(43),
    "facebook": "EA" + "AA" + take(60),
    "twilio": "S" + "K" + take(32, HEX),
    "sendgrid": "S" + "G." + take(22) + "." + take(43),
    "mailgun": "ke" + "y-" + take(32, HEX),
    "mailchimp": take(32, HEX) + "-u" + "s12",
    "npm": "np" + "m_" + take(36),
    "pypi": "py" + "pi-AgEIcHlwaS5vcmc" + take(60),
    "rubygems": "ruby" + "gems_" + take(48, HEX),
    "nuget": "o" + "y2" + take(43, "abcdefghij234567"),
    "docker hub": "dc" + "kr_pat_" + take(27),
    "digitalocean": "do" + "p_v1_" + take(64, HEX),
    "heroku": "HR" + "KU-" + take(36),
    "vault service": "hv" + "s." + take(90),
    "vault batch": "hv" + "b." + take(90),
    "terraform cloud": take(14) + ".atl" + "asv1." + take(64),
    "pulumi": "pu" + "l-" + take(40, HEX),
    "databricks": "da" + "pi" + take(32, HEX),
    "grafana service account": "gl" + "sa_" + take(32) + "_" + take(8, HEX),
    "grafana cloud": "gl" + "c_" + take(40),
    "new relic": "NR" + "AK-" + take(27, "ABCDEFG234567"),
    "model provider": "s" + "k-" + take(48),
    "model provider, project": "s" + "k-proj-" + take(48),
    "hugging face": "h" + "f_" + take(34),
    "replicate": "r" + "8_" + take(37),
    "linear": "lin" + "_api_" + take(40),
    "notion": "nt" + "n_" + take(46),
    "postman": "PM" + "AK-" + take(24, HEX) + "-" + take(34, HEX),
    "shopify": "shp" + "at_" + take(32, HEX),
    "sentry": "sn" + "trys_" + take(60),
    "figma": "fi" + "gd_" + take(40),
    "doppler": "d" + "p.pt." + take(43),
    "planetscale": "psc" + "ale_tkn_" + take(43),
    "atlassian": "AT" + "ATT3" + take(180),
    "telegram": take(10, "123456789") + ":A" + "A" + take(33),
    "age": "AGE-SEC" + "RET-KEY-1" + take(58, "ABCDEFG234567"),
    "tailscale": "ts" + "key-auth-" + take(20),
    "supabase": "sb" + "p_" + take(40, HEX),
    "buildkite": "bk" + "ua_" + take(40, HEX),
    "circleci": "CCI" + "PAT_" + take(40),
    "netlify": "nf" + "p_" + take(36),
    "airtable": "pa" + "t" + take(14) + "." + take(64, HEX),
    "json web token": "ey" + "J" + take(20) + ".ey" + "J" + take(40) + "." + take(43),
    "bcrypt hash": "$2" + "y$10$" + take(53),
    "apache hash": "$ap" + "r1$" + take(8) + "$" + take(22),
}


@pytest.mark.parametrize("token", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize(
    "text", ["{}", "--with={}", 'x: "{}"', "line one\nkey {} here\nline three", "https://h.test/?k={}&a=b"]
)
def test_a51_a_well_known_token_is_masked_wherever_it_stands(token: str, text: str) -> None:
    shown = scrubbed_text(text.format(token))
    assert MASKED in shown
    assert not leaks(shown, token)
    assert shown.startswith(text.partition("{}")[0])


def leaks(shown: str, secret: str, length: int = 8) -> bool:
    """Whether a part of a secret can be read."""
    return any(secret[at : at + length] in shown for at in range(len(secret) - length + 1))


VALUE = take(14)


@pytest.mark.parametrize(
    "text",
    [
        "password: {}",
        "db.password={}",
        "DB_PASSWORD={}",
        '{{"password":"{}"}}',
        '{{"auths": {{"registry.test": {{"auth": "{}"}}}}}}',
        "client-key-data: {}",
        "aws_secret_access_key = {}",
        "api_key: '{}'",
        "--token={} --verbose",
        "--api-key {} --verbose",
        "curl -H 'Authorization: Bearer {}' https://h.test",
        "authorization: Basic {}",
        "Bearer {0}{0}",
        "postgres://app:{}@db.test:5432/app",
        "redis://:{}@cache.test",
        "machine h.test login me password {}",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=x",
        "https://h.test/container?sv=1&sig={}",
        "https://bucket.test/o?X-Amz-Signature={}&x=1",
        "https://hooks.slack.com/services/T0/B0/{}",
        "-----BEGIN RSA PRIVATE " + "KEY-----\n{0}\n{0}\n-----END RSA PRIVATE " + "KEY-----",
        "-----BEGIN OPENSSH PRIVATE " + "KEY-----\n{0}",
        "-----BEGIN PGP PRIVATE " + "KEY BLOCK-----\n{0}\n-----END PGP PRIVATE " + "KEY BLOCK-----",
    ],
)
def test_a51_what_is_named_as_a_secret_is_masked_in_any_text(text: str) -> None:
    shown = scrubbed_text(text.format(VALUE))
    assert MASKED in shown
    assert not leaks(shown, VALUE)


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/acme/token:1.2.3",
        "ghcr.io/acme/cart@sha256:" + take(64, HEX),
        "secretName: cart-db",
        "secretKeyRef:\n  name: cart\n  key: password",
        "password: $(DB_PASSWORD)",
        "password: ${DB_PASSWORD}",
        "--token-file=/var/run/token",
        "tokenExpirationSeconds: 3600",
        "https://h.test/api/token",
        "https://h.test:8443/path@v1",
        "git@github.com:acme/cart.git",
        "the secret of a good token is patience",
        "-----BEGIN CERTIFICATE-----\n" + take(60) + "\n-----END CERTIFICATE-----",
        "keepalive 10;\nworker_processes 4;",
        "a1b2c3d4-0000-4000-8000-000000000000",
        "monkey=banana",
        "annotation: example.org/" + take(40, HEX),
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert scrubbed_text(text) == text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("spec.template.spec.containers[name=c].env[name=DB_PASSWORD].value", "DB_PASSWORD"),
        ('data["db.password"]', "db.password"),
        ('metadata.annotations["example.org/token"]', "example.org/token"),
        ("spec.dbPassword", "dbPassword"),
        ("spec.containers[name=c].args", "args"),
        ("spec.rules[0]", ""),
    ],
)
def test_the_name_of_a_value_is_read_from_its_path(path: str, name: str) -> None:
    assert name_at(path) == name


@pytest.mark.parametrize(
    "path",
    [
        "spec.template.spec.containers[name=c].env[name=DB_PASSWORD].value",
        "spec.template.spec.containers[name=c].env[name=API_KEY].value",
        'data["db.password"]',
        "data.token",
        "spec.dbPassword",
        "spec.auth",
    ],
)
def test_a51_a_field_that_is_named_as_a_secret_is_masked_and_its_change_is_still_seen(path: str) -> None:
    change = FieldChange(path, "short1", "short2")
    assert change.shown() == (f"{MASKED} (before)", f"{MASKED} (after)")
    assert FieldChange(path, ABSENT, "short2").shown() == (None, f"{MASKED} (after)")
    assert change.new == "short2", "what is compared and sent stays as it is"


@pytest.mark.parametrize(
    "path",
    ["spec.secretName", "spec.env[name=PASSWORD_FILE].value", "data.tokens"],
)
def test_a_field_that_only_speaks_of_secrets_is_shown(path: str) -> None:
    assert FieldChange(path, "one", "two").shown() == ("one", "two")
    assert FieldChange("spec.automountServiceAccountToken", ABSENT, True).shown() == (None, True)


def test_in_lists_and_mappings_the_flag_or_the_name_before_a_value_counts() -> None:
    value: Any = ["--password", VALUE, "--verbose", "--token", "--x", {"name": "API_TOKEN", "value": VALUE}]
    assert scrubbed(value, "args") == [
        "--password", MASKED, "--verbose", "--token", "--x", {"name": "API_TOKEN", "value": MASKED},
    ]  # fmt: skip


def test_an_unchanged_secret_in_a_changed_text_is_no_change_and_a_changed_one_is() -> None:
    kept = FieldChange("data.conf", f"a: 1\npassword: {VALUE}\n", f"a: 2\npassword: {VALUE}\n").shown()
    assert kept == (f"a: 1\npassword: {MASKED}\n", f"a: 2\npassword: {MASKED}\n")
    changed = FieldChange("data.conf", f"password: {VALUE}\n", f"password: {VALUE}x\n").shown()
    assert changed == (f"password: {MASKED} (before)\n", f"password: {MASKED} (after)\n")


def test_a_mask_stays_the_mask_that_it_was() -> None:
    shown = FieldChange("data.password", SecretValue(b"one"), SecretValue(b"two")).shown()
    assert shown == (f"{MASK} (before)", f"{MASK} (after)")
    assert FieldChange("data.password", *shown).shown() == shown
    once = FieldChange("data.token", "value1", "value2").shown()
    assert FieldChange("data.token", *once).shown() == once


@pytest.mark.parametrize(
    "piece",
    ["a", "ey" + "J", "-", "password", "token:", "://", "token ", ":a", "bearer ", "$2a$10$", "--", "login a\n", "0123456789abcdef",
     "-----BEGIN PRIVATE " + "KEY-----", "PuTTY-User-Key-File-2:", "x://u", "[?", "sig="],
)  # fmt: skip
def test_a40_scrubbing_is_linear_in_the_text(piece: str) -> None:
    seconds = []
    for size in (50_000, 200_000):
        text = take(size, piece)
        began = time.process_time()
        scrubbed_text(text)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 10 * seconds[0] + 0.2
