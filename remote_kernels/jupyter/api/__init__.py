"""The REST API `remote-kernels/api`: what runs, as data. Described in openapi.yaml.

Rules: a file of handlers for each thing that is told of, with its ROUTES; routes.py has
all of them; what they call is in known.py, what clients send is parsed in input.py.
"""
