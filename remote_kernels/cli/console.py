"""A console on a kernel that it did not start: it can interrupt it, but not end it.

jupyter_console (6.6) does the opposite: it refuses Ctrl-C where it did not start the
kernel, and `exit` ends the kernel. `attach` runs this file as a program of its own;
jupyter_console need not be installed.
"""

from __future__ import annotations

import os
import signal

from jupyter_client.consoleapp import JupyterConsoleApp
from jupyter_console.app import ZMQTerminalIPythonApp
from jupyter_console.ptshell import ZMQTerminalInteractiveShell
from traitlets import Bool, Float

INTERRUPT = signal.SIGUSR1  # asks `attach` to interrupt the kernel
LEAVE = ("exit", "quit", "exit()", "quit()")


class Shell(ZMQTerminalInteractiveShell):  # type: ignore[misc] # has no types
    """The prompt, and what happens to what is typed there."""

    # A busy kernel answers when it is done; Ctrl-C is for whoever does not wait.
    kernel_timeout = Float(float("inf"), config=True)

    def run_cell(self, cell: str, store_history: bool = True) -> None:
        """Run a cell here, unless IPython would end the kernel's process for it."""
        if cell.strip() in LEAVE:
            self.ask_exit()
        else:
            super().run_cell(cell, store_history)

    def ask_exit(self) -> None:
        """Leave the console, whatever the kernel wants to become of itself."""
        self.keepkernel = True
        super().ask_exit()


class Console(ZMQTerminalIPythonApp):  # type: ignore[misc] # has no types
    """`jupyter console` with its options and its configuration file."""

    shared = Bool(help="Whether a notebook server has the kernel.", config=True)
    shell: Shell | None = None

    def init_shell(self) -> None:
        """Connect as the base class does, but open our own kind of shell."""
        JupyterConsoleApp.initialize(self)
        signal.signal(signal.SIGINT, self.handle_sigint)
        self.shell = Shell.instance(
            parent=self, client=self.kernel_client, confirm_exit=self.confirm_exit
        )

    def handle_sigint(self, *args: object) -> None:
        """Interrupt the kernel if it runs a cell of this console, else the prompt."""
        if self.shell is None or not self.shell._executing:
            raise KeyboardInterrupt
        if self.shared:  # its server has the way to its process; this is all we have
            client = self.kernel_client
            client.control_channel.send(client.session.msg("interrupt_request", {}))
        else:
            os.kill(os.getppid(), INTERRUPT)


if __name__ == "__main__":
    try:
        Console.launch_instance()
    except KeyboardInterrupt:  # while the kernel did not answer
        raise SystemExit(130) from None
