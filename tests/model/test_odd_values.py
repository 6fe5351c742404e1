"""What a TOML file can hold and a knob cannot is refused in a sentence, too."""

from pathlib import Path

import pytest

from letterwise.config import DataConfig
from letterwise.config.presets import asked_values, resolve
from letterwise.errors import UserError


@pytest.mark.parametrize("files", [(1,), ("a.txt", None), "a.txt"])
def test_a_list_of_texts_holds_texts(files: object) -> None:
    with pytest.raises(UserError, match="is not a list of texts"):
        DataConfig(input_file=files)


@pytest.mark.parametrize("name", ["preset", "size"])
def test_a_table_in_place_of_a_name_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "experiment.toml"
    path.write_text(f"[{name}]\nn_layer = 2\n")
    with pytest.raises(UserError, match=rf"{name} \{{'n_layer': 2\}} is not known"):
        resolve(asked_values({}, str(path)))
