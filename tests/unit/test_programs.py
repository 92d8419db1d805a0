"""A test that needs a program of the machine is skipped without it, unless it is asked for."""

from types import SimpleNamespace

import pytest

from tests.programs import need


def request(mark="", keyword="", args=("tests",)):
    option = SimpleNamespace(markexpr=mark, keyword=keyword)
    return SimpleNamespace(config=SimpleNamespace(option=option, args=list(args)))


def test_a_program_that_is_there_is_no_obstacle():
    need(request(), "browser", "sh")


def test_without_the_program_the_test_is_skipped(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        need(request(), "browser", "sh", "no-such-program")


@pytest.mark.parametrize(
    "asked",
    [{"mark": "browser"}, {"keyword": "browser"}, {"args": ["test_a.py::test_the_browser"]}],
)
def test_it_fails_where_it_is_asked_for(monkeypatch, asked):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        need(request(**asked), "browser", "no-such-program")


def test_it_fails_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        need(request(), "browser", "no-such-program")
