"""One image changed in each of 2,000 manifests: located, spliced, and proved by reading both texts."""

from __future__ import annotations

import time

from tests.bench.ground import Figures, Ground
from worker.domain.edits.changes import Put, edited

FILES = 2000
IMAGE = "spec.template.spec.containers[name=cart].image"
MANIFEST = """\
# what the shop sells from
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cart-{number}
  labels: {{app: cart-{number}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: cart-{number}}}}}
  template:
    metadata: {{labels: {{app: cart-{number}}}}}
    spec:
      containers:
      - name: cart
        image: shop/cart:1.4.1 # the one that changes
        ports: [{{containerPort: 80}}]
        env:
        - name: GREETING
          value: "hello"
        resources:
          requests: {{cpu: 100m, memory: 64Mi}}
"""


def measure_edits(_ground: Ground) -> Figures:
    """Seconds for all files, one after another."""
    files = [MANIFEST.format(number=number).encode() for number in range(FILES)]
    began = time.monotonic()
    made = [edited(text, [Put(0, IMAGE, "shop/cart:1.5.0")], only_scalars=True) for text in files]
    seconds = time.monotonic() - began
    assert all(new == old.replace(b"1.4.1", b"1.5.0") for old, new in zip(files, made, strict=True))
    return {"edit_seconds": seconds}
