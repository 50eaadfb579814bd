"""Bad input: what is refused, with which words, and that nothing was changed."""

import math

import pytest
import torch
from torch import nn

from flatlab import SAM


@pytest.fixture
def model():
    return nn.Linear(2, 1)


def test_class_instance_and_function_are_all_taken(model):
    kinds = [
        (torch.optim.SGD, {"lr": 0.1}),
        (torch.optim.SGD(model.parameters(), lr=0.1), {}),
        (lambda groups: torch.optim.SGD(groups, lr=0.1), {}),
    ]
    for base, options in kinds:
        (group,) = SAM(model.parameters(), base, rho=0.3, **options).param_groups
        assert (group["lr"], group["rho"], group["p"], group["adaptive"]) == (0.1, 0.3, 2.0, False)


def test_an_instance_keeps_the_settings_in_its_groups(model):
    groups = [{"params": [model.weight], "rho": 0.5}, {"params": [model.bias], "lr": 0.2}]
    base = torch.optim.SGD(groups, lr=0.1)
    optimizer = SAM(model.parameters(), base, rho=0.3)
    assert [g["rho"] for g in optimizer.param_groups] == [0.5, 0.3]
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.2]
    assert SAM(base.param_groups, base).base_optimizer is base  # its own groups
    plain = torch.optim.SGD([{"params": [model.weight]}, {"params": [model.bias]}], lr=0.1)
    given = SAM([{"params": [model.bias], "rho": 0.2}, {"params": [model.weight]}], plain, rho=0.4)
    assert [g["rho"] for g in given.param_groups] == [0.4, 0.2]


def test_an_instance_that_was_a_base_before_takes_the_new_settings_and_keeps_its_own(model):
    groups = [{"params": [model.weight], "rho": 0.5}, {"params": [model.bias]}]
    base = torch.optim.SGD(groups, lr=0.1)
    SAM(model.parameters(), base, rho=0.05)
    anew = SAM(model.parameters(), base, rho=0.2, adaptive=True)  # as a cell that runs again
    assert [(g["rho"], g["adaptive"]) for g in anew.param_groups] == [(0.5, True), (0.2, True)]
    more = nn.Linear(1, 1)
    anew.add_param_group({"params": more.parameters()})
    last = SAM([*model.parameters(), *more.parameters()], base, rho=0.3, p=1)
    assert [(g["rho"], g["p"]) for g in last.param_groups] == [(0.5, 1), (0.3, 1), (0.3, 1)]


def test_a_group_that_is_refused_leaves_no_setting_in_those_before_it(model):
    base = torch.optim.SGD([{"params": [model.weight]}, {"params": [model.bias]}], lr=0.1)
    wrong = [{"params": [model.weight]}, {"params": [model.bias], "lr": 0.3}]
    with pytest.raises(ValueError, match="a group of params sets lr"):
        SAM(wrong, base)
    assert not any("rho" in group for group in base.param_groups)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rho": -0.1}, ValueError, "rho is -0.1: give a number of at least 0"),
        ({"rho": math.nan}, ValueError, "rho is nan"),
        ({"p": 0.9}, ValueError, "p is 0.9: give the exponent of a norm, from 1"),
        ({"p": "2"}, ValueError, "p is '2'"),
        ({"norm": "local"}, ValueError, "norm is 'local': give 'replica' or 'global'"),
        ({"max_norm": 0}, ValueError, "max_norm is 0: give a positive number"),
        ({"model": "net"}, TypeError, "model must be a torch module, not str"),
        ({"base_optimizer": "SGD"}, TypeError, "must be an optimizer's class.*or an instance"),
        ({"base_optimizer": nn.ReLU}, TypeError, "takes|must be an optimizer's class"),
        ({"base_optimizer": torch.optim.LBFGS}, ValueError, "LBFGS needs a closure itself"),
    ],
)
def test_bad_settings(model, options, error, message):
    with pytest.raises(error, match=message):
        SAM(model.parameters(), **({"base_optimizer": torch.optim.SGD} | options))


