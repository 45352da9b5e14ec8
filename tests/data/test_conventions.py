"""What imported rows and columns stand for."""

from __future__ import annotations

import pytest

from prcli.data.conventions import RowConvention, check_convention, parse_blocks
from prcli.errors import FeatureError, FormatError
from prcli.records import Block


class TestCheckConvention:
    @pytest.mark.parametrize(("convention", "n_rows"), [("mean", 5), ("sum", 5), ("per-atom", 40)])
    def test_accepts_what_fits(self, convention: RowConvention, n_rows: int) -> None:
        check_convention(convention, n_rows, 5, 40, "f.npy")
        with pytest.raises(FeatureError):
            check_convention(convention, n_rows + 1, 5, 40, "f.npy")

    @pytest.mark.parametrize("convention", ["mean", "sum", "per-atom"])
    def test_single_atoms_fit_every_convention(self, convention: RowConvention) -> None:
        check_convention(convention, 5, 5, 5, "f.npy")
        with pytest.raises(FeatureError):
            check_convention(convention, 4, 5, 5, "f.npy")

    @pytest.mark.parametrize("convention", ["mean", "sum"])
    def test_says_that_rows_would_be_atoms(self, convention: RowConvention) -> None:
        with pytest.raises(FeatureError, match=f"does not fit --convention {convention}") as caught:
            check_convention(convention, 40, 5, 40, "f.npy")
        assert caught.value.where == "f.npy"
        assert caught.value.expected == "one row for each of the 5 structures"
        assert caught.value.got == "40 rows"
        assert (
            caught.value.remedy == "there are 40 atoms in all, so --convention per-atom would fit"
        )

    def test_says_that_rows_would_be_structures(self) -> None:
        with pytest.raises(FeatureError, match="does not fit --convention per-atom") as caught:
            check_convention("per-atom", 5, 5, 40, "f.npy")
        assert caught.value.expected == "one row for each of the 40 atoms"
        assert "--convention mean or --convention sum would fit" in str(caught.value)

    @pytest.mark.parametrize("convention", ["mean", "per-atom"])
    def test_says_that_nothing_fits(self, convention: RowConvention) -> None:
        with pytest.raises(FeatureError, match="no convention fits"):
            check_convention(convention, 6, 5, 40, "f.npy")


class TestParseBlocks:
    def test_reads_names_and_widths(self) -> None:
        assert parse_blocks("nu1:48, nu2:273", 321) == (Block("nu1", 48), Block("nu2", 273))

    def test_names_may_hold_colons(self) -> None:
        assert parse_blocks("mtt::aux:4", 4) == (Block("mtt::aux", 4),)

    def test_refuses_another_sum(self) -> None:
        with pytest.raises(FeatureError, match="do not add up") as caught:
            parse_blocks("a:2,b:3", 6)
        assert caught.value.expected == "6 columns"
        assert caught.value.got == "2 + 3 = 5"

    def test_refuses_the_same_name_twice(self) -> None:
        with pytest.raises(FormatError, match="same name"):
            parse_blocks("a:2,b:1,a:3", 6)

    @pytest.mark.parametrize(
        "text", ["", "a", "a:", ":3", " :3", "a:0", "a:-3", "a:x", "a:1.5", "a:3,", "a:²"]
    )
    def test_refuses_other_forms(self, text: str) -> None:
        with pytest.raises(FormatError, match="blocks cannot be understood"):
            parse_blocks(text, 3)
