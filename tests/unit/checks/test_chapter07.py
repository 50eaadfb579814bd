"""Chapter 07's checks: their ground truths and the mistakes they tell apart."""

import math
import re

import numpy as np
import pytest
import torch
from answered import Answered, apart, drawn

from flatlab.checks import CheckFailed, chapter07
from flatlab.checks.chapter07 import (
    adam,
    circuits,
    decay,
    losses,
    restricted,
    spectrum,
    split,
    tables,
    times,
    waves,
)
from flatlab.checks.core import run
from flatlab.course.reports.wording import course_words

HERE = Answered("07-grokking")
SOLUTIONS = HERE.solutions
SEEDS = range(6)


def test_every_check_has_its_exercise():
    assert set(SOLUTIONS) == set(chapter07.__all__)


def test_the_sandbox_gets_no_truth():
    answers = {"right_pairs", "right_results", "right_time", "right_loss", "restricted", "power"}
    assert not HERE.sent() & (answers | {"step", "steps", "basis"})


@pytest.mark.parametrize("cell", HERE.of("misconception"), ids=lambda c: c.options["name"])
def test_later_checks_have_a_verdict_too_and_messages_reach_the_student(cell):
    student, exercise = HERE.notebook(cell.text)[cell.name], getattr(chapter07, cell.name)
    for message in filter(None, (run(c, student, 1) for c in exercise.visible.values())):
        lines = " ".join(line.strip() for line in message.split("\n"))
        assert "It stopped with" in message or course_words(lines) == lines


@pytest.mark.parametrize("p", [2, 7, 31])
def test_quotients_are_those_of_pows_inverse(p):
    pairs = tables.right_pairs(p, "divide")
    assert pairs.tolist() == [[a, b] for a in range(p) for b in range(1, p)]
    right = tables.right_results(pairs, p, "divide")
    assert right.tolist() == [a * pow(b, -1, p) % p for a, b in pairs.tolist()]


@pytest.mark.parametrize("p", [7, 11, 53])
@pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "divide"])
def test_wrong_tables_differ(operation, p):
    pairs = tables.right_pairs(p, operation)
    right = tables.right_results(pairs, p, operation)
    apart(right, tables.result_mistakes(pairs, p, operation), 1e-9)


@pytest.mark.parametrize("operation", ["add", "divide"])
def test_wrong_shapes_are_told_apart(operation):
    """Of every p that a check draws no two causes have one number of rows."""
    for p in (7, 31, 53):
        rows = tables.rows_of(p, operation)
        counts = {p * p, p * (p - 1), p * (p + 1) // 2, (p - 1) ** 2, (p + 1) ** 2} - {rows}
        assert len(counts) == 4
        said = {tables.wrong_pairs(p, operation, (count, 2)) for count in counts}
        assert len(said) == 4 and all(". " in text for text in said)
        assert tables.wrong_pairs(p, operation, (rows, 2)) is None
        assert "first all a, then all b" in tables.wrong_pairs(p, operation, (2, rows))


@pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "divide"])
def test_the_tables_are_the_packages(operation):
    from flatlab.grokking import modular_table

    table = modular_table(13, operation)
    pairs = tables.right_pairs(13, operation)
    assert np.array_equal(table.pairs, pairs)
    assert np.array_equal(table.results, tables.right_results(pairs, 13, operation))


def test_a_table_in_floats_or_without_results_is_refused():
    pairs, results = torch.cartesian_prod(torch.arange(7), torch.arange(7)), torch.zeros(49)
    for answer in (None, pairs, (pairs,), (pairs, results), (pairs, results.tolist())):
        with pytest.raises(CheckFailed):
            chapter07.modular_table(lambda p, operation, answer=answer: answer)


def test_splits_are_judged_by_their_counts():
    one, none = np.array([1, 1, 1, 0, 0]), np.zeros(5, int)
    assert split.rows_verdict(one, 1 - one) is None
    assert "more than once" in split.rows_verdict(2 * one, 1 - one)
    assert "the whole table" in split.rows_verdict(one, one | 1)
    assert "A leak: 1 of the 3" in split.rows_verdict(one, np.array([1, 0, 0, 1, 1]))
    assert "2 of 5 rows are in neither" in split.rows_verdict(one, none)
    for fraction in split.EveryRow.fractions:  # float products: 0.29 * 100 is 28.999999999999996
        wanted = torch.tensor(fraction, dtype=torch.float64).mul(100).round().int().item()
        assert split.size_verdict(wanted, 100, fraction) is None
        assert "that of the training part" in split.size_verdict(100 - wanted, 100, fraction)
    assert "int() and // cut" in split.size_verdict(int(0.29 * 100), 100, 0.29)


