"""Programs of the machine that some tests need."""

import os
import shutil

import pytest


def need(request, mark, *programs):
    """Skip the test if a program is missing; fail it in CI and where its mark is asked for.

    It is asked for with `-m`, `-k` or by the name of the test.
    """
    missing = [program for program in programs if not shutil.which(program)]
    if not missing:
        return
    option = request.config.option
    asked = mark in f"{option.markexpr} {option.keyword} {request.config.args}"
    text = f"{' and '.join(missing)}: not installed on this machine"
    if asked or os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
