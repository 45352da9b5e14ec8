from __future__ import annotations

import pickle
import sys

import pytest
from thread_ranks import run_ranks

from prcli.cli.main import main
from prcli.errors import FeatureError, RequestError, StoppedEarlyError
from prcli.parallel.communicator import start_communicator
from prcli.parallel.failure import RankFailureError, exit_for, passed_on
from prcli.parallel.pieces import pieces_of_all
from prcli.records import ALONE

LAUNCHED = {"PMI_RANK": "0", "PMI_SIZE": "4"}


def test_without_a_launcher_there_is_one_rank():
    assert start_communicator({}) is ALONE


@pytest.fixture
def without_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)


def test_ranks_without_mpi_do_not_all_do_the_same(without_mpi):
    with pytest.raises(RequestError, match="4 ranks were started, and MPI is not there") as caught:
        start_communicator(LAUNCHED)
    assert 'pip install "prcli[mpi]"' in caught.value.remedy
    assert caught.value.where == "PMI_SIZE=4"


@pytest.mark.parametrize(("rank", "n_messages"), [("0", 1), ("2", 0)])
def test_one_rank_of_a_machine_says_so(without_mpi, monkeypatch, capsys, rank, n_messages):
    for name, value in (LAUNCHED | {"PMI_RANK": rank}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["prcli", "--version"])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("prcli: error:") == err.count("prcli[mpi]") == n_messages


def test_ranks_that_do_not_find_each_other_stop(monkeypatch):
    class Alone:
        size = 1

    class Library:
        COMM_WORLD = Alone
        Get_library_version = staticmethod(lambda: "Some MPI v1.2, package: of somebody\0")

    class Package:
        rc = Alone
        MPI = Library

    monkeypatch.setitem(sys.modules, "mpi4py", Package)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", Library)
    with pytest.raises(RequestError, match="do not find each other") as caught:
        start_communicator(LAUNCHED)
    assert caught.value.got == "every rank alone, by Some MPI v1.2"


# What passes between ranks.


def test_errors_arrive_as_they_were():
    error = FeatureError("a fault", where="there", got="this", remedy="mend it")
    error.add_note("seen")
    found = pickle.loads(pickle.dumps(passed_on(error, 1)))
    assert type(found) is FeatureError
    assert str(found) == str(error)
    assert found.__notes__ == ["seen"]
    stopped = pickle.loads(pickle.dumps(StoppedEarlyError("stopped")))
    assert stopped.exit_code == 75


def test_exits_and_system_errors_arrive_as_they_were():
    assert isinstance(passed_on(KeyboardInterrupt("x"), 0), KeyboardInterrupt)
    assert passed_on(SystemExit(143), 0).code == 143
    error = pickle.loads(pickle.dumps(passed_on(FileNotFoundError(2, "no such file", "f"), 0)))
    assert (error.errno, error.strerror, error.filename) == (2, "no such file", "f")
    assert exit_for(15).code == 143
    assert isinstance(exit_for(2), KeyboardInterrupt)


def test_of_a_bug_the_traceback_arrives():
    class UnknownError(Exception):
        def __reduce__(self):
            raise TypeError("cannot be pickled")

    try:
        raise UnknownError("odd")
    except UnknownError as error:
        found = pickle.loads(pickle.dumps(passed_on(error, 3)))
    assert isinstance(found, RankFailureError)
    assert found.text.startswith("prcli: rank 3 has failed\nTraceback")
    assert found.text.endswith("odd\n")


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_pieces_of_all_ranks_come_to_the_first(size):
    def collect(communicator):
        own = ((communicator.rank, i) for i in range(3 * communicator.rank % 4))
        return list(pieces_of_all(communicator, own))

    found, *others = run_ranks(size, collect)
    assert sorted(found) == [(rank, i) for rank in range(size) for i in range(3 * rank % 4)]
    for rank in range(size):
        mine = [piece for piece in found if piece[0] == rank]
        assert mine == sorted(mine)
    assert others == [[]] * (size - 1)
