"""The zipapp's entry: `python3 -I hooks.pyz pre-receive|post-receive`."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the hook that is named; returns its exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name == "pre-receive":
        from hooks.pre_receive import main as run
    elif name == "post-receive":
        from hooks.post_receive import main as run
    else:
        sys.stderr.write("usage: hooks.pyz pre-receive|post-receive\n")
        return 64
    try:
        return run()
    except Exception as error:  # noqa: BLE001 (a pusher never sees a trace)
        from hooks.screen import say, title

        failed = name == "pre-receive"
        outcome = "refused: the hook failed" if failed else "committed; the hook failed"
        say([title(f"{outcome} ({type(error).__name__})"), "  This is a fault of Plumbline's; tell whoever runs it."])
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
