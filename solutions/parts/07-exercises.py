# %% setup
# A scratch file: these cells go to their places in the chapter's source, and this one is its setup.
import torch

from flatlab.checks import chapter07 as check

# %% [markdown]
# ### Exercise 1 · The table of an operation   ●●○○ · 2 points · 6 min
#
# Modular arithmetic has p numbers, 0 to p − 1; every result is reduced to its remainder by p. An operation ∘ is then
# a finite table, and the network is to learn it from some of its cells. Write `modular_table(p, operation)`.
# - `p`: a whole number, at least 2. `operation`: `"add"` a + b, `"subtract"` a − b, `"multiply"` a b, or `"divide"` a
#   / b, which is the one number c with b c = a mod p.
# - Returns `pairs, results`, two tensors of dtype `torch.int64`. `pairs` has the shape (p², 2) and holds all (a, b),
#   b changing fastest: (0, 0), (0, 1), …, (p − 1, p − 1). `results` has the shape (p²,) and holds a ∘ b mod p, from 0
#   to p − 1.
# - By 0 nothing is divided: for `"divide"` the rows with b = 0 are left out, p (p − 1) remain. Only where p is prime
#   does every other b divide every a.
# - Raises `ValueError` for p < 2, for `"divide"` where p is not prime, and for any other operation.
#
# <details><summary>Hint</summary>
#
# Which b⁻¹ has b b⁻¹ = 1 mod 7, for b = 2 and for b = 3? Dividing is multiplying by it. Python's built-in `pow` finds
# it, with a third argument; so does a search, or Fermat's little theorem. For the pairs look at
# `torch.cartesian_prod`.
#
# </details>


# %% exercise="modular_table"
def modular_table(p, operation):
    """pairs (rows, 2) and results (rows,), int64: all a ∘ b mod p, b changing fastest."""
    ### BEGIN SOLUTION
    if p < 2:
        raise ValueError(f"p is {p}: there are tables from p = 2 on")
    if operation not in ("add", "subtract", "multiply", "divide"):
        raise ValueError(f"{operation!r} is no operation: add, subtract, multiply or divide")
    if operation == "divide" and any(p % k == 0 for k in range(2, p)):
        raise ValueError(f"p is {p}, which is not prime: not every number can be divided by")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
    a, b = pairs.unbind(dim=1)
    if operation == "add":
        results = a + b
    elif operation == "subtract":
        results = a - b
    elif operation == "multiply":
        results = a * b
    else:
        results = a * torch.tensor([0] + [pow(k, -1, p) for k in range(1, p)])[b]
    return pairs, results % p
    ### END SOLUTION


# %% check="modular_table" points=2
check.modular_table(modular_table)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter07.tables import Refused, Tables


@check.modular_table.hidden("the tables of 2 and of 53")
class SmallAndLarge(Tables):
    tables = ((2, "add"), (2, "divide"), (53, "subtract"), (53, "multiply"), (53, "divide"))


@check.modular_table.hidden("a p that is not prime")
class NotPrime(Tables):
    tables = ((12, "add"), (12, "subtract"), (12, "multiply"))


@check.modular_table.hidden("a p or an operation that it should refuse")
class NoTable(Refused):
    pass


check.modular_table.grade(modular_table)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 2 · Training and test cells   ●○○○ · 2 points · 5 min
#
# Write `split_table(pairs, results, fraction, generator)`: some rows of a table, drawn at random, to train on, and
# all others to test on.
# - `pairs`: tensor (n, 2), `results`: tensor (n,), both `torch.int64`; row i of one belongs to row i of the other.
#   They stay as they are.
# - `fraction`: the share of training rows; `round(fraction * n)` of them, exactly. `generator`: a `torch.Generator`,
#   from which everything random is drawn.
# - Returns `(train_pairs, train_results), (test_pairs, test_results)`: two tuples of new tensors. Every row is in
#   exactly one part. Their order within a part is free.
# - Raises `ValueError` where one of the two parts would have no row.
#
# <details><summary>Hint</summary>
#
# What would be wrong with drawing each training row by itself, from all n? And how does a result stay beside its pair
# when the rows change places?
#
# </details>


