"""The test suites of Jupyter's own packages, with our provisioner in place of theirs.

`make suites` runs them: see __main__.py. What cannot hold for a kernel in a job is in
expected.json, with a reason each.
"""
