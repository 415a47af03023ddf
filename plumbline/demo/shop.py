"""The shop of the demo: what its repository holds, in two environments, and how its manifests are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SETTLE: Final = "3s"
DIFF_AFTER: Final = "1s"

DECLARATION: Final = f"""\
# What Plumbline reads on this branch: each environment, the folder that it is made of, and where it lives.
environments:
  - name: staging
    path: staging
    cluster: sandbox
    namespace: shop-staging
    policy: {{settle: {SETTLE}, mode: alert, diff-after: {DIFF_AFTER}}}
  - name: production
    path: production
    cluster: sandbox
    namespace: shop
    policy: {{settle: {SETTLE}, mode: heal, diff-after: {DIFF_AFTER}}}
"""

_MANIFESTS: Final = """\
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: cart-flags}}
data: {{checkout: "{flag}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: cart-db}}
stringData: {{password: {password}}}
---
apiVersion: v1
kind: Service
metadata: {{name: cart}}
spec:
  selector: {{app: cart}}
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: cart}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: cart}}}}
  template:
    metadata: {{labels: {{app: cart}}}}
    spec:
      containers:
        - name: cart
          image: registry.example/acme/cart:{tag}
          ports: [{{containerPort: 8080}}]
          resources: {{limits: {{memory: {memory}}}}}
"""


@dataclass(frozen=True, slots=True)
class Cart:
    """The cart as one environment runs it; `replicas` is what stands in the manifest, right or wrong."""

    environment: str
    namespace: str
    replicas: str
    tag: str = "1.4.1"
    memory: str = "256Mi"
    flag: str = "old"
    password: str = "correct-horse-battery"  # noqa: S105 - it is what the demo shows nobody

    @property
    def file(self) -> str:
        """Where it stands in the repository."""
        return f"{self.environment}/cart.yaml"

    @property
    def text(self) -> str:
        """Its manifests: a Namespace, a ConfigMap, a Secret, a Service and a Deployment."""
        return _MANIFESTS.format(
            namespace=self.namespace, replicas=self.replicas, tag=self.tag, memory=self.memory, flag=self.flag,
            password=self.password,
        )  # fmt: skip


STAGING: Final = Cart("staging", "shop-staging", "1")
PRODUCTION: Final = Cart("production", "shop", "3")
NAMESPACES: Final = (STAGING.namespace, PRODUCTION.namespace)
