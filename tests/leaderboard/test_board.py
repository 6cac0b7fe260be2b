from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from r2d_bench.errors import UserError
from r2d_bench.leaderboard.board import COLUMNS, load_board

if TYPE_CHECKING:
    from pathlib import Path


def test_main_board_loads():
    board = load_board("main")
    assert board.name == "main"
    assert board.columns == COLUMNS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: b\ntitle: B\ncolumns: [macro_f]\n", r"metric 'macro_f': unknown \(did you mean 'macro_f1'"),
        ("name: b\ntitle: B\ncolumns: [bleu, bleu]\n", "a column stands twice"),
        ("name: b\ntitle: B\ncolunms: [bleu]\n", r"unknown key 'colunms' \(did you mean 'columns'"),
        ("name: b\n", "the key 'title' is missing"),
    ],
)
def test_bad_boards_are_refused_in_one_line(tmp_path: Path, text: str, message: str):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "board.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        load_board("b", [tmp_path])
    assert "\n" not in str(error.value)


def test_encoder_is_read_with_its_layer(tmp_path: Path):
    (tmp_path / "board.yaml").write_text("name: b\ntitle: B\nbertscore: {model: roberta-large, num_layers: 17}\n")
    encoder = load_board(str(tmp_path)).bertscore
    assert encoder is not None
    assert (encoder.model, encoder.num_layers) == ("roberta-large", 17)


def test_unknown_board_names_the_nearest():
    with pytest.raises(UserError, match=re.escape("unknown leaderboard 'mian' (did you mean 'main'?)")):
        load_board("mian")
