"""The engine: renders desired state, plans, applies, proves and observes.

The map: `domain` is the vocabulary (pure values), `planning` the judgement (pure functions), `adapters` the edges
(cluster, git, renderers, Redis), `jobs` the phases that the queue calls, `watch` the level-triggered net under them.
The fence: nothing here knows a forge, holds a forge's token, or imports `bot`, `hooks`, `plumbline` or `sandbox`.
"""
