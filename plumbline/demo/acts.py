"""The acts, in the order in which they are played; each leaves `main` and the cluster as the next one finds them.

To add one, write a function of the stage and its row in ACTS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bot.comments import AS_PREDICTED
from plumbline.demo.shop import DECLARATION, PRODUCTION, STAGING
from plumbline.demo.stage import Stage, StepMissing

Act = Callable[[Stage], None]

PREDICT: Final = "plumbline/predict"
CONVERGE: Final = {cart.environment: f"plumbline/converge/{cart.environment}" for cart in (STAGING, PRODUCTION)}

NEXT_STAGING: Final = replace(STAGING, tag="1.5.0", replicas="2")
NEXT_PRODUCTION: Final = replace(PRODUCTION, tag="1.5.0", memory="512Mi", password="another-horse")  # noqa: S106
LAST_PRODUCTION: Final = replace(NEXT_PRODUCTION, tag="1.6.0", flag="new")

BAD_PRODUCTION: Final = replace(LAST_PRODUCTION, tag="crashing", memory="1Gi", flag="newest")
PROPOSED: Final = re.compile(r"/pulls/([0-9]+)\) is ready")
"""What the answer to a rollback says of its pull request."""


def first_push(stage: Stage) -> None:
    """Two environments of five objects each, declared in plumbline.yaml."""
    stage.clone.write("plumbline.yaml", DECLARATION)
    stage.write(STAGING, PRODUCTION)
    stage.clone.commit("The shop's cart, in staging and production")
    stage.push(["create", "applied", "verified", "converged", "converged"])
    for cart in (STAGING, PRODUCTION):
        stage.require(stage.live_image(cart).endswith(":1.4.1"), f"{cart.environment} runs the cart that was pushed")


def pull_request(stage: Stage) -> None:
    """A change of both environments is proposed, predicted, merged, and said to have gone as predicted."""
    stage.require_status(PREDICT)
    stage.branch("cart-1.5")
    stage.write(NEXT_STAGING, NEXT_PRODUCTION)
    stage.clone.commit("Cart 1.5.0")
    number, head = stage.propose(
        "cart-1.5",
        "Cart 1.5.0",
        "A new cart with more memory, a new database password, and a second replica in staging.",
    )
    stage.show_statuses(head, {PREDICT: "success"})
    stage.wait(lambda: "Plumbline predicts" in stage.comment(number), "the prediction is on the pull request")
    comment = stage.comment(number)
    stage.show_comment(comment)
    for words in ("Plumbline predicts 3 changes in 2 environments", "cart:1.5.0", "512Mi"):
        stage.require(words in comment, f"the comment says `{words}`")
    for secret in (PRODUCTION.password, NEXT_PRODUCTION.password):
        stage.require(secret not in comment, "the comment does not show a password")
    stage.require(stage.live_image(PRODUCTION).endswith(":1.4.1"), "a prediction writes nothing to the cluster")

    stage.fact("")
    stage.command(f"# and press its merge button at {stage.url}/pulls/{number}")
    merged = stage.merge(number)
    written = stage.show_statuses(merged, dict.fromkeys(CONVERGE.values(), "success"))
    for context in CONVERGE.values():
        states = [state for name, state, _ in written if name == context]
        stage.require(states[0] == "pending", f"{context} begins as pending")
        stage.require(states.count("success") == 1, f"{context} says success once, at the end")
    stage.wait(lambda: f"Merged: converged {AS_PREDICTED}" in stage.comment(number), "the comment has its verdict")
    stage.show_comment(stage.comment(number).partition("**Before")[0])
    stage.require(stage.live_image(PRODUCTION).endswith(":1.5.0"), "production runs the cart that was merged")
    stage.fact(f"commit     {stage.url}/commit/{merged}")
    stage.pull()


def mistake(stage: Stage) -> None:
    """`replicas: three` does not get in: the API server itself is asked, and the push is refused."""
    before = stage.pull()
    stage.write(replace(NEXT_PRODUCTION, replicas='"three"'))
    stage.clone.commit("Three replicas")
    stage.push(["refused", f"{PRODUCTION.file}:", "replicas"], accepted=False)
    stage.require(stage.pull() == before, "Gitea's main stays where it was")


def bad_image(stage: Stage) -> None:
    """An image that does not exist: the Pod's own reason is told, not a deadline ten minutes later."""
    stage.write(replace(NEXT_PRODUCTION, tag="missing"))
    revision = stage.clone.commit("Cart from nowhere")
    stage.push(["configure", "image 1.5.0 -> missing"], wait=0)
    context = CONVERGE[PRODUCTION.environment]
    written = stage.show_statuses(revision, {context: "failure"})
    stage.require("ImagePullBackOff" in written[-1][2], "the status says why")


