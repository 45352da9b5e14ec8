from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from prcli.data.publish import check_output, publish_directory, publish_file, unfinished_files
from prcli.errors import FeatureError, OutputError


def fail_halfway(path: Path, fault: type[BaseException]) -> None:
    path.write_text("half")
    raise fault


def test_file_appears_only_after_the_block(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with publish_file(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == tmp_path
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_file_leaves_nothing_behind(tmp_path: Path, fault: type[BaseException]) -> None:
    with pytest.raises(fault), publish_file(tmp_path / "out.txt") as temporary:
        fail_halfway(temporary, fault)
    assert os.listdir(tmp_path) == []


def test_what_a_killed_run_leaves_is_found(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    (tmp_path / ".out.txt.bak.part").touch()
    assert unfinished_files(path) == []
    with publish_file(path) as temporary, publish_file(tmp_path / "out.txt2"):
        assert unfinished_files(path) == [temporary]
    assert unfinished_files(path) == []


def test_failed_overwrite_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), publish_file(path, overwrite=True) as temporary:
        fail_halfway(temporary, KeyboardInterrupt)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_file_permissions_obey_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with publish_file(tmp_path / "out.txt"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "out.txt").stat().st_mode & 0o777 == 0o640


def test_existing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with (
        pytest.raises(OutputError, match="exists already[\\s\\S]*give --overwrite or another name"),
        publish_file(path),
    ):
        pytest.fail("the block must not run")
    assert path.read_text() == "old"


def test_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(OutputError, match="exists already"), publish_file(path):
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "out.txt"
    target.write_text("old")
    (tmp_path / "link.txt").symlink_to(target)
    with publish_file(tmp_path / "link.txt", overwrite=True) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert (tmp_path / "link.txt").is_symlink()


def test_long_names_fit(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 120 + ".h5")
    with publish_file(path):
        pass
    assert path.exists()


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="output folder does not exist"):
        check_output(tmp_path / "absent" / "out.txt")


def test_directory_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be replaced[\\s\\S]*a directory"):
        check_output(tmp_path, overwrite=True)


def test_device_is_never_replaced() -> None:
    with pytest.raises(OutputError, match="cannot be replaced"):
        check_output("/dev/null", overwrite=True)


def test_folder_without_permission_is_refused() -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        check_output("/proc/self/out.txt")


def test_output_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not enough space"):
        check_output(tmp_path / "out", n_bytes=1 << 60)


def test_check_leaves_nothing_behind(tmp_path: Path) -> None:
    assert check_output(tmp_path / "out") == Path(os.path.realpath(tmp_path)) / "out"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_names_the_output(tmp_path: Path, code: int) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(OutputError, match="out.txt[\\s\\S]*free some space"), publish_file(path):
        raise OSError(code, os.strerror(code))
    assert os.listdir(tmp_path) == []


def test_faults_of_other_files_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="out.input.h5"), publish_file(tmp_path / "out"):
        open(tmp_path / "out.input.h5")


def test_our_own_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="not finite"), publish_file(tmp_path / "out"):
        raise FeatureError("not finite")


def test_directory_appears_only_after_the_block(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with publish_directory(path) as temporary:
        (temporary / "report.json").write_text("{}")
        (temporary / "plots").mkdir()
        (temporary / "plots" / "a.svg").write_text("<svg/>")
        assert not path.exists()
    assert (path / "plots" / "a.svg").read_text() == "<svg/>"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_directory_leaves_nothing_behind(tmp_path: Path, fault: type[BaseException]) -> None:
    with pytest.raises(fault), publish_directory(tmp_path / "out") as temporary:
        fail_halfway(temporary / "a", fault)
    assert os.listdir(tmp_path) == []


def test_result_is_overwritten_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "report.json").write_text("old")
    (path / "targets.tsv").write_text("old")
    with publish_directory(path, overwrite=True) as temporary:
        (temporary / "report.json").write_text("new")
        assert (path / "report.json").read_text() == "old"
    assert os.listdir(path) == ["report.json"]
    assert (path / "report.json").read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def test_failed_swap_brings_the_old_result_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "report.json").write_text("old")
    rename = os.rename
    calls: list[object] = []

    def second_fails(source: object, target: object) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(KeyboardInterrupt), publish_directory(path, overwrite=True) as temporary:
        (temporary / "report.json").write_text("new")
    assert (path / "report.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_empty_directory_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with publish_directory(tmp_path / "out", overwrite=True) as temporary:
        (temporary / "report.json").write_text("new")
    assert os.listdir(tmp_path / "out") == ["report.json"]


def test_foreign_directory_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(OutputError, match="not a result of prcli"),
        publish_directory(tmp_path / "out", overwrite=True),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "out" / "thesis.tex").exists()


def test_existing_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text("old")
    with pytest.raises(OutputError, match="give --overwrite"):
        check_output(tmp_path / "out", directory=True)


def test_file_in_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="expected:\\s+a result directory"):
        check_output(tmp_path / "out", overwrite=True, directory=True)


def test_current_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.json").write_text("old")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="is the current one"):
        check_output(".", overwrite=True, directory=True)


def test_result_with_foreign_files_is_kept(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text("{}")
    (out / "precious.txt").write_text("x")
    with pytest.raises(OutputError, match=r"not a result of prcli[\s\S]*precious\.txt"):
        check_output(out, overwrite=True, directory=True)
    assert (out / "precious.txt").read_text() == "x"
