import hashlib

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from huscf_flwr.seeding import derive_seed, numpy_stream, torch_stream

seeds = st.integers(0, 2**40)
parts = st.integers(-(2**40), 2**40) | st.text(st.characters(exclude_characters="\x1f", codec="utf-8"))
paths = st.lists(parts, max_size=4).map(tuple)


@given(seeds, paths)
def test_a_seed_fits_a_signed_integer_and_is_always_the_same(seed, path):
    derived = derive_seed(seed, *path)
    assert 0 <= derived < 2**63
    assert derived == derive_seed(seed, *path)


@given(seeds, seeds, paths, paths)
def test_different_names_give_different_streams(seed, other_seed, path, other_path):
    assume((seed, path) != (other_seed, other_path))
    assert derive_seed(seed, *path) != derive_seed(other_seed, *other_path)


def test_a_number_and_its_text_are_different_parts():
    assert derive_seed(0, 1) != derive_seed(0, "1")
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")


def test_the_seed_is_the_first_63_bits_of_a_sha256():
    """A later version must draw the same numbers, so that it can resume old checkpoints."""
    digest = hashlib.sha256(b"7\x1fstr:order\x1fint:3").hexdigest()
    assert derive_seed(7, "order", 3) == int(digest[:16], 16) // 2


def test_streams_are_reproducible_and_do_not_touch_the_global_one():
    before = torch.get_rng_state()
    first, second = torch_stream(1, "a"), torch_stream(1, "a")
    assert torch.equal(torch.randn(5, generator=first), torch.randn(5, generator=second))
    assert numpy_stream(1, "a").integers(2**60) == numpy_stream(1, "a").integers(2**60)
    assert torch.equal(torch.get_rng_state(), before)
