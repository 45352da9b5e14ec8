"""A selection as MACE reads it: one file of frames, and the options that name it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prcli.data.annotation import annotate
from prcli.data.columns import species
from prcli.data.comment_pairs import comment, comment_pairs
from prcli.data.extxyz import join_frames
from prcli.data.key_copies import copy_column, copy_key, has_column, has_key
from prcli.elements import SYMBOLS
from prcli.workflows.write_options import WriteOptions

logger = logging.getLogger(__name__)

FRAMES = {"replay": "mace_replay.xyz", "finetune": "mace_train.xyz"}
OPTIONS = "mace.yaml"

_REPLAY = """\
# Replay data for MACE, chosen by prcli. Pass the foundation model, and as train_file the
# structures to fine-tune on, which stay a file of their own.
multiheads_finetuning: true
pt_train_file: {path}
"""
_FINETUNE = """\
# Structures to train or fine-tune MACE on, chosen by prcli.
train_file: {path}
"""


class MaceWriter:
    """Turns picked frames into what MACE reads, and counts what they lack.

    Frames stay as they are but for keys that are added: references under the names that MACE
    looks for, where these are absent, and a weight and a head where they are asked for.

    Parameters
    ----------
    options : WriteOptions
    """

    def __init__(self, options: WriteOptions) -> None:
        self._options = options
        self._n_frames = 0
        self._present: Counter[str] = Counter()
        self._n_other = 0
        self._elements: set[int] = set()
        self._isolated: set[int] = set()

    def write(self, folder: Path, directory: str, frames: Iterator[tuple[str, bytes]]) -> None:
        """Write the frames and the options.

        Parameters
        ----------
        folder : Path
            Where files are written now.
        directory : str
            What the folder will be called.
        frames : iterator of (str, bytes)
            Places, for messages, and frames.
        """
        name = FRAMES[self._options.mace_role]
        with open(folder / name, "wb") as file:
            file.writelines(join_frames(self._converted(frames)))
        template = _REPLAY if self._options.mace_role == "replay" else _FINETUNE
        # JSON strings are YAML strings, too.
        text = template.format(path=json.dumps(f"{directory.rstrip('/')}/{name}"))
        for quantity in ("energy", "forces", "stress"):
            if self._present[quantity]:
                text += f"{quantity}_key: {json.dumps(self._options.mace_key(quantity))}\n"
        (folder / OPTIONS).write_text(text, encoding="utf-8")
        self._say(f"{directory.rstrip('/')}/{name}")

    def _converted(self, frames: Iterator[tuple[str, bytes]]) -> Iterator[bytes]:
        for where, frame in frames:
            self._look_at(frame, where)
            yield self._convert(frame, where)

    def _convert(self, frame: bytes, where: str) -> bytes:
        options = self._options
        old_names = {"energy": options.energy, "forces": options.forces, "stress": options.stress}
        for quantity, old in old_names.items():
            new = options.mace_key(quantity)
            has, copy = (has_column, copy_column) if quantity == "forces" else (has_key, copy_key)
            if has(frame, new):
                self._n_other += quantity == "energy" and new != old and has(frame, old)
            elif has(frame, old):
                frame = copy(frame, old, new, where)
            else:
                continue
            self._present[quantity] += 1
        values: dict[str, object] = {}
        if options.mace_weight is not None:
            values["config_weight"] = options.mace_weight
        if options.mace_head is not None:
            values["head"] = options.mace_head
        return annotate(frame, values, overwrite=True, where=where) if values else frame

    def _look_at(self, frame: bytes, where: str) -> None:
        self._n_frames += 1
        numbers = {int(z) for z in species(frame, where)}
        self._elements |= numbers
        pairs = {pair.key: pair.value for pair in comment_pairs(comment(frame))}
        if int(frame[: frame.index(b"\n")]) == 1 and pairs.get(b"config_type") == b"IsolatedAtom":
            self._isolated |= numbers

    def _say(self, path: str) -> None:
        """Say what the frames lack."""
        options = self._options
        for quantity in ("energy", "forces"):
            n_lacking = self._n_frames - self._present[quantity]
            old, new = getattr(options, quantity), options.mace_key(quantity)
            if n_lacking:
                logger.warning(
                    "%s: %d of %d frames have neither %s nor %s: MACE gives their %s no weight",
                    path,
                    n_lacking,
                    self._n_frames,
                    new,
                    old,
                    quantity,
                )
        if self._n_other:
            logger.info(
                "%s: %d frames have %s already, which stays as it is beside %s",
                path,
                self._n_other,
                options.mace_key("energy"),
                options.energy,
            )
        lacking = [SYMBOLS[z] for z in sorted(self._elements - self._isolated)]
        if options.mace_role == "finetune" and lacking:
            logger.warning(
                "%s: no isolated atom (config_type=IsolatedAtom) of %s, which MACE would take E0s "
                "from: give it --E0s",
                path,
                ", ".join(lacking),
            )
        elif options.mace_role == "replay" and self._isolated:
            logger.info(
                "%s: isolated atoms are not trained on: E0s of replay data are those of the "
                "foundation model",
                path,
            )
