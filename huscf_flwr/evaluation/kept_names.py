"""Names of files in the cache that hold what was computed of a domain's training images.

A name has a hash of all that the content depends on: a change of any of it is another file, and nothing stale
is ever taken for something fresh.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from huscf_flwr.data import Domain


def kept_name(domain: Domain, parts: Iterable[str]) -> str:
    """Return the name for a domain's training images, with their labels, and all ``parts``."""
    digest = hashlib.sha256()
    for part in (*parts, str(domain.train.images.shape)):
        digest.update(part.encode() + b"\0")
    digest.update(domain.train.images.contiguous().numpy().data)
    digest.update(domain.train.labels.contiguous().numpy().data)
    return f"{domain.name}-{digest.hexdigest()[:20]}"
