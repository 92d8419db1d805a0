"""Files are written whole or not at all."""

import pytest

from aiv_rba.errors import UserError
from aiv_rba.files.formats import atomic_path


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), UserError), (RuntimeError("stop"), RuntimeError)],
)
def test_a_failure_leaves_the_earlier_file(tmp_path, error, raised):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(raised):
        write()
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "results").write_text("")
    with (
        pytest.raises(UserError, match=r"results/a\.txt: cannot be written"),
        atomic_path(tmp_path / "results" / "a.txt"),
    ):
        pass
