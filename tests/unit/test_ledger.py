"""The reproduction ledger: page and CSV files agree, runs resume."""

import csv

import pytest

pytestmark = pytest.mark.usefixtures("bench_is_importable")


@pytest.fixture
def runs():
    from ledger import runs

    return runs


@pytest.fixture
def rules():
    from ledger import rules

    return rules


@pytest.fixture
def experiment(runs, tmp_path):
    """y = 10 x + seed, and a list of the runs that were made."""
    made = []

    def measure(x, seed):
        made.append((x, seed))
        return {"y": 10 * x + seed}

    return runs.Experiment("toy", ("x",), ("y", "z"), measure, folder=tmp_path), made


def claim_about(rules, experiment, lowest=0.0):
    def judge(found):
        return [rules.above("y", found["a"]["y"], lowest), rules.above("y", found["b"]["y"], 100)]

    pair = {"a": rules.Runs(experiment, {"x": 1}), "b": rules.Runs(experiment, {"x": 2})}
    return rules.Claim("toy", "a slide", "y grows", "no number", pair, judge)


# The page and the rows


def test_the_page_is_what_the_rows_on_file_give():
    from ledger import page

    stored = page.PAGE.read_text(encoding="utf-8")
    assert stored == page.text(), "run python bench/reproduce.py --report"


def test_every_row_on_file_is_whole_and_says_where_it_comes_from():
    from ledger import page
    from ledger.runs import FOLDER

    experiments = {
        run.experiment.name: run.experiment
        for module in page.chapters().values()
        for claim in module.CLAIMS
        for run in claim.runs.values()
    }
    assert {path.stem for path in FOLDER.glob("*.csv")} <= set(experiments)
    assert {path.suffix for path in FOLDER.iterdir()} <= {".csv"}
    for experiment in experiments.values():
        rows = experiment.rows()
        keys = [
            experiment.key({k: float(row[k]) for k in experiment.settings}, row["seed"])
            for row in rows
        ]
        assert len(set(keys)) == len(keys), f"{experiment.name}: a run is there twice"
        for row in rows:
            assert row["scale"] in ("laptop", "paper")
            assert float(row["seconds"]) >= 0
            assert row["version"] and row["torch"] and row["device"]


def test_a_change_of_one_number_changes_the_page(rules, experiment, runs):
    """Were the page not made from the rows, the test above could not fail."""
    from ledger import page

    toy, _ = experiment
    claim = claim_about(rules, toy)
    for x in (1, 2):
        toy.run({"x": x}, 0)
    before = page.table_row(page.outcome(claim))
    toy.path.write_text(toy.path.read_text().replace(",10,", ",11,"))
    after = page.table_row(page.outcome(claim))
    assert "y 10 [" in before and "y 11 [" in after
    assert "1 seed, paper" in before
    assert "`make reproduce CLAIM=toy`" in before


def test_every_seed_on_file_counts_where_all_runs_of_the_claim_have_it(rules, experiment):
    from ledger import page

    toy, _ = experiment
    claim = claim_about(rules, toy)
    assert (page.outcome(claim).verdict, page.outcome(claim).seeds) == ("not run", ())
    for seed in (6, 0, 4):
        for x in (1, 2) if seed else (1,):
            toy.run({"x": x}, seed)
    result = page.outcome(claim)
    assert result.seeds == (4, 6)
    assert result.points[0].found == "15 ± 1.4"  # 14 and 16
    assert "| 2 seeds, paper, " in page.table_row(result)


def test_a_chapter_says_what_was_run_at_paper_scale(rules, experiment, runs):
    from ledger import page

    toy, _ = experiment
    claim = claim_about(rules, toy)
    smaller = runs.Experiment("small", (), ("y",), lambda seed: {"y": 1}, "laptop", toy.folder)
    laptop = rules.Claim(
        "small", "", "", "", {"a": rules.Runs(smaller)}, lambda found: [rules.above("y", found["a"]["y"], 0)]
    )  # fmt: skip
    both = [page.outcome(claim), page.outcome(laptop)]
    others = "The others are at laptop scale; no CUDA GPU was at hand."
    assert page.paper_scale(both) == f"Paper scale: 0 of 2 claims. Not run: `toy`. {others}"
    assert page.paper_scale(both[:1]) == "Paper scale: 0 of 1 claims. Not run: `toy`."
    toy.run({"x": 1}, 0)
    toy.run({"x": 2}, 0)
    smaller.run({}, 0)
    both = [page.outcome(claim), page.outcome(laptop)]
    assert page.paper_scale(both) == f"Paper scale: 1 of 2 claims. {others}"
    assert "not run, no CUDA GPU" in page.paper_scale(both[1:])
    assert "| 1 seed, laptop, " in page.table_row(both[1])


