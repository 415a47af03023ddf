"""Where every value of a YAML or JSON text stands: nodes with character positions, as libyaml's events mark them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import yaml

_LOADER: Final[Any] = getattr(yaml, "CLoader", yaml.Loader)


@dataclass(slots=True)
class Node:
    """One value: characters `start` to `end` of the text.

    `kind` is scalar, mapping, sequence or alias; `style` that of a scalar (`'`, `"`, `|`, `>`, empty where plain). A mapping
    has `keys` beside its `members`; `end` of a block collection is that of its last member.
    """

    kind: str
    start: int
    end: int
    line: int
    style: str = ""
    text: str = ""
    is_flow: bool = False
    anchor: str = ""
    tag: str = ""
    keys: list[Node] = field(default_factory=list)
    members: list[Node] = field(default_factory=list)

    @property
    def is_block_text(self) -> bool:
        """Whether it is a text of several lines behind `|` or `>`."""
        return self.style in ("|", ">")

    @property
    def merges(self) -> bool:
        """Whether keys of another mapping are merged into it by `<<`."""
        return any(key.text == "<<" and not key.style for key in self.keys)


def roots(text: str) -> list[Node]:
    """The root of every document, empty ones too. The text was read before: it is valid YAML without a byte order mark."""
    parser = _LOADER(text)
    found: list[Node] = []
    try:
        while not isinstance(event := parser.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                found.append(_node(parser, parser.get_event(), text))
    finally:
        parser.dispose()
    return found


def _node(parser: Any, event: Any, text: str) -> Node:
    start, end, line = event.start_mark.index, event.end_mark.index, event.start_mark.line + 1
    if isinstance(event, yaml.AliasEvent):
        return Node("alias", start, end, line, anchor=event.anchor or "")
    properties: dict[str, Any] = {"anchor": event.anchor or "", "tag": event.tag or ""}
    if isinstance(event, yaml.ScalarEvent):
        if event.style in ("|", ">"):
            end = start + len(text[start:end].rstrip())
        return Node("scalar", start, end, line, event.style or "", event.value, **properties)
    is_mapping = isinstance(event, yaml.MappingStartEvent)
    node = Node("mapping" if is_mapping else "sequence", start, end, line, is_flow=bool(event.flow_style), **properties)
    closing = yaml.MappingEndEvent if is_mapping else yaml.SequenceEndEvent
    last: Any
    while not isinstance(last := parser.get_event(), closing):
        if is_mapping:
            node.keys.append(_node(parser, last, text))
            last = parser.get_event()
        node.members.append(_node(parser, last, text))
    if node.is_flow:
        closed: Any = last.end_mark
        node.end = closed.index
    elif node.members:
        node.end = max(node.members[-1].end, node.keys[-1].end if node.keys else 0)
    return node