@pytest.mark.parametrize("draw", ["block", "stripes", "weighted"])
def test_splits_that_are_not_uniform_are_seen(draw):
    """Half of the rows, but in a block, every second one, or the first ones more often."""

    def student(pairs, results, fraction, generator):
        n = len(pairs)
        start = torch.randint(n, (1,), generator=generator).item()
        order = {
            "block": torch.arange(n).roll(start),
            "stripes": torch.cat(
                [torch.arange(start % 2, n, 2), torch.arange(1 - start % 2, n, 2)]
            ),
            "weighted": torch.multinomial(
                torch.linspace(10, 1, n), n, replacement=False, generator=generator
            ),
        }[draw]
        train, test = order[: n // 2], order[n // 2 :]
        return (pairs[train], results[train]), (pairs[test], results[test])

    said = run(split.FromGenerator(), student, 0)
    assert {"block": "a block", "stripes": "every second", "weighted": "as likely"}[draw] in said


@pytest.mark.parametrize(("slip", "kind"), [("", torch.optim.AdamW), ("l2", torch.optim.Adam)])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_step_is_torchs_and_its_slips_differ(seed, slip, kind):
    inputs = drawn(decay.SixSteps(), seed)
    w = torch.tensor(inputs["w"], requires_grad=True)
    settings = {"lr": inputs["rate"], "betas": tuple(inputs["betas"]), "eps": inputs["eps"]}
    optimizer = kind([w], weight_decay=inputs["decay"], **settings)
    *weights, m, v = adam.steps(inputs, slip)
    for gradient, mine in zip(inputs["gradients"], weights, strict=True):
        w.grad = torch.tensor(gradient)
        optimizer.step()
        assert np.allclose(w.detach(), mine, rtol=1e-12)
    state = optimizer.state[w]
    assert np.allclose(state["exp_avg"], m) and np.allclose(state["exp_avg_sq"], v)
    slips = [(adam.steps(inputs, each)[:-2], said) for each, said in adam.SLIPS.items()]
    apart(adam.steps(inputs)[:-2], [pair for pair in slips if np.isfinite(pair[0]).all()])


@pytest.mark.parametrize("seed", SEEDS)
def test_times_are_those_of_a_search_in_text(seed):
    generator = np.random.default_rng(seed)
    for patience in (1, 2, 3):
        values = generator.choice([0.2, 0.8, 0.9, np.nan], 12)
        steps = np.cumsum(generator.integers(1, 9, 12))
        marks = "".join("x" if value in (0.8, 0.9) else "." for value in values)
        match = re.search("x" * patience, marks)
        right = times.right_time(np.column_stack([steps, values]), 0.8, patience)
        assert right == (steps[match.start()] if match else None)


@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_times_differ(seed):
    """In all three histories together: one that agrees in two of them is still found."""
    inputs = drawn(times.Stretches(), seed)
    cases = list(zip(inputs["histories"], inputs["patience"], strict=True))
    wrong = [times.wrong_times(history, inputs["threshold"], n) for history, n in cases]
    answers = {}
    for kinds in zip(*wrong, strict=True):
        answers.setdefault(tuple(value for value, _ in kinds), set()).add(kinds[0][1])
    assert tuple(times.right_time(h, inputs["threshold"], n) for h, n in cases) not in answers
    assert all(len(messages) == 1 for messages in answers.values())
    assert len(answers) == len(wrong[0])


@pytest.mark.parametrize("p", [3, 11, 13])
def test_the_waves_are_an_orthonormal_basis(p):
    columns = waves.basis(p)
    assert np.allclose(columns.T @ columns, np.eye(p))


@pytest.mark.parametrize("check", [spectrum.Waves, spectrum.Parseval])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_power_is_numpys_and_its_mistakes_differ(check, seed):
    embedding = drawn(check(), seed)["embedding"]
    p, half = len(embedding), len(embedding) // 2
    whole = (np.abs(np.fft.fft(embedding, axis=0, norm="ortho")) ** 2).sum(axis=1)
    right = waves.power(embedding)
    assert np.allclose(right, [whole[0], *(whole[k] + whole[p - k] for k in range(1, half + 1))])
    assert right.sum() == pytest.approx((embedding**2).sum())
    apart(right, waves.power_mistakes(embedding))


def test_a_wave_has_the_power_of_its_amplitude():
    a = np.arange(13)
    embedding = np.stack([3 * np.cos(2 * np.pi * 4 * a / 13 + 0.7), np.full(13, 0.5)], axis=1)
    power = np.zeros(7)
    power[[0, 4]] = 0.25 * 13, 9 * 13 / 2
    assert np.allclose(waves.power(embedding), power)


def test_a_spectrum_of_another_shape_is_told_so():
    for answer, said in (
        (torch.zeros(13), "13 numbers"),
        (torch.zeros(6), "comes first"),
        (torch.zeros(7, 5), "add up the 5 columns"),
        (torch.zeros(5), "run over the rows"),
        ([0.0] * 7, "It returned a list"),
        (None, "returned None"),
    ):
        with pytest.raises(CheckFailed, match=said):
            chapter07.fourier_power(lambda embedding, answer=answer: answer)


@pytest.mark.parametrize("seed", SEEDS)
def test_restricted_logits_are_least_squares_on_the_waves(seed):
    inputs = drawn(restricted.RandomLogits(), seed)
    logits, frequencies = inputs["logits"], inputs["frequencies"]
    p = len(logits)
    a, b = np.meshgrid(np.arange(p), np.arange(p), indexing="ij")
    waves = [np.ones(p * p)]
    for k in frequencies:
        waves += [f(2 * np.pi * k * (a + b) / p).ravel() for f in (np.cos, np.sin)]
    columns = np.stack(waves, axis=1)
    found, *_ = np.linalg.lstsq(columns, logits.reshape(p * p, p), rcond=None)
    kept = (columns @ found).reshape(p, p, p)
    assert np.allclose(circuits.restricted(logits, frequencies), kept)
    labels = torch.tensor((a + b).ravel() % p)
    loss = torch.nn.functional.cross_entropy(torch.tensor(kept).flatten(0, 1), labels)
    right = circuits.right_loss(logits, frequencies)
    assert right == pytest.approx(loss.item(), rel=1e-12)
    apart(right, losses.wrong_losses(logits, frequencies))


def test_power_loss_and_time_are_the_packages():
    from flatlab import grokking
    from flatlab.history import TrainingState

    inputs = drawn(restricted.RandomLogits(), 0)
    logits, frequencies = torch.tensor(inputs["logits"]), inputs["frequencies"]
    p = len(logits)
    table = grokking.modular_table(p, "add")
    theirs = grokking.restricted_loss(logits.reshape(p * p, p), table, frequencies)
    assert circuits.right_loss(inputs["logits"], frequencies) == pytest.approx(theirs)
    embedding = drawn(spectrum.Parseval(), 0)["embedding"]
    power = grokking.fourier_power(torch.tensor(embedding))
    assert np.allclose(waves.power(embedding), power)
    state = TrainingState(model=None, optimizer=None)
    for step, accuracy in ((0, 0.1), (10, 0.9), (20, math.nan), (30, 0.8), (50, 0.95)):
        state.step = step
        state.add_row((1.0, 1.0, 1.0, accuracy, 0.1), {})
    values = np.column_stack([state.history.step, state.history.test_accuracy])
    for patience, right in ((1, 10), (2, 30), (3, None)):
        assert times.right_time(values, 0.8, patience) == right
        assert grokking.time_to_threshold(state.history, 0.8, patience) == right


def test_a_small_loss_is_exact():
    logits = np.zeros((3, 3, 3))
    a, b = np.divmod(np.arange(9), 3)
    logits.reshape(9, 3)[np.arange(9), (a + b) % 3] = 40.0
    right = math.log1p(2 * math.exp(-40))
    assert circuits.cross_entropy(logits, (a + b) % 3) == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_confident_network_is_right_and_float32_cannot_see_it(seed):
    inputs = drawn(restricted.Confident(), seed)
    logits = inputs["logits"]
    right = circuits.right_loss(logits, inputs["frequencies"])
    assert logits.dtype == np.float32 and 1e-12 < right < 1e-10
    a, b = np.divmod(np.arange(121), 11)
    flat, labels = torch.tensor(logits).flatten(0, 1), torch.tensor((a + b) % 11)
    assert torch.nn.functional.cross_entropy(flat, labels) == 0
