"""Other programs that bring a kernel to a compute node, and ours, side by side.

Each is installed into an environment of its own (`environment`), given what it needs
(`known`, `shims/`), and driven on the test cluster by the same program (`drive`), while
`look` sees what it opens and leaves. `run` calls all of them; `row` makes the table.

    python -m benchmarks.peers [NAME...] [--rounds N] [--json FILE]
"""
