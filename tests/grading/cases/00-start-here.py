# %% [markdown]
# Wrong and right answers to the warm-up of chapter 00.

# %% misconception="gradient_step" name="uphill" message="It goes uphill"
def gradient_step(w, gradient, learning_rate):
    return w + learning_rate * gradient


# %% misconception="gradient_step" name="no-learning-rate" message="does not depend on learning_rate"
def gradient_step(w, gradient, learning_rate):
    return w - gradient


# %% misconception="gradient_step" name="step-alone" message="the step alone"
def gradient_step(w, gradient, learning_rate):
    return -learning_rate * gradient


# %% misconception="gradient_step" name="in-place" message="writes into the caller's tensor"
def gradient_step(w, gradient, learning_rate):
    w -= learning_rate * gradient
    return w


# %% misconception="gradient_step" name="nothing-returned" message="returned None"
def gradient_step(w, gradient, learning_rate):
    w = w - learning_rate * gradient


# %% misconception="gradient_step" name="only-vectors" message="a tensor with several axes"
def gradient_step(w, gradient, learning_rate):
    return torch.stack([w[i] - learning_rate * gradient[i].sum() for i in range(len(w))])


# %% misconception="gradient_step" name="default-for-zero" message="a learning rate of zero"
def gradient_step(w, gradient, learning_rate):
    learning_rate = learning_rate or 0.1
    return w - learning_rate * gradient


# %% misconception="gradient_step" name="the-example-gradient" message="gradient of this section's example"
def gradient_step(w, gradient, learning_rate):
    return w - learning_rate * 4 * w


# %% alternative="gradient_step" name="torch-add"
def gradient_step(w, gradient, learning_rate):
    return torch.add(w, gradient, alpha=-learning_rate)


# %% alternative="gradient_step" name="copy-then-in-place"
def gradient_step(w, gradient, learning_rate):
    new = w.clone()
    new -= learning_rate * gradient
    return new


# %% alternative="gradient_step" name="numpy"
def gradient_step(w, gradient, learning_rate):
    return w.numpy() - learning_rate * gradient.numpy()
