"""Several methods on the same scenarios and seeds, side by side.

``plan`` says which runs a comparison is made of, ``training`` makes those that are missing, ``kept`` keeps
their small files, and ``results`` puts them together for ``table``, ``files`` and ``page``.
"""
