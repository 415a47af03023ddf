"""The phases of the worker's work, each a function over adapters and judgement.

The map: `desired` (a revision's environments and their rendered objects), `predicting` (desired against observed, with
dry runs: a Prediction), `applying` (the writes of a Prediction), `advancing` (one look at an open operation: health,
prune, verify, settle), `troubles` (what Pods say of a workload that is not healthy). Jobs and the
command line put them together; nothing here knows of the queue.
"""
