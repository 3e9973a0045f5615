"""Work against precision: which solver, how many model calls, how wrong, how long, on shared problems or a trained run.

`problems` have a known answer, `peers` are other libraries as released, `entries` are whatever can be asked to solve a
problem on a budget, `runner` measures them row by row, `figures` and `page` show the rows.
"""
