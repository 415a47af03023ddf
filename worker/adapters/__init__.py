"""The edges of the worker: each module is the only speaker of one thing outside (cluster, git, renderers, Redis).

The fence: what a library raises is translated here into `worker.domain.errors`; nothing further in names its
exceptions.
"""