def test_bad_instances(model):
    base = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="lr given beside an instance of SGD"):
        SAM(model.parameters(), base, lr=0.2)
    with pytest.raises(ValueError, match="different parameters: build both from the same model"):
        SAM(nn.Linear(2, 1).parameters(), base)
    with pytest.raises(ValueError, match="a group of params sets lr, which the SGD instance"):
        SAM([{"params": model.parameters(), "lr": 0.2}], base)
    apart = [{"params": [model.weight], "rho": 0.1}, {"params": [model.bias]}]
    with pytest.raises(ValueError, match="gives different rho"):
        SAM(apart, base)
    assert "rho" not in base.param_groups[0]
    with pytest.raises(TypeError, match="base of SAM cannot be SAM"):
        SAM(model.parameters(), SAM(model.parameters(), base))


def test_complex_parameters():
    w = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(ValueError, match="complex.*torch.view_as_real"):
        SAM([w], torch.optim.SGD)


def test_closure_missing(model):
    optimizer = SAM(model.parameters(), torch.optim.SGD)
    with pytest.raises(ValueError, match="needs a closure that clears.*or call first_step"):
        optimizer.step()


def test_no_gradient_at_all(model):
    optimizer = SAM(model.parameters(), torch.optim.SGD)
    with pytest.raises(RuntimeError, match="no parameter has a gradient: call backward"):
        optimizer.step(lambda: model(torch.ones(1, 2)).sum())
    frozen = nn.Linear(2, 1).requires_grad_(False)
    with pytest.raises(RuntimeError, match="no parameter has a gradient"):
        SAM(frozen.parameters(), torch.optim.SGD).first_step()


@pytest.mark.parametrize("p", [1, 1.5, 2, math.inf])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(("value", "name"), [(math.nan, "NaN"), (math.inf, "inf")])
def test_gradients_that_are_not_finite_change_nothing(model, p, adaptive, value, name):
    optimizer = SAM(model.parameters(), torch.optim.SGD, p=p, adaptive=adaptive, lr=0.1)
    before = [w.detach().clone() for w in model.parameters()]
    model.weight.grad = torch.tensor([[1.0, value]])
    model.bias.grad = torch.ones(1)
    with pytest.raises(FloatingPointError, match=f"a gradient holds {name}; nothing was changed"):
        optimizer.first_step()
    assert all(map(torch.equal, before, model.parameters()))
    model.weight.grad = torch.ones(1, 2)
    assert optimizer.first_step()  # it goes on


def test_steps_out_of_order(model):
    optimizer = SAM(model.parameters(), torch.optim.SGD)
    with pytest.raises(RuntimeError, match="call first_step before second_step"):
        optimizer.second_step()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.first_step()
    for again in (optimizer.first_step, lambda: optimizer.step(lambda: None)):
        with pytest.raises(RuntimeError, match="perturbed already: finish with second_step or"):
            again()


def test_settings_that_were_changed_in_the_groups(model):
    groups = [{"params": [model.weight]}, {"params": [model.bias], "p": 3}]
    model(torch.ones(1, 2)).sum().backward()
    with pytest.raises(ValueError, match="p must be one; rho may differ"):
        SAM(groups, torch.optim.SGD).first_step()
    optimizer = SAM(model.parameters(), torch.optim.SGD)
    optimizer.param_groups[0]["rho"] = -1
    with pytest.raises(ValueError, match="rho is -1"):
        optimizer.first_step()


def test_a_global_norm_without_replicas(model):
    optimizer = SAM(model.parameters(), torch.optim.SGD, norm="global")
    model(torch.ones(1, 2)).sum().backward()
    with pytest.raises(RuntimeError, match="init_process_group first, or use norm='replica'"):
        optimizer.first_step()
