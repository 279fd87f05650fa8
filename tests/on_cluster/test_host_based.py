"""Nodes that let users in because the login host vouches for them, and for nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from on_cluster.test_firewalls import start
from on_cluster.traces import Desk
from testbed.api import Cluster, answers
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

USER = "bob"
NODE = "c1"


def test_without_any_key(cluster: Cluster, desk: Desk) -> None:
    """`ssh c1` works there, and so do we."""
    desk.spec({"carrier": "ssh", "nodelist": NODE, "time": 10})
    with vouched_for(cluster):
        # In a job of the user's: without one, pam_slurm_adopt lets nobody in.
        job = ["salloc", "--quiet", f"--nodelist={NODE}"]
        ssh = ["ssh", "-o", "BatchMode=yes", NODE, "true"]
        assert 0 == cluster.run("login1", USER, [*job, *ssh]).returncode
        said = start(cluster, desk)

    assert "error" not in said, said["error"]
    assert "ssh" == said["carrier"]


def test_not_by_every_host(cluster: Cluster, desk: Desk) -> None:
    """A login host that does not vouch for its users is not asked to."""
    desk.spec({"carrier": "ssh", "nodelist": NODE, "time": 10})
    with vouched_for(cluster, client=""):
        said = start(cluster, desk)

    assert "There is no SSH key here" in said["error"]


@contextmanager
def vouched_for(
    cluster: Cluster,
    client: str = "HostbasedAuthentication yes\nEnableSSHKeysign yes\n",
) -> Iterator[None]:
    """The node trusts login1, and the user has no key."""
    node, login = cluster.path(NODE, "/etc/ssh"), cluster.path("login1", "/etc/ssh")
    with ExitStack() as stack:
        keys = cluster.layout.home / USER / ".ssh"
        away = keys.rename(keys.with_name("ssh-away"))
        stack.callback(away.rename, keys)
        stack.enter_context(changed(login / "ssh_config", client))
        stack.enter_context(changed(node / "shosts.equiv", "login1\n"))
        config = node / "sshd_config"
        text = config.read_text() + "HostbasedAuthentication yes\nUseDNS yes\n"
        stack.callback(read_again, cluster)
        stack.enter_context(changed(config, text))
        read_again(cluster)
        yield


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    old = path.read_text() if path.exists() else None
    path.write_text(text)
    try:
        yield
    finally:
        if old is None:
            path.unlink()
        else:
            path.write_text(old)


def read_again(cluster: Cluster) -> None:
    """The node's sshd starts anew with its files."""
    before = sshd(cluster)
    for pid in before:
        os.kill(pid, signal.SIGHUP)
    wait_for("sshd", lambda: answers(cluster.address(NODE)), 10)


def sshd(cluster: Cluster) -> list[int]:
    own = cluster.path(NODE, "/run/sshd.pid").read_text().strip()
    return [p.pid for p in cluster.processes(NODE) if str(p.inner) == own]
