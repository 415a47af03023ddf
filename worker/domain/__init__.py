"""The vocabulary of Plumbline: frozen values that every part speaks in.

The fence: no I/O, no clock, no chance, nothing of Kubernetes' client, of Git or of Redis. `bot` may import
this package.
"""
