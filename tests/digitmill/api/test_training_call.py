import pathlib

import pytest

import digitmill


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipe": "cnm"}, "cnm"),
        ({"recipe": "cnn", "epoch": 3}, "train has no such option: 'epoch'. Did you mean epochs?"),
        ({"recipe": "cnn", "epochs": 0}, "invalid --epochs: 0"),
        ({"recipe": "cnn", "precision": "half"}, "invalid --precision: 'half'"),
    ],
)
def test_mistakes_are_user_errors(tmp_path: pathlib.Path, options: dict, words: str) -> None:
    with pytest.raises(digitmill.UserError) as caught:
        digitmill.train("sample", output=tmp_path / "run", **options)
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_training_is_a_bundle_that_loads_and_scores(tmp_path: pathlib.Path) -> None:
    trained = digitmill.train(recipe="dense-128", output=tmp_path / "run", epochs=2)
    assert trained.bundle == str(tmp_path / "run" / "bundle")
    assert trained.accuracy.value > 0.6
    assert trained.card.epochs == 2
    assert trained.card.recipe in trained._repr_html_()
    assert "--data sample" in trained.card.command
    assert digitmill.load(trained.bundle).card == trained.card
