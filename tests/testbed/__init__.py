"""A small cluster of real parts on one machine, for tests and for use by hand.

`README.md` says how to use it. The parts:

    __main__  the command line           api       `Cluster`, for tests
    fixtures  pytest's `cluster`         machine   what the machine must have
    layout    hosts, addresses, paths    files     what the hosts find in /etc
    network   bridge, cables, cut, slow  hosts     start, find and kill a host
    systems   a file for each batch system      roots     other releases of Debian
    init      PID 1 of a host            enter     the door of a command into a host
    writing   files with their modes

Standard library only: it must run before anything is installed.
"""
