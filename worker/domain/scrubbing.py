"""Secret-looking values outside Secrets, masked in what is shown; never in what is compared or sent.

Two signs: the name that a value goes by (`DB_PASSWORD`, `--token`, `client-key-data:`), and the shape of a well-known
token. Shapes begin at a word's edge and every repetition is bounded or ends at a character that it cannot contain, so
the time is linear in the text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

MASKED: Final = "‹masked›"

Mask = Callable[[str], str]
"""What stands for a masked text."""

_WORDS: Final = (
    r"password|passwd|passphrase|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|secret[-_]?key"
    r"|account[-_]?key|encryption[-_]?key|signing[-_]?key|client[-_]key[-_]data|credentials?|dockerconfigjson|dockercfg"
    r"|connection[-_]?string|webhook[-_]?url|_auth|authtoken"
)
SECRET_NAME: Final = re.compile(rf"(?:{_WORDS}|\bauth)$", re.IGNORECASE)
"""Names of secret values end so; `secretName`, `PASSWORD_FILE` and `tokenExpirationSeconds` do not."""

_HARMLESS: Final = re.compile(r"\s*|true|false|null|none|\$\(\w+\)|\$\{[^}]*\}|\{\{.*\}\}|<[^>]*>|•+.*", re.IGNORECASE)
"""Values of such names that say nothing: references, placeholders, masks, nothing at all."""

_VALUE: Final = r"""(?![$<{\[‹])([^\s"',;&}]{4,})"""
_ASSIGNED: Final = re.compile(
    rf"""((?:{_WORDS})(?:["'][ \t]{{0,8}}:|:(?=[ \t"'])|["']?[ \t]{{0,8}}=)[ \t]{{0,8}}["']?){_VALUE}""", re.IGNORECASE
)
_FLAG: Final = re.compile(rf"""((?<![\w-])--?[\w-]{{0,40}}(?:{_WORDS})[ \t]{{1,8}}["']?)(?!-){_VALUE}""", re.IGNORECASE)
_FLAG_ALONE: Final = re.compile(rf"--?[\w-]{{0,40}}(?:{_WORDS})", re.IGNORECASE)
_AUTH: Final = re.compile(r"""(["']auth["'][ \t]{0,8}:[ \t]{0,8}["'])([^"']+)""")
_HEADER: Final = re.compile(
    r"((?:authorization[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"']?(?:[a-z]{1,12}[ \t]{1,8})?|\bbearer[ \t]{1,8}(?=\S{16})))"
    r"""(?![$<{‹])([^\s"',;]+)""",
    re.IGNORECASE,
)
_IN_ADDRESS: Final = re.compile(r"""(://[^\s:/?#@"']{0,128}:)(?![$<{‹])([^\s/?#@"']{1,256})(?=@)""")
_NETRC: Final = re.compile(r"(\blogin[ \t]{1,8}\S{1,128}[ \t\n]{1,8}password[ \t]{1,8})(\S+)", re.IGNORECASE)
_KEY_BLOCK: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,60}-----|\Z)"
    r"|PuTTY-User-Key-File-\d:.*?(?:Private-MAC:[^\n]*|\Z)",
    re.DOTALL,
)
_SHAPES: Final = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    + "|".join((
        r"gh[pousr]_[A-Za-z0-9]{20,}", r"github_pat_\w{20,}",                              # GitHub
        r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|soat|agent|oas|imt|ffct)-[\w.-]{16,}",             # GitLab
        r"(?:AKIA|ASIA|ABIA|ACCA|LTAI)[A-Za-z0-9]{12,}",                                   # AWS, Alibaba
        r"AIza[\w-]{30,}", r"ya29\.[\w-]{16,}", r"GOCSPX-[\w-]{20,}",                      # Google
        r"\w{3}8Q~[\w.~-]{30,}",                                                           # Entra ID
        r"xox[abeoprs]-[\w-]{10,}", r"xapp-\d-[\w-]{10,}",                                 # Slack
        r"[rs]k_(?:live|test|prod)_\w{10,}", r"whsec_[\w+/=]{16,}",                        # Stripe
        r"sq0[a-z]{3}-[\w-]{16,}", r"EAAA[\w-]{40,}", r"EAACEdEose0cBA\w+",                # Square, Facebook
        r"SK[0-9a-f]{32}", r"SG\.[\w-]{16,}\.[\w-]{16,}", r"key-[0-9a-f]{32}",             # Twilio, SendGrid, Mailgun
        r"[0-9a-f]{32}-us\d{1,2}",                                                         # Mailchimp
        r"npm_[A-Za-z0-9]{30,}", r"pypi-[\w-]{40,}", r"rubygems_[0-9a-f]{40,}", r"oy2[a-z0-9]{43}",
        r"dckr_(?:pat|oat)_[\w-]{20,}", r"do[oprt]_v1_[0-9a-f]{40,}", r"HRKU-[\w-]{30,}",
        r"hv[sbr]\.[\w-]{20,}", r"\w{14}\.atlasv1\.[\w-]{40,}", r"pul-[0-9a-f]{40}",       # HashiCorp, Pulumi
        r"dapi[0-9a-f]{32}", r"glsa_\w{30,}", r"glc_[\w+/=]{30,}", r"NRAK-[A-Z0-9]{20,}",  # Databricks, Grafana, New Relic
        r"sk-[\w-]{20,}", r"hf_[A-Za-z0-9]{30,}", r"r8_[A-Za-z0-9]{30,}",                  # model providers
        r"lin_api_\w{30,}", r"ntn_\w{30,}", r"PMAK-[\w-]{30,}", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{30,}",
        r"sntry[su]_[\w+/=.-]{30,}", r"figd_[\w-]{30,}", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{30,}",
        r"pscale_(?:tkn|pw|oauth)_[\w.-]{30,}", r"ATATT3[\w=-]{40,}", r"ATCTT3[\w=-]{40,}",
        r"\d{8,10}:AA[\w-]{32,}", r"AGE-SECRET-KEY-1[0-9A-Z]{40,}", r"tskey-[\w-]{16,}", r"sbp_[0-9a-f]{40}",
        r"bk(?:ua|aj|ct)_[0-9a-f]{40}", r"CCI(?:PAT|PRJ)_[\w-]{30,}", r"nfp_\w{30,}", r"ops_eyJ[\w-]{40,}",
        r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*",                                             # JSON Web Tokens
        r"pat[A-Za-z0-9]{14}\.[0-9a-f]{40,}", r"AQ\.[\w-]{40,}",
    ))
    + r")"
)  # fmt: skip
_IN_PATH: Final = re.compile(
    r"((?:hooks\.slack\.com/(?:services|workflows)|discord(?:app)?\.com/api/webhooks|webhook\.office\.com/webhookb2)/)"
    r"([^\s\"'<>]+)"
)
_SIGNED: Final = re.compile(r"([?&](?:sig|X-Amz-Signature|X-Goog-Signature|Signature)=)([^\s&\"']+)")
_HASHED: Final = re.compile(r"\$(?:2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|(?:apr1|1|5|6|y|argon2id?)\$[^\s:\"']{12,})")

