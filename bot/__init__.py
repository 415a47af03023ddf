"""The face: speaks to forges and to people, turns what they say into requests and what the worker says into text.

The fence: no cluster credentials and nothing of Kubernetes; of the worker only `worker.domain` and the signed queue.
"""
