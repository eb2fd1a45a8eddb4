"""Flower Strategies, one method a file."""

from strategies.huscf import HuSCF, RoundFailedError

__all__ = ["HuSCF", "RoundFailedError"]