_NAMED: Final = (_HEADER, _ASSIGNED, _FLAG, _AUTH, _IN_ADDRESS, _NETRC, _IN_PATH, _SIGNED)
_SHORT: Final = 200
_LEAST: Final = 8
"""Characters of the shortest text in which anything of all this can stand."""


def scrubbed_text(text: str, mask: Mask = lambda _: MASKED) -> str:
    """The text with everything masked that looks like a secret by its shape, or by the name in front of it."""
    if len(text) < _LEAST or (len(text) <= _SHORT and _is_plain(text)):
        return text
    return _masked(text, mask)


def _masked(text: str, mask: Mask) -> str:
    for pattern in (_KEY_BLOCK, _SHAPES, _HASHED):
        text = pattern.sub(lambda found: mask(found[0]), text)
    for pattern in _NAMED:
        text = pattern.sub(lambda found: found[1] + (found[2] if MASKED in found[2] else mask(found[2])), text)
    return text


@functools.lru_cache(maxsize=4096)
def _is_plain(text: str) -> bool:
    """Whether nothing of a short text is masked; thousands of objects hold the same few texts."""
    return _masked(text, lambda _: MASKED) == text


@functools.lru_cache(maxsize=4096)
def _is_secret_name(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def scrubbed(value: Any, name: str, mask: Mask = lambda _: MASKED) -> Any:
    """A JSON value that goes by a name, with its texts scrubbed at any depth; other types stay as they are."""
    if isinstance(value, str):
        if _is_secret_name(name) and not _HARMLESS.fullmatch(value) and MASKED not in value:
            return mask(value)
        return scrubbed_text(value, mask)
    if isinstance(value, dict):
        own = value.get("name")
        return {
            key: scrubbed(member, own if key == "value" and isinstance(own, str) else key, mask)
            for key, member in value.items()
        }
    if isinstance(value, list | tuple):
        return [_item(value, position, name, mask) for position in range(len(value))]
    return value


def _item(items: list[Any] | tuple[Any, ...], position: int, name: str, mask: Mask) -> Any:
    """An item of a list: one that follows a flag (`--password`, `-token`) is what the flag asks for."""
    before = items[position - 1] if position else None
    flag = before if isinstance(before, str) and _FLAG_ALONE.fullmatch(before) else ""
    item = items[position]
    return scrubbed(item, flag if flag and isinstance(item, str) and not item.startswith("-") else name, mask)


_LONGEST_NAME: Final = 600
"""Characters at a path's end in which its last name is looked for; the search is quadratic in them, a map's key may be long."""

_LAST: Final = re.compile(r"""\["([^"\]]+)"\]$|([^.\[\]"]+)$|\[name=([^\]]+)\](?:\.value)?$""")


@functools.lru_cache(maxsize=4096)
def name_at(path: str) -> str:
    """The name that the value at a field's path goes by: an environment variable's own, else the last one.

    `spec.containers[name=c].env[name=DB_PASSWORD].value` is DB_PASSWORD, `data["db.password"]` is db.password.
    """
    path = path[-_LONGEST_NAME:]
    variable = re.search(r"\[name=([^\]]+)\]\.value$", path)
    if variable:
        return variable[1]
    found = _LAST.search(path)
    return next((group for group in found.groups() if group), "") if found else ""
