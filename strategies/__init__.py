"""Flower Strategies, one method a file."""

from strategies.huscf import HuSCF

__all__ = ["HuSCF"]
