"""What was found, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from huscf_flwr.naming import clients_named
from huscf_flwr.privacy.finding import (
    AUC,
    DISTANCE,
    KNOWN,
    MEANS,
    PSNR,
    SSIM,
    VARIATION,
    Finding,
)
from huscf_flwr.privacy.findings import BATCH_LABELS, IMAGES, LABEL_SET, CutFindings
from huscf_flwr.privacy.floors import RECOGNISABLE

_WORDS: Mapping[str, str] = {
    VARIATION: (
        "{who} knows {learns} ({clients}), to a total variation of {value:.3f}, where guessing that it has "
        "all as often has {chance:.3f}"
    ),
    KNOWN: (
        "{who} knows {learns} ({clients}): it is right about {value:.0%} of all labels, where guessing that "
        "it has all is about {chance:.0%}"
    ),
    AUC: (
        "{who} tells {learns} ({clients}), from images that nobody trained on in {value:.0%} of pairs, where "
        "guessing does in {chance:.0%}"
    ),
    MEANS: "{who} gets {learns} ({clients}): {value:.0%} of class means are of one image",
    PSNR: "{who} gets {learns} ({clients}): {value:.0f} dB, where their mean image has {chance:.0f} dB",
    SSIM: (
        "{who} gets {learns} ({clients}), which are like one of its own to an SSIM of {value:.3f}, and like "
        "one of as many of other clients to {chance:.3f}"
    ),
    DISTANCE: (
        "{who} gets {learns} ({clients}): off by {value:.1e} of what the average itself is off, which knows "
        "nothing better"
    ),
}
"""What a finding says, by its measure."""
_OTHERWISE = "{who} learns {learns} ({clients}): {measure} is {value:.3f}, by chance {chance:.3f}"
NOTHING = "no attack found what it finds where it works, which proves nothing"


def verdict(cuts: Sequence[CutFindings], findings: Sequence[Finding] = ()) -> list[str]:
    """Return what somebody gets, a sentence for each cut and for each finding that says something."""
    said = [sentence for each in cuts for sentence in _of_cut(each)]
    said += [sentence for each in findings if (sentence := of_finding(each)) is not None]
    return said or [*_reasons(findings)] or [NOTHING]


def of_finding(found: Finding) -> str | None:
    """Return what was found; None if nothing was, or by an attack that failed.

    Images are seen, and labels known better than by guessing, though somebody who does it better has more.
    """
    if found.value is None:
        return None
    if (found.failed or found.measure == KNOWN) and not _says_something(found):
        return None
    if found.measure == MEANS and not found.value:
        return f"of the class means of {clients_named(found.clients)} none is of one image"
    return f"{_plain(found)}{_beyond(found)}"


def _beyond(found: Finding) -> str:
    """Return what an attack that failed leaves open: of the client that is told, or of others alone."""
    if not found.failed:
        return ""
    most = found.most
    if most is None or most.client in most.below:
        return "; an attack that works has more, so this is not all that can be had"
    return f"; of {clients_named(most.below)} it failed, which proves nothing"


def _reasons(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield why there is no number, if there is none at all; where an attack was made, nothing says why."""
    if all(found.value is None for found in findings):
        for found in findings:
            yield f"{found.attack} ({found.learns}): {found.without_number}"


def _says_something(found: Finding) -> bool:
    """Return whether what is below its floor is something all the same."""
    value, chance = found.told
    assert value is not None
    if found.measure == PSNR:
        return value >= RECOGNISABLE
    if chance is None:
        return False
    return value > chance if found.measure == KNOWN else found.less_is_worse and value < chance


def _plain(found: Finding) -> str:
    words = _WORDS.get(found.measure, _OTHERWISE)
    clients = found.clients if found.most is None else (found.most.client,)
    value, chance = found.told
    return words.format(
        who=found.adversary,
        learns=found.learns,
        measure=found.measure,
        clients=clients_named(clients),
        value=value,
        chance=0.0 if chance is None else chance,
    )


def _of_cut(found: CutFindings) -> Iterator[str]:
    yield _of_images(found)
    known = found.most.get(LABEL_SET)
    if known is not None and known.value > known.chance:
        yield (
            f"of client {known.client}, with cut {found.name}, the server knows of {known.value:.0%} of all "
            f"labels whether it has any, where a guess that it has all is right about {known.chance:.0%}"
        )


def _of_labels_alone(found: CutFindings) -> str:
    read, chance = "no labels", found.majority
    if found.labels is not None:
        most = found.most.get(BATCH_LABELS)
        read, chance = f"{found.labels:.0%} of the labels of a batch", most.chance if most else chance
    gets = (
        f"by the labels of fakes the server gets {read}, where the most frequent label is that of "
        f"{chance:.0%}"
    )
    if found.activations_cross:
        return f"of clients with cut {found.name}, {gets}; no attack was made on their images"
    return f"no activation of a real image crosses from clients with cut {found.name}; {gets}"


def _of_images(found: CutFindings) -> str:
    if not found.sees_images:
        return _of_labels_alone(found)
    worst, who = found.worst, f"clients with cut {found.name}"
    most = found.most.get(IMAGES)
    mean_image = found.mean_image if most is None else most.chance
    beside = f"{worst.psnr:.0f} dB, where their mean image has {mean_image:.0f} dB"
    labels = f"{found.labels:.0%} of the labels of a batch"
    if found.failed and worst.psnr < RECOGNISABLE:
        return f"the attacks on images of {who} failed ({beside}), which proves nothing; it gets {labels}"
    if found.failed:
        return (
            f"the server sees the images of {who}: {beside}; and {labels}; an attack that works has more in "
            "the first step, so this is not all that can be had"
        )
    if found.noise and worst.psnr < RECOGNISABLE:
        return (
            f"noise of {found.noise:g} spreads blurs the images of {who}: {beside}; it guarantees "
            f"nothing, and the server gets {labels}"
        )
    return f"the server sees the images of {who}: {beside}; and {labels}"
