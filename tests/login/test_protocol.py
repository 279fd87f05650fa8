"""jupyter_kernel_test, the ecosystem's own suite, over each carrier."""

from __future__ import annotations

from typing import ClassVar

import jupyter_kernel_test
import pytest


class Suite:
    """What the suite needs to know of ipykernel."""

    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples: ClassVar = [{"text": "zi", "matches": {"zip"}}]
    complete_code_samples: ClassVar = ["1+2", "def f(x):\n  return x * 2\n\n"]
    incomplete_code_samples: ClassVar = ["print('''hello", "def f(x):\n  x * 2"]
    invalid_code_samples: ClassVar = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result: ClassVar = [{"code": "1+2+3", "result": "6"}]
    code_display_data: ClassVar = [
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>'))",
            "mime": "text/html",
        }
    ]
    code_history_pattern = "1?2*"
    # Not "range": ipykernel 7.4 answers it with session 0, also without us.
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


class TestLocal(Suite, jupyter_kernel_test.KernelTests):
    kernel_name = "t-local"


@pytest.mark.cluster
class TestSsh(Suite, jupyter_kernel_test.KernelTests):
    kernel_name = "t-ssh"


@pytest.mark.cluster
class TestSrun(Suite, jupyter_kernel_test.KernelTests):
    kernel_name = "t-own"
