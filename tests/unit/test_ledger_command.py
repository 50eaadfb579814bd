"""The reproduction ledger: bench/reproduce.py."""

import pytest

pytestmark = pytest.mark.usefixtures("bench_is_importable")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-claim"], "no claim no-such-claim; there are flatter"),
        (["--seeds", "0"], "give at least 1"),
        (["--checkpoint", "nothing"], "there is no checkpoint nothing; the recipes are gd-0.1"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(arguments, message, capsys):
    import reproduce

    with pytest.raises(SystemExit):
        reproduce.main(arguments)
    assert message in capsys.readouterr().err


def test_report_writes_the_page_and_runs_nothing(tmp_path, monkeypatch, capsys):
    import reproduce
    from ledger import page

    stored = page.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(page, "PAGE", tmp_path / "reproduction.md")
    monkeypatch.setattr(reproduce, "run_claim", lambda *_: pytest.fail("a run was started"))
    reproduce.main(["--report"])
    assert (tmp_path / "reproduction.md").read_text(encoding="utf-8") == stored


@pytest.mark.parametrize(("options", "seeds"), [([], 5), (["--seeds", "1"], 1)])
def test_fewer_seeds_than_are_on_file_do_not_shorten_the_page(
    options, seeds, tmp_path, monkeypatch, capsys
):
    import reproduce
    from ledger import page

    wanted = []
    monkeypatch.setattr(reproduce, "run_claim", lambda _, seed: wanted.append(seed) or iter([]))
    stored = page.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(page, "PAGE", tmp_path / "reproduction.md")
    reproduce.main([*options, "escape-1d"])
    assert wanted == list(range(seeds))
    assert (tmp_path / "reproduction.md").read_text(encoding="utf-8") == stored
    assert "escape-1d" in capsys.readouterr().out