# %% exercise="split_table"
def split_table(pairs, results, fraction, generator):
    """(train_pairs, train_results), (test_pairs, test_results), drawn at random; each row once."""
    ### BEGIN SOLUTION
    n = len(pairs)
    count = round(fraction * n)
    if not 0 < count < n:
        raise ValueError(f"fraction is {fraction}: of {n} rows it leaves a part without any")
    order = torch.randperm(n, generator=generator)
    train, test = order[:count], order[count:]
    return (pairs[train], results[train]), (pairs[test], results[test])
    ### END SOLUTION


# %% check="split_table" points=2
check.split_table(split_table)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.chapter01.products import seeded
from flatlab.checks.chapter07.split import EveryRow, PartEmpty, drawn, tables


@check.split_table.hidden("a table of quotients")
class Quotients(EveryRow):
    fractions = (0.28, 0.64)

    def draw(self, generator):
        given = drawn(generator, 11)
        keep = given["pairs"][:, 1] > 0
        rows = {name: given[name][keep] for name in ("pairs", "results")}
        return {**rows, "fractions": list(self.fractions), "seed": 8}


@check.split_table.hidden("a fraction that leaves a part empty")
class OnePartEmpty(PartEmpty):
    pass


@check.split_table.hidden("pairs and results left as they were")
class LeftAlone:
    measured = ("called", "after")

    def draw(self, generator):
        return {**drawn(generator, 5), "fractions": [0.2, 0.6]}

    def call(self, student, inputs):
        called, after = [], []
        for fraction in inputs["fractions"]:
            given = tables(inputs)
            parts = student(*given, float(fraction), seeded(2))
            called.append(torch.column_stack(given))
            for part in parts:
                for tensor in part:
                    tensor.add_(1)  # so that a shared tensor shows itself
            after.append(torch.column_stack(given))
        return {"called": called, "after": after}

    def verdict(self, inputs, outputs):
        given = np.column_stack([inputs["pairs"], inputs["results"]])
        if not all(np.array_equal(called, given) for called in outputs["called"]):
            return (
                "The table that was passed in has changed: index it, and leave its rows in place."
            )
        if not all(np.array_equal(after, given) for after in outputs["after"]):
            return "A part shares memory with the table: who changes the part changes the table."
        return None


check.split_table.grade(split_table)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 3 · A step of AdamW   ●●●○ · 4 points · 10 min
#
# Networks that grok are trained with weight decay, so it matters how it acts. Adam (Kingma and Ba, 2015) keeps a
# running mean m of the gradients and v of their squares,
#
# $$m \leftarrow \beta_1 m + (1-\beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1-\beta_2)\, g^2, \qquad
# \hat m = \frac{m}{1-\beta_1^t}, \quad \hat v = \frac{v}{1-\beta_2^t}.$$
#
# In AdamW (Loshchilov and Hutter, 2019) the decay λ is **decoupled**: it is no part of g, and the moments never see
# it,
#
# $$w \leftarrow w - \eta\,\frac{\hat m}{\sqrt{\hat v} + \epsilon} - \eta\,\lambda\, w.$$
#
# On the right w is the one from before the step, in both places.
#
# Write `decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas, eps)`.
# - `w`, `gradient` g, `m`, `v`: float tensors of one shape, whatever it is. All four stay as they are. m and v are 0
#   before the first step.
# - `step` t: the number of this step, **counted from 1**. `learning_rate` η, `weight_decay` λ, `eps` ε: numbers;
#   `betas`: the pair (β₁, β₂).
# - Returns `w, m, v` after the step: new tensors, m and v **without** their corrections (the hats).
#
# <details><summary>Hint</summary>
#
# To see what the decay does alone, think of a gradient that is 0 in every step: how long does w take to fall to half?
# What would Adam make of a gradient λ w, however small λ is? What must the next step be given?
#
# </details>


# %% exercise="decoupled_weight_decay_step"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    """w, m, v after AdamW's step number ``step`` = 1, 2, ...: new tensors of the shape of w."""
    ### BEGIN SOLUTION
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    move = m_hat / (v_hat.sqrt() + eps)
    return w - learning_rate * (move + weight_decay * w), m, v
    ### END SOLUTION


