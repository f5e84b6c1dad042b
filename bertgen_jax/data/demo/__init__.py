"""Corpora made by code for the `:demo` configs; `corpora.corpus` returns one."""
