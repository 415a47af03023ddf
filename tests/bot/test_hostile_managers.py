"""Who calls their tool what they like, 5,000 times over: no face of a divergence is steered, and none outgrows its limit."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from bot.comments import prediction
from bot.divergence_statuses import divergence_check, divergence_facts, divergence_line
from bot.events import LONGEST_LINE, alert_of
from bot.forges.plain_git import merged
from bot.forges.port import State
from bot.statuses import LONGEST
from plumbline.status_text import document, print_status
from tests.bot.divergences import REVISION, said
from tests.bot.situations import PRODUCTION, report
from tests.doubles.receiver import valid
from tests.worker.domain.test_brevity import HOSTILE, MANY, drifts, looked
from worker.domain.convergence import EnvironmentState, Operation, Phase
from worker.domain.divergence import EpisodeReport
from worker.domain.episodes import Event

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e]")
COMMENT = 65_536
"""Characters that GitHub takes of a comment, and of a check's text; GitLab and Gitea take more."""


def opened(name: str) -> EpisodeReport:
    found = said(Event.OPENED)
    episode = replace(looked(drifts(name, value="v")), id=found.news.episode.id, alerted=found.news.episode.alerted)
    return replace(found, news=replace(found.news, episode=episode))


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_no_face_of_a_divergence_is_steered_and_each_counts_what_it_does_not_name(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = opened(name)
    line = divergence_line(found)
    assert len(line) <= LONGEST
    assert not STEERING.search(line)
    assert line.endswith(f" and {MANY - 1} more")

    check = divergence_check(found, State.FAILURE, "default", "https://plumbline.example.com")
    assert len(check.summary) < COMMENT
    assert not STEERING.search(check.summary)
    left = MANY - len(found.news.episode.drift)
    assert f"\nand {left} more\n" in check.summary
    assert re.fullmatch(r"(`{3,})text\n(?:(?!\1).*\n)+\1", check.summary), "one block of code, which nothing in it ends"

    alert = alert_of(found, "default", "https://plumbline.example.com")
    assert alert is not None
    valid(dict(alert.event))
    assert len(json.dumps(alert.event)) < 100_000
    assert sum(len(each["fields"]) for each in alert.event["data"]["objects"]) + alert.event["data"]["more"] == MANY
    words, link = alert.text.split("\n")
    assert len(words) <= LONGEST_LINE
    assert not STEERING.search(words.replace("@\u200b", "@"))
    assert not set("<>[]`*") & set(words)
    assert "@all" not in words
    assert link.startswith("https://plumbline.example.com/")

    note = merged("", "production", line, divergence_facts(found))
    assert len(note) < 10_000
    assert not STEERING.search(note)
    assert len(note.strip().splitlines()) <= 4, "nothing of it begins a line of its own"

    operation = Operation(REVISION, "main", Phase.SUCCEEDED, 1, 1)
    state = EnvironmentState("shop/production", "uid", operation, episode=found.news.episode)
    print_status(document("production", state, [], {}, 2e9), 20)
    shown = capsys.readouterr().out
    assert not STEERING.search(shown)
    assert len(shown) < 20_000
    assert re.search(r"and 49\d\d more \(-o json has the first \d+\)", shown)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_prediction_beside_5000_drifted_objects_fits_into_a_comment(name: str) -> None:
    found = report(replace(PRODUCTION, drift=drifts(name, value="v")))
    text = prediction(found, instance="default", limit=COMMENT, link="https://plumbline.example.com")
    assert len(text) <= COMMENT
    assert not STEERING.search(text.replace("&#8203;", ""))
    assert "5000 fields" in text
    outside = re.sub(r"(?ms)^(`{3,})[a-z]*$.*?^\1$", "", text)
    assert not re.search(r"<script|<img|!\[|\]\(javascript|@all", outside), (
        "what is not in a block of code is plain text"
    )