# %% check="decoupled_weight_decay_step" points=4
check.decoupled_weight_decay_step(decoupled_weight_decay_step)

### BEGIN HIDDEN TESTS
import numpy as np

from flatlab.checks.answers import close
from flatlab.checks.chapter07.decay import SixSteps, stepped


@check.decoupled_weight_decay_step.hidden("a matrix of weights")
class Matrix(SixSteps):
    shape = (2, 3)


@check.decoupled_weight_decay_step.hidden("without weight decay it is Adam")
class Adam(SixSteps):
    decay = 0.0


@check.decoupled_weight_decay_step.hidden("gradients a thousand times as large")
class Thousandfold(SixSteps):
    def draw(self, generator):
        return {**super().draw(generator), "eps": 1e-12}

    def call(self, student, inputs):
        larger = {**inputs, "gradients": 1000 * inputs["gradients"]}
        return {"w": stepped(student, inputs)["w"], "larger": stepped(student, larger)["w"]}

    def verdict(self, inputs, outputs):
        if not np.isfinite(np.concatenate([*outputs["w"], *outputs["larger"]])).all():
            return "With eps = 1e-12 the weights hold NaN or inf."
        if not close(outputs["larger"], outputs["w"], 1e-4):
            return (
                "With all gradients a thousand times as large the weights come out others: Adam's move does "
                "not depend on that factor, and decoupled decay neither."
            )
        return None


check.decoupled_weight_decay_step.grade(decoupled_weight_decay_step)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 4 · When it gets there   ●●○○ · 2 points · 7 min
#
# To measure a delay one has to say when a run has learned something, and one lucky evaluation should not count. Write
# `time_to_threshold(history, threshold, patience)`: the step from which on the value is at least the threshold in
# `patience` evaluations in a row.
# - `history`: a list of pairs (step, value), one an evaluation, steps growing, not always by the same number. A value
#   may be NaN: it is not at the threshold.
# - `threshold`: a number. `patience`: a whole number, at least 1.
# - Returns the **step** of the first evaluation of the first such stretch, of `patience` evaluations or more; what
#   comes after them does not matter. Returns `None` where there is none, also where the history ends before patience
#   has passed.
#
# <details><summary>Hint</summary>
#
# Go through this history by hand, with patience 2: values 0.3, 0.9, 0.4, 0.95, 0.92, 0.5 and threshold 0.9. What has
# to be remembered from one evaluation to the next, and what is forgotten when? Try in Python: is
# `float("nan") < 0.9`?
#
# </details>


# %% exercise="time_to_threshold"
def time_to_threshold(history, threshold, patience):
    """The step where the first ``patience`` values >= threshold in a row begin, or None."""
    ### BEGIN SOLUTION
    count = 0
    for step, value in history:
        count = count + 1 if value >= threshold else 0
        if count == 1:
            start = step
        if count == patience:
            return start
    return None
    ### END SOLUTION


# %% check="time_to_threshold" points=2
check.time_to_threshold(time_to_threshold)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.chapter07.times import NeverOrAtOnce, Stretches, said


@check.time_to_threshold.hidden("values that are NaN")
class NotANumber(Stretches):
    def draw(self, generator):
        nan = torch.nan
        values = [0.2, nan, nan, nan, 0.5, 0.95, nan, 0.96, 0.97, 0.3]
        steps = torch.randint(2, 9, (len(values),), generator=generator).cumsum(0).double()
        history = torch.stack([steps, torch.tensor(values, dtype=torch.float64)], dim=1)
        return {"histories": [history], "patience": [2], "threshold": self.threshold}

    def verdict(self, inputs, outputs):
        (history,), (got,) = inputs["histories"], said(outputs)
        if got == history[7, 0]:
            return None
        return (
            "A NaN counts as a value at the threshold. Every comparison with NaN is False, `value < threshold` "
            "too: ask for value >= threshold."
        )


