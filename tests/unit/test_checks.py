"""The checks' framework: what passes, what fails and how, and what it must not disturb."""

import functools
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from flatlab.checks import CheckFailed, Exercise, ready
from flatlab.checks.answers import array, close, compare, tensors
from flatlab.checks.core import WrongAnswer, plain, run
from flatlab.checks.guard import Meter, Overrun, TopicGuard
from flatlab.checks.toys import ball_maximum, dense_hessian, leaves, quadratic


class Doubling:
    """Is student(x) = 2x?"""

    hints = (("boom", "That was the fuse."),)

    def draw(self, generator):
        return {"x": torch.randn(3, generator=generator, dtype=torch.float64)}

    def call(self, student, inputs):
        return {"result": array(student(torch.tensor(inputs["x"])), (3,))}

    def verdict(self, inputs, outputs):
        mistakes = [(inputs["x"], "It returns x itself.")]
        return compare(outputs["result"], 2 * inputs["x"], 1e-6, mistakes)


@pytest.fixture
def exercise() -> Exercise:
    double = Exercise("double", remaining=("another draw",))
    double.check("three numbers")(Doubling)
    double.hidden("another draw")(Doubling)
    return double


def double(x):
    return 2 * x


def test_a_right_answer_passes_and_is_told_what_remains(exercise, capsys):
    exercise(double)
    out = capsys.readouterr().out
    assert "✓ double: 1 check passed" in out
    assert "1 hidden check remains: another draw." in out
    exercise.grade(double)


def test_a_known_mistake_is_named(exercise):
    with pytest.raises(CheckFailed, match="It returns x itself"):
        exercise(lambda x: x)
    with pytest.raises(CheckFailed, match="hidden check: another draw"):
        exercise.grade(lambda x: x)


def test_a_failure_renders_without_a_traceback(exercise):
    with pytest.raises(CheckFailed) as failure:
        exercise(lambda x: x + 1)
    lines = failure.value._render_traceback_()
    assert lines[0] == "✗ double (three numbers)"
    assert not any("Traceback" in line for line in lines)


def test_a_long_message_breaks_between_words():
    text = "✗ double (three numbers)\n  " + "The result is 17, and 18 was expected. " * 9
    lines = CheckFailed(text)._render_traceback_()
    assert max(map(len, lines)) <= 88 and len(lines) > 4
    assert all(line.startswith("  ") for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (lambda x: None, "return statement missing"),
        (lambda x: "six", "returned a str"),
        (lambda x: [str(float(2 * v)) for v in x], "returned a list"),
        (lambda x: torch.complex(2 * x, x), "returned complex numbers; real ones are needed"),
        (lambda x: [complex(2 * v, 1) for v in x.tolist()], "returned complex numbers"),
        (lambda x: x[:2], "shape \\(2,\\)"),
        (lambda x: x * float("nan"), "not finite"),
        (lambda x: (_ for _ in ()).throw(ValueError("boom")), "That was the fuse"),
    ],
)
def test_answers_that_cannot_be_compared_say_why(exercise, answer, fragment):
    with pytest.raises(CheckFailed, match=fragment):
        exercise(answer)


@pytest.mark.parametrize(
    "answer",
    [lambda x: torch.complex(2 * x, 0 * x), lambda x: [complex(2 * v) for v in x.tolist()]],
)
def test_complex_numbers_without_an_imaginary_part_are_real(exercise, answer, capsys):
    exercise(answer)
    assert "✓ double" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [np.complex64, np.complex128, np.clongdouble])
def test_complex_answers_are_read_as_float64(kind):
    assert array(kind(1.5), ()).dtype == np.float64


def test_an_object_that_can_be_called_is_an_answer(exercise, capsys):
    @dataclass
    class Times:
        factor: float = 2.0

        def __call__(self, x):
            return self.factor * x

    twice = Times()  # compared by its fields, so it has no hash
    exercise(twice)
    assert ready(twice)
    assert not ready(None) and not ready(functools.partial(twice))


def test_something_else_than_a_function_is_told(exercise):
    with pytest.raises(CheckFailed, match="This is a Tensor, not a function"):
        exercise(torch.ones(2))


def unfinished(x):
    raise NotImplementedError


def test_unfinished_is_a_line_for_the_student_and_a_failure_for_the_grader(
    exercise, capsys, monkeypatch
):
    exercise(unfinished)
    assert "○ double: not written yet." in capsys.readouterr().out
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(CheckFailed, match="Not written yet"):
        exercise(unfinished)


def test_what_torch_has_not_implemented_is_no_stub(exercise):
    with pytest.raises(CheckFailed, match="It stopped with NotImplementedError.*Sparse"):
        exercise(lambda x: x.to_sparse().cumsum(0))


def test_an_experiment_waits_until_its_functions_have_passed(exercise, capsys):
    def triple(x):
        return 3 * x

    def doubled(x):
        return x + x

    assert not ready(doubled, triple)
    assert "waits for `doubled` and `triple`" in capsys.readouterr().out
    exercise(doubled)
    assert ready(doubled)
    with pytest.raises(CheckFailed):
        exercise(triple)
    assert not ready(doubled, triple)


def test_a_function_that_fails_later_is_not_ready_any_more(exercise):
    factor = [2]

    def student(x):
        return factor[0] * x

    exercise(student)
    factor[0] = 3
    with pytest.raises(CheckFailed):
        exercise(student)
    assert not ready(student)


def test_a_hidden_check_that_was_not_promised_is_refused(exercise):
    with pytest.raises(ValueError, match="does not promise"):
        exercise.hidden("a surprise")


def test_checks_leave_the_global_random_state_alone(exercise):
    def noisy(x):
        torch.manual_seed(99)
        return 2 * x + 0 * torch.randn(3)

    before = torch.get_rng_state()
    exercise(noisy)
    assert torch.equal(before, torch.get_rng_state())