def test_claims_have_names_of_their_own_and_enough_of_them():
    from ledger import page

    names = [claim.name for module in page.chapters().values() for claim in module.CLAIMS]
    assert len(names) == len(set(names)) >= 15


# Resuming


def test_finished_runs_are_not_made_again(rules, experiment, capsys):
    import reproduce

    toy, made = experiment
    claim = claim_about(rules, toy)
    toy.run({"x": 2}, 0)
    assert list(reproduce.run_claim(claim, 0)) == ["a"]
    assert made == [(2, 0), (1, 0)]
    assert list(reproduce.run_claim(claim, 0)) == []
    assert made == [(2, 0), (1, 0)]
    assert list(reproduce.run_claim(claim, 1)) == ["a", "b"]
    assert made[2:] == [(1, 1), (2, 1)]


def test_an_interrupted_run_leaves_the_rows_before_it(rules, experiment, monkeypatch):
    import reproduce

    toy, _ = experiment
    claim = claim_about(rules, toy)
    toy.run({"x": 1}, 0)
    before = toy.path.read_bytes()

    def interrupted(x, seed):
        raise KeyboardInterrupt

    object.__setattr__(toy, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(reproduce.run_claim(claim, 0))
    assert toy.path.read_bytes() == before


def test_an_interruption_while_writing_leaves_no_half_row(runs, experiment, monkeypatch):
    toy, _ = experiment
    toy.run({"x": 1}, 0)
    before = toy.path.read_bytes()
    whole = csv.DictWriter.writerows

    def half(writer, rows):
        whole(writer, list(rows)[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(csv.DictWriter, "writerows", half)
    with pytest.raises(KeyboardInterrupt):
        toy.run({"x": 2}, 0)
    assert toy.path.read_bytes() == before
    monkeypatch.undo()
    toy.run({"x": 2}, 0)
    assert [row["x"] for row in toy.rows()] == ["1", "2"]


def test_a_half_row_is_named(runs, experiment):
    toy, _ = experiment
    toy.run({"x": 1}, 0)
    toy.path.write_text(toy.path.read_text() + "2,0,2")
    with pytest.raises(runs.LedgerError, match=r"toy\.csv, line 3: 3 values for 9 columns"):
        toy.find({"x": 1}, 0)


def test_columns_of_another_version_are_named(runs, experiment):
    toy, _ = experiment
    toy.path.write_text("x,seed,y\n1,0,10\n")
    with pytest.raises(runs.LedgerError, match="does not begin with the columns x, seed, y, z"):
        toy.rows()


def test_a_run_is_found_by_the_value_of_its_settings(experiment):
    toy, _ = experiment
    toy.run({"x": 1e-4}, 2)
    assert toy.find({"x": 0.0001}, 2)["y"] == "2.001"
    assert toy.find({"x": 0.0001}, 1) is None
    with pytest.raises(ValueError, match="needs the settings x"):
        toy.find({"w": 1}, 0)


def test_what_a_run_did_not_measure_is_empty_and_other_names_are_refused(runs, experiment):
    toy, _ = experiment
    assert toy.run({"x": 1}, 0)["z"] == ""
    object.__setattr__(toy, "measure", lambda x, seed: {"w": 1})
    with pytest.raises(ValueError, match="measures {'w'} besides"):
        toy.run({"x": 2}, 0)


def test_training_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    """Two pieces give the weights that one run gives."""
    import torch
    from ledger import networks

    import flatlab
    from flatlab.checkpoints import Recipe

    generator = torch.Generator().manual_seed(1)
    X, y = torch.rand(20, 1, 28, 28, generator=generator), torch.eye(10)[:2].repeat(10, 1)

    class Data:
        train = (X, y)

    monkeypatch.setattr(networks, "STATES", tmp_path)
    monkeypatch.setattr(networks, "PIECE", 4)
    recipe = Recipe(0.1, 20, 0.0, 0, n_train=20)
    whole = recipe.start()
    flatlab.fit(whole, networks.LOSS, Data.train, learning_rate=0.1, steps=10, progress=False)

    calls = []
    fit = flatlab.fit

    def interrupted(*arguments, **options):
        calls.append(options["steps"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(*arguments, **options)

    monkeypatch.setattr(flatlab, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        networks.train(recipe, Data, most_steps=10)
    assert torch.load(networks.state_path(recipe), weights_only=True)["steps"] == 8
    trained = networks.train(recipe, Data, most_steps=10)
    assert calls == [4, 4, 2, 2]
    assert (trained.steps, trained.stopped) == (10, "steps")
    for mine, theirs in zip(trained.model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs)