@check.time_to_threshold.hidden("a history that ends too soon")
class EndsTooSoon(NeverOrAtOnce):
    def draw(self, generator):
        steps = 5 * torch.arange(6, dtype=torch.float64)
        values = torch.tensor([0.1, 0.2, 0.9, 0.3, 0.95, 0.95], dtype=torch.float64)
        short = torch.tensor([[0.0, 0.9], [5.0, 0.9]], dtype=torch.float64)
        history = torch.stack([steps, values], dim=1)
        return {"histories": [history, short], "patience": [3, 3], "threshold": 0.8}

    def verdict(self, inputs, outputs):
        if not np.all(outputs["none"]):
            return (
                "The history ends with 2 values at the threshold, and patience is 3: whether a third would "
                "follow is not known, so it is None."
            )
        return None


@check.time_to_threshold.hidden("a patience of one")
class PatienceOfOne(Stretches):
    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "patience": [1 for _ in drawn["patience"]]}


check.time_to_threshold.grade(time_to_threshold)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 5 · The waves in an embedding   ●●●○ · 3 points · 9 min
#
# A network that has learned a + b mod p may have done it with waves: on p numbers in a circle, functions such as
# cos(2πka/p). Its first layer gives each number a a row of weights. Write `fourier_power(embedding)`: how much of
# these rows is at which frequency k.
# - `embedding`: float tensor (p, d), p odd; row a belongs to the number a. It stays as it is.
# - For p odd the waves
#
# $$\frac{1}{\sqrt p}, \qquad \sqrt{\tfrac 2p}\,\cos\frac{2\pi k a}{p}, \quad \sqrt{\tfrac 2p}\,\sin\frac{2\pi k a}{p}, \qquad
# k = 1, \dots, \tfrac{p-1}{2},$$
#
#   as functions of a, are an orthonormal basis. Each column has a coefficient for each wave.
# - Returns a tensor of shape ((p + 1)/2,): entry 0 is the power of the constant, entry k that of cosine and sine at k
#   together, where power is the **sum** of the squared coefficients over the d columns. Its unit is that of a squared
#   weight.
#
# <details><summary>Hint</summary>
#
# An orthonormal basis keeps lengths (Parseval): what must all powers add up to? Count the basis: are there as many
# waves as numbers? If you take `torch.fft.rfft`, a column cos(2πa/p) tells you the factors that are missing.
#
# </details>


# %% exercise="fourier_power"
def fourier_power(embedding):
    """The power of embedding (p, d), p odd, at k = 0, ..., (p-1)/2, over all columns: ((p+1)/2,)."""
    ### BEGIN SOLUTION
    power = (torch.fft.rfft(embedding, dim=0).abs() ** 2).sum(dim=1) / len(embedding)
    power[1:] *= 2  # the wave at p - k is that at k
    return power
    ### END SOLUTION


# %% check="fourier_power" points=3
check.fourier_power(fourier_power)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.chapter07.spectrum import HINTS, Embedded, spectrum
from flatlab.checks.toys import normal


@check.fourier_power.hidden("a single column")
class OneColumn(Embedded):
    size = (15, 1)


@check.fourier_power.hidden("the numbers multiplied by 2")
class Doubled:
    hints = HINTS

    def draw(self, generator):
        return {"embedding": normal(generator, 11, 3)}

    def call(self, student, inputs):
        """Row a of the second embedding is row 2 a mod p of the first: its wave k is at 2 k."""
        embedding = torch.tensor(inputs["embedding"])
        doubled = embedding[2 * torch.arange(11) % 11]
        return {"power": spectrum(student, embedding), "doubled": spectrum(student, doubled)}

    def verdict(self, inputs, outputs):
        power, doubled = outputs["power"], outputs["doubled"]
        places = [min(2 * k, 11 - 2 * k) for k in range(6)]
        if not np.allclose(doubled[places], power, rtol=1e-4, atol=1e-5):
            return (
                "With the rows in the order 0, 2, 4, ... mod p what was at frequency k should be at 2 k or "
                "p - 2 k. It is not."
            )
        return None


@check.fourier_power.hidden("a float32 embedding of p = 3")
class Three(Embedded):
    size = (3, 4)
    tolerance = 1e-4

    def draw(self, generator):
        return {"embedding": super().draw(generator)["embedding"].float()}


