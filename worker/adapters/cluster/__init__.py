"""The only speaker of the Kubernetes API.

The map: `connection` (credentials, one request, failures in our words), `discovery` (what the server serves),
`failures` (the API's Status made into words), `objects` (read, dry run, apply, delete), `following` (watches),
`records` (the plain objects that Plumbline keeps for itself). The `kubernetes` package brings configuration,
authentication and connections; bodies are raw JSON by orjson, because typed models cost ten times the request.
"""

from worker.adapters.cluster.connection import Connection, connect
from worker.adapters.cluster.discovery import Discovery
from worker.adapters.cluster.following import Following, Seen
from worker.adapters.cluster.objects import FEW, Applied, Cluster
from worker.adapters.cluster.reading import Observation, Reading
from worker.adapters.cluster.records import Records

__all__ = [
    "FEW", "Applied", "Cluster", "Connection", "Discovery", "Following", "Observation", "Reading", "Records", "Seen", "connect",
]  # fmt: skip
