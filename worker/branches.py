"""Which branch an environment follows, where several declare it: whoever commands it may not choose the one with the rules."""

from __future__ import annotations

from worker.adapters.checkout import Checkout
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, Refused
from worker.domain.installation import Repository
from worker.workbench import Workbench


def require_own_branch(
    bench: Workbench, repository: Repository, checkout: Checkout, name: str, cluster: str, branch: str
) -> None:
    """Refuses a branch where the environment's record says that it follows another one, which still declares it.

    Raises Refused, Unavailable.
    """
    asked = Environment(repository.name, name, "", "", "", "", instance=bench.installation.instance)
    recorded = bench.bench(cluster).states.read(asked)
    operation = recorded.state.operation
    if not recorded.trusted or operation is None or operation.branch == branch:
        return
    if _declares(bench, repository, checkout, name, operation.branch):
        raise Refused(f"{name} follows {operation.branch}, and not {branch}", f"Say it on {operation.branch}")


def _declares(bench: Workbench, repository: Repository, checkout: Checkout, name: str, branch: str) -> bool:
    """Whether a branch declares an environment; what cannot be read may, so it does."""
    tip = checkout.tip(branch) if repository.follows(branch) else None
    if tip is None:
        return False
    checkout.fetch(tip, branch)
    try:
        return bench.declaration(checkout, repository, tip, branch).environment(name) is not None
    except DesiredStateError:
        return True
