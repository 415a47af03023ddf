"""A real control plane on this machine, for trying Plumbline out and for its tests. It knows servers, not Plumbline.

The map: `tools` finds or builds the programs, `tether` ties a process to its parent, `processes` starts and stops them,
`control_plane` makes them one cluster, `redis_server` starts a Redis, `supervisor` keeps one sandbox up for the command
line. Everything listens on 127.0.0.1 only.
"""
