"""From files to Resources: plain YAML and JSON, kustomize, helm, each in a child with nothing but its files and limits.

The map: `render` (what people call: choose, look in the cache, run, make Resources), `inputs` (which files a render reads,
and their digest), `jail` (one child with limits; what it does is in `worker.adapters.confined`), `programs` (kustomize and
helm), `kept` (the cache on disk). To add a renderer: a function in `programs` that writes YAML, and its name in
`inputs.choose`.
"""

from worker.adapters.renderer.programs import RenderTools
from worker.adapters.renderer.render import Capabilities, Rendered, Renderer

__all__ = ["Capabilities", "RenderTools", "Rendered", "Renderer"]
