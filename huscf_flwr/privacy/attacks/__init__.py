"""Attacks, one file each: what they are given is in their arguments, and nothing else."""