def test_the_same_seed_draws_the_same_inputs():
    seen = []

    def record(x):
        seen.append(x.clone())
        return 2 * x

    for seed in (5, 5, 6):
        assert run(Doubling(), record, seed) is None
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_calling_a_topic_of_the_package_is_caught_under_any_name(exercise):
    from flatlab.curvature import trace as innocent

    def cheat(x):
        innocent(torch.eye(2), probes=1)
        return 2 * x

    with pytest.raises(CheckFailed, match="flatlab.curvature.estimators.trace"):
        exercise(cheat)


def test_the_ground_floor_is_free_to_use(exercise):
    def uses_models_and_data(x):
        from flatlab import load_dataset
        from flatlab.models import mlp

        mlp((2, 2))
        load_dataset("digits", n_train=5, n_test=5)
        return 2 * x

    exercise(uses_models_and_data)


def test_importing_a_topic_is_no_call(exercise, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("flatlab.stability")]:
        monkeypatch.delitem(sys.modules, name)

    def imports_only(x):
        import flatlab.stability  # noqa: F401 (makes dataclasses)

        return 2 * x

    exercise(imports_only)


def test_the_guard_puts_the_profiler_back():
    before = sys.getprofile()
    with TopicGuard():
        pass
    assert sys.getprofile() is before


def test_the_meter_counts_operations_and_the_largest_tensor():
    with Meter() as meter:
        x = torch.ones(10, 10)
        (x @ x).sum()
    assert meter.largest == 100
    assert meter.operations >= 3


def test_the_meter_ends_what_takes_too_many_operations():
    x = torch.ones(3)
    with Meter(most=5) as meter, pytest.raises(Overrun):
        for _ in range(1000):
            x = x + 1
    assert meter.operations == 6 and x[0] == 1 + 6
    with Meter() as meter:
        for _ in range(1000):
            x = x + 1
    assert meter.operations == 1000


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array(["a"]), [object()]])
def test_only_plain_data_comes_out_of_a_call(value):
    with pytest.raises(TypeError, match="not plain data"):
        plain(value)


def test_plain_data_is_detached_and_copied():
    x = torch.ones(2, requires_grad=True)
    copy = plain({"x": [x, 1.0, "text"]})
    copy["x"][0][0] = 5
    assert x[0] == 1
    assert isinstance(copy["x"][0], np.ndarray)


@pytest.mark.parametrize(
    "value",
    [
        2.0,
        np.float32(2),
        torch.tensor(2.0),
        torch.tensor([2.0]),
        torch.tensor(2.0, requires_grad=True),
        np.array([[2.0]]),
    ],
)
def test_a_number_is_read_in_whatever_type_it_comes(value):
    assert array(value, ()) == 2.0


def test_tensors_reads_lists_and_names_what_is_missing():
    shapes = [(2,), (1, 2)]
    good = [torch.zeros(2), torch.zeros(1, 2)]
    assert len(tensors(tuple(good), shapes)) == 2
    with pytest.raises(WrongAnswer, match="tensor of zeros"):
        tensors([good[0], None], shapes)
    with pytest.raises(WrongAnswer, match="1 tensors for 2 parameters"):
        tensors(good[:1], shapes)
    with pytest.raises(WrongAnswer, match="a list of 2 tensors"):
        tensors(torch.zeros(4), shapes)


def test_close_is_relative_and_absolute_at_zero():
    assert close([1e6], [1e6 + 1], 1e-5)
    assert not close([1e-9], [2e-9], 1e-5)
    assert close([1e-9], [0.0], 1e-5)


@pytest.mark.parametrize("slope_scale", [0.0, 0.01, 1.0, 30.0])
def test_ball_maximum_against_a_dense_scan_of_the_circle(slope_scale):
    rng = np.random.default_rng(0)
    a = np.diag([3.0, 1.0])
    b = slope_scale * rng.normal(size=2)
    angles = np.linspace(0, 2 * np.pi, 200_001)
    d = 0.7 * np.stack([np.cos(angles), np.sin(angles)])
    scanned = (b @ d + 0.5 * np.einsum("in,ij,jn->n", d, a, d)).max()
    assert ball_maximum(a, b, 0.7) == pytest.approx(scanned, rel=1e-6)


def test_dense_hessian_of_a_quadratic_is_its_matrix():
    a = np.array([[2.0, 1.0], [1.0, -3.0]])
    loss = quadratic(a, np.array([1.0, 2.0]))
    assert np.allclose(dense_hessian(loss, leaves([[0.3], [0.1]])), a)


def test_a_right_answer_that_warns_passes_and_keeps_stderr_clean(exercise, capsys):
    import sys
    import warnings

    def noisy(x):
        warnings.warn("this costs nothing", stacklevel=1)
        print("nor does this", file=sys.stderr)
        return 2 * x

    exercise(noisy)
    captured = capsys.readouterr()
    assert "✓ double" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("got", "expected", "tolerance", "said"),
    [
        (1 + 1.04e-6, 1.0, 1e-6, "The relative difference is 1.04e-06; 1e-06 is allowed. It"),
        ([3.0, 4.0, 0, 0, 1], [3.0, 4.0, 0, 0, 0], 1e-4, "The relative difference is 0.2; 0.0001"),
        ([0, 0, 0, 0, 5.0], [0.0] * 5, 1e-4, "The difference is 5; 0.0001 is allowed. It gives"),
        (1.1, 1.0, 1e-6, "It gives 1.1; 1 is right."),
    ],
)
def test_what_looks_the_same_is_told_by_how_much_it_differs(got, expected, tolerance, said):
    assert compare(np.array(got), np.array(expected), tolerance).startswith(said)
