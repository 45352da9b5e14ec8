from __future__ import annotations

import numpy as np
import pytest

from prcli.environments.crystals import crystal_by_name
from prcli.environments.supercell import compact
from prcli.errors import RequestError


def test_element_has_its_reference_state():
    crystal = crystal_by_name("C")
    assert str(crystal.symbols) == "C2"
    assert crystal.get_distance(0, 1, mic=True) == pytest.approx(1.545, abs=0.01)


def test_structure_and_lattice_constants_may_be_named():
    crystal = crystal_by_name("NaCl:rocksalt:5.64")
    assert crystal.get_distance(0, 1, mic=True) == pytest.approx(2.82)
    lengths = crystal_by_name("Zn:hcp:2.6:4.9").cell.lengths()
    assert lengths == pytest.approx([2.6, 2.6, 4.9])


@pytest.mark.parametrize(
    "text", ["", "Xx", "C:nothing:3.5", "C:diamond:-1", "C:diamond:a", "a:b:c:d"]
)
def test_what_is_no_crystal_is_refused(text):
    with pytest.raises(RequestError, match="is neither a file nor a name"):
        crystal_by_name(text)


def test_compact_cell_is_one_of_the_same_lattice():
    crystal = crystal_by_name("C")
    skewed = crystal.copy()
    skewed.set_cell(np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]]) @ crystal.cell.array)
    result = compact(skewed)
    assert sorted(result.cell.lengths()) == pytest.approx(sorted(crystal.cell.lengths()))
    change = skewed.cell.array @ np.linalg.inv(result.cell.array)
    assert np.allclose(change, np.round(change), atol=1e-9)
    assert abs(np.linalg.det(change)) == pytest.approx(1.0)