check.fourier_power.grade(fourier_power)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 6 · Only the waves of the rule   ●●●● · 4 points · 12 min
#
# If a network adds by waves, then its logits for the pair (a, b) should hold waves of **a + b**, and what it learned
# by heart should be all the rest. Nanda et al. (2023) measure how good it would be with those waves alone. Write
# `restricted_loss(logits, frequencies)`.
# - `logits`: float tensor (p, p, p), p odd: `logits[a, b, c]` speaks for the class c as result of a + b mod p. It
#   stays as it is.
# - `frequencies`: a list of different whole numbers k from 1 to (p − 1)/2; it may be empty.
# - For each class c the numbers `logits[:, :, c]` are a function of (a, b). Of it only its **projection** on the
#   constant function 1 and on
#
# $$\cos\frac{2\pi k (a+b)}{p}, \qquad \sin\frac{2\pi k (a+b)}{p}, \qquad k \text{ in frequencies},$$
#
#   is kept. All these functions are orthogonal over the p² pairs.
# - Returns the mean cross-entropy of the restricted logits over all p² pairs, with a + b mod p as the right class: a
#   number, in nats. Everything is computed in float64, since in float32 a loss below $10^{-8}$ comes out as 0.
#
# <details><summary>Hint</summary>
#
# The projection of f on a wave u is $u\,(u \cdot f)/(u \cdot u)$. What is $u \cdot u$ for the constant, and for a
# cosine? All classes can be done at once. Or look at it another way: which values of (a, b) can a function of a + b
# not tell apart?
#
# </details>


# %% exercise="restricted_loss"
def restricted_loss(logits, frequencies):
    """Cross-entropy of logits (p, p, p) with nothing but 1 and waves of a + b left: a number."""
    ### BEGIN SOLUTION
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)  # (p, p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p)
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            share = torch.einsum("ab,abc->c", wave, logits) / (wave**2).sum()
            kept = kept + wave[:, :, None] * share
    kept, labels = kept.reshape(p * p, p), (sums % p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels).item()
    ### END SOLUTION


# %% check="restricted_loss" points=4
check.restricted_loss(restricted_loss)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.chapter07.circuits import cross_entropy as entropy
from flatlab.checks.chapter07.circuits import numbers
from flatlab.checks.chapter07.restricted import RandomLogits
from flatlab.checks.toys import normal


@check.restricted_loss.hidden("no frequency at all")
class NoFrequency(RandomLogits):
    frequencies = ()


@check.restricted_loss.hidden("all frequencies, logits that depend on a + b alone")
class AllFrequencies(RandomLogits):
    def draw(self, generator):
        p = 9
        sums = torch.arange(p)[:, None] + torch.arange(p)
        return {"logits": 2 * normal(generator, p, p)[sums % p], "frequencies": [3, 1, 4, 2]}

    def verdict(self, inputs, outputs):
        logits = np.asarray(inputs["logits"])
        a, b = numbers(len(logits))
        right = entropy(logits, (a + b) % len(logits))
        if not abs(float(outputs["loss"]) - right) <= 1e-5 * right:
            return (
                f"Logits that depend on a + b alone lose nothing when all frequencies are kept: their loss stays "
                f"{right:.4g}. Yours is {float(outputs['loss']):.4g}."
            )
        return None


@check.restricted_loss.hidden("logits left as they were")
class LeftAlone(RandomLogits):
    measured = ("after", "list")

    def call(self, student, inputs):
        logits, frequencies = torch.tensor(inputs["logits"]), [3, 1]
        student(logits, frequencies)
        return {"after": logits, "list": frequencies}

    def verdict(self, inputs, outputs):
        if not np.array_equal(outputs["after"], inputs["logits"]):
            return (
                "The logits that were passed in have changed: `-=` and `[...] =` write into them."
            )
        if list(outputs["list"]) != [3, 1]:
            return "The list of frequencies that was passed in has changed."
        return None


check.restricted_loss.grade(restricted_loss)
### END HIDDEN TESTS
