"""Whether membership is below a ceiling: by attacks that could have found more, or by an epsilon."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from huscf_flwr.privacy.audited import Audited
from huscf_flwr.privacy.finding import AUC, Finding


def auc_at(epsilon: float, delta: float) -> float:
    """Return the most that an attack can be expected to have, at epsilon and delta of one image.

    Epsilon bounds what it changes that an image is there or not. A pair of a member and another image is
    ranked the other way round where the one is there in the place of the other: an image less and an image
    more, which is 2 epsilon and, with group privacy, delta (1 + e^epsilon). So the probability p of ranking a
    pair rightly is at most e^(2 epsilon) (1 - p) + delta (1 + e^epsilon).
    """
    # Divided by e^(2 epsilon), which overflows.
    odds = math.exp(-2 * epsilon)
    return min(1.0, (1 + delta * (odds + math.exp(-epsilon))) / (1 + odds))


def auc_exceeded(audited: Audited, most: float) -> Iterator[str]:
    """Yield a sentence for each finding of membership that is above ``most``, or may be.

    It holds where the upper ends of all intervals are at most that, and one of the attacks at least is known
    to find more where there is more to find. What was not asked may be anything.
    """
    asked = [found for found in audited.findings if found.measure == AUC]
    if not asked:
        yield f"{audited.defence}: no attack was made that auc is of, which proves nothing"
    for found in asked:
        said = _not_held(found, most)
        if said:
            who = f" of client {', '.join(map(str, found.clients))}" if found.clients else ""
            yield f"{audited.defence}, {found.attack}, {found.learns}{who}: {said}"


def _not_held(found: Finding, most: float) -> str:
    """Return why a finding does not hold the ceiling; empty if it does."""
    if found.value is None:
        return f"not attacked, since {found.reason}, which proves nothing"
    if not found.value <= most:
        return f"auc is {found.value:.3g}, above {most:g}"
    attacks: Mapping[str, Mapping[str, Any]] = found.details["attacks"]
    for name, each in attacks.items():
        high = each["auc_interval"][1]
        if not high <= most:
            return f"auc may be {high:.3g}, above {most:g}: by {name}, {each['auc']:.3g} was found"
    reasons = [_unsound(each, most) for each in attacks.values()]
    if not all(reasons):
        return ""
    if found.failed and found.details.get("under_epsilon") is not None:
        return f"{found.failure}; only secret noise bounds anything (privacy.noise)"
    return max(zip(map(_ability, attacks.values()), reasons, strict=True))[1]


def _unsound(details: Mapping[str, Any], most: float) -> str:
    """Return why an attack that found little proves nothing; empty if it would have found more."""
    able = details["able"]
    if able is None:
        return "nothing shows that the attack could find anything; take --shadows 4 or more"
    low = details["able_interval"][0]
    if not low > most:
        return (
            f"the attack has an auc of {able:.3g}, at least {low:.3g}, where it is known who was trained on, "
            f"no more than {most:g}, and so proves nothing"
        )
    if details["control_off"]:
        return f"the control is off ({details['control']:.3g}), so that the attack proves nothing"
    return ""


def _ability(details: Mapping[str, Any]) -> float:
    able = details["able"]
    return -1.0 if able is None or math.isnan(able) else float(able)
