"""Comparison of samplers: error against model calls and time, on problems with a known answer or on a trained run.

`problems` holds the shared problems. `peers` holds samplers of other libraries as released. `competitors` finds a
method by its name. `runner` measures them, one row per problem, method, cost and seed. `figures` and `page` show the
rows.
"""