def next_commit(stage: Stage) -> None:
    """The next good commit takes over at once."""
    stage.write(LAST_PRODUCTION)
    revision = stage.clone.commit("Cart 1.6.0")
    stage.push(["configure"], wait=0)
    stage.show_statuses(revision, {CONVERGE[PRODUCTION.environment]: "success"})
    stage.require(stage.live_image(PRODUCTION).endswith(":1.6.0"), "production runs the newest cart")


def drift(stage: Stage) -> None:
    """Staging only says what somebody changed by hand; production also puts it back. Both say who it was."""
    head, hotfix = stage.pull(), "cart=registry.example/acme/cart:hotfix"
    stage.by_hand(STAGING, "set", "image", "deployment/cart", hotfix)
    text = stage.show_last(head, CONVERGE[STAGING.environment], "failure")
    for words in ("Drifted", "cart:hotfix", "kubectl-set"):
        stage.require(words in text, f"the status of the drift says `{words}`")
    stage.require(stage.live_image(STAGING).endswith(":hotfix"), "an environment that only alerts heals nothing")
    stage.by_hand(STAGING, "set", "image", "deployment/cart", "cart=registry.example/acme/cart:1.5.0")
    stage.show_last(head, CONVERGE[STAGING.environment], "success")

    before = len(stage.statuses(head))
    stage.by_hand(PRODUCTION, "set", "image", "deployment/cart", hotfix)
    context = CONVERGE[PRODUCTION.environment]

    def since() -> list[str]:
        return [state for name, state, _ in stage.statuses(head)[before:] if name == context]

    stage.wait(lambda: "failure" in since(), f"{context} says that production drifted")
    stage.wait(lambda: stage.live_image(PRODUCTION).endswith(":1.6.0"), "production is put back to what Git says")
    stage.wait(lambda: since()[-1:] == ["success"], f"{context} says that production is back")
    for name, state, said in stage.statuses(head)[before:]:
        if name == context:
            stage.show_status(name, state, said)


def rollback(stage: Stage) -> None:
    """A release that crashes is merged; a comment has the way back proposed and predicted, and she merges that."""
    good = stage.pull()
    stage.branch("cart-1.7")
    stage.write(BAD_PRODUCTION)
    stage.clone.commit("Cart 1.7.0")
    number, head = stage.propose("cart-1.7", "Cart 1.7.0", "It works on my machine.")
    stage.show_statuses(head, {PREDICT: "success"})
    context = CONVERGE[PRODUCTION.environment]
    stage.command(f"# and press its merge button at {stage.url}/pulls/{number}")
    bad = stage.merge(number)
    stage.show_statuses(bad, {context: "failure"})

    answer = stage.say(number, f"/rollback {PRODUCTION.environment}")
    found = PROPOSED.search(answer)
    if found is None:
        raise StepMissing("the answer names the pull request that goes back")
    back = int(found[1])
    stage.show_statuses(stage.head(back), {PREDICT: "success"})
    stage.wait(lambda: "Plumbline predicts" in stage.comment(back), "the prediction is on the pull request")
    stage.show_comment(stage.comment(back))
    for words in ("cart:crashing", "cart:1.6.0"):
        stage.require(words in stage.comment(back), f"the comment says `{words}`")
    stage.require(stage.live_image(PRODUCTION).endswith(":crashing"), "asking for it changes nothing in the cluster")

    stage.command(f"# and press its merge button at {stage.url}/pulls/{back}")
    merged = stage.merge(back)
    stage.show_statuses(merged, {context: "success"})
    stage.require(stage.live_image(PRODUCTION).endswith(":1.6.0"), "production runs the cart from before again")
    stage.pull()
    stage.require(stage.holds_same(good, merged), f"the files are those of {good[:7]}, byte for byte")
    stage.fact(f"proven     {merged[:7]} holds byte for byte what {good[:7]} held")


ACTS: Final[tuple[tuple[str, Act], ...]] = (
    ("A first push to Gitea. It is answered with what it will do, and shows it done.", first_push),
    ("A pull request. One comment says what merging would do; the merge goes from pending to success.", pull_request),
    ("A mistake. The API server itself is asked, and the push is refused.", mistake),
    ("An image that does not exist. The Pod's own reason is told, not a deadline.", bad_image),
    ("The next good commit takes over at once.", next_commit),
    ("Somebody changes the cluster by hand. It is said who, and put back where that is wanted.", drift),
    ("A bad release. A comment, `/rollback production`, brings the pull request that goes back.", rollback),
)
"""What is said before an act, and the act."""
