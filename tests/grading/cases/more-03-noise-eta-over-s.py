# %% [markdown]
# More wrong answers to the exercises of chapter 03, which tests/unit/checks runs without nbgrader: grading takes as long
# as the exercise with the most cases.

# %% misconception="langevin_step" name="noise-times-the-gradient" message="multiplied by grad: where that is 0 there is none"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    return theta - learning_rate * grad * (1 + sigma / math.sqrt(batch_size) * xi)


# %% misconception="basin_ratio" name="assert" message="an assert may be switched off"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    for h in (hessian_a, hessian_b):
        assert torch.linalg.eigvalsh(h)[0] > 0
    width = math.exp(float(torch.logdet(hessian_b) - torch.logdet(hessian_a)) / 2)
    return width * math.exp(2 * (loss_b - loss_a) / (n * sigma**2))


# %% misconception="corrupt_labels" name="rounds-up" message="12 are needed"
def corrupt_labels(y, fraction, num_classes, generator):
    places = torch.randperm(len(y), generator=generator)[: math.ceil(fraction * len(y))]
    noisy = y.clone()
    shift = torch.randint(1, num_classes, places.shape, generator=generator)
    noisy[places] = (noisy[places] + shift) % num_classes
    return noisy
