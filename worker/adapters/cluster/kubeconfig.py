"""What is wrong with a kubeconfig, in our words: the client library's own name neither the file nor what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import DesiredStateError
from worker.domain.yaml_text import read_documents

DEFAULT: Final = Path(".kube") / "config"
"""Where kubectl looks below the home folder."""


def mistake(kubeconfig: Path | None, context: str | None) -> str:
    """One sentence about a kubeconfig (None: KUBECONFIG, else the user's default) that cannot be used; empty for none.

    `context` is the one asked for (None: the file's current one).
    """
    if kubeconfig is None:
        named = os.environ.get("KUBECONFIG", "")
        if os.pathsep in named:
            return ""
        kubeconfig = Path(named) if named else Path.home() / DEFAULT
        if not named and not kubeconfig.is_file():
            return f"no kubeconfig is given: KUBECONFIG is not set, there is no {kubeconfig}, and this is not a Pod; give one"
    place = f"kubeconfig {kubeconfig}"
    try:
        documents = read_documents(kubeconfig.read_bytes(), str(kubeconfig))
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        return f"{place}: {why}"
    except DesiredStateError as error:
        return f"kubeconfig {error}"
    value = documents[0].value if documents else None
    if not isinstance(value, dict) or not isinstance(value.get("contexts"), list):
        return f"{place}: has no list of contexts, so it is no kubeconfig"
    return _context_mistake(value, context, place)


def _context_mistake(value: dict[str, Any], context: str | None, place: str) -> str:
    contexts = _named(value, "contexts")
    wanted = context or value.get("current-context")
    known = f"it has {', '.join(contexts)}" if contexts else "it has none"
    if not wanted:
        return f"{place}: names no current-context; give one as context ({known})"
    if wanted not in contexts:
        return f"{place}: has no context {wanted} ({known})"
    chosen = contexts[wanted].get("context")
    for member, plural in (("cluster", "clusters"), ("user", "users")):
        name = chosen.get(member) if isinstance(chosen, dict) else None
        if not name or name not in _named(value, plural):
            return (
                f"{place}: the context {wanted} names the {member} {name or '(none)'}, which is not among its {plural}"
            )
    return ""


def _named(value: dict[str, Any], plural: str) -> dict[str, dict[str, Any]]:
    entries = value.get(plural)
    return {
        str(entry["name"]): entry
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and entry.get("name")
    }
