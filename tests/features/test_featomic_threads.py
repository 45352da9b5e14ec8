from __future__ import annotations

import os
import sys

from prcli.parallel.threads import limit_threads


def test_threads_are_granted_before_featomic_is_loaded(monkeypatch):
    monkeypatch.setenv("RAYON_NUM_THREADS", "7")
    monkeypatch.delitem(sys.modules, "featomic", raising=False)
    with limit_threads(1):
        assert os.environ["RAYON_NUM_THREADS"] == "1"


def test_later_it_is_left_as_it_is(monkeypatch):
    monkeypatch.setenv("RAYON_NUM_THREADS", "7")
    monkeypatch.setitem(sys.modules, "featomic", sys)
    with limit_threads(1):
        assert os.environ["RAYON_NUM_THREADS"] == "7"
